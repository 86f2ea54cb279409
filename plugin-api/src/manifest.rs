use serde::{Deserialize, Serialize};

use crate::{PluginId, Setup, check_api_version};

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

/// A plugin that a file holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Provided {
    /// `name-vN` or `namespace/name-vN`.
    pub id: PluginId,
    /// One sentence.
    pub summary: String,
}

/// `plugin.toml`: what a user and the host know of a plugin, or of several in one shared library, before any of their
/// code runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The plugins, at least one: `id` and `summary` in the file, or `provides` where there are several. The first of a
    /// name is meant by its id without version.
    pub provides: Vec<Provided>,
    /// What each adds.
    pub role: Role,
    /// Release of the binary, `major.minor.patch`.
    pub version: String,
    /// Version of the contract it was built against, e.g. `0.1`; see [`crate::API_VERSION`].
    pub api: String,
    /// Who to thank, and to ask.
    pub authors: Vec<String>,
    /// An SPDX expression, e.g. `MIT OR Apache-2.0`.
    pub licence: String,
    /// The component's file, beside the manifest.
    pub wasm: Option<String>,
    /// The shared library beside the manifest, for a plugin that is native code: `walk` is `libwalk.so` on Linux,
    /// `libwalk.dylib` on macOS, `walk.dll` on Windows.
    pub library: Option<String>,
    /// Resources beyond the host's defaults.
    pub limits: LimitWishes,
    /// What it needs beside itself.
    pub setup: Option<Setup>,
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<PluginId>,
    role: Role,
    version: String,
    api: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    #[serde(default)]
    authors: Vec<String>,
    licence: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wasm: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    library: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    provides: Vec<Provided>,
    #[serde(default)]
    limits: LimitWishes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    setup: Option<Setup>,
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
        let written: Written =
            toml::from_str(text).map_err(|e| ManifestError(e.to_string().trim_end().to_owned()))?;
        let manifest = Manifest::of(written)?;
        let fail = |field: &str, message: String| Err(ManifestError(format!("`{field}`: {message}")));
        if manifest.wasm.is_some() && manifest.provides.len() > 1 {
            return fail("provides", "a component is one plugin; several need a `library`".into());
        }
        for (i, Provided { id, .. }) in manifest.provides.iter().enumerate() {
            if manifest.provides[..i].iter().any(|before| before.id == *id) {
                return fail("provides", format!("`{id}` comes twice"));
            }
        }
        if !is_release(&manifest.version) {
            return fail("version", format!("expected `major.minor.patch`, got `{}`", manifest.version));
        }
        let summaries = manifest.provides.iter().map(|provided| ("summary", &provided.summary));
        let authors = manifest.authors.iter().map(|author| ("authors", author));
        for (field, text) in summaries.chain([("licence", &manifest.licence)]).chain(authors) {
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
        match manifest.setup.as_ref().map(Setup::check) {
            Some(Err((field, what))) => fail(field, what),
            _ => Ok(manifest),
        }
    }

    fn of(written: Written) -> Result<Self, ManifestError> {
        let Written {
            id,
            role,
            version,
            api,
            summary,
            authors,
            licence,
            wasm,
            library,
            provides,
            limits,
            setup,
        } = written;
        let provides = match (id, summary, provides) {
            (Some(id), Some(summary), several) if several.is_empty() => vec![Provided { id, summary }],
            (None, None, several) if !several.is_empty() => several,
            (None, None, _) => return Err(ManifestError("missing field `id`".into())),
            (Some(_), None, several) if several.is_empty() => {
                return Err(ManifestError("missing field `summary`".into()));
            }
            _ => {
                let what = "expected either `id` and `summary`, or `provides`, a list of them";
                return Err(ManifestError(what.into()));
            }
        };
        Ok(Manifest { provides, role, version, api, authors, licence, wasm, library, limits, setup })
    }

    /// As it is written into `plugin.toml`.
    ///
    /// # Errors
    /// A text that TOML cannot hold.
    pub fn to_text(&self) -> Result<String, ManifestError> {
        let manifest = self.clone();
        let (one, provides) = match <[Provided; 1]>::try_from(manifest.provides) {
            Ok([one]) => (Some(one), vec![]),
            Err(several) => (None, several),
        };
        let (id, summary) = one.map(|Provided { id, summary }| (id, summary)).unzip();
        let written = Written {
            id,
            role: manifest.role,
            version: manifest.version,
            api: manifest.api,
            summary,
            authors: manifest.authors,
            licence: manifest.licence,
            wasm: manifest.wasm,
            library: manifest.library,
            provides,
            limits: manifest.limits,
            setup: manifest.setup,
        };
        toml::to_string(&written).map_err(|e| ManifestError(e.to_string()))
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
        let [Provided { id, summary }] = &manifest.provides[..] else { panic!("{manifest:?}") };
        assert_eq!((id.base(), id.version(), &**summary), ("acme/hill", 2, "A hill."));
        assert_eq!(manifest.role, Role::Environment);
        assert_eq!(manifest.limits.memory_mib, Some(512));
        assert_eq!(manifest.limits.start_seconds, None);
        manifest.check_api().unwrap();
        assert_eq!(Manifest::parse(&manifest.to_text().unwrap()).unwrap(), manifest);
    }

    #[test]
    fn one_library_provides_several() {
        let several =
            GOOD.replace("id = \"acme/hill-v2\"\n", "").replace("wasm = \"hill.wasm\"", "library = \"hill\"");
        let several = several.replace(
            "summary = \"A hill.\"",
            "provides = [{ id = \"acme/hill-v2\", summary = \"A hill.\" }, { id = \"acme/hill-v3\", summary = \"Two.\" }]",
        );
        let manifest = Manifest::parse(&several).unwrap();
        let ids: Vec<String> = manifest.provides.iter().map(|provided| provided.id.to_string()).collect();
        assert_eq!(ids, ["acme/hill-v2", "acme/hill-v3"]);
        assert_eq!(Manifest::parse(&manifest.to_text().unwrap()).unwrap(), manifest);
        for (from, to, expected) in [
            ("v3", "v2", "`provides`: `acme/hill-v2` comes twice"),
            ("library = \"hill\"", "wasm = \"hill.wasm\"", "`provides`: a component is one plugin"),
            ("\"Two.\"", "\"\"", "`summary`: expected one line"),
            ("role", "id = \"acme/hill-v2\"\nrole", "expected either `id` and `summary`, or `provides`"),
            ("role", "summary = \"S.\"\nrole", "expected either `id` and `summary`, or `provides`"),
            ("\"acme/hill-v3\"", "\"hill\"", "not a plugin id"),
        ] {
            let error = Manifest::parse(&several.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
        let none =
            GOOD.replace("id = \"acme/hill-v2\"\n", "").replace("summary = \"A hill.\"\n", "provides = []\n");
        assert!(Manifest::parse(&none).unwrap_err().to_string().contains("missing field `id`"));
    }

    #[test]
    fn a_setup_is_read_and_checked() {
        let with = |setup: &str| Manifest::parse(&format!("{GOOD}\n{setup}"));
        let sha256 = "0123456789abcdef".repeat(4);
        let setup = format!(
            "[setup]\nname = \"sim\"\n[[setup.wheel]]\npackage = \"Sim.Core\"\nversion = \"1.0\"\npython = \"3.11\"\n\
             [[setup.wheel.file]]\nplatform = \"win_amd64\"\nsha256 = \"{sha256}\"\nsize = 7\n\
             [[setup.wheel]]\npackage = \"data\"\nversion = \"2\"\nfile = [{{ sha256 = \"{sha256}\" }}]\n"
        );
        let manifest = with(&setup).unwrap();
        let wheels = &manifest.setup.as_ref().unwrap().wheels;
        assert_eq!(
            (&*wheels[0].package, &*wheels[1].version, wheels[0].files[0].size),
            ("Sim.Core", "2", Some(7))
        );
        assert_eq!(Manifest::parse(&manifest.to_text().unwrap()).unwrap(), manifest);
        for (from, to, expected) in [
            ("\"sim\"", "\"../sim\"", "`setup.name`: expected lower-case"),
            ("Sim.Core", "--index-url=http://a", "`setup.wheel.package`"),
            ("Sim.Core", "../core", "`setup.wheel.package`"),
            ("\"1.0\"", "\"1.0/..\"", "`setup.wheel.version`"),
            ("\"1.0\"", "\"\"", "`setup.wheel.version`"),
            ("3.11", "3.11 -x", "`setup.wheel.python`"),
            ("win_amd64", "-d", "`setup.wheel.file.platform`"),
            ("0123", "012X", "`setup.wheel.file.sha256`: expected 64 hexadecimal digits"),
            ("\"data\"\nversion = \"2\"", "\"Sim.Core\"\nversion = \"1.0\"", "`Sim.Core 1.0` comes twice"),
            ("size = 7", "bytes = 7", "unknown field `bytes`"),
        ] {
            let error = with(&setup.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
        assert!(
            with("[setup]\nname = \"sim\"\nwheel = []").unwrap_err().to_string().contains("at least one")
        );
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
