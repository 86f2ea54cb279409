//! The SDKs that lie beside a plugin's own files.
use std::path::{Path, PathBuf};

use super::{Carried, Language, carried};
use crate::error::{IoContext, Result};

/// The folder of the SDK in a plugin's folder; in Python also the package's name.
pub(super) const FOLDER: &str = "potstill_sdk";

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

/// Writes the SDK of a language into `folder/potstill_sdk`. Rust's is a crate, which cargo brings.
pub(super) fn write(language: Language, folder: &Path) -> Result<()> {
    let at = folder.join(FOLDER);
    let sets: &[&[Carried]] = match language {
        Language::Rust => &[],
        Language::C => &[C],
        Language::Python => &[PYTHON, CONTRACT],
    };
    sets.iter().try_for_each(|files| super::write(&at, files, Into::into))
}

/// The folder that holds `potstill_sdk`: the plugin's own, or else a temporary one with the program's.
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
