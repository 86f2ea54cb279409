//! Offline data: the transitions of whole episodes, in a safetensors file.
//!
//! | tensor | type, shape | |
//! |---|---|---|
//! | `observations` | F32, or U8 for an image space, `[n, …observation]` | the observation before the action |
//! | `actions` | I32 `[n, 1]` | the action |
//! | `rewards` | F32 `[n]` | its reward |
//! | `terminated`, `truncated` | U8 `[n]`, 0 or 1 | whether the episode ended with it |
//!
//! The episodes follow each other, and the last row ends one. The header's metadata holds `format` =
//! `potstill-transitions`, the JSON value `potstill` that [`TransitionsInfo`] describes, and `sha256`, a checksum of both
//! and of the tensors.
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
use crate::plugin::Observations;

const KIND: Kind = Kind {
    format: "potstill-transitions",
    name: "transitions",
    otherwise: "not a file of transitions (`potstill collect` writes one)",
    most: MAX_STATE,
};
const FORMAT_VERSION: u32 = 1;

/// The transitions of whole episodes, one episode after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Transitions {
    /// The observations before the actions, `[n, …observation]`.
    pub observations: Observations,
    /// The actions, `[n]`, each below the number of actions.
    pub actions: Vec<i32>,
    /// The rewards, `[n]`.
    pub rewards: Vec<f32>,
    /// Whether the state that was reached is terminal, `[n]`.
    pub terminated: Vec<bool>,
    /// Whether the episode was cut short there, `[n]`.
    pub truncated: Vec<bool>,
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
    /// How actions were chosen from the policy.
    pub acting: Acting,
    /// The seed of the episodes and the actions.
    pub seed: u64,
    /// The program that wrote the file, e.g. `potstill 0.1.0`.
    pub software: String,
    /// The number of episodes that ended because their simulation failed.
    #[serde(default)]
    pub faults: usize,
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
        self.actions.len()
    }

    /// Whether there are no transitions.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
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
        if format_version != FORMAT_VERSION {
            return Err(format!(
                "transitions of format {format_version}; this Potstill reads {FORMAT_VERSION}: upgrade it"
            ));
        }
        let mut take = |name: &str, width: &[usize]| -> Result<Values<'static>, String> {
            let at = tensors.iter().position(|t| t.name == name);
            let tensor = at.map(|at| tensors.swap_remove(at)).ok_or(format!("tensor `{name}` is missing"))?;
            match tensor.shape.split_first() {
                Some((_, rest)) if rest == width => Ok(tensor.values),
                _ => Err(format!("`{name}` has shape {:?}; expected n × {width:?}", tensor.shape)),
            }
        };
        let of_type = |name: &str, expected: &str| format!("`{name}` is not of type {expected}");
        let observations = match take("observations", &info.environment.spec.observation.shape())? {
            Values::F32(values) => Observations::Float(values.into_owned()),
            Values::U8(values) => Observations::Byte(values.into_owned()),
            Values::I32(_) => return Err(of_type("observations", "F32 or U8")),
        };
        let Values::I32(actions) = take("actions", &[1])? else { return Err(of_type("actions", "I32")) };
        let Values::F32(rewards) = take("rewards", &[])? else { return Err(of_type("rewards", "F32")) };
        let mut flags = |name: &str| match take(name, &[])? {
            Values::U8(flags) if flags.iter().all(|&flag| flag < 2) => {
                Ok(flags.iter().map(|&flag| flag == 1).collect())
            }
            _ => Err(format!("`{name}` is not of 0 and 1 in type U8")),
        };
        let (terminated, truncated) = (flags("terminated")?, flags("truncated")?);
        if let Some(stray) = tensors.first() {
            return Err(format!("tensor `{}` does not belong into transitions", stray.name));
        }
        let (actions, rewards) = (actions.into_owned(), rewards.into_owned());
        let transitions = Transitions { observations, actions, rewards, terminated, truncated, info };
        transitions.validate()?;
        Ok(transitions)
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
        for (name, len, expected) in [
            ("observations", self.observations.len(), n * spec.observation.size()),
            ("rewards", self.rewards.len(), n),
            ("terminated", self.terminated.len(), n),
            ("truncated", self.truncated.len(), n),
        ] {
            if len != expected {
                return Err(format!("`{name}` holds {len} values; {n} actions ask for {expected}"));
            }
        }
        let Space::Discrete { n: actions } = spec.action else {
            return Err(format!("the action space is {}; expected Discrete actions", spec.action));
        };
        let outside = |a: &i32| usize::try_from(*a).map_or(true, |a| a >= actions);
        if let Some(row) = self.actions.iter().position(outside) {
            return Err(format!("action {} of row {row} is not in 0..{actions}", self.actions[row]));
        }
        let finite = |values: &[f32]| values.iter().all(|v| v.is_finite());
        let observed = !matches!(&self.observations, Observations::Float(values) if !finite(values));
        if !observed || !finite(&self.rewards) {
            return Err("an observation or a reward is not finite".into());
        }
        match self.terminated.last().zip(self.truncated.last()) {
            Some((false, false)) => Err("the last episode does not end".into()),
            Some(_) => Ok(()),
            None => Err("there are no transitions".into()),
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
        let observations = match &self.observations {
            Observations::Float(values) => Values::F32(values.into()),
            Observations::Byte(values) => Values::U8(values.into()),
        };
        let mut shape = self.info.environment.spec.observation.shape();
        shape.insert(0, n);
        let tensors = [
            ("observations", shape, observations),
            ("actions", vec![n, 1], Values::I32((&self.actions).into())),
            ("rewards", vec![n], Values::F32((&self.rewards).into())),
            ("terminated", vec![n], flags(&self.terminated)),
            ("truncated", vec![n], flags(&self.truncated)),
        ];
        let tensors = tensors.map(|(name, shape, values)| RawTensor { name: name.into(), shape, values });
        write_raw(path, &KIND, &text, &tensors, Durability::Disk)
    }
}

