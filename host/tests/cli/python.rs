//! Checks that third-party Python packages can read the files of a run. `POTSTILL_PYTHON` names an interpreter that has
//! these packages.
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::process::Command;

use serde_json::Value;

use crate::{finished_run, metrics, repository};

/// Runs a script of `tests/python` and returns its output, or `None` if `POTSTILL_PYTHON` is not set.
pub(crate) fn python<'a>(script: &str, arguments: impl IntoIterator<Item = &'a OsStr>) -> Option<String> {
    let interpreter = std::env::var_os("POTSTILL_PYTHON")?;
    let script = repository("tests/python").join(script);
    let output = Command::new(interpreter).arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn safetensors_reads_the_dataset() {
    let path = finished_run().join("dataset.safetensors");
    let Some(said) = python("read_dataset.py", Some(path.as_os_str())) else { return };
    let (first, metadata) = said.split_once('\n').unwrap();
    assert!(first.starts_with("k = 2, x (2, 4), y (2, 2), η = "), "{first}");
    let metadata: Value = serde_json::from_str(metadata).unwrap();
    assert_eq!(metadata["environment"]["id"], "nd-cartpole-v1");
    assert_eq!(metadata["scores"].as_array().unwrap().len(), 2);
}

#[test]
fn tensorboard_reads_the_events() {
    let path = finished_run().join("tensorboard");
    let Some(said) = python("read_events.py", Some(path.as_os_str())) else { return };
    let read: BTreeMap<String, Vec<(u64, f64)>> = serde_json::from_str(&said).unwrap();
    let mut expected: BTreeMap<String, Vec<(u64, f64)>> = BTreeMap::new();
    for record in metrics(finished_run()) {
        let epoch = record["meta_epoch"].as_u64().unwrap();
        for (name, value) in
            record.into_iter().filter(|(name, _)| !["meta_epoch", "wall_time", "seconds"].contains(&&**name))
        {
            // TensorBoard stores single precision.
            let value = f64::from(value.as_f64().unwrap() as f32);
            expected.entry(name).or_default().push((epoch, value));
        }
    }
    assert!(expected.contains_key("rollout/return") && expected.contains_key("validation/best_return"));
    assert_eq!(read, expected);
}

#[test]
fn gymnasium_still_plays_the_recorded_episodes() {
    let Some(said) = python("check_cartpole.py", None) else { return };
    assert!(said.contains("episodes are equal"), "{said}");
}
