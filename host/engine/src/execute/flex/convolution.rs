//! Convolutions on the CPU, as products of a matrix with patches: what a kernel sees at an output position. The patches are
//! never all in memory. The pictures are laid out so that an element of a kernel sees neighbors in memory as it moves along a
//! row of the output, and only the patches of a tile are gathered, or none at all.
//!
//! burn-flex computes the gradient of the weights one output channel after the other.
use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::tile;
use crate::execute::scaled;
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
    /// The processor's vectors.
    arch: pulp::Arch,
}

/// The positions that are copied at once. Vectors of more would mostly cross a border between lines of the cache.
const BLOCK: usize = 8;

/// The taps that are gathered together.
const GATHERED: usize = 128;

/// The most numbers of the pictures that are worked on together, half of a core's second-level cache.
const CACHED: usize = 1 << 17;

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
            arch: pulp::Arch::new(),
        }
    }

    /// The shape of the output, `[n, o, oh, ow]`.
    pub(super) fn output(&self) -> [usize; 4] {
        [self.pictures, self.kernels, self.out[0], self.out[1]]
    }

    /// The convolution of `x` with `weight`: `[n, o, oh, ow]`.
    pub(super) fn forward<T: Number>(&self, x: &[T], weight: &[f32]) -> Vec<f32> {
        assert_eq!(x.len(), self.pictures * self.picture(), "the pictures' numbers");
        let length = self.output().iter().product();
        let mut out = Vec::with_capacity(length);
        let room = &mut out.spare_capacity_mut()[..length];
        with_scratch(|scratch| self.arch.dispatch(Forward { of: *self, x, weight, out: room, scratch }));
        // SAFETY: every output position of every kernel and picture belongs to a tile, and all tiles were written.
        unsafe { out.set_len(length) };
        out
    }

    /// The gradient with respect to the pictures, `[n, c, h, w]`, for the gradient `[n, o, oh, ow]` of the output.
    pub(super) fn input(&self, gradient: &[f32], weight: &[f32]) -> Vec<f32> {
        assert_eq!(gradient.len(), self.output().iter().product::<usize>(), "the gradient's numbers");
        if let Some(full) = self.full() {
            return full.forward(gradient, &self.turned(weight));
        }
        let length = self.pictures * self.picture();
        let mut x = Vec::with_capacity(length);
        let room = &mut x.spare_capacity_mut()[..length];
        with_scratch(|scratch| self.arch.dispatch(Input { of: *self, gradient, weight, x: room, scratch }));
        // SAFETY: every picture belongs to a group, and `collect` writes all rows of each.
        unsafe { x.set_len(length) };
        x
    }

    /// The gradient with respect to the weight, `[o, c, kh, kw]`.
    pub(super) fn weight<T: Number>(&self, x: &[T], gradient: &[f32]) -> Vec<f32> {
        assert_eq!(x.len(), self.pictures * self.picture(), "the pictures' numbers");
        assert_eq!(gradient.len(), self.output().iter().product::<usize>(), "the gradient's numbers");
        let mut weight = vec![0.0; self.kernels * self.patch()];
        with_scratch(|scratch| {
            self.arch.dispatch(Weight { of: *self, x, gradient, weight: &mut weight, scratch });
        });
        weight
    }

    /// The convolution of the output's gradient that gives the input's, if it takes little more work than adding patches up.
    fn full(&self) -> Option<Convolution> {
        let of_gradient = [0, 1].map(|i| self.kernel[i].checked_sub(self.padding[i] + 1));
        let &[Some(top), Some(left)] = &of_gradient else { return None };
        let near = 4 * self.size[0] * self.size[1] <= 5 * self.positions();
        (self.stride == [1, 1] && near).then_some(Convolution {
            channels: self.kernels,
            size: self.out,
            kernels: self.channels,
            padding: [top, left],
            out: self.size,
            ..*self
        })
    }

    /// The kernels of [`Self::full`], `[c, o, kh, kw]`: each one turned by half a turn.
    fn turned(&self, weight: &[f32]) -> Vec<f32> {
        let elements = self.kernel[0] * self.kernel[1];
        let mut turned = Vec::with_capacity(weight.len());
        for c in 0..self.channels {
            for kernel in weight.chunks_exact(self.patch()) {
                turned.extend(kernel[c * elements..][..elements].iter().rev());
            }
        }
        turned
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

    /// The sizes of a channel in the planes of a picture, `[h + 2p, stride, (w + 2p) / stride]`. Columns that an element of a
    /// kernel sees one after the other are neighbors.
    fn planes(&self) -> [usize; 3] {
        let [h, w] = [0, 1].map(|i| self.size[i] + 2 * self.padding[i]);
        [h, self.stride[1], w.div_ceil(self.stride[1])]
    }

    /// The numbers of a picture's planes.
    fn spread_picture(&self) -> usize {
        self.channels * self.planes().iter().product::<usize>()
    }

    /// The pictures that are worked on together, if each takes this many numbers.
    fn group(&self, numbers: usize) -> usize {
        (CACHED / numbers.max(1)).clamp(1, self.pictures.max(1))
    }

    /// The pictures whose positions are the lanes of tiles together: as many as are cached, or down to half as many if that
    /// leaves fewer lanes empty.
    fn group_of_lanes(&self) -> usize {
        /// What the widest vectors take.
        const LANES: usize = 32;
        let most = self.group(self.spread_picture());
        let tiles = |pictures: usize| (pictures * self.positions()).div_ceil(LANES);
        (most.div_ceil(2)..=most)
            .rev()
            .min_by_key(|&group| self.pictures / group * tiles(group) + tiles(self.pictures % group))
            .expect("a group has a picture")
    }

    /// The elements of a kernel: the place in the kernel, and the place in the planes of what it sees at the first position.
    /// Neighbors belong to different channels, so that gradients which are added one after the other do not overlap.
    fn taps(&self) -> Vec<(usize, usize)> {
        let ([h, stride, length], [kh, kw]) = (self.planes(), self.kernel);
        let mut taps = Vec::with_capacity(self.patch());
        for (i, j) in (0..kh).flat_map(|i| (0..kw).map(move |j| (i, j))) {
            let first = (i * stride + j % stride) * length + j / stride;
            taps.extend((0..self.channels).map(|c| ((c * kh + i) * kw + j, c * h * stride * length + first)));
        }
        taps
    }

    /// Calls `each` for the parts of rows that the positions `from..to` of a group of pictures consist of.
    #[inline(always)]
    fn runs(&self, from: usize, to: usize, mut each: impl FnMut(Run)) {
        let [_, stride, length] = self.planes();
        let mut position = from;
        while position < to {
            let (row, x) = (position / self.out[1], position % self.out[1]);
            let (picture, y) = (row / self.out[0], row % self.out[0]);
            let run = (self.out[1] - x).min(to - position);
            each(Run {
                lane: position - from,
                length: run,
                planes: picture * self.spread_picture() + y * self.stride[0] * stride * length + x,
            });
            position += run;
        }
    }

    /// Calls `each` for the parts of pictures that the positions `from..to` of a group consist of, with the first one's
    /// number in the tile, and their places in the output of `kernel`.
    #[inline(always)]
    fn parts(&self, kernel: usize, from: usize, to: usize, mut each: impl FnMut(usize, Range<usize>)) {
        let positions = self.positions();
        let mut position = from;
        while position < to {
            let (picture, first) = (position / positions, position % positions);
            let length = (positions - first).min(to - position);
            let place = (picture * self.kernels + kernel) * positions + first;
            each(position - from, place..place + length);
            position += length;
        }
    }

    /// [`Self::runs`], each as blocks, the last of which may not be full.
    #[inline(always)]
    fn blocks(&self, from: usize, to: usize, mut each: impl FnMut(Run)) {
        self.runs(from, to, |Run { lane, length, planes }| {
            for at in (0..length).step_by(BLOCK) {
                each(Run { lane: lane + at, length: (length - at).min(BLOCK), planes: planes + at });
            }
        });
    }

    /// Lays out the pictures `x`. `row` is memory for a row.
    #[inline(always)]
    fn spread<T: Number>(&self, x: &[T], planes: &mut [f32], row: &mut Vec<f32>) {
        let ([h, w], [ph, stride, length], [top, left]) = (self.size, self.planes(), self.padding);
        let planes = planes.chunks_exact_mut(ph * stride * length);
        for (channel, planes) in x.chunks_exact(h * w).zip(planes) {
            let planes = planes.chunks_exact_mut(stride * length).skip(top);
            for (from, planes) in channel.chunks_exact(w).zip(planes) {
                T::spread(from, left, planes, stride, row);
            }
        }
    }

    /// Reads the pictures that were laid out in these planes.
    #[inline(always)]
    fn collect(&self, planes: &[f32], x: &mut [MaybeUninit<f32>]) {
        let ([h, w], [ph, stride, length], [top, left]) = (self.size, self.planes(), self.padding);
        for (planes, channel) in planes.chunks_exact(ph * stride * length).zip(x.chunks_exact_mut(h * w)) {
            let planes = planes.chunks_exact(stride * length).skip(top);
            for (planes, to) in planes.zip(channel.chunks_exact_mut(w)) {
                collect(planes, left, to, stride);
            }
        }
    }
}

