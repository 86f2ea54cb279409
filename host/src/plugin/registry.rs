use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use potstill_plugin_api::{EnvironmentSpec, LimitWishes, OptionSchema, PluginId, Role, check_api_version};
use potstill_sdk::native::NativeEnvironment;
use sha2::{Digest, Sha256};

use super::builtin::{BuiltinEnvironment, NativeEnvironments};
use super::check::Checked;
use super::environment::Environments;
use super::settings::{self, resolve};
use super::source::{Candidate, scan};
use super::wasm::{LogLevel, LogSink, Program, Sandbox, hex};
use super::{Limits, wasm};
use crate::error::{Error, IoContext, Result, did_you_mean};

/// What carries a plugin's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loader {
    /// A sandboxed component on disk.
    Wasm,
    /// Part of the program.
    Builtin,
}

impl std::fmt::Display for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Loader::Wasm => "wasm",
            Loader::Builtin => "built-in",
        })
    }
}

/// A plugin that was found, usable or not.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its id, unless it was rejected before that was known.
    pub id: Option<PluginId>,
    /// What it adds, unless that is unknown.
    pub role: Option<Role>,
    /// What carries its code.
    pub loader: Loader,
    /// Release of the binary; empty when unknown.
    pub version: String,
    /// One sentence; empty when unknown.
    pub summary: String,
    /// Where it lies; `None` for a built-in.
    pub path: Option<PathBuf>,
    /// SHA-256 of the `.wasm` file, in hexadecimal, as it was when found; empty when there is none.
    pub sha256: String,
    /// Why it cannot be used, when it cannot.
    pub rejected: Option<String>,
    /// What it may take when it runs in the sandbox.
    pub limits: Limits,
    builtin: Option<&'static BuiltinEnvironment>,
}

/// All there is to know of a plugin with some settings.
#[derive(Clone, Debug)]
pub struct Description {
    /// What the registry knows.
    pub entry: Entry,
    /// The options it accepts.
    pub options: Vec<OptionSchema>,
    /// What each environment is, with the settings.
    pub spec: EnvironmentSpec,
    /// SHA-256 of the binary that was just run, in hexadecimal.
    pub sha256: String,
}

/// The plugins that can be named.
pub struct Registry {
    entries: Vec<Entry>,
    sandbox: Arc<Sandbox>,
    log: LogSink,
    prefer_native: bool,
}

