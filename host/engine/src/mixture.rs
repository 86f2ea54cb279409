//! A mixture of learner distributions, which is itself a learner distribution.
use potstill_plugin_api::Space;
use rand::Rng;
use serde_json::{Value, json};

use crate::error::Result;
use crate::graph::Tensor;
use crate::learner::{Learner, LearnerDistribution, Parameter};
use crate::random::stream;

/// Several learner distributions. A draw picks one of them with probability proportional to its weight.
pub struct Mixture {
    parts: Vec<(f64, Box<dyn LearnerDistribution>)>,
}

impl Mixture {
    /// The id of a mixture, used where plugins have their id. No plugin can have this id.
    pub const ID: &'static str = "mixture";

    /// Creates a mixture of `(weight, distribution)` pairs. There must be at least one, and weights must be positive
    /// and finite.
    pub fn new(parts: Vec<(f64, Box<dyn LearnerDistribution>)>) -> Self {
        Mixture { parts }
    }
}

impl LearnerDistribution for Mixture {
    fn id(&self) -> &str {
        Self::ID
    }

    fn draw(&self, observation: &Space, outputs: usize, seed: u64) -> Result<Box<dyn Learner>> {
        let total: f64 = self.parts.iter().map(|(weight, _)| weight).sum();
        let mut left = stream(seed, "mixture", 0).random::<f64>() * total;
        let reached = |(weight, _): &(f64, _)| {
            left -= weight;
            left < 0.0
        };
        // Because of rounding, the weights may not quite reach the drawn number: it belongs to the last part.
        let part = self.parts.iter().position(reached).unwrap_or(self.parts.len() - 1);
        let learner = self.parts[part].1.draw(observation, outputs, seed)?;
        let name = format!("{part}:{}", learner.name());
        Ok(Box::new(OfPart { name, learner }))
    }

    fn specification(&self) -> Value {
        let part = |(weight, part): &(f64, Box<dyn LearnerDistribution>)| json!({ "id": part.id(), "weight": weight, "options": part.specification() });
        json!({ "of": self.parts.iter().map(part).collect::<Vec<_>>() })
    }
}

/// A learner drawn from one part. Its name includes the part, so that learners of different parts have different names.
struct OfPart {
    name: String,
    learner: Box<dyn Learner>,
}

impl Learner for OfPart {
    fn name(&self) -> &str {
        &self.name
    }

    fn parameters(&self) -> &[Parameter] {
        self.learner.parameters()
    }

    fn forward(&self, parameters: &[Tensor], observations: &Tensor) -> Result<Tensor> {
        self.learner.forward(parameters, observations)
    }
}
