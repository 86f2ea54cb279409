//! The host's graph behind imports. Tensors are numbers that the host gave out.
use std::panic::Location;

use potstill_plugin_api::abi::GraphOp;

use crate::Tensor;
use crate::bindings::of_learner::potstill::plugin::graph;
use crate::bindings::of_objective::potstill::plugin::network;

pub(crate) type Handle = u32;

fn numbers(tensors: &[Tensor]) -> Vec<u32> {
    tensors.iter().map(|t| t.0).collect()
}

/// The host names it where what follows is a mistake.
fn at(location: &Location<'_>) {
    graph::at(location.file(), location.line());
}

pub(crate) fn operation(
    op: GraphOp,
    inputs: &[&Tensor],
    integers: &[i64],
    numbers: &[f64],
    location: &Location<'_>,
) -> Handle {
    at(location);
    let inputs: Vec<u32> = inputs.iter().map(|t| t.0).collect();
    graph::operation(op as u32, &inputs, integers, numbers)
}

pub(crate) fn shape(tensor: &Tensor) -> Vec<usize> {
    graph::shape(tensor.0).into_iter().map(|d| d as usize).collect()
}

pub(crate) fn gradients(loss: &Tensor, wrt: &[Tensor], location: &Location<'_>) -> Vec<Handle> {
    at(location);
    graph::gradients(loss.0, &numbers(wrt))
}

/// The learner as a function of its parameters, and its policy as a distribution of actions.
#[derive(Debug)]
pub struct Network(pub(super) ());

impl Network {
    /// `[batch, outputs]` on `x` with `parameters`.
    #[track_caller]
    pub fn apply(&self, parameters: &[Tensor], x: &Tensor) -> Tensor {
        at(Location::caller());
        Tensor(network::apply(&numbers(parameters), x.0))
    }

    /// `[batch, 1]`: the log-probability of `actions` under the policy that `outputs` describes.
    #[track_caller]
    pub fn log_prob(&self, outputs: &Tensor, actions: &Tensor) -> Tensor {
        at(Location::caller());
        Tensor(network::log_probability(outputs.0, actions.0))
    }

    /// `[batch, 1]`: the entropy of the policy that `outputs` describes.
    #[track_caller]
    pub fn entropy(&self, outputs: &Tensor) -> Tensor {
        at(Location::caller());
        Tensor(network::entropy(outputs.0))
    }

    /// `[batch, 1]`: the Kullback-Leibler divergence of policy `q` from policy `p`, `E_p[log p − log q]`.
    #[track_caller]
    pub fn divergence(&self, p: &Tensor, q: &Tensor) -> Tensor {
        at(Location::caller());
        Tensor(network::divergence(p.0, q.0))
    }
}
