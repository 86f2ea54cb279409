//! The functions that an objective's component exports.
//!
//! bindgen's own lookup allows one type for each function. `data` has two: `data-source` lost a case before version 0.1 was
//! published, and components built before that are still read.
use wasmtime::Store;
use wasmtime::component::{
    self, ComponentExportIndex, ComponentNamedList, ComponentType, Lift, Lower, ResourceAny, TypedFunc,
};

use super::contract::of_objective::exports::potstill::plugin::objective::{
    DataSource, Judged, MetaParameter, Outcome, Task,
};
use super::contract::types::{Description, OptionSchema, Setting};
use super::state::State;

/// `data-source` as it was: `rollouts-as-published` has become a setting of the host.
#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "wasmtime makes the values")]
pub(crate) enum FormerDataSource {
    #[component(name = "rollouts")]
    Rollouts,
    #[component(name = "rollouts-as-published")]
    RolloutsAsPublished,
    #[component(name = "offline")]
    Offline,
}

/// A function of the component with parameters `P` and the result `R`.
pub(crate) struct Function<P, R>(TypedFunc<P, (R,)>)
where
    (R,): ComponentNamedList;

impl<P: ComponentNamedList + Lower, R> Function<P, R>
where
    (R,): ComponentNamedList + Lift,
{
    pub(super) fn call(&self, store: &mut Store<State>, parameters: P) -> wasmtime::Result<R> {
        self.0.call(store, parameters).map(|(result,)| result)
    }
}

/// `data`, whichever contract the component was built against.
pub(crate) enum Data {
    Today(Function<(ResourceAny,), DataSource>),
    Former(Function<(ResourceAny,), FormerDataSource>),
}

impl Data {
    /// What the objective learns from; none for the case that was withdrawn.
    pub(super) fn call(
        &self,
        store: &mut Store<State>,
        instance: ResourceAny,
    ) -> wasmtime::Result<Option<DataSource>> {
        match self {
            Data::Today(data) => data.call(store, (instance,)).map(Some),
            Data::Former(data) => Ok(match data.call(store, (instance,))? {
                FormerDataSource::Rollouts => Some(DataSource::Rollouts),
                FormerDataSource::RolloutsAsPublished => None,
                FormerDataSource::Offline => Some(DataSource::Offline),
            }),
        }
    }
}

/// The exports of the interface `objective`.
pub(crate) struct Exports {
    pub(super) describe: Function<(), Description>,
    pub(super) options: Function<(), Vec<OptionSchema>>,
    pub(super) make: Function<(Task, Vec<Setting>), Result<ResourceAny, String>>,
    pub(super) data: Data,
    pub(super) meta_parameters: Function<(ResourceAny,), Vec<MetaParameter>>,
    pub(super) columns: Function<(ResourceAny,), Vec<String>>,
    pub(super) inner: Function<(ResourceAny, Vec<u32>, Vec<u32>), Vec<u32>>,
    pub(super) outer: Function<(ResourceAny, Judged), Outcome>,
}

impl Exports {
    /// Finds them.
    ///
    /// # Errors
    /// One is missing or has another type.
    pub(super) fn find(instance: &component::Instance, store: &mut Store<State>) -> wasmtime::Result<Self> {
        let version = potstill_plugin_api::API_VERSION;
        let interface =
            instance.get_export_index(&mut *store, None, &format!("potstill:plugin/objective@{version}.0"));
        let mut finder = Finder { instance, store, interface };
        Ok(Exports {
            describe: finder.find("describe")?,
            options: finder.find("options")?,
            make: finder.find("[static]instance.make")?,
            data: match finder.find("[method]instance.data") {
                Ok(data) => Data::Today(data),
                Err(error) => Data::Former(finder.find("[method]instance.data").map_err(|_| error)?),
            },
            meta_parameters: finder.find("[method]instance.meta-parameters")?,
            columns: finder.find("[method]instance.columns")?,
            inner: finder.find("[method]instance.inner")?,
            outer: finder.find("[method]instance.outer")?,
        })
    }
}

struct Finder<'a> {
    instance: &'a component::Instance,
    store: &'a mut Store<State>,
    interface: Option<ComponentExportIndex>,
}

impl Finder<'_> {
    fn find<P: ComponentNamedList + Lower, R>(&mut self, name: &str) -> wasmtime::Result<Function<P, R>>
    where
        (R,): ComponentNamedList + Lift,
    {
        let index = self.instance.get_export_index(&mut *self.store, self.interface.as_ref(), name);
        let index = index.ok_or_else(|| wasmtime::format_err!("no function `{name}`"))?;
        self.instance.get_typed_func(&mut *self.store, index).map(Function)
    }
}
