//! Builds a plugin crate for WebAssembly or as a shared library, with the toolchain of this machine.
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::tool::{ask, run};
use crate::error::{Error, Result};

const TARGET: &str = "wasm32-unknown-unknown";

/// Options that override the crate's profile: the code is small and fast, and a panic is a trap.
const PROFILE: [&str; 6] = [
    "profile.release.opt-level=3",
    "profile.release.lto=true",
    "profile.release.codegen-units=1",
    "profile.release.panic=\"abort\"",
    "profile.release.strip=true",
    "profile.release.debug=false",
];

/// A compiler for WebAssembly.
struct Toolchain {
    /// The compiler's name, which keeps its output apart from that of another compiler.
    name: &'static str,
    cargo: PathBuf,
    environment: Vec<(&'static str, OsString)>,
    arguments: &'static [&'static str],
    /// Folders that the messages of panics should not reveal, as `FROM=TO`.
    remap: Vec<String>,
}

/// Compiles the crate to a core module, which has the contract's types in a custom section.
///
/// # Errors
/// [`Error::Usage`]: there is no toolchain; the message says what to install. [`Error::File`]: the crate does not
/// compile or is not a `cdylib`.
pub(super) fn module(folder: &Path) -> Result<PathBuf> {
    let toolchain = Toolchain::find(folder)?;
    let cargo = || {
        let mut command = Command::new(&toolchain.cargo);
        command.current_dir(folder).envs(toolchain.environment.iter().cloned());
        command
    };
    let about = Metadata::of(&mut cargo(), folder)?;
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(dirs::home_dir()?.join(".cargo"))).unwrap_or_default();
    let mut flags: Vec<String> =
        toolchain.remap.iter().map(|pair| format!("--remap-path-prefix={pair}")).collect();
    for (from, to) in [(&about.workspace_root, "/plugin"), (&cargo_home, "/cargo")] {
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    }
    let mut command = cargo();
    command
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .args([
            "build",
            "--release",
            "--target",
            TARGET,
            "--message-format=json-render-diagnostics",
            "--target-dir",
        ])
        .arg(about.target_directory.join("plugins").join(toolchain.name))
        .args(PROFILE.iter().flat_map(|line| ["--config", line]))
        .args(toolchain.arguments);
    artifact(&run(&mut command, folder)?, folder, "wasm")
}

/// Compiles the crate's shared library for this machine, with its feature `dylib` if it has one.
///
/// # Errors
/// [`Error::File`]: the crate does not compile or is not a `cdylib`.
pub(super) fn library(folder: &Path) -> Result<PathBuf> {
    let cargo = || {
        let mut command = Command::new("cargo");
        command.current_dir(folder);
        command
    };
    let manifest = folder.join("Cargo.toml");
    let mut packages = Metadata::of(&mut cargo(), folder)?.packages.into_iter();
    let package = packages.find(|package| package.manifest_path == manifest);
    let mut command = cargo();
    command.args(["build", "--release", "--lib", "--message-format=json-render-diagnostics"]);
    if package.is_some_and(|package| package.features.contains_key("dylib")) {
        command.args(["--features", "dylib"]);
    }
    artifact(&run(&mut command, folder)?, folder, std::env::consts::DLL_EXTENSION)
}

/// The file with this ending that cargo made from the crate itself, according to its output, `said`.
fn artifact(said: &str, folder: &Path, ending: &str) -> Result<PathBuf> {
    let manifest = folder.join("Cargo.toml");
    let artifact = said
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok())
        .filter(|artifact| artifact.manifest_path == manifest)
        .flat_map(|artifact| artifact.filenames)
        .rfind(|path| path.extension().is_some_and(|e| e == ending));
    artifact.ok_or_else(|| {
        let what =
            format!("the crate makes no .{ending}; add `crate-type = [\"cdylib\", \"rlib\"]` to `[lib]`");
        Error::file(manifest, what)
    })
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: PathBuf,
    features: HashMap<String, Vec<String>>,
}

