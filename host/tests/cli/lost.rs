//! Tests that missing is never taken for new: runs whose files were lost, emptied or changed.
use std::fs;

use potstill::run::Dataset;

use crate::{
    Outcome, Place, RESUME_CHANGED, SMALL, endless, epoch, metrics, newest_checkpoint, read, reconfigure,
    wait_for,
};

#[test]
fn a_run_without_its_checkpoints_does_not_begin_again() {
    let place = Place::new();
    let run = place.distil("run", &[]);
    let files = ["metrics.jsonl", "dataset.safetensors"].map(|name| run.join(name));
    let before = files.each_ref().map(read);
    fs::remove_dir_all(run.join("checkpoints")).unwrap();
    place.refused(&["resume", "run"], 1, "run/checkpoints: ");
    fs::create_dir(run.join("checkpoints")).unwrap();
    let gone = "run/checkpoints: holds no checkpoint, but the run has begun: there is run/";
    place.refused(&["resume", "run"], 1, gone);
    assert!(files.each_ref().map(read) == before);
    fs::remove_file(&files[1]).unwrap();
    place.refused(&["resume", "run"], 1, gone);
    // A run that was killed before its first checkpoint has nothing to lose.
    fs::write(&files[0], "").unwrap();
    place.ok(&["resume", "run"]);
    assert!(read(&files[1]) == before[1]);
}

#[test]
fn an_emptied_or_shortened_file_is_no_configuration() {
    let place = Place::new();
    let run = place.distil("run", &[]);
    let whole = read(run.join("config.toml"));
    for (length, expected) in [(0, "lacks `environment`"), (whole.len() / 2, "was cut short; restore it")] {
        let end = whole[..length].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        fs::write(run.join("config.toml"), &whole[..end]).unwrap();
        place.refused(&["resume", "run"], 1, expected);
    }
    fs::write(run.join("config.toml"), &whole).unwrap();
    fs::write(run.join("versions.json"), "").unwrap();
    place.refused(&["resume", "run"], 1, "versions.json: not the versions of a run");
}

#[test]
fn a_lost_dataset_is_restored() {
    let place = Place::new();
    let run = place.distil("run", &[]);
    let (path, whole) = (run.join("dataset.safetensors"), Outcome::of(&run));
    fs::remove_file(&path).unwrap();
    place.refused(
        &["eval", "run"],
        1,
        "this run has no dataset; `potstill resume` continues it until there is",
    );
    let said = place.run(&["resume", "run"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("the best θ so far was restored from run/checkpoints/best"), "{}", said.err);
    whole.assert_same(&Outcome::of(&run));
    // Another file in its place is not overwritten.
    place.ok(&["train", "run", "--out", "agent"]);
    fs::rename(place.path("agent"), &path).unwrap();
    let agent = read(&path);
    place.refused(
        &["resume", "run"],
        2,
        "Move the file away, and `potstill resume` restores the run's dataset",
    );
    assert!(read(&path) == agent);
    // Runs of older versions have no copy.
    fs::remove_file(&path).unwrap();
    fs::remove_file(run.join("checkpoints/best.safetensors")).unwrap();
    place.refused(&["resume", "run"], 1, "dataset.safetensors: is gone, and cannot be restored");
}

#[test]
fn lost_metrics_are_missed() {
    let place = Place::new();
    let run = place.distil("run", &[]);
    let text = String::from_utf8(read(run.join("metrics.jsonl"))).unwrap();
    let kept: Vec<&str> = text.lines().take(6).collect();
    fs::write(run.join("metrics.jsonl"), kept.join("\n") + "\n").unwrap();
    let said = place.run(&["resume", "run"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("run/metrics.jsonl lacks 2 of 8 meta-epochs"), "{}", said.err);
    assert_eq!(metrics(&run).len(), 6);
}

#[test]
fn a_run_does_not_go_on_with_another_configuration() {
    let place = Place::new();
    place.write("small.toml", endless(SMALL));
    let begin = ["distill", "--config", "small.toml", "--learner-set", "activation=tanh", "--out", "run"];
    let mut child = place.command(&begin).stderr(std::process::Stdio::null()).spawn().unwrap();
    let run = place.path("run");
    wait_for("a validation", || epoch(&run) >= 4);
    child.kill().unwrap();
    child.wait().unwrap();
    let done = epoch(&run);
    let best = Dataset::load(run.join("dataset.safetensors")).unwrap();

    reconfigure(&run, "meta_epochs = 1000000000", &format!("meta_epochs = {done}"));
    // Not of the critic: its activation comes later in the file.
    let config = String::from_utf8(read(run.join("config.toml"))).unwrap();
    fs::write(run.join("config.toml"), config.replacen("\"tanh\"", "\"relu\"", 1)).unwrap();
    let before = read(newest_checkpoint(&run));
    let said =
        place.refused(&["resume", "run"], 2, "run/config.toml has changed since the last checkpoint (");
    let change = format!("learner.options.activation: \"tanh\" → \"relu\", meta_epochs: 1000000000 → {done}");
    assert!(said.err.contains(&change) && said.err.contains("--changed-config"), "{}", said.err);
    assert!(read(newest_checkpoint(&run)) == before);
    // What no result depends on may change.
    place.refused(&["resume", "run", "--threads", "2"], 2, "has changed since the last checkpoint");

    place.ok(&RESUME_CHANGED);
    let versions = String::from_utf8(read(run.join("versions.json"))).unwrap();
    assert!(
        versions.contains(&format!("meta_epochs: 1000000000 → {done} after meta-epoch {done}")),
        "{versions}"
    );
    // The best θ is from before the change: it is scored with the learner that its file names.
    let scored = Dataset::load(run.join("dataset.safetensors")).unwrap();
    assert_eq!((&scored.x, &scored.info.learner), (&best.x, &best.info.learner));
    let value = place.json(&["eval", "run", "--learners", "4", "--episodes", "3", "--json"]);
    assert_eq!(value["mean_return"].as_f64().unwrap(), scored.info.scores[0].mean_return);
    // The change is accepted once.
    place.ok(&["resume", "run"]);

    // Other sizes cannot be resumed at all.
    reconfigure(&run, "k = 2", "k = 3");
    let said = place.refused(
        &RESUME_CHANGED,
        2,
        "the run cannot go on with another configuration (dataset.k: 2 → 3)",
    );
    assert!(said.err.contains("Start a new run"), "{}", said.err);
}
