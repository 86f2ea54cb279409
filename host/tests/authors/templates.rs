//! Every template as `plugin new` leaves it: its own tests, the component, what that plays, a distillation.
use potstill::plugin::{Observations, RenderMode};
use potstill_plugin_api::Frame;
use potstill_sdk::testing::Copies;

use crate::{Author, corridor, go_on, missing, play, repository};

const COPIES: usize = 16;
const STEPS: usize = 300;

/// From an empty folder to a dataset; `test` is the command of the template's own tests.
#[track_caller]
fn walk_through(language: &str, test: &[&str]) {
    let author = Author::new();
    let sdk = repository("sdk/rust");
    let mut new = vec!["plugin", "new", "acme/walk", "--lang", language];
    if language == "rust" {
        new.extend(["--sdk", sdk.to_str().unwrap()]);
    }
    let said = author.ok(&new);
    assert!(said.starts_with("acme/walk-v1 lies in walk;"), "{said}");
    author.refused(&new, "walk: exists and is not an empty folder; move it away");

    match author.command(test[0]).args(&test[1..]).current_dir(author.path("walk")).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(e) => missing(&format!("{}: {e}", test[0])),
    }
    if !author.build(&author.path("walk"), "built") {
        return;
    }
    plays_as_the_rust_template_does(&author);
    author.ok(&["plugin", "check", "built"]);
    author.distil("built", "acme/walk");
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

/// The Rust template's steps as native code, in the host's types.
fn native(length: i64) -> Vec<potstill::plugin::Transition> {
    let options = [("length".to_owned(), length.into())].into_iter().collect();
    let mut copies = Copies::<corridor::Corridor>::new(COPIES, &options).unwrap();
    copies.reset(&(0..COPIES as u64).collect::<Vec<_>>()).unwrap();
    let mut rng = potstill_sdk::Rng::seeded(9);
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
        }
    };
    (0..STEPS).map(|_| step()).collect()
}

#[test]
fn rust() {
    walk_through("rust", &["cargo", "test", "--quiet"]);
}

#[test]
fn c() {
    walk_through("c", &["make", "test"]);
}

#[test]
fn python() {
    walk_through("python", &["python3", "-m", "unittest"]);
}

#[test]
fn names_and_places_that_will_not_do() {
    let author = Author::new();
    let new = |arguments: &[&str], expected: &str| {
        author.refused(&[&["plugin", "new"], arguments].concat(), expected);
        assert_eq!(std::fs::read_dir(author.path("")).unwrap().count(), 1, "{arguments:?} left something");
    };
    new(&["Walk", "--lang", "c"], "`Walk` cannot be a plugin's name; expected `name` or `namespace/name`");
    new(&["../walk", "--lang", "c"], "`../walk` cannot be a plugin's name");
    new(&["walk-v2", "--lang", "c"], "`walk-v2`: a new plugin is version 1: leave `-v2` away");
    new(&["walk", "--lang", "rustt"], "a similar value exists: 'rust'");
    new(&["walk", "--lang", "c", "--role", "environmet"], "a similar value exists: 'environment'");
    new(&["walk"], "--lang <LANG>");
    new(&["walk", "--lang", "rust", "--sdk", "."], "--sdk .: is not the crate potstill-sdk");
}

/// Where no SDK is named, a Rust plugin takes the published one.
#[test]
fn a_rust_plugin_finds_its_sdk() {
    let author = Author::new();
    author.ok(&["plugin", "new", "one", "--lang", "rust"]);
    let manifest = |name: &str| std::fs::read_to_string(author.path(name).join("Cargo.toml")).unwrap();
    assert!(manifest("one").contains("\npotstill-sdk = \"0."), "{}", manifest("one"));
    let output = author
        .command(env!("CARGO_BIN_EXE_potstill"))
        .args(["plugin", "new", "two", "--lang", "rust"])
        .env("POTSTILL_SDK", repository("sdk/rust"))
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(manifest("two").contains("\npotstill-sdk = { path = \""), "{}", manifest("two"));
}
