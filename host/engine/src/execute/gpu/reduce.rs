//! Sums and maxima over any axes of a tensor, in one or two launches, in an order that is the same in every run.
use std::sync::Arc;

use burn_cubecl::CubeRuntime;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{argument, block, blocks, index, memory, tensor};
use crate::graph::Reduction;

const THREADS: u32 = 256;

/// Blocks that keep every multiprocessor of a large GPU busy.
const BUSY: u32 = 528;

/// What a kernel is compiled for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Layout {
    /// The length and the stride of each axis that is kept, and of each that is reduced; without those of length 1.
    kept: Vec<[u32; 2]>,
    reduced: Vec<[u32; 2]>,
    /// The threads that share one result, a power of 2. The others of the block compute other results.
    lanes: u32,
    /// Whether threads beside each other share a result, rather than compute results beside each other.
    lanes_first: bool,
    largest: bool,
}

impl Layout {
    fn results(&self) -> u32 {
        THREADS / self.lanes
    }
}

/// The position of element `flat` of a tensor with these axes.
#[cube]
fn position(flat: u32, #[comptime] axes: Vec<[u32; 2]>) -> u32 {
    let mut at = 0u32;
    #[unroll]
    for axis in 0..comptime!(axes.len()) {
        let inner = comptime!(axes[axis + 1..].iter().map(|a| a[0]).product::<u32>());
        at += flat / inner % comptime!(axes[axis][0]) * comptime!(axes[axis][1]);
    }
    at
}

/// The sum, or the maximum, of which NaN is the largest.
#[cube]
fn combine(a: f32, b: f32, #[comptime] largest: bool) -> f32 {
    if comptime!(largest) { select(b.is_nan(), b, select(b > a, b, a)) } else { a + b }
}

/// Reduces the elements number `p · part` to `(p + 1) · part` of each result to one number: results are
/// `[parts, results]`. `nothing` is the reduction of no numbers.
#[cube(launch_unchecked)]
fn run(
    input: &Array<f32>,
    output: &mut Array<f32>,
    results: u32,
    count: u32,
    part: u32,
    parts: u32,
    nothing: f32,
    #[comptime] layout: Arc<Layout>,
) {
    let of_block = comptime!(layout.results());
    let lanes = comptime!(layout.lanes);
    let groups = (results + comptime!(of_block - 1)) / of_block;
    let block = block();
    let (which, lane) = if comptime!(layout.lanes_first) {
        (UNIT_POS / lanes, UNIT_POS % lanes)
    } else {
        (UNIT_POS % of_block, UNIT_POS / of_block)
    };
    let result = block % groups * of_block + which;
    let p = block / groups;
    let inside = result < results && p < parts;
    let first = p * part;
    let last = select(inside, min(first + part, count), first);
    let from = position(result, comptime!(layout.kept.clone()));
    let mut value = nothing;
    let mut element = first + lane;
    while element < last {
        let at = from + position(element, comptime!(layout.reduced.clone()));
        value = combine(value, input[at as usize], comptime!(layout.largest));
        element += lanes;
    }
    if comptime!(lanes > 1) {
        let mut shared = SharedMemory::<f32>::new(comptime!(THREADS as usize));
        shared[(lane * of_block + which) as usize] = value;
        sync_cube();
        #[unroll]
        for halving in 0..comptime!(lanes.ilog2()) {
            let half = comptime!(lanes >> (halving + 1));
            if lane < half {
                let at = lane * of_block + which;
                let other = shared[(at + comptime!(half * of_block)) as usize];
                shared[at as usize] = combine(shared[at as usize], other, comptime!(layout.largest));
            }
            sync_cube();
        }
        value = shared[which as usize];
    }
    if inside && lane == 0 {
        output[(p * results + result) as usize] = value;
    }
}

