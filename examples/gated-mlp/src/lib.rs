//! A perceptron of gated units, `tanh(W x) · σ(V x)` (van den Oord et al. 2016, equation 2): one half of a layer computes
//! values, the other how much of each to pass on. The distribution Λ draws the number of layers.
use potstill_sdk::{
    Init, Learner, LearnerShape, OptionSchema, Options, Parameters, Rng, Tensor, export_learner,
};

/// A network drawn from the distribution.
pub struct GatedMlp {
    outputs: usize,
    width: usize,
    layers: usize,
}

impl Learner for GatedMlp {
    const ID: &'static str = "examples/gated-mlp-v1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "A perceptron of gated tanh units.";

    fn options() -> Vec<OptionSchema> {
        vec![
            OptionSchema::integer("width", "Units of each hidden layer.", 1..=4096, 64),
            OptionSchema::integer("most-layers", "Hidden layers are drawn from 2 to this number.", 2..=64, 3),
        ]
    }

    fn draw(shape: &LearnerShape, options: &Options, rng: &mut Rng) -> Result<Self, String> {
        let most = options.integer("most-layers")? as u64;
        Ok(GatedMlp {
            outputs: shape.outputs,
            width: options.integer("width")? as usize,
            layers: 2 + rng.below(most - 1) as usize,
        })
    }

    fn name(&self) -> String {
        format!("{} layers of {}", self.layers, self.width)
    }

    fn forward(&self, parameters: &mut Parameters, observations: &Tensor) -> Tensor {
        let gain = Init::Orthogonal(2f64.sqrt());
        let mut h = observations.flatten_rows();
        for layer in 0..self.layers {
            let value = parameters.linear(&format!("{layer}.value"), &h, self.width, gain, layer);
            let gate = parameters.linear(&format!("{layer}.gate"), &h, self.width, gain, layer);
            h = value.tanh() * gate.sigmoid();
        }
        parameters.linear("output", &h, self.outputs, Init::Orthogonal(0.01), self.layers)
    }
}

export_learner!(GatedMlp);
