//! `potstill bench`: times meta-epochs, updates and environment steps on this machine.
mod pictures;

use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::RangedU64ValueParser;
use potstill_plugin_api::Role;
use serde_json::json;

use super::options::{pair, threads};
use super::{print_json, say};
use crate::distill::Setup;
use crate::engine::baseline::Blind;
use crate::engine::ppmo::Ppmo;
use crate::engine::random::stream;
use crate::error::{Error, Result};
use crate::execute::Device;
use crate::plugin::{Actions, Loader, Registry};
use crate::run::DistillConfig;

/// Time meta-epochs, updates and environment steps on this machine
///
/// Each figure is a median over repetitions. Compare figures of one run with each other, not with another run's. With an
/// environment, only its steps are timed, with random actions. Otherwise, with cart-pole as a native plugin (--plugin), the
/// cost of isolation is timed too.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill bench --threads 2 --json\n  potstill bench nd-cartpole --set n=3 --copies 256\n  potstill --plugin libpotstill_nd_cartpole.so bench"
)]
pub(super) struct Bench {
    /// Time the steps of this environment, e.g. nd-cartpole
    environment: Option<String>,
    /// Set an option of the environment, e.g. n=2. Repeatable
    #[arg(
        long = "set",
        value_name = "NAME=VALUE",
        value_parser = pair,
        requires = "environment",
        help_heading = "Environment"
    )]
    set: Vec<(String, String)>,
    /// Copies of the environment. Repeatable
    #[arg(
        long,
        value_name = "N",
        default_values_t = [1, 16, 64],
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000),
        requires = "environment",
        help_heading = "Environment"
    )]
    copies: Vec<usize>,
    /// CPU threads; 0 uses every core
    #[arg(long, default_value_t = 0, help_heading = "Machine")]
    threads: usize,
    /// The device: cpu, cuda, cuda:N, wgpu or wgpu:N
    #[arg(long, default_value = "cpu", help_heading = "Machine")]
    device: String,
    /// Repetitions of each timing; an update of convolutional networks takes 5 at most
    #[arg(long, default_value_t = 20)]
    repetitions: usize,
    /// Make only the timings whose names contain this text
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    only: String,
    /// Print only the timings, as JSON
    #[arg(long)]
    json: bool,
}

/// One timing: its name, the seconds it took and, for environment steps, how many were made per second.
struct Timing {
    name: String,
    seconds: f64,
    per_second: Option<f64>,
}