/// What pictures are made of: numbers, or bytes that stand for numbers from 0 to 1.
pub(super) trait Number: Copy {
    /// [`spread`], for which `memory` may be used.
    fn spread(row: &[Self], padding: usize, planes: &mut [f32], stride: usize, memory: &mut Vec<f32>);
}

impl Number for f32 {
    #[inline(always)]
    fn spread(row: &[f32], padding: usize, planes: &mut [f32], stride: usize, _: &mut Vec<f32>) {
        spread(row, padding, planes, stride);
    }
}

impl Number for u8 {
    #[inline(always)]
    fn spread(row: &[u8], padding: usize, planes: &mut [f32], stride: usize, memory: &mut Vec<f32>) {
        if let (4, 0, (words, [])) = (stride, padding, row.as_chunks::<4>()) {
            let length = planes.len() / 4;
            for (plane, to) in planes.chunks_exact_mut(length).enumerate() {
                let number = |word: [u8; 4]| scaled((u32::from_le_bytes(word) >> (8 * plane)) as u8);
                let to = &mut to[..words.len()];
                // Blocks, the last of which may overlap the one before it: what is left over would take as long as they do.
                match words.len().checked_sub(BLOCK) {
                    Some(last) => {
                        for at in (0..last).step_by(BLOCK).chain([last]) {
                            let words: [[u8; 4]; BLOCK] = *words[at..].first_chunk().expect("a block");
                            *to[at..].first_chunk_mut().expect("a block") = words.map(number);
                        }
                    }
                    None => to.iter_mut().zip(words).for_each(|(to, word)| *to = number(*word)),
                }
            }
            return;
        }
        memory.clear();
        memory.extend(row.iter().map(|&byte| scaled(byte)));
        spread(memory, padding, planes, stride);
    }
}

