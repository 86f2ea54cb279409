//! Objectives of sandboxed components.
use std::sync::{Mutex, PoisonError};

use potstill_plugin_api::{Column, Data, MetaInit, MetaParameter, OptionValue, Task};
use serde_json::Value;
use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker, ResourceAny};

use super::contract::of_objective::exports::potstill::plugin::objective as role;
use super::contract::of_objective::{ObjectivePlugin, ObjectivePluginPre};
use super::contract::{setting, space, types};
use super::objective_exports::Exports;
use super::program::{Instance, Program, World};
use super::state::State;
use crate::engine::objective::{Judged, Network, Objective, Outer};
use crate::error::Result;
use crate::graph::Tensor;
use crate::plugin::declared::WITHDRAWN_DATA;
use crate::plugin::limits::TimeLimit;
use crate::plugin::settings::to_json;
use crate::plugin::trace;

/// The WIT world of objectives.
pub(crate) enum ObjectiveWorld {}

impl World for ObjectiveWorld {
    type Pre = ObjectivePluginPre<State>;
    type Exports = Exports;

    fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
        ObjectivePlugin::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
    }

    fn pre(pre: InstancePre<State>) -> wasmtime::Result<Self::Pre> {
        ObjectivePluginPre::new(pre)
    }

    fn instantiate(pre: &Self::Pre, store: &mut Store<State>) -> wasmtime::Result<Exports> {
        let instance = pre.instance_pre().instantiate(&mut *store)?;
        Exports::find(&instance, store)
    }

    fn describe(exports: &Exports, store: &mut Store<State>) -> wasmtime::Result<types::Description> {
        exports.describe.call(store, ())
    }

    fn options(exports: &Exports, store: &mut Store<State>) -> wasmtime::Result<Vec<types::OptionSchema>> {
        exports.options.call(store, ())
    }
}

/// An objective of a component, for one task.
pub(crate) struct WasmObjective {
    program: Program<ObjectiveWorld>,
    settings: Vec<(String, OptionValue)>,
    instance: Mutex<(Instance<ObjectiveWorld>, ResourceAny)>,
    data: Data,
    theta: Vec<MetaParameter>,
    columns: Vec<Column>,
}

impl WasmObjective {
    /// Makes the objective.
    ///
    /// # Errors
    /// The plugin refused or failed, or its answers break the contract.
    pub(crate) fn new(
        program: Program<ObjectiveWorld>,
        settings: Vec<(String, OptionValue)>,
        task: &Task,
    ) -> Result<Self> {
        let mut instance = program.start()?;
        let raw = role::Task {
            observation: space(&task.observation),
            action: space(&task.action),
            instances: task.instances as u32,
            outputs: task.outputs as u32,
        };
        let given: Vec<_> = settings.iter().map(setting).collect();
        let handle = instance
            .call(TimeLimit::Start, |exports, store| exports.make.call(store, (raw, given)))
            .map_err(|cause| program.error("make", cause))?
            .map_err(|words| program.refused(&words))?;
        let data = instance
            .call(TimeLimit::Start, |exports, store| exports.data.call(store, handle))
            .map_err(|cause| program.error("data", cause))?;
        let data = match data {
            Some(role::DataSource::Rollouts) => Data::Rollouts,
            Some(role::DataSource::Offline) => Data::Offline,
            None => return Err(program.error("data", WITHDRAWN_DATA.into())),
        };
        let theta = instance
            .call(TimeLimit::Start, |exports, store| exports.meta_parameters.call(store, (handle,)))
            .map_err(|cause| program.error("meta-parameters", cause))?;
        let theta = theta.into_iter().map(|part| MetaParameter {
            name: part.name,
            shape: part.shape.into_iter().map(|d| d as usize).collect(),
            init: match part.init {
                role::MetaInit::Constant(v) => MetaInit::Constant(v),
                role::MetaInit::Normal(v) => MetaInit::Normal(v),
                role::MetaInit::Labels => MetaInit::Labels,
            },
            learned: part.learned,
            positive: part.positive,
        });
        let theta = theta.collect();
        let names = instance
            .call(TimeLimit::Start, |exports, store| exports.columns.call(store, (handle,)))
            .map_err(|cause| program.error("columns", cause))?;
        let column = |name: &String| {
            Column::from_name(name)
                .ok_or_else(|| program.error("columns", format!("there is no column `{name}`")))
        };
        let columns = names.iter().map(column).collect::<Result<_>>()?;
        Ok(WasmObjective {
            program,
            settings,
            instance: Mutex::new((instance, handle)),
            data,
            theta,
            columns,
        })
    }
}

impl Objective for WasmObjective {
    fn id(&self) -> &str {
        &self.program.plugin
    }

    fn specification(&self) -> Value {
        to_json(&self.settings)
    }

    fn data(&self) -> Data {
        self.data
    }

    fn theta(&self) -> &[MetaParameter] {
        &self.theta
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn inner(&self, network: &Network<'_>, theta: &[Tensor], fresh: &[Tensor]) -> Result<Vec<Tensor>> {
        let mut guard = self.instance.lock().unwrap_or_else(PoisonError::into_inner);
        let (instance, handle) = &mut *guard;
        let call = trace::Call::on(theta, fresh, Some(network));
        let (theta, fresh) = (call.give(theta), call.give(fresh));
        let said = instance
            .call(TimeLimit::Step, |exports, store| exports.inner.call(store, (*handle, theta, fresh)));
        call.finish(said.map_err(|cause| self.program.error("inner", cause)), "inner")
    }

    fn outer(&self, network: &Network<'_>, judged: &Judged<'_>) -> Result<Outer> {
        let mut guard = self.instance.lock().unwrap_or_else(PoisonError::into_inner);
        let (instance, handle) = &mut *guard;
        let call = trace::Call::on(judged.theta, judged.columns, Some(network));
        let raw = role::Judged {
            theta: call.give(judged.theta),
            fresh: call.give(judged.fresh),
            taught: call.give(judged.taught),
            columns: call.give(judged.columns),
        };
        let said = instance.call(TimeLimit::Step, |exports, store| exports.outer.call(store, (*handle, raw)));
        let said = said.map_err(|cause| self.program.error("outer", cause)).map(|outcome| {
            (outcome.loss, outcome.metrics.into_iter().map(|metric| (metric.name, metric.value)).collect())
        });
        call.finish_outer(said, |cause| self.program.error("outer", cause))
    }
}
