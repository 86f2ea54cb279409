//! The learner role: a distribution Λ of networks. A learner describes a network as a graph; the host computes it.
use potstill_plugin_api::{Init, LearnerShape, OptionSchema};

use crate::{Options, Rng, Tensor};

/// One network architecture, drawn from the distribution of learners that the plugin defines.
pub trait Learner: Sized + Send + 'static {
    /// The id: `name-vN` or `namespace/name-vN`. Increase `N` when the results change.
    const ID: &'static str;
    /// The version of this release of the plugin, usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// A description of the learner in one sentence.
    const SUMMARY: &'static str;

    /// The options that [`Learner::draw`] reads.
    fn options() -> Vec<OptionSchema> {
        vec![]
    }

    /// Draws an architecture for `shape`, with random numbers only from `rng`. It does not draw the values of parameters:
    /// the host draws them as their [`Init`] says.
    ///
    /// # Errors
    /// Fails if the shape or the options are not supported; the message is shown to the user.
    fn draw(shape: &LearnerShape, options: &Options, rng: &mut Rng) -> Result<Self, String>;

    /// The name of this architecture within the distribution. Architectures with equal names must trace equal graphs.
    fn name(&self) -> String;

    /// Traces the network on `observations` `[batch, …]` and returns its outputs `[batch, outputs]`. Every call must
    /// request the same parameters in the same order.
    fn forward(&self, parameters: &mut Parameters, observations: &Tensor) -> Tensor;
}

/// A parameter that a learner declared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) shape: Vec<u32>,
    pub(crate) init: Init,
    pub(crate) layer: u32,
}

/// The parameters of a learner. [`Learner::forward`] declares a parameter by requesting it.
#[derive(Debug)]
pub struct Parameters {
    pub(crate) declared: Vec<Declared>,
    /// The values, or `None` in the pass that declares the parameters.
    given: Option<Vec<Tensor>>,
    next: usize,
    pub(crate) error: Option<String>,
}

impl Parameters {
    /// Starts the pass that records which parameters the learner requests.
    pub(crate) fn declare() -> Self {
        Parameters { declared: vec![], given: None, next: 0, error: None }
    }

    /// Starts a pass with values for the `declared` parameters.
    pub(crate) fn give(declared: Vec<Declared>, values: Vec<Tensor>) -> Self {
        Parameters { declared, given: Some(values), next: 0, error: None }
    }

    /// Returns the parameter `name` of `shape`. Layers are counted from the input, from 0. With encoder rollback at layer
    /// l, the layers before l are meta-learned and the inner step trains the others.
    #[track_caller]
    pub fn get(&mut self, name: &str, shape: &[usize], init: Init, layer: usize) -> Tensor {
        let position = self.next;
        self.next += 1;
        let asked = Declared {
            name: name.into(),
            shape: shape.iter().map(|&d| d as u32).collect(),
            init,
            layer: layer as u32,
        };
        match &self.given {
            None => self.declared.push(asked),
            Some(values) => {
                if let (Some(known), Some(value)) = (self.declared.get(position), values.get(position))
                    && *known == asked
                {
                    return value.clone();
                }
                self.error.get_or_insert(format!(
                    "parameter {position} is `{name}` {shape:?}, but it was declared differently"
                ));
            }
        }
        Tensor::full(0.0, shape)
    }

    /// Applies a linear layer to `x` `[…, inputs]`. Its weight `{name}.weight` `[inputs, outputs]` is drawn by `init`, and
    /// its bias `{name}.bias` `[outputs]` starts at 0.
    #[track_caller]
    pub fn linear(&mut self, name: &str, x: &Tensor, outputs: usize, init: Init, layer: usize) -> Tensor {
        let inputs = x.shape().last().copied().unwrap_or(1);
        let weight = self.get(&format!("{name}.weight"), &[inputs, outputs], init, layer);
        let bias = self.get(&format!("{name}.bias"), &[outputs], Init::Constant(0.0), layer);
        x.matmul(&weight) + bias
    }

    /// Applies a convolution with square kernels to `x` `[batch, inputs, height, width]`. Its weight `{name}.weight`
    /// `[channels, inputs, kernel, kernel]` is drawn by `init`, and its bias `{name}.bias` `[channels]` starts at 0.
    #[track_caller]
    #[allow(clippy::too_many_arguments)]
    pub fn conv2d(
        &mut self,
        name: &str,
        x: &Tensor,
        channels: usize,
        [kernel, stride, padding]: [usize; 3],
        init: Init,
        layer: usize,
    ) -> Tensor {
        let inputs = x.shape().get(1).copied().unwrap_or(1);
        let weight = self.get(&format!("{name}.weight"), &[channels, inputs, kernel, kernel], init, layer);
        let bias = self.get(&format!("{name}.bias"), &[channels], Init::Constant(0.0), layer);
        x.conv2d(&weight, stride, padding) + bias.reshape(&[1, channels, 1, 1])
    }
}
