//! Offline data: the transitions of whole episodes, in a safetensors file.
//!
//! | tensor | type, shape | |
//! |---|---|---|
//! | `observations` | F32, or U8 for an image space, `[n, …observation]` | the observation before the action |
//! | `actions` | I32 `[n, 1]`, or F32 `[n, size]` for a box | the action, as the environment received it |
//! | `rewards` | F32 `[n]` | its reward |
//! | `terminated`, `truncated` | U8 `[n]`, 0 or 1 | whether the episode ended with it |
//! | `final_observations` | as `observations`, `[episodes, …observation]` | the last observation of each episode |
//! | `returns` | F32 `[episodes]` | the undiscounted sum of each episode's rewards |
//!
//! Files of format 1 lack the last two, and have discrete actions only. The episodes follow each other, and the last row ends one. The header's metadata holds `format` =
//! `potstill-transitions`, the JSON value `potstill` that [`TransitionsInfo`] describes, and `sha256`, a checksum of both
//! and of the tensors.
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use potstill_plugin_api::Space;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::atomic::Durability;
use super::dataset::DatasetEnvironment;
use super::tensor::{Container, Kind, MAX_STATE, RawTensor, Values, parse_raw, write_raw};
use crate::engine::policy::Acting;
use crate::error::{Error, Result};
use crate::files;
use crate::plugin::text::counted;
use crate::plugin::{Actions, Observations};

const KIND: Kind = Kind {
    format: "potstill-transitions",
    name: "transitions",
    otherwise: "not a file of transitions (`potstill collect` writes one)",
    most: MAX_STATE,
};
const FORMAT_VERSION: u32 = 2;

/// The transitions of whole episodes, one episode after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Transitions {
    /// The observations before the actions, `[n, …observation]`.
    pub observations: Observations,
    /// The actions: `[n]`, each below the number of actions, or `[n, size]`.
    pub actions: Actions,
    /// The rewards, `[n]`.
    pub rewards: Vec<f32>,
    /// Whether the state that was reached is terminal, `[n]`.
    pub terminated: Vec<bool>,
    /// Whether the episode was cut short there, `[n]`.
    pub truncated: Vec<bool>,
    /// The observation that each episode ended with, `[episodes, …observation]`; `None` if the file is of format 1.
    pub final_observations: Option<Observations>,
    /// Where the transitions come from.
    pub info: TransitionsInfo,
}

/// The metadata of transitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransitionsInfo {
    /// The environment that was played.
    pub environment: DatasetEnvironment,
    /// Which policy acted, in words, e.g. `random actions`.
    pub policy: String,
    /// How actions were chosen from the policy; `None` if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acting: Option<Acting>,
    /// The temperature of the policy ([`Policy::temper`](crate::engine::policy::Policy::temper)).
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub temperature: f32,
    /// The probability with which an action was replaced by a uniformly random one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub noise: f64,
    /// The seed of the episodes and the actions, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The program that wrote the file, e.g. `potstill 0.1.0`.
    pub software: String,
    /// The number of episodes that ended because their simulation failed.
    #[serde(default)]
    pub faults: usize,
    /// Where the transitions come from, if they were imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

fn one() -> f32 {
    1.0
}

fn is_one(temperature: &f32) -> bool {
    *temperature == 1.0
}

fn is_zero(noise: &f64) -> bool {
    *noise == 0.0
}

#[derive(Serialize, Deserialize)]
struct Versioned {
    format_version: u32,
    #[serde(flatten)]
    info: TransitionsInfo,
}

impl Transitions {
    /// The number n of transitions.
    pub fn len(&self) -> usize {
        self.rewards.len()
    }

    /// Whether there are no transitions.
    pub fn is_empty(&self) -> bool {
        self.rewards.is_empty()
    }

    /// The rows and the undiscounted return of each episode.
    pub fn episodes(&self) -> Vec<(Range<usize>, f32)> {
        let mut episodes = vec![];
        let mut start = 0;
        for end in 1..=self.len() {
            if self.terminated[end - 1] || self.truncated[end - 1] {
                episodes.push((start..end, self.rewards[start..end].iter().sum()));
                start = end;
            }
        }
        episodes
    }

    /// The rows of the `share` of the episodes with the highest returns; of one episode at least.
    pub fn best(&self, share: f64) -> Vec<usize> {
        let mut episodes = self.episodes();
        let count = (share * episodes.len() as f64).ceil() as usize;
        // The sort is stable: of equal returns the earlier episode comes first.
        episodes.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut rows: Vec<usize> =
            episodes.into_iter().take(count.max(1)).flat_map(|(rows, _)| rows).collect();
        rows.sort_unstable();
        rows
    }

