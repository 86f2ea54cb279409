//! What the host and a learner tell each other: initializations of parameters, and the shape of inputs and outputs.
use serde::{Deserialize, Serialize};

use crate::Space;

/// How the host initializes a parameter of a fresh learner.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Init {
    /// Every element has this value.
    Constant(f64),
    /// Elements are uniform within ± this bound.
    Uniform(f64),
    /// Elements are normal with mean 0 and this standard deviation.
    Normal(f64),
    /// The matrix is orthogonal times this gain (Saxe et al. 2014), as `torch.nn.init.orthogonal_` makes it.
    Orthogonal(f64),
}

impl Init {
    /// A normal initialization with standard deviation `|gain|·√(2/(inputs + outputs))` (Glorot & Bengio 2010).
    pub fn xavier_normal(gain: f64, inputs: usize, outputs: usize) -> Self {
        Init::Normal(gain.abs() * (2.0 / (inputs + outputs) as f64).sqrt())
    }

    /// A uniform initialization with the same standard deviation as [`Init::xavier_normal`].
    pub fn xavier_uniform(gain: f64, inputs: usize, outputs: usize) -> Self {
        Init::Uniform(gain.abs() * (6.0 / (inputs + outputs) as f64).sqrt())
    }
}

/// The inputs and outputs that a learner must have.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnerShape {
    /// The space of one observation. Pixels arrive as numbers from 0 to 1.
    pub observation: Space,
    /// The number of outputs per observation: logits, means, or a critic's value.
    pub outputs: usize,
}
