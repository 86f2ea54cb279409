//! Runs a [`Kernel`] over CPU memory, one cache-sized tile at a time, with functions that vectorize.
//!
//! burn-flex computes `tanh`, `exp` and `log` one element at a time with libm, and each elementwise operation in a pass
//! of its own. Here a whole group is one vectorized pass over memory.
use std::cell::RefCell;

use super::kernel::{Function, Instruction, Kernel, Operand};
use crate::graph::{Binary, Unary};

/// The number of elements of a tile. All registers of a typical kernel fit the first-level cache.
const TILE: usize = 512;

thread_local! {
    /// Memory for tiles. Its length stays 0: a kernel reads only what it has written before.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// An input of a kernel, and how it maps to the kernel's shape.
pub(super) struct Load<'a> {
    pub(super) data: &'a [f32],
    pub(super) layout: Layout,
}

/// How the elements of an input repeat over the elements of the result, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Layout {
    /// The input has one element for each element of the result.
    Full,
    /// The input's only element is used everywhere.
    Scalar,
    /// The whole input repeats, as a bias does over rows.
    Repeat,
    /// Each element repeats this many times in a row, as a column does when it is broadcast over columns. After the last
    /// element the first one follows again, as a channel's bias does over pictures.
    Run(usize),
    /// Anything else: for each axis of the result, its length and the input's step along it.
    Strided(Vec<(usize, usize)>),
}

impl Layout {
    /// The layout of an input of shape `from` that is broadcast to the shape `to`.
    pub(super) fn new(from: &[usize], to: &[usize]) -> Layout {
        let (n, total): (usize, usize) = (from.iter().product(), to.iter().product());
        if n == total {
            return Layout::Full;
        }
        if n == 1 {
            return Layout::Scalar;
        }
        let lead = to.len() - from.len();
        let same = |i: usize| i >= lead && from[i - lead] == to[i];
        let rank = to.len();
        let suffix = (0..rank).rev().take_while(|&i| same(i)).map(|i| to[i]).product::<usize>();
        if suffix == n {
            return Layout::Repeat;
        }
        let inner = (0..rank).rev().take_while(|&i| !same(i)).count();
        let middle = (0..rank - inner).rev().take_while(|&i| same(i)).map(|i| to[i]).product::<usize>();
        if middle == n {
            return Layout::Run(to[rank - inner..].iter().product());
        }
        let mut strides = vec![(1, 0); rank];
        let mut step = 1;
        for i in (0..rank).rev() {
            let length = if i >= lead { from[i - lead] } else { 1 };
            strides[i] = (to[i], if length == 1 { 0 } else { step });
            step *= length;
        }
        Layout::Strided(strides)
    }
}

/// Computes `kernel` over `total` elements into newly allocated outputs.
pub(super) fn run(kernel: &Kernel, total: usize, loads: &[Load<'_>]) -> Vec<Vec<f32>> {
    let mut outputs: Vec<Vec<f32>> = (0..kernel.outputs).map(|_| Vec::with_capacity(total)).collect();
    let pointers: Vec<*mut f32> = outputs.iter_mut().map(|o| o.as_mut_ptr()).collect();
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.reserve((kernel.registers + loads.len()) * TILE);
        let work = Tiles { kernel, total, loads, outputs: &pointers, scratch: scratch.as_mut_ptr() };
        pulp::Arch::new().dispatch(work);
    });
    for output in &mut outputs {
        // SAFETY: `run_tiles` wrote all `total` elements of every output.
        unsafe { output.set_len(total) };
    }
    outputs
}

/// Sums over the middle axis of a non-empty, row-major array `[…, length, inner]`.
///
/// The order of additions depends only on the shape, so that results are the same on every thread and processor.
pub(super) fn sum(data: &[f32], length: usize, inner: usize) -> Vec<f32> {
    let block = length * inner;
    let mut sums = vec![0f32; data.len() / block * inner];
    pulp::Arch::new().dispatch(Sums { data, length, inner, sums: &mut sums });
    sums
}