/// Neighboring output positions in a row of a picture: the first one's number in the tile, how many there are, and the place
/// in the planes of what the first element of a kernel sees at the first one.
#[derive(Clone, Copy)]
struct Run {
    lane: usize,
    length: usize,
    planes: usize,
}

/// Memory for the pictures that are being worked on. It stays allocated between convolutions.
#[derive(Default)]
struct Scratch {
    planes: Vec<f32>,
    lanes: Vec<f32>,
    rows: Vec<f32>,
    row: Vec<f32>,
    runs: Vec<Run>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

fn with_scratch(work: impl FnOnce(&mut Scratch)) {
    SCRATCH.with_borrow_mut(work);
}

/// Memory for this many numbers, whatever they are, and a vector or a block behind them.
#[inline(always)]
fn room<S: Simd>(memory: &mut Vec<f32>, numbers: usize) -> &mut [f32] {
    let numbers = numbers + S::F32_LANES.max(BLOCK);
    if memory.len() < numbers {
        memory.resize(numbers, 0.0);
    }
    &mut memory[..numbers]
}

/// The vectors of a row of tiles whose lanes are positions.
const VECTORS: usize = 2;

struct Forward<'a, T> {
    of: Convolution,
    x: &'a [T],
    weight: &'a [f32],
    out: &'a mut [MaybeUninit<f32>],
    scratch: &'a mut Scratch,
}

