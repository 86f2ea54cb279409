//! Compares the update through a loop of inner steps with one graph of all steps, with finite differences, and with itself
//! where states are computed anew.
mod common;

use common::meta::{Meta, Outcome};
use common::{assert_close, random, uniform};
use potstill_engine::execute::Device;
use potstill_engine::inner::Inner;
use potstill_plugin_api::Space;

const SMALL: (&str, &[(&str, &str)]) = ("mlp", &[("width", "6"), ("output-gain", "1")]);
const RELU: (&str, &[(&str, &str)]) =
    ("mlp", &[("width", "6"), ("activation", "relu"), ("output-gain", "1")]);

fn adam(steps: usize, instances: Option<usize>) -> Inner {
    Inner { steps, adam: Some(5e-3), instances }
}

fn motors() -> Space {
    Space::Box { shape: vec![2], low: vec![-1.0], high: vec![1.0] }
}

/// The gradient of trained tensor `name`.
fn gradient<'o>(meta: &Meta, outcome: &'o Outcome, name: &str) -> &'o [f64] {
    &outcome.gradient[meta.layout.names.iter().position(|n| n == name).unwrap()]
}

/// The loop of `ppmo` steps is the objective `unrolled`, which traces all steps in one graph.
#[test]
fn a_loop_equals_one_graph_of_all_steps() {
    let discrete = || Space::Discrete { n: 3 };
    for (seed, (action, learner, encoder_layers, steps)) in [
        (discrete(), SMALL, 0, 2),
        (discrete(), SMALL, 0, 7),
        (discrete(), RELU, 1, 5),
        (discrete(), SMALL, 2, 3),
        (motors(), SMALL, 0, 4),
        (motors(), SMALL, 1, 4),
    ]
    .into_iter()
    .enumerate()
    {
        let sizes = (&[5][..], encoder_layers, 13);
        let inner = Inner { steps, ..Inner::default() };
        let make = |objective: &str, inner: Inner| {
            Meta::with_inner(objective, inner, learner, action.clone(), sizes, seed as u64)
        };
        let looped = make("ppmo", inner);
        let mut unrolled = make(&format!("unrolled steps={steps}"), Inner::default());
        // Both take the same steps: all rates of the unrolled steps are 1.
        for (name, value) in unrolled.layout.names.iter().zip(&mut unrolled.values) {
            match looped.layout.names.iter().position(|n| n == name) {
                Some(i) => value.clone_from(&looped.values[i]),
                None => value.fill(0.0),
            }
        }
        unrolled.fresh.clone_from(&looped.fresh);
        unrolled.observations.clone_from(&looped.observations);
        unrolled.actions = looped.actions.clone();
        for (to, from) in [
            (&mut unrolled.log_probs, &looped.log_probs),
            (&mut unrolled.advantages, &looped.advantages),
            (&mut unrolled.returns, &looped.returns),
        ] {
            to.clone_from(from);
        }
        for (device, tolerance) in [(Device::cpu_f64(), 1e-11), (Device::cpu(1), 1e-5)] {
            let got = looped.run(&device, &looped.values);
            let expected = unrolled.run(&device, &unrolled.values);
            let what = format!("{steps} steps, {encoder_layers} layers of an encoder, {}", device.name());
            assert!((got.loss - expected.loss).abs() < tolerance, "{what}: {} {}", got.loss, expected.loss);
            for name in &looped.layout.names {
                let (got, expected) = (gradient(&looped, &got, name), gradient(&unrolled, &expected, name));
                let largest = expected.iter().fold(1e-9f64, |m, g| m.max(g.abs()));
                assert!(largest > 1e-5, "{what}: {name} does not matter");
                let scaled = |g: &[f64]| g.iter().map(|g| g / largest).collect::<Vec<_>>();
                assert_close(&scaled(got), &scaled(expected), tolerance, &format!("{what}: {name}"));
            }
        }
    }
}