/// The axes as the kernel counts them: without those of length 1, and neighbors that lie in order as one.
fn merged(axes: impl Iterator<Item = [usize; 2]>) -> Vec<[u32; 2]> {
    let mut merged: Vec<[usize; 2]> = vec![];
    for [length, stride] in axes.filter(|axis| axis[0] != 1) {
        match merged.last_mut() {
            Some(last) if last[1] == length * stride => *last = [last[0] * length, stride],
            _ => merged.push([length, stride]),
        }
    }
    merged.into_iter().map(|axis| axis.map(index)).collect()
}

/// Reduces `input` to the product of the lengths of `kept`.
fn launch<R: CubeRuntime>(
    client: &ComputeClient<R>,
    input: ArrayArg<R>,
    kept: Vec<[u32; 2]>,
    reduced: Vec<[u32; 2]>,
    largest: bool,
) -> Handle {
    let product = |axes: &[[u32; 2]]| axes.iter().map(|axis| axis[0]).product::<u32>();
    let (results, count) = (product(&kept), product(&reduced));
    // Threads beside each other read what is beside each other in memory.
    let innermost =
        |axes: &[[u32; 2]]| axes.iter().map(|axis| axis[1]).filter(|&s| s > 0).min().unwrap_or(u32::MAX);
    let lanes_first = innermost(&reduced) < innermost(&kept);
    let most = if lanes_first { THREADS } else { THREADS / 32 };
    // Each thread adds up a few numbers, unless there are results enough for all threads.
    let lanes = if results >= BUSY * THREADS { 1 } else { (count / 4).next_power_of_two().clamp(1, most) };
    let layout = Layout { kept, reduced, lanes, lanes_first, largest };
    let groups = results.div_ceil(layout.results());
    let parts = (BUSY / groups).clamp(1, count.div_ceil(lanes * 32).max(1));
    let part = count.div_ceil(parts).max(1);
    let parts = count.div_ceil(part).max(1);
    let (out, output) = memory(client, results as usize * parts as usize);
    let nothing = if largest { f32::NEG_INFINITY } else { 0.0 };
    // SAFETY: only elements of the axes are read, and `out` has a number for each part of each result.
    unsafe {
        run::launch_unchecked::<R>(
            client,
            blocks(groups * parts),
            CubeDim::new_1d(THREADS),
            input,
            output,
            results,
            count,
            part,
            parts,
            nothing,
            Arc::new(layout),
        );
    }
    match parts {
        1 => out,
        _ => combine_parts(client, out, parts as usize, results as usize, largest),
    }
}

/// Reduces `[parts, length]` to `[length]`.
fn combine_parts<R: CubeRuntime>(
    client: &ComputeClient<R>,
    parts: Handle,
    count: usize,
    length: usize,
    largest: bool,
) -> Handle {
    // SAFETY: so many numbers are in this memory.
    let input = unsafe { ArrayArg::from_raw_parts(parts, count * length) };
    let axes = |axis: [usize; 2]| merged([axis].into_iter());
    launch(client, input, axes([length, 1]), axes([count, length]), largest)
}

/// Adds up `parts` tensors of `length` numbers that follow each other.
pub(super) fn sum_parts<R: CubeRuntime>(
    client: &ComputeClient<R>,
    parts: Handle,
    count: usize,
    length: usize,
) -> Handle {
    combine_parts(client, parts, count, length, false)
}

/// Reduces the axes `axes` of `input`, which has elements, to length 1.
pub(super) fn reduce<R: CubeRuntime>(
    reduction: Reduction,
    input: &CubeTensor<R>,
    axes: &[usize],
) -> CubeTensor<R> {
    let mut shape = input.meta.shape().to_vec();
    let axis = |axis: usize| [input.meta.shape()[axis], input.meta.strides()[axis]];
    let (reduced, kept): (Vec<usize>, Vec<usize>) = (0..shape.len()).partition(|i| axes.contains(i));
    let (kept, reduced) = (merged(kept.into_iter().map(axis)), merged(reduced.into_iter().map(axis)));
    for &axis in axes {
        shape[axis] = 1;
    }
    let out = launch(&input.client, argument(input), kept, reduced, reduction == Reduction::Max);
    tensor(&input.client, &input.device, out, &shape)
}