struct Sums<'a> {
    data: &'a [f32],
    length: usize,
    inner: usize,
    sums: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Sums<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let Sums { data, length, inner, sums } = self;
        if inner == 1 {
            for (sum, row) in sums.iter_mut().zip(data.chunks_exact(length)) {
                *sum = sum_of(row);
            }
            return;
        }
        for (sums, block) in sums.chunks_exact_mut(inner).zip(data.chunks_exact(length * inner)) {
            for row in block.chunks_exact(inner) {
                for (sum, x) in sums.iter_mut().zip(row) {
                    *sum += x;
                }
            }
        }
    }
}

/// Sums a row in 16 lanes, because in a single chain each addition waits for the one before.
#[inline(always)]
fn sum_of(row: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    let chunks = row.chunks_exact(16);
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// The location of an operand's tile.
#[derive(Clone, Copy)]
enum Source {
    Slice(*const f32),
    Scalar(f32),
}

/// The work of [`run`], compiled for the processor's widest vectors. It is a type of its own because a closure given to
/// pulp may be compiled separately from its caller, for the baseline processor.
struct Tiles<'a> {
    kernel: &'a Kernel,
    total: usize,
    loads: &'a [Load<'a>],
    outputs: &'a [*mut f32],
    scratch: *mut f32,
}

impl pulp::NullaryFnOnce for Tiles<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        run_tiles(self.kernel, self.total, self.loads, self.outputs, self.scratch);
    }
}

