//! Checks that invalid requests fail with one clear error and leave no files behind.
use std::collections::HashMap;

use potstill::run::Dataset;
use safetensors::SafeTensors;

use crate::hurried::hurried;
use crate::{
    Outcome, Place, RESUME_CHANGED, SMALL, end_after, endless, epoch, finished_run, newest_checkpoint, read,
    reconfigure, repository, text, wait_for,
};

#[test]
fn invalid_requests_are_rejected() {
    let place = Place::new();
    let cases: &[(&[&str], &str)] = &[
        (&["nd-cartpol"], "there is no environment `nd-cartpol`. Did you mean `nd-cartpole`?"),
        (&["nd-cartpole-v9"], "there is no environment `nd-cartpole-v9`. Did you mean `nd-cartpole-v1`?"),
        (&["--set", "m=2"], "Did you mean `n`?"),
        (&["--set", "n=0"], "`n`"),
        (&["--set", "n=two"], "`n`"),
        (&["--set", "n=nan"], "`n`"),
        (&["--set", "n"], "expected NAME=VALUE, got `n`"),
        (&["--objective", "pmo"], "there is no objective `pmo`. Did you mean `ppmo`?"),
        (&["--objective-set", "clipp=0.1"], "plugin `ppmo-v1` has no option `clipp`. Did you mean `clip`?"),
        (&["--learner", "mpl"], "there is no learner `mpl`. Did you mean `mlp`?"),
        (&["--learner-set", "widht=8"], "plugin `mlp-v1` has no option `widht`. Did you mean `width`?"),
        (&["--learner-set", "width=0"], "`width` is `0`; expected a number from 1 to 65536"),
        (&["--learner-set", "width=9-3"], "width"),
        (&["--device", "cup"], "unknown device `cup`. Did you mean `cpu`?"),
        (&["--k", "0"], "`dataset.k` is 0; expected at least 1"),
        (&["--envs", "5"], "`environment.envs` is 5; expected a multiple of the 2 learners"),
        (&["--envs", "0"], "`environment.envs` is 0; expected at least 1"),
        (&["--steps", "0"], "`environment.steps` is 0; expected at least 1"),
        (&["--meta-epochs", "0"], "`meta_epochs` is 0; expected at least 1"),
        (&["--lr", "NaN"], "`optimizer.lr` is NaN; expected a number above 0"),
        (&["--lr", "inf"], "`optimizer.lr` is inf; expected a number above 0"),
        (&["--k", "1000000000000"], "`dataset.k` is 1000000000000; expected at most 1000000"),
        (&["--steps", "100000000000"], "`environment.steps` is 100000000000; expected at most 1000000"),
        (&["--envs", "4000000000"], "`environment.envs` is 4000000000; expected at most 1000000"),
        (&["--lr", "fast"], "invalid value 'fast' for '--lr <LR>'"),
        (&["--encoder-layers", "9"], "`encoder_layers` is 9; the learner has 3 layers"),
        (
            &["--encoder-layers", "1", "--learner-set", "width=8-16"],
            "an encoder needs learners of one architecture; the options of `mlp-v1` make them differ",
        ),
        (&["--seed", "18446744073709551615"], "`seed` is 18446744073709551615; expected at most"),
        (&["--thread", "1"], "unexpected argument '--thread'"),
    ];
    for (arguments, expected) in cases {
        let mut all = vec!["distill", "--config", "small.toml", "--json"];
        all.extend(*arguments);
        place.refused(&all, 2, expected);
        assert!(place.names().is_empty(), "{arguments:?} left {:?}", place.names());
    }
    place.refused(&["distil", "nd-cartpole"], 2, "a similar subcommand exists: 'distill'");
    place.refused(&["eval", text(finished_run()), "--learners", "0"], 2, "must be at least 1");
    place.refused(&["bench", "--repetitions", "0"], 2, "--repetitions must be at least 1");
    if !cfg!(feature = "wgpu") {
        place.refused(&["distill", "--device", "wgpu"], 1, "device `wgpu`: this build has no wgpu");
    }
    if !cfg!(feature = "cuda") {
        place.refused(&["distill", "--device", "cuda"], 1, "device `cuda:0`: this build has no CUDA");
    }
    assert!(place.names().is_empty(), "{:?}", place.names());
}

