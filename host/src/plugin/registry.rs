//! The plugins that can be named: finds them, resolves ids, and loads them.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, io};

use potstill_plugin_api::{
    API_VERSION, Dependencies, EnvironmentSpec, LimitWishes, OptionSchema, OptionValue, PluginId, Provided,
    Role, Task, check_api_version,
};
use sha2::{Digest, Sha256};

use super::builtin::Builtin;
use super::check::Checked;
use super::declared::check_objective;
#[cfg(unix)]
use super::isolate::{
    IsolatedEnvironments, IsolatedLearners, IsolatedLibrary, IsolatedObjective, IsolatedPlugin,
};
use super::native::{self, NativePlugin};
use super::recorded::Recorded;
use super::settings::resolve;
use super::source::{self, Candidate, is_library, scan};
use super::text::counted;
use super::traced::{TracedLearners, TracedObjective};
use super::wasm::{
    EnvironmentWorld, LearnerWorld, LogLevel, LogSink, ObjectiveWorld, Program, Sandbox, WasmLearners,
    WasmObjective, hex,
};
use super::{Limits, gymnasium, install, log, setup, wasm};
use crate::engine::environment::Environments;
use crate::engine::learner::LearnerDistribution;
use crate::engine::objective::Objective;
use crate::error::{Error, Result, did_you_mean};
use crate::shell;

/// The form in which a plugin's code comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loader {
    /// A sandboxed component on disk.
    Wasm,
    /// A shared library on disk, which is trusted.
    Native,
    /// Part of the program.
    Builtin,
}

impl std::fmt::Display for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Loader::Wasm => "wasm",
            Loader::Native => "native",
            Loader::Builtin => "built-in",
        })
    }
}

/// A plugin that was found, whether or not it can be used.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its id, unless it was rejected before that was known.
    pub id: Option<PluginId>,
    /// Its role, unless that is unknown.
    pub role: Option<Role>,
    /// The form in which its code comes.
    pub loader: Loader,
    /// Release of the binary; empty when unknown.
    pub version: String,
    /// One sentence; empty when unknown.
    pub summary: String,
    /// The path of its file; `None` for a built-in.
    pub path: Option<PathBuf>,
    /// SHA-256 of the file when it was found, in hexadecimal; empty if there is none.
    pub sha256: String,
    /// Why it cannot be used, when it cannot.
    pub rejected: Option<String>,
    /// Its resource limits.
    pub limits: Limits,
    /// Its external dependencies.
    pub setup: Option<Dependencies>,
    /// Whether `--plugin` named it.
    pub on_command_line: bool,
    /// Whether it is the first plugin of its name in its file, which a name without a version refers to.
    leads: bool,
    builtin: Option<&'static Builtin>,
}

/// An environment plugin as it is with some settings.
#[derive(Clone, Debug)]
pub struct Description {
    /// Its entry in the registry.
    pub entry: Entry,
    /// The options it accepts.
    pub options: Vec<OptionSchema>,
    /// The specification of each environment with the settings.
    pub spec: EnvironmentSpec,
    /// SHA-256 of the binary that was run, in hexadecimal.
    pub sha256: String,
}

/// The plugins that can be named, in the order of the search.
pub struct Registry {
    entries: Vec<Entry>,
    sandbox: Arc<Sandbox>,
    log: LogSink,
    prefer_native: bool,
    /// The `potstill` program that runs native plugins in separate processes. If `None`, they run in this process.
    isolate: Option<PathBuf>,
}

