//! The outer loop of objectives that learn from a fixed set of transitions, such as gradient matching (Light, Liu & Hu
//! 2024): no environment, no critic.
use rand::Rng;

use crate::environment::Observations;
use crate::error::Result;
use crate::execute::Device;
use crate::random::{Stream, stream};
use crate::training::{Means, MetaEpochReport, Rates, Roles, Training};

/// Hyperparameters of the outer loop.
#[derive(Clone, Debug, PartialEq)]
pub struct Hyperparameters {
    /// Outer updates in a meta-epoch, each with a fresh learner.
    pub updates: usize,
    /// Rows of a batch.
    pub minibatch: usize,
    /// Draw every action equally often, however rare it is in the data.
    pub balanced: bool,
}

/// Transitions to learn from, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// `[n, …observation]`.
    pub observations: &'a Observations,
    /// `[n]`, each below the number of actions.
    pub actions: &'a [i32],
}

impl Data<'_> {
    /// Observations of `rows`, as a learner gets them: `[rows, …observation]`.
    pub fn observations_of(&self, rows: &[usize]) -> Vec<f32> {
        let width = self.observations.len() / self.actions.len().max(1);
        let mut out = Vec::with_capacity(rows.len() * width);
        for &row in rows {
            self.observations.extend_f32_of(row * width..(row + 1) * width, &mut out);
        }
        out
    }
}

/// One distillation in progress.
pub struct Offline<'a> {
    /// What it trains.
    pub training: Training<'a>,
    hyper: Hyperparameters,
    data: Data<'a>,
    /// The rows that are drawn alike: those of each action that occurs, or all.
    strata: Vec<Vec<usize>>,
}

impl<'a> Offline<'a> {
    /// Starts a distillation from a random θ. `rows` are those of `data` that it may use, at least one.
    ///
    /// # Errors
    /// The learner's tracing error.
    pub fn new(
        device: Device,
        roles: Roles<'a>,
        rates: Rates,
        hyper: Hyperparameters,
        data: Data<'a>,
        rows: Vec<usize>,
        seed: u64,
    ) -> Result<Self> {
        let training = Training::new(device, roles, rates, false, seed)?;
        let strata = match hyper.balanced {
            true => {
                let mut of_action = vec![vec![]; roles.dimensions.outputs()];
                rows.iter().for_each(|&row| of_action[data.actions[row] as usize].push(row));
                of_action.into_iter().filter(|rows| !rows.is_empty()).collect()
            }
            false => vec![rows],
        };
        Ok(Offline { training, hyper, data, strata })
    }

    /// One meta-epoch: updates of θ, each with a fresh learner on a random batch.
    ///
    /// # Errors
    /// A plugin's tracing error, or a θ that is not a number any more.
    pub fn meta_epoch(&mut self) -> Result<MetaEpochReport> {
        let mut metrics = Means::default();
        for i in 0..self.hyper.updates as u64 {
            let number = self.training.meta_epoch * self.hyper.updates as u64 + i;
            let learner = self.training.draw(number)?;
            let rows = self.batch(&mut stream(self.training.seed, "minibatch", number));
            let observations = self.data.observations_of(&rows);
            let actions: Vec<i32> = rows.iter().map(|&row| self.data.actions[row]).collect();
            metrics.add(self.training.update(&learner, rows.len(), |device, plan, first| {
                vec![
                    device.rows(plan, first, &observations, None),
                    device.int_rows(plan, first + 1, &actions, None),
                ]
            })?);
        }
        self.training.end_meta_epoch(metrics)
    }

    /// Rows of a batch, with replacement; the strata take turns.
    fn batch(&self, random: &mut Stream) -> Vec<usize> {
        let first = random.random_range(0..self.strata.len());
        let draw = |i: usize| {
            let stratum = &self.strata[(first + i) % self.strata.len()];
            stratum[random.random_range(0..stratum.len())]
        };
        (0..self.hyper.minibatch).map(draw).collect()
    }
}
