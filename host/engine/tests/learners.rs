//! Compares meta-gradients of whole learners through the inner step with central differences.
mod common;

use common::meta::Meta;
use common::{assert_close, random, single_precision, uniform};
use potstill_engine::execute::{Device, Plan};
use potstill_engine::graph::Graph;
use potstill_plugin_api::Space;

/// Learners so small that central differences of the loss are accurate in double precision.
const NATURE: (&str, &[(&str, &str)]) =
    ("nature-cnn", &[("channels", "2,3,3"), ("hidden", "6"), ("output-gain", "1")]);
const IMPALA: (&str, &[(&str, &str)]) =
    ("impala-cnn", &[("channels", "3,2"), ("blocks", "1"), ("hidden", "5"), ("output-gain", "1")]);
const TRANSFORMER: (&str, &[(&str, &str)]) =
    ("transformer", &[("width", "6"), ("patch", "3"), ("output-gain", "1")]);

/// Returns whether the loss depends on trained tensor `i`.
fn matters(meta: &Meta, i: usize) -> bool {
    meta.layout.learned[i]
}

/// Compares the gradient with differences of the loss along random directions, for each trained tensor by itself and for
/// all together. Then compares single with double precision.
fn check(meta: &Meta) {
    let double = Device::cpu_f64();
    let at = meta.run(&double, &meta.values);
    let rng = &mut random(99);
    let meta_learned = meta.layout.meta_learned;
    for moved in (0..meta.values.len()).map(Some).chain([None]) {
        let of_critic = moved.is_some_and(|i| i >= meta_learned);
        let direction: Vec<Vec<f64>> = meta.values.iter().map(|v| uniform(rng, v.len(), -1.0, 1.0)).collect();
        let moves = |i: usize| moved.map_or(i < meta_learned, |m| m == i);
        let loss = |by: f64| {
            let values = meta.values.iter().zip(&direction).enumerate().map(|(i, (v, d))| {
                let by = if moves(i) && meta.layout.learned[i] { by } else { 0.0 };
                v.iter().zip(d).map(|(v, d)| v + by * d).collect()
            });
            let outcome = meta.run(&double, &values.collect::<Vec<Vec<f64>>>());
            if of_critic { outcome.value_loss } else { outcome.loss }
        };
        let step = 1e-5;
        let approximate = (loss(step) - loss(-step)) / (2.0 * step);
        let (mut exact, mut scale) = (0.0, 1e-3);
        for i in (0..meta.values.len()).filter(|&i| moves(i) && meta.layout.learned[i]) {
            for (g, d) in at.gradient[i].iter().zip(&direction[i]) {
                exact += g * d;
                scale += (g * d).abs();
            }
        }
        let what = moved.map_or("θ and ξ", |i| meta.layout.names[i].as_str());
        assert!(
            (exact - approximate).abs() < 1e-6 * scale,
            "{what}: {exact} by the graph, {approximate} by differences, scale {scale}"
        );
        // Parameters that are not learned have no gradient, and parts that the loss does not use do not matter.
        let idle = moved.is_some_and(|i| !matters(meta, i));
        assert!(idle || scale > 1e-3 + 1e-5, "{what} does not matter");
    }
    for device in single_precision(2) {
        let got = meta.run(&device, &meta.values);
        for (i, name) in meta.layout.names.iter().enumerate() {
            // The error is relative to the largest element.
            let largest = at.gradient[i].iter().fold(1e-6f64, |m, g| m.max(g.abs()));
            let scaled = |g: &[f64]| g.iter().map(|g| g / largest).collect::<Vec<_>>();
            let what = format!("{name} on {}", device.name());
            assert_close(&scaled(&got.gradient[i]), &scaled(&at.gradient[i]), 1e-3, &what);
        }
    }
}

#[test]
fn perceptrons_with_every_activation() {
    for (i, activation) in ["tanh", "relu", "gelu", "sigmoid", "identity"].into_iter().enumerate() {
        let options = [("width", "6"), ("activation", activation), ("output-gain", "1")];
        check(&Meta::new(("mlp", &options), &[5], 0, 13, 10 + i as u64));
    }
}

const SMALL: (&str, &[(&str, &str)]) = ("mlp", &[("width", "6"), ("output-gain", "1")]);

