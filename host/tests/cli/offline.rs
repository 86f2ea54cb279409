//! Tests `collect`, objectives that learn from the data it writes, and mixtures of learners.
use crate::{Outcome, Place, SMALL, metrics, read};
use potstill::plugin::Actions;
use potstill::run::{AgentFile, Dataset, DistillConfig, Transitions};

/// The configuration [`SMALL`] for offline data.
const OFFLINE: &str = "\
    meta_epochs = 6\n\
    threads = 1\n\
    [objective]\nid = \"gradient-matching\"\n\
    [objective.options]\nstudent-steps = 4\n\
    [offline]\nupdates = 3\nminibatch = 32\n\
    [evaluation]\nevery = 3\nvalidation_learners = 2\nvalidation_episodes = 3\nlearners = 4\nepisodes = 3\n";

#[test]
fn collects_what_random_actions_and_agents_do() {
    let place = Place::new();
    let said = place.ok(&["collect", "nd-cartpole", "--set", "n=2", "--episodes", "70", "--out", "random"]);
    assert!(said.contains("70 episodes of nd-cartpole-v1 (random actions): return "), "{said}");
    let random = Transitions::load(place.path("random")).unwrap();
    let episodes = random.episodes();
    assert_eq!(episodes.len(), 70);
    // Cart-pole pays 1 per step, and random actions are uniform.
    assert!(episodes.iter().all(|(rows, total)| *total == rows.len() as f32 && rows.len() < 200));
    let Actions::Discrete(actions) = &random.actions else { panic!("indices") };
    for action in 0..4 {
        let share = actions.iter().filter(|&&a| a == action).count() as f64 / random.len() as f64;
        assert!((share - 0.25).abs() < 0.06, "action {action}: {share}");
    }
    place.ok(&["collect", "nd-cartpole", "--set", "n=2", "--episodes", "70", "--out", "again"]);
    assert!(read(place.path("random")) == read(place.path("again")), "equal seeds collect equal files");

    let run = place.distil("run", &[]);
    place.ok(&["train", "run", "--seed", "5", "--out", "agent"]);
    let value = place.json(&["collect", "agent", "--seed", "5", "--episodes", "3", "--greedy", "--json"]);
    assert_eq!(
        (&value["episodes"], &value["policy"]),
        (&3.into(), &"agent of learner `mlp-v1`, seed 5".into())
    );
    place.ok(&[
        "collect",
        run.to_str().unwrap(),
        "--seed",
        "5",
        "--episodes",
        "3",
        "--greedy",
        "--out",
        "taught",
    ]);
    let agents = Transitions::load(place.path("transitions.safetensors")).unwrap();
    assert_eq!(agents.info.acting, Some(potstill::engine::policy::Acting::Greedy));
    assert_eq!(agents.observations, Transitions::load(place.path("taught")).unwrap().observations);

    place.refused(
        &["collect", "nd-cartpol"],
        2,
        "there is no environment `nd-cartpol`. Did you mean `nd-cartpole`?",
    );
    place.refused(&["collect", "nd-cartpole", "--greedy"], 2, "--greedy needs an agent");
    place.refused(&["collect", "run", "--set", "n=1"], 2, "--set is for random actions");
}

#[test]
fn learns_from_offline_data_and_resumes() {
    let place = Place::new();
    place.write("offline.toml", OFFLINE);
    place.ok(&["collect", "nd-cartpole", "--episodes", "20", "--out", "data"]);
    place.ok(&["distill", "--config", "offline.toml", "--data", "data", "--top", "0.5", "--out", "run"]);
    let run = place.path("run");
    let config = DistillConfig::load(run.join("config.toml")).unwrap();
    assert_eq!((config.offline.top, config.dataset.k), (0.5, Some(2)));
    assert_eq!(config.offline.data.unwrap(), place.path("data").canonicalize().unwrap());
    let records = metrics(&run);
    assert!(
        records
            .iter()
            .all(|record| record.contains_key("distance") && !record.contains_key("rollout/return"))
    );
    let dataset = Dataset::load(run.join("dataset.safetensors")).unwrap();
    assert_eq!((dataset.info.environment_steps, dataset.info.meta_epochs), (0, 6));
    // The labels are fixed, one for each action.
    assert_eq!(dataset.y.data, [1.0, 0.0, 0.0, 1.0]);

    // A run resumed half-way reaches the same end. With other data it is rejected.
    let whole = Outcome::of(&run);
    std::fs::remove_file(run.join("checkpoints/checkpoint-00000006.safetensors")).unwrap();
    place.ok(&["resume", "run"]);
    whole.assert_same(&Outcome::of(&run));
    place.ok(&["collect", "nd-cartpole", "--episodes", "20", "--seed", "1", "--out", "data", "--force"]);
    place.refused(&["resume", "run"], 1, "is not the file that this run or configuration began with");
}

