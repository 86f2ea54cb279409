//! Checks that `docs/dataset-format.md` says all that a reader needs: a script in NumPy that knows only the page teaches
//! learners as the program does, and they play in Gymnasium. Also what the files of others may be.
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::OnceLock;

use potstill::run::{AgentFile, Dataset};

use crate::c::compile;
use crate::python::python;
use crate::{Place, finished_run, repository, text};

/// Gymnasium's pendulum with two motors: continuous actions.
fn pendulum() -> &'static str {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    text(LIBRARY.get_or_init(|| compile("tests/continuous/pendulum.c", "pendulum", &[])))
}

fn teach(place: &Place, arguments: &[&str]) -> Option<String> {
    let script = "teach_from_format.py";
    let place = |name: &&str| match place.path(name) {
        path if path.exists() || name.ends_with(".safetensors") => path.into_os_string(),
        _ => name.into(),
    };
    let arguments: Vec<_> = arguments.iter().map(place).collect();
    python(script, arguments.iter().map(|argument| -> &OsStr { argument }))
}

/// Checks that the page's inner rule, on the learner that the program initializes, gives the learner that it trains.
#[track_caller]
fn page_teaches_as_the_program(place: &Place, dataset: &str) {
    let plugin = ["--plugin", pendulum()];
    if teach(place, &["fresh", dataset, "fresh.safetensors"]).is_none() {
        return;
    }
    for (from, to) in [("fresh.safetensors", "before"), (dataset, "after")] {
        place.ok(&[&plugin[..], &["train", from, "--seed", "5", "--out", to, "--force"]].concat());
    }
    let said = teach(place, &["compare", dataset, "before", "after"]).unwrap();
    let distance: f64 = said.trim().parse().unwrap();
    assert!(distance < 1e-4, "{dataset}: {distance}");
}

#[test]
fn the_page_has_every_inner_rule() {
    let place = Place::new();
    let cartpole: [&[&str]; 6] = [
        &[],
        &["--objective-set", "inner-rates=3"],
        &["--objective", "unrolled", "--objective-set", "momentum=0.5"],
        &["--objective", "hard-label"],
        &["--objective", "ppmo-as-published", "--learner-set", "activation=relu"],
        &["--encoder-layers", "1", "--learner-set", "depth=3"],
    ];
    let continuous: [&[&str]; 3] =
        [&[], &["--objective", "ppmo-as-published"], &["--objective-set", "inner-rates=2"]];
    let continuous = continuous.map(|more| [&["test/pendulum", "--k", "3"], more].concat());
    for arguments in cartpole.map(<[&str]>::to_vec).into_iter().chain(continuous) {
        let small = ["--plugin", pendulum(), "distill", "--config", "small.toml", "--out", "run"];
        place.ok(&[&small[..], &arguments].concat());
        std::fs::rename(place.path("run/dataset.safetensors"), place.path("d.safetensors")).unwrap();
        std::fs::remove_dir_all(place.path("run")).unwrap();
        page_teaches_as_the_program(&place, "d.safetensors");
    }
    place.ok(&["collect", "nd-cartpole", "--episodes", "20", "--out", "data"]);
    let matching = ["--objective", "gradient-matching", "--data", "data", "--out", "run"];
    place.ok(&[&["distill", "--config", "small.toml"], &matching[..]].concat());
    std::fs::rename(place.path("run/dataset.safetensors"), place.path("d.safetensors")).unwrap();
    page_teaches_as_the_program(&place, "d.safetensors");
    let run = |arguments: &[&str]| place.ok(&[&["--plugin", pendulum()], arguments].concat());
    run(&["collect", "test/pendulum", "--episodes", "2", "--out", "pushed"]);
    let matching =
        ["--objective", "gradient-matching", "--data", "pushed", "--k", "3", "--out", "pushed-run"];
    run(&[&["distill", "test/pendulum", "--config", "small.toml"], &matching[..]].concat());
    page_teaches_as_the_program(&place, "pushed-run/dataset.safetensors");
}

