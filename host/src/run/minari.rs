//! Reads and writes Minari datasets, by Minari itself in the user's own Python: all of its formats and versions, and none of
//! their libraries here. `minari.py` says what the two programs tell each other.
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use potstill_plugin_api::Space;
use serde::Deserialize;
use serde_json::json;

use super::dataset::DatasetEnvironment;
use super::tensor::MAX_STATE;
use super::transitions::{Transitions, TransitionsInfo};
use crate::error::{Error, IoContext, Result, did_you_mean, not_started};
use crate::files;
use crate::plugin::text::{counted, tame};
use crate::plugin::{Actions, Observations};

const SCRIPT: &str = include_str!("minari.py");
/// Exits with [`LACKING`] if there is no Minari. As in `minari.py`, modules are not imported from the current folder.
const SEARCH: &str = "import sys\nsys.path = [place for place in sys.path if place]\nimport importlib.util\n\
                      sys.exit(0 if importlib.util.find_spec('minari') else 3)";
const LACKING: i32 = 3;
/// What pip installs: Minari, the libraries of its formats, and Pillow, which it imports and does not ask for.
const PACKAGES: &str = "minari h5py pyarrow pillow";
/// The most characters of a dataset's own words that are kept.
const WORDS: usize = 200;
/// How often a stop is looked for.
const TICK: Duration = Duration::from_millis(50);

/// A Python with Minari.
pub struct Minari {
    python: PathBuf,
}

/// The transitions of a Minari dataset.
pub struct FromMinari {
    /// The transitions.
    pub transitions: Transitions,
    /// What the user should know, in sentences.
    pub notes: Vec<String>,
}

/// How a Minari dataset is written.
#[derive(Clone, Copy, Debug)]
pub struct ToMinari<'a> {
    /// The file of transitions, as [`Transitions::save`] wrote it.
    pub file: &'a Path,
    /// The name of the dataset, e.g. `potstill/hopper-v0`.
    pub name: &'a str,
    /// The folder of datasets; `None` is Minari's own.
    pub folder: Option<&'a Path>,
    /// Minari's name of the format, e.g. `hdf5`.
    pub format: &'a str,
    /// The id of the same environment in Gymnasium, which the dataset then names.
    pub gymnasium: Option<&'a str>,
}

/// A line from `minari.py`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    About(Box<About>),
    Progress(usize, usize),
    Read { episodes: usize, unfinished: usize, rounded: Vec<String> },
    Written { folder: String },
    Refused(String),
    Unknown { folder: String, names: Vec<String> },
    Lacking(String),
}

/// What a dataset says of itself.
#[derive(Deserialize)]
struct About {
    observation: Space,
    action: Space,
    gymnasium: Option<String>,
    id: String,
    algorithm: String,
    minari: String,
}

impl Minari {
    /// Finds the user's Python: `$POTSTILL_PYTHON`, `python3` or `python`, the first that has Minari.
    ///
    /// # Errors
    /// [`Error::Usage`]: there is no Python, or it lacks Minari; the message says how to install it.
    pub fn find() -> Result<Self> {
        let named = std::env::var_os("POTSTILL_PYTHON").map(PathBuf::from);
        Self::among(named.into_iter().chain(["python3".into(), "python".into()]))
    }

