//! Builds a plugin in Python as a component, with componentize-py.
use std::path::{Path, PathBuf};
use std::process::Stdio;

use potstill_plugin_api::Role;

use super::Language;
use super::sdk::{FOLDER, Place};
use super::tool::{command, find, in_venv, run_explained};
use crate::error::{Error, IoContext, Result};
use crate::plugin::text::{LONGEST_MESSAGE, tame};

/// The command of componentize-py, from the virtual environment in `folder` or from the machine.
///
/// # Errors
/// [`Error::Usage`]: it is not installed. The message says how to install it.
pub(super) fn tool(folder: &Path) -> Result<Vec<PathBuf>> {
    let candidates =
        [in_venv(folder, "componentize-py"), "componentize-py".into()].map(|program| vec![program]);
    find(candidates, &["--version"]).ok_or_else(|| {
        Error::usage(
            "componentize-py, which turns Python into a component, is not installed; install it:\n    \
             python3 -m venv .venv && .venv/bin/pip install componentize-py        (in the plugin's folder)",
        )
    })
}

/// Turns `plugin.py` into a component with componentize-py. Packages are those of `.venv` in the folder, if there is one.
///
/// # Errors
/// [`Error::Usage`]: it is not installed. [`Error::File`]: it fails, or a module of the plugin has a name that the
/// component needs.
pub(super) fn component(folder: &Path, role: Role, component: &Path) -> Result<()> {
    let tool = tool(folder)?;
    let place = Place::of(Language::Python, folder)?;
    let sdk = place.sdk();
    for entry in std::fs::read_dir(sdk.join("component")).at(&sdk)? {
        let name = entry.at(&sdk)?.file_name();
        // componentize-py leaves this folder wherever there is Python.
        if name != "__pycache__" && folder.join(&name).exists() {
            return Err(Error::file(folder.join(name), "the component has a module of this name; rename it"));
        }
    }
    let mut command = command(&tool);
    // Modules are searched in this order: the component's own, the author's, then the folder of the SDK.
    let world = format!("{role}-plugin");
    command.current_dir(folder).args(["-q", "-d"]).arg(sdk.join("wit")).args(["-w", &world]);
    command.args(["componentize", "--stub-wasi", "-p"]).arg(sdk.join("component")).arg("-p").arg(folder);
    command.arg("-p").arg(place.path()).arg("-o").arg(component).arg("potstill_component");
    let venv = folder.join(".venv");
    if venv.is_dir() {
        command.env("VIRTUAL_ENV", venv);
    }
    run_explained(command.stderr(Stdio::piped()), folder, |said| cause(said, folder)).map(drop)
}

/// Why the plugin's Python does not load, from what componentize-py printed: an exception with its traceback, then the
/// exception again under `Caused by`, then componentize-py's own stack.
fn cause(said: &str, folder: &Path) -> Option<String> {
    let (traceback, repeated) = said.split_once("AssertionError: ")?.1.split_once("\nCaused by:\n")?;
    let exception = repeated.lines().map(str::trim).find(|line| !line.is_empty())?;
    let (mut place, mut package) = (None, None);
    for (file, line) in traceback.lines().filter_map(frame) {
        if folder.join(file).is_file() {
            if !file.starts_with(FOLDER) {
                (place, package) = (Some(format!("{file}, line {line}: ")), None);
            }
        } else if place.is_some() && package.is_none() {
            package = file.split('/').next().map(|name| name.trim_end_matches(".py"));
        }
    }
    let place = place.unwrap_or_default();
    let missing = exception.strip_prefix("ModuleNotFoundError: No module named ");
    let cause = match (package, missing) {
        (Some(package), _) if missing.is_some() || exception.starts_with("ImportError") => format!(
            "{place}`{package}` cannot be imported in a component: it needs compiled code, or a part of Python that is \
             not there. Only packages in pure Python work"
        ),
        (None, Some(module)) => format!(
            "{place}there is no module {module}. Packages in pure Python are found in the plugin's `.venv`: `python3 -m \
             venv .venv`, then `.venv/bin/pip install …`"
        ),
        _ => format!("{place}{exception}"),
    };
    Some(tame(&cause, LONGEST_MESSAGE))
}

/// The file and the line of a line of a traceback such as `  File "/1/walk/plugin.py", line 5, in <module>`. Its first
/// folder stands for one of those that are searched.
fn frame(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.trim_start().strip_prefix("File \"/")?.split_once('/')?;
    let (file, rest) = rest.split_once("\", line ")?;
    Some((file, rest.split(',').next().unwrap_or(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_is_one_line_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plugin.py"), "").unwrap();
        let said = |frames: &str, exception: &str| {
            let said = format!(
                "Traceback (most recent call last):\n  File \"/home/a/bin/componentize-py\", line 8, in <module>\n\
                 AssertionError: Traceback (most recent call last):\n  File \"/0/potstill_component.py\", line 5, in <module>\n\
                 \x20 File \"/1/plugin.py\", line 3, in <module>\n{frames}{exception}\n\n\nCaused by:\n    {exception}\n\n\
                 Stack backtrace:\n   0: <anyhow::Error>::msg"
            );
            cause(&said, folder.path()).unwrap()
        };
        assert_eq!(
            said("", "ZeroDivisionError: division by zero"),
            "plugin.py, line 3: ZeroDivisionError: division by zero"
        );
        let missing = said("", "ModuleNotFoundError: No module named 'tiny'");
        assert!(missing.starts_with("plugin.py, line 3: there is no module 'tiny'. Packages"), "{missing}");
        let numpy = "  File \"/3/numpy/__init__.py\", line 112, in <module>\n";
        for (frames, exception) in [
            (numpy, "ImportError: "),
            (numpy, "ModuleNotFoundError: No module named 'numpy._core._umath'"),
            (
                "  File \"/python/ssl.py\", line 100, in <module>\n",
                "ModuleNotFoundError: No module named '_ssl'",
            ),
        ] {
            let said = said(frames, exception);
            assert!(said.contains("` cannot be imported in a component: it needs compiled code"), "{said}");
        }
        assert_eq!(cause("error: no such option", folder.path()), None);
    }
}