impl<T: Number> WithSimd for Forward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::REGISTER_COUNT {
            32.. => self.run::<S, 8>(simd),
            _ => self.run::<S, 4>(simd),
        }
    }
}

impl<T: Number> Forward<'_, T> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        let Forward { of, x, weight, out, scratch } = self;
        let (positions, patch, kernels, group) =
            (of.positions(), of.patch(), of.kernels, of.group_of_lanes());
        let (width, taps) = (VECTORS * S::F32_LANES, of.taps());
        let rows = room::<S>(&mut scratch.rows, kernels.next_multiple_of(R) * patch);
        pack::<R>(rows, kernels, patch, |kernel, k| weight[kernel * patch + taps[k].0]);
        let lanes = room::<S>(&mut scratch.lanes, patch * width);
        let mut result = vec![0.0f32; R * width];
        let planes = of.start::<S>(group, &mut scratch.planes);
        let groups = x.chunks(group * of.picture()).zip(out.chunks_mut(group * kernels * positions));
        for (x, out) in groups {
            of.spread(x, planes, &mut scratch.row);
            let all = out.len() / kernels;
            for start in (0..all).step_by(width) {
                let end = (start + width).min(all);
                scratch.runs.clear();
                of.blocks(start, end, |run| scratch.runs.push(run));
                // The lanes of a few taps stay in the first-level cache until all are written.
                for (part, taps) in taps.chunks(GATHERED).enumerate() {
                    for run in &scratch.runs {
                        // SAFETY: taps see planes of the pictures only, the tile has room for its positions, and both have
                        // a block behind them.
                        unsafe { gather(taps, run, width, planes, &mut lanes[part * GATHERED * width..]) };
                    }
                }
                for first in (0..kernels).step_by(R) {
                    let mut tile = tile::zeros::<S, VECTORS, R>(simd);
                    // SAFETY: `pack` wrote all kernels, the loop above all lanes.
                    unsafe {
                        tile::packed(simd, &mut tile, patch, rows[first * patch..].as_ptr(), lanes.as_ptr())
                    };
                    let (picture, p) = (start / positions, start % positions);
                    if p + width <= positions {
                        let to = &mut out[(picture * kernels + first) * positions + p..];
                        // SAFETY: the tile lies in the picture.
                        unsafe {
                            tile::write::<S, VECTORS, R>(
                                &tile,
                                kernels - first,
                                to.as_mut_ptr().cast(),
                                positions,
                            )
                        };
                        continue;
                    }
                    // SAFETY: the result has room for all rows.
                    unsafe { tile::write::<S, VECTORS, R>(&tile, R, result.as_mut_ptr(), width) };
                    for (kernel, result) in (first..kernels).zip(result.chunks_exact(width)) {
                        of.parts(kernel, start, end, |lane, of_kernel| {
                            let result = &result[lane..lane + of_kernel.len()];
                            out[of_kernel].write_copy_of_slice(result);
                        });
                    }
                }
            }
        }
    }
}

struct Input<'a> {
    of: Convolution,
    gradient: &'a [f32],
    weight: &'a [f32],
    x: &'a mut [MaybeUninit<f32>],
    scratch: &'a mut Scratch,
}

