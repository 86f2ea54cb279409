//! Computes every operation of the graph with burn's backend primitives.
use burn_backend::ops::ConvOptions;
use burn_backend::tensor::{BoolTensor, Device, FloatTensor, IntTensor};
use burn_backend::{
    Backend, FloatDType, IntDType, Scalar, Shape, Slice, TensorData, TensorMetadata, get_device_settings,
};

use super::kernel::{Function, Kernel, Operand};
use super::plan::Constant;
use crate::graph::{Binary, DType, Op, Reduction, Unary, Window};

/// A tensor that a run computes.
#[derive(Clone, Debug)]
pub(super) enum Value<B: Backend> {
    /// Floating-point numbers.
    Float(FloatTensor<B>),
    /// Indices.
    Int(IntTensor<B>),
}

/// The device and the precision that a plan runs on.
#[derive(Clone, Debug)]
pub(super) struct Context<B: Backend> {
    pub(super) device: Device<B>,
    pub(super) dtype: FloatDType,
}

/// A burn backend that can run plans. The defaults compute everything with burn's primitives; a backend overrides what
/// it does better or what burn does otherwise than a plan means.
pub(super) trait Execute: Backend {
    /// Runs a fused kernel over `shape` and returns its outputs.
    fn fused(
        kernel: &Kernel,
        shape: &[usize],
        inputs: &[&FloatTensor<Self>],
        context: &Context<Self>,
    ) -> Vec<FloatTensor<Self>> {
        fused_in_primitives::<Self>(kernel, shape, inputs, context)
    }

    /// Returns the same numbers in another shape.
    fn reshape(tensor: FloatTensor<Self>, shape: Shape) -> FloatTensor<Self> {
        Self::float_reshape(tensor, shape)
    }

    /// Reshapes indices, like [`Self::reshape`].
    fn reshape_int(tensor: IntTensor<Self>, shape: Shape) -> IntTensor<Self> {
        Self::int_reshape(tensor, shape)
    }

    /// Sums along `axis`, which is kept with length 1.
    fn sum(tensor: FloatTensor<Self>, axis: usize) -> FloatTensor<Self> {
        Self::float_sum_dim(tensor, axis)
    }

    /// Takes the maximum along `axis`, which is kept with length 1.
    fn max(tensor: FloatTensor<Self>, axis: usize) -> FloatTensor<Self> {
        Self::float_max_dim(tensor, axis)
    }

    /// Reduces `axes`, which are kept with length 1.
    fn reduce(reduction: Reduction, tensor: FloatTensor<Self>, axes: &[usize]) -> FloatTensor<Self> {
        axes.iter().fold(tensor, |tensor, &axis| match reduction {
            Reduction::Sum => Self::sum(tensor, axis),
            Reduction::Max => Self::max(tensor, axis),
        })
    }

    /// Multiplies matrices over the last two axes. The leading axes of both tensors are equal.
    fn matmul(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(a, b)
    }

    /// Convolves `x` `[n, c, h, w]` with `weight` `[o, c, kh, kw]`.
    fn convolve(x: FloatTensor<Self>, weight: FloatTensor<Self>, window: &Window) -> FloatTensor<Self> {
        Self::conv2d(x, weight, None, options(window))
    }

    /// The gradient of a convolution with respect to its input, which has this shape.
    fn convolve_input(
        gradient: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        window: &Window,
        shape: &[usize],
        context: &Context<Self>,
    ) -> FloatTensor<Self> {
        input_gradient::<Self>(gradient, weight, window, shape, context)
    }

    /// The gradient of a convolution with respect to its weight, which has this shape.
    fn convolve_weight(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        window: &Window,
        shape: &[usize],
        context: &Context<Self>,
    ) -> FloatTensor<Self> {
        weight_gradient::<Self>(x, gradient, window, shape, context)
    }

    /// For each window of `x` `[n, c, h, w]`, the position of its maximum in the flattened `h · w`.
    fn largest(x: FloatTensor<Self>, window: &Window) -> IntTensor<Self> {
        largest::<Self>(x, window)
    }

    /// The elements of `x` at `index` along `axis`.
    fn gather(x: FloatTensor<Self>, axis: usize, index: IntTensor<Self>) -> FloatTensor<Self> {
        Self::float_gather(axis, x, index)
    }