#[inline(always)]
fn run_tiles(kernel: &Kernel, total: usize, loads: &[Load<'_>], outputs: &[*mut f32], scratch: *mut f32) {
    // A repeated row that fills a tile exactly needs to be laid out only once.
    let tile = loads
        .iter()
        .find_map(|l| match l.layout {
            Layout::Repeat if l.data.len() <= TILE => Some(TILE / l.data.len() * l.data.len()),
            _ => None,
        })
        .unwrap_or(TILE);
    let registers = scratch;
    // SAFETY: registers come first, then one tile for each load.
    let staged = unsafe { registers.add(kernel.registers * TILE) };
    let mut start = 0;
    while start < total {
        let length = tile.min(total - start);
        for (i, load) in loads.iter().enumerate() {
            let fresh = match load.layout {
                Layout::Full | Layout::Scalar => false,
                Layout::Repeat => start == 0 || tile % load.data.len() != 0,
                _ => true,
            };
            if fresh {
                // SAFETY: this is tile `i` of the staging area. It has `TILE ≥ length` elements and aliases nothing
                // else.
                let out = unsafe { std::slice::from_raw_parts_mut(staged.add(i * TILE), length) };
                stage(load, start, out);
            }
        }
        let operand = |o: Operand| match o {
            Operand::Constant(v) => Source::Scalar(v as f32),
            Operand::Load(i) => match loads[i].layout {
                Layout::Scalar => Source::Scalar(loads[i].data[0]),
                Layout::Full => {
                    debug_assert!(loads[i].data.len() == total);
                    // SAFETY: a full input has `total` elements.
                    Source::Slice(unsafe { loads[i].data.as_ptr().add(start) })
                }
                // SAFETY: as above.
                _ => Source::Slice(unsafe { staged.add(i * TILE) }),
            },
            Operand::Result(r) => Source::Slice(place(&kernel.instructions[r], registers, outputs, start)),
        };
        for instruction in &kernel.instructions {
            let out = place(instruction, registers, outputs, start);
            let [a, b, c] = instruction.operands.map(operand);
            // SAFETY: `out` is a register that no operand of this instruction uses (see `Kernel::new`), or a
            // fresh part of an output; sources have at least `length` elements.
            unsafe { execute(instruction.function, out, length, a, b, c) };
        }
        start += length;
    }
}

/// The location of an instruction's result for the tile at `start`.
#[inline(always)]
fn place(instruction: &Instruction, registers: *mut f32, outputs: &[*mut f32], start: usize) -> *mut f32 {
    match instruction.output {
        // SAFETY: outputs have room for all elements.
        Some(o) => unsafe { outputs[o].add(start) },
        // SAFETY: the scratch memory holds `registers` tiles.
        None => unsafe { registers.add(instruction.register * TILE) },
    }
}

/// Lays out the tile at `start` of a broadcast input.
#[inline(always)]
fn stage(load: &Load<'_>, start: usize, out: &mut [f32]) {
    let data = load.data;
    match &load.layout {
        Layout::Full | Layout::Scalar => {}
        Layout::Repeat => {
            let (mut at, mut from) = (0, start % data.len());
            while at < out.len() {
                let n = (data.len() - from).min(out.len() - at);
                out[at..at + n].copy_from_slice(&data[from..from + n]);
                at += n;
                from = 0;
            }
        }
        Layout::Run(run) => {
            let (mut at, mut index, mut left) = (0, start / run % data.len(), run - start % run);
            while at < out.len() {
                let n = left.min(out.len() - at);
                out[at..at + n].fill(data[index]);
                at += n;
                index = if index + 1 < data.len() { index + 1 } else { 0 };
                left = *run;
            }
        }
        Layout::Strided(axes) => {
            for (i, value) in out.iter_mut().enumerate() {
                let (mut rest, mut offset) = (start + i, 0);
                for &(length, stride) in axes.iter().rev() {
                    offset += rest % length * stride;
                    rest /= length;
                }
                *value = data[offset];
            }
        }
    }
}

#[inline(always)]
unsafe fn map1(out: *mut f32, n: usize, a: Source, f: impl Fn(f32) -> f32) {
    // SAFETY: see `run_tiles`.
    let out = unsafe { std::slice::from_raw_parts_mut(out, n) };
    match a {
        Source::Slice(a) => {
            // SAFETY: see `run_tiles`.
            let a = unsafe { std::slice::from_raw_parts(a, n) };
            for i in 0..n {
                out[i] = f(a[i]);
            }
        }
        Source::Scalar(a) => out.fill(f(a)),
    }
}

#[inline(always)]
unsafe fn map2(out: *mut f32, n: usize, a: Source, b: Source, f: impl Fn(f32, f32) -> f32) {
    // SAFETY: see `run_tiles`.
    let (out, slice) =
        unsafe { (std::slice::from_raw_parts_mut(out, n), |p| std::slice::from_raw_parts(p, n)) };
    match (a, b) {
        (Source::Slice(a), Source::Slice(b)) => {
            let (a, b) = (slice(a), slice(b));
            for i in 0..n {
                out[i] = f(a[i], b[i]);
            }
        }
        (Source::Slice(a), Source::Scalar(b)) => {
            let a = slice(a);
            for i in 0..n {
                out[i] = f(a[i], b);
            }
        }
        (Source::Scalar(a), Source::Slice(b)) => {
            let b = slice(b);
            for i in 0..n {
                out[i] = f(a, b[i]);
            }
        }
        (Source::Scalar(a), Source::Scalar(b)) => out.fill(f(a, b)),
    }
}

#[inline(always)]
unsafe fn execute(function: Function, out: *mut f32, n: usize, a: Source, b: Source, c: Source) {
    let truth = |t: bool| if t { 1.0 } else { 0.0 };
    // SAFETY: the caller guarantees what all calls below need.
    unsafe {
        match function {
            Function::Unary(unary) => match unary {
                Unary::Neg => map1(out, n, a, |x| -x),
                Unary::Exp => map1(out, n, a, exp),
                Unary::Log => map1(out, n, a, log),
                Unary::Sqrt => map1(out, n, a, f32::sqrt),
                Unary::Abs => map1(out, n, a, f32::abs),
                Unary::Sign => map1(out, n, a, |x| {
                    if x > 0.0 {
                        1.0
                    } else if x < 0.0 {
                        -1.0
                    } else {
                        x
                    }
                }),
                Unary::Recip => map1(out, n, a, |x| 1.0 / x),
                Unary::Tanh => map1(out, n, a, tanh),
                Unary::Sigmoid => map1(out, n, a, |x| 1.0 / (1.0 + exp(-x))),
                // NaN stays NaN.
                Unary::Relu => map1(out, n, a, |x| if x <= 0.0 { 0.0 } else { x }),
                Unary::Erf => map1(out, n, a, libm::erff),
                Unary::Power(p) => {
                    let p = p.get() as f32;
                    map1(out, n, a, |x| x.powf(p));
                }
            },
            Function::Binary(binary) => match binary {
                Binary::Add => map2(out, n, a, b, |x, y| x + y),
                Binary::Sub => map2(out, n, a, b, |x, y| x - y),
                Binary::Mul => map2(out, n, a, b, |x, y| x * y),
                Binary::Div => map2(out, n, a, b, |x, y| x / y),
                Binary::Max => map2(out, n, a, b, |x, y| if x < y { y } else { x }),
                Binary::Min => map2(out, n, a, b, |x, y| if y < x { y } else { x }),
                Binary::Less => map2(out, n, a, b, |x, y| truth(x < y)),
                Binary::LessEqual => map2(out, n, a, b, |x, y| truth(x <= y)),
                Binary::Equal => map2(out, n, a, b, |x, y| truth(x == y)),
            },
            Function::Select => {
                let at = |s: Source, i: usize| match s {
                    Source::Slice(p) => *p.add(i),
                    Source::Scalar(v) => v,
                };
                for i in 0..n {
                    *out.add(i) = if at(a, i) != 0.0 { at(b, i) } else { at(c, i) };
                }
            }
        }
    }
}

/// `eˣ` with a relative error below 2e-7, computed as 2ⁿ·e^r with r in ±ln 2/2 and Cephes' polynomial for e^r.
#[inline(always)]
#[allow(clippy::excessive_precision)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5·2²³: adding it rounds to an integer, kept in the low bits
    let clamped = if x > 88.722_83 { 88.722_83 } else { x };
    let clamped = if clamped < -87.336_54 { -87.336_54 } else { clamped };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * 0.693_359_375 + n * 2.121_944_4e-4;
    let p = 1.987_569_15e-4f32;
    let p = p.mul_add(r, 1.398_199_95e-3);
    let p = p.mul_add(r, 8.333_451_9e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_55e-1);
    let p = p.mul_add(r, 5.000_000_12e-1);
    let e = p * r * r + r + 1.0;
    // 2ⁿ is split into two factors, because 2¹²⁸ alone is not a finite `f32`.
    let half = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32) >> 1;
    let rest = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32) - half;
    let two = |k: i32| f32::from_bits(((k + 127) as u32) << 23);
    let y = e * two(half) * two(rest);
    let y = if x > 88.722_83 { f32::INFINITY } else { y };
    if x < -87.336_54 { 0.0 } else { y }
}

