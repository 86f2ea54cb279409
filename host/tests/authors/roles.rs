//! Checks that learners and objectives trace the same graphs in every language as in Rust.
use potstill::engine::inner::Inner;
use potstill::engine::objective::Objective;
use potstill::engine::policy::Policy;
use potstill::engine::programs::{UpdateRule, update};
use potstill::engine::student::{Dimensions, Student};
use potstill::graph::Graph;
use potstill::plugin::Registry;
use potstill_plugin_api::{Init, Space, Task};

use crate::{Author, missing, repository};

/// The graph of a learner on 9 rows, without the names of parameters.
#[derive(Debug, PartialEq)]
pub(crate) struct Traced {
    pub(crate) name: String,
    /// The shape, initialization and layer of each parameter.
    pub(crate) parameters: Vec<(Vec<usize>, Init, usize)>,
    pub(crate) graph: String,
}

/// Draws a learner from `registry` for `observation` with `seed`.
pub(crate) fn traced(
    registry: &Registry,
    id: &str,
    settings: &[(&str, String)],
    observation: &Space,
    seed: u64,
) -> Traced {
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    let learner = registry.learner(id, &settings).unwrap().draw(observation, 3, seed).unwrap();
    let graph = Graph::new();
    let declared = learner.parameters();
    let inputs: Vec<_> =
        declared.iter().enumerate().map(|(i, p)| graph.input(format!("p{i}"), &p.shape)).collect();
    let x = graph.rows("x", &[&[9], &observation.shape()[..]].concat());
    let output = learner.forward(&inputs, &x).unwrap();
    Traced {
        name: learner.name().to_owned(),
        parameters: declared.iter().map(|p| (p.shape.clone(), p.init, p.layer)).collect(),
        graph: graph.to_text(&[output]),
    }
}

/// Compiles a whole update with an objective. Equal plans give equal meta-gradients at equal speed.
pub(crate) fn planned(registry: &Registry, id: &str, settings: &[(&str, &str)]) -> String {
    let space = Space::unbounded([4]);
    let d = Dimensions {
        k: 3,
        observation: space.clone(),
        policy: Policy::Categorical(2),
        encoder_layers: 1,
        inner: Inner::default(),
    };
    let mlp = registry.learner("mlp", &[]).unwrap();
    let student = Student::new(mlp.draw(&space, 2, 0).unwrap(), &d).unwrap();
    let critic = Student::critic(mlp.draw(&space, 1, 0).unwrap(), &d).unwrap();
    let objective = objective(registry, id, settings);
    let rule = UpdateRule::default();
    let update = update(&student, &critic, &*objective, &rule, &d, 600).unwrap();
    format!("{:?} {:?} {}", objective.theta(), update.metrics, update.plan)
}

fn objective(registry: &Registry, id: &str, settings: &[(&str, &str)]) -> Box<dyn Objective> {
    let settings: Vec<_> =
        settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let task = Task {
        observation: Space::unbounded([4]),
        action: Space::Discrete { n: 2 },
        instances: 3,
        outputs: 2,
    };
    registry.objective(id, &settings, &task).unwrap()
}

/// The published objective, written with each SDK, gives the same plan as the built-in one.
#[test]
fn ppmo_is_the_same_in_every_language() {
    for language in ["python", "c"] {
        let author = Author::new();
        if !author.build(&repository(&format!("tests/objectives/ppmo-{language}")), "built") {
            continue;
        }
        let registry = author.registry("built");
        let id = format!("test/ppmo-{language}");
        for settings in [&[][..], &[("clip", "0.3"), ("normalize-advantages", "false")]] {
            assert_eq!(planned(&registry, &id, settings), planned(&registry, "ppmo", settings), "{language}");
        }
    }
}