#[cfg(test)]
mod tests {
    use super::super::dataset::tests::cartpole_spec;
    use super::*;
    use crate::engine::wrappers::Wrappers;
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
        let spec = cartpole_spec();
        Transitions {
            observations: Observations::Float((0..4 * n).map(|i| i as f32).collect()),
            actions: (0..n).map(|i| (i % 2) as i32).collect(),
            rewards: vec![1.0; n],
            terminated: ends.iter().enumerate().map(|(i, end)| *end && i % 2 == 0).collect(),
            truncated: ends.iter().enumerate().map(|(i, end)| *end && i % 2 == 1).collect(),
            info: TransitionsInfo {
                environment: DatasetEnvironment {
                    id: spec.id.clone(),
                    version: "0.1.0".into(),
                    settings: [].into(),
                    observe: None,
                    wrappers: Wrappers::default(),
                    plugin_sha256: None,
                    spec,
                },
                policy: "random actions".into(),
                acting: Acting::Sampled,
                seed: 3,
                software: "test".into(),
                faults: 2,
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
        saved.save(&path).unwrap();
        let loaded = Transitions::load(&path).unwrap();
        assert_eq!(loaded, saved);
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
        let cases: [(Change, &str); 7] = [
            (|t| t.actions[2] = 2, "action 2 of row 2 is not in 0..2"),
            (|t| t.actions[0] = -1, "action -1 of row 0"),
            (|t| t.rewards[1] = f32::NAN, "not finite"),
            (|t| t.rewards.push(0.0), "`rewards` holds 4 values; 3 actions ask for 3"),
            (|t| t.observations = Observations::Float(vec![0.0; 11]), "`observations` holds 11 values"),
            (|t| (t.terminated[2], t.truncated[2]) = (false, false), "the last episode does not end"),
            (|t| t.info.environment.spec.action = Space::unbounded([2]), "expected Discrete actions"),
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