    fn among(pythons: impl Iterator<Item = PathBuf>) -> Result<Self> {
        let mut lacking = None;
        for python in pythons {
            let mut command = Command::new(&python);
            command.args(["-c", SEARCH]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            match command.status().ok().and_then(|status| status.code()) {
                Some(0) => return Ok(Minari { python }),
                Some(LACKING) => drop(lacking.get_or_insert(python)),
                _ => {}
            }
        }
        Err(Error::usage(match lacking {
            Some(python) => format!(
                "{0} has no Minari. Install it:\n    {0} -m pip install {PACKAGES}\nor name another Python with the \
                 environment variable POTSTILL_PYTHON",
                python.display()
            ),
            None => format!(
                "no Python was found, and Minari runs in one. Install Python (Debian: apt-get install python3 python3-venv) \
                 and, in it, {PACKAGES}; the environment variable POTSTILL_PYTHON names a Python that is not on the path"
            ),
        }))
    }

    /// Reads the dataset `source`, a name or a folder, as transitions of `environment`. Temporary files are in `scratch`.
    /// `progress` is called with the episodes that are done, and their number.
    ///
    /// # Errors
    /// [`Error::Usage`]: there is no such dataset, or its spaces are not those of `environment`. [`Error::Failed`]: Minari
    /// cannot read it, or transitions cannot hold it; the message says which episode. [`Error::Interrupted`] once `stop`
    /// is set.
    pub fn read(
        &self,
        source: &str,
        environment: &DatasetEnvironment,
        scratch: &Path,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<FromMinari> {
        let scratch = tempfile::Builder::new().prefix(".minari-").tempdir_in(scratch).at(scratch)?;
        let folder = scratch.path();
        let request = json!({ "task": "read", "source": source, "folder": as_text(folder)? });
        let (mut about, mut counts) = (None, None);
        self.ask(&request, source, stop, &mut |answer| {
            match answer {
                Answer::About(said) => {
                    check_spaces(&said, environment)?;
                    about = Some(said);
                }
                Answer::Progress(done, total) => progress(done, total),
                Answer::Read { episodes, unfinished, rounded } => {
                    counts = Some((episodes, unfinished, rounded))
                }
                _ => {}
            }
            Ok(())
        })?;
        let (Some(about), Some((episodes, unfinished, rounded))) = (about, counts) else {
            return Err(Error::Failed(format!("{source}: Python ended without an answer")));
        };
        let spec = &environment.spec;
        let observed = |name: &str| {
            Ok::<_, Error>(match spec.observation {
                Space::Image { .. } => Observations::Byte(bytes(folder, name)?),
                _ => Observations::Float(words(folder, name, f32::from_le_bytes)?),
            })
        };
        let flags =
            |name: &str| Ok::<_, Error>(bytes(folder, name)?.into_iter().map(|flag| flag == 1).collect());
        let said = |words: &str| tame(words.trim(), WORDS).replace('\n', " ");
        let policy = match &*said(&about.algorithm) {
            "" => "unknown policy".into(),
            algorithm => algorithm.to_owned(),
        };
        let (id, version) = (said(&about.id), said(&about.minari));
        let of = about.gymnasium.as_ref().map_or(String::new(), |id| format!(", Gymnasium's {}", said(id)));
        let transitions = Transitions {
            observations: observed("observations")?,
            actions: match spec.action {
                Space::Discrete { .. } => Actions::Discrete(words(folder, "actions", u32::from_le_bytes)?),
                _ => Actions::Continuous(words(folder, "actions", f32::from_le_bytes)?),
            },
            rewards: words(folder, "rewards", f32::from_le_bytes)?,
            terminated: flags("terminated")?,
            truncated: flags("truncated")?,
            final_observations: Some(observed("final_observations")?),
            info: TransitionsInfo {
                environment: environment.clone(),
                policy,
                acting: None,
                temperature: 1.0,
                noise: 0.0,
                seed: None,
                software: format!("potstill {}", env!("CARGO_PKG_VERSION")),
                faults: 0,
                origin: Some(format!("the Minari dataset `{id}` (Minari {version}{of})")),
            },
        };
        let mut notes = vec![];
        if !rounded.is_empty() {
            notes.push(format!("its {} are float64 and were rounded to float32", rounded.join(" and ")));
        }
        if unfinished > 0 {
            notes.push(format!(
                "{unfinished} of {} neither terminated nor was truncated: the last step counts as truncated",
                counted(episodes, "episode")
            ));
        }
        if episodes == 1 {
            notes.push("it holds a single episode".into());
        }
        Ok(FromMinari { transitions, notes })
    }

    /// Writes `transitions`, which are those of the file, as a Minari dataset, which appears whole or not at all, and returns
    /// its folder. Minari then reads it back, and every number is compared.
    ///
    /// # Errors
    /// [`Error::Usage`]: the name is not one of a dataset, or the transitions lack the observations that episodes ended
    /// with. [`Error::Failed`]: there is such a dataset, or Minari cannot write it. [`Error::Interrupted`] once `stop` is
    /// set.
    pub fn write(
        &self,
        transitions: &Transitions,
        to: &ToMinari<'_>,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<PathBuf> {
        let ToMinari { file, name, folder, format, gymnasium } = *to;
        check_name(name)?;
        if transitions.final_observations.is_none() {
            return Err(Error::file(
                file,
                "it lacks the observations that its episodes ended with, which Minari needs: an older Potstill wrote it; \
                 collect it again",
            ));
        }
        let TransitionsInfo { environment, policy, seed, software, .. } = &transitions.info;
        let settings = environment.settings.iter().map(|(name, value)| format!(", {name}={value}"));
        let seed = seed.map_or(String::new(), |seed| format!(", seed {seed}"));
        let description =
            format!("Episodes of {}{}{seed}, by {software}", environment.id, settings.collect::<String>());
        let request = json!({
            "task": "write",
            "file": as_text(&file.canonicalize().at(file)?)?,
            "name": name,
            "root": folder.map(as_text).transpose()?,
            "format": format,
            "gymnasium": gymnasium,
            "observation": environment.spec.observation,
            "action": environment.spec.action,
            "algorithm": policy,
            "description": description,
        });
        let mut place = None;
        self.ask(&request, name, stop, &mut |answer| {
            match answer {
                Answer::Progress(done, total) => progress(done, total),
                Answer::Written { folder } => place = Some(folder.into()),
                _ => {}
            }
            Ok(())
        })?;
        place.ok_or_else(|| Error::Failed(format!("{name}: Python ended without an answer")))
    }

    /// Runs `minari.py` on `request`, which is about the dataset `subject`, and passes on its answers.
    fn ask(
        &self,
        request: &serde_json::Value,
        subject: &str,
        stop: &AtomicBool,
        heard: &mut dyn FnMut(Answer) -> Result<()>,
    ) -> Result<()> {
        let failed = |what: &str| Error::Failed(format!("{subject}: {what}"));
        let mut log = tempfile::tempfile().at("a temporary file")?;
        let mut command = Command::new(&self.python);
        command.args(["-c", SCRIPT]).env("PYTHONIOENCODING", "utf-8");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log.try_clone().at("a temporary file")?);
        // A Ctrl-C of the terminal reaches this program alone, which passes it on once.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(|e| failed(&not_started("process", &e)))?;
        let mut child = Stopped(child);
        if let Some(mut input) = child.0.stdin.take() {
            // If Python has ended already, its answer says why.
            let _ = writeln!(input, "{request}");
        }
        let (send, lines) = channel();
        let output = child.0.stdout.take();
        std::thread::spawn(move || {
            let lines = output.into_iter().flat_map(|output| BufReader::new(output).lines());
            lines.map_while(|line| line.ok()).try_for_each(|line| send.send(line))
        });
        loop {
            let answer = match lines.recv_timeout(TICK) {
                Ok(line) => {
                    serde_json::from_str(&line).map_err(|e| failed(&format!("not an answer: {e}")))?
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => break,
                Err(RecvTimeoutError::Timeout) => continue,
            };
            match answer {
                Answer::Refused(why) => return Err(failed(&why)),
                Answer::Lacking(what) => {
                    return Err(Error::usage(format!(
                        "{0} lacks what Minari needs ({what}). Install it:\n    {0} -m pip install {PACKAGES}",
                        self.python.display()
                    )));
                }
                Answer::Unknown { folder, names } => {
                    let hint = did_you_mean(subject, names.iter().map(String::as_str));
                    return Err(Error::usage(format!(
                        "there is no Minari dataset `{subject}` in {folder}, and no such folder. `minari download` fetches one.\
                         {hint}"
                    )));
                }
                answer => heard(answer)?,
            }
        }
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted("; nothing was written".into()));
        }
        let status = child.0.wait().at(&self.python)?;
        if status.success() {
            return Ok(());
        }
        let mut said = vec![];
        let _ = log.seek(SeekFrom::Start(0)).and_then(|_| log.read_to_end(&mut said));
        let said = String::from_utf8_lossy(&said);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        Err(failed(&format!("Python failed ({status}): {}", tame(last, WORDS))))
    }
}

