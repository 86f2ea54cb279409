//! Tensors: the handles with which learners and objectives build graphs.
use std::ops;
use std::panic::Location;

use super::build::{DType, Graph, NodeId};
use super::op::{Binary, Bits, Op, Reduction, Unary, Window, broadcast_shapes};

/// A value of a graph. It has a shape, but no numbers until the graph runs.
///
/// Arithmetic broadcasts as in NumPy. Negative axes count from the last. Mistakes, such as shapes that do not fit or an
/// axis out of range, are recorded in the graph and reported by [`Graph::check`].
#[derive(Clone, Debug)]
pub struct Tensor {
    graph: Graph,
    id: NodeId,
}

impl Tensor {
    pub(crate) fn from_parts(graph: Graph, id: NodeId) -> Self {
        Tensor { graph, id }
    }

    /// The node that computes this tensor.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The graph this tensor belongs to.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The dimensions.
    pub fn shape(&self) -> Vec<usize> {
        self.graph.0.borrow().nodes[self.id].shape.clone()
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.graph.0.borrow().nodes[self.id].dtype
    }

    fn rank(&self) -> usize {
        self.graph.0.borrow().nodes[self.id].shape.len()
    }

    /// Adds a node that reads `inputs`, which must belong to one graph.
    #[track_caller]
    fn push(op: Op, inputs: &[&Tensor], target: &[usize]) -> Tensor {
        let graph = &inputs[0].graph;
        if inputs.iter().any(|t| !std::rc::Rc::ptr_eq(&t.graph.0, &graph.0)) {
            graph.fail(op.name(), "tensors of one graph", "tensors of two");
            return inputs[0].clone();
        }
        let ids: Vec<NodeId> = inputs.iter().map(|t| t.id).collect();
        graph.push(op, &ids, target, Location::caller())
    }

    #[track_caller]
    fn axis(&self, axis: isize, op: &str) -> usize {
        let rank = self.rank();
        let index = if axis < 0 { axis + rank as isize } else { axis };
        if (0..rank as isize).contains(&index) {
            return index as usize;
        }
        self.graph.fail(op, format!("an axis of {:?}", self.shape()), format!("axis {axis}"));
        usize::MAX
    }

    #[track_caller]
    fn unary(&self, op: Unary) -> Tensor {
        Tensor::push(Op::Unary(op), &[self], &[])
    }

    #[track_caller]
    fn binary(&self, op: Binary, other: &Tensor) -> Tensor {
        // Shapes that do not broadcast are passed on as they are, so that the builder's error names them.
        let Some(shape) = broadcast_shapes(&self.shape(), &other.shape()) else {
            return Tensor::push(Op::Binary(op), &[self, other], &[]);
        };
        Tensor::push(Op::Binary(op), &[&self.broadcast_to(&shape), &other.broadcast_to(&shape)], &[])
    }

    #[track_caller]
    fn scalar(&self, op: Binary, value: f64) -> Tensor {
        self.binary(op, &self.graph.constant(value))
    }

