//! Tests the other commands on a finished run.
use std::fs::File;
use std::process::Stdio;

use potstill::run::{AgentFile, Dataset};
use serde_json::Value;

use crate::{Place, finished_run, list, read, repository, text};

const FEW: [&str; 4] = ["--learners", "5", "--episodes", "4"];

fn run() -> &'static str {
    text(finished_run())
}

#[test]
fn eval_scores_with_the_protocol_asked_for() {
    let place = Place::new();
    let eval = |more: &[&str]| place.json(&[&["eval", run(), "--json"], &FEW[..], more].concat());
    let sampled = eval(&[]);
    assert_eq!((&sampled["learners"], &sampled["episodes"]), (&5.into(), &4.into()));
    assert_eq!((&sampled["acting"], &sampled["k"]), (&"sampled".into(), &2.into()));
    assert_eq!((&sampled["environment"], &sampled["settings"]["n"]), (&"nd-cartpole-v1".into(), &1.into()));
    let mean = sampled["mean_return"].as_f64().unwrap();
    assert!((1.0..=500.0).contains(&mean) && sampled["std_return"].as_f64().unwrap() > 0.0);
    assert_eq!(eval(&["--threads", "1"]), eval(&["--threads", "2"]));
    assert_eq!(eval(&["--threads", "32"]), sampled);
    assert_ne!(eval(&["--seed", "1"])["mean_return"], sampled["mean_return"]);
    assert_eq!(eval(&["--greedy"])["acting"], "greedy");
    assert_ne!(eval(&["--learner-set", "width=32-256"])["mean_return"], sampled["mean_return"]);
    let said = place.ok(&[&["eval", text(&finished_run().join("dataset.safetensors"))], &FEW[..]].concat());
    assert_eq!(said.lines().count(), 1);
    assert!(
        said.contains(&format!("{mean:.1} ±")) && said.contains("5 learners × 4 episodes, seed 0"),
        "{said}"
    );
    assert!(place.names().is_empty());
}

#[test]
fn options_of_a_learner_change_the_datasets_own() {
    let place = Place::new();
    place.distil("run", &["--learner-set", "activation=relu", "--meta-epochs", "1"]);
    place.ok(&["train", "run", "--learner-set", "width=8", "--out", "own.safetensors"]);
    let own = AgentFile::load(place.path("own.safetensors")).unwrap().learner.options;
    assert_eq!((&own["width"], &own["activation"]), (&"8".into(), &"relu".into()));
    place.ok(&["train", "run", "--learner", "mlp", "--out", "fresh.safetensors"]);
    let fresh = AgentFile::load(place.path("fresh.safetensors")).unwrap().learner.options;
    assert_eq!((&fresh["width"], &fresh["activation"]), (&"64".into(), &"tanh".into()));
}

#[test]
fn train_writes_an_agent_that_plays() {
    let place = Place::new();
    let value = place.json(&["train", run(), "--seed", "3", "--json"]);
    assert_eq!((&value["agent"], &value["seed"]), (&"agent.safetensors".into(), &3.into()));
    assert!(value["milliseconds"].as_f64().unwrap() > 0.0);
    let said = place.ok(&["train", run(), "--seed", "3", "--out", "again.safetensors"]);
    assert!(said.contains("one gradient step on 2 instances: "), "{said}");
    assert_eq!(read(place.path("agent.safetensors")), read(place.path("again.safetensors")));
    let agent = AgentFile::load(place.path("agent.safetensors")).unwrap();
    assert_eq!((agent.seed, agent.parameters.len()), (3, 6));
    let said = place.ok(&["play", "agent.safetensors", "--quiet", "--episodes", "2", "--greedy"]);
    assert_eq!(said.lines().filter(|line| line.contains("return")).count(), 2, "{said}");
}

