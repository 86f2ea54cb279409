//! Convolutions on the CPU, as products over patches: row `p` of the patches of a picture is what the kernel sees at output
//! position `p`. One picture at a time, so that its patches stay in the cache.
//!
//! burn-flex computes the gradient of the weights one output channel after the other.
use crate::graph::Window;

/// The sizes of a convolution: `[n, c, h, w]` with kernels `[o, c, kh, kw]` gives `[n, o, oh, ow]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Convolution {
    pictures: usize,
    channels: usize,
    size: [usize; 2],
    kernels: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    out: [usize; 2],
}

impl Convolution {
    /// The convolution of pictures `[n, c, h, w]` with `kernels` kernels. The graph has checked that they fit.
    pub(super) fn new(pictures: &[usize], kernels: usize, window: &Window) -> Self {
        let &[n, c, h, w] = pictures else { unreachable!("a convolution has four axes") };
        Convolution {
            pictures: n,
            channels: c,
            size: [h, w],
            kernels,
            kernel: window.kernel,
            stride: window.stride,
            padding: window.padding,
            out: window.output([h, w]).expect("the kernel fits"),
        }
    }

    /// The shape of the output, `[n, o, oh, ow]`.
    pub(super) fn output(&self) -> [usize; 4] {
        [self.pictures, self.kernels, self.out[0], self.out[1]]
    }

    /// The numbers of a picture.
    fn picture(&self) -> usize {
        self.channels * self.size[0] * self.size[1]
    }

    /// The numbers of a patch, which are those of a kernel.
    fn patch(&self) -> usize {
        self.channels * self.kernel[0] * self.kernel[1]
    }

    /// The output positions of a picture.
    fn positions(&self) -> usize {
        self.out[0] * self.out[1]
    }

    /// The height and width of a picture with its padding.
    fn padded(&self) -> [usize; 2] {
        [0, 1].map(|i| self.size[i] + 2 * self.padding[i])
    }

    /// The convolution of `x` with `weight`: `[n, o, oh, ow]`.
    pub(super) fn forward(&self, x: &[f32], weight: &[f32]) -> Vec<f32> {
        let (positions, patch) = (self.positions(), self.patch());
        let mut out = vec![0.0; self.pictures * self.kernels * positions];
        let mut scratch = Scratch::new(self);
        for (x, out) in x.chunks_exact(self.picture()).zip(out.chunks_exact_mut(self.kernels * positions)) {
            let patches = scratch.gather(self, x);
            let [weight, patches] = [Matrix::of(weight, patch), Matrix::of(patches, patch).transposed()];
            product(out, [self.kernels, patch, positions], weight, patches, false);
        }
        out
    }

    /// The gradient with respect to the pictures, `[n, c, h, w]`, for the gradient `[n, o, oh, ow]` of the output.
    pub(super) fn input(&self, gradient: &[f32], weight: &[f32]) -> Vec<f32> {
        let (positions, patch) = (self.positions(), self.patch());
        let mut x = vec![0.0; self.pictures * self.picture()];
        let mut scratch = Scratch::new(self);
        let pictures = gradient.chunks_exact(self.kernels * positions);
        for (gradient, x) in pictures.zip(x.chunks_exact_mut(self.picture())) {
            let gradient = Matrix::of(gradient, positions).transposed();
            let weight = Matrix::of(weight, patch);
            product(&mut scratch.patches, [positions, self.kernels, patch], gradient, weight, false);
            scratch.scatter(self, x);
        }
        x
    }

    /// The gradient with respect to the weight, `[o, c, kh, kw]`.
    pub(super) fn weight(&self, x: &[f32], gradient: &[f32]) -> Vec<f32> {
        let (positions, patch) = (self.positions(), self.patch());
        let mut weight = vec![0.0; self.kernels * patch];
        let mut scratch = Scratch::new(self);
        let pictures = x.chunks_exact(self.picture()).zip(gradient.chunks_exact(self.kernels * positions));
        for (x, gradient) in pictures {
            let patches = Matrix::of(scratch.gather(self, x), patch);
            let gradient = Matrix::of(gradient, positions);
            product(&mut weight, [self.kernels, positions, patch], gradient, patches, true);
        }
        weight
    }
}

