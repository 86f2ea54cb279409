//! Runs graphs on burn's backend primitives: burn-flex on the CPU, burn-cuda on NVIDIA GPUs.
//!
//! A [`Plan`] is compiled once from a [`crate::graph::Graph`] and runs for every batch. There is no tape and
//! no dispatch through `Tensor<D>`; the same plan runs on every device.
//!
//! - `plan`: which nodes are computed when, which together, and which for a slice of the rows.
//! - `shard`: how a batch's rows are split into a fixed number of shards (the result does not depend on
//!   the number of threads).
//! - `kernel`: a chain of elementwise operations as one small program.
//! - `simd`: runs such a program over cache-sized tiles of CPU memory.
//! - `backend`: every operation of the graph in burn's primitives.
//! - `flex`, `cuda`: what is done otherwise than by burn on the CPU and on GPUs.
//! - `run`: walks the plan.
//! - `device`: `--device`, and arrays: numbers on a device.
//! - `probe`: whether this machine has what CUDA needs.

mod backend;
#[cfg(feature = "cuda")]
mod cuda;
mod device;
mod flex;
mod kernel;
mod plan;
#[cfg(feature = "cuda")]
mod probe;
mod run;
mod shard;
mod simd;

pub use device::{Array, Device};
pub use plan::Plan;
