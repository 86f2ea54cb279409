//! `[setup]` of a manifest: a plugin's external dependencies, which the user installs with pip.
use serde::{Deserialize, Serialize};

/// The external dependencies that a plugin may not ship itself. `potstill plugin setup NAME` downloads them with the user's
/// own pip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Dependencies {
    /// The name of the setup and of its folder, in lower-case letters, digits and dashes.
    pub name: String,
    /// The wheels, at least one. If a package has several versions, the first is the default.
    #[serde(rename = "wheel")]
    pub wheels: Vec<Wheel>,
}

/// A Python package in one version, which is installed for the files that it contains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Wheel {
    /// The name of the package for pip.
    pub package: String,
    /// The version of the package.
    pub version: String,
    /// The version of Python that the wheel is built for, such as `3.11`, if it is built for a single one. It need not be
    /// the version that the user has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// One file for each platform, or a single file for all.
    #[serde(rename = "file")]
    pub files: Vec<WheelFile>,
}

/// The file of a wheel for one platform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WheelFile {
    /// The name of the platform for pip, such as `manylinux_2_17_x86_64`, or `None` for all platforms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The SHA-256 hash of the file, in hexadecimal. A file with another hash is rejected.
    pub sha256: String,
    /// The size in bytes, to tell the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

impl Dependencies {
    /// Checks every field, strictly, because names and versions become parts of paths and arguments of pip.
    ///
    /// # Errors
    /// Returns the field that is wrong and what was expected there.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        let plain = |text: &str, more: &str| {
            text.len() <= 80
                && text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        if !plain(&self.name, "-") || self.name.contains(|c: char| c.is_ascii_uppercase()) {
            let what = format!("expected lower-case letters, digits and dashes, got `{}`", self.name);
            return Err(("setup.name", what));
        }
        if self.wheels.is_empty() {
            return Err(("setup.wheel", "expected at least one".into()));
        }
        for (i, wheel) in self.wheels.iter().enumerate() {
            let Wheel { package, version, python, files } = wheel;
            if !plain(package, "-_.") {
                return Err(("setup.wheel.package", format!("expected a package's name, got `{package}`")));
            }
            if !plain(version, ".+") {
                return Err(("setup.wheel.version", format!("expected a version, got `{version}`")));
            }
            if self.wheels[..i].iter().any(|w| (&w.package, &w.version) == (package, version)) {
                return Err(("setup.wheel", format!("`{package} {version}` is listed twice")));
            }
            if python.as_ref().is_some_and(|python| !plain(python, ".")) {
                return Err(("setup.wheel.python", "expected a version such as `3.11`".into()));
            }
            if files.is_empty() {
                return Err((
                    "setup.wheel.file",
                    format!("`{package} {version}` has none, expected at least one"),
                ));
            }
            for WheelFile { platform, sha256, .. } in files {
                if platform.as_ref().is_some_and(|platform| !plain(platform, "_")) {
                    let what = "expected pip's name of a platform, such as `manylinux_2_17_x86_64`";
                    return Err(("setup.wheel.file.platform", what.into()));
                }
                if sha256.len() != 64
                    || !sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
                {
                    let what = format!("expected 64 hexadecimal digits in lower case, got `{sha256}`");
                    return Err(("setup.wheel.file.sha256", what));
                }
            }
        }
        Ok(())
    }
}

impl Wheel {
    /// Returns the file for a machine, whose system and architecture are named as in `std::env::consts`.
    pub fn file_for(&self, system: &str, architecture: &str) -> Option<&WheelFile> {
        self.files.iter().find(|file| file.platform.as_ref().is_none_or(|p| fits(p, system, architecture)))
    }
}

/// Returns whether the platform name of pip fits this machine.
fn fits(platform: &str, system: &str, architecture: &str) -> bool {
    match system {
        // The wheel must use the same C library as this program.
        "linux" => {
            let libc = if cfg!(target_env = "musl") { "musllinux" } else { "manylinux" };
            (platform.starts_with(libc) || platform.starts_with("linux")) && platform.ends_with(architecture)
        }
        "macos" => {
            let name = if architecture == "aarch64" { "arm64" } else { architecture };
            platform.starts_with("macosx") && [name, "universal2"].iter().any(|end| platform.ends_with(end))
        }
        "windows" => {
            let name = match architecture {
                "x86_64" => "win_amd64",
                "aarch64" => "win_arm64",
                _ => "win32",
            };
            platform == name
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_file_for_each_machine() {
        let file =
            |platform: &str| WheelFile { platform: Some(platform.into()), sha256: String::new(), size: None };
        let platforms = [
            "manylinux_2_17_x86_64",
            "manylinux_2_17_aarch64",
            "macosx_10_16_x86_64",
            "macosx_11_0_arm64",
            "win_amd64",
        ];
        let mut wheel = Wheel {
            package: "p".into(),
            version: "1".into(),
            python: None,
            files: platforms.into_iter().map(file).collect(),
        };
        let found = |wheel: &Wheel, system, architecture| {
            wheel.file_for(system, architecture).map(|file| file.platform.clone().unwrap_or("all".into()))
        };
        for (machine, expected) in [
            (("linux", "x86_64"), Some("manylinux_2_17_x86_64")),
            (("linux", "aarch64"), Some("manylinux_2_17_aarch64")),
            (("macos", "aarch64"), Some("macosx_11_0_arm64")),
            (("macos", "x86_64"), Some("macosx_10_16_x86_64")),
            (("windows", "x86_64"), Some("win_amd64")),
            (("windows", "aarch64"), None),
            (("linux", "riscv64"), None),
        ] {
            assert_eq!(found(&wheel, machine.0, machine.1).as_deref(), expected, "{machine:?}");
        }
        wheel.files = vec![WheelFile { platform: None, sha256: String::new(), size: None }];
        assert_eq!(found(&wheel, "plan9", "sparc").as_deref(), Some("all"));
    }
}
