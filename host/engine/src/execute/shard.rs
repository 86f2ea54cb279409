//! Finds the nodes that belong to the rows of a batch, and the axis that counts the rows in each.
use crate::graph::{Node, Op, Reduction};

/// How a node's value relates to the rows of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rows {
    /// One value for the whole batch.
    Whole,
    /// Each shard holds the part of its own rows along this axis.
    Split(usize),
    /// Each shard holds a partial result. Combined, the results of all shards are a [`Rows::Whole`].
    Partial(Reduction),
}

/// How a node relates to the rows, given how its inputs do. `rows` is the number of rows of the batch. `Partial` inputs
/// are passed as `Whole`, because they are combined first. Returns `None` if the operation mixes rows in a way that
/// shards cannot compute.
pub(super) fn propagate(op: &Op, shape: &[usize], inputs: &[(&Node, Rows)], rows: usize) -> Option<Rows> {
    use Rows::{Partial, Split, Whole};
    if inputs.iter().all(|(_, r)| *r == Whole) {
        return Some(Whole);
    }
    let state = |i: usize| inputs[i].1;
    let axis = |i: usize| match state(i) {
        Split(axis) => Some(axis),
        _ => None,
    };
    let all_alike = || inputs.iter().all(|(_, r)| *r == state(0)).then_some(state(0));
    match op {
        Op::Input(_) | Op::Constant(_) | Op::Values(_) | Op::StopGradient | Op::Variable(_) => None,
        Op::Unary(_) | Op::Binary(_) | Op::Select | Op::OneHot => all_alike(),
        Op::Broadcast => {
            let (from, axis) = (&inputs[0].0.shape, axis(0)?);
            let moved = axis + shape.len() - from.len();
            (shape[moved] == from[axis]).then_some(Split(moved))
        }
        Op::Reshape => {
            let (from, axis) = (&inputs[0].0.shape, axis(0)?);
            let before: usize = from[..axis].iter().product();
            let moved = (0..shape.len()).find(|&i| {
                shape[..i].iter().product::<usize>() == before
                    && shape[i] > 1
                    && shape[i].is_multiple_of(rows)
            })?;
            Some(Split(moved))
        }
        Op::Permute(axes) => axes.iter().position(|&a| Some(a) == axis(0)).map(Split),
        Op::Slice { axis: a, .. } | Op::Pad { axis: a, .. } | Op::Concat { axis: a } => {
            all_alike().filter(|r| *r != Split(*a))
        }
        Op::Reduce { reduction, axes } => {
            let axis = axis(0)?;
            Some(if axes.contains(&axis) { Partial(*reduction) } else { Split(axis) })
        }
        Op::MatMul => {
            let rank = shape.len();
            match (state(0), state(1)) {
                (Split(a), Whole) if a == rank - 2 => Some(Split(a)),
                (Whole, Split(b)) if b == rank - 1 => Some(Split(b)),
                (Split(a), Split(b)) if a == rank - 1 && b == rank - 2 => Some(Partial(Reduction::Sum)),
                (Split(a), Split(b)) if a == b && a < rank - 2 => Some(Split(a)),
                _ => None,
            }
        }
        Op::Conv2d(_) | Op::Conv2dInput(_) => (state(0) == Split(0) && state(1) == Whole).then_some(Split(0)),
        Op::Conv2dWeight(_) => {
            (state(0) == Split(0) && state(1) == Split(0)).then_some(Partial(Reduction::Sum))
        }
        Op::AvgPool2d(_) | Op::AvgPool2dInput(_) | Op::MaxPool2dIndex(_) => {
            axis(0).filter(|&a| a < 2).map(Split)
        }
        Op::Gather { axis: a } | Op::Scatter { axis: a } => all_alike().filter(|r| *r != Split(*a)),
    }
}
