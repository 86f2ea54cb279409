//! The wasmtime engine that all sandboxed plugins share, with its clock and its cache.
use std::path::Path;
use std::thread;
use std::time::Duration;

use potstill_plugin_api::Role;
use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Config, Engine};

use super::cache::Cache;
use super::compile;
use super::encode::encode;
use crate::error::not_started;

/// The engine that all sandboxed plugins of a registry share.
pub(crate) struct Sandbox {
    pub(super) engine: Engine,
    cache: Option<Cache>,
}

/// The interval at which the clock of the deadlines ticks.
const TICK: Duration = Duration::from_millis(10);
/// The size of the stack for a plugin's calls, in KiB.
pub(super) const STACK_KIB: usize = 512;
/// The size of the stack for the clock, which only counts and sleeps.
const CLOCK_STACK: usize = 64 << 10;

impl Sandbox {
    /// Creates the engine and starts its clock, a thread that ends with the engine.
    ///
    /// # Errors
    /// This machine cannot run compiled WebAssembly, or cannot start a thread.
    pub(crate) fn new() -> Result<Self, String> {
        let engine = engine().map_err(|e| format!("{e:#}"))?;
        let weak = engine.weak();
        thread::Builder::new()
            .name("potstill-sandbox-clock".into())
            .stack_size(CLOCK_STACK)
            .spawn(move || {
                while let Some(engine) = weak.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    thread::sleep(TICK);
                }
            })
            .map_err(|e| not_started("thread", &e))?;
        let cache = Cache::open(&engine);
        Ok(Sandbox { engine, cache })
    }

    /// The folder of compiled components, if they are cached.
    pub(crate) fn cache(&self) -> Option<&Path> {
        self.cache.as_ref().map(Cache::folder)
    }

    /// The number of ticks in `seconds`, plus one for the tick in progress.
    pub(super) fn ticks(seconds: f64) -> u64 {
        (seconds / TICK.as_secs_f64()).ceil() as u64 + 1
    }

    /// Compiles a component, or a core module that carries the contract's metadata. Takes the code from the cache if it is
    /// there.
    ///
    /// # Errors
    /// `wasm` is neither, or would take too long to compile.
    pub(crate) fn compile(&self, wasm: &[u8]) -> Result<Component, String> {
        let hash = Sha256::digest(wasm).into();
        if let Some(code) = self.cache.as_ref().and_then(|cache| cache.get(&hash)) {
            // SAFETY: the bytes are the result of `serialize` below, for this version and configuration of the engine: the
            // cache reads only files that carry the tag of this user's key, which covers the hash of plugin, engine and
            // configuration.
            if let Ok(component) = unsafe { Component::deserialize(&self.engine, code) } {
                return Ok(component);
            }
        }
        let component = compile::compile(&self.engine, &encode(&self.engine, wasm)?)?;
        if let Some(cache) = &self.cache
            && let Ok(code) = component.serialize()
        {
            cache.put(&hash, &code);
        }
        Ok(component)
    }
}

/// An engine for plugins, without a clock.
///
/// # Errors
/// This machine cannot run compiled WebAssembly.
pub(super) fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .max_wasm_stack(STACK_KIB << 10)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(false);
    Engine::new(&config)
}

/// The role whose interface a component exports.
///
/// # Errors
/// It is not a component of the contract.
pub(crate) fn role_of(component: &Component) -> Result<Role, String> {
    let version = potstill_plugin_api::API_VERSION;
    [Role::Environment, Role::Learner, Role::Objective]
        .into_iter()
        .find(|role| {
            component.get_export_index(None, format!("potstill:plugin/{role}@{version}.0")).is_some()
        })
        .ok_or("exports no role of a Potstill plugin".into())
}