/// The natural logarithm with a relative error below 2e-7 (Cephes). Subnormal numbers count as 0.
#[inline(always)]
#[allow(clippy::excessive_precision)]
fn log(x: f32) -> f32 {
    let bits = x.to_bits() as i32;
    // The mantissa is brought into √½ … √2.
    let shifted = bits.wrapping_sub(0x3f35_04f3);
    let exponent = (shifted >> 23) as f32;
    let m = f32::from_bits(((shifted & 0x007f_ffff) + 0x3f35_04f3) as u32) - 1.0;
    let p = 7.037_683_6e-2f32;
    let p = p.mul_add(m, -1.151_461_03e-1);
    let p = p.mul_add(m, 1.167_699_87e-1);
    let p = p.mul_add(m, -1.242_014_1e-1);
    let p = p.mul_add(m, 1.424_932_3e-1);
    let p = p.mul_add(m, -1.666_805_8e-1);
    let p = p.mul_add(m, 2.000_071_5e-1);
    let p = p.mul_add(m, -2.499_999_4e-1);
    let p = p.mul_add(m, 3.333_333_1e-1);
    let square = m * m;
    let y = m * square * p - 2.121_944_4e-4 * exponent - 0.5 * square + m + 0.693_359_375 * exponent;
    let y = if x == f32::INFINITY { x } else { y };
    let y = if x < f32::MIN_POSITIVE { f32::NEG_INFINITY } else { y };
    if x < 0.0 || x.is_nan() { f32::NAN } else { y }
}

