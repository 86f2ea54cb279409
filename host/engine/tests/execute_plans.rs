//! Plans compute what the graph says, whether fused or not, split over rows or not, and on any number of threads.
mod common;

use common::array::Array;
use common::program::{Kind, Program, Value};
use common::{Index, assert_close, random, single_precision, uniform};
use potstill_engine::execute::{Array as Numbers, Device, Plan};
use potstill_engine::graph::{Graph, Tensor, grad};
use proptest::prelude::*;

const ROWS: [usize; 8] = [1, 2, 7, 256, 257, 700, 1024, 2000];

/// Checks `outputs` of `program` in double and single precision, and on several threads.
fn check_program(program: &Program, outputs: &[Value]) {
    let tensors: Vec<Tensor> = outputs.iter().map(|o| o.tensor.clone()).collect();
    let plan = Plan::compile(&program.graph, &tensors).unwrap();
    let text = || format!("{}{plan}", program.graph.to_text(&tensors));
    let run = |device: &Device| device.run(&plan, &program.numbers(device, &plan));

    let double = Device::cpu_f64();
    for (got, expected) in run(&double).iter().zip(outputs) {
        assert_eq!(got.shape(), expected.array.shape);
        assert_close(&double.read_f64(got), &expected.array.data, 1e-9, &text());
    }
    let bits = |device: &Device| -> Vec<Vec<u32>> {
        run(device).iter().map(|t| device.read(t).iter().map(|v| v.to_bits()).collect()).collect()
    };
    for device in single_precision(1) {
        for (got, expected) in run(&device).iter().zip(outputs) {
            let text = || format!("{} {}", device.name(), text());
            assert_close(&device.read_f64(got), &expected.array.data, 2e-4, &text());
        }
    }
    let single = Device::cpu(1);
    for threads in 2..=4 {
        assert!(bits(&single) == bits(&Device::cpu(threads)), "{threads} threads: {}", text());
    }
}

proptest! {
    #![proptest_config(common::cases(200))]

    #[test]
    fn elementwise_programs(seed: u64, rows in 0..ROWS.len(), steps in 5..60usize) {
        let rng = &mut random(seed);
        let program = Program::random(rng, Kind::Elementwise, ROWS[rows], steps);
        check_program(&program, &program.outputs(rng));
    }

    #[test]
    fn programs_of_all_operations(seed: u64, rows in 0..ROWS.len(), steps in 3..40usize) {
        let rng = &mut random(seed);
        let program = Program::random(rng, Kind::Everything, ROWS[rows], steps);
        check_program(&program, &program.outputs(rng));
    }

    /// Many small batches reach more kinds of programs than the slow, big ones.
    #[test]
    fn programs_on_few_rows(seeds in prop::collection::vec(any::<u64>(), 8), rows in 1..9usize) {
        for seed in seeds {
            let rng = &mut random(seed);
            let program = Program::random(rng, Kind::Everything, rows, 30);
            check_program(&program, &program.outputs(rng));
        }
    }
}

