//! Devices, which run plans (`--device`), and the arrays that live on them.
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use burn_backend::{Backend, FloatDType, TensorData};
use burn_flex::{Flex, FlexDevice};
use potstill_pool::{Helpers, Pool};

use super::backend::{Context, Execute, Value};
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
    Cuda {
        context: Context<burn_cuda::Cuda>,
        index: usize,
    },
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
    Cuda(Vec<Value<burn_cuda::Cuda>>),
}

impl Shards {
    fn len(&self) -> usize {
        match self {
            Shards::Cpu(parts) => parts.len(),
            #[cfg(feature = "cuda")]
            Shards::Cuda(parts) => parts.len(),
        }
    }
}

impl Array {
    /// The dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }
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

    /// The device called `name`: `cpu`, `cuda`, `cuda:1`, ….
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown name; [`Error::Device`] for a device that this build or this machine does not
    /// have, saying what is missing.
    pub fn named(name: &str, threads: usize) -> Result<Self> {
        if name == "cpu" {
            return Ok(Self::cpu(threads));
        }
        let index = match name.strip_prefix("cuda") {
            Some("") => Some(0),
            Some(rest) => rest.strip_prefix(':').and_then(|i| i.parse().ok()),
            None => None,
        };
        match index {
            Some(index) => Self::cuda(index),
            None => Err(Error::usage(format!(
                "unknown device `{name}`.{}",
                did_you_mean(name, ["cpu", "cuda", "cuda:0"])
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
        let context = Context { device: burn_cuda::CudaDevice::new(index), dtype: FloatDType::F32 };
        Ok(Device(Inner::Cuda { context, index }))
    }

    /// The name by which [`Self::named`] finds this device.
    pub fn name(&self) -> String {
        match &self.0 {
            Inner::Cpu { .. } => "cpu".into(),
            #[cfg(feature = "cuda")]
            Inner::Cuda { index, .. } => format!("cuda:{index}"),
        }
    }

    /// The number of parts that the rows of `plan` are kept in. A GPU has enough threads for all rows at once.
    fn shards(&self, plan: &Plan) -> usize {
        match &self.0 {
            Inner::Cpu { .. } => plan.shards,
            #[cfg(feature = "cuda")]
            Inner::Cuda { .. } => 1,
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
            _ => self.gather(plan, input, data, index, |bytes, shape| {
                Data::Float(bytes.into_iter().map(scaled).collect(), shape)
            }),
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
            Inner::Cuda { context, .. } => {
                Shards::Cuda(data.into_iter().map(|d| d.upload(context)).collect())
            }
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
            #[cfg(feature = "cuda")]
            Inner::Cuda { .. } => self.clone(),
        }
    }

    /// Runs `plan`. `inputs` has one array for each input of the graph, in the graph's order; the result has one for
    /// each output.
    ///
    /// # Panics
    /// If `inputs` do not match the plan's inputs, which is a bug of the host, never a mistake of a plugin or a user.
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
                let parts: Vec<&[Value<Flex>]> = inputs
                    .iter()
                    .map(|t| match &t.parts {
                        Shards::Cpu(parts) => &parts[..],
                        #[cfg(feature = "cuda")]
                        Shards::Cuda(_) => panic!("a tensor of another device"),
                    })
                    .collect();
                let outputs = run::<Flex>(plan, self.shards(plan), &parts, context, &|tables, work| {
                    in_parallel(pool.as_deref(), tables, work);
                });
                outputs.into_iter().enumerate().map(|(i, p)| wrap(i, Shards::Cpu(p))).collect()
            }
            #[cfg(feature = "cuda")]
            Inner::Cuda { context, .. } => {
                let parts: Vec<&[Value<burn_cuda::Cuda>]> = inputs
                    .iter()
                    .map(|t| match &t.parts {
                        Shards::Cuda(parts) => &parts[..],
                        Shards::Cpu(_) => panic!("a tensor of another device"),
                    })
                    .collect();
                let outputs =
                    run::<burn_cuda::Cuda>(plan, self.shards(plan), &parts, context, &|tables, work| {
                        in_parallel(None, tables, work);
                    });
                outputs.into_iter().enumerate().map(|(i, p)| wrap(i, Shards::Cuda(p))).collect()
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
        match &tensor.parts {
            Shards::Cpu(parts) => parts.iter().flat_map(|p| convert(download::<Flex>(p))).collect(),
            #[cfg(feature = "cuda")]
            Shards::Cuda(parts) => {
                parts.iter().flat_map(|p| convert(download::<burn_cuda::Cuda>(p))).collect()
            }
        }
    }
}

fn download<B: Backend>(value: &Value<B>) -> TensorData {
    let data = match value {
        Value::Float(t) => block_on(B::float_into_data(t.clone())),
        Value::Int(t) => block_on(B::int_into_data(t.clone())),
    };
    match data {
        Ok(data) => data,
        Err(error) => panic!("reading a tensor back: {error:?}"),
    }
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
