//! The operations of the graph and their gradients.
use std::sync::Arc;

/// A number in a node. It is compared and hashed by its bits, so that equal nodes can be shared.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bits(u64);

impl Bits {
    /// Wraps `value`.
    pub fn new(value: f64) -> Self {
        Bits(value.to_bits())
    }

    /// The number.
    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl std::fmt::Debug for Bits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.get())
    }
}

/// An elementwise function of one tensor. Each variant gives the result `y`, then the gradient of `x` from `ȳ`, the
/// gradient of `y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// `−x`; `−ȳ`.
    Neg,
    /// `eˣ`; `ȳ·y`.
    Exp,
    /// The natural logarithm of `x`; `ȳ/x`.
    Log,
    /// `√x`; `ȳ/(2y)`.
    Sqrt,
    /// `|x|`; `ȳ·sign(x)`.
    Abs,
    /// The sign of `x`: −1, 0 or 1; no gradient.
    Sign,
    /// `1/x`; `−ȳ·y²`.
    Recip,
    /// The hyperbolic tangent of `x`; `ȳ·(1 − y²)`.
    Tanh,
    /// `1/(1 + e⁻ˣ)`; `ȳ·y·(1 − y)`.
    Sigmoid,
    /// `max(x, 0)`; `ȳ` where `x > 0`.
    Relu,
    /// The error function of `x`; `ȳ·2/√π·e^(−x²)`.
    Erf,
    /// `xᵖ` for a constant `p`; `ȳ·p·xᵖ⁻¹`.
    Power(Bits),
}

/// An elementwise function of two tensors of the same shape; the methods of [`super::Tensor`] broadcast them first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a − b`.
    Sub,
    /// `a · b`.
    Mul,
    /// `a / b`.
    Div,
    /// The larger of `a` and `b`; the gradient goes to `a` where `a ≥ b`, else to `b`.
    Max,
    /// The smaller of `a` and `b`; the gradient goes to `a` where `a ≤ b`, else to `b`.
    Min,
    /// 1 where `a < b`, else 0; no gradient.
    Less,
    /// 1 where `a ≤ b`, else 0; no gradient.
    LessEqual,
    /// 1 where `a = b`, else 0; no gradient.
    Equal,
}

/// How [`Op::Reduce`] combines elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// The sum; its gradient is broadcast back.
    Sum,
    /// The maximum; its gradient is shared equally among the elements that attain it.
    Max,
}

/// A sliding window over the last two axes of `[N, C, H, W]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// The height and width of the kernel, for pooling; a convolution takes them from its weight.
    pub kernel: [usize; 2],
    /// The step between windows, along the height and the width.
    pub stride: [usize; 2],
    /// The number of zeros added on both sides, along the height and the width.
    pub padding: [usize; 2],
}

impl Window {
    /// The height and width of the output for an input of height and width `size`, or `None` if the kernel does not
    /// fit.
    pub fn output(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let mut out = [0; 2];
        for i in 0..2 {
            let padded = self.padding[i].checked_mul(2)?.checked_add(size[i])?;
            if self.kernel[i] == 0 || self.stride[i] == 0 || padded < self.kernel[i] {
                return None;
            }
            out[i] = (padded - self.kernel[i]) / self.stride[i] + 1;
        }
        Some(out)
    }
}

