//! The kernels of GPUs compute what loops in double precision compute. Without a GPU, `--device` gives one clear error.
//! `execute_plans` and `learners` compare whole programs on GPUs with the CPU.
mod common;

use common::array::Array;
use common::{gpus, random, uniform};
use potstill_engine::Error;
use potstill_engine::execute::{Device, Plan};
use potstill_engine::graph::{Graph, Tensor, grad};
use potstill_engine::random::Stream;
use proptest::prelude::*;
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

#[test]
fn a_gpu_is_there_or_the_error_says_what_is_missing() {
    for (name, full) in [("cuda", "cuda:0"), ("wgpu", "wgpu")] {
        match Device::named(name, 1) {
            Ok(device) => assert_eq!(device.name(), full),
            Err(Error::Device { device, what }) => {
                assert_eq!(device, full);
                assert!(what.contains("install") || what.contains("CUDA"), "{what}");
                let needed = std::env::var("POTSTILL_TEST_GPU").is_ok_and(|needed| needed == name);
                assert!(!needed, "{what}");
                eprintln!("no {name} here: {what}");
            }
            Err(other) => panic!("{other}"),
        }
    }
    let gone = Device::named("wgpu:99", 1).unwrap_err().to_string();
    assert!(gone.starts_with("device `wgpu:99`: "), "{gone}");
}

/// Numbers in single precision.
fn numbers(rng: &mut Stream, shape: &[usize]) -> Array {
    let numbers = uniform(rng, shape.iter().product(), -1.0, 1.0);
    Array::new(shape, numbers.iter().map(|&v| f64::from(v as f32)).collect())
}

/// Compares `outputs` of a graph whose inputs have these values with `expected`, on every GPU. The error is relative to
/// the largest element.
fn check(graph: &Graph, inputs: &[Array], outputs: &[Tensor], expected: &[Array], tolerance: f64) {
    let plan = Plan::compile(graph, outputs).unwrap();
    for device in gpus() {
        let inputs: Vec<_> = inputs
            .iter()
            .map(|a| device.tensor(&a.data.iter().map(|&v| v as f32).collect::<Vec<_>>(), &a.shape))
            .collect();
        for (i, (got, expected)) in device.run(&plan, &inputs).iter().zip(expected).enumerate() {
            assert_eq!(got.shape(), expected.shape);
            let largest =
                expected.data.iter().filter(|v| v.is_finite()).fold(1e-30f64, |m, v| m.max(v.abs()));
            for (at, (got, expected)) in device.read_f64(got).iter().zip(&expected.data).enumerate() {
                let same = (got - expected).abs() <= tolerance * largest
                    || got == expected
                    || got.is_nan() && expected.is_nan();
                assert!(
                    same,
                    "{}, output {i}, element {at}: {got}, expected {expected}\n{plan}",
                    device.name()
                );
            }
        }
    }
}

/// A convolution and its gradients: `[y, by x, by weight]` where y's gradient is `g`.
fn convolution(x: &Array, weight: &Array, g: &Array, stride: usize, padding: usize) -> [Array; 3] {
    let zeros = |a: &Array| Array::new(&a.shape, vec![0.0; a.data.len()]);
    let (mut y, mut by_x, mut by_weight) = (zeros(g), zeros(x), zeros(weight));
    let [_, channels, height, width] = x.shape[..] else { panic!() };
    let [filters, _, kh, kw] = weight.shape[..] else { panic!() };
    let [_, _, oh, ow] = g.shape[..] else { panic!() };
    for (at, g) in g.data.iter().enumerate() {
        let (column, row, filter, picture) =
            (at % ow, at / ow % oh, at / ow / oh % filters, at / ow / oh / filters);
        for channel in 0..channels {
            for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                let (i, j) = (row * stride + ky, column * stride + kx);
                if i < padding || j < padding || i - padding >= height || j - padding >= width {
                    continue;
                }
                let from = ((picture * channels + channel) * height + i - padding) * width + j - padding;
                let of = ((filter * channels + channel) * kh + ky) * kw + kx;
                y.data[at] += x.data[from] * weight.data[of];
                by_x.data[from] += g * weight.data[of];
                by_weight.data[of] += g * x.data[from];
            }
        }
    }
    [y, by_x, by_weight]
}

