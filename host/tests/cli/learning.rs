//! Checks that distillation works: a short one teaches unseen learners to balance the pole.
use crate::Place;

#[test]
fn a_short_distillation_teaches_and_a_zero_inner_step_does_not() {
    let place = Place::new();
    place.write(
        "short.toml",
        "[evaluation]\nevery = 20\nvalidation_learners = 5\nlearners = 20\nepisodes = 20\n",
    );
    let command = ["distill", "--config", "short.toml", "--meta-epochs", "120", "--seed", "1", "--json"];
    let value = place.json(&[&command[..], &["--out", "run"]].concat());
    let taught = value["scores"][0]["mean_return"].as_f64().unwrap();
    assert!(taught > 300.0, "{taught}");
    // Blind, the learners that it teaches play no better than constant and random actions do.
    let few = ["--learners", "5", "--episodes", "20", "--json"];
    for acting in [&["--greedy"][..], &[]] {
        let value = place.json(&[&["eval", "run", "--blind"][..], &few, acting].concat());
        let mean = |value: &serde_json::Value| value["mean_return"].as_f64().unwrap();
        let [frozen, other] = ["frozen", "other"].map(|sight| mean(&value["blind"][sight]));
        assert!(mean(&value) > 300.0 && frozen < 30.0 && other < 60.0, "{value}");
    }
    // The same dataset with inner learning rate 0.
    let mut dataset = potstill::run::Dataset::load(place.path("run/dataset.safetensors")).unwrap();
    dataset.inner_lr = f32::MIN_POSITIVE;
    dataset.save(place.path("untaught.safetensors")).unwrap();
    let protocol = ["--learners", "20", "--episodes", "20", "--json"];
    let value = place.json(&[&["eval", "untaught.safetensors"][..], &protocol].concat());
    let untaught = value["mean_return"].as_f64().unwrap();
    assert!(untaught < 40.0, "{untaught}");
}
