//! Plugins from the outside: the built-in cart-pole, hostile guests, the registry.
mod hostile;
#[cfg(unix)]
mod isolate;
mod loaders;
mod native;
mod nd_cartpole;
mod registry;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use potstill::plugin::Registry;

/// A registry that sees nothing of this machine but what the test names.
fn registry(plugins: &[PathBuf]) -> Registry {
    Registry::of(plugins, &[]).unwrap()
}

/// The same with native plugins in processes of their own.
fn isolated(plugins: &[PathBuf]) -> Registry {
    Registry::isolated(plugins, &[], env!("CARGO_BIN_EXE_potstill").into()).unwrap()
}

fn settings(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Compiles C with the system's compiler into a library of its own folder.
fn compile(source: &str, name: &str, flags: &[&str]) -> PathBuf {
    compile_with("CC", "cc", source, name, &[&["-std=c11"], flags].concat())
}

/// Compiles with what the environment variable names, or with `compiler`.
fn compile_with(variable: &str, compiler: &str, source: &str, name: &str, flags: &[&str]) -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().unwrap()).path();
    let output =
        folder.join(format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX));
    let compiled = Command::new(std::env::var(variable).unwrap_or(compiler.into()))
        .args(["-Wall", "-Wextra", "-O1", "-shared", "-fPIC"])
        .args(flags)
        .arg("-I")
        .arg(repository("plugin-api/include"))
        .arg("-o")
        .arg(&output)
        .arg(repository(source))
        .arg("-lm")
        .output()
        .unwrap_or_else(|e| panic!("a compiler ({compiler}, or what {variable} names): {e}"));
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    output
}
