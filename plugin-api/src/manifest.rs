use serde::{Deserialize, Serialize};

use crate::{PluginId, check_api_version};

/// What a plugin adds to Potstill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Steps worlds.
    Environment,
    /// A distribution over architectures and initialisations.
    Learner,
    /// A meta-objective.
    Objective,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Role::Environment => "environment",
            Role::Learner => "learner",
            Role::Objective => "objective",
        })
    }
}

/// What the plugin wishes for, where the host's defaults do not do. The host caps every wish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LimitWishes {
    /// Linear memory, in MiB.
    pub memory_mib: Option<u32>,
    /// Seconds in which `reset`, `step`, `render`, `snapshot` and `restore` must answer.
    pub step_seconds: Option<f64>,
    /// Seconds in which `describe`, `options`, `make` and `spec` must answer.
    pub start_seconds: Option<f64>,
}

/// `plugin.toml`: what a user and the host know of a plugin before any of its code runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Manifest {
    /// `name-vN` or `namespace/name-vN`.
    pub id: PluginId,
    /// What it adds.
    pub role: Role,
    /// Release of the binary, `major.minor.patch`.
    pub version: String,
    /// Version of the contract it was built against, e.g. `0.1`; see [`crate::API_VERSION`].
    pub api: String,
    /// One sentence.
    pub summary: String,
    /// Who to thank, and to ask.
    #[serde(default)]
    pub authors: Vec<String>,
    /// An SPDX expression, e.g. `MIT OR Apache-2.0`.
    pub licence: String,
    /// The component's file, beside the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wasm: Option<String>,
    /// The shared library beside the manifest, for a plugin that is native code: `walk` is `libwalk.so` on Linux,
    /// `libwalk.dylib` on macOS, `walk.dll` on Windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
    /// Resources beyond the host's defaults.
    #[serde(default)]
    pub limits: LimitWishes,
}

/// A manifest that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct ManifestError(String);

impl Manifest {
    /// Reads and checks a manifest, except `api`: see [`Manifest::check_api`].
    ///
    /// # Errors
    /// Names the line or the field and says what was expected.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Manifest =
            toml::from_str(text).map_err(|e| ManifestError(e.to_string().trim_end().to_owned()))?;
        let fail = |field: &str, message: String| Err(ManifestError(format!("`{field}`: {message}")));
        if !is_release(&manifest.version) {
            return fail("version", format!("expected `major.minor.patch`, got `{}`", manifest.version));
        }
        let texts = [("summary", &manifest.summary), ("licence", &manifest.licence)];
        for (field, text) in
            texts.into_iter().chain(manifest.authors.iter().map(|author| ("authors", author)))
        {
            if text.trim().is_empty() || text.chars().any(char::is_control) {
                return fail(field, "expected one line of text".into());
            }
        }
        match (&manifest.wasm, &manifest.library) {
            (Some(wasm), None) if wasm.contains(['/', '\\']) || !wasm.ends_with(".wasm") => {
                let what = format!("expected the name of a .wasm file beside the manifest, got `{wasm}`");
                return fail("wasm", what);
            }
            (None, Some(library)) if library.is_empty() || library.contains(['/', '\\', '.']) => {
                let what = format!(
                    "expected the name of a library beside the manifest, without folder, `lib` and ending, got `{library}`"
                );
                return fail("library", what);
            }
            (Some(_), None) | (None, Some(_)) => {}
            _ => return fail("wasm", "expected either `wasm` or `library`, the file with the plugin".into()),
        }
        if manifest.limits.memory_mib == Some(0) {
            return fail("limits.memory-mib", "expected at least 1".into());
        }
        let limits = &manifest.limits;
        for (field, seconds) in
            [("step-seconds", limits.step_seconds), ("start-seconds", limits.start_seconds)]
        {
            if seconds.is_some_and(|s| !(s.is_finite() && s > 0.0)) {
                return fail(&format!("limits.{field}"), "expected a number above 0".into());
            }
        }
        Ok(manifest)
    }

    /// The name of the file with the plugin, on this system.
    pub fn file(&self) -> String {
        use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
        match (&self.wasm, &self.library) {
            (Some(wasm), _) => wasm.clone(),
            (None, library) => format!("{DLL_PREFIX}{}{DLL_SUFFIX}", library.as_deref().unwrap_or_default()),
        }
    }

    /// Whether this host speaks the plugin's contract.
    ///
    /// # Errors
    /// See [`check_api_version`].
    pub fn check_api(&self) -> Result<(), ManifestError> {
        check_api_version(&self.api).map_err(ManifestError)
    }
}

/// `major.minor.patch`, perhaps with `-pre.release` or `+build`.
fn is_release(version: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-+".contains(&b));
    match version.splitn(3, '.').collect::<Vec<_>>()[..] {
        [major, minor, rest] => {
            let patch = rest.split(['-', '+']).next().unwrap_or_default();
            number(major) && number(minor) && number(patch) && word(rest)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
id = "acme/hill-v2"
role = "environment"
version = "1.0.3-rc.1"
api = "0.1"
summary = "A hill."
authors = ["A. Author"]
licence = "MIT"
wasm = "hill.wasm"

[limits]
memory-mib = 512
step-seconds = 0.5
"#;

    #[test]
    fn reads_every_field() {
        let manifest = Manifest::parse(GOOD).unwrap();
        assert_eq!((manifest.id.base(), manifest.id.version()), ("acme/hill", 2));
        assert_eq!(manifest.role, Role::Environment);
        assert_eq!(manifest.limits.memory_mib, Some(512));
        assert_eq!(manifest.limits.start_seconds, None);
        manifest.check_api().unwrap();
        assert_eq!(Manifest::parse(&toml::to_string(&manifest).unwrap()).unwrap(), manifest);
    }

    #[test]
    fn says_what_is_wrong() {
        for (from, to, expected) in [
            ("hill-v2", "hill", "not a plugin id"),
            ("\"environment\"", "\"enviroment\"", "unknown variant `enviroment`"),
            ("1.0.3-rc.1", "1.0", "`version`: expected `major.minor.patch`"),
            ("1.0.3-rc.1", "1.0.3- ", "`version`: expected `major.minor.patch`"),
            ("A hill.", " ", "`summary`"),
            ("A hill.", "A \\u001b[31mhill.", "`summary`"),
            ("hill.wasm", "../hill.wasm", "beside the manifest"),
            ("hill.wasm", "hill.so", "beside the manifest"),
            ("wasm = \"hill.wasm\"", "library = \"libhill.so\"", "`library`: expected the name"),
            (
                "wasm = \"hill.wasm\"",
                "wasm = \"hill.wasm\"\nlibrary = \"hill\"",
                "either `wasm` or `library`",
            ),
            ("wasm = \"hill.wasm\"", "", "either `wasm` or `library`"),
            ("memory-mib = 512", "memory-mib = 0", "`limits.memory-mib`: expected at least 1"),
            ("memory-mib = 512", "memory = 512", "unknown field `memory`"),
            ("step-seconds = 0.5", "step-seconds = -1", "`limits.step-seconds`"),
            ("licence = \"MIT\"", "license = \"MIT\"", "unknown field `license`"),
            ("licence = \"MIT\"", "", "missing field `licence`"),
        ] {
            let error = Manifest::parse(&GOOD.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
        assert!(Manifest::parse(&GOOD.replace("\"0.1\"", "\"7.0\"")).unwrap().check_api().is_err());
    }
}
