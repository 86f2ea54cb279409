//! Checks that the built-in environment gives bit-identical results in the sandbox, as native code, and in Gymnasium.
use std::fs;
use std::path::Path;

use potstill::plugin::{Actions, Environments, Loader, Observations, Registry, RenderMode, Transition};
use potstill_plugin_api::{Frame, Role, Space};
use potstill_sdk::Rng;
use serde::Deserialize;

use crate::component::assert_component;
use crate::{registry, repository, settings};

fn both() -> [Registry; 2] {
    let mut native = registry(&[]);
    native.prefer_native(true);
    [registry(&[]), native]
}

fn floats(observations: &Observations) -> &[f32] {
    match observations {
        Observations::Float(values) => values,
        Observations::Byte(_) => panic!("bytes"),
    }
}

fn play(environments: &mut dyn Environments, rng: &mut Rng, mut seen: impl FnMut(&Transition), steps: usize) {
    let Space::Discrete { n } = environments.spec().action else { panic!("not discrete") };
    for _ in 0..steps {
        let actions = (0..environments.len()).map(|_| rng.below(n as u64) as u32).collect();
        seen(environments.step(&Actions::Discrete(actions)).unwrap());
    }
}

#[test]
fn plays_alike_in_the_sandbox_and_natively() {
    let [sandboxed, native] = both();
    for n in ["1", "3"] {
        let make = |r: &Registry| r.make_environments("nd-cartpole-v1", &settings(&[("n", n)]), 64).unwrap();
        let (mut a, mut b) = (make(&sandboxed), make(&native));
        assert_eq!(a.spec(), b.spec());
        let seeds: Vec<u64> = (100..164).collect();
        assert_eq!(a.reset(&seeds).unwrap(), b.reset(&seeds).unwrap());
        let (mut left, mut ends) = (vec![], 0);
        play(&mut *a, &mut Rng::seeded(5), |t| left.push(t.clone()), 5000);
        let mut left = left.iter();
        play(
            &mut *b,
            &mut Rng::seeded(5),
            |t| {
                assert_eq!(left.next(), Some(t));
                ends += t.final_observations.len();
            },
            5000,
        );
        assert!(ends > 1000, "episodes end");
    }
}

#[test]
fn the_embedded_file_is_a_component() {
    assert_component(&repository("plugins/nd-cartpole/nd-cartpole.wasm"), "environment");
}

/// `POTSTILL_REBUILT` names a folder with an `nd-cartpole.wasm` that was just built from its source.
#[test]
fn the_committed_component_plays_like_one_rebuilt_from_source() {
    let Some(folder) = std::env::var_os("POTSTILL_REBUILT") else { return };
    let place = tempfile::tempdir().unwrap();
    fs::copy(repository("plugins/nd-cartpole/plugin.toml"), place.path().join("plugin.toml")).unwrap();
    let rebuilt = Path::new(&folder).join("nd-cartpole/nd-cartpole.wasm");
    fs::copy(rebuilt, place.path().join("nd-cartpole.wasm")).unwrap();
    let registries = [registry(&[repository("plugins/nd-cartpole")]), registry(&[place.path().into()])];
    for n in ["1", "3"] {
        let [committed, rebuilt] = registries.each_ref().map(|r| {
            let entry = r.find(Role::Environment, "nd-cartpole-v1").unwrap();
            assert_eq!(entry.loader, Loader::Wasm, "not the built-in one");
            let mut environments = r.make_environments("nd-cartpole-v1", &settings(&[("n", n)]), 64).unwrap();
            let first = environments.reset(&(0..64).collect::<Vec<_>>()).unwrap();
            let mut seen = vec![];
            play(&mut *environments, &mut Rng::seeded(9), |t| seen.push(t.clone()), 2000);
            (environments.spec().clone(), first, seen, environments.snapshot().unwrap())
        });
        assert!(committed == rebuilt, "{n} axes");
    }
}

#[test]
fn only_the_seeds_determine_the_episodes() {
    let r = registry(&[]);
    let mut pair = r.make_environments("nd-cartpole", &[], 2).unwrap();
    let mut single = r.make_environments("nd-cartpole", &[], 1).unwrap();
    let first = pair.reset(&[1, 2]).unwrap();
    assert_ne!(floats(&first)[..4], floats(&first)[4..]);
    play(&mut *pair, &mut Rng::seeded(1), |_| (), 30);
    assert_eq!(pair.reset(&[1, 2]).unwrap(), first);
    assert_eq!(floats(&single.reset(&[2]).unwrap()), &floats(&first)[4..]);
    assert!(floats(&first).iter().all(|v| v.abs() <= 0.05));
}

