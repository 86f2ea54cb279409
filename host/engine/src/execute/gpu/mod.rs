//! GPU overrides: kernels of our own in CubeCL, in single precision throughout, for CUDA and for wgpu.
//!
//! - `operand`: which numbers a convolution or a product of matrices multiplies and adds up.
//! - `product`: the one tiled product that computes them all.
//! - `tile`: decides how a product is divided among blocks of threads.
//! - `fused`: a group of elementwise operations as one kernel.
//! - `reduce`: sums and maxima over any axes.
//! - `bytes`: rows of bytes as single-precision numbers.
//! - `device`: a GPU as a device that runs plans.
//!
//! burn's own kernels do not do here. Its products round single precision to TF32, with ten bits of mantissa, which is
//! too little for a meta-gradient, made of differences of such products. Its convolutions and fused groups take an order
//! of magnitude longer (`docs/results/performance.md`). Its maximum ignores NaN.
mod bytes;
mod device;
mod fused;
mod operand;
mod product;
mod reduce;
mod tile;

use burn_backend::{DType, Shape, TensorMetadata};
use burn_cubecl::element::BoolElement;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, CubeRuntime};
use cubecl::prelude::*;
use cubecl::server::Handle;

use super::backend::{Context, Execute, fused_in_primitives, physical};
use super::kernel::Kernel;
use crate::graph::{Reduction, Window};
use operand::{Kind, Problem};

pub(super) use bytes::Bytes;
pub(super) use device::Gpu;

/// burn's backend on CUDA.
#[cfg(feature = "cuda")]
pub(super) type Cuda = burn_cuda::Cuda;
#[cfg(feature = "cuda")]
pub(super) type CudaGpu = Gpu<cubecl::cuda::CudaRuntime, u8>;

/// burn's backend on wgpu.
#[cfg(feature = "wgpu")]
pub(super) type Wgpu = CubeBackend<cubecl::wgpu::WgpuRuntime, f32, i32, u32>;
#[cfg(feature = "wgpu")]
pub(super) type WgpuGpu = Gpu<cubecl::wgpu::WgpuRuntime, u32>;

impl<R: CubeRuntime, B: BoolElement> Execute for CubeBackend<R, f32, i32, B> {
    fn fused(
        kernel: &Kernel,
        shape: &[usize],
        inputs: &[&CubeTensor<R>],
        context: &Context<Self>,
    ) -> Vec<CubeTensor<R>> {
        let client = R::client(&context.device);
        let bindings = inputs.len() + kernel.outputs + 1;
        let empty = shape.contains(&0) || inputs.iter().any(|t| t.shape().num_elements() == 0);
        if empty || bindings > client.properties().hardware.max_bindings as usize {
            return fused_in_primitives::<Self>(kernel, shape, inputs, context);
        }
        fused::fused(kernel, shape, inputs, &client, &context.device)
    }

    /// A view where the numbers lie in order, else a copy. burn-std 0.21 (`split_strides`) computes wrong strides for a
    /// view with axes of length 1.
    fn reshape(tensor: CubeTensor<R>, shape: Shape) -> CubeTensor<R> {
        let tensor = into_contiguous(tensor);
        CubeTensor::new_contiguous(tensor.client, tensor.device, shape, tensor.handle, tensor.dtype)
    }

    fn reshape_int(tensor: CubeTensor<R>, shape: Shape) -> CubeTensor<R> {
        Self::reshape(tensor, shape)
    }

    fn reduce(reduction: Reduction, tensor: CubeTensor<R>, axes: &[usize]) -> CubeTensor<R> {
        reduce::reduce(reduction, &tensor, axes)
    }

    fn matmul(a: CubeTensor<R>, b: CubeTensor<R>) -> CubeTensor<R> {
        product::matrices(a, b)
    }

    fn convolve(x: CubeTensor<R>, weight: CubeTensor<R>, window: &Window) -> CubeTensor<R> {
        let problem = Problem::convolution(Kind::Forward, &x.shape(), &weight.shape(), window);
        let shape = [x.shape()[0], weight.shape()[0], problem.output[1] as usize, problem.output[2] as usize];
        product::convolution(problem, weight, x, &shape)
    }

    fn convolve_input(
        gradient: CubeTensor<R>,
        weight: CubeTensor<R>,
        window: &Window,
        shape: &[usize],
        _: &Context<Self>,
    ) -> CubeTensor<R> {
        let problem = Problem::convolution(Kind::Input, shape, &weight.shape(), window);
        product::convolution(problem, weight, gradient, shape)
    }

    fn convolve_weight(
        x: CubeTensor<R>,
        gradient: CubeTensor<R>,
        window: &Window,
        shape: &[usize],
        _: &Context<Self>,
    ) -> CubeTensor<R> {
        let problem = Problem::convolution(Kind::Weight, &x.shape(), shape, window);
        product::convolution(problem, gradient, x, shape)
    }
}

/// The blocks that a launch has along one dimension, as many as every device takes.
const DIMENSION: u32 = 65535;

/// `count` blocks of threads, or some more: a kernel must not touch anything in a block from number `count` on.
fn blocks(count: u32) -> CubeCount {
    let across = count.clamp(1, DIMENSION);
    CubeCount::Static(across, count.div_ceil(across).max(1), 1)
}

/// The number of this block of a launch over [`blocks`].
#[cube]
fn block() -> u32 {
    CUBE_POS_Y * CUBE_COUNT_X + CUBE_POS_X
}

/// `length` as kernels count.
///
/// # Panics
/// If it is more than they can count; see [`super::device`] for what becomes of a panic here.
fn index(length: usize) -> u32 {
    match u32::try_from(length) {
        Ok(length) if length < 1 << 31 => length,
        _ => panic!("a tensor of {length} elements; kernels count to 2147483647"),
    }
}

/// The tensor's numbers as an argument of a kernel, which finds them by their strides.
fn argument<R: CubeRuntime>(tensor: &CubeTensor<R>) -> ArrayArg<R> {
    let length = tensor.handle.size() as usize / size_of::<f32>();
    // SAFETY: the length is that of the memory.
    unsafe { ArrayArg::from_raw_parts(tensor.handle.clone(), length) }
}

/// New memory for `length` numbers of four bytes.
fn memory<R: CubeRuntime>(client: &ComputeClient<R>, length: usize) -> (Handle, ArrayArg<R>) {
    let handle = client.empty(length * size_of::<f32>());
    // SAFETY: the memory was just made with this length.
    let argument = unsafe { ArrayArg::from_raw_parts(handle.clone(), length) };
    (handle, argument)
}

/// Memory of single-precision numbers as a tensor.
fn tensor<R: CubeRuntime>(
    client: &ComputeClient<R>,
    device: &R::CubeDevice,
    handle: Handle,
    shape: &[usize],
) -> CubeTensor<R> {
    CubeTensor::new_contiguous(client.clone(), device.clone(), physical(shape), handle, DType::F32)
}
