//! Builds a plugin in C as a component with the SDK, or one in C or C++ as a shared library against `potstill.h`.
use std::path::{Path, PathBuf};

use potstill_plugin_api::Role;

use super::sdk::Place;
use super::tool::{ask, command, find, in_venv, run};
use super::{Carried, Language, carried};
use crate::error::{Error, IoContext, Result};

/// The endings of files that a shared library may consist of, in C and C++.
pub(super) const LIBRARY_ENDINGS: [&str; 4] = ["c", "cc", "cpp", "cxx"];
const HEADER: &[Carried] = carried!("plugin-api/include": "potstill.h");

/// The files of a plugin with these endings, except its tests, ordered by name.
pub(super) fn sources(folder: &Path, endings: &[&str]) -> Result<Vec<PathBuf>> {
    let mut sources: Vec<PathBuf> = vec![];
    for entry in std::fs::read_dir(folder).at(folder)? {
        let path = entry.at(folder)?.path();
        let is_test = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("test"));
        let ending = path.extension().and_then(|ending| ending.to_str());
        if ending.is_some_and(|ending| endings.contains(&ending)) && !is_test {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

/// The compiler's flags. Contraction to fused multiply-add is off, so that native tests and the component round alike.
/// WASI's library provides functions such as `malloc` and `sin`; a component that uses those that need an operating
/// system does not load.
const C_FLAGS: [&str; 6] = [
    "--target=wasm32-wasi",
    "-mexec-model=reactor",
    "-std=c11",
    "-O3",
    "-ffp-contract=off",
    "-Wl,--strip-debug",
];

/// The command of a C compiler for WebAssembly, from the virtual environment in `folder` or from the machine.
///
/// # Errors
/// [`Error::Usage`]: there is no such compiler. The message says what to install.
pub(super) fn compiler(folder: &Path) -> Result<Vec<PathBuf>> {
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
    // clang is of use only with WASI's headers.
    let probe = ["--target=wasm32-wasi", "-fsyntax-only", "-include", "stdlib.h", "-x", "c", "-"];
    let clang = || find([vec!["clang".into()]], &probe);
    zig.or_else(clang).ok_or_else(|| {
        Error::usage(
            "there is no C compiler for WebAssembly here; install one:\n    \
             python3 -m venv .venv && .venv/bin/pip install ziglang        (in the plugin's folder)\n    \
             apt-get install clang lld wasi-libc libclang-rt-dev-wasm32        (Debian)",
        )
    })
}

/// Compiles and links a core module with zig's or another compiler for WebAssembly. The module has the contract's types
/// in a custom section.
///
/// # Errors
/// [`Error::Usage`]: there is no such compiler; the message says what to install. [`Error::File`]: the source does not
/// compile.
pub(super) fn module(folder: &Path, role: Role, module: &Path) -> Result<()> {
    let compiler = compiler(folder)?;
    let place = Place::of(Language::C, folder)?;
    let sdk = place.sdk();
    let bindings = sdk.join("bindings").join(role.to_string());
    let mut command = command(&compiler);
    command.current_dir(folder).args(C_FLAGS).arg("-I").arg(&sdk).arg("-I").arg(&bindings);
    command.args(sources(folder, &["c"])?).arg("-o").arg(module);
    let parts: &[&str] = match role {
        Role::Environment => &["common", "environment"],
        Role::Learner => &["common", "graph", "learner"],
        Role::Objective => &["common", "graph", "objective"],
    };
    for part in parts {
        command.arg(sdk.join(format!("potstill_{part}.c")));
    }
    // Learners and objectives share a part for the graph; environments have none.
    for part in ["shared"].iter().chain(&parts[1..]) {
        command.arg(sdk.join("component").join(format!("{part}.c")));
    }
    command.args(["plugin.c", "plugin_component_type.o"].map(|file| bindings.join(file)));
    run(&mut command, folder).map(drop)
}

/// Compiles C and C++ with the system's compilers or those that `CC` and `CXX` name, using `CFLAGS` and `CXXFLAGS`, and
/// links with `LDFLAGS`. Object files go to `scratch`.
///
/// # Errors
/// [`Error::Usage`]: there is no compiler. [`Error::File`]: the source does not compile.
pub(super) fn library(folder: &Path, scratch: &Path, library: &Path) -> Result<()> {
    super::write(scratch, HEADER, Into::into)?;
    let compiler = |plus: bool| {
        let (variable, usual, flags) = if plus { ("CXX", "c++", "CXXFLAGS") } else { ("CC", "cc", "CFLAGS") };
        let mut words = words(variable);
        if words.is_empty() {
            words.push(usual.into());
        }
        if ask(command(&words).arg("--version")).is_none() {
            let name = words[0].display();
            return Err(Error::usage(format!(
                "there is no compiler `{name}` here; install one, or name one in {variable}:\n    \
                 apt-get install build-essential        (Debian)"
            )));
        }
        Ok((words, self::words(flags)))
    };
    let mut objects = vec![];
    let mut linker = vec![];
    for (i, source) in sources(folder, &LIBRARY_ENDINGS)?.into_iter().enumerate() {
        let plus = source.extension().is_some_and(|ending| ending != "c");
        let (words, flags) = compiler(plus)?;
        let object = scratch.join(format!("{i}.o"));
        let mut command = command(&words);
        command.current_dir(folder).args(["-O2", "-fPIC", "-ffp-contract=off", "-c"]).args(flags);
        command.arg("-I").arg(scratch).arg(source).arg("-o").arg(&object);
        run(&mut command, folder)?;
        objects.push(object);
        if plus || linker.is_empty() {
            linker = words;
        }
    }
    let mut command = command(&linker);
    command.current_dir(folder).arg("-shared").args(objects).arg("-o").arg(library);
    command.args(words("LDFLAGS")).arg("-lm");
    run(&mut command, folder).map(drop)
}

/// The words in an environment variable, separated by spaces.
fn words(variable: &str) -> Vec<PathBuf> {
    std::env::var(variable).unwrap_or_default().split_whitespace().map(PathBuf::from).collect()
}
