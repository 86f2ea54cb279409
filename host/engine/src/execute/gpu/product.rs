//! Products, tile by tile.
use burn_backend::TensorMetadata;
use burn_cubecl::CubeRuntime;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use cubecl::server::Handle;

use super::operand::{Problem, Strides, StridesLaunch, left, right, target};
use super::tile::{Tile, choose};
use super::{argument, block, blocks, index, memory, reduce, tensor};

/// The sizes of a product, and of what one block computes of it.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Sizes {
    m: u32,
    n: u32,
    k: u32,
    /// Products, and how far apart their operands begin: 0 if they share one.
    batches: u32,
    left_batch: u32,
    right_batch: u32,
    /// How many numbers of a sum a block adds up, and into how many parts that splits it.
    part: u32,
    parts: u32,
    /// The numbers of one product, and of all.
    product: u32,
    all: u32,
}

/// One tile of one part of one product. The parts of all products follow each other in `out`: nothing is added
/// atomically, so that a sum is the same in every run.
#[cube(launch_unchecked)]
fn multiply(
    a: &Array<f32>,
    b: &Array<f32>,
    out: &mut Array<f32>,
    sizes: &Sizes,
    strides: &Strides,
    #[comptime] p: Problem,
    #[comptime] tile: Tile,
) {
    let threads = comptime!(tile.threads());
    let along_a = comptime!(p.along_k[0]);
    let along_b = comptime!(p.along_k[1]);
    // Rows of shared memory that are written along k begin in different banks.
    let row_a = comptime!(if along_a { tile.m + 4 } else { tile.m });
    let row_b = comptime!(if along_b { tile.n + 4 } else { tile.n });
    let per_a = comptime!(tile.m * tile.k / tile.threads());
    let per_b = comptime!(tile.n * tile.k / tile.threads());
    let across = comptime!(tile.n / tile.tn);
    let down = comptime!(tile.m / tile.tm);

    let mut shared_a = SharedMemory::<f32>::new(comptime!((tile.k * row_a) as usize));
    let mut shared_b = SharedMemory::<f32>::new(comptime!((tile.k * row_b) as usize));
    let mut next_a = Array::<f32>::new(comptime!(per_a as usize));
    let mut next_b = Array::<f32>::new(comptime!(per_b as usize));
    let mut of_a = Array::<f32>::new(comptime!(tile.tm as usize));
    let mut of_b = Array::<f32>::new(comptime!(tile.tn as usize));
    let mut sums = Array::<f32>::new(comptime!((tile.tm * tile.tn) as usize));
    #[unroll]
    for i in 0..comptime!((tile.tm * tile.tn) as usize) {
        sums[i] = 0.0;
    }

    let tiles_n = (sizes.n + comptime!(tile.n - 1)) / comptime!(tile.n);
    let tiles_m = (sizes.m + comptime!(tile.m - 1)) / comptime!(tile.m);
    let block = block();
    let first_n = block % tiles_n * comptime!(tile.n);
    let first_m = block / tiles_n % tiles_m * comptime!(tile.m);
    let rest = block / tiles_n / tiles_m;
    let batch = rest % sizes.batches;
    let split = rest / sizes.batches;
    // A block beyond the last has no rows.
    let m = select(split < sizes.parts, sizes.m, 0);
    let n = sizes.n;
    let first_a = batch * sizes.left_batch;
    let first_b = batch * sizes.right_batch;

    let thread = UNIT_POS;
    let first = split * sizes.part;
    let last = min(first + sizes.part, sizes.k);
    let row = thread / across * 4;
    let column = thread % across * 4;

    let steps = select(split < sizes.parts, (last - first + comptime!(tile.k - 1)) / comptime!(tile.k), 0);
    for step in 0..steps + 1 {
        // What was loaded in the last step is stored, while nobody computes; the next is loaded while all compute.
        if step > 0 {
            #[unroll]
            for i in 0..per_a {
                let flat = comptime!(i * threads) + thread;
                let at = if comptime!(along_a) {
                    flat % comptime!(tile.k) * row_a + flat / comptime!(tile.k)
                } else {
                    flat / comptime!(tile.m) * row_a + flat % comptime!(tile.m)
                };
                shared_a[at as usize] = next_a[comptime!(i as usize)];
            }
            #[unroll]
            for i in 0..per_b {
                let flat = comptime!(i * threads) + thread;
                let at = if comptime!(along_b) {
                    flat % comptime!(tile.k) * row_b + flat / comptime!(tile.k)
                } else {
                    flat / comptime!(tile.n) * row_b + flat % comptime!(tile.n)
                };
                shared_b[at as usize] = next_b[comptime!(i as usize)];
            }
        }
        sync_cube();
        if step < steps {
            let from = first + step * comptime!(tile.k);
            #[unroll]
            for i in 0..per_a {
                let flat = comptime!(i * threads) + thread;
                let (k, along_m) = if comptime!(along_a) {
                    (flat % comptime!(tile.k), flat / comptime!(tile.k))
                } else {
                    (flat / comptime!(tile.m), flat % comptime!(tile.m))
                };
                next_a[comptime!(i as usize)] =
                    left(a, first_a, first_m + along_m, from + k, (m, last), strides, p);
            }
            #[unroll]
            for i in 0..per_b {
                let flat = comptime!(i * threads) + thread;
                let (k, along_n) = if comptime!(along_b) {
                    (flat % comptime!(tile.k), flat / comptime!(tile.k))
                } else {
                    (flat / comptime!(tile.n), flat % comptime!(tile.n))
                };
                next_b[comptime!(i as usize)] =
                    right(b, first_b, first_n + along_n, from + k, (n, last), strides, p);
            }
        }
        if step > 0 {
            #[unroll]
            for k in 0..comptime!(tile.k) {
                #[unroll]
                for i in 0..tile.tm {
                    let at = k * row_a + row + comptime!(i / 4 * down * 4 + i % 4);
                    of_a[comptime!(i as usize)] = shared_a[at as usize];
                }
                #[unroll]
                for j in 0..tile.tn {
                    let at = k * row_b + column + comptime!(j / 4 * across * 4 + j % 4);
                    of_b[comptime!(j as usize)] = shared_b[at as usize];
                }
                #[unroll]
                for i in 0..tile.tm {
                    #[unroll]
                    for j in 0..tile.tn {
                        let at = comptime!((i * tile.tn + j) as usize);
                        sums[at] = fma(of_a[comptime!(i as usize)], of_b[comptime!(j as usize)], sums[at]);
                    }
                }
            }
        }
        sync_cube();
    }

    let first_out = split * sizes.all + batch * sizes.product;
    #[unroll]
    for j in 0..tile.tn {
        let at_n = first_n + column + comptime!(j / 4 * across * 4 + j % 4);
        #[unroll]
        for i in 0..tile.tm {
            let at_m = first_m + row + comptime!(i / 4 * down * 4 + i % 4);
            let (at, inside) = target(at_m, at_n, n, p);
            if inside && at_m < m && at_n < n {
                out[(first_out + at) as usize] = sums[comptime!((i * tile.tn + j) as usize)];
            }
        }
    }
}