/// The layers before l are meta-learned with θ, up to direct PPO.
#[test]
fn perceptrons_with_an_encoder() {
    for encoder_layers in 1..=3 {
        let meta = Meta::new(SMALL, &[5], encoder_layers, 13, 20);
        if encoder_layers < 3 {
            check(&meta);
            continue;
        }
        // The inner step trains nothing, so the labels do not matter, but the encoder does.
        let outcome = meta.run(&Device::cpu_f64(), &meta.values);
        assert!(outcome.gradient[..3].iter().flatten().all(|&g| g == 0.0));
        assert!(outcome.gradient[3].iter().any(|&g| g != 0.0));
    }
}

#[test]
fn perceptrons_on_split_rows() {
    let meta = Meta::new(SMALL, &[5], 0, 600, 21);
    assert!(meta.update.plan().to_string().contains("600 rows in 3 shards"));
    check(&meta);
}

#[test]
fn every_objective() {
    // Gradient matching treats the parameters at which it compares gradients as constants, although all but the first of
    // them depend on X.
    let matching = "gradient-matching places=1";
    let all = [
        "ppmo",
        "a2c",
        "ppmo-kl",
        "unrolled",
        "hard-label",
        matching,
        "clone",
        "clone target=distribution",
        "clone data=offline",
        "clone inner-rates=3",
        "ppmo inner-rates=3",
        "ppmo anneal-entropy=true",
    ];
    for (i, objective) in all.into_iter().enumerate() {
        check(&Meta::of(objective, SMALL, &[5], 0, 13, 70 + i as u64));
        check(&Meta::of(objective, SMALL, &[5], 1, 600, 80 + i as u64));
    }
}

/// The labels of a Gaussian policy are means, and a standard deviation that all instances share. It has no hard labels.
#[test]
fn every_objective_of_continuous_actions() {
    let action = || Space::Box { shape: vec![2], low: vec![-1.0], high: vec![1.0] };
    let cloning = ["clone", "clone target=distribution"];
    let all = ["ppmo", "a2c", "ppmo-kl", "unrolled", "ppmo-as-published"].into_iter().chain(cloning);
    for (i, objective) in all.enumerate() {
        let seed = 90 + i as u64;
        let meta = Meta::with_actions(objective, SMALL, &[5], action(), 0, 13, seed);
        let shape = |name: &str| {
            let at = meta.layout.names.iter().position(|n| n == name).unwrap();
            meta.layout.shapes[at].clone()
        };
        assert_eq!((shape("y"), shape("log_std")), (vec![4, 2], vec![1, 2]));
        check(&meta);
        check(&Meta::with_actions(objective, SMALL, &[5], action(), 1, 600, 10 + seed));
    }
}

#[test]
fn nature_cnn() {
    check(&Meta::new(NATURE, &[2, 36, 37], 0, 5, 30));
    check(&Meta::new(NATURE, &[2, 36, 37], 2, 5, 31));
}

#[test]
fn impala() {
    check(&Meta::new(IMPALA, &[2, 8, 7], 0, 5, 40));
    check(&Meta::new(IMPALA, &[2, 8, 7], 1, 5, 41));
}

#[test]
fn transformer() {
    // Tokens are features, rows or patches.
    for observation in [&[5][..], &[5, 3], &[2, 6, 9]] {
        check(&Meta::new(TRANSFORMER, observation, 0, 7, 50));
        check(&Meta::new(TRANSFORMER, observation, 1, 7, 51));
    }
}

#[test]
fn convolutions_and_attention_on_split_rows() {
    for (learner, observation) in [(NATURE, &[1, 36, 36][..]), (IMPALA, &[1, 6, 6]), (TRANSFORMER, &[3, 2])] {
        let meta = Meta::new(learner, observation, 0, 520, 60);
        assert!(meta.update.plan().to_string().contains("520 rows in 3 shards"), "not split");
        let double = meta.run(&Device::cpu_f64(), &meta.values);
        let one = meta.run(&Device::cpu(1), &meta.values);
        let three = meta.run(&Device::cpu(3), &meta.values);
        assert_eq!(one.gradient, three.gradient);
        assert!((one.loss - double.loss).abs() < 1e-5);
    }
}

