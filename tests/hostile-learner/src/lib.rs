//! A learner that misbehaves as its option `mode` says; host and sandbox must survive every mode. It is written against
//! the bare contract, because the SDK would not let it misbehave.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, unreachable_pub)]

#[path = "../../hostile/src/misbehave.rs"]
mod misbehave;

use std::cell::Cell;

use misbehave::{hoard, recurse, spin, tirade};
use potstill_plugin_api::abi::GraphOp as Op;

wit_bindgen::generate!({ path: "../../plugin-api/wit", world: "learner-plugin" });

use exports::potstill::plugin::learner::*;
use potstill::plugin::graph::{gradients, operation, shape};
use potstill::plugin::{log, types};

struct Hostile;

/// A single linear layer without bias, in the mode that behaves.
struct Network {
    mode: String,
    inputs: u32,
    outputs: u32,
    seed: u64,
    /// A tensor from an earlier call.
    earlier: Cell<u32>,
}

export!(Hostile);

const MODES: &[&str] = &[
    "none",
    // Modes that misbehave in `make`, `name` and `parameters`.
    "make-error",
    "make-graph",
    "make-loop",
    "name-empty",
    "name-huge",
    "parameters-trap",
    "parameters-many",
    "parameters-large",
    "parameters-empty",
    "parameters-rank",
    "parameters-orthogonal",
    "parameters-names-huge",
    "parameters-names-empty",
    "parameters-names-control",
    "parameters-names-twice",
    "init-nan",
    "init-infinite",
    "init-negative",
    "lying-shape",
    "lying-name",
    // Modes that use numbers that are not tensors, in `forward`.
    "forged",
    "forged-zero",
    "forged-earlier",
    "forged-result",
    // Modes that build graphs that are too large.
    "endless-nodes",
    "endless-calls",
    "giant",
    "giant-dimension",
    "giant-nothing",
    "giant-rank",
    "giant-padding",
    "many-operands",
    "many-numbers",
    "deep-index",
    "wide-gradient",
    // Modes that use invalid operations.
    "unknown-operation",
    "wrong-arity",
    "least-integer",
    "nan-number",
    "gradient-of-result",
    "gradient-of-vector",
    // Modes that return wrong results.
    "wrong-outputs",
    "wrong-batch",
    "index-outputs",
    // Modes that any code could have.
    "forward-loop",
    "forward-trap",
    "forward-panic",
    "forward-memory",
    "forward-recursion",
    "forward-late-loop",
    // Modes that are wrong but not hostile, for the conformance checks.
    "mixes-rows",
    "idle-parameter",
    "layers-from-1",
    "drifts",
    "refuses-all",
    "no-gradient",
    "infinite-outputs",
];

impl Guest for Hostile {
    type Architecture = Network;

