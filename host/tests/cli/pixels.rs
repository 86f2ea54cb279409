//! Tests pixel observations, from an environment's bytes to a taught convolutional network.
use crate::c::compile;
use crate::{Place, text};
use potstill::plugin::Observations;
use potstill::run::{Dataset, Transitions};

#[test]
fn pictures_are_distilled_by_every_way() {
    let place = Place::new();
    let library = compile("tests/pixels/pixels.c", "pixels", &[]);
    let run = |arguments: &[&str]| place.ok(&[&["--plugin", text(&library)], arguments].concat());
    run(&["plugin", "check", "test/pixels"]);
    let config = "meta_epochs = 60\nthreads = 1\n[environment]\nid = \"test/pixels\"\nenvs = 4\nsteps = 40\n\
                  [dataset]\nk = 2\ninner_lr = 0.02\n[ppo]\nlearners = 2\nminibatch = 80\n[optimizer]\nlr = 0.02\n\
                  [evaluation]\nevery = 20\nvalidation_learners = 4\nlearners = 8\nepisodes = 5\n";
    place.write("pixels.toml", config);
    // Random actions reach 10 of 20.
    for (learner, options) in
        [("mlp", &[][..]), ("transformer", &["--learner-set", "patch=4", "--encoder-layers", "3"])]
    {
        run(&[&["distill", "--config", "pixels.toml", "--learner", learner, "--out", learner], options]
            .concat());
        let dataset = Dataset::load(place.path(learner).join("dataset.safetensors")).unwrap();
        assert_eq!(dataset.x.shape, [2, 1, 8, 8]);
        let score = &dataset.info.scores[0];
        assert!(score.mean_return > 17.0, "{learner}: {}", score.mean_return);
    }
    run(&["collect", "mlp", "--episodes", "10", "--out", "data"]);
    let data = Transitions::load(place.path("data")).unwrap();
    assert!(matches!(&data.observations, Observations::Byte(pixels) if pixels.len() == 200 * 64));
    let matching =
        ["distill", "--config", "pixels.toml", "--objective", "gradient-matching", "--data", "data"];
    let learner = ["--learner", "impala-cnn", "--learner-set", "channels=2", "--out", "matched"];
    run(&[&matching[..], &learner, &["--meta-epochs", "2"]].concat());
    run(&["train", "transformer", "--out", "agent"]);
    run(&["play", "agent", "--quiet"]);
    let normalized = format!("{config}[normalize]\nobservations = true\n");
    place.write("normalized.toml", normalized);
    let learner = ["--learner", "impala-cnn", "--learner-set", "channels=2", "--out", "normalized"];
    run(&[&["distill", "--config", "normalized.toml", "--meta-epochs", "2"][..], &learner].concat());
    let dataset = Dataset::load(place.path("normalized/dataset.safetensors")).unwrap();
    let mean = dataset.extra.iter().find(|part| part.name == "normalizer.mean").unwrap();
    assert!(
        mean.data.iter().all(|mean| (0.0..=1.0).contains(mean)) && mean.data.iter().any(|mean| *mean > 0.0)
    );
    run(&["eval", "normalized", "--learners", "1", "--episodes", "1"]);
}

/// Observations of the size of Atari's: what does not fit is refused before there is a run directory, with what to lower.
#[test]
#[cfg(target_os = "linux")]
fn the_sizes_of_large_pictures_are_checked() {
    let place = Place::new();
    let library = compile("tests/pixels/pixels.c", "atari", &["-DSIDE=84", "-DCHANNELS=4"]);
    // With 8 GiB for the program, half of it is for rollouts, and half for a plan.
    let refused = |learner: &str, [envs, steps, minibatch]: [usize; 3], expected: &str| {
        let environment = format!("[environment]\nid = \"test/pixels\"\nenvs = {envs}\nsteps = {steps}\n");
        let plugins = format!("[learner]\nid = \"{learner}\"\n[critic]\nid = \"mlp\"\n");
        let ppo = format!("[ppo]\nlearners = 1\nminibatch = {minibatch}\n");
        place.write("large.toml", format!("{environment}{plugins}{ppo}"));
        let mut command = std::process::Command::new("sh");
        command.args([
            "-c",
            "ulimit -d 8388608; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_potstill"),
            "--plugin",
        ]);
        command.args([text(&library), "distill", "--config", "large.toml", "--out", "large"]);
        place.settle(&mut command);
        crate::Said::from(command.output().unwrap()).refused(2, expected);
        assert!(!place.path("large").exists());
    };
    // A byte a pixel, and ten other numbers of a transition.
    let gib = 1e6 * (4 * 84 * 84 + 4 * 10) as f64 / f64::from(1 << 30);
    let said =
        format!("the rollouts of a meta-epoch take {gib:.1} GiB, and this machine has 4.0 GiB for them");
    refused("nature-cnn", [1000, 1000, 32], &said);
    refused(
        "nature-cnn",
        [120_000, 1, 32],
        "12.6 GiB as numbers, and this machine has 4.0 GiB for them: lower \
        `environment.envs`",
    );
    refused("impala-cnn", [20_000, 1, 32], "Lower `environment.envs`, or choose a smaller network");
    refused("nature-cnn", [100, 1000, 100_000], "for them: lower `ppo.minibatch`");
    refused(
        "nature-cnn",
        [100, 1000, 20_000],
        "Lower `ppo.minibatch` or `dataset.k`, or choose a smaller network",
    );
}