/// A process that is asked to stop, and waited for, when this is dropped. Python then removes its temporary files.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(None)) {
            return;
        }
        #[cfg(unix)]
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.0),
            rustix::process::Signal::INT,
        );
        #[cfg(not(unix))]
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Checks that a dataset's spaces are those of `environment`. The bounds of observations may differ, as those of different
/// versions of Gymnasium do; those of actions say what an action means.
fn check_spaces(about: &About, environment: &DatasetEnvironment) -> Result<()> {
    let spec = &environment.spec;
    let fits = |theirs: &Space, ours: &Space, bounds: bool| match (theirs, ours) {
        (Space::Box { low, high, .. }, Space::Box { low: own_low, high: own_high, .. }) => {
            let same = |a: &[f32], b: &[f32]| (0..ours.size()).all(|i| a[i % a.len()] == b[i % b.len()]);
            theirs.shape() == ours.shape() && !(bounds && !(same(low, own_low) && same(high, own_high)))
        }
        _ => theirs == ours,
    };
    for (name, theirs, ours, bounds) in [
        ("observation", &about.observation, &spec.observation, false),
        ("action", &about.action, &spec.action, true),
    ] {
        theirs.validate().map_err(|e| Error::usage(format!("the dataset's {name} space: {e}")))?;
        if !fits(theirs, ours, bounds) {
            let of = about.gymnasium.as_ref().map(|id| format!(" of Gymnasium's `{}`", tame(id, WORDS)));
            return Err(Error::usage(format!(
                "the dataset's {name} space is {theirs}{}; that of `{}` is {ours}: choose the environment that was recorded, \
                 with the same options and wrappers",
                of.unwrap_or_default(),
                spec.id
            )));
        }
    }
    Ok(())
}

