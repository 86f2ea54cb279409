//! A residual perceptron: blocks `h + W₂ relu(W₁ norm(h))` between a linear stem and a linear head, with the pre-activation
//! order of He et al. 2016 and layer normalisation (Ba et al. 2016). How many blocks a learner has, Λ draws.
use potstill_sdk::{
    Init, Learner, LearnerShape, OptionKind, OptionSchema, Options, Parameters, Rng, Tensor, export_learner,
};

/// One network of the distribution.
pub struct ResidualMlp {
    outputs: usize,
    width: usize,
    blocks: usize,
}

impl Learner for ResidualMlp {
    const ID: &'static str = "examples/residual-mlp-v1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "A residual multilayer perceptron with layer normalisation.";

    fn options() -> Vec<OptionSchema> {
        let option = |name: &str, help: &str, max, default: i64| OptionSchema {
            name: name.into(),
            help: help.into(),
            kind: OptionKind::Integer { min: 1, max },
            default: default.into(),
        };
        vec![
            option("width", "Width of the stem and of every block.", 4096, 64),
            option("most-blocks", "Blocks are drawn from 1 to this number.", 64, 2),
        ]
    }

    fn draw(shape: &LearnerShape, options: &Options, rng: &mut Rng) -> Result<Self, String> {
        Ok(ResidualMlp {
            outputs: shape.outputs,
            width: options.integer("width")? as usize,
            blocks: 1 + rng.below(options.integer("most-blocks")? as u64) as usize,
        })
    }

    fn name(&self) -> String {
        format!("{} blocks of {}", self.blocks, self.width)
    }

    fn forward(&self, parameters: &mut Parameters, observations: &Tensor) -> Tensor {
        let gain = Init::Orthogonal(2f64.sqrt());
        let x = observations.flatten_rows();
        let mut h = parameters.linear("stem", &x, self.width, gain, 0);
        for block in 0..self.blocks {
            let layer = 1 + 2 * block;
            let inner = parameters.linear(&format!("{block}.up"), &h.layer_norm(1e-5), self.width, gain, layer);
            h = &h + parameters.linear(&format!("{block}.down"), &inner.relu(), self.width, gain, layer + 1);
        }
        let head = Init::Orthogonal(0.01);
        parameters.linear("head", &h.layer_norm(1e-5), self.outputs, head, 1 + 2 * self.blocks)
    }
}

export_learner!(ResidualMlp);
