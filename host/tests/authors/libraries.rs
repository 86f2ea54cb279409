//! Tests the shared libraries that `plugin build` makes from C and C++. The tests of the roles cover those from Rust.
use potstill::plugin::Transition;
use potstill_plugin_api::Role;

use crate::{Author, play, repository};

/// Plays the mountain car in `folder` and returns its transitions.
fn played(author: &Author, folder: &str) -> Vec<Transition> {
    let registry = author.registry(folder);
    assert_eq!(registry.find(Role::Environment, "acme/mountain-car").unwrap().loader.to_string(), "native");
    play(&mut *registry.make_environments("acme/mountain-car", &[], 3).unwrap(), 300)
}

#[test]
fn c_and_c_with_cpp_play_alike() {
    let author = Author::new();
    let example = repository("examples/mountain-car");
    author.ok(&["plugin", "build", example.to_str().unwrap(), "--out", "built"]);
    std::fs::create_dir(author.path("mixed")).unwrap();
    for file in ["mountain_car.c", "plugin.toml"] {
        std::fs::copy(example.join(file), author.path("mixed").join(file)).unwrap();
    }
    author.replace("mixed/mountain_car.c", "0.0025 * cos(3.0 * c->position)", "pull(c->position)");
    author.replace("mixed/mountain_car.c", "enum { LIMIT", "double pull(double);\nenum { LIMIT");
    let source = "#include <cmath>\n#include \"potstill.h\"\n\
                  extern \"C\" double pull(double position) { return 0.0025 * std::cos(3.0 * position); }\n";
    author.write("mixed/pull.cpp", source);
    let said = author.ok(&["plugin", "build", "mixed"]);
    assert!(said.contains("acme/mountain-car-v1") && said.contains(std::env::consts::DLL_SUFFIX), "{said}");
    let steps = played(&author, "built");
    assert!(steps.iter().any(|step| step.truncated.contains(&true)));
    assert_eq!(played(&author, "mixed"), steps);
}

#[test]
fn libraries_that_cannot_be_built_are_errors() {
    let author = Author::new();
    std::fs::create_dir(author.path("car")).unwrap();
    let manifest = std::fs::read_to_string(repository("examples/mountain-car/plugin.toml")).unwrap();
    author.write("car/plugin.toml", &manifest);
    author.write("car/car.c", "int");
    author.refused(&["plugin", "build", "car"], "see its messages above");
    author.write("car/car.c", "int car;");
    author.refused(&["plugin", "build", "car"], "does not export `potstill_plugin`");
    let mut command = author.command(env!("CARGO_BIN_EXE_potstill"));
    let output = command.args(["plugin", "build", "car"]).env("CC", "no-such-cc").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("there is no compiler `no-such-cc` here; install one, or name one in CC"),
        "{said}"
    );
}
