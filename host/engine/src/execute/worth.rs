//! Which plans are worth a GPU.
use super::plan::{Action, Plan};
use crate::graph::Op;

/// The arithmetic operations of an update below which a CPU is faster. On 2D cart-pole an update of 1024 rows is 15.5
/// million operations, and a meta-epoch takes an H200, whose time goes into launches, ten times as long as 16 threads
/// (`docs/results/performance.md`).
const WORTH_A_GPU: usize = 150_000_000;

impl Plan {
    /// A rough count of the arithmetic operations of a run.
    pub fn operations(&self) -> usize {
        self.work
    }

    /// Whether a GPU computes an update faster than a CPU does: it convolves, or it has very much else to compute.
    pub fn is_worth_a_gpu(&self) -> bool {
        let mut steps = self.stages.iter().flat_map(|stage| stage.whole.iter().chain(&stage.split));
        let convolves = |action: &Action| {
            let op = match action {
                Action::Primitive(op) => op,
                Action::Fused(_) => return false,
            };
            matches!(op, Op::Conv2d(_) | Op::Conv2dInput(_) | Op::Conv2dWeight(_))
        };
        self.work >= WORTH_A_GPU || steps.any(|step| convolves(&step.action))
    }
}