#[test]
fn invalid_configurations_are_rejected() {
    let place = Place::new();
    place.refused(&["distill", "--config", "nowhere.toml"], 1, "nowhere.toml: No such file");
    for (content, expected) in [
        ("sede = 1", "wrong.toml: unknown key `sede`. Did you mean `seed`?"),
        ("[ppo]\nlearners = 3", "wrong.toml: `environment.envs` is 8; expected a multiple of the 3 learners"),
        ("[optimizer]\nlr = nan", "wrong.toml: `optimizer.lr` is NaN"),
        ("[environment\n", "wrong.toml: TOML parse error at line 1"),
        ("seed = 'one'", "wrong.toml: TOML parse error at line 1"),
    ] {
        place.write("wrong.toml", content);
        place.refused(&["distill", "--config", "wrong.toml"], 1, expected);
        assert_eq!(place.names(), ["wrong.toml"]);
    }
    place.write("wrong.toml", "[optimizer.scale]\nlog_std = 0.1");
    let expected = "`optimizer.scale.log_std`: θ has no such part. Known: x, y, inner_lr.";
    place.refused(&["distill", "--config", "wrong.toml"], 2, expected);
    for (training, expected) in [
        ("m = 2", "plugin `nd-cartpole-v1` has no option `m`. Did you mean `n`?"),
        ("n = 2", "`environment.training`: these options change the observation or action space"),
    ] {
        place.write("wrong.toml", format!("[environment.training]\n{training}"));
        place.refused(&["distill", "--config", "wrong.toml"], 2, expected);
    }
}

/// Returns the finished run's dataset with changed metadata, and without the checksum that would reveal the change.
fn rewritten(change: impl Fn(&str) -> String) -> Vec<u8> {
    let bytes = read(finished_run().join("dataset.safetensors"));
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut metadata: HashMap<String, String> = header.metadata().clone().unwrap();
    metadata.remove("sha256");
    let own = metadata["potstill"].clone();
    metadata.insert("potstill".into(), change(&own));
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    safetensors::serialize(tensors.tensors(), Some(metadata)).unwrap()
}

/// A run that diverges says so, and not that it can be resumed.
#[test]
fn an_inner_rate_that_shrinks_to_nothing_is_a_divergence() {
    let place = Place::new();
    let expected = "the inner learning rate has shrunk to 0: the optimization diverged; start a new run with a smaller --lr";
    let run = ["distill", "nd-cartpole", "--lr", "1000", "--meta-epochs", "2", "--out", "run"];
    place.refused(&run, 2, expected);
    place.refused(&["resume", "run"], 2, expected);
    place.refused(&["eval", "run"], 1, "unless it ended with an error that asks for a new run");
}

#[test]
fn files_that_are_not_datasets_are_rejected() {
    let place = Place::new();
    let whole = read(finished_run().join("dataset.safetensors"));
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    place.ok(&["train", text(finished_run()), "--out", "agent"]);
    place.write("untouched", rewritten(str::to_owned));
    place.ok(&["eval", "untouched", "--learners", "1", "--episodes", "1"]);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "wrong: the file is 0 bytes long: it is empty or cut short"),
        (b"a text about datasets".to_vec(), "wrong: "),
        (whole[..whole.len() - 9].to_vec(), "wrong: the file is cut short"),
        (whole[..100].to_vec(), "wrong: the file is cut short"),
        ([&whole[..], b"\n"].concat(), "wrong: something was appended after the last tensor (1 byte)"),
        (flipped(whole.len() - 1), "wrong: the file is damaged: its content does not match its checksum"),
        (flipped(whole.len() - 30), "wrong: "),
        (flipped(300), "wrong: "),
        (read(place.path("agent")), "wrong: this is a `potstill-agent` file; expected a dataset"),
        (read(newest_checkpoint(finished_run())), "wrong: this is a `potstill-checkpoint` file"),
        (read(repository("tests/fixtures/cartpole.pt")), "this looks like a PyTorch file"),
        (
            rewritten(|text| text.replace("\"format_version\":1", "\"format_version\":3")),
            "wrong: dataset format 3; this Potstill (0.1.0) reads up to 2: upgrade it",
        ),
        (
            rewritten(|text| text.replace("\"scores\"", "\"inner\":{\"steps\":9},\"scores\"")),
            "wrong: dataset format 1 has no `inner`: its `format_version` must be 2",
        ),
        (rewritten(|text| text.replace("\"seed\"", "\"sead\"")), "wrong: the metadata is incomplete"),
        (
            rewritten(|text| text.replace("\"learners\":4", "\"learners\":-4")),
            "wrong: the metadata is incomplete",
        ),
        (
            rewritten(|text| text.replace("\"max_return\":500.0", "\"max_return\":1.0")),
            "wrong: an impossible score",
        ),
    ];
    for (content, expected) in cases {
        place.write("wrong", content);
        for command in ["eval", "train", "play"] {
            if command != "train" && expected.contains("potstill-agent") {
                continue;
            }
            place.refused(&[command, "wrong"], 1, expected);
        }
        assert_eq!(place.names(), ["agent", "untouched", "wrong"]);
    }
    // A copy may be cut off anywhere.
    for at in (0..whole.len()).step_by(whole.len() / 12) {
        place.write("wrong", &whole[..at]);
        place.refused(&["eval", "wrong"], 1, "wrong: ");
    }
    place.refused(&["eval", "nowhere"], 1, "nowhere: No such file");
    std::fs::create_dir(place.path("empty")).unwrap();
    place.refused(&["eval", "empty"], 1, "empty: not a run directory");
}

