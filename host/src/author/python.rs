//! Builds a plugin in Python as a component, with componentize-py.
use std::path::{Path, PathBuf};

use potstill_plugin_api::Role;

use super::Language;
use super::sdk::Place;
use super::tool::{command, find, in_venv, run};
use crate::error::{Error, IoContext, Result};

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

/// Turns `plugin.py` into a component with componentize-py.
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
        if folder.join(&name).exists() {
            return Err(Error::file(folder.join(name), "the component has a module of this name; rename it"));
        }
    }
    let mut command = command(&tool);
    // Modules are searched in this order: the component's own, the author's, then the folder of the SDK.
    let world = format!("{role}-plugin");
    command.current_dir(folder).args(["-q", "-d"]).arg(sdk.join("wit")).args(["-w", &world]);
    command.args(["componentize", "--stub-wasi", "-p"]).arg(sdk.join("component")).arg("-p").arg(folder);
    command.arg("-p").arg(place.path()).arg("-o").arg(component).arg("potstill_component");
    run(&mut command, folder).map(drop)
}