impl Registry {
    /// Searches for plugins in `named` (`--plugin PATH`), among the plugins that a run directory has [`Recorded`], in the
    /// paths of `POTSTILL_PLUGIN_PATH`, in `potstill/plugins` in the user's data folder, and among the built-ins. The
    /// first plugin of an id wins. A path is a `.wasm` file, a shared library, a folder with a `plugin.toml`, or a folder
    /// of these (where a library needs its manifest). A recorded plugin is used only if it is a component.
    ///
    /// A file without a manifest is run, to ask which plugins it has, but only if it is in `named` or `recorded`; all
    /// others are found without running them.
    ///
    /// With `isolate`, native plugins run in separate processes of that `potstill` program, which must be of this version.
    ///
    /// # Errors
    /// [`Error::Usage`]: a path in `named` does not exist or holds no usable plugin; this system cannot isolate.
    /// Anywhere else a broken plugin becomes a rejected [`Entry`], so that it does not stop the others.
    pub fn discover(named: &[PathBuf], recorded: &[Recorded], isolate: Option<PathBuf>) -> Result<Self> {
        let mut searched: Vec<PathBuf> = match env::var_os("POTSTILL_PLUGIN_PATH") {
            Some(paths) => env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()).collect(),
            None => vec![],
        };
        searched.extend(install::folder().filter(|folder| folder.is_dir()));
        Self::search(named, recorded, (&searched, Bare::Reject), isolate)
    }

    /// Searches as [`Registry::discover`] does, with `searched` in place of `recorded`, the environment variable and the
    /// user's folder. A file without a manifest is run.
    ///
    /// # Errors
    /// As [`Registry::discover`].
    pub fn of(named: &[PathBuf], searched: &[PathBuf]) -> Result<Self> {
        Self::search(named, &[], (searched, Bare::Ask), None)
    }

    /// Searches as [`Registry::of`] does; native plugins run in separate processes of the program `potstill`.
    ///
    /// # Errors
    /// As [`Registry::discover`].
    pub fn isolated(named: &[PathBuf], searched: &[PathBuf], potstill: PathBuf) -> Result<Self> {
        Self::search(named, &[], (searched, Bare::Ask), Some(potstill))
    }

    /// Searches in this order. Files without a manifest are run in `named`; in `searched` they are run or rejected (`bare`).
    fn search(
        named: &[PathBuf],
        recorded: &[Recorded],
        (searched, bare): (&[PathBuf], Bare),
        isolate: Option<PathBuf>,
    ) -> Result<Self> {
        if isolate.is_some() && !cfg!(unix) {
            return Err(Error::usage("--isolate is not supported on this system; it needs Unix"));
        }
        let sandbox = Sandbox::new().map_err(|e| Error::usage(format!("the sandbox cannot start: {e}")))?;
        let log: LogSink = Arc::new(|plugin, level, message| {
            if level >= LogLevel::Warn {
                log::show(&format!("plugin `{plugin}`"), message);
            }
        });
        let sandbox = Arc::new(sandbox);
        let mut registry = Registry { entries: vec![], sandbox, log, prefer_native: false, isolate };
        for path in named {
            let before = registry.entries.len();
            registry.add(path, Bare::Ask);
            let added = &registry.entries[before..];
            if let [Entry { rejected: Some(reason), path: Some(at), .. }] = added {
                return Err(Error::usage(format!("--plugin {}: {reason}", at.display())));
            }
            if added.is_empty() {
                let what = "holds no `plugin.toml` and no plugin";
                return Err(Error::usage(format!("--plugin {}: {what}", path.display())));
            }
        }
        registry.entries.iter_mut().for_each(|entry| entry.on_command_line = true);
        recorded.iter().for_each(|recorded| registry.add_recorded(recorded));
        searched.iter().for_each(|path| registry.add(path, bare));
        let mut own: Vec<Entry> = inventory::iter::<Builtin>.into_iter().map(Entry::builtin).collect();
        own.sort_by_key(|entry| (entry.role, entry.named()));
        registry.entries.extend(own);
        registry.reject_shadowed();
        Ok(registry)
    }

    /// Sends the messages of plugins to `log`. By default, warnings go to standard error.
    pub fn on_log(&mut self, log: LogSink) {
        self.log = log;
    }

    /// Sets whether built-in environments run as native code, outside the sandbox. The results are the same to the bit;
    /// the sandbox costs a microsecond per call.
    pub fn prefer_native(&mut self, native: bool) {
        self.prefer_native = native;
    }

    /// The folder of compiled components, if they are cached.
    pub fn cache(&self) -> Option<&Path> {
        self.sandbox.cache()
    }

    /// Whether native plugins run in separate processes.
    pub fn isolates(&self) -> bool {
        self.isolate.is_some()
    }

    /// All plugins that were found, including rejected ones, in the order of the search.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The role of the usable plugin that `id` names, if there is one.
    pub fn role_of(&self, id: &str) -> Option<Role> {
        let roles = [Role::Environment, Role::Learner, Role::Objective];
        roles.into_iter().find(|&role| self.find(role, id).is_ok())
    }

    /// The plugin that `id` names, of any role and even if it was rejected. One on disk comes before a built-in.
    ///
    /// # Errors
    /// [`Error::Usage`]: there is none (the message has the closest id), or there are several.
    pub fn named(&self, id: &str) -> Result<&Entry> {
        let spelled = gymnasium::canonical(id);
        let id = spelled.as_deref().unwrap_or(id);
        let on_disk = called(self.entries.iter().filter(|entry| entry.path.is_some()), id)?;
        on_disk.map_or_else(|| called(self.entries.iter(), id), |entry| Ok(Some(entry)))?.ok_or_else(|| {
            let hint = self.hint(id, |_| true);
            Error::usage(format!("there is no plugin `{id}`.{hint}"))
        })
    }

    /// The plugin of `role` that `id` names: `name-vN` or `namespace/name-vN`. Without a version it is the first plugin of
    /// that name in its file; if several files have the name, the newest of these. The namespace may be omitted if no
    /// other namespace has the name. With a namespace, the name may be spelled as Gymnasium does: `gym/LunarLander-v3`.
    ///
    /// # Errors
    /// [`Error::Usage`]: there is none (the message has the closest id), there are several, or it was rejected (the message
    /// has the reason).
    pub fn find(&self, role: Role, id: &str) -> Result<&Entry> {
        let spelled = gymnasium::canonical(id);
        let id = spelled.as_deref().unwrap_or(id);
        let usable = |entry: &&Entry| entry.role == Some(role) && entry.rejected.is_none();
        let of_role = |entry: &&Entry| entry.role.is_none_or(|r| r == role);
        // If the plugin cannot be used, do not silently choose one of another namespace.
        for ways in [WITH_NAMESPACE, WITHOUT_NAMESPACE] {
            if let Some(entry) = called_in(ways, self.entries.iter().filter(usable), id)? {
                return Ok(entry);
            }
            let rejected = called_in(ways, self.entries.iter().filter(of_role), id)?;
            if let Some(Entry { rejected: Some(reason), path, .. }) = rejected {
                let at = path.as_ref().map(|path| format!(" at {}", path.display())).unwrap_or_default();
                return Err(Error::usage(format!("plugin `{id}`{at} cannot be used: {reason}")));
            }
        }
        if let Some(other) = called(self.entries.iter(), id)?.and_then(|entry| entry.role) {
            let with_article =
                |role: Role| if role == Role::Learner { format!("a {role}") } else { format!("an {role}") };
            let (other, role) = (with_article(other), with_article(role));
            return Err(Error::usage(format!("`{id}` is {other}, not {role}")));
        }
        let mut hint = self.hint(id, |entry| usable(&entry));
        // No id is close.
        if role == Role::Environment && hint.starts_with(" Known") {
            let ids = self.entries.iter().filter(usable).filter_map(|entry| entry.id.as_ref());
            hint = gymnasium::fallback(id, ids).unwrap_or(hint);
        }
        Err(Error::usage(format!("there is no {role} `{id}`.{hint}")))
    }

    /// A hint for an unknown `id`. One typed without version or namespace is compared with names without them.
    fn hint(&self, id: &str, among: impl Fn(&Entry) -> bool) -> String {
        let ids = || self.entries.iter().filter(|entry| among(entry)).filter_map(|entry| entry.id.as_ref());
        if let Some(pointer) = gymnasium::pointer(id, ids()) {
            return pointer;
        }
        let ids = ids();
        let known: Vec<String> = match (id.contains('/'), id.rsplit('/').next().map(str::parse::<PluginId>)) {
            (true, Some(Ok(_))) => ids.map(PluginId::to_string).collect(),
            (false, Some(Ok(_))) => ids.map(|id| format!("{}-v{}", id.name(), id.version())).collect(),
            (true, _) => ids.map(|id| id.base().to_owned()).collect(),
            (false, _) => ids.map(|id| id.name().to_owned()).collect(),
        };
        let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
        did_you_mean(id, known)
    }

    /// Opens the learner distribution `id` with `settings`; other options have their defaults.
    ///
    /// # Errors
    /// [`Error::Usage`] for the id and the settings, [`Error::Plugin`] when the plugin fails.
    pub fn learner(&self, id: &str, settings: &[(String, String)]) -> Result<Box<dyn LearnerDistribution>> {
        self.open(self.find(Role::Learner, id)?)?.learner(settings)
    }

    /// Opens the meta-objective `id` with `settings` for `task`; other options have their defaults.
    ///
    /// # Errors
    /// As [`Registry::learner`]; [`Error::Usage`] if it does not support the task.
    pub fn objective(
        &self,
        id: &str,
        settings: &[(String, String)],
        task: &Task,
    ) -> Result<Box<dyn Objective>> {
        let opened = self.open(self.find(Role::Objective, id)?)?;
        let objective = opened.objective(settings, task)?;
        check_objective(objective.theta(), objective.columns(), task).map_err(|(function, cause)| {
            Error::Plugin { plugin: objective.id().to_owned(), function: function.into(), cause }
        })?;
        Ok(objective)
    }

    /// The options of a plugin.
    ///
    /// # Errors
    /// As [`Registry::find`], or [`Error::Plugin`].
    pub fn options(&self, role: Role, id: &str) -> Result<Vec<OptionSchema>> {
        self.open(self.find(role, id)?)?.options()
    }

    /// Makes `num_envs` copies of an environment with `settings` (`NAME`, `VALUE`); other options have their defaults.
    ///
    /// # Errors
    /// [`Error::Usage`] for the id and the settings, [`Error::Plugin`] when the plugin fails or refuses.
    pub fn make_environments(
        &self,
        id: &str,
        settings: &[(String, String)],
        num_envs: usize,
    ) -> Result<Box<dyn Environments>> {
        self.open(self.find(Role::Environment, id)?)?.make(settings, num_envs)
    }

    /// Opens an environment and describes it.
    ///
    /// # Errors
    /// As [`Registry::make_environments`].
    pub fn describe(&self, id: &str, settings: &[(String, String)]) -> Result<Description> {
        let entry = self.find(Role::Environment, id)?;
        let opened = self.open(entry)?;
        let (options, sha256) = (opened.options()?, opened.sha256.clone());
        let environments = opened.make(settings, 1)?;
        Ok(Description { entry: entry.clone(), options, spec: environments.spec().clone(), sha256 })
    }

    /// Loads the plugins of a file to see whether they work. Environments are also made once, with every option at its
    /// default, unless their external dependencies are missing. They may refuse that, for something that the user can add
    /// later: `note` is told.
    ///
    /// # Errors
    /// As [`Registry::make_environments`].
    pub fn try_out(&self, entries: &[&Entry], note: &mut dyn FnMut(&str)) -> Result<()> {
        let mut refused = vec![];
        for entry in entries {
            let opened = self.open(entry)?;
            match entry.role {
                Some(Role::Learner | Role::Objective) => opened.options().map(drop)?,
                _ if entry.lacks_setup() => opened.options().map(drop)?,
                _ => match opened.make(&[], 1) {
                    Ok(_) => {}
                    Err(Error::Usage(why)) => refused.push(why),
                    Err(error) => return Err(error),
                },
            }
        }
        if let Some(why) = refused.first() {
            let (count, all) = (refused.len(), counted(entries.len(), "environment"));
            note(&format!("{count} of {all} cannot be made for now; what the first says: {why}"));
        }
        Ok(())
    }

    fn open(&self, entry: &Entry) -> Result<Opened> {
        let plugin = entry.named().unwrap_or_default();
        let mut from_disk = vec![];
        let wasm: Option<&[u8]> = match (entry.builtin, &entry.path) {
            (Some(builtin), _) => builtin.wasm.filter(|_| !self.prefer_native),
            (None, Some(path)) => {
                from_disk = source::read(path)?;
                Some(&from_disk).filter(|_| entry.loader == Loader::Wasm).map(Vec::as_slice)
            }
            (None, None) => None,
        };
        let mismatch = |what: &str, said: &str, expected: &str| {
            let cause = format!("the binary says {what} `{}`, expected `{expected}`", said.escape_default());
            Err(Error::Plugin { plugin: plugin.clone(), function: "describe".into(), cause })
        };
        let failed = |function: &str, cause: String| Error::Plugin {
            plugin: plugin.clone(),
            function: function.into(),
            cause,
        };
        let sha256 = match (wasm, entry.loader) {
            (Some(wasm), _) => hex(&Sha256::digest(wasm)),
            (None, Loader::Native) => hex(&Sha256::digest(&from_disk)),
            (None, _) => String::new(),
        };
        // Nothing but what was found, and maybe compared with a record, may run.
        if entry.path.is_some() && sha256 != entry.sha256 {
            let cause = "its file has changed since this command began; run the command again";
            return Err(failed("load", cause.into()));
        }
        let (code, said) = match (wasm, entry.builtin) {
            (Some(wasm), _) => {
                let log = self.log.clone();
                let load = Loading { sandbox: &self.sandbox, entry, plugin: &plugin, wasm, log };
                let (code, said) = match entry.role {
                    Some(Role::Learner) => load.program().map(|(p, said)| (Code::Learner(p), said))?,
                    Some(Role::Objective) => load.program().map(|(p, said)| (Code::Objective(p), said))?,
                    _ => load.program().map(|(p, said)| (Code::Environment(p), said))?,
                };
                (code, (said.id, said.version))
            }
            (None, Some(builtin)) => {
                let mut natives = native::builtin(builtin.native).map_err(|cause| failed("load", cause))?;
                let native = natives.swap_remove(0);
                let said = (native.id.clone(), native.version.clone());
                (Code::Native(native), said)
            }
            (None, None) => {
                let path = entry.path.as_deref().unwrap_or(Path::new(""));
                let library = self.open_library(path, entry.limits).map_err(|cause| failed("load", cause))?;
                let mut all = library.said();
                let Some(number) = all.iter().position(|(_, said)| said.id == plugin) else {
                    let ids: Vec<String> = all.into_iter().map(|(_, said)| said.id).collect();
                    return mismatch("id", &ids.join("`, `"), &plugin);
                };
                let (role, said) = all.swap_remove(number);
                if Some(role) != entry.role {
                    return mismatch(
                        "role",
                        &role.to_string(),
                        &entry.role.map(|r| r.to_string()).unwrap_or_default(),
                    );
                }
                (library.choose(number).map_err(|cause| failed("load", cause))?, (said.id, said.version))
            }
        };
        if said.0 != plugin {
            return mismatch("id", &said.0, &plugin);
        }
        if said.1 != entry.version {
            return mismatch("version", &said.1, &entry.version);
        }
        Ok(Opened { plugin, code, sha256 })
    }

    /// Opens a shared library, in this process or a separate one.
    fn open_library(&self, path: &Path, limits: Limits) -> Result<Library, String> {
        match &self.isolate {
            #[cfg(unix)]
            Some(potstill) => IsolatedLibrary::open(potstill, path, limits).map(Library::Isolated),
            _ => native::open(path).map(Library::Native),
        }
    }

    fn add(&mut self, path: &Path, bare: Bare) {
        for mut candidate in scan(path) {
            if let (Ok(None), Bare::Reject) = (&candidate.manifest, bare) {
                candidate.manifest = Err(format!(
                    "has no `plugin.toml`; `potstill plugin install {}` writes one, or name the file with `--plugin`",
                    candidate.path.display()
                ));
            }
            let mut entries = self.entries_of(candidate);
            mark_leaders(&mut entries);
            self.entries.append(&mut entries);
        }
    }

    fn add_recorded(&mut self, recorded: &Recorded) {
        let rejected = |reason: String| {
            let id = recorded.id.parse().ok();
            vec![Entry { id, rejected: Some(reason), leads: true, ..Entry::unknown(&recorded.path) }]
        };
        let mut entries = recorded.candidate().map_or_else(rejected, |candidate| self.entries_of(candidate));
        entries.retain(|entry| entry.named().as_ref() == Some(&recorded.id));
        mark_leaders(&mut entries);
        self.entries.append(&mut entries);
    }

    /// The plugins of a file. There is at least one entry.
    fn entries_of(&self, candidate: Candidate) -> Vec<Entry> {
        let Candidate { path, manifest } = candidate;
        let mut entry = Entry::unknown(&path);
        let file = source::read(&path).map_err(|e| match (e, path.parent()) {
            (Error::Io { source: e, .. }, Some(folder)) if e.kind() == io::ErrorKind::NotFound => {
                format!(
                    "{e}. If {0} is a plugin's source, run `potstill plugin build {0}`",
                    shell::word(folder)
                )
            }
            (e, _) => source::without_path(e),
        });
        if let Ok(bytes) = &file {
            entry.sha256 = hex(&Sha256::digest(bytes));
        }
        match (manifest, file) {
            (Ok(Some(manifest)), file) => {
                entry.limits = Limits::granted(&manifest.limits);
                entry.role = Some(manifest.role);
                entry.version = manifest.version;
                entry.setup = manifest.setup;
                entry.rejected = file.err().or_else(|| install::changed(&path, &entry.sha256));
                let one = |Provided { id, summary }| Entry { id: Some(id), summary, ..entry.clone() };
                manifest.provides.into_iter().map(one).collect()
            }
            (Ok(None), Ok(wasm)) => {
                let asked = match entry.loader {
                    Loader::Native => self.ask_library(&path),
                    _ => self.ask(&path, &wasm).map(|one| vec![one]),
                };
                let one = |(role, said): (Role, wasm::Identity)| {
                    let mut entry = Entry { role: Some(role), ..entry.clone() };
                    entry.version = super::text::tame(&said.version, 40);
                    entry.summary = super::text::tame(&said.summary, 200);
                    match (said.id.parse(), check_api_version(&said.api_version)) {
                        (Ok(id), Ok(())) => entry.id = Some(id),
                        (Err(e), _) => entry.rejected = Some(e.to_string()),
                        (_, Err(e)) => entry.rejected = Some(e),
                    }
                    entry
                };
                match asked {
                    Ok(all) => all.into_iter().map(one).collect(),
                    Err(e) => vec![Entry { rejected: Some(e.to_string()), ..entry }],
                }
            }
            (Err(reason), _) | (Ok(None), Err(reason)) => vec![Entry { rejected: Some(reason), ..entry }],
        }
    }

    /// Asks a component without a manifest for its role and identity.
    fn ask(&self, path: &Path, wasm: &[u8]) -> Result<(Role, wasm::Identity)> {
        let name = path.display().to_string();
        let error = |cause: String| Error::Plugin { plugin: name.clone(), function: "load".into(), cause };
        let component = self.sandbox.compile(wasm).map_err(error)?;
        let role = wasm::role_of(&component).map_err(error)?;
        let (sandbox, log, limits) = (&self.sandbox, self.log.clone(), Limits::default());
        let said = match role {
            Role::Environment => {
                Program::<EnvironmentWorld>::load(sandbox, &name, "", wasm, limits, log)?.describe()
            }
            Role::Learner => Program::<LearnerWorld>::load(sandbox, &name, "", wasm, limits, log)?.describe(),
            Role::Objective => {
                Program::<ObjectiveWorld>::load(sandbox, &name, "", wasm, limits, log)?.describe()
            }
        };
        Ok((role, said?))
    }

    /// Asks a shared library without a manifest for its plugins.
    fn ask_library(&self, path: &Path) -> Result<Vec<(Role, wasm::Identity)>> {
        let name = path.display().to_string();
        let error = |cause: String| Error::Plugin { plugin: name, function: "load".into(), cause };
        self.open_library(path, Limits::default()).map(|library| library.said()).map_err(error)
    }

    fn reject_shadowed(&mut self) {
        let mut first: BTreeMap<(String, Role), String> = BTreeMap::new();
        for entry in self.entries.iter_mut().filter(|entry| entry.rejected.is_none()) {
            let (Some(id), Some(role)) = (&entry.id, entry.role) else { continue };
            let place =
                entry.path.as_ref().map_or("the built-in one".into(), |path| path.display().to_string());
            match first.get(&(id.to_string(), role)) {
                Some(winner) => entry.rejected = Some(format!("{winner} comes first in the search order")),
                None => {
                    first.insert((id.to_string(), role), place);
                }
            }
        }
    }
}

