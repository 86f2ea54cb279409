//! The SDKs, which `plugin new` copies into a plugin's folder.
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Carried, Language, carried};
use crate::error::{Error, IoContext, Result};

/// The name of the SDK's folder in a plugin's folder, which in Python is also the package's name.
pub(super) const FOLDER: &str = "potstill_sdk";

/// The crate `potstill-sdk`, whose manifest [`standalone`] writes.
const RUST: &[Carried] = carried!("sdk/rust":
    "src/batch.rs"
    "src/environment.rs"
    "src/graph.rs"
    "src/guest/environment.rs"
    "src/guest/learner.rs"
    "src/guest/mod.rs"
    "src/guest/objective.rs"
    "src/guest/tracing.rs"
    "src/host.rs"
    "src/learner.rs"
    "src/lib.rs"
    "src/loss.rs"
    "src/native/entry.rs"
    "src/native/environment.rs"
    "src/native/learner.rs"
    "src/native/mod.rs"
    "src/native/objective.rs"
    "src/native/tracing.rs"
    "src/objective.rs"
    "src/packages.rs"
    "src/rng.rs"
    "src/testing/copies.rs"
    "src/testing/mod.rs"
    "src/testing/provided.rs"
    "src/testing/shapes.rs"
    "src/testing/tracer.rs"
    "src/vectorised.rs"
);
/// The crate `potstill-plugin-api`, which the Rust SDK depends on.
const PLUGIN_API: &[Carried] = carried!("plugin-api":
    "src/abi.rs"
    "src/environment.rs"
    "src/id.rs"
    "src/learner.rs"
    "src/lib.rs"
    "src/manifest.rs"
    "src/objective.rs"
    "src/option.rs"
    "src/setup.rs"
    "src/space.rs"
    "src/toml_error.rs"
    "src/version.rs"
);
/// The crate `potstill-pool`, which the Rust SDK depends on.
const POOL: &[Carried] = carried!("sdk/pool": "src/lib.rs");
/// The workspace's manifest, from which those of the crates inherit; their manifests follow.
const WORKSPACE: &str = include_str!("../../../Cargo.toml");
const RUST_MANIFEST: &str = include_str!("../../../sdk/rust/Cargo.toml");
const PLUGIN_API_MANIFEST: &str = include_str!("../../../plugin-api/Cargo.toml");
const POOL_MANIFEST: &str = include_str!("../../../sdk/pool/Cargo.toml");
const C: &[Carried] = carried!("sdk/c":
    "README.md"
    "potstill_common.h"
    "potstill_common.c"
    "potstill_environment.h"
    "potstill_environment.c"
    "potstill_graph.h"
    "potstill_graph.c"
    "potstill_learner.h"
    "potstill_learner.c"
    "potstill_objective.h"
    "potstill_objective.c"
    "potstill_testing.h"
    "potstill_testing.c"
    "component/shared.h"
    "component/shared.c"
    "component/graph.c"
    "component/environment.c"
    "component/learner.c"
    "component/objective.c"
    "bindings/environment/plugin.h"
    "bindings/environment/plugin.c"
    "bindings/environment/plugin_component_type.o"
    "bindings/learner/plugin.h"
    "bindings/learner/plugin.c"
    "bindings/learner/plugin_component_type.o"
    "bindings/objective/plugin.h"
    "bindings/objective/plugin.c"
    "bindings/objective/plugin_component_type.o"
);
const PYTHON: &[Carried] = carried!("sdk/python/potstill_sdk":
    "__init__.py"
    "environment.py"
    "export.py"
    "graph.py"
    "learner.py"
    "loss.py"
    "objective.py"
    "options.py"
    "rng.py"
    "spaces.py"
    "testing.py"
    "component/environment.py"
    "component/learner.py"
    "component/objective.py"
    "component/potstill_component.py"
    "component/potstill_contract.py"
);
const CONTRACT: &[Carried] = carried!("plugin-api":
    "wit/types.wit"
    "wit/environment.wit"
    "wit/graph.wit"
    "wit/learner.wit"
    "wit/objective.wit"
);

