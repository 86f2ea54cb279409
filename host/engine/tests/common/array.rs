//! A plain array of `f64`, whose operations are written as their definitions.

/// An array of numbers, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

impl Array {
    pub fn new(shape: &[usize], data: Vec<f64>) -> Array {
        assert_eq!(shape.iter().product::<usize>(), data.len());
        Array { shape: shape.to_vec(), data }
    }

    /// Computes each element from its indices.
    pub fn build(shape: &[usize], f: impl Fn(&[usize]) -> f64) -> Array {
        let mut index = vec![0; shape.len()];
        let data = (0..shape.iter().product::<usize>()).map(|flat| {
            let mut rest = flat;
            for (i, &d) in index.iter_mut().zip(shape).rev() {
                *i = rest % d;
                rest /= d;
            }
            f(&index)
        });
        let data = data.collect();
        Array { shape: shape.to_vec(), data }
    }

    pub fn at(&self, index: &[usize]) -> f64 {
        self.data[index.iter().zip(&self.shape).fold(0, |flat, (i, d)| flat * d + i)]
    }

    pub fn map(&self, f: impl Fn(f64) -> f64) -> Array {
        Array { shape: self.shape.clone(), data: self.data.iter().map(|&v| f(v)).collect() }
    }

    pub fn broadcast(&self, shape: &[usize]) -> Array {
        let lead = shape.len() - self.shape.len();
        Array::build(shape, |index| {
            let own: Vec<usize> =
                index[lead..].iter().zip(&self.shape).map(|(&i, &d)| if d == 1 { 0 } else { i }).collect();
            self.at(&own)
        })
    }

    /// The shape that both broadcast to, if there is one.
    pub fn common_shape(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
        let rank = a.len().max(b.len());
        let dim = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
        (0..rank)
            .map(|i| match (dim(a, i), dim(b, i)) {
                (x, y) if x == y || y == 1 => Some(x),
                (1, y) => Some(y),
                _ => None,
            })
            .collect()
    }

    pub fn zip(&self, other: &Array, f: impl Fn(f64, f64) -> f64) -> Array {
        let shape = Array::common_shape(&self.shape, &other.shape).expect("shapes that broadcast");
        let (a, b) = (self.broadcast(&shape), other.broadcast(&shape));
        Array { shape, data: a.data.iter().zip(&b.data).map(|(&x, &y)| f(x, y)).collect() }
    }

    pub fn reshape(&self, shape: &[usize]) -> Array {
        Array::new(shape, self.data.clone())
    }

    pub fn permute(&self, axes: &[usize]) -> Array {
        let shape: Vec<usize> = axes.iter().map(|&a| self.shape[a]).collect();
        Array::build(&shape, |index| {
            let mut from = vec![0; axes.len()];
            axes.iter().zip(index).for_each(|(&a, &i)| from[a] = i);
            self.at(&from)
        })
    }

    fn with_axis(&self, axis: usize, length: usize) -> Vec<usize> {
        let mut shape = self.shape.clone();
        shape[axis] = length;
        shape
    }

    /// The part `start..start + length` of `axis`, with zeros outside the array.
    pub fn window(&self, axis: usize, start: isize, length: usize) -> Array {
        Array::build(&self.with_axis(axis, length), |index| {
            let mut from = index.to_vec();
            let i = index[axis] as isize + start;
            if i < 0 || i >= self.shape[axis] as isize {
                return 0.0;
            }
            from[axis] = i as usize;
            self.at(&from)
        })
    }

    pub fn concat(parts: &[&Array], axis: usize) -> Array {
        let length = parts.iter().map(|p| p.shape[axis]).sum();
        Array::build(&parts[0].with_axis(axis, length), |index| {
            let mut from = index.to_vec();
            for part in parts {
                if from[axis] < part.shape[axis] {
                    return part.at(&from);
                }
                from[axis] -= part.shape[axis];
            }
            unreachable!()
        })
    }

