use std::sync::Arc;

use potstill_plugin_api::{Autoreset, EnvironmentSpec, Frame, OptionSchema, OptionValue};
use wasmtime::component::ResourceAny;
use wasmtime::{Store, Trap};

use super::contract::{EnvironmentPlugin, EnvironmentPluginPre, role, setting, types};
use super::engine::{STACK_KIB, Sandbox};
use super::state::{LogSink, State};
use crate::error::{Error, Result};
use crate::plugin::check::{Failure, RawEnvironments, RawTransition};
use crate::plugin::environment::{Actions, Observations, RenderMode};
use crate::plugin::text::{LONGEST_MESSAGE, tame};
use crate::plugin::{Limits, settings};

/// A compiled environment plugin, ready to be instantiated any number of times.
pub(crate) struct Program {
    sandbox: Arc<Sandbox>,
    pre: EnvironmentPluginPre<State>,
    plugin: String,
    summary: String,
    limits: Limits,
    log: LogSink,
}

/// Bytes that one answer may carry into the host, whatever the specification says.
const ANSWER_BYTES: usize = 64 << 20;

impl Program {
    /// Compiles `wasm`, called `plugin` in errors.
    ///
    /// # Errors
    /// [`Error::Plugin`]: it is no component, lacks the role's exports, or imports what the sandbox does not give.
    pub(crate) fn load(
        sandbox: &Arc<Sandbox>,
        plugin: &str,
        summary: &str,
        wasm: &[u8],
        limits: Limits,
        log: LogSink,
    ) -> Result<Self> {
        let error = |cause: String| Error::Plugin {
            plugin: plugin.into(),
            function: "load".into(),
            cause: tame(&cause, LONGEST_MESSAGE),
        };
        let component = sandbox.compile(wasm).map_err(error)?;
        let pre = sandbox
            .linker
            .instantiate_pre(&component)
            .and_then(EnvironmentPluginPre::new)
            .map_err(|e| error(format!("does not fit the sandbox: {e:#}")))?;
        Ok(Program {
            sandbox: sandbox.clone(),
            pre,
            plugin: plugin.into(),
            summary: summary.into(),
            limits,
            log,
        })
    }

    fn start(&self) -> Result<Instance> {
        let mut store =
            Store::new(&self.sandbox.engine, State::new(&self.plugin, self.limits, self.log.clone()));
        store.limiter(|state| state);
        store.set_hostcall_fuel(ANSWER_BYTES);
        store.set_epoch_deadline(Sandbox::ticks(self.limits.start_seconds));
        match self.pre.instantiate(&mut store) {
            Ok(exports) => Ok(Instance { store, exports }),
            Err(error) => Err(Error::Plugin {
                plugin: self.plugin.clone(),
                function: "start".into(),
                cause: cause(&error, store.data(), Call::Start),
            }),
        }
    }

    /// Who the plugin says it is.
    ///
    /// # Errors
    /// [`Error::Plugin`]: it failed.
    pub(crate) fn describe(&self) -> Result<types::Description> {
        let mut instance = self.start()?;
        instance
            .call(Call::Start, |role, store| role.call_describe(store))
            .map_err(|cause| self.error("describe", cause))
    }

    /// The options it accepts, checked.
    ///
    /// # Errors
    /// [`Error::Plugin`]: it failed, or its options break the contract.
    pub(crate) fn options(&self) -> Result<Vec<OptionSchema>> {
        let mut instance = self.start()?;
        let options = instance.call(Call::Start, |role, store| role.call_options(store));
        let options = options.map_err(|cause| self.error("options", cause))?;
        let options: Vec<OptionSchema> = options.into_iter().map(OptionSchema::from).collect();
        settings::check_options(&options).map_err(|cause| self.error("options", cause))?;
        Ok(options)
    }

    /// Makes `num_envs` environments in an instance of their own.
    ///
    /// # Errors
    /// [`Error::Plugin`]: it refused or failed.
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
            .call(Call::Start, |role, store| role.environments().call_make(store, count, &settings))
            .and_then(|made| made)
            .map_err(|cause| self.error("make", cause))?;
        let spec = instance
            .call(Call::Start, |role, store| role.environments().call_spec(store, handle))
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
            // Twice the observations, for those of ended episodes.
            let bytes = num_envs.saturating_mul(spec.observation.size()).saturating_mul(8);
            instance.store.set_hostcall_fuel(ANSWER_BYTES.saturating_add(bytes));
        }
        Ok((WasmEnvironments { instance, handle, actions: role::Actions::Discrete(vec![]) }, spec))
    }

    fn error(&self, function: &str, cause: String) -> Error {
        Error::Plugin {
            plugin: self.plugin.clone(),
            function: function.into(),
            cause: tame(&cause, LONGEST_MESSAGE),
        }
    }
}

