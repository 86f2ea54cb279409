//! Builds the plugins of `examples/` and plays them.
use potstill::plugin::{Actions, Observations, Registry, RenderMode};
use potstill_plugin_api::{Frame, Space};
use serde::Deserialize;

use crate::roles::{Traced, traced};
use crate::{Author, missing, play, repository};

fn floats(observations: &Observations) -> &[f32] {
    match observations {
        Observations::Float(values) => values,
        Observations::Byte(_) => panic!("bytes"),
    }
}

#[derive(Deserialize)]
struct Episode {
    state: [f64; 2],
    torques: Vec<f32>,
    observations: Vec<[f32; 3]>,
    rewards: Vec<f32>,
}

#[test]
fn the_pendulum_matches_gymnasium() {
    let author = Author::new();
    if !author.build(&repository("examples/pendulum"), "built") {
        return;
    }
    author.ok(&["plugin", "check", "built"]);
    let said = author.ok(&["--plugin", "built", "plugin", "info", "examples/pendulum"]);
    for expected in ["Box([1], -2..2)", "Box([3], ", "step limit   200"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let registry = author.registry("built");
    let mut pendulum = registry.make_environments("examples/pendulum-v1", &[], 1).unwrap();
    let Some(python) = std::env::var_os("POTSTILL_PYTHON") else {
        return missing("POTSTILL_PYTHON is not set");
    };
    let script = repository("tests/python/record_pendulum.py");
    let output = author.command(python).arg(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let episodes: Vec<Episode> = serde_json::from_slice(&output.stdout).unwrap();
    for episode in &episodes {
        pendulum.reset(&[0]).unwrap();
        // A snapshot ends with angle and speed.
        let mut state = pendulum.snapshot().unwrap().unwrap();
        let start = state.len() - 16;
        state.splice(start.., episode.state.iter().flat_map(|v| v.to_le_bytes()));
        pendulum.restore(&state).unwrap();
        for (i, torque) in episode.torques.iter().enumerate() {
            let last = i + 1 == episode.torques.len();
            let step = pendulum.step(&Actions::Continuous(vec![*torque])).unwrap();
            let seen = floats(if last { &step.final_observations } else { &step.observations });
            // `sin` in NumPy and in libm may differ in the last bit of a double, which the dynamics amplify.
            let near = |a: f32, b: f32| (a - b).abs() <= 1e-5 * (1.0 + b.abs());
            assert!(
                seen.iter().zip(&episode.observations[i]).all(|(a, b)| near(*a, *b)),
                "step {i}: {seen:?}"
            );
            assert!(near(step.rewards[0], episode.rewards[i]), "step {i}: {}", step.rewards[0]);
            assert_eq!((step.terminated[0], step.truncated[0]), (false, last));
        }
        assert_eq!(episode.torques.len(), 200);
    }
    assert!(episodes.len() >= 5);
}

#[test]
fn grid_world_has_walls_and_is_distilled() {
    let author = Author::new();
    if !author.build(&repository("examples/grid-world"), "built") {
        return;
    }
    author.ok(&["plugin", "check", "built"]);
    let registry = author.registry("built");
    let size = [("size".to_owned(), "3".to_owned())];
    let mut grid = registry.make_environments("examples/grid-world", &size, 1).unwrap();
    assert_eq!((&grid.spec().action, grid.spec().max_episode_steps), (&Space::Discrete { n: 4 }, Some(24)));
    grid.reset(&[3]).unwrap();
    let mut state = grid.snapshot().unwrap().unwrap();
    let end = state.len() - 2;
    state[end..].copy_from_slice(&[0, 0]);
    grid.restore(&state).unwrap();
    let Frame::Text(text) = grid.render(0, RenderMode::Text).unwrap() else { panic!("no text") };
    assert_eq!(text, "@#.\n.#.\n..G");
    // Walk into the wall, then down the left side and through the gap to the goal.
    for (action, expected) in [(1, [-1.0, -1.0]), (2, [-1.0, 0.0]), (2, [-1.0, 1.0]), (1, [0.0, 1.0])] {
        let step = grid.step(&Actions::Discrete(vec![action])).unwrap();
        assert_eq!((floats(&step.observations), step.rewards[0]), (&expected[..], -0.01));
    }
    let step = grid.step(&Actions::Discrete(vec![1])).unwrap();
    assert_eq!((floats(&step.final_observations), step.rewards[0]), (&[1.0, 1.0][..], 0.99));
    assert!(step.terminated[0]);
    state[end] = 1;
    assert!(grid.restore(&state).unwrap_err().to_string().contains("this cell is a wall"));
    author.distil("built", "examples/grid-world", &[]);
}

#[test]
fn masked_cartpole_is_the_built_in_one_with_fewer_observations() {
    let author = Author::new();
    if !author.build(&repository("examples/masked-cartpole"), "built") {
        return;
    }
    author.ok(&["plugin", "check", "built"]);
    let mut masked = author.registry("built").make_environments("examples/masked-cartpole", &[], 32).unwrap();
    let mut whole = Registry::of(&[], &[]).unwrap().make_environments("nd-cartpole-v1", &[], 32).unwrap();
    let mask = |observations: &Observations| -> Vec<f32> {
        floats(observations).chunks_exact(4).flat_map(|all| [all[0], all[2]]).collect()
    };
    let mut ends = 0;
    for (seen, all) in play(&mut *masked, 2000).iter().zip(play(&mut *whole, 2000)) {
        assert_eq!(floats(&seen.observations), mask(&all.observations));
        assert_eq!(floats(&seen.final_observations), mask(&all.final_observations));
        assert_eq!((&seen.terminated, &seen.truncated), (&all.terminated, &all.truncated));
        ends += seen.final_observations.len();
    }
    assert!(ends > 1000, "{ends}");
    author.distil("built", "examples/masked-cartpole", &[]);
}

/// Distills 100 meta-epochs on the smallest cart-pole and checks the return. An untrained agent gets 22.
fn learns(author: &Author, flags: &[&str]) {
    let distil = [
        "--plugin",
        "built",
        "distill",
        "nd-cartpole",
        "--meta-epochs",
        "100",
        "--seed",
        "1",
        "--out",
        "run",
    ];
    author.ok(&[&distil, flags].concat());
    let said =
        author.ok(&["--plugin", "built", "eval", "run", "--learners", "10", "--episodes", "10", "--json"]);
    let scores: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(scores["mean_return"].as_f64().unwrap() > 150.0, "{said}");
}

#[test]
fn cispo_learns_cartpole() {
    let author = Author::new();
    if author.build(&repository("examples/cispo"), "built") {
        learns(&author, &["--objective", "examples/cispo"]);
    }
}

#[test]
fn gated_mlp_is_drawn_and_learns_cartpole() {
    let author = Author::new();
    if !author.build(&repository("examples/gated-mlp"), "built") {
        return;
    }
    let registry = author.registry("built");
    let most = [("most-layers", "5".to_owned()), ("width", "7".to_owned())];
    let mut depths = [0; 6];
    for seed in 0..40 {
        let Traced { name, parameters, graph } =
            traced(&registry, "examples/gated-mlp", &most, &Space::unbounded([4]), seed);
        let depth: usize = name.strip_suffix(" layers of 7").unwrap().parse().unwrap();
        depths[depth] += 1;
        assert_eq!(parameters.len(), 4 * depth + 2);
        assert_eq!(graph.matches("sigmoid").count(), depth, "{graph}");
    }
    assert!(depths[2..].iter().all(|&count| count > 0) && depths[..2] == [0, 0], "{depths:?}");
    learns(&author, &["--learner", "examples/gated-mlp"]);
}
