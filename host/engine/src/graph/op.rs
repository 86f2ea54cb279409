//! The operations of the graph.
use std::sync::Arc;

/// A number in a node, compared and hashed by its bits so that equal nodes can be shared.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bits(u64);

impl Bits {
    /// Wraps a number.
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

/// Elementwise function of one tensor. `y` below is the result, `ȳ` the gradient that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// `−x`; gradient `−ȳ`.
    Neg,
    /// `eˣ`; `ȳ·y`.
    Exp,
    /// Natural logarithm; `ȳ/x`.
    Log,
    /// `√x`; `ȳ/(2y)`.
    Sqrt,
    /// `|x|`; `ȳ·sign(x)`.
    Abs,
    /// −1, 0 or 1; no gradient.
    Sign,
    /// `1/x`; `−ȳ·y²`.
    Recip,
    /// Hyperbolic tangent; `ȳ·(1 − y²)`.
    Tanh,
    /// `1/(1 + e⁻ˣ)`; `ȳ·y·(1 − y)`.
    Sigmoid,
    /// `max(x, 0)`; `ȳ` where `x > 0`.
    Relu,
    /// Error function; `ȳ·2/√π·e^(−x²)`.
    Erf,
    /// `xᵖ` for a constant `p`; `ȳ·p·xᵖ⁻¹`.
    Power(Bits),
}

/// Elementwise function of two tensors of one shape (builders broadcast first).
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
    /// The larger; the gradient goes to `a` where `a ≥ b`, else to `b`.
    Max,
    /// The smaller; the gradient goes to `a` where `a ≤ b`, else to `b`.
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
    /// Sum; the gradient is broadcast back.
    Sum,
    /// Maximum; the gradient is shared equally among the elements that attain it.
    Max,
}

/// A sliding window over the two last axes of `[N, C, H, W]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Kernel height and width (pooling; convolutions take it from the weight).
    pub kernel: [usize; 2],
    /// Step between windows.
    pub stride: [usize; 2],
    /// Zeros added on both sides.
    pub padding: [usize; 2],
}

impl Window {
    /// Output height and width for an input of `size`, or `None` when the kernel does not fit.
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

/// What a node computes from its inputs. The result's shape is the node's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The graph's n-th input.
    Input(usize),
    /// A scalar.
    Constant(Bits),
    /// An array, row-major: numbers, or whole numbers that are indices.
    Values(Arc<[Bits]>),
    /// See [`Unary`].
    Unary(Unary),
    /// See [`Binary`].
    Binary(Binary),
    /// `(mask, a, b)`: `a` where `mask ≠ 0`, else `b`. The mask has no gradient.
    Select,
    /// The input; its gradient is zero.
    StopGradient,
    /// The input, as something of its own: no simplification looks through it, so that gradients can be taken
    /// with respect to it. The number tells variables apart.
    Variable(usize),
    /// The input repeated to the node's shape, axes aligned at the right.
    Broadcast,
    /// The same elements, row-major, in the node's shape.
    Reshape,
    /// Axis `i` of the result is axis `axes[i]` of the input.
    Permute(Vec<usize>),
    /// `start..start + n` of `axis`, with `n` from the node's shape. Transpose: [`Op::Pad`].
    Slice {
        /// The axis that is cut.
        axis: usize,
        /// First index kept.
        start: usize,
    },
    /// Zeros around the input along `axis`, up to the node's shape. Transpose: [`Op::Slice`].
    Pad {
        /// The axis that grows.
        axis: usize,
        /// Zeros before the input.
        start: usize,
    },
    /// The inputs one after the other along `axis`.
    Concat {
        /// The axis they are joined along.
        axis: usize,
    },
    /// Combines `axes`, each of which stays with length 1.
    Reduce {
        /// How.
        reduction: Reduction,
        /// Which axes, ascending.
        axes: Vec<usize>,
    },
    /// `[…, m, k] × […, k, n] → […, m, n]`, equal leading axes.
    MatMul,
    /// `(x [N, C, H, W], w [O, C, kh, kw])`: cross-correlation. Bilinear in `x` and `w`.
    Conv2d(Window),
    /// `(ȳ, w) → x̄`: the transpose of [`Op::Conv2d`] in `x`. Bilinear in `ȳ` and `w`.
    Conv2dInput(Window),
    /// `(x, ȳ) → w̄`: the transpose of [`Op::Conv2d`] in `w`. Bilinear in `x` and `ȳ`.
    Conv2dWeight(Window),
    /// Mean of each window, padding counted. Linear.
    AvgPool2d(Window),
    /// The transpose of [`Op::AvgPool2d`].
    AvgPool2dInput(Window),
    /// For each window, where in the flattened `H·W` its maximum is: an index for [`Op::Gather`].
    MaxPool2dIndex(Window),
    /// `(x, index)`: `x` at `index` along `axis`; the other axes are equal. Transpose: [`Op::Scatter`].
    Gather {
        /// The axis that is indexed.
        axis: usize,
    },
    /// `(y, index)`: adds `y` at `index` along `axis` into zeros of the node's shape.
    Scatter {
        /// The axis that is indexed.
        axis: usize,
    },
    /// `index [...] → [..., n]`: 1 at the index, 0 elsewhere.
    OneHot,
}

impl Op {
    /// The name users know: the method of [`super::Tensor`].
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

    /// Whether each element of the result depends on the same element of every input only.
    pub fn is_elementwise(&self) -> bool {
        matches!(self, Op::Unary(_) | Op::Binary(_) | Op::Select)
    }
}

/// NumPy's broadcasting rule.
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
