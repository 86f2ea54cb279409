//! The version of the contract, and which versions are compatible.
/// The version of the contract that this crate defines, as `major.minor`.
///
/// A host accepts a plugin whose contract has the same major version and the same or an older minor version. Within a
/// major version, including 0, the contract only grows, and additions are optional for the plugin. So a plugin keeps
/// working with every newer host until the major version changes, and a host that is too old for a plugin says so
/// before it runs any of the plugin's code.
pub const API_VERSION: &str = "0.1";

/// Checks that this host can run a plugin that was built against contract `version`, which is `major.minor` with an
/// optional patch number that is ignored.
///
/// # Errors
/// Fails if the versions are incompatible or `version` is not a version. The message says what to upgrade.
pub fn check_api_version(version: &str) -> Result<(), String> {
    let ours = parse(API_VERSION).unwrap_or_default();
    let theirs = parse(version)
        .ok_or_else(|| format!("`{version}` is not a contract version; expected one like `{API_VERSION}`"))?;
    if theirs.0 == ours.0 && theirs.1 <= ours.1 {
        Ok(())
    } else if theirs > ours {
        Err(format!("needs contract {version}, this Potstill has {API_VERSION}: upgrade Potstill"))
    } else {
        Err(format!("was built for contract {version}, this Potstill has {API_VERSION}: upgrade the plugin"))
    }
}

fn parse(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    let numbers = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    match parts.next() {
        None => Some(numbers),
        Some(patch) if patch.parse::<u32>().is_ok() && parts.next().is_none() => Some(numbers),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_same_major_and_no_newer_minor() {
        for good in [API_VERSION, "0.1.7", "0.0"] {
            check_api_version(good).unwrap();
        }
        assert!(check_api_version("0.2").unwrap_err().contains("upgrade Potstill"));
        assert!(check_api_version("1.0").unwrap_err().contains("upgrade Potstill"));
        for bad in ["", "1", "0.1.x", "0.1.2.3", "-1.0", "latest"] {
            assert!(check_api_version(bad).unwrap_err().contains("not a contract version"), "{bad}");
        }
    }
}
