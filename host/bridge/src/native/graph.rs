//! The graph and network functions that native plugins call while they trace.
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use potstill_plugin_api::abi::{Operation, RawGraph, RawNetwork, array, text};

use crate::trace::{self, Ask};
use crate::traced::Answer;

/// Runs `call`, a call of the plugin, with the tables of functions that the plugin traces with. Their context is
/// `answer`.
pub(super) fn tables<T>(mut answer: Answer<'_>, call: impl FnOnce(&RawGraph, &RawNetwork) -> T) -> T {
    let context: *mut c_void = ptr::from_mut(&mut answer).cast();
    let graph = RawGraph {
        struct_size: RawGraph::SIZE,
        reserved: 0,
        context,
        operation: Some(operation),
        shape: Some(shape),
        gradients: Some(gradients),
    };
    let network = RawNetwork {
        struct_size: RawNetwork::SIZE,
        reserved: 0,
        graph: &graph,
        context,
        apply: Some(apply),
        log_probability: Some(log_probability),
        entropy: Some(entropy),
        divergence: Some(divergence),
    };
    call(&graph, &network)
}

/// Asks the host. A panic of the host must not unwind into the plugin; the answer is then empty.
fn ask(context: *mut c_void, ask: impl FnOnce() -> Ask) -> Vec<u32> {
    // SAFETY: `tables` made the context, and it lives through the plugin's call.
    let answer = unsafe { &mut *context.cast::<Answer<'_>>() };
    catch_unwind(AssertUnwindSafe(|| answer(ask()))).unwrap_or_else(|panic| {
        trace::panicked(&*panic);
        vec![]
    })
}

/// The tensor in an answer, or 0 if there is none.
fn tensor(answer: Vec<u32>) -> u32 {
    answer.first().copied().unwrap_or(0)
}

unsafe extern "C" fn operation(context: *mut c_void, operation: *const Operation) -> u32 {
    tensor(ask(context, || {
        // SAFETY: by the contract it is an operation whose arrays are as long as it says.
        let (operation, arrays, file) = unsafe {
            let operation = &*operation;
            let arrays = (
                array(operation.inputs, operation.input_count),
                array(operation.integers, operation.integer_count),
                array(operation.numbers, operation.number_count),
            );
            (operation, arrays, text(operation.file))
        };
        let place = match (operation.line, file) {
            (1.., Ok(Some(file))) => Some(format!("{file}:{}", operation.line)),
            _ => None,
        };
        // An array that is NULL although it should have elements becomes empty, which fails the next check.
        Ask::Operation {
            op: operation.op,
            inputs: arrays.0.unwrap_or_default().to_vec(),
            integers: arrays.1.unwrap_or_default().to_vec(),
            numbers: arrays.2.unwrap_or_default().to_vec(),
            place,
        }
    }))
}

unsafe extern "C" fn shape(context: *mut c_void, tensor: u32, out: *mut u32, capacity: u32) -> u32 {
    let shape = ask(context, || Ask::Shape { tensor });
    for (i, &d) in shape.iter().take(capacity as usize).enumerate() {
        // SAFETY: by the contract there is space for `capacity` dimensions.
        unsafe { *out.add(i) = d };
    }
    shape.len() as u32
}

unsafe extern "C" fn gradients(context: *mut c_void, loss: u32, wrt: *const u32, count: u32, out: *mut u32) {
    // SAFETY: by the contract it is an array of `count` tensors.
    let Ok(wrt) = (unsafe { array(wrt, count) }) else { return };
    let mut found = ask(context, || Ask::Gradients { loss, wrt: wrt.to_vec() });
    found.resize(wrt.len(), 0);
    for (i, gradient) in found.into_iter().enumerate() {
        // SAFETY: by the contract there is space for `count` tensors.
        unsafe { *out.add(i) = gradient };
    }
}

unsafe extern "C" fn apply(context: *mut c_void, parameters: *const u32, count: u32, x: u32) -> u32 {
    // SAFETY: by the contract there are `count` tensors.
    let parameters = unsafe { array(parameters, count) }.unwrap_or_default().to_vec();
    tensor(ask(context, || Ask::Apply { parameters, observations: x }))
}

unsafe extern "C" fn log_probability(context: *mut c_void, outputs: u32, actions: u32) -> u32 {
    tensor(ask(context, || Ask::LogProbability { outputs, actions }))
}

unsafe extern "C" fn entropy(context: *mut c_void, outputs: u32) -> u32 {
    tensor(ask(context, || Ask::Entropy { outputs }))
}

unsafe extern "C" fn divergence(context: *mut c_void, p: u32, q: u32) -> u32 {
    tensor(ask(context, || Ask::Divergence { p, q }))
}
