//! Which plans are worth a GPU.
use super::plan::{Action, Plan};
use crate::graph::Op;

/// The arithmetic operations of an update below which a CPU is faster. TODO
const WORTH_A_GPU: usize = 1 << 33;

impl Plan {
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
