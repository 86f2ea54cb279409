//! α_c of Wilhelm & Ventura 2025: a multilayer perceptron of any width, depth, activation and initialization. The defaults
//! are the paper's: two hidden layers of 64 units, tanh, orthogonal weights with gain √2, and 0.01 for the output.
use potstill_sdk::{Init, Learner, LearnerShape, OptionSchema, Options, Parameters, Rng, Tensor, builtin};

/// A perceptron drawn from the distribution.
pub struct Mlp {
    outputs: usize,
    width: usize,
    depth: usize,
    activation: Activation,
    weights: Weights,
    gain: f64,
    output_gain: f64,
}

/// The activation function between layers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Activation {
    Tanh,
    Relu,
    Gelu,
    Sigmoid,
    Identity,
}

/// The initialization of weights; biases start at 0.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Weights {
    Orthogonal,
    XavierNormal,
    XavierUniform,
}

const ACTIVATIONS: [(&str, Activation); 5] = [
    ("tanh", Activation::Tanh),
    ("relu", Activation::Relu),
    ("gelu", Activation::Gelu),
    ("sigmoid", Activation::Sigmoid),
    ("identity", Activation::Identity),
];
const WEIGHTS: [(&str, Weights); 3] = [
    ("orthogonal", Weights::Orthogonal),
    ("xavier-normal", Weights::XavierNormal),
    ("xavier-uniform", Weights::XavierUniform),
];

fn chosen<T: Copy>(table: &[(&str, T)], name: &str) -> Result<T, String> {
    table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value).ok_or(format!("unknown `{name}`"))
}

/// Parses `64`, or draws from an inclusive range such as `32-256`.
fn draw(name: &str, text: &str, [least, most]: [usize; 2], rng: &mut Rng) -> Result<usize, String> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let range = low.trim().parse().ok().zip(high.trim().parse().ok());
    match range.filter(|&(low, high): &(usize, usize)| least <= low && low <= high && high <= most) {
        Some((low, high)) => Ok(low + rng.below((high - low + 1) as u64) as usize),
        None => Err(format!(
            "`{name}` is `{text}`; expected a number from {least} to {most}, or a range like `{least}-{most}`"
        )),
    }
}

impl Learner for Mlp {
    const ID: &'static str = "mlp-v1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Multilayer perceptron of any width, depth, activation and initialization";

    fn options() -> Vec<OptionSchema> {
        vec![
            OptionSchema::text(
                "width",
                "Width of the hidden layers: 64, or a range to draw from, 32-256.",
                &[],
                "64",
            ),
            OptionSchema::text(
                "depth",
                "Number of hidden layers: 2, or a range to draw from, 1-6.",
                &[],
                "2",
            ),
            OptionSchema::text(
                "activation",
                "Activation between layers.",
                &ACTIVATIONS.map(|(name, _)| name),
                "tanh",
            ),
            OptionSchema::text(
                "weights",
                "Initialization of the weights.",
                &WEIGHTS.map(|(name, _)| name),
                "orthogonal",
            ),
            OptionSchema::number("gain", "Gain of the hidden layers.", -1e3..=1e3, std::f64::consts::SQRT_2),
            OptionSchema::number("output-gain", "Gain of the output layer.", -1e3..=1e3, 0.01),
        ]
    }

    fn draw(shape: &LearnerShape, options: &Options, rng: &mut Rng) -> Result<Self, String> {
        Ok(Mlp {
            outputs: shape.outputs,
            width: draw("width", options.text("width")?, [1, 65_536], rng)?,
            depth: draw("depth", options.text("depth")?, [0, 64], rng)?,
            activation: chosen(&ACTIVATIONS, options.text("activation")?)?,
            weights: chosen(&WEIGHTS, options.text("weights")?)?,
            gain: options.number("gain")?,
            output_gain: options.number("output-gain")?,
        })
    }

    fn name(&self) -> String {
        format!("{} layers of {}, {:?}, {:?}", self.depth, self.width, self.activation, self.weights)
    }

    fn forward(&self, parameters: &mut Parameters, observations: &Tensor) -> Tensor {
        let mut h = observations.flatten_rows();
        for layer in 0..=self.depth {
            let last = layer == self.depth;
            let (out, gain) = if last { (self.outputs, self.output_gain) } else { (self.width, self.gain) };
            let inputs = h.shape()[1];
            let init = match self.weights {
                Weights::Orthogonal => Init::Orthogonal(gain),
                Weights::XavierNormal => Init::xavier_normal(gain, inputs, out),
                Weights::XavierUniform => Init::xavier_uniform(gain, inputs, out),
            };
            h = parameters.linear(&format!("layers.{layer}"), &h, out, init, layer);
            if !last {
                h = match self.activation {
                    Activation::Tanh => h.tanh(),
                    Activation::Relu => h.relu(),
                    Activation::Gelu => h.gelu(),
                    Activation::Sigmoid => h.sigmoid(),
                    Activation::Identity => h,
                };
            }
        }
        h
    }
}

builtin!(learner Mlp);
#[cfg(any(target_family = "wasm", feature = "dylib"))]
potstill_sdk::export_learner!(Mlp);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_from_ranges_and_says_what_is_wrong() {
        let mut rng = Rng::seeded(1);
        let drawn: Vec<usize> = (0..200).map(|_| draw("width", "3-5", [1, 9], &mut rng).unwrap()).collect();
        assert!((3..=5).all(|n| drawn.contains(&n)) && drawn.iter().all(|n| (3..=5).contains(n)));
        assert_eq!(draw("width", "7", [1, 9], &mut rng), Ok(7));
        for wrong in ["0", "10", "5-3", "x", "", "-", "3-", "1-99"] {
            let error = draw("width", wrong, [1, 9], &mut rng).unwrap_err();
            assert!(error.contains("expected a number from 1 to 9"), "{wrong}: {error}");
        }
    }
}
