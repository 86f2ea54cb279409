//! A group of elementwise operations as one kernel, compiled for its program, its shape and the strides of its inputs.
use std::sync::Arc;

use burn_backend::TensorMetadata;
use burn_cubecl::CubeRuntime;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::super::backend::physical;
use super::super::kernel::{Function, Kernel, Operand};
use super::{argument, block, blocks, index, memory, tensor};
use crate::graph::{Binary, Unary};

const THREADS: u32 = 256;

/// Where an instruction reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum From {
    Load(usize),
    Result(usize),
    /// A number, by its bits.
    Number(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Step {
    function: Function,
    from: [From; 3],
    output: Option<usize>,
}

/// What is compiled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Program {
    steps: Vec<Step>,
    shape: Vec<u32>,
    /// How far apart an input's elements are along each axis; 0 where it is broadcast.
    strides: Vec<Vec<u32>>,
}

impl Program {
    /// Whether an input's elements lie in the order of the results.
    fn in_order(&self, input: usize) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.strides[input]).rev().all(|(&length, &stride)| {
            let right = length == 1 || stride == expected;
            expected *= length;
            right
        })
    }

    /// The number of elements with the same index along `axis` and those before it.
    fn inner(&self, axis: usize) -> u32 {
        self.shape[axis + 1..].iter().product()
    }
}

/// The numbers that CubeCL 0.10 writes as `inf` and `NaN`, which NVRTC does not know; so they are arguments.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Extremes {
    infinity: f32,
    not_a_number: f32,
}

#[cube]
fn operand(
    loads: &Sequence<f32>,
    results: &Sequence<f32>,
    extremes: &Extremes,
    #[comptime] from: From,
) -> f32 {
    match from {
        From::Load(i) => loads[comptime!(i)],
        From::Result(i) => results[comptime!(i)],
        From::Number(bits) => {
            let value = comptime!(f32::from_bits(bits));
            if comptime!(value.is_nan()) {
                extremes.not_a_number
            } else if comptime!(value.is_infinite() && value > 0.0) {
                extremes.infinity
            } else if comptime!(value.is_infinite()) {
                -extremes.infinity
            } else {
                f32::new(comptime!(if value.is_finite() { value } else { 0.0 }))
            }
        }
    }
}

#[cube]
fn unary(x: f32, extremes: &Extremes, #[comptime] op: Unary) -> f32 {
    match op {
        Unary::Neg => -x,
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Sqrt => x.sqrt(),
        Unary::Abs => x.abs(),
        Unary::Sign => select(x > 0.0, 1.0f32, select(x < 0.0, -1.0f32, x)),
        Unary::Recip => 1.0f32 / x,
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => 1.0f32 / (1.0f32 + (-x).exp()),
        Unary::Relu => select(x < 0.0, 0.0f32, x),
        Unary::Erf => Erf::erf(x),
        Unary::Power(p) => power(x, extremes, comptime!(p.get() as f32)),
    }
}

/// WGSL's power knows no negative base, no NaN, and no negative power of 0.
#[cube]
fn power(x: f32, extremes: &Extremes, #[comptime] p: f32) -> f32 {
    let whole = comptime!(p.fract() == 0.0);
    let odd = comptime!(p.rem_euclid(2.0) == 1.0);
    let size = x.abs().powf(f32::new(comptime!(p.abs())));
    let size = if comptime!(p < 0.0) { 1.0f32 / size } else { size };
    let of_negative = if comptime!(!whole) {
        extremes.not_a_number
    } else if comptime!(odd) {
        -size
    } else {
        size
    };
    select(x.is_nan(), x, select(x < 0.0, of_negative, size))
}

#[cube]
fn binary(a: f32, b: f32, #[comptime] op: Binary) -> f32 {
    match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Max => select(a < b, b, a),
        Binary::Min => select(b < a, b, a),
        Binary::Less => select(a < b, 1.0f32, 0.0f32),
        Binary::LessEqual => select(a <= b, 1.0f32, 0.0f32),
        Binary::Equal => select(a == b, 1.0f32, 0.0f32),
    }
}