#[test]
fn learners_taught_from_the_page_play_in_gymnasium() {
    let place = Place::new();
    place.write(
        "short.toml",
        "[evaluation]\nevery = 20\nvalidation_learners = 5\nlearners = 20\nepisodes = 5\n",
    );
    let distill =
        ["distill", "--config", "short.toml", "--meta-epochs", "120", "--seed", "1", "--out", "pole"];
    place.ok(&distill);
    let Some(said) = teach(&place, &["score", "pole/dataset.safetensors", "CartPole-v1", "10"]) else {
        return;
    };
    let recorded = Dataset::load(place.path("pole/dataset.safetensors")).unwrap().info.scores[0].mean_return;
    let played: f64 = said.trim().parse().unwrap();
    assert!(recorded > 300.0 && played > 0.8 * recorded, "{played}, recorded {recorded}");

    // Direct PPO: every layer is the encoder, and observations are normalized. Random torques give about -1200.
    place.write(
        "rl.toml",
        "meta_epochs = 60\n[ppo]\ngamma = 0.95\n[evaluation]\nvalidation_learners = 1\nlearners = 2\nepisodes = 20\n",
    );
    place.ok(&["--plugin", pendulum(), "rl", "test/pendulum", "--config", "rl.toml", "--out", "pendulum"]);
    let said = teach(&place, &["score", "pendulum/dataset.safetensors", "Pendulum-v1", "5"]).unwrap();
    let played: f64 = said.trim().parse().unwrap();
    assert!(played > -500.0, "{played}");
}

