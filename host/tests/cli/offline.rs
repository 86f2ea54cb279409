//! Tests `collect`, objectives that learn from the data it writes, and mixtures of learners.
use crate::c::compile;
use crate::{Outcome, Place, SMALL, metrics, read, text};
use potstill::engine::policy::Acting;
use potstill::plugin::{Actions, Observations};
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
    assert_eq!(agents.info.acting, Some(Acting::Greedy));
    assert_eq!(agents.observations, Transitions::load(place.path("taught")).unwrap().observations);

    place.refused(
        &["collect", "nd-cartpol"],
        2,
        "there is no environment `nd-cartpol`. Did you mean `nd-cartpole`?",
    );
    place.refused(&["collect", "nd-cartpole", "--greedy"], 2, "--greedy needs an agent");
    place.refused(&["collect", "run", "--set", "n=1"], 2, "--set is for random actions");
}

/// The numbers of continuous actions, and whether each is at a bound of the pendulum's, ±1.
fn motors(data: &Transitions) -> (&[f32], f64) {
    let Actions::Continuous(actions) = &data.actions else { panic!("indices") };
    assert_eq!(actions.len(), 2 * data.len());
    assert!(actions.iter().all(|a| (-1.0..=1.0).contains(a)));
    (actions, actions.iter().filter(|a| a.abs() == 1.0).count() as f64 / actions.len() as f64)
}

#[test]
fn continuous_actions_are_collected_and_learned() {
    let place = Place::new();
    let library = compile("tests/continuous/pendulum.c", "pendulum", &[]);
    let run = |arguments: &[&str]| place.ok(&[&["--plugin", text(&library)], arguments].concat());
    let collected = |arguments: &[&str]| {
        run(&[&["collect"], arguments, &["--out", "data", "--force"]].concat());
        Transitions::load(place.path("data")).unwrap()
    };
    let random = collected(&["test/pendulum", "--episodes", "5"]);
    let (actions, at_bounds) = motors(&random);
    let share = actions.iter().filter(|a| **a < -0.5).count() as f64 / actions.len() as f64;
    assert!((share - 0.25).abs() < 0.05 && at_bounds < 0.01, "{share}, {at_bounds}");
    assert_eq!((random.episodes().len(), random.truncated[199], random.terminated[199]), (5, true, false));
    let Some(Observations::Float(last)) = &random.final_observations else { panic!("bytes") };
    // The last observations are states of the pendulum: a cosine, a sine and a speed.
    assert!(last.chunks(3).all(|o| (o[0].hypot(o[1]) - 1.0).abs() < 1e-5 && o[2].abs() <= 8.0), "{last:?}");

    run(&["distill", "test/pendulum", "--config", "small.toml", "--out", "run"]);
    run(&["train", "run", "--out", "agent"]);
    let agent = |more: &[&str]| collected(&[&["agent", "--episodes", "40"], more].concat());
    // Actions with a standard deviation of 1 are often beyond the bounds, and are recorded as the environment gets them.
    let (hot, sampled, cold) =
        (agent(&["--temperature", "4"]), agent(&[]), agent(&["--temperature", "0.25"]));
    let [hot_share, share, cold_share] = [&hot, &sampled, &cold].map(|data| motors(data).1);
    assert!(hot_share > share + 0.1 && share > cold_share + 0.1, "{hot_share}, {share}, {cold_share}");
    assert_eq!((hot.info.temperature, sampled.info.temperature, sampled.info.noise), (4.0, 1.0, 0.0));
    let greedy = agent(&["--greedy"]);
    assert!(agent(&["--greedy", "--seed", "1"]).observations != greedy.observations);
    let noisy = agent(&["--greedy", "--noise", "0.3"]);
    assert_eq!((noisy.info.acting, noisy.info.noise), (Some(Acting::Greedy), 0.3));
    // The greedy agent acts equally in equal states, here the first ones, unless noise replaces its action.
    let first = |data: &Transitions| -> Vec<[f32; 2]> {
        let (actions, _) = motors(data);
        data.episodes()
            .iter()
            .map(|(rows, _)| [actions[2 * rows.start], actions[2 * rows.start + 1]])
            .collect()
    };
    let replaced = first(&greedy).iter().zip(first(&noisy)).filter(|(a, b)| **a != *b).count();
    assert!((4..24).contains(&replaced), "{replaced} of 40 actions were replaced");
    let replaced = agent(&["--noise", "1"]);
    let (actions, _) = motors(&replaced);
    let share = actions.iter().filter(|a| **a < -0.5).count() as f64 / actions.len() as f64;
    assert!((share - 0.25).abs() < 0.05, "only random actions: {share}");

    let refused = |more: &[&str], expected: &str| {
        place.refused(&[&["--plugin", text(&library), "collect"], more].concat(), 2, expected);
    };
    refused(&["agent", "--temperature", "0"], "--temperature is 0; expected a number above 0 (--greedy");
    refused(&["agent", "--temperature", "2", "--greedy"], "cannot be used with '--greedy'");
    refused(&["agent", "--noise", "1.5"], "--noise is 1.5; expected a probability");
    refused(&["test/pendulum", "--noise", "0.5"], "--noise needs an agent");
    refused(&["test/pendulum", "--temperature", "0.5"], "--temperature needs an agent");

    // Both objectives learn from the data, and a resumed run reaches the same end.
    let data = collected(&["test/pendulum", "--episodes", "5"]);
    for (objective, options, metric) in [
        ("gradient-matching", "student-steps = 4", "distance"),
        ("clone", "data = \"offline\"", "cloning_loss"),
    ] {
        let config = OFFLINE.replace("gradient-matching", objective).replace("student-steps = 4", options);
        place.write("offline.toml", config.replace("meta_epochs = 6", "meta_epochs = 40"));
        let config = ["--config", "offline.toml", "--data", "data", "--k", "4", "--out", objective];
        run(&[&["distill", "test/pendulum"], &config[..]].concat());
        let folder = place.path(objective);
        let values: Vec<f64> =
            metrics(&folder).iter().map(|record| record[metric].as_f64().unwrap()).collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        assert!(mean(&values[30..]) < mean(&values[..10]), "{objective}: {values:?}");
        let dataset = Dataset::load(folder.join("dataset.safetensors")).unwrap();
        let moments = dataset.extra("normalizer.mean").unwrap();
        let Observations::Float(observations) = &data.observations else { panic!("bytes") };
        for (i, mean) in moments.data.iter().enumerate() {
            let expected = observations.iter().skip(i).step_by(3).map(|v| f64::from(*v)).sum::<f64>()
                / data.len() as f64;
            assert!((f64::from(*mean) - expected).abs() < 1e-4, "{mean}, {expected}");
        }
        let whole = Outcome::of(&folder);
        std::fs::remove_file(folder.join("checkpoints/checkpoint-00000040.safetensors")).unwrap();
        run(&["resume", objective]);
        whole.assert_same(&Outcome::of(&folder));
    }
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
