//! The learner role.
use std::ptr;
use std::sync::{Mutex, PoisonError};

use potstill_plugin_api::abi::{
    InitKind, LearnerFunctions, RawParameter, SettingsData, SpaceData, array, text,
};
use potstill_plugin_api::{Init, OptionValue, Space};
use serde_json::Value;

use super::graph::tables;
use super::library::{Handle, NativePlugin};
use crate::engine::learner::{Learner, LearnerDistribution, Parameter};
use crate::error::Result;
use crate::graph::{Graph, Tensor};
use crate::plugin::check::Failure;
use crate::plugin::settings::to_json;
use crate::plugin::trace::Call;

fn functions(plugin: &NativePlugin) -> Option<&'static LearnerFunctions> {
    plugin.functions(LearnerFunctions::SIZE)
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

/// A distribution of learners from a native plugin.
pub(crate) struct NativeLearners {
    plugin: NativePlugin,
    settings: Vec<(String, OptionValue)>,
}

impl NativeLearners {
    pub(crate) fn new(plugin: NativePlugin, settings: Vec<(String, OptionValue)>) -> Self {
        NativeLearners { plugin, settings }
    }
}

impl LearnerDistribution for NativeLearners {
    fn id(&self) -> &str {
        &self.plugin.id
    }

    fn specification(&self) -> Value {
        to_json(&self.settings)
    }

    fn draw(&self, observation: &Space, outputs: usize, seed: u64) -> Result<Box<dyn Learner>> {
        let plugin = self.plugin.clone();
        let wrong = |function: &str, failure| Err(plugin.error(function, failure));
        let broken = |function: &str, cause: String| Err(plugin.error(function, Failure::Broken(cause)));
        let Some(LearnerFunctions {
            make: Some(make),
            destroy: Some(destroy),
            name: Some(name),
            parameters: Some(parameters),
            ..
        }) = functions(&plugin)
        else {
            return broken("make", "its table of functions changed".into());
        };
        let (space, settings) =
            (SpaceData::new(observation), SettingsData::new(self.settings.iter().map(|(n, v)| (&**n, v))));
        let (mut pointer, raw) = (ptr::null_mut(), settings.raw());
        // SAFETY: a space and settings that live through the call, a place for the handle.
        let code =
            unsafe { make(&space.raw(), outputs as u32, raw.as_ptr(), raw.len() as u32, seed, &mut pointer) };
        let made = plugin.checked(code).and_then(|()| Handle::new(pointer, *destroy));
        let handle = match made {
            Ok(handle) => handle,
            Err(failure) => return wrong("make", failure),
        };
        // SAFETY: the contract's: a text, which is copied at once.
        let name = match unsafe { text(name(handle.pointer)) } {
            Ok(Some(name)) => name.to_owned(),
            Ok(None) => return broken("name", "it has none".into()),
            Err(cause) => return broken("name", cause),
        };
        let graph = Graph::new();
        let traced = Call::new(&graph, None);
        let (mut found, mut count) = (ptr::null(), 0);
        // SAFETY: a handle of this plugin, a graph, two places.
        let code = graph.scope(format!("learner `{}`", plugin.id), || {
            tables(|graph, _| unsafe { parameters(handle.pointer, graph, &mut found, &mut count) })
        });
        // A mistake of tracing explains the failure that may follow it.
        traced.finish(&[], "parameters")?;
        if let Err(failure) = plugin.checked(code) {
            return wrong("parameters", failure);
        }
        // SAFETY: the contract's: as many parameters as it said, valid until the next call.
        let read = unsafe { array(found, count) }.and_then(|raw| {
            raw.iter().map(|raw| unsafe { parameter(raw) }).collect::<Result<Vec<_>, String>>()
        });
        match read {
            Ok(parameters) => {
                Ok(Box::new(NativeLearner { plugin, handle: Mutex::new(handle), name, parameters }))
            }
            Err(cause) => broken("parameters", cause),
        }
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
    name: String,
    parameters: Vec<Parameter>,
}

impl Learner for NativeLearner {
    fn name(&self) -> &str {
        &self.name
    }

    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn forward(&self, parameters: &[Tensor], observations: &Tensor) -> Result<Tensor> {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        let graph = observations.graph();
        let Some(LearnerFunctions { forward: Some(forward), .. }) = functions(&self.plugin) else {
            return Err(self
                .plugin
                .error("forward", Failure::Broken("its table of functions changed".into())));
        };
        graph.scope(format!("learner `{}`", self.plugin.id), || {
            let traced = Call::new(graph, None);
            let given = traced.give(parameters);
            let x = traced.give(std::slice::from_ref(observations))[0];
            let mut output = 0;
            // SAFETY: a handle of this plugin, a graph, as many tensors as are said, a place.
            let code = tables(|graph, _| unsafe {
                forward(handle.pointer, graph, given.as_ptr(), given.len() as u32, x, &mut output)
            });
            let said = self.plugin.checked(code);
            // A mistake of tracing explains what the plugin says of it.
            let result =
                traced.finish(if said.is_ok() { std::slice::from_ref(&output) } else { &[] }, "forward")?;
            said.map_err(|failure| self.plugin.error("forward", failure))?;
            Ok(result.into_iter().next().unwrap_or_else(|| observations.clone()))
        })
    }
}
