//! Changes valid files at random and loads them. Whatever comes of a file, loading it neither panics nor takes much memory,
//! and what is accepted can be written and read again.
//!
//! Each target runs for `POTSTILL_FUZZ_SECONDS` (2 by default; `tests/run` sets 20 in continuous integration).
//! `POTSTILL_FUZZ_SEED` chooses other changes. A file that fails stays in `target/fuzz`, and the failure says how to try it
//! again. If a test ends the whole process, the file is `target/fuzz/<target>/`'s newest.
mod driver;
mod formats;
mod memory;
mod mutate;
mod seeds;

use std::path::{Path, PathBuf};
use std::sync::Once;

use potstill::plugin::Registry;
use potstill::run::{
    AgentFile, Checkpoint, Dataset, DistillConfig, ImportTarget, Imported, RunDirectory, Transitions,
    import_pytorch, read_metrics,
};
use potstill_plugin_api::Manifest;

use driver::{Target, Verdict};
use seeds::{fixture, made};

#[global_allocator]
static ALLOCATOR: memory::Counted = memory::Counted;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Writes what was accepted, reads that, and writes it again: both files must be equal.
fn rewritten<T>(
    value: &T,
    path: &Path,
    save: impl Fn(&T, &Path) -> potstill::Result<()>,
    load: impl Fn(&Path) -> potstill::Result<T>,
) -> Verdict {
    let (once, twice) = (path.with_extension("once"), path.with_extension("twice"));
    let wrong = |what: &str, e: potstill::Error| format!("an accepted file cannot be {what}: {e}");
    match save(value, &once) {
        Err(e) if is_too_long(&e) => return Ok(false),
        saved => saved.map_err(|e| wrong("written", e))?,
    }
    let again = load(&once).map_err(|e| wrong("read again", e))?;
    save(&again, &twice).map_err(|e| wrong("written again", e))?;
    match std::fs::read(once).unwrap() == std::fs::read(twice).unwrap() {
        true => Ok(true),
        false => Err("an accepted file changes when it is written again".into()),
    }
}

/// Whether a file was not written because it would be longer than what is read. What is close to the limit may be written
/// longer than it was.
fn is_too_long(error: &potstill::Error) -> bool {
    error.to_string().contains("is not written: it would have ")
}

#[test]
fn dataset() {
    let load = |path: &Path| match Dataset::load(path) {
        Ok(dataset) => rewritten(&dataset, path, |d, to| d.save(to), |from| Dataset::load(from)),
        Err(_) => Ok(false),
    };
    let seeds = vec![made("run/dataset.safetensors"), made("encoder/dataset.safetensors")];
    Target { name: "dataset", file: "dataset.safetensors", seeds, change: formats::safetensors }.run(&load);
}

#[test]
fn agent() {
    let load = |path: &Path| match AgentFile::load(path) {
        Ok(agent) => rewritten(&agent, path, |a, to| a.save(to), |from| AgentFile::load(from)),
        Err(_) => Ok(false),
    };
    let seeds = vec![made("agent.safetensors")];
    Target { name: "agent", file: "agent.safetensors", seeds, change: formats::safetensors }.run(&load);
}

#[test]
fn checkpoint() {
    let load = |path: &Path| match Checkpoint::load(path) {
        Ok(checkpoint) => rewritten(&checkpoint, path, |c, to| c.save(to), |from| Checkpoint::load(from)),
        Err(_) => Ok(false),
    };
    let seeds =
        ["run", "encoder"].map(|run| made(&format!("{run}/checkpoints/checkpoint-00000002.safetensors")));
    let seeds = seeds.to_vec();
    Target { name: "checkpoint", file: "checkpoint.safetensors", seeds, change: formats::safetensors }
        .run(&load);
}

#[test]
fn transitions() {
    let load = |path: &Path| match Transitions::load(path) {
        Ok(data) => rewritten(&data, path, |d, to| d.save(to), |from| Transitions::load(from)),
        Err(_) => Ok(false),
    };
    let seeds = vec![made("transitions.safetensors")];
    Target { name: "transitions", file: "data.safetensors", seeds, change: formats::safetensors }.run(&load);
}

#[test]
fn pytorch() {
    let dataset = seeds::dataset();
    let load = |path: &Path| {
        let info = dataset.info.clone();
        let target =
            ImportTarget { environment: info.environment, learner: info.learner, objective: info.objective };
        match import_pytorch(path, target) {
            Ok(Imported { dataset, .. }) => {
                rewritten(&dataset, path, |d, to| d.save(to), |from| Dataset::load(from))
            }
            Err(_) => Ok(false),
        }
    };
    let seeds = ["cartpole.pt", "cartpole-legacy.pt"].map(fixture).to_vec();
    Target { name: "pytorch", file: "dataset.pt", seeds, change: formats::pytorch }.run(&load);
}

#[test]
fn configuration() {
    let load = |path: &Path| match DistillConfig::load(path) {
        Ok(config) => rewritten(&config, path, |c, to| c.save(to), |from| DistillConfig::load(from)),
        Err(_) => Ok(false),
    };
    let seeds = vec![made("run/config.toml"), made("encoder/config.toml")];
    Target { name: "configuration", file: "config.toml", seeds, change: formats::toml }.run(&load);
}

