//! Compiles native plugins for tests with the system's compiler.
#![allow(dead_code, reason = "each test crate uses its part")]
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Compiles C against the current header into a library in a folder of this process.
pub(crate) fn compile(source: &str, name: &str, flags: &[&str]) -> PathBuf {
    compile_against("plugin-api/include", source, name, flags)
}

/// Compiles C, or C++ if the extension says so, against the headers of a folder. Paths are relative to the repository.
pub(crate) fn compile_against(headers: &str, source: &str, name: &str, flags: &[&str]) -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().unwrap()).path();
    // Tests run in parallel and may compile the same file.
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let folder = folder.join(NUMBER.fetch_add(1, Ordering::Relaxed).to_string());
    std::fs::create_dir(&folder).unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output =
        folder.join(format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX));
    let (variable, compiler, standard) = match source.ends_with(".cpp") {
        true => ("CXX", "c++", "-std=c++17"),
        false => ("CC", "cc", "-std=c11"),
    };
    let compiled = Command::new(std::env::var(variable).unwrap_or(compiler.into()))
        .args([standard, "-Wall", "-Wextra", "-O1", "-shared", "-fPIC"])
        .args(flags)
        .arg("-I")
        .arg(repository.join(headers))
        .arg("-o")
        .arg(&output)
        .arg(repository.join(source))
        .arg("-lm")
        .output()
        .unwrap_or_else(|e| panic!("a compiler ({compiler}, or what {variable} names): {e}"));
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    output
}

/// Counts the processes whose command line or state names this path. Dead ones that nobody has waited for count too.
pub(crate) fn processes_with(path: &Path) -> usize {
    let listed = Command::new("ps").args(["-eo", "stat=,args="]).output().expect("ps");
    let name = path.to_string_lossy();
    String::from_utf8_lossy(&listed.stdout).lines().filter(|line| line.contains(&*name)).count()
}