fn check_convolution(
    rng: &mut Stream,
    x: [usize; 4],
    filters: usize,
    kernel: [usize; 2],
    stride: usize,
    padding: usize,
) {
    let length = |axis: usize| (x[2 + axis] + 2 * padding - kernel[axis]) / stride + 1;
    let x_values = numbers(rng, &x);
    let weight_values = numbers(rng, &[filters, x[1], kernel[0], kernel[1]]);
    let g_values = numbers(rng, &[x[0], filters, length(0), length(1)]);
    let graph = Graph::new();
    let inputs = [&x_values, &weight_values, &g_values].map(|a| graph.input("", &a.shape));
    let y = inputs[0].conv2d(&inputs[1], stride, padding);
    let mut outputs = vec![y.clone()];
    outputs.extend(grad(&(y * &inputs[2]).sum(), &inputs[..2]));
    let expected = convolution(&x_values, &weight_values, &g_values, stride, padding);
    check(&graph, &[x_values, weight_values, g_values], &outputs, &expected, 2e-6);
}

/// The shape of a product, how its left and right operand are stored, and the axes before.
fn check_product(rng: &mut Stream, [m, n, k]: [usize; 3], transposed: [bool; 2], lead: &[usize]) {
    let shape = |last: [usize; 2]| [lead, &last[..]].concat();
    let values = [numbers(rng, &shape([m, k])), numbers(rng, &shape([k, n]))];
    let rank = lead.len() + 2;
    let mut swap: Vec<usize> = (0..rank).collect();
    swap.swap(rank - 2, rank - 1);
    let graph = Graph::new();
    let mut inputs = vec![];
    let mut operands = vec![];
    for (values, transposed) in values.iter().zip(transposed) {
        let stored = if transposed { values.permute(&swap) } else { values.clone() };
        let input = graph.input("", &stored.shape);
        operands.push(if transposed { input.transpose() } else { input });
        inputs.push(stored);
    }
    let expected = values[0].matmul(&values[1]);
    check(&graph, &inputs, &[operands[0].matmul(&operands[1])], &[expected], 2e-6);
}