    /// Zeros of this shape, to which `y` is added at `index` along `axis`.
    fn scatter(
        y: FloatTensor<Self>,
        axis: usize,
        index: IntTensor<Self>,
        shape: &[usize],
        context: &Context<Self>,
    ) -> FloatTensor<Self> {
        scatter::<Self>(y, axis, index, shape, context)
    }
}

pub(super) fn options(window: &Window) -> ConvOptions<2> {
    ConvOptions::new(window.stride, window.padding, [1, 1], 1)
}

/// [`Execute::convolve_input`] with burn's primitives, which need the input for its shape only.
pub(super) fn input_gradient<B: Backend>(
    gradient: FloatTensor<B>,
    weight: FloatTensor<B>,
    window: &Window,
    shape: &[usize],
    context: &Context<B>,
) -> FloatTensor<B> {
    let x = B::float_empty(physical(shape), &context.device, context.dtype);
    B::conv2d_x_backward(x, weight, gradient, options(window))
}

/// [`Execute::convolve_weight`] with burn's primitives, which need the weight for its shape only.
pub(super) fn weight_gradient<B: Backend>(
    x: FloatTensor<B>,
    gradient: FloatTensor<B>,
    window: &Window,
    shape: &[usize],
    context: &Context<B>,
) -> FloatTensor<B> {
    let weight = B::float_empty(physical(shape), &context.device, context.dtype);
    B::conv2d_weight_backward(x, weight, gradient, options(window))
}

/// [`Execute::largest`] with burn's primitives.
pub(super) fn largest<B: Backend>(x: FloatTensor<B>, window: &Window) -> IntTensor<B> {
    let pooled = B::max_pool2d_with_indices(x, window.kernel, window.stride, window.padding, [1, 1], false);
    // A window of NaNs has no maximum, but its index must still be valid.
    B::int_clamp_min(pooled.indices, Scalar::Int(0))
}

/// [`Execute::scatter`] with burn's primitives.
pub(super) fn scatter<B: Backend>(
    y: FloatTensor<B>,
    axis: usize,
    index: IntTensor<B>,
    shape: &[usize],
    context: &Context<B>,
) -> FloatTensor<B> {
    let zeros = B::float_zeros(physical(shape), &context.device, context.dtype);
    B::float_scatter_add(axis, zeros, index, y)
}

/// The shape in which a backend stores a tensor. Backends have no rank 0, so a scalar is stored with shape `[1]`.
pub(super) fn physical(shape: &[usize]) -> Shape {
    if shape.is_empty() { Shape::from(vec![1]) } else { Shape::from(shape.to_vec()) }
}

pub(super) fn fused_in_primitives<B: Backend>(
    kernel: &Kernel,
    shape: &[usize],
    inputs: &[&FloatTensor<B>],
    context: &Context<B>,
) -> Vec<FloatTensor<B>> {
    let target = physical(shape);
    if shape.contains(&0) {
        let empty = |_| B::float_empty(target.clone(), &context.device, context.dtype);
        return (0..kernel.outputs).map(empty).collect();
    }
    let mut results: Vec<FloatTensor<B>> = Vec::with_capacity(kernel.instructions.len());
    let mut outputs = vec![];
    for instruction in &kernel.instructions {
        let operand = |o: Operand| match o {
            Operand::Load(i) => expand::<B>(inputs[i].clone(), &target),
            Operand::Result(r) => FloatTensor::<B>::clone(&results[r]),
            Operand::Constant(v) => {
                B::float_full(target.clone(), Scalar::Float(v), &context.device, context.dtype)
            }
        };
        let [a, b, c] = instruction.operands;
        let value = match instruction.function {
            Function::Unary(op) => unary::<B>(op, operand(a)),
            Function::Binary(op) => binary::<B>(op, operand(a), operand(b), context),
            Function::Select => {
                let mask = nonzero::<B>(operand(a), context);
                B::float_mask_where(operand(c), mask, operand(b))
            }
        };
        if instruction.output.is_some() {
            outputs.push(value.clone());
        }
        results.push(value);
    }
    outputs
}

fn expand<B: Backend>(tensor: FloatTensor<B>, target: &Shape) -> FloatTensor<B> {
    if tensor.shape() == *target { tensor } else { B::float_expand(tensor, target.clone()) }
}

