//! The differentiable graph, as learners and objectives describe it.
use std::borrow::Borrow;
use std::ops;
use std::panic::Location;

use potstill_plugin_api::abi::GraphOp;

#[cfg(all(target_family = "wasm", not(feature = "linked")))]
use crate::guest::tracing as host;
#[cfg(any(not(target_family = "wasm"), feature = "linked"))]
use crate::native::tracing as host;

/// A value of the graph: it has a shape, and no numbers until the host runs the graph.
///
/// It means something only during the call in which it was made or given. Arithmetic broadcasts as NumPy's does; axes
/// may be negative, counting from the last. A mistake (shapes that do not fit, an axis out of range) ends the call
/// with an error that names the operation, what it expected and what it got.
#[derive(Clone, Debug)]
pub struct Tensor(pub(crate) host::Handle);

/// Adds an operation. `integers` and `numbers` are what `potstill.h` says of each operation.
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

/// Gradients of the scalar `loss` with respect to each of `wrt` (tensors that the host gave, or a
/// [`Tensor::variable`]), shaped like them; zeros where it does not depend on one. They are nodes like any other: gradients of gradients are written the same way.
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
    /// A scalar.
    #[track_caller]
    pub fn constant(value: f64) -> Tensor {
        operation(GraphOp::Constant, &[], &[], &[value])
    }

    /// `value` everywhere.
    #[track_caller]
    pub fn full(value: f64, shape: &[usize]) -> Tensor {
        Tensor::constant(value).broadcast_to(shape)
    }

    /// An array of numbers, row by row.
    #[track_caller]
    pub fn values(values: &[f64], shape: &[usize]) -> Tensor {
        operation(GraphOp::Values, &[], &dimensions(shape), values)
    }

    /// An array of indices, row by row, for [`Tensor::gather`] and its like.
    #[track_caller]
    pub fn indices(indices: &[u32], shape: &[usize]) -> Tensor {
        let numbers: Vec<f64> = indices.iter().map(|&i| f64::from(i)).collect();
        operation(GraphOp::Indices, &[], &dimensions(shape), &numbers)
    }

    /// Dimensions.
    pub fn shape(&self) -> Vec<usize> {
        host::shape(self)
    }

    elementwise! {
        /// `eˣ`.
        exp Exponential,
        /// Natural logarithm.
        log Logarithm,
        /// `√x`.
        sqrt SquareRoot,
        /// `x²`.
        square Square,
        /// `|x|`.
        abs Absolute,
        /// −1, 0 or 1; no gradient.
        sign Sign,
        /// `1/x`.
        recip Reciprocal,
        /// Hyperbolic tangent.
        tanh Tanh,
        /// `1/(1 + e⁻ˣ)`.
        sigmoid Sigmoid,
        /// `max(x, 0)`.
        relu Relu,
        /// `x·Φ(x)`.
        gelu Gelu,
        /// Error function.
        erf ErrorFunction,
        /// The same value, through which no gradient flows.
        stop_gradient StopGradient,
        /// The same value, as something that gradients can be taken with respect to: what was computed needs it,
        /// because the graph simplifies across what nobody names.
        variable Variable,
    }

    /// `xᵖ`.
    #[track_caller]
    pub fn powf(&self, p: f64) -> Tensor {
        operation(GraphOp::Power, &[self], &[], &[p])
    }

    of_two! {
        /// The larger, elementwise.
        max Maximum,
        /// The smaller, elementwise.
        min Minimum,
        /// 1 where `self < other`, else 0; no gradient.
        less Less,
        /// 1 where `self ≤ other`, else 0; no gradient.
        less_equal LessEqual,
        /// 1 where they are equal, else 0; no gradient.
        equal Equal,
        /// `[…, m, k] × […, k, n] → […, m, n]`; leading axes broadcast.
        matmul Matmul,
    }

    /// Limited to `low..=high`.
    #[track_caller]
    pub fn clamp(&self, low: f64, high: f64) -> Tensor {
        self.max(&Tensor::constant(low)).min(&Tensor::constant(high))
    }

    /// `a` where `self` is not 0, else `b`.
    #[track_caller]
    pub fn select(&self, a: &Tensor, b: &Tensor) -> Tensor {
        operation(GraphOp::Select, &[self, a, b], &[], &[])
    }

    /// Repeated to `shape`.
    #[track_caller]
    pub fn broadcast_to(&self, shape: &[usize]) -> Tensor {
        operation(GraphOp::Broadcast, &[self], &dimensions(shape), &[])
    }

    /// The same elements in another shape.
    #[track_caller]
    pub fn reshape(&self, shape: &[usize]) -> Tensor {
        operation(GraphOp::Reshape, &[self], &dimensions(shape), &[])
    }

    /// `[batch, …]` to `[batch, everything else]`.
    #[track_caller]
    pub fn flatten_rows(&self) -> Tensor {
        let shape = self.shape();
        let rows = shape.first().copied().unwrap_or(1);
        self.reshape(&[rows, shape.iter().skip(1).product()])
    }

    /// Axis `i` of the result is axis `order[i]`.
    #[track_caller]
    pub fn permute(&self, order: &[usize]) -> Tensor {
        operation(GraphOp::Permute, &[self], &dimensions(order), &[])
    }

    /// The last two axes exchanged.
    #[track_caller]
    pub fn transpose(&self) -> Tensor {
        let rank = self.shape().len();
        let mut order: Vec<usize> = (0..rank).collect();
        if rank >= 2 {
            order.swap(rank - 1, rank - 2);
        }
        self.permute(&order)
    }

    /// `start..start + length` of `axis`.
    #[track_caller]
    pub fn slice(&self, axis: isize, start: usize, length: usize) -> Tensor {
        operation(GraphOp::Slice, &[self], &[axis as i64, start as i64, length as i64], &[])
    }

    /// Zeros before and after along `axis`.
    #[track_caller]
    pub fn pad(&self, axis: isize, before: usize, after: usize) -> Tensor {
        operation(GraphOp::Pad, &[self], &[axis as i64, before as i64, after as i64], &[])
    }

    /// One after the other along `axis`.
    #[track_caller]
    pub fn concat(tensors: &[&Tensor], axis: isize) -> Tensor {
        operation(GraphOp::Concat, tensors, &[axis as i64], &[])
    }

    /// The sum of all elements, a scalar.
    #[track_caller]
    pub fn sum(&self) -> Tensor {
        operation(GraphOp::Sum, &[self], &[], &[0.0])
    }

    /// The mean of all elements, a scalar.
    #[track_caller]
    pub fn mean(&self) -> Tensor {
        operation(GraphOp::Mean, &[self], &[], &[0.0])
    }

    /// The sum over `axes`, which go.
    #[track_caller]
    pub fn sum_axes(&self, axes: &[isize]) -> Tensor {
        operation(GraphOp::Sum, &[self], &self::axes(axes), &[0.0])
    }

    /// The sum over `axes`, which stay with length 1.
    #[track_caller]
    pub fn sum_keep(&self, axes: &[isize]) -> Tensor {
        operation(GraphOp::Sum, &[self], &self::axes(axes), &[1.0])
    }

    /// The mean over `axes`, which stay with length 1.
    #[track_caller]
    pub fn mean_keep(&self, axes: &[isize]) -> Tensor {
        operation(GraphOp::Mean, &[self], &self::axes(axes), &[1.0])
    }

    /// The maximum over `axes`, which stay with length 1.
    #[track_caller]
    pub fn max_keep(&self, axes: &[isize]) -> Tensor {
        operation(GraphOp::MaximumOver, &[self], &self::axes(axes), &[1.0])
    }

    /// Over `axis`, without overflow.
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Tensor {
        operation(GraphOp::LogSoftmax, &[self], &[axis as i64], &[])
    }

    /// Over `axis`, without overflow.
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Tensor {
        operation(GraphOp::Softmax, &[self], &[axis as i64], &[])
    }

    /// Mean 0 and deviation 1 over the last axis, without scale and shift.
    #[track_caller]
    pub fn layer_norm(&self, eps: f64) -> Tensor {
        operation(GraphOp::LayerNorm, &[self], &[], &[eps])
    }

    /// Cross-correlation of `[N, C, H, W]` with `weight` `[O, C, h, w]`.
    #[track_caller]
    pub fn conv2d(&self, weight: &Tensor, stride: usize, padding: usize) -> Tensor {
        operation(GraphOp::Conv2d, &[self, weight], &[stride as i64, padding as i64], &[])
    }

    /// Mean of square windows of `[N, C, H, W]`, padding counted.
    #[track_caller]
    pub fn avg_pool2d(&self, kernel: usize, stride: usize, padding: usize) -> Tensor {
        operation(GraphOp::AveragePool, &[self], &[kernel as i64, stride as i64, padding as i64], &[])
    }

    /// Maximum of square windows of `[N, C, H, W]`.
    #[track_caller]
    pub fn max_pool2d(&self, kernel: usize, stride: usize, padding: usize) -> Tensor {
        operation(GraphOp::MaximumPool, &[self], &[kernel as i64, stride as i64, padding as i64], &[])
    }

    /// Elements at `index` along `axis`; the other axes are equal.
    #[track_caller]
    pub fn gather(&self, axis: isize, index: &Tensor) -> Tensor {
        operation(GraphOp::Gather, &[self, index], &[axis as i64], &[])
    }

    /// Adds the elements at `index` along `axis` into zeros of `length` there: the transpose of [`Tensor::gather`].
    #[track_caller]
    pub fn scatter(&self, axis: isize, index: &Tensor, length: usize) -> Tensor {
        operation(GraphOp::ScatterAdd, &[self, index], &[axis as i64, length as i64], &[])
    }

    /// Indices `[…]` to `[…, classes]`: 1 at the index, else 0.
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
