//! The learner role.
use std::ptr;
use std::sync::{Mutex, PoisonError};

use potstill_plugin_api::abi::{
    InitKind, LearnerFunctions, RawParameter, SettingsData, SpaceData, array, text,
};
use potstill_plugin_api::{Init, OptionValue, Space};

use super::graph::tables;
use super::plugin::{Handle, NativePlugin, absent};
use crate::check::{Failure, Fault};
use crate::traced::{Answer, DrawnLearner, RawLearner, RawLearners};
use potstill_engine::learner::Parameter;

fn functions(plugin: &NativePlugin) -> Option<LearnerFunctions> {
    plugin.functions()
}

/// What a learner's table lacks.
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
    ) -> Result<(Box<dyn RawLearner>, DrawnLearner), Fault> {
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
        // SAFETY: a space and settings that live through the call, a place for the handle.
        let code =
            unsafe { make(&space.raw(), outputs as u32, raw.as_ptr(), raw.len() as u32, seed, &mut pointer) };
        let made = self.checked(code).and_then(|()| Handle::new(pointer, destroy));
        let handle = made.map_err(|failure| failure.at("make"))?;
        // SAFETY: the contract's: a text, which is copied at once.
        let name = unsafe { text(name(handle.pointer)) }
            .and_then(|name| name.map(str::to_owned).ok_or_else(|| "it has none".into()))
            .map_err(|cause| broken("name", cause))?;
        let (mut found, mut count) = (ptr::null(), 0);
        // SAFETY: a handle of this plugin, a graph, two places.
        let code =
            tables(answer, |graph, _| unsafe { parameters(handle.pointer, graph, &mut found, &mut count) });
        self.checked(code).map_err(|failure| failure.at("parameters"))?;
        // SAFETY: the contract's: as many parameters as it said, valid until the next call.
        let parameters = unsafe { array(found, count) }
            .and_then(|raw| raw.iter().map(|raw| unsafe { parameter(raw) }).collect::<Result<Vec<_>, _>>())
            .map_err(|cause| broken("parameters", cause))?;
        let learner = NativeLearner { plugin: self.clone(), handle: Mutex::new(handle) };
        Ok((Box::new(learner), DrawnLearner { name, parameters }))
    }
}

/// # Safety
/// Its pointers are what the contract says.
unsafe fn parameter(raw: &RawParameter) -> Result<Parameter, String> {
    // SAFETY: the caller's promise.
    let (name, shape) = unsafe { (text(raw.name)?, array(raw.shape, raw.rank)?) };
    let init = match InitKind::from_number(raw.init) {
        Some(InitKind::Constant) => Init::Constant(raw.value),
        Some(InitKind::Uniform) => Init::Uniform(raw.value),
        Some(InitKind::Normal) => Init::Normal(raw.value),
        Some(InitKind::Orthogonal) => Init::Orthogonal(raw.value),
        None => return Err(format!("a parameter has the unknown initialiser {}", raw.init)),
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
        // SAFETY: a handle of this plugin, a graph, as many tensors as are said, a place.
        let code = tables(answer, |graph, _| unsafe {
            forward(handle.pointer, graph, parameters.as_ptr(), parameters.len() as u32, x, &mut output)
        });
        self.plugin.checked(code).map(|()| output)
    }
}
