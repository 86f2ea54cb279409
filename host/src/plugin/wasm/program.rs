//! The code that all roles share: compiles, links and starts a component, and calls it within its limits.
use std::sync::Arc;

use potstill_plugin_api::OptionSchema;
use wasmtime::component::{InstancePre, Linker};
use wasmtime::{Store, Trap};

use super::contract::types;
use super::sandbox::{STACK_KIB, Sandbox};
use super::state::{LogSink, Refused, State};
use crate::error::{Error, Result, in_words};
use crate::plugin::limits::{Limits, TimeLimit};
use crate::plugin::text::{LONGEST_MESSAGE, tame};
use crate::plugin::{declared, settings};

/// A role of the contract, in terms of wasmtime's bindings.
pub(crate) trait World: Sized + 'static {
    /// A linked component that has not been started.
    type Pre: Send + Sync;
    /// The exports of an instance.
    type Exports: Send;

    /// Adds the imports that components of this role may use.
    fn link(linker: &mut Linker<State>) -> wasmtime::Result<()>;
    /// Finds this role's exports.
    fn pre(pre: InstancePre<State>) -> wasmtime::Result<Self::Pre>;
    fn instantiate(pre: &Self::Pre, store: &mut Store<State>) -> wasmtime::Result<Self::Exports>;
    fn describe(exports: &Self::Exports, store: &mut Store<State>) -> wasmtime::Result<types::Description>;
    fn options(
        exports: &Self::Exports,
        store: &mut Store<State>,
    ) -> wasmtime::Result<Vec<types::OptionSchema>>;
}

/// A compiled plugin of one role, ready to be instantiated any number of times.
pub(crate) struct Program<W: World> {
    sandbox: Arc<Sandbox>,
    pre: W::Pre,
    pub(super) plugin: String,
    pub(super) summary: String,
    limits: Limits,
    log: LogSink,
}

/// The bytes that any answer may carry into the host, in addition to those that its specification needs.
pub(super) const ANSWER_BYTES: usize = 64 << 20;

impl<W: World> Program<W> {
    /// Compiles and links `wasm`, which errors call `plugin`.
    ///
    /// # Errors
    /// [`Error::Plugin`]: it is not a component, lacks the role's exports, or imports something that the sandbox does not
    /// provide.
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
        let mut linker = Linker::new(&sandbox.engine);
        let pre = W::link(&mut linker)
            .and_then(|()| linker.instantiate_pre(&component))
            .and_then(W::pre)
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

    pub(super) fn start(&self) -> Result<Instance<W>> {
        let mut store =
            Store::new(&self.sandbox.engine, State::new(&self.plugin, self.limits, self.log.clone()));
        store.limiter(|state| state);
        store.set_hostcall_fuel(ANSWER_BYTES);
        store.set_epoch_deadline(Sandbox::ticks(self.limits.start_seconds));
        match W::instantiate(&self.pre, &mut store) {
            Ok(exports) => Ok(Instance { store, exports, broken: None }),
            // wasmtime has no error type for exports whose types differ from the contract's, only this message.
            Err(error) if format!("{error:#}").contains("failed to convert function") => {
                let what = "was built against a different version of the contract; rebuild it";
                Err(self.error("start", format!("{what} ({error:#})")))
            }
            Err(error) => Err(match shortage(&error) {
                Some(shortage) => Error::Failed(format!("plugin `{}` cannot start: {shortage}", self.plugin)),
                None => Error::Plugin {
                    plugin: self.plugin.clone(),
                    function: "start".into(),
                    cause: cause(&error, store.data(), TimeLimit::Start),
                },
            }),
        }
    }

    /// The identity that the plugin states.
    ///
    /// # Errors
    /// [`Error::Plugin`]: it failed.
    pub(crate) fn describe(&self) -> Result<types::Description> {
        let mut instance = self.start()?;
        let said =
            instance.call(TimeLimit::Start, W::describe).map_err(|cause| self.error("describe", cause))?;
        declared::check_description(&[&said.id, &said.version, &said.summary, &said.api_version])
            .map_err(|cause| self.error("describe", cause))?;
        Ok(said)
    }

