//! Checks that plugins built against an earlier version of the contract keep working. `tests/frozen` holds each version as
//! it was published.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use potstill::engine::inner::Inner;
use potstill::engine::policy::Policy;
use potstill::engine::programs::{UpdateRule, update};
use potstill::engine::student::{Dimensions, Student};
use potstill::graph::Graph;
use potstill::plugin::{Actions, Observations, Registry};
use potstill_plugin_api::{Data, Space, Task};
use sha2::{Digest, Sha256};
use wasmparser::{Payload, TypeRef};

use crate::c::{compile, compile_against};
use crate::{registry, repository, settings};

const FROZEN: &str = "tests/frozen/0.1";
const TODAY: &str = "plugin-api/include";
/// Names that the current header no longer defines, with their numbers, which stay reserved.
const WITHDRAWN: [&str; 1] = ["POTSTILL_ROLLOUTS_AS_PUBLISHED=1"];

#[test]
fn the_frozen_files_are_unchanged() {
    let mut files = vec![];
    for folder in [repository(FROZEN), repository(FROZEN).join("wit")] {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.extend(entries.filter(|path| path.is_file()));
    }
    files.sort();
    let mut hash = Sha256::new();
    files.iter().for_each(|file| hash.update(std::fs::read(file).unwrap()));
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "f573b9e3bff2596f2e1de4205cf7fc293a09db1070f2149952ef87e7269b8c2d");
}