#[test]
fn the_data_names_the_environment() {
    let place = Place::new();
    place.ok(&["collect", "nd-cartpole", "--set", "n=2", "--episodes", "9", "--out", "data"]);
    let command = ["distill", "--objective", "gradient-matching", "--data", "data", "--meta-epochs", "1"];
    let value = place.json(&[&command[..], &["--k", "4", "--out", "run", "--json"]].concat());
    assert_eq!(value["environment"], "nd-cartpole-v1");
    let dataset = Dataset::load(place.path("run/dataset.safetensors")).unwrap();
    assert_eq!(dataset.x.shape, [4, 8]);
    let other = ["distill", "nd-cartpole", "--objective", "gradient-matching", "--data", "data"];
    place.refused(&other, 2, "the data was collected for `nd-cartpole-v1` with ");
    let matching = ["distill", "nd-cartpole", "--objective", "gradient-matching"];
    place.refused(
        &matching,
        2,
        "learns from offline data: name a file with --data (`potstill collect` writes one)",
    );
    place.refused(&["distill", "--data", "data"], 2, "objective `ppmo-v1` learns from its own rollouts");
    place.refused(&["distill", "--data", "small.toml"], 1, "small.toml");
    place.write("training.toml", "[environment.training]\nn = 2");
    let training = [&other[..], &["--set", "n=2", "--k", "4", "--config", "training.toml"]].concat();
    place.refused(&training, 2, "`environment.training`: no learner acts while objective");
    let mut bytes = read(place.path("data"));
    *bytes.last_mut().unwrap() ^= 1;
    place.write("data", bytes);
    place.refused(&[&matching[..], &["--data", "data"]].concat(), 1, "the file is damaged");
}

#[test]
fn a_mixture_of_learners() {
    let place = Place::new();
    place.write("mixture.toml", SMALL.replace("learners = 2", "learners = 4"));
    let learners = ["--learner", "mlp:0.7", "--learner", "transformer:0.3"];
    let options = ["--learner-set", "mlp.width=8", "--learner-set", "transformer.width=8"];
    let distill = ["distill", "nd-cartpole", "--config", "mixture.toml"];
    place.ok(&[&distill[..], &learners, &options, &["--out", "run"]].concat());
    let text = std::fs::read_to_string(place.path("run/config.toml")).unwrap();
    assert!(text.contains("[[learner]]\nid = \"mlp-v1\"\nweight = 0.7"), "{text}");
    let versions = std::fs::read_to_string(place.path("run/versions.json")).unwrap();
    assert!(versions.contains("mlp-v1") && versions.contains("transformer-v1"), "{versions}");

    // The dataset names both learners, and agents are drawn from them in proportion.
    let mut seen = [0, 0];
    for seed in 0..20 {
        place.ok(&["train", "run", "--seed", &seed.to_string(), "--out", "agent", "--force"]);
        let agent = AgentFile::load(place.path("agent")).unwrap();
        assert_eq!(agent.learner.id, "mixture");
        let transformer = agent.parameters.iter().any(|p| p.name.starts_with("blocks."));
        seen[usize::from(transformer)] += 1;
    }
    assert!(seen[0] > seen[1] && seen[1] > 0, "{seen:?}");
    place.ok(&["play", "agent", "--quiet"]);
    place.ok(&["eval", "run", "--learners", "3", "--episodes", "2", "--learner-set", "mlp.width=16"]);

    let whole = Outcome::of(&place.path("run"));
    std::fs::remove_file(place.path("run/checkpoints/checkpoint-00000008.safetensors")).unwrap();
    place.ok(&["resume", "run"]);
    whole.assert_same(&Outcome::of(&place.path("run")));

    let refused = |arguments: &[&str], expected: &str| {
        place.refused(&[&distill[..], arguments].concat(), 2, expected);
    };
    refused(&["--learner", "mlp:-1", "--learner", "transformer"], "the weight of learner `mlp` is -1");
    refused(&["--learner", "mlp", "--learner", "tranformer"], "Did you mean `transformer`?");
    refused(&[&learners[..], &["--learner-set", "width=8"]].concat(), "write ID.NAME=VALUE");
    refused(
        &[&learners[..], &["--encoder-layers", "1"]].concat(),
        "an encoder needs learners of one architecture",
    );
}
