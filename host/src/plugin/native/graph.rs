//! The graph's functions for native plugins.
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use potstill_plugin_api::abi::{Operation, RawGraph, RawNetwork, array, text};

use crate::plugin::trace;

/// Runs a call of the plugin with the tables it traces through. The call is that of the innermost [`trace::Call`], so
/// the tables need no context.
pub(super) fn tables<T>(call: impl FnOnce(&RawGraph, &RawNetwork) -> T) -> T {
    let graph = RawGraph {
        struct_size: RawGraph::SIZE,
        reserved: 0,
        context: ptr::null_mut(),
        operation: Some(operation),
        shape: Some(shape),
        gradients: Some(gradients),
    };
    let network = RawNetwork {
        struct_size: RawNetwork::SIZE,
        reserved: 0,
        graph: &graph,
        context: ptr::null_mut(),
        apply: Some(apply),
        log_probability: Some(log_probability),
        entropy: Some(entropy),
        divergence: Some(divergence),
    };
    call(&graph, &network)
}

/// Runs the host's part of a plugin's call: a panic, a mistake of the host, must not cross into the plugin.
fn guarded<T>(otherwise: T, call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(otherwise)
}

unsafe extern "C" fn operation(_: *mut c_void, operation: *const Operation) -> u32 {
    guarded(0, || {
        // SAFETY: the contract's: an operation whose arrays are as long as it says.
        let (operation, arrays, file) = unsafe {
            let operation = &*operation;
            let arrays = (
                array(operation.inputs, operation.input_count),
                array(operation.integers, operation.integer_count),
                array(operation.numbers, operation.number_count),
            );
            (operation, arrays, text(operation.file))
        };
        // An array that is NULL although it has elements becomes one that is too short.
        let (inputs, integers, numbers) =
            (arrays.0.unwrap_or_default(), arrays.1.unwrap_or_default(), arrays.2.unwrap_or_default());
        let place = match (operation.line, file) {
            (1.., Ok(Some(file))) => Some(format!("{file}:{}", operation.line)),
            _ => None,
        };
        trace::at(place);
        let made = trace::operation(operation.op, inputs, integers, numbers);
        // The other functions of this contract do not say where they are called.
        trace::at(None);
        made
    })
}

unsafe extern "C" fn shape(_: *mut c_void, tensor: u32, out: *mut u32, capacity: u32) -> u32 {
    guarded(0, || {
        let shape = trace::shape(tensor).unwrap_or_default();
        for (i, &d) in shape.iter().take(capacity as usize).enumerate() {
            // SAFETY: the contract's: room for `capacity` dimensions.
            unsafe { *out.add(i) = u32::try_from(d).unwrap_or(u32::MAX) };
        }
        shape.len() as u32
    })
}

unsafe extern "C" fn gradients(_: *mut c_void, loss: u32, wrt: *const u32, count: u32, out: *mut u32) {
    guarded((), || {
        // SAFETY: the contract's: an array of `count` tensors.
        let Ok(wrt) = (unsafe { array(wrt, count) }) else { return };
        for (i, gradient) in trace::gradients(loss, wrt).into_iter().enumerate() {
            // SAFETY: the contract's: room for `count` tensors.
            unsafe { *out.add(i) = gradient };
        }
    });
}

unsafe extern "C" fn apply(_: *mut c_void, parameters: *const u32, count: u32, x: u32) -> u32 {
    // SAFETY: the contract's: `count` tensors.
    guarded(0, || trace::network_apply(unsafe { array(parameters, count) }.unwrap_or_default(), x))
}

unsafe extern "C" fn log_probability(_: *mut c_void, outputs: u32, actions: u32) -> u32 {
    guarded(0, || trace::network_log_probability(outputs, actions))
}

unsafe extern "C" fn entropy(_: *mut c_void, outputs: u32) -> u32 {
    guarded(0, || trace::network_entropy(outputs))
}

unsafe extern "C" fn divergence(_: *mut c_void, p: u32, q: u32) -> u32 {
    guarded(0, || trace::network_divergence(p, q))
}