#[test]
fn datasets_for_something_else_are_rejected() {
    let place = Place::new();
    let save = |change: &dyn Fn(&mut Dataset)| {
        let mut dataset = Dataset::load(finished_run().join("dataset.safetensors")).unwrap();
        change(&mut dataset);
        dataset.save(place.path("other")).unwrap();
    };
    let refused = |code: i32, expected: &str| {
        for command in ["eval", "train", "play"] {
            place.refused(&[command, "other"], code, expected);
        }
        assert_eq!(place.names(), ["other"]);
    };
    save(&|d| d.info.environment.id = "mountain-car-v0".into());
    refused(2, "there is no environment `mountain-car-v0`");
    save(&|d| {
        d.info.environment.settings.insert("n".into(), potstill_plugin_api::OptionValue::Integer(2));
    });
    refused(2, "the dataset was made for `nd-cartpole-v1` with ");
    save(&|d| {
        d.info.environment.settings.insert("wheels".into(), potstill_plugin_api::OptionValue::Integer(2));
    });
    refused(2, "`wheels`");
    save(&|d| d.info.learner.id = "perceptron".into());
    refused(2, "there is no learner `perceptron`");
    save(&|d| d.info.learner.id = "transformer".into());
    refused(2, "plugin `transformer-v1` has no option `activation`");
    save(&|d| d.info.objective.id = "dqn".into());
    refused(2, "there is no objective `dqn`");
    save(&|d| {
        d.inner_lr = f32::MAX;
        d.y.data.fill(1e38);
    });
    place.refused(
        &["eval", "other"],
        2,
        "the learner's policy outputs are not numbers: this dataset cannot teach this learner",
    );
}

fn copy_plugin(place: &Place) {
    std::fs::create_dir(place.path("plugin")).unwrap();
    for file in ["plugin.toml", "nd-cartpole.wasm"] {
        let from = repository("plugins/nd-cartpole").join(file);
        std::fs::copy(from, place.path("plugin").join(file)).unwrap();
    }
}

#[test]
fn a_plugin_that_changed_since_the_run_began_is_rejected() {
    let place = Place::new();
    copy_plugin(&place);
    let run = place.distil("run", &["--plugin", "plugin"]);
    let whole = Outcome::of(&run);
    std::fs::remove_file(newest_checkpoint(&run)).unwrap();
    // Add a custom section, which every WebAssembly reader ignores.
    let mut wasm = read(place.path("plugin/nd-cartpole.wasm"));
    wasm.extend([0, 3, 1, b'x', 0]);
    place.write("plugin/nd-cartpole.wasm", wasm);
    let resume = ["resume", "run", "--plugin", "plugin"];
    place.refused(&resume, 2, "plugin `nd-cartpole-v1` is not the file this run began with; restore it, or");
    place.ok(&["resume", "run", "--plugin", "plugin", "--changed-plugin"]);
    let after = Outcome::of(&run);
    assert_eq!(after.metrics, whole.metrics, "this change changes nothing");
    // The changed plugin is accepted as the run's plugin from now on.
    place.ok(&resume);
    let versions = String::from_utf8(read(run.join("versions.json"))).unwrap();
    assert!(versions.contains("another file of plugin `nd-cartpole-v1` after meta-epoch 7"), "{versions}");
    // The run knows the plugin's path. If the plugin is gone, the built-in one counts as a different file.
    place.ok(&["resume", "run"]);
    std::fs::remove_dir_all(place.path("plugin")).unwrap();
    place.refused(&["resume", "run"], 2, "is not the file this run began with");
}

