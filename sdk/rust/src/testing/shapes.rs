//! Shape inference for every operation of the graph.
use potstill_plugin_api::abi::GraphOp;

type Shape = Vec<usize>;

fn mismatch<T>(expected: &str, got: impl std::fmt::Debug) -> Result<T, String> {
    Err(format!("expected {expected}, got {got:?}"))
}

fn broadcast(shapes: &[&[usize]]) -> Result<Shape, String> {
    let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut out = vec![1; rank];
    for shape in shapes {
        for (long, &length) in out[rank - shape.len()..].iter_mut().zip(*shape) {
            match (*long, length) {
                (_, 1) => {}
                (1, _) => *long = length,
                (a, b) if a == b => {}
                _ => return mismatch("shapes that broadcast", shapes),
            }
        }
    }
    Ok(out)
}

fn axis(axis: i64, shape: &[usize]) -> Result<usize, String> {
    let rank = shape.len() as i64;
    let index = if axis < 0 { axis + rank } else { axis };
    if (0..rank).contains(&index) {
        Ok(index as usize)
    } else {
        mismatch(&format!("an axis of {shape:?}"), axis)
    }
}

fn sizes(integers: &[i64]) -> Result<Shape, String> {
    integers.iter().map(|&i| usize::try_from(i).or_else(|_| mismatch("a length of 0 or more", i))).collect()
}

fn windows(x: &[usize], integers: &[i64]) -> Result<[usize; 2], String> {
    let ([_, _, height, width], &[kernel, stride, padding]) = (x, &sizes(integers)?[..]) else {
        return mismatch("[N, C, H, W]", x);
    };
    if stride == 0 {
        return mismatch("a stride of 1 or more", stride);
    }
    let count = |length: &usize| match (length + 2 * padding).checked_sub(kernel) {
        Some(rest) => Ok(rest / stride + 1),
        None => mismatch(&format!("a window of {kernel} that fits"), x),
    };
    Ok([count(height)?, count(width)?])
}

fn with(shape: &[usize], axis: usize, length: usize) -> Shape {
    shape.iter().enumerate().map(|(i, &d)| if i == axis { length } else { d }).collect()
}