/// Returns the sizes, offsets and numbers of everything in version 0.1, as a C compiler computes them from a header.
///
/// The header must not define the names in `withdrawn`: they are macros here, so that the compiler would fail.
fn layout(headers: &str, withdrawn: &[&str]) -> BTreeMap<String, Vec<i64>> {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("layout.c");
    let program = r#"
        #include <stdio.h>
        #include "potstill.h"
        #define GROWS(s) printf("grows " #s " %lld\n", (long long)sizeof(s));
        #define FIXED(s) printf("fixed " #s " %lld\n", (long long)sizeof(s));
        #define FIELD(s, f) \
            printf("field " #s "." #f " %lld %lld\n", (long long)offsetof(s, f), (long long)sizeof(((s *)0)->f));
        #define NUMBER(n) printf("number " #n " %lld\n", (long long)(n));
        int main(void) {
        #include "contract.def"
            return 0;
        }"#;
    std::fs::write(&source, program).unwrap();
    let binary = folder.path().join("layout");
    let compiled = Command::new(std::env::var("CC").unwrap_or("cc".into()))
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror"])
        .args(withdrawn.iter().map(|name| format!("-D{name}")))
        .arg("-I")
        .arg(repository(headers))
        // The list needs this header; the one above takes precedence.
        .arg("-I")
        .arg(repository(FROZEN))
        .arg("-o")
        .arg(&binary)
        .arg(&source)
        .output()
        .expect("a C compiler (cc, or what CC names)");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let printed = String::from_utf8(Command::new(binary).output().unwrap().stdout).unwrap();
    let line = |line: &str| {
        let mut words = line.split(' ');
        let name = format!("{} {}", words.next()?, words.next()?);
        Some((name, words.map(|word| word.parse().unwrap()).collect()))
    };
    printed.lines().filter_map(line).collect()
}

#[test]
fn the_layout_of_0_1_is_unchanged() {
    let (then, now) = (layout(FROZEN, &[]), layout(TODAY, &WITHDRAWN));
    assert!(then.len() > 200, "{}", then.len());
    for (name, then) in &then {
        let now = &now[name];
        match name.starts_with("grows ") {
            true => assert!(now >= then, "{name}: {now:?} bytes, {then:?} in 0.1"),
            false => assert_eq!(now, then, "{name}"),
        }
    }
}

fn fixture(headers: &str, role: &str) -> PathBuf {
    let name = format!("{role}-{}", headers.replace(['/', '.'], "-"));
    compile_against(headers, &format!("{FROZEN}/{role}.c"), &name, &[])
}

/// Returns registries with a plugin built against 0.1, in this process and in a separate one, and with the same source built
/// against the current header.
fn registries(role: &str) -> Vec<Registry> {
    let frozen = [fixture(FROZEN, role)];
    let mut all = vec![registry(&frozen), registry(&[fixture(TODAY, role)])];
    if cfg!(unix) {
        all.push(crate::isolated(&frozen));
    }
    all
}

#[test]
fn an_environment_of_0_1() {
    for registry in registries("environment") {
        let length = settings(&[("length", "5")]);
        let mut walks = registry.make_environments("frozen/corridor", &length, 2).unwrap();
        assert_eq!(walks.reset(&[0, 2]).unwrap(), Observations::Float(vec![0.0, 0.5]));
        let mut places = [0usize, 2];
        let state = walks.snapshot().unwrap().unwrap();
        for i in 0..40u32 {
            let actions = [1, u32::from(i % 3 != 0)];
            let seen = walks.step(&Actions::Discrete(actions.to_vec())).unwrap();
            for (copy, place) in places.iter_mut().enumerate() {
                *place = if actions[copy] == 1 { *place + 1 } else { place.saturating_sub(1) };
                let ended = *place == 4;
                assert_eq!(seen.terminated[copy], ended, "step {i}, copy {copy}");
                assert_eq!(seen.rewards[copy], f32::from(u8::from(ended)));
                if ended {
                    *place = 0;
                }
            }
            let now = places.iter().map(|&place| place as f32 / 4.0).collect();
            assert_eq!(seen.observations, Observations::Float(now), "step {i}");
            let ends = seen.terminated.iter().filter(|ended| **ended).count();
            assert_eq!(seen.final_observations, Observations::Float(vec![1.0; ends]));
        }
        walks.restore(&state).unwrap();
        let seen = walks.step(&Actions::Discrete(vec![1, 0])).unwrap();
        assert_eq!(seen.observations, Observations::Float(vec![0.25, 0.25]));
    }
}

#[test]
fn a_learner_of_0_1() {
    for registry in registries("learner") {
        let linear = registry.learner("frozen/linear", &[]).unwrap();
        let learner = linear.draw(&Space::unbounded([5]), 3, 7).unwrap();
        assert_eq!(learner.name(), "linear");
        let graph = Graph::new();
        let parameters: Vec<_> =
            learner.parameters().iter().map(|p| graph.input(&*p.name, &p.shape)).collect();
        let x = graph.rows("x", &[9, 5]);
        let output = learner.forward(&parameters, &x).unwrap();
        let by_hand = (x.matmul(&parameters[0]) + &parameters[1]).tanh();
        assert_eq!(graph.to_text(&[output]), graph.to_text(&[by_hand]));
    }
}

#[test]
fn an_objective_of_0_1() {
    let mut plans = vec![];
    for registry in registries("objective") {
        let space = Space::unbounded([4]);
        let d = Dimensions {
            k: 3,
            observation: space.clone(),
            policy: Policy::Categorical(2),
            encoder_layers: 0,
            inner: Inner::default(),
        };
        let mlp = registry.learner("mlp", &[]).unwrap();
        let student = Student::new(mlp.draw(&space, 2, 0).unwrap(), &d).unwrap();
        let critic = Student::critic(mlp.draw(&space, 1, 0).unwrap(), &d).unwrap();
        let task = Task { observation: space, action: Space::Discrete { n: 2 }, instances: 3, outputs: 2 };
        let reinforce = registry.objective("frozen/reinforce", &[], &task).unwrap();
        let rule = UpdateRule::default();
        let update = update(&student, &critic, &*reinforce, &rule, &d, 600).unwrap();
        assert!(update.metrics.iter().any(|name| name == "loss/entropy"), "{:?}", update.metrics);
        plans.push(format!("{:?} {}", reinforce.theta(), update.plan));
    }
    assert!(plans.windows(2).all(|two| two[0] == two[1]));
}

/// An objective that returns the withdrawn source of data is rejected with the setting to use instead.
#[test]
fn the_withdrawn_source_of_data() {
    let folder = tempfile::tempdir().unwrap();
    let source = std::fs::read_to_string(repository(FROZEN).join("objective.c")).unwrap();
    let withdrawn = source.replace("(void)o, POTSTILL_ROLLOUTS;", "(void)o, POTSTILL_ROLLOUTS_AS_PUBLISHED;");
    assert_ne!(source, withdrawn);
    let path = folder.path().join("objective.c");
    std::fs::write(&path, withdrawn).unwrap();
    let library = compile_against(FROZEN, path.to_str().unwrap(), "withdrawn", &[]);
    let component = folder.path().join("ppmo.wasm");
    std::fs::write(&component, answering(1)).unwrap();
    for (plugin, id) in [(&library, "frozen/reinforce"), (&component, "ppmo")] {
        let error = data_of(plugin, id).unwrap_err().to_string();
        assert!(error.contains("in `data`: it asks for the advantages of the code published"), "{error}");
        assert!(error.contains("`advantages = \"as-published\"` in `[ppo]`"), "{error}");
    }
    // The same component returns the number for offline data in its WIT, and an invalid number.
    std::fs::write(&component, answering(2)).unwrap();
    assert_eq!(data_of(&component, "ppmo").unwrap(), Data::Offline);
    std::fs::write(&component, answering(3)).unwrap();
    data_of(&component, "ppmo").unwrap_err();
}

fn data_of(plugin: &Path, objective: &str) -> potstill::Result<Data> {
    let action = Space::Discrete { n: 2 };
    let task = Task { observation: Space::unbounded([4]), action, instances: 3, outputs: 2 };
    Ok(registry(&[plugin.to_owned()]).objective(objective, &[], &task)?.data())
}

/// Returns the frozen `ppmo`, patched so that `data` returns `number`.
fn answering(number: u8) -> Vec<u8> {
    let mut wasm = std::fs::read(repository(FROZEN).join("ppmo.wasm")).unwrap();
    let (mut data, mut imports, mut bodies) = (None, 0, vec![]);
    for payload in wasmparser::Parser::new(0).parse_all(&wasm) {
        match payload.unwrap() {
            Payload::ImportSection(section) => {
                let functions = section.into_imports().map(|import| import.unwrap().ty);
                imports =
                    functions.filter(|ty| matches!(ty, TypeRef::Func(_) | TypeRef::FuncExact(_))).count();
            }
            Payload::ExportSection(section) => {
                let mut exports = section.into_iter().map(Result::unwrap);
                let export = exports.find(|export| export.name.ends_with("[method]instance.data"));
                data = export.map(|export| export.index as usize);
            }
            Payload::CodeSectionEntry(body) => bodies.push(body.range()),
            _ => {}
        }
    }
    let end = bodies[data.unwrap() - imports].end;
    // i32.const 0; end.
    assert_eq!(wasm[end - 3..end], [0x41, 0, 0x0b]);
    wasm[end - 2] = number;
    wasm
}

/// A later version's structures may be longer. The host must not access fields that it does not know.
#[test]
fn only_the_known_part_of_a_longer_structure_is_read() {
    let header = std::fs::read_to_string(repository(TODAY).join("potstill.h")).unwrap();
    let mut longer = header.clone();
    for name in ["potstill_environment", "potstill_plugin_description"] {
        longer =
            longer.replace(&format!("\n}} {name};"), &format!("\n    int32_t (*later)(void *);\n}} {name};"));
    }
    assert_eq!(longer.len(), header.len() + 2 * "\n    int32_t (*later)(void *);".len());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("potstill.h"), longer).unwrap();
    let car = |library: &Path| {
        let registry = registry(&[library.to_owned()]);
        let mut cars = registry.make_environments("acme/mountain-car", &[], 2).unwrap();
        let mut seen = format!("{:?}", cars.reset(&[1, 2]).unwrap());
        for i in 0..300 {
            seen += &format!("{:?}", cars.step(&Actions::Discrete(vec![i / 9 % 3, 2])).unwrap());
        }
        seen
    };
    const SOURCE: &str = "examples/mountain-car/mountain_car.c";
    let later = compile_against(folder.path().to_str().unwrap(), SOURCE, "longer-car", &[]);
    assert_eq!(car(&later), car(&compile(SOURCE, "today's-car", &[])));
}
