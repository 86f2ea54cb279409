//! Plugins that are part of the program: found without a path, updated with the program.
//!
//! A built-in carries its component and is sandboxed like any other, so that what runs is the same for everybody. One
//! that was also linked as native code can run without the sandbox; see
//! [`Registry::prefer_native`](super::Registry::prefer_native).
use potstill_plugin_api::{EnvironmentSpec, Frame, OptionValue};
use potstill_sdk::native::{DynEnvironments, NativeEnvironment};

use super::check::{Failure, RawEnvironments, RawTransition};
use super::environment::{Actions, Observations, RenderMode};

/// A plugin inside the program.
#[derive(Debug)]
pub struct BuiltinEnvironment {
    /// Its `plugin.toml`.
    pub manifest: &'static str,
    /// Its component.
    pub wasm: &'static [u8],
    /// The same source as native code, where it is linked.
    pub native: Option<fn() -> NativeEnvironment>,
}

inventory::collect!(BuiltinEnvironment);

inventory::submit! {
    BuiltinEnvironment {
        manifest: include_str!("../../../plugins/nd-cartpole/plugin.toml"),
        wasm: include_bytes!("../../../plugins/nd-cartpole/nd-cartpole.wasm"),
        native: Some(potstill_nd_cartpole::native_environment),
    }
}

/// N environments as native code.
pub(crate) struct NativeEnvironments {
    environments: Box<dyn DynEnvironments>,
    out: potstill_sdk::Transition<potstill_sdk::Observations>,
}

impl NativeEnvironments {
    pub(crate) fn make(
        environment: &NativeEnvironment,
        num_envs: usize,
        settings: &[(String, OptionValue)],
    ) -> Result<(Self, EnvironmentSpec), String> {
        let environments = (environment.make)(num_envs, &settings.iter().cloned().collect())?;
        let spec = environments.spec().clone();
        Ok((NativeEnvironments { environments, out: Default::default() }, spec))
    }
}

impl RawEnvironments for NativeEnvironments {
    fn reset(&mut self, seeds: &[u64]) -> Result<Observations, Failure> {
        self.environments.reset(seeds).map(to_host).map_err(Failure::Refused)
    }

    fn step(&mut self, actions: &Actions, out: &mut RawTransition) -> Result<(), Failure> {
        let actions = match actions {
            Actions::Discrete(values) => potstill_sdk::Actions::Discrete(values),
            Actions::Continuous(values) => potstill_sdk::Actions::Continuous(values),
        };
        // The buffers go there and back, so that none is made anew.
        exchange(&mut out.observations, &mut self.out.observations);
        exchange(&mut out.final_observations, &mut self.out.final_observations);
        std::mem::swap(&mut out.rewards, &mut self.out.rewards);
        std::mem::swap(&mut out.terminated, &mut self.out.terminated);
        std::mem::swap(&mut out.truncated, &mut self.out.truncated);
        let result = self.environments.step(actions, &mut self.out);
        exchange(&mut out.observations, &mut self.out.observations);
        exchange(&mut out.final_observations, &mut self.out.final_observations);
        std::mem::swap(&mut out.rewards, &mut self.out.rewards);
        std::mem::swap(&mut out.terminated, &mut self.out.terminated);
        std::mem::swap(&mut out.truncated, &mut self.out.truncated);
        result.map_err(Failure::Refused)
    }

    fn render(&mut self, index: usize, mode: RenderMode) -> Result<Frame, Failure> {
        let mode = match mode {
            RenderMode::Rgb => potstill_sdk::RenderMode::Rgb,
            RenderMode::Text => potstill_sdk::RenderMode::Text,
        };
        self.environments.render(index, mode).map_err(Failure::Refused)
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.environments.snapshot())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        self.environments.restore(state).map_err(Failure::Refused)
    }
}

fn to_host(observations: potstill_sdk::Observations) -> Observations {
    match observations {
        potstill_sdk::Observations::Float(values) => Observations::Float(values),
        potstill_sdk::Observations::Byte(values) => Observations::Byte(values),
    }
}

fn exchange(host: &mut Observations, sdk: &mut potstill_sdk::Observations) {
    let fresh = std::mem::replace(host, Observations::Float(vec![]));
    *host = to_host(std::mem::take(sdk));
    *sdk = match fresh {
        Observations::Float(values) => potstill_sdk::Observations::Float(values),
        Observations::Byte(values) => potstill_sdk::Observations::Byte(values),
    };
}
