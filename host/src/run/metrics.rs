//! The metrics of a run: `metrics.jsonl`, one JSON object per meta-epoch, and the same scalars for TensorBoard.
//!
//! `docs/reference/metrics.md` describes each metric. The JSON lines are authoritative: a resumed run cuts them at its
//! checkpoint and rewrites TensorBoard's events from them, so that neither shows a meta-epoch twice.
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::atomic::write_atomically;
use super::date::unix_seconds;
use super::events::{EventWriter, is_event_file};
use crate::error::{Error, IoContext, Result};

/// The metrics of one meta-epoch: a line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricsRecord {
    /// The number of meta-epochs done, which is the step in TensorBoard.
    pub meta_epoch: u64,
    /// When the line was written, in seconds since 1970.
    pub wall_time: f64,
    /// How long the run has worked until then, in seconds, without the time between its sessions. Files from before there
    /// was this field lack it.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// The values by name, e.g. `rollout/return`. JSON has no NaN and no infinity: they are written as `null`, which is read
    /// as NaN.
    #[serde(flatten, deserialize_with = "null_is_nan")]
    pub values: BTreeMap<String, f64>,
}

fn null_is_nan<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, f64>, D::Error> {
    let values = BTreeMap::<String, Option<f64>>::deserialize(deserializer)?;
    Ok(values.into_iter().map(|(name, value)| (name, value.unwrap_or(f64::NAN))).collect())
}

/// Appends metrics to a run directory.
#[derive(Debug)]
pub struct MetricsWriter {
    path: PathBuf,
    lines: File,
    events: EventWriter,
    /// The start of this session, and the seconds that the run worked before.
    session: (Instant, f64),
}

impl MetricsWriter {
    /// Starts the metrics of a new run in the run directory `run`.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file or folder that cannot be made, or `metrics.jsonl` when it exists already.
    pub fn create(run: impl AsRef<Path>) -> Result<Self> {
        let path = lines_path(run.as_ref());
        let lines = OpenOptions::new().append(true).create_new(true).open(&path).at(&path)?;
        let events = EventWriter::create(&events_folder(run.as_ref())?)?;
        Ok(MetricsWriter { lines, path, events, session: (Instant::now(), 0.0) })
    }

    /// Continues after `meta_epoch`: drops later lines and a torn last line, and rewrites TensorBoard's events. Also returns
    /// how many of the meta-epochs so far have no line: a power failure can lose the last ones.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file; [`Error::File`] when a line before the last is damaged.
    pub fn resume(run: impl AsRef<Path>, meta_epoch: u64) -> Result<(Self, u64)> {
        let (path, folder) = (lines_path(run.as_ref()), events_folder(run.as_ref())?);
        let mut records = match path.try_exists().at(&path)? {
            true => read_metrics(&path)?,
            false => vec![],
        };
        records.retain(|record| record.meta_epoch <= meta_epoch);
        write_atomically(&path, |file| records.iter().try_for_each(|record| file.write_all(&line(record))))?;

        let old = event_files(&folder)?;
        let mut events = EventWriter::create(&folder)?;
        for record in &records {
            write_events(&mut events, record)?;
        }
        for file in old {
            fs::remove_file(&file).at(&file)?;
        }
        let lines = OpenOptions::new().append(true).open(&path).at(&path)?;
        let before = records.last().and_then(|record| record.seconds).unwrap_or(0.0);
        let lost = meta_epoch.saturating_sub(records.len() as u64);
        Ok((MetricsWriter { path, lines, events, session: (Instant::now(), before) }, lost))
    }

    /// How long the run has worked, over all its sessions, in seconds.
    pub fn seconds(&self) -> f64 {
        let (start, before) = self.session;
        before + start.elapsed().as_secs_f64()
    }

    /// Appends the values of `meta_epoch`, and hands them to the operating system.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file; [`Error::Usage`] for a metric named `meta_epoch`, `wall_time` or `seconds`.
    pub fn append<'a>(
        &mut self,
        meta_epoch: u64,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<()> {
        let record = MetricsRecord {
            meta_epoch,
            wall_time: unix_seconds(SystemTime::now()),
            seconds: Some(self.seconds()),
            values: values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        let fields = ["meta_epoch", "wall_time", "seconds"];
        if let Some(name) = fields.into_iter().find(|name| record.values.contains_key(*name)) {
            return Err(Error::usage(format!(
                "a metric cannot be named `{name}`: every line has that field"
            )));
        }
        self.lines.write_all(&line(&record)).at(&self.path)?;
        write_events(&mut self.events, &record)
    }

    /// Flushes every line to the disk.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn sync(&self) -> Result<()> {
        self.lines.sync_data().at(&self.path)
    }

