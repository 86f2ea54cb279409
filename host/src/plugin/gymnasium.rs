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

/// The id that a spelling of Gymnasium's stands for: `gym/LunarLander-v3` is `gym/lunar-lander-v3`. `None` if it is none, or has no
/// namespace: Gymnasium's own `CartPole-v1` is not the built-in one.
pub(super) fn canonical(id: &str) -> Option<String> {
    let (namespace, name) = id.split_once('/').filter(|_| id.len() <= ID_LENGTH)?;
    is_gymnasiums(name).then(|| format!("{namespace}/{}", in_kebab_case(name)))
}

/// For an `id` that no plugin has: how to make it where `plugins/gymnasium` is one of the `known`, or how to install that.
pub(super) fn fallback<'a>(id: &str, mut known: impl Iterator<Item = &'a PluginId>) -> Option<String> {
    let (namespace, name) = id.split_once('/').unwrap_or(("", id));
    if id.len() > ID_LENGTH || !(namespace == "gym" || (namespace.is_empty() && is_gymnasiums(name))) {
        return None;
    }
    Some(match known.any(|id| id.base() == "gym/make") {
        true => " `gym/make --set id=ID` makes whatever your Gymnasium has, by its own id.".into(),
        false => " A plugin that is not installed runs what your Gymnasium has. In Potstill's source: potstill plugin build \
                  plugins/gymnasium --out gymnasium && potstill plugin install gymnasium"
            .into(),
    })
}

/// The longest name that is looked at.
const ID_LENGTH: usize = 100;

/// Whether `name` is in the style of Gymnasium.
fn is_gymnasiums(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
}

/// If `id` is a name of Gymnasium, such as `Hopper-v4`, says what it is called here: one of the `known` ids, or one that
/// `plugins/mujoco` would add.
pub(super) fn pointer<'a>(id: &str, known: impl Iterator<Item = &'a PluginId>) -> Option<String> {
    let (name, version) = match id.rsplit_once("-v") {
        Some((name, version)) => (name, version.parse::<u32>().ok()),
        None => (id, None),
    };
    if !is_gymnasiums(name) || name.len() > ID_LENGTH {
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

/// `HalfCheetah` as `half-cheetah`, `MiniGrid-LavaGapS5` as `mini-grid-lava-gap-s5`, `BabyAI` as `baby-ai`.
fn in_kebab_case(name: &str) -> String {
    let mut out = String::new();
    let mut before = ' ';
    for (i, c) in name.char_indices() {
        let word_ends = before.is_ascii_lowercase() || before.is_ascii_digit();
        let another = before.is_ascii_uppercase()
            && name[i..].chars().nth(1).is_some_and(|next| next.is_ascii_lowercase());
        if c.is_ascii_uppercase() && (word_ends || another) {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
        before = c;
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
    fn spellings_of_gymnasium_stand_for_ids() {
        let catalog = include_str!("../../../plugins/gymnasium/src/catalog.rs");
        let mut names = 0;
        for line in catalog.lines().filter(|line| line.contains("\"gym/")) {
            let [_, id, _, name, ..] = line.split('"').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let name = name.rsplit(':').next().unwrap();
            assert_eq!(canonical(&format!("gym/{name}")).as_deref(), Some(id));
            names += 1;
        }
        let manifest = include_str!("../../../plugins/gymnasium/plugin.toml");
        let manifest = potstill_plugin_api::Manifest::parse(manifest).unwrap();
        // All but `gym/make-v0`.
        assert_eq!(names + 1, manifest.provides.len());
        assert_eq!(canonical("gym/BabyAI-GoTo-v0").as_deref(), Some("gym/baby-ai-go-to-v0"));
        for id in ["CartPole-v1", "gym/cart-pole", "gym/", ""] {
            assert_eq!(canonical(id), None, "{id}");
        }
    }

    #[test]
    fn what_is_unknown_is_pointed_to_gymnasium() {
        let known = ["gym/make-v0".parse().unwrap()];
        for id in ["gym/moon-v0", "gym/moon", "Moon-v0"] {
            assert!(fallback(id, known.iter()).unwrap().contains("`gym/make --set id=ID`"), "{id}");
            assert!(fallback(id, [].iter()).unwrap().contains("plugins/gymnasium"), "{id}");
        }
        for id in ["moon-v0", "acme/Moon-v0", ""] {
            assert_eq!(fallback(id, known.iter()), None, "{id}");
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
