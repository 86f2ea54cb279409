//! PPMO of Wilhelm & Ventura 2025: the clipped surrogate loss of PPO (Schulman et al. 2017), backpropagated through one
//! inner gradient step to the dataset.
use potstill_sdk::{
    Column, MetaParameter, Network, Objective, OptionSchema, Options, Outcome, Outer, Task, Tensor, Theta,
    builtin, loss,
};

/// The objective with its hyperparameters.
pub struct Ppmo {
    clip: f64,
    entropy: f64,
    anneal_entropy: bool,
    normalize_advantages: bool,
    inner_rates: loss::InnerRates,
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
            loss::InnerRates::option(),
        ]
    }

    fn new(_: &Task, options: &Options) -> Result<Self, String> {
        Ok(Ppmo {
            clip: options.number("clip")?,
            entropy: options.number("entropy")?,
            anneal_entropy: options.boolean("anneal-entropy")?,
            normalize_advantages: options.boolean("normalize-advantages")?,
            inner_rates: loss::InnerRates::new(options)?,
        })
    }

    fn theta(&self, task: &Task) -> Vec<MetaParameter> {
        self.inner_rates.theta(task)
    }

    fn inner(&self, theta: &Theta, network: &Network, fresh: &[Tensor]) -> Vec<Tensor> {
        self.inner_rates.step(theta, network, fresh)
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
