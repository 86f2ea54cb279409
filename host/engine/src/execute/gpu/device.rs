//! A GPU as a device that runs plans.
use burn_backend::{FloatDType, TensorData, TensorMetadata};
use burn_cubecl::element::BoolElement;
use burn_cubecl::{CubeBackend, CubeRuntime};

use super::super::backend::{Context, Value};
use super::super::failure::device::{fail, guarded};
use super::super::plan::Plan;
use super::super::run::run;
use super::bytes::{self, Bytes};
use crate::error::Result;
use crate::execute::caught;

type Backend<R, B> = CubeBackend<R, f32, i32, B>;

/// A GPU. All rows of a plan are one part there: it has threads enough for all at once.
pub(in super::super) struct Gpu<R: CubeRuntime, B: BoolElement> {
    context: Context<Backend<R, B>>,
    name: String,
}

impl<R: CubeRuntime, B: BoolElement> std::fmt::Debug for Gpu<R, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl<R: CubeRuntime, B: BoolElement> Clone for Gpu<R, B> {
    fn clone(&self) -> Self {
        Gpu { context: self.context.clone(), name: self.name.clone() }
    }
}

impl<R: CubeRuntime, B: BoolElement> Gpu<R, B> {
    /// Opens the device.
    ///
    /// # Errors
    /// [`crate::Error::Device`]: it is not there, or has no driver.
    pub(in super::super) fn new(device: R::CubeDevice, name: String) -> Result<Self> {
        caught(|| {
            guarded(&name, || R::client(&device).properties().hardware.max_bindings);
            Ok(())
        })?;
        Ok(Gpu { context: Context { device, dtype: FloatDType::F32 }, name })
    }

    pub(in super::super) fn name(&self) -> &str {
        &self.name
    }

    /// Does `work` here.
    pub(in super::super) fn on<T>(&self, work: impl FnOnce(&Context<Backend<R, B>>) -> T) -> T {
        guarded(&self.name, || work(&self.context))
    }

    /// Runs `plan`, see [`super::super::Device::run`]. What fails in it may be known only when a result is read.
    pub(in super::super) fn run(
        &self,
        plan: &Plan,
        inputs: &[&[Value<Backend<R, B>>]],
    ) -> Vec<Vec<Value<Backend<R, B>>>> {
        self.on(|context| {
            run(plan, 1, inputs, context, &|tables, work| {
                tables.iter_mut().enumerate().for_each(|(index, table)| work(index, table));
            })
        })
    }

    /// Reads a tensor back.
    pub(in super::super) fn download(&self, value: &Value<Backend<R, B>>) -> TensorData {
        let shape = match value {
            Value::Float(t) | Value::Int(t) => t.shape(),
        };
        // There is nothing to read in an empty tensor, not even a place in memory.
        if shape.num_elements() == 0 {
            return TensorData::new(Vec::<f32>::new(), shape);
        }
        self.on(|_| super::super::device::download(value).unwrap_or_else(|error| fail(&self.name, &error)))
    }

    pub(in super::super) fn upload_bytes(&self, bytes: &[u8]) -> Bytes {
        self.on(|context| bytes::upload::<R>(&context.device, bytes))
    }

    /// The rows `rows` of `bytes` as numbers of `shape`.
    pub(in super::super) fn rows_of_bytes(
        &self,
        bytes: &Bytes,
        rows: &[u32],
        shape: &[usize],
    ) -> Value<Backend<R, B>> {
        Value::Float(self.on(|context| bytes::rows::<R>(&context.device, bytes, rows, shape)))
    }
}