/// Memory for the picture that is being worked on.
struct Scratch {
    /// The picture with its padding, `[c, h + 2p, w + 2p]`; empty if there is no padding.
    padded: Vec<f32>,
    /// Its patches, `[oh · ow, c · kh · kw]`.
    patches: Vec<f32>,
}

impl Scratch {
    fn new(of: &Convolution) -> Self {
        let [h, w] = of.padded();
        let padded = if of.padding == [0, 0] { 0 } else { of.channels * h * w };
        Scratch { padded: vec![0.0; padded], patches: vec![0.0; of.positions() * of.patch()] }
    }

    /// The patches of the picture `x`.
    fn gather(&mut self, of: &Convolution, x: &[f32]) -> &[f32] {
        let picture = match self.padded.is_empty() {
            true => x,
            false => {
                rows(of, |inside, row| self.padded[inside].copy_from_slice(&x[row]));
                &self.padded
            }
        };
        let patches = &mut self.patches;
        segments(of, |from, to, length| {
            copy(&mut patches[to..to + length], &picture[from..from + length]);
        });
        patches
    }

    /// Adds up the patches where they came from in the picture `x`, which is all 0.
    fn scatter(&mut self, of: &Convolution, x: &mut [f32]) {
        let Scratch { padded, patches } = self;
        if padded.is_empty() {
            segments(of, |to, from, length| add(&mut x[to..to + length], &patches[from..from + length]));
            return;
        }
        padded.fill(0.0);
        segments(of, |to, from, length| add(&mut padded[to..to + length], &patches[from..from + length]));
        rows(of, |inside, row| x[row].copy_from_slice(&padded[inside]));
    }
}

/// Calls `each` with the place of every row of a picture within the padding, and its place in the picture.
fn rows(of: &Convolution, mut each: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>)) {
    let ([h, w], [ph, pw], [top, left]) = (of.size, of.padded(), of.padding);
    for c in 0..of.channels {
        for y in 0..h {
            let (inside, row) = ((c * ph + y + top) * pw + left, (c * h + y) * w);
            each(inside..inside + w, row..row + w);
        }
    }
}

/// Calls `each` for every row of a kernel at every output position: with its place in the padded picture, its place in the
/// patches, and its length.
fn segments(of: &Convolution, mut each: impl FnMut(usize, usize, usize)) {
    let ([ph, pw], [kh, kw], [sh, sw]) = (of.padded(), of.kernel, of.stride);
    let mut patch = 0;
    for y in 0..of.out[0] {
        for x in 0..of.out[1] {
            for c in 0..of.channels {
                let mut picture = (c * ph + y * sh) * pw + x * sw;
                for _ in 0..kh {
                    each(picture, patch, kw);
                    picture += pw;
                    patch += kw;
                }
            }
        }
    }
}

/// Copies a row of a kernel. The lengths that kernels have are known to the compiler.
#[inline(always)]
fn copy(to: &mut [f32], from: &[f32]) {
    fn fixed<const N: usize>(to: &mut [f32], from: &[f32]) {
        if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
            *to = *from;
        }
    }
    match to.len() {
        3 => fixed::<3>(to, from),
        4 => fixed::<4>(to, from),
        8 => fixed::<8>(to, from),
        _ => to.copy_from_slice(from),
    }
}

/// Adds a row of a kernel.
#[inline(always)]
fn add(to: &mut [f32], from: &[f32]) {
    fn fixed<const N: usize>(to: &mut [f32], from: &[f32]) {
        if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
            (0..N).for_each(|i| to[i] += from[i]);
        }
    }
    match to.len() {
        3 => fixed::<3>(to, from),
        4 => fixed::<4>(to, from),
        8 => fixed::<8>(to, from),
        _ => to.iter_mut().zip(from).for_each(|(to, from)| *to += from),
    }
}

