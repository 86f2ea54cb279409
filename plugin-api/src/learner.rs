use serde::{Deserialize, Serialize};

use crate::Space;

/// How a parameter starts in a fresh learner. The host draws it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Init {
    /// All this value.
    Constant(f64),
    /// Within ± the bound.
    Uniform(f64),
    /// Mean 0 and this standard deviation.
    Normal(f64),
    /// Orthonormal rows or columns times the gain (Saxe et al. 2014), as `torch.nn.init.orthogonal_`.
    Orthogonal(f64),
}

impl Init {
    /// Normal with standard deviation `|gain|·√(2/(inputs + outputs))` (Glorot & Bengio 2010).
    pub fn xavier_normal(gain: f64, inputs: usize, outputs: usize) -> Self {
        Init::Normal(gain.abs() * (2.0 / (inputs + outputs) as f64).sqrt())
    }

    /// Uniform with the same standard deviation.
    pub fn xavier_uniform(gain: f64, inputs: usize, outputs: usize) -> Self {
        Init::Uniform(gain.abs() * (6.0 / (inputs + outputs) as f64).sqrt())
    }
}

/// What a learner has to read and to give.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnerShape {
    /// Space of one observation. Pixels arrive as numbers from 0 to 1.
    pub observation: Space,
    /// Numbers for each observation: logits, means, or a critic's value.
    pub outputs: usize,
}
