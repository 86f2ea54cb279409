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
    let refused = ["--plugin", text(&library), "distill", "--config", "normalized.toml"];
    place.refused(&refused, 2, "pixels are scaled to 0–1 and not normalized");
}
