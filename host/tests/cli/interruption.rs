//! Tests runs that are killed, interrupted, out of disk space or started twice. A resumed run ends as if nothing had
//! happened.
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use potstill::run::{Checkpoint, DistillConfig};
use serde_json::Value;

use crate::{
    Outcome, Place, RESUME_CHANGED, SMALL, Said, end_after, endless, epoch, list, metrics, newest_checkpoint,
    read, reconfigure, repository, text, wait_for,
};

/// Returns a configuration that runs long enough to be killed in the middle.
fn longer(checkpoint_every: u64) -> String {
    format!("checkpoint_every = {checkpoint_every}\n{}", SMALL.replace("meta_epochs = 8", "meta_epochs = 60"))
}

/// The number of learners to score in [`SMALL`], and one that no machine finishes.
const SCORED: (&str, &str) = ("\nlearners = 4\nepisodes", "\nlearners = 1000000000\nepisodes");

/// Returns a configuration whose scoring never ends.
fn much_scored() -> String {
    assert!(SMALL.contains(SCORED.0));
    SMALL.replace(SCORED.0, SCORED.1)
}

pub(crate) fn start(place: &Place, arguments: &[&str]) -> Child {
    place.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn kill(mut child: Child) {
    // The process may have ended already.
    let _ = child.kill();
    child.wait().unwrap();
}

fn interrupt(child: Child) -> Said {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    child.wait_with_output().unwrap().into()
}

/// Waits until the run has a checkpoint of meta-epoch `number` or a later one.
pub(crate) fn wait_for_checkpoint(run: &Path, number: u64) {
    wait_for(&format!("checkpoint {number}"), || epoch(run) >= number);
}

pub(crate) fn assert_no_litter(run: &Path) {
    for folder in [run.to_owned(), run.join("checkpoints")] {
        let litter: Vec<String> = list(&folder).into_iter().filter(|name| name.starts_with('.')).collect();
        assert!(litter.is_empty(), "{litter:?}");
    }
    assert_eq!(list(&run.join("tensorboard")).len(), 1);
}

#[test]
fn a_run_killed_at_any_moment_ends_the_same() {
    let place = Place::new();
    for every in [1, 7] {
        place.write("small.toml", longer(every));
        let whole = format!("whole-{every}");
        let started = Instant::now();
        let whole = Outcome::of(&place.distil(&whole, &[]));
        let took = started.elapsed();
        let name = format!("killed-{every}");
        let run = place.path(&name);
        let begin = ["distill", "--config", "small.toml", "--out", &name];
        // Kill two at the very start, then at any time: each process resumes where the last one was killed.
        let mut kills = 0;
        for share in [0.0, 0.05, 0.4, 0.15, 0.3, 0.1, 0.35, 0.25] {
            let begun = run.join("config.toml").exists();
            let resume = ["resume", &name];
            let child = start(&place, if begun { &resume } else { &begin });
            std::thread::sleep(took.mul_f64(share));
            kill(child);
            kills += 1;
        }
        assert_eq!(kills, 8);
        place.ok(&["resume", &name]);
        whole.assert_same(&Outcome::of(&run));
        assert_no_litter(&run);
    }
}

/// Episodes that go on from one meta-epoch to the next also go on in a resumed run.
#[test]
fn episodes_go_on_where_a_run_was_killed() {
    let place = Place::new();
    place.write("small.toml", longer(1));
    let more =
        ["--continue-episodes", "--frame-stack", "2", "--action-repeat", "2", "--max-episode-steps", "190"];
    let whole = place.distil("whole", &more);
    let steps = DistillConfig::load(whole.join("config.toml")).unwrap().environment.steps as f64;
    let length = |line: &BTreeMap<String, Value>| line.get("rollout/length").and_then(Value::as_f64);
    let longest = metrics(&whole).iter().filter_map(length).fold(0.0, f64::max);
    assert!(longest > steps, "episodes of {longest} steps, with rollouts of {steps}");
    let run = place.path("killed");
    let begin = [&["distill", "--config", "small.toml", "--out", "killed"][..], &more].concat();
    let child = start(&place, &begin);
    wait_for_checkpoint(&run, 3);
    kill(child);
    for checkpoint in [13, 30] {
        let child = start(&place, &["resume", "killed"]);
        wait_for_checkpoint(&run, checkpoint);
        kill(child);
    }
    place.ok(&["resume", "killed"]);
    Outcome::of(&whole).assert_same(&Outcome::of(&run));
}

/// A run that takes its encoder away layer by layer also does so if it is killed around that moment. Each dataset with an
/// encoder is kept, and can be started from.
#[test]
fn an_encoder_is_rolled_back_where_a_run_was_killed() {
    let place = Place::new();
    place.write("small.toml", format!("encoder_layers = 2\nrollback = [4, 6]\n{SMALL}"));
    let layers = |run: &Path| -> Vec<f64> {
        metrics(run).iter().map(|line| line["encoder_layers"].as_f64().unwrap()).collect()
    };
    let tensors = |path: &Path| -> Vec<String> {
        let dataset = potstill::run::Dataset::load(path).unwrap();
        let names = dataset.extra.iter().map(|tensor| tensor.name.clone());
        names.filter(|name| name.starts_with("encoder.")).collect()
    };
    let whole = place.distil("whole", &[]);
    assert_eq!(layers(&whole), [2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 0.0, 0.0]);
    let first = ["encoder.layers.0.bias", "encoder.layers.0.weight"];
    let second = ["encoder.layers.1.bias", "encoder.layers.1.weight"];
    let sorted = |name: &str| {
        let mut names = tensors(&whole.join(name));
        names.sort();
        names
    };
    assert_eq!(sorted("dataset-l2.safetensors"), [first, second].concat());
    assert_eq!(sorted("dataset-l1.safetensors"), first);
    assert!(tensors(&whole.join("dataset.safetensors")).is_empty());
    let run = place.path("killed");
    for number in 1..8 {
        let begin = ["distill", "--config", "small.toml", "--out", "killed"];
        let child = start(&place, if number == 1 { &begin } else { &["resume", "killed"] });
        wait_for_checkpoint(&run, number);
        kill(child);
    }
    place.ok(&["resume", "killed"]);
    Outcome::of(&whole).assert_same(&Outcome::of(&run));
    assert_eq!(sorted("dataset-l1.safetensors"), first);
    // The same by hand: a run with one layer starts from the dataset with two.
    place.write("one.toml", format!("encoder_layers = 1\n{SMALL}"));
    place.ok(&["distill", "--config", "one.toml", "--start", "whole/dataset-l2.safetensors", "--out", "one"]);
    place.write("three.toml", format!("encoder_layers = 2\n{SMALL}"));
    let said = place.run(&["distill", "--config", "three.toml", "--start", "whole/dataset-l1.safetensors"]);
    assert!(said.err.contains("has another encoder than this run"), "{}", said.err);
}

#[test]
fn a_run_killed_while_scoring_only_repeats_the_scoring() {
    let place = Place::new();
    let whole = Outcome::of(&place.distil("whole", &[]));
    place.write("small.toml", much_scored());
    let child = start(&place, &["distill", "--config", "small.toml", "--out", "killed"]);
    let run = place.path("killed");
    wait_for_checkpoint(&run, 8);
    std::thread::sleep(Duration::from_millis(50));
    kill(child);
    let unscored = potstill::run::Dataset::load(run.join("dataset.safetensors")).unwrap();
    assert_eq!(unscored.info.scores.len(), 1, "killed before the final scores");
    reconfigure(&run, SCORED.1, SCORED.0);
    // This includes the times, which would differ if a meta-epoch had been repeated.
    let metrics = read(run.join("metrics.jsonl"));
    place.ok(&["resume", "killed", "--changed-config"]);
    assert_eq!(read(run.join("metrics.jsonl")), metrics);
    whole.assert_same(&Outcome::of(&run));
    place.ok(&["resume", "killed"]);
    whole.assert_same(&Outcome::of(&run));
}

#[test]
fn a_truncated_checkpoint_is_skipped() {
    let place = Place::new();
    let run = place.distil("run", &[]);
    let whole = Outcome::of(&run);
    let newest = newest_checkpoint(&run);
    let bytes = read(&newest);
    let mut flipped = bytes.clone();
    flipped[bytes.len() - 3] ^= 4;
    for damaged in [&bytes[..bytes.len() / 3], &flipped, b""] {
        std::fs::write(&newest, damaged).unwrap();
        let said = place.run(&["resume", "run", "--json"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(
            said.err.starts_with("warning: ") && said.err.contains("checkpoint-00000008"),
            "{}",
            said.err
        );
        assert!(said.err.contains("trying the checkpoint before it"), "{}", said.err);
        whole.assert_same(&Outcome::of(&run));
    }
    for name in list(&run.join("checkpoints")) {
        std::fs::write(run.join("checkpoints").join(name), "torn").unwrap();
    }
    place.refused(&["resume", "run"], 1, "no checkpoint can be used");
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_the_run_and_says_how_to_resume() {
    let place = Place::new();
    let config = |small: &str| format!("checkpoint_every = 0\n{}", endless(small));
    place.write("small.toml", config(SMALL));
    let child = start(&place, &["distill", "--config", "small.toml", "--out", "run"]);
    let run = place.path("run");
    wait_for("a meta-epoch", || std::fs::read(run.join("metrics.jsonl")).is_ok_and(|m| m.contains(&b'\n')));
    let mut checkpoints = list(&run.join("checkpoints"));
    checkpoints.retain(|name| name.starts_with("checkpoint-"));
    assert_eq!(checkpoints, ["checkpoint-00000000.safetensors"], "none but the last");
    let said = interrupt(child);
    said.refused(130, "error: interrupted after meta-epoch ");
    assert!(said.err.contains("`potstill resume run` continues"), "{}", said.err);
    let meta_epochs = epoch(&run) + 20;
    assert!(meta_epochs > 20);
    end_after(&run, meta_epochs);
    place.ok(&RESUME_CHANGED);
    place.write("small.toml", config(SMALL).replace("1000000000", &meta_epochs.to_string()));
    Outcome::of(&place.distil("whole", &[])).assert_same(&Outcome::of(&run));
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_the_scoring() {
    let place = Place::new();
    place.write("small.toml", much_scored());
    let child = start(&place, &["distill", "--config", "small.toml", "--out", "run"]);
    let run = place.path("run");
    wait_for_checkpoint(&run, 8);
    interrupt(child).refused(130, "error: interrupted while scoring; `potstill resume run` continues");
    reconfigure(&run, SCORED.1, SCORED.0);
    place.ok(&RESUME_CHANGED);
}

#[test]
fn two_processes_do_not_share_a_run() {
    let place = Place::new();
    place.write("small.toml", endless(SMALL));
    let child = start(&place, &["distill", "--config", "small.toml", "--out", "run"]);
    wait_for_checkpoint(&place.path("run"), 1);
    let writing = format!("another process (process {}) is writing this run", child.id());
    place.refused(&["resume", "run"], 1, &writing);
    place.refused(
        &["distill", "--config", "small.toml", "--out", "run"],
        1,
        "the directory already holds a run: resume it, or choose another directory",
    );
    kill(child);
}

/// A limit on file sizes simulates a full disk without special permissions.
#[cfg(unix)]
#[test]
fn a_full_disk_is_one_clear_error() {
    let limited = |place: &Place, blocks: &str, arguments: &[&str]| -> Said {
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"", "sh", blocks])
            .arg(env!("CARGO_BIN_EXE_potstill"))
            .args(arguments);
        place.settle(&mut command);
        command.output().unwrap().into()
    };
    let place = Place::new();
    // The checkpoint is larger than the limit, and the limit still leaves room for the sandbox.
    let large = SMALL.replace("[env", "[critic.options]\nwidth = 256\n[env");
    place.write("small.toml", &large);
    let whole = Outcome::of(&place.distil("whole", &[]));

    let said = limited(&place, "600", &["distill", "--config", "small.toml", "--out", "run"]);
    said.refused(1, "run/checkpoints/checkpoint-00000000.safetensors: File too large");
    place.ok(&["resume", "run"]);
    whole.assert_same(&Outcome::of(&place.path("run")));

    let config = format!("checkpoint_every = 1\n{}", endless(&large));
    place.write("small.toml", &config);
    let child = start(&place, &["distill", "--config", "small.toml", "--out", "middle"]);
    let run = place.path("middle");
    wait_for_checkpoint(&run, 10);
    kill(child);
    let meta_epochs = epoch(&run) + 20;
    end_after(&run, meta_epochs);
    let newest = newest_checkpoint(&run);
    let before = (newest.clone(), read(&newest));
    let said = limited(&place, "600", &["resume", "middle", "--changed-config"]);
    said.refused(1, "File too large");
    let newest = newest_checkpoint(&run);
    assert!(before == (newest.clone(), read(&newest)));
    place.ok(&["resume", "middle", "--changed-config"]);
    place.write("small.toml", config.replace("1000000000", &meta_epochs.to_string()));
    Outcome::of(&place.distil("whole-middle", &[])).assert_same(&Outcome::of(&run));
    assert_no_litter(&run);
}

#[test]
fn rejects_a_directory_that_is_not_a_run() {
    let place = Place::new();
    std::fs::create_dir(place.path("thesis")).unwrap();
    place.write("thesis/chapter.tex", "words");
    let to = |out: &str, expected: &str| {
        let said = place.run(&["distill", "--config", "small.toml", "--out", out]);
        said.refused(1, expected);
    };
    to("thesis", "thesis: the directory is not empty and holds no run: choose a new or an empty one");
    assert_eq!(list(&place.path("thesis")), ["chapter.tex"]);
    to("thesis/chapter.tex", "thesis/chapter.tex: ");
    to("thesis/chapter.tex/run", "thesis/chapter.tex/run: ");
    if cfg!(target_os = "linux") {
        // Not even the superuser can make folders there.
        to("/proc/run", "/proc/run: ");
    }
    place.refused(&["resume", "thesis"], 1, "thesis: not a run directory: it has no config.toml");
    place.refused(&["resume", "nowhere"], 1, "nowhere: No such file or directory");
}

/// A plugin that fails in the middle ends the run, but the run keeps its last checkpoint.
#[test]
fn a_plugin_that_fails_leaves_the_last_checkpoint() {
    let place = Place::new();
    let plugin = repository("tests/hostile");
    let begin = |number: &str, out: &str| {
        let arguments = [
            &[
                "--plugin",
                text(&plugin),
                "distill",
                "test/hostile-v1",
                "--config",
                "small.toml",
                "--out",
                out,
            ][..],
            &["--set", "mode=walk-later", "--set", number],
        ];
        place.run(&arguments.concat())
    };
    let said = begin("number=1000000", "whole");
    assert_eq!(said.code, Some(0), "{}", said.err);
    // Each of 8 meta-epochs takes 32 steps. Final scoring takes at most 160 steps in a separate instance.
    let said = begin("number=170", "failing");
    let cause = "plugin `test/hostile-v1`, in `step`: panicked: the floor gives way after 170 steps";
    said.refused(1, cause);
    let (whole, run) = (place.path("whole"), place.path("failing"));
    assert_eq!(newest_checkpoint(&run), run.join("checkpoints/checkpoint-00000005.safetensors"));
    assert_no_litter(&run);
    // Another 170 steps are enough to reach the end.
    place.ok(&["resume", "failing"]);
    assert_eq!(Outcome::of(&whole).metrics, Outcome::of(&run).metrics);
    let tensors = |run| Checkpoint::load(newest_checkpoint(run)).unwrap().tensors;
    assert!(tensors(&whole) == tensors(&run), "the checkpoints differ");
}

/// The learner changes its graph after the first meta-epoch without changing its name.
#[test]
fn a_learner_that_changes_leaves_the_last_checkpoint() {
    let place = Place::new();
    let plugin = repository("tests/hostile-learner");
    let begin =
        ["--plugin", text(&plugin), "distill", "nd-cartpole", "--config", "small.toml", "--out", "run"];
    let learner = ["--learner", "test/hostile-learner-v1", "--learner-set", "mode=lying-name"];
    let said = place.run(&[&begin[..], &learner].concat());
    said.refused(1, "plugin `test/hostile-learner-v1`, in `name`: it called two architectures with different parameters `linear`");
    newest_checkpoint(&place.path("run"));
    assert_no_litter(&place.path("run"));
}
