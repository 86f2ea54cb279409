//! The innermost loops of a product: a tile of the result stays in registers while they run over the common axis. The tile
//! has `R` rows of `V` vectors each.
#![allow(clippy::needless_range_loop)] // loops over a tile have constant bounds, so that it stays in registers
use pulp::Simd;

/// A tile of a product.
pub(super) type Tile<S, const V: usize, const R: usize> = [[<S as Simd>::f32s; V]; R];

/// A tile of zeros.
#[inline(always)]
pub(super) fn zeros<S: Simd, const V: usize, const R: usize>(simd: S) -> Tile<S, V, R> {
    [[simd.splat_f32s(0.0); V]; R]
}

/// Reads a vector.
///
/// # Safety
/// A vector of numbers is at `from`.
#[inline(always)]
pub(super) unsafe fn load<S: Simd>(from: *const f32) -> S::f32s {
    // SAFETY: the caller's.
    unsafe { from.cast::<S::f32s>().read_unaligned() }
}

/// Writes a vector.
///
/// # Safety
/// A vector of numbers has room at `to`.
#[inline(always)]
pub(super) unsafe fn store<S: Simd>(to: *mut f32, vector: S::f32s) {
    // SAFETY: the caller's.
    unsafe { to.cast::<S::f32s>().write_unaligned(vector) }
}

/// [`load`] for indices.
///
/// # Safety
/// A vector of indices is at `from`.
#[inline(always)]
pub(super) unsafe fn load_u32<S: Simd>(from: *const u32) -> S::u32s {
    // SAFETY: the caller's.
    unsafe { from.cast::<S::u32s>().read_unaligned() }
}

/// [`store`] for indices.
///
/// # Safety
/// A vector of indices has room at `to`.
#[inline(always)]
pub(super) unsafe fn store_u32<S: Simd>(to: *mut u32, vector: S::u32s) {
    // SAFETY: the caller's.
    unsafe { to.cast::<S::u32s>().write_unaligned(vector) }
}

/// Writes the first `rows` rows of a tile, `step` numbers apart.
///
/// # Safety
/// They have room at `to`.
#[inline(always)]
pub(super) unsafe fn write<S: Simd, const V: usize, const R: usize>(
    tile: &Tile<S, V, R>,
    rows: usize,
    to: *mut f32,
    step: usize,
) {
    for r in 0..R {
        if r < rows {
            for v in 0..V {
                // SAFETY: the caller's.
                unsafe { store::<S>(to.add(r * step + v * S::F32_LANES), tile[r][v]) };
            }
        }
    }
}

/// Adds all rows of a tile to numbers in memory, one row after the other.
///
/// # Safety
/// They are at `to`.
#[inline(always)]
pub(super) unsafe fn add<S: Simd, const V: usize, const R: usize>(
    simd: S,
    tile: &Tile<S, V, R>,
    to: *mut f32,
) {
    for r in 0..R {
        for v in 0..V {
            // SAFETY: the caller's.
            unsafe {
                let to = to.add((r * V + v) * S::F32_LANES);
                store::<S>(to, simd.add_f32s(load::<S>(to), tile[r][v]));
            }
        }
    }
}

/// Adds `rows · lanes` to the tile: `rows` has `depth` columns of `R` numbers, `lanes` has `depth` rows of `V` vectors, one
/// after the other.
///
/// # Safety
/// Both have so many numbers.
#[inline(always)]
pub(super) unsafe fn packed<S: Simd, const V: usize, const R: usize>(
    simd: S,
    tile: &mut Tile<S, V, R>,
    depth: usize,
    rows: *const f32,
    lanes: *const f32,
) {
    for k in 0..depth {
        // SAFETY: the caller's.
        unsafe { step(simd, tile, |r| rows.add(k * R + r), lanes.add(k * V * S::F32_LANES)) };
    }
}

/// Adds `rows · lanes` to the tile: every row has `depth` numbers in a place of its own, `lanes` has `depth` rows of `V`
/// vectors, one after the other.
///
/// # Safety
/// All have so many numbers.
#[inline(always)]
pub(super) unsafe fn scattered<S: Simd, const V: usize, const R: usize>(
    simd: S,
    tile: &mut Tile<S, V, R>,
    depth: usize,
    rows: &[*const f32; R],
    lanes: *const f32,
) {
    for k in 0..depth {
        // SAFETY: the caller's.
        unsafe { step(simd, tile, |r| rows[r].add(k), lanes.add(k * V * S::F32_LANES)) };
    }
}

/// Adds the product of a column, whose numbers are at `row(0)` to `row(R - 1)`, and a row of `V` vectors.
///
/// # Safety
/// The numbers are there.
#[inline(always)]
unsafe fn step<S: Simd, const V: usize, const R: usize>(
    simd: S,
    tile: &mut Tile<S, V, R>,
    row: impl Fn(usize) -> *const f32,
    lanes: *const f32,
) {
    let mut vectors = [simd.splat_f32s(0.0); V];
    for v in 0..V {
        // SAFETY: the caller's.
        vectors[v] = unsafe { load::<S>(lanes.add(v * S::F32_LANES)) };
    }
    for r in 0..R {
        // SAFETY: the caller's.
        let number = simd.splat_f32s(unsafe { *row(r) });
        for v in 0..V {
            tile[r][v] = simd.mul_add_e_f32s(number, vectors[v], tile[r][v]);
        }
    }
}

/// Every kind of vectors that this processor has.
#[cfg(test)]
pub(super) fn arches() -> Vec<pulp::Arch> {
    let mut arches = vec![pulp::Arch::Scalar, pulp::Arch::new()];
    #[cfg(target_arch = "x86_64")]
    arches.extend(pulp::x86::V3::try_new().map(pulp::Arch::V3));
    arches
}