    /// The discrete actions that never occur.
    pub fn unused(&self) -> Vec<usize> {
        let (Actions::Discrete(actions), Space::Discrete { n }) =
            (&self.actions, &self.info.environment.spec.action)
        else {
            return vec![];
        };
        let used: BTreeSet<u32> = actions.iter().copied().collect();
        (0..*n).filter(|&action| !used.contains(&(action as u32))).collect()
    }

    /// Checks that the transitions were collected for `environment`.
    ///
    /// # Errors
    /// [`Error::Usage`] when the id, a wrapper or a space differs; the message says what they were collected for.
    pub fn check_environment(&self, environment: &DatasetEnvironment) -> Result<()> {
        let own = &self.info.environment;
        if own.id == environment.id {
            own.check_wrappers("data was collected for", &environment.wrappers)?;
        }
        own.check("data was collected for", &environment.spec)
    }

    /// Reads and checks a file of transitions.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::File`] when it holds no transitions, is damaged, or does not fit
    /// its own environment.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_hashed(path).map(|(transitions, _)| transitions)
    }

    /// As [`Transitions::load`], with the SHA-256 of the file in hexadecimal.
    ///
    /// # Errors
    /// As [`Transitions::load`].
    pub fn load_hashed(path: impl AsRef<Path>) -> Result<(Self, String)> {
        let path = path.as_ref();
        let bytes = files::read(path, KIND.most)?;
        let transitions = Self::parse(&bytes).map_err(|what| Error::file(path, what))?;
        Ok((transitions, format!("{:x}", Sha256::digest(&bytes))))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let Container { mut tensors, info, .. } = parse_raw(bytes, &KIND)?;
        let Versioned { format_version, info } =
            serde_json::from_str(&info).map_err(|e| format!("the metadata is incomplete ({e})"))?;
        if !(1..=FORMAT_VERSION).contains(&format_version) {
            return Err(format!(
                "transitions of format {format_version}; this Potstill reads up to {FORMAT_VERSION}: upgrade it"
            ));
        }
        let spec = &info.environment.spec;
        for (name, space) in [("observation", &spec.observation), ("action", &spec.action)] {
            space.validate().map_err(|e| format!("the {name} space of `{}`: {e}", spec.id))?;
        }
        let mut take = |name: &str, width: &[usize]| -> Result<Option<Values<'static>>, String> {
            let Some(at) = tensors.iter().position(|t| t.name == name) else { return Ok(None) };
            let tensor = tensors.swap_remove(at);
            match tensor.shape.split_first() {
                Some((_, rest)) if rest == width => Ok(Some(tensor.values)),
                _ => Err(format!("`{name}` has shape {:?}; expected n × {width:?}", tensor.shape)),
            }
        };
        let of_type = |name: &str, expected: &str| format!("`{name}` is not of type {expected}");
        let missing = |name: &str| format!("tensor `{name}` is missing");
        let mut observed = |name: &str| match take(name, &spec.observation.shape())? {
            Some(Values::F32(values)) => Ok(Some(Observations::Float(values.into_owned()))),
            Some(Values::U8(values)) => Ok(Some(Observations::Byte(values.into_owned()))),
            Some(Values::I32(_)) => Err(of_type(name, "F32 or U8")),
            None => Ok(None),
        };
        let observations = observed("observations")?.ok_or_else(|| missing("observations"))?;
        let final_observations = observed("final_observations")?;
        let width = if matches!(spec.action, Space::Box { .. }) { spec.action.size() } else { 1 };
        let actions = match take("actions", &[width])?.ok_or_else(|| missing("actions"))? {
            // A negative action becomes one that is refused because there are not as many.
            Values::I32(actions) => Actions::Discrete(actions.iter().map(|&action| action as u32).collect()),
            Values::F32(actions) => Actions::Continuous(actions.into_owned()),
            Values::U8(_) => return Err(of_type("actions", "I32 or F32")),
        };
        let mut numbers = |name: &str| match take(name, &[])? {
            Some(Values::F32(values)) => Ok(Some(values.into_owned())),
            Some(_) => Err(of_type(name, "F32")),
            None => Ok(None),
        };
        let rewards = numbers("rewards")?.ok_or_else(|| missing("rewards"))?;
        let returns = numbers("returns")?;
        let mut flags = |name: &str| match take(name, &[])?.ok_or_else(|| missing(name))? {
            Values::U8(flags) if flags.iter().all(|&flag| flag < 2) => {
                Ok(flags.iter().map(|&flag| flag == 1).collect())
            }
            _ => Err(format!("`{name}` is not of 0 and 1 in type U8")),
        };
        let (terminated, truncated) = (flags("terminated")?, flags("truncated")?);
        if let Some(stray) = tensors.first() {
            return Err(format!("tensor `{}` does not belong into transitions", stray.name));
        }
        let transitions =
            Transitions { observations, actions, rewards, terminated, truncated, final_observations, info };
        transitions.validate()?;
        transitions.check_returns(returns.as_deref())?;
        Ok(transitions)
    }

    /// Checks the `returns` that a file states, if it does: it is no use to a reader if they are not the sums of rewards.
    fn check_returns(&self, returns: Option<&[f32]>) -> Result<(), String> {
        let Some(returns) = returns else { return Ok(()) };
        let episodes = self.episodes();
        if returns.len() != episodes.len() {
            return Err(format!("`returns` holds {} values of {} episodes", returns.len(), episodes.len()));
        }
        // Sums in another order are rounded otherwise.
        let near = |(stated, (_, sum)): (&f32, &(_, f32))| (*stated - sum).abs() <= 1e-3 * sum.abs().max(1.0);
        match returns.iter().zip(&episodes).position(|pair| !near(pair)) {
            Some(at) => Err(format!(
                "`returns` holds {} for episode {at}, whose rewards sum to {}",
                returns[at], episodes[at].1
            )),
            None => Ok(()),
        }
    }

    /// Checks that the tensors fit each other and the environment.
    ///
    /// # Errors
    /// Names the tensor, and says what was expected and what it holds.
    pub fn validate(&self) -> Result<(), String> {
        let (n, spec) = (self.len(), &self.info.environment.spec);
        self.info.environment.wrappers.check()?;
        let of_space = matches!(self.observations, Observations::Byte(_))
            == matches!(spec.observation, Space::Image { .. });
        if !of_space {
            return Err(format!("the observations are not of the type of {}", spec.observation));
        }
        let (actions, width) = match &self.actions {
            Actions::Discrete(actions) => (actions.len(), 1),
            Actions::Continuous(actions) => (actions.len(), spec.action.size()),
        };
        for (name, len, expected) in [
            ("observations", self.observations.len(), n * spec.observation.size()),
            ("actions", actions, n * width),
            ("terminated", self.terminated.len(), n),
            ("truncated", self.truncated.len(), n),
        ] {
            if len != expected {
                return Err(format!("`{name}` holds {len} values; {n} rewards ask for {expected}"));
            }
        }
        let finite = |values: &[f32]| values.iter().all(|v| v.is_finite());
        match (&self.actions, &spec.action) {
            (Actions::Discrete(actions), Space::Discrete { n }) => {
                if let Some(row) = actions.iter().position(|&action| action as usize >= *n) {
                    return Err(format!("action {} of row {row} is not in 0..{n}", actions[row] as i32));
                }
            }
            (Actions::Continuous(actions), Space::Box { .. }) => {
                if !finite(actions) {
                    return Err("an action is not finite".into());
                }
            }
            (_, Space::Discrete { .. } | Space::Box { .. }) => {
                return Err(format!("the actions are not of the type of {}", spec.action));
            }
            _ => {
                return Err(format!("the action space is {}; expected Discrete or Box actions", spec.action));
            }
        }
        let observed = |seen: &Observations| !matches!(seen, Observations::Float(values) if !finite(values));
        if !observed(&self.observations) || !finite(&self.rewards) {
            return Err("an observation or a reward is not finite".into());
        }
        match self.terminated.last().zip(self.truncated.last()) {
            Some((false, false)) => return Err("the last episode does not end".into()),
            Some(_) => {}
            None => return Err("there are no transitions".into()),
        }
        let Some(last) = &self.final_observations else { return Ok(()) };
        let (len, episodes) = (last.len(), self.episodes().len());
        if len != episodes * spec.observation.size() {
            let what = counted(episodes, "episode");
            return Err(format!("`final_observations` holds {len} values, which are not those of {what}"));
        }
        match std::mem::discriminant(last) == std::mem::discriminant(&self.observations) && observed(last) {
            true => Ok(()),
            false => {
                Err("`final_observations` are of another type than `observations`, or not finite".into())
            }
        }
    }

    /// Writes the transitions atomically.
    ///
    /// # Errors
    /// [`Error::Io`] naming `path`; [`Error::File`] when [`Transitions::validate`] refuses them.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.validate().map_err(|what| Error::file(path, format!("not written: {what}")))?;
        let versioned = Versioned { format_version: FORMAT_VERSION, info: self.info.clone() };
        let text = serde_json::to_string(&versioned)
            .map_err(|e| Error::file(path, format!("the metadata cannot be written as JSON: {e}")))?;
        let n = self.len();
        let flags = |flags: &[bool]| Values::U8(flags.iter().map(|&flag| u8::from(flag)).collect());
        fn observed(observations: &Observations) -> Values<'_> {
            match observations {
                Observations::Float(values) => Values::F32(values.into()),
                Observations::Byte(values) => Values::U8(values.into()),
            }
        }
        let rows = |n: usize, rest: Vec<usize>| [vec![n], rest].concat();
        let spec = &self.info.environment.spec;
        let (width, actions) = match &self.actions {
            Actions::Discrete(actions) => (1, Values::I32(bytemuck::cast_slice(actions).into())),
            Actions::Continuous(actions) => (spec.action.size(), Values::F32(actions.into())),
        };
        let returns: Vec<f32> = self.episodes().into_iter().map(|(_, total)| total).collect();
        let episodes = returns.len();
        let mut tensors = vec![
            ("observations", rows(n, spec.observation.shape()), observed(&self.observations)),
            ("actions", vec![n, width], actions),
            ("rewards", vec![n], Values::F32((&self.rewards).into())),
            ("terminated", vec![n], flags(&self.terminated)),
            ("truncated", vec![n], flags(&self.truncated)),
            ("returns", vec![episodes], Values::F32(returns.into())),
        ];
        if let Some(last) = &self.final_observations {
            tensors.push(("final_observations", rows(episodes, spec.observation.shape()), observed(last)));
        }
        let raw =
            |(name, shape, values): (&'static str, _, _)| RawTensor { name: name.into(), shape, values };
        let tensors: Vec<RawTensor<'_>> = tensors.into_iter().map(raw).collect();
        write_raw(path, &KIND, &text, &tensors, Durability::Disk)
    }
}