impl Entry {
    /// What its code may do, in words.
    pub fn permissions(&self) -> String {
        let Limits { memory_mib, step_seconds, start_seconds } = self.limits;
        match self.loader {
            Loader::Native => "everything its user may do, outside the sandbox".into(),
            Loader::Builtin if self.sha256.is_empty() => "part of the program".into(),
            Loader::Wasm | Loader::Builtin => format!(
                "computes in the sandbox: no files, network or clock; {memory_mib} MiB, {step_seconds} s per step, \
                 {start_seconds} s to start"
            ),
        }
    }

    /// Whether any of its external dependencies is missing.
    pub fn lacks_setup(&self) -> bool {
        let lacks = |of: &Dependencies| !setup::lacking(setup::folder().as_deref(), of).is_empty();
        self.setup.as_ref().is_some_and(lacks)
    }

    /// The id as text.
    pub(super) fn named(&self) -> Option<String> {
        self.id.as_ref().map(PluginId::to_string)
    }

    /// A file of which no more is known than its path.
    fn unknown(path: &Path) -> Self {
        Entry {
            id: None,
            role: None,
            loader: if is_library(path) { Loader::Native } else { Loader::Wasm },
            version: String::new(),
            summary: String::new(),
            path: Some(path.to_owned()),
            sha256: String::new(),
            rejected: None,
            limits: Limits::default(),
            setup: None,
            on_command_line: false,
            leads: false,
            builtin: None,
        }
    }