#[test]
fn optimizers_match_their_publications() {
    use potstill_engine::optimizer::{Adam, Optimizer};
    let adam = Optimizer::Adam(Adam { beta1: 0.9, beta2: 0.999, eps: 1e-5 });
    for optimizer in [adam, Optimizer::Sgd { momentum: 0.7 }] {
        let graph = Graph::new();
        let [value, gradient, first, second] =
            ["value", "gradient", "first", "second"].map(|n| graph.input(n, &[4]));
        let [lr, c1, c2] = ["lr", "c1", "c2"].map(|n| graph.input(n, &[]));
        let new = optimizer.step(&value, &gradient, [&first, &second], &lr, [&c1, &c2]);
        let plan = Plan::compile(&graph, &new).unwrap();
        let rng = &mut random(3);
        let (mut theta, mut m, mut v) = (uniform(rng, 4, -1.0, 1.0), vec![0.0; 4], vec![0.0; 4]);
        let mut state = [theta.clone(), m.clone(), v.clone()];
        let device = Device::cpu_f64();
        for step in 1..=50 {
            let g = uniform(rng, 4, -1.0, 1.0);
            let lr = 0.01 / step as f64;
            for i in 0..4 {
                if optimizer == adam {
                    // This is algorithm 1 of Kingma & Ba.
                    m[i] = 0.9 * m[i] + (1.0 - 0.9) * g[i];
                    v[i] = 0.999 * v[i] + (1.0 - 0.999) * g[i] * g[i];
                    let m_hat = m[i] / (1.0 - 0.9f64.powi(step));
                    let v_hat = v[i] / (1.0 - 0.999f64.powi(step));
                    theta[i] -= lr * m_hat / (v_hat.sqrt() + 1e-5);
                } else {
                    // This is torch.optim.SGD without dampening.
                    m[i] = 0.7 * m[i] + g[i];
                    theta[i] -= lr * m[i];
                }
            }
            let [c1, c2] = optimizer.corrections(step as u64);
            let x = |v: &[f64]| device.tensor_f64(v, &[4]);
            let s = |v: f64| device.tensor_f64(&[v], &[]);
            let inputs =
                [x(&state[0]), x(&g), x(&state[1]), x(&state[2]), s(lr), s(f64::from(c1)), s(f64::from(c2))];
            let results = device.run(&plan, &inputs);
            state = [0, 1, 2].map(|i| device.read_f64(&results[i]));
            for (got, expected) in state.iter().zip([&theta, &m, &v]) {
                // The bias corrections are in single precision.
                assert_close(got, expected, 1e-7, &format!("step {step}"));
            }
        }
    }
    assert_eq!(adam.corrections(1)[0], 1.0 / (1.0 - 0.9f64) as f32);
    assert_eq!(adam.corrections(u64::MAX), [1.0, 1.0]);
}

#[test]
fn clipping_by_the_joint_norm() {
    use potstill_engine::optimizer::clip_by_norm;
    let (a, b) = (vec![3.0, 0.0, -4.0], vec![12.0]);
    for (limit, scale) in [(0.5, 0.5 / (13.0 + 1e-6)), (13.0, 13.0 / (13.0 + 1e-6)), (14.0, 1.0)] {
        let graph = Graph::new();
        let inputs = [graph.input("a", &[3]), graph.input("b", &[])];
        let (clipped, norm) = clip_by_norm(&inputs, limit).unwrap();
        let plan = Plan::compile(&graph, &[clipped[0].clone(), clipped[1].clone(), norm]).unwrap();
        let device = Device::cpu_f64();
        let results = device.run(&plan, &[device.tensor_f64(&a, &[3]), device.tensor_f64(&b, &[])]);
        let scaled = |v: &[f64]| v.iter().map(|v| v * scale).collect::<Vec<_>>();
        for (got, expected) in results.iter().zip([scaled(&a), scaled(&b), vec![13.0]]) {
            assert_close(&device.read_f64(got), &expected, 1e-14, &format!("limit {limit}"));
        }
    }
    assert!(clip_by_norm(&[], 1.0).is_none());
}

/// Convolutions and wide layers are; the perceptrons of cart-pole and MuJoCo are not.
#[test]
fn what_is_worth_a_gpu() {
    let worth = |learner, observation: &[usize], rows| {
        let update = Meta::new(learner, observation, 0, rows, 1).update;
        eprintln!("{learner:?}: {} operations", update.plan().operations());
        update.is_worth_a_gpu()
    };
    assert!(!worth(("mlp", &[]), &[8], 1024));
    assert!(!worth(("mlp", &[]), &[17], 1024));
    assert!(worth(("mlp", &[("width", "512")]), &[17], 1024));
    assert!(worth(NATURE, &[4, 84, 84], 2));
}