#[cfg(test)]
mod tests {
    use super::super::dataset::tests::{cartpole_spec, environment_of};
    use super::*;
    use proptest::prelude::*;

    /// Episodes of these lengths; the reward is 1 a step.
    fn transitions(lengths: &[usize]) -> Transitions {
        let n: usize = lengths.iter().sum();
        let mut ends = vec![false; n];
        let mut at = 0;
        for length in lengths {
            at += length;
            ends[at - 1] = true;
        }
        Transitions {
            observations: Observations::Float((0..4 * n).map(|i| i as f32).collect()),
            actions: Actions::Discrete((0..n as u32).map(|i| i % 2).collect()),
            rewards: vec![1.0; n],
            terminated: ends.iter().enumerate().map(|(i, end)| *end && i % 2 == 0).collect(),
            truncated: ends.iter().enumerate().map(|(i, end)| *end && i % 2 == 1).collect(),
            final_observations: Some(Observations::Float(
                (0..4 * lengths.len()).map(|i| -(i as f32)).collect(),
            )),
            info: TransitionsInfo {
                environment: environment_of(cartpole_spec()),
                policy: "random actions".into(),
                acting: Some(Acting::Sampled),
                temperature: 0.5,
                noise: 0.1,
                seed: Some(3),
                software: "test".into(),
                faults: 2,
                origin: Some("elsewhere".into()),
            },
        }
    }

