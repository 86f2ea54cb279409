//! The run directory: everything that a distillation writes, and everything that it needs to be resumed.
//!
//! ```text
//! runs/cartpole-v1-20250131-235959/
//!   config.toml            the resolved configuration: every value that the run depends on
//!   versions.json          the versions of Potstill and the plugins, their SHA-256, device and seed
//!   metrics.jsonl          the metrics, one JSON object per meta-epoch
//!   tensorboard/           the same metrics for TensorBoard: events.out.tfevents.*
//!   checkpoints/           the newest checkpoints, checkpoint-<meta-epoch>.safetensors
//!   dataset.safetensors    the best dataset by validation so far; checkpoints/best.safetensors is a copy
//!   dataset.svg, .png      the dataset as a picture
//!   baseline.json          what policies that do not look score in the environment
//!   report.html            the run on one page
//!   lock                   locked by the process that is running the run
//! ```
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::agent::AgentFile;
use super::atomic::{is_temporary, write_atomically};
use super::baseline::Baselines;
use super::checkpoint::Checkpoints;
use super::config::DistillConfig;
use super::dataset::Dataset;
use super::date::Date;
use super::plot::{dataset_png, dataset_svg};
use crate::error::{Error, IoContext, Result};
use crate::files;

const CONFIG: &str = "config.toml";
const VERSIONS: &str = "versions.json";
const METRICS: &str = "metrics.jsonl";
const TENSORBOARD: &str = "tensorboard";
const CHECKPOINTS: &str = "checkpoints";
const DATASET: &str = "dataset.safetensors";
const BASELINE: &str = "baseline.json";
const REPORT: &str = "report.html";
const PICTURES: [&str; 2] = ["dataset.svg", "dataset.png"];
const LOCK: &str = "lock";

/// The largest `config.toml`, `versions.json` or `baseline.json` that is read, and written.
const LARGEST_RECORD: u64 = 1 << 20;

/// The content of `versions.json`: what a run was made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Versions {
    /// The version of Potstill.
    pub potstill: String,
    /// The target as `architecture-system`, e.g. `x86_64-linux`.
    pub target: String,
    /// The device in words, e.g. `cpu (2 threads)`.
    pub device: String,
    /// The plugins of all roles.
    pub plugins: Vec<PluginVersion>,
    /// The seed of the run.
    pub seed: u64,
    /// When the run started, in seconds since 1970.
    pub started: u64,
    /// What the user changed when the run was resumed, e.g. `seed: 0 → 1 after meta-epoch 20`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
}

/// A plugin of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginVersion {
    /// The plugin's id.
    pub id: String,
    /// The plugin's version.
    pub version: String,
    /// The SHA-256 of its file in hexadecimal; `None` for a built-in.
    #[serde(default)]
    pub sha256: Option<String>,
    /// The path of its file; `None` for a built-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

impl Versions {
    /// The versions of a run that this Potstill starts now on this machine.
    pub fn current(device: impl Into<String>, plugins: Vec<PluginVersion>, seed: u64) -> Self {
        Versions {
            potstill: env!("CARGO_PKG_VERSION").into(),
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            device: device.into(),
            plugins,
            seed,
            started: super::date::unix_seconds(SystemTime::now()) as u64,
            changes: vec![],
        }
    }
}

/// A run directory. One that was created or opened stays locked until it is dropped or the process dies.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    /// The locked file; `None` in a directory that is only inspected.
    _lock: Option<File>,
}

impl RunDirectory {
    /// Makes `path` the directory of a new run and locks it. The directory may exist if it is empty.
    ///
    /// # Errors
    /// [`Error::File`] when the directory holds a run or anything else, or another process has locked it;
    /// [`Error::Io`] when it cannot be written; the errors of [`DistillConfig::save`].
    pub fn create(path: impl AsRef<Path>, config: &DistillConfig, versions: &Versions) -> Result<Self> {
        let path = path.as_ref();
        fs::create_dir_all(path).at(path)?;
        let occupied = || match is_run(path) {
            true => {
                let how = "resume it, or choose another directory";
                Err(Error::file(path, format!("the directory already holds a run: {how}")))
            }
            false => {
                let how = "choose a new or an empty one";
                Err(Error::file(path, format!("the directory is not empty and holds no run: {how}")))
            }
        };
        if !is_empty(path)? {
            return occupied();
        }
        refuse_links(path)?;
        let lock = lock(path)?;
        // Another process may have made a run here before the lock was taken.
        if is_run(path) {
            return occupied();
        }
        let run = RunDirectory { path: path.to_owned(), _lock: Some(lock) };
        remove_temporary(path)?;
        let checkpoints = run.checkpoints_path();
        fs::create_dir_all(&checkpoints).at(&checkpoints)?;
        run.save_versions(versions)?;
        // The configuration comes last: a directory that has one is a run.
        config.save(run.config_path())?;
        Ok(run)
    }

