//! Random numbers, comparisons and derivative checks.

use potstill_engine::execute::{Array as Numbers, Device, Plan};
use potstill_engine::graph::{Graph, Tensor, grad};
use potstill_engine::random::{Stream, stream};
use proptest::test_runner::Config as ProptestConfig;
use rand::Rng;
use rand::seq::SliceRandom;

/// The devices that compute in single precision: the CPU, and the GPUs of this machine that this build supports.
pub fn single_precision(threads: usize) -> Vec<Device> {
    [Device::cpu(threads)].into_iter().chain(gpus()).collect()
}

/// The GPUs of this machine that this build supports.
pub fn gpus() -> Vec<Device> {
    ["cuda", "wgpu"].into_iter().filter_map(|name| Device::named(name, 1).ok()).collect()
}

/// The `usual` number of cases, or `PROPTEST_CASES` if that is less.
pub fn cases(usual: u32) -> ProptestConfig {
    let most = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig::with_cases(most.unwrap_or(usual).min(usual))
}

/// The random stream of a test case.
pub fn random(seed: u64) -> Stream {
    stream(seed, "test", 0)
}

/// `n` random numbers between `low` and `high`.
pub fn uniform(rng: &mut Stream, n: usize, low: f64, high: f64) -> Vec<f64> {
    (0..n).map(|_| rng.random_range(low..high)).collect()
}

/// `n` random numbers between `low` and `high`, no two of which are close, because functions have kinks where numbers
/// are equal.
pub fn distinct(rng: &mut Stream, n: usize, low: f64, high: f64) -> Vec<f64> {
    let step = (high - low) / n.max(1) as f64;
    let mut values: Vec<f64> = (0..n).map(|i| low + (i as f64 + rng.random_range(0.4..0.6)) * step).collect();
    values.shuffle(rng);
    values
}

/// The range of the inputs of a checked function.
#[derive(Clone, Copy, Debug)]
pub enum Domain {
    /// −1.5 … 1.5, without numbers near 0 or near each other.
    Real,
    /// 0.3 … 2.3.
    Positive,
}

impl Domain {
    /// Values for inputs of `shapes`, all distinct.
    pub fn sample(self, rng: &mut Stream, shapes: &[Vec<usize>]) -> Vec<Vec<f64>> {
        let sizes: Vec<usize> = shapes.iter().map(|s| s.iter().product()).collect();
        let total = sizes.iter().sum();
        let mut values = match self {
            Domain::Real => distinct(rng, total, -1.5, 1.5),
            Domain::Positive => distinct(rng, total, 0.3, 2.3),
        };
        if matches!(self, Domain::Real) {
            // Move away from the kink at 0.
            values.iter_mut().for_each(|v| *v += v.signum() * 0.01);
        }
        let mut values = values.into_iter();
        sizes.iter().map(|&n| values.by_ref().take(n).collect()).collect()
    }
}

/// An array of indices.
pub struct Index {
    pub values: Vec<i32>,
    pub shape: Vec<usize>,
}

impl Index {
    /// Random indices below `length`. Some repeat if there are more than `length`.
    pub fn random(rng: &mut Stream, shape: &[usize], length: usize) -> Index {
        let n = shape.iter().product();
        let values = (0..n).map(|_| rng.random_range(0..length) as i32).collect();
        Index { values, shape: shape.to_vec() }
    }
}

/// Checks first- and second-order derivatives of `build` by central differences in double precision.
///
/// With y = `build(x)` and random w and u, let L = Σ w·(y + y²/2) and S = Σ u·∇L. The derivatives of L and S along
/// random directions are compared with differences of L and S.
pub fn check_derivatives(
    shapes: &[Vec<usize>],
    indices: &[Index],
    domain: Domain,
    seed: u64,
    build: impl Fn(&[Tensor], &[Tensor]) -> Tensor,
) {
    let mut rng = random(seed);
    let graph = Graph::new();
    let x: Vec<Tensor> = shapes.iter().map(|s| graph.input("x", s)).collect();
    let ints: Vec<Tensor> = indices.iter().map(|i| graph.int_rows("index", &i.shape)).collect();
    let y = build(&x, &ints);
    graph.check().unwrap();
    let w = graph.input("w", &y.shape());
    let u: Vec<Tensor> = shapes.iter().map(|s| graph.input("u", s)).collect();
    let loss = (&w * (&y + y.square() * 0.5)).sum();
    let first = grad(&loss, &x);
    let projected = first.iter().zip(&u).map(|(g, u)| (g * u).sum()).reduce(|a, b| a + b).unwrap();
    let second = grad(&projected, &x);
    let outputs: Vec<Tensor> = [loss, projected].into_iter().chain(first).chain(second).collect();
    let plan = Plan::compile(&graph, &outputs).unwrap();

    let device = Device::cpu_f64();
    let values = domain.sample(&mut rng, shapes);
    let mut fixed: Vec<Numbers> = vec![];
    for (i, index) in indices.iter().enumerate() {
        fixed.push(device.int_rows(&plan, shapes.len() + i, &index.values, None));
    }
    let size = y.shape().iter().product();
    fixed.push(device.tensor_f64(&uniform(&mut rng, size, -1.0, 1.0), &y.shape()));
    for shape in shapes {
        fixed.push(device.tensor_f64(&uniform(&mut rng, shape.iter().product(), -1.0, 1.0), shape));
    }
    let run = |values: &[Vec<f64>]| -> Vec<Vec<f64>> {
        let x = values.iter().zip(shapes).map(|(v, s)| device.tensor_f64(v, s));
        let inputs: Vec<Numbers> = x.chain(fixed.iter().cloned()).collect();
        device.run(&plan, &inputs).iter().map(|t| device.read_f64(t)).collect()
    };

    let at = run(&values);
    let (first, second) = at[2..].split_at(shapes.len());
    for _ in 0..3 {
        let direction: Vec<Vec<f64>> = values.iter().map(|v| uniform(&mut rng, v.len(), -1.0, 1.0)).collect();
        let difference = |output: usize| {
            let step = 1e-5;
            let moved = |by: f64| {
                let moved: Vec<Vec<f64>> = values
                    .iter()
                    .zip(&direction)
                    .map(|(v, d)| v.iter().zip(d).map(|(v, d)| v + by * d).collect())
                    .collect();
                run(&moved)[output][0]
            };
            (moved(step) - moved(-step)) / (2.0 * step)
        };
        let along = |gradient: &[Vec<f64>]| -> f64 {
            gradient.iter().flatten().zip(direction.iter().flatten()).map(|(g, d)| g * d).sum()
        };
        for (order, output, gradient) in [("first", 0, first), ("second", 1, second)] {
            let (exact, approximate) = (along(gradient), difference(output));
            let scale = 1.0 + exact.abs() + gradient.iter().flatten().map(|g| g.abs()).sum::<f64>();
            assert!(
                (exact - approximate).abs() < 1e-7 * scale,
                "{order} order: {exact} along a direction, {approximate} by differences; inputs {shapes:?}"
            );
        }
    }
}

/// Asserts that `a` and `b` agree to `tolerance`, relative to the largest number of `b` (but at least 1).
#[track_caller]
pub fn assert_close(a: &[f64], b: &[f64], tolerance: f64, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}: number of elements");
    let scale = b.iter().fold(1.0f64, |s, v| s.max(v.abs()));
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        let same = (x - y).abs() <= tolerance * scale || (x.is_nan() && y.is_nan()) || x == y;
        assert!(same, "{what}: element {i} is {x}, expected {y}");
    }
}
