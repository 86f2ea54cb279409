//! Implements the objective role of the C contract for any [`Objective`].
use std::ffi::{CString, c_char, c_void};

use potstill_plugin_api::abi::{
    DataKind, MetaInitKind, ObjectiveFunctions, RawMetaParameter, RawMetric, RawNetwork, RawOuter, RawTask,
    RoleKind, Setting, array, c_text,
};

use super::entry::{Described, destroy, guarded, hand_out, handle, options};
use super::tracing::{Network, Tracing};
use crate::objective::{Objective, Outer, Theta};
use crate::{Column, Data, MetaInit, MetaParameter, Task, Tensor};

/// An objective behind its handle, with the data that the results point to.
struct Instance<O> {
    objective: O,
    theta: Vec<MetaParameter>,
    raw_theta: Vec<RawMetaParameter>,
    _names: Vec<CString>,
    _shapes: Vec<Vec<u32>>,
    columns: Vec<Column>,
    raw_columns: Vec<*const c_char>,
    _column_names: Vec<CString>,
    metric_names: Vec<CString>,
    metrics: Vec<RawMetric>,
}

/// The description of the plugin that provides `O`.
#[doc(hidden)]
pub fn objective<O: Objective>() -> Described {
    let functions: &'static ObjectiveFunctions = const {
        &ObjectiveFunctions {
            struct_size: ObjectiveFunctions::SIZE,
            reserved: 0,
            make: Some(make::<O>),
            destroy: Some(destroy::<Instance<O>>),
            data: Some(data::<O>),
            meta_parameters: Some(meta_parameters::<O>),
            columns: Some(columns::<O>),
            inner: Some(inner::<O>),
            outer: Some(outer::<O>),
        }
    };
    let texts = [O::ID, O::VERSION, O::SUMMARY];
    Described::new(RoleKind::Objective, texts, &O::options(), (functions as *const ObjectiveFunctions).cast())
}

unsafe extern "C" fn make<O: Objective>(
    task: *const RawTask,
    settings: *const Setting,
    count: u32,
    place: *mut *mut c_void,
) -> i32 {
    guarded(|| {
        // SAFETY: the contract guarantees a valid task and `count` valid settings.
        let (task, options) = unsafe {
            let raw = &*task;
            let task = Task {
                observation: raw.observation.read()?,
                action: raw.action.read()?,
                instances: raw.instances as usize,
                outputs: raw.outputs as usize,
            };
            (task, options(settings, count)?)
        };
        let objective = O::new(&task, &options)?;
        let theta = objective.theta(&task);
        let names: Vec<CString> = theta.iter().map(|p| c_text(&p.name)).collect();
        let shapes: Vec<Vec<u32>> =
            theta.iter().map(|p| p.shape.iter().map(|&d| d as u32).collect()).collect();
        let raw = |((p, name), shape): ((&MetaParameter, &CString), &Vec<u32>)| {
            let (init, value) = match p.init {
                MetaInit::Constant(v) => (MetaInitKind::Constant, v),
                MetaInit::Normal(v) => (MetaInitKind::Normal, v),
                MetaInit::Labels => (MetaInitKind::Labels, 0.0),
            };
            RawMetaParameter {
                name: name.as_ptr(),
                shape: shape.as_ptr(),
                rank: shape.len() as u32,
                init: init as u32,
                value,
                learned: p.learned.into(),
                positive: p.positive.into(),
            }
        };
        let raw_theta = theta.iter().zip(&names).zip(&shapes).map(raw).collect();
        let columns = objective.columns();
        let column_names: Vec<CString> = columns.iter().map(|c| c_text(c.name())).collect();
        let raw_columns = column_names.iter().map(|name| name.as_ptr()).collect();
        let instance = Instance {
            objective,
            theta,
            raw_theta,
            _names: names,
            _shapes: shapes,
            columns,
            raw_columns,
            _column_names: column_names,
            metric_names: vec![],
            metrics: vec![],
        };
        // SAFETY: the contract guarantees that the handle can be written to `place`.
        unsafe { hand_out(instance, place) };
        Ok(())
    })
}

unsafe extern "C" fn data<O: Objective>(instance: *mut c_void) -> u32 {
    // SAFETY: the contract guarantees a live handle from `make` that no other call uses.
    let kind = match unsafe { handle::<Instance<O>>(instance) }.objective.data() {
        Data::Rollouts => DataKind::Rollouts,
        Data::Offline => DataKind::Offline,
    };
    kind as u32
}

