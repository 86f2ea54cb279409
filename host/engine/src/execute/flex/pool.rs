//! Maximum pooling on the CPU, and the reads and writes at an index that its value and gradient consist of. burn-flex checks
//! for every element of a window whether it lies in the picture, and indexes element by element.
use pulp::{Simd, WithSimd};

use super::convolution::spread;
use super::tile;
use crate::graph::Window;

/// For each window of the pictures `[n, c, h, w]`, the position of its first maximum in the flattened `h · w`. NaN counts as
/// larger than any number.
pub(super) fn largest(x: &[f32], shape: &[usize], window: &Window) -> Vec<i32> {
    with_vectors(pulp::Arch::new(), x, shape, window)
}

fn with_vectors(arch: pulp::Arch, x: &[f32], shape: &[usize], window: &Window) -> Vec<i32> {
    let &[n, c, h, w] = shape else { unreachable!("pooled pictures have four axes") };
    let out = window.output([h, w]).expect("the kernel fits");
    let mut index = Vec::with_capacity(n * c * out[0] * out[1]);
    arch.dispatch(Largest { x, size: [h, w], window, out, index: &mut index });
    index
}

struct Largest<'a> {
    x: &'a [f32],
    size: [usize; 2],
    window: &'a Window,
    out: [usize; 2],
    index: &'a mut Vec<i32>,
}

impl WithSimd for Largest<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Largest { x, size: [h, w], window, out: [oh, ow], index } = self;
        let ([kh, kw], [sh, sw], [ph, pw]) = (window.kernel, window.stride, window.padding);
        let columns = ow.next_multiple_of(S::F32_LANES);
        // The first column of each window that lies in the picture, and where the window would begin.
        let start = |column: usize| (column * sw).saturating_sub(pw) as u32;
        let starts: Vec<u32> = (0..columns).map(start).collect();
        let begins: Vec<u32> =
            (0..columns).map(|column| ((column * sw) as u32).wrapping_sub(pw as u32)).collect();
        // A row of planes, as in a convolution: what one column of all windows sees is consecutive.
        let length = (w + 2 * pw).div_ceil(sw);
        let row = sw * length;
        let taps: Vec<usize> = (0..kw).map(|j| j % sw * length + j / sw).collect();
        let mut planes = vec![f32::NEG_INFINITY; h * row + columns + kw];
        let mut found = vec![0u32; columns];
        for x in x.chunks_exact((h * w).max(1)) {
            for (x, planes) in x.chunks_exact(w).zip(planes.chunks_exact_mut(row)) {
                spread(x, pw, planes, sw);
            }
            for y in 0..oh {
                let rows = (y * sh).saturating_sub(ph)..(y * sh + kh - ph).min(h);
                for column in (0..columns).step_by(S::F32_LANES) {
                    // SAFETY: the three have `columns` numbers, and the planes have as many and a kernel's columns behind
                    // their end.
                    unsafe {
                        let mut largest = simd.splat_f32s(f32::NEG_INFINITY);
                        // If all of a window is -∞, its first element is the maximum.
                        let first = simd.splat_u32s((rows.start * w) as u32);
                        let mut at = simd.add_u32s(first, tile::load_u32::<S>(starts.as_ptr().add(column)));
                        let begin = tile::load_u32::<S>(begins.as_ptr().add(column));
                        for y in rows.clone() {
                            for (j, &tap) in taps.iter().enumerate() {
                                let value = tile::load::<S>(planes.as_ptr().add(y * row + tap + column));
                                let not_a_number = simd.not_m32s(simd.equal_f32s(value, value));
                                let better = simd.or_m32s(simd.less_than_f32s(largest, value), not_a_number);
                                let place = simd.add_u32s(begin, simd.splat_u32s((y * w + j) as u32));
                                largest = simd.select_f32s(better, value, largest);
                                at = simd.select_u32s(better, place, at);
                            }
                        }
                        tile::store_u32::<S>(found.as_mut_ptr().add(column), at);
                    }
                }
                index.extend(found[..ow].iter().map(|&at| at as i32));
            }
        }
    }
}