#[test]
fn metrics() {
    let load = |path: &Path| match read_metrics(path) {
        Ok(records) if records.is_sorted_by(|a, b| a.meta_epoch < b.meta_epoch) => Ok(!records.is_empty()),
        Ok(_) => Err("accepted meta-epochs are out of order".into()),
        Err(_) => Ok(false),
    };
    let seeds = vec![made("run/metrics.jsonl")];
    Target { name: "metrics", file: "metrics.jsonl", seeds, change: formats::json_lines }.run(&load);
}

#[test]
fn versions() {
    let load = |path: &Path| {
        let folder = path.parent().unwrap();
        std::fs::write(folder.join("config.toml"), "").unwrap();
        let run = RunDirectory::inspect(folder).map_err(|e| format!("it is no run any more: {e}"))?;
        let Ok(versions) = run.versions() else { return Ok(false) };
        match run.save_versions(&versions) {
            Err(e) if is_too_long(&e) => return Ok(false),
            saved => saved.map_err(|e| format!("accepted versions cannot be written: {e}"))?,
        }
        match run.versions() {
            Ok(again) if again == versions => Ok(true),
            other => Err(format!("accepted versions change when they are written: {other:?}")),
        }
    };
    let seeds = vec![made("run/versions.json")];
    Target { name: "versions", file: "versions.json", seeds, change: formats::json_lines }.run(&load);
}

#[test]
fn manifest() {
    let load = |path: &Path| {
        let parsed = std::fs::read_to_string(path).ok().and_then(|text| Manifest::parse(&text).ok());
        // The way from the plugin path to the table of plugins, whatever the manifest says.
        let registry =
            Registry::of(&[], &[path.to_owned()]).map_err(|e| format!("it hides all plugins: {e}"))?;
        let found = registry.entries().iter().filter(|entry| entry.path.is_some()).count();
        let Some(manifest) = parsed else { return Ok(false) };
        if found == 0 {
            return Err("it is in no table".into());
        }
        let again = manifest.to_text().map(|text| Manifest::parse(&text));
        match again {
            Ok(Ok(again)) if again == manifest => Ok(true),
            other => Err(format!("an accepted manifest changes when it is written: {other:?}")),
        }
    };
    let seeds = ["plugins/nd-cartpole", "plugins/mujoco", "tests/hostile"];
    let seeds = seeds.map(|folder| std::fs::read(repository(folder).join("plugin.toml")).unwrap()).to_vec();
    Target { name: "manifest", file: "plugin.toml", seeds, change: formats::toml }.run(&load);
}

/// Loads, describes and, if it is an environment, makes a component, with the manifest of the plugin in `folder`.
fn component(name: &'static str, folder: &str, wasm: &str) {
    static NO_CACHE: Once = Once::new();
    // SAFETY: no other thread of these tests reads the environment but through the standard library, which locks it.
    NO_CACHE.call_once(|| unsafe { std::env::set_var("POTSTILL_CACHE", "") });
    let manifest = std::fs::read_to_string(repository(folder).join("plugin.toml")).unwrap();
    let mut manifest = Manifest::parse(&manifest).unwrap();
    // A change may make an endless loop.
    manifest.limits.start_seconds = Some(0.5);
    manifest.limits.step_seconds = Some(0.5);
    manifest.limits.memory_mib = Some(64);
    let file: &'static str = manifest.wasm.clone().unwrap().leak();
    let manifest = manifest.to_text().unwrap();
    let load = |path: &Path| {
        let folder = path.parent().unwrap();
        std::fs::write(folder.join("plugin.toml"), &manifest).unwrap();
        let Ok(registry) = Registry::of(&[folder.to_owned()], &[]) else { return Ok(false) };
        let entry = registry.entries().iter().find(|entry| entry.path.is_some()).unwrap();
        let mut said = String::new();
        let tried = registry.try_out(&[entry], &mut |note| said += note);
        said += &tried.as_ref().err().map(ToString::to_string).unwrap_or_default();
        match said.len() > 20_000 {
            true => Err(format!("an error of {} bytes", said.len())),
            false => Ok(tried.is_ok()),
        }
    };
    let seeds = vec![std::fs::read(repository(wasm)).unwrap()];
    Target { name, file, seeds, change: formats::wasm }.run(&load);
}

#[test]
fn environment_component() {
    component("environment-component", "plugins/nd-cartpole", "plugins/nd-cartpole/nd-cartpole.wasm");
}

#[test]
fn learner_component() {
    component("learner-component", "plugins/mlp", "tests/frozen/0.1/mlp.wasm");
}

#[test]
fn objective_component() {
    component("objective-component", "plugins/ppmo", "tests/frozen/0.1/ppmo.wasm");
}

/// A core module with the contract's metadata, which the program makes a component of.
#[test]
fn core_module() {
    component("core-module", "tests/hostile-objective", "tests/hostile-objective/hostile-objective.wasm");
}
