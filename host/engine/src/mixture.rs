//! A mixture of distributions of learners, which is one too.
use potstill_plugin_api::Space;
use rand::Rng;
use serde_json::{Value, json};

use crate::error::Result;
use crate::graph::Tensor;
use crate::learner::{Learner, LearnerDistribution, Parameter};
use crate::random::stream;

/// Several distributions, each drawn from in proportion to its weight.
pub struct Mixture {
    parts: Vec<(f64, Box<dyn LearnerDistribution>)>,
}

impl Mixture {
    /// What a mixture is called where plugins have their id; no plugin's id can be this.
    pub const ID: &'static str = "mixture";

    /// Of at least one part; weights are positive and finite.
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
        // Rounding may leave a sliver behind the last.
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

/// A learner of one part: its name tells it from those of the others.
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