    /// As [`RunDirectory::create`], in `<parent>/<environment>-<yyyymmdd-hhmmss>` (UTC), with `-2`, `-3`, … appended where
    /// that name is taken.
    ///
    /// # Errors
    /// As [`RunDirectory::create`].
    pub fn create_named(
        parent: impl AsRef<Path>,
        config: &DistillConfig,
        versions: &Versions,
    ) -> Result<Self> {
        let parent = parent.as_ref();
        fs::create_dir_all(parent).at(parent)?;
        let name = default_name(&config.environment.id, SystemTime::now());
        for count in 1.. {
            let path = parent.join(if count == 1 { name.clone() } else { format!("{name}-{count}") });
            match fs::create_dir(&path) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                made => {
                    made.at(&path)?;
                    return Self::create(path, config, versions);
                }
            }
        }
        Err(Error::file(parent, "no name is free"))
    }

    /// Opens a run to resume it, and locks it. A killed process leaves no lock.
    ///
    /// # Errors
    /// [`Error::File`] when `path` holds no run, one of its files is a symbolic link, or another process has locked it;
    /// [`Error::Io`] when it cannot be read or written.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let mut run = Self::inspect(path)?;
        refuse_links(&run.path)?;
        run._lock = Some(lock(&run.path)?);
        remove_temporary(&run.path)?;
        Ok(run)
    }

    /// Opens a run to read from it, also while it is running.
    ///
    /// # Errors
    /// [`Error::File`] when `path` holds no run; [`Error::Io`] when it cannot be read.
    pub fn inspect(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        fs::read_dir(path).at(path)?;
        match is_run(path) {
            true => Ok(RunDirectory { path: path.to_owned(), _lock: None }),
            false => {
                Err(Error::file(path, format!("not a run directory: it has no {CONFIG} or no {VERSIONS}")))
            }
        }
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `config.toml`.
    pub fn config_path(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// The path of `metrics.jsonl`.
    pub fn metrics_path(&self) -> PathBuf {
        self.path.join(METRICS)
    }

    /// The path of `dataset.safetensors`.
    pub fn dataset_path(&self) -> PathBuf {
        self.path.join(DATASET)
    }

    /// The path of the dataset from when the encoder had so many layers, in a run that rolls its encoder back.
    pub fn encoder_path(&self, layers: usize) -> PathBuf {
        self.path.join(format!("dataset-l{layers}.safetensors"))
    }

    /// The path of `report.html`.
    pub fn report_path(&self) -> PathBuf {
        self.path.join(REPORT)
    }

    /// The path of `checkpoints/`.
    pub fn checkpoints_path(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// The run's checkpoints.
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(self.checkpoints_path())
    }

    /// Reads `config.toml`. A run's configuration has every key: one without its tables was emptied or cut short.
    ///
    /// # Errors
    /// As [`DistillConfig::load`]; [`Error::File`] when it is not whole.
    pub fn config(&self) -> Result<DistillConfig> {
        let path = self.config_path();
        let text = files::read_text(&path, LARGEST_RECORD)?;
        let config = DistillConfig::parse(&text).map_err(|what| Error::file(&path, what))?;
        let table: toml::Table = toml::from_str(&text).map_err(|e| Error::file(&path, e))?;
        match ["environment", "learner", "objective", "evaluation"]
            .iter()
            .find(|key| !table.contains_key(**key))
        {
            None => Ok(config),
            Some(key) => Err(Error::file(
                &path,
                format!(
                    "lacks `{key}`: the configuration of a run is complete, and this one was cut short; restore it"
                ),
            )),
        }
    }

    /// Reads `versions.json`.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read; [`Error::File`] when it does not hold [`Versions`].
    pub fn versions(&self) -> Result<Versions> {
        let path = self.path.join(VERSIONS);
        serde_json::from_slice(&files::read(&path, LARGEST_RECORD)?)
            .map_err(|e| Error::file(&path, format!("not the versions of a run ({e})")))
    }

    /// The recorded plugins that the configuration names, and the learner of the teacher that it names.
    ///
    /// # Errors
    /// As [`RunDirectory::config`] and [`RunDirectory::versions`].
    pub fn plugins(&self) -> Result<Vec<PluginVersion>> {
        let config = self.config()?;
        let mut named: BTreeSet<&str> = config.learner.plugins().into_iter().map(|(id, _)| id).collect();
        named.extend([&*config.environment.id, &*config.objective.id, &*config.critic.id]);
        // Whoever needs a teacher that cannot be read says so.
        let teacher = config.teacher.agent.as_ref().and_then(|path| AgentFile::load(path).ok());
        named.extend(teacher.as_ref().map(|teacher| &*teacher.learner.id));
        let recorded = self.versions()?.plugins.into_iter();
        Ok(recorded.filter(|plugin| named.contains(&*plugin.id)).collect())
    }

    /// Writes the pictures of a dataset.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file; the errors of drawing an invalid dataset.
    pub fn save_pictures(&self, dataset: &Dataset) -> Result<()> {
        let pictures = [dataset_svg(dataset)?.into_bytes(), dataset_png(dataset)?];
        PICTURES.iter().zip(pictures).try_for_each(|(name, picture)| {
            write_atomically(&self.path.join(name), |file| file.write_all(&picture))
        })
    }

    /// Writes `versions.json`, for a run that is resumed with another build, device or plugin file.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn save_versions(&self, versions: &Versions) -> Result<()> {
        self.save_json(VERSIONS, versions)
    }

    /// Reads `baseline.json`, if there is one.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read; [`Error::File`] when it does not hold [`Baselines`].
    pub fn baselines(&self) -> Result<Option<Baselines>> {
        let path = self.path.join(BASELINE);
        if !path.try_exists().at(&path)? {
            return Ok(None);
        }
        serde_json::from_slice(&files::read(&path, LARGEST_RECORD)?)
            .map(Some)
            .map_err(|e| Error::file(&path, format!("not the baselines of a run ({e})")))
    }

    /// Writes `baseline.json`.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn save_baselines(&self, baselines: &Baselines) -> Result<()> {
        self.save_json(BASELINE, baselines)
    }

    fn save_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let path = self.path.join(name);
        let mut text = serde_json::to_string_pretty(value)
            .map_err(|e| Error::file(&path, format!("cannot be written as JSON: {e}")))?;
        text.push('\n');
        files::check_length(&path, text.len(), LARGEST_RECORD)?;
        write_atomically(&path, |file| file.write_all(text.as_bytes()))
    }
}