/// What a node computes from its inputs. The result has the node's shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The graph's n-th input.
    Input(usize),
    /// A constant scalar.
    Constant(Bits),
    /// A constant array, row-major, of numbers or of indices.
    Values(Arc<[Bits]>),
    /// An elementwise function of one tensor.
    Unary(Unary),
    /// An elementwise function of two tensors.
    Binary(Binary),
    /// `(mask, a, b)`: `a` where `mask ≠ 0`, else `b`. The mask has no gradient.
    Select,
    /// The input, but without a gradient.
    StopGradient,
    /// The input as a variable. No simplification bypasses it, so that gradients can be taken with respect to it. The
    /// number tells variables apart.
    Variable(usize),
    /// The input repeated to the node's shape, with axes aligned at the right.
    Broadcast,
    /// The input's elements, row-major, in the node's shape.
    Reshape,
    /// Axis `i` of the result is axis `axes[i]` of the input.
    Permute(Vec<usize>),
    /// The part `start..start + n` of `axis`, with `n` from the node's shape. Its transpose is [`Op::Pad`].
    Slice {
        /// The axis that is cut.
        axis: usize,
        /// The first index that is kept.
        start: usize,
    },
    /// The input with zeros around it along `axis`, up to the node's shape. Its transpose is [`Op::Slice`].
    Pad {
        /// The axis that grows.
        axis: usize,
        /// The number of zeros before the input.
        start: usize,
    },
    /// The inputs, concatenated along `axis`.
    Concat {
        /// The axis they are joined along.
        axis: usize,
    },
    /// The input reduced over `axes`, each of which is kept with length 1.
    Reduce {
        /// How elements are combined.
        reduction: Reduction,
        /// The reduced axes, in ascending order.
        axes: Vec<usize>,
    },
    /// The matrix product `[…, m, k] × […, k, n] → […, m, n]`, with equal leading axes.
    MatMul,
    /// `(x [N, C, H, W], w [O, C, kh, kw])`: the cross-correlation, which is bilinear in `x` and `w`.
    Conv2d(Window),
    /// `(ȳ, w) → x̄`: the transpose of [`Op::Conv2d`] in `x`, which is bilinear in `ȳ` and `w`.
    Conv2dInput(Window),
    /// `(x, ȳ) → w̄`: the transpose of [`Op::Conv2d`] in `w`, which is bilinear in `x` and `ȳ`.
    Conv2dWeight(Window),
    /// The mean of each window of `[N, C, H, W]`, including its padding. It is linear.
    AvgPool2d(Window),
    /// The transpose of [`Op::AvgPool2d`].
    AvgPool2dInput(Window),
    /// For each window, the position of its maximum in the flattened `H·W`, as an index for [`Op::Gather`].
    MaxPool2dIndex(Window),
    /// `(x, index)`: the elements of `x` at `index` along `axis`; the other axes are equal. Its transpose is
    /// [`Op::Scatter`].
    Gather {
        /// The axis that is indexed.
        axis: usize,
    },
    /// `(y, index)`: zeros of the node's shape, to which `y` is added at `index` along `axis`.
    Scatter {
        /// The axis that is indexed.
        axis: usize,
    },
    /// `index […] → […, n]`: 1 at the index, 0 elsewhere.
    OneHot,
}

impl Op {
    /// The name that users know, which is that of the method of [`super::Tensor`].
    pub fn name(&self) -> String {
        match self {
            Op::Unary(Unary::Power(_)) => "powf".into(),
            Op::Binary(Binary::LessEqual) => "less_equal".into(),
            Op::StopGradient => "stop_gradient".into(),
            Op::Broadcast => "broadcast_to".into(),
            Op::Reduce { reduction: Reduction::Sum, .. } => "sum".into(),
            Op::Reduce { reduction: Reduction::Max, .. } => "max_keep".into(),
            Op::AvgPool2d(_) => "avg_pool2d".into(),
            Op::MaxPool2dIndex(_) => "max_pool2d".into(),
            Op::OneHot => "one_hot".into(),
            Op::Unary(unary) => format!("{unary:?}").to_lowercase(),
            Op::Binary(binary) => format!("{binary:?}").to_lowercase(),
            other => {
                let debug = format!("{other:?}");
                debug.split([' ', '(', '{']).next().unwrap_or_default().to_lowercase()
            }
        }
    }

    /// Whether each element of the result depends only on the same element of every input.
    pub fn is_elementwise(&self) -> bool {
        matches!(self, Op::Unary(_) | Op::Binary(_) | Op::Select)
    }
}

/// The shape that `a` and `b` broadcast to by NumPy's rule, if there is one.
pub(crate) fn broadcast_shapes(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let dim = |s: &[usize], i: usize| if i + s.len() < rank { 1 } else { s[i + s.len() - rank] };
    (0..rank)
        .map(|i| match (dim(a, i), dim(b, i)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}
