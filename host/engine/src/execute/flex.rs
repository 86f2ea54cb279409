//! CPU overrides for the operations that a small learner spends its time on. They avoid needless passes over memory:
//! burn-flex zeroes the output of a product before overwriting it, and sums one element at a time.
mod convolution;
mod pool;
mod tile;

use std::borrow::Cow;

use burn_backend::ops::{FloatTensorOps, ModuleOps};
use burn_backend::{Bytes, DType, FloatDType};
use burn_flex::{Flex, FlexTensor, Layout};

use super::backend::{
    Context, Execute, fused_in_primitives, input_gradient, largest, options, physical, scatter,
    weight_gradient,
};
use super::kernel::Kernel;
use super::simd;
use crate::graph::Window;
use convolution::Convolution;

impl Execute for Flex {
    fn fused(
        kernel: &Kernel,
        shape: &[usize],
        inputs: &[&FlexTensor],
        context: &Context<Self>,
    ) -> Vec<FlexTensor> {
        if context.dtype != FloatDType::F32 {
            return fused_in_primitives::<Self>(kernel, shape, inputs, context);
        }
        let contiguous: Vec<Cow<'_, FlexTensor>> = inputs.iter().map(|t| contiguous(t)).collect();
        let loads: Vec<simd::Load<'_>> = contiguous
            .iter()
            .map(|t| simd::Load {
                data: t.storage(),
                layout: simd::Layout::new(t.layout().shape().as_slice(), shape),
            })
            .collect();
        let outputs = simd::run(kernel, shape.iter().product(), &loads);
        outputs.into_iter().map(|data| tensor(data, shape)).collect()
    }

    /// Sums a contiguous copy. burn-flex 0.21 assumes that the columns of a transposed view are adjacent in memory, and
    /// sums the wrong numbers if the view was sliced or expanded.
    fn sum(tensor: FlexTensor, axis: usize) -> FlexTensor {
        let tensor = contiguous(&tensor);
        if tensor.dtype() != DType::F32 || tensor.storage::<f32>().is_empty() {
            return Self::float_sum_dim(tensor.into_owned(), axis);
        }
        let mut shape: Vec<usize> = tensor.layout().shape().as_slice().to_vec();
        let inner = shape[axis + 1..].iter().product();
        let data = simd::sum(tensor.storage(), shape[axis], inner);
        shape[axis] = 1;
        self::tensor(data, &shape)
    }

    fn matmul(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        let (&[m, k], &[_, n]) = (a.layout().shape().as_slice(), b.layout().shape().as_slice()) else {
            return Self::float_matmul(a, b);
        };
        if a.dtype() != DType::F32 || b.dtype() != DType::F32 || m * n * k == 0 {
            return Self::float_matmul(a, b);
        }
        let (sa, sb) = (a.layout().strides(), b.layout().strides());
        if sb[0] != 1 || m == 1 || n == 1 {
            let product = product([m, k, n], start(&a), sa, start(&b), sb);
            return tensor(product, &[m, n]);
        }
        // The rows of `b` are not in memory, its columns are. `gemm` would rearrange all of `b` for every few rows of `a`,
        // so it computes the transposed product from the transposed `a`.
        let mut columns = vec![0.0; m * k];
        convolution::transpose(contiguous(&a).storage(), k, &mut columns, m);
        let transposed = product([n, k, m], start(&b), &[sb[1], sb[0]], columns.as_ptr(), &[m as isize, 1]);
        let mut product = vec![0.0; m * n];
        convolution::transpose(&transposed, m, &mut product, n);
        tensor(product, &[m, n])
    }

    fn convolve(x: FlexTensor, weight: FlexTensor, window: &Window) -> FlexTensor {
        let of = Convolution::new(sizes(&x), sizes(&weight)[0], window);
        let data = match x.dtype() {
            DType::U8 => Some(of.forward(x.storage::<u8>(), contiguous(&weight).storage())),
            _ => slices([&x, &weight], |x, weight| of.forward(x, weight)),
        };
        match data {
            Some(data) => tensor(data, &of.output()),
            None => Self::conv2d(x, weight, None, options(window)),
        }
    }

    fn convolve_input(
        gradient: FlexTensor,
        weight: FlexTensor,
        window: &Window,
        shape: &[usize],
        context: &Context<Self>,
    ) -> FlexTensor {
        let of = Convolution::new(shape, sizes(&weight)[0], window);
        match slices([&gradient, &weight], |gradient, weight| of.input(gradient, weight)) {
            Some(data) => tensor(data, shape),
            None => input_gradient::<Self>(gradient, weight, window, shape, context),
        }
    }

    fn convolve_weight(
        x: FlexTensor,
        gradient: FlexTensor,
        window: &Window,
        shape: &[usize],
        context: &Context<Self>,
    ) -> FlexTensor {
        let of = Convolution::new(sizes(&x), shape[0], window);
        let data = match x.dtype() {
            DType::U8 => Some(of.weight(x.storage::<u8>(), contiguous(&gradient).storage())),
            _ => slices([&x, &gradient], |x, gradient| of.weight(x, gradient)),
        };
        match data {
            Some(data) => tensor(data, shape),
            None => weight_gradient::<Self>(x, gradient, window, shape, context),
        }
    }