/// The operands of several products of one shape.
struct Operands<'a, R: CubeRuntime> {
    left: &'a CubeTensor<R>,
    right: &'a CubeTensor<R>,
    /// How many there are, and how far apart the operands begin.
    batches: u32,
    batch_strides: [u32; 2],
    strides: StridesLaunch<R>,
}

/// Computes products of `sizes` (`[m, n, k]`), which have `length` numbers each.
fn launch<R: CubeRuntime>(p: Problem, sizes: [u32; 3], operands: Operands<'_, R>, length: usize) -> Handle {
    let [m, n, k] = sizes;
    let client = &operands.left.client;
    let all = length * operands.batches as usize;
    index(all);
    let (tile, splits) = choose(sizes, operands.batches);
    // Every part begins at a multiple of a step, and none is empty.
    let part = k.div_ceil(splits).next_multiple_of(tile.k).max(tile.k);
    let parts = k.div_ceil(part).max(1);
    let (out, results) = memory(client, all * parts as usize);
    let tiles = m.div_ceil(tile.m) as usize * n.div_ceil(tile.n) as usize;
    let count = blocks(index(tiles * (operands.batches * parts) as usize));
    let [left_batch, right_batch] = operands.batch_strides;
    // SAFETY: an operand is read only where its sizes allow, and `out` has room for the results of all parts.
    unsafe {
        multiply::launch_unchecked::<R>(
            client,
            count,
            CubeDim::new_1d(tile.threads()),
            argument(operands.left),
            argument(operands.right),
            results,
            SizesLaunch::new(
                m,
                n,
                k,
                operands.batches,
                left_batch,
                right_batch,
                part,
                parts,
                length as u32,
                all as u32,
            ),
            operands.strides,
            p,
            tile,
        );
    }
    if parts == 1 { out } else { reduce::sum_parts(client, out, parts as usize, all) }
}

