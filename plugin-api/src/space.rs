//! Spaces of observations and actions.
use serde::{Deserialize, Serialize};

/// A space of observations or actions, as in Gymnasium.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Space {
    /// A `float32` array of `shape` whose elements are within `[low, high]`, with one bound for all or one per element.
    Box {
        /// The dimensions of one sample, empty for a scalar.
        shape: Vec<usize>,
        /// The inclusive lower bounds: one, or one per element. They may be `-inf`.
        #[serde(with = "bounds")]
        low: Vec<f32>,
        /// The inclusive upper bounds: one, or one per element. They may be `inf`.
        #[serde(with = "bounds")]
        high: Vec<f32>,
    },
    /// An integer in `0..n`.
    Discrete {
        /// The number of choices, at least 1.
        n: usize,
    },
    /// One integer in `0..n` for every entry `n` of `nvec`.
    MultiDiscrete {
        /// The number of choices of each component.
        nvec: Vec<usize>,
    },
    /// A `uint8` array of `shape`, with pixels from 0 to 255.
    Image {
        /// The dimensions of one sample, such as `[4, 84, 84]`.
        shape: Vec<usize>,
    },
}

/// The error for a space that is not valid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct SpaceError(pub String);

impl Space {
    /// Makes a `Box` of `shape` without bounds.
    pub fn unbounded(shape: impl Into<Vec<usize>>) -> Self {
        Space::Box { shape: shape.into(), low: vec![f32::NEG_INFINITY], high: vec![f32::INFINITY] }
    }

    /// Returns the dimensions of one sample as the engine stores it: `[]` for `Discrete`, `[components]` for
    /// `MultiDiscrete`.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Space::Box { shape, .. } | Space::Image { shape } => shape.clone(),
            Space::Discrete { .. } => vec![],
            Space::MultiDiscrete { nvec } => vec![nvec.len()],
        }
    }

    /// Returns the number of scalars in one sample.
    pub fn size(&self) -> usize {
        self.shape().iter().product()
    }

    /// Returns the number of outputs that a policy needs: the means for a `Box`, the logits for a discrete space.
    pub fn policy_outputs(&self) -> usize {
        match self {
            Space::Box { .. } | Space::Image { .. } => self.size(),
            Space::Discrete { n } => *n,
            Space::MultiDiscrete { nvec } => nvec.iter().sum(),
        }
    }

    /// Checks that the space is valid: every dimension and number of choices is at least 1, the size does not overflow,
    /// and bounds have the right length and order.
    ///
    /// # Errors
    /// Fails if the space is not valid. The message says which part is wrong.
    pub fn validate(&self) -> Result<(), SpaceError> {
        let fail = |message: String| Err(SpaceError(message));
        if self.shape().contains(&0) {
            return fail(format!("shape {:?} has an empty dimension", self.shape()));
        }
        // A plugin may claim any dimensions, so limit their product before it is computed unchecked.
        const LARGEST: usize = 1 << 31;
        let numbers = match self {
            Space::MultiDiscrete { nvec } => nvec.iter().try_fold(0usize, |sum, n| sum.checked_add(*n)),
            Space::Discrete { n } => Some(*n),
            _ => self.shape().iter().try_fold(1usize, |product, n| product.checked_mul(*n)),
        };
        if numbers.is_none_or(|n| n > LARGEST) {
            return fail(format!("{self} is larger than {LARGEST}"));
        }
        match self {
            Space::Discrete { n: 0 } => fail("a discrete space needs at least one choice".into()),
            Space::MultiDiscrete { nvec } if nvec.is_empty() || nvec.contains(&0) => {
                fail(format!("nvec {nvec:?} needs at least one component and one choice for each"))
            }
            Space::Box { low, high, .. } => {
                let size = self.size();
                for (name, bound) in [("low", low), ("high", high)] {
                    if bound.len() != 1 && bound.len() != size {
                        return fail(format!("`{name}` has {} values, expected 1 or {size}", bound.len()));
                    }
                    if bound.iter().any(|v| v.is_nan()) {
                        return fail(format!("`{name}` has a NaN"));
                    }
                }
                for i in 0..size {
                    let (l, h) = (low[i % low.len()], high[i % high.len()]);
                    if l > h {
                        return fail(format!("low {l} is above high {h} at element {i}"));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Space::Box { shape, low, high } => {
                let bound = |b: &[f32]| match b {
                    [one] => format!("{one}"),
                    _ => "per element".into(),
                };
                write!(f, "Box({shape:?}, {}..{})", bound(low), bound(high))
            }
            Space::Discrete { n } => write!(f, "Discrete({n})"),
            Space::MultiDiscrete { nvec } => write!(f, "MultiDiscrete({nvec:?})"),
            Space::Image { shape } => write!(f, "Image({shape:?}, u8)"),
        }
    }
}

/// Serializes infinite bounds as the texts `"inf"` and `"-inf"`. JSON has no infinity: `serde_json` would write `null`,
/// which it cannot read back.
mod bounds {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Bound {
        Number(f32),
        Text(String),
    }

    pub(super) fn serialize<S: Serializer>(bounds: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(bounds.iter().map(|bound| match bound.is_finite() {
            true => Bound::Number(*bound),
            false => Bound::Text(bound.to_string()),
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
        let bounds = Vec::<Bound>::deserialize(deserializer)?;
        let number = |bound| match bound {
            Bound::Number(number) => Ok(number),
            Bound::Text(text) if text == "inf" => Ok(f32::INFINITY),
            Bound::Text(text) if text == "-inf" => Ok(f32::NEG_INFINITY),
            Bound::Text(text) => Err(D::Error::custom(format!(
                "`{text}` is not a bound; expected a number, \"inf\" or \"-inf\""
            ))),
        };
        bounds.into_iter().map(number).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_space() -> impl Strategy<Value = Space> {
        let shape = prop::collection::vec(0usize..5, 0..4);
        let bound = prop::collection::vec(-2.0f32..2.0, 1..5);
        prop_oneof![
            (shape.clone(), bound.clone(), bound).prop_map(|(shape, low, high)| Space::Box {
                shape,
                low,
                high
            }),
            (0usize..9).prop_map(|n| Space::Discrete { n }),
            prop::collection::vec(0usize..4, 0..4).prop_map(|nvec| Space::MultiDiscrete { nvec }),
            shape.prop_map(|shape| Space::Image { shape }),
        ]
    }

    proptest! {
        #[test]
        fn a_valid_space_has_a_size_and_outputs(space in any_space()) {
            if space.validate().is_ok() {
                prop_assert!(space.size() > 0 && space.policy_outputs() > 0);
            }
            prop_assert!(!space.to_string().is_empty());
        }
    }

    #[test]
    fn rejects_invalid_spaces() {
        let of = |low: Vec<f32>, high: Vec<f32>| Space::Box { shape: vec![2], low, high }.validate();
        of(vec![0.0], vec![1.0, 2.0]).unwrap();
        assert!(of(vec![], vec![1.0]).unwrap_err().to_string().contains("`low` has 0 values"));
        assert!(of(vec![0.0], vec![1.0, -1.0]).unwrap_err().to_string().contains("above high"));
        assert!(of(vec![f32::NAN], vec![1.0]).is_err());
        assert!(Space::Discrete { n: 0 }.validate().is_err());
        assert!(Space::MultiDiscrete { nvec: vec![] }.validate().is_err());
        assert!(
            Space::Image { shape: vec![1 << 40, 1 << 40] }
                .validate()
                .unwrap_err()
                .to_string()
                .contains("larger")
        );
        assert!(Space::Image { shape: vec![4, 0] }.validate().is_err());
    }
}