/// Infers the shape of the result of `op` for inputs of `shapes`. With `keep`, reduced axes stay with length 1.
///
/// # Errors
/// Fails if the shapes do not fit; the message says what was expected and what was given.
pub(super) fn infer(op: GraphOp, shapes: &[&[usize]], integers: &[i64], keep: bool) -> Result<Shape, String> {
    use GraphOp as G;
    let x = shapes.first().copied().unwrap_or_default();
    let one = |i: usize| integers.get(i).copied().unwrap_or(0);
    Ok(match op {
        G::Constant => vec![],
        G::Values | G::Indices | G::Reshape => {
            let target = sizes(integers)?;
            let same = op != G::Reshape || target.iter().product::<usize>() == x.iter().product();
            if same { target } else { return mismatch(&format!("as many elements as {target:?} has"), x) }
        }
        G::Add
        | G::Sub
        | G::Mul
        | G::Div
        | G::Minimum
        | G::Maximum
        | G::Less
        | G::LessEqual
        | G::Equal
        | G::Select => broadcast(shapes)?,
        G::Sum | G::Mean | G::MaximumOver => {
            let gone = integers.iter().map(|&a| axis(a, x)).collect::<Result<Vec<_>, _>>()?;
            let goes = |i: &usize| gone.is_empty() || gone.contains(i);
            let kept = (0..x.len()).filter(|i| keep || !goes(i));
            kept.map(|i| if goes(&i) { 1 } else { x[i] }).collect()
        }
        G::LogSoftmax | G::Softmax => axis(one(0), x).map(|_| x.to_vec())?,
        G::Matmul => {
            let ([before @ .., m, k], [more @ .., l, n]) = (x, shapes[1]) else {
                return mismatch("[…, m, k] × […, k, n]", shapes);
            };
            if k != l {
                return mismatch("[…, m, k] × […, k, n]", shapes);
            }
            [&broadcast(&[before, more])?[..], &[*m, *n]].concat()
        }
        G::Conv2d => match (x, shapes[1]) {
            ([n, c, ..], [o, inputs, h, w]) if c == inputs && h == w => {
                let [height, width] = windows(x, &[*h as i64, one(0), one(1)])?;
                vec![*n, *o, height, width]
            }
            _ => return mismatch("[N, C, H, W], [O, C, k, k]", shapes),
        },
        G::AveragePool | G::MaximumPool => {
            let [height, width] = windows(x, integers)?;
            vec![x[0], x[1], height, width]
        }
        G::Gather | G::ScatterAdd => {
            let (index, along) = (shapes[1], axis(one(0), x)?);
            let free = if op == G::Gather { along } else { x.len() };
            if index.len() != x.len() || (0..x.len()).any(|i| i != free && index[i] != x[i]) {
                return mismatch(&format!("an index for {x:?}"), index);
            }
            if op == G::Gather { index.to_vec() } else { with(index, along, sizes(&integers[1..])?[0]) }
        }
        G::OneHot => [x, &sizes(integers)?].concat(),
        G::Permute => {
            let order = sizes(integers)?;
            let mut sorted = order.clone();
            sorted.sort_unstable();
            if !sorted.iter().copied().eq(0..x.len()) {
                return mismatch(&format!("each axis of {x:?} once"), order);
            }
            order.iter().map(|&i| x[i]).collect()
        }
        G::Broadcast => {
            let target = sizes(integers)?;
            if broadcast(&[x, &target])? != target {
                return mismatch(&format!("a shape that broadcasts to {target:?}"), x);
            }
            target
        }
        G::Slice | G::Pad => {
            let (along, range) = (axis(one(0), x)?, sizes(&integers[1..])?);
            let end = range.iter().sum::<usize>();
            if op == G::Pad {
                with(x, along, x[along] + end)
            } else if end <= x[along] {
                with(x, along, range[1])
            } else {
                return mismatch(&format!("a range of axis {along} of {x:?}"), range);
            }
        }
        G::Concat => {
            let along = axis(one(0), x)?;
            if shapes.iter().any(|s| s.len() != x.len() || with(s, along, 0) != with(x, along, 0)) {
                return mismatch(&format!("tensors equal but in axis {along}"), shapes);
            }
            with(x, along, shapes.iter().map(|s| s[along]).sum())
        }
        _ => x.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_says_what_was_expected() {
        use GraphOp as G;
        let (square, row, picture) = (&[2, 3][..], &[3][..], &[1, 2, 5, 5][..]);
        for (op, shapes, integers, expected) in [
            (G::Add, &[square, &[2, 2]][..], &[][..], "shapes that broadcast"),
            (G::Reshape, &[square], &[4, 2], "as many elements as [4, 2] has"),
            (G::Reshape, &[square], &[-6], "a length of 0 or more, got -6"),
            (G::Sum, &[square], &[2], "an axis of [2, 3], got 2"),
            (G::Softmax, &[row], &[-2], "an axis of [3], got -2"),
            (G::Matmul, &[square, square], &[], "[…, m, k] × […, k, n]"),
            (G::Matmul, &[square, row], &[], "[…, m, k] × […, k, n]"),
            (G::Conv2d, &[picture, &[4, 3, 3, 3]], &[1, 0], "[N, C, H, W], [O, C, k, k]"),
            (G::Conv2d, &[picture, &[4, 2, 7, 7]], &[1, 0], "a window of 7 that fits"),
            (G::AveragePool, &[picture], &[2, 0, 0], "a stride of 1 or more"),
            (G::MaximumPool, &[square], &[2, 2, 0], "[N, C, H, W]"),
            (G::Gather, &[square, row], &[1], "an index for [2, 3]"),
            (G::ScatterAdd, &[square, &[2, 2]], &[1, 5], "an index for [2, 3]"),
            (G::Permute, &[square], &[0, 0], "each axis of [2, 3] once"),
            (G::Broadcast, &[square], &[3], "a shape that broadcasts to [3]"),
            (G::Slice, &[square], &[1, 2, 2], "a range of axis 1 of [2, 3]"),
            (G::Concat, &[square, row], &[0], "tensors equal but in axis 0"),
        ] {
            let error = infer(op, shapes, integers, false).unwrap_err();
            assert!(error.contains(expected), "{op:?}: {error}");
        }
    }
}
