//! Running moments, which normalize observations and rewards as Gymnasium's `NormalizeObservation` and
//! `NormalizeReward` do.
//!
//! Moments change only between meta-epochs, so that a policy learns on the same numbers it acted on. They are kept in
//! single precision, so that a checkpoint holds them exactly.
use std::borrow::Cow;

use crate::environment::Observations;
use crate::error::{Error, Result};
use crate::rollout::as_f32;
use crate::theta::NamedTensor;

/// The mean and variance of each element of a row, over the rows seen so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// The number of rows seen.
    pub count: f32,
    /// The mean of each element, `[width]`.
    pub mean: Vec<f32>,
    /// The population variance of each element (divided by the count, not by one less), `[width]`.
    pub variance: Vec<f32>,
}

/// Sums over rows, from which [`Moments::update`] computes moments.
#[derive(Clone, Debug, PartialEq)]
pub struct Sums {
    count: f64,
    /// The first row, which is subtracted from all rows, so that a large mean does not cost precision.
    first: Vec<f64>,
    sum: Vec<f64>,
    squares: Vec<f64>,
}

impl Sums {
    /// Sums over no rows yet, of `width` elements each.
    pub fn new(width: usize) -> Self {
        Sums { count: 0.0, first: vec![], sum: vec![0.0; width], squares: vec![0.0; width] }
    }

    /// Adds `rows`, `[n, width]`.
    pub fn add(&mut self, rows: &[f32]) {
        for row in rows.chunks_exact(self.sum.len()) {
            if self.first.is_empty() {
                self.first = row.iter().map(|&v| f64::from(v)).collect();
            }
            self.count += 1.0;
            for (i, v) in row.iter().enumerate() {
                let v = f64::from(*v) - self.first[i];
                self.sum[i] += v;
                self.squares[i] += v * v;
            }
        }
    }
}

impl Moments {
    /// Moments before any rows of `width` elements are seen: mean 0 and variance 1.
    pub fn new(width: usize) -> Self {
        Moments { count: 0.0, mean: vec![0.0; width], variance: vec![1.0; width] }
    }

    /// The tensors that store the moments in files: `PREFIX.count` `[1]`, `PREFIX.mean` and `PREFIX.variance`
    /// `[width]`.
    pub fn to_tensors(&self, prefix: &str) -> [NamedTensor; 3] {
        let Moments { count, mean, variance } = self;
        let tensor = |name: &str, values: &[f32]| NamedTensor {
            name: format!("{prefix}.{name}"),
            shape: vec![values.len()],
            data: values.to_vec(),
        };
        [tensor("count", &[*count]), tensor("mean", mean), tensor("variance", variance)]
    }

    /// Reads the moments of rows of `width` elements from `tensors` (see [`Self::to_tensors`]), if there are any.
    ///
    /// # Errors
    /// [`Error::Usage`]: a tensor is missing or has another width, or the count or a variance is negative.
    pub fn from_tensors(prefix: &str, tensors: &[NamedTensor], width: usize) -> Result<Option<Self>> {
        let find = |name: &str| {
            let name = format!("{prefix}.{name}");
            tensors.iter().find(|tensor| tensor.name == name).map(|tensor| tensor.data.clone())
        };
        match ["count", "mean", "variance"].map(find) {
            [None, None, None] => Ok(None),
            [Some(count), Some(mean), Some(variance)]
                if (count.len(), mean.len(), variance.len()) == (1, width, width) =>
            {
                match count.iter().chain(&variance).find(|v| **v < 0.0 || v.is_nan()) {
                    None => Ok(Some(Moments { count: count[0], mean, variance })),
                    Some(wrong) => Err(Error::usage(format!(
                        "the file's `{prefix}.…` holds {wrong}; a count and variances are 0 or more"
                    ))),
                }
            }
            _ => Err(Error::usage(format!(
                "the file's `{prefix}.…` does not hold moments of {width} elements: it is incomplete or from another environment"
            ))),
        }
    }