    /// Folds over `axes`, each of which is kept with length 1.
    pub fn reduce(&self, axes: &[usize], start: f64, f: impl Fn(f64, f64) -> f64) -> Array {
        let mut shape = self.shape.clone();
        axes.iter().for_each(|&a| shape[a] = 1);
        let mut out = Array::new(&shape, vec![start; shape.iter().product()]);
        for flat in 0..self.data.len() {
            let (mut rest, mut to, mut step) = (flat, 0, 1);
            for axis in (0..self.shape.len()).rev() {
                let i = rest % self.shape[axis];
                rest /= self.shape[axis];
                if !axes.contains(&axis) {
                    to += i * step;
                }
                step *= shape[axis];
            }
            out.data[to] = f(out.data[to], self.data[flat]);
        }
        out
    }

    pub fn sum(&self, axes: &[usize]) -> Array {
        self.reduce(axes, 0.0, |a, b| a + b)
    }

    pub fn max(&self, axes: &[usize]) -> Array {
        self.reduce(axes, f64::NEG_INFINITY, f64::max)
    }

    pub fn matmul(&self, other: &Array) -> Array {
        let rank = self.shape.len();
        let (inner, columns) = (self.shape[rank - 1], other.shape[other.shape.len() - 1]);
        let shape = self.with_axis(rank - 1, columns);
        Array::build(&shape, |index| {
            let (mut a, mut b) = (index.to_vec(), index.to_vec());
            if other.shape.len() == 2 {
                b = vec![0, index[rank - 1]];
            }
            let row = b.len() - 2;
            (0..inner)
                .map(|k| {
                    (a[rank - 1], b[row]) = (k, k);
                    self.at(&a) * other.at(&b)
                })
                .sum()
        })
    }

    pub fn gather(&self, axis: usize, index: &Array) -> Array {
        Array::build(&index.shape, |at| {
            let mut from = at.to_vec();
            from[axis] = index.at(at) as usize;
            self.at(&from)
        })
    }

    pub fn scatter(&self, axis: usize, index: &Array, length: usize) -> Array {
        Array::build(&self.with_axis(axis, length), |at| {
            let mut from = at.to_vec();
            (0..self.shape[axis])
                .map(|i| {
                    from[axis] = i;
                    if index.at(&from) as usize == at[axis] { self.at(&from) } else { 0.0 }
                })
                .sum()
        })
    }

    /// The cross-correlation with `weight`.
    pub fn conv2d(&self, weight: &Array, stride: usize, padding: usize) -> Array {
        let (x, w) = (&self.shape, &weight.shape);
        let length = |axis: usize| (x[axis] + 2 * padding - w[axis]) / stride + 1;
        Array::build(&[x[0], w[0], length(2), length(3)], |index| {
            let mut sum = 0.0;
            for (c, (i, j)) in
                (0..w[1]).flat_map(|c| (0..w[2]).flat_map(move |i| (0..w[3]).map(move |j| (c, (i, j)))))
            {
                let (h, v) = (index[2] * stride + i, index[3] * stride + j);
                if h >= padding && v >= padding && h - padding < x[2] && v - padding < x[3] {
                    sum +=
                        self.at(&[index[0], c, h - padding, v - padding]) * weight.at(&[index[1], c, i, j]);
                }
            }
            sum
        })
    }

    /// Folds over square windows, ignoring their padding.
    pub fn pool2d(
        &self,
        kernel: usize,
        stride: usize,
        padding: usize,
        start: f64,
        f: impl Fn(f64, f64) -> f64,
    ) -> Array {
        let x = &self.shape;
        let length = |axis: usize| (x[axis] + 2 * padding - kernel) / stride + 1;
        Array::build(&[x[0], x[1], length(2), length(3)], |index| {
            let mut folded = start;
            for (i, j) in (0..kernel).flat_map(|i| (0..kernel).map(move |j| (i, j))) {
                let (h, v) = (index[2] * stride + i, index[3] * stride + j);
                if h >= padding && v >= padding && h - padding < x[2] && v - padding < x[3] {
                    folded = f(folded, self.at(&[index[0], index[1], h - padding, v - padding]));
                }
            }
            folded
        })
    }
}
