//! The differentiable graph that learners and objectives build, through tensors that stand for its nodes.
use std::borrow::Borrow;
use std::ops;
use std::panic::Location;

use potstill_plugin_api::abi::GraphOp;

#[cfg(all(target_family = "wasm", not(feature = "linked")))]
use crate::guest::tracing as host;
#[cfg(any(not(target_family = "wasm"), feature = "linked"))]
use crate::native::tracing as host;

/// A node of the graph. It has a shape, but no values until the host runs the graph.
///
/// A tensor is valid only during the call that created or received it. Arithmetic broadcasts as in NumPy, and negative
/// axes count from the last. A mistake, such as shapes that do not match or an axis out of range, makes the call fail
/// with an error that names the operation, what it expected and what it got.
#[derive(Clone, Debug)]
pub struct Tensor(pub(crate) host::Handle);

/// Adds an operation to the graph. `potstill.h` documents the `integers` and `numbers` of each operation.
#[track_caller]
fn operation(op: GraphOp, inputs: &[&Tensor], integers: &[i64], numbers: &[f64]) -> Tensor {
    Tensor(host::operation(op, inputs, integers, numbers, Location::caller()))
}

fn dimensions(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&d| d as i64).collect()
}

fn axes(axes: &[isize]) -> Vec<i64> {
    axes.iter().map(|&a| a as i64).collect()
}

/// Returns the gradients of the scalar `loss` with respect to each tensor of `wrt`, in the same shapes. Each tensor of
/// `wrt` must come from the host or be a [`Tensor::variable`]. The gradient is zero for a tensor that `loss` does not
/// depend on. Gradients are ordinary nodes, so they can be differentiated again.
#[track_caller]
pub fn grad(loss: &Tensor, wrt: &[Tensor]) -> Vec<Tensor> {
    host::gradients(loss, wrt, Location::caller()).into_iter().map(Tensor).collect()
}

