//! Compares the graph's derivatives with those of burn's autodiff, which is nested for the second order.
mod common;

use burn_autodiff::Autodiff;
use burn_backend::{Backend, TensorData};
use burn_flex::{Flex, FlexDevice};
use burn_tensor::ops::ConvOptions;
use burn_tensor::{Int, TensorPrimitive, activation, module};
use common::meta::{BATCHES, Meta};
use common::{Domain, assert_close, random, uniform};
use potstill::engine::inner::Inner;
use potstill::engine::random::stream;
use potstill::execute::{Device, Plan};
use potstill::graph::{Graph, Tensor, grad};
use potstill_plugin_api::Space;
use proptest::prelude::*;
use rand::seq::SliceRandom;

type Once = Autodiff<Flex>;
type Twice = Autodiff<Once>;
type Burn<B, const D: usize> = burn_tensor::Tensor<B, D>;

/// Makes a burn tensor of `values` in double precision.
fn burn<B: Backend<Device = FlexDevice>, const D: usize>(values: &[f64], shape: [usize; D]) -> Burn<B, D> {
    let data = TensorData::new(values.to_vec(), shape);
    Burn::from_primitive(TensorPrimitive::Float(B::float_from_data(data, &FlexDevice)))
}

fn numbers<B: Backend, const D: usize>(tensor: Burn<B, D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Compares the value and the first and second derivatives of `ours` and `theirs`, both functions of two inputs.
fn compare<const A: usize, const B: usize, const C: usize>(
    name: &str,
    shapes: ([usize; A], [usize; B]),
    domain: Domain,
    seed: u64,
    ours: impl Fn(&Tensor, &Tensor) -> Tensor,
    theirs: impl Fn(Burn<Twice, A>, Burn<Twice, B>) -> Burn<Twice, C>,
) {
    let rng = &mut random(seed);
    let dims = [shapes.0.to_vec(), shapes.1.to_vec()];
    let x = domain.sample(rng, &dims);
    let u: Vec<Vec<f64>> = x.iter().map(|x| uniform(rng, x.len(), -1.0, 1.0)).collect();

    let graph = Graph::new();
    let inputs = [graph.input("a", &shapes.0), graph.input("b", &shapes.1)];
    let y = ours(&inputs[0], &inputs[1]);
    graph.check().unwrap();
    let w = uniform(rng, y.shape().iter().product(), -1.0, 1.0);
    let others = [graph.input("w", &y.shape()), graph.input("u", &shapes.0), graph.input("v", &shapes.1)];
    // Squared, so that linear functions also have a second derivative.
    let loss = (&others[0] * (&y + y.square())).sum();
    let first = grad(&loss, &inputs);
    let projected = (&first[0] * &others[1]).sum() + (&first[1] * &others[2]).sum();
    let second = grad(&projected, &inputs);
    let outputs: Vec<Tensor> = [y.clone()].into_iter().chain(first).chain(second).collect();
    let plan = Plan::compile(&graph, &outputs).unwrap();
    let device = Device::cpu_f64();
    let run = device.run(
        &plan,
        &[
            device.tensor_f64(&x[0], &shapes.0),
            device.tensor_f64(&x[1], &shapes.1),
            device.tensor_f64(&w, &y.shape()),
            device.tensor_f64(&u[0], &shapes.0),
            device.tensor_f64(&u[1], &shapes.1),
        ],
    );

    let a = burn::<Once, A>(&x[0], shapes.0).require_grad();
    let b = burn::<Once, B>(&x[1], shapes.1).require_grad();
    let (a2, b2) = (
        Burn::<Twice, A>::from_inner(a.clone()).require_grad(),
        Burn::<Twice, B>::from_inner(b.clone()).require_grad(),
    );
    let y2 = theirs(a2.clone(), b2.clone());
    let shape: [usize; C] = y2.dims();
    let value = numbers(y2.clone());
    let loss = ((y2.clone() + y2.clone() * y2) * burn::<Twice, C>(&w, shape)).sum();
    let gradients = loss.backward();
    let ga = a2.grad(&gradients).unwrap();
    let gb = b2.grad(&gradients).unwrap();
    let first = [numbers(ga.clone()), numbers(gb.clone())];
    let projected =
        (ga * burn::<Once, A>(&u[0], shapes.0)).sum() + (gb * burn::<Once, B>(&u[1], shapes.1)).sum();
    let gradients = projected.backward();
    let second = [
        a.grad(&gradients).map_or(vec![0.0; x[0].len()], numbers),
        b.grad(&gradients).map_or(vec![0.0; x[1].len()], numbers),
    ];
    let expected = [value].into_iter().chain(first).chain(second);
    for ((got, expected), what) in run.iter().zip(expected).zip(["y", "∂a", "∂b", "∂²a", "∂²b"]) {
        assert_close(&device.read_f64(got), &expected, 1e-11, &format!("{name}: {what}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn operations(m in 1..5usize, n in 1..5usize, seed: u64) {
        type Ours = fn(&Tensor, &Tensor) -> Tensor;
        type Theirs = fn(Burn<Twice, 2>, Burn<Twice, 2>) -> Burn<Twice, 2>;
        use Domain::{Positive, Real};
        let cases: [(&str, Domain, Ours, Theirs); 15] = [
            ("add", Real, |a, b| a + b, |a, b| a + b),
            ("sub", Real, |a, b| a - b, |a, b| a - b),
            ("mul", Real, |a, b| a * b, |a, b| a * b),
            ("div", Positive, |a, b| a / b, |a, b| a / b),
            ("neg", Real, |a, b| -a * b, |a, b| -a * b),
            ("tanh", Real, |a, b| a.tanh() * b, |a, b| a.tanh() * b),
            ("relu", Real, |a, b| a.relu() * b, |a, b| activation::relu(a) * b),
            ("exp", Real, |a, b| a.exp() * b, |a, b| a.exp() * b),
            ("log", Positive, |a, b| a.log() * b, |a, b| a.log() * b),
            ("sqrt", Positive, |a, b| a.sqrt() * b, |a, b| a.sqrt() * b),
            ("sigmoid", Real, |a, b| a.sigmoid() * b, |a, b| activation::sigmoid(a) * b),
            ("abs", Real, |a, b| a.abs() * b, |a, b| a.abs() * b),
            ("recip", Positive, |a, b| a.recip() * b, |a, b| a.recip() * b),
            ("powf", Positive, |a, b| a.powf(2.5) * b, |a, b| a.powf_scalar(2.5) * b),
            ("sum", Real, |a, b| a.sum_keep(&[1]) * b, |a, b| a.sum_dim(1) * b),
        ];
        for (name, domain, ours, theirs) in cases {
            compare(name, ([m, n], [m, n]), domain, seed, ours, theirs);
        }
        let wide = ([m, n], [1, n]);
        compare("broadcast", wide, Domain::Real, seed, |a, b| a * b.exp(), |a, b| a * b.exp());
        let shapes = ([m, n], [n, 3]);
        compare("matmul", shapes, Domain::Real, seed, |a, b| a.tanh().matmul(b), |a, b| a.tanh().matmul(b));
        let shapes = ([2, m, n], [2, n, m]);
        compare("batched matmul", shapes, Domain::Real, seed, |a, b| a.matmul(b).tanh(), |a, b| {
            a.matmul(b).tanh()
        });
        let shapes = ([m, n], [n, m]);
        compare("transpose", shapes, Domain::Real, seed, |a, b| a.transpose() * b, |a, b| a.transpose() * b);
        compare("reshape", shapes, Domain::Real, seed, |a, b| a.reshape(&[n, m]) * b, |a, b| {
            a.reshape([n, m]) * b
        });
        let log_softmax = |a: Burn<Twice, 2>| a.clone() - a.exp().sum_dim(1).log();
        let shapes = ([m, n], [m, n]);
        compare("log_softmax", shapes, Domain::Real, seed, |a, b| a.log_softmax(-1) * b, |a, b| {
            log_softmax(a) * b
        });
    }

    #[test]
    fn convolutions(
        (n, c, o) in (1..3usize, 1..3usize, 1..3usize),
        (kernel, extra) in (1..4usize, 0..4usize),
        (stride, padding) in (1..3usize, 0..2usize),
        seed: u64,
    ) {
        let size = kernel + extra;
        let shapes = ([n, c, size, size], [o, c, kernel, kernel]);
        compare(
            "conv2d",
            shapes,
            Domain::Real,
            seed,
            |x, w| x.conv2d(w, stride, padding).tanh(),
            |x, w| {
                let options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
                module::conv2d(x, w, None, options).tanh()
            },
        );
    }
}

/// A perceptron's meta-gradient through PPMO, written by hand on burn's tensors.
struct ByHand<'a> {
    meta: &'a Meta,
    relu: bool,
    inner: Inner,
}

impl ByHand<'_> {
    fn forward<B: Backend>(&self, p: &[Burn<B, 2>], x: Burn<B, 2>) -> Burn<B, 2> {
        let act = |h: Burn<B, 2>| if self.relu { activation::relu(h) } else { h.tanh() };
        let h = act(x.matmul(p[0].clone()) + p[1].clone());
        let h = act(h.matmul(p[2].clone()) + p[3].clone());
        h.matmul(p[4].clone()) + p[5].clone()
    }

    /// The instances that a step sees.
    fn batch(&self, k: usize, step: usize) -> burn_tensor::Tensor<Once, 1, Int> {
        let mut pass: Vec<i32> = (0..k as i32).collect();
        if let Some(size) = self.inner.instances {
            let batches = k / size;
            pass.shuffle(&mut stream(BATCHES, "pass", (step / batches) as u64));
            pass = pass[step % batches * size..][..size].to_vec();
        }
        let size = pass.len();
        burn_tensor::Tensor::from_data(TensorData::new(pass, [size]), &FlexDevice)
    }

    /// The loss, and its gradients for X, Y and log η.
    fn run(&self) -> (f64, [Vec<f64>; 3]) {
        let meta = self.meta;
        let [k, features] = meta.layout.shapes[0][..] else { panic!("rows of features") };
        let (rows, outputs) = (meta.rows, meta.outputs());
        let x = burn::<Once, 2>(&meta.values[0], [k, features]).require_grad();
        let y = burn::<Once, 2>(&meta.values[1], [k, outputs]).require_grad();
        let log_eta = burn::<Once, 2>(&meta.values[2], [1, 1]).require_grad();
        let phi: Vec<Burn<Once, 2>> = meta
            .fresh
            .iter()
            .zip(meta.student.parameters())
            .map(|(v, p)| match p.shape[..] {
                [n] => burn(v, [1, n]),
                [m, n] => burn(v, [m, n]),
                _ => panic!("a perceptron's parameters are matrices and vectors"),
            })
            .collect();

        let mut taught = phi;
        let mut moments: Vec<[Burn<Once, 2>; 2]> =
            taught.iter().map(|p| [p.zeros_like(), p.zeros_like()]).collect();
        for step in 0..self.inner.steps {
            let tracked: Vec<Burn<Twice, 2>> =
                taught.iter().map(|p| Burn::from_inner(p.clone()).require_grad()).collect();
            let seen = self.batch(k, step);
            let rows = |t: &Burn<Once, 2>| Burn::from_inner(t.clone().select(0, seen.clone()));
            let error = self.forward(&tracked, rows(&x)) - rows(&y);
            let gradients = (error.clone() * error).mean().backward();
            for ((p, tracked), moments) in taught.iter_mut().zip(&tracked).zip(&mut moments) {
                let moved = log_eta.clone().exp() * tracked.grad(&gradients).unwrap();
                let Some(lr) = self.inner.adam else {
                    *p = p.clone() - moved;
                    continue;
                };
                // This is algorithm 1 of Kingma & Ba, whose root the engine takes of 1e-20 more.
                let [m, v] = moments.clone();
                let m = m * 0.9 + moved.clone() * (1.0 - 0.9);
                let v = v * 0.999 + moved.clone() * moved * (1.0 - 0.999);
                let t = step as i32 + 1;
                // The engine's corrections are in single precision.
                let unbiased = [0.9f64, 0.999].map(|beta| f64::from((1.0 / (1.0 - beta.powi(t))) as f32));
                let root = (v.clone() * unbiased[1] + 1e-20).sqrt();
                *p = p.clone() - m.clone() * unbiased[0] * lr / (root + 1e-8);
                *moments = [m, v];
            }
        }

        let double = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let logits = self.forward(&taught, burn(&double(&meta.observations), [rows, features]));
        let policy = logits.clone() - logits.exp().sum_dim(1).log();
        let potstill::plugin::Actions::Discrete(indices) = &meta.actions else {
            panic!("of a categorical policy")
        };
        let actions = TensorData::new(indices.iter().map(|&i| i as i32).collect::<Vec<_>>(), [rows, 1]);
        let picked =
            policy.clone().gather(1, burn_tensor::Tensor::<Once, 2, Int>::from_data(actions, &FlexDevice));
        let ratio = (picked - burn(&double(&meta.log_probs), [rows, 1])).exp();
        let mut advantages = double(&meta.advantages);
        let mean = advantages.iter().sum::<f64>() / rows as f64;
        let deviation = (advantages.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / rows as f64).sqrt();
        advantages.iter_mut().for_each(|a| *a = (*a - mean) / (deviation + 1e-8));
        let advantages = burn::<Once, 2>(&advantages, [rows, 1]);
        let surrogate = ratio.clone() * advantages.clone();
        let clipped = ratio.clamp(0.8, 1.2) * advantages;
        let entropy = -(policy.clone().exp() * policy).sum_dim(1).mean();
        let loss = -surrogate.min_pair(clipped).mean() - entropy * 0.01;
        let gradients = loss.backward();
        let gradient = |t: &Burn<Once, 2>| numbers(t.grad(&gradients).unwrap());
        (numbers(loss.clone())[0], [gradient(&x), gradient(&y), gradient(&log_eta)])
    }
}

#[test]
fn meta_gradients_of_perceptrons() {
    for (seed, rows, relu) in [(1, 40, false), (2, 40, true), (3, 600, false), (4, 600, true)] {
        let activation = if relu { "relu" } else { "tanh" };
        let options = [("width", "16"), ("activation", activation)];
        let meta = Meta::new(("mlp", &options), &[6], 0, rows, seed);
        compare_by_hand(&meta, relu, Inner::default(), [1e-9, 1e-4]);
    }
}

/// Five inner steps, with Adam and without, on batches of the four instances and on all.
#[test]
fn meta_gradients_through_many_inner_steps() {
    let adam = Some(5e-3);
    for (seed, (adam, instances, relu)) in
        [(None, None, false), (adam, None, false), (adam, Some(2), false), (adam, Some(3), true)]
            .into_iter()
            .enumerate()
    {
        let inner = Inner { steps: 5, adam, instances };
        let activation = if relu { "relu" } else { "tanh" };
        let options = [("width", "16"), ("activation", activation), ("output-gain", "1")];
        let (action, sizes) = (Space::Discrete { n: 3 }, (&[6][..], 0, 40));
        let meta = Meta::with_inner("ppmo", inner, ("mlp", &options), action, sizes, 10 + seed as u64);
        // In single precision, Adam makes whole steps of small gradients, and of their errors.
        compare_by_hand(&meta, relu, inner, [1e-9, if adam.is_some() { 1e-3 } else { 1e-4 }]);
    }
}

/// Compares an update with the one by hand, in double precision and in single precision.
fn compare_by_hand(meta: &Meta, relu: bool, inner: Inner, tolerances: [f64; 2]) {
    let (loss, expected) = ByHand { meta, relu, inner }.run();
    let double = meta.run(&Device::cpu_f64(), &meta.values);
    let single = meta.run(&Device::cpu(2), &meta.values);
    assert!((double.loss - loss).abs() < 1e-11, "{} by the graph, {loss} by hand", double.loss);
    assert!((single.loss - loss).abs() < 1e-5);
    for (i, expected) in expected.iter().enumerate() {
        let largest = expected.iter().fold(0.0f64, |m, g| m.max(g.abs()));
        if inner.adam.is_some() && meta.layout.names[i] == "log_inner_lr" {
            // Adam takes steps of the same length for every η.
            assert!(largest < 1e-5 && double.gradient[i][0].abs() < 1e-5, "{largest}");
            continue;
        }
        assert!(largest > 1e-4, "gradient {i} is too small to tell anything");
        let scaled = |g: &[f64]| g.iter().map(|g| g / largest).collect::<Vec<_>>();
        let what = format!("{} of {} rows, {inner:?}", meta.layout.names[i], meta.rows);
        assert_close(&scaled(&double.gradient[i]), &scaled(expected), tolerances[0], &what);
        assert_close(&scaled(&single.gradient[i]), &scaled(expected), tolerances[1], &what);
    }
}
