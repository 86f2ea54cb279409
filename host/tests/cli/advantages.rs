//! Tests `[ppo] advantages`, and runs of `ppmo-as-published` from before this setting existed.
use crate::{Outcome, Place, repository};

const SETTING: &str = "advantages = \"as-published\"\n";

/// The published hyperparameters, with fewer and smaller steps.
fn example() -> String {
    let example = std::fs::read_to_string(repository("examples/ppmo-as-published.toml")).unwrap();
    let small = "[evaluation]\nevery = 3\nvalidation_learners = 2\nvalidation_episodes = 2\nlearners = 2\nepisodes = 2\n";
    format!("{}{small}", example.replace("meta_epochs = 10000", "meta_epochs = 4\nthreads = 1"))
}

fn distil(place: &Place, name: &str, config: &str) -> Outcome {
    let file = format!("{name}.toml");
    place.write(&file, config);
    place.ok(&["distill", "--config", &file, "--out", name]);
    Outcome::of(&place.path(name))
}

#[test]
fn the_published_objective_implies_the_published_advantages() {
    let place = Place::new();
    let set = distil(&place, "set", &example());
    let text = |run: &str| std::fs::read_to_string(place.path(run).join("config.toml")).unwrap();
    assert!(text("set").contains(SETTING), "{}", text("set"));
    // A configuration or a run directory from before this setting still works.
    for (name, config) in [("before", example()), ("run-before", text("set"))] {
        assert_eq!(config.matches(SETTING).count(), 1);
        set.assert_same(&distil(&place, name, &config.replace(SETTING, "")));
        assert!(text(name).contains(SETTING), "{}", text(name));
    }
    // The setting applies to every objective, and can be overridden.
    let correct = SETTING.replace("as-published", "gae");
    let gae = distil(&place, "gae", &example().replace(SETTING, &correct));
    assert!(text("gae").contains(&correct));
    assert_ne!(set.dataset, gae.dataset);
    let ppmo =
        |setting: &str| example().replace("\"ppmo-as-published\"", "\"ppmo\"").replace(SETTING, setting);
    let default = distil(&place, "ppmo", &ppmo(""));
    assert!(text("ppmo").contains(&correct));
    default.assert_same(&distil(&place, "ppmo-gae", &ppmo(&correct)));
    assert_ne!(default.dataset, distil(&place, "ppmo-as-published", &ppmo(SETTING)).dataset);
}