impl WithSimd for Input<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::REGISTER_COUNT {
            32.. => self.run::<S, 8>(simd),
            _ => self.run::<S, 4>(simd),
        }
    }
}

impl Input<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        let Input { of, gradient, weight, x, scratch } = self;
        let (positions, patch, kernels, group) =
            (of.positions(), of.patch(), of.kernels, of.group_of_lanes());
        let (width, taps) = (VECTORS * S::F32_LANES, of.taps());
        let rows = room::<S>(&mut scratch.rows, patch.next_multiple_of(R) * kernels);
        pack::<R>(rows, patch, kernels, |k, kernel| weight[kernel * patch + taps[k].0]);
        let lanes = room::<S>(&mut scratch.lanes, kernels * width);
        let mut result = vec![0.0f32; R * width + BLOCK];
        let planes = of.start::<S>(group, &mut scratch.planes);
        let groups = gradient.chunks(group * kernels * positions).zip(x.chunks_mut(group * of.picture()));
        for (gradient, x) in groups {
            let all = gradient.len() / kernels;
            planes.fill(0.0);
            for start in (0..all).step_by(width) {
                let end = (start + width).min(all);
                scratch.runs.clear();
                of.blocks(start, end, |run| scratch.runs.push(run));
                for (kernel, lanes) in lanes.chunks_exact_mut(width).take(kernels).enumerate() {
                    of.parts(kernel, start, end, |lane, of_kernel| {
                        lanes[lane..lane + of_kernel.len()].copy_from_slice(&gradient[of_kernel]);
                    });
                }
                for first in (0..patch).step_by(R) {
                    let mut tile = tile::zeros::<S, VECTORS, R>(simd);
                    // SAFETY: `pack` wrote the whole weight, the loop above all lanes.
                    unsafe {
                        tile::packed(
                            simd,
                            &mut tile,
                            kernels,
                            rows[first * kernels..].as_ptr(),
                            lanes.as_ptr(),
                        );
                        tile::write::<S, VECTORS, R>(&tile, R, result.as_mut_ptr(), width);
                    }
                    for run in &scratch.runs {
                        // SAFETY: taps see planes of the pictures only, and both have a block behind them.
                        unsafe { scatter(&taps[first..(first + R).min(patch)], run, width, &result, planes) };
                    }
                }
            }
            of.collect(planes, x);
        }
    }
}

struct Weight<'a, T> {
    of: Convolution,
    x: &'a [T],
    gradient: &'a [f32],
    weight: &'a mut [f32],
    scratch: &'a mut Scratch,
}

impl<T: Number> WithSimd for Weight<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (S::REGISTER_COUNT, self.of.kernels > S::F32_LANES) {
            (32.., true) => self.run::<S, 2, 12>(simd),
            (_, true) => self.run::<S, 2, 6>(simd),
            (_, false) => self.run::<S, 1, 12>(simd),
        }
    }
}