/// Writes the SDK of a language into `folder/potstill_sdk`.
pub(super) fn write(language: Language, folder: &Path) -> Result<()> {
    let at = folder.join(FOLDER);
    let sets: &[&[Carried]] = match language {
        Language::Rust => &[RUST, CONTRACT],
        Language::C => &[C],
        Language::Python => &[PYTHON, CONTRACT],
    };
    sets.iter().try_for_each(|files| super::write(&at, files, Into::into))?;
    if language == Language::Rust {
        let [plugin_api, pool] = ["plugin-api", "pool"].map(|name| at.join(name));
        super::write(&plugin_api, PLUGIN_API, Into::into)?;
        super::write(&pool, POOL, Into::into)?;
        let crates = [(&at, RUST_MANIFEST), (&plugin_api, PLUGIN_API_MANIFEST), (&pool, POOL_MANIFEST)];
        for (folder, manifest) in crates {
            let path = folder.join("Cargo.toml");
            let manifest = standalone(manifest).map_err(|e| Error::file(&path, e))?;
            std::fs::write(&path, manifest).at(&path)?;
        }
    }
    Ok(())
}

/// Makes a crate's manifest independent of the workspace. Everything it inherits is written out, as `cargo package`
/// does; what only the repository's own tests and lints need is left out.
fn standalone(manifest: &str) -> Result<String, toml::de::Error> {
    let workspace: Table = WORKSPACE.parse()?;
    let mut manifest: Table = manifest.parse()?;
    manifest.retain(|key, _| !["dev-dependencies", "lints"].contains(&key));
    inherit("", &mut manifest, &workspace["workspace"]);
    Ok(manifest.to_string())
}

/// Replaces each `KEY.workspace = true` in the table `name` by the workspace's value.
fn inherit(name: &str, table: &mut Table, workspace: &Value) {
    for (key, value) in table.iter_mut() {
        let Value::Table(inner) = value else { continue };
        if !inner.contains_key("workspace") {
            inherit(key, inner, workspace);
            continue;
        }
        *value = workspace[name][key].clone();
        // The repository's own crates are folders inside the SDK.
        if let Some(path) = value.get_mut("path") {
            *path = key.trim_start_matches("potstill-").into();
        }
    }
}

/// The folder that contains `potstill_sdk`: the plugin's folder, or else a temporary one with the program's copy.
pub(super) enum Place {
    Own(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Place {
    pub(super) fn of(language: Language, folder: &Path) -> Result<Self> {
        if folder.join(FOLDER).is_dir() {
            return Ok(Place::Own(folder.to_owned()));
        }
        let temporary = tempfile::tempdir().at(std::env::temp_dir())?;
        write(language, temporary.path())?;
        Ok(Place::Temporary(temporary))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Place::Own(path) => path,
            Place::Temporary(folder) => folder.path(),
        }
    }

    pub(super) fn sdk(&self) -> PathBuf {
        self.path().join(FOLDER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds every file below `folder` of the repository, by its path relative to it.
    fn files(folder: &Path, below: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder.join(below)).unwrap() {
            let entry = entry.unwrap();
            let path = below.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true if entry.file_name() == "__pycache__" => {}
                true => files(folder, &path, found),
                false => found.push(path.to_str().unwrap().replace('\\', "/")),
            }
        }
    }

    #[test]
    fn every_file_is_carried() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (folder, below, carried) in [
            ("sdk/rust", "src", RUST),
            ("plugin-api", "src", PLUGIN_API),
            ("sdk/pool", "src", POOL),
            ("plugin-api", "wit", CONTRACT),
            ("sdk/c", "", C),
            ("sdk/python/potstill_sdk", "", PYTHON),
        ] {
            let mut there = vec![];
            files(&repository.join(folder), Path::new(below), &mut there);
            let mut carried: Vec<&str> = carried.iter().map(|file| file.path).collect();
            there.sort();
            carried.sort();
            assert_eq!(there, carried, "{folder}");
        }
    }

    #[test]
    fn manifests_stand_alone() {
        for (manifest, name) in [
            (RUST_MANIFEST, "potstill-sdk"),
            (PLUGIN_API_MANIFEST, "potstill-plugin-api"),
            (POOL_MANIFEST, "potstill-pool"),
        ] {
            let text = standalone(manifest).unwrap();
            assert!(!text.contains("workspace"), "{text}");
            let table: Table = text.parse().unwrap();
            let package = &table["package"];
            assert_eq!(package["name"].as_str(), Some(name));
            assert_eq!(package["version"].as_str(), Some(env!("CARGO_PKG_VERSION")));
            let own: Table = manifest.parse().unwrap();
            let names = |table: &Table| {
                table
                    .get("dependencies")
                    .and_then(Value::as_table)
                    .map(|d| d.keys().cloned().collect::<Vec<_>>())
            };
            assert_eq!(names(&table), names(&own));
        }
    }
}
