//! Tests every template as `plugin new` writes it: its own tests, its component, and a distillation with it.
use potstill::plugin::{Observations, RenderMode};
use potstill_plugin_api::{Frame, Space};
use potstill_sdk::Rng;
use potstill_sdk::testing::Copies;

use crate::component::assert_component;
use crate::roles::{planned, traced};
use crate::{Author, corridor, go_on, missing, play, repository};

const COPIES: usize = 16;
const STEPS: usize = 300;

/// Goes from an empty folder through the template's own tests to a dataset. `is_right` checks the built plugin.
#[track_caller]
fn walk_through(role: &str, language: &str, is_right: fn(&Author)) {
    let author = Author::new();
    let new = ["plugin", "new", "acme/walk", "--role", role, "--lang", language];
    let said = author.ok(&new);
    assert!(said.starts_with("acme/walk-v1 is in walk;"), "{said}");
    author.refused(&new, "walk: exists and is not an empty folder; move it away");

    let test: &[&str] = match language {
        "rust" => &["cargo", "test", "--quiet"],
        "c" => &["make", "test"],
        _ => &["python3", "-m", "unittest"],
    };
    match author.command(test[0]).args(&test[1..]).current_dir(author.path("walk")).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(e) => missing(&format!("{}: {e}", test[0])),
    }
    if !author.build(&author.path("walk"), "built") {
        return;
    }
    assert_component(&author.path("built/walk.wasm"), role);
    is_right(&author);
    author.ok(&["plugin", "check", "built"]);
    match role {
        "environment" => author.distil("built", "acme/walk", &[]),
        role => author.distil("built", "nd-cartpole", &[&format!("--{role}"), "acme/walk"]),
    }
}