impl<T: Number> Weight<'_, T> {
    #[inline(always)]
    fn run<S: Simd, const V: usize, const R: usize>(self, simd: S) {
        let Weight { of, x, gradient, weight, scratch } = self;
        let (positions, patch, kernels) = (of.positions(), of.patch(), of.kernels);
        let group = of.group(of.spread_picture() + kernels * positions);
        let (width, taps) = (V * S::F32_LANES, of.taps());
        let blocks = kernels.div_ceil(width);
        // The lanes are kernels, so the product is the transposed weight, `[blocks, patch, width]`.
        let sums = room::<S>(&mut scratch.rows, blocks * patch.next_multiple_of(R) * width);
        sums.fill(0.0);
        let lanes = room::<S>(&mut scratch.lanes, blocks * group * positions * width);
        let planes = of.start::<S>(group, &mut scratch.planes);
        let groups = x.chunks(group * of.picture()).zip(gradient.chunks(group * kernels * positions));
        for (x, gradient) in groups {
            of.spread(x, planes, &mut scratch.row);
            let all = gradient.len() / kernels;
            scratch.runs.clear();
            of.runs(0, all, |run| scratch.runs.push(run));
            for (picture, gradient) in gradient.chunks_exact(kernels * positions).enumerate() {
                for (block, gradient) in gradient.chunks(width * positions).enumerate() {
                    let to = (block * all + picture * positions) * width;
                    let to = &mut lanes[to..to + positions * width];
                    transpose(gradient, positions, to, width);
                }
            }
            for block in 0..blocks {
                for first in (0..patch).step_by(R) {
                    let mut tile = tile::zeros::<S, V, R>(simd);
                    let mut offsets = [0; R];
                    for r in 0..R {
                        offsets[r] = taps[(first + r).min(patch - 1)].1;
                    }
                    // SAFETY: taps see planes of the pictures only, all lanes were written, and the sums have room for
                    // whole tiles.
                    unsafe {
                        for run in &scratch.runs {
                            let mut seen = [planes.as_ptr(); R];
                            for r in 0..R {
                                seen[r] = seen[r].add(offsets[r] + run.planes);
                            }
                            let lanes = lanes.as_ptr().add((block * all + run.lane) * width);
                            tile::scattered(simd, &mut tile, run.length, &seen, lanes);
                        }
                        let sums = &mut sums[(block * patch.next_multiple_of(R) + first) * width..];
                        tile::add(simd, &tile, sums.as_mut_ptr());
                    }
                }
            }
        }
        for (kernel, weight) in weight.chunks_exact_mut(patch).enumerate() {
            let block = kernel / width * patch.next_multiple_of(R) * width;
            for (k, &(place, _)) in taps.iter().enumerate() {
                weight[place] = sums[block + k * width + kernel % width];
            }
        }
    }
}

impl Convolution {
    /// Memory for the planes of `group` pictures. The padding is 0.
    #[inline(always)]
    fn start<'a, S: Simd>(&self, group: usize, memory: &'a mut Vec<f32>) -> &'a mut [f32] {
        // The last row may be read in whole blocks, from any of its columns.
        let planes = room::<S>(memory, group * self.spread_picture());
        if self.padding != [0, 0] {
            planes.fill(0.0);
        }
        planes
    }
}

/// Writes a matrix of `m × depth` elements in blocks of `R` rows, each column by column, with zeros for missing rows.
#[inline(always)]
fn pack<const R: usize>(to: &mut [f32], m: usize, depth: usize, element: impl Fn(usize, usize) -> f32) {
    for (block, to) in to.chunks_exact_mut(R * depth).take(m.div_ceil(R)).enumerate() {
        for (k, to) in to.as_chunks_mut::<R>().0.iter_mut().enumerate() {
            for (r, to) in to.iter_mut().enumerate() {
                *to = if block * R + r < m { element(block * R + r, k) } else { 0.0 };
            }
        }
    }
}

/// Copies what every element of a kernel sees at a block of positions to the lanes of a tile.
///
/// # Safety
/// All of it lies within the planes, and the lanes of all taps have room, each with a block behind it.
#[inline(always)]
unsafe fn gather(taps: &[(usize, usize)], run: &Run, width: usize, planes: &[f32], lanes: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe {
        let (planes, lanes) = (planes.as_ptr().add(run.planes), lanes.as_mut_ptr().add(run.lane));
        if run.lane + BLOCK <= width {
            // What is too much in a block is overwritten by the next one.
            for (k, &(_, offset)) in taps.iter().enumerate() {
                let block = planes.add(offset).cast::<[f32; BLOCK]>().read_unaligned();
                lanes.add(k * width).cast::<[f32; BLOCK]>().write_unaligned(block);
            }
        } else if width < BLOCK {
            for (k, &(_, offset)) in taps.iter().enumerate() {
                let (from, to) = (planes.add(offset), lanes.add(k * width));
                (0..run.length).for_each(|i| *to.add(i) = *from.add(i));
            }
        } else {
            // The block with which the tile ends. What it has before the run stays. The place in the planes grows at least as
            // fast as the position, so there is as much before it.
            let before = run.lane + BLOCK - width;
            let (planes, lanes) = (planes.sub(before), lanes.sub(before));
            let of_run: [u32; BLOCK] = std::array::from_fn(|i| if i < before { 0 } else { u32::MAX });
            for (k, &(_, offset)) in taps.iter().enumerate() {
                let to = lanes.add(k * width).cast::<[f32; BLOCK]>();
                let seen = planes.add(offset).cast::<[f32; BLOCK]>().read_unaligned();
                let mut block = to.read_unaligned();
                for i in 0..BLOCK {
                    let (old, new) = (block[i].to_bits() & !of_run[i], seen[i].to_bits() & of_run[i]);
                    block[i] = f32::from_bits(old | new);
                }
                to.write_unaligned(block);
            }
        }
    }
}