/// One thread computes one element.
#[cube(launch_unchecked)]
fn run(
    inputs: &Sequence<Array<f32>>,
    outputs: &mut Sequence<Array<f32>>,
    length: u32,
    extremes: &Extremes,
    #[comptime] program: Arc<Program>,
) {
    let at = block() * THREADS + UNIT_POS;
    if at >= length {
        terminate!();
    }
    let mut loads = Sequence::<f32>::new();
    #[unroll]
    for i in 0..comptime!(program.strides.len()) {
        let mut from = at;
        if comptime!(!program.in_order(i)) {
            from = 0u32;
            #[unroll]
            for axis in 0..comptime!(program.shape.len()) {
                let stride = comptime!(program.strides[i][axis]);
                if comptime!(stride != 0) {
                    from += at / comptime!(program.inner(axis)) % comptime!(program.shape[axis]) * stride;
                }
            }
        }
        loads.push(inputs[i][from as usize]);
    }
    let mut results = Sequence::<f32>::new();
    #[unroll]
    for i in 0..comptime!(program.steps.len()) {
        let step = comptime!(program.steps[i]);
        let a = operand(&loads, &results, extremes, comptime!(step.from[0]));
        let value = match comptime!(step.function) {
            Function::Unary(op) => unary(a, extremes, op),
            Function::Binary(op) => {
                binary(a, operand(&loads, &results, extremes, comptime!(step.from[1])), op)
            }
            Function::Select => {
                let b = operand(&loads, &results, extremes, comptime!(step.from[1]));
                let c = operand(&loads, &results, extremes, comptime!(step.from[2]));
                select(a != 0.0, b, c)
            }
        };
        results.push(value);
        if comptime!(step.output.is_some()) {
            let output = comptime!(step.output.unwrap_or(0));
            outputs.index_mut(output)[at as usize] = value;
        }
    }
}

/// Runs `kernel` over `shape`, which has elements, as each of the inputs.
pub(super) fn fused<R: CubeRuntime>(
    kernel: &Kernel,
    shape: &[usize],
    inputs: &[&CubeTensor<R>],
    client: &ComputeClient<R>,
    device: &R::CubeDevice,
) -> Vec<CubeTensor<R>> {
    let mut outputs = 0..;
    let steps = kernel.instructions.iter().map(|i| Step {
        function: i.function,
        from: i.operands.map(|operand| match operand {
            Operand::Load(i) => From::Load(i),
            Operand::Result(i) => From::Result(i),
            Operand::Constant(value) => From::Number((value as f32).to_bits()),
        }),
        output: i.output.and_then(|_| outputs.next()),
    });
    let target = physical(shape).to_vec();
    let length: usize = target.iter().product();
    let count = index(length);
    let steps = steps.collect();
    let strides = inputs.iter().map(|t| {
        let (own, strides) = (t.meta.shape(), t.meta.strides());
        let lead = target.len() - t.rank();
        let along = |axis: usize| if own[axis] == 1 { 0 } else { index(strides[axis]) };
        std::iter::repeat_n(0, lead).chain((0..t.rank()).map(along)).collect()
    });
    let program =
        Program { steps, strides: strides.collect(), shape: target.iter().map(|&n| index(n)).collect() };
    let mut arguments = SequenceArg::new();
    inputs.iter().for_each(|t| arguments.push(argument(t)));
    let mut results = SequenceArg::new();
    let made = (0..kernel.outputs).map(|_| {
        let (handle, result) = memory(client, length);
        results.push(result);
        handle
    });
    let made: Vec<_> = made.collect();
    // SAFETY: threads beyond the last element end, and an input is read inside its shape.
    unsafe {
        run::launch_unchecked::<R>(
            client,
            blocks(count.div_ceil(THREADS)),
            CubeDim::new_1d(THREADS),
            arguments,
            results,
            count,
            ExtremesLaunch::new(f32::INFINITY, f32::NAN),
            Arc::new(program),
        );
    }
    made.into_iter().map(|handle| tensor(client, device, handle, shape)).collect()
}
