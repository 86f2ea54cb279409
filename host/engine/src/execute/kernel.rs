//! Kernels: groups of fused elementwise operations over one shape, as small programs that run tile by tile.
use crate::graph::{Binary, Unary};

/// What an instruction reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operand {
    /// The input with this number, broadcast to the kernel's shape.
    Load(usize),
    /// The result of the instruction with this number.
    Result(usize),
    /// This number.
    Constant(f64),
}

/// What an instruction computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Function {
    Unary(Unary),
    Binary(Binary),
    Select,
}

/// One elementwise operation. Unused operands are the constant 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instruction {
    pub(super) function: Function,
    pub(super) operands: [Operand; 3],
    /// The output that the result is written to, if it is needed outside the kernel.
    pub(super) output: Option<usize>,
    /// The tile register for the result, never one whose content a later instruction needs.
    pub(super) register: usize,
}

/// A program: instructions that run in order. Each reads inputs and earlier results.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    pub(super) instructions: Vec<Instruction>,
    pub(super) registers: usize,
    pub(super) outputs: usize,
}

impl Kernel {
    /// Creates a kernel and assigns its registers, so that a register is reused after the last use of its result.
    pub(super) fn new(mut instructions: Vec<Instruction>) -> Self {
        let mut last_use: Vec<usize> = (0..instructions.len()).collect();
        for (i, instruction) in instructions.iter().enumerate() {
            for operand in instruction.operands {
                if let Operand::Result(r) = operand {
                    last_use[r] = i;
                }
            }
        }
        let (mut free, mut registers): (Vec<usize>, usize) = (vec![], 0);
        for i in 0..instructions.len() {
            // The register is taken before the operands' are released, so that an instruction never writes what it
            // reads.
            instructions[i].register = free.pop().unwrap_or_else(|| {
                registers += 1;
                registers - 1
            });
            let mut released: Vec<usize> = (0..=i).filter(|&r| last_use[r] == i).collect();
            released.retain(|&r| r == i || instructions[i].operands.contains(&Operand::Result(r)));
            free.extend(released.iter().map(|&r| instructions[r].register));
        }
        let outputs = instructions.iter().filter(|i| i.output.is_some()).count();
        Kernel { instructions, registers, outputs }
    }
}