unsafe extern "C" fn meta_parameters<O: Objective>(
    instance: *mut c_void,
    out: *mut *const RawMetaParameter,
    count: *mut u32,
) -> i32 {
    // SAFETY: the contract guarantees a live handle that no other call uses, and two pointers that can be written.
    unsafe {
        let raw = &handle::<Instance<O>>(instance).raw_theta;
        (*out, *count) = (raw.as_ptr(), raw.len() as u32);
    }
    potstill_plugin_api::abi::OK
}

unsafe extern "C" fn columns<O: Objective>(
    instance: *mut c_void,
    out: *mut *const *const c_char,
    count: *mut u32,
) -> i32 {
    // SAFETY: the contract guarantees a live handle that no other call uses, and two pointers that can be written.
    unsafe {
        let raw = &handle::<Instance<O>>(instance).raw_columns;
        (*out, *count) = (raw.as_ptr(), raw.len() as u32);
    }
    potstill_plugin_api::abi::OK
}

impl<O> Instance<O> {
    fn theta(&self, values: &[u32]) -> Theta {
        Theta(self.theta.iter().zip(values).map(|(p, &t)| (p.name.clone(), Tensor(t))).collect())
    }
}

fn tensors(raw: &[u32]) -> Vec<Tensor> {
    raw.iter().map(|&t| Tensor(t)).collect()
}

unsafe extern "C" fn inner<O: Objective>(
    instance: *mut c_void,
    network: *const RawNetwork,
    theta: *const u32,
    theta_count: u32,
    fresh: *const u32,
    parameter_count: u32,
    out: *mut u32,
) -> i32 {
    guarded(|| {
        // SAFETY: the contract guarantees a live handle that no other call uses, a network and a graph that outlive this
        // call, and arrays of the given lengths.
        let (instance, _tracing, network, theta, fresh) = unsafe {
            (
                handle::<Instance<O>>(instance),
                Tracing::into((*network).graph),
                Network::of(network),
                array(theta, theta_count)?,
                array(fresh, parameter_count)?,
            )
        };
        let taught = instance.objective.inner(&instance.theta(theta), &network, &tensors(fresh));
        if taught.len() != fresh.len() {
            return Err(format!("`inner` returned {} parameters, expected {}", taught.len(), fresh.len()));
        }
        for (i, tensor) in taught.iter().enumerate() {
            // SAFETY: the contract guarantees room for `parameter_count` tensors, and `i` is below it.
            unsafe { *out.add(i) = tensor.0 };
        }
        Ok(())
    })
}

unsafe extern "C" fn outer<O: Objective>(
    instance: *mut c_void,
    network: *const RawNetwork,
    outer: *mut RawOuter,
) -> i32 {
    guarded(|| {
        // SAFETY: the contract guarantees a live handle that no other call uses, a network and a graph that outlive this
        // call, and arrays of the given lengths.
        let (instance, _tracing, network, outer) = unsafe {
            (
                handle::<Instance<O>>(instance),
                Tracing::into((*network).graph),
                Network::of(network),
                &mut *outer,
            )
        };
        // SAFETY: the contract guarantees that the arrays are as long as their counts say.
        let (theta, fresh, taught, columns) = unsafe {
            (
                array(outer.theta, outer.theta_count)?,
                array(outer.fresh, outer.parameter_count)?,
                array(outer.taught, outer.parameter_count)?,
                array(outer.columns, outer.column_count)?,
            )
        };
        let outcome = instance.objective.outer(&Outer {
            theta: &instance.theta(theta),
            network: &network,
            fresh: &tensors(fresh),
            taught: &tensors(taught),
            columns: instance.columns.iter().copied().zip(tensors(columns)).collect(),
        });
        instance.metric_names = outcome.metrics.iter().map(|(name, _)| c_text(name)).collect();
        let metric = |(name, (_, value)): (&CString, &(&str, Tensor))| RawMetric {
            name: name.as_ptr(),
            value: value.0,
            reserved: 0,
        };
        instance.metrics = instance.metric_names.iter().zip(&outcome.metrics).map(metric).collect();
        outer.loss = outcome.loss.0;
        (outer.metrics, outer.metric_count) = (instance.metrics.as_ptr(), instance.metrics.len() as u32);
        Ok(())
    })
}