fn nonzero<B: Backend>(x: FloatTensor<B>, context: &Context<B>) -> BoolTensor<B> {
    let out = get_device_settings::<B>(&context.device).bool_dtype;
    B::float_not_equal_elem(x, Scalar::Float(0.0), out)
}

fn unary<B: Backend>(op: Unary, x: FloatTensor<B>) -> FloatTensor<B> {
    match op {
        Unary::Neg => B::float_neg(x),
        Unary::Exp => B::float_exp(x),
        Unary::Log => B::float_log(x),
        Unary::Sqrt => B::float_sqrt(x),
        Unary::Abs => B::float_abs(x),
        Unary::Sign => B::float_sign(x),
        Unary::Recip => B::float_recip(x),
        Unary::Tanh => B::float_tanh(x),
        Unary::Sigmoid => B::sigmoid(x),
        Unary::Relu => B::relu(x),
        Unary::Erf => B::float_erf(x),
        Unary::Power(p) => B::float_powf_scalar(x, Scalar::Float(p.get())),
    }
}

fn binary<B: Backend>(
    op: Binary,
    a: FloatTensor<B>,
    b: FloatTensor<B>,
    context: &Context<B>,
) -> FloatTensor<B> {
    let out = get_device_settings::<B>(&context.device).bool_dtype;
    match op {
        Binary::Add => B::float_add(a, b),
        Binary::Sub => B::float_sub(a, b),
        Binary::Mul => B::float_mul(a, b),
        Binary::Div => B::float_div(a, b),
        Binary::Max => {
            let mask = B::float_lower(a.clone(), b.clone(), out);
            B::float_mask_where(a, mask, b)
        }
        Binary::Min => {
            let mask = B::float_lower(b.clone(), a.clone(), out);
            B::float_mask_where(a, mask, b)
        }
        Binary::Less => B::bool_into_float(B::float_lower(a, b, out), context.dtype),
        Binary::LessEqual => B::bool_into_float(B::float_lower_equal(a, b, out), context.dtype),
        Binary::Equal => B::bool_into_float(B::float_equal(a, b, out), context.dtype),
    }
}