/// The elements of `x` at `index` along an axis of length `from`; `to` is the length of that axis in `index`, and the axes
/// behind it have `inner` elements.
///
/// # Panics
/// If an index is out of range, which the graph's inputs are checked for.
pub(super) fn gather(x: &[f32], index: &[i32], [from, to, inner]: [usize; 3]) -> Vec<f32> {
    let mut out = Vec::with_capacity(index.len());
    for (x, index) in x.chunks_exact(from * inner).zip(index.chunks_exact(to * inner)) {
        if inner == 1 {
            out.extend(index.iter().map(|&i| x[i as usize]));
        } else {
            for index in index.chunks_exact(inner) {
                out.extend(index.iter().enumerate().map(|(at, &i)| x[i as usize * inner + at]));
            }
        }
    }
    out
}

/// Zeros to which `y` is added at `index`: the transpose of [`gather`].
pub(super) fn scatter(y: &[f32], index: &[i32], [from, to, inner]: [usize; 3]) -> Vec<f32> {
    let mut out = vec![0.0; index.len() / (to * inner).max(1) * from * inner];
    let parts = y.chunks_exact(to * inner).zip(index.chunks_exact(to * inner));
    for (out, (y, index)) in out.chunks_exact_mut(from * inner).zip(parts) {
        for (y, index) in y.chunks_exact(inner).zip(index.chunks_exact(inner)) {
            for (at, (y, &i)) in y.iter().zip(index).enumerate() {
                out[i as usize * inner + at] += y;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn largest_are_those_of_the_definition(
            (n, c, h, w) in (1usize..3, 1usize..3, 1usize..40, 1usize..40),
            kernel in [1usize..5, 1usize..5],
            stride in [1usize..5, 1usize..5],
            padding in [0usize..3, 0usize..3],
            seed in any::<u64>(),
        ) {
            use rand::Rng;
            let padding = [0, 1].map(|i| padding[i].min(kernel[i] - 1));
            let window = Window { kernel, stride, padding };
            let Some([oh, ow]) = window.output([h, w]) else { return Ok(()) };
            let mut random = crate::random::stream(seed, "pool", 0);
            let odd = [f32::NEG_INFINITY, f32::INFINITY, f32::NAN, 0.0];
            let x: Vec<f32> = (0..n * c * h * w)
                .map(|_| match random.random_range(0..8) {
                    0 => odd[random.random_range(0..4)],
                    // Few values, so that many are equal.
                    _ => f32::from(random.random_range(-3i8..3)),
                })
                .collect();
            for arch in tile::arches() {
                let got = with_vectors(arch, &x, &[n, c, h, w], &window);
                prop_assert_eq!(got.len(), n * c * oh * ow);
                for (i, &got) in got.iter().enumerate() {
                    let (picture, y, column) = (&x[i / (oh * ow) * h * w..][..h * w], i / ow % oh, i % ow);
                    let seen = |at: usize, size: usize, axis: usize| {
                        let start = at * stride[axis];
                        start.saturating_sub(padding[axis])..(start + kernel[axis] - padding[axis]).min(size)
                    };
                    let places: Vec<usize> = seen(y, h, 0)
                        .flat_map(|y| seen(column, w, 1).map(move |x| y * w + x))
                        .collect();
                    let got = usize::try_from(got).unwrap();
                    prop_assert!(places.contains(&got));
                    if places.iter().any(|&place| picture[place].is_nan()) {
                        prop_assert!(picture[got].is_nan());
                    } else {
                        let first = places.iter().copied().reduce(|a, b| if picture[b] > picture[a] { b } else { a });
                        prop_assert_eq!(Some(got), first);
                    }
                }
            }
        }
    }
}