    /// The path of the event file for TensorBoard.
    pub fn events_path(&self) -> &Path {
        self.events.path()
    }
}

/// Reads `metrics.jsonl`, by ascending meta-epoch. A torn last line, which a killed run may leave, is skipped.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::File`] naming a line that is not a metrics record or is out of
/// order.
pub fn read_metrics(path: impl AsRef<Path>) -> Result<Vec<MetricsRecord>> {
    let path = path.as_ref();
    let bytes = fs::read(path).at(path)?;
    let mut records: Vec<MetricsRecord> = vec![];
    for (number, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        if !line.ends_with(b"\n") {
            break;
        }
        let wrong = |what: String| Error::file(path, format!("line {}: {what}", number + 1));
        let record: MetricsRecord =
            serde_json::from_slice(line).map_err(|e| wrong(format!("not a metrics record ({e})")))?;
        if let Some(previous) = records.last().filter(|previous| previous.meta_epoch >= record.meta_epoch) {
            return Err(wrong(format!("meta-epoch {} after {}", record.meta_epoch, previous.meta_epoch)));
        }
        records.push(record);
    }
    Ok(records)
}

fn line(record: &MetricsRecord) -> Vec<u8> {
    let value =
        |value: f64| serde_json::Number::from_f64(value).map_or("null".into(), |number| number.to_string());
    let mut line =
        format!("{{\"meta_epoch\":{},\"wall_time\":{}", record.meta_epoch, value(record.wall_time));
    if let Some(seconds) = record.seconds {
        line += &format!(",\"seconds\":{}", value(seconds));
    }
    for (name, number) in &record.values {
        line += &format!(",{}:{}", serde_json::Value::from(name.as_str()), value(*number));
    }
    line += "}\n";
    line.into_bytes()
}

fn write_events(events: &mut EventWriter, record: &MetricsRecord) -> Result<()> {
    let values = record.values.iter().map(|(name, value)| (name.as_str(), *value));
    events.scalars(record.wall_time, record.meta_epoch, values)
}

fn lines_path(run: &Path) -> PathBuf {
    run.join("metrics.jsonl")
}

fn events_folder(run: &Path) -> Result<PathBuf> {
    let folder = run.join("tensorboard");
    fs::create_dir_all(&folder).at(&folder)?;
    Ok(folder)
}

