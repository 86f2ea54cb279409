//! Reverse-mode differentiation. It adds nodes to the graph, so that its result can be differentiated again.
use std::collections::HashMap;

use super::build::{DType, Node, NodeId};
use super::op::{Binary, Op, Reduction, Unary};
use super::tensor::Tensor;

/// The gradients of the scalar `output` with respect to each of `wrt`, in the shapes of `wrt`. They are tensors of the
/// same graph. If `output` does not depend on a tensor, its gradient is zero.
///
/// `wrt` must be inputs of the graph or variables ([`Tensor::variable`]). Any other tensor may have been bypassed by a
/// simplification, and its gradient would silently be zero.
#[track_caller]
pub fn grad(output: &Tensor, wrt: &[Tensor]) -> Vec<Tensor> {
    let graph = output.graph().clone();
    if wrt.iter().any(|t| !std::rc::Rc::ptr_eq(&t.graph().0, &graph.0)) {
        graph.fail("grad", "tensors of one graph", "tensors of two");
        return wrt.to_vec();
    }
    if !output.shape().is_empty() {
        graph.fail("grad", "a scalar", format!("shape {:?}", output.shape()));
        return wrt.iter().map(|t| graph.full(0.0, &t.shape())).collect();
    }

    if let Some(t) = wrt.iter().find(|t| !matches!(graph.node(t.id()).op, Op::Input(_) | Op::Variable(_))) {
        let name = graph.node(t.id()).op.name();
        graph.fail(
            "grad",
            "inputs or variables",
            format!("the result of `{name}`: take its `variable()` first"),
        );
    }

    // Only nodes between `wrt` and `output` need a gradient.
    let last = output.id();
    let mut needed = vec![false; last + 1];
    for t in wrt.iter().filter(|t| t.id() <= last) {
        needed[t.id()] = true;
    }
    for id in 0..=last {
        let node = graph.node(id);
        let differentiable = node.op != Op::StopGradient && node.dtype == DType::Float;
        if differentiable && node.inputs.iter().any(|&i| needed[i]) {
            needed[id] = true;
        }
    }

    let mut gradients: HashMap<NodeId, Tensor> = HashMap::new();
    gradients.insert(last, graph.constant(1.0));
    for id in (0..=last).rev().filter(|&id| needed[id]) {
        let Some(gradient) = gradients.get(&id).cloned() else { continue };
        let node = graph.node(id);
        for (position, &input) in node.inputs.iter().enumerate() {
            // After an error, such as too many nodes, the rest would only cost time.
            if graph.check().is_err() {
                break;
            }
            if !needed[input] {
                continue;
            }
            let Some(part) = pull_back(&graph.handle(id), &node, position, &gradient) else { continue };
            let total = match gradients.get(&input) {
                Some(sum) => sum + part,
                None => part,
            };
            gradients.insert(input, total);
        }
    }
    let zeros = |t: &Tensor| graph.full(0.0, &t.shape());
    wrt.iter().map(|t| gradients.get(&t.id()).cloned().unwrap_or_else(|| zeros(t))).collect()
}