    fn builtin(builtin: &'static Builtin) -> Self {
        let manifest = potstill_plugin_api::Manifest::parse(builtin.manifest);
        let checked = manifest.and_then(|manifest| manifest.check_api().map(|()| manifest));
        let (manifest, rejected) = match checked {
            Ok(manifest) => (Some(manifest), None),
            Err(e) => (None, Some(e.to_string())),
        };
        let provided = manifest.as_ref().and_then(|m| m.provides.first());
        Entry {
            id: provided.map(|provided| provided.id.clone()),
            role: manifest.as_ref().map(|m| m.role),
            loader: Loader::Builtin,
            version: manifest.as_ref().map(|m| m.version.clone()).unwrap_or_default(),
            summary: provided.map(|provided| provided.summary.clone()).unwrap_or_default(),
            path: None,
            sha256: builtin.wasm.map(|wasm| hex(&Sha256::digest(wasm))).unwrap_or_default(),
            rejected,
            limits: Limits::granted(&manifest.map_or_else(LimitWishes::default, |m| m.limits)),
            setup: None,
            on_command_line: false,
            leads: true,
            builtin: Some(builtin),
        }
    }
}

/// A plugin whose code is ready to run.
struct Opened {
    plugin: String,
    code: Code,
    sha256: String,
}