/// Whether `path` holds a run.
fn is_run(path: &Path) -> bool {
    path.join(CONFIG).is_file() && path.join(VERSIONS).is_file()
}

/// Whether the directory holds nothing but the files of a creation that was cut off.
fn is_empty(path: &Path) -> Result<bool> {
    for entry in fs::read_dir(path).at(path)? {
        let entry = entry.at(path)?;
        let ours = match entry.file_name().to_string_lossy().as_ref() {
            LOCK | VERSIONS => true,
            CHECKPOINTS => {
                let folder = entry.path();
                fs::read_dir(&folder).at(&folder)?.next().is_none()
            }
            name => is_temporary(name),
        };
        if !ours {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes the temporary files that a killed process left. The lock must be held.
fn remove_temporary(path: &Path) -> Result<()> {
    for entry in fs::read_dir(path).at(path)? {
        let entry = entry.at(path)?;
        if is_temporary(&entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path()).at(entry.path())?;
        }
    }
    Ok(())
}

/// Refuses a directory in which a file of a run is a symbolic link, through which a run would write elsewhere.
fn refuse_links(run: &Path) -> Result<()> {
    let files = [CONFIG, VERSIONS, METRICS, TENSORBOARD, CHECKPOINTS, DATASET, BASELINE, REPORT, LOCK];
    let is_link = |name: &&str| fs::symlink_metadata(run.join(name)).is_ok_and(|file| file.is_symlink());
    match files.into_iter().chain(PICTURES).find(is_link) {
        None => Ok(()),
        Some(name) => Err(Error::file(
            run.join(name),
            "is a symbolic link; a run is not written outside its directory: put the file itself there",
        )),
    }
}

/// Takes an advisory lock, which the system releases when the process dies, however it dies.
fn lock(run: &Path) -> Result<File> {
    let path = run.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.bits() as i32);
    }
    let mut file = options.open(&path).at(&path)?;
    let mut holder = String::new();
    // A hard link could make it any file, which must not be emptied.
    let ours = file.metadata().at(&path)?.is_file()
        && (&file).take(32).read_to_string(&mut holder).is_ok()
        && holder.trim().bytes().all(|c| c.is_ascii_digit());
    if !ours {
        return Err(Error::file(&path, "is not the lock of a run; remove it"));
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = match holder.trim() {
                "" => String::new(),
                process => format!(" (process {process})"),
            };
            let how = "wait for it, stop it, or choose another directory";
            return Err(Error::file(run, format!("another process{holder} is writing this run: {how}")));
        }
        // Some network file systems have no locks; there the user must not run two processes.
        Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => return Ok(file),
        Err(TryLockError::Error(e)) => return Err(e).at(&path),
    }
    file.set_len(0).at(&path)?;
    file.rewind().at(&path)?;
    writeln!(file, "{}", std::process::id()).at(&path)?;
    Ok(file)
}

