//! Devices, which run plans (`--device`), and the arrays that live on them.
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use burn_backend::{Backend, FloatDType, TensorData};
use burn_flex::{Flex, FlexDevice};
use potstill_pool::{Helpers, Pool};

use super::backend::{Context, Execute, Value};
#[cfg(feature = "gpu")]
use super::gpu;
use super::plan::Plan;
use super::run::run;
use crate::error::{Error, Result, did_you_mean};
use crate::graph::DType;

/// The pool's threads look for work for longer than the time between the parallel parts of two updates.
const HELPERS: Helpers =
    Helpers { name: "potstill", watch: Duration::from_micros(300), around: |part| part() };

/// A device that runs plans. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct Device(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Cpu {
        context: Context<Flex>,
        pool: Option<Arc<Pool>>,
    },
    #[cfg(feature = "cuda")]
    Cuda(gpu::CudaGpu),
    #[cfg(feature = "wgpu")]
    Wgpu(gpu::WgpuGpu),
}

/// Numbers on a device: one whole array, or one part for each shard of a plan's rows.
#[derive(Clone, Debug)]
pub struct Array {
    parts: Shards,
    shape: Vec<usize>,
}

#[derive(Clone, Debug)]
enum Shards {
    Cpu(Vec<Value<Flex>>),
    #[cfg(feature = "cuda")]
    Cuda(Vec<Value<gpu::Cuda>>),
    #[cfg(feature = "wgpu")]
    Wgpu(Vec<Value<gpu::Wgpu>>),
}

impl Shards {
    fn len(&self) -> usize {
        match self {
            Shards::Cpu(parts) => parts.len(),
            #[cfg(feature = "cuda")]
            Shards::Cuda(parts) => parts.len(),
            #[cfg(feature = "wgpu")]
            Shards::Wgpu(parts) => parts.len(),
        }
    }
}

impl Array {
    /// The dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }
}

/// Rows of bytes that a device picks from; see [`Device::bytes`].
#[derive(Clone, Debug)]
pub struct Bytes<'a>(OnDevice<'a>);

#[derive(Clone, Debug)]
enum OnDevice<'a> {
    Host(&'a [u8]),
    #[cfg(feature = "gpu")]
    Gpu(gpu::Bytes),
}

impl Device {
    /// The CPU, with at most `threads` threads. Results do not depend on their number.
    pub fn cpu(threads: usize) -> Self {
        let pool = (threads > 1).then(|| Arc::new(Pool::new(threads, HELPERS)));
        let context = Context { device: FlexDevice, dtype: FloatDType::F32 };
        Device(Inner::Cpu { context, pool })
    }

    /// The CPU in double precision. It is slow, but precise enough to check derivatives by finite differences.
    pub fn cpu_f64() -> Self {
        let context = Context { device: FlexDevice, dtype: FloatDType::F64 };
        Device(Inner::Cpu { context, pool: None })
    }

    /// The device called `name`: `cpu`, `cuda`, `cuda:1`, `wgpu`, …. `wgpu` is the GPU that the system prefers, `wgpu:1`
    /// the second of its own card.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown name; [`Error::Device`] for a device that this build or this machine does not
    /// have, saying what is missing.
    pub fn named(name: &str, threads: usize) -> Result<Self> {
        if name == "cpu" {
            return Ok(Self::cpu(threads));
        }
        let (kind, index) = name.split_once(':').map_or((name, None), |(kind, index)| (kind, Some(index)));
        match (kind, index.map(str::parse).transpose()) {
            ("cuda", Ok(index)) => Self::cuda(index.unwrap_or(0)),
            ("wgpu", Ok(index)) => Self::wgpu(index),
            _ => Err(Error::usage(format!(
                "unknown device `{name}`.{}",
                did_you_mean(name, ["cpu", "cuda", "cuda:0", "wgpu", "wgpu:0"])
            ))),
        }
    }

