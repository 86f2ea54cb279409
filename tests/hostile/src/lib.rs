//! An environment that misbehaves as its option `mode` says; the sandbox must survive every mode. It is written against
//! the bare contract, because the SDK would not let it misbehave.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, unreachable_pub)]

mod misbehave;
mod walk;

use std::hint::black_box;

use misbehave::{hoard, recurse, spin, tirade};
use walk::Walk;

wit_bindgen::generate!({ path: "../../plugin-api/wit", world: "environment-plugin" });

use exports::potstill::plugin::environment::*;
use potstill::plugin::{log, types};

struct Hostile;
struct Copies {
    n: usize,
    mode: String,
    /// The environment of the modes whose results are well formed but wrong.
    walk: Option<Walk>,
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
    "picky",
    "touchy",
];

/// A marker whose last letter tests change in the component's bytes, to misbehave where no option reaches.
#[used]
static SWITCH: [u8; 17] = *b"potstill-switch=0";

fn switch() -> u8 {
    black_box(&SWITCH)[16]
}

/// Is called when the component is instantiated.
#[unsafe(no_mangle)]
pub extern "C" fn _initialize() {
    match switch() {
        b'l' => spin(),
        b't' => core::arch::wasm32::unreachable(),
        b'm' => hoard(),
        _ => {}
    }
}

impl Guest for Hostile {
    type Environments = Copies;

    fn describe() -> types::Description {
        let text = |text: &str| if switch() == b'h' { tirade() } else { text.into() };
        types::Description {
            id: text("test/hostile-v1"),
            version: text("0.1.0"),
            summary: text("Misbehaves."),
            api_version: text("0.1"),
        }
    }

    fn options() -> Vec<OptionSchema> {
        let modes = MODES.iter().chain(walk::MODES).map(|mode| (*mode).into()).collect();
        let mode = OptionSchema {
            name: "mode".into(),
            help: "How to misbehave.".into(),
            kind: types::OptionKind::Text(modes),
            default: types::OptionValue::Text("none".into()),
        };
        let number = OptionSchema {
            name: "number".into(),
            help: "When to.".into(),
            kind: types::OptionKind::Integer(types::IntegerRange { min: 0, max: 1_000_000 }),
            default: types::OptionValue::Integer(100),
        };
        let range = |min, max| types::OptionKind::Number(types::NumberRange { min, max });
        match switch() {
            b'o' => (0..20_000).map(|i| OptionSchema { name: i.to_string(), ..number.clone() }).collect(),
            b'n' => vec![OptionSchema { name: tirade(), ..number }],
            b'e' => vec![OptionSchema { help: tirade(), ..number }],
            b'i' => vec![OptionSchema {
                kind: range(f64::NEG_INFINITY, f64::INFINITY),
                default: types::OptionValue::Number(0.0),
                ..number
            }],
            _ => vec![mode, number],
        }
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

/// Overflows the stack that a Rust program has in linear memory, before that of the machine is full.
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
        let mut settings = settings.into_iter().map(|s| s.value);
        let (mode, number) = match (settings.next(), settings.next()) {
            (Some(types::OptionValue::Text(mode)), Some(types::OptionValue::Integer(number))) => {
                (mode, number)
            }
            _ => panic!("not the settings that were declared"),
        };
        match mode.as_str() {
            "make-trap" => core::arch::wasm32::unreachable(),
            "make-loop" => spin(),
            "make-error" => return Err("the moon is in the wrong phase".into()),
            "picky" if number == 1_000_000 => return Err("that many are too many".into()),
            "touchy" if number == 1_000_000 => core::arch::wasm32::unreachable(),
            _ => {}
        }
        let walk = walk::MODES.contains(&mode.as_str()).then(|| Walk::new(num_envs, &mode, number));
        Ok(Environments::new(Copies { n: num_envs as usize, mode, walk }))
    }

    fn spec(&self) -> Spec {
        if let Some(walk) = &self.walk {
            return walk.spec();
        }
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

    fn reset(&self, seeds: Vec<u64>) -> Result<Observations, String> {
        if let Some(walk) = &self.walk {
            return Ok(walk.reset(&seeds));
        }
        let n = if self.mode == "reset-short" { self.n - 1 } else { self.n };
        Ok(Observations::Float(vec![0.0; 4 * n]))
    }

    fn step(&self, actions: Actions) -> Result<Transition, String> {
        if let (Some(walk), Actions::Discrete(actions)) = (&self.walk, &actions) {
            return Ok(walk.step(actions));
        }
        let n = self.n;
        let mut out = transition(n);
        match self.mode.as_str() {
            "step-loop" => spin(),
            "step-memory" => hoard(),
            "step-panic" => panic!("index {n} of a thing of three"),
            "step-trap" => core::arch::wasm32::unreachable(),
            "step-recursion" => out.rewards[0] = recurse(n as u64) as f32,
            "step-locals" => out.rewards[0] = recurse_with_locals(1) as f32,
            "step-error" => return Err("the wind has died".into()),
            "step-huge-error" => return Err(tirade()),
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

    fn render(&self, index: u32, mode: RenderMode) -> Result<Frame, String> {
        if let Some(walk) = &self.walk {
            return walk.render(index, mode);
        }
        match self.mode.as_str() {
            "render-short" => Ok(Frame::Rgb(Picture { width: 100, height: u32::MAX, pixels: vec![0; 30] })),
            _ => Err("nothing to draw".into()),
        }
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        match &self.walk {
            Some(walk) => Some(walk.snapshot()),
            None => (self.mode != "none").then(Vec::new),
        }
    }

    fn restore(&self, state: Vec<u8>) -> Result<(), String> {
        if let Some(walk) = &self.walk {
            return walk.restore(&state);
        }
        match self.mode.as_str() {
            "restore-trap" => core::arch::wasm32::unreachable(),
            _ => Err("not a state of mine".into()),
        }
    }
}