    /// Adds the rows of `sums` to the moments (the pairwise update of Chan, Golub & LeVeque 1979).
    pub fn update(&mut self, sums: &Sums) {
        if sums.count == 0.0 {
            return;
        }
        let before = f64::from(self.count);
        let count = before + sums.count;
        for i in 0..self.mean.len() {
            let about_first = sums.sum[i] / sums.count;
            let mean = sums.first[i] + about_first;
            let variance = (sums.squares[i] / sums.count - about_first * about_first).max(0.0);
            let delta = mean - f64::from(self.mean[i]);
            let own = f64::from(self.variance[i]) * before;
            self.mean[i] = (f64::from(self.mean[i]) + delta * sums.count / count) as f32;
            let squares = own + variance * sums.count + delta * delta * before * sums.count / count;
            self.variance[i] = (squares / count) as f32;
        }
        self.count = count as f32;
    }

    /// Normalizes `rows` `[n, width]` to mean 0 and variance 1, and clips them to ±10.
    pub fn normalize(&self, rows: &mut [f32]) {
        let scale: Vec<f32> = self.variance.iter().map(|v| 1.0 / (v + 1e-8).sqrt()).collect();
        for row in rows.chunks_exact_mut(self.mean.len()) {
            for ((v, mean), scale) in row.iter_mut().zip(&self.mean).zip(&scale) {
                *v = ((*v - mean) * scale).clamp(-10.0, 10.0);
            }
        }
    }
}

/// Normalizes `observations` by `moments`, if there are any.
pub fn normalized<'a>(moments: Option<&Moments>, observations: &'a Observations) -> Cow<'a, Observations> {
    match moments {
        Some(moments) => {
            let mut rows = as_f32(observations);
            moments.normalize(&mut rows);
            Cow::Owned(Observations::Float(rows))
        }
        None => Cow::Borrowed(observations),
    }
}

/// The moments' sums over the running discounted sum of rewards after each step, by whose standard deviation rewards
/// are normalized. `rewards` is `[steps, environments]`, row-major. The running sum starts at 0 in each episode;
/// `ended` says whether an episode ended with a step.
pub fn discounted(rewards: &[f32], ended: impl Fn(usize) -> bool, environments: usize, gamma: f32) -> Sums {
    let mut sums = Sums::new(1);
    let mut running = vec![0.0f32; environments];
    for (i, reward) in rewards.iter().enumerate() {
        let total = &mut running[i % environments];
        *total = *total * gamma + reward;
        sums.add(&[*total]);
        if ended(i) {
            *total = 0.0;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Updating with parts one after the other gives the moments of the whole, computed here in two passes.
        #[test]
        fn of_parts_as_of_the_whole(
            rows in prop::collection::vec(prop::array::uniform2(-50f32..50.0), 2..60),
            cut in 0.0f64..1.0,
            offset in -1000f32..1000.0,
        ) {
            let flat: Vec<f32> = rows.iter().flatten().map(|v| v + offset).collect();
            let at = 2 * (cut * rows.len() as f64) as usize;
            let mut moments = Moments::new(2);
            for part in [&flat[..at], &flat[at..]] {
                let mut sums = Sums::new(2);
                sums.add(part);
                moments.update(&sums);
            }
            let n = rows.len() as f64;
            for i in 0..2 {
                let values: Vec<f64> = flat.iter().skip(i).step_by(2).map(|&v| f64::from(v)).collect();
                let mean = values.iter().sum::<f64>() / n;
                let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
                prop_assert!((f64::from(moments.mean[i]) - mean).abs() < 1e-3);
                prop_assert!((f64::from(moments.variance[i]) - variance).abs() < 1e-3 * (1.0 + variance));
            }
            prop_assert_eq!(moments.count, n as f32);
        }
    }

    #[test]
    fn normalizes() {
        let moments = Moments { count: 9.0, mean: vec![1.0, -2.0], variance: vec![4.0, 0.0] };
        let mut rows = [3.0, -2.0, -1e9, -1.0];
        moments.normalize(&mut rows);
        assert_eq!(rows, [1.0, 0.0, -10.0, 10.0]);
        let mut rows = [3.0, -2.0];
        Moments::new(2).normalize(&mut rows);
        assert_eq!(rows, [3.0, -2.0], "nothing is known at the start");
    }

    #[test]
    fn discounts_to_the_end_of_an_episode() {
        // Two environments; the second's episode ends after its first step.
        let sums = discounted(&[1.0, 2.0, 1.0, 2.0], |i| i == 1, 2, 0.5);
        let mut expected = Sums::new(1);
        expected.add(&[1.0, 2.0, 1.5, 2.0]);
        assert_eq!(sums, expected);
    }
}
