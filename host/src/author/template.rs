//! Starts a plugin from a template: a folder that builds, passes its tests and can be used for a distillation before
//! anything in it is changed.
use std::borrow::Cow;
use std::path::{Path, PathBuf};

use potstill_plugin_api::PluginId;

use super::{Carried, Language, carried, sdk};
use crate::error::{Error, IoContext, Result};

/// A small but complete plugin, with `{{id}}`, `{{name}}` and `{{potstill-sdk}}` in place of what differs between
/// plugins.
struct Template {
    role: &'static str,
    language: Language,
    files: &'static [Carried],
}

/// The templates. Each is a folder of `sdk/templates`.
const TEMPLATES: &[Template] = &[
    Template {
        role: "environment",
        language: Language::Rust,
        files: carried!("sdk/templates/environment/rust":
            ".gitignore" "Cargo.toml" "README.md" "plugin.toml" "src/lib.rs"),
    },
    Template {
        role: "environment",
        language: Language::C,
        files: carried!("sdk/templates/environment/c":
            ".gitignore" "Makefile" "README.md" "environment.c" "plugin.toml" "test.c"),
    },
    Template {
        role: "environment",
        language: Language::Python,
        files: carried!("sdk/templates/environment/python":
            ".gitignore" "README.md" "plugin.py" "plugin.toml" "test_plugin.py"),
    },
    Template {
        role: "learner",
        language: Language::Rust,
        files: carried!("sdk/templates/learner/rust":
            ".gitignore" "Cargo.toml" "README.md" "plugin.toml" "src/lib.rs"),
    },
    Template {
        role: "learner",
        language: Language::C,
        files: carried!("sdk/templates/learner/c":
            ".gitignore" "Makefile" "README.md" "learner.c" "plugin.toml" "test.c"),
    },
    Template {
        role: "learner",
        language: Language::Python,
        files: carried!("sdk/templates/learner/python":
            ".gitignore" "README.md" "plugin.py" "plugin.toml" "test_plugin.py"),
    },
    Template {
        role: "objective",
        language: Language::Rust,
        files: carried!("sdk/templates/objective/rust":
            ".gitignore" "Cargo.toml" "README.md" "plugin.toml" "src/lib.rs"),
    },
    Template {
        role: "objective",
        language: Language::C,
        files: carried!("sdk/templates/objective/c":
            ".gitignore" "Makefile" "README.md" "objective.c" "plugin.toml" "test.c"),
    },
    Template {
        role: "objective",
        language: Language::Python,
        files: carried!("sdk/templates/objective/python":
            ".gitignore" "README.md" "plugin.py" "plugin.toml" "test_plugin.py"),
    },
];

/// The roles that have templates.
pub fn roles() -> Vec<&'static str> {
    let mut roles: Vec<&str> = TEMPLATES.iter().map(|template| template.role).collect();
    roles.dedup();
    roles
}

/// A plugin that [`create`] made.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its id, with version 1.
    pub id: PluginId,
    /// Its folder.
    pub folder: PathBuf,
}

/// Creates the folder `name`, or the last part of `namespace/name`, in `parent`, with a copy of the SDK in it. If
/// `rust_sdk` is given, a Rust plugin depends on the crate in that folder instead.
///
/// # Errors
/// [`Error::Usage`]: `name` cannot be an id, there is no such template, `rust_sdk` is not the SDK, or the folder exists
/// and is not empty. [`Error::Io`]: the folder cannot be written.
pub fn create(
    parent: &Path,
    name: &str,
    role: &str,
    language: Language,
    rust_sdk: Option<&Path>,
) -> Result<Created> {
    let template = TEMPLATES.iter().find(|t| t.role == role && t.language == language);
    let template = template
        .ok_or_else(|| Error::usage(format!("there is no template of a {role} in {}", language.name())))?;
    let id = new_id(name)?;
    let short = name.rsplit('/').next().unwrap_or(name);
    let dependency = dependency(rust_sdk)?;
    let folder = parent.join(short);
    let taken = match std::fs::read_dir(&folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(e) => e.kind() != std::io::ErrorKind::NotFound,
    };
    if taken {
        let what = "exists and is not an empty folder; move it away or choose another name";
        return Err(Error::usage(format!("{}: {what}", folder.display())));
    }
    super::write(&folder, template.files, |content| match std::str::from_utf8(content) {
        Ok(text) => {
            let text = text.replace("{{id}}", &id.to_string()).replace("{{base}}", id.base());
            let text = text.replace("{{name}}", short).replace("{{potstill-sdk}}", &dependency);
            Cow::Owned(text.into_bytes())
        }
        Err(_) => Cow::Borrowed(content),
    })?;
    if rust_sdk.is_none() {
        sdk::write(language, &folder)?;
    }
    Ok(Created { id, folder })
}

fn new_id(name: &str) -> Result<PluginId> {
    if let Ok(id) = name.parse::<PluginId>() {
        let what = format!("a new plugin is version 1: leave out `-v{}`", id.version());
        return Err(Error::usage(format!("`{name}`: {what}")));
    }
    format!("{name}-v1").parse().map_err(|_| {
        let expected = "`name` or `namespace/name` in lower-case letters, digits and dashes";
        Error::usage(format!("`{name}` cannot be a plugin's name; expected {expected}"))
    })
}

/// The line of `Cargo.toml` that depends on the SDK.
fn dependency(rust_sdk: Option<&Path>) -> Result<String> {
    let Some(folder) = rust_sdk else {
        return Ok(format!("potstill-sdk = {{ path = \"{}\" }}", sdk::FOLDER));
    };
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    if !manifest.contains("name = \"potstill-sdk\"") {
        let what = "is not the crate potstill-sdk; expected the folder `sdk/rust` of Potstill's source";
        return Err(Error::usage(format!("--sdk {}: {what}", folder.display())));
    }
    let folder = std::path::absolute(folder).at(folder)?;
    // A JSON string is also a TOML string.
    let path = serde_json::to_string(&folder.to_string_lossy()).map_err(Error::usage)?;
    Ok(format!("potstill-sdk = {{ path = {path} }}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_leaves_no_placeholder_and_a_manifest_that_is_read() {
        for template in TEMPLATES {
            let parent = tempfile::tempdir().unwrap();
            let role = template.role;
            let made = create(parent.path(), "acme/hill", role, template.language, None).unwrap();
            assert_eq!(
                (made.id.to_string().as_str(), made.folder),
                ("acme/hill-v1", parent.path().join("hill"))
            );
            for file in template.files {
                let text = std::fs::read_to_string(parent.path().join("hill").join(file.path)).unwrap();
                assert!(!text.contains("{{"), "{role} {} {}", template.language.name(), file.path);
                if file.path == "plugin.toml" {
                    let manifest = potstill_plugin_api::Manifest::parse(&text).unwrap();
                    manifest.check_api().unwrap();
                    assert_eq!(
                        (&manifest.provides[0].id, manifest.wasm.as_deref()),
                        (&made.id, Some("hill.wasm"))
                    );
                    assert_eq!(manifest.role.to_string(), role);
                }
            }
        }
    }

    #[test]
    fn names_are_checked() {
        for good in ["hill", "acme/hill-2", "loop"] {
            new_id(good).unwrap();
        }
        for (bad, expected) in [
            ("Hill", "expected `name` or `namespace/name`"),
            ("a/b/c", "expected `name` or `namespace/name`"),
            ("../hill", "expected `name` or `namespace/name`"),
            ("", "expected `name` or `namespace/name`"),
            ("hill-v2", "leave out `-v2`"),
        ] {
            let error = new_id(bad).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