/// The name of a new run directory: environment and time.
fn default_name(environment: &str, now: SystemTime) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
    format!("{}-{}", environment.chars().map(safe).collect::<String>(), Date::of(now).compact())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn create(path: &Path) -> Result<RunDirectory> {
        let plugin = PluginVersion { id: "mlp".into(), version: "0.1.0".into(), sha256: None, path: None };
        RunDirectory::create(path, &DistillConfig::default(), &Versions::current("cpu", vec![plugin], 3))
    }

    #[test]
    fn create_then_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let run = create(&path).unwrap();
        assert_eq!(run.config().unwrap(), DistillConfig::default());
        assert_eq!(run.versions().unwrap().seed, 3);
        assert!(run.checkpoints().latest().unwrap().0.is_none());
        drop(run);
        RunDirectory::open(&path).unwrap();
        assert!(create(&path).unwrap_err().to_string().contains("already holds a run"));
    }

    #[test]
    fn what_is_too_long_to_be_read_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let run = create(folder.path()).unwrap();
        let before = run.versions().unwrap();
        let long = Versions { device: "cpu".repeat(1 << 20), ..before.clone() };
        let error = run.save_versions(&long).unwrap_err().to_string();
        assert!(error.contains("versions.json: is not written: it would have 31"), "{error}");
        assert_eq!(run.versions().unwrap(), before);
    }

    #[test]
    fn refuses_what_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "").unwrap();
        let error = create(folder.path()).unwrap_err().to_string();
        assert!(error.contains("not empty and holds no run"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let file = folder.path().join("thesis.tex");
        assert!(matches!(create(&file), Err(Error::Io { path, .. }) if path == file));
        assert!(RunDirectory::open(folder.path()).unwrap_err().to_string().contains("not a run directory"));
        let missing = folder.path().join("missing");
        assert!(matches!(RunDirectory::open(&missing), Err(Error::Io { path, .. }) if path == missing));
    }

    #[test]
    fn takes_over_what_a_cut_off_creation_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        drop(create(&path).unwrap());
        fs::rename(path.join(CONFIG), path.join(".config.toml.99-0.tmp")).unwrap();
        assert!(RunDirectory::open(&path).is_err());
        drop(create(&path).unwrap());
        assert!(!path.join(".config.toml.99-0.tmp").exists());
        fs::remove_file(path.join(CONFIG)).unwrap();
        fs::write(path.join(CHECKPOINTS).join("checkpoint-00000001.safetensors"), "").unwrap();
        assert!(create(&path).unwrap_err().to_string().contains("not empty and holds no run"));
    }

    #[test]
    fn one_writer_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let run = create(&path).unwrap();
        let error = RunDirectory::open(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("another process (process {})", std::process::id())), "{error}");
        RunDirectory::inspect(&path).unwrap();
        drop(run);
        // What a killed process leaves: the file, with its id, and no lock.
        fs::write(path.join(LOCK), "4194304\n").unwrap();
        let run = RunDirectory::open(&path).unwrap();
        assert_eq!(fs::read_to_string(path.join(LOCK)).unwrap().trim(), std::process::id().to_string());
        drop(run);
    }

    #[test]
    fn names_do_not_collide() {
        let now = std::time::UNIX_EPOCH + Duration::from_secs(951_782_400);
        assert_eq!(default_name("ours/cartpole-v1", now), "ours-cartpole-v1-20000229-000000");
        let folder = tempfile::tempdir().unwrap();
        let versions = Versions::current("cpu", vec![], 0);
        let runs: Vec<_> = (0..4)
            .map(|_| RunDirectory::create_named(folder.path(), &DistillConfig::default(), &versions).unwrap())
            .collect();
        assert_eq!(
            runs.iter().map(|run| run.path().to_owned()).collect::<std::collections::BTreeSet<_>>().len(),
            4
        );
    }
}
