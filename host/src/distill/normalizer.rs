//! Estimates the moments of observations for a dataset whose file has none, as those released with the paper.
use std::cell::RefCell;

use super::teach::Teacher;
use crate::engine::evaluate::{Watch, episodes};
use crate::engine::normalize::{Moments, Sums, normalized};
use crate::engine::policy::Acting;
use crate::engine::random::{derived, stream};
use crate::engine::rollout::as_f32;
use crate::error::Result;
use crate::plugin::{Actions, Observations, Transition};

/// The episodes that each fresh learner plays, side by side.
const EPISODES_PER_LEARNER: usize = 10;
/// The steps after which the moments are updated.
const STEPS_PER_UPDATE: usize = 50;

impl Teacher<'_> {
    /// Estimates the moments of observations: fresh learners play `episodes` episodes with sampled actions, and their
    /// observations are normalized by the moments of all observations before them. `seed` draws the learners, the
    /// episodes and the actions.
    ///
    /// # Errors
    /// An error of a plugin, or the dataset cannot teach the learners.
    pub fn estimate_normalizer(&self, episodes_wanted: usize, seed: u64) -> Result<Moments> {
        let copies = episodes_wanted.clamp(1, EPISODES_PER_LEARNER);
        let mut environments = self.environments(copies)?;
        let width = environments.spec().observation.size();
        let moments = RefCell::new(Moments::new(width));
        let mut random = stream(seed, "normalizer", 0);
        for first in (0..episodes_wanted).step_by(copies) {
            let agent = self.train(derived(seed, "normalizer learner", first as u64))?;
            let outputs = agent.outputs(copies)?;
            let outputs = |rows: &Observations| outputs(&normalized(Some(&moments.borrow()), rows));
            let count = copies.min(episodes_wanted - first);
            let mut watch = Running { moments: &moments, sums: Sums::new(width), steps: 0 };
            let (copies, policy) = (environments.as_mut(), agent.policy()?);
            episodes(copies, &outputs, policy, Acting::Sampled, count, &mut random, &mut watch)?;
            watch.update();
        }
        Ok(moments.into_inner())
    }
}

/// Updates moments with the observations of all copies while they play.
struct Running<'a> {
    moments: &'a RefCell<Moments>,
    sums: Sums,
    steps: usize,
}

impl Running<'_> {
    fn update(&mut self) {
        let mut moments = self.moments.borrow_mut();
        let none = Sums::new(moments.mean.len());
        moments.update(&std::mem::replace(&mut self.sums, none));
    }
}

impl Watch for Running<'_> {
    fn observed(&mut self, observations: &Observations) {
        self.sums.add(&as_f32(observations));
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS_PER_UPDATE) {
            self.update();
        }
    }

    fn stepped(&mut self, _: &Actions, _: &Transition, _: &[bool]) {}
}
