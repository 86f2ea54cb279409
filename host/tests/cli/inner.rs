//! Tests runs whose datasets teach in many inner steps.
use std::path::Path;
use std::process::Command;

use potstill::engine::inner::Inner;
use potstill::run::Dataset;
use serde_json::Value;

use crate::interruption::{kill, start, wait_for_checkpoint};
use crate::{Outcome, Place, RESUME_CHANGED, SMALL, Said, finished_run, read, reconfigure, repository, text};

const ADAM: &str = "[inner]\nsteps = 10\noptimizer = \"adam\"\nlr = 0.02\ninstances = 2\n[dataset]\nk = 5\n";

fn place() -> Place {
    let place = Place::new();
    place.write("small.toml", format!("{SMALL}{ADAM}"));
    place
}

/// The JSON text in a file's header.
fn metadata(path: &Path) -> Value {
    let bytes = read(path);
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    serde_json::from_str(header["__metadata__"]["potstill"].as_str().unwrap()).unwrap()
}

#[test]
fn a_run_with_many_inner_steps_resumes_and_its_dataset_teaches_as_it_was_distilled() {
    let place = place();
    let whole = place.distil("whole", &[]);
    let run = place.path("killed");
    let begin = ["distill", "--config", "small.toml", "--out", "killed", "--threads", "2"];
    for number in [1, 3, 6] {
        let child = start(&place, if number == 1 { &begin } else { &["resume", "killed"] });
        wait_for_checkpoint(&run, number);
        kill(child);
    }
    place.ok(&["resume", "killed"]);
    Outcome::of(&whole).assert_same(&Outcome::of(&run));

    let path = whole.join("dataset.safetensors");
    let inner = Inner { steps: 10, adam: Some(0.02), instances: Some(2) };
    let dataset = Dataset::load(&path).unwrap();
    assert_eq!(dataset.info.inner, inner);
    let recorded = metadata(&path);
    assert_eq!(recorded["format_version"], 2);
    assert_eq!(recorded["inner"].to_string(), r#"{"adam":0.02,"instances":2,"steps":10}"#);

    // The file alone gives the score that the run recorded, and says how agents are taught.
    std::fs::copy(&path, place.path("d.safetensors")).unwrap();
    let score = &dataset.info.scores[0];
    let again = place.json(&["eval", "d.safetensors", "--learners", "4", "--episodes", "3", "--json"]);
    assert_eq!(again["mean_return"].as_f64().unwrap(), score.mean_return, "{again}");
    let said = place.ok(&["train", "d.safetensors", "--seed", "5", "--out", "agent"]);
    assert!(said.starts_with("10 inner steps on 5 instances: "), "{said}");
    place.ok(&["train", "whole", "--seed", "5", "--out", "of-run"]);
    assert_eq!(read(place.path("agent")), read(place.path("of-run")));
    place.ok(&["play", "d.safetensors", "--quiet"]);
    let mut once = dataset.clone();
    once.info.inner = Inner::default();
    once.save(place.path("once.safetensors")).unwrap();
    place.ok(&["train", "once.safetensors", "--seed", "5", "--out", "agent-once"]);
    assert_ne!(read(place.path("agent")), read(place.path("agent-once")));

    // The script that teaches in one step must not teach otherwise than the file says.
    let Some(python) = std::env::var_os("POTSTILL_PYTHON") else { return };
    let mut script = Command::new(python);
    script.arg(repository("tests/python/teach_from_format.py")).args(["compare", text(&path), "-", "-"]);
    let said = Said::from(script.output().unwrap());
    let expected = "dataset format 2; this script teaches from format 1 only";
    assert!(said.code == Some(1) && said.err.contains(expected), "{}", said.err);
}

#[test]
fn files_of_one_step_stay_as_they_were() {
    let recorded = metadata(&finished_run().join("dataset.safetensors"));
    assert_eq!((&recorded["format_version"], recorded.get("inner")), (&1.into(), None));
    // Batches of all instances are no batches.
    let place = place();
    place.write("all.toml", format!("{SMALL}[inner]\ninstances = 3\n[dataset]\nk = 3\n"));
    place.ok(&["distill", "--config", "all.toml", "--out", "all"]);
    let recorded = metadata(&place.path("all/dataset.safetensors"));
    assert_eq!((&recorded["format_version"], recorded.get("inner")), (&1.into(), None));
}

/// Direct PPO teaches nothing, in however many steps.
#[test]
fn direct_ppo_has_no_inner_steps() {
    let place = place();
    place.ok(&["rl", "nd-cartpole", "--config", "small.toml", "--out", "agent"]);
    let dataset = Dataset::load(place.path("agent/dataset.safetensors")).unwrap();
    assert!(dataset.info.inner.is_one_step());
}

/// A run that is resumed with other inner steps compares no validations from before with later ones.
#[test]
fn other_inner_steps_are_a_change_of_the_configuration() {
    let place = place();
    let run = place.distil("run", &[]);
    reconfigure(&run, "\nsteps = 10\n", "\nsteps = 4\n");
    reconfigure(&run, "meta_epochs = 8\n", "meta_epochs = 12\n");
    place.refused(&["resume", "run"], 2, "inner.steps: 10 → 4");
    place.ok(&RESUME_CHANGED);
    let dataset = Dataset::load(run.join("dataset.safetensors")).unwrap();
    assert_eq!((dataset.info.inner.steps, dataset.info.meta_epochs > 8), (4, true));
}

#[test]
fn bad_values_are_refused() {
    let place = place();
    for (from, to, expected) in [
        ("steps = 10", "steps = 10001", "`inner.steps` is 10001; expected at most 10000"),
        ("lr = 0.02", "lr = -1.0", "`inner.lr` is -1; expected a number above 0"),
        ("\"adam\"", "\"adamw\"", "unknown variant `adamw`, expected `rule` or `adam`"),
        (
            "instances = 2",
            "instances = 6",
            "`inner.instances` is 6; expected 1 to the 5 instances of the dataset",
        ),
    ] {
        place.write("bad.toml", format!("{SMALL}{}", ADAM.replace(from, to)));
        let said = place.run(&["distill", "--config", "bad.toml"]);
        assert!(matches!(said.code, Some(1 | 2)) && said.err.contains(expected), "{}", said.err);
        assert_eq!(said.err.lines().filter(|line| line.starts_with("error:")).count(), 1, "{}", said.err);
    }
    let mut dataset = Dataset::load(finished_run().join("dataset.safetensors")).unwrap();
    dataset.info.inner.instances = Some(9);
    let error = dataset.validate().unwrap_err();
    assert_eq!(error, "`inner.instances` is 9; expected 1 to the 2 instances of the dataset");
}
