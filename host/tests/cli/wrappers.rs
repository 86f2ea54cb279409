//! Tests the host's wrappers of environments: that they do what Gymnasium's do, and that every command uses them.
use std::ffi::OsStr;

use potstill::engine::ppmo::clipped;
use potstill::engine::wrappers::Wrappers;
use potstill::plugin::{Actions, Observations, Registry};
use potstill::run::{Dataset, Transitions};
use serde::Deserialize;

use crate::c::compile;
use crate::python::python;
use crate::{Place, metrics, text};

/// What `tests/python/wrappers.py` prints.
#[derive(Deserialize)]
struct Played {
    first: Vec<Vec<f32>>,
    steps: Vec<Step>,
}

/// A step of one copy: observation, reward, terminated, truncated, final observation.
#[derive(Deserialize, PartialEq, Debug)]
struct Step(Vec<f32>, f32, bool, bool, Option<Vec<f32>>);

/// Rows of `size` numbers, unscaled.
fn rows(observations: &Observations, size: usize) -> Vec<Vec<f32>> {
    let numbers: Vec<f32> = match observations {
        Observations::Float(values) => values.clone(),
        Observations::Byte(values) => values.iter().copied().map(f32::from).collect(),
    };
    numbers.chunks(size).map(<[f32]>::to_vec).collect()
}

#[test]
fn they_do_what_gymnasiums_do() {
    const STEPS: usize = 150;
    let seeds = [1u64, 2, 77];
    let none = Wrappers::default();
    let repeat = Wrappers { action_repeat: Some(4), ..none.clone() };
    let pool = Wrappers { max_pool: true, ..repeat.clone() };
    let all = Wrappers { episodic_life: true, frame_stack: Some(4), ..pool.clone() };
    let cases = [
        none.clone(),
        Wrappers { frame_stack: Some(3), ..none.clone() },
        Wrappers { episodic_life: true, ..none.clone() },
        Wrappers { max_episode_steps: Some(7), ..none },
        repeat,
        pool.clone(),
        Wrappers { max_episode_steps: Some(7), ..pool },
        all,
    ];
    let (mut ends, mut lives) = (0, 0);
    for (flags, box_) in [(&[][..], false), (&["-DBOX"], true)] {
        let library = compile("tests/pixels/lives.c", "lives", flags);
        let registry = Registry::of(&[library], &[]).unwrap();
        for (wrappers, clip) in cases.iter().flat_map(|wrappers| [(wrappers, false), (wrappers, true)]) {
            let asked = serde_json::json!({
                "wrappers": wrappers, "clip": clip, "box": box_, "seeds": seeds, "steps": STEPS
            });
            let Some(said) = python("wrappers.py", [OsStr::new(&asked.to_string())]) else { return };
            let played: Played = serde_json::from_str(&said).unwrap();
            let make = |count| registry.make_environments("test/lives", &[], count);
            let mut games = wrappers.make(&make, seeds.len(), 2).unwrap();
            let size = games.spec().observation.size();
            assert_eq!(rows(&games.reset(&seeds).unwrap(), size), played.first);
            let mut compared = vec![true; seeds.len()];
            let mut theirs = played.steps.into_iter();
            for t in 0..STEPS {
                let actions = (0..seeds.len()).map(|i| ((t * t / 3 + i) % 2) as u32).collect();
                let step = games.step(&Actions::Discrete(actions)).unwrap();
                let next = rows(&step.observations, size);
                let mut finals = rows(&step.final_observations, size).into_iter();
                for (i, observation) in next.into_iter().enumerate() {
                    let (terminated, truncated) = (step.terminated[i], step.truncated[i]);
                    let reward = if clip { clipped(step.rewards[i]) } else { step.rewards[i] };
                    let last = (terminated || truncated).then(|| finals.next().unwrap());
                    let mut ours = Step(observation, reward, terminated, truncated, last);
                    let mut theirs = theirs.next().unwrap();
                    if !compared[i] {
                        continue;
                    }
                    if let (true, Some(ours), Some(theirs)) = (wrappers.max_pool, &mut ours.4, &mut theirs.4)
                    {
                        // Where an episode ends early, Gymnasium's maximum is that of the step before.
                        let newest = size / wrappers.frame_stack.unwrap_or(1);
                        ours.truncate(size - newest);
                        theirs.truncate(size - newest);
                    }
                    if ours.4.is_some() {
                        ends += 1;
                        lives += usize::from(wrappers.episodic_life);
                        // After the host's time limit the game begins with a seed of the host.
                        compared[i] = wrappers.max_episode_steps.is_none();
                        if !compared[i] {
                            theirs.0.clone_from(&ours.0);
                        }
                    }
                    assert_eq!(ours, theirs, "{wrappers:?}, copy {i}, step {t}");
                }
            }
        }
    }
    assert!(ends > 500 && lives > 100, "{ends} episodes ended, {lives} with lives");
}

