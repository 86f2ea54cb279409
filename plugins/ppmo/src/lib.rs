//! PPMO of Wilhelm & Ventura 2025: the clipped surrogate loss of PPO (Schulman et al. 2017), backpropagated through one
//! inner gradient step to the dataset.
use potstill_sdk::{
    Column, MetaInit, MetaParameter, Network, Objective, OptionSchema, Options, Outcome, Outer, Task, Tensor,
    Theta, builtin, default_theta, loss,
};

/// The objective with its hyperparameters.
pub struct Ppmo {
    clip: f64,
    entropy: f64,
    anneal_entropy: bool,
    normalize_advantages: bool,
    inner_rates: usize,
}

impl Objective for Ppmo {
    const ID: &'static str = "ppmo-v1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "Proximal policy meta-optimization with the clipped loss (Wilhelm & Ventura 2025)";

    fn options() -> Vec<OptionSchema> {
        vec![
            OptionSchema::number("clip", "Clipping range ε of the probability ratio.", 0.0..=1.0, 0.2),
            OptionSchema::number("entropy", "Weight of the entropy bonus.", 0.0..=1e3, 0.01),
            OptionSchema::boolean(
                "anneal-entropy",
                "Anneal the weight of the entropy bonus linearly to 0 over the run.",
                false,
            ),
            OptionSchema::boolean(
                "normalize-advantages",
                "Normalize advantages to mean 0 and standard deviation 1 in each minibatch.",
                true,
            ),
            OptionSchema::integer(
                "inner-rates",
                "Number of parameter tensors, counted from the last, with their own inner learning rate; 1: one rate for all.",
                1..=64,
                1,
            ),
        ]
    }

    fn new(_: &Task, options: &Options) -> Result<Self, String> {
        Ok(Ppmo {
            clip: options.number("clip")?,
            entropy: options.number("entropy")?,
            anneal_entropy: options.boolean("anneal-entropy")?,
            normalize_advantages: options.boolean("normalize-advantages")?,
            inner_rates: options.integer("inner-rates")? as usize,
        })
    }

    fn theta(&self, task: &Task) -> Vec<MetaParameter> {
        let mut theta = default_theta(task);
        if self.inner_rates > 1 {
            let rates =
                MetaParameter::new("inner_rates", &[self.inner_rates], MetaInit::Constant(1.0)).positive();
            theta.push(rates);
        }
        theta
    }

    fn inner(&self, theta: &Theta, network: &Network, fresh: &[Tensor]) -> Vec<Tensor> {
        if self.inner_rates == 1 {
            return loss::inner_step(theta, network, fresh);
        }
        loss::inner_step_by_tensor(theta, network, fresh)
    }

    fn columns(&self) -> Vec<Column> {
        let mut columns = vec![Column::Observations, Column::Actions, Column::LogProbs, Column::Advantages];
        columns.extend(self.anneal_entropy.then_some(Column::Progress));
        columns
    }

    fn outer(&self, outer: &Outer<'_>) -> Outcome {
        let advantages = match outer.batch(Column::Advantages) {
            raw if self.normalize_advantages => loss::normalized(raw),
            raw => raw.clone(),
        };
        let entropy = match self.anneal_entropy {
            true => self.entropy * (1.0 - outer.batch(Column::Progress).mean()),
            false => self.entropy.into(),
        };
        loss::clipped_surrogate(outer, &advantages, self.clip, entropy)
    }
}

builtin!(objective Ppmo);
#[cfg(any(target_family = "wasm", feature = "dylib"))]
potstill_sdk::export_objective!(Ppmo);
