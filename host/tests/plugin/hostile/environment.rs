//! Tests the hostile environment.
use potstill::plugin::{Actions, Environments, Registry, RenderMode};

use crate::hostile::Guest;
use crate::settings;

fn hostile() -> Guest {
    Guest::of("hostile")
}

fn make(r: &Registry, mode: &str) -> potstill::Result<Box<dyn Environments>> {
    r.make_environments("test/hostile-v1", &settings(&[("mode", mode)]), 8)
}

fn step(environments: &mut dyn Environments) -> Result<(), String> {
    environments.step(&Actions::Discrete(vec![0; 8])).map(|_| ()).map_err(|e| e.to_string())
}

#[test]
fn every_broken_step_is_one_clear_and_lasting_error() {
    let guest = hostile();
    for (mode, cause) in [
        ("step-loop", "endless loop: no answer within 1 s (limit `step-seconds`)"),
        ("step-memory", "memory limit of 32 MiB reached (limit `memory-mib`)"),
        ("step-panic", "panicked: "),
        ("step-trap", "crashed: wasm `unreachable` instruction executed"),
        ("step-recursion", "stack overflow: its calls nest deeper than 512 KiB"),
        ("step-locals", "crashed: access outside its memory (its own stack overflowed, or"),
        ("step-error", "the wind has died"),
        ("step-huge-error", "all work and no play"),
        ("short-observations", "returned 12 observation values, expected 8 environments × 4 = 32"),
        ("short-rewards", "returned 1 reward values, expected 8"),
        ("nan-observation", "observation 3 of environment 7 is NaN"),
        ("infinite-reward", "the reward of environment 1 is inf"),
        ("wrong-flag", "`terminated` of environment 0 is 7, expected 0 or 1"),
        ("both-flags", "environment 0 is both terminated and truncated"),
        ("too-many-finals", "returned 4 final observation values, expected 0 ended episodes × 4 = 0"),
        ("too-few-finals", "returned 0 final observation values, expected 1 ended episodes × 4 = 4"),
        ("byte-observations", "returned bytes as observations, expected the numbers of Box([4], -inf..inf)"),
    ] {
        let r = guest.for_mode(mode);
        let mut environments = make(r, mode).unwrap();
        environments.reset(&[0; 8]).unwrap();
        let error = step(&mut *environments).unwrap_err();
        assert!(
            error.starts_with(&format!("plugin `test/hostile-v1`, in `step`: {cause}")),
            "{mode}: {error}"
        );
        assert!(error.len() < 1200, "{mode}: {} bytes", error.len());
        assert_eq!(step(&mut *environments).unwrap_err(), error, "{mode}: the same error for good");
        assert_eq!(environments.reset(&[0; 8]).unwrap_err().to_string(), error);
        assert_eq!(environments.snapshot().unwrap_err().to_string(), error);

        let mut others = make(r, "none").unwrap();
        others.reset(&[0; 8]).unwrap();
        step(&mut *others).unwrap();
    }
}

#[test]
fn the_error_has_the_message_of_a_panic() {
    let r = hostile().patient;
    let mut environments = make(&r, "step-panic").unwrap();
    environments.reset(&[0; 8]).unwrap();
    let error = step(&mut *environments).unwrap_err();
    assert!(error.contains("index 8 of a thing of three"), "{error}");
}

#[test]
fn making_one_may_fail() {
    let guest = hostile();
    for (mode, function, cause) in [
        ("make-trap", "make", "crashed: wasm `unreachable`"),
        ("make-loop", "make", "endless loop: no answer within 1 s (limit `start-seconds`)"),
        ("spec-overflow", "spec", "the observation space is wrong: "),
        ("spec-nan-bound", "spec", "the observation space is wrong: `low` has a NaN"),
        ("spec-empty", "spec", "the observation space is wrong: shape [4, 0] has an empty dimension"),
    ] {
        let Err(error) = make(guest.for_mode(mode), mode) else { panic!("{mode}") };
        let error = error.to_string();
        assert!(
            error.starts_with(&format!("plugin `test/hostile-v1`, in `{function}`: {cause}")),
            "{mode}: {error}"
        );
    }
    // An error that it returns is one that the user can fix.
    let error = make(&guest.patient, "make-error").err().unwrap().to_string();
    assert_eq!(error, "plugin `test/hostile-v1`: the moon is in the wrong phase");
}

#[test]
fn the_other_functions_are_guarded_too() {
    let r = hostile().patient;
    let error = make(&r, "reset-short").unwrap().reset(&[0; 8]).unwrap_err().to_string();
    assert!(
        error.ends_with("in `reset`: returned 28 observation values, expected 8 environments × 4 = 32"),
        "{error}"
    );

    let mut environments = make(&r, "render-error").unwrap();
    environments.reset(&[0; 8]).unwrap();
    let error = environments.render(0, RenderMode::Rgb).unwrap_err().to_string();
    assert!(error.ends_with("in `render`: nothing to draw"), "{error}");
    step(&mut *environments).expect("a refusal is no failure");

    let error = make(&r, "render-short").unwrap().render(0, RenderMode::Rgb).unwrap_err().to_string();
    assert!(error.contains("in `render`: drew 100 × 4294967295 pixels"), "{error}");

    assert_eq!(make(&r, "none").unwrap().snapshot().unwrap(), None);
    let mut environments = make(&r, "restore-trap").unwrap();
    let error = environments.restore(b"x").unwrap_err().to_string();
    assert!(error.contains("in `restore`: crashed"), "{error}");
    assert_eq!(environments.reset(&[0; 8]).unwrap_err().to_string(), error);
}

#[test]
fn a_flood_of_messages_is_limited() {
    use std::sync::{Arc, Mutex};
    let mut r = hostile().patient;
    let seen = Arc::new(Mutex::new(vec![]));
    let sink = seen.clone();
    r.on_log(Arc::new(move |plugin, _, message| sink.lock().unwrap().push(format!("{plugin}: {message}"))));
    let mut environments = make(&r, "log-flood").unwrap();
    environments.reset(&[0; 8]).unwrap();
    step(&mut *environments).unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 20);
    assert_eq!(seen[0], "test/hostile-v1: flood 0\u{fffd}[31m");
}