/// The gradient of the loss along a random direction, for each part of θ, each parameter of ξ, and all together.
#[test]
fn the_gradient_through_a_loop_agrees_with_finite_differences() {
    let discrete = Space::Discrete { n: 3 };
    let cases = [
        ("ppmo", discrete.clone(), adam(5, None), SMALL, 0),
        ("ppmo", discrete.clone(), adam(5, Some(2)), SMALL, 0),
        ("ppmo", discrete.clone(), adam(6, Some(3)), SMALL, 1),
        ("ppmo inner-rates=4", discrete.clone(), adam(3, Some(2)), SMALL, 0),
        ("ppmo", discrete.clone(), Inner { steps: 5, adam: None, instances: Some(1) }, SMALL, 0),
        ("clone data=offline", discrete.clone(), adam(5, Some(2)), SMALL, 0),
        ("hard-label", discrete.clone(), adam(4, Some(2)), SMALL, 0),
        ("unrolled steps=2", discrete, adam(3, Some(2)), SMALL, 1),
        ("ppmo", motors(), adam(5, Some(2)), SMALL, 1),
        ("a2c", motors(), Inner { steps: 4, adam: None, instances: Some(3) }, SMALL, 0),
    ];
    let device = Device::cpu_f64();
    for (seed, (objective, action, inner, learner, encoder_layers)) in cases.into_iter().enumerate() {
        let sizes = (&[5][..], encoder_layers, 13);
        let meta = Meta::with_inner(objective, inner, learner, action, sizes, 60 + seed as u64);
        let at = meta.run(&device, &meta.values);
        let rng = &mut random(99);
        let learned: Vec<usize> = (0..meta.layout.meta_learned).filter(|&i| meta.layout.learned[i]).collect();
        for moved in learned.iter().map(|i| vec![*i]).chain([learned.clone()]) {
            let direction: Vec<Vec<f64>> =
                meta.values.iter().map(|v| uniform(rng, v.len(), -1.0, 1.0)).collect();
            let loss = |by: f64| {
                let mut values = meta.values.clone();
                for &i in &moved {
                    values[i].iter_mut().zip(&direction[i]).for_each(|(v, d)| *v += by * d);
                }
                meta.run(&device, &values).loss
            };
            // Adam's first step is the sign of the gradient, so that the loss has a steep place where one crosses 0.
            let step = 1e-6;
            let approximate = (loss(step) - loss(-step)) / (2.0 * step);
            let products = moved.iter().flat_map(|&i| at.gradient[i].iter().zip(&direction[i]));
            let (exact, scale) =
                products.fold((0.0, 1e-3), |(sum, scale), (g, d)| (sum + g * d, scale + (g * d).abs()));
            let names: Vec<&str> = moved.iter().map(|&i| meta.layout.names[i].as_str()).collect();
            let what = format!("{objective} {inner:?}, {names:?}");
            assert!(
                (exact - approximate).abs() < 2e-6 * scale,
                "{what}: {exact} by the graph, {approximate} by differences, scale {scale}"
            );
        }
        let of_x = gradient(&meta, &at, "x").iter().fold(0.0f64, |m, g| m.max(g.abs()));
        assert!(of_x > 1e-4, "{objective} {inner:?}: X does not matter");
    }
}

/// States that are computed anew, on any number of threads, are those that were kept.
#[test]
fn states_that_are_computed_anew_give_the_same_bits() {
    for seed in 0..3 {
        for (inner, encoder_layers) in [(adam(11, Some(3)), 0), (Inner { steps: 10, ..Inner::default() }, 1)]
        {
            let make = || {
                let sizes = (&[5][..], encoder_layers, 600);
                Meta::with_inner("ppmo", inner, SMALL, Space::Discrete { n: 3 }, sizes, seed)
            };
            let kept = make();
            let mut anew = make();
            anew.update = anew.update.keeping(0);
            assert!(anew.update.bytes_of_states() < kept.update.bytes_of_states());
            let expected = kept.run(&Device::cpu(1), &kept.values);
            for (meta, threads) in [(&anew, 1), (&anew, 3), (&kept, 3)] {
                let got = meta.run(&Device::cpu(threads), &meta.values);
                assert_eq!(got.gradient, expected.gradient, "{inner:?}, {threads} threads");
                assert_eq!((got.loss, got.value_loss), (expected.loss, expected.value_loss));
            }
        }
    }
}

/// Units that never fire have a gradient of exactly 0, where Adam's root alone would have an infinite derivative.
#[test]
fn dead_units_have_finite_gradients() {
    for instances in [None, Some(2)] {
        let inner = adam(20, instances);
        let sizes = (&[5][..], 0, 13);
        let mut meta = Meta::with_inner("ppmo", inner, RELU, Space::Discrete { n: 3 }, sizes, 8);
        // The biases of the first layer switch two of its units off; all others are alive.
        meta.fresh[1][..2].fill(-100.0);
        for device in [Device::cpu(1), Device::cpu_f64()] {
            let outcome = meta.run(&device, &meta.values);
            assert!(outcome.loss.is_finite());
            assert!(outcome.gradient.iter().flatten().all(|g| g.is_finite()), "{:?}", outcome.gradient);
            assert!(gradient(&meta, &outcome, "x").iter().any(|g| g.abs() > 1e-6));
        }
        // A learner whose every unit is dead is taught nothing but the last bias.
        meta.fresh[1].fill(-100.0);
        let outcome = meta.run(&Device::cpu(1), &meta.values);
        assert!(outcome.gradient.iter().flatten().all(|g| g.is_finite()), "{:?}", outcome.gradient);
        assert!(gradient(&meta, &outcome, "x").iter().all(|g| *g == 0.0));
    }
}
