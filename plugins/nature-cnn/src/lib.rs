//! α_a of Wilhelm & Ventura 2025, the network of Mnih et al. 2015: convolutions 8×8 by 4, 4×4 by 2, 3×3 by 1 and a
//! hidden layer, ReLU between. The default is the paper's: 32, 64, 64 channels, 512 hidden units.
use potstill_sdk::{
    Init, Learner, LearnerShape, OptionKind, OptionSchema, Options, Parameters, Rng, Tensor, builtin,
};

/// The network.
pub struct NatureCnn {
    outputs: usize,
    channels: Vec<usize>,
    hidden: usize,
    xavier: bool,
    gain: f64,
    output_gain: f64,
}

/// Kernel, stride and padding of each convolution.
const WINDOWS: [[usize; 3]; 3] = [[8, 4, 0], [4, 2, 0], [3, 1, 0]];

impl Learner for NatureCnn {
    const ID: &'static str = "nature-cnn-v1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "The Nature CNN (Mnih et al. 2015): three convolutions and a hidden layer";

    fn options() -> Vec<OptionSchema> {
        let option = |name: &str, help: &str, kind, default| OptionSchema {
            name: name.into(),
            help: help.into(),
            kind,
            default,
        };
        let gain = OptionKind::Number { min: -1e3, max: 1e3 };
        let weights = vec!["orthogonal".to_owned(), "xavier-normal".into()];
        vec![
            option(
                "channels",
                "Of the three convolutions.",
                OptionKind::Text { choices: vec![] },
                "32,64,64".into(),
            ),
            option(
                "hidden",
                "Units of the hidden layer.",
                OptionKind::Integer { min: 1, max: 65_536 },
                512i64.into(),
            ),
            option(
                "weights",
                "How weights are drawn.",
                OptionKind::Text { choices: weights },
                "orthogonal".into(),
            ),
            option("gain", "Gain of all layers but the last.", gain.clone(), std::f64::consts::SQRT_2.into()),
            option("output-gain", "Gain of the output layer.", gain, 0.01.into()),
        ]
    }

    fn draw(shape: &LearnerShape, options: &Options, _: &mut Rng) -> Result<Self, String> {
        let size = shape.observation.shape();
        let [_, height, width] = size[..] else {
            return Err(format!("it reads images [channels, height, width], not observations {size:?}"));
        };
        // 8 by 4, then 4 by 2, then 3 by 1.
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
