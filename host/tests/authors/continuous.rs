//! Tests continuous actions, from a third-party environment to a trained agent.
use potstill::plugin::Actions;
use potstill::run::{AgentFile, Dataset, Transitions};

use crate::{Author, repository};

#[test]
fn the_pendulum_is_learned_and_distilled() {
    let author = Author::new();
    if !author.build(&repository("examples/pendulum"), "built") {
        return;
    }
    let pendulum = |arguments: &[&str]| author.ok(&[&["--plugin", "built"], arguments].concat());

    // Direct PPO learns to swing up: random torques give about -1200, and so does a pendulum that hangs at rest.
    author.write(
        "rl.toml",
        "meta_epochs = 60\n[ppo]\ngamma = 0.95\n\
        [evaluation]\nvalidation_learners = 1\nlearners = 2\nepisodes = 20\n",
    );
    pendulum(&["rl", "examples/pendulum", "--config", "rl.toml", "--out", "rl"]);
    let learned = Dataset::load(author.path("rl/dataset.safetensors")).unwrap();
    let score = learned.info.scores.iter().map(|score| score.mean_return).fold(f64::INFINITY, f64::min);
    assert!(score > -400.0, "{score}");

    // A distilled dataset has means as labels, and a standard deviation that all instances share.
    pendulum(&["distill", "examples/pendulum", "--config", "small.toml", "--k", "3", "--out", "run"]);
    let dataset = Dataset::load(author.path("run/dataset.safetensors")).unwrap();
    assert_eq!((&dataset.x.shape, &dataset.y.shape), (&vec![3, 3], &vec![3, 1]));
    assert_eq!(dataset.extra("log_std").unwrap().shape, [1, 1]);
    pendulum(&["train", "run", "--seed", "2", "--out", "agent"]);
    let agent = AgentFile::load(author.path("agent")).unwrap();
    assert!(agent.parameters.iter().any(|p| p.name == "log_std" && p.shape == [1, 1]));
    // Both contain the moments that normalize observations: cosine and sine stay within 1, the speed does not.
    let variance = &dataset.extra("normalizer.variance").unwrap().data;
    assert!(variance[..2].iter().all(|v| *v < 1.0) && variance[2] > 1.0, "{variance:?}");
    assert!(agent.parameters.iter().any(|p| p.name == "normalizer.variance" && p.data == *variance));
    let config = std::fs::read_to_string(author.path("run/config.toml")).unwrap();
    assert!(config.contains("[normalize]\nobservations = true\nrewards = true"), "{config}");
    assert!(config.contains("[optimizer.scale]\nlog_std = 0.1"), "{config}");
    let score = |arguments: &[&str]| {
        pendulum(&[&["eval", "run", "--learners", "2", "--episodes", "2"], arguments].concat())
    };
    assert!(score(&["--greedy"]).contains("greedy  return -") && score(&[]).contains("sampled return -"));
    assert!(pendulum(&["play", "agent", "--quiet", "--greedy"]).contains("in 200 steps"));

    // A resumed run continues bit for bit.
    let whole = std::fs::read(author.path("run/dataset.safetensors")).unwrap();
    std::fs::remove_file(author.path("run/checkpoints/checkpoint-00000004.safetensors")).unwrap();
    pendulum(&["resume", "run"]);
    assert!(whole == std::fs::read(author.path("run/dataset.safetensors")).unwrap());

    // Whole episodes of 200 steps are offline data.
    pendulum(&["collect", "agent", "--episodes", "3", "--out", "data"]);
    let data = Transitions::load(author.path("data")).unwrap();
    assert!(
        data.len() == 600 && matches!(&data.actions, Actions::Continuous(torques) if torques.len() == 600)
    );
    let hard = ["--plugin", "built", "distill", "examples/pendulum", "--objective", "hard-label"];
    author.refused(&hard, "only discrete actions have hard labels");
}
