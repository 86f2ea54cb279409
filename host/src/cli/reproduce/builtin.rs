//! The experiments that the program carries, and the recipes that they name.
use std::path::Path;

macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!("../../../experiments/", $path)))),*]
    };
}

const EXPERIMENTS: [(&str, &str); 8] = embedded![
    "scores.toml",
    "generalization.toml",
    "minimum-size.toml",
    "mujoco.toml",
    "mujoco-size.toml",
    "mujoco-ablation.toml",
    "atari.toml",
    "encoder-rollback.toml",
];

const RECIPES: [(&str, &str); 12] = embedded![
    "atari/memory.toml",
    "atari/nature.toml",
    "atari/screen.toml",
    "mujoco/ant.toml",
    "mujoco/direct.toml",
    "mujoco/half-cheetah.toml",
    "mujoco/hopper.toml",
    "mujoco/humanoid-standup.toml",
    "mujoco/humanoid.toml",
    "mujoco/inverted-double-pendulum.toml",
    "mujoco/reacher.toml",
    "mujoco/walker2d.toml",
];

/// The names of the built-in experiments.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    EXPERIMENTS.iter().filter_map(|(file, _)| file.strip_suffix(".toml"))
}

/// The text of the built-in experiment `name`.
pub(super) fn experiment(name: &str) -> Option<&'static str> {
    find(&EXPERIMENTS, &format!("{name}.toml"))
}

/// The text of the recipe at `path`, relative to the experiments.
pub(super) fn recipe(path: &Path) -> Option<&'static str> {
    find(&RECIPES, path.to_str()?)
}

fn find(files: &[(&str, &'static str)], path: &str) -> Option<&'static str> {
    files.iter().find(|(file, _)| *file == path).map(|(_, text)| *text)
}
