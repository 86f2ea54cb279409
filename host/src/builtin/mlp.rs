//! α_c: a multilayer perceptron of any width, depth, activation and initialisation.
use std::f32::consts::SQRT_2;

use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::learner::{Init, Learner, LearnerDistribution, Parameters};
use crate::engine::random::Stream;
use crate::error::{Error, Result, did_you_mean};
use crate::graph::Tensor;

/// Elementwise function between layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// Hyperbolic tangent.
    Tanh,
    /// `max(x, 0)`.
    Relu,
    /// `x·Φ(x)`.
    Gelu,
    /// `1/(1 + e⁻ˣ)`.
    Sigmoid,
    /// None: a linear network.
    Identity,
}

/// How weights are drawn; biases start at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weights {
    /// [`Init::Orthogonal`].
    Orthogonal,
    /// [`Init::XavierNormal`].
    XavierNormal,
    /// [`Init::XavierUniform`].
    XavierUniform,
}

/// A distribution of perceptrons. The default is the paper's α_c: two hidden layers of 64, tanh,
/// orthogonal weights with gain √2 and 0.01 for the output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mlp {
    /// Width of the hidden layers: one number, or a range to draw from.
    pub width: Range,
    /// Number of hidden layers: one number, or a range to draw from.
    pub depth: Range,
    /// Between layers.
    pub activation: Activation,
    /// How weights are drawn.
    pub weights: Weights,
    /// Gain of the hidden layers.
    pub gain: f32,
    /// Gain of the output layer.
    pub output_gain: f32,
}

/// One number, or an inclusive range: `64`, or `32-256` as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RangeText", into = "RangeText")]
pub enum Range {
    /// Always this.
    One(usize),
    /// Uniform from the first to the second, both included.
    Between(usize, usize),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RangeText {
    Number(usize),
    Text(String),
}

impl TryFrom<RangeText> for Range {
    type Error = String;

    fn try_from(value: RangeText) -> std::result::Result<Self, String> {
        match value {
            RangeText::Number(n) => Ok(Range::One(n)),
            RangeText::Text(text) => {
                let range = text
                    .split_once('-')
                    .and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)));
                range
                    .map(|(low, high)| Range::Between(low, high))
                    .ok_or_else(|| format!("expected a number or a range like `32-256`, got `{text}`"))
            }
        }
    }
}

impl From<Range> for RangeText {
    fn from(range: Range) -> Self {
        match range {
            Range::One(n) => RangeText::Number(n),
            Range::Between(low, high) => RangeText::Text(format!("{low}-{high}")),
        }
    }
}

impl Range {
    fn draw(self, stream: &mut Stream) -> usize {
        match self {
            Range::One(n) => n,
            Range::Between(low, high) => stream.random_range(low..=high),
        }
    }

    fn bounds(self) -> (usize, usize) {
        match self {
            Range::One(n) => (n, n),
            Range::Between(low, high) => (low, high),
        }
    }
}

impl Default for Mlp {
    fn default() -> Self {
        Mlp {
            width: Range::One(64),
            depth: Range::One(2),
            activation: Activation::Tanh,
            weights: Weights::Orthogonal,
            gain: SQRT_2,
            output_gain: 0.01,
        }
    }
}

/// The six distributions of the paper's Table 1, by name.
pub const PRESETS: [&str; 6] =
    ["default", "orthogonal-1", "xavier", "xavier-1", "random-width", "random-depth"];

impl Mlp {
    /// The critic of the paper: the same network with output gain 1.
    pub fn critic() -> Self {
        Mlp { output_gain: 1.0, ..Self::default() }
    }

    /// One of [`PRESETS`].
    ///
    /// # Errors
    /// An unknown name.
    pub fn preset(name: &str) -> Result<Self> {
        let base = Self::default();
        Ok(match name {
            "default" => base,
            "orthogonal-1" => Mlp { gain: 1.0, output_gain: 1.0, ..base },
            "xavier" => Mlp { weights: Weights::XavierNormal, ..base },
            "xavier-1" => Mlp { weights: Weights::XavierNormal, gain: 1.0, output_gain: 1.0, ..base },
            "random-width" => Mlp { width: Range::Between(32, 256), ..base },
            "random-depth" => Mlp { depth: Range::Between(1, 6), ..base },
            _ => {
                return Err(Error::usage(format!(
                    "unknown learner distribution `{name}`.{}",
                    did_you_mean(name, PRESETS)
                )));
            }
        })
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// Says which value is out of range.
    pub fn validate(&self) -> Result<()> {
        let (width, depth) = (self.width.bounds(), self.depth.bounds());
        if width.0 == 0 || width.0 > width.1 || width.1 > 65_536 {
            return Err(Error::usage(format!("learner width {width:?}: expected 1 ≤ least ≤ most ≤ 65536")));
        }
        if depth.0 > depth.1 || depth.1 > 64 {
            return Err(Error::usage(format!("learner depth {depth:?}: expected 0 ≤ least ≤ most ≤ 64")));
        }
        if !(self.gain.is_finite() && self.output_gain.is_finite()) {
            return Err(Error::usage("learner gains must be finite"));
        }
        Ok(())
    }
}

impl LearnerDistribution for Mlp {
    fn id(&self) -> &str {
        "mlp"
    }

    fn draw(&self, stream: &mut Stream) -> Box<dyn Learner> {
        let (width, depth) = (Range::One(self.width.draw(stream)), Range::One(self.depth.draw(stream)));
        Box::new(Mlp { width, depth, ..self.clone() })
    }

    fn specification(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// A distribution of one architecture is that architecture.
impl Learner for Mlp {
    fn forward(&self, parameters: &mut Parameters<'_>, observations: &Tensor, outputs: usize) -> Tensor {
        let init = |gain: f32| match self.weights {
            Weights::Orthogonal => Init::Orthogonal(gain),
            Weights::XavierNormal => Init::XavierNormal(gain),
            Weights::XavierUniform => Init::XavierUniform(gain),
        };
        let (width, depth) = (self.width.bounds().0, self.depth.bounds().0);
        let mut h = observations.flatten_rows();
        for layer in 0..=depth {
            let last = layer == depth;
            let (out, gain) = if last { (outputs, self.output_gain) } else { (width, self.gain) };
            let inputs = h.shape()[1];
            let weight =
                parameters.parameter(&format!("layers.{layer}.weight"), &[inputs, out], init(gain), layer);
            let bias = parameters.parameter(&format!("layers.{layer}.bias"), &[out], Init::Zeros, layer);
            h = h.matmul(&weight) + bias;
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

    fn specification(&self) -> Value {
        LearnerDistribution::specification(self)
    }
}