    fn describe() -> types::Description {
        types::Description {
            id: "test/hostile-learner-v1".into(),
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

impl Network {
    fn is(&self, mode: &str) -> bool {
        self.mode == mode
    }
}

impl GuestArchitecture for Network {
    fn make(space: Space, outputs: u32, settings: Vec<Setting>, seed: u64) -> Result<Architecture, String> {
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
            "make-loop" => spin(),
            "refuses-all" => return Err("not today".into()),
            _ => {}
        }
        let inputs = match space {
            Space::Box(space) => space.shape.iter().product(),
            Space::Image(shape) => shape.iter().product(),
            _ => return Err("numbers or pixels only".into()),
        };
        Ok(Architecture::new(Network { mode, inputs, outputs, seed, earlier: Cell::new(0) }))
    }

    fn name(&self) -> String {
        match self.mode.as_str() {
            "name-empty" => String::new(),
            "name-huge" => tirade(),
            _ => "linear".into(),
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        for _ in 0..100 {
            self.earlier.set(zero());
        }
        if self.is("parameters-trap") {
            core::arch::wasm32::unreachable()
        }
        let whole = Parameter {
            name: "weight".into(),
            shape: vec![self.inputs, self.outputs],
            init: Init::Normal(0.1),
            layer: u32::from(self.is("layers-from-1")),
        };
        let named = |name: String| Parameter { name, ..whole.clone() };
        let shaped = |shape: Vec<u32>| Parameter { shape, ..whole.clone() };
        let started = |init: Init| Parameter { init, ..whole.clone() };
        let also = |other: Parameter| vec![whole.clone(), other];
        match self.mode.as_str() {
            "parameters-many" => {
                (0..400_000).map(|i| Parameter { shape: vec![1], ..named(i.to_string()) }).collect()
            }
            "parameters-large" => vec![shaped(vec![1 << 15, 1 << 15])],
            "parameters-empty" => also(Parameter { shape: vec![3, 0], ..named("none".into()) }),
            "parameters-rank" => also(Parameter { shape: vec![1; 100], ..named("deep".into()) }),
            "parameters-orthogonal" => {
                vec![Parameter { init: Init::Orthogonal(1.0), ..shaped(vec![1 << 14, 1 << 13]) }]
            }
            "parameters-names-huge" => vec![named(tirade())],
            "parameters-names-empty" => vec![named(String::new())],
            "parameters-names-control" => vec![named("we\u{1b}[31might".into())],
            "parameters-names-twice" => also(whole.clone()),
            "init-nan" => vec![started(Init::Normal(f64::NAN))],
            "init-infinite" => vec![started(Init::Constant(f64::INFINITY))],
            "init-negative" => vec![started(Init::Normal(-1.0))],
            "lying-shape" => vec![shaped(vec![self.inputs + 1, self.outputs])],
            // Declare another number of parameters under the same name.
            "lying-name" if self.seed % 2 == 0 => also(named("another".into())),
            "idle-parameter" => also(Parameter { layer: 1, ..named("idle".into()) }),
            _ => vec![whole],
        }
    }

    fn forward(&self, parameters: Vec<u32>, x: u32) -> u32 {
        let batch = i64::from(shape(x)[0]);
        let weight = parameters[0];
        let flat = op(Op::Reshape, &[x], &[batch, i64::from(self.inputs)], &[]);
        let result = |x: u32| op(Op::Matmul, &[x, weight], &[], &[]);
        let indices =
            |shape: &[i64]| op(Op::Indices, &[], shape, &vec![0.0; shape.iter().product::<i64>() as usize]);
        match self.mode.as_str() {
            "forged" => op(Op::Add, &[flat, 4_000_000_000], &[], &[]),
            "forged-zero" => op(Op::Add, &[flat, 0], &[], &[]),
            "forged-earlier" => op(Op::Add, &[flat, self.earlier.get()], &[], &[]),
            "forged-result" => 4_000_000_000,
            "endless-nodes" => (0..).fold(result(flat), |x, _| op(Op::Tanh, &[x], &[], &[])),
            "endless-calls" => loop {
                op(Op::Tanh, &[flat], &[], &[]);
            },
            "giant" => op(Op::Broadcast, &[zero()], &[1 << 20, 1 << 20], &[]),
            "giant-dimension" => op(Op::Broadcast, &[zero()], &[i64::MAX, i64::MAX], &[]),
            "giant-nothing" => op(Op::Broadcast, &[zero()], &[0, i64::MAX, i64::MAX], &[]),
            "giant-rank" => op(Op::Reshape, &[zero()], &[1; 10_000], &[]),
            "giant-padding" => {
                let kernel = op(Op::Reshape, &[zero()], &[1, 1, 1, 1], &[]);
                op(Op::Conv2d, &[kernel, kernel], &[1 << 32, 1 << 31], &[])
            }
            "many-operands" => (0..).fold(flat, |joined, _| {
                let rows = op(Op::Slice, &[joined], &[0, 0, 1], &[]);
                op(Op::Concat, &vec![rows; 100_000], &[0], &[])
            }),
            "many-numbers" => {
                (0..).fold(flat, |_, i| op(Op::Values, &[], &[100_000], &vec![f64::from(i); 100_000]))
            }
            "deep-index" => {
                let mut index = indices(&[2, 3]);
                for _ in 0..9_000 {
                    index = op(Op::Permute, &[index], &[1, 0], &[]);
                    index = op(Op::Reshape, &[index], &[2, 3], &[]);
                }
                op(Op::OneHot, &[index], &[2], &[])
            }
            // The gradient of each operand is a separate node.
            "wide-gradient" => {
                let column = op(Op::Variable, &[result(flat)], &[], &[]);
                let wide: Vec<u32> = (0..40)
                    .map(|i| {
                        let scale = op(Op::Constant, &[], &[], &[f64::from(i)]);
                        let rows = op(Op::Mul, &[column, scale], &[], &[]);
                        op(Op::Concat, &[rows; 4000], &[0], &[])
                    })
                    .collect();
                let all = op(Op::Concat, &wide, &[0], &[]);
                gradients(op(Op::Sum, &[op(Op::Square, &[all], &[], &[])], &[], &[0.0]), &[column])[0]
            }
            "unknown-operation" => operation(9999, &[flat], &[], &[]),
            "wrong-arity" => op(Op::Matmul, &[flat], &[1], &[0.5]),
            "least-integer" => op(Op::Slice, &[flat], &[i64::MIN, i64::MIN, i64::MAX], &[]),
            "nan-number" => op(Op::Mul, &[result(flat), op(Op::Constant, &[], &[], &[f64::NAN])], &[], &[]),
            "gradient-of-result" => {
                gradients(op(Op::Sum, &[flat], &[], &[0.0]), &[op(Op::Tanh, &[flat], &[], &[])])[0]
            }
            "gradient-of-vector" => gradients(flat, &[weight])[0],
            "wrong-outputs" => op(Op::Pad, &[result(flat)], &[1, 0, 1], &[]),
            // This is right only for the single row of the host's first trace.
            "wrong-batch" => op(Op::Slice, &[result(flat)], &[0, 0, 1], &[]),
            "index-outputs" => indices(&[batch, i64::from(self.outputs)]),
            "forward-loop" => spin(),
            // The first trace succeeds.
            "forward-late-loop" if batch > 1 => spin(),
            "forward-trap" => core::arch::wasm32::unreachable(),
            "forward-panic" => panic!("layer {batch} of a network of none"),
            "forward-memory" => hoard(),
            "forward-recursion" => recurse(u64::from(x)) as u32,
            "mixes-rows" => {
                let mean = op(Op::Mean, &[flat], &[0], &[1.0]);
                result(op(Op::Sub, &[flat, mean], &[], &[]))
            }
            "drifts" => {
                // Compute another function for each seed, under the same name.
                let scale = op(Op::Constant, &[], &[], &[self.seed as f64]);
                result(op(Op::Mul, &[flat, scale], &[], &[]))
            }
            "no-gradient" => op(Op::StopGradient, &[result(flat)], &[], &[]),
            "infinite-outputs" => {
                op(Op::Reciprocal, &[op(Op::Mul, &[result(flat), zero()], &[], &[])], &[], &[])
            }
            _ => result(flat),
        }
    }
}
