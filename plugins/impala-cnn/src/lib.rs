//! The residual network of Espeholt et al. 2018 (IMPALA). Each stage is a 3×3 convolution, max pooling that halves the
//! image, and residual blocks of two convolutions; a hidden layer follows. The defaults are theirs: 16, 32 and 32
//! channels, two blocks per stage, 256 hidden units.
use potstill_sdk::{Init, Learner, LearnerShape, OptionSchema, Options, Parameters, Rng, Tensor, builtin};

/// The network.
pub struct ImpalaCnn {
    outputs: usize,
    channels: Vec<usize>,
    blocks: usize,
    hidden: usize,
    gain: f64,
    output_gain: f64,
}

impl Learner for ImpalaCnn {
    const ID: &'static str = "impala-cnn-v1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "IMPALA's residual network (Espeholt et al. 2018)";

    fn options() -> Vec<OptionSchema> {
        vec![
            OptionSchema::text("channels", "Channels of each stage.", &[], "16,32,32"),
            OptionSchema::integer("blocks", "Residual blocks per stage.", 0..=16, 2),
            OptionSchema::integer("hidden", "Units of the hidden layer.", 1..=65_536, 256),
            OptionSchema::number(
                "gain",
                "Gain of all layers but the last.",
                -1e3..=1e3,
                std::f64::consts::SQRT_2,
            ),
            OptionSchema::number("output-gain", "Gain of the output layer.", -1e3..=1e3, 0.01),
        ]
    }

    fn draw(shape: &LearnerShape, options: &Options, _: &mut Rng) -> Result<Self, String> {
        let size = shape.observation.shape();
        if size.len() != 3 {
            return Err(format!("it reads images [channels, height, width], not observations {size:?}"));
        }
        let text = options.text("channels")?;
        let channels: Option<Vec<usize>> =
            text.split(',').map(|n| n.trim().parse().ok().filter(|n| (1..=4096).contains(n))).collect();
        Ok(ImpalaCnn {
            outputs: shape.outputs,
            channels: channels.ok_or(format!("`channels` is `{text}`; expected numbers like 16,32,32"))?,
            blocks: options.integer("blocks")? as usize,
            hidden: options.integer("hidden")? as usize,
            gain: options.number("gain")?,
            output_gain: options.number("output-gain")?,
        })
    }

    fn name(&self) -> String {
        format!("channels {:?}, {} blocks, hidden {}", self.channels, self.blocks, self.hidden)
    }

    fn forward(&self, parameters: &mut Parameters, observations: &Tensor) -> Tensor {
        let mut layer = 0;
        let init = Init::Orthogonal(self.gain);
        let mut convolution = |h: &Tensor, name: &str, channels: usize| {
            layer += 1;
            parameters.conv2d(name, h, channels, [3, 1, 1], init, layer - 1)
        };
        let mut h = observations.clone();
        for (stage, &channels) in self.channels.iter().enumerate() {
            h = convolution(&h, &format!("stages.{stage}.convolution"), channels).max_pool2d(3, 2, 1);
            for block in 0..self.blocks {
                let name = |i| format!("stages.{stage}.blocks.{block}.{i}");
                let inner = convolution(&h.relu(), &name(0), channels);
                h = h + convolution(&inner.relu(), &name(1), channels);
            }
        }
        let h = parameters.linear("hidden", &h.relu().flatten_rows(), self.hidden, init, layer).relu();
        parameters.linear("output", &h, self.outputs, Init::Orthogonal(self.output_gain), layer + 1)
    }
}

builtin!(learner ImpalaCnn);
#[cfg(any(target_family = "wasm", feature = "dylib"))]
potstill_sdk::export_learner!(ImpalaCnn);
