//! CUDA overrides where burn's result differs from the plan's semantics.
use burn_backend::ops::{FloatTensorOps, IntTensorOps};
use burn_backend::{Shape, TensorMetadata};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::kernel::matmul::init_matmul_output;
use burn_cubecl::ops::numeric::empty_device_dtype;
use burn_cubecl::tensor::CubeTensor;
use burn_cuda::Cuda;
use cubecl::calculate_cube_count_elemwise;
use cubecl::cuda::CudaRuntime;
use cubecl::prelude::*;
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems};
use cubek::matmul::launch::{Strategy, launch_ref};
use cubek::std::InputBinding;

use super::backend::Execute;

type CudaTensor = CubeTensor<CudaRuntime>;

impl Execute for Cuda {
    /// Copies the tensor first: burn-std 0.21 (`split_strides`) computes wrong strides for a view with axes of length
    /// 1.
    fn reshape(tensor: CudaTensor, shape: Shape) -> CudaTensor {
        Self::float_reshape(into_contiguous(tensor), shape)
    }

    fn reshape_int(tensor: CudaTensor, shape: Shape) -> CudaTensor {
        Self::int_reshape(into_contiguous(tensor), shape)
    }

    /// Takes the maximum with our own kernel, because burn's ignores NaN.
    fn max(tensor: CudaTensor, axis: usize) -> CudaTensor {
        let mut shape = tensor.shape();
        shape[axis] = 1;
        let elements = shape.num_elements();
        let output = empty_device_dtype(tensor.client.clone(), tensor.device.clone(), shape, tensor.dtype);
        let client = &output.client;
        let threads = CubeDim::new(client, elements);
        let blocks = calculate_cube_count_elemwise(client, elements, threads);
        let [input, target] = [tensor, output.clone()].map(CubeTensor::into_tensor_arg);
        largest::launch(client, blocks, threads, input, target, axis, output.shape().rank());
        output
    }

    /// Multiplies without tensor cores. burn's default rounds single precision to TF32, which has ten bits of mantissa;
    /// that is too little for a meta-gradient, which is made of differences of such products.
    fn matmul(a: CudaTensor, b: CudaTensor) -> CudaTensor {
        let out = init_matmul_output(&a, &b, a.dtype);
        let dtype = a.dtype.into();
        let mut elements =
            MatmulElems::from_globals(&MatmulGlobalElems { lhs: dtype, rhs: dtype, out: dtype });
        let [left, right] = [a, b].map(|t| InputBinding::new(t.binding(), dtype));
        let unit = Strategy::SimpleUnit(Default::default());
        let launched = launch_ref(&unit, &out.client, left, right, out.clone().binding(), &mut elements);
        launched.expect("a product without tensor cores, which every device computes");
        out
    }
}

/// The maximum along `axis`. One thread computes one element of the output; NaN counts as larger than any number.
#[cube(launch)]
fn largest(input: &Tensor<f32>, output: &mut Tensor<f32>, #[comptime] axis: usize, #[comptime] rank: usize) {
    if ABSOLUTE_POS >= output.len() {
        terminate!();
    }
    let mut rest = ABSOLUTE_POS;
    let mut from = 0usize;
    let mut to = 0usize;
    #[unroll]
    for i in 0..rank {
        let d = comptime![rank - 1 - i];
        let at = rest % output.shape(d);
        rest /= output.shape(d);
        from += at * input.stride(d);
        to += at * output.stride(d);
    }
    let mut largest = input[from];
    for _ in 1..input.shape(axis) {
        from += input.stride(axis);
        let value = input[from];
        largest = select(value.is_nan(), value, select(value > largest, value, largest));
    }
    output[to] = largest;
}
