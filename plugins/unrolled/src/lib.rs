//! PPMO through several inner steps: SGD with momentum on the whole dataset, with a learned rate for each step and a
//! learned momentum. With one step and momentum 0 it equals `ppmo`.
use potstill_sdk::{
    Column, MetaInit, MetaParameter, Network, Objective, OptionSchema, Options, Outcome, Outer, Task, Tensor,
    Theta, builtin, default_theta, grad, loss,
};

/// The objective with its hyperparameters.
pub struct Unrolled {
    steps: usize,
    momentum: f64,
    clip: f64,
    entropy: f64,
}

impl Objective for Unrolled {
    const ID: &'static str = "unrolled-v1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "PPMO through several inner steps of SGD with momentum";

    fn options() -> Vec<OptionSchema> {
        vec![
            OptionSchema::integer("steps", "Inner steps.", 1..=64, 3),
            OptionSchema::number(
                "momentum",
                "Initial momentum, which is learned unless it is 0.",
                0.0..=0.99,
                0.0,
            ),
            OptionSchema::number("clip", "Clipping range ε of the probability ratio.", 0.0..=1.0, 0.2),
            OptionSchema::number("entropy", "Weight of the entropy bonus.", 0.0..=1e3, 0.01),
        ]
    }

    fn new(_: &Task, options: &Options) -> Result<Self, String> {
        Ok(Unrolled {
            steps: options.integer("steps")? as usize,
            momentum: options.number("momentum")?,
            clip: options.number("clip")?,
            entropy: options.number("entropy")?,
        })
    }

    fn theta(&self, task: &Task) -> Vec<MetaParameter> {
        // Several steps need a smaller rate than one step.
        let rate = |part: MetaParameter| match part.name.as_str() {
            "inner_lr" => MetaParameter { init: MetaInit::Constant(0.1), ..part },
            _ => part,
        };
        let mut theta: Vec<MetaParameter> = default_theta(task).into_iter().map(rate).collect();
        // The rate of each step is `inner_lr` times the step's own factor.
        theta.push(MetaParameter::new("rates", &[self.steps], MetaInit::Constant(1.0)).positive());
        if self.momentum > 0.0 {
            theta.push(MetaParameter::new("momentum", &[], MetaInit::Constant(self.momentum)).positive());
        }
        theta
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::Observations, Column::Actions, Column::LogProbs, Column::Advantages]
    }

    fn inner(&self, theta: &Theta, network: &Network, fresh: &[Tensor]) -> Vec<Tensor> {
        let mut parameters = fresh.to_vec();
        let mut velocity: Option<Vec<Tensor>> = None;
        for step in 0..self.steps {
            let loss = (network.apply(&parameters, theta.x()) - theta.y()).square().mean();
            let gradients = grad(&loss, &parameters);
            let moved = match velocity {
                Some(before) if self.momentum > 0.0 => {
                    let momentum = theta.get("momentum");
                    before.iter().zip(&gradients).map(|(v, g)| v * momentum + g).collect()
                }
                _ => gradients,
            };
            let rate = theta.inner_lr() * theta.get("rates").slice(0, step, 1).reshape(&[]);
            parameters = parameters.iter().zip(&moved).map(|(p, v)| (p - &rate * v).variable()).collect();
            velocity = Some(moved);
        }
        parameters
    }

    fn outer(&self, outer: &Outer<'_>) -> Outcome {
        let advantages = loss::normalized(outer.batch(Column::Advantages));
        loss::clipped_surrogate(outer, &advantages, self.clip, self.entropy)
    }
}

builtin!(objective Unrolled);
#[cfg(any(target_family = "wasm", feature = "dylib"))]
potstill_sdk::export_objective!(Unrolled);
