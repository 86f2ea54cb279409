//! The objective role.
use std::ptr;
use std::sync::{Mutex, PoisonError};

use potstill_plugin_api::abi::{
    DataKind, MetaInitKind, ObjectiveFunctions, RawMetaParameter, RawOuter, RawTask, SettingsData, SpaceData,
    array, text,
};
use potstill_plugin_api::{Column, Data, MetaInit, MetaParameter, OptionValue, Task};
use serde_json::Value;

use super::graph::tables;
use super::library::{Handle, NativePlugin};
use crate::engine::objective::{Judged, Network, Objective, Outer};
use crate::error::Result;
use crate::graph::Tensor;
use crate::plugin::check::Failure;
use crate::plugin::settings::to_json;
use crate::plugin::trace::Call;

fn functions(plugin: &NativePlugin) -> Option<&'static ObjectiveFunctions> {
    plugin.functions(ObjectiveFunctions::SIZE)
}

/// What an objective's table lacks.
pub(super) fn missing(plugin: &NativePlugin) -> Option<String> {
    let Some(f) = functions(plugin) else { return Some("its table of functions is too short".into()) };
    let slots = [
        ("make", f.make.is_none()),
        ("destroy", f.destroy.is_none()),
        ("data", f.data.is_none()),
        ("meta_parameters", f.meta_parameters.is_none()),
        ("columns", f.columns.is_none()),
        ("inner", f.inner.is_none()),
        ("outer", f.outer.is_none()),
    ];
    slots.iter().find(|(_, missing)| *missing).map(|(name, _)| format!("it has no function `{name}`"))
}

/// An objective of a native plugin, for one task.
pub(crate) struct NativeObjective {
    plugin: NativePlugin,
    settings: Vec<(String, OptionValue)>,
    handle: Mutex<Handle>,
    data: Data,
    theta: Vec<MetaParameter>,
    columns: Vec<Column>,
}

impl NativeObjective {
    /// Makes it.
    ///
    /// # Errors
    /// The plugin refused or failed, or its answers break the contract.
    pub(crate) fn new(
        plugin: NativePlugin,
        settings: Vec<(String, OptionValue)>,
        task: &Task,
    ) -> Result<Self> {
        let broken = |function: &str, cause: String| plugin.error(function, Failure::Broken(cause));
        let Some(ObjectiveFunctions {
            make: Some(make),
            destroy: Some(destroy),
            data: Some(data),
            meta_parameters: Some(meta_parameters),
            columns: Some(columns),
            ..
        }) = functions(&plugin)
        else {
            return Err(broken("make", "its table of functions changed".into()));
        };
        let (observation, action) = (SpaceData::new(&task.observation), SpaceData::new(&task.action));
        let raw_task = RawTask {
            struct_size: RawTask::SIZE,
            instances: task.instances as u32,
            outputs: task.outputs as u32,
            reserved: 0,
            observation: observation.raw(),
            action: action.raw(),
        };
        let given = SettingsData::new(settings.iter().map(|(n, v)| (&**n, v)));
        let (mut pointer, raw) = (ptr::null_mut(), given.raw());
        // SAFETY: a task and settings that live through the call, a place for the handle.
        let code = unsafe { make(&raw_task, raw.as_ptr(), raw.len() as u32, &mut pointer) };
        let handle = plugin
            .checked(code)
            .and_then(|()| Handle::new(pointer, *destroy))
            .map_err(|failure| plugin.error("make", failure))?;
        // SAFETY: a handle of this plugin.
        let data = match DataKind::from_number(unsafe { data(handle.pointer) }) {
            Some(DataKind::Rollouts) => Data::Rollouts,
            Some(DataKind::RolloutsAsPublished) => Data::RolloutsAsPublished,
            Some(DataKind::Offline) => Data::Offline,
            None => return Err(broken("data", "an unknown source of data".into())),
        };
        let (mut found, mut count) = (ptr::null(), 0);
        // SAFETY: a handle of this plugin and two places.
        plugin
            .checked(unsafe { meta_parameters(handle.pointer, &mut found, &mut count) })
            .map_err(|failure| plugin.error("meta_parameters", failure))?;
        // SAFETY: the contract's: as many parts as it said, valid until the next call.
        let theta = unsafe { array(found, count) }
            .and_then(|raw| {
                raw.iter().map(|raw| unsafe { meta_parameter(raw) }).collect::<Result<Vec<_>, _>>()
            })
            .map_err(|cause| broken("meta_parameters", cause))?;
        let (mut names, mut count) = (ptr::null(), 0);
        // SAFETY: a handle of this plugin and two places.
        plugin
            .checked(unsafe { columns(handle.pointer, &mut names, &mut count) })
            .map_err(|failure| plugin.error("columns", failure))?;
        // SAFETY: the contract's: as many texts as it said, valid until the next call.
        let columns = unsafe { array(names, count) }
            .and_then(|names| {
                let column = |&name: &*const std::ffi::c_char| {
                    // SAFETY: as above.
                    let name = unsafe { text(name)? }.ok_or("a column has no name")?;
                    Column::from_name(name).ok_or_else(|| format!("there is no column `{name}`"))
                };
                names.iter().map(column).collect::<Result<Vec<_>, String>>()
            })
            .map_err(|cause| broken("columns", cause))?;
        Ok(NativeObjective { plugin, settings, handle: Mutex::new(handle), data, theta, columns })
    }
}