/// Adds the gradients of what every element of a kernel sees at a block of positions.
///
/// # Safety
/// All of it lies within the planes, which have a block behind them, and so do the rows of `result`.
#[inline(always)]
unsafe fn scatter(taps: &[(usize, usize)], run: &Run, width: usize, result: &[f32], planes: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe {
        let (planes, result) = (planes.as_mut_ptr().add(run.planes), result.as_ptr().add(run.lane));
        let of_run: [u32; BLOCK] = std::array::from_fn(|i| if i < run.length { u32::MAX } else { 0 });
        for (r, &(_, offset)) in taps.iter().enumerate() {
            let to = planes.add(offset).cast::<[f32; BLOCK]>();
            let gradient = result.add(r * width).cast::<[f32; BLOCK]>().read_unaligned();
            let mut sum = to.read_unaligned();
            for i in 0..BLOCK {
                sum[i] += f32::from_bits(gradient[i].to_bits() & of_run[i]);
            }
            to.write_unaligned(sum);
        }
    }
}

/// Deals the numbers of a row, `padding` to the right, to `stride` planes in turn.
#[inline(always)]
pub(super) fn spread(row: &[f32], padding: usize, planes: &mut [f32], stride: usize) {
    /// In blocks of 4 from each plane, which become shuffles.
    #[inline(always)]
    fn fixed<const S: usize>(row: &[f32], padding: usize, planes: &mut [f32]) {
        let length = planes.len() / S;
        // The numbers before the first block that begins in plane 0.
        let before = (S - padding % S) % S;
        let (before, blocks) = row.split_at(before.min(row.len()));
        let blocks = blocks.as_chunks::<S>().0.as_chunks::<4>().0;
        let start = (before.len() + padding) / S;
        for (i, block) in blocks.iter().enumerate() {
            for plane in 0..S {
                let to = &mut planes[plane * length + start + i * 4..];
                let to: &mut [f32; 4] = to.first_chunk_mut().expect("a block");
                *to = [block[0][plane], block[1][plane], block[2][plane], block[3][plane]];
            }
        }
        let behind = before.len() + blocks.len() * 4 * S;
        for x in (0..before.len()).chain(behind..row.len()) {
            planes[(x + padding) % S * length + (x + padding) / S] = row[x];
        }
    }
    match stride {
        1 => planes[padding..padding + row.len()].copy_from_slice(row),
        2 => fixed::<2>(row, padding, planes),
        4 => fixed::<4>(row, padding, planes),
        _ => {
            let length = planes.len() / stride;
            for (x, value) in row.iter().enumerate() {
                planes[(x + padding) % stride * length + (x + padding) / stride] = *value;
            }
        }
    }
}

