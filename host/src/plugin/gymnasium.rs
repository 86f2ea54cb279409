//! Where the environments of Gymnasium are, for those who type its names.
use potstill_plugin_api::PluginId;

/// The environments of `plugins/mujoco`, in versions 4 and 5.
const MUJOCO: [&str; 8] = [
    "ant",
    "half-cheetah",
    "hopper",
    "humanoid",
    "humanoid-standup",
    "inverted-double-pendulum",
    "reacher",
    "walker2d",
];

/// If `id` is a name of Gymnasium, such as `Hopper-v4`, says what it is called here: one of the `known` ids, or one that
/// `plugins/mujoco` would add.
pub(super) fn pointer<'a>(id: &str, known: impl Iterator<Item = &'a PluginId>) -> Option<String> {
    let (name, version) = match id.rsplit_once("-v") {
        Some((name, version)) => (name, version.parse::<u32>().ok()),
        None => (id, None),
    };
    if !name.starts_with(|c: char| c.is_ascii_uppercase()) || name.len() > 100 {
        return None;
    }
    let name = match name {
        "CartPole" => "nd-cartpole".to_owned(),
        _ => in_kebab_case(name),
    };
    let mut same: Vec<&PluginId> = known.filter(|known| known.name() == name).collect();
    same.sort_by_key(|known| Some(known.version()) != version);
    if let Some(here) = same.first() {
        return Some(format!(" Gymnasium's `{id}` is `{here}` here."));
    }
    let version = version.filter(|version| [4, 5].contains(version)).unwrap_or(4);
    MUJOCO.contains(&&*name).then(|| {
        format!(
            " Gymnasium's `{id}` is `mujoco/{name}-v{version}` here, of a plugin that is not installed. In Potstill's \
             source: potstill plugin build plugins/mujoco --out mujoco && potstill plugin install mujoco"
        )
    })
}

/// `HalfCheetah` as `half-cheetah`.
fn in_kebab_case(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.char_indices() {
        if i > 0 && c.is_ascii_uppercase() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_gymnasiums_environments_are_called_here() {
        let known = ["nd-cartpole-v1", "acme/pendulum-v1", "mujoco/hopper-v4", "mujoco/hopper-v5"];
        let known: Vec<PluginId> = known.iter().map(|id| id.parse().unwrap()).collect();
        let said = |id: &str| pointer(id, known.iter()).unwrap_or_default();
        assert_eq!(said("CartPole-v1"), " Gymnasium's `CartPole-v1` is `nd-cartpole-v1` here.");
        assert_eq!(said("CartPole"), " Gymnasium's `CartPole` is `nd-cartpole-v1` here.");
        assert_eq!(said("Pendulum-v1"), " Gymnasium's `Pendulum-v1` is `acme/pendulum-v1` here.");
        assert_eq!(said("Hopper-v5"), " Gymnasium's `Hopper-v5` is `mujoco/hopper-v5` here.");
        assert_eq!(said("Hopper-v3"), " Gymnasium's `Hopper-v3` is `mujoco/hopper-v4` here.");
        assert!(
            said("HalfCheetah-v5")
                .contains("`mujoco/half-cheetah-v5` here, of a plugin that is not installed")
        );
        assert!(said("Walker2d-v2").contains("`mujoco/walker2d-v4` here"));
        for id in ["Acrobot-v1", "cartpole", "hopper-v4", "", "ALE/Pong-v5"] {
            assert_eq!(said(id), "", "{id}");
        }
    }

    #[test]
    fn knows_what_the_mujoco_plugin_provides() {
        let manifest = include_str!("../../../plugins/mujoco/plugin.toml");
        let manifest = potstill_plugin_api::Manifest::parse(manifest).unwrap();
        for name in MUJOCO {
            for version in [4, 5] {
                let id = format!("mujoco/{name}-v{version}");
                assert!(manifest.provides.iter().any(|provided| provided.id.to_string() == id), "{id}");
            }
        }
        assert_eq!(manifest.provides.len(), 2 * MUJOCO.len());
    }
}