macro_rules! elementwise {
    ($($(#[$meta:meta])* $name:ident $op:ident),* $(,)?) => {
        $($(#[$meta])*
        #[track_caller]
        pub fn $name(&self) -> Tensor {
            operation(GraphOp::$op, &[self], &[], &[])
        })*
    };
}

macro_rules! of_two {
    ($($(#[$meta:meta])* $name:ident $op:ident),* $(,)?) => {
        $($(#[$meta])*
        #[track_caller]
        pub fn $name(&self, other: &Tensor) -> Tensor {
            operation(GraphOp::$op, &[self, other], &[], &[])
        })*
    };
}

impl From<f64> for Tensor {
    #[track_caller]
    fn from(value: f64) -> Tensor {
        Tensor::constant(value)
    }
}

impl Tensor {
    /// Makes a scalar, `[]`.
    #[track_caller]
    pub fn constant(value: f64) -> Tensor {
        operation(GraphOp::Constant, &[], &[], &[value])
    }

    /// Makes a tensor of `shape` whose elements are all `value`.
    #[track_caller]
    pub fn full(value: f64, shape: &[usize]) -> Tensor {
        Tensor::constant(value).broadcast_to(shape)
    }

    /// Makes a tensor of `shape` from its elements in row-major order.
    #[track_caller]
    pub fn values(values: &[f64], shape: &[usize]) -> Tensor {
        operation(GraphOp::Values, &[], &dimensions(shape), values)
    }

    /// Makes a tensor of indices from its elements in row-major order, for [`Tensor::gather`] and similar operations.
    #[track_caller]
    pub fn indices(indices: &[u32], shape: &[usize]) -> Tensor {
        let numbers: Vec<f64> = indices.iter().map(|&i| f64::from(i)).collect();
        operation(GraphOp::Indices, &[], &dimensions(shape), &numbers)
    }

    /// Returns the dimensions.
    pub fn shape(&self) -> Vec<usize> {
        host::shape(self)
    }

    elementwise! {
        /// Computes `eˣ` elementwise.
        exp Exponential,
        /// Computes the natural logarithm elementwise.
        log Logarithm,
        /// Computes `√x` elementwise.
        sqrt SquareRoot,
        /// Computes `x²` elementwise.
        square Square,
        /// Computes `|x|` elementwise.
        abs Absolute,
        /// Computes the sign elementwise: −1, 0 or 1. No gradient flows through it.
        sign Sign,
        /// Computes `1/x` elementwise.
        recip Reciprocal,
        /// Computes the hyperbolic tangent elementwise.
        tanh Tanh,
        /// Computes `1/(1 + e⁻ˣ)` elementwise.
        sigmoid Sigmoid,
        /// Computes `max(x, 0)` elementwise.
        relu Relu,
        /// Computes `x·Φ(x)` elementwise, with the normal distribution function Φ.
        gelu Gelu,
        /// Computes the error function elementwise.
        erf ErrorFunction,
        /// Returns the same value, through which no gradient flows.
        stop_gradient StopGradient,
        /// Returns the same value as a tensor that gradients can be taken with respect to. [`grad`] needs this for a
        /// computed tensor, because the graph may simplify intermediate results away.
        variable Variable,
    }

    /// Computes `xᵖ` elementwise.
    #[track_caller]
    pub fn powf(&self, p: f64) -> Tensor {
        operation(GraphOp::Power, &[self], &[], &[p])
    }

    of_two! {
        /// Computes the elementwise maximum.
        max Maximum,
        /// Computes the elementwise minimum.
        min Minimum,
        /// Is 1 where `self < other`, else 0. No gradient flows through it.
        less Less,
        /// Is 1 where `self ≤ other`, else 0. No gradient flows through it.
        less_equal LessEqual,
        /// Is 1 where the elements are equal, else 0. No gradient flows through it.
        equal Equal,
        /// Computes the matrix product `[…, m, k] × […, k, n] → […, m, n]`. Leading axes broadcast.
        matmul Matmul,
    }

    /// Limits every element to `low..=high`.
    #[track_caller]
    pub fn clamp(&self, low: f64, high: f64) -> Tensor {
        self.max(&Tensor::constant(low)).min(&Tensor::constant(high))
    }

    /// Takes the elements of `a` where `self` is not 0, else those of `b`.
    #[track_caller]
    pub fn select(&self, a: &Tensor, b: &Tensor) -> Tensor {
        operation(GraphOp::Select, &[self, a, b], &[], &[])
    }

    /// Broadcasts to `shape`.
    #[track_caller]
    pub fn broadcast_to(&self, shape: &[usize]) -> Tensor {
        operation(GraphOp::Broadcast, &[self], &dimensions(shape), &[])
    }

    /// Returns the same elements in another shape.
    #[track_caller]
    pub fn reshape(&self, shape: &[usize]) -> Tensor {
        operation(GraphOp::Reshape, &[self], &dimensions(shape), &[])
    }

    /// Flattens all axes but the first: `[batch, …]` becomes `[batch, size]`.
    #[track_caller]
    pub fn flatten_rows(&self) -> Tensor {
        let shape = self.shape();
        let rows = shape.first().copied().unwrap_or(1);
        self.reshape(&[rows, shape.iter().skip(1).product()])
    }

    /// Permutes the axes: axis `i` of the result is axis `order[i]` of `self`.
    #[track_caller]
    pub fn permute(&self, order: &[usize]) -> Tensor {
        operation(GraphOp::Permute, &[self], &dimensions(order), &[])
    }

    /// Swaps the last two axes.
    #[track_caller]
    pub fn transpose(&self) -> Tensor {
        let rank = self.shape().len();
        let mut order: Vec<usize> = (0..rank).collect();
        if rank >= 2 {
            order.swap(rank - 1, rank - 2);
        }
        self.permute(&order)
    }

    /// Takes `start..start + length` along `axis`.
    #[track_caller]
    pub fn slice(&self, axis: isize, start: usize, length: usize) -> Tensor {
        operation(GraphOp::Slice, &[self], &[axis as i64, start as i64, length as i64], &[])
    }

    /// Pads `axis` with `before` zeros in front and `after` zeros behind.
    #[track_caller]
    pub fn pad(&self, axis: isize, before: usize, after: usize) -> Tensor {
        operation(GraphOp::Pad, &[self], &[axis as i64, before as i64, after as i64], &[])
    }

    /// Concatenates tensors along `axis`.
    #[track_caller]
    pub fn concat(tensors: &[&Tensor], axis: isize) -> Tensor {
        operation(GraphOp::Concat, tensors, &[axis as i64], &[])
    }

    /// Computes the sum of all elements, a scalar.
    #[track_caller]
    pub fn sum(&self) -> Tensor {
        operation(GraphOp::Sum, &[self], &[], &[0.0])
    }

    /// Computes the mean of all elements, a scalar.
    #[track_caller]
    pub fn mean(&self) -> Tensor {
        operation(GraphOp::Mean, &[self], &[], &[0.0])
    }

    /// Computes the sum over `axes` and removes them.
    #[track_caller]
    pub fn sum_axes(&self, axes: &[isize]) -> Tensor {
        operation(GraphOp::Sum, &[self], &self::axes(axes), &[0.0])
    }

    /// Computes the sum over `axes`, which stay with length 1.
    #[track_caller]
    pub fn sum_keep(&self, axes: &[isize]) -> Tensor {
        operation(GraphOp::Sum, &[self], &self::axes(axes), &[1.0])
    }

    /// Computes the mean over `axes`, which stay with length 1.
    #[track_caller]
    pub fn mean_keep(&self, axes: &[isize]) -> Tensor {
        operation(GraphOp::Mean, &[self], &self::axes(axes), &[1.0])
    }

    /// Computes the maximum over `axes`, which stay with length 1.
    #[track_caller]
    pub fn max_keep(&self, axes: &[isize]) -> Tensor {
        operation(GraphOp::MaximumOver, &[self], &self::axes(axes), &[1.0])
    }

    /// Computes the logarithm of the softmax over `axis`, without overflow.
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Tensor {
        operation(GraphOp::LogSoftmax, &[self], &[axis as i64], &[])
    }

    /// Computes the softmax over `axis`, without overflow.
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Tensor {
        operation(GraphOp::Softmax, &[self], &[axis as i64], &[])
    }

    /// Normalizes the last axis to mean 0 and standard deviation 1, without a learned scale and shift.
    #[track_caller]
    pub fn layer_norm(&self, eps: f64) -> Tensor {
        operation(GraphOp::LayerNorm, &[self], &[], &[eps])
    }

    /// Computes the cross-correlation of `[N, C, H, W]` with `weight` `[O, C, h, w]`, as `torch.nn.functional.conv2d`.
    #[track_caller]
    pub fn conv2d(&self, weight: &Tensor, stride: usize, padding: usize) -> Tensor {
        operation(GraphOp::Conv2d, &[self, weight], &[stride as i64, padding as i64], &[])
    }

    /// Computes the mean of square windows of `[N, C, H, W]`. The zeros of the padding count.
    #[track_caller]
    pub fn avg_pool2d(&self, kernel: usize, stride: usize, padding: usize) -> Tensor {
        operation(GraphOp::AveragePool, &[self], &[kernel as i64, stride as i64, padding as i64], &[])
    }

    /// Computes the maximum of square windows of `[N, C, H, W]`.
    #[track_caller]
    pub fn max_pool2d(&self, kernel: usize, stride: usize, padding: usize) -> Tensor {
        operation(GraphOp::MaximumPool, &[self], &[kernel as i64, stride as i64, padding as i64], &[])
    }

    /// Gathers the elements at `index` along `axis`. All other axes of `self` and `index` must have equal lengths.
    #[track_caller]
    pub fn gather(&self, axis: isize, index: &Tensor) -> Tensor {
        operation(GraphOp::Gather, &[self, index], &[axis as i64], &[])
    }

    /// Adds each element at its position `index` along `axis` of a zero tensor, whose `axis` has `length`. This is the
    /// transpose of [`Tensor::gather`].
    #[track_caller]
    pub fn scatter(&self, axis: isize, index: &Tensor, length: usize) -> Tensor {
        operation(GraphOp::ScatterAdd, &[self, index], &[axis as i64, length as i64], &[])
    }

    /// Turns indices `[…]` into one-hot rows `[…, classes]`: 1 at the index, else 0.
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Tensor {
        operation(GraphOp::OneHot, &[self], &[classes as i64], &[])
    }
}

macro_rules! operator {
    ($trait:ident $method:ident) => {
        operator!(of $trait $method, &Tensor, &Tensor);
        operator!(of $trait $method, &Tensor, Tensor);
        operator!(of $trait $method, Tensor, &Tensor);
        operator!(of $trait $method, Tensor, Tensor);
        operator!(number $trait $method, &Tensor);
        operator!(number $trait $method, Tensor);
    };
    (of $trait:ident $method:ident, $left:ty, $right:ty) => {
        impl ops::$trait<$right> for $left {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, right: $right) -> Tensor {
                let inputs: [&Tensor; 2] = [self.borrow(), right.borrow()];
                operation(GraphOp::$trait, &inputs, &[], &[])
            }
        }
    };
    (number $trait:ident $method:ident, $tensor:ty) => {
        impl ops::$trait<f64> for $tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, right: f64) -> Tensor {
                let inputs: [&Tensor; 2] = [self.borrow(), &Tensor::constant(right)];
                operation(GraphOp::$trait, &inputs, &[], &[])
            }
        }
        impl ops::$trait<$tensor> for f64 {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, right: $tensor) -> Tensor {
                let inputs: [&Tensor; 2] = [&Tensor::constant(self), right.borrow()];
                operation(GraphOp::$trait, &inputs, &[], &[])
            }
        }
    };
}

operator!(Add add);
operator!(Sub sub);
operator!(Mul mul);
operator!(Div div);

macro_rules! negation {
    ($tensor:ty) => {
        impl ops::Neg for $tensor {
            type Output = Tensor;
            #[track_caller]
            fn neg(self) -> Tensor {
                let input: &Tensor = self.borrow();
                operation(GraphOp::Negate, &[input], &[], &[])
            }
        }
    };
}

negation!(&Tensor);
negation!(Tensor);