    #[cfg(not(feature = "cuda"))]
    fn cuda(index: usize) -> Result<Self> {
        Err(Error::Device {
            device: format!("cuda:{index}"),
            what: "this build has no CUDA; install with `cargo install potstill --features cuda`".into(),
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda(index: usize) -> Result<Self> {
        super::probe::probe(index)?;
        let device = cubecl::cuda::CudaDevice::new(index);
        Ok(Device(Inner::Cuda(gpu::CudaGpu::new(device, format!("cuda:{index}"))?)))
    }

    #[cfg(not(feature = "wgpu"))]
    fn wgpu(index: Option<usize>) -> Result<Self> {
        Err(Error::Device {
            device: wgpu_name(index),
            what: "this build has no wgpu; install with `cargo install potstill --features wgpu`".into(),
        })
    }

    #[cfg(feature = "wgpu")]
    fn wgpu(index: Option<usize>) -> Result<Self> {
        use cubecl::wgpu::WgpuDevice;
        let device = index.map_or(WgpuDevice::DefaultDevice, WgpuDevice::DiscreteGpu);
        let opened = gpu::WgpuGpu::new(device, wgpu_name(index)).map_err(|_| Error::Device {
            device: wgpu_name(index),
            what: "no such GPU, or no driver for Vulkan, Metal or Direct3D; install the driver, or use --device cpu"
                .into(),
        });
        Ok(Device(Inner::Wgpu(opened?)))
    }

    /// The name by which [`Self::named`] finds this device.
    pub fn name(&self) -> String {
        match &self.0 {
            Inner::Cpu { .. } => "cpu".into(),
            #[cfg(feature = "cuda")]
            Inner::Cuda(gpu) => gpu.name().into(),
            #[cfg(feature = "wgpu")]
            Inner::Wgpu(gpu) => gpu.name().into(),
        }
    }

    /// The number of parts that the rows of `plan` are kept in. A GPU has enough threads for all rows at once.
    fn shards(&self, plan: &Plan) -> usize {
        match &self.0 {
            Inner::Cpu { .. } => plan.shards,
            #[cfg(feature = "gpu")]
            _ => 1,
        }
    }

    /// Uploads `data`, row-major, as a tensor of `shape`.
    pub fn tensor(&self, data: &[f32], shape: &[usize]) -> Array {
        self.upload(vec![Data::Float(data.to_vec(), shape.to_vec())], shape)
    }

    /// Uploads numbers in double precision, for [`Device::cpu_f64`].
    pub fn tensor_f64(&self, data: &[f64], shape: &[usize]) -> Array {
        self.upload(vec![Data::Double(data.to_vec(), shape.to_vec())], shape)
    }

    /// Uploads the rows `index` of `data` (all rows for `None`) as input number `input` of `plan`, split into the
    /// plan's shards. The input's shape says how many numbers a row has.
    pub fn rows(&self, plan: &Plan, input: usize, data: &[f32], index: Option<&[usize]>) -> Array {
        self.gather(plan, input, data, index, Data::Float)
    }

    /// Uploads rows of bytes, like [`Self::rows`], as numbers from 0 to 1: every byte is divided by 255. Only the chosen
    /// rows are ever held as numbers.
    pub fn byte_rows(&self, plan: &Plan, input: usize, data: &[u8], index: Option<&[usize]>) -> Array {
        match &self.0 {
            // Convolutions read bytes as they are.
            Inner::Cpu { context, .. } if context.dtype == FloatDType::F32 && plan.inputs[input].pictures => {
                self.gather(plan, input, data, index, Data::Byte)
            }
            Inner::Cpu { .. } => self.gather(plan, input, data, index, |bytes, shape| {
                Data::Float(bytes.into_iter().map(scaled).collect(), shape)
            }),
            // A GPU gets the chosen rows only.
            #[cfg(feature = "gpu")]
            _ => {
                let width: usize = plan.inputs[input].shape[1..].iter().product();
                let of_row = |&row: &usize| &data[row * width..(row + 1) * width];
                let chosen: Option<Vec<u8>> =
                    index.map(|rows| rows.iter().flat_map(of_row).copied().collect());
                self.rows_of_bytes(plan, input, &self.bytes(chosen.as_deref().unwrap_or(data)), None)
            }
        }
    }

    /// Bytes from which [`Self::rows_of_bytes`] picks rows: a GPU gets them once for many batches, the CPU reads them
    /// where they are.
    pub fn bytes<'a>(&self, data: &'a [u8]) -> Bytes<'a> {
        Bytes(match &self.0 {
            Inner::Cpu { .. } => OnDevice::Host(data),
            #[cfg(feature = "cuda")]
            Inner::Cuda(gpu) => OnDevice::Gpu(gpu.upload_bytes(data)),
            #[cfg(feature = "wgpu")]
            Inner::Wgpu(gpu) => OnDevice::Gpu(gpu.upload_bytes(data)),
        })
    }

    /// Rows of bytes, like [`Self::byte_rows`], from what [`Self::bytes`] of this device returned.
    ///
    /// # Panics
    /// If the bytes lack one of the rows.
    pub fn rows_of_bytes(
        &self,
        plan: &Plan,
        input: usize,
        bytes: &Bytes<'_>,
        index: Option<&[usize]>,
    ) -> Array {
        match &bytes.0 {
            OnDevice::Host(data) => self.byte_rows(plan, input, data, index),
            #[cfg(feature = "gpu")]
            OnDevice::Gpu(bytes) => {
                let shape = &plan.inputs[input].shape;
                let rows: Vec<u32> = match index {
                    Some(index) => index.iter().map(|&row| row as u32).collect(),
                    None => (0..shape[0] as u32).collect(),
                };
                let parts = match &self.0 {
                    #[cfg(feature = "cuda")]
                    Inner::Cuda(gpu) => Shards::Cuda(vec![gpu.rows_of_bytes(bytes, &rows, shape)]),
                    #[cfg(feature = "wgpu")]
                    Inner::Wgpu(gpu) => Shards::Wgpu(vec![gpu.rows_of_bytes(bytes, &rows, shape)]),
                    Inner::Cpu { .. } => panic!("bytes of another device"),
                };
                Array { parts, shape: shape.clone() }
            }
        }
    }

    /// Uploads rows for an integer input, like [`Self::rows`].
    pub fn int_rows(&self, plan: &Plan, input: usize, data: &[i32], index: Option<&[usize]>) -> Array {
        self.gather(plan, input, data, index, Data::Int)
    }

    fn gather<T: Copy>(
        &self,
        plan: &Plan,
        input: usize,
        data: &[T],
        index: Option<&[usize]>,
        wrap: fn(Vec<T>, Vec<usize>) -> Data,
    ) -> Array {
        let info = &plan.inputs[input];
        let width: usize = info.shape[1..].iter().product();
        let shards = if info.split { self.shards(plan) } else { 1 };
        let parts = (0..shards).map(|s| {
            let range = if info.split { plan.shard(s, shards) } else { 0..info.shape[0] };
            let mut shape = info.shape.clone();
            shape[0] = range.len();
            let rows = match index {
                None => data[range.start * width..range.end * width].to_vec(),
                Some(index) => {
                    let mut rows = Vec::with_capacity(range.len() * width);
                    for &row in &index[range] {
                        rows.extend_from_slice(&data[row * width..(row + 1) * width]);
                    }
                    rows
                }
            };
            wrap(rows, shape)
        });
        self.upload(parts.collect(), &info.shape)
    }

    fn upload(&self, data: Vec<Data>, shape: &[usize]) -> Array {
        let parts = match &self.0 {
            Inner::Cpu { context, .. } => Shards::Cpu(data.into_iter().map(|d| d.upload(context)).collect()),
            #[cfg(feature = "cuda")]
            Inner::Cuda(gpu) => Shards::Cuda(gpu.on(|on| data.into_iter().map(|d| d.upload(on)).collect())),
            #[cfg(feature = "wgpu")]
            Inner::Wgpu(gpu) => Shards::Wgpu(gpu.on(|on| data.into_iter().map(|d| d.upload(on)).collect())),
        };
        Array { parts, shape: shape.to_vec() }
    }

    /// Does `work` for every item, several at a time on the CPU's threads, and returns the results in the items' order.
    /// `work` gets a device that runs plans on the calling thread. Results do not depend on which thread takes which
    /// item.
    pub fn each<T: Send, O: Send + Sync>(
        &self,
        items: Vec<T>,
        work: impl Fn(&Device, T) -> O + Sync,
    ) -> Vec<O> {
        let pool = match &self.0 {
            Inner::Cpu { pool: Some(pool), .. } if items.len() > 1 => pool,
            _ => return items.into_iter().map(|item| work(self, item)).collect(),
        };
        let alone = self.alone();
        let items: Vec<Mutex<Option<T>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
        let done: Vec<OnceLock<O>> = items.iter().map(|_| OnceLock::new()).collect();
        pool.run(items.len(), &|i| {
            // The lock is taken once, by the thread that takes this item.
            if let Some(item) = items[i].lock().ok().and_then(|mut item| item.take()) {
                done[i].get_or_init(|| work(&alone, item));
            }
        });
        done.into_iter().filter_map(OnceLock::into_inner).collect()
    }

    /// The same device without a pool of threads.
    fn alone(&self) -> Device {
        match &self.0 {
            Inner::Cpu { context, .. } => Device(Inner::Cpu { context: context.clone(), pool: None }),
            #[cfg(feature = "gpu")]
            _ => self.clone(),
        }
    }

    /// Runs `plan`. `inputs` has one array for each input of the graph, in the graph's order; the result has one for
    /// each output.
    ///
    /// # Panics
    /// If `inputs` do not match the plan's inputs, which is a bug of the host, never a mistake of a plugin or a user. If a
    /// GPU fails, for which see [`super::caught`]; so do all functions of a device.
    pub fn run(&self, plan: &Plan, inputs: &[Array]) -> Vec<Array> {
        assert_eq!(inputs.len(), plan.inputs.len(), "a plan needs all its inputs");
        let wrap = |i: usize, parts: Shards| Array { parts, shape: plan.output_shapes[i].clone() };
        for (info, tensor) in plan.inputs.iter().zip(inputs) {
            assert_eq!(info.shape, tensor.shape, "input `{}`", info.name);
            let parts = if info.split { self.shards(plan) } else { 1 };
            assert!(
                info.slot.is_none() || tensor.parts.len() == parts,
                "input `{}` is not split into {parts} (see `Device::rows`)",
                info.name
            );
        }
        match &self.0 {
            Inner::Cpu { context, pool } => {
                let parts = parts(inputs, |shards| match shards {
                    Shards::Cpu(parts) => Some(parts),
                    #[cfg(feature = "gpu")]
                    _ => None,
                });
                let outputs = run::<Flex>(plan, self.shards(plan), &parts, context, &|tables, work| {
                    in_parallel(pool.as_deref(), tables, work);
                });
                outputs.into_iter().enumerate().map(|(i, p)| wrap(i, Shards::Cpu(p))).collect()
            }
            #[cfg(feature = "cuda")]
            Inner::Cuda(gpu) => {
                let parts = parts(inputs, |shards| match shards {
                    Shards::Cuda(parts) => Some(parts),
                    _ => None,
                });
                gpu.run(plan, &parts).into_iter().enumerate().map(|(i, p)| wrap(i, Shards::Cuda(p))).collect()
            }
            #[cfg(feature = "wgpu")]
            Inner::Wgpu(gpu) => {
                let parts = parts(inputs, |shards| match shards {
                    Shards::Wgpu(parts) => Some(parts),
                    _ => None,
                });
                gpu.run(plan, &parts).into_iter().enumerate().map(|(i, p)| wrap(i, Shards::Wgpu(p))).collect()
            }
        }
    }

    /// Reads the numbers of `tensor`, row-major. The parts of a split tensor follow each other.
    pub fn read(&self, tensor: &Array) -> Vec<f32> {
        self.download(tensor, |data| match data.as_slice::<f32>() {
            Ok(values) => values.to_vec(),
            Err(_) => data.iter::<f32>().collect(),
        })
    }

    /// Reads numbers in double precision, like [`Self::read`].
    pub fn read_f64(&self, tensor: &Array) -> Vec<f64> {
        self.download(tensor, |data| data.iter::<f64>().collect())
    }

    fn download<T>(&self, tensor: &Array, convert: impl Fn(TensorData) -> Vec<T>) -> Vec<T> {
        match (&self.0, &tensor.parts) {
            (Inner::Cpu { .. }, Shards::Cpu(parts)) => {
                let read = |part| download::<Flex>(part).expect("the CPU's own memory");
                parts.iter().flat_map(|part| convert(read(part))).collect()
            }
            #[cfg(feature = "cuda")]
            (Inner::Cuda(gpu), Shards::Cuda(parts)) => {
                parts.iter().flat_map(|part| convert(gpu.download(part))).collect()
            }
            #[cfg(feature = "wgpu")]
            (Inner::Wgpu(gpu), Shards::Wgpu(parts)) => {
                parts.iter().flat_map(|part| convert(gpu.download(part))).collect()
            }
            #[cfg(feature = "gpu")]
            _ => panic!("a tensor of another device"),
        }
    }
}

/// The parts of each array, which `of` takes from those of one kind of device.
fn parts<'a, B: Backend>(
    arrays: &'a [Array],
    of: impl Fn(&'a Shards) -> Option<&'a Vec<Value<B>>>,
) -> Vec<&'a [Value<B>]> {
    arrays.iter().map(|array| &of(&array.parts).expect("a tensor of this device")[..]).collect()
}

