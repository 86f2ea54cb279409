//! The outer loop for objectives that learn from a fixed set of transitions, such as gradient matching (Light, Liu & Hu
//! 2024). It needs no environment and no critic.
use rand::Rng;

use crate::environment::{Actions, Observations};
use crate::error::Result;
use crate::execute::Device;
use crate::normalize::{Sums, normalized};
use crate::random::{Stream, stream};
use crate::rollout::as_f32;
use crate::training::{Means, MetaEpochReport, Rates, Roles, Training};

/// Hyperparameters of the outer loop.
#[derive(Clone, Debug, PartialEq)]
pub struct Hyperparameters {
    /// The number of outer updates in a meta-epoch, each with a fresh learner.
    pub updates: usize,
    /// The number of rows in a batch.
    pub minibatch: usize,
    /// Whether batches contain every action equally often, however rare it is in the data. Continuous actions are never
    /// balanced.
    pub balanced: bool,
}

/// Transitions to learn from: n observations with their actions.
#[derive(Clone, Copy, Debug)]
pub struct OfflineData<'a> {
    /// The observations, `[n, …observation]`, row-major.
    pub observations: &'a Observations,
    /// The actions: `[n]`, each below the number of actions, or `[n, size]`.
    pub actions: &'a Actions,
}

/// One distillation in progress.
pub struct Offline<'a> {
    /// What this loop trains.
    pub training: Training<'a>,
    hyper: Hyperparameters,
    data: OfflineData<'a>,
    /// The groups that rows are drawn from in turn: one for each action that occurs if batches are balanced, else one
    /// with all rows.
    strata: Vec<Vec<usize>>,
}

impl<'a> Offline<'a> {
    /// Starts a distillation from a random θ. It uses only the given `rows` of `data`, of which there must be at least
    /// one. If observations are normalized, it is by the moments of these rows.
    ///
    /// # Errors
    /// An error of tracing the learner.
    pub fn new(
        device: Device,
        roles: Roles<'a>,
        rates: Rates,
        hyper: Hyperparameters,
        data: OfflineData<'a>,
        rows: Vec<usize>,
        seed: u64,
    ) -> Result<Self> {
        let mut training = Training::new(device, roles, rates, seed)?;
        if let Some(moments) = &mut training.normalizer {
            let width = roles.dimensions.observation.size();
            let mut sums = Sums::new(width);
            for &row in &rows {
                sums.add(&as_f32(&data.observations.cut(row * width..(row + 1) * width)));
            }
            moments.update(&sums);
        }
        let strata = match data.actions {
            Actions::Discrete(actions) if hyper.balanced => {
                let mut of_action = vec![vec![]; roles.dimensions.outputs()];
                rows.iter().for_each(|&row| of_action[actions[row] as usize].push(row));
                of_action.into_iter().filter(|rows| !rows.is_empty()).collect()
            }
            _ => vec![rows],
        };
        Ok(Offline { training, hyper, data, strata })
    }

    /// Runs one meta-epoch: several updates of θ, each with a fresh learner on a random batch.
    ///
    /// # Errors
    /// An error of tracing a plugin, or θ is no longer finite.
    pub fn meta_epoch(&mut self) -> Result<MetaEpochReport> {
        let mut metrics = Means::default();
        for i in 0..self.hyper.updates as u64 {
            let number = self.training.meta_epoch * self.hyper.updates as u64 + i;
            let learner = self.training.draw(number)?;
            let rows = self.batch(&mut stream(self.training.seed, "minibatch", number));
            let OfflineData { observations, actions } = self.data;
            let width = self.training.roles.dimensions.observation.size();
            let batch = self.training.normalizer.as_ref().map(|moments| {
                let mut batch = observations.cut(0..0);
                rows.iter().for_each(|&row| batch.append(observations, row * width..(row + 1) * width));
                normalized(Some(moments), &batch).into_owned()
            });
            metrics.add(self.training.update(&learner, rows.len(), |device, plan, first| {
                let observations = match &batch {
                    Some(batch) => batch.upload(device, plan, first, None),
                    None => observations.upload(device, plan, first, Some(&rows)),
                };
                let actions = match actions {
                    Actions::Discrete(actions) => {
                        device.int_rows(plan, first + 1, bytemuck::cast_slice(actions), Some(&rows))
                    }
                    Actions::Continuous(actions) => device.rows(plan, first + 1, actions, Some(&rows)),
                };
                vec![observations, actions]
            })?);
        }
        self.training.end_meta_epoch(metrics)
    }

    /// Draws the rows of a batch with replacement, from each stratum in turn.
    fn batch(&self, random: &mut Stream) -> Vec<usize> {
        let first = random.random_range(0..self.strata.len());
        let draw = |i: usize| {
            let stratum = &self.strata[(first + i) % self.strata.len()];
            stratum[random.random_range(0..stratum.len())]
        };
        (0..self.hyper.minibatch).map(draw).collect()
    }
}