impl Bench {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        if self.repetitions == 0 {
            return Err(Error::usage("--repetitions must be at least 1"));
        }
        let timings = match &self.environment {
            Some(id) => self.steps_of(registry, id)?,
            None => self.all(registry)?,
        };
        if timings.is_empty() {
            return Err(Error::usage(format!(
                "--only {}: no timing has a name that contains this text; `potstill bench` lists them",
                self.only
            )));
        }
        if self.json {
            let rows = timings
                .iter()
                .map(|t| json!({ "name": t.name, "seconds": t.seconds, "per_second": t.per_second }));
            return print_json(&rows.collect::<Vec<_>>());
        }
        for t in &timings {
            let rate = t.per_second.map_or(String::new(), |r| match r {
                1e6.. => format!("  {:.2} M/s", r / 1e6),
                _ => format!("  {:.2} k/s", r / 1e3),
            });
            say(&format!("{:<70} {:>10.4} ms{rate}", t.name, t.seconds * 1e3))?;
        }
        Ok(())
    }

    /// The timings of the program itself.
    fn all(&self, registry: &Registry) -> Result<Vec<Timing>> {
        let mut timings = vec![];
        timings.extend(self.meta_epoch(
            registry,
            "meta-epoch, 2D k=3, 8 × 512 steps, 16 updates of 1024",
            |config| {
                config.environment.settings.insert("n".into(), potstill_plugin_api::OptionValue::Integer(2));
                config.dataset.k = Some(3);
                (config.environment.envs, config.environment.steps) = (8, 512);
                (config.ppo.learners, config.ppo.minibatch) = (1, 1024);
            },
        )?);
        timings.extend(self.meta_epoch(
            registry,
            "meta-epoch, 1D k=2, 10 × 200 steps, 16 updates of 512 (as published)",
            |config| {
                config.dataset.k = Some(2);
                (config.environment.envs, config.environment.steps) = (10, 200);
                (config.ppo.learners, config.ppo.minibatch) = (1, 512);
            },
        )?);
        timings.extend(self.pictures(registry)?);
        for copies in [64, 1024] {
            timings.extend(self.environment_steps(registry, CART_POLE, "environment steps", copies)?);
        }
        timings.extend(self.isolation(registry)?);
        Ok(timings)
    }

    /// The timings of the steps of one environment.
    fn steps_of(&self, registry: &Registry, id: &str) -> Result<Vec<Timing>> {
        let mut timings = vec![];
        for &copies in &self.copies {
            timings.extend(self.environment_steps(registry, (id, &self.set), id, copies)?);
        }
        Ok(timings)
    }

    fn meta_epoch(
        &self,
        registry: &Registry,
        name: &'static str,
        change: impl Fn(&mut DistillConfig),
    ) -> Result<Option<Timing>> {
        if !self.wants(name) {
            return Ok(None);
        }
        let mut config = DistillConfig::default();
        change(&mut config);
        let setup = Setup::new(config, registry)?;
        let threads = threads(self.threads)?;
        let device = Device::named(&self.device, threads)?;
        let mut environments = vec![setup.training_environments(setup.config.environment.envs, threads)?];
        let mut ppmo = Ppmo::new(device, setup.roles(), setup.rates(), setup.rollouts(), 0)?;
        // The first compiles the plans, and a few more warm the memory.
        for _ in 0..3 {
            ppmo.meta_epoch(&mut environments)?;
        }
        let mut times = vec![];
        for _ in 0..self.repetitions {
            let started = Instant::now();
            ppmo.meta_epoch(&mut environments)?;
            times.push(started.elapsed());
        }
        Ok(Some(Timing { name: name.into(), seconds: median(&mut times), per_second: None }))
    }

    /// Whether the timing of this name is asked for.
    fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }

    /// Times a native cart-pole in this process and in its own; nothing where cart-pole is no native plugin.
    fn isolation(&self, registry: &Registry) -> Result<Vec<Timing>> {
        let entry = registry.find(Role::Environment, "nd-cartpole")?;
        let (Loader::Native, Some(library)) = (entry.loader, &entry.path) else { return Ok(vec![]) };
        let library = std::slice::from_ref(library);
        let (here, isolated) =
            (Registry::of(library, &[])?, Registry::isolated(library, &[], super::this_program()?)?);
        let mut timings = vec![];
        for copies in [1, 64, 1024] {
            timings.extend(self.environment_steps(
                &here,
                CART_POLE,
                "environment steps, in this process",
                copies,
            )?);
            timings.extend(self.environment_steps(
                &isolated,
                CART_POLE,
                "environment steps, isolated",
                copies,
            )?);
        }
        Ok(timings)
    }

    /// Times the steps of copies of an environment with these settings.
    fn environment_steps(
        &self,
        registry: &Registry,
        (id, settings): (&str, &[(String, String)]),
        what: &str,
        copies: usize,
    ) -> Result<Option<Timing>> {
        /// The least time of a repetition.
        const REPETITION: Duration = Duration::from_millis(200);
        let plural = if copies == 1 { "copy" } else { "copies" };
        let name = format!("{what}, {copies} {plural}");
        if !self.wants(&name) {
            return Ok(None);
        }
        let mut environments = registry.make_environments(id, settings, copies)?;
        environments.reset(&(0..copies as u64).collect::<Vec<_>>())?;
        let space = environments.spec().action.clone();
        let mut random = stream(0, "bench", 0);
        let actions: Vec<Actions> = (0..64).map(|_| Blind::Random.act(&space, copies, &mut random)).collect();
        let mut times = vec![];
        // The first warms the memory.
        for _ in 0..8 {
            let (started, mut calls) = (Instant::now(), 0);
            while started.elapsed() < REPETITION {
                for actions in &actions {
                    environments.step(actions)?;
                }
                calls += actions.len();
            }
            times.push(started.elapsed() / calls as u32);
        }
        let seconds = median(&mut times[1..]);
        Ok(Some(Timing { name, seconds, per_second: Some(copies as f64 / seconds) }))
    }
}

/// The environment of the program's own timings.
const CART_POLE: (&str, &[(String, String)]) = ("nd-cartpole", &[]);

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}
