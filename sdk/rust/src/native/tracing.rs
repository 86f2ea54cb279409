//! The host's graph behind function pointers. The macro's glue sets the graph of the current call; tensors are
//! numbers in it.
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

/// Traces into `graph` as long as it lives.
pub(crate) struct Tracing(*const RawGraph);

impl Tracing {
    /// # Safety
    /// `graph` is null or valid as long as the value lives.
    pub(crate) unsafe fn into(graph: *const RawGraph) -> Self {
        Tracing(CURRENT.replace(graph))
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// The graph of the current call.
fn graph() -> &'static RawGraph {
    let graph = CURRENT.get();
    assert!(!graph.is_null(), "tensors exist only while the host traces a learner or an objective");
    // SAFETY: not null, so `Tracing` holds it valid; the reference is not kept beyond the call that asked for it.
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
    // SAFETY: the arrays are as long as the counts say, and outlive the call.
    graph.operation.map_or(0, |f| unsafe { f(graph.context, &operation) })
}

pub(crate) fn shape(tensor: &Tensor) -> Vec<usize> {
    let graph = graph();
    let Some(shape) = graph.shape else { return vec![] };
    let mut dimensions = [0u32; 16];
    // SAFETY: there is room for as many dimensions as are said.
    let rank = unsafe { shape(graph.context, tensor.0, dimensions.as_mut_ptr(), 16) } as usize;
    dimensions.iter().take(rank).map(|&d| d as usize).collect()
}

pub(crate) fn gradients(loss: &Tensor, wrt: &[Tensor], _: &Location<'_>) -> Vec<Handle> {
    let graph = graph();
    let wrt: Vec<u32> = wrt.iter().map(|t| t.0).collect();
    let mut out = vec![0; wrt.len()];
    if let Some(f) = graph.gradients {
        // SAFETY: both arrays have `wrt.len()` elements.
        unsafe { f(graph.context, loss.0, wrt.as_ptr(), wrt.len() as u32, out.as_mut_ptr()) };
    }
    out
}

/// The learner as a function of its parameters, and its policy as a distribution of actions.
#[derive(Debug)]
pub struct Network(*const RawNetwork);

impl Network {
    /// # Safety
    /// `network` is valid as long as the value lives.
    pub(crate) unsafe fn of(network: *const RawNetwork) -> Self {
        Network(network)
    }

    fn raw(&self) -> &RawNetwork {
        // SAFETY: see `Network::of`.
        unsafe { &*self.0 }
    }

    fn context(&self) -> *mut c_void {
        self.raw().context
    }

    /// `[batch, outputs]` on `x` with `parameters`.
    pub fn apply(&self, parameters: &[Tensor], x: &Tensor) -> Tensor {
        let parameters: Vec<u32> = parameters.iter().map(|t| t.0).collect();
        // SAFETY: as many parameters as are said.
        let call = |f: Apply| unsafe { f(self.context(), parameters.as_ptr(), parameters.len() as u32, x.0) };
        Tensor(self.raw().apply.map_or(0, call))
    }

    /// `[batch, 1]`: the log-probability of `actions` under the policy that `outputs` describes.
    pub fn log_prob(&self, outputs: &Tensor, actions: &Tensor) -> Tensor {
        // SAFETY: two tensors are wanted.
        Tensor(self.raw().log_probability.map_or(0, |f| unsafe { f(self.context(), outputs.0, actions.0) }))
    }

    /// `[batch, 1]`: the entropy of the policy that `outputs` describes.
    pub fn entropy(&self, outputs: &Tensor) -> Tensor {
        // SAFETY: one tensor is wanted.
        Tensor(self.raw().entropy.map_or(0, |f| unsafe { f(self.context(), outputs.0) }))
    }

    /// `[batch, 1]`: the Kullback-Leibler divergence of policy `q` from policy `p`, `E_p[log p − log q]`.
    pub fn divergence(&self, p: &Tensor, q: &Tensor) -> Tensor {
        // SAFETY: two tensors are wanted.
        Tensor(self.raw().divergence.map_or(0, |f| unsafe { f(self.context(), p.0, q.0) }))
    }
}

type Apply = unsafe extern "C" fn(*mut c_void, *const u32, u32, u32) -> u32;