/// Reads the row that [`spread`] dealt to the planes.
#[inline(always)]
fn collect(planes: &[f32], padding: usize, row: &mut [MaybeUninit<f32>], stride: usize) {
    #[inline(always)]
    fn fixed<const S: usize>(planes: &[f32], padding: usize, row: &mut [MaybeUninit<f32>]) {
        let length = planes.len() / S;
        // The numbers before the first block that begins in plane 0.
        let before = ((S - padding % S) % S).min(row.len());
        let (blocks, rest) = row[before..].as_chunks_mut::<S>();
        let start = (before + padding) / S;
        let of_planes: [&[f32]; S] =
            std::array::from_fn(|plane| &planes[plane * length + start..][..blocks.len()]);
        // In blocks of 4 from each plane, which become shuffles.
        let (fours, behind) = blocks.as_chunks_mut::<4>();
        for (i, four) in fours.iter_mut().enumerate() {
            let of_planes = of_planes.map(|plane| plane[4 * i..].first_chunk::<4>().expect("a block"));
            *four = std::array::from_fn(|x| of_planes.map(|plane| MaybeUninit::new(plane[x])));
        }
        for (block, x) in behind.iter_mut().zip(4 * fours.len()..) {
            *block = of_planes.map(|plane| MaybeUninit::new(plane[x]));
        }
        let behind = before + blocks.len() * S;
        for (plane, to) in rest.iter_mut().enumerate() {
            to.write(planes[plane * length + (behind + padding) / S]);
        }
        for x in 0..before {
            row[x].write(planes[(x + padding) % S * length + (x + padding) / S]);
        }
    }
    match stride {
        1 => _ = row.write_copy_of_slice(&planes[padding..padding + row.len()]),
        2 => fixed::<2>(planes, padding, row),
        4 => fixed::<4>(planes, padding, row),
        _ => {
            let length = planes.len() / stride;
            for (x, to) in (padding..).zip(row) {
                to.write(planes[x % stride * length + x / stride]);
            }
        }
    }
}

/// Writes the transpose of a matrix with rows of `n` numbers to `to`, in rows of `width` numbers.
#[inline(always)]
pub(super) fn transpose(from: &[f32], n: usize, to: &mut [f32], width: usize) {
    const SIDE: usize = 8;
    for (block, from) in from.chunks(SIDE * n).enumerate() {
        let mut rows = from.chunks_exact(n);
        if from.len() < SIDE * n {
            for (r, row) in rows.enumerate() {
                to.chunks_exact_mut(width).zip(row).for_each(|(to, from)| to[block * SIDE + r] = *from);
            }
        } else {
            let rows: [&[f32]; SIDE] = std::array::from_fn(|_| rows.next().expect("a row of the block"));
            for (i, to) in to.chunks_exact_mut(width).take(n).enumerate() {
                let to: &mut [f32; SIDE] = to[block * SIDE..].first_chunk_mut().expect("a block of the row");
                for r in 0..SIDE {
                    to[r] = rows[r][i];
                }
            }
        }
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
            (n, c, o) in (1usize..4, 1usize..4, 1usize..40),
            kernel in [1usize..10, 1usize..10],
            stride in [1usize..5, 1usize..5],
            padding in [0usize..3, 0usize..3],
            more in [0usize..9, 0usize..9],
            seed in any::<u64>(),
        ) {
            let size = [0, 1].map(|i| (kernel[i] + more[i]).saturating_sub(2 * padding[i]).max(1));
            let window = Window { kernel, stride, padding };
            let mut of = Convolution::new(&[n, c, size[0], size[1]], o, &window);
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
            let bytes: Vec<u8> = x.iter().map(|x| (x.abs() * 255.0) as u8).collect();
            let pictures: Vec<f32> = bytes.iter().map(|&byte| scaled(byte)).collect();
            for arch in tile::arches() {
                of.arch = arch;
                close(&of.forward(&x, &weight), &expected[0]);
                close(&of.input(&gradient, &weight), &expected[1]);
                close(&of.weight(&x, &gradient), &expected[2]);
                prop_assert_eq!(of.forward(&bytes, &weight), of.forward(&pictures, &weight));
                prop_assert_eq!(of.weight(&bytes, &gradient), of.weight(&pictures, &gradient));
            }
        }
    }
}