impl Registry {
    /// Looks for plugins: in `named` (`--plugin PATH`), then in the paths of `POTSTILL_PLUGIN_PATH`, in
    /// `potstill/plugins` in the user's data folder, and among the built-ins. The first of an id wins. A path is a
    /// `.wasm` file, a folder with a `plugin.toml`, or a folder of either.
    ///
    /// Only a `.wasm` without manifest is run to learn who it is; everything else is found without running it.
    ///
    /// # Errors
    /// [`Error::Usage`]: a path in `named` does not exist or holds no usable plugin. Elsewhere such a thing becomes a
    /// rejected [`Entry`], so that one broken plugin does not stop the others.
    pub fn discover(named: &[PathBuf]) -> Result<Self> {
        let mut searched: Vec<PathBuf> = match env::var_os("POTSTILL_PLUGIN_PATH") {
            Some(paths) => env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()).collect(),
            None => vec![],
        };
        searched.extend(
            dirs::data_dir().map(|data| data.join("potstill").join("plugins")).filter(|p| p.is_dir()),
        );
        Self::of(named, &searched)
    }

    /// As [`Registry::discover`], with `searched` in place of the environment variable and the user's folder.
    ///
    /// # Errors
    /// As [`Registry::discover`].
    pub fn of(named: &[PathBuf], searched: &[PathBuf]) -> Result<Self> {
        let sandbox = Sandbox::new().map_err(|e| Error::usage(format!("the sandbox cannot start: {e}")))?;
        let log: LogSink = Arc::new(|plugin, level, message| {
            if level >= LogLevel::Warn {
                // A closed standard error must not stop what the plugin works for.
                let _ = writeln!(std::io::stderr(), "plugin `{plugin}`: {message}");
            }
        });
        let mut registry =
            Registry { entries: vec![], sandbox: Arc::new(sandbox), log, prefer_native: false };
        for path in named {
            let before = registry.entries.len();
            registry.add(path);
            let added = &registry.entries[before..];
            if let [Entry { rejected: Some(reason), path: Some(at), .. }] = added {
                return Err(Error::usage(format!("--plugin {}: {reason}", at.display())));
            }
            if added.is_empty() {
                let what = "holds no `plugin.toml` and no .wasm file";
                return Err(Error::usage(format!("--plugin {}: {what}", path.display())));
            }
        }
        searched.iter().for_each(|path| registry.add(path));
        for builtin in inventory::iter::<BuiltinEnvironment> {
            registry.entries.push(Entry::builtin(builtin));
        }
        registry.reject_shadowed();
        Ok(registry)
    }

    /// Takes over the messages of plugins; without it, warnings go to standard error.
    pub fn on_log(&mut self, log: LogSink) {
        self.log = log;
    }

    /// Whether built-ins that are also linked as native code run as such, outside the sandbox. The results are the
    /// same to the bit; the sandbox costs a microsecond a call.
    pub fn prefer_native(&mut self, native: bool) {
        self.prefer_native = native;
    }

    /// Everything that was found, rejected plugins included, in the order of the search.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The environment plugin that `id` names: `name-vN`, or `name` for its newest version.
    ///
    /// # Errors
    /// [`Error::Usage`]: there is none (with the closest id), or it was rejected (with the reason).
    pub fn environment(&self, id: &str) -> Result<&Entry> {
        let is = |entry: &&Entry| entry.role == Some(Role::Environment);
        let usable = || self.entries.iter().filter(is).filter(|entry| entry.rejected.is_none());
        let exact = usable().find(|entry| entry.named().as_deref() == Some(id));
        let of_base = |entry: &&Entry| entry.id.as_ref().is_some_and(|known| known.base() == id);
        let newest = || usable().filter(of_base).max_by_key(|entry| entry.id.as_ref().map(PluginId::version));
        if let Some(entry) = exact.or_else(newest) {
            return Ok(entry);
        }
        let rejected =
            self.entries.iter().find(|entry| entry.named().as_deref() == Some(id) || of_base(entry));
        if let Some(Entry { rejected: Some(reason), path, .. }) = rejected {
            let at = path.as_ref().map(|path| format!(" at {}", path.display())).unwrap_or_default();
            return Err(Error::usage(format!("plugin `{id}`{at} cannot be used: {reason}")));
        }
        // A name typed without version is compared with names without version.
        let known: Vec<String> = match id.parse::<PluginId>() {
            Ok(_) => usable().filter_map(Entry::named).collect(),
            Err(_) => usable().filter_map(|entry| Some(entry.id.as_ref()?.base().to_owned())).collect(),
        };
        let hint = did_you_mean(id, known.iter().map(String::as_str));
        Err(Error::usage(format!("there is no environment `{id}`.{hint}")))
    }

    /// The options that an environment accepts.
    ///
    /// # Errors
    /// As [`Registry::environment`], or [`Error::Plugin`].
    pub fn options(&self, id: &str) -> Result<Vec<OptionSchema>> {
        self.open(self.environment(id)?)?.options()
    }

    /// Makes `num_envs` copies of an environment with `settings` (`NAME`, `VALUE`), the others at their defaults.
    ///
    /// # Errors
    /// [`Error::Usage`] for the id and the settings, [`Error::Plugin`] when the plugin fails or refuses.
    pub fn make_environments(
        &self,
        id: &str,
        settings: &[(String, String)],
        num_envs: usize,
    ) -> Result<Box<dyn Environments>> {
        self.open(self.environment(id)?)?.make(settings, num_envs)
    }

    /// Opens an environment and says all about it.
    ///
    /// # Errors
    /// As [`Registry::make_environments`].
    pub fn describe(&self, id: &str, settings: &[(String, String)]) -> Result<Description> {
        let entry = self.environment(id)?;
        let opened = self.open(entry)?;
        let environments = opened.make(settings, 1)?;
        Ok(Description {
            entry: entry.clone(),
            options: opened.options()?,
            spec: environments.spec().clone(),
            sha256: opened.sha256,
        })
    }

    fn open(&self, entry: &Entry) -> Result<Opened> {
        let plugin = entry.named().unwrap_or_default();
        let from_disk;
        let wasm: &[u8] = match (entry.builtin, &entry.path) {
            (Some(builtin), _) => builtin.wasm,
            (None, Some(path)) => {
                from_disk = fs::read(path).at(path)?;
                &from_disk
            }
            (None, None) => &[],
        };
        let sha256 = hex(&Sha256::digest(wasm));
        let native = entry.builtin.and_then(|builtin| builtin.native).filter(|_| self.prefer_native);
        let code = match native {
            Some(native) => Code::Native(native()),
            None => {
                let program = Program::load(
                    &self.sandbox,
                    &plugin,
                    &entry.summary,
                    wasm,
                    entry.limits,
                    self.log.clone(),
                )?;
                let said = program.describe()?;
                let mismatch = |what: &str, said: &str, expected: &str| {
                    let cause =
                        format!("the binary says {what} `{}`, expected `{expected}`", said.escape_default());
                    Err(Error::Plugin { plugin: plugin.clone(), function: "describe".into(), cause })
                };
                if said.id != plugin {
                    return mismatch("id", &said.id, &plugin);
                }
                if said.version != entry.version {
                    return mismatch("version", &said.version, &entry.version);
                }
                Code::Wasm(program)
            }
        };
        Ok(Opened { plugin, code, sha256 })
    }

    fn add(&mut self, path: &Path) {
        for candidate in scan(path) {
            let entry = self.entry(candidate);
            self.entries.push(entry);
        }
    }

    fn entry(&self, candidate: Candidate) -> Entry {
        let Candidate { path, manifest } = candidate;
        let mut entry = Entry {
            id: None,
            role: None,
            loader: Loader::Wasm,
            version: String::new(),
            summary: String::new(),
            path: Some(path.clone()),
            sha256: String::new(),
            rejected: None,
            limits: Limits::default(),
            builtin: None,
        };
        let wasm = match fs::read(&path) {
            Ok(wasm) => wasm,
            Err(e) => {
                entry.rejected = Some(manifest.err().unwrap_or_else(|| e.to_string()));
                return entry;
            }
        };
        match manifest {
            Ok(Some(manifest)) => {
                entry.sha256 = hex(&Sha256::digest(&wasm));
                entry.limits = Limits::granted(&manifest.limits);
                entry.role = Some(manifest.role);
                entry.id = Some(manifest.id);
                entry.version = manifest.version;
                entry.summary = manifest.summary;
                if manifest.role != Role::Environment {
                    entry.rejected = Some(format!("this Potstill loads no {} plugins yet", manifest.role));
                }
            }
            Ok(None) => {
                entry.sha256 = hex(&Sha256::digest(&wasm));
                match self.ask(&path, &wasm) {
                    Ok(said) => {
                        entry.role = Some(Role::Environment);
                        entry.version = super::text::tame(&said.version, 40);
                        entry.summary = super::text::tame(&said.summary, 200);
                        match (said.id.parse(), check_api_version(&said.api_version)) {
                            (Ok(id), Ok(())) => entry.id = Some(id),
                            (Err(e), _) => entry.rejected = Some(e.to_string()),
                            (_, Err(e)) => entry.rejected = Some(e),
                        }
                    }
                    Err(e) => entry.rejected = Some(e.to_string()),
                }
            }
            Err(reason) => entry.rejected = Some(reason),
        }
        entry
    }

    /// Asks a component without manifest who it is.
    fn ask(&self, path: &Path, wasm: &[u8]) -> Result<wasm::Description> {
        let name = path.display().to_string();
        Program::load(&self.sandbox, &name, "", wasm, Limits::default(), self.log.clone())?.describe()
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
    fn named(&self) -> Option<String> {
        self.id.as_ref().map(PluginId::to_string)
    }

    fn builtin(builtin: &'static BuiltinEnvironment) -> Self {
        let manifest = potstill_plugin_api::Manifest::parse(builtin.manifest);
        let checked = manifest.and_then(|manifest| manifest.check_api().map(|()| manifest));
        let (manifest, rejected) = match checked {
            Ok(manifest) => (Some(manifest), None),
            Err(e) => (None, Some(e.to_string())),
        };
        let text =
            |field: fn(&potstill_plugin_api::Manifest) -> &String| manifest.as_ref().map(field).cloned();
        Entry {
            id: manifest.as_ref().map(|m| m.id.clone()),
            role: manifest.as_ref().map(|m| m.role),
            loader: Loader::Builtin,
            version: text(|m| &m.version).unwrap_or_default(),
            summary: text(|m| &m.summary).unwrap_or_default(),
            path: None,
            sha256: hex(&Sha256::digest(builtin.wasm)),
            rejected,
            limits: Limits::granted(&manifest.map_or_else(LimitWishes::default, |m| m.limits)),
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
    Wasm(Program),
    Native(NativeEnvironment),
}

impl Opened {
    fn options(&self) -> Result<Vec<OptionSchema>> {
        match &self.code {
            Code::Wasm(program) => program.options(),
            Code::Native(native) => {
                let options = (native.options)();
                settings::check_options(&options).map_err(|cause| self.error("options", cause))?;
                Ok(options)
            }
        }
    }

    fn make(&self, settings: &[(String, String)], num_envs: usize) -> Result<Box<dyn Environments>> {
        if num_envs == 0 {
            return Err(Error::usage(format!(
                "plugin `{}`: at least one environment is needed",
                self.plugin
            )));
        }
        let settings = resolve(&self.plugin, &self.options()?, settings)?;
        match &self.code {
            Code::Wasm(program) => {
                let (raw, spec) = program.make(num_envs, &settings)?;
                Ok(Box::new(Checked::new(raw, spec, num_envs)?))
            }
            Code::Native(native) => {
                let made = NativeEnvironments::make(native, num_envs, &settings);
                let (raw, spec) = made.map_err(|cause| self.error("make", cause))?;
                Ok(Box::new(Checked::new(raw, spec, num_envs)?))
            }
        }
    }

    fn error(&self, function: &str, cause: String) -> Error {
        Error::Plugin { plugin: self.plugin.clone(), function: function.into(), cause }
    }
}
