//! PPMO as the authors' released code computes it, faults included, to compare with: the ratio sets a raw logit
//! against an old *log-softmax* (it starts near the number of actions, not 1), the entropy bonus carries no gradient,
//! and advantages read the end flags one step early and take truncation for termination.
use potstill_sdk::{
    Column, Data, Objective, OptionSchema, Options, Outcome, Outer, Space, Task, builtin, loss,
};

/// The objective with its hyperparameter.
pub struct PpmoAsPublished {
    clip: f64,
}

impl Objective for PpmoAsPublished {
    const ID: &'static str = "ppmo-as-published-v1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "PPMO with the faults of the authors' released code, to compare with";

    fn options() -> Vec<OptionSchema> {
        vec![OptionSchema::number(
            "clip",
            "How far the ratio may leave 1 and still be followed.",
            0.0..=1.0,
            0.2,
        )]
    }

    fn new(task: &Task, options: &Options) -> Result<Self, String> {
        if !matches!(task.action, Space::Discrete { .. }) {
            return Err(format!("the published ratio is one of logits; the actions are {}", task.action));
        }
        Ok(PpmoAsPublished { clip: options.number("clip")? })
    }

    fn data(&self) -> Data {
        Data::RolloutsAsPublished
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::Observations, Column::Actions, Column::LogProbs, Column::Advantages]
    }

    fn outer(&self, outer: &Outer<'_>) -> Outcome {
        let outputs = outer.outputs();
        let ratio = (outputs.gather(-1, outer.batch(Column::Actions)) - outer.batch(Column::LogProbs)).exp();
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
