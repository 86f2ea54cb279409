use potstill_plugin_api::LimitWishes;

/// What a sandboxed plugin may take.
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
    /// Generous: they end what has gone wrong, they do not ration. A machine may also be busy with other work.
    fn default() -> Self {
        Limits { memory_mib: 256, step_seconds: 10.0, start_seconds: 30.0 }
    }
}

impl Limits {
    /// The most that a manifest can wish for.
    pub const CAP: Limits = Limits { memory_mib: 4096, step_seconds: 120.0, start_seconds: 300.0 };

    /// The defaults with a manifest's wishes, as far as the host grants them.
    pub fn granted(wishes: &LimitWishes) -> Self {
        let (default, cap) = (Limits::default(), Limits::CAP);
        Limits {
            memory_mib: wishes.memory_mib.unwrap_or(default.memory_mib).min(cap.memory_mib),
            step_seconds: wishes.step_seconds.unwrap_or(default.step_seconds).min(cap.step_seconds),
            start_seconds: wishes.start_seconds.unwrap_or(default.start_seconds).min(cap.start_seconds),
        }
    }
}