/// Computes `op`. `shape` is the shape of the result; if that has rows, they are those of one shard.
pub(super) fn primitive<B: Execute>(
    op: &Op,
    shape: &[usize],
    inputs: &[&Value<B>],
    context: &Context<B>,
) -> Value<B> {
    // Devices refuse to launch on empty tensors. Sums over nothing, and whatever is computed from them, are 0.
    if shape.contains(&0) {
        let of_indices = match op {
            Op::Broadcast | Op::Reshape | Op::Permute(_) => matches!(inputs[0], Value::Int(_)),
            _ => matches!(op, Op::MaxPool2dIndex(_)),
        };
        let shape = physical(shape);
        return match of_indices {
            true => Value::Int(B::int_empty(shape, &context.device, IntDType::I32)),
            false => Value::Float(B::float_empty(shape, &context.device, context.dtype)),
        };
    }
    let zeros = |shape: &[usize]| B::float_zeros(physical(shape), &context.device, context.dtype);
    let float = |i: usize| match inputs[i] {
        Value::Float(t) => t.clone(),
        Value::Int(t) => B::int_into_float(t.clone(), context.dtype),
    };
    let empty = |value: &Value<B>| matches!(value, Value::Float(t) if t.shape().num_elements() == 0);
    if !matches!(op, Op::Concat { .. }) && empty(inputs[0]) {
        return Value::Float(zeros(shape));
    }
    let int = |i: usize| match inputs[i] {
        Value::Int(t) => t.clone(),
        Value::Float(_) => unreachable!("indices are checked when the graph is built"),
    };
    Value::Float(match op {
        Op::Input(_) | Op::Constant(_) | Op::Values(_) | Op::StopGradient | Op::Variable(_) => {
            unreachable!("not a step")
        }
        Op::Unary(op) => unary::<B>(*op, float(0)),
        Op::Binary(op) => binary::<B>(*op, float(0), float(1), context),
        Op::Select => {
            let mask = nonzero::<B>(float(0), context);
            B::float_mask_where(float(2), mask, float(1))
        }
        Op::Broadcast => match inputs[0] {
            Value::Int(t) => return Value::Int(B::int_expand(t.clone(), physical(shape))),
            Value::Float(t) => expand::<B>(t.clone(), &physical(shape)),
        },
        Op::Reshape => match inputs[0] {
            Value::Int(t) => return Value::Int(B::reshape_int(t.clone(), physical(shape))),
            Value::Float(t) => B::reshape(t.clone(), physical(shape)),
        },
        Op::Permute(axes) => match inputs[0] {
            Value::Int(t) => return Value::Int(B::int_permute(t.clone(), axes)),
            Value::Float(t) => B::float_permute(t.clone(), axes),
        },
        Op::Slice { axis, start } => {
            let slices: Vec<Slice> = shape
                .iter()
                .enumerate()
                .map(|(i, &n)| {
                    let start = if i == *axis { *start } else { 0 };
                    Slice::new(start as isize, Some((start + n) as isize), 1)
                })
                .collect();
            B::float_slice(float(0), &slices)
        }
        Op::Pad { axis, start } => {
            let x = float(0);
            let length = x.shape()[*axis];
            let mut parts = vec![];
            for n in [Some(*start), None, Some(shape[*axis] - start - length)] {
                match n {
                    None => parts.push(x.clone()),
                    Some(0) => {}
                    Some(n) => {
                        let mut border = shape.to_vec();
                        border[*axis] = n;
                        parts.push(zeros(&border));
                    }
                }
            }
            B::float_cat(parts, *axis)
        }
        Op::Concat { axis } => {
            B::float_cat((0..inputs.len()).map(float).filter(|t| t.shape()[*axis] > 0).collect(), *axis)
        }
        Op::Reduce { reduction, axes } => B::reduce(*reduction, float(0), axes),
        Op::MatMul => B::matmul(float(0), float(1)),
        Op::Conv2d(w) => B::convolve(float(0), float(1), w),
        Op::Conv2dInput(w) => B::convolve_input(float(0), float(1), w, shape, context),
        Op::Conv2dWeight(w) => B::convolve_weight(float(0), float(1), w, shape, context),
        Op::AvgPool2d(w) => B::avg_pool2d(float(0), w.kernel, w.stride, w.padding, true, false),
        Op::AvgPool2dInput(w) => {
            // burn needs the input only for its shape.
            let x = B::float_empty(physical(shape), &context.device, context.dtype);
            B::avg_pool2d_backward(x, float(0), w.kernel, w.stride, w.padding, true, false)
        }
        Op::MaxPool2dIndex(w) => return Value::Int(B::largest(float(0), w)),
        Op::Gather { axis } => B::gather(float(0), *axis, int(1)),
        Op::Scatter { axis } => B::scatter(float(0), *axis, int(1), shape, context),
        Op::OneHot => {
            let (&classes, rest) = shape.split_last().expect("a one-hot tensor has a last axis");
            let mut column = rest.to_vec();
            column.push(1);
            let index = B::reshape_int(int(0), physical(&column));
            let ones = B::float_ones(physical(&column), &context.device, context.dtype);
            let mut full = column.clone();
            full[rest.len()] = classes;
            B::float_scatter_add(rest.len(), zeros(&full), index, ones)
        }
    })
}

/// Uploads a constant of the plan to the device.
pub(super) fn constant<B: Backend>(constant: &Constant, context: &Context<B>) -> Value<B> {
    match constant {
        Constant::Scalar(value) => {
            let value = Scalar::Float(*value);
            Value::Float(B::float_full(physical(&[]), value, &context.device, context.dtype))
        }
        Constant::Array { values, shape, dtype: DType::Float } => {
            let data = match context.dtype {
                FloatDType::F64 => TensorData::new(values.clone(), physical(shape)),
                _ => TensorData::new(values.iter().map(|&v| v as f32).collect(), physical(shape)),
            };
            Value::Float(B::float_from_data(data, &context.device))
        }
        Constant::Array { values, shape, dtype: DType::Int } => {
            let data = TensorData::new(values.iter().map(|&v| v as i32).collect(), physical(shape));
            Value::Int(B::int_from_data(data, &context.device))
        }
    }
}

/// Combines the partial results of two shards.
pub(super) fn combine<B: Backend>(
    reduction: Reduction,
    a: FloatTensor<B>,
    b: FloatTensor<B>,
    context: &Context<B>,
) -> FloatTensor<B> {
    match reduction {
        Reduction::Sum => B::float_add(a, b),
        Reduction::Max => binary::<B>(Binary::Max, a, b, context),
    }
}
