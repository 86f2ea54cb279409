//! The advantage actor-critic loss (Mnih et al. 2016) of the learner after its inner step. It has no probability ratio and
//! no clipping, so that only the first pass over a rollout is on-policy. With `[ppo] policy_epochs = 1` it is the plain
//! policy gradient with respect to the dataset.
use potstill_sdk::{Column, Objective, OptionSchema, Options, Outcome, Outer, Task, builtin, loss};

/// The objective with its hyperparameters.
pub struct A2c {
    entropy: f64,
    normalize_advantages: bool,
}

impl Objective for A2c {
    const ID: &'static str = "a2c-v1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Advantage actor-critic as the outer loss, without ratio or clipping";

    fn options() -> Vec<OptionSchema> {
        vec![
            OptionSchema::number("entropy", "Weight of the entropy bonus.", 0.0..=1e3, 0.01),
            OptionSchema::boolean(
                "normalize-advantages",
                "Normalize advantages to mean 0 and standard deviation 1 in each minibatch.",
                true,
            ),
        ]
    }

    fn new(_: &Task, options: &Options) -> Result<Self, String> {
        Ok(A2c {
            entropy: options.number("entropy")?,
            normalize_advantages: options.boolean("normalize-advantages")?,
        })
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::Observations, Column::Actions, Column::Advantages]
    }

    fn outer(&self, outer: &Outer<'_>) -> Outcome {
        let outputs = outer.outputs();
        let mut advantages = outer.batch(Column::Advantages).clone();
        if self.normalize_advantages {
            advantages = loss::normalized(&advantages);
        }
        let log_prob = outer.network.log_prob(&outputs, outer.batch(Column::Actions));
        let policy_loss = -(log_prob * advantages).mean();
        let entropy = outer.network.entropy(&outputs).mean();
        Outcome {
            loss: &policy_loss - &entropy * self.entropy,
            metrics: vec![("policy_loss", policy_loss), ("entropy", entropy)],
        }
    }
}

builtin!(objective A2c);
#[cfg(any(target_family = "wasm", feature = "dylib"))]
potstill_sdk::export_objective!(A2c);
