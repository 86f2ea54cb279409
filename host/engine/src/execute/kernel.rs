//! A group of elementwise operations over one shape, as a program for tiles.
use crate::graph::{Binary, Unary};

/// Where an instruction reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operand {
    /// Input number n, broadcast to the kernel's shape.
    Load(usize),
    /// The result of instruction n.
    Result(usize),
    /// A number.
    Constant(f64),
}

/// What an instruction computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Function {
    Unary(Unary),
    Binary(Binary),
    Select,
}

/// One elementwise operation. Unused operands are constants 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instruction {
    pub(super) function: Function,
    pub(super) operands: [Operand; 3],
    /// Output number, when the result is needed outside the kernel.
    pub(super) output: Option<usize>,
    /// Tile register for the result. Never one that a later instruction still needs.
    pub(super) register: usize,
}

/// A program: instructions in order, each reading inputs and earlier results.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    pub(super) instructions: Vec<Instruction>,
    pub(super) registers: usize,
    pub(super) outputs: usize,
}

impl Kernel {
    /// Assigns registers so that a result's register is free again after its last use.
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
            // Taken before the operands are released: an instruction never writes what it reads.
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
