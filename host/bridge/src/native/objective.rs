//! Objectives of native plugins.
use std::ptr;
use std::sync::{Mutex, PoisonError};

use potstill_plugin_api::abi::{
    DATA_WITHDRAWN, DataKind, MetaInitKind, ObjectiveFunctions, RawMetaParameter, RawMetric, RawOuter,
    RawTask, SettingsData, SpaceData, array, text,
};
use potstill_plugin_api::{Column, Data, MetaInit, MetaParameter, OptionValue, Task};

use super::graph::tables;
use super::plugin::{Handle, NativePlugin, absent};
use crate::check::{FailedCall, Failure};
use crate::declared::WITHDRAWN_DATA;
use crate::traced::{Answer, Declared, RawJudged, RawLoss, RawObjective};

fn functions(plugin: &NativePlugin) -> Option<ObjectiveFunctions> {
    plugin.functions()
}

/// The error for an incomplete table of functions, or `None`.
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
pub struct NativeObjective {
    plugin: NativePlugin,
    handle: Mutex<Handle>,
}

impl NativeObjective {
    /// Makes the objective.
    ///
    /// # Errors
    /// The plugin refused or failed, or its answers break the contract.
    pub fn make(
        plugin: NativePlugin,
        settings: &[(String, OptionValue)],
        task: &Task,
    ) -> Result<(Self, Declared), FailedCall> {
        let broken = |function: &str, cause: String| Failure::Broken(cause).at(function);
        let Some(ObjectiveFunctions {
            make: Some(make),
            destroy: Some(destroy),
            data: Some(data),
            meta_parameters: Some(meta_parameters),
            columns: Some(columns),
            ..
        }) = functions(&plugin)
        else {
            return Err(absent().at("make"));
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
        // SAFETY: the task and the settings live through the call; `pointer` is valid for the handle.
        let code = unsafe { make(&raw_task, raw.as_ptr(), raw.len() as u32, &mut pointer) };
        let handle = plugin
            .checked(code)
            .and_then(|()| Handle::new(pointer, destroy))
            .map_err(|failure| failure.at("make"))?;
        // SAFETY: the handle is this plugin's.
        let number = unsafe { data(handle.pointer) };
        let data = match DataKind::from_number(number) {
            Some(DataKind::Rollouts) => Data::Rollouts,
            Some(DataKind::Offline) => Data::Offline,
            None if number == DATA_WITHDRAWN => return Err(broken("data", WITHDRAWN_DATA.into())),
            None => return Err(broken("data", format!("an unknown source of data, {number}"))),
        };
        let (mut found, mut count) = (ptr::null(), 0);
        // SAFETY: the handle is this plugin's; `found` and `count` are valid for writes.
        let code = unsafe { meta_parameters(handle.pointer, &mut found, &mut count) };
        plugin.checked(code).map_err(|failure| failure.at("meta_parameters"))?;
        // SAFETY: by the contract there are `count` parts, valid until the next call.
        let theta = unsafe { array(found, count) }
            .and_then(|raw| {
                // SAFETY: by the contract each part's pointers are as valid as the part.
                raw.iter().map(|raw| unsafe { meta_parameter(raw) }).collect::<Result<Vec<_>, _>>()
            })
            .map_err(|cause| broken("meta_parameters", cause))?;
        let (mut names, mut count) = (ptr::null(), 0);
        // SAFETY: the handle is this plugin's; `names` and `count` are valid for writes.
        let code = unsafe { columns(handle.pointer, &mut names, &mut count) };
        plugin.checked(code).map_err(|failure| failure.at("columns"))?;
        // SAFETY: by the contract there are `count` strings, valid until the next call.
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
        let objective = NativeObjective { plugin, handle: Mutex::new(handle) };
        Ok((objective, Declared { data, theta, columns }))
    }
}

/// Copies the declaration of a part of θ.
///
/// # Safety
/// Its pointers are as the contract requires.
unsafe fn meta_parameter(raw: &RawMetaParameter) -> Result<MetaParameter, String> {
    // SAFETY: the caller's promise.
    let (name, shape) = unsafe { (text(raw.name)?, array(raw.shape, raw.rank)?) };
    let init = match MetaInitKind::from_number(raw.init) {
        Some(MetaInitKind::Constant) => MetaInit::Constant(raw.value),
        Some(MetaInitKind::Normal) => MetaInit::Normal(raw.value),
        Some(MetaInitKind::Labels) => MetaInit::Labels,
        None => return Err(format!("a part of theta has the unknown initializer {}", raw.init)),
    };
    Ok(MetaParameter {
        name: name.ok_or("a part of theta has no name")?.to_owned(),
        shape: shape.iter().map(|&d| d as usize).collect(),
        init,
        learned: raw.learned != 0,
        positive: raw.positive != 0,
    })
}

impl RawObjective for NativeObjective {
    fn inner(&self, theta: &[u32], fresh: &[u32], answer: Answer<'_>) -> Result<Vec<u32>, Failure> {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ObjectiveFunctions { inner: Some(inner), .. }) = functions(&self.plugin) else {
            return Err(absent());
        };
        let mut taught = vec![0; fresh.len()];
        // SAFETY: the handle is this plugin's, the network lives through the call, and the arrays are as long as their
        // counts say.
        let code = tables(answer, |_, network| unsafe {
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
        self.plugin.checked(code).map(|()| taught)
    }

    fn outer(&self, judged: &RawJudged, answer: Answer<'_>) -> Result<RawLoss, Failure> {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ObjectiveFunctions { outer: Some(outer), .. }) = functions(&self.plugin) else {
            return Err(absent());
        };
        let RawJudged { theta, fresh, taught, columns } = judged;
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
        // SAFETY: the handle is this plugin's, the network lives through the call, and the arrays are as long as their
        // counts say.
        let code = tables(answer, |_, network| unsafe { outer(handle.pointer, network, &mut raw) });
        self.plugin.checked(code)?;
        // SAFETY: by the contract there are `metric_count` metrics, valid until the next call.
        let metrics = unsafe { array(raw.metrics, raw.metric_count) }.and_then(|metrics| {
            let metric = |metric: &RawMetric| {
                // SAFETY: as above.
                let name = unsafe { text(metric.name)? }.ok_or("a metric has no name")?;
                Ok((name.to_owned(), metric.value))
            };
            metrics.iter().map(metric).collect::<Result<Vec<_>, String>>()
        });
        Ok(RawLoss { loss: raw.loss, metrics: metrics.map_err(Failure::Broken)? })
    }
}
