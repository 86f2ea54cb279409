//! Makes a plugin's component from its folder, with the toolchain that is there.
use std::path::{Path, PathBuf};

use potstill_plugin_api::{Manifest, Role};

use super::sdk::Place;
use super::tool::{command, find, in_venv, run};
use super::{Language, rust};
use crate::error::{Error, IoContext, Result};

const MANIFEST: &str = "plugin.toml";

/// Compiles the plugin in `folder` and puts the component that its `plugin.toml` names into `out`, or beside the
/// manifest; gives the component's path. Nothing of it is run.
///
/// # Errors
/// [`Error::File`]: the manifest is wrong, the folder holds no source, or the source does not compile.
/// [`Error::Usage`]: a tool is missing; says which, and how to get it.
pub fn build(folder: &Path, out: Option<&Path>) -> Result<PathBuf> {
    // Compilers run elsewhere, and cargo speaks of absolute paths.
    let folder = folder.canonicalize().at(folder)?;
    let path = folder.join(MANIFEST);
    let text = std::fs::read_to_string(&path).at(&path)?;
    let manifest = Manifest::parse(&text).map_err(|e| Error::file(&path, e))?;
    let language = language(&folder)?;
    let Some(wasm) = &manifest.wasm else {
        let what = "names a shared library, which its own build tools make; `plugin build` makes components";
        return Err(Error::file(path, what));
    };
    let place = out.unwrap_or(&folder);
    std::fs::create_dir_all(place).at(place)?;
    let place = place.canonicalize().at(place)?;
    // A component is replaced by a whole one or not at all.
    let scratch = tempfile::tempdir_in(&place).at(&place)?;
    let fresh = scratch.path().join(wasm);
    match language {
        Language::Rust => {
            let module = rust::build(&folder)?;
            std::fs::copy(&module, &fresh).at(&module)?;
        }
        Language::C => c(&folder, manifest.role, &fresh)?,
        Language::Python => python(&folder, manifest.role, &fresh)?,
    }
    let component = place.join(wasm);
    std::fs::rename(&fresh, &component).at(&component)?;
    if let Some(out) = out {
        let copy = out.join(MANIFEST);
        std::fs::write(&copy, text).at(copy)?;
    }
    Ok(component)
}

/// What the folder is written in: `Cargo.toml` is Rust, `plugin.py` is Python, `*.c` is C.
fn language(folder: &Path) -> Result<Language> {
    if folder.join("Cargo.toml").is_file() {
        Ok(Language::Rust)
    } else if folder.join("plugin.py").is_file() {
        Ok(Language::Python)
    } else if !sources(folder)?.is_empty() {
        Ok(Language::C)
    } else {
        let what =
            "there is nothing to build here; expected Cargo.toml (Rust), plugin.py (Python), or C files";
        Err(Error::file(folder, what))
    }
}

/// The C files of a plugin, its tests left out.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut sources: Vec<PathBuf> = vec![];
    for entry in std::fs::read_dir(folder).at(folder)? {
        let path = entry.at(folder)?.path();
        let is_test = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("test"));
        if path.extension().is_some_and(|e| e == "c") && !is_test {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

/// No contraction to fused multiply-add, so that native tests and the component round alike. WASI's library is there for
/// `malloc` and `sin`: whatever of it needs an operating system does not load.
const C_FLAGS: [&str; 6] = [
    "--target=wasm32-wasi",
    "-mexec-model=reactor",
    "-std=c11",
    "-O3",
    "-ffp-contract=off",
    "-Wl,--strip-debug",
];

fn c(folder: &Path, role: Role, component: &Path) -> Result<()> {
    let module = |python: PathBuf| vec![python, "-m".into(), "ziglang".into()];
    let zig = [
        module(in_venv(folder, "python")),
        vec!["zig".into()],
        module("python3".into()),
        module("python".into()),
    ];
    let zig = find(zig, &["version"]).map(|mut words| {
        words.push("cc".into());
        words
    });
    // Only a clang with WASI's headers will do.
    let probe = ["--target=wasm32-wasi", "-fsyntax-only", "-include", "stdlib.h", "-x", "c", "-"];
    let clang = || find([vec!["clang".into()]], &probe);
    let compiler = zig.or_else(clang).ok_or_else(|| {
        Error::usage(
            "there is no C compiler for WebAssembly here; install one:\n    \
             python3 -m venv .venv && .venv/bin/pip install ziglang        (in the plugin's folder)\n    \
             apt-get install clang lld wasi-libc libclang-rt-dev-wasm32        (Debian)",
        )
    })?;
    let place = Place::of(Language::C, folder)?;
    let sdk = place.sdk();
    let bindings = sdk.join("bindings").join(role.to_string());
    let mut command = command(&compiler);
    command.current_dir(folder).args(C_FLAGS).arg("-I").arg(&sdk).arg("-I").arg(&bindings);
    command.args(sources(folder)?).arg("-o").arg(component);
    let parts: &[&str] = match role {
        Role::Environment => &["common", "environment"],
        Role::Learner => &["common", "graph", "learner"],
        Role::Objective => &["common", "graph", "objective"],
    };
    for part in parts {
        command.arg(sdk.join(format!("potstill_{part}.c")));
    }
    // The graph's side of the host belongs to the two roles that have one.
    for part in ["shared"].iter().chain(&parts[1..]) {
        command.arg(sdk.join("component").join(format!("{part}.c")));
    }
    command.args(["plugin.c", "plugin_component_type.o"].map(|file| bindings.join(file)));
    run(&mut command, folder).map(drop)
}

fn python(folder: &Path, role: Role, component: &Path) -> Result<()> {
    let candidates =
        [in_venv(folder, "componentize-py"), "componentize-py".into()].map(|program| vec![program]);
    let tool = find(candidates, &["--version"]).ok_or_else(|| {
        Error::usage(
            "componentize-py, which turns Python into a component, is not here; install it:\n    \
             python3 -m venv .venv && .venv/bin/pip install componentize-py        (in the plugin's folder)",
        )
    })?;
    let place = Place::of(Language::Python, folder)?;
    let sdk = place.sdk();
    for entry in std::fs::read_dir(sdk.join("component")).at(&sdk)? {
        let name = entry.at(&sdk)?.file_name();
        if folder.join(&name).exists() {
            return Err(Error::file(folder.join(name), "the component has a module of this name; rename it"));
        }
    }
    let mut command = command(&tool);
    // Folders of modules, first come first served: the component's, the author's, the SDK's where it is not the author's.
    command
        .current_dir(folder)
        .arg("-q")
        .arg("-d")
        .arg(sdk.join("wit"))
        .arg("-w")
        .arg(format!("{role}-plugin"));
    command.args(["componentize", "--stub-wasi", "-p"]).arg(sdk.join("component")).arg("-p").arg(folder);
    command.arg("-p").arg(place.path()).arg("-o").arg(component).arg("potstill_component");
    run(&mut command, folder).map(drop)
}