#[test]
fn restores_a_snapshot() {
    for r in both() {
        let mut environments = r.make_environments("nd-cartpole-v1", &settings(&[("n", "2")]), 8).unwrap();
        environments.reset(&[7; 8]).unwrap();
        play(&mut *environments, &mut Rng::seeded(1), |_| (), 50);
        let state = environments.snapshot().unwrap().unwrap();
        let mut first = vec![];
        play(&mut *environments, &mut Rng::seeded(2), |t| first.push(t.clone()), 200);

        let mut fresh = r.make_environments("nd-cartpole-v1", &settings(&[("n", "2")]), 8).unwrap();
        fresh.restore(&state).unwrap();
        let mut again = vec![];
        play(&mut *fresh, &mut Rng::seeded(2), |t| again.push(t.clone()), 200);
        assert_eq!(first, again);

        for bad in [&state[..state.len() - 1], &[state.clone(), vec![0]].concat(), b"other", b""] {
            let error = fresh.restore(bad).unwrap_err().to_string();
            assert!(error.starts_with("plugin `nd-cartpole-v1`, in `restore`: "), "{error}");
        }
        fresh.restore(&state).unwrap();
        let mut other = r.make_environments("nd-cartpole-v1", &[], 8).unwrap();
        assert!(other.restore(&state).unwrap_err().to_string().contains("64 bytes for 1 axes"));
    }
}

#[derive(Deserialize)]
struct Recording {
    episodes: Vec<Episode>,
}

#[derive(Deserialize)]
struct Episode {
    seed: u64,
    initial_state: [f64; 4],
    actions: Vec<u32>,
    observations: Vec<[f32; 4]>,
    rewards: Vec<f32>,
    terminated: bool,
    truncated: bool,
}

#[test]
fn equals_gymnasium_on_one_axis() {
    let text = std::fs::read_to_string(repository("tests/fixtures/cartpole-v1.json")).unwrap();
    let recording: Recording = serde_json::from_str(&text).unwrap();
    for r in both() {
        let mut environment = r.make_environments("nd-cartpole-v1", &[], 1).unwrap();
        for episode in &recording.episodes {
            environment.reset(&[0]).unwrap();
            // A snapshot ends with the state of the last axis of the last environment.
            let mut state = environment.snapshot().unwrap().unwrap();
            let start = state.len() - 32;
            state.splice(start.., episode.initial_state.iter().flat_map(|v| v.to_le_bytes()));
            environment.restore(&state).unwrap();
            for (i, action) in episode.actions.iter().enumerate() {
                let last = i + 1 == episode.actions.len();
                let step = environment.step(&Actions::Discrete(vec![*action])).unwrap();
                let seen = if last { &step.final_observations } else { &step.observations };
                assert_eq!(floats(seen), episode.observations[i], "seed {} step {i}", episode.seed);
                assert_eq!(step.rewards, [episode.rewards[i]]);
                assert_eq!(step.terminated, [last && episode.terminated]);
                assert_eq!(step.truncated, [last && episode.truncated]);
            }
        }
    }
}

#[test]
fn pushes_one_axis_and_lets_the_others_roll() {
    let r = registry(&[]);
    let mut environment = r.make_environments("nd-cartpole-v1", &settings(&[("n", "3")]), 1).unwrap();
    environment.reset(&[1]).unwrap();
    let mut before = vec![0.0; 12];
    for (action, axis, sign) in [(0u32, 0, -1.0), (1, 0, 1.0), (2, 1, -1.0), (5, 2, 1.0)] {
        let step = environment.step(&Actions::Discrete(vec![action])).unwrap();
        let after = floats(&step.observations).to_vec();
        for i in 0..3 {
            let change = after[4 * i + 1] - before[4 * i + 1];
            if i == axis {
                assert!(change * sign > 0.1, "action {action} pushes axis {i} by {change}");
            } else if action > 0 {
                assert!(change.abs() < 0.05, "action {action} moves axis {i} by {change}");
            }
        }
        before = after;
    }
}

#[test]
fn renders() {
    let r = registry(&[]);
    let mut environments = r.make_environments("nd-cartpole-v1", &settings(&[("n", "2")]), 2).unwrap();
    environments.reset(&[1, 2]).unwrap();
    let Frame::Rgb { width, height, pixels } = environments.render(1, RenderMode::Rgb).unwrap() else {
        panic!()
    };
    assert_eq!(pixels.len(), 3 * (width * height) as usize);
    let Frame::Text(text) = environments.render(0, RenderMode::Text).unwrap() else { panic!() };
    assert!(text.starts_with("axis 0") && text.contains("axis 1"), "{text}");
    let error = environments.render(2, RenderMode::Text).unwrap_err().to_string();
    assert!(error.contains("environment 2 of 2"), "{error}");
}

#[test]
fn rejects_invalid_calls() {
    let r = registry(&[]);
    let mut environments = r.make_environments("nd-cartpole-v1", &[], 2).unwrap();
    let mut error = |actions: Actions| environments.step(&actions).unwrap_err().to_string();
    assert!(error(Actions::Discrete(vec![0, 0])).contains("before the first reset"));
    environments.reset(&[1]).unwrap_err();
    environments.reset(&[1, 2]).unwrap();
    let mut error = |actions: Actions| environments.step(&actions).unwrap_err().to_string();
    assert!(error(Actions::Discrete(vec![0])).contains("1 action values, expected 2 environments × 1 = 2"));
    assert!(error(Actions::Discrete(vec![0, 2])).contains("environment 1 action 2, expected below 2"));
    assert!(
        error(Actions::Continuous(vec![0.0; 2])).contains("continuous actions, the space is Discrete(2)")
    );
    environments.step(&Actions::Discrete(vec![0, 1])).unwrap();
}