fn wgpu_name(index: Option<usize>) -> String {
    index.map_or("wgpu".into(), |index| format!("wgpu:{index}"))
}

/// Reads a value back; the error is the backend's own text.
pub(super) fn download<B: Backend>(value: &Value<B>) -> Result<TensorData, String> {
    let data = match value {
        Value::Float(t) => block_on(B::float_into_data(t.clone())),
        Value::Int(t) => block_on(B::int_into_data(t.clone())),
    };
    data.map_err(|error| error.to_string())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    burn_backend::read_sync(future)
}

/// Runs `work` for every shard, on the calling thread and the pool's threads.
fn in_parallel<T: Send>(pool: Option<&Pool>, tables: &mut [T], work: &(dyn Fn(usize, &mut T) + Sync)) {
    let Some(pool) = pool.filter(|_| tables.len() > 1) else {
        return tables.iter_mut().enumerate().for_each(|(i, table)| work(i, table));
    };
    let tables: Vec<Mutex<&mut T>> = tables.iter_mut().map(Mutex::new).collect();
    pool.run(tables.len(), &|i| {
        // The lock is taken once, by the thread that takes this shard.
        if let Ok(mut table) = tables[i].lock() {
            work(i, &mut table);
        }
    });
}

/// A byte of a picture as a learner sees it.
pub(crate) fn scaled(byte: u8) -> f32 {
    f32::from(byte) / 255.0
}

