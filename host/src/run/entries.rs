//! The choice of the observation entries that learners see.
use std::fmt;
use std::ops::RangeInclusive;

use potstill_plugin_api::Space;
use serde::{Deserialize, Serialize};

use crate::plugin::Observations;

/// A choice of observation entries, such as `0-44` or `0-7,12,20-22`. Entries are counted from 0 in row-major order and
/// ascend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Entries(Vec<RangeInclusive<usize>>);

impl Entries {
    /// The chosen indices, ascending.
    pub fn indices(&self) -> impl Iterator<Item = usize> {
        self.0.iter().cloned().flatten()
    }

    /// The space of the chosen entries of `space`.
    ///
    /// # Errors
    /// `space` is neither a `Box` nor an `Image`, or has no entry of a chosen index.
    pub fn of(&self, space: &Space) -> Result<Space, String> {
        let size = space.size();
        if let Some(last) = self.0.last().map(|range| *range.end()).filter(|last| *last >= size) {
            return Err(format!("there is no entry {last}: observations have {size}, counted from 0"));
        }
        let chosen = |bounds: &[f32]| match bounds {
            [bound] => vec![*bound],
            bounds => self.indices().map(|i| bounds[i]).collect(),
        };
        let count = self.indices().count();
        match space {
            Space::Box { low, high, .. } => {
                Ok(Space::Box { shape: vec![count], low: chosen(low), high: chosen(high) })
            }
            Space::Image { shape } => {
                Ok(Space::Image { shape: self.of_picture(shape).unwrap_or(vec![count]) })
            }
            other => Err(format!("entries can be chosen of a Box or an Image, and observations are {other}")),
        }
    }

    /// The shape of whole channels of a picture `[c, h, w]`, if they are all that is chosen.
    fn of_picture(&self, shape: &[usize]) -> Option<Vec<usize>> {
        let &[_, h, w] = shape else { return None };
        let channel = h * w;
        let whole = |range: &RangeInclusive<usize>| {
            range.start().is_multiple_of(channel) && (range.end() + 1).is_multiple_of(channel)
        };
        self.0.iter().all(whole).then(|| vec![self.indices().count() / (h * w), h, w])
    }

    /// The chosen entries of each row of `size` entries.
    pub fn choose(&self, observations: &Observations, size: usize) -> Observations {
        fn of<T: Copy>(values: &[T], size: usize, ranges: &[RangeInclusive<usize>]) -> Vec<T> {
            let mut chosen = vec![];
            for row in values.chunks_exact(size) {
                ranges.iter().for_each(|range| chosen.extend_from_slice(&row[range.clone()]));
            }
            chosen
        }
        match observations {
            Observations::Float(values) => Observations::Float(of(values, size, &self.0)),
            Observations::Byte(values) => Observations::Byte(of(values, size, &self.0)),
        }
    }
}

impl TryFrom<String> for Entries {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a choice of entries: expected ascending numbers and ranges, 0-7,12");
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse().map_err(|_| wrong());
            Ok::<_, String>(number(first)?..=number(last)?)
        };
        let ranges: Vec<RangeInclusive<usize>> = text.split(',').map(range).collect::<Result<_, _>>()?;
        let ascending = ranges.windows(2).all(|pair| pair[0].end() < pair[1].start());
        match ascending && ranges.iter().all(|range| !range.is_empty()) {
            true => Ok(Entries(ranges)),
            false => Err(wrong()),
        }
    }
}

impl fmt::Display for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match range.start() == range.end() {
                true => write!(f, "{comma}{}", range.start())?,
                false => write!(f, "{comma}{}-{}", range.start(), range.end())?,
            }
        }
        Ok(())
    }
}

impl From<Entries> for String {
    fn from(entries: Entries) -> String {
        entries.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Result<Entries, String> {
        Entries::try_from(text.to_owned())
    }

    #[test]
    fn are_what_they_say() {
        let some = entries("0-2, 5,7-8").unwrap();
        assert_eq!(some.to_string(), "0-2,5,7-8");
        assert_eq!(some.indices().collect::<Vec<_>>(), [0, 1, 2, 5, 7, 8]);
        assert_eq!(entries(&some.to_string()), Ok(some));
        for wrong in ["", "x", "2-1", "1,1", "5,3", "0-4,4", "1-", "-1", "1,", "0-99999999999999999999999"] {
            let error = entries(wrong).unwrap_err();
            assert!(error.contains("expected ascending numbers and ranges"), "{wrong}: {error}");
        }
    }

    #[test]
    fn leave_a_space_with_its_bounds() {
        let low = vec![-1.0, -2.0, -3.0, -4.0];
        let space = Space::Box { shape: vec![2, 2], low, high: vec![f32::INFINITY] };
        let left = Space::Box { shape: vec![2], low: vec![-1.0, -4.0], high: vec![f32::INFINITY] };
        assert_eq!(entries("0,3").unwrap().of(&space), Ok(left));
        let beyond = entries("2-4").unwrap();
        assert_eq!(beyond.of(&space), Err("there is no entry 4: observations have 4, counted from 0".into()));
        // A long range is refused without being expanded.
        assert!(entries(&format!("0-{}", usize::MAX)).unwrap().of(&space).is_err());
        let of_image =
            |text: &str, shape: &[usize]| entries(text).unwrap().of(&Space::Image { shape: shape.to_vec() });
        let image = |shape: &[usize]| Ok(Space::Image { shape: shape.to_vec() });
        assert_eq!(of_image("2-4", &[9]), image(&[3]));
        assert_eq!(
            (of_image("0-5", &[3, 2, 3]), of_image("0-5,12-17", &[3, 2, 3])),
            (image(&[1, 2, 3]), image(&[2, 2, 3]))
        );
        assert_eq!(of_image("0-6", &[3, 2, 3]), image(&[7]));
        assert!(
            entries("0")
                .unwrap()
                .of(&Space::Discrete { n: 9 })
                .unwrap_err()
                .contains("chosen of a Box or an Image")
        );
    }
}