/// Checks that `name` can be that of a Minari dataset: `(NAMESPACE/)NAME-vVERSION`.
fn check_name(name: &str) -> Result<()> {
    let word =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let (namespace, last) = name.rsplit_once('/').map_or((None, name), |(space, last)| (Some(space), last));
    let version = last.rsplit_once("-v").is_some_and(|(name, version)| {
        !name.is_empty() && !version.is_empty() && version.chars().all(|c| c.is_ascii_digit())
    });
    // Minari reads no namespace of one letter.
    let long = namespace.is_none_or(|namespace| namespace.len() > 1);
    match version && long && name.split('/').all(word) {
        true => Ok(()),
        false => Err(Error::usage(format!(
            "`{name}` cannot be the name of a Minari dataset: write NAMESPACE/NAME-v0, of letters, digits, `-` and `_`; the \
             namespace has two characters or more, or is left out"
        ))),
    }
}

/// The path as JSON can hold it.
fn as_text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Error::file(path, "the path is not text in UTF-8, which Python is given"))
}

fn bytes(folder: &Path, name: &str) -> Result<Vec<u8>> {
    files::read(&folder.join(name), MAX_STATE)
}

fn words<T>(folder: &Path, name: &str, number: fn([u8; 4]) -> T) -> Result<Vec<T>> {
    let bytes = bytes(folder, name)?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|word| number(*word)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::dataset::tests::{cartpole_spec, environment_of};
    use super::*;

    #[test]
    fn names_are_those_that_minari_reads() {
        for name in ["cartpole-v0", "mujoco/hopper/expert-v12", "a_b/c-d-v0"] {
            check_name(name).unwrap();
        }
        for name in [
            "",
            "cartpole",
            "a/b-v0",
            "a/b/-v0",
            "-v0",
            "cartpole-v",
            "a//b-v0",
            "../b-v0",
            "a b-v0",
            "/a-v0",
            "a-v0/",
            "a-v0x",
        ] {
            let error = check_name(name).unwrap_err().to_string();
            assert!(error.contains("cannot be the name"), "{name}: {error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_python_without_minari_is_told_what_to_install() {
        use std::os::unix::fs::PermissionsExt;
        let refused =
            |names: &[&str]| Minari::among(names.iter().map(PathBuf::from)).err().unwrap().to_string();
        assert!(refused(&["no-such-python"]).contains("no Python was found"));
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("python");
        std::fs::write(&python, "#!/bin/sh\nexit 3\n").unwrap();
        std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = refused(&["no-such-python", python.to_str().unwrap()]);
        let install = format!("{} -m pip install minari h5py pyarrow pillow", python.display());
        assert!(error.contains("has no Minari") && error.contains(&install), "{error}");
    }

    #[test]
    fn spaces_are_compared() {
        let environment = |action: Space| {
            environment_of(potstill_plugin_api::EnvironmentSpec { action, ..cartpole_spec() })
        };
        let about = |observation: Space, action: Space| About {
            observation,
            action,
            gymnasium: Some("CartPole-v1".into()),
            id: "cartpole-v0".into(),
            algorithm: String::new(),
            minari: "0.5.4".into(),
        };
        let force = |low: &[f32], high: f32| Space::Box { shape: vec![2], low: low.into(), high: vec![high] };
        let two = environment(Space::Discrete { n: 2 });
        check_spaces(&about(Space::unbounded([4]), Space::Discrete { n: 2 }), &two).unwrap();
        let refused = |about: About, environment: &DatasetEnvironment| {
            check_spaces(&about, environment).unwrap_err().to_string()
        };
        let error = refused(about(Space::unbounded([4]), Space::Discrete { n: 3 }), &two);
        assert!(
            error.starts_with("the dataset's action space is Discrete(3) of Gymnasium's `CartPole-v1`; that of `cartpole-v1`"),
            "{error}"
        );
        let error = refused(about(Space::Image { shape: vec![4] }, Space::Discrete { n: 2 }), &two);
        assert!(error.contains("observation space is Image([4], u8)"), "{error}");
        let error = refused(about(Space::unbounded([3]), Space::Discrete { n: 2 }), &two);
        assert!(error.contains("observation space is Box([3], -inf..inf)"), "{error}");
        let pushed = environment(force(&[-1.0], 1.0));
        check_spaces(&about(Space::unbounded([4]), force(&[-1.0, -1.0], 1.0)), &pushed).unwrap();
        let error = refused(about(Space::unbounded([4]), force(&[-1.0], 0.4)), &pushed);
        assert!(error.contains("action space is Box([2], -1..0.4)"), "{error}");
    }
}
