//! Learners of native plugins.
use std::ptr;
use std::sync::{Mutex, PoisonError};

use potstill_plugin_api::abi::{
    InitKind, LearnerFunctions, RawParameter, SettingsData, SpaceData, array, text,
};
use potstill_plugin_api::{Init, OptionValue, Space};

use super::graph::tables;
use super::plugin::{Handle, NativePlugin, absent};
use crate::check::{FailedCall, Failure};
use crate::traced::{Answer, Architecture, RawLearner, RawLearners};
use potstill_engine::learner::Parameter;

fn functions(plugin: &NativePlugin) -> Option<LearnerFunctions> {
    plugin.functions()
}

/// The error for an incomplete table of functions, or `None`.
pub(super) fn missing(plugin: &NativePlugin) -> Option<String> {
    let Some(f) = functions(plugin) else { return Some("its table of functions is too short".into()) };
    let slots = [
        ("make", f.make.is_none()),
        ("destroy", f.destroy.is_none()),
        ("name", f.name.is_none()),
        ("parameters", f.parameters.is_none()),
        ("forward", f.forward.is_none()),
    ];
    slots.iter().find(|(_, missing)| *missing).map(|(name, _)| format!("it has no function `{name}`"))
}

impl RawLearners for NativePlugin {
    fn draw(
        &self,
        settings: &[(String, OptionValue)],
        observation: &Space,
        outputs: usize,
        seed: u64,
        answer: Answer<'_>,
    ) -> Result<(Box<dyn RawLearner>, Architecture), FailedCall> {
        let broken = |function: &str, cause: String| Failure::Broken(cause).at(function);
        let Some(LearnerFunctions {
            make: Some(make),
            destroy: Some(destroy),
            name: Some(name),
            parameters: Some(parameters),
            ..
        }) = functions(self)
        else {
            return Err(absent().at("make"));
        };
        let space = SpaceData::new(observation);
        let settings = SettingsData::new(settings.iter().map(|(n, v)| (&**n, v)));
        let (mut pointer, raw) = (ptr::null_mut(), settings.raw());
        // SAFETY: the space and the settings live through the call; `pointer` is valid for the handle.
        let code =
            unsafe { make(&space.raw(), outputs as u32, raw.as_ptr(), raw.len() as u32, seed, &mut pointer) };
        let made = self.checked(code).and_then(|()| Handle::new(pointer, destroy));
        let handle = made.map_err(|failure| failure.at("make"))?;
        // SAFETY: by the contract it is a string. It is copied at once.
        let name = unsafe { text(name(handle.pointer)) }
            .and_then(|name| name.map(str::to_owned).ok_or_else(|| "it has none".into()))
            .map_err(|cause| broken("name", cause))?;
        let (mut found, mut count) = (ptr::null(), 0);
        // SAFETY: the handle is this plugin's, and the graph lives through the call; `found` and `count` are valid for
        // writes.
        let code =
            tables(answer, |graph, _| unsafe { parameters(handle.pointer, graph, &mut found, &mut count) });
        self.checked(code).map_err(|failure| failure.at("parameters"))?;
        // SAFETY: by the contract there are `count` parameters, valid until the next call.
        let parameters = unsafe { array(found, count) }
            .and_then(|raw| raw.iter().map(|raw| unsafe { parameter(raw) }).collect::<Result<Vec<_>, _>>())
            .map_err(|cause| broken("parameters", cause))?;
        let learner = NativeLearner { plugin: self.clone(), handle: Mutex::new(handle) };
        Ok((Box::new(learner), Architecture { name, parameters }))
    }
}

/// Copies a parameter's declaration.
///
/// # Safety
/// Its pointers are as the contract requires.
unsafe fn parameter(raw: &RawParameter) -> Result<Parameter, String> {
    // SAFETY: the caller's promise.
    let (name, shape) = unsafe { (text(raw.name)?, array(raw.shape, raw.rank)?) };
    let init = match InitKind::from_number(raw.init) {
        Some(InitKind::Constant) => Init::Constant(raw.value),
        Some(InitKind::Uniform) => Init::Uniform(raw.value),
        Some(InitKind::Normal) => Init::Normal(raw.value),
        Some(InitKind::Orthogonal) => Init::Orthogonal(raw.value),
        None => return Err(format!("a parameter has the unknown initializer {}", raw.init)),
    };
    Ok(Parameter {
        name: name.ok_or("a parameter has no name")?.to_owned(),
        shape: shape.iter().map(|&d| d as usize).collect(),
        init,
        layer: raw.layer as usize,
    })
}

struct NativeLearner {
    plugin: NativePlugin,
    handle: Mutex<Handle>,
}

impl RawLearner for NativeLearner {
    fn forward(&self, parameters: &[u32], x: u32, answer: Answer<'_>) -> Result<u32, Failure> {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(LearnerFunctions { forward: Some(forward), .. }) = functions(&self.plugin) else {
            return Err(absent());
        };
        let mut output = 0;
        // SAFETY: the handle is this plugin's, the graph lives through the call, `parameters` has as many tensors as its
        // length says, and `output` is valid for writes.
        let code = tables(answer, |graph, _| unsafe {
            forward(handle.pointer, graph, parameters.as_ptr(), parameters.len() as u32, x, &mut output)
        });
        self.plugin.checked(code).map(|()| output)
    }
}
