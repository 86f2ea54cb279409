//! The resource limits of a plugin.
use std::time::Duration;

use potstill_plugin_api::LimitWishes;

/// The resources that a plugin may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Linear memory of an instance, in MiB.
    pub memory_mib: u32,
    /// Seconds for each of `reset`, `step`, `render`, `snapshot`, `restore`.
    pub step_seconds: f64,
    /// Seconds for each of `describe`, `options`, `make`, `spec`, and for starting the instance.
    pub start_seconds: f64,
}

impl Default for Limits {
    /// Generous limits: they stop a plugin that has gone wrong, even on a busy machine, and do not ration resources.
    fn default() -> Self {
        Limits { memory_mib: 256, step_seconds: 10.0, start_seconds: 30.0 }
    }
}

impl Limits {
    /// The most that a manifest can request.
    pub const CAP: Limits = Limits { memory_mib: 4096, step_seconds: 120.0, start_seconds: 300.0 };

    /// The defaults, changed by a manifest's requests up to the caps.
    pub fn granted(wishes: &LimitWishes) -> Self {
        let (default, cap) = (Limits::default(), Limits::CAP);
        Limits {
            memory_mib: wishes.memory_mib.unwrap_or(default.memory_mib).min(cap.memory_mib),
            step_seconds: wishes.step_seconds.unwrap_or(default.step_seconds).min(cap.step_seconds),
            start_seconds: wishes.start_seconds.unwrap_or(default.start_seconds).min(cap.start_seconds),
        }
    }
    /// The time that a call may take.
    pub(super) fn time(&self, limit: TimeLimit) -> Duration {
        Duration::from_secs_f64(self.seconds(limit))
    }

    pub(super) fn seconds(&self, limit: TimeLimit) -> f64 {
        match limit {
            TimeLimit::Start => self.start_seconds,
            TimeLimit::Step => self.step_seconds,
        }
    }
}

/// Which of the time limits applies to a call.
#[derive(Clone, Copy)]
pub(super) enum TimeLimit {
    /// [`Limits::start_seconds`].
    Start,
    /// [`Limits::step_seconds`].
    Step,
}

impl TimeLimit {
    /// The limit's name in a manifest.
    pub(super) fn name(self) -> &'static str {
        match self {
            TimeLimit::Start => "start-seconds",
            TimeLimit::Step => "step-seconds",
        }
    }
}