proptest! {
    #![proptest_config(common::cases(12))]

    #[test]
    fn convolutions(seed: u64) {
        let rng = &mut random(seed);
        let kernel = [rng.random_range(1..9), rng.random_range(1..9)];
        let (stride, padding) = (rng.random_range(1..5), rng.random_range(0..4));
        let size = |rng: &mut Stream, kernel: usize| {
            rng.random_range(kernel.saturating_sub(2 * padding).max(1)..kernel + 16)
        };
        let (height, width) = (size(rng, kernel[0]), size(rng, kernel[1]));
        let x = [rng.random_range(1..6), rng.random_range(1..6), height, width];
        let filters = *[1, 3, 8, 33].choose(rng).unwrap();
        check_convolution(rng, x, filters, kernel, stride, padding);
    }

    /// Of all sizes around those of a tile, and with sums so long that they are split.
    #[test]
    fn products(seed: u64) {
        let rng = &mut random(seed);
        let side = |rng: &mut Stream| *[1, 3, 6, 16, 17, 64, 65, 130].choose(rng).unwrap();
        let [m, n] = [side(rng), side(rng)];
        let k = *[1, 5, 16, 33, 700, 5000].choose(rng).unwrap();
        let lead: &[usize] = [&[][..], &[3], &[2, 2]].choose(rng).unwrap();
        let transposed = [rng.random(), rng.random()];
        check_product(rng, [m, n, k], transposed, if k < 1000 { lead } else { &[] });
    }

    /// Over any axes of views whose memory is in another order, with gaps, and with NaN here and there.
    #[test]
    fn reductions(seed: u64) {
        let rng = &mut random(seed);
        let rank = rng.random_range(1..5);
        let most = [40_000, 190, 33, 14][rank - 1];
        let shape: Vec<usize> = (0..rank).map(|_| rng.random_range(1..=most)).collect();
        // Sums of both signs would nearly cancel out.
        let mut values = numbers(rng, &shape).map(|v| v.abs() + 0.5);
        if rng.random_bool(0.5) {
            let at = rng.random_range(0..values.data.len());
            values.data[at] = *[f64::NAN, f64::INFINITY, f64::NEG_INFINITY].choose(rng).unwrap();
        }
        let mut order: Vec<usize> = (0..rank).collect();
        order.shuffle(rng);
        let cut = rng.random_range(0..rank);
        let graph = Graph::new();
        let (x, array) = (graph.input("", &shape).permute(&order), values.permute(&order));
        let length = array.shape[cut].div_ceil(2);
        let (x, array) = (x.slice(cut as isize, 0, length), array.window(cut, 0, length));
        let axes: Vec<usize> = (0..rank).filter(|_| rng.random_bool(0.6)).collect();
        let signed: Vec<isize> = axes.iter().map(|&a| a as isize).collect();
        let nan_or_larger = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) };
        let expected = [array.sum(&axes), array.reduce(&axes, f64::NEG_INFINITY, nan_or_larger)];
        check(&graph, &[values], &[x.sum_keep(&signed), x.max_keep(&signed)], &expected, 1e-6);
    }

    /// With operands that are broadcast, permuted or sliced.
    #[test]
    fn fused_groups(seed: u64) {
        let rng = &mut random(seed);
        let shape: Vec<usize> = (0..3).map(|_| rng.random_range(1..12)).collect();
        let turned = [shape[2], shape[0], shape[1]];
        let values = [
            numbers(rng, &shape),
            numbers(rng, &[shape[1], 1]),
            numbers(rng, &turned),
            numbers(rng, &[shape[0], shape[1], shape[2] + 2]),
        ];
        let graph = Graph::new();
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| graph.input("", &values[i].shape));
        let (c, d) = (c.permute(&[1, 2, 0]), d.slice(2, 1, shape[2]));
        let outputs = [(&a * &b).tanh() + &c, (&a * &b).tanh() * &d - 0.3];
        let product = values[0].zip(&values[1], |a, b| (a * b).tanh());
        let expected = [
            product.zip(&values[2].permute(&[1, 2, 0]), |p, c| p + c),
            product.zip(&values[3].window(2, 1, shape[2]), |p, d| p * d - f64::from(0.3f32)),
        ];
        check(&graph, &values, &outputs, &expected, 1e-6);
    }
}

/// The shapes of the networks that play Atari, whose first convolution has few channels and a wide stride.
#[test]
fn convolutions_of_pictures() {
    let rng = &mut random(1);
    check_convolution(rng, [2, 4, 84, 84], 32, [8, 8], 4, 0);
    check_convolution(rng, [2, 32, 20, 20], 64, [4, 4], 2, 0);
    check_convolution(rng, [2, 16, 13, 13], 32, [3, 3], 1, 1);
    // The stride leaves out the last pixels, and places between windows.
    check_convolution(rng, [2, 3, 11, 12], 5, [2, 3], 4, 1);
}

/// Every function of numbers that are no numbers, or beyond them, and constants that are.
#[test]
fn what_is_no_number() {
    let x = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -2.0, 3.0, 100.0];
    let values = Array::new(&[x.len()], x.to_vec());
    let graph = Graph::new();
    let x = graph.input("", &[x.len()]);
    let constant = |v: f64| graph.constant(v);
    let outputs = [
        x.relu(),
        x.tanh(),
        x.exp(),
        x.sigmoid(),
        -&x,
        x.abs(),
        x.recip(),
        x.log(),
        x.sqrt(),
        x.powf(3.0),
        x.powf(-2.0),
        x.powf(0.75),
        x.less(&constant(f64::INFINITY)),
        x.less_equal(&constant(f64::NEG_INFINITY)),
        x.equal(&constant(f64::NAN)),
        x.less(&constant(1.0)).select(&graph.full(f64::NEG_INFINITY, &[values.data.len()]), &x),
        x.max(&constant(1.0)),
        x.min(&constant(1.0)),
    ];
    let truth = |t: bool| f64::from(u8::from(t));
    let exact: [fn(f64) -> f64; 12] = [
        |x| if x < 0.0 { 0.0 } else { x },
        f64::tanh,
        |x| f64::from(x.exp() as f32),
        |x| 1.0 / (1.0 + (-x).exp()),
        |x| -x,
        f64::abs,
        f64::recip,
        f64::ln,
        f64::sqrt,
        |x| x.powi(3),
        |x| x.powi(-2),
        // Also of -∞, where IEEE's is ∞.
        |x| if x < 0.0 { f64::NAN } else { x.powf(0.75) },
    ];
    let mut expected: Vec<Array> = exact.iter().map(|f| values.map(f)).collect();
    expected.extend([
        values.map(|x| truth(x < f64::INFINITY)),
        values.map(|x| truth(x <= f64::NEG_INFINITY)),
        values.map(|_| 0.0),
        values.map(|x| if x < 1.0 { f64::NEG_INFINITY } else { x }),
        values.map(|x| if x < 1.0 { 1.0 } else { x }),
        values.map(|x| if 1.0 < x { 1.0 } else { x }),
    ]);
    check(&graph, &[values], &outputs, &expected, 1e-6);
}