enum Code {
    Environment(Program<EnvironmentWorld>),
    Learner(Program<LearnerWorld>),
    Objective(Program<ObjectiveWorld>),
    Native(NativePlugin),
    #[cfg(unix)]
    Isolated(IsolatedPlugin),
}

/// A shared library that was opened, in this process or a separate one.
enum Library {
    Native(Vec<NativePlugin>),
    #[cfg(unix)]
    Isolated(IsolatedLibrary),
}

impl Library {
    /// The roles and identities of its plugins.
    fn said(&self) -> Vec<(Role, wasm::Identity)> {
        let said = |id: &String, version: &String, summary: &String| wasm::Identity {
            id: id.clone(),
            version: version.clone(),
            summary: summary.clone(),
            api_version: API_VERSION.to_owned(),
        };
        match self {
            Library::Native(all) => {
                all.iter().map(|of| (of.role, said(&of.id, &of.version, &of.summary))).collect()
            }
            #[cfg(unix)]
            Library::Isolated(library) => {
                let all = library.descriptions.iter();
                all.map(|of| (of.role, said(&of.id, &of.version, &of.summary))).collect()
            }
        }
    }

    /// The plugin with this index.
    fn choose(self, number: usize) -> Result<Code, String> {
        match self {
            Library::Native(mut all) => Ok(Code::Native(all.swap_remove(number))),
            #[cfg(unix)]
            Library::Isolated(library) => library.choose(number).map(Code::Isolated),
        }
    }
}

