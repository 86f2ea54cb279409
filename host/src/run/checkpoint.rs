//! Checkpoints: the state from which a resumed run continues as if it had never stopped.
//!
//! `checkpoint-<meta-epoch>.safetensors` holds the tensors (θ, critic, encoder, optimizer moments, …), a JSON state and
//! the SHA-256 of both. Files are written atomically and the newest two are kept, so that a whole one exists at every
//! instant; [`Checkpoints::latest`] verifies the checksum and falls back to the one before. Flushing to the disk takes
//! longer than a small meta-epoch and guards only against power failure. One checkpoint every few seconds is therefore
//! flushed, and the newest flushed one is kept too.
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::atomic::{Durability, is_temporary};
use super::tensor::{Kind, MAX_STATE, NamedTensor, RawTensor, Values, parse_raw, write_raw};
use crate::error::{Error, IoContext, Result};
use crate::files;

const KIND: Kind = Kind {
    format: "potstill-checkpoint",
    name: "a checkpoint",
    otherwise: "not a checkpoint of Potstill",
    most: MAX_STATE,
};
const FORMAT_VERSION: u64 = 1;
/// Checkpoints that are kept.
const KEPT: usize = 2;
/// Time between checkpoints that are flushed to the disk: the most that a power failure costs.
const DISK_EVERY: Duration = Duration::from_secs(5);

/// The state of a run after a meta-epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The number of meta-epochs done.
    pub meta_epoch: u64,
    /// Everything but the tensors: counters and the best score. Its layout belongs to the engine.
    pub state: Value,
    /// Every tensor that the run continues from. Values are kept bit for bit.
    pub tensors: Vec<NamedTensor>,
    /// The state of the episodes that go on, for each learner's environments. Its layout belongs to the engine.
    pub episodes: Vec<Vec<u8>>,
}

/// The name of the state of the episodes of learner `i`.
fn name_of_episodes(i: usize) -> String {
    format!("episodes.{i}")
}

impl Checkpoint {
    /// The tensor `name`.
    ///
    /// # Errors
    /// [`Error::Usage`] when there is none; the message lists the names that exist.
    pub fn tensor(&self, name: &str) -> Result<&NamedTensor> {
        self.tensors.iter().find(|tensor| tensor.name == name).ok_or_else(|| {
            let names: Vec<_> = self.tensors.iter().map(|t| t.name.as_str()).collect();
            Error::usage(format!("the checkpoint holds no tensor `{name}`, only: {}", names.join(", ")))
        })
    }

    /// Reads and verifies one checkpoint file.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::File`] when it is damaged, cut short, from a newer version,
    /// or not a checkpoint.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let wrong = |what: String| Error::file(path, what);
        let container = parse_raw(&files::read(path, KIND.most)?, &KIND).map_err(wrong)?;
        if !container.checked {
            return Err(wrong(KIND.otherwise.into()));
        }
        let (mut tensors, mut episodes) = (vec![], vec![]);
        for RawTensor { name, shape, values } in container.tensors {
            match values {
                Values::F32(data) => {
                    tensors.push(NamedTensor { name: name.into_owned(), shape, data: data.into_owned() });
                }
                Values::U8(state) if *name == name_of_episodes(episodes.len()) && shape == [state.len()] => {
                    episodes.push(state.into_owned());
                }
                other => {
                    return Err(wrong(format!(
                        "there is no place for tensor `{name}` of {:?}",
                        other.dtype()
                    )));
                }
            }
        }
        let mut header: Value = serde_json::from_str(&container.info)
            .map_err(|e| wrong(format!("the state is not valid JSON ({e})")))?;
        let number = |name: &str| header.get(name).and_then(Value::as_u64);
        match (number("format_version"), number("meta_epoch")) {
            (Some(version), _) if version > FORMAT_VERSION => Err(wrong(format!(
                "checkpoint format {version}; this Potstill ({}) reads up to {FORMAT_VERSION}: upgrade it",
                env!("CARGO_PKG_VERSION")
            ))),
            (Some(_), Some(meta_epoch)) => {
                Ok(Checkpoint { meta_epoch, state: header["state"].take(), tensors, episodes })
            }
            _ => Err(wrong("the checkpoint's header lacks `format_version` or `meta_epoch`".into())),
        }
    }

    /// Writes the checkpoint atomically.
    ///
    /// # Errors
    /// [`Error::Io`] naming `path`; [`Error::Usage`] when two tensors have the same name or a shape does not fit its data.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.write(path.as_ref(), Durability::Disk)
    }

    fn write(&self, path: &Path, durability: Durability) -> Result<()> {
        let header = serde_json::json!({
            "format_version": FORMAT_VERSION,
            "meta_epoch": self.meta_epoch,
            "state": self.state,
        });
        let episodes = self.episodes.iter().enumerate().map(|(i, state)| RawTensor {
            name: name_of_episodes(i).into(),
            shape: vec![state.len()],
            values: Values::U8(state.into()),
        });
        // The bytes come last, so that numbers are at multiples of four bytes.
        let tensors: Vec<_> = self.tensors.iter().map(RawTensor::from).chain(episodes).collect();
        write_raw(path, &KIND, &header.to_string(), &tensors, durability)
    }
}