    /// `eˣ`.
    #[track_caller]
    pub fn exp(&self) -> Tensor {
        self.unary(Unary::Exp)
    }
    /// The natural logarithm.
    #[track_caller]
    pub fn log(&self) -> Tensor {
        self.unary(Unary::Log)
    }
    /// The square root.
    #[track_caller]
    pub fn sqrt(&self) -> Tensor {
        self.unary(Unary::Sqrt)
    }
    /// The absolute value.
    #[track_caller]
    pub fn abs(&self) -> Tensor {
        self.unary(Unary::Abs)
    }
    /// The sign: −1, 0 or 1. It has no gradient.
    #[track_caller]
    pub fn sign(&self) -> Tensor {
        self.unary(Unary::Sign)
    }
    /// `1/x`.
    #[track_caller]
    pub fn recip(&self) -> Tensor {
        self.unary(Unary::Recip)
    }
    /// The hyperbolic tangent.
    #[track_caller]
    pub fn tanh(&self) -> Tensor {
        self.unary(Unary::Tanh)
    }
    /// `1/(1 + e⁻ˣ)`.
    #[track_caller]
    pub fn sigmoid(&self) -> Tensor {
        self.unary(Unary::Sigmoid)
    }
    /// `max(x, 0)`.
    #[track_caller]
    pub fn relu(&self) -> Tensor {
        self.unary(Unary::Relu)
    }
    /// The error function.
    #[track_caller]
    pub fn erf(&self) -> Tensor {
        self.unary(Unary::Erf)
    }
    /// The exact GELU, `x·Φ(x)`.
    #[track_caller]
    pub fn gelu(&self) -> Tensor {
        self * ((self * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0) * 0.5
    }
    /// `xᵖ`.
    #[track_caller]
    pub fn powf(&self, p: f64) -> Tensor {
        match p {
            0.0 => self.graph.full(1.0, &self.shape()),
            1.0 => self.clone(),
            2.0 => self.square(),
            p => self.unary(Unary::Power(Bits::new(p))),
        }
    }
    /// `x·x`.
    #[track_caller]
    pub fn square(&self) -> Tensor {
        self.binary(Binary::Mul, self)
    }

    /// The elementwise maximum.
    #[track_caller]
    pub fn max(&self, other: &Tensor) -> Tensor {
        self.binary(Binary::Max, other)
    }
    /// The elementwise minimum.
    #[track_caller]
    pub fn min(&self, other: &Tensor) -> Tensor {
        self.binary(Binary::Min, other)
    }
    /// `x` clamped to `[low, high]`. The gradient passes where `low ≤ x ≤ high`.
    #[track_caller]
    pub fn clamp(&self, low: f64, high: f64) -> Tensor {
        self.scalar(Binary::Max, low).scalar(Binary::Min, high)
    }
    /// 1 where `self < other`, else 0. It has no gradient.
    #[track_caller]
    pub fn less(&self, other: &Tensor) -> Tensor {
        self.binary(Binary::Less, other)
    }
    /// 1 where `self ≤ other`, else 0. It has no gradient.
    #[track_caller]
    pub fn less_equal(&self, other: &Tensor) -> Tensor {
        self.binary(Binary::LessEqual, other)
    }
    /// 1 where `self = other`, else 0. It has no gradient.
    #[track_caller]
    pub fn equal(&self, other: &Tensor) -> Tensor {
        self.binary(Binary::Equal, other)
    }
    /// `a` where `self ≠ 0`, else `b`. All three must have the same shape.
    #[track_caller]
    pub fn select(&self, a: &Tensor, b: &Tensor) -> Tensor {
        Tensor::push(Op::Select, &[self, a, b], &[])
    }
    /// The same numbers as a variable. Besides inputs, [`super::grad`] can differentiate only with respect to
    /// variables. A second inner step, for example, differentiates with respect to the result of the first.
    #[track_caller]
    pub fn variable(&self) -> Tensor {
        let number = self.graph.len();
        self.graph.push(Op::Variable(number), &[self.id], &[], Location::caller())
    }
    /// The same numbers, but without a gradient.
    #[track_caller]
    pub fn stop_gradient(&self) -> Tensor {
        Tensor::push(Op::StopGradient, &[self], &[])
    }

    /// `self` repeated to `shape`.
    #[track_caller]
    pub fn broadcast_to(&self, shape: &[usize]) -> Tensor {
        Tensor::push(Op::Broadcast, &[self], shape)
    }
    /// The same elements, row-major, in `shape`.
    #[track_caller]
    pub fn reshape(&self, shape: &[usize]) -> Tensor {
        Tensor::push(Op::Reshape, &[self], shape)
    }
    /// Keeps axis 0 and flattens the others into one: `[rows, …]` becomes `[rows, size]`.
    #[track_caller]
    pub fn flatten_rows(&self) -> Tensor {
        let shape = self.shape();
        match shape.split_first() {
            Some((&n, rest)) => self.reshape(&[n, rest.iter().product()]),
            None => self.reshape(&[1, 1]),
        }
    }
    /// Reorders the axes: axis `i` of the result is axis `axes[i]` of `self`.
    #[track_caller]
    pub fn permute(&self, axes: &[usize]) -> Tensor {
        Tensor::push(Op::Permute(axes.to_vec()), &[self], &[])
    }
    /// Swaps the last two axes.
    #[track_caller]
    pub fn transpose(&self) -> Tensor {
        let rank = self.rank();
        if rank < 2 {
            self.graph.fail("transpose", "at least two axes", format!("{:?}", self.shape()));
            return self.clone();
        }
        let mut axes: Vec<usize> = (0..rank).collect();
        axes.swap(rank - 2, rank - 1);
        self.permute(&axes)
    }
    /// The part `start..start + length` of `axis`.
    #[track_caller]
    pub fn slice(&self, axis: isize, start: usize, length: usize) -> Tensor {
        let axis = self.axis(axis, "slice");
        let mut shape = self.shape();
        if let Some(d) = shape.get_mut(axis) {
            *d = length;
        }
        Tensor::push(Op::Slice { axis, start }, &[self], &shape)
    }
    /// Pads `axis` with zeros, `before` and `after`.
    #[track_caller]
    pub fn pad(&self, axis: isize, before: usize, after: usize) -> Tensor {
        let axis = self.axis(axis, "pad");
        let mut shape = self.shape();
        if let Some(d) = shape.get_mut(axis) {
            *d = d.saturating_add(before).saturating_add(after);
        }
        Tensor::push(Op::Pad { axis, start: before }, &[self], &shape)
    }
    /// Concatenates `tensors` along `axis`. Returns `None` if there are none.
    #[track_caller]
    pub fn concat(tensors: &[&Tensor], axis: isize) -> Option<Tensor> {
        let first = tensors.first()?;
        let axis = first.axis(axis, "concat");
        Some(Tensor::push(Op::Concat { axis }, tensors, &[]))
    }

    #[track_caller]
    fn reduce(&self, reduction: Reduction, axes: &[isize], keep: bool) -> Tensor {
        let op = |axes: &[usize]| Op::Reduce { reduction, axes: axes.to_vec() };
        let name = op(&[]).name();
        let mut known = vec![];
        // A closure would not be `track_caller`, and errors would not be reported at this function's caller.
        for &axis in axes {
            known.push(self.axis(axis, &name));
        }
        let mut axes = known;
        axes.sort_unstable();
        axes.dedup();
        let reduced = Tensor::push(op(&axes), &[self], &[]);
        if keep {
            return reduced;
        }
        let shape = reduced.shape().into_iter().enumerate().filter(|(i, _)| !axes.contains(i));
        reduced.reshape(&shape.map(|(_, d)| d).collect::<Vec<_>>())
    }
    fn all_axes(&self) -> Vec<isize> {
        (0..self.rank() as isize).collect()
    }
    /// The sum of all elements, a scalar.
    #[track_caller]
    pub fn sum(&self) -> Tensor {
        self.reduce(Reduction::Sum, &self.all_axes(), false)
    }
    /// The mean of all elements, a scalar.
    #[track_caller]
    pub fn mean(&self) -> Tensor {
        self.sum() * (1.0 / self.shape().iter().product::<usize>() as f64)
    }
    /// The sum along `axes`, which are dropped.
    #[track_caller]
    pub fn sum_axes(&self, axes: &[isize]) -> Tensor {
        self.reduce(Reduction::Sum, axes, false)
    }
    /// The sum along `axes`, which are kept with length 1.
    #[track_caller]
    pub fn sum_keep(&self, axes: &[isize]) -> Tensor {
        self.reduce(Reduction::Sum, axes, true)
    }
    /// The mean along `axes`, which are kept with length 1.
    #[track_caller]
    pub fn mean_keep(&self, axes: &[isize]) -> Tensor {
        let sum = self.sum_keep(axes);
        let count = self.shape().iter().product::<usize>() / sum.shape().iter().product::<usize>().max(1);
        sum * (1.0 / count as f64)
    }
    /// The maximum along `axes`, which are kept with length 1.
    #[track_caller]
    pub fn max_keep(&self, axes: &[isize]) -> Tensor {
        self.reduce(Reduction::Max, axes, true)
    }

    /// `x − log Σ eˣ` along `axis`, without overflow for large `x`.
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Tensor {
        let shifted = self - self.max_keep(&[axis]).stop_gradient();
        let log_sum = shifted.exp().sum_keep(&[axis]).log();
        shifted - log_sum
    }
    /// `eˣ / Σ eˣ` along `axis`, without overflow for large `x`.
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Tensor {
        let exp = (self - self.max_keep(&[axis]).stop_gradient()).exp();
        &exp / exp.sum_keep(&[axis])
    }
    /// `(x − mean)/√(variance + eps)` along the last axis. The caller applies scale and shift.
    #[track_caller]
    pub fn layer_norm(&self, eps: f64) -> Tensor {
        let centered = self - self.mean_keep(&[-1]);
        let variance = centered.square().mean_keep(&[-1]);
        centered / (variance + eps).sqrt()
    }

    /// The matrix product over the last two axes. `other` may have rank 2 if `self` has more axes.
    #[track_caller]
    pub fn matmul(&self, other: &Tensor) -> Tensor {
        let (a, b) = (self.shape(), other.shape());
        if a.len() > 2 && b.len() == 2 {
            let inner = a[a.len() - 1];
            let rows: usize = a[..a.len() - 1].iter().product();
            let flat = self.reshape(&[rows, inner]);
            let product = Tensor::push(Op::MatMul, &[&flat, other], &[]);
            let mut shape = a;
            shape.pop();
            shape.push(b[1]);
            return product.reshape(&shape);
        }
        Tensor::push(Op::MatMul, &[self, other], &[])
    }

    /// The cross-correlation of `self` `[N, C, H, W]` with `weight` `[O, C, kh, kw]`.
    #[track_caller]
    pub fn conv2d(&self, weight: &Tensor, stride: usize, padding: usize) -> Tensor {
        let shape = weight.shape();
        let kernel = match shape[..] {
            [_, _, h, w] => [h, w],
            _ => [0, 0],
        };
        let window = self.window(kernel, stride, padding);
        Tensor::push(Op::Conv2d(window), &[self, weight], &[])
    }
    /// The mean of each `kernel × kernel` window of `[N, C, H, W]`, including its padding.
    #[track_caller]
    pub fn avg_pool2d(&self, kernel: usize, stride: usize, padding: usize) -> Tensor {
        let window = self.window([kernel; 2], stride, padding);
        Tensor::push(Op::AvgPool2d(window), &[self], &[])
    }
    /// The maximum of each `kernel × kernel` window of `[N, C, H, W]`.
    #[track_caller]
    pub fn max_pool2d(&self, kernel: usize, stride: usize, padding: usize) -> Tensor {
        let window = self.window([kernel; 2], stride, padding);
        let index = Tensor::push(Op::MaxPool2dIndex(window), &[self], &[]);
        let (from, to) = (self.shape(), index.shape());
        let (&[n, c, h, w], &[_, _, oh, ow]) = (&from[..], &to[..]) else {
            return self.clone();
        };
        let picked = self.reshape(&[n, c, h * w]).gather(2, &index.reshape(&[n, c, oh * ow]));
        picked.reshape(&[n, c, oh, ow])
    }

    /// A window over this tensor. A stride larger than the padded tensor has the tensor's size: the result is the same, and
    /// devices can compute with it.
    fn window(&self, kernel: [usize; 2], stride: usize, padding: usize) -> Window {
        let size = match self.shape()[..] {
            [_, _, height, width] => [height, width],
            _ => [0, 0],
        };
        let stride = size.map(|size| stride.min(padding.saturating_mul(2).saturating_add(size)));
        Window { kernel, stride, padding: [padding; 2] }
    }

    /// The elements at `index` along `axis`. The other axes of both are equal.
    #[track_caller]
    pub fn gather(&self, axis: isize, index: &Tensor) -> Tensor {
        let axis = self.axis(axis, "gather");
        Tensor::push(Op::Gather { axis }, &[self, index], &[])
    }
    /// Adds `self` at `index` along `axis` to zeros, whose length along `axis` is `length`.
    #[track_caller]
    pub fn scatter(&self, axis: isize, index: &Tensor, length: usize) -> Tensor {
        let axis = self.axis(axis, "scatter");
        let mut shape = self.shape();
        if let Some(d) = shape.get_mut(axis) {
            *d = length;
        }
        Tensor::push(Op::Scatter { axis }, &[self, index], &shape)
    }
    /// Adds a last axis of length `classes`: 1 at the index, 0 elsewhere.
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Tensor {
        let mut shape = self.shape();
        shape.push(classes);
        Tensor::push(Op::OneHot, &[self], &shape)
    }
}

impl ops::Neg for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        self.unary(Unary::Neg)
    }
}
impl ops::Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        self.unary(Unary::Neg)
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident, $op:expr) => {
        impl ops::$trait<&Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                self.binary($op, other)
            }
        }
        impl ops::$trait<Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                self.binary($op, &other)
            }
        }
        impl ops::$trait<&Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                self.binary($op, other)
            }
        }
        impl ops::$trait<Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                self.binary($op, &other)
            }
        }
        impl ops::$trait<f64> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: f64) -> Tensor {
                self.scalar($op, other)
            }
        }
        impl ops::$trait<f64> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: f64) -> Tensor {
                self.scalar($op, other)
            }
        }
    };
}
operator!(Add, add, Binary::Add);
operator!(Sub, sub, Binary::Sub);
operator!(Mul, mul, Binary::Mul);
operator!(Div, div, Binary::Div);
