//! Advantage actor-critic (Mnih et al. 2016) as the outer loss. Replace it with your loss or your inner rule.
use potstill_sdk::{
    Column, Objective, OptionSchema, Options, Outcome, Outer, Task, export_objective, loss,
};

/// The objective with its hyperparameters.
pub struct ActorCritic {
    entropy: f64,
}

impl Objective for ActorCritic {
    const ID: &'static str = "{{id}}";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Advantage actor-critic as the outer loss.";

    fn options() -> Vec<OptionSchema> {
        vec![OptionSchema::number("entropy", "Weight of the entropy bonus.", 0.0..=1000.0, 0.01)]
    }

    fn new(_: &Task, options: &Options) -> Result<Self, String> {
        Ok(ActorCritic { entropy: options.number("entropy")? })
    }

    /// The columns that `outer` reads. The host computes only these.
    fn columns(&self) -> Vec<Column> {
        vec![Column::Observations, Column::Actions, Column::Advantages]
    }

    fn outer(&self, outer: &Outer<'_>) -> Outcome {
        let outputs = outer.outputs();
        let advantages = loss::normalized(outer.batch(Column::Advantages));
        let log_prob = outer.network.log_prob(&outputs, outer.batch(Column::Actions));
        let policy_loss = -(log_prob * advantages).mean();
        let entropy = outer.network.entropy(&outputs).mean();
        Outcome {
            loss: &policy_loss - &entropy * self.entropy,
            metrics: vec![("policy_loss", policy_loss), ("entropy", entropy)],
        }
    }
}

export_objective!(ActorCritic);

#[cfg(test)]
mod tests {
    use potstill_sdk::Space;
    use potstill_sdk::testing::trace_objective;

    use super::*;

    #[test]
    fn traces_a_scalar_loss_through_the_inner_step() {
        let observation = Space::Box { shape: vec![4], low: vec![-1.0], high: vec![1.0] };
        let task = Task { observation, action: Space::Discrete { n: 2 }, instances: 3, outputs: 2 };
        let traced = trace_objective::<ActorCritic>(&task, &[], &[&[4, 8], &[8, 2]]).unwrap();
        let expected = [("x", vec![3, 4]), ("y", vec![3, 2]), ("inner_lr", vec![])];
        assert_eq!(traced.theta, expected.map(|(name, shape)| (name.to_owned(), shape)));
        assert_eq!(traced.metrics, ["policy_loss", "entropy"]);
    }
}
