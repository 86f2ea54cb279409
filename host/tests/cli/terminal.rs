//! Checks that texts of others cannot command the terminal or pose as lines of the program, and what a terminal and a log
//! show.
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Output;

use potstill_bridge::text::is_hidden;
use safetensors::SafeTensors;
use serde_json::Value;

use crate::c::compile;
use crate::{Place, Said, finished_run, read, repository, text};

/// A newline, an escape sequence, a carriage return, a control of C1, an override of direction, a line separator.
const FORGED: &str = "x\nforged\x1b]0;forged\x07\r\nforged\t\u{9b}2J\u{202e}y\u{2028}forged\u{7f}";

/// Checks that the output shows every hidden character of others in some visible form, and no forged line.
#[track_caller]
fn tame(what: &str, output: &Output) {
    for (stream, bytes) in [("out", &output.stdout), ("err", &output.stderr)] {
        let text = String::from_utf8(bytes.clone()).unwrap_or_else(|e| panic!("{what}: {stream}: {e}"));
        let hidden = text.chars().find(|c| is_hidden(*c) && *c != '\n');
        assert!(hidden.is_none(), "{what}: {stream}: {hidden:?} in {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("forged")), "{what}: {stream}: {text}");
        assert!(text.len() < 50_000, "{what}: {} bytes on {stream}", text.len());
        assert!(!text.contains("internal fault"), "{what}: {text}");
    }
}

impl Place {
    #[track_caller]
    fn tame(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output().unwrap();
        tame(&format!("{arguments:?}"), &output);
        output.into()
    }
}

/// Returns all values that differ from `value` by one text, which is a forged one, or one key with a forged end.
fn forgeries(value: &Value) -> Vec<Value> {
    match value {
        Value::String(_) => vec![FORGED.into()],
        Value::Array(items) => (0..items.len())
            .flat_map(|i| {
                forgeries(&items[i]).into_iter().map(move |item| {
                    let mut all = items.clone();
                    all[i] = item;
                    Value::Array(all)
                })
            })
            .collect(),
        Value::Object(object) => object
            .iter()
            .flat_map(|(key, value)| {
                let mut renamed = object.clone();
                renamed.remove(key);
                renamed.insert(format!("{key}{FORGED}"), value.clone());
                let below = forgeries(value).into_iter().map(|value| {
                    let mut object = object.clone();
                    object.insert(key.clone(), value);
                    Value::Object(object)
                });
                below.chain([Value::Object(renamed)]).collect::<Vec<_>>()
            })
            .collect(),
        _ => vec![],
    }
}

/// Returns copies of a safetensors file of the program, each with one forged text in its metadata or name of a tensor.
fn forged_files(file: &Path) -> Vec<Vec<u8>> {
    let bytes = read(file);
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut metadata: HashMap<String, String> = header.metadata().clone().unwrap();
    metadata.remove("sha256");
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let written = |metadata: &HashMap<String, String>, names: &dyn Fn(&str) -> String| {
        let tensors = tensors.iter().map(|(name, tensor)| (names(name), tensor));
        safetensors::serialize(tensors, Some(metadata.clone())).unwrap()
    };
    let own: Value = serde_json::from_str(&metadata["potstill"]).unwrap();
    let with = |key: &str, value: String| {
        let mut metadata = metadata.clone();
        metadata.insert(key.into(), value);
        written(&metadata, &str::to_owned)
    };
    let mut files: Vec<Vec<u8>> =
        forgeries(&own).into_iter().map(|own| with("potstill", own.to_string())).collect();
    for key in metadata.keys() {
        files.push(with(key, FORGED.into()));
    }
    for (renamed, _) in &tensors {
        files.push(written(&metadata, &|name| if name == renamed { FORGED.into() } else { name.to_owned() }));
    }
    files
}

#[test]
fn data_files_command_no_terminal() {
    let place = Place::new();
    place.ok(&["train", text(finished_run()), "--out", "agent"]);
    place.ok(&["collect", "agent", "--episodes", "2", "--out", "data"]);
    let few = ["--learners", "1", "--episodes", "1"];
    let dataset = finished_run().join("dataset.safetensors");
    for (number, bytes) in forged_files(&dataset).into_iter().enumerate() {
        place.write("forged", bytes);
        place.tame(&[&["eval", "forged"], &few[..]].concat());
        match number % 3 {
            0 => place.tame(&[&["eval", "forged", "--json"], &few[..]].concat()),
            1 => place.tame(&["train", "forged", "--out", "taught"]),
            _ => place.tame(&["play", "forged", "--steps", "2"]),
        };
    }
    for bytes in forged_files(&place.path("agent")) {
        place.write("forged", bytes);
        place.tame(&["play", "forged", "--steps", "2"]);
        place.tame(&["collect", "forged", "--episodes", "1", "--out", "collected"]);
    }
    for bytes in forged_files(&place.path("data")) {
        place.write("forged", bytes);
        let run = ["--out", "run", "--config", "small.toml", "--meta-epochs", "1"];
        place
            .tame(&[&["distill", "--objective", "gradient-matching", "--data", "forged"], &run[..]].concat());
        let _ = std::fs::remove_dir_all(place.path("run"));
    }
}

#[test]
fn configurations_and_manifests_command_no_terminal() {
    let place = Place::new();
    let config = std::fs::read_to_string(finished_run().join("config.toml")).unwrap();
    let config: Value = serde_json::to_value(config.parse::<toml::Table>().unwrap()).unwrap();
    for forged in forgeries(&config) {
        place.write("forged.toml", toml::to_string(&forged).unwrap());
        let said = place.tame(&["distill", "--config", "forged.toml", "--out", "run"]);
        assert_ne!(said.code, Some(0), "{forged}");
    }
    for raw in
        ["seed = \"\x1b]0;forged\x07\"", "seed = 'a\x1b[2J'\r\nforged", "\u{202e} = 1", "forged = \"\x1b\""]
    {
        place.write("forged.toml", raw);
        place.tame(&["distill", "--config", "forged.toml"]);
        place.tame(&["reproduce", "./forged.toml"]);
    }
    let experiment: Value = serde_json::json!({
        "about": "An experiment", "caption": "A caption", "run": "a", "axis": [{ "key": "seed", "values": [1] }],
        "columns": [{ "title": "A", "value": "{seed}" }],
    });
    for forged in forgeries(&experiment) {
        place.write("forged.toml", toml::to_string(&forged).unwrap());
        place.tame(&["reproduce", "./forged.toml"]);
    }
    for folder in ["plugins/mujoco", "tests/hostile", "examples/grid-world"] {
        let manifest = std::fs::read_to_string(repository(folder).join("plugin.toml")).unwrap();
        let manifest: Value = serde_json::to_value(manifest.parse::<toml::Table>().unwrap()).unwrap();
        std::fs::create_dir_all(place.path("forged")).unwrap();
        place.write("forged/hostile.wasm", read(repository("tests/hostile/hostile.wasm")));
        for forged in forgeries(&manifest).into_iter().take(60) {
            place.write("forged/plugin.toml", toml::to_string(&forged).unwrap());
            place.tame(&["plugin", "list", "--plugin", "forged"]);
            let mut command = place.command(&["plugin", "list"]);
            tame(
                &forged.to_string(),
                &command.env("POTSTILL_PLUGIN_PATH", place.path("forged")).output().unwrap(),
            );
        }
    }
}

#[test]
fn a_plugin_commands_no_terminal() {
    let place = Place::new();
    let library = compile("tests/native/forger.c", "forger", &[]);
    let plugin = ["--plugin", text(&library)];
    for arguments in [
        &["plugin", "list"][..],
        &["plugin", "list", "--json"],
        &["plugin", "info", "forger"],
        &["plugin", "info", "forger", "--json"],
        &["plugin", "check", text(&library)],
        &["doctor"],
        &["distill", "forger", "--help"],
        &["distill", "forger", "--config", "small.toml", "--out", "run"],
        &["distill", "forger", "--config", "small.toml", "--envs", "32", "--out", "other"],
        &["play", "run"],
        &["eval", "run", "--learners", "1", "--episodes", "1"],
        &["eval", "run", "--learners", "1", "--episodes", "9"],
    ] {
        let said = place.tame(&[&plugin[..], arguments].concat());
        assert!(said.code.is_some(), "{arguments:?}");
        place.tame(&[&plugin[..], &["--isolate"], arguments].concat());
        let _ = std::fs::remove_dir_all(place.path("other"));
    }
    let said = place.tame(&[&plugin[..], &["plugin", "info", "forger"]].concat());
    assert!(said.out.contains("summary      x⏎forged\u{fffd}]0;forged\u{fffd}"), "{}", said.out);
    assert!(said.err.contains("plugin: x\n  forged\u{fffd}]0;"), "{}", said.err);
    let library = compile("tests/native/forger.c", "forger", &["-DDEFAULT=FORGED"]);
    let said = place.tame(&["plugin", "list", "--plugin", text(&library)]);
    assert!(
        said.err.contains("option `word` has a help text, a choice or a default with control"),
        "{}",
        said.err
    );
}

#[test]
fn pytorch_files_command_no_terminal() {
    let place = Place::new();
    let mut archive =
        zip::ZipArchive::new(File::open(repository("tests/fixtures/cartpole.pt")).unwrap()).unwrap();
    // A key of the pickle is `X`, its length and its bytes.
    let key = |name: &str| [b"X", &(name.len() as u32).to_le_bytes()[..], name.as_bytes()].concat();
    for name in ["x", "y", "inner_lr", "storage"] {
        let mut out = zip::ZipWriter::new(File::create(place.path("forged.pt")).unwrap());
        for i in 0..archive.len() {
            let mut file = archive.by_index(i).unwrap();
            let mut bytes = vec![];
            file.read_to_end(&mut bytes).unwrap();
            if file.name().ends_with("data.pkl") {
                let at = bytes.windows(key(name).len()).position(|window| window == key(name)).unwrap();
                bytes.splice(at..at + key(name).len(), key(FORGED));
            }
            let stored =
                zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
            out.start_file(file.name(), stored).unwrap();
            out.write_all(&bytes).unwrap();
        }
        out.finish().unwrap();
        let said = place.tame(&["import", "forged.pt", "--env", "nd-cartpole"]);
        assert_eq!(said.code, Some(1), "{name}: {}", said.err);
    }
}

#[test]
fn the_command_line_commands_no_terminal() {
    let place = Place::new();
    for arguments in [
        &["eval", FORGED][..],
        &["eval", FORGED, "--json"],
        &["play", FORGED],
        &[FORGED],
        &["plugin", "info", FORGED],
        &["plugin", "list", "--plugin", FORGED],
        &["distill", FORGED],
        &["distill", "--lr", FORGED],
        &["distill", "--set", FORGED],
        &["distill", "--learner", FORGED],
        &["distill", "--device", FORGED],
        &["distill", "--config", FORGED],
        &["collect", FORGED],
        &["reproduce", FORGED],
        &["resume", FORGED],
    ] {
        assert_ne!(place.tame(arguments).code, Some(0), "{arguments:?}");
    }
    let name = FORGED.replace('/', "");
    place.tame(&["train", text(finished_run()), "--out", &name]);
    place.tame(&["play", &name, "--steps", "1"]);
}

#[test]
fn a_message_has_an_end() {
    let place = Place::new();
    for text in [format!("seed = \"{}\"", "long".repeat(250_000)), format!("{} = 1", "long".repeat(250_000))]
    {
        place.write("long.toml", text);
        let said = place.tame(&["distill", "--config", "long.toml"]);
        assert!(said.err.contains(" characters left out … "), "{}", said.err);
    }
    let bytes = read(finished_run().join("dataset.safetensors"));
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut metadata: HashMap<String, String> = header.metadata().clone().unwrap();
    metadata.remove("sha256");
    let own = metadata["potstill"].replacen("nd-cartpole-v1", &"long".repeat(1_000_000), 1);
    metadata.insert("potstill".into(), own);
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    place.write("long", safetensors::serialize(tensors, Some(metadata)).unwrap());
    place.tame(&["eval", "long"]);
}

#[cfg(unix)]
#[test]
fn json_has_paths_that_are_not_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let name = |bytes: &'static [u8]| std::ffi::OsStr::from_bytes(bytes);
    let json = |command: &mut std::process::Command| -> Value {
        let output = command.arg("--json").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let mut distill = place.command(&["distill", "--config", "small.toml", "--out"]);
    assert_eq!(json(distill.arg(name(b"r\xffun")))["run"], "r\u{fffd}un");
    let mut train = place.command(&["train", "--out"]);
    assert_eq!(json(train.arg(name(b"a\xff")).arg(name(b"r\xffun")))["agent"], "a\u{fffd}");
    let mut collect = place.command(&["collect", "nd-cartpole", "--episodes", "1", "--out"]);
    assert_eq!(json(collect.arg(name(b"d\xff")))["data"], "d\u{fffd}");
    let hostile = place.0.path().join(name(b"p\xff"));
    std::fs::create_dir(&hostile).unwrap();
    for file in ["hostile.wasm", "plugin.toml"] {
        std::fs::copy(repository("tests/hostile").join(file), hostile.join(file)).unwrap();
    }
    for arguments in [&["plugin", "list"][..], &["plugin", "info", "test/hostile"], &["doctor"]] {
        json(place.command(arguments).arg("--plugin").arg(&hostile));
    }
}

/// Opens a terminal of so many columns, runs a command of [`Place`] on it, and returns all that it shows.
#[cfg(target_os = "linux")]
fn on_a_terminal(command: &mut std::process::Command, columns: u16) -> String {
    use std::os::fd::{FromRawFd, OwnedFd};
    let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let (mut master, mut slave) = (0, 0);
    // SAFETY: the pointers are valid, and null asks for no name and the usual settings.
    let opened = unsafe {
        libc::openpty(
            &mut master,
            &mut slave,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            &raw const size as *mut _,
        )
    };
    assert_eq!(opened, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: both were just opened, and nothing else owns them.
    let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    command.stdout(slave.try_clone().unwrap()).stderr(slave);
    let mut child = command.env("TERM", "xterm").spawn().unwrap();
    // The command holds the other end of the terminal as long as it runs.
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut shown = vec![];
    // Where the last writer is gone, Linux says EIO.
    let _ = File::from(master).read_to_end(&mut shown);
    child.wait().unwrap();
    String::from_utf8(shown).unwrap().replace("\r\n", "\n")
}

/// Takes out the escape sequences of colors and the like, which end with a letter.
#[cfg(target_os = "linux")]
fn without_styles(shown: &str) -> String {
    let mut parts = shown.split('\x1b');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |out, part| out + part.split_once(char::is_alphabetic).map_or("", |(_, rest)| rest))
}

#[cfg(target_os = "linux")]
#[test]
fn narrow_terminals_break_between_words() {
    let place = Place::new();
    let run = text(finished_run());
    for arguments in [
        &["plugin", "list"][..],
        &["plugin", "info", "nd-cartpole"],
        &["distill", "nd-cartpole", "--help"],
        &["eval", run, "--learners", "1", "--episodes", "1"],
        &["distill", "nd-cartpol"],
        &["reproduce"],
        &["doctor"],
    ] {
        let shown = on_a_terminal(&mut place.command(arguments), 60);
        let shown = without_styles(&shown.replace("\x1b[2K", "\r"));
        for line in shown.lines() {
            // A bar is drawn over.
            let line = line.rsplit('\r').next().unwrap();
            let one_word = line.split_whitespace().count() <= 1;
            assert!(line.chars().count() <= 60 || one_word, "{arguments:?}: {line}");
        }
        assert!(shown.lines().count() > 1, "{arguments:?}: {shown}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn play_shows_the_end_of_an_episode() {
    let place = Place::new();
    let run = text(finished_run());
    let shown = on_a_terminal(&mut place.command(&["play", run, "--steps", "3"]), 60);
    assert!(shown.contains("step 3  return 3  stopped by --steps"), "{shown}");
    assert!(shown.trim_end().ends_with("episode 1: return 3.0 in 3 steps"), "{shown}");
    let shown = on_a_terminal(&mut place.command(&["play", run, "--untaught"]), 60);
    let (before, _) = shown.rsplit_once("episode 1: return ").unwrap();
    assert!(before.contains("  terminated") || before.contains("  truncated"), "{before}");
}

#[cfg(target_os = "linux")]
#[test]
fn play_prints_the_numbers_of_what_draws_nothing() {
    let place = Place::new();
    let library = compile("tests/native/forger.c", "forger", &["-DSILENT"]);
    let plugin = ["--plugin", text(&library)];
    place.ok(&[&plugin[..], &["distill", "forger", "--config", "small.toml", "--out", "run"]].concat());
    let shown = on_a_terminal(&mut place.command(&[&plugin[..], &["play", "run"]].concat()), 60);
    assert!(shown.contains("`test/forger-v1` is not drawn here (plugin"), "{shown}");
    assert!(shown.trim_end().ends_with("episode 1: return 3.0 in 3 steps"), "{shown}");
}

#[test]
fn an_agent_is_scored() {
    let place = Place::new();
    place.ok(&["train", text(finished_run()), "--seed", "3", "--out", "agent"]);
    let said = place.ok(&["eval", "agent", "--episodes", "7"]);
    assert!(said.starts_with("sampled return ") && said.ends_with(" (7 episodes, seed 0)\n"), "{said}");
    let score = |arguments: &[&str]| place.json(&[&["eval", "agent", "--json"], arguments].concat());
    let value = score(&["--episodes", "150"]);
    assert_eq!((&value["learners"], &value["episodes"]), (&1.into(), &150.into()));
    assert_eq!(value["environment"], "nd-cartpole-v1");
    assert!(value["mean_return"].as_f64().unwrap() > 1.0);
    assert_eq!(value, score(&["--episodes", "150"]));
    assert_ne!(value["mean_return"], score(&["--episodes", "150", "--seed", "1"])["mean_return"]);
    assert_eq!(score(&["--greedy", "--episodes", "2"])["acting"], "greedy");
    for option in [["--learners", "5"], ["--learner", "mlp"], ["--learner-set", "width=8"]] {
        place.refused(
            &[&["eval", "agent"], &option[..]].concat(),
            2,
            "an agent file holds one trained agent",
        );
    }
}

#[test]
fn one_is_singular() {
    let place = Place::new();
    let said = place.run(&["rl", "nd-cartpole", "--config", "small.toml", "--out", "rl"]);
    assert!(said.err.contains("→ an agent of 3 layers, in rl"), "{}", said.err);
    assert!(said.out.starts_with("an agent, trained in "), "{}", said.out);
    let said = place.run(&[
        "distill",
        "--config",
        "small.toml",
        "--k",
        "1",
        "--encoder-layers",
        "1",
        "--out",
        "one",
    ]);
    assert!(said.err.contains("→ 1 instance and an encoder of 1 layer, in one"), "{}", said.err);
    assert!(said.out.starts_with("1 instance, η = "), "{}", said.out);
    let said = place.ok(&["eval", "one", "--learners", "1", "--episodes", "1"]);
    assert!(said.contains("1 learner × 1 episode, seed 0"), "{said}");
    let said = place.ok(&["collect", "nd-cartpole", "--episodes", "1"]);
    assert!(said.contains(" transitions of 1 episode of "), "{said}");
}

#[test]
fn help_has_the_defaults() {
    let place = Place::new();
    for command in ["distill", "rl"] {
        let help = place.ok(&[command, "--help"]);
        let help: String = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let config = potstill::run::DistillConfig::default();
        for (option, default) in [
            ("--envs", config.environment.envs.to_string()),
            ("--steps", config.environment.steps.to_string()),
            ("--learner", "mlp".into()),
            ("--learners", format!("{}, and 1 for `rl`", config.ppo.learners)),
            ("--objective", config.objective.id),
            ("--meta-epochs", config.meta_epochs.to_string()),
            ("--lr", config.optimizer.lr.to_string()),
            ("--seed", config.seed.to_string()),
            ("--device", config.device),
            ("--threads", config.threads.to_string()),
        ] {
            let (_, after) = help.split_once(&format!("{option} <")).unwrap();
            let (own, _) = after.split_once(']').unwrap();
            assert!(own.ends_with(&format!("[default: {default}")), "{command} {option}: {own}");
        }
    }
    assert!(place.ok(&["distill", "--help"]).contains("[default: ⌈c/2⌉ + 1 for c discrete actions"));
}

#[test]
fn gymnasiums_names_lead_here() {
    let place = Place::new();
    place.refused(&["distill", "CartPole-v1"], 2, "Gymnasium's `CartPole-v1` is `nd-cartpole-v1` here");
    place.refused(&["plugin", "info", "Hopper-v4"], 2, "`mujoco/hopper-v4` here, of a plugin that is not");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_of_every_answer() {
    let place = Place::new();
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["distill", "--help"],
        &["distill", "nd-cartpole", "--help"],
        &["help", "eval"],
        &["completions", "bash"],
        &["man"],
        &["plugin", "list"],
        &["plugin", "info", "mlp"],
        &["doctor"],
        &["reproduce"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = place.command(arguments).stdout(full).output().unwrap();
        Said::from(output).refused(1, "error: standard output: No space left on device");
    }
}

#[test]
fn the_time_of_all_sessions_counts() {
    let place = Place::new();
    let run = place.distil("run", &[]);
    let lines = String::from_utf8(read(run.join("metrics.jsonl"))).unwrap();
    let edited: Vec<String> = lines
        .lines()
        .map(|line| {
            let mut record: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
            record.insert("seconds".into(), 7200.0.into());
            Value::Object(record).to_string() + "\n"
        })
        .collect();
    place.write("run/metrics.jsonl", edited.concat());
    let seconds = place.json(&["resume", "run", "--json"])["seconds"].as_f64().unwrap();
    assert!((7200.0..7900.0).contains(&seconds), "{seconds}");
}