/// A convolution or one of its gradients, of `shape`; the operands are as [`super::operand::Kind`] says.
pub(super) fn convolution<R: CubeRuntime>(
    p: Problem,
    left: CubeTensor<R>,
    right: CubeTensor<R>,
    shape: &[usize],
) -> CubeTensor<R> {
    let [left, right] = [left, right].map(into_contiguous);
    let pictures = right.shape()[0];
    let operands = Operands {
        left: &left,
        right: &right,
        batches: 1,
        batch_strides: [0; 2],
        strides: StridesLaunch::new(0, 0, 0, 0),
    };
    let out = launch(p, p.sizes(pictures), operands, shape.iter().product());
    tensor(&left.client, &left.device, out, shape)
}

/// How far apart the matrices in the last two axes begin, if that is one number for all of them.
fn batch_stride<R: CubeRuntime>(tensor: &CubeTensor<R>) -> Option<usize> {
    let lead = tensor.rank() - 2;
    let (shape, strides) = (tensor.meta.shape(), tensor.meta.strides());
    let mut axes = (0..lead).rev().filter(|&axis| shape[axis] > 1);
    let Some(last) = axes.next() else { return Some(0) };
    let mut next = strides[last] * shape[last];
    for axis in axes {
        if strides[axis] != next {
            return None;
        }
        next *= shape[axis];
    }
    Some(strides[last])
}

/// Products of the matrices in the last two axes. The leading axes of both tensors are equal.
pub(super) fn matrices<R: CubeRuntime>(a: CubeTensor<R>, b: CubeTensor<R>) -> CubeTensor<R> {
    let rank = a.rank();
    let in_order = |t: CubeTensor<R>| match batch_stride(&t) {
        Some(stride) => (t, index(stride)),
        None => {
            let t = into_contiguous(t);
            let stride = t.shape()[rank - 2] * t.shape()[rank - 1];
            (t, index(stride))
        }
    };
    let ((a, left_batch), (b, right_batch)) = (in_order(a), in_order(b));
    let (mut shape, n) = (a.shape().to_vec(), b.shape()[rank - 1]);
    let [m, k] = [shape[rank - 2], shape[rank - 1]];
    let batches: usize = shape[..rank - 2].iter().product();
    shape[rank - 1] = n;
    let strides = |t: &CubeTensor<R>| {
        let strides = t.meta.strides();
        [index(strides[rank - 2]), index(strides[rank - 1])]
    };
    let ([left_m, left_k], [right_k, right_n]) = (strides(&a), strides(&b));
    // Threads beside each other load what is beside each other in memory.
    let p = Problem::matrices([left_k <= left_m, right_k < right_n]);
    let operands = Operands {
        left: &a,
        right: &b,
        batches: index(batches),
        batch_strides: [left_batch, right_batch],
        strides: StridesLaunch::new(left_m, left_k, right_k, right_n),
    };
    let out = launch(p, [m, n, k].map(index), operands, m * n);
    tensor(&a.client, &a.device, out, &shape)
}
