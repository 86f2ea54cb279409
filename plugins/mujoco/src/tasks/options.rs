//! The arguments of Gymnasium's constructors as options, with dashes in their names.
use potstill_sdk::{OptionKind, OptionSchema, Options};

/// MuJoCo considers positions beyond this bad, so as a limit it means no limit.
const HUGE: f64 = 1e10;

pub(super) fn number(name: &str, default: f64, help: &str) -> OptionSchema {
    let kind = OptionKind::Number { min: -HUGE, max: HUGE };
    OptionSchema { name: name.into(), help: help.into(), kind, default: default.into() }
}

pub(super) fn boolean(name: &str, default: bool, help: &str) -> OptionSchema {
    OptionSchema { name: name.into(), help: help.into(), kind: OptionKind::Boolean, default: default.into() }
}

/// The option for the scale of the noise at the start of an episode.
pub(super) fn noise(default: f64) -> OptionSchema {
    let kind = OptionKind::Number { min: 0.0, max: 10.0 };
    OptionSchema {
        name: "reset-noise-scale".into(),
        help: "Scale of the noise in positions and velocities at the start of an episode.".into(),
        kind,
        default: default.into(),
    }
}

/// The option for the number of MuJoCo's steps in a step, which Gymnasium has since v5.
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

/// The options `NAME-min` and `NAME-max`.
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

/// Whether `low < value < high`, the comparison that Gymnasium makes.
pub(super) fn within([low, high]: [f64; 2], value: f64) -> bool {
    low < value && value < high
}

/// The reward and the end of an episode for bodies that can fall.
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

    /// The reward of a step. v4 also pays it for the step that ends the episode.
    pub(super) fn reward<const V: u8>(&self, healthy: bool) -> f64 {
        if healthy || (V < 5 && self.terminates) { self.reward } else { 0.0 }
    }

    pub(super) fn terminated(&self, healthy: bool) -> bool {
        self.terminates && !healthy
    }
}