    proptest! {
        #[test]
        fn a_file_gives_back_what_was_saved(lengths in prop::collection::vec(1usize..9, 1..6)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("data.safetensors");
            let saved = transitions(&lengths);
            saved.save(&path).unwrap();
            let loaded = Transitions::load(&path).unwrap();
            prop_assert_eq!(&loaded, &saved);
            let found: Vec<usize> = loaded.episodes().iter().map(|(rows, _)| rows.len()).collect();
            prop_assert_eq!(found, lengths);
        }
    }

    #[test]
    fn bytes_stay_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.safetensors");
        let mut saved = transitions(&[2, 1]);
        saved.info.environment.spec.observation = Space::Image { shape: vec![2, 2] };
        assert!(saved.validate().unwrap_err().contains("type of"), "floats of an image space");
        saved.observations = Observations::Byte((0..12).map(|i| 20 * i).collect());
        assert!(saved.validate().unwrap_err().contains("`final_observations` are of another type"));
        saved.final_observations = Some(Observations::Byte((0..8).collect()));
        saved.save(&path).unwrap();
        let loaded = Transitions::load(&path).unwrap();
        assert_eq!(loaded, saved);
    }

    #[test]
    fn continuous_actions_stay_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.safetensors");
        let mut saved = transitions(&[2, 1]);
        saved.info.environment.spec.action = Space::unbounded([2]);
        assert!(saved.validate().unwrap_err().contains("not of the type of Box"), "indices of a box");
        saved.actions = Actions::Continuous((0..6).map(|i| 0.1 * i as f32).collect());
        saved.save(&path).unwrap();
        assert_eq!(Transitions::load(&path).unwrap(), saved);
        assert_eq!(saved.unused(), [0usize; 0]);
        saved.actions = Actions::Continuous(vec![f32::NAN; 6]);
        assert!(saved.validate().unwrap_err().contains("an action is not finite"));
    }

    /// A file of format 1, as version 0.1.0 wrote it before there was a format 2.
    #[test]
    fn files_of_format_1_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.safetensors");
        let mut expected = transitions(&[2, 1]);
        let info = &mut expected.info;
        (info.temperature, info.noise, info.origin) = (1.0, 0.0, None);
        expected.final_observations = None;
        let environment = &info.environment;
        let text = serde_json::json!({
            "format_version": 1, "environment": environment, "policy": "random actions", "acting": "sampled",
            "seed": 3, "software": "test", "faults": 2,
        });
        let float = |values: &[f32]| Values::F32(values.to_vec().into());
        let Observations::Float(observations) = &expected.observations else { panic!() };
        let tensors = [
            ("observations", vec![3, 4], float(observations)),
            ("actions", vec![3, 1], Values::I32(vec![0, 1, 0].into())),
            ("rewards", vec![3], float(&[1.0; 3])),
            ("terminated", vec![3], Values::U8(vec![0, 0, 1].into())),
            ("truncated", vec![3], Values::U8(vec![0, 1, 0].into())),
        ];
        let tensors = tensors.map(|(name, shape, values)| RawTensor { name: name.into(), shape, values });
        write_raw(&path, &KIND, &text.to_string(), &tensors, Durability::Process).unwrap();
        assert_eq!(Transitions::load(&path).unwrap(), expected);
        assert_eq!(expected.unused(), [0usize; 0]);
        expected.actions = Actions::Discrete(vec![1; 3]);
        assert_eq!(expected.unused(), [0]);
    }

    #[test]
    fn stated_returns_are_the_sums_of_rewards() {
        let data = transitions(&[2, 3]);
        data.check_returns(None).unwrap();
        data.check_returns(Some(&[2.0, 3.001])).unwrap();
        let refused = |returns: &[f32]| data.check_returns(Some(returns)).unwrap_err();
        assert!(refused(&[2.0]).contains("`returns` holds 1 values of 2 episodes"));
        assert!(refused(&[2.0, 4.0]).contains("4 for episode 1, whose rewards sum to 3"));
        assert!(refused(&[f32::NAN, 3.0]).contains("NaN for episode 0"));
    }

    #[test]
    fn the_best_episodes() {
        let data = transitions(&[2, 5, 1, 4]);
        assert_eq!(data.best(0.25), (2..7).collect::<Vec<_>>());
        assert_eq!(data.best(0.3), (2..7).chain(8..12).collect::<Vec<_>>());
        assert_eq!(data.best(1e-9), (2..7).collect::<Vec<_>>());
        assert_eq!(data.best(1.0), (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn says_what_does_not_fit() {
        type Change = fn(&mut Transitions);
        let cases: [(Change, &str); 8] = [
            (|t| t.actions = Actions::Discrete(vec![0, 0, 2]), "action 2 of row 2 is not in 0..2"),
            (|t| t.actions = Actions::Discrete(vec![u32::MAX, 0, 0]), "action -1 of row 0"),
            (|t| t.rewards[1] = f32::NAN, "not finite"),
            (|t| t.actions = Actions::Discrete(vec![0; 4]), "`actions` holds 4 values; 3 rewards ask for 3"),
            (|t| t.final_observations = Some(Observations::Float(vec![0.0; 5])), "not those of 1 episode"),
            (|t| t.observations = Observations::Float(vec![0.0; 11]), "`observations` holds 11 values"),
            (|t| (t.terminated[2], t.truncated[2]) = (false, false), "the last episode does not end"),
            (
                |t| t.info.environment.spec.action = Space::MultiDiscrete { nvec: vec![2, 2] },
                "expected Discrete or Box actions",
            ),
        ];
        for (change, expected) in cases {
            let mut data = transitions(&[3]);
            change(&mut data);
            let error = data.validate().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(Transitions::parse(b"").unwrap_err().contains("empty or cut short"));
    }
}
