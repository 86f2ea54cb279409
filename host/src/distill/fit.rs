//! Whether a run fits this machine's memory, which is found out before anything is allocated or written.
use potstill_plugin_api::Space;

use super::setup::Setup;
use crate::engine::inner::{Teaching, Updating};
use crate::engine::ppmo::value_rows;
use crate::engine::programs;
use crate::engine::random::derived;
use crate::engine::student::{Dimensions, Student};
use crate::error::{Error, Result};
use crate::execute::{in_gib, memory};

/// Checks the sizes of `setup`: those of its rollouts, and those of the plans for its first learner, with every encoder that
/// the run begins or ends with.
///
/// # Errors
/// [`Error::Usage`] names the keys to lower. The errors of the plugins, which are traced.
pub(super) fn check(setup: &Setup<'_>) -> Result<()> {
    let d = &setup.dimensions;
    check_with(setup, d)?;
    let encoder_layers = setup.config.encoder_layers_in(setup.config.meta_epochs);
    match encoder_layers == d.encoder_layers {
        true => Ok(()),
        // With fewer layers in the encoder, the inner rule passes through more: larger plans, hours into the run.
        false => check_with(setup, &Dimensions { encoder_layers, ..d.clone() }),
    }
}

fn check_with(setup: &Setup<'_>, d: &Dimensions) -> Result<()> {
    let config = &setup.config;
    let (roles, rules) = (setup.roles(), setup.rates().rule);
    let seed = derived(config.seed, "architecture", 0);
    let student = Student::new(roles.learner.draw(&d.observation, d.network_outputs(), seed)?, d)?;
    // A graph of one step is as large as the batch of instances that it sees.
    let instances = if d.inner.instances.is_some() { "`inner.instances`" } else { "`dataset.k`" };
    fits(Teaching::new(&student, roles.objective, d), instances)?;
    if setup.transitions.is_some() {
        let rows = config.offline.minibatch;
        batch_fits(d, rows, "`offline.minibatch`")?;
        let update = Updating::new(&student, None, roles.objective, &rules, d, rows);
        return update_fits(update, d, &format!("`offline.minibatch` or {instances}"));
    }
    let (copies, steps, learners) = (config.environment.envs, config.environment.steps, config.ppo.learners);
    let transitions = copies as u64 * steps as u64;
    let needed =
        transitions.saturating_mul(bytes_of_a_transition(d, config.normalize.observations == Some(true)));
    let most = memory() / 2;
    if needed > most {
        return Err(Error::usage(format!(
            "the rollouts of a meta-epoch take {}, and this machine has {} for them: lower `environment.envs` ({copies}) or \
             `environment.steps` ({steps})",
            in_gib(needed),
            in_gib(most)
        )));
    }
    let critic = setup.first_critic()?;
    let (envs, rows) = (copies / learners, copies / learners * steps);
    batch_fits(d, copies, "`environment.envs`")?;
    batch_fits(d, rows.min(config.ppo.minibatch), "`ppo.minibatch`")?;
    fits(programs::act(&student, d, envs), "`environment.envs`")?;
    let batch = rows.min(value_rows(d));
    if let Some(critic) = &critic {
        fits(programs::value(critic, d, batch), "`environment.envs` or `environment.steps`")?;
    }
    let rows = rows.min(config.ppo.minibatch);
    let update = Updating::new(&student, critic.as_ref(), roles.objective, &rules, d, rows);
    update_fits(update, d, &format!("`ppo.minibatch` or {instances}"))
}

/// Checks an update, whose plans are smaller with lower `keys`, and the states of its inner loop.
fn update_fits(update: Result<Updating>, d: &Dimensions, keys: &str) -> Result<()> {
    let needed = update.as_ref().map_or(0, Updating::bytes_of_states);
    let most = memory() / 2;
    match needed > most {
        false => fits(update, keys),
        true => Err(Error::usage(format!(
            "the inner loop holds {} of learners between its steps, and this machine has {} for them: lower `inner.steps` \
             ({}), or choose a smaller network",
            in_gib(needed),
            in_gib(most),
            d.inner.steps
        ))),
    }
}

/// The bytes of a transition: the observation (a byte a pixel, unless it is `normalized`), the action, the outputs of the
/// policy and the teacher, and for each a log-probability, a reward, a value, the next value, an advantage and a return.
fn bytes_of_a_transition(d: &Dimensions, normalized: bool) -> u64 {
    let bytes = matches!(d.observation, Space::Image { .. }) && !normalized;
    let each = if bytes { 1 } else { size_of::<f32>() };
    let numbers = 3 * d.outputs() + 6;
    (d.observation.size() * each + numbers * size_of::<f32>()) as u64
}

