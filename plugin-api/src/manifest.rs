//! The manifest `plugin.toml`: reading, checking and writing it.
use serde::{Deserialize, Serialize};

use crate::{Dependencies, PluginId, check_api_version, toml_error};

/// The role of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The plugin simulates an environment.
    Environment,
    /// The plugin is a distribution over network architectures and initializations.
    Learner,
    /// The plugin is a meta-objective.
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

/// The limits that the plugin requests where the host's defaults are too tight. The host caps each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LimitWishes {
    /// The size of the linear memory in MiB.
    pub memory_mib: Option<u32>,
    /// The time limit in seconds for each call of `reset`, `step`, `render`, `snapshot` and `restore`.
    pub step_seconds: Option<f64>,
    /// The time limit in seconds for each call of `describe`, `options`, `make` and `spec`.
    pub start_seconds: Option<f64>,
}

/// One plugin that the file provides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Provided {
    /// The plugin's id, `name-vN` or `namespace/name-vN`.
    pub id: PluginId,
    /// A description in one sentence.
    pub summary: String,
}

/// The manifest `plugin.toml`. It tells the user and the host about a plugin, or several in one shared library, before any
/// of their code runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The plugins, at least one. The file holds `id` and `summary` of a single plugin, or the list `provides`. If a name
    /// has several versions, the id without a version refers to the first.
    pub provides: Vec<Provided>,
    /// The role of all these plugins.
    pub role: Role,
    /// The release of the binary, `major.minor.patch`.
    pub version: String,
    /// The version of the contract that it was built against, such as `0.1`; see [`crate::API_VERSION`].
    pub api: String,
    /// The authors, as the contacts for questions.
    pub authors: Vec<String>,
    /// The license as an SPDX expression, such as `MIT OR Apache-2.0`.
    pub license: String,
    /// The file name of the component, in the folder of the manifest.
    pub wasm: Option<String>,
    /// The name of the shared library in the folder of the manifest, for a native plugin: `walk` stands for `libwalk.so` on
    /// Linux, `libwalk.dylib` on macOS and `walk.dll` on Windows.
    pub library: Option<String>,
    /// The limits that the plugin requests instead of the host's defaults.
    pub limits: LimitWishes,
    /// The external dependencies, if there are any.
    pub setup: Option<Dependencies>,
}

/// The fields of the file.
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
    // Manifests from before 0.1 was published spell it the British way.
    #[serde(alias = "licence")]
    license: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wasm: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    library: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    provides: Vec<Provided>,
    #[serde(default)]
    limits: LimitWishes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    setup: Option<Dependencies>,
}

/// The most characters of a summary, a license or an author.
const LONGEST_TEXT: usize = 1000;
/// The most characters of a version or a file's name.
const LONGEST_WORD: usize = 100;
/// The most plugins that one file provides, and the most authors.
const MOST: usize = 256;

/// The error for a manifest that is not valid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct ManifestError(String);