type ByMetaEpoch = Vec<(u64, PathBuf)>;

/// The checkpoints in the folder of a run.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    /// The newest checkpoint that this process flushed to the disk, and when.
    on_disk: Option<(u64, Instant)>,
}

impl Checkpoints {
    /// The checkpoints in `folder`, which must exist before the first [`Checkpoints::save`].
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Checkpoints { folder: folder.into(), on_disk: None }
    }

    /// The path of the checkpoint of `meta_epoch`, whether it exists or not.
    pub fn path(&self, meta_epoch: u64) -> PathBuf {
        self.folder.join(format!("checkpoint-{meta_epoch:08}.safetensors"))
    }

    /// The path of a copy of the run's dataset, from which a lost one is restored.
    pub fn best_path(&self) -> PathBuf {
        self.folder.join("best.safetensors")
    }

    /// Whether the next [`Checkpoints::save`] flushes to the disk. The first of a process does.
    pub fn waits_for_disk(&self) -> bool {
        self.on_disk.is_none_or(|(_, when)| when.elapsed() >= DISK_EVERY)
    }

    /// Writes a checkpoint, then removes all others but the one before it and the newest flushed one. Checkpoints of
    /// later meta-epochs are removed too: the run was resumed from before them, or they were found damaged.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file; the earlier checkpoints are still whole then.
    pub fn save(&mut self, checkpoint: &Checkpoint) -> Result<PathBuf> {
        let path = self.path(checkpoint.meta_epoch);
        if self.waits_for_disk() {
            checkpoint.write(&path, Durability::Disk)?;
            self.on_disk = Some((checkpoint.meta_epoch, Instant::now()));
        } else {
            checkpoint.write(&path, Durability::Process)?;
        }
        let (files, temporary) = self.files()?;
        let kept = |epoch: &u64| *epoch <= checkpoint.meta_epoch;
        let on_disk = self.on_disk.map(|(epoch, _)| epoch);
        let older = files.iter().rev().filter(|(epoch, _)| kept(epoch)).skip(KEPT);
        let older = older.filter(|(epoch, _)| on_disk != Some(*epoch));
        let abandoned = files.iter().filter(|(epoch, _)| !kept(epoch));
        for file in older.chain(abandoned).map(|(_, file)| file).chain(&temporary) {
            fs::remove_file(file).at(file)?;
        }
        Ok(path)
    }

    /// The newest whole checkpoint, if any, and a warning for each newer one that was skipped.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be read; [`Error::File`] when there are checkpoints but none is whole.
    pub fn latest(&self) -> Result<(Option<Checkpoint>, Vec<String>)> {
        let (files, _) = self.files()?;
        let mut warnings = vec![];
        for (_, file) in files.iter().rev() {
            match Checkpoint::load(file) {
                Ok(checkpoint) => return Ok((Some(checkpoint), warnings)),
                Err(e) => warnings.push(format!("{e}; trying the checkpoint before it")),
            }
        }
        match files.is_empty() {
            true => Ok((None, warnings)),
            false => {
                Err(Error::file(&self.folder, format!("no checkpoint can be used. {}", warnings.join(". "))))
            }
        }
    }

    /// The checkpoint files by ascending meta-epoch, and the temporary files that killed processes left.
    fn files(&self) -> Result<(ByMetaEpoch, Vec<PathBuf>)> {
        let (mut files, mut temporary) = (vec![], vec![]);
        for entry in fs::read_dir(&self.folder).at(&self.folder)? {
            let path = entry.at(&self.folder)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let epoch = name.strip_prefix("checkpoint-").and_then(|n| n.strip_suffix(".safetensors"));
            if let Some(epoch) = epoch.and_then(|epoch| epoch.parse().ok()) {
                files.push((epoch, path));
            } else if is_temporary(&name) {
                temporary.push(path);
            }
        }
        files.sort();
        Ok((files, temporary))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checkpoint(meta_epoch: u64) -> Checkpoint {
        let data = (0..64).map(|i| (meta_epoch * 100 + i) as f32 * 0.1).collect();
        Checkpoint {
            meta_epoch,
            state: json!({"best_return": 12.5, "rng": [1u64, u64::MAX]}),
            tensors: vec![
                NamedTensor::new("theta.x", [4, 16], data).unwrap(),
                NamedTensor::new("nan", [2], vec![f32::NAN, -0.0]).unwrap(),
                NamedTensor::scalar("theta.inner_lr", 0.5),
            ],
            episodes: vec![vec![0, 1, 255], vec![]],
        }
    }

    fn bits(checkpoint: &Checkpoint) -> (Vec<u32>, &[Vec<u8>]) {
        let numbers = checkpoint.tensors.iter().flat_map(|t| t.data.iter().map(|v| v.to_bits()));
        (numbers.collect(), &checkpoint.episodes)
    }

    fn epochs(checkpoints: &Checkpoints) -> Vec<u64> {
        checkpoints.files().unwrap().0.into_iter().map(|(epoch, _)| epoch).collect()
    }

    #[test]
    fn keeps_the_newest_two_and_the_one_on_disk_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let mut checkpoints = Checkpoints::new(folder.path());
        assert_eq!(checkpoints.latest().unwrap(), (None, vec![]));
        for epoch in [7, 8, 9, 10] {
            checkpoints.save(&checkpoint(epoch)).unwrap();
        }
        assert_eq!(epochs(&checkpoints), [7, 9, 10]);
        checkpoints.on_disk = None;
        checkpoints.save(&checkpoint(11)).unwrap();
        assert_eq!(epochs(&checkpoints), [10, 11]);
        assert!(!checkpoints.waits_for_disk());
        let (latest, warnings) = checkpoints.latest().unwrap();
        let latest = latest.unwrap();
        assert_eq!((bits(&latest), &latest.state), (bits(&checkpoint(11)), &checkpoint(11).state));
        assert_eq!(latest.tensor("theta.x").unwrap().shape, [4, 16]);
        assert!(latest.tensor("theta.z").unwrap_err().to_string().contains("theta.inner_lr"));
        assert!(warnings.is_empty());
    }

    #[test]
    fn a_torn_or_corrupt_newest_falls_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut checkpoints = Checkpoints::new(folder.path());
        checkpoints.save(&checkpoint(10)).unwrap();
        let newest = checkpoints.save(&checkpoint(20)).unwrap();
        let whole = fs::read(&newest).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for damaged in [&whole[..whole.len() / 2], &flipped, b""] {
            fs::write(&newest, damaged).unwrap();
            let (latest, warnings) = checkpoints.latest().unwrap();
            assert_eq!(latest.unwrap().meta_epoch, 10);
            assert!(warnings[0].contains("checkpoint-00000020.safetensors"), "{warnings:?}");
        }
        // Going on from 10, the damaged 20 must not count as one of the two that are kept.
        checkpoints.save(&checkpoint(15)).unwrap();
        assert_eq!(epochs(&checkpoints), [10, 15]);
        for epoch in [10, 15] {
            fs::write(checkpoints.path(epoch), b"torn").unwrap();
        }
        let error = checkpoints.latest().unwrap_err().to_string();
        assert!(error.contains("no checkpoint can be used") && error.contains("00000010"), "{error}");
    }

    #[test]
    fn a_killed_write_leaves_only_litter() {
        let folder = tempfile::tempdir().unwrap();
        let mut checkpoints = Checkpoints::new(folder.path());
        checkpoints.save(&checkpoint(1)).unwrap();
        fs::write(folder.path().join(".checkpoint-00000002.safetensors.99-0.tmp"), b"half").unwrap();
        assert_eq!(checkpoints.latest().unwrap().0.unwrap().meta_epoch, 1);
        checkpoints.save(&checkpoint(2)).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    /// A limit on file sizes stands in for a full disk, and needs no rights to set: the test runs itself under one.
    #[cfg(unix)]
    #[test]
    fn a_full_disk_names_the_file_and_keeps_the_previous() {
        const FOLDER: &str = "POTSTILL_TEST_FULL_DISK";
        let large = || {
            let mut large = checkpoint(2);
            large.tensors.push(NamedTensor::new("large", [1 << 20], vec![1.0; 1 << 20]).unwrap());
            large
        };
        if let Some(full) = std::env::var_os(FOLDER) {
            let error = Checkpoints::new(full).save(&large()).unwrap_err().to_string();
            assert!(error.contains("checkpoint-00000002.safetensors"), "{error}");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut checkpoints = Checkpoints::new(folder.path());
        checkpoints.save(&checkpoint(1)).unwrap();
        let name = "run::checkpoint::tests::a_full_disk_names_the_file_and_keeps_the_previous";
        let output = std::process::Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 1024; exec \"$0\" --exact \"$1\""])
            .arg(std::env::current_exe().unwrap())
            .arg(name)
            .env(FOLDER, folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        let (latest, warnings) = checkpoints.latest().unwrap();
        assert_eq!((latest.unwrap().meta_epoch, warnings.len()), (1, 0));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        checkpoints.save(&large()).unwrap();
    }
}