/// What to do with a file without a manifest: only running it would tell which plugins it has.
#[derive(Clone, Copy)]
enum Bare {
    /// Run it, because somebody named it.
    Ask,
    /// Do not, because a search found it.
    Reject,
}

/// Marks the plugins of one file that are the first of their names.
fn mark_leaders(entries: &mut [Entry]) {
    let mut names = BTreeSet::new();
    for entry in entries {
        entry.leads = entry.id.as_ref().is_none_or(|id| names.insert((entry.role, id.base().to_owned())));
    }
}

/// A way to write a plugin's name, given whether the plugin is the first of its name in its file.
type Way = fn(&PluginId, bool) -> Option<String>;

/// The id, and the id without its version.
const WITH_NAMESPACE: [Way; 2] =
    [|id, _| Some(id.to_string()), |id, leads| leads.then(|| id.base().to_owned())];
/// The same without the namespace.
const WITHOUT_NAMESPACE: [Way; 2] = [
    |id, _| Some(format!("{}-v{}", id.name(), id.version())),
    |id, leads| leads.then(|| id.name().to_owned()),
];

/// The entry that `typed` names, with or without its namespace.
fn called<'a>(entries: impl Iterator<Item = &'a Entry> + Clone, typed: &str) -> Result<Option<&'a Entry>> {
    let found = called_in(WITH_NAMESPACE, entries.clone(), typed)?;
    found.map_or_else(|| called_in(WITHOUT_NAMESPACE, entries, typed), |entry| Ok(Some(entry)))
}

