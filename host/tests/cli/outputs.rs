//! Tests that `--out` destroys nothing that the user did not mean.
use std::fs;

use crate::{Place, finished_run, read, text};

const OTHER_KIND: &str = "is not a file of the kind that would replace it";

#[test]
fn an_output_replaces_only_what_the_user_means() {
    let place = Place::new();
    let run = text(finished_run());
    let train = |out: &str, rest: &[&str]| place.run(&[&["train", run, "--out", out], rest].concat());
    assert_eq!(train("agent", &[]).code, Some(0));
    let agent = read(place.path("agent"));
    train("agent", &["--seed", "1"])
        .refused(2, "agent exists: --force replaces it, or write to another file");
    assert!(read(place.path("agent")) == agent);
    assert_eq!(train("agent", &["--seed", "1", "--force"]).code, Some(0));
    assert!(read(place.path("agent")) != agent);
    // An empty file, as `mktemp` makes, is nothing to lose.
    place.write("empty", "");
    assert_eq!(train("empty", &[]).code, Some(0));
    assert!(read(place.path("empty")) == agent);

    place.write("thesis.tex", "\\documentclass{thesis}");
    for command in [
        &["train", run, "--out", "thesis.tex", "--force"][..],
        &["collect", run, "--episodes", "1", "--out", "thesis.tex", "--force"],
        &["play", run, "--quiet", "--gif", "thesis.tex", "--force"],
        &["collect", run, "--episodes", "1", "--out", "agent", "--force"],
    ] {
        place.refused(command, 1, OTHER_KIND);
    }
    assert_eq!(read(place.path("thesis.tex")), b"\\documentclass{thesis}");
    train(".", &[]).refused(1, ".: is a folder; name a file in it");
    train("no/agent", &[]).refused(1, "no/agent: No such file or directory");
}

#[test]
fn neither_the_input_nor_a_file_of_a_run_is_an_output() {
    let place = Place::new();
    let run = place.distil("run", &[]);
    let dataset = read(run.join("dataset.safetensors"));
    place.refused(
        &["train", "run", "--out", "run/dataset.safetensors", "--force"],
        1,
        "run/dataset.safetensors: is what this command reads; write to another file",
    );
    for name in ["config.toml", "dataset.png", "checkpoints/best.safetensors"] {
        place.refused(
            &["train", "run", "--out", &format!("run/{name}"), "--force"],
            1,
            "write to another file",
        );
    }
    assert!(read(run.join("dataset.safetensors")) == dataset);
    place.refused(
        &["collect", "run", "--episodes", "1", "--out", "run/metrics.jsonl", "--force"],
        1,
        "is a file of a run, which only the run itself writes",
    );
    fs::copy(run.join("dataset.safetensors"), place.path("data.safetensors")).unwrap();
    place.refused(
        &["import", "data.safetensors", "--env", "nd-cartpole", "--force"],
        1,
        "data.safetensors: is what this command reads",
    );
}

#[cfg(unix)]
#[test]
fn devices_and_pipes_are_written_through_and_links_are_followed() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let place = Place::new();
    let run = text(finished_run());
    place.ok(&["train", run, "--out", "agent"]);
    let agent = read(place.path("agent"));

    // A link to a device, so that the device itself is safe if this fails.
    symlink("/dev/null", place.path("null")).unwrap();
    place.ok(&["train", run, "--out", "null"]);
    assert!(fs::metadata(place.path("null")).unwrap().file_type().is_char_device());
    assert!(fs::symlink_metadata(place.path("null")).unwrap().is_symlink());

    let pipe = place.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    place.ok(&["train", run, "--out", "pipe"]);
    assert!(reader.join().unwrap() == agent);
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());

    // Links to a file, and to nothing yet.
    for target in ["agent", "new"] {
        let link = place.path(&format!("to-{target}"));
        symlink(target, &link).unwrap();
        place.ok(&["train", run, "--seed", "1", "--force", "--out", text(&link)]);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let written = read(place.path(target));
        assert!(!written.is_empty() && written != agent);
    }
}