/// All operations have the same numbers and arguments in every language.
#[test]
fn every_operation_is_the_same_in_every_language() {
    let author = Author::new();
    let folder = |language: &str| repository(&format!("tests/learners/every-operation/{language}"));
    let image = Space::Image { shape: vec![2, 6, 6] };
    let traced = |language| {
        author
            .build(&folder(language), language)
            .then(|| traced(&author.registry(language), "test/every-operation", &[], &image, 0))
    };
    let expected = traced("rust").expect("Rust is here");
    // Some lines have more than one operation.
    assert!(expected.graph.lines().count() > 100, "{}", expected.graph);
    for language in ["c", "python"] {
        if let Some(seen) = traced(language) {
            assert_eq!(seen, expected, "{language}");
        }
    }
}

/// The tracers of the SDKs, which authors use in tests, accept every operation.
#[test]
fn every_operation_passes_the_sdks_tracers() {
    let author = Author::new();
    let folder = |language: &str| repository(&format!("tests/learners/every-operation/{language}"));
    let run = |program: &str, arguments: &[&str], folder: std::path::PathBuf| {
        let output = author
            .command(program)
            .args(arguments)
            .current_dir(folder)
            .env("PYTHONPATH", repository("sdk/python"))
            .output();
        match output {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(e) => missing(&format!("{program}: {e}")),
        }
    };
    run("cargo", &["test", "--quiet"], folder("rust"));
    run("python3", &["-m", "unittest"], folder("python"));
    let sdk = repository("sdk/c");
    let mut arguments: Vec<String> =
        ["-std=c11", "-Wall", "-Wextra", "-Werror", "-I"].map(String::from).into();
    arguments.push(sdk.display().to_string());
    for part in ["common", "graph", "learner", "testing"] {
        arguments.push(sdk.join(format!("potstill_{part}.c")).display().to_string());
    }
    let program = author.path("every_operation").display().to_string();
    arguments.extend(["every_operation.c", "test.c", "-o", &program].map(String::from));
    run("cc", &arguments.iter().map(String::as_str).collect::<Vec<_>>(), folder("c"));
    run(&program, &[], folder("c"));
    for mistake in 1..=16 {
        let output = author.command(&program).arg(mistake.to_string()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.starts_with("test.c:"), "mistake {mistake}: {said}");
    }
}

/// An error names the place in the author's source.
#[test]
fn a_mistake_names_file_and_line() {
    for (role, language, file, from, to, place) in [
        (
            "objective",
            "python",
            "plugin.py",
            "log_prob * advantages",
            "log_prob @ advantages",
            "plugin.py:25",
        ),
        (
            "objective",
            "c",
            "objective.c",
            "potstill_mul(log_prob, advantages)",
            "potstill_matmul(log_prob, advantages)",
            "objective.c:24",
        ),
        (
            "objective",
            "rust",
            "src/lib.rs",
            "(log_prob * advantages)",
            "log_prob.matmul(&advantages)",
            "src/lib.rs:33",
        ),
        (
            "learner",
            "c",
            "learner.c",
            "\"output\", h,",
            "\"output\", potstill_slice(h, 2, 0, 1),",
            "learner.c:38",
        ),
    ] {
        let author = Author::new();
        let sdk = repository("sdk/rust");
        author.ok(&[
            "plugin",
            "new",
            "acme/hill",
            "--role",
            role,
            "--lang",
            language,
            "--sdk",
            sdk.to_str().unwrap(),
        ]);
        author.replace(&format!("hill/{file}"), from, to);
        if !author.build(&author.path("hill"), "built") {
            continue;
        }
        let flag = format!("--{role}");
        let distil =
            ["--plugin", "built", "distill", "nd-cartpole", "--config", "small.toml", "--out", "run"];
        let said = author.potstill(&[&distil[..], &[&flag, "acme/hill"]].concat());
        assert!(!said.ok && said.err.contains(place), "expected {place}: {}", said.err);
        let operation = if role == "learner" { "slice" } else { "matmul" };
        assert!(said.err.contains(operation) && said.err.contains("acme/hill-v1"), "{}", said.err);
    }
}