/// The entry that `typed` names in the first of these ways that fits one.
fn called_in<'a>(
    ways: [Way; 2],
    entries: impl Iterator<Item = &'a Entry> + Clone,
    typed: &str,
) -> Result<Option<&'a Entry>> {
    for way in ways {
        let mut found: Option<(&PluginId, &Entry)> = None;
        for entry in entries.clone() {
            let Some(id) = entry.id.as_ref().filter(|id| way(id, entry.leads).as_deref() == Some(typed))
            else {
                continue;
            };
            match found {
                Some((other, _)) if other.base() != id.base() => {
                    let (a, b) = (other.base().min(id.base()), other.base().max(id.base()));
                    return Err(Error::usage(format!("`{typed}` is ambiguous: it may be `{a}` or `{b}`")));
                }
                Some((other, _)) if other.version() >= id.version() => {}
                _ => found = Some((id, entry)),
            }
        }
        if let Some((_, entry)) = found {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// A component that is about to be loaded.
struct Loading<'a> {
    sandbox: &'a Arc<Sandbox>,
    entry: &'a Entry,
    plugin: &'a str,
    wasm: &'a [u8],
    log: LogSink,
}

impl Loading<'_> {
    /// Compiles it as a plugin of one role and asks for its identity.
    fn program<W: wasm::World>(self) -> Result<(Program<W>, wasm::Identity)> {
        let Loading { sandbox, entry, plugin, wasm, log } = self;
        let program = Program::load(sandbox, plugin, &entry.summary, wasm, entry.limits, log)?;
        let said = program.describe()?;
        Ok((program, said))
    }
}

