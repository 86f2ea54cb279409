//! A meta-objective that misbehaves as its option `mode` says; host and sandbox must survive every mode. It is written
//! against the bare contract, because the SDK would not let it misbehave.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, unreachable_pub)]

#[path = "../../hostile/src/misbehave.rs"]
mod misbehave;

use misbehave::{hoard, recurse, spin, tirade};
use potstill_plugin_api::abi::GraphOp as Op;

wit_bindgen::generate!({ path: "../../plugin-api/wit", world: "objective-plugin" });

use exports::potstill::plugin::objective::*;
use potstill::plugin::graph::{gradients, operation, shape};
use potstill::plugin::{log, network, types};

struct Hostile;

/// One inner step, and the mean log-probability as the loss, in the mode that behaves.
struct Loss {
    mode: String,
    task: Task,
}

export!(Hostile);

const MODES: &[&str] = &[
    "none",
    // Modes that misbehave in `make` and in the functions that describe the objective.
    "make-error",
    "make-graph",
    "make-network",
    "make-loop",
    "theta-trap",
    "theta-none",
    "theta-twice",
    "theta-many",
    "theta-large",
    "theta-all-large",
    "theta-wrong-shape",
    "theta-names-huge",
    "theta-names-control",
    "theta-init-nan",
    "theta-init-negative",
    "theta-not-positive",
    "columns-unknown",
    "columns-twice",
    "columns-huge",
    // Modes that misbehave in `inner`.
    "inner-few",
    "inner-many",
    "inner-shapes",
    "inner-indices",
    "inner-forged",
    "inner-loop",
    "inner-loop-of-calls",
    "inner-trap",
    "inner-memory",
    "inner-recursion",
    "inner-endless-steps",
    "apply-few",
    "apply-theta",
    "apply-forged",
    "apply-without-end",
    "gradient-of-result",
    // Modes that misbehave in `outer`.
    "outer-vector",
    "outer-indices",
    "outer-forged",
    "outer-loop",
    "outer-panic",
    "outer-memory",
    "metric-vector",
    "metric-forged",
    "metric-twice",
    "metric-of-the-host",
    "metric-names-huge",
    "metric-names-empty",
    "metric-names-control",
    "metrics-many",
    // Modes that are wrong but not hostile, for the conformance checks.
    "no-gradient",
    "nan-loss",
    "offline-advantages",
    "learns-nothing",
];

impl Guest for Hostile {
    type Instance = Loss;

    fn describe() -> types::Description {
        types::Description {
            id: "test/hostile-objective-v1".into(),
            version: "0.1.0".into(),
            summary: "Misbehaves.".into(),
            api_version: "0.1".into(),
        }
    }

    fn options() -> Vec<OptionSchema> {
        vec![OptionSchema {
            name: "mode".into(),
            help: "How to misbehave.".into(),
            kind: types::OptionKind::Text(MODES.iter().map(|mode| (*mode).into()).collect()),
            default: types::OptionValue::Text("none".into()),
        }]
    }
}

fn op(op: Op, inputs: &[u32], integers: &[i64], numbers: &[f64]) -> u32 {
    operation(op as u32, inputs, integers, numbers)
}

fn zero() -> u32 {
    op(Op::Constant, &[], &[], &[0.0])
}

fn mean(x: u32) -> u32 {
    op(Op::Mean, &[x], &[], &[0.0])
}

/// Takes a step of gradient descent on the mean squared error, with learning rate 1.
fn step(theta: &[u32], fresh: &[u32]) -> Vec<u32> {
    let error = op(Op::Sub, &[network::apply(fresh, theta[0]), theta[1]], &[], &[]);
    let loss = mean(op(Op::Square, &[error], &[], &[]));
    let slopes = gradients(loss, fresh);
    fresh
        .iter()
        .zip(slopes)
        .map(|(p, g)| op(Op::Sub, &[*p, op(Op::Mul, &[theta[2], g], &[], &[])], &[], &[]))
        .collect()
}

impl GuestInstance for Loss {
    fn make(task: Task, settings: Vec<Setting>) -> Result<Instance, String> {
        std::panic::set_hook(Box::new(|panic| {
            log::write(log::Level::Error, panic.payload_as_str().unwrap_or_default())
        }));
        let mode = match settings.into_iter().next().map(|s| s.value) {
            Some(types::OptionValue::Text(mode)) => mode,
            _ => "none".into(),
        };
        match mode.as_str() {
            "make-error" => return Err(tirade()),
            "make-graph" => drop(zero()),
            "make-network" => drop(network::entropy(1)),
            "make-loop" => spin(),
            _ => {}
        }
        Ok(Instance::new(Loss { mode, task }))
    }

    fn data(&self) -> DataSource {
        match self.mode.as_str() {
            "offline-advantages" => DataSource::Offline,
            _ => DataSource::Rollouts,
        }
    }