/// Checks that `rows` observations fit as numbers: plans take them as such, also those of pictures, and count only what
/// they compute themselves.
fn batch_fits(d: &Dimensions, rows: usize, key: &str) -> Result<()> {
    let needed = (rows as u64).saturating_mul((d.observation.size() * size_of::<f32>()) as u64);
    let most = memory() / 2;
    match needed > most {
        false => Ok(()),
        true => Err(Error::usage(format!(
            "{rows} observations of {} at once take {} as numbers, and this machine has {} for them: lower {key}",
            d.observation,
            in_gib(needed),
            in_gib(most)
        ))),
    }
}

/// Adds what to lower to the error of a plan that is too large.
fn fits<T>(plan: Result<T>, keys: &str) -> Result<()> {
    match plan {
        Err(Error::Graph(error)) if error.op == "compile" || error.expected.contains("elements") => {
            Err(Error::usage(format!("{error}. Lower {keys}, or choose a smaller network")))
        }
        plan => plan.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::inner::Inner;
    use crate::engine::policy::Policy;
    use crate::plugin::Registry;
    use crate::run::DistillConfig;

    #[test]
    fn a_pixel_of_a_rollout_is_one_byte() {
        let atari = Space::Image { shape: vec![4, 84, 84] };
        let (policy, inner) = (Policy::Categorical(6), Inner::default());
        let mut d = Dimensions { k: 1, observation: atari, policy, encoder_layers: 0, inner };
        let others = (3 * 6 + 6) * 4;
        assert_eq!(bytes_of_a_transition(&d, false), 4 * 84 * 84 + others);
        assert_eq!(bytes_of_a_transition(&d, true), 4 * 4 * 84 * 84 + others);
        let error = batch_fits(&d, 1 << 40, "`ppo.minibatch`").unwrap_err().to_string();
        assert!(error.starts_with("1099511627776 observations of Image([4, 84, 84], u8) at once"), "{error}");
        assert!(error.ends_with("for them: lower `ppo.minibatch`"), "{error}");
        d.observation = Space::unbounded([4, 84, 84]);
        assert_eq!(bytes_of_a_transition(&d, false), 4 * 4 * 84 * 84 + others);
    }

    #[test]
    fn sizes_beyond_any_memory_are_refused_with_what_to_lower() {
        let registry = Registry::of(&[], &[]).unwrap();
        let refused = |text: &str| {
            let config = DistillConfig::parse(text).unwrap();
            let error = Setup::new(config, &registry).err().unwrap_or_else(|| panic!("{text}")).to_string();
            assert!(error.len() < 400, "{error}");
            error
        };
        let error = refused("[environment]\nenvs = 1000000\nsteps = 1000000");
        assert!(
            error.starts_with("the rollouts of a meta-epoch take 5") && error.contains("this machine has"),
            "{error}"
        );
        assert!(
            error.ends_with("lower `environment.envs` (1000000) or `environment.steps` (1000000)"),
            "{error}"
        );
        // 200 states of 67 million parameters and Adam's moments.
        let error = refused(
            "[inner]\nsteps = 10000\noptimizer = 'adam'\n[learner.options]\nwidth = '8192'\nweights = 'xavier-normal'",
        );
        assert!(error.starts_with("the inner loop holds 150."), "{error}");
        assert!(error.ends_with("lower `inner.steps` (10000), or choose a smaller network"), "{error}");
        let wide = "[learner.options]\nwidth = '4096'\n";
        for (text, keys) in [
            ("[dataset]\nk = 1000000", "Lower `dataset.k`, or choose a smaller network"),
            (
                "[environment]\nenvs = 4\nsteps = 1000000\n[ppo]\nminibatch = 1000000",
                "Lower `ppo.minibatch` or `dataset.k`, or choose",
            ),
        ] {
            let error = refused(&format!("{wide}{text}"));
            assert!(error.contains(keys), "{text}: {error}");
        }
        // The encoder covers the whole learner, but not to the end of the run.
        let error = refused(&format!(
            "encoder_layers = 3\nrollback = [1, 2, 3]\n{wide}[dataset]\nk = 1000000\n[ppo]\nlearners = 1"
        ));
        assert!(error.contains("Lower `dataset.k`, or choose a smaller network"), "{error}");
    }
}
