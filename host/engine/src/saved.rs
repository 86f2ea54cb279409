//! States as bytes: parts behind each other, each behind its length in 8 bytes, little-endian.
use potstill_plugin_api::Space;

use crate::environment::Observations;
use crate::error::Error;
use crate::rollout::Unfinished;

/// Joins parts to a state.
pub fn join(parts: &[&[u8]]) -> Vec<u8> {
    let mut state = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        state.extend_from_slice(&(part.len() as u64).to_le_bytes());
        state.extend_from_slice(part);
    }
    state
}

/// The `count` parts of a state; `None` if it does not have so many.
pub fn split(mut state: &[u8], count: usize) -> Option<Vec<&[u8]>> {
    let mut parts = vec![];
    for _ in 0..count {
        let (length, rest) = state.split_first_chunk::<8>()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        parts.push(part);
        state = rest;
    }
    state.is_empty().then_some(parts)
}

/// The error for a state that wrappers of another kind or number saved.
pub fn not_of_these() -> Error {
    Error::usage("the saved state is of an environment with other wrappers")
}

/// Observations as bytes.
pub fn of_observations(observations: &Observations) -> Vec<u8> {
    match observations {
        Observations::Float(numbers) => numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
        Observations::Byte(bytes) => bytes.clone(),
    }
}

/// What [`of_observations`] made of `count` observations of `space`.
pub fn to_observations(bytes: &[u8], space: &Space, count: usize) -> Option<Observations> {
    let observations = match Observations::none(space) {
        Observations::Float(_) => Observations::Float(numbers(bytes, f32::from_le_bytes)?),
        Observations::Byte(_) => Observations::Byte(bytes.to_vec()),
    };
    (observations.len() == count * space.size()).then_some(observations)
}

fn numbers<T>(bytes: &[u8], number: impl Fn([u8; 4]) -> T) -> Option<Vec<T>> {
    let (words, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| words.iter().map(|word| number(*word)).collect())
}

impl Unfinished {
    /// The episodes as bytes, with the `snapshot` of their environments.
    pub(crate) fn save(&self, snapshot: &[u8]) -> Vec<u8> {
        let returns: Vec<u8> = self.returns.iter().flat_map(|value| value.to_le_bytes()).collect();
        let lengths: Vec<u8> = self.lengths.iter().flat_map(|value| value.to_le_bytes()).collect();
        join(&[snapshot, &of_observations(&self.observations), &returns, &lengths])
    }

    /// What [`Self::save`] made of episodes in `count` environments with observations of `space`, and the snapshot.
    pub(crate) fn load<'a>(state: &'a [u8], space: &Space, count: usize) -> Option<(Self, &'a [u8])> {
        let [snapshot, observations, returns, lengths] = split(state, 4)?[..] else { return None };
        let observations = to_observations(observations, space, count)?;
        let (returns, lengths) =
            (numbers(returns, f32::from_le_bytes)?, numbers(lengths, u32::from_le_bytes)?);
        let whole = returns.len() == count && lengths.len() == count;
        whole.then_some((Unfinished { observations, returns, lengths }, snapshot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn episodes_come_back() {
        let numbers = Observations::Float(vec![0.5, f32::NAN, -1.0, 2.0]);
        for (space, observations) in [
            (Space::Image { shape: vec![1, 1, 2] }, Observations::Byte(vec![1, 2, 3, 4])),
            (Space::unbounded([2]), numbers),
        ] {
            let unfinished = Unfinished { observations, returns: vec![1.5, -2.0], lengths: vec![3, 4] };
            let state = unfinished.save(b"snapshot");
            let (loaded, snapshot) = Unfinished::load(&state, &space, 2).unwrap();
            assert_eq!((format!("{loaded:?}"), snapshot), (format!("{unfinished:?}"), &b"snapshot"[..]));
            assert!(Unfinished::load(&state, &space, 3).is_none());
            for cut in 0..state.len() {
                assert!(Unfinished::load(&state[..cut], &space, 2).is_none(), "{cut}");
            }
        }
    }
}
