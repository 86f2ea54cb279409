//! Checks that an environment, a learner and an objective give the same results with each of the four loaders.
//! `POTSTILL_REBUILT` names a folder with components and libraries that were just built from source.
use std::path::PathBuf;

use potstill::engine::inner::Inner;
use potstill::engine::policy::Policy;
use potstill::engine::programs::{UpdateRule, update};
use potstill::engine::student::{Dimensions, Student};
use potstill::graph::Graph;
use potstill::plugin::{Actions, Registry, RenderMode};
use potstill_plugin_api::{Role, Space, Task};

use crate::{isolated, registry, repository, settings};

/// Returns registries that load the plugin `name` with each loader.
fn loaders(name: &str) -> Vec<(String, Registry)> {
    let mut found = vec![("built-in".to_owned(), registry(&[]))];
    // This component was built against version 0.1 of the contract.
    let frozen = repository("tests/frozen/0.1").join(format!("{name}.wasm"));
    found.push(("frozen component".to_owned(), registry(&[frozen])));
    let Some(folder) = std::env::var_os("POTSTILL_REBUILT").map(PathBuf::from) else {
        eprintln!("POTSTILL_REBUILT is not set: nothing that was just built is tested");
        return found;
    };
    let library = format!(
        "{}potstill_{}{}",
        std::env::consts::DLL_PREFIX,
        name.replace('-', "_"),
        std::env::consts::DLL_SUFFIX
    );
    let (component, library) = (folder.join(name).join(format!("{name}.wasm")), folder.join(library));
    for path in [&component, &library] {
        assert!(path.is_file(), "{} is missing", path.display());
    }
    found.push(("component".to_owned(), registry(&[component])));
    found.push(("library".to_owned(), registry(std::slice::from_ref(&library))));
    if cfg!(unix) {
        found.push(("library, isolated".to_owned(), isolated(&[library])));
    }
    found
}

#[test]
fn environments() {
    let mut expected = None;
    for (loader, registry) in loaders("nd-cartpole") {
        let mut carts = registry.make_environments("nd-cartpole", &settings(&[("n", "2")]), 8).unwrap();
        let mut seen = format!("{:?}", carts.spec());
        seen += &format!("{:?}", carts.reset(&[7; 8]).unwrap());
        for i in 0..300u32 {
            let actions = (0..8).map(|c| (c * 5 + i * 3) / 2 % 4).collect();
            seen += &format!("{:?}", carts.step(&Actions::Discrete(actions)).unwrap());
            if i == 150 {
                // Rendering and the steps after a snapshot must agree, too.
                let state = carts.snapshot().unwrap().unwrap();
                seen += &format!("{:?} {state:?}", carts.render(3, RenderMode::Text).unwrap());
                seen += &format!("{:?}", carts.render(3, RenderMode::Rgb).unwrap());
                carts.step(&Actions::Discrete(vec![0; 8])).unwrap();
                carts.restore(&state).unwrap();
            }
        }
        assert_eq!(*expected.get_or_insert(seen.clone()), seen, "{loader}");
    }
}

#[test]
fn learners() {
    let mut expected = None;
    for (loader, registry) in loaders("mlp") {
        let options = settings(&[("width", "32-256"), ("depth", "1-6"), ("weights", "xavier-uniform")]);
        let mlp = registry.learner("mlp", &options).unwrap();
        let mut seen = format!("{} {}", mlp.id(), mlp.specification());
        for seed in 0..10 {
            let learner = mlp.draw(&Space::unbounded([5]), 3, seed).unwrap();
            let graph = Graph::new();
            let parameters: Vec<_> =
                learner.parameters().iter().map(|p| graph.input(&*p.name, &p.shape)).collect();
            let x = graph.rows("x", &[9, 5]);
            let output = learner.forward(&parameters, &x).unwrap();
            seen += &format!("{} {:?} {}", learner.name(), learner.parameters(), graph.to_text(&[output]));
        }
        assert_eq!(*expected.get_or_insert(seen.clone()), seen, "{loader}");
    }
}

#[test]
fn objectives() {
    let mut expected = None;
    for (loader, registry) in loaders("ppmo") {
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
        let task = Task { observation: space, action: Space::Discrete { n: 2 }, instances: 3, outputs: 2 };
        let ppmo = registry.objective("ppmo", &settings(&[("clip", "0.3")]), &task).unwrap();
        let rule = UpdateRule::default();
        let update = update(&student, &critic, &*ppmo, &rule, &d, 600).unwrap();
        // Only the plan runs, so equal plans give equal meta-gradients at equal speed.
        let seen = format!("{:?} {:?} {}", ppmo.theta(), update.metrics, update.plan);
        assert_eq!(*expected.get_or_insert(seen.clone()), seen, "{loader}");
    }
}

#[test]
fn a_plugin_of_another_role_is_rejected() {
    let registry = registry(&[]);
    let error = registry.find(Role::Learner, "ppmo").err().unwrap().to_string();
    assert_eq!(error, "`ppmo` is an objective, not a learner");
    let error = registry.find(Role::Environment, "mlp").err().unwrap().to_string();
    assert_eq!(error, "`mlp` is a learner, not an environment");
}
