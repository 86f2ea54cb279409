//! The 16 games of Procgen (Cobbe et al. 2020), on the user's own library, whose levels are generated from numbers. The plugin
//! loads the library from where the user has installed it, and contains nothing of it.

mod environment;
mod library;
#[cfg(test)]
mod tests;

pub use environment::Procgen;

/// A game.
pub(crate) struct Game {
    /// The library's name for it.
    pub(crate) name: &'static str,
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    /// The modes beyond easy and hard: "extreme" and "memory".
    pub(crate) modes: &'static [&'static str],
    /// The level of the mode "exploration", if the game has it.
    pub(crate) exploration: Option<i32>,
}

/// The games with what Procgen's Python package knows of them.
pub(crate) const GAMES: [Game; 16] = [
    game("bigfish", "procgen/bigfish-v0", "A fish eats smaller fish and grows.", &[], None),
    game(
        "bossfight",
        "procgen/bossfight-v0",
        "A ship shoots at a boss whose shield comes and goes.",
        &[],
        None,
    ),
    game(
        "caveflyer",
        "procgen/caveflyer-v0",
        "A ship flies through a cave to a friendly one.",
        &["memory"],
        Some(1_259_048_185),
    ),
    game("chaser", "procgen/chaser-v0", "Collect orbs in a maze, chased by enemies.", &["extreme"], None),
    game("climber", "procgen/climber-v0", "Climb platforms and collect stars.", &[], Some(1_561_126_160)),
    game("coinrun", "procgen/coinrun-v0", "Run and jump to the coin at the right.", &[], Some(1_949_448_038)),
    game(
        "dodgeball",
        "procgen/dodgeball-v0",
        "Throw balls at enemies, dodge theirs, and leave.",
        &["extreme", "memory"],
        None,
    ),
    game("fruitbot", "procgen/fruitbot-v0", "A robot collects fruit and avoids the rest.", &[], None),
    game("heist", "procgen/heist-v0", "Steal the gem behind locks and keys.", &["memory"], Some(876_640_971)),
    game(
        "jumper",
        "procgen/jumper-v0",
        "A bunny jumps to a carrot, which a compass shows.",
        &["memory"],
        Some(1_434_825_276),
    ),
    game(
        "leaper",
        "procgen/leaper-v0",
        "A frog crosses roads and a river.",
        &["extreme"],
        Some(1_318_677_581),
    ),
    game("maze", "procgen/maze-v0", "A mouse looks for cheese in a maze.", &["memory"], Some(158_988_835)),
    game("miner", "procgen/miner-v0", "Dig for diamonds beneath rocks, and leave.", &["memory"], None),
    game("ninja", "procgen/ninja-v0", "A ninja jumps over ledges and bombs.", &[], Some(1_123_500_215)),
    game("plunder", "procgen/plunder-v0", "Sink enemy ships and spare the others.", &[], None),
    game("starpilot", "procgen/starpilot-v0", "A ship shoots its way through enemies.", &["extreme"], None),
];

const fn game(
    name: &'static str,
    id: &'static str,
    summary: &'static str,
    modes: &'static [&'static str],
    exploration: Option<i32>,
) -> Game {
    Game { name, id, summary, modes, exploration }
}

potstill_sdk::export_environments!(
    Procgen<0>,
    Procgen<1>,
    Procgen<2>,
    Procgen<3>,
    Procgen<4>,
    Procgen<5>,
    Procgen<6>,
    Procgen<7>,
    Procgen<8>,
    Procgen<9>,
    Procgen<10>,
    Procgen<11>,
    Procgen<12>,
    Procgen<13>,
    Procgen<14>,
    Procgen<15>,
);
