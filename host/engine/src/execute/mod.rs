//! Runs graphs on burn's backend primitives: burn-flex on the CPU, burn-cubecl on GPUs.
//!
//! A [`Plan`] is compiled once from a [`crate::graph::Graph`] and runs for every batch. There is no tape and no
//! dispatch through `Tensor<D>`. The same plan runs on every device.
//!
//! - `plan`: decides in which order nodes are computed, which are fused, and which are split over the rows.
//! - `shard`: decides which nodes belong to the rows of a batch and can be split into shards. The number of shards is
//!   fixed, so that results do not depend on the number of threads.
//! - `kernel`: a group of elementwise operations as one small program.
//! - `simd`: runs such a program over cache-sized tiles of CPU memory.
//! - `backend`: computes every operation of the graph with burn's primitives.
//! - `flex`, `gpu`: overrides of burn's primitives on the CPU and on GPUs.
//! - `run`: runs the steps of a plan.
//! - `failure`: the failure of a device as an error.
//! - `device`: devices (`--device`) and the arrays that live on them.
//! - `memory`: how much memory this process can have, which bounds a plan.
//! - `worth`: decides which plans are worth a GPU.
//! - `probe`: checks whether this machine has what CUDA needs.

mod backend;
mod device;
mod failure;
mod flex;
#[cfg(feature = "gpu")]
mod gpu;
mod kernel;
mod memory;
mod plan;
#[cfg(feature = "cuda")]
mod probe;
mod run;
mod shard;
mod simd;
mod worth;

pub(crate) use device::scaled;
pub use device::{Array, Bytes, Device};
pub use failure::caught;
pub use memory::{in_gib, memory};
pub use plan::Plan;