#[test]
fn play_draws() {
    let place = Place::new();
    let dataset = finished_run().join("dataset.safetensors");
    place.ok(&["train", run(), "--out", "agent.safetensors"]);
    for target in [run(), text(&dataset), "agent.safetensors"] {
        let said = place.ok(&["play", target, "--quiet", "--gif", "play.gif", "--force", "--steps", "20"]);
        let mut decoder = gif::Decoder::new(File::open(place.path("play.gif")).unwrap()).unwrap();
        let mut pictures = 0;
        while let Some(picture) = decoder.read_next_frame().unwrap() {
            assert!(picture.width > 50 && picture.height > 50);
            pictures += 1;
        }
        assert!(pictures > 1, "{pictures}");
        assert!(said.contains(&format!("{pictures} pictures in play.gif")), "{said}");
    }
    let said = place.ok(&["play", run(), "--untaught", "--episodes", "3"]);
    assert_eq!(said.lines().count(), 3, "no drawing where there is no terminal: {said}");
    place.refused(&["play", "agent.safetensors", "--untaught"], 2, "--untaught needs a dataset or a run");
    place.refused(&["play", run(), "--episodes", "0"], 2, "--episodes and --steps must be at least 1");
    place.refused(&["play", run(), "--gif", "no/such.gif"], 1, "no/such.gif: No such file");
}

#[test]
fn rl_trains_one_network_outright() {
    let place = Place::new();
    let value = place.json(&["rl", "nd-cartpole", "--config", "small.toml", "--out", "rl", "--json"]);
    assert_eq!(value["k"], 1);
    assert_eq!(value["scores"].as_array().unwrap().len(), 2);
    let dataset = Dataset::load(place.path("rl/dataset.safetensors")).unwrap();
    assert_eq!(dataset.extra.iter().filter(|t| t.name.starts_with("encoder.")).count(), 6);
    let value = place.json(&[&["eval", "rl", "--json"], &FEW[..]].concat());
    assert!(value["mean_return"].as_f64().unwrap() > 0.0);
    // All layers are in the dataset, so fresh learners cannot differ.
    place.ok(&["train", "rl", "--seed", "1", "--out", "a.safetensors"]);
    place.ok(&["train", "rl", "--seed", "2", "--out", "b.safetensors"]);
    let parameters = |name: &str| AgentFile::load(place.path(name)).unwrap().parameters;
    assert_eq!(parameters("a.safetensors"), parameters("b.safetensors"));
}