impl Opened {
    fn options(&self) -> Result<Vec<OptionSchema>> {
        match &self.code {
            Code::Environment(program) => program.options(),
            Code::Learner(program) => program.options(),
            Code::Objective(program) => program.options(),
            Code::Native(native) => Ok(native.options.clone()),
            #[cfg(unix)]
            Code::Isolated(isolated) => Ok(isolated.description.options.clone()),
        }
    }

    fn make(self, settings: &[(String, String)], num_envs: usize) -> Result<Box<dyn Environments>> {
        if num_envs == 0 {
            return Err(Error::usage(format!(
                "plugin `{}`: at least one environment is needed",
                self.plugin
            )));
        }
        if let Code::Native(native) = self.code {
            return native.environments(settings, num_envs);
        }
        let settings = self.resolved(settings)?;
        match self.code {
            Code::Environment(program) => {
                let (raw, spec) = program.make(num_envs, &settings)?;
                Ok(Box::new(Checked::new(raw, spec, num_envs)?))
            }
            #[cfg(unix)]
            Code::Isolated(isolated) => {
                let (raw, spec) = IsolatedEnvironments::make(isolated, num_envs, &settings)
                    .map_err(|fault| fault.error(&self.plugin))?;
                Ok(Box::new(Checked::new(raw, spec, num_envs)?))
            }
            _ => Err(self.other_role()),
        }
    }

    fn resolved(&self, settings: &[(String, String)]) -> Result<Vec<(String, OptionValue)>> {
        resolve(&self.plugin, &self.options()?, settings)
    }

    fn learner(self, settings: &[(String, String)]) -> Result<Box<dyn LearnerDistribution>> {
        if let Code::Native(native) = self.code {
            return native.learner(settings);
        }
        let settings = self.resolved(settings)?;
        match self.code {
            #[cfg(unix)]
            Code::Isolated(isolated) => {
                let learners = IsolatedLearners::new(isolated);
                Ok(Box::new(TracedLearners::new(&self.plugin, learners, settings)))
            }
            Code::Learner(program) => Ok(Box::new(WasmLearners::new(program, settings))),
            _ => Err(self.other_role()),
        }
    }

    fn objective(self, settings: &[(String, String)], task: &Task) -> Result<Box<dyn Objective>> {
        if let Code::Native(native) = self.code {
            return native.objective(settings, task);
        }
        let settings = self.resolved(settings)?;
        match self.code {
            #[cfg(unix)]
            Code::Isolated(isolated) => {
                let make = |settings: &[_], task: &_| IsolatedObjective::make(isolated, settings, task);
                Ok(Box::new(TracedObjective::new(&self.plugin, settings, task, make)?))
            }
            Code::Objective(program) => Ok(Box::new(WasmObjective::new(program, settings, task)?)),
            _ => Err(self.other_role()),
        }
    }

    /// An error for a plugin of the wrong role. The registry looks plugins up by role, so this would be a bug in the host.
    fn other_role(&self) -> Error {
        self.error("load", "it is a plugin of another role".into())
    }

    fn error(&self, function: &str, cause: String) -> Error {
        Error::Plugin { plugin: self.plugin.clone(), function: function.into(), cause }
    }
}