fn event_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = vec![];
    for entry in fs::read_dir(folder).at(folder)? {
        let entry = entry.at(folder)?;
        if is_event_file(&entry.file_name().to_string_lossy()) {
            files.push(entry.path());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::events::tests::read_scalars;

    fn write(writer: &mut MetricsWriter, epochs: std::ops::RangeInclusive<u64>) {
        for epoch in epochs {
            let value = epoch as f64;
            writer.append(epoch, [("return/sampled", 10.5 * value), ("loss/policy", -1.0 / value)]).unwrap();
        }
    }

    fn steps(run: &Path) -> Vec<u64> {
        let files = event_files(&run.join("tensorboard")).unwrap();
        assert_eq!(files.len(), 1);
        let steps = |tag: &str| {
            let scalars = read_scalars(&files[0]).into_iter();
            scalars.filter(|(_, t, _)| t == tag).map(|(step, ..)| step).collect::<Vec<_>>()
        };
        assert_eq!(steps("loss/policy"), steps("return/sampled"));
        steps("return/sampled")
    }

    #[test]
    fn writes_what_it_reads() {
        let run = tempfile::tempdir().unwrap();
        let mut writer = MetricsWriter::create(run.path()).unwrap();
        writer.append(1, [("b", f64::NAN), ("a", 0.1)]).unwrap();
        writer.append(300, [("b", f64::INFINITY), ("a\"\n", 1e300)]).unwrap();
        let records = read_metrics(run.path().join("metrics.jsonl")).unwrap();
        assert_eq!((records[0].meta_epoch, records[0].values["a"]), (1, 0.1));
        assert!(records[0].values["b"].is_nan() && records[1].values["b"].is_nan());
        assert_eq!(records[1].values["a\"\n"], 1e300);
        let scalars = read_scalars(writer.events_path());
        assert_eq!((scalars[0].0, &scalars[0].1[..], scalars[0].2), (1, "a", 0.1));
        assert!(scalars[1].2.is_nan() && scalars[3].2.is_infinite());
        assert!(matches!(MetricsWriter::create(run.path()), Err(Error::Io { .. })));
    }

    #[test]
    fn resume_shows_no_meta_epoch_twice() {
        let run = tempfile::tempdir().unwrap();
        let mut writer = MetricsWriter::create(run.path()).unwrap();
        write(&mut writer, 1..=10);
        drop(writer);
        let path = run.path().join("metrics.jsonl");
        let before = fs::read(&path).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"meta_epoch\":11,\"wal").unwrap();
        assert_eq!(read_metrics(&path).unwrap().len(), 10);

        let (writer, lost) = MetricsWriter::resume(run.path(), 10).unwrap();
        drop(writer);
        assert_eq!((fs::read(&path).unwrap(), lost), (before, 0));
        assert_eq!(MetricsWriter::resume(run.path(), 12).unwrap().1, 2);
        let (mut writer, _) = MetricsWriter::resume(run.path(), 7).unwrap();
        write(&mut writer, 8..=12);
        assert_eq!(steps(run.path()), (1..=12).collect::<Vec<_>>());
        assert_eq!(read_metrics(&path).unwrap().len(), 12);

        let before = fs::read_to_string(&path).unwrap();
        let (_, last) = before.rsplit_once("\"seconds\":").unwrap();
        let (seconds, _) = last.split_once(',').unwrap();
        fs::write(&path, before.replace(&format!("\"seconds\":{seconds}"), "\"seconds\":5000.5")).unwrap();
        let (mut writer, _) = MetricsWriter::resume(run.path(), 12).unwrap();
        write(&mut writer, 13..=13);
        assert!(writer.seconds() >= 5000.5);
        assert!(read_metrics(&path).unwrap()[12].seconds.unwrap() >= 5000.5);

        let nothing = tempfile::tempdir().unwrap();
        write(&mut MetricsWriter::resume(nothing.path(), 0).unwrap().0, 1..=2);
        assert_eq!(steps(nothing.path()), [1, 2]);
    }

    #[test]
    fn a_damaged_line_is_named() {
        let run = tempfile::tempdir().unwrap();
        let mut writer = MetricsWriter::create(run.path()).unwrap();
        write(&mut writer, 1..=2);
        let path = run.path().join("metrics.jsonl");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen("\"meta_epoch\":1", "\"meta_epoch\":?", 1)).unwrap();
        let error = MetricsWriter::resume(run.path(), 2).unwrap_err().to_string();
        assert!(error.contains("metrics.jsonl: line 1"), "{error}");
        fs::write(&path, [text.as_str(), &text].concat()).unwrap();
        assert!(read_metrics(&path).unwrap_err().to_string().contains("line 3: meta-epoch 1 after 2"));
    }

    #[test]
    fn tensorboard_reads_it() {
        let Some(python) = std::env::var_os("POTSTILL_PYTHON") else { return };
        let run = tempfile::tempdir().unwrap();
        let mut writer = MetricsWriter::create(run.path()).unwrap();
        write(&mut writer, 1..=300);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/python/read_events.py");
        let output = std::process::Command::new(python)
            .arg(script)
            .arg(run.path().join("tensorboard"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read: BTreeMap<String, Vec<(u64, f64)>> = serde_json::from_slice(&output.stdout).unwrap();
        let expected = |value: fn(f64) -> f64| {
            (1..=300).map(|e| (e, f64::from(value(e as f64) as f32))).collect::<Vec<_>>()
        };
        assert_eq!(read["return/sampled"], expected(|e| 10.5 * e));
        assert_eq!(read["loss/policy"], expected(|e| -1.0 / e));
        assert_eq!(read.len(), 2);
    }
}
