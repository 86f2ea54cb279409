//! Arguments of Gymnasium's constructors, as options with dashes.
use potstill_sdk::{OptionKind, OptionSchema, Options};

/// Beyond this MuJoCo calls a position bad: as a limit, it is none.
const HUGE: f64 = 1e10;

pub(super) fn number(name: &str, default: f64, help: &str) -> OptionSchema {
    let kind = OptionKind::Number { min: -HUGE, max: HUGE };
    OptionSchema { name: name.into(), help: help.into(), kind, default: default.into() }
}

pub(super) fn boolean(name: &str, default: bool, help: &str) -> OptionSchema {
    OptionSchema { name: name.into(), help: help.into(), kind: OptionKind::Boolean, default: default.into() }
}

/// The scale of the noise with which episodes start.
pub(super) fn noise(default: f64) -> OptionSchema {
    let kind = OptionKind::Number { min: 0.0, max: 10.0 };
    OptionSchema {
        name: "reset-noise-scale".into(),
        help: "Scale of the noise in the positions and velocities with which an episode starts.".into(),
        kind,
        default: default.into(),
    }
}

/// Steps of MuJoCo in a step: an argument since v5.
pub(super) fn frame_skip<const V: u8>(default: i64) -> Option<OptionSchema> {
    let kind = OptionKind::Integer { min: 1, max: 1000 };
    (V >= 5).then(|| OptionSchema {
        name: "frame-skip".into(),
        help: "Steps of MuJoCo in a step of the environment.".into(),
        kind,
        default: default.into(),
    })
}

pub(super) fn frames<const V: u8>(options: &Options, default: usize) -> Result<usize, String> {
    if V < 5 {
        Ok(default)
    } else {
        usize::try_from(options.integer("frame-skip")?).map_err(|e| e.to_string())
    }
}

pub(super) fn exclude_positions() -> OptionSchema {
    boolean(
        "exclude-current-positions-from-observation",
        true,
        "Leave the position on the floor out of the observation.",
    )
}

/// `NAME-min` and `NAME-max`.
pub(super) fn range(name: &str, default: [f64; 2], what: &str) -> [OptionSchema; 2] {
    let [min, max] = default.map(|bound| bound.clamp(-HUGE, HUGE));
    [
        number(&format!("{name}-min"), min, &format!("Least {what}.")),
        number(&format!("{name}-max"), max, &format!("Greatest {what}.")),
    ]
}

pub(super) fn read_range(options: &Options, name: &str) -> Result<[f64; 2], String> {
    Ok([options.number(&format!("{name}-min"))?, options.number(&format!("{name}-max"))?])
}

/// `low < value < high`, as Gymnasium compares.
pub(super) fn within([low, high]: [f64; 2], value: f64) -> bool {
    low < value && value < high
}

/// The reward and end of those that can fall.
pub(super) struct Health {
    reward: f64,
    terminates: bool,
}

impl Health {
    pub(super) fn options(reward: f64) -> [OptionSchema; 2] {
        [
            number("healthy-reward", reward, "Reward of a step in which the body is healthy."),
            boolean("terminate-when-unhealthy", true, "End the episode when the body is no longer healthy."),
        ]
    }

    pub(super) fn new(options: &Options) -> Result<Self, String> {
        let (reward, terminates) =
            (options.number("healthy-reward")?, options.boolean("terminate-when-unhealthy")?);
        Ok(Health { reward, terminates })
    }

    /// v4 pays also for the step that ends the episode.
    pub(super) fn reward<const V: u8>(&self, healthy: bool) -> f64 {
        if healthy || (V < 5 && self.terminates) { self.reward } else { 0.0 }
    }

    pub(super) fn terminated(&self, healthy: bool) -> bool {
        self.terminates && !healthy
    }
}