const CONFIG: &str = "\
meta_epochs = 4
threads = 1
[environment]
id = \"test/lives\"
envs = 4
steps = 20
action_repeat = 2
max_pool = true
episodic_life = true
clip_rewards = true
frame_stack = 3
[dataset]
k = 2
[ppo]
learners = 2
minibatch = 40
[evaluation]
every = 2
validation_learners = 2
learners = 3
episodes = 2
";

#[test]
fn every_command_uses_them() {
    let place = Place::new();
    let library = compile("tests/pixels/lives.c", "lives", &[]);
    let run = |arguments: &[&str]| place.ok(&[&["--plugin", text(&library)], arguments].concat());
    place.write("lives.toml", CONFIG);
    run(&["distill", "--config", "lives.toml", "--out", "run"]);
    let dataset = Dataset::load(place.path("run/dataset.safetensors")).unwrap();
    assert_eq!(dataset.x.shape, [2, 3, 5, 7]);
    let recorded = &dataset.info.environment;
    let expected =
        Wrappers { action_repeat: Some(2), max_pool: true, frame_stack: Some(3), ..Wrappers::default() };
    assert_eq!((&recorded.wrappers, recorded.spec.max_episode_steps), (&expected, Some(20)));
    // A life is lost about every six of the game's own steps.
    let lengths: Vec<f64> =
        metrics(&place.path("run")).iter().filter_map(|record| record["rollout/length"].as_f64()).collect();
    assert!(lengths.iter().all(|length| (1.0..8.0).contains(length)), "{lengths:?}");

    // Clipping changes what is learned from, and not what is reported.
    place.write("raw.toml", CONFIG.replace("clip_rewards = true\n", ""));
    run(&["distill", "--config", "raw.toml", "--out", "raw"]);
    let [clipped, raw] = ["run", "raw"].map(|out| metrics(&place.path(out)).swap_remove(0));
    assert_eq!(clipped["rollout/return"], raw["rollout/return"]);
    assert_ne!(clipped["value_loss"], raw["value_loss"]);

    // In a process of its own the library reports lives too. Options on the command line mean the same.
    let short = CONFIG.lines().filter(|line| {
        ["action_repeat", "max_pool", "episodic_life", "clip_rewards", "frame_stack"]
            .iter()
            .all(|key| !line.starts_with(key))
    });
    place.write("short.toml", short.map(|line| format!("{line}\n")).collect::<String>());
    let flags =
        ["--action-repeat", "2", "--max-pool", "--episodic-life", "--clip-rewards", "--frame-stack", "3"];
    run(&[&["--isolate", "distill", "--config", "short.toml", "--out", "again"], &flags[..]].concat());
    let again = Dataset::load(place.path("again/dataset.safetensors")).unwrap();
    assert_eq!(again, dataset);
    run(&["distill", "--config", "short.toml", "--out", "none"]);
    let none = Dataset::load(place.path("none/dataset.safetensors")).unwrap();
    assert!(none.info.environment.wrappers.is_none() && none.x.shape == [2, 5, 7]);

    // Scores are of whole games: `eval` repeats them from the file alone.
    let score = &dataset.info.scores[0];
    let said = run(&["eval", "run", "--learners", "3", "--episodes", "2", "--seed", "0", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["mean_return"].as_f64().unwrap(), score.mean_return, "{said}");
    run(&["train", "run", "--out", "agent"]);
    run(&["eval", "agent", "--episodes", "2"]);
    run(&["play", "agent", "--quiet"]);

    // Offline data record the wrappers, and teach with the same ones only.
    run(&["collect", "run", "--episodes", "4", "--out", "data"]);
    let data = Transitions::load(place.path("data")).unwrap();
    assert_eq!(data.info.environment.wrappers, expected);
    assert_eq!(data.observations.len(), data.len() * 3 * 35);
    let matching = ["distill", "--objective", "gradient-matching", "--data", "data", "--meta-epochs", "2"];
    let few = ["--out", "matched", "--threads", "1"];
    run(&[&matching[..], &few].concat());
    let matched = Dataset::load(place.path("matched/dataset.safetensors")).unwrap();
    assert_eq!(matched.info.environment.wrappers, expected);
    let refused = |arguments: &[&str], expected: &str| {
        place.refused(&[&["--plugin", text(&library)], arguments].concat(), 2, expected);
    };
    let other =
        "`environment.action_repeat` is 3 here; the data was collected for `test/lives-v1` where it is 2";
    refused(&[&matching[..], &["--action-repeat", "3"]].concat(), other);
    let acts = "`environment.episodic_life`: no learner acts while objective";
    refused(&[&matching[..], &["--episodic-life"]].concat(), acts);
    refused(&["collect", "agent", "--frame-stack", "2"], "a wrapper is for random actions");
    run(&["collect", "test/lives", "--episodes", "2", "--frame-stack", "2", "--out", "random"]);
    let random = Transitions::load(place.path("random")).unwrap();
    assert_eq!(random.observations.len(), random.len() * 2 * 35);
}

#[test]
fn what_cannot_be_wrapped_is_refused_at_the_edge() {
    let place = Place::new();
    let refused = |arguments: &[&str], expected: &str| {
        place.refused(&[&["distill", "nd-cartpole", "--out", "run"], arguments].concat(), 2, expected);
        assert!(!place.path("run").exists());
    };
    let lives = "`environment.episodic_life`: `nd-cartpole-v1` does not report when a life is lost";
    refused(&["--episodic-life"], lives);
    refused(&["--frame-stack", "0"], "`environment.frame_stack` is 0; expected at least 1");
    refused(&["--frame-stack", "1001"], "`environment.frame_stack` is 1001; expected at most 1000");
    refused(&["--action-repeat", "0"], "`environment.action_repeat` is 0; expected at least 1");
    refused(
        &["--max-pool"],
        "`environment.max_pool` is true; expected false, unless `environment.action_repeat`",
    );
    let collect = ["collect", "nd-cartpole", "--frame-stack", "0"];
    place.refused(&collect, 2, "`environment.frame_stack` is 0; expected at least 1");
    let large = compile("tests/pixels/pixels.c", "large", &["-DSIDE=2000"]);
    let stacked = ["--plugin", text(&large), "distill", "test/pixels", "--frame-stack", "1000"];
    place.refused(
        &stacked,
        2,
        "`environment.frame_stack` is 1000, for `test/pixels-v1`: Image([1000, 2000, 2000], u8) is",
    );
}

/// Episodes cannot go on in a resumed run where an environment's state cannot be saved.
#[test]
fn episodes_go_on_only_with_snapshots() {
    let place = Place::new();
    let library = compile("tests/pixels/lives.c", "lives-without-snapshots", &["-DBOX"]);
    let arguments = ["--plugin", text(&library), "distill", "lives", "--continue-episodes", "--out", "run"];
    place.refused(&arguments, 2, "`environment.continue_episodes`: `test/lives-v1` has no snapshots");
    assert!(!place.path("run").exists());
}