/// The contribution of `gradient`, the gradient of `y`, to the gradient of input number `position` of `y`'s `node`.
fn pull_back(y: &Tensor, node: &Node, position: usize, gradient: &Tensor) -> Option<Tensor> {
    let graph = y.graph();
    let input = |i: usize| graph.handle(node.inputs[i]);
    let (x, g) = (input(position), gradient);
    let shape = x.shape();
    let location = std::panic::Location::caller();
    let push = |op: Op, inputs: &[&Tensor], target: &[usize]| {
        let ids: Vec<NodeId> = inputs.iter().map(|t| t.id()).collect();
        graph.push(op, &ids, target, location)
    };
    Some(match &node.op {
        Op::Input(_)
        | Op::Constant(_)
        | Op::Values(_)
        | Op::StopGradient
        | Op::MaxPool2dIndex(_)
        | Op::OneHot => {
            return None;
        }
        Op::Variable(_) => g.clone(),
        Op::Unary(unary) => match unary {
            Unary::Neg => -g,
            Unary::Exp => g * y,
            Unary::Log => g / x,
            Unary::Sqrt => g * y.recip() * 0.5,
            Unary::Abs => g * x.sign(),
            Unary::Sign => return None,
            Unary::Recip => -(g * y.square()),
            Unary::Tanh => g - g * y.square(),
            Unary::Sigmoid => g * (y - y.square()),
            Unary::Relu => g * graph.constant(0.0).less(&x),
            Unary::Erf => g * (-x.square()).exp() * std::f64::consts::FRAC_2_SQRT_PI,
            Unary::Power(p) => g * x.powf(p.get() - 1.0) * p.get(),
        },
        Op::Binary(binary) => {
            let (a, b) = (input(0), input(1));
            let first = position == 0;
            match binary {
                Binary::Add => g.clone(),
                Binary::Sub if first => g.clone(),
                Binary::Sub => -g,
                Binary::Mul if first => g * b,
                Binary::Mul => g * a,
                Binary::Div if first => g / b,
                Binary::Div => -(g * y / b),
                Binary::Max if first => g * b.less_equal(&a),
                Binary::Max => g * a.less(&b),
                Binary::Min if first => g * a.less_equal(&b),
                Binary::Min => g * b.less(&a),
                Binary::Less | Binary::LessEqual | Binary::Equal => return None,
            }
        }
        Op::Select => {
            let zero = graph.full(0.0, &shape);
            match position {
                1 => input(0).select(g, &zero),
                2 => input(0).select(&zero, g),
                _ => return None,
            }
        }
        Op::Broadcast => {
            let leading = node.shape.len() - shape.len();
            let axes = (0..node.shape.len()).filter(|&i| i < leading || shape[i - leading] != node.shape[i]);
            push(Op::Reduce { reduction: Reduction::Sum, axes: axes.collect() }, &[g], &[]).reshape(&shape)
        }
        Op::Reshape => g.reshape(&shape),
        Op::Permute(axes) => {
            let mut inverse = vec![0; axes.len()];
            for (i, &a) in axes.iter().enumerate() {
                inverse[a] = i;
            }
            g.permute(&inverse)
        }
        Op::Slice { axis, start } => push(Op::Pad { axis: *axis, start: *start }, &[g], &shape),
        Op::Pad { axis, start } => push(Op::Slice { axis: *axis, start: *start }, &[g], &shape),
        Op::Concat { axis } => {
            let before = &node.inputs[..position];
            let start = before.iter().map(|&i| graph.0.borrow().nodes[i].shape[*axis]).sum();
            push(Op::Slice { axis: *axis, start }, &[g], &shape)
        }
        Op::Reduce { reduction: Reduction::Sum, .. } => g.broadcast_to(&shape),
        Op::Reduce { reduction: Reduction::Max, axes } => {
            let attained = x.equal(&y.broadcast_to(&shape));
            let op = Op::Reduce { reduction: Reduction::Sum, axes: axes.clone() };
            let count = push(op, &[&attained], &[]);
            attained * (g / count).broadcast_to(&shape)
        }
        Op::MatMul if position == 0 => g.matmul(&input(1).transpose()),
        Op::MatMul => input(0).transpose().matmul(g),
        Op::Conv2d(w) if position == 0 => push(Op::Conv2dInput(*w), &[g, &input(1)], &shape),
        Op::Conv2d(w) => push(Op::Conv2dWeight(*w), &[&input(0), g], &shape),
        Op::Conv2dInput(w) if position == 0 => push(Op::Conv2d(*w), &[g, &input(1)], &[]),
        Op::Conv2dInput(w) => push(Op::Conv2dWeight(*w), &[g, &input(0)], &shape),
        Op::Conv2dWeight(w) if position == 0 => push(Op::Conv2dInput(*w), &[&input(1), g], &shape),
        Op::Conv2dWeight(w) => push(Op::Conv2d(*w), &[&input(0), g], &[]),
        Op::AvgPool2d(w) => push(Op::AvgPool2dInput(*w), &[g], &shape),
        Op::AvgPool2dInput(w) => push(Op::AvgPool2d(*w), &[g], &[]),
        Op::Gather { axis } if position == 0 => push(Op::Scatter { axis: *axis }, &[g, &input(1)], &shape),
        Op::Scatter { axis } if position == 0 => push(Op::Gather { axis: *axis }, &[g, &input(1)], &[]),
        Op::Gather { .. } | Op::Scatter { .. } => return None,
    })
}
