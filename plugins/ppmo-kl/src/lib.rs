//! PPMO with PPO's other loss (Schulman et al. 2017, equation 8): instead of clipping, a penalty β·KL(π⁰ ‖ π) with a fixed
//! β, where π⁰ is the policy that collected the rollouts and π the current one.
use potstill_sdk::{Column, Objective, OptionSchema, Options, Outcome, Outer, Task, builtin, loss};

/// The objective with its hyperparameters.
pub struct PpmoKl {
    beta: f64,
    entropy: f64,
}

impl Objective for PpmoKl {
    const ID: &'static str = "ppmo-kl-v1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "PPMO with a penalty on the KL divergence from the rollout policy instead of clipping";

    fn options() -> Vec<OptionSchema> {
        vec![
            OptionSchema::number("beta", "Weight β of the KL divergence.", 0.0..=1e3, 1.0),
            OptionSchema::number("entropy", "Weight of the entropy bonus.", 0.0..=1e3, 0.01),
        ]
    }

    fn new(_: &Task, options: &Options) -> Result<Self, String> {
        Ok(PpmoKl { beta: options.number("beta")?, entropy: options.number("entropy")? })
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::Observations, Column::Actions, Column::LogProbs, Column::Outputs, Column::Advantages]
    }

    fn outer(&self, outer: &Outer<'_>) -> Outcome {
        let outputs = outer.outputs();
        let log_prob = outer.network.log_prob(&outputs, outer.batch(Column::Actions));
        let ratio = (log_prob - outer.batch(Column::LogProbs)).exp();
        let advantages = loss::normalized(outer.batch(Column::Advantages));
        let policy_loss = -(ratio * advantages).mean();
        let kl = outer.network.divergence(outer.batch(Column::Outputs), &outputs).mean();
        let entropy = outer.network.entropy(&outputs).mean();
        Outcome {
            loss: &policy_loss + &kl * self.beta - &entropy * self.entropy,
            metrics: vec![("policy_loss", policy_loss), ("entropy", entropy), ("kl", kl)],
        }
    }
}

builtin!(objective PpmoKl);
#[cfg(any(target_family = "wasm", feature = "dylib"))]
potstill_sdk::export_objective!(PpmoKl);