    fn meta_parameters(&self) -> Vec<MetaParameter> {
        let k = self.task.instances;
        let mut x = vec![k];
        if let Space::Box(space) = &self.task.observation {
            x.extend(&space.shape);
        }
        let learned = self.mode != "learns-nothing";
        let part = |name: &str, shape: Vec<u32>| MetaParameter {
            name: name.into(),
            shape,
            init: MetaInit::Normal(1.0),
            learned,
            positive: false,
        };
        let rate =
            MetaParameter { init: MetaInit::Constant(1.0), positive: true, ..part("inner_lr", vec![]) };
        let mut theta = vec![part("x", x), part("y", vec![k, self.task.outputs]), rate];
        match self.mode.as_str() {
            "theta-trap" => core::arch::wasm32::unreachable(),
            "theta-none" => return vec![],
            "theta-twice" => theta.push(theta[0].clone()),
            "theta-many" => theta.extend((0..400_000).map(|i| part(&format!("p{i}"), vec![1]))),
            "theta-large" => theta.push(part("large", vec![1 << 20, 1 << 20])),
            "theta-all-large" => theta.extend((0..64).map(|i| part(&format!("p{i}"), vec![1 << 27]))),
            "theta-wrong-shape" => theta[1].shape = vec![k + 1, self.task.outputs],
            "theta-names-huge" => theta.push(part(&tirade(), vec![1])),
            "theta-names-control" => theta.push(part("y\u{1b}[31my", vec![1])),
            "theta-init-nan" => theta[0].init = MetaInit::Normal(f64::NAN),
            "theta-init-negative" => theta[0].init = MetaInit::Normal(-1.0),
            "theta-not-positive" => theta[2].init = MetaInit::Constant(-1.0),
            _ => {}
        }
        theta
    }

    fn columns(&self) -> Vec<String> {
        let mut columns: Vec<String> = ["observations", "actions", "advantages"].map(String::from).into();
        match self.mode.as_str() {
            "columns-unknown" => columns.push("horoscopes\u{1b}[31m".into()),
            "columns-twice" => columns.push("actions".into()),
            "columns-huge" => columns.push(tirade()),
            _ => {}
        }
        columns
    }

    fn inner(&self, theta: Vec<u32>, fresh: Vec<u32>) -> Vec<u32> {
        let mut taught = match self.mode.as_str() {
            "inner-endless-steps" => (0..).fold(fresh.clone(), |phi, _| {
                let next = step(&theta, &phi);
                next.into_iter().map(|p| op(Op::Variable, &[p], &[], &[])).collect()
            }),
            _ => step(&theta, &fresh),
        };
        match self.mode.as_str() {
            "inner-few" => drop(taught.pop()),
            "inner-many" => taught.push(taught[0]),
            "inner-shapes" => taught.reverse(),
            "inner-indices" => {
                for tensor in &mut taught {
                    let shape: Vec<i64> = shape(*tensor).into_iter().map(i64::from).collect();
                    *tensor =
                        op(Op::Indices, &[], &shape, &vec![0.0; shape.iter().product::<i64>() as usize]);
                }
            }
            "inner-forged" => taught[0] = 4_000_000_000,
            "inner-loop" => spin(),
            "inner-loop-of-calls" => loop {
                shape(theta[0]);
            },
            "inner-trap" => core::arch::wasm32::unreachable(),
            "inner-memory" => hoard(),
            "inner-recursion" => taught[0] = recurse(u64::from(taught[0])) as u32,
            "apply-few" => drop(network::apply(&fresh[1..], theta[0])),
            "apply-theta" => drop(network::apply(&vec![theta[0]; fresh.len()], theta[0])),
            "apply-forged" => drop(network::apply(&fresh, 4_000_000_000)),
            "apply-without-end" => loop {
                network::apply(&fresh, theta[0]);
            },
            "gradient-of-result" => {
                let y = op(Op::Tanh, &[theta[0]], &[], &[]);
                drop(gradients(mean(y), &[y]));
            }
            _ => {}
        }
        taught
    }

    fn outer(&self, judged: Judged) -> Outcome {
        let [observations, actions, advantages] = judged.columns[..] else { panic!("three columns") };
        let outputs = network::apply(&judged.taught, observations);
        let log_prob = network::log_probability(outputs, actions);
        let weighted = op(Op::Mul, &[log_prob, advantages], &[], &[]);
        let mut loss = op(Op::Negate, &[mean(weighted)], &[], &[]);
        let index = || op(Op::Indices, &[], &[], &[0.0]);
        let metric = |name: &str| Metric { name: name.into(), value: loss };
        let mut metrics = vec![metric("policy_loss")];
        match self.mode.as_str() {
            "metric-vector" => metrics[0].value = log_prob,
            "metric-forged" => metrics[0].value = 4_000_000_000,
            "metric-twice" => metrics.push(metric("policy_loss")),
            "metric-of-the-host" => metrics.push(metric("value_loss")),
            "metric-names-huge" => metrics.push(metric(&tirade())),
            "metric-names-empty" => metrics.push(metric("")),
            "metric-names-control" => metrics.push(metric("policy\u{1b}[31mloss")),
            "metrics-many" => metrics.extend((0..100_000).map(|i| metric(&format!("m{i}")))),
            _ => {}
        }
        match self.mode.as_str() {
            "outer-vector" => loss = log_prob,
            "outer-indices" => loss = index(),
            "outer-forged" => loss = 4_000_000_000,
            "outer-loop" => spin(),
            "outer-panic" => panic!("{} columns of a batch of none", judged.columns.len()),
            "outer-memory" => hoard(),
            "no-gradient" => loss = op(Op::StopGradient, &[loss], &[], &[]),
            "nan-loss" => {
                let nothing = op(Op::Mul, &[loss, zero()], &[], &[]);
                loss = op(
                    Op::Logarithm,
                    &[op(Op::Sub, &[nothing, op(Op::Constant, &[], &[], &[1.0])], &[], &[])],
                    &[],
                    &[],
                );
            }
            _ => {}
        }
        Outcome { loss, metrics }
    }
}