/// Numbers to be uploaded to a device.
enum Data {
    Float(Vec<f32>, Vec<usize>),
    Double(Vec<f64>, Vec<usize>),
    Int(Vec<i32>, Vec<usize>),
    /// Pictures that only convolutions on the CPU read.
    Byte(Vec<u8>, Vec<usize>),
}

impl Data {
    fn upload<B: Execute>(self, context: &Context<B>) -> Value<B> {
        let physical = super::backend::physical;
        let double = context.dtype == FloatDType::F64;
        let data = match self {
            Data::Int(v, shape) => {
                let data = TensorData::new(v, physical(&shape));
                return Value::Int(B::int_from_data(data, &context.device));
            }
            Data::Float(v, shape) if double => {
                TensorData::new(v.into_iter().map(f64::from).collect::<Vec<_>>(), physical(&shape))
            }
            Data::Float(v, shape) => TensorData::new(v, physical(&shape)),
            Data::Byte(v, shape) => TensorData::new(v, physical(&shape)),
            Data::Double(v, shape) if double => TensorData::new(v, physical(&shape)),
            Data::Double(v, shape) => {
                TensorData::new(v.into_iter().map(|v| v as f32).collect::<Vec<_>>(), physical(&shape))
            }
        };
        Value::Float(B::float_from_data(data, &context.device))
    }
}

/// What callers that build batches ask of a plan.
impl Plan {
    /// The position of the input called `name`, if the graph has one.
    pub fn input(&self, name: &str) -> Option<usize> {
        self.inputs.iter().position(|i| i.name == name)
    }

    /// The shape and element type of input number `input`.
    pub fn input_shape(&self, input: usize) -> (&[usize], DType) {
        (&self.inputs[input].shape, self.inputs[input].dtype)
    }
}