#[test]
fn plugins_are_listed_and_described() {
    let place = Place::new();
    let said = place.ok(&["plugin", "list"]);
    for expected in ["nd-cartpole-v1", "mlp", "ppmo", "ppmo-as-published", "built-in"] {
        assert!(said.contains(expected), "{said}");
    }
    let hostile = repository("tests/hostile");
    let list = place.json(&["plugin", "list", "--json", "--plugin", text(&hostile)]);
    let entry = |id: &str| list.as_array().unwrap().iter().find(|e| e["id"] == id).unwrap().clone();
    assert_eq!(entry("nd-cartpole-v1")["role"], "environment");
    assert_eq!(entry("test/hostile-v1")["loader"], "wasm");
    assert!(entry("test/hostile-v1")["path"].as_str().unwrap().ends_with("hostile.wasm"));

    let said = place.ok(&["plugin", "info", "nd-cartpole", "--set", "n=3"]);
    for expected in ["Discrete(6)", "sha256", "--set n=", "inside potstill"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let info = place.json(&["plugin", "info", "nd-cartpole", "--set", "n=3", "--json"]);
    assert_eq!(info["spec"]["id"], "nd-cartpole-v1");
    assert!(info["options"].as_array().unwrap().iter().any(|o| o["name"] == "n"));
    assert_eq!(info["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn a_broken_plugin_is_listed_with_the_reason_and_the_others_work() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("plugins/bad")).unwrap();
    place.write("plugins/bad/plugin.toml", "id = 3");
    place.write("plugins/worse.wasm", "not wasm");
    let mut command = place.command(&["plugin", "list", "--json"]);
    let output = command.env("POTSTILL_PLUGIN_PATH", place.path("plugins")).output().unwrap();
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rejected = |e: &&Value| e["summary"].as_str().unwrap().starts_with("rejected: ");
    assert_eq!(list.as_array().unwrap().iter().filter(rejected).count(), 2, "{list}");
    place.refused(&["plugin", "list", "--plugin", "plugins/worse.wasm"], 2, "--plugin plugins/worse.wasm: ");
    place.refused(&["plugin", "list", "--plugin", "nowhere"], 2, "--plugin nowhere: ");
}

#[test]
fn imports_the_papers_files() {
    let place = Place::new();
    for name in ["cartpole.pt", "cartpole-legacy.pt"] {
        std::fs::copy(repository("tests/fixtures").join(name), place.path(name)).unwrap();
        let said = place.ok(&["import", name, "--env", "nd-cartpole"]);
        assert!(said.starts_with("2 instances, η = 1.500"), "{said}");
        let written = name.replace(".pt", ".safetensors");
        let value = place.json(&[&["eval", &written, "--json"], &FEW[..]].concat());
        assert!(value["mean_return"].as_f64().unwrap() > 0.0);
    }
    place.ok(&["import", "cartpole.pt", "--env", "nd-cartpole", "--out", "here.safetensors"]);
    let before = place.names();
    let fixture = |name: &str| repository("tests/fixtures").join(name);
    let import = |name: &str, set: &str, expected: &str| {
        let path = fixture(name);
        let out = ["--set", set, "--out", "refused.safetensors"];
        let said = place.run(&[&["import", text(&path), "--env", "nd-cartpole"], &out[..]].concat());
        said.refused(1, expected);
    };
    import("cartpole.pt", "n=2", "`x` has shape [2, 4]");
    import("mujoco.pt", "n=1", "mujoco.pt: ");
    import("views.pt", "n=1", "no distilled dataset: `x` is missing");
    import("whole-model.pt", "n=1", "whole-model.pt: ");
    import("cartpole-v1.json", "n=1", "cartpole-v1.json: ");
    assert_eq!(place.names(), before);
}

#[test]
fn every_command_has_help_with_examples_that_parse() {
    let place = Place::new();
    let mut commands = vec![String::new()];
    let mut examples = 0;
    while let Some(command) = commands.pop() {
        let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let help = place.ok(&words);
        let (_, after) = help.split_once("\nExample").unwrap_or_else(|| panic!("`{command}`: no examples"));
        let mut own = 0;
        for line in after.lines().filter_map(|line| line.trim().strip_prefix("potstill ")) {
            let line = line.replace("<the run it names>", "run");
            // Only the program's own part of an example is parsed, not the shell's.
            let words = line.split_whitespace().take_while(|word| !["|", ">"].contains(word));
            place.ok(&words.chain(["--help"]).collect::<Vec<_>>());
            own += 1;
        }
        assert!(own > 0, "`{command}`: no examples");
        examples += own;
        let subcommands = help.split_once("Commands:\n").map_or("", |(_, rest)| rest);
        for line in subcommands.lines().take_while(|line| line.starts_with("  ")) {
            // Continuation lines of a summary are indented further.
            let name = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '));
            let name = name.and_then(|rest| rest.split_whitespace().next());
            commands.extend(name.filter(|name| *name != "help").map(|name| format!("{command} {name}")));
        }
    }
    assert!(examples > 20, "{examples}");
    assert!(place.ok(&["--version"]).starts_with("potstill "));
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let place = Place::new();
    for arguments in [&["plugin", "list", "--json"][..], &["plugin", "info", "nd-cartpole"], &["--help"]] {
        let mut child =
            place.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
    // A run finishes even if nobody reads its output.
    let mut child = place
        .command(&["distill", "--config", "small.toml", "--out", "run"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(list(&place.path("run")).contains(&"report.html".to_owned()));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_an_error() {
    let place = Place::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = place.command(&["plugin", "list"]).stdout(full).output().unwrap();
    crate::Said::from(output).refused(1, "error: standard output: No space left on device");
}
