//! The host's graph, reached through imported functions. A tensor is a number that the host assigned.
use std::panic::Location;

use potstill_plugin_api::abi::GraphOp;

use crate::Tensor;
use crate::bindings::of_learner::potstill::plugin::graph;
use crate::bindings::of_objective::potstill::plugin::network;

pub(crate) type Handle = u32;

fn numbers(tensors: &[Tensor]) -> Vec<u32> {
    tensors.iter().map(|t| t.0).collect()
}

/// Tells the host the source location of the next call, which it names if the call is a mistake.
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

/// The learner as a function of its parameters, and its policy as a distribution over actions.
#[derive(Debug)]
pub struct Network(pub(super) ());

impl Network {
    /// Computes the learner's outputs `[batch, outputs]` for observations `x` `[batch, …]` and `parameters`.
    #[track_caller]
    pub fn apply(&self, parameters: &[Tensor], x: &Tensor) -> Tensor {
        at(Location::caller());
        Tensor(network::apply(&numbers(parameters), x.0))
    }

    /// Computes the log-probability `[batch, 1]` of `actions` under the policy with these `outputs` `[batch, outputs]`.
    #[track_caller]
    pub fn log_prob(&self, outputs: &Tensor, actions: &Tensor) -> Tensor {
        at(Location::caller());
        Tensor(network::log_probability(outputs.0, actions.0))
    }

    /// Computes the entropy `[batch, 1]` of the policy with these `outputs` `[batch, outputs]`.
    #[track_caller]
    pub fn entropy(&self, outputs: &Tensor) -> Tensor {
        at(Location::caller());
        Tensor(network::entropy(outputs.0))
    }

    /// Computes the Kullback-Leibler divergence `E_p[log p − log q]`, `[batch, 1]`, between the policies with outputs `p`
    /// and `q`, both `[batch, outputs]`.
    #[track_caller]
    pub fn divergence(&self, p: &Tensor, q: &Tensor) -> Tensor {
        at(Location::caller());
        Tensor(network::divergence(p.0, q.0))
    }
}
