//! A random walk that keeps the contract, or violates it silently, with results that are well formed but wrong.
use std::cell::{Cell, RefCell};

use crate::exports::potstill::plugin::environment::*;
use crate::potstill::plugin::types;

/// The number of steps in an episode, which is also the maximum return.
const LIMIT: u32 = 40;
/// The first bytes of a snapshot.
const MARK: u8 = 0xa7;

/// The position of one walker.
#[derive(Clone, Copy, Default)]
struct Walker {
    random: u64,
    place: i16,
    steps: u16,
}

pub struct Walk {
    mode: String,
    /// The number of steps after which `walk-later` fails, and the number of steps taken.
    last: i64,
    steps: Cell<i64>,
    walkers: RefCell<Vec<Walker>>,
}

pub const MODES: &[&str] = &[
    "walk",
    "walk-unseeded",
    "walk-one-seed",
    "walk-crowded",
    "walk-out-of-bounds",
    "walk-overtime",
    "walk-unlimited",
    "walk-terminates-at-the-limit",
    "walk-too-rich",
    "walk-easy",
    "walk-amnesia",
    "walk-restores-anything",
    "walk-restore-trap",
    "walk-render-moves",
    "walk-render-trap",
    "walk-spec-drifts",
    "walk-fragile",
    "walk-later",
];

impl Walker {
    /// Draws from SplitMix64.
    fn noise(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 60
    }

    fn start(&mut self) {
        (self.place, self.steps) = (self.noise() as i16 - 8, 0);
    }
}

impl Walk {
    pub fn new(n: u32, mode: &str, last: i64) -> Self {
        let walkers = RefCell::new(vec![Walker::default(); n as usize]);
        Walk { mode: mode.into(), last, steps: Cell::new(0), walkers }
    }

    fn is(&self, mode: &str) -> bool {
        self.mode == mode
    }

    fn see(&self, walker: &Walker) -> [f32; 2] {
        let place = f32::from(walker.place) / 50.0;
        let far = if self.is("walk-out-of-bounds") && walker.steps == 7 { 1.5 } else { place };
        [far, f32::from(walker.steps) / LIMIT as f32]
    }

    pub fn spec(&self) -> Spec {
        let n = self.walkers.borrow().len() as u32;
        Spec {
            observation: Space::Box(types::BoxSpace {
                shape: vec![2],
                low: vec![-1.0, 0.0],
                high: vec![1.0],
            }),
            action: Space::Discrete(if self.is("walk-spec-drifts") { n + 1 } else { 3 }),
            max_episode_steps: (!self.is("walk-unlimited")).then_some(LIMIT),
            reward_threshold: Some(if self.is("walk-easy") { 0.5 } else { 60.0 }),
            max_return: Some(if self.is("walk-too-rich") { 0.5 } else { 80.0 }),
            autoreset: Autoreset::SameStep,
        }
    }

    pub fn reset(&self, seeds: &[u64]) -> Observations {
        let mut walkers = self.walkers.borrow_mut();
        for (walker, seed) in walkers.iter_mut().zip(seeds) {
            match self.mode.as_str() {
                "walk-unseeded" => {}
                "walk-one-seed" => walker.random = 1,
                _ => walker.random = *seed,
            }
            walker.start();
        }
        Observations::Float(walkers.iter().flat_map(|w| self.see(w)).collect())
    }

    pub fn step(&self, actions: &[u32]) -> Transition {
        self.steps.set(self.steps.get() + 1);
        if self.is("walk-later") && self.steps.get() > self.last {
            panic!("the floor gives way after {} steps", self.last)
        }
        let mut walkers = self.walkers.borrow_mut();
        let crowd = if self.is("walk-crowded") { walkers.len() as i16 } else { 0 };
        let mut out = Transition {
            observations: Observations::Float(vec![]),
            rewards: vec![],
            terminated: vec![],
            truncated: vec![],
            final_observations: Observations::Float(vec![]),
        };
        let (mut seen, mut last) = (vec![], vec![]);
        for (walker, action) in walkers.iter_mut().zip(actions) {
            if self.is("walk-fragile") && *action == 2 {
                core::arch::wasm32::unreachable()
            }
            let noise = (walker.noise() % 3) as i16 - 1;
            walker.place = (walker.place + *action as i16 - 1 + noise + crowd).clamp(-50, 50);
            walker.steps += 1;
            let fallen = walker.place.abs() == 50;
            let late = match self.mode.as_str() {
                "walk-unlimited" => false,
                "walk-overtime" => u32::from(walker.steps) > LIMIT,
                _ => u32::from(walker.steps) == LIMIT,
            };
            let fallen = fallen || late && self.is("walk-terminates-at-the-limit");
            out.rewards.push(1.0 - f32::from(walker.place.abs()) / 50.0);
            out.terminated.push(u8::from(fallen));
            out.truncated.push(u8::from(late && !fallen));
            if fallen || late {
                last.extend(self.see(walker));
                walker.start();
            }
            seen.extend(self.see(walker));
        }
        (out.observations, out.final_observations) = (Observations::Float(seen), Observations::Float(last));
        out
    }

    pub fn render(&self, index: u32, mode: RenderMode) -> Result<Frame, String> {
        let walker = &mut self.walkers.borrow_mut()[index as usize];
        match self.mode.as_str() {
            "walk-render-moves" => drop(walker.noise()),
            "walk-render-trap" => core::arch::wasm32::unreachable(),
            _ => {}
        }
        match mode {
            RenderMode::Text => Ok(Frame::Text(format!("at {}", walker.place))),
            RenderMode::Rgb => Err("only text is drawn".into()),
        }
    }

    pub fn snapshot(&self) -> Vec<u8> {
        let mut state = vec![MARK];
        for walker in &*self.walkers.borrow() {
            let random = if self.is("walk-amnesia") { 0 } else { walker.random };
            state.extend(random.to_le_bytes());
            state.extend(walker.place.to_le_bytes());
            state.extend(walker.steps.to_le_bytes());
        }
        state
    }

    pub fn restore(&self, state: &[u8]) -> Result<(), String> {
        let mut walkers = self.walkers.borrow_mut();
        if state.first() != Some(&MARK) || state.len() != 1 + 12 * walkers.len() {
            match self.mode.as_str() {
                "walk-restore-trap" => core::arch::wasm32::unreachable(),
                "walk-restores-anything" => return Ok(()),
                _ => return Err("not a state of this walk".into()),
            }
        }
        for (walker, bytes) in walkers.iter_mut().zip(state[1..].chunks_exact(12)) {
            let (random, rest) = bytes.split_at(8);
            let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
            walker.random = number(random);
            (walker.place, walker.steps) = (number(&rest[..2]) as i16, number(&rest[2..]) as u16);
        }
        Ok(())
    }
}
