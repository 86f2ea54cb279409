//! A learner as it is taught: its parameters split into ξ and φ, with the sizes that all programs share.
use potstill_plugin_api::{EnvironmentSpec, Space, Task};

use crate::error::{Error, Result};
use crate::graph::{Graph, Tensor};
use crate::inner::Inner;
use crate::learner::{self, Learner, Parameter};
use crate::objective::Network;
use crate::policy::{Gaussian, Policy};

/// The sizes that all programs share.
#[derive(Clone, Debug, PartialEq)]
pub struct Dimensions {
    /// The number of instances in θ.
    pub k: usize,
    /// The observation space.
    pub observation: Space,
    /// What the learner's outputs mean.
    pub policy: Policy,
    /// The layer l of encoder rollback: layers before it are the encoder ξ. 0 is full distillation; the number of
    /// layers is direct PPO.
    pub encoder_layers: usize,
    /// How often the inner rule is applied, and how its steps are taken.
    pub inner: Inner,
}

impl Dimensions {
    /// The sizes for full distillation of an environment into `k` instances, which teach in one inner step.
    ///
    /// # Errors
    /// [`Error::Usage`]: there is no policy for the environment's action space.
    pub fn new(spec: &EnvironmentSpec, k: usize) -> Result<Self> {
        match Policy::of(&spec.action) {
            Some(policy) => {
                let (observation, inner) = (spec.observation.clone(), Inner::default());
                Ok(Dimensions { k, observation, policy, encoder_layers: 0, inner })
            }
            None => Err(Error::usage(format!(
                "`{}` has the action space {}; this version distills environments with Discrete or Box actions",
                spec.id, spec.action
            ))),
        }
    }

    /// The description of the task that an objective gets, for an environment with the action space `action`.
    pub fn task(&self, action: &Space) -> Task {
        Task {
            observation: self.observation.clone(),
            action: action.clone(),
            instances: self.k,
            outputs: self.outputs(),
        }
    }

    /// The shape of a batch of `rows` observations.
    pub(crate) fn batch(&self, rows: usize) -> Vec<usize> {
        std::iter::once(rows).chain(self.observation.shape()).collect()
    }

    /// The number of outputs of a learner drawn from Λ ([`Policy::network_outputs`]).
    pub fn network_outputs(&self) -> usize {
        self.policy.network_outputs()
    }

    /// The number of outputs that describe the policy for one observation ([`Policy::outputs`]).
    pub fn outputs(&self) -> usize {
        self.policy.outputs()
    }
}

/// A learner whose parameters are split into ξ and φ.
pub struct Student {
    /// The network.
    pub learner: Box<dyn Learner>,
    /// For each of its parameters, whether it belongs to φ, which is fresh in every meta-epoch and taught by the inner
    /// step. The others are ξ.
    pub phi_mask: Vec<bool>,
}

impl Student {
    /// Checks `learner`, which must have [`Dimensions::network_outputs`] outputs, and splits its parameters.
    ///
    /// # Errors
    /// An error of tracing the learner.
    pub fn new(learner: Box<dyn Learner>, d: &Dimensions) -> Result<Self> {
        learner::check(&*learner, &d.observation)?;
        let learner = match d.policy {
            Policy::Categorical(_) => learner,
            Policy::Gaussian(n) => Box::new(Gaussian::new(learner, n)),
        };
        let phi_mask = learner.parameters().iter().map(|p| p.layer >= d.encoder_layers).collect();
        Ok(Student { learner, phi_mask })
    }

    /// Checks a critic: a learner with one output, all of whose parameters are trained by the outer loop.
    ///
    /// # Errors
    /// An error of tracing the learner.
    pub fn critic(learner: Box<dyn Learner>, d: &Dimensions) -> Result<Self> {
        learner::check(&*learner, &d.observation)?;
        let phi_mask = vec![true; learner.parameters().len()];
        Ok(Student { learner, phi_mask })
    }

    /// All parameters.
    pub fn parameters(&self) -> &[Parameter] {
        self.learner.parameters()
    }

    /// The number of layers.
    pub fn layers(&self) -> usize {
        self.parameters().iter().map(|p| p.layer + 1).max().unwrap_or(0)
    }

    /// The parameters of ξ.
    pub fn encoder(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters().iter().zip(&self.phi_mask).filter(|(_, phi)| !**phi).map(|(p, _)| p)
    }

    /// The parameters of φ.
    pub(crate) fn taught(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters().iter().zip(&self.phi_mask).filter(|(_, phi)| **phi).map(|(p, _)| p)
    }

    /// The network as an objective sees it, with ξ bound to `encoder`.
    pub(crate) fn network<'a>(&'a self, encoder: &'a [Tensor], d: &Dimensions) -> Network<'a> {
        Network { learner: &*self.learner, phi_mask: &self.phi_mask, encoder, policy: d.policy }
    }

    /// Graph inputs for all parameters, named `learner/…`.
    pub fn inputs(&self, graph: &Graph) -> Vec<Tensor> {
        self.parameters().iter().map(|p| graph.input(format!("learner/{}", p.name), &p.shape)).collect()
    }

    /// Those of `parameters` that belong to φ.
    pub(crate) fn phi<T: Clone>(&self, parameters: &[T]) -> Vec<T> {
        parameters.iter().zip(&self.phi_mask).filter(|(_, phi)| **phi).map(|(p, _)| p.clone()).collect()
    }
}
