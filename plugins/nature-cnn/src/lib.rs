//! α_a of Wilhelm & Ventura 2025, the network of Mnih et al. 2015: convolutions of 8×8 with stride 4, 4×4 with stride 2
//! and 3×3 with stride 1, then a hidden layer, with ReLU in between. The defaults are the paper's: 32, 64 and 64 channels,
//! 512 hidden units.
use potstill_sdk::{Init, Learner, LearnerShape, OptionSchema, Options, Parameters, Rng, Tensor, builtin};

/// The network.
pub struct NatureCnn {
    outputs: usize,
    channels: Vec<usize>,
    hidden: usize,
    xavier: bool,
    gain: f64,
    output_gain: f64,
}

/// The kernel size, stride and padding of each convolution.
const WINDOWS: [[usize; 3]; 3] = [[8, 4, 0], [4, 2, 0], [3, 1, 0]];

impl Learner for NatureCnn {
    const ID: &'static str = "nature-cnn-v1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "The Nature CNN (Mnih et al. 2015): three convolutions and a hidden layer";

    fn options() -> Vec<OptionSchema> {
        vec![
            OptionSchema::text("channels", "Channels of the three convolutions.", &[], "32,64,64"),
            OptionSchema::integer("hidden", "Units of the hidden layer.", 1..=65_536, 512),
            OptionSchema::text(
                "weights",
                "Initialization of the weights.",
                &["orthogonal", "xavier-normal"],
                "orthogonal",
            ),
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
        let [_, height, width] = size[..] else {
            return Err(format!("it reads images [channels, height, width], not observations {size:?}"));
        };
        // The three convolutions reduce 36 pixels to 1.
        if height.min(width) < 36 {
            return Err(format!("it reads images of at least 36 × 36, not {height} × {width}"));
        }
        let text = options.text("channels")?;
        let channels: Option<Vec<usize>> =
            text.split(',').map(|n| n.trim().parse().ok().filter(|n| (1..=4096).contains(n))).collect();
        Ok(NatureCnn {
            outputs: shape.outputs,
            channels: channels
                .filter(|channels| channels.len() == WINDOWS.len())
                .ok_or(format!("`channels` is `{text}`; expected three numbers like 32,64,64"))?,
            hidden: options.integer("hidden")? as usize,
            xavier: options.text("weights")? == "xavier-normal",
            gain: options.number("gain")?,
            output_gain: options.number("output-gain")?,
        })
    }

    fn name(&self) -> String {
        format!("channels {:?}, hidden {}", self.channels, self.hidden)
    }

    fn forward(&self, parameters: &mut Parameters, observations: &Tensor) -> Tensor {
        let init = |gain, inputs, outputs| match self.xavier {
            true => Init::xavier_normal(gain, inputs, outputs),
            false => Init::Orthogonal(gain),
        };
        let mut h = observations.clone();
        for (layer, (&channels, window)) in self.channels.iter().zip(WINDOWS).enumerate() {
            let area = window[0] * window[0];
            let init = init(self.gain, h.shape()[1] * area, channels * area);
            h = parameters.conv2d(&format!("convolutions.{layer}"), &h, channels, window, init, layer).relu();
        }
        let h = h.flatten_rows();
        let (inputs, layer) = (h.shape()[1], WINDOWS.len());
        let h =
            parameters.linear("hidden", &h, self.hidden, init(self.gain, inputs, self.hidden), layer).relu();
        let init = init(self.output_gain, self.hidden, self.outputs);
        parameters.linear("output", &h, self.outputs, init, layer + 1)
    }
}

builtin!(learner NatureCnn);
#[cfg(any(target_family = "wasm", feature = "dylib"))]
potstill_sdk::export_learner!(NatureCnn);
