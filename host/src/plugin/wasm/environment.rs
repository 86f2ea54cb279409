//! Environments of sandboxed components.
use potstill_plugin_api::{Autoreset, EnvironmentSpec, Frame, OptionValue};
use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker, ResourceAny};

use super::contract::{EnvironmentPlugin, EnvironmentPluginPre, role, setting, types};
use super::program::{ANSWER_BYTES, Instance, Program, World};
use super::state::State;
use crate::engine::environment::{Actions, Observations, RenderMode};
use crate::error::Result;
use crate::plugin::check::{Failure, RawEnvironments, UncheckedTransition};
use crate::plugin::limits::TimeLimit;

/// The WIT world of environments.
pub(crate) enum EnvironmentWorld {}

impl World for EnvironmentWorld {
    type Pre = EnvironmentPluginPre<State>;
    type Exports = EnvironmentPlugin;

    fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
        EnvironmentPlugin::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
    }

    fn pre(pre: InstancePre<State>) -> wasmtime::Result<Self::Pre> {
        EnvironmentPluginPre::new(pre)
    }

    fn instantiate(pre: &Self::Pre, store: &mut Store<State>) -> wasmtime::Result<EnvironmentPlugin> {
        pre.instantiate(store)
    }

    fn describe(
        exports: &EnvironmentPlugin,
        store: &mut Store<State>,
    ) -> wasmtime::Result<types::Description> {
        exports.potstill_plugin_environment().call_describe(store)
    }

    fn options(
        exports: &EnvironmentPlugin,
        store: &mut Store<State>,
    ) -> wasmtime::Result<Vec<types::OptionSchema>> {
        exports.potstill_plugin_environment().call_options(store)
    }
}

fn environments(exports: &EnvironmentPlugin) -> role::GuestEnvironments<'_> {
    exports.potstill_plugin_environment().environments()
}

impl Program<EnvironmentWorld> {
    /// Makes `num_envs` environments in a new instance.
    ///
    /// # Errors
    /// [`crate::Error::Plugin`]: it refused or failed.
    pub(crate) fn make(
        &self,
        num_envs: usize,
        settings: &[(String, OptionValue)],
    ) -> Result<(WasmEnvironments, EnvironmentSpec)> {
        let mut instance = self.start()?;
        let count =
            u32::try_from(num_envs).map_err(|_| self.error("make", format!("{num_envs} are too many")))?;
        let settings: Vec<_> = settings.iter().map(setting).collect();
        let handle = instance
            .call(TimeLimit::Start, |exports, store| environments(exports).call_make(store, count, &settings))
            .map_err(|cause| self.error("make", cause))?
            .map_err(|words| self.refused(&words))?;
        let spec = instance
            .call(TimeLimit::Start, |exports, store| environments(exports).call_spec(store, handle))
            .map_err(|cause| self.error("spec", cause))?;
        let spec = EnvironmentSpec {
            id: self.plugin.clone(),
            summary: self.summary.clone(),
            observation: spec.observation.into(),
            action: spec.action.into(),
            max_episode_steps: spec.max_episode_steps,
            reward_threshold: spec.reward_threshold,
            max_return: spec.max_return,
            autoreset: match spec.autoreset {
                role::Autoreset::SameStep => Autoreset::SameStep,
            },
        };
        if spec.observation.validate().is_ok() {
            // Twice the observations: a step may also return final ones.
            let bytes = num_envs.saturating_mul(spec.observation.size()).saturating_mul(8);
            instance.store.set_hostcall_fuel(ANSWER_BYTES.saturating_add(bytes));
        }
        Ok((WasmEnvironments { instance, handle, actions: role::Actions::Discrete(vec![]) }, spec))
    }
}

/// N environments in a sandbox.
pub(crate) struct WasmEnvironments {
    instance: Instance<EnvironmentWorld>,
    handle: ResourceAny,
    /// Kept from step to step to reuse its buffer.
    actions: role::Actions,
}

impl RawEnvironments for WasmEnvironments {
    fn reset(&mut self, seeds: &[u64]) -> Result<Observations, Failure> {
        let handle = self.handle;
        self.answer(|exports, store| environments(exports).call_reset(store, handle, seeds))
            .map(Observations::from)
    }

    fn step(&mut self, actions: &Actions, out: &mut UncheckedTransition) -> Result<(), Failure> {
        match (actions, &mut self.actions) {
            (Actions::Discrete(from), role::Actions::Discrete(to)) => to.clone_from(from),
            (Actions::Continuous(from), role::Actions::Continuous(to)) => to.clone_from(from),
            (Actions::Discrete(from), to) => *to = role::Actions::Discrete(from.clone()),
            (Actions::Continuous(from), to) => *to = role::Actions::Continuous(from.clone()),
        }
        let (handle, actions) = (self.handle, &self.actions);
        let answer = self
            .instance
            .call(TimeLimit::Step, |exports, store| environments(exports).call_step(store, handle, actions))
            .map_err(Failure::Broken)?
            .map_err(Failure::Refused)?;
        out.observations = answer.observations.into();
        out.rewards = answer.rewards;
        out.terminated = answer.terminated;
        out.truncated = answer.truncated;
        out.final_observations = answer.final_observations.into();
        Ok(())
    }

    fn render(&mut self, index: usize, mode: RenderMode) -> Result<Frame, Failure> {
        let index = u32::try_from(index).map_err(|e| Failure::Refused(e.to_string()))?;
        let mode = match mode {
            RenderMode::Rgb => role::RenderMode::Rgb,
            RenderMode::Text => role::RenderMode::Text,
        };
        let handle = self.handle;
        match self.answer(|exports, store| environments(exports).call_render(store, handle, index, mode))? {
            role::Frame::Rgb(role::Picture { width, height, pixels }) => {
                Ok(Frame::Rgb { width, height, pixels })
            }
            role::Frame::Text(text) => Ok(Frame::Text(text)),
        }
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let handle = self.handle;
        self.answer(|exports, store| Ok(Ok(environments(exports).call_snapshot(store, handle)?)))
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        let handle = self.handle;
        self.answer(|exports, store| environments(exports).call_restore(store, handle, state))
    }
}

impl WasmEnvironments {
    fn answer<T>(
        &mut self,
        function: impl FnOnce(&EnvironmentPlugin, &mut Store<State>) -> wasmtime::Result<Result<T, String>>,
    ) -> Result<T, Failure> {
        self.instance.call(TimeLimit::Step, function).map_err(Failure::Broken)?.map_err(Failure::Refused)
    }
}