/// Checks that the widths are those that the Rust SDK draws, and that the network is the built-in one of that width.
fn draws_perceptrons(author: &Author) {
    let registry = author.registry("built");
    let pixels = Space::Image { shape: vec![2, 3, 4] };
    for observation in [Space::unbounded([5]), pixels] {
        for seed in 0..5 {
            let drawn = traced(&registry, "acme/walk", &[], &observation, seed);
            let width = (64 + Rng::seeded(seed).below(65)).to_string();
            assert_eq!(drawn.name, format!("{width} wide"));
            let mlp = [("width", width), ("depth", "1".into())];
            let mlp = traced(&registry, "mlp", &mlp, &observation, seed);
            assert_eq!((drawn.parameters, drawn.graph), (mlp.parameters, mlp.graph));
        }
    }
    let settings = [("least", "9"), ("most", "8")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let refused = registry.learner("acme/walk", &settings).unwrap().draw(&Space::unbounded([5]), 2, 1);
    let error = refused.err().unwrap().to_string();
    assert!(
        error.contains("plugin `acme/walk-v1`: `least` is ") && error.contains("above `most`"),
        "{error}"
    );
}

fn is_the_built_in_actor_critic(author: &Author) {
    let registry = author.registry("built");
    for settings in [&[][..], &[("entropy", "0.3")]] {
        assert_eq!(planned(&registry, "acme/walk", settings), planned(&registry, "a2c", settings));
    }
}

fn plays_as_the_rust_template_does(author: &Author) {
    let registry = author.registry("built");
    for length in [2i64, 10] {
        let settings = [("length".to_owned(), length.to_string())];
        let mut environments = registry.make_environments("acme/walk", &settings, COPIES).unwrap();
        let played = play(&mut *environments, STEPS);
        assert_eq!(played, native(length), "length {length}");

        let state = environments.snapshot().unwrap().unwrap();
        let first = go_on(&mut *environments, 2, 50);
        let mut fresh = registry.make_environments("acme/walk", &settings, COPIES).unwrap();
        fresh.restore(&state).unwrap();
        assert_eq!(go_on(&mut *fresh, 2, 50), first);
        assert!(fresh.restore(&state[1..]).is_err());
        let Frame::Text(text) = fresh.render(0, RenderMode::Text).unwrap() else { panic!("no text") };
        assert_eq!((text.len() as i64, text.matches('@').count()), (length + 1, 1), "{text}");
        fresh.render(0, RenderMode::Rgb).unwrap_err();
    }
    assert!(registry.make_environments("acme/walk", &[("length".into(), "1".into())], 1).is_err());
}

/// Steps the Rust template as native code, with the result in the host's types.
fn native(length: i64) -> Vec<potstill::plugin::Transition> {
    let options = [("length".to_owned(), length.into())].into_iter().collect();
    let mut copies = Copies::<corridor::Corridor>::new(COPIES, &options).unwrap();
    copies.reset(&(0..COPIES as u64).collect::<Vec<_>>()).unwrap();
    let mut rng = Rng::seeded(9);
    let mut step = || {
        let actions: Vec<u32> = (0..COPIES).map(|_| rng.below(2) as u32).collect();
        let out = copies.step(potstill_sdk::Actions::Discrete(&actions)).unwrap();
        let flags = |flags: &[u8]| flags.iter().map(|&flag| flag == 1).collect();
        potstill::plugin::Transition {
            observations: Observations::Float(out.observations.clone()),
            rewards: out.rewards.clone(),
            terminated: flags(&out.terminated),
            truncated: flags(&out.truncated),
            final_observations: Observations::Float(out.final_observations.clone()),
            faults: flags(&out.faults),
            lives_lost: vec![],
        }
    };
    (0..STEPS).map(|_| step()).collect()
}

#[test]
fn environment_in_rust() {
    walk_through("environment", "rust", plays_as_the_rust_template_does);
}

#[test]
fn environment_in_c() {
    walk_through("environment", "c", plays_as_the_rust_template_does);
}

#[test]
fn environment_in_python() {
    walk_through("environment", "python", plays_as_the_rust_template_does);
}

#[test]
fn learner_in_rust() {
    walk_through("learner", "rust", draws_perceptrons);
}

#[test]
fn learner_in_c() {
    walk_through("learner", "c", draws_perceptrons);
}

#[test]
fn learner_in_python() {
    walk_through("learner", "python", draws_perceptrons);
}

#[test]
fn objective_in_rust() {
    walk_through("objective", "rust", is_the_built_in_actor_critic);
}

#[test]
fn objective_in_c() {
    walk_through("objective", "c", is_the_built_in_actor_critic);
}

#[test]
fn objective_in_python() {
    walk_through("objective", "python", is_the_built_in_actor_critic);
}

#[test]
fn rejects_bad_names_and_folders() {
    let author = Author::new();
    let new = |arguments: &[&str], expected: &str| {
        author.refused(&[&["plugin", "new"], arguments].concat(), expected);
        assert_eq!(std::fs::read_dir(author.path("")).unwrap().count(), 2, "{arguments:?} left something");
    };
    new(&["Walk", "--lang", "c"], "`Walk` cannot be a plugin's name; expected `name` or `namespace/name`");
    new(&["../walk", "--lang", "c"], "`../walk` cannot be a plugin's name");
    new(&["walk-v2", "--lang", "c"], "`walk-v2`: a new plugin is version 1: leave out `-v2`");
    new(&["walk", "--lang", "rustt"], "a similar value exists: 'rust'");
    new(&["walk", "--lang", "c", "--role", "environmet"], "a similar value exists: 'environment'");
    new(&["walk"], "--lang <LANG>");
    new(&["walk", "--lang", "rust", "--sdk", "."], "--sdk .: is not the crate potstill-sdk");
}

/// A Rust plugin depends on its own copy of the SDK unless the author names another one.
#[test]
fn a_rust_plugin_finds_its_sdk() {
    let author = Author::new();
    author.ok(&["plugin", "new", "one", "--lang", "rust"]);
    let manifest = |name: &str| std::fs::read_to_string(author.path(name).join("Cargo.toml")).unwrap();
    assert!(manifest("one").contains("\npotstill-sdk = { path = \"potstill_sdk\" }"), "{}", manifest("one"));
    assert!(author.path("one/potstill_sdk/src/lib.rs").is_file());
    let output = author
        .command(env!("CARGO_BIN_EXE_potstill"))
        .args(["plugin", "new", "two", "--lang", "rust"])
        .env("POTSTILL_SDK", repository("sdk/rust"))
        .output()
        .unwrap();
    assert!(output.status.success());
    let sdk = serde_json::to_string(&repository("sdk/rust")).unwrap();
    assert!(manifest("two").contains(&format!("\npotstill-sdk = {{ path = {sdk} }}")), "{}", manifest("two"));
    assert!(!author.path("two/potstill_sdk").exists());
}
