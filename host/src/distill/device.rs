//! The device that a run computes on.
use super::setup::Setup;
use crate::engine::inner::Updating;
use crate::engine::programs;
use crate::engine::random::derived;
use crate::engine::student::Student;
use crate::error::Result;
use crate::execute::Device;

impl Setup<'_> {
    /// The device of the run: the one that the configuration names, or the CPU if the updates of the first learner are
    /// too small for a GPU, and then a sentence that says so.
    ///
    /// # Errors
    /// The device cannot be used, or an error of a plugin, which is traced.
    pub(super) fn device(&self, threads: usize) -> Result<(Device, Option<String>)> {
        let device = Device::named(&self.config.device, threads)?;
        if self.config.device == "cpu" || self.is_worth_a_gpu()? {
            return Ok((device, None));
        }
        let elsewhere = format!(
            "the updates of these learners are too small for a GPU: this run computes on the CPU, not on {}",
            device.name()
        );
        Ok((Device::cpu(threads), Some(elsewhere)))
    }

    /// The critic that the run would begin with, if its objective needs one.
    ///
    /// # Errors
    /// An error of the plugin, which is traced.
    pub(super) fn first_critic(&self) -> Result<Option<Student>> {
        let (d, roles) = (&self.dimensions, self.roles());
        if !programs::needs_critic(roles.objective) {
            return Ok(None);
        }
        let seed = derived(self.config.seed, "critic architecture", 0);
        Student::critic(roles.critic.draw(&d.observation, 1, seed)?, d).map(Some)
    }

    /// Whether a GPU is faster at an update with the first learner.
    fn is_worth_a_gpu(&self) -> Result<bool> {
        let (config, d, roles) = (&self.config, &self.dimensions, self.roles());
        let seed = derived(config.seed, "architecture", 0);
        let student = Student::new(roles.learner.draw(&d.observation, d.network_outputs(), seed)?, d)?;
        let of_learner = config.environment.envs / config.ppo.learners * config.environment.steps;
        let rows = match self.transitions {
            Some(_) => config.offline.minibatch,
            None => of_learner.min(config.ppo.minibatch),
        };
        let critic = self.first_critic()?;
        let rule = self.rates().rule;
        let update = Updating::new(&student, critic.as_ref(), roles.objective, &rule, d, rows)?;
        Ok(update.is_worth_a_gpu())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::Registry;
    use crate::run::DistillConfig;

    #[test]
    fn small_learners_are_not_worth_a_gpu() {
        let registry = Registry::of(&[], &[]).unwrap();
        let worth = |text: &str| {
            let config = DistillConfig::parse(text).unwrap();
            Setup::new(config, &registry).unwrap().is_worth_a_gpu().unwrap()
        };
        assert!(!worth(""));
        assert!(!worth("[environment.settings]\nn = 5"));
        assert!(worth("[learner.options]\nwidth = '2048'"));
    }
}
