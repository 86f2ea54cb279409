//! PPMO with hard labels: the label of instance i is fixed to action i modulo the number of actions, and the inner step
//! descends the cross-entropy. Only X and η are learned.
use potstill_sdk::{
    Column, MetaInit, MetaParameter, Network, Objective, OptionSchema, Options, Outcome, Outer, Space, Task,
    Tensor, Theta, builtin, default_theta, loss,
};

/// The objective with its hyperparameters.
pub struct HardLabel {
    clip: f64,
    entropy: f64,
}

impl Objective for HardLabel {
    const ID: &'static str = "hard-label-v1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "PPMO with fixed one-hot labels and cross-entropy in the inner step";

    fn options() -> Vec<OptionSchema> {
        vec![
            OptionSchema::number("clip", "Clipping range ε of the probability ratio.", 0.0..=1.0, 0.2),
            OptionSchema::number("entropy", "Weight of the entropy bonus.", 0.0..=1e3, 0.01),
        ]
    }

    fn new(task: &Task, options: &Options) -> Result<Self, String> {
        match task.action {
            Space::Discrete { n } if task.instances >= n => {}
            Space::Discrete { n } => {
                return Err(format!(
                    "{} instances cannot label {n} actions; set --k to {n} or more",
                    task.instances
                ));
            }
            _ => return Err(format!("only discrete actions have hard labels; these are {}", task.action)),
        }
        Ok(HardLabel { clip: options.number("clip")?, entropy: options.number("entropy")? })
    }

    fn theta(&self, task: &Task) -> Vec<MetaParameter> {
        let mut theta = default_theta(task);
        for part in &mut theta {
            if part.name == "y" {
                *part = MetaParameter::new("y", &part.shape, MetaInit::Labels).fixed();
            }
        }
        theta
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::Observations, Column::Actions, Column::LogProbs, Column::Advantages]
    }

    fn inner(&self, theta: &Theta, network: &Network, fresh: &[Tensor]) -> Vec<Tensor> {
        let loss = loss::cross_entropy(&network.apply(fresh, theta.x()), theta.y()).mean();
        loss::gradient_step(&loss, theta.inner_lr(), fresh)
    }

    fn outer(&self, outer: &Outer<'_>) -> Outcome {
        let advantages = loss::normalized(outer.batch(Column::Advantages));
        loss::clipped_surrogate(outer, &advantages, self.clip, self.entropy)
    }
}

builtin!(objective HardLabel);
#[cfg(any(target_family = "wasm", feature = "dylib"))]
potstill_sdk::export_objective!(HardLabel);