/// The code that made the released files of continuous actions descends the mean squared error of the means plus that of
/// the log standard deviations, and normalizes observations by moments that the files lack.
#[test]
fn imported_datasets_teach_as_in_the_code_that_made_them() {
    let place = Place::new();
    std::fs::copy(repository("tests/fixtures/mujoco.pt"), place.path("mujoco.pt")).unwrap();
    let import = |arguments: &[&str]| {
        let import = ["--plugin", pendulum(), "import", "mujoco.pt", "--env", "test/pendulum"];
        let said = place.run(&[&import[..], arguments].concat());
        assert_eq!(said.code, Some(0), "{}", said.err);
        said.err
    };
    let said = import(&["--out", "d.safetensors"]);
    assert!(said.contains("note: the file has no moments of observations"), "{said}");
    assert!(said.contains("--estimate-normalizer"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    page_teaches_as_the_program(&place, "d.safetensors");

    assert_eq!(import(&["--estimate-normalizer", "4"]), "");
    let dataset = Dataset::load(place.path("mujoco.safetensors")).unwrap();
    let moments = |name: &str| &dataset.extra(&format!("normalizer.{name}")).unwrap().data;
    // Four episodes of 200 steps, and their first observations. The last ones belong to the next episodes.
    assert_eq!(moments("count"), &[804.0]);
    let (mean, variance) = (moments("mean"), moments("variance"));
    assert!(mean[..2].iter().all(|v| v.abs() < 1.0) && mean[2].abs() < 8.0, "{mean:?}");
    assert!(variance[..2].iter().all(|v| (0.01..1.0).contains(v)) && variance[2] > 0.1, "{variance:?}");
    let origin = dataset.info.origin.as_deref().unwrap();
    assert_eq!(origin, "imported from mujoco.pt; moments of observations estimated in 4 episodes");
    place.ok(&["--plugin", pendulum(), "train", "mujoco.safetensors", "--out", "agent"]);
    let agent = AgentFile::load(place.path("agent")).unwrap();
    assert!(agent.parameters.iter().any(|p| p.name == "normalizer.mean" && p.data == *mean));
    place.ok(&["--plugin", pendulum(), "play", "agent", "--quiet"]);
}

#[test]
fn wrapped_models_are_imported_with_a_note() {
    let place = Place::new();
    std::fs::copy(repository("tests/fixtures/wrapped.pt"), place.path("wrapped.pt")).unwrap();
    let said = place.run(&["import", "wrapped.pt", "--env", "nd-cartpole"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(
        said.err,
        "note: took the tensors whose names begin with `module.`, as in a model saved in its wrapper\n"
    );
    let compressed = repository("tests/fixtures/bzip2.pt");
    place.refused(
        &["import", text(&compressed), "--env", "nd-cartpole"],
        1,
        "compressed with bzip2, which is not read",
    );
}

/// What changed is said once for each file, and the file is used.
#[test]
fn a_changed_environment_is_a_warning() {
    let place = Place::new();
    let mut dataset = Dataset::load(finished_run().join("dataset.safetensors")).unwrap();
    let few = ["--learners", "1", "--episodes", "1"];
    dataset.save(place.path("same")).unwrap();
    assert_eq!(place.run(&[&["eval", "same"], &few[..]].concat()).err, "");
    let environment = &mut dataset.info.environment;
    environment.plugin_sha256 = Some("ab".repeat(32));
    environment.spec.max_episode_steps = Some(1000);
    dataset.save(place.path("other")).unwrap();
    for command in ["eval", "train", "play"] {
        let more: &[&str] = if command == "eval" { &few } else { &[] };
        let said = place.run(&[&[command, "other"], more].concat());
        assert_eq!((said.code, said.err.lines().count()), (Some(0), 1), "{}", said.err);
        let expected = "warning: other: when it was made, `nd-cartpole-v1` was another one: another file of its plugin \
                        (SHA-256 abababababab…, now ";
        assert!(said.err.starts_with(expected), "{}", said.err);
        assert!(
            said.err.contains("a time limit of 1000 steps (now a time limit of 500 steps)"),
            "{}",
            said.err
        );
    }
    let mut agent = AgentFile::load(place.path("agent.safetensors")).unwrap();
    agent.environment.spec.max_episode_steps = Some(1000);
    agent.save(place.path("agent")).unwrap();
    let said = place.run(&["play", "agent", "--quiet"]);
    assert!(said.err.starts_with("warning: agent: when it was made, "), "{}", said.err);
    let stray = agent.parameters[0].clone();
    agent.parameters.push(potstill::run::NamedTensor { name: "layers.9.weight".into(), ..stray });
    agent.save(place.path("agent")).unwrap();
    place.refused(
        &["play", "agent"],
        2,
        "the agent holds `layers.9.weight`, which is no parameter of learner",
    );

    let mut stray = Dataset::load(place.path("same")).unwrap();
    let rates = potstill::run::NamedTensor { name: "theta.rates".into(), ..stray.y.clone() };
    stray.extra.push(rates);
    stray.save(place.path("stray")).unwrap();
    let expected = "the dataset holds `theta.rates`, which objective `ppmo-v1` does not know";
    place.refused(&["eval", "stray"], 2, expected);
}

#[cfg(unix)]
#[test]
fn a_device_is_no_file_but_a_pipe_may_be_one() {
    let place = Place::new();
    std::os::unix::fs::symlink("/dev/zero", place.path("zero")).unwrap();
    let expected = "zero: is a device; expected a file";
    for command in ["eval", "train", "play", "collect"] {
        place.refused(&[command, "zero"], 1, expected);
    }
    place.refused(&["import", "zero", "--env", "nd-cartpole"], 1, expected);
    place.refused(&["distill", "--objective", "gradient-matching", "--data", "zero"], 1, expected);
    let bytes = std::fs::read(finished_run().join("dataset.safetensors")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    let path = place.path("pipe");
    let writer = std::thread::spawn(move || std::fs::write(path, bytes));
    place.ok(&["play", "pipe", "--quiet"]);
    writer.join().unwrap().unwrap();
}
