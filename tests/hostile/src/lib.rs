//! A plugin that misbehaves in the way its option `mode` says; the sandbox must survive all of them. Written
//! against the bare contract, because the SDK would not let it.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, unreachable_pub)]

use std::hint::black_box;

wit_bindgen::generate!({ path: "../../plugin-api/wit", world: "environment-plugin" });

use exports::potstill::plugin::environment::*;
use potstill::plugin::{log, types};

struct Hostile;
struct Copies {
    n: usize,
    mode: String,
}

export!(Hostile);

const MODES: &[&str] = &[
    "none",
    "step-loop",
    "step-memory",
    "step-panic",
    "step-trap",
    "step-recursion",
    "step-locals",
    "step-error",
    "step-huge-error",
    "short-observations",
    "short-rewards",
    "nan-observation",
    "infinite-reward",
    "wrong-flag",
    "both-flags",
    "too-many-finals",
    "too-few-finals",
    "byte-observations",
    "make-trap",
    "make-loop",
    "make-error",
    "spec-overflow",
    "spec-nan-bound",
    "spec-empty",
    "reset-short",
    "render-error",
    "render-short",
    "restore-trap",
    "log-flood",
];

impl Guest for Hostile {
    type Environments = Copies;

    fn describe() -> types::Description {
        types::Description {
            id: "test/hostile-v1".into(),
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

fn transition(n: usize) -> Transition {
    Transition {
        observations: Observations::Float(vec![0.5; 4 * n]),
        rewards: vec![1.0; n],
        terminated: vec![0; n],
        truncated: vec![0; n],
        final_observations: Observations::Float(vec![]),
    }
}

fn spin() -> ! {
    let mut x = 1u64;
    loop {
        x = black_box(x.wrapping_mul(3));
    }
}

/// Fills the machine's stack.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    if depth == 0 { 0 } else { recurse(depth.wrapping_mul(3) | 1).wrapping_mul(depth) ^ 3 }
}

/// Fills the stack that a Rust program keeps in its linear memory, before the machine's.
#[inline(never)]
fn recurse_with_locals(depth: u64) -> u64 {
    let here = black_box([depth; 512]);
    if depth == u64::MAX { 0 } else { recurse_with_locals(black_box(depth + 1)).wrapping_add(here[3]) }
}

impl GuestEnvironments for Copies {
    fn make(num_envs: u32, settings: Vec<Setting>) -> Result<Environments, String> {
        std::panic::set_hook(Box::new(|panic| {
            log::write(log::Level::Error, panic.payload_as_str().unwrap_or_default())
        }));
        let mode = match settings.into_iter().next().map(|s| s.value) {
            Some(types::OptionValue::Text(mode)) => mode,
            _ => "none".into(),
        };
        match mode.as_str() {
            "make-trap" => core::arch::wasm32::unreachable(),
            "make-loop" => spin(),
            "make-error" => return Err("the moon is in the wrong phase".into()),
            _ => Ok(Environments::new(Copies { n: num_envs as usize, mode })),
        }
    }

    fn spec(&self) -> Spec {
        let shape = match self.mode.as_str() {
            "spec-overflow" => vec![u32::MAX; 8],
            "spec-empty" => vec![4, 0],
            _ => vec![4],
        };
        let low = if self.mode == "spec-nan-bound" { f32::NAN } else { f32::NEG_INFINITY };
        Spec {
            observation: Space::Box(types::BoxSpace { shape, low: vec![low], high: vec![f32::INFINITY] }),
            action: Space::Discrete(2),
            max_episode_steps: None,
            reward_threshold: None,
            max_return: None,
            autoreset: Autoreset::SameStep,
        }
    }

    fn reset(&self, _: Vec<u64>) -> Result<Observations, String> {
        let n = if self.mode == "reset-short" { self.n - 1 } else { self.n };
        Ok(Observations::Float(vec![0.0; 4 * n]))
    }

    fn step(&self, _: Actions) -> Result<Transition, String> {
        let n = self.n;
        let mut out = transition(n);
        match self.mode.as_str() {
            "step-loop" => spin(),
            "step-memory" => {
                let mut all = vec![];
                loop {
                    all.push(black_box(vec![1u8; 1 << 20]));
                }
            }
            "step-panic" => panic!("index {n} of a thing of three"),
            "step-trap" => core::arch::wasm32::unreachable(),
            "step-recursion" => out.rewards[0] = recurse(n as u64) as f32,
            "step-locals" => out.rewards[0] = recurse_with_locals(1) as f32,
            "step-error" => return Err("the wind has died".into()),
            "step-huge-error" => return Err("all work and no play\n".repeat(1 << 18)),
            "short-observations" => out.observations = Observations::Float(vec![0.5; 12]),
            "short-rewards" => out.rewards.truncate(1),
            "nan-observation" => {
                let mut values = vec![0.5; 4 * n];
                values[4 * (n - 1) + 3] = f32::NAN;
                out.observations = Observations::Float(values);
            }
            "infinite-reward" => out.rewards[1] = f32::INFINITY,
            "wrong-flag" => out.terminated[0] = 7,
            "both-flags" => {
                (out.terminated[0], out.truncated[0]) = (1, 1);
                out.final_observations = Observations::Float(vec![0.5; 4]);
            }
            "too-many-finals" => out.final_observations = Observations::Float(vec![0.5; 4]),
            "too-few-finals" => out.terminated[0] = 1,
            "byte-observations" => out.observations = Observations::Byte(vec![5; 4 * n]),
            "log-flood" => {
                for i in 0..100_000 {
                    log::write(log::Level::Warn, &format!("flood {i}\u{1b}[31m"));
                }
            }
            _ => {}
        }
        Ok(out)
    }

    fn render(&self, _: u32, _: RenderMode) -> Result<Frame, String> {
        match self.mode.as_str() {
            "render-short" => Ok(Frame::Rgb(Picture { width: 100, height: u32::MAX, pixels: vec![0; 30] })),
            _ => Err("nothing to draw".into()),
        }
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        (self.mode != "none").then(Vec::new)
    }

    fn restore(&self, _: Vec<u8>) -> Result<(), String> {
        match self.mode.as_str() {
            "restore-trap" => core::arch::wasm32::unreachable(),
            _ => Err("not a state of mine".into()),
        }
    }
}