impl Metadata {
    fn of(cargo: &mut Command, folder: &Path) -> Result<Self> {
        let about = run(cargo.args(["metadata", "--no-deps", "--format-version", "1"]), folder)?;
        serde_json::from_str(&about).map_err(|e| Error::file(folder, format!("cargo metadata: {e}")))
    }
}

#[derive(Deserialize)]
struct Artifact {
    manifest_path: PathBuf,
    filenames: Vec<PathBuf>,
}

/// Describes the compiler that compiles Rust to WebAssembly.
///
/// # Errors
/// [`Error::Usage`]: there is none. The message says what to install.
pub(super) fn toolchain(folder: &Path) -> Result<String> {
    Toolchain::find(folder).map(|toolchain| format!("{} with target {TARGET}", toolchain.name))
}

impl Toolchain {
    /// Finds the usual compiler, if the standard library for the target is installed, or else Debian's compiler, which
    /// builds the library.
    fn find(folder: &Path) -> Result<Self> {
        let rustc = |program: &Path, arguments: &[&str]| {
            ask(Command::new(program).current_dir(folder).args(arguments)).map(PathBuf::from)
        };
        let usual = Path::new("rustc");
        let library = rustc(usual, &["--print", "target-libdir", "--target", TARGET]);
        if library.is_some_and(|folder| holds(&folder, "libcore-", ".rlib")) {
            return Ok(Toolchain {
                name: "rustup",
                cargo: "cargo".into(),
                environment: vec![],
                arguments: &[],
                remap: vec![],
            });
        }
        let missing = |install: &str| {
            Err(Error::usage(format!(
                "there is no Rust compiler for WebAssembly here; install one:\n{install}"
            )))
        };
        let web = std::env::var_os("POTSTILL_WEB_RUSTC").map_or("/usr/bin/rustc".into(), PathBuf::from);
        let source =
            rustc(&web, &["--print", "sysroot"]).map(|root| root.join("lib/rustlib/src/rust/library"));
        let Some(source) = source.filter(|source| source.is_dir()) else {
            return missing(
                "    rustup target add wasm32-unknown-unknown\n    \
                 apt-get install rustc-web cargo-web rust-web-src        (Debian)",
            );
        };
        let Some(linker) = linker(rustc(usual, &["--print", "sysroot"])) else {
            return missing("    apt-get install lld-19        (Debian; has the linker, wasm-ld-19)");
        };
        // Packages use symbolic links to the source, and messages may contain either path.
        let real = source.canonicalize().unwrap_or_else(|_| source.clone());
        Ok(Toolchain {
            name: "web",
            cargo: web.with_file_name("cargo"),
            environment: vec![
                ("RUSTC", web.into()),
                ("RUSTC_BOOTSTRAP", "1".into()),
                ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker.into()),
            ],
            arguments: &["-Zbuild-std=std,panic_abort"],
            remap: [real, source].map(|path| format!("{}=/rust", path.display())).into(),
        })
    }
}

/// The linker: `rust-lld` of the usual toolchain, or LLVM's `wasm-ld`.
fn linker(sysroot: Option<PathBuf>) -> Option<PathBuf> {
    let targets = sysroot.and_then(|root| std::fs::read_dir(root.join("lib/rustlib")).ok());
    let of_rust = targets.into_iter().flatten().flatten().map(|entry| entry.path().join("bin/rust-lld"));
    of_rust.chain(["wasm-ld".into(), "wasm-ld-19".into()]).find(|program| {
        // `rust-lld --version` fails, because rust-lld must be told which linker to be.
        program.is_file() || ask(Command::new(program).arg("--version")).is_some()
    })
}

fn holds(folder: &Path, start: &str, end: &str) -> bool {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names
        .into_iter()
        .any(|name| name.to_str().is_some_and(|name| name.starts_with(start) && name.ends_with(end)))
}