/// # Safety
/// Its pointers are what the contract says.
unsafe fn meta_parameter(raw: &RawMetaParameter) -> Result<MetaParameter, String> {
    // SAFETY: the caller's promise.
    let (name, shape) = unsafe { (text(raw.name)?, array(raw.shape, raw.rank)?) };
    let init = match MetaInitKind::from_number(raw.init) {
        Some(MetaInitKind::Constant) => MetaInit::Constant(raw.value),
        Some(MetaInitKind::Normal) => MetaInit::Normal(raw.value),
        Some(MetaInitKind::Labels) => MetaInit::Labels,
        None => return Err(format!("a part of theta has the unknown initialiser {}", raw.init)),
    };
    Ok(MetaParameter {
        name: name.ok_or("a part of theta has no name")?.to_owned(),
        shape: shape.iter().map(|&d| d as usize).collect(),
        init,
        learned: raw.learned != 0,
        positive: raw.positive != 0,
    })
}

impl Objective for NativeObjective {
    fn id(&self) -> &str {
        &self.plugin.id
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
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ObjectiveFunctions { inner: Some(inner), .. }) = functions(&self.plugin) else {
            return Err(self.plugin.error("inner", Failure::Broken("its table of functions changed".into())));
        };
        let traced = Call::on(theta, fresh, Some(network));
        let (theta, fresh) = (traced.give(theta), traced.give(fresh));
        let mut taught = vec![0; fresh.len()];
        // SAFETY: a handle of this plugin, a network, arrays as long as they say.
        let code = tables(|_, network| unsafe {
            inner(
                handle.pointer,
                network,
                theta.as_ptr(),
                theta.len() as u32,
                fresh.as_ptr(),
                fresh.len() as u32,
                taught.as_mut_ptr(),
            )
        });
        let said = self.plugin.checked(code).map(|()| taught);
        traced.finish(said.map_err(|failure| self.plugin.error("inner", failure)), "inner")
    }

    fn outer(&self, network: &Network<'_>, judged: &Judged<'_>) -> Result<Outer> {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        let broken = |cause: String| self.plugin.error("outer", Failure::Broken(cause));
        let Some(ObjectiveFunctions { outer: Some(outer), .. }) = functions(&self.plugin) else {
            return Err(broken("its table of functions changed".into()));
        };
        let traced = Call::on(judged.theta, judged.columns, Some(network));
        let (theta, fresh) = (traced.give(judged.theta), traced.give(judged.fresh));
        let (taught, columns) = (traced.give(judged.taught), traced.give(judged.columns));
        let mut raw = RawOuter {
            struct_size: RawOuter::SIZE,
            theta_count: theta.len() as u32,
            parameter_count: fresh.len() as u32,
            column_count: columns.len() as u32,
            theta: theta.as_ptr(),
            fresh: fresh.as_ptr(),
            taught: taught.as_ptr(),
            columns: columns.as_ptr(),
            loss: 0,
            metric_count: 0,
            metrics: ptr::null(),
        };
        // SAFETY: a handle of this plugin, a network, arrays as long as they say.
        let code = tables(|_, network| unsafe { outer(handle.pointer, network, &mut raw) });
        let said = self.plugin.checked(code).map_err(|failure| self.plugin.error("outer", failure));
        let said = said.and_then(|()| {
            // SAFETY: the contract's: as many metrics as it said, valid until the next call.
            let metrics = unsafe { array(raw.metrics, raw.metric_count) }.map_err(broken)?.iter();
            // SAFETY: as above.
            let named =
                metrics.map(|metric| Ok((unsafe { text(metric.name) }.map_err(broken)?, metric.value)));
            let owned = |(name, value): (Option<&str>, u32)| (name.unwrap_or_default().to_owned(), value);
            Ok((raw.loss, named.map(|metric| metric.map(owned)).collect::<Result<_>>()?))
        });
        traced.finish_outer(said, broken)
    }
}
