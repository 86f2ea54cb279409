//! Tests `distill`: the files of a run, and what its results depend on.
use crate::{Outcome, Place, list, metrics, read};
use potstill::run::Checkpoint;
use serde_json::Value;

#[test]
fn leaves_a_whole_run_directory() {
    let place = Place::new();
    let said = place.run(&["distill", "nd-cartpole", "--config", "small.toml", "--out", "run"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for expected in ["sampled return", "greedy  return", "report", "potstill play run"] {
        assert!(said.out.contains(expected), "{expected}: {}", said.out);
    }
    let run = place.path("run");
    let expected = "baseline.json checkpoints config.toml dataset.png dataset.safetensors dataset.svg lock metrics.jsonl \
                    report.html tensorboard versions.json";
    assert_eq!(list(&run).join(" "), expected);
    assert!(list(&run.join("checkpoints")).contains(&"checkpoint-00000008.safetensors".to_owned()));
    // Moments are stored only if they are used: checkpoints of runs without normalization have none.
    let checkpoint = Checkpoint::load(run.join("checkpoints/checkpoint-00000008.safetensors")).unwrap();
    assert!(!checkpoint.tensors.iter().any(|t| {
        ["normalizer", "reward_normalizer", "observed", "rewarded"]
            .iter()
            .any(|name| t.name.starts_with(name))
    }));
    let events = list(&run.join("tensorboard"));
    assert!(events.len() == 1 && events[0].starts_with("events.out.tfevents."), "{events:?}");
    let epochs: Vec<_> = metrics(&run).iter().map(|record| record["meta_epoch"].as_u64().unwrap()).collect();
    assert_eq!(epochs, [1, 2, 3, 4, 5, 6, 7, 8]);
    for (file, start) in [
        ("dataset.png", &b"\x89PNG"[..]),
        ("dataset.svg", b"<svg"),
        ("report.html", b"<!"),
        ("config.toml", b"seed = 0"),
    ] {
        assert!(read(run.join(file)).starts_with(start), "{file}");
    }
    let versions: Value = serde_json::from_slice(&read(run.join("versions.json"))).unwrap();
    assert_eq!(versions["plugins"][0]["id"], "nd-cartpole-v1");
    assert_eq!(versions["plugins"][0]["sha256"].as_str().unwrap().len(), 64);
    let dataset = potstill::run::Dataset::load(run.join("dataset.safetensors")).unwrap();
    assert_eq!((dataset.k(), dataset.info.scores.len()), (2, 2));

    // The configuration that it writes reproduces the run.
    place.ok(&["distill", "--config", "run/config.toml", "--out", "again"]);
    Outcome::of(&run).assert_same(&Outcome::of(&place.path("again")));
}

#[test]
fn stops_early_at_the_maximum_return() {
    let place = Place::new();
    // With this configuration, the one-dimensional cart-pole is solved after about forty meta-epochs.
    let config = "meta_epochs = 400\n[environment]\nenvs = 4\nsteps = 500\n[ppo]\nlearners = 1\n\
                  [evaluation]\nevery = 20\nsaturated = 2\nvalidation_learners = 2\nvalidation_episodes = 2\n\
                  learners = 2\nepisodes = 2\n";
    place.write("small.toml", config);
    let said = place.run(&["distill", "--config", "small.toml", "--out", "run"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("every episode of the last 2 validations"), "{}", said.err);
    let run = place.path("run");
    let validations: Vec<(u64, f64)> = metrics(&run)
        .iter()
        .filter_map(|record| {
            Some((record["meta_epoch"].as_u64()?, record.get("validation/best_return")?.as_f64()?))
        })
        .collect();
    let (&(last, at_last), before) = validations.split_last().unwrap();
    assert!(last < 400 && at_last == 500.0 && before.last().unwrap().1 == 500.0, "{validations:?}");
    // Resuming has nothing left to do, and resuming an earlier checkpoint leads to the same end.
    let whole = Outcome::of(&run);
    place.ok(&["resume", "run"]);
    whole.assert_same(&Outcome::of(&run));
    std::fs::remove_file(run.join(format!("checkpoints/checkpoint-{last:08}.safetensors"))).unwrap();
    place.ok(&["resume", "run"]);
    whole.assert_same(&Outcome::of(&run));
}

#[test]
fn reports_everything_as_json() {
    let place = Place::new();
    let command = ["distill", "--config", "small.toml", "--set", "n=2", "--k", "6", "--seed", "3", "--json"];
    let said = place.run(&command);
    assert_eq!(said.err, "");
    let value: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&value["k"], &value["environment"]), (&6.into(), &"nd-cartpole-v1".into()));
    let run = value["run"].as_str().unwrap();
    assert!(run.starts_with("runs/nd-cartpole-v1-"), "{run}");
    assert!(value["inner_lr"].as_f64().unwrap() > 0.0 && value["seconds"].as_f64().unwrap() > 0.0);
    let scores = value["scores"].as_array().unwrap();
    assert_eq!(
        scores.iter().map(|s| s["acting"].as_str().unwrap()).collect::<Vec<_>>(),
        ["sampled", "greedy"]
    );
    assert!(scores.iter().all(|s| s["mean_return"].is_number() && s["std_return"].is_number()));
    let dataset = potstill::run::Dataset::load(place.path(value["dataset"].as_str().unwrap())).unwrap();
    assert_eq!((dataset.x.shape, dataset.y.shape), (vec![6, 8], vec![6, 4]));
}

#[test]
fn the_default_number_of_instances_is_the_minimum() {
    let place = Place::new();
    for n in 1..=3 {
        let set = format!("n={n}");
        let value =
            place.json(&["distill", "--config", "small.toml", "--meta-epochs", "1", "--set", &set, "--json"]);
        assert_eq!(value["k"], n + 1);
    }
    assert_eq!(list(&place.path("runs")).len(), 3);
}

#[test]
fn the_command_line_wins_over_the_file() {
    let place = Place::new();
    let learner = ["--learner-set", "width=16", "--learner-set", "activation=relu"];
    let more = ["--meta-epochs", "2", "--envs", "6", "--learners", "3", "--steps", "16", "--lr", "0.01"];
    let run = place.distil("run", &[&learner[..], &more].concat());
    let config = potstill::run::DistillConfig::load(run.join("config.toml")).unwrap();
    assert_eq!((config.meta_epochs, config.ppo.learners, config.ppo.minibatch), (2, 3, 32));
    assert_eq!((config.environment.envs, config.environment.steps), (6, 16));
    assert_eq!((config.optimizer.lr, config.optimizer.critic_lr), (0.01, 0.01));
    let dataset = potstill::run::Dataset::load(run.join("dataset.safetensors")).unwrap();
    assert_eq!(dataset.info.learner.options["activation"], "relu");
    assert_eq!(dataset.info.environment_steps, 2 * 6 * 16);
}

#[test]
fn depends_on_the_seed_alone() {
    let place = Place::new();
    let first = Outcome::of(&place.distil("first", &[]));
    first.assert_same(&Outcome::of(&place.distil("again", &[])));
    first.assert_same(&Outcome::of(&place.distil("threads", &["--threads", "2"])));
    let other = Outcome::of(&place.distil("other", &["--seed", "1"]));
    assert!(first.dataset != other.dataset && first.metrics != other.metrics);
}

#[test]
fn distills_with_an_encoder() {
    let place = Place::new();
    let run = place.distil("run", &["--encoder-layers", "1"]);
    let dataset = potstill::run::Dataset::load(run.join("dataset.safetensors")).unwrap();
    let encoder: Vec<_> = dataset.extra.iter().map(|t| t.shape.clone()).collect();
    assert_eq!(encoder, [vec![4, 64], vec![64]]);
    let fits = place.json(&["eval", "run", "--learners", "3", "--episodes", "2", "--json"]);
    assert!(fits["mean_return"].as_f64().unwrap() > 0.0);
    let said = place.run(&["eval", "run", "--learner-set", "width=32", "--learners", "3", "--episodes", "2"]);
    said.refused(2, "the dataset's encoder does not fit this learner");
}