/// More elements than one dimension of a launch has threads.
#[test]
fn more_blocks_than_one_dimension_has() {
    let length = 65536 * 256 + 300;
    let graph = Graph::new();
    let x = graph.input("", &[length]);
    let plan =
        Plan::compile(&graph, &[(&x * 2.0).max_keep(&[0]), (&x * 2.0).slice(0, length - 2, 2)]).unwrap();
    let data: Vec<f32> =
        (0..length).map(|i| (i % 1000) as f32 + if i + 1 == length { 5000.0 } else { 0.0 }).collect();
    for device in gpus() {
        let results = device.run(&plan, &[device.tensor(&data, &[length])]);
        let last = 2.0 * data[length - 1];
        assert_eq!(device.read(&results[0]), [last], "{}", device.name());
        assert_eq!(device.read(&results[1]), [2.0 * data[length - 2], last], "{}", device.name());
    }
}

#[test]
fn rows_of_bytes() {
    let graph = Graph::new();
    let x = graph.rows("x", &[600, 3]);
    let plan = Plan::compile(&graph, &[&x * 255.0]).unwrap();
    let bytes: Vec<u8> = (0..3 * 700u32).map(|i| (i * 7 % 256) as u8).collect();
    let index: Vec<usize> = (0..600).map(|i| i * 11 % 700).collect();
    let all: Vec<f64> = bytes[..1800].iter().map(|&b| f64::from(b)).collect();
    let picked: Vec<f64> =
        index.iter().flat_map(|&row| &bytes[3 * row..3 * row + 3]).map(|&b| f64::from(b)).collect();
    for device in gpus().into_iter().chain([Device::cpu(2), Device::cpu_f64()]) {
        let kept = device.bytes(&bytes);
        for (rows, expected) in [
            (device.byte_rows(&plan, 0, &bytes, None), &all),
            (device.byte_rows(&plan, 0, &bytes, Some(&index)), &picked),
            (device.rows_of_bytes(&plan, 0, &kept, None), &all),
            (device.rows_of_bytes(&plan, 0, &kept, Some(&index)), &picked),
        ] {
            let got = device.read_f64(&device.run(&plan, &[rows])[0]);
            common::assert_close(&got, expected, 1e-6, &device.name());
        }
    }
}

/// What a GPU cannot do is one error, and not the words of a panic.
#[test]
fn a_failing_gpu_is_an_error() {
    for device in gpus() {
        let graph = Graph::new();
        let plan = Plan::compile(&graph, &[graph.rows("x", &[4, 3]) * 2.0]).unwrap();
        let kept = device.bytes(&[0; 3]);
        let failed = potstill_engine::execute::caught(|| {
            device.rows_of_bytes(&plan, 0, &kept, None);
            Ok(())
        });
        let message = failed.unwrap_err().to_string();
        assert!(message.starts_with(&format!("device `{}`: ", device.name())), "{message}");
        let four = device.byte_rows(&plan, 0, &[0; 12], None);
        assert_eq!(device.read(&device.run(&plan, &[four])[0]), [0.0; 12], "it works again");
    }
}