/// Each function alone is accurate in single precision, as the kernels compute it.
#[test]
fn single_functions_in_single_precision() {
    type Traced = fn(&Tensor) -> Tensor;
    type Exact = fn(f64) -> f64;
    let functions: [(&str, Traced, Exact); 11] = [
        ("exp", Tensor::exp, f64::exp),
        ("tanh", Tensor::tanh, f64::tanh),
        ("sigmoid", Tensor::sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
        ("relu", Tensor::relu, |x| x.max(0.0)),
        ("abs", Tensor::abs, f64::abs),
        ("erf", Tensor::erf, libm::erf),
        ("neg", |x| -x, |x| -x),
        ("recip", |x| (x + 9.0).recip(), |x| 1.0 / (x + 9.0)),
        ("log", |x| (x + 9.0).log(), |x| (x + 9.0).ln()),
        ("sqrt", |x| (x + 9.0).sqrt(), |x| (x + 9.0).sqrt()),
        ("powf", |x| (x + 9.0).powf(-1.3), |x| (x + 9.0).powf(-1.3)),
    ];
    let x = uniform(&mut random(1), 1500, -8.0, 8.0);
    let x: Vec<f64> = x.iter().map(|&v| f64::from(v as f32)).collect();
    let single: Vec<f32> = x.iter().map(|&v| v as f32).collect();
    for (device, (name, traced, exact)) in
        single_precision(1).iter().flat_map(|device| functions.map(|function| (device, function)))
    {
        let graph = Graph::new();
        let y = traced(&graph.input("x", &[1500]));
        let plan = Plan::compile(&graph, &[y]).unwrap();
        let got = device.read_f64(&device.run(&plan, &[device.tensor(&single, &[1500])])[0]);
        for (x, y) in x.iter().zip(got) {
            let exact = exact(*x);
            assert!(
                (y - exact).abs() <= 1e-6 * exact.abs().max(0.5),
                "{name}({x}) = {y} on {}, expected {exact}",
                device.name()
            );
        }
    }
}

/// Bytes become the numbers that learners see, whichever rows are chosen and however they are split into shards.
#[test]
fn bytes_are_scaled_when_they_are_uploaded() {
    let pictures: Vec<u8> = (0..600 * 12).map(|i| (i * 7 % 256) as u8).collect();
    let numbers: Vec<f32> = pictures.iter().map(|&byte| f32::from(byte) / 255.0).collect();
    let chosen: Vec<usize> = (0..450).map(|i| i * 37 % 600).collect();
    for index in [None, Some(&chosen[..])] {
        let rows = index.map_or(600, <[usize]>::len);
        let graph = Graph::new();
        let (x, w) = (graph.rows("x", &[rows, 3, 2, 2]), graph.input("w", &[5, 3, 2, 1]));
        // Convolutions may read the bytes themselves.
        let y = x.conv2d(&w, 1, 0);
        let of_weight = grad(&y.square().sum(), &[w]);
        let weight: Vec<f32> = (0..30).map(|i| (i as f32).sin()).collect();
        for outputs in [vec![&x * 1.0], vec![y.clone(), of_weight[0].clone()], vec![&y * x.sum(), x.clone()]]
        {
            let plan = Plan::compile(&graph, &outputs).unwrap();
            for device in single_precision(3).into_iter().chain([Device::cpu_f64()]) {
                let weight = device.tensor(&weight, &[5, 3, 2, 1]);
                let run = |x| -> Vec<Vec<f32>> {
                    device.run(&plan, &[x, weight.clone()]).iter().map(|y| device.read(y)).collect()
                };
                let seen = run(device.byte_rows(&plan, 0, &pictures, index));
                assert!(seen == run(device.rows(&plan, 0, &numbers, index)), "{}", device.name());
            }
        }
    }
}

#[test]
fn not_a_number_stays_not_a_number() {
    let graph = Graph::new();
    let x = graph.input("x", &[3]);
    let outputs = [x.relu(), x.tanh(), x.exp(), x.sigmoid(), x.max_keep(&[0]), x.sum(), x.clamp(-1.0, 1.0)];
    let plan = Plan::compile(&graph, &outputs).unwrap();
    for device in single_precision(1) {
        let x = device.tensor(&[f32::NAN, 1.0, f32::NEG_INFINITY], &[3]);
        let results: Vec<Vec<f32>> = device.run(&plan, &[x]).iter().map(|t| device.read(t)).collect();
        assert!(results.iter().all(|r| r[0].is_nan()), "{}: {results:?}", device.name());
        assert_eq!(results[0][1..], [1.0, 0.0], "relu");
    }
}

/// A network that has diverged must not crash the process.
#[test]
fn max_pooling_of_what_has_no_maximum() {
    let graph = Graph::new();
    let y = graph.input("x", &[1, 1, 2, 2]).max_pool2d(2, 2, 0);
    let plan = Plan::compile(&graph, &[y]).unwrap();
    for (device, value) in single_precision(1)
        .into_iter()
        .chain([Device::cpu_f64()])
        .flat_map(|device| [f32::NAN, f32::NEG_INFINITY].map(|value| (device.clone(), value)))
    {
        let got = device.read(&device.run(&plan, &[device.tensor(&[value; 4], &[1, 1, 2, 2])])[0])[0];
        assert!(got.to_bits() == value.to_bits() || got.is_nan() && value.is_nan(), "{got}");
    }
}

/// A network's gradients and a normalization in two levels are correct for every way to split the rows.
#[test]
fn split_rows_change_nothing() {
    for rows in ROWS {
        let graph = Graph::new();
        let w = [graph.input("w", &[5, 6]), graph.input("b", &[6]), graph.input("v", &[6, 3])];
        let x = graph.rows("x", &[rows, 5]);
        let advantages = graph.rows("advantages", &[rows, 1]);
        let actions = graph.int_rows("actions", &[rows, 1]);
        let centered = &advantages - advantages.mean();
        let normal = &centered / (centered.square().mean().sqrt() + 1e-8);
        let output = (x.matmul(&w[0]) + &w[1]).tanh().matmul(&w[2]);
        let picked = output.log_softmax(-1).gather(-1, &actions);
        let loss = -(picked.exp() * &normal).mean();
        let mut outputs = vec![loss.clone(), normal, output.max_keep(&[0]), output.mean_keep(&[0, 1])];
        outputs.extend(grad(&loss, &w));
        outputs.push(actions.one_hot(3));
        outputs.push(output);

        let rng = &mut random(rows as u64);
        let numbers =
            |rng: &mut _, n| uniform(rng, n, -1.0, 1.0).iter().map(|&v| v as f32).collect::<Vec<_>>();
        let (data, advantages) = (numbers(rng, rows * 5), numbers(rng, rows));
        let parameters = [numbers(rng, 30), numbers(rng, 6), numbers(rng, 18)];
        let actions = Index::random(rng, &[rows, 1], 3).values;
        let plan = Plan::compile(&graph, &outputs).unwrap();
        let split = format!("{plan}").contains(&format!("in {} shards", rows.div_ceil(256)));
        assert!(split, "{rows} rows are not split as they should be");
        let run = |device: &Device| -> Vec<Vec<f64>> {
            let mut inputs: Vec<Numbers> =
                parameters.iter().zip(&w).map(|(p, w)| device.tensor(p, &w.shape())).collect();
            inputs.push(device.rows(&plan, 3, &data, None));
            inputs.push(device.rows(&plan, 4, &advantages, None));
            inputs.push(device.int_rows(&plan, 5, &actions, None));
            device.run(&plan, &inputs).iter().map(|t| device.read_f64(t)).collect()
        };

        // The expected numbers, by definition and row by row.
        let array = |v: &[f32], s: &[usize]| Array::new(s, v.iter().map(|&v| f64::from(v)).collect());
        let (x, a) = (array(&data, &[rows, 5]), array(&advantages, &[rows, 1]));
        let p: Vec<Array> = parameters.iter().zip(&w).map(|(p, w)| array(p, &w.shape())).collect();
        let hidden = x.matmul(&p[0]).zip(&p[1], |a, b| (a + b).tanh());
        let output = hidden.matmul(&p[2]);
        let count = rows as f64;
        let mean = a.data.iter().sum::<f64>() / count;
        let deviation = (a.data.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / count).sqrt();
        let normal = a.map(|a| (a - mean) / (deviation + 1e-8));
        let policy = output.map(f64::exp);
        let policy = policy.zip(&policy.sum(&[1]), |e, s| e / s);
        let index = Array::new(&[rows, 1], actions.iter().map(|&i| f64::from(i)).collect());
        let picked = policy.gather(1, &index);
        // d loss/d output = −p·A·(one_hot − π)/rows.
        let one_hot =
            Array::build(&[rows, 3], |i| f64::from(u8::from(index.at(&[i[0], 0]) as usize == i[1])));
        let weight = picked.zip(&normal, |p, a| -p * a / count);
        let by_output = one_hot.zip(&policy, |o, p| o - p).zip(&weight, |d, w| d * w);
        let by_hidden = by_output.matmul(&p[2].permute(&[1, 0])).zip(&hidden, |g, h| g * (1.0 - h * h));
        let expected = [
            weight.sum(&[0, 1]),
            normal,
            output.max(&[0]),
            output.sum(&[0, 1]).map(|s| s / count / 3.0),
            x.permute(&[1, 0]).matmul(&by_hidden),
            by_hidden.sum(&[0]),
            hidden.permute(&[1, 0]).matmul(&by_output),
            one_hot,
            output,
        ];
        for (i, (got, expected)) in run(&Device::cpu_f64()).iter().zip(&expected).enumerate() {
            assert_close(got, &expected.data, 1e-12, &format!("output {i}, {rows} rows"));
        }
        for device in single_precision(1) {
            for (i, (got, expected)) in run(&device).iter().zip(&expected).enumerate() {
                let what = format!("output {i}, {rows} rows, {}", device.name());
                assert_close(got, &expected.data, 1e-5, &what);
            }
        }
        let single = run(&Device::cpu(1));
        for threads in 2..=4 {
            assert!(run(&Device::cpu(threads)) == single, "{threads} threads, {rows} rows");
        }
    }
}

/// A batch of pictures is split into more shards, because it has work for several threads.
#[test]
fn wide_rows_are_split_finer() {
    let graph = Graph::new();
    let y = graph.rows("x", &[256, 4, 84, 84]).relu();
    let plan = Plan::compile(&graph, &[y]).unwrap();
    assert!(plan.to_string().contains("256 rows in 4 shards"), "{plan}");
}

#[test]
fn rows_are_picked_by_index() {
    let graph = Graph::new();
    let (x, i) = (graph.rows("x", &[600, 2]), graph.int_rows("i", &[600, 1]));
    let plan = Plan::compile(&graph, &[&x * 2.0, x.gather(1, &i)]).unwrap();
    let data: Vec<f32> = (0..20).map(|v| v as f32).collect();
    let actions: Vec<i32> = (0..10).map(|v| v % 2).collect();
    let index: Vec<usize> = (0..600).map(|v| v * 7 % 10).collect();
    let doubled: Vec<f32> = index.iter().flat_map(|&i| [4.0 * i as f32, 4.0 * i as f32 + 2.0]).collect();
    let gathered: Vec<f32> = index.iter().map(|&i| (2 * i + i % 2) as f32).collect();
    for device in single_precision(2) {
        let inputs =
            [device.rows(&plan, 0, &data, Some(&index)), device.int_rows(&plan, 1, &actions, Some(&index))];
        let results = device.run(&plan, &inputs);
        assert_eq!(device.read(&results[0]), doubled);
        assert_eq!(device.read(&results[1]), gathered);
    }
}

/// Outputs may be constants, inputs, one output twice or stopped gradients, and inputs may be unused, whether rows are
/// split or not.
#[test]
fn outputs_that_are_not_computed() {
    for rows in [3, 600] {
        let graph = Graph::new();
        let (x, w) = (graph.rows("x", &[rows, 2]), graph.input("w", &[2]));
        let index = graph.int_rows("i", &[rows]);
        graph.input("unused", &[7]);
        graph.rows("unused rows", &[rows]);
        let outputs = [
            graph.constant(4.0),
            graph.full(3.0, &[2, 2]),
            x.clone(),
            x.stop_gradient(),
            w.clone(),
            w.stop_gradient(),
            index.clone(),
            x.clone(),
            graph.full(1.0, &[rows, 2]),
            index.broadcast_to(&[2, rows]).permute(&[1, 0]).reshape(&[rows * 2]),
        ];
        let runs = [(0, 10), (2, 3), (4, 5), (0, 1), (6, 7), (2, 8), (8, 9), (9, 10), (0, 0)];
        for (device, (first, last)) in
            single_precision(3).iter().flat_map(|device| runs.map(|outputs| (device, outputs)))
        {
            let plan = Plan::compile(&graph, &outputs[first..last]).unwrap();
            let data: Vec<f32> = (0..rows * 2).map(|v| v as f32).collect();
            let indices: Vec<i32> = (0..rows as i32).collect();
            let inputs = [
                device.rows(&plan, 0, &data, None),
                device.tensor(&[8.0, 9.0], &[2]),
                device.int_rows(&plan, 2, &indices, None),
                device.tensor(&[0.0; 7], &[7]),
                device.rows(&plan, 4, &data, None),
            ];
            let numbers: Vec<f32> = indices.iter().map(|&i| i as f32).collect();
            let expected = [
                vec![4.0],
                vec![3.0; 4],
                data.clone(),
                data.clone(),
                vec![8.0, 9.0],
                vec![8.0, 9.0],
                numbers.clone(),
                data.clone(),
                vec![1.0; rows * 2],
                numbers.iter().flat_map(|&i| [i, i]).collect(),
            ];
            let results = device.run(&plan, &inputs);
            for (result, i) in results.iter().zip(first..last) {
                let what = format!("output {i} of {first}..{last}, {rows} rows, {}", device.name());
                assert_eq!(device.read(result), expected[i], "{what}");
                assert_eq!(result.shape(), outputs[i].shape());
            }
        }
    }
}

/// Rows may end up in another axis than 0.
#[test]
fn rows_in_another_axis() {
    let graph = Graph::new();
    let x = graph.rows("x", &[600, 2]);
    let plan = Plan::compile(&graph, &[x.transpose() * 2.0]).unwrap();
    let data: Vec<f32> = (0..1200).map(|v| v as f32).collect();
    let expected: Vec<f32> = (0..2).flat_map(|j| (0..600).map(move |i| 2.0 * (2 * i + j) as f32)).collect();
    for device in single_precision(2) {
        let result = device.read(&device.run(&plan, &[device.rows(&plan, 0, &data, None)])[0]);
        assert_eq!(result, expected, "{}", device.name());
    }
}

/// Sums are correct for views whose memory layout differs from their shape.
#[test]
fn sums_of_views() {
    let graph = Graph::new();
    let (x, column) = (graph.input("x", &[2, 4]), graph.input("column", &[4, 1]));
    let outputs = [
        x.transpose().slice(0, 0, 3).sum_axes(&[0]),
        x.transpose().slice(0, 1, 2).sum_axes(&[1]),
        column.broadcast_to(&[4, 2]).sum_axes(&[0]),
        column.broadcast_to(&[4, 2]).sum_axes(&[1]),
        x.broadcast_to(&[3, 2, 4]).permute(&[2, 0, 1]).slice(0, 0, 2).sum_axes(&[0, 2]),
    ];
    let plan = Plan::compile(&graph, &outputs).unwrap();
    for device in single_precision(1).into_iter().chain([Device::cpu_f64()]) {
        let x: Vec<f32> = (0..8).map(|v| v as f32).collect();
        let inputs = [device.tensor(&x, &[2, 4]), device.tensor(&x[..4], &[4, 1])];
        let results: Vec<Vec<f32>> = device.run(&plan, &inputs).iter().map(|t| device.read(t)).collect();
        let expected =
            [vec![3.0, 15.0], vec![6.0, 8.0], vec![6.0, 6.0], vec![0.0, 2.0, 4.0, 6.0], vec![10.0; 3]];
        assert_eq!(results, expected);
    }
}

#[test]
fn empty_and_single_dimensions() {
    let graph = Graph::new();
    let (none, one) = (graph.rows("none", &[0, 3]), graph.input("one", &[1, 1, 1]));
    let outputs = [
        &none * 2.0 + 1.0,
        none.sum(),
        none.sum_axes(&[0]),
        none.transpose().matmul(&none),
        Tensor::concat(&[&none, &graph.full(2.0, &[1, 3])], 0).unwrap(),
        none.pad(0, 1, 0),
        one.sum_axes(&[0, 1]),
        one.permute(&[2, 0, 1]).exp().log(),
        one.reshape(&[]) + one.reshape(&[1]),
        none.max_keep(&[1]),
        none.tanh().slice(1, 0, 0),
        none.reshape(&[3, 0]).exp(),
        none.broadcast_to(&[2, 0, 3]).exp() + graph.input("three", &[3]),
    ];
    graph.check().unwrap();
    let plan = Plan::compile(&graph, &outputs).unwrap();
    for device in single_precision(1).into_iter().chain([Device::cpu_f64()]) {
        let inputs = [
            device.rows(&plan, 0, &[], None),
            device.tensor(&[5.0], &[1, 1, 1]),
            device.tensor(&[0.0; 3], &[3]),
        ];
        let results: Vec<Vec<f32>> = device.run(&plan, &inputs).iter().map(|t| device.read(t)).collect();
        let expected: [&[f32]; 9] =
            [&[], &[0.0], &[0.0; 3], &[0.0; 9], &[2.0; 3], &[0.0; 3], &[5.0], &[5.0], &[10.0]];
        for (i, (got, expected)) in results.iter().zip(expected).enumerate() {
            assert_close(
                &got.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(),
                &expected.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(),
                1e-6,
                &format!("output {i}"),
            );
        }
        assert!(results[9..].iter().all(Vec::is_empty));
    }
}

/// Convolution, pooling and gathering agree with their definitions.
#[test]
fn windows_and_indices() {
    let rng = &mut random(5);
    for (stride, padding, kernel, height) in
        [(1, 0, 3, 7), (2, 1, 3, 8), (3, 1, 2, 7), (2, 0, 2, 7), (4, 2, 5, 11), (usize::MAX, 1, 3, 4)]
    {
        let (x, w) = ([2, 3, height, height + 1], [4, 3, kernel, kernel - 1]);
        let graph = Graph::new();
        let (tx, tw) = (graph.input("x", &x), graph.input("w", &w));
        let index = graph.int_rows("index", &[2, 5, height, height + 1]);
        let outputs = [
            tx.conv2d(&tw, stride, padding),
            tx.avg_pool2d(kernel, stride, padding),
            tx.max_pool2d(kernel, stride, padding),
            tx.gather(1, &index),
            tx.gather(1, &index).scatter(1, &index, 3),
        ];
        let array = |rng: &mut _, shape: &[usize]| {
            Array::new(
                shape,
                uniform(rng, shape.iter().product(), -1.0, 1.0)
                    .iter()
                    .map(|&v| f64::from(v as f32))
                    .collect(),
            )
        };
        let (ax, aw) = (array(rng, &x), array(rng, &w));
        let picked = Index::random(rng, &[2, 5, height, height + 1], 3);
        let at = Array::new(&picked.shape, picked.values.iter().map(|&i| f64::from(i)).collect());
        let expected = [
            ax.conv2d(&aw, stride, padding),
            ax.pool2d(kernel, stride, padding, 0.0, |a, b| a + b).map(|v| v / (kernel * kernel) as f64),
            ax.pool2d(kernel, stride, padding, f64::NEG_INFINITY, f64::max),
            ax.gather(1, &at),
            ax.gather(1, &at).scatter(1, &at, 3),
        ];
        let plan = Plan::compile(&graph, &outputs).unwrap();
        let single = single_precision(1).into_iter().map(|device| (device, 1e-5));
        for (device, tolerance) in single.chain([(Device::cpu_f64(), 1e-12)]) {
            let inputs = [
                device.tensor_f64(&ax.data, &x),
                device.tensor_f64(&aw.data, &w),
                device.int_rows(&plan, 2, &picked.values, None),
            ];
            for (i, (got, expected)) in device.run(&plan, &inputs).iter().zip(&expected).enumerate() {
                assert_eq!(got.shape(), expected.shape);
                assert_close(&device.read_f64(got), &expected.data, tolerance, &format!("output {i}"));
            }
        }
    }
}

#[test]
#[should_panic(expected = "Device::rows")]
fn a_whole_tensor_is_not_a_split_one() {
    let graph = Graph::new();
    let y = graph.rows("x", &[600]) * 2.0;
    let plan = Plan::compile(&graph, &[y]).unwrap();
    let device = Device::cpu(1);
    device.run(&plan, &[device.tensor(&[0.0; 600], &[600])]);
}
