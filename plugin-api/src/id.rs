//! Plugin ids.
use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The id of a plugin: `name-vN` or `namespace/name-vN`, in lower-case letters, digits and dashes, at most 80 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PluginId {
    base: String,
    version: u32,
}

/// The error for a text that is not a plugin id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a plugin id; expected `name-vN` or `namespace/name-vN` in lower-case letters, digits and dashes"
)]
pub struct PluginIdError(String);

impl PluginId {
    /// Returns the id without `-vN`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Returns the id without `namespace/` and `-vN`.
    pub fn name(&self) -> &str {
        self.base.rsplit_once('/').map_or(&*self.base, |(_, name)| name)
    }

    /// Returns the namespace, if the id has one.
    pub fn namespace(&self) -> Option<&str> {
        self.base.split_once('/').map(|(namespace, _)| namespace)
    }

    /// Returns the `N` of `-vN`.
    pub fn version(&self) -> u32 {
        self.version
    }
}

impl FromStr for PluginId {
    type Err = PluginIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || PluginIdError(text.chars().take(80).collect());
        let word = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_lowercase())
                && !part.ends_with('-')
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let (base, version) = text.rsplit_once("-v").ok_or_else(error)?;
        let canonical =
            version.bytes().all(|b| b.is_ascii_digit()) && (version == "0" || !version.starts_with('0'));
        let parts: Vec<&str> = base.split('/').collect();
        if text.len() > 80 || !canonical || parts.len() > 2 || !parts.into_iter().all(word) {
            return Err(error());
        }
        Ok(PluginId { base: base.to_owned(), version: version.parse().map_err(|_| error())? })
    }
}

impl TryFrom<String> for PluginId {
    type Error = PluginIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PluginId> for String {
    fn from(id: PluginId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for PluginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-v{}", self.base, self.version)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_ids_and_nothing_else() {
        for good in ["nd-cartpole-v1", "ale/pong-v5", "a-v0", "v2-v10"] {
            assert_eq!(good.parse::<PluginId>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "nd-cartpole",
            "nd-cartpole-v",
            "nd-cartpole-v01",
            "Pong-v5",
            "a/b/c-v1",
            "/a-v1",
            "a/-v1",
            "1d-v1",
            "a-v-1",
            "a -v1",
            "a--v1",
            "../a-v1",
            "a-v99999999999",
        ] {
            assert!(bad.parse::<PluginId>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_to_itself_or_not_at_all(text in "[a-z0-9/-]{0,12}(-v[0-9]{0,3})?|.*") {
            if let Ok(id) = text.parse::<PluginId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
