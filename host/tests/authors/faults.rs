//! Checks that each mistake of a plugin's author leads to one clear error.
use std::fs;

use potstill::plugin::Actions;

use crate::{Author, repository};

#[test]
fn folders_that_hold_no_plugin() {
    let author = Author::new();
    let build = ["plugin", "build", "walk"];
    author.refused(&build, "walk: No such file");
    fs::create_dir(author.path("walk")).unwrap();
    author.refused(&build, "plugin.toml: No such file");
    let manifest = fs::read_to_string(repository("examples/grid-world/plugin.toml")).unwrap();
    author.write("walk/plugin.toml", &manifest.replace("license", "licensed"));
    author.refused(&build, "plugin.toml: TOML parse error");
    author.write("walk/plugin.toml", &manifest);
    author.refused(
        &build,
        "there is nothing to build here; expected Cargo.toml (Rust), plugin.py (Python), or C files",
    );
    author.write("walk/plugin.py", "");
    author.write("walk/plugin.toml", &manifest.replace("wasm = \"grid-world.wasm\"", "library = \"walk\""));
    author.refused(&build, "Python cannot make a shared library; write `wasm = ");
}

/// Hides the compiler and the Python of this machine, so that the errors say what to install.
#[test]
fn missing_tools_are_named() {
    let author = Author::new();
    for (language, tool) in [("c", "pip install ziglang"), ("python", "pip install componentize-py")] {
        author.ok(&["plugin", "new", language, "--lang", language]);
        let mut command = author.command(env!("CARGO_BIN_EXE_potstill"));
        let output =
            command.args(["plugin", "build", language]).env("PATH", author.path("")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(tool), "{said}");
    }
}

#[test]
fn c_that_does_not_compile_or_wants_an_operating_system() {
    let author = Author::new();
    author.ok(&["plugin", "new", "acme/walk", "--lang", "c"]);
    if !author.build(&author.path("walk"), "walk") {
        return;
    }
    let before = fs::read(author.path("walk/walk.wasm")).unwrap();
    author.replace("walk/environment.c", "corridor *c = self;\n", "corridor *c = self\n");
    author.refused(&["plugin", "build", "walk"], "see its messages above");
    assert!(fs::read(author.path("walk/walk.wasm")).unwrap() == before, "the old component stays");
    author.replace("walk/environment.c", "corridor *c = self\n", "corridor *c = self;\n");
    author.replace("walk/environment.c", "(void)rng;", "printf(\"%p\", (void *)rng);");
    author.replace("walk/environment.c", "#include <stdlib.h>", "#include <stdio.h>\n#include <stdlib.h>");
    author.refused(
        &["plugin", "build", "walk"],
        "The sandbox has no operating system: remove code that prints",
    );
}

#[test]
fn a_manifest_and_a_binary_that_disagree() {
    let author = Author::new();
    author.ok(&["plugin", "new", "acme/walk", "--lang", "c"]);
    author.replace("walk/plugin.toml", "acme/walk-v1", "acme/walk-v2");
    let said = author.potstill(&["plugin", "build", "walk"]);
    if said.err.contains("; install") {
        return crate::missing(&said.err);
    }
    assert!(said.err.contains("the binary says id `acme/walk-v1`, expected `acme/walk-v2`"), "{}", said.err);
}

#[test]
fn pythons_exceptions_reach_the_user() {
    let author = Author::new();
    author.ok(&["plugin", "new", "acme/walk", "--lang", "python"]);
    author.replace("walk/plugin.py", "import Box,", "import Box, InvalidOptions,");
    let refuse = "if length == 13:\n            raise InvalidOptions(\"13 places bring bad luck\")\n        self.length";
    author.replace("walk/plugin.py", "self.length = length", &format!("{refuse} = length"));
    author.replace(
        "walk/plugin.py",
        "self.position += 1 if",
        "[][length_of_nothing()]\n        self.position += 1 if",
    );
    author.replace(
        "walk/plugin.py",
        "class Corridor",
        "def length_of_nothing():\n    return 5\n\n\nclass Corridor",
    );
    if !author.build(&author.path("walk"), "built") {
        return;
    }
    let registry = author.registry("built");
    let make = |length: &str| registry.make_environments("acme/walk", &[("length".into(), length.into())], 2);
    let error = make("13").err().expect("bad luck").to_string();
    assert_eq!(error, "plugin `acme/walk-v1`: 13 places bring bad luck");
    let mut environments = make("12").unwrap();
    environments.reset(&[1, 2]).unwrap();
    let error = environments.step(&Actions::Discrete(vec![0, 1])).unwrap_err().to_string();
    let expected = "in `step`: panicked: IndexError: list index out of range (plugin.py:";
    assert!(error.contains(expected), "{error}");
}