/// A matrix in memory.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    data: &'a [f32],
    row: usize,
    column: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` numbers.
    fn of(data: &'a [f32], columns: usize) -> Self {
        Matrix { data, row: columns, column: 1 }
    }

    fn transposed(self) -> Self {
        Matrix { row: self.column, column: self.row, ..self }
    }

    /// Whether all elements of an `m × n` matrix are in memory.
    fn holds(&self, m: usize, n: usize) -> bool {
        m == 0 || n == 0 || (m - 1) * self.row + (n - 1) * self.column < self.data.len()
    }
}

/// Writes `a · b` to `out`, or adds it with `accumulate`. `a` is m × k, `b` is k × n, and `out` has rows of n numbers.
fn product(out: &mut [f32], [m, k, n]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, accumulate: bool) {
    assert!(a.holds(m, k) && b.holds(k, n) && Matrix::of(out, n).holds(m, n), "matrices lie in their memory");
    // SAFETY: all three matrices lie in their memory, which was checked, and `out` is borrowed by nobody else.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            accumulate,
            a.data.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.column as isize,
            b.row as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every pair of a picture's element and an output's element that a kernel's element connects, as indices.
    fn connections(of: &Convolution, mut each: impl FnMut(usize, usize, usize)) {
        let ([h, w], [oh, ow], [kh, kw]) = (of.size, of.out, of.kernel);
        for n in 0..of.pictures {
            for (o, c) in (0..of.kernels).flat_map(|o| (0..of.channels).map(move |c| (o, c))) {
                for (y, x) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
                    for (i, j) in (0..kh).flat_map(|i| (0..kw).map(move |j| (i, j))) {
                        let [row, column] = [y * of.stride[0] + i, x * of.stride[1] + j];
                        let (Some(row), Some(column)) =
                            (row.checked_sub(of.padding[0]), column.checked_sub(of.padding[1]))
                        else {
                            continue;
                        };
                        if row < h && column < w {
                            each(
                                ((n * of.channels + c) * h + row) * w + column,
                                ((n * of.kernels + o) * oh + y) * ow + x,
                                ((o * of.channels + c) * kh + i) * kw + j,
                            );
                        }
                    }
                }
            }
        }
    }

    fn close(got: &[f32], expected: &[f64]) {
        let largest = expected.iter().fold(1e-30f64, |most, v| most.max(v.abs()));
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(expected) {
            assert!((f64::from(*got) - expected).abs() <= 1e-5 * largest, "{got} {expected}");
        }
    }

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        use rand::Rng;
        let mut random = crate::random::stream(seed, "convolution", 0);
        (0..count).map(|_| random.random_range(-1.0..1.0)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn equals_the_definition(
            (n, c, o) in (1usize..4, 1usize..4, 1usize..5),
            kernel in [1usize..10, 1usize..10],
            stride in [1usize..5, 1usize..5],
            padding in [0usize..3, 0usize..3],
            more in [0usize..9, 0usize..9],
            seed in any::<u64>(),
        ) {
            let size = [0, 1].map(|i| (kernel[i] + more[i]).saturating_sub(2 * padding[i]).max(1));
            let window = Window { kernel, stride, padding };
            let of = Convolution::new(&[n, c, size[0], size[1]], o, &window);
            let x = numbers(n * of.picture(), seed);
            let weight = numbers(o * of.patch(), seed ^ 1);
            let gradient = numbers(n * o * of.positions(), seed ^ 2);
            let mut expected = [vec![0.0; gradient.len()], vec![0.0; x.len()], vec![0.0; weight.len()]];
            connections(&of, |a, b, k| {
                let [x, weight, gradient] = [x[a], weight[k], gradient[b]].map(f64::from);
                expected[0][b] += x * weight;
                expected[1][a] += gradient * weight;
                expected[2][k] += x * gradient;
            });
            close(&of.forward(&x, &weight), &expected[0]);
            close(&of.input(&gradient, &weight), &expected[1]);
            close(&of.weight(&x, &gradient), &expected[2]);
        }
    }
}