const HOSTILE: [(&str, &str); 6] = [
    ("step-loop", "in `step`: endless loop: no answer within 1 s (limit `step-seconds`)"),
    ("step-memory", "in `step`: memory limit of 32 MiB reached (limit `memory-mib`)"),
    ("step-panic", "in `step`: panicked: index 2 of a thing of three"),
    ("nan-observation", "in `step`: observation 3 of environment 1 is NaN"),
    ("short-observations", "in `step`: returned 12 observation values, expected 2 environments × 4 = 8"),
    ("reset-short", "in `reset`: returned 4 observation values, expected 2 environments × 4 = 8"),
];

#[test]
fn a_hostile_environment_is_named() {
    let place = Place::new();
    let patient = repository("tests/hostile");
    let copy = hurried(&patient, 1.0, 1.0);
    // One that loops never answers; any other must meet its own limit, however slow the machine.
    let plugin = |mode: &str| text(if mode.contains("loop") { copy.path() } else { &patient });
    let from = |mode| ["--config", "small.toml", "--plugin", plugin(mode)];
    for (mode, cause) in HOSTILE {
        let set = format!("mode={mode}");
        let with = ["distill", "test/hostile-v1", "--set", &set, "--out", mode];
        let error = format!("error: plugin `test/hostile-v1`, {cause}");
        place.refused(&[&with[..], &from(mode)].concat(), 1, &error);
        let run = place.path(mode);
        assert!(newest_checkpoint(&run).ends_with("checkpoint-00000000.safetensors"));
        place.refused(&["resume", mode, "--plugin", plugin(mode)], 1, &error);
        place.refused(&["eval", mode], 1, "this run has no dataset; `potstill resume` continues it");
    }
    // A run that cannot start leaves no files.
    let names = place.names();
    for (mode, cause) in [
        ("make-trap", "in `make`: crashed"),
        ("make-loop", "in `make`: endless loop: no answer within 1 s"),
        ("spec-overflow", "in `spec`: the observation space is wrong"),
    ] {
        let set = format!("mode={mode}");
        let with = ["distill", "test/hostile-v1", "--set", &set, "--out", mode];
        place.refused(
            &[&with[..], &from(mode)].concat(),
            1,
            &format!("error: plugin `test/hostile-v1`, {cause}"),
        );
    }
    // An error that the plugin returns is one that the user can fix.
    let with = ["distill", "test/hostile-v1", "--set", "mode=make-error"];
    let error = "error: plugin `test/hostile-v1`: the moon is in the wrong phase";
    place.refused(&[&with[..], &from("make-error")].concat(), 2, error);
    assert_eq!(place.names(), names);
}

#[test]
fn an_environment_that_turns_hostile_costs_one_meta_epoch() {
    let place = Place::new();
    let hostile = repository("tests/hostile");
    let with_plugin = ["--plugin", text(&hostile)];
    // Its episodes never end, so do not validate before the last meta-epoch.
    place.write("small.toml", endless(SMALL).replace("every = 3", "every = 0"));
    let begin = ["distill", "test/hostile-v1", "--config", "small.toml", "--out", "run"];
    let mut child = place.command(&[&begin[..], &with_plugin].concat()).spawn().unwrap();
    let run = place.path("run");
    let epochs = |at_least: u64| wait_for("a checkpoint", || epoch(&run) >= at_least);
    epochs(3);
    child.kill().unwrap();
    child.wait().unwrap();
    reconfigure(&run, "\"none\"", "\"step-trap\"");
    let before = epoch(&run);
    let resume = [&RESUME_CHANGED[..], &with_plugin].concat();
    let said = place.refused(&resume, 1, "error: plugin `test/hostile-v1`, in `step`: crashed: ");
    let goes_on = "once the plugin is fixed, `potstill resume run --changed-plugin` continues from the last";
    assert!(said.err.contains(goes_on), "{}", said.err);
    assert_eq!(epoch(&run), before);
    reconfigure(&run, "\"step-trap\"", "\"none\"");
    let mut child = place.command(&resume).spawn().unwrap();
    epochs(before + 2);
    child.kill().unwrap();
    child.wait().unwrap();
    end_after(&run, epoch(&run) + 1);
    place.refused(&resume, 2, "an episode of `test/hostile-v1` has not ended after 200000 steps");
}
