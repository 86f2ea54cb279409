//! Implements the learner role of the C contract for any [`Learner`].
use std::ffi::{CString, c_char, c_void};

use potstill_plugin_api::abi::{
    InitKind, LearnerFunctions, RawGraph, RawParameter, RawSpace, RoleKind, Setting, array,
};

use super::entry::{Described, destroy, guarded, hand_out, handle, options};
use super::tracing::Tracing;
use crate::learner::{Declared, Parameters};
use crate::{Init, Learner, LearnerShape, Rng, Tensor};

/// An architecture behind its handle, with the data that the results point to.
struct Architecture<L> {
    learner: L,
    shape: LearnerShape,
    name: CString,
    declared: Option<Vec<Declared>>,
    /// The array that `parameters` returned. It points into `declared` and `_names`.
    raw: Vec<RawParameter>,
    _names: Vec<CString>,
}

/// The description of the plugin that provides `L`.
#[doc(hidden)]
pub fn learner<L: Learner>() -> Described {
    let functions: &'static LearnerFunctions = const {
        &LearnerFunctions {
            struct_size: LearnerFunctions::SIZE,
            reserved: 0,
            make: Some(make::<L>),
            destroy: Some(destroy::<Architecture<L>>),
            name: Some(name::<L>),
            parameters: Some(parameters::<L>),
            forward: Some(forward::<L>),
        }
    };
    let texts = [L::ID, L::VERSION, L::SUMMARY];
    Described::new(RoleKind::Learner, texts, &L::options(), (functions as *const LearnerFunctions).cast())
}

unsafe extern "C" fn make<L: Learner>(
    observation: *const RawSpace,
    outputs: u32,
    settings: *const Setting,
    count: u32,
    seed: u64,
    place: *mut *mut c_void,
) -> i32 {
    guarded(|| {
        // SAFETY: the contract guarantees a valid space, `count` valid settings, and that the handle can be written.
        unsafe {
            let shape = LearnerShape { observation: (*observation).read()?, outputs: outputs as usize };
            let learner = L::draw(&shape, &options(settings, count)?, &mut Rng::seeded(seed))?;
            let name = potstill_plugin_api::abi::c_text(&learner.name());
            hand_out(
                Architecture { learner, shape, name, declared: None, raw: vec![], _names: vec![] },
                place,
            );
        }
        Ok(())
    })
}

unsafe extern "C" fn name<L: Learner>(architecture: *mut c_void) -> *const c_char {
    // SAFETY: the contract guarantees a live handle from `make` that no other call uses.
    unsafe { handle::<Architecture<L>>(architecture) }.name.as_ptr()
}

impl<L: Learner> Architecture<L> {
    fn declare(&mut self) -> Result<&[Declared], String> {
        if self.declared.is_none() {
            let batch: Vec<usize> = std::iter::once(1).chain(self.shape.observation.shape()).collect();
            let mut parameters = Parameters::declare();
            self.learner.forward(&mut parameters, &Tensor::full(0.0, &batch));
            self.declared = Some(parameters.declared);
        }
        Ok(self.declared.as_deref().unwrap_or_default())
    }
}

unsafe extern "C" fn parameters<L: Learner>(
    architecture: *mut c_void,
    graph: *const RawGraph,
    out: *mut *const RawParameter,
    count: *mut u32,
) -> i32 {
    guarded(|| {
        // SAFETY: the contract guarantees a live handle that no other call uses, and a graph that outlives this call.
        let (architecture, _tracing) =
            unsafe { (handle::<Architecture<L>>(architecture), Tracing::into(graph)) };
        let declared = architecture.declare()?.to_vec();
        let names: Vec<CString> =
            declared.iter().map(|d| potstill_plugin_api::abi::c_text(&d.name)).collect();
        let kept = architecture.declared.as_deref().unwrap_or_default();
        architecture.raw = kept
            .iter()
            .zip(&names)
            .map(|(declared, name)| {
                let (init, value) = match declared.init {
                    Init::Constant(v) => (InitKind::Constant, v),
                    Init::Uniform(v) => (InitKind::Uniform, v),
                    Init::Normal(v) => (InitKind::Normal, v),
                    Init::Orthogonal(v) => (InitKind::Orthogonal, v),
                };
                RawParameter {
                    name: name.as_ptr(),
                    shape: declared.shape.as_ptr(),
                    rank: declared.shape.len() as u32,
                    init: init as u32,
                    value,
                    layer: declared.layer,
                    reserved: 0,
                }
            })
            .collect();
        architecture._names = names;
        // SAFETY: the contract guarantees that both results can be written.
        unsafe { (*out, *count) = (architecture.raw.as_ptr(), architecture.raw.len() as u32) };
        Ok(())
    })
}

unsafe extern "C" fn forward<L: Learner>(
    architecture: *mut c_void,
    graph: *const RawGraph,
    parameters: *const u32,
    count: u32,
    x: u32,
    output: *mut u32,
) -> i32 {
    guarded(|| {
        // SAFETY: the contract guarantees a live handle that no other call uses, a graph that outlives this call, and
        // `count` tensors.
        let (architecture, _tracing, values) = unsafe {
            (handle::<Architecture<L>>(architecture), Tracing::into(graph), array(parameters, count)?)
        };
        let declared = architecture.declare()?.to_vec();
        let values = values.iter().map(|&t| Tensor(t)).collect();
        let mut parameters = Parameters::give(declared, values);
        let result = architecture.learner.forward(&mut parameters, &Tensor(x));
        // SAFETY: the contract guarantees that the result can be written to `output`.
        unsafe { *output = result.0 };
        parameters.error.map_or(Ok(()), Err)
    })
}
