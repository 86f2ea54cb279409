//! Tools for the authors of plugins: [`template`] starts a plugin, [`build`] makes its component or shared library, and
//! [`conformance`] checks it.
//!
//! The program contains the SDKs. A new plugin gets its own copy, so that it still builds when the program is updated.
//! A plugin in C or Python without a copy is built with the program's.
pub mod build;
mod c;
pub mod conformance;
mod python;
mod rust;
mod sdk;
pub mod template;
mod tool;

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{IoContext, Result};

/// The languages that a plugin can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// A crate that depends on the SDK's crate.
    Rust,
    /// C files, which cannot use an operating system.
    C,
    /// A module `plugin.py`. The interpreter becomes part of the component.
    Python,
}

impl Language {
    /// The language's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::C => "c",
            Language::Python => "python",
        }
    }
}

/// A file that is contained in the program.
#[derive(Clone, Copy)]
struct Carried {
    path: &'static str,
    content: &'static [u8],
}

/// Includes the named files of a folder of the repository.
macro_rules! carried {
    ($folder:literal: $($path:literal)*) => {
        &[$(crate::author::Carried {
            path: $path,
            content: include_bytes!(concat!("../../../", $folder, "/", $path)),
        }),*]
    };
}
use carried;

/// Writes files into `folder`, and creates the folders they need. `change` maps the content of each file to what is
/// written.
fn write(
    folder: &Path,
    files: &[Carried],
    change: impl Fn(&'static [u8]) -> Cow<'static, [u8]>,
) -> Result<()> {
    for file in files {
        let path = folder.join(file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).at(parent)?;
        }
        fs::write(&path, change(file.content)).at(&path)?;
    }
    Ok(())
}

/// Compiles the Rust crate in `folder` for WebAssembly with the toolchain of this machine. Returns the path of its core
/// module.
///
/// # Errors
/// [`Usage`](crate::error::Error::Usage): there is no toolchain; the message says what to install.
/// [`File`](crate::error::Error::File): the crate does not compile or is not a `cdylib`.
pub fn webassembly(folder: &Path) -> Result<PathBuf> {
    rust::module(&folder.canonicalize().at(folder)?)
}

/// For each kind of component or library, the tool that builds it here, from `folder` or from the machine, or an error
/// that says what to install.
pub fn toolchains(folder: &Path) -> Vec<(&'static str, Result<String>)> {
    let words = |words: Vec<PathBuf>| {
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        words.join(" ")
    };
    vec![
        ("components in Rust", rust::toolchain(folder)),
        ("components in C", c::compiler(folder).map(words)),
        ("components in Python", python::tool(folder).map(words)),
    ]
}

/// The version of a Python package, in the virtual environment in `folder` or else in the machine's Python.
pub fn python_package(folder: &Path, name: &str) -> Option<String> {
    let code = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))";
    let ask = |python: PathBuf| tool::ask(Command::new(python).args(["-c", code, name]));
    ask(tool::in_venv(folder, "python")).or_else(|| ask("python3".into()))
}