    fn largest(x: FlexTensor, window: &Window) -> FlexTensor {
        if x.dtype() != DType::F32 {
            return largest::<Self>(x, window);
        }
        let [h, w] = [2, 3].map(|axis| sizes(&x)[axis]);
        let shape: Vec<usize> =
            sizes(&x)[..2].iter().copied().chain(window.output([h, w]).expect("the kernel fits")).collect();
        let index = pool::largest(contiguous(&x).storage(), sizes(&x), window);
        FlexTensor::new(Bytes::from_elems(index), Layout::contiguous(physical(&shape)), DType::I32)
    }

    fn gather(x: FlexTensor, axis: usize, index: FlexTensor) -> FlexTensor {
        if x.dtype() != DType::F32 || index.dtype() != DType::I32 {
            return Self::float_gather(axis, x, index);
        }
        let axes = indexed(sizes(&x)[axis], axis, &index);
        let index = index.to_contiguous();
        tensor(pool::gather(contiguous(&x).storage(), index.storage(), axes), sizes(&index))
    }

    fn scatter(
        y: FlexTensor,
        axis: usize,
        index: FlexTensor,
        shape: &[usize],
        context: &Context<Self>,
    ) -> FlexTensor {
        if y.dtype() != DType::F32 || index.dtype() != DType::I32 {
            return scatter::<Self>(y, axis, index, shape, context);
        }
        let axes = indexed(shape[axis], axis, &index);
        let index = index.to_contiguous();
        tensor(pool::scatter(contiguous(&y).storage(), index.storage(), axes), shape)
    }
}

/// The length of an axis, that of the same axis of an index, and the elements behind it.
fn indexed(length: usize, axis: usize, index: &FlexTensor) -> [usize; 3] {
    [length, sizes(index)[axis], sizes(index)[axis + 1..].iter().product()]
}

/// The first number of a view.
fn start(view: &FlexTensor) -> *const f32 {
    assert!(last_element(view.layout()) < view.storage::<f32>().len(), "a view lies inside its tensor");
    // SAFETY: no element of the view is outside the storage; in particular, the first is not.
    unsafe { view.storage::<f32>().as_ptr().add(view.layout().start_offset()) }
}

/// The product of an `m × k` and a `k × n` matrix, row-major. The elements of each are `strides` apart, and [`start`] checked
/// that they are there.
fn product([m, k, n]: [usize; 3], a: *const f32, sa: &[isize], b: *const f32, sb: &[isize]) -> Vec<f32> {
    let mut product: Vec<f32> = Vec::with_capacity(m * n);
    let serial = gemm::Parallelism::None;
    // SAFETY: `a` and `b` have these elements. `product` has room for m × n elements and is not read before all of it is
    // written (`read_dst` is false).
    unsafe {
        let out = product.as_mut_ptr();
        let (alpha, beta) = (0.0, 1.0);
        gemm::gemm(
            m, n, k, out, 1, n as isize, false, a, sa[1], sa[0], b, sb[1], sb[0], alpha, beta, false, false,
            false, serial,
        );
        product.set_len(m * n);
    }
    product
}

fn sizes(tensor: &FlexTensor) -> &[usize] {
    tensor.layout().shape().as_slice()
}

/// `left` and `right` as the slices of [`convolution`], if both are of single precision.
fn slices<T>([left, right]: [&FlexTensor; 2], work: impl FnOnce(&[f32], &[f32]) -> T) -> Option<T> {
    let is_single = |t: &FlexTensor| t.dtype() == DType::F32;
    (is_single(left) && is_single(right))
        .then(|| work(contiguous(left).storage(), contiguous(right).storage()))
}

/// The position of a view's last element in its storage. The graph's views never have negative strides.
fn last_element(layout: &Layout) -> usize {
    let lengths = layout.shape().as_slice().iter();
    let steps = lengths.zip(layout.strides()).map(|(&length, &stride)| {
        let stride = usize::try_from(stride).expect("a view runs forwards");
        (length - 1) * stride
    });
    layout.start_offset() + steps.sum::<usize>()
}

/// `tensor` itself if its storage holds exactly its elements in order, else a copy of which this is true.
fn contiguous(tensor: &FlexTensor) -> Cow<'_, FlexTensor> {
    let layout = tensor.layout();
    let elements: usize = layout.shape().as_slice().iter().product();
    let whole = layout.is_contiguous()
        && layout.start_offset() == 0
        && tensor.dtype() == DType::F32
        && tensor.storage::<f32>().len() == elements;
    if whole { Cow::Borrowed(tensor) } else { Cow::Owned(tensor.to_contiguous()) }
}

fn tensor(data: Vec<f32>, shape: &[usize]) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(data), Layout::contiguous(physical(shape)), DType::F32)
}