/// The hyperbolic tangent with an absolute error below 5e-7: a rational minimax approximation on ±7.9, and ±1 beyond.
#[inline(always)]
#[allow(clippy::excessive_precision)]
fn tanh(x: f32) -> f32 {
    let c = if x > 7.998_811_7 { 7.998_811_7 } else { x };
    let c = if c < -7.998_811_7 { -7.998_811_7 } else { c };
    let s = c * c;
    let p = -2.760_768_5e-16f32;
    let p = p.mul_add(s, 2.000_187_9e-13);
    let p = p.mul_add(s, -8.604_671_5e-11);
    let p = p.mul_add(s, 5.122_297_1e-8);
    let p = p.mul_add(s, 1.485_722_4e-5);
    let p = p.mul_add(s, 6.372_619_3e-4);
    let p = p.mul_add(s, 4.893_524_6e-3) * c;
    let q = 1.198_258_4e-6f32;
    let q = q.mul_add(s, 1.185_347_1e-4);
    let q = q.mul_add(s, 2.268_434_6e-3);
    let q = q.mul_add(s, 4.893_525_2e-3);
    p / q
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(low: f64, high: f64) -> impl Iterator<Item = f32> {
        (0..=200_000).map(move |i| (low + (high - low) * f64::from(i) / 200_000.0) as f32)
    }

    #[test]
    fn exp_log_and_tanh_are_accurate() {
        for x in sweep(-87.0, 88.7) {
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 3e-7, "exp({x}) = {}", exp(x));
        }
        for x in sweep(-30.0, 38.0) {
            let x = 10f32.powf(x);
            let exact = f64::from(x).ln();
            assert!(
                (f64::from(log(x)) - exact).abs() <= 3e-7 * exact.abs().max(1.0),
                "log({x}) = {}",
                log(x)
            );
        }
        for x in sweep(-12.0, 12.0) {
            assert!((f64::from(tanh(x)) - f64::from(x).tanh()).abs() < 5e-7, "tanh({x}) = {}", tanh(x));
        }
    }

    #[test]
    fn special_values() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(log(0.0), f32::NEG_INFINITY);
        assert_eq!(log(1.0), 0.0);
        assert_eq!(log(f32::INFINITY), f32::INFINITY);
        assert!(log(-1.0).is_nan() && log(f32::NAN).is_nan() && exp(f32::NAN).is_nan());
        assert!(tanh(f32::NAN).is_nan());
        assert!((tanh(100.0) - 1.0).abs() < 3e-7 && (tanh(-100.0) + 1.0).abs() < 3e-7);
    }

    #[test]
    fn sums_are_those_of_a_plain_loop() {
        for (outer, length, inner) in
            [(1, 1, 1), (3, 7, 1), (2, 100, 1), (1, 5, 3), (4, 33, 17), (2, 256, 64)]
        {
            let data: Vec<f32> =
                (0..outer * length * inner).map(|i| ((i * 37) % 101) as f32 - 50.0).collect();
            let expected: Vec<f32> = (0..outer * inner)
                .map(|o| (0..length).map(|l| data[o / inner * length * inner + l * inner + o % inner]).sum())
                .collect();
            // With whole numbers, every order of additions gives the same sum.
            assert_eq!(sum(&data, length, inner), expected, "{outer} {length} {inner}");
        }
    }

    #[test]
    fn layouts() {
        assert_eq!(Layout::new(&[4, 3], &[4, 3]), Layout::Full);
        assert_eq!(Layout::new(&[], &[4, 3]), Layout::Scalar);
        assert_eq!(Layout::new(&[3], &[4, 3]), Layout::Repeat);
        assert_eq!(Layout::new(&[4, 1], &[4, 3]), Layout::Run(3));
        let channels = Layout::new(&[1, 3, 1], &[2, 3, 2]);
        assert_eq!(channels, Layout::Run(2));
        let mut out = vec![0.0; 7];
        stage(&Load { data: &[0.0, 1.0, 2.0], layout: channels }, 3, &mut out);
        assert_eq!(out, [1.0, 2.0, 2.0, 0.0, 0.0, 1.0, 1.0]);
        let strided = Layout::new(&[2, 1, 3], &[2, 4, 3]);
        let data: Vec<f32> = (0..6).map(|v| v as f32).collect();
        let mut out = vec![0.0; 24];
        stage(&Load { data: &data, layout: strided }, 0, &mut out);
        let expected: Vec<f32> = (0..24).map(|i| (i / 12 * 3 + i % 3) as f32).collect();
        assert_eq!(out, expected);
    }
}
