//! Learners of sandboxed components.
use std::sync::{Arc, Mutex, PoisonError};

use potstill_plugin_api::{Init, OptionValue, Space};
use serde_json::Value;
use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker, ResourceAny};

use super::contract::of_learner::exports::potstill::plugin::learner as role;
use super::contract::of_learner::{LearnerPlugin, LearnerPluginPre};
use super::contract::{setting, space, types};
use super::program::{Instance, Program, World};
use super::state::State;
use crate::engine::learner::{Learner, LearnerDistribution, Parameter};
use crate::error::Result;
use crate::graph::{Graph, Tensor};
use crate::plugin::declared::{check_learner, check_outputs};
use crate::plugin::limits::TimeLimit;
use crate::plugin::settings::to_json;
use crate::plugin::trace;

/// The WIT world of learners.
pub(crate) enum LearnerWorld {}

impl World for LearnerWorld {
    type Pre = LearnerPluginPre<State>;
    type Exports = LearnerPlugin;

    fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
        LearnerPlugin::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
    }

    fn pre(pre: InstancePre<State>) -> wasmtime::Result<Self::Pre> {
        LearnerPluginPre::new(pre)
    }

    fn instantiate(pre: &Self::Pre, store: &mut Store<State>) -> wasmtime::Result<LearnerPlugin> {
        pre.instantiate(store)
    }

    fn describe(exports: &LearnerPlugin, store: &mut Store<State>) -> wasmtime::Result<types::Description> {
        exports.potstill_plugin_learner().call_describe(store)
    }

    fn options(
        exports: &LearnerPlugin,
        store: &mut Store<State>,
    ) -> wasmtime::Result<Vec<types::OptionSchema>> {
        exports.potstill_plugin_learner().call_options(store)
    }
}

fn architectures(exports: &LearnerPlugin) -> role::GuestArchitecture<'_> {
    exports.potstill_plugin_learner().architecture()
}

/// A distribution of learners from a component.
pub(crate) struct WasmLearners {
    program: Arc<Program<LearnerWorld>>,
    settings: Vec<(String, OptionValue)>,
}

impl WasmLearners {
    pub(crate) fn new(program: Program<LearnerWorld>, settings: Vec<(String, OptionValue)>) -> Self {
        WasmLearners { program: Arc::new(program), settings }
    }
}

impl LearnerDistribution for WasmLearners {
    fn id(&self) -> &str {
        &self.program.plugin
    }

    fn specification(&self) -> Value {
        to_json(&self.settings)
    }

    fn draw(&self, observation: &Space, outputs: usize, seed: u64) -> Result<Box<dyn Learner>> {
        let program = &self.program;
        let wrong = |function: &str, cause: String| program.error(function, cause);
        // Each learner has its own instance, so that an error in one does not affect the others.
        let mut instance = program.start()?;
        let (observation, settings) =
            (space(observation), self.settings.iter().map(setting).collect::<Vec<_>>());
        let handle = instance
            .call(TimeLimit::Start, |exports, store| {
                architectures(exports).call_make(store, &observation, outputs as u32, &settings, seed)
            })
            .map_err(|cause| wrong("make", cause))?
            .map_err(|words| program.refused(&words))?;
        let name = instance
            .call(TimeLimit::Start, |exports, store| architectures(exports).call_name(store, handle))
            .map_err(|cause| wrong("name", cause))?;
        let graph = Graph::new();
        let said = graph.scope(trace::scope(&program.plugin, "parameters"), || {
            let call = trace::Call::new(&graph, None);
            let said = instance.call(TimeLimit::Start, |exports, store| {
                architectures(exports).call_parameters(store, handle)
            });
            call.finish(Ok(vec![]), "parameters")?;
            said.map_err(|cause| wrong("parameters", cause))
        })?;
        let parameters = said.into_iter().map(|p| Parameter {
            name: p.name,
            shape: p.shape.into_iter().map(|d| d as usize).collect(),
            init: match p.init {
                role::Init::Constant(v) => Init::Constant(v),
                role::Init::Uniform(v) => Init::Uniform(v),
                role::Init::Normal(v) => Init::Normal(v),
                role::Init::Orthogonal(v) => Init::Orthogonal(v),
            },
            layer: p.layer as usize,
        });
        let parameters: Vec<Parameter> = parameters.collect();
        check_learner(&name, &parameters).map_err(|(function, cause)| wrong(function, cause))?;
        let (program, instance) = (program.clone(), Mutex::new((instance, handle)));
        Ok(Box::new(WasmLearner { program, instance, name, parameters, outputs }))
    }
}

struct WasmLearner {
    program: Arc<Program<LearnerWorld>>,
    instance: Mutex<(Instance<LearnerWorld>, ResourceAny)>,
    name: String,
    parameters: Vec<Parameter>,
    outputs: usize,
}

impl Learner for WasmLearner {
    fn name(&self) -> &str {
        &self.name
    }

    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn forward(&self, parameters: &[Tensor], observations: &Tensor) -> Result<Tensor> {
        let mut guard = self.instance.lock().unwrap_or_else(PoisonError::into_inner);
        let (instance, handle) = &mut *guard;
        let graph = observations.graph();
        graph.scope(trace::scope(&self.program.plugin, "forward"), || {
            let call = trace::Call::new(graph, None);
            let (given, x) = (call.give(parameters), call.give(std::slice::from_ref(observations))[0]);
            let said = instance.call(TimeLimit::Step, |exports, store| {
                architectures(exports).call_forward(store, *handle, &given, x)
            });
            let said = said.map(|output| vec![output]).map_err(|cause| self.program.error("forward", cause));
            let result = call.finish(said, "forward")?;
            let result = result.into_iter().next().unwrap_or_else(|| observations.clone());
            check_outputs(&result, observations, self.outputs)
                .map_err(|cause| self.program.error("forward", cause))?;
            Ok(result)
        })
    }
}
