//! The learner role: a distribution Λ of networks that are described, not computed.
use potstill_plugin_api::{Init, LearnerShape, OptionSchema};

use crate::{Options, Rng, Tensor};

/// A network, drawn from the distribution that the plugin is.
pub trait Learner: Sized + Send + 'static {
    /// `name-vN` or `namespace/name-vN`; a change of what is computed is a new `N`.
    const ID: &'static str;
    /// Release of the plugin; usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// One sentence.
    const SUMMARY: &'static str;

    /// The options that [`Learner::draw`] reads.
    fn options() -> Vec<OptionSchema> {
        vec![]
    }

    /// Draws an architecture for `shape`, from `rng` and nothing else. Values of parameters are not drawn here:
    /// [`Init`] says how the host draws them.
    ///
    /// # Errors
    /// This shape or these options are not supported, in words for the user.
    fn draw(shape: &LearnerShape, options: &Options, rng: &mut Rng) -> Result<Self, String>;

    /// What tells it from the distribution's other architectures: equal names trace equal graphs.
    fn name(&self) -> String;

    /// Traces the network on `observations` `[batch, …]`, giving `[batch, outputs]`. Asks for the same parameters in
    /// the same order each time.
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

/// Where [`Learner::forward`] gets its parameters from: asking for one declares it.
#[derive(Debug)]
pub struct Parameters {
    pub(crate) declared: Vec<Declared>,
    /// None while they are declared.
    given: Option<Vec<Tensor>>,
    next: usize,
    pub(crate) error: Option<String>,
}

impl Parameters {
    /// A pass that finds out which parameters there are.
    pub(crate) fn declare() -> Self {
        Parameters { declared: vec![], given: None, next: 0, error: None }
    }

    /// A pass with values for the parameters that were `declared`.
    pub(crate) fn give(declared: Vec<Declared>, values: Vec<Tensor>) -> Self {
        Parameters { declared, given: Some(values), next: 0, error: None }
    }

    /// The parameter `name` of `shape`, in a layer counted from the input: encoder rollback meta-learns the layers
    /// before l and lets the inner step teach the others.
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
                    "parameter {position} is `{name}` {shape:?}, which was not declared so"
                ));
            }
        }
        Tensor::full(0.0, shape)
    }

    /// A linear layer: weight `{name}.weight` `[inputs, outputs]`, drawn by `init`, and bias `{name}.bias`, 0.
    #[track_caller]
    pub fn linear(&mut self, name: &str, x: &Tensor, outputs: usize, init: Init, layer: usize) -> Tensor {
        let inputs = x.shape().last().copied().unwrap_or(1);
        let weight = self.get(&format!("{name}.weight"), &[inputs, outputs], init, layer);
        let bias = self.get(&format!("{name}.bias"), &[outputs], Init::Constant(0.0), layer);
        x.matmul(&weight) + bias
    }

    /// A convolution of square kernels: weight `{name}.weight` `[channels, inputs, kernel, kernel]`, drawn by `init`, and
    /// bias `{name}.bias`, 0.
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