    /// The plugin's options, checked.
    ///
    /// # Errors
    /// [`Error::Plugin`]: it failed, or its options break the contract.
    pub(crate) fn options(&self) -> Result<Vec<OptionSchema>> {
        let mut instance = self.start()?;
        let options = instance.call(TimeLimit::Start, W::options);
        let options = options.map_err(|cause| self.error("options", cause))?;
        let options: Vec<OptionSchema> = options.into_iter().map(OptionSchema::from).collect();
        settings::check_options(&options).map_err(|cause| self.error("options", cause))?;
        Ok(options)
    }

    /// The error when `make` refuses options or a task, which the user can fix.
    pub(super) fn refused(&self, words: &str) -> Error {
        Error::usage(format!("plugin `{}`: {}", self.plugin, tame(words, LONGEST_MESSAGE)))
    }

    pub(super) fn error(&self, function: &str, cause: String) -> Error {
        Error::Plugin {
            plugin: self.plugin.clone(),
            function: function.into(),
            cause: tame(&cause, LONGEST_MESSAGE),
        }
    }
}

/// A started component.
pub(super) struct Instance<W: World> {
    pub(super) store: Store<State>,
    exports: W::Exports,
    /// Why no more calls can be made: after a trap its memory may be half-written.
    broken: Option<String>,
}

impl<W: World> Instance<W> {
    /// Calls an export within its time limit. An error is the cause in plain words, and all later calls return it too.
    pub(super) fn call<T>(
        &mut self,
        limit: TimeLimit,
        function: impl FnOnce(&W::Exports, &mut Store<State>) -> wasmtime::Result<T>,
    ) -> Result<T, String> {
        if let Some(cause) = &self.broken {
            return Err(cause.clone());
        }
        let state = self.store.data_mut();
        state.begin_call();
        let ticks = Sandbox::ticks(state.limits.seconds(limit));
        self.store.set_epoch_deadline(ticks);
        function(&self.exports, &mut self.store).map_err(|error| {
            let cause = cause(&error, self.store.data(), limit);
            self.broken.insert(cause).clone()
        })
    }
}

/// What the system lacks for a new instance, if that is why it could not start. It is not the plugin's fault.
fn shortage(error: &wasmtime::Error) -> Option<String> {
    if let Some(system) = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>()) {
        return Some(in_words(system));
    }
    // Of a failed mapping, wasmtime passes the system's error on only in its message.
    let message = format!("{error:#}");
    message.contains("mmap failed").then(|| {
        format!(
            "this machine has no memory for the sandbox ({message}): each instance reserves 4 GiB of addresses; raise the \
             limit (`ulimit -v`) or run fewer programs at once"
        )
    })
}

/// Why a call trapped, in words for a user who does not know WebAssembly.
fn cause(error: &wasmtime::Error, state: &State, limit: TimeLimit) -> String {
    let limits = &state.limits;
    let trap = error.downcast_ref::<Trap>();
    // The host itself refused a call, and says why.
    if let Some(refused) = error.downcast_ref::<Refused>() {
        return refused.0.clone();
    }
    match (trap, &state.last_words) {
        (Some(Trap::Interrupt), _) => {
            let (seconds, name) = (limits.seconds(limit), limit.name());
            format!("endless loop: no answer within {seconds} s (limit `{name}`)")
        }
        (Some(Trap::StackOverflow), _) => {
            format!("stack overflow: its calls nest deeper than {STACK_KIB} KiB")
        }
        (_, _) if state.memory_refused => {
            format!("memory limit of {} MiB reached (limit `memory-mib`)", limits.memory_mib)
        }
        (Some(Trap::MemoryOutOfBounds), None) => {
            // Rust and C keep their own stack at the bottom of linear memory, growing downwards.
            "crashed: access outside its memory (its own stack overflowed, or unsafe code went astray)".into()
        }
        (Some(_), Some(words)) => format!("panicked: {words}"),
        (Some(trap), None) => format!("crashed: {}", trap.to_string().trim_start_matches("wasm trap: ")),
        (None, _) => format!("gave an answer that breaks the contract: {error:#}"),
    }
}