struct Instance {
    store: Store<State>,
    exports: EnvironmentPlugin,
}

/// Which of the time limits holds.
#[derive(Clone, Copy)]
enum Call {
    Start,
    Step,
}

impl Instance {
    /// Calls an export within its time; an error is the cause in plain words.
    fn call<T>(
        &mut self,
        call: Call,
        function: impl FnOnce(&role::Guest, &mut Store<State>) -> wasmtime::Result<T>,
    ) -> Result<T, String> {
        let state = self.store.data_mut();
        state.begin_call();
        let ticks = Sandbox::ticks(call.seconds(&state.limits));
        self.store.set_epoch_deadline(ticks);
        function(self.exports.potstill_plugin_environment(), &mut self.store)
            .map_err(|error| cause(&error, self.store.data(), call))
    }
}

impl Call {
    fn seconds(self, limits: &Limits) -> f64 {
        match self {
            Call::Start => limits.start_seconds,
            Call::Step => limits.step_seconds,
        }
    }
}

/// Why a call trapped, for a user who has never heard of traps.
fn cause(error: &wasmtime::Error, state: &State, call: Call) -> String {
    let limits = &state.limits;
    let trap = error.downcast_ref::<Trap>();
    match (trap, &state.last_words) {
        (Some(Trap::Interrupt), _) => {
            let limit = match call {
                Call::Start => "start-seconds",
                Call::Step => "step-seconds",
            };
            format!("endless loop: no answer within {} s (limit `{limit}`)", call.seconds(limits))
        }
        (Some(Trap::StackOverflow), _) => {
            format!("stack overflow: its calls nest deeper than {STACK_KIB} KiB")
        }
        (_, _) if state.memory_refused => {
            format!("memory limit of {} MiB reached (limit `memory-mib`)", limits.memory_mib)
        }
        (Some(Trap::MemoryOutOfBounds), None) => {
            // Rust and C keep a stack of their own at the bottom of linear memory, which runs out downwards.
            "crashed: access outside its memory (its own stack overflowed, or unsafe code went astray)".into()
        }
        (Some(_), Some(words)) => format!("panicked: {words}"),
        (Some(trap), None) => format!("crashed: {}", trap.to_string().trim_start_matches("wasm trap: ")),
        (None, _) => format!("gave an answer that breaks the contract: {error:#}"),
    }
}

/// N environments in a sandbox.
pub(crate) struct WasmEnvironments {
    instance: Instance,
    handle: ResourceAny,
    // Kept from step to step for its buffer.
    actions: role::Actions,
}

impl RawEnvironments for WasmEnvironments {
    fn reset(&mut self, seeds: &[u64]) -> Result<Observations, Failure> {
        let handle = self.handle;
        self.answer(|role, store| role.environments().call_reset(store, handle, seeds))
            .map(Observations::from)
    }

    fn step(&mut self, actions: &Actions, out: &mut RawTransition) -> Result<(), Failure> {
        match (actions, &mut self.actions) {
            (Actions::Discrete(from), role::Actions::Discrete(to)) => to.clone_from(from),
            (Actions::Continuous(from), role::Actions::Continuous(to)) => to.clone_from(from),
            (Actions::Discrete(from), to) => *to = role::Actions::Discrete(from.clone()),
            (Actions::Continuous(from), to) => *to = role::Actions::Continuous(from.clone()),
        }
        let (handle, actions) = (self.handle, &self.actions);
        let answer = self
            .instance
            .call(Call::Step, |role, store| role.environments().call_step(store, handle, actions))
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
        match self.answer(|role, store| role.environments().call_render(store, handle, index, mode))? {
            role::Frame::Rgb(role::Picture { width, height, pixels }) => {
                Ok(Frame::Rgb { width, height, pixels })
            }
            role::Frame::Text(text) => Ok(Frame::Text(text)),
        }
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let handle = self.handle;
        self.answer(|role, store| Ok(Ok(role.environments().call_snapshot(store, handle)?)))
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        let handle = self.handle;
        self.answer(|role, store| role.environments().call_restore(store, handle, state))
    }
}

impl WasmEnvironments {
    fn answer<T>(
        &mut self,
        function: impl FnOnce(&role::Guest, &mut Store<State>) -> wasmtime::Result<Result<T, String>>,
    ) -> Result<T, Failure> {
        self.instance.call(Call::Step, function).map_err(Failure::Broken)?.map_err(Failure::Refused)
    }
}