/// The plugin's `.venv` need not be activated; what it cannot use is said in one line.
#[test]
fn python_packages_of_the_plugin() {
    let author = Author::new();
    author.ok(&["plugin", "new", "acme/walk", "--lang", "python"]);
    let packages = author.path("walk/.venv/lib/python3.11/site-packages");
    fs::create_dir_all(packages.join("quick")).unwrap();
    fs::write(packages.join("tiny.py"), "PLACES = 7\n").unwrap();
    fs::write(packages.join("quick/__init__.py"), "from . import _quick\n").unwrap();
    fs::write(packages.join("quick/_quick.cpython-311-x86_64-linux-gnu.so"), "").unwrap();
    let original = fs::read_to_string(author.path("walk/plugin.py")).unwrap();
    author.write("walk/plugin.py", &format!("import tiny\n\nassert tiny.PLACES == 7\n{original}"));
    if !author.build(&author.path("walk"), "built") {
        return;
    }
    // The first build leaves the interpreter's caches behind.
    author.ok(&["plugin", "build", "walk"]);
    author.ok(&["plugin", "build", "walk"]);
    for (first, expected) in [
        (
            "import quick",
            "plugin.py, line 1: `quick` cannot be imported in a component: it needs compiled code",
        ),
        (
            "import nowhere",
            "plugin.py, line 1: there is no module 'nowhere'. Packages in pure Python are found in",
        ),
        ("1 / 0", "plugin.py, line 1: ZeroDivisionError: division by zero"),
        ("def walk(:", "plugin.py, line 1: SyntaxError: invalid syntax"),
    ] {
        author.write("walk/plugin.py", &format!("{first}\n{original}"));
        let said = author.potstill(&["plugin", "build", "walk"]);
        assert!(!said.ok && said.err.contains(expected), "{first}: {}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    }
}

#[test]
fn python_that_is_not_what_its_manifest_says() {
    let author = Author::new();
    author.ok(&["plugin", "new", "acme/walk", "--lang", "python", "--role", "objective"]);
    author.replace("walk/plugin.toml", "\"objective\"", "\"learner\"");
    let said = author.potstill(&["plugin", "build", "walk"]);
    if said.err.contains("; install") {
        return crate::missing(&said.err);
    }
    let expected = "plugin.py exports a plugin of role objective, but plugin.toml says the role is learner";
    assert!(!said.ok && said.err.contains(expected), "{}", said.err);
    author.write("walk/learner.py", "");
    author.refused(&["plugin", "build", "walk"], "the component has a module of this name; rename it");
}

/// Runs the author's own trace, as the unit tests of a Python plugin do.
#[test]
fn python_that_returns_no_tensors() {
    let Some(python) = std::env::var_os("POTSTILL_PYTHON") else { return };
    let traced = |body: &str| {
        let script = format!(
            "from potstill_sdk import *\nfrom potstill_sdk.testing import trace_learner, trace_objective\n\n\n{body}"
        );
        let author = Author::new();
        author.write("plugin.py", &script);
        let mut command = author.command(python.to_str().unwrap());
        let output = command.arg("plugin.py").env("PYTHONPATH", repository("sdk/python")).output().unwrap();
        String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned()
    };
    let objective = |result: &str| {
        traced(&format!(
            "class Mine(Objective):\n    def columns(self):\n        return [\"observations\"]\n\n    \
             def outer(self, outer):\n        return {result}\n\n\n\
             print(trace_objective(Mine, Task(Box([4], -1, 1), Discrete(2), 2, 2)))\n"
        ))
    };
    assert_eq!(objective("Outcome(outer.outputs().mean())"), "");
    for (result, expected) in [
        ("0.5", "`outer` returned 0.5, expected Outcome (plugin.py:9)"),
        ("Outcome(0.5)", "`outer` returned 0.5 as the loss, expected Tensor (plugin.py:9)"),
        (
            "Outcome(outer.outputs().mean(), {\"size\": 3})",
            "`outer` returned 3 as the metric `size`, expected Tensor (plugin.py:9)",
        ),
        ("Outcome(grad(\"x\", outer.fresh))", "expected a tensor or a number, got 'x'"),
    ] {
        assert_eq!(objective(result), format!("TypeError: {expected}"));
    }
    let learner = "class Mine(Learner):\n    def name(self):\n        return \"mine\"\n\n    \
                   def forward(self, parameters, observations):\n        return None\n\n\n\
                   trace_learner(Mine, LearnerShape(Box([4], -1, 1), 2))\n";
    assert_eq!(traced(learner), "TypeError: `forward` returned None, expected Tensor (plugin.py:9)");
}
