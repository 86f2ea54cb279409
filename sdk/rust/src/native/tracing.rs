//! The host's graph, reached through function pointers. [`Tracing`] sets the graph of the current call, and a tensor is a
//! number in that graph.
use std::cell::Cell;
use std::ffi::{CString, c_void};
use std::panic::Location;
use std::ptr;

use potstill_plugin_api::abi::{GraphOp, Operation, RawGraph, RawNetwork};

use crate::Tensor;

pub(crate) type Handle = u32;

thread_local! {
    static CURRENT: Cell<*const RawGraph> = const { Cell::new(ptr::null()) };
}

/// A guard that makes a graph the current one of this thread until it is dropped.
pub(crate) struct Tracing(*const RawGraph);

impl Tracing {
    /// Makes `graph` the current one.
    ///
    /// # Safety
    /// `graph` must be null or valid until the guard is dropped.
    pub(crate) unsafe fn into(graph: *const RawGraph) -> Self {
        Tracing(CURRENT.replace(graph))
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Returns the graph of the current call.
fn graph() -> &'static RawGraph {
    let graph = CURRENT.get();
    assert!(!graph.is_null(), "tensors exist only while the host traces a learner or an objective");
    // SAFETY: it is not null, so a `Tracing` guard exists and its graph is valid. Callers do not keep the reference.
    unsafe { &*graph }
}

pub(crate) fn operation(
    op: GraphOp,
    inputs: &[&Tensor],
    integers: &[i64],
    numbers: &[f64],
    location: &Location<'_>,
) -> Handle {
    let graph = graph();
    let inputs: Vec<u32> = inputs.iter().map(|t| t.0).collect();
    let file = CString::new(location.file()).unwrap_or_default();
    let operation = Operation {
        struct_size: Operation::SIZE,
        op: op as u32,
        inputs: inputs.as_ptr(),
        integers: integers.as_ptr(),
        numbers: numbers.as_ptr(),
        input_count: inputs.len() as u32,
        integer_count: integers.len() as u32,
        number_count: numbers.len() as u32,
        line: location.line(),
        file: file.as_ptr(),
    };
    // SAFETY: the arrays are as long as their counts say and outlive the call.
    graph.operation.map_or(0, |f| unsafe { f(graph.context, &operation) })
}

pub(crate) fn shape(tensor: &Tensor) -> Vec<usize> {
    let graph = graph();
    let Some(shape) = graph.shape else { return vec![] };
    let mut dimensions = [0u32; 16];
    // SAFETY: `dimensions` has room for the 16 numbers that the call names as its capacity.
    let rank = unsafe { shape(graph.context, tensor.0, dimensions.as_mut_ptr(), 16) } as usize;
    dimensions.iter().take(rank).map(|&d| d as usize).collect()
}

pub(crate) fn gradients(loss: &Tensor, wrt: &[Tensor], _: &Location<'_>) -> Vec<Handle> {
    let graph = graph();
    let wrt: Vec<u32> = wrt.iter().map(|t| t.0).collect();
    let mut out = vec![0; wrt.len()];
    if let Some(f) = graph.gradients {
        // SAFETY: `wrt` and `out` both have `wrt.len()` elements.
        unsafe { f(graph.context, loss.0, wrt.as_ptr(), wrt.len() as u32, out.as_mut_ptr()) };
    }
    out
}

/// The learner as a function of its parameters, and its policy as a distribution over actions.
#[derive(Debug)]
pub struct Network(*const RawNetwork);

impl Network {
    /// Wraps the host's structure.
    ///
    /// # Safety
    /// `network` must be valid as long as the returned value lives.
    pub(crate) unsafe fn of(network: *const RawNetwork) -> Self {
        Network(network)
    }

    fn raw(&self) -> &RawNetwork {
        // SAFETY: `Network::of` requires that the pointer is valid as long as `self` lives.
        unsafe { &*self.0 }
    }

    fn context(&self) -> *mut c_void {
        self.raw().context
    }

    /// Computes the learner's outputs `[batch, outputs]` for observations `x` `[batch, …]` and `parameters`.
    pub fn apply(&self, parameters: &[Tensor], x: &Tensor) -> Tensor {
        let parameters: Vec<u32> = parameters.iter().map(|t| t.0).collect();
        // SAFETY: `parameters` is as long as the count says, and the context is the host's own.
        let call = |f: Apply| unsafe { f(self.context(), parameters.as_ptr(), parameters.len() as u32, x.0) };
        Tensor(self.raw().apply.map_or(0, call))
    }

    /// Computes the log-probability `[batch, 1]` of `actions` under the policy with these `outputs` `[batch, outputs]`.
    pub fn log_prob(&self, outputs: &Tensor, actions: &Tensor) -> Tensor {
        // SAFETY: the function takes two tensors by value, and the context is the host's own.
        Tensor(self.raw().log_probability.map_or(0, |f| unsafe { f(self.context(), outputs.0, actions.0) }))
    }

    /// Computes the entropy `[batch, 1]` of the policy with these `outputs` `[batch, outputs]`.
    pub fn entropy(&self, outputs: &Tensor) -> Tensor {
        // SAFETY: the function takes one tensor by value, and the context is the host's own.
        Tensor(self.raw().entropy.map_or(0, |f| unsafe { f(self.context(), outputs.0) }))
    }

    /// Computes the Kullback-Leibler divergence `E_p[log p − log q]`, `[batch, 1]`, between the policies with outputs `p`
    /// and `q`, both `[batch, outputs]`.
    pub fn divergence(&self, p: &Tensor, q: &Tensor) -> Tensor {
        // SAFETY: the function takes two tensors by value, and the context is the host's own.
        Tensor(self.raw().divergence.map_or(0, |f| unsafe { f(self.context(), p.0, q.0) }))
    }
}

type Apply = unsafe extern "C" fn(*mut c_void, *const u32, u32, u32) -> u32;
