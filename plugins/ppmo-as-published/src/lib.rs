//! PPMO as the authors' released code computes it, faults included, to compare with: of discrete actions the ratio
//! sets a raw logit against an old *log-softmax* (it starts near the number of actions, not 1), of continuous ones each
//! dimension has a ratio and a clip of its own; the entropy bonus carries no gradient. The fourth fault, in the estimate of
//! the advantages, is the host's setting `[ppo] advantages = "as-published"`, which this objective implies.
//!
//! The inner loss of continuous actions is that code's too: the mean squared error of the means plus that of the log
//! standard deviations, where `ppmo` takes one mean over both, and so half the step at the same η.
use potstill_sdk::{
    Column, Network, Objective, OptionSchema, Options, Outcome, Outer, Space, Task, Tensor, Theta, builtin,
    loss,
};

/// The objective with its hyperparameter.
pub struct PpmoAsPublished {
    clip: f64,
    /// The number of dimensions of a continuous action.
    numbers: Option<usize>,
}

/// The log-densities of `actions` under the Gaussians that `outputs` describe, `[b, n]`, without their constant term.
fn densities(outputs: &Tensor, actions: &Tensor, n: usize) -> Tensor {
    let (means, log_stds) = (outputs.slice(-1, 0, n), outputs.slice(-1, n, n));
    let distance = (actions - means) * (-&log_stds).exp();
    distance.square() * -0.5 - log_stds
}

impl Objective for PpmoAsPublished {
    const ID: &'static str = "ppmo-as-published-v1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "PPMO with the errors of the authors' released code, for comparison";

    fn options() -> Vec<OptionSchema> {
        vec![OptionSchema::number("clip", "Clipping range ε of the probability ratio.", 0.0..=1.0, 0.2)]
    }

    fn new(task: &Task, options: &Options) -> Result<Self, String> {
        let numbers = match task.action {
            Space::Discrete { .. } => None,
            Space::Box { .. } => Some(task.action.size()),
            _ => return Err(format!("the published code has no ratio for {}", task.action)),
        };
        Ok(PpmoAsPublished { clip: options.number("clip")?, numbers })
    }

    fn columns(&self) -> Vec<Column> {
        let before = if self.numbers.is_some() { Column::Outputs } else { Column::LogProbs };
        vec![Column::Observations, Column::Actions, before, Column::Advantages]
    }

    fn inner(&self, theta: &Theta, network: &Network, fresh: &[Tensor]) -> Vec<Tensor> {
        let Some(n) = self.numbers else { return loss::inner_step(theta, network, fresh) };
        let errors = (network.apply(fresh, theta.x()) - theta.y()).square();
        let loss = errors.slice(-1, 0, n).mean() + errors.slice(-1, n, n).mean();
        loss::gradient_step(&loss, theta.inner_lr(), fresh)
    }

    fn outer(&self, outer: &Outer<'_>) -> Outcome {
        let outputs = outer.outputs();
        let actions = outer.batch(Column::Actions);
        let log_ratio = match self.numbers {
            Some(n) => densities(&outputs, actions, n) - densities(outer.batch(Column::Outputs), actions, n),
            None => outputs.gather(-1, actions) - outer.batch(Column::LogProbs),
        };
        let ratio = log_ratio.exp();
        let advantages = loss::normalized(outer.batch(Column::Advantages));
        let clipped = ratio.clamp(1.0 - self.clip, 1.0 + self.clip) * &advantages;
        let policy_loss = -(&ratio * &advantages).min(&clipped).mean();
        let entropy = outer.network.entropy(&outputs).mean();
        Outcome {
            loss: policy_loss.clone(),
            metrics: vec![("policy_loss", policy_loss), ("entropy", entropy), ("ratio", ratio.mean())],
        }
    }
}

builtin!(objective PpmoAsPublished);
#[cfg(any(target_family = "wasm", feature = "dylib"))]
potstill_sdk::export_objective!(PpmoAsPublished);
