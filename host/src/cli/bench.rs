//! `potstill bench`: times meta-epochs, updates and environment steps on this machine.
mod pictures;

use std::time::{Duration, Instant};

use clap::Args;
use potstill_plugin_api::Role;
use serde_json::json;

use super::options::threads;
use super::{print_json, say};
use crate::distill::Setup;
use crate::engine::ppmo::Ppmo;
use crate::error::{Error, Result};
use crate::execute::Device;
use crate::plugin::{Actions, Loader, Registry};
use crate::run::DistillConfig;

/// Time meta-epochs, updates and environment steps on this machine
///
/// Each figure is a median over repetitions. Compare figures of one run with each other, not with another run's. With
/// cart-pole as a native plugin (--plugin), the cost of isolation is timed too.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill bench --threads 2 --json\n  potstill --plugin libpotstill_nd_cartpole.so bench"
)]
pub(super) struct Bench {
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
            timings.extend(self.environment_steps(registry, "environment steps", copies)?);
        }
        timings.extend(self.isolation(registry)?);
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
            let rate = t.per_second.map_or(String::new(), |r| format!("  {:.2} M/s", r / 1e6));
            say(&format!("{:<70} {:>10.4} ms{rate}", t.name, t.seconds * 1e3))?;
        }
        Ok(())
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
            timings.extend(self.environment_steps(&here, "environment steps, in this process", copies)?);
            timings.extend(self.environment_steps(&isolated, "environment steps, isolated", copies)?);
        }
        Ok(timings)
    }

    fn environment_steps(&self, registry: &Registry, what: &str, copies: usize) -> Result<Option<Timing>> {
        let plural = if copies == 1 { "copy" } else { "copies" };
        let name = format!("{what}, {copies} {plural}");
        if !self.wants(&name) {
            return Ok(None);
        }
        let mut environments = registry.make_environments("nd-cartpole", &[], copies)?;
        environments.reset(&(0..copies as u64).collect::<Vec<_>>())?;
        let actions: Vec<Actions> = (0..8u32)
            .map(|i| Actions::Discrete((0..copies as u32).map(|c| (c * 7 + i * 3) / 2 % 2).collect()))
            .collect();
        let calls = (200_000 / copies).min(20_000);
        let mut times = vec![];
        for _ in 0..7 {
            let started = Instant::now();
            for call in 0..calls {
                environments.step(&actions[call % actions.len()])?;
            }
            times.push(started.elapsed());
        }
        let seconds = median(&mut times) / calls as f64;
        Ok(Some(Timing { name, seconds, per_second: Some(copies as f64 / seconds) }))
    }
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}