impl Manifest {
    /// Reads a manifest and checks everything but `api`, which [`Manifest::check_api`] checks.
    ///
    /// # Errors
    /// Fails if the manifest is not valid. The message names the line or the field and says what was expected.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let written: Written = toml::from_str(text).map_err(|e| ManifestError(toml_error(&e)))?;
        let manifest = Manifest::of(written)?;
        let fail = |field: &str, message: String| Err(ManifestError(format!("`{field}`: {message}")));
        for (field, count) in [("provides", manifest.provides.len()), ("authors", manifest.authors.len())] {
            if count > MOST {
                return fail(field, format!("expected at most {MOST}, got {count}"));
            }
        }
        let words = [("version", Some(&manifest.version)), ("api", Some(&manifest.api))];
        for (field, word) in words
            .into_iter()
            .chain([("wasm", manifest.wasm.as_ref()), ("library", manifest.library.as_ref())])
        {
            if word.is_some_and(|word| word.chars().nth(LONGEST_WORD).is_some()) {
                return fail(field, format!("expected at most {LONGEST_WORD} characters"));
            }
        }
        if manifest.wasm.is_some() && manifest.provides.len() > 1 {
            return fail(
                "provides",
                "a component is one plugin; to provide several, build a `library`".into(),
            );
        }
        for (i, Provided { id, .. }) in manifest.provides.iter().enumerate() {
            if manifest.provides[..i].iter().any(|before| before.id == *id) {
                return fail("provides", format!("`{id}` is listed twice"));
            }
        }
        if !is_release(&manifest.version) {
            return fail("version", format!("expected `major.minor.patch`, got `{}`", manifest.version));
        }
        let summaries = manifest.provides.iter().map(|provided| ("summary", &provided.summary));
        let authors = manifest.authors.iter().map(|author| ("authors", author));
        for (field, text) in summaries.chain([("license", &manifest.license)]).chain(authors) {
            if text.trim().is_empty()
                || text.chars().any(char::is_control)
                || text.chars().nth(LONGEST_TEXT).is_some()
            {
                return fail(
                    field,
                    format!("expected one line of text, of at most {LONGEST_TEXT} characters"),
                );
            }
        }
        match (&manifest.wasm, &manifest.library) {
            (Some(wasm), None) if wasm.contains(['/', '\\']) || !wasm.ends_with(".wasm") => {
                let what = format!("expected the name of a .wasm file beside the manifest, got `{wasm}`");
                return fail("wasm", what);
            }
            (None, Some(library)) if library.is_empty() || library.contains(['/', '\\', '.']) => {
                let what = format!(
                    "expected the name of a library beside the manifest, without folder, `lib` and extension, got `{library}`"
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
        match manifest.setup.as_ref().map(Dependencies::check) {
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
            license,
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
        Ok(Manifest { provides, role, version, api, authors, license, wasm, library, limits, setup })
    }

    /// Returns the text of `plugin.toml`.
    ///
    /// # Errors
    /// Fails if TOML cannot represent a value.
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
            license: manifest.license,
            wasm: manifest.wasm,
            library: manifest.library,
            provides,
            limits: manifest.limits,
            setup: manifest.setup,
        };
        toml::to_string(&written).map_err(|e| ManifestError(e.to_string()))
    }

    /// Returns the name of the plugin's binary on this system.
    pub fn file(&self) -> String {
        use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
        match (&self.wasm, &self.library) {
            (Some(wasm), _) => wasm.clone(),
            (None, library) => format!("{DLL_PREFIX}{}{DLL_SUFFIX}", library.as_deref().unwrap_or_default()),
        }
    }

    /// Checks that this host supports the plugin's version of the contract.
    ///
    /// # Errors
    /// Fails if [`check_api_version`] does.
    pub fn check_api(&self) -> Result<(), ManifestError> {
        check_api_version(&self.api).map_err(ManifestError)
    }
}

/// Whether `version` is `major.minor.patch`, optionally followed by `-pre.release` or `+build`.
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
license = "MIT"
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
        assert_eq!(Manifest::parse(&GOOD.replace("license", "licence")).unwrap(), manifest);
    }

    #[test]
    fn nesting_has_an_end() {
        for text in ["[", "{a=", "[{a=", "{a=[", "a.", "[a."] {
            for start in ["", "x="] {
                let text = format!("{start}{}", text.repeat(100_000));
                assert!(Manifest::parse(&text).is_err(), "{:.10}", text);
            }
        }
    }

    #[test]
    fn one_library_may_provide_several_plugins() {
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
            ("v3", "v2", "`provides`: `acme/hill-v2` is listed twice"),
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
            (
                "\"data\"\nversion = \"2\"",
                "\"Sim.Core\"\nversion = \"1.0\"",
                "`Sim.Core 1.0` is listed twice",
            ),
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
    fn errors_name_the_field_and_what_was_expected() {
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
            ("license = \"MIT\"", "licensed = \"MIT\"", "unknown field `licensed`"),
            ("license = \"MIT\"", "", "missing field `license`"),
            (
                "A hill.",
                &"a".repeat(1001),
                "`summary`: expected one line of text, of at most 1000 characters",
            ),
            (
                "1.0.3-rc.1",
                &format!("1.0.0-{}", "a".repeat(65_536)),
                "`version`: expected at most 100 characters",
            ),
            ("hill.wasm", &format!("{}.wasm", "a".repeat(100)), "`wasm`: expected at most 100 characters"),
            (
                "[\"A. Author\"]",
                &format!("[{}]", "\"A\",".repeat(257)),
                "`authors`: expected at most 256, got 257",
            ),
        ] {
            let error = Manifest::parse(&GOOD.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
        assert!(Manifest::parse(&GOOD.replace("\"0.1\"", "\"7.0\"")).unwrap().check_api().is_err());
    }
}
