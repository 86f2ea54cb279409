//! A distillation from the first meta-epoch to the scored dataset. It can be interrupted and resumed.
mod resume;

use std::sync::atomic::{AtomicBool, Ordering};

use hmac::Mac;
use serde::{Deserialize, Serialize};

use super::setup::Setup;
use super::teach::{Teacher, distilled};
use crate::engine::evaluate::{Protocol, Score, Sight};
use crate::engine::offline::{Offline, OfflineData};
use crate::engine::policy::Acting;
use crate::engine::ppmo::{Ppmo, no_snapshots};
use crate::engine::theta::NORMALIZER;
use crate::engine::training::{MetaEpochReport, Training};
use crate::error::{Error, Result};
use crate::execute::Device;
use crate::key;
use crate::plugin::text::counted;
use crate::plugin::{Environments, hex};
use crate::run::{
    Checkpoint, Checkpoints, Dataset, DatasetInfo, DistillConfig, MetricsWriter, NamedTensor, RunDirectory,
    essential,
};

pub use resume::Changed;

/// What a run reports while it works.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A meta-epoch has been completed.
    MetaEpoch {
        /// The number of completed meta-epochs.
        done: u64,
        /// The summary of this meta-epoch.
        report: &'a MetaEpochReport,
        /// The best validation so far, if there was one.
        validation: Option<&'a Score>,
    },
    /// The number of learners of the final evaluation that have played, and the number of all.
    Scoring(usize, usize),
    /// A message for the user.
    Note(&'a str),
}

/// A finished run.
#[derive(Debug)]
pub struct Outcome {
    /// The dataset, including its scores.
    pub dataset: Dataset,
    /// The time that distillation and scoring took, over all sessions of the run, in seconds.
    pub seconds: f64,
}

/// The part of a checkpoint that is not tensors.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Counters {
    updates: u64,
    steps: u64,
    best: Option<Score>,
    /// The number of consecutive validations at the environment's maximum return.
    #[serde(default)]
    saturated: u64,
    /// The tag of the checkpoint's episodes, by this user's key, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    episodes: Option<String>,
    /// What results depend on in the resolved configuration, as TOML. Checkpoints of older versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config: Option<String>,
}

/// A distillation that is ready to begin: the device and the plugins work, and nothing has been written to disk.
pub struct Prepared<'a> {
    setup: &'a Setup<'a>,
    /// What results depend on in the configuration, as TOML.
    config: String,
    device: Device,
    /// Where the run computes instead of on the device that was asked for, and why.
    elsewhere: Option<String>,
    threads: usize,
    outer: Outer<'a>,
}

/// The outer loop, which depends on what the objective learns from.
enum Outer<'a> {
    Rollouts(Ppmo<'a>, Vec<Box<dyn Environments>>),
    Offline(Offline<'a>),
}

impl<'a> Outer<'a> {
    fn meta_epoch(&mut self) -> Result<MetaEpochReport> {
        match self {
            Outer::Rollouts(ppmo, environments) => ppmo.meta_epoch(environments),
            Outer::Offline(offline) => offline.meta_epoch(),
        }
    }

    /// Rolls the encoder back to so many layers.
    fn roll_back(&mut self, encoder_layers: usize) -> Result<()> {
        match self {
            Outer::Rollouts(ppmo, _) => ppmo.roll_back(encoder_layers),
            Outer::Offline(offline) => offline.training.roll_back(encoder_layers),
        }
    }

    fn training(&self) -> &Training<'a> {
        match self {
            Outer::Rollouts(ppmo, _) => &ppmo.training,
            Outer::Offline(offline) => &offline.training,
        }
    }

    fn training_mut(&mut self) -> &mut Training<'a> {
        match self {
            Outer::Rollouts(ppmo, _) => &mut ppmo.training,
            Outer::Offline(offline) => &mut offline.training,
        }
    }
}

/// A distillation with its run directory.
pub struct Distillation<'a> {
    prepared: Prepared<'a>,
    run: &'a RunDirectory,
    checkpoints: Checkpoints,
    metrics: MetricsWriter,
    best: Option<Score>,
    saturated: u64,
}

/// The seed of validations. No final evaluation uses it.
const VALIDATION_SEED: u64 = 0x0076_616c_6964;

impl<'a> Prepared<'a> {
    /// Opens the device, makes the environments and traces the first learner.
    ///
    /// # Errors
    /// An error of a plugin or the device.
    pub fn new(setup: &'a Setup<'a>, threads: usize) -> Result<Self> {
        let (device, elsewhere) = setup.device(threads)?;
        let (config, roles, rates) = (&setup.config, setup.roles(), setup.rates());
        let mut outer = match &setup.transitions {
            Some(data) => {
                let rows = data.best(config.offline.top);
                let data = OfflineData { observations: &data.observations, actions: &data.actions };
                let offline =
                    Offline::new(device.clone(), roles, rates, setup.offline(), data, rows, config.seed)?;
                Outer::Offline(offline)
            }
            None => {
                let mut ppmo = Ppmo::new(device.clone(), roles, rates, setup.rollouts(), config.seed)?;
                let each = config.environment.envs / config.ppo.learners;
                if let Some(labels) = setup.labels(each)? {
                    ppmo = ppmo.with_teacher(labels);
                }
                // The learners act in parallel, and share the threads.
                let of_each = (threads / config.ppo.learners).max(1);
                let environments =
                    (0..config.ppo.learners).map(|_| setup.training_environments(each, of_each));
                let mut environments: Vec<Box<dyn Environments>> = environments.collect::<Result<_>>()?;
                if config.environment.continue_episodes {
                    refuse_without_snapshots(environments[0].as_mut())?;
                }
                Outer::Rollouts(ppmo, environments)
            }
        };
        if let Some(start) = &setup.start {
            let (start, _) = distilled(start, roles.learner, roles.objective, roles.dimensions)?;
            outer.training_mut().start_from(start)?;
        }
        Ok(Prepared { setup, config: essential(config).to_toml()?, device, elsewhere, threads, outer })
    }

    /// Starts a run in a new run directory.
    ///
    /// # Errors
    /// An error of writing a file.
    pub fn start(self, run: &'a RunDirectory) -> Result<Distillation<'a>> {
        let metrics = MetricsWriter::create(run.path())?;
        Ok(Distillation {
            prepared: self,
            run,
            checkpoints: run.checkpoints(),
            metrics,
            best: None,
            saturated: 0,
        })
    }
}

/// The tag, in hexadecimal, of saved episodes of this environment by this user's key; none if there are none, or no key.
///
/// A native plugin trusts the state that it restores, so it must not get one from somebody else's checkpoint, or that of
/// another environment.
fn tag(environment: &str, episodes: &[Vec<u8>]) -> Option<String> {
    if episodes.is_empty() {
        return None;
    }
    let parts = [environment.as_bytes()].into_iter().chain(episodes.iter().map(Vec::as_slice));
    let tag = key::authenticated(&key::of_this_user()?, "episodes", parts)?;
    Some(hex(&tag.finalize().into_bytes()))
}

/// Refuses environments whose state cannot be saved.
fn refuse_without_snapshots(environments: &mut dyn Environments) -> Result<()> {
    environments.reset(&vec![0; environments.len()])?;
    match environments.snapshot()? {
        Some(_) => Ok(()),
        None => Err(no_snapshots(&environments.spec().id)),
    }
}

impl Distillation<'_> {
    /// The number of completed meta-epochs.
    pub fn meta_epoch(&self) -> u64 {
        self.training().meta_epoch
    }

    fn training(&self) -> &Training<'_> {
        self.prepared.outer.training()
    }

    /// Runs to the end: all remaining meta-epochs, then the final evaluation of the best θ. It checks `stop` after
    /// every meta-epoch and every scored learner. If `stop` is set, the run ends there, with its state on disk.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after `stop`, or an error of a plugin or a file. The last checkpoint stays intact.
    pub fn run(mut self, stop: &AtomicBool, watch: &mut (dyn FnMut(Progress<'_>) + Send)) -> Result<Outcome> {
        let setup = self.prepared.setup;
        if let Some(elsewhere) = &self.prepared.elsewhere {
            watch(Progress::Note(elsewhere));
        }
        let resume = |after: &str| setup.command("resume", self.run.path(), after);
        let (goes_on, repaired) =
            (format!("`{}` continues", resume("")), format!("`{}` continues", resume(" --changed-plugin")));
        let outcome = self.run_to_the_end(stop, watch, &goes_on);
        if let Err(Error::Plugin { .. }) = outcome {
            watch(Progress::Note(&format!("once the plugin is fixed, {repaired} from the last checkpoint")));
        }
        outcome
    }

    fn run_to_the_end(
        &mut self,
        stop: &AtomicBool,
        watch: &mut (dyn FnMut(Progress<'_>) + Send),
        goes_on: &str,
    ) -> Result<Outcome> {
        let config = &self.prepared.setup.config;
        let total = config.meta_epochs;
        // Save before the first meta-epoch too, so that a killed run always has a checkpoint to resume from.
        if self.meta_epoch() == 0 {
            self.checkpoint()?;
        }
        while !self.is_done() {
            self.roll_back_if_due(watch)?;
            let report = self.prepared.outer.meta_epoch()?;
            let done = self.meta_epoch();
            let due = done.is_multiple_of(config.evaluation.every);
            let validation = if due || done == total { Some(self.validate()?) } else { None };
            self.log(&report, validation)?;
            // `checkpoint_every = 0` asks only for the last checkpoint: only 0 is a multiple of 0.
            let save = done.is_multiple_of(config.checkpoint_every);
            if save || self.is_done() || stop.load(Ordering::Relaxed) {
                self.checkpoint()?;
            }
            watch(Progress::MetaEpoch { done, report: &report, validation: self.best.as_ref() });
            if stop.load(Ordering::Relaxed) && !self.is_done() {
                return Err(Error::Interrupted(format!(" after meta-epoch {done} of {total}; {goes_on}")));
            }
        }
        if self.meta_epoch() < total {
            watch(Progress::Note(&format!(
                "every episode of the last {} reached the maximum return: done after {} of {}",
                counted(self.saturated as usize, "validation"),
                self.meta_epoch(),
                counted(total as usize, "meta-epoch")
            )));
        }
        let mut dataset = Dataset::load(self.run.dataset_path())?;
        dataset.info.scores = self.score(&dataset, watch, &|| match stop.load(Ordering::Relaxed) {
            true => Err(Error::Interrupted(format!(" while scoring; {goes_on}"))),
            false => Ok(()),
        })?;
        dataset.save(self.run.dataset_path())?;
        Ok(Outcome { dataset, seconds: self.metrics.seconds() })
    }

    /// Takes a layer from the encoder where the configuration says so. The dataset with that layer is kept beside the run's,
    /// whose next validation is the first of its kind.
    fn roll_back_if_due(&mut self, watch: &mut (dyn FnMut(Progress<'_>) + Send)) -> Result<()> {
        let (now, wanted) = (
            self.training().encoder_layers(),
            self.prepared.setup.config.encoder_layers_in(self.meta_epoch()),
        );
        if now == wanted {
            return Ok(());
        }
        if self.best.take().is_some() {
            let kept = self.run.encoder_path(now);
            Dataset::load(self.run.dataset_path())?.save(&kept)?;
            watch(Progress::Note(&format!(
                "the encoder has {} from here on; the dataset with {now} is {}",
                counted(wanted, "layer"),
                kept.display()
            )));
        }
        self.saturated = 0;
        self.prepared.outer.roll_back(wanted)
    }

    /// Whether all meta-epochs are completed, or validations are saturated so that more would not help, with the encoder that
    /// the run is to end with.
    fn is_done(&self) -> bool {
        let DistillConfig { meta_epochs, evaluation, rollback, .. } = &self.prepared.setup.config;
        let rolled_back = rollback.last().is_none_or(|last| self.meta_epoch() > *last);
        let saturated = evaluation.saturated > 0 && self.saturated >= evaluation.saturated;
        self.meta_epoch() >= *meta_epochs || (saturated && rolled_back)
    }

    /// Scores the current θ on a few learners and returns their mean return. The best θ so far becomes the run's
    /// dataset.
    fn validate(&mut self) -> Result<f64> {
        let Prepared { setup, threads, .. } = self.prepared;
        let evaluation = &setup.config.evaluation;
        let protocol = Protocol {
            acting: Acting::Sampled,
            learners: evaluation.validation_learners,
            episodes: evaluation.validation_episodes,
            seed: setup.config.seed ^ VALIDATION_SEED,
            sight: Sight::Own,
        };
        let mut dataset = self.dataset()?;
        dataset.validate().map_err(|what| self.training().diverged(&what))?;
        let score = Teacher::new(&dataset, setup)?.score(&protocol, threads, &|| Ok(()))?;
        let max_return = setup.environment.spec.max_return.map(f64::from);
        let all_reach_it = max_return.is_some_and(|max| score.mean_return >= max && score.std_return == 0.0);
        self.saturated = if all_reach_it { self.saturated + 1 } else { 0 };
        let mean = score.mean_return;
        if self.best.as_ref().is_none_or(|best| mean >= best.mean_return) {
            dataset.info.scores = vec![score.clone()];
            dataset.save(self.checkpoints.best_path())?;
            dataset.save(self.run.dataset_path())?;
            self.best = Some(score);
        }
        Ok(mean)
    }

    /// Makes the final evaluations of `dataset`, with sampled and with greedy actions.
    fn score(
        &self,
        dataset: &Dataset,
        watch: &mut (dyn FnMut(Progress<'_>) + Send),
        unless_stopped: &(dyn Fn() -> Result<()> + Sync),
    ) -> Result<Vec<Score>> {
        let Prepared { setup, threads, .. } = self.prepared;
        let evaluation = &setup.config.evaluation;
        // After a change of the configuration, the best θ may be for other plugins than those of the setup.
        let info = &dataset.info;
        let (then, now) = (&info.environment, &setup.environment);
        let is_of_setup = (&then.settings, &then.wrappers, &info.learner, &info.objective)
            == (&now.settings, &now.wrappers, &setup.learner_part(), &setup.objective_part());
        let teacher = match is_of_setup {
            true => Teacher::new(dataset, setup)?,
            false => Teacher::of_dataset(dataset, setup.registry(), None)?,
        };
        let watch = std::sync::Mutex::new((0usize, watch));
        let total = 2 * evaluation.learners;
        let done = || {
            if let Ok(mut guard) = watch.lock() {
                guard.0 += 1;
                let played = guard.0;
                (guard.1)(Progress::Scoring(played, total));
            }
            unless_stopped()
        };
        let score = |acting: Acting| {
            let (learners, episodes) = (evaluation.learners, evaluation.episodes);
            let protocol =
                Protocol { acting, learners, episodes, seed: setup.config.seed, sight: Sight::Own };
            teacher.score(&protocol, threads, &done)
        };
        Ok(vec![score(Acting::Sampled)?, score(Acting::Greedy)?])
    }

    fn log(&mut self, report: &MetaEpochReport, validation: Option<f64>) -> Result<()> {
        let mut values: Vec<(&str, f64)> = vec![("inner_lr", f64::from(report.inner_lr))];
        values.extend(report.mean_return.map(|v| ("rollout/return", f64::from(v))));
        values.extend(report.mean_length.map(|v| ("rollout/length", f64::from(v))));
        if let Outer::Rollouts(ppmo, _) = &self.prepared.outer {
            values.push(("rollout/episodes", report.episodes as f64));
            values.push(("environment_steps", ppmo.training.steps as f64));
            if !self.prepared.setup.config.rollback.is_empty() {
                values.push(("encoder_layers", ppmo.training.encoder_layers() as f64));
            }
        }
        if report.faults > 0 {
            values.push(("rollout/faults", report.faults as f64));
        }
        values.extend(report.metrics.iter().map(|(name, value)| (name.as_str(), f64::from(*value))));
        values.extend(validation.map(|mean| ("validation/return", mean)));
        if let Some(best) = self.best.as_ref().filter(|_| validation.is_some()) {
            values.push(("validation/best_return", best.mean_return));
        }
        self.metrics.append(self.meta_epoch(), values)
    }

    fn checkpoint(&mut self) -> Result<()> {
        let episodes = match &mut self.prepared.outer {
            Outer::Rollouts(ppmo, environments) => ppmo.episodes(environments)?,
            Outer::Offline(_) => vec![],
        };
        let training = self.training();
        let counters = Counters {
            updates: training.updates,
            steps: training.steps,
            best: self.best.clone(),
            saturated: self.saturated,
            episodes: tag(&self.prepared.setup.environment.id, &episodes),
            config: Some(self.prepared.config.clone()),
        };
        let state = serde_json::to_value(counters).map_err(|e| Error::usage(format!("checkpoint: {e}")))?;
        let (meta_epoch, tensors) = (training.meta_epoch, training.state());
        let checkpoint = Checkpoint { meta_epoch, state, tensors, episodes };
        // The metrics that lead to a checkpoint must be on disk before it.
        if self.checkpoints.waits_for_disk() {
            self.metrics.sync()?;
        }
        self.checkpoints.save(&checkpoint)?;
        Ok(())
    }

    /// The current θ as a dataset.
    fn dataset(&self) -> Result<Dataset> {
        let Prepared { setup, device, .. } = &self.prepared;
        let training = self.training();
        let (mut theta, encoder) = training.theta_and_encoder();
        let mut take = |name: &str| {
            let place = theta.iter().position(|part| part.name == name);
            place.map(|i| theta.remove(i)).ok_or(Error::usage(format!("the engine has no `{name}`")))
        };
        let (x, y, inner_lr) = (take("x")?, take("y")?, take("inner_lr")?);
        let own =
            theta.into_iter().map(|part| NamedTensor { name: Dataset::name_of_part(&part.name), ..part });
        let normalizer = training.normalizer.iter().flat_map(|moments| moments.to_tensors(NORMALIZER));
        Ok(Dataset {
            x,
            y,
            inner_lr: inner_lr.data[0],
            extra: own.chain(encoder).chain(normalizer).collect(),
            info: DatasetInfo {
                environment: setup.environment.clone(),
                learner: setup.learner_part(),
                objective: setup.objective_part(),
                inner: setup.dimensions.inner,
                scores: vec![],
                seed: setup.config.seed,
                meta_epochs: training.meta_epoch,
                environment_steps: training.steps,
                software: format!("potstill {} ({})", env!("CARGO_PKG_VERSION"), device.name()),
                origin: None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::Registry;

    /// The name that a tensor had before checkpoints took over the names of datasets.
    fn old_name(name: &str) -> String {
        let (moment, name) = name.rsplit_once('/').map_or(("", name), |(moment, name)| (moment, name));
        let pairs = [
            ("encoder.", "encoder/"),
            ("critic.", "critic/"),
            ("normalizer.", "observed/"),
            ("reward_normalizer.", "rewarded/"),
        ];
        let renamed = pairs.iter().find_map(|(new, old)| Some(format!("{old}{}", name.strip_prefix(new)?)));
        let name = renamed.unwrap_or(name.to_owned());
        if moment.is_empty() { name } else { format!("{moment}/{name}") }
    }

    #[test]
    fn older_checkpoints_are_read() {
        let text = "encoder_layers = 1\n[environment]\nenvs = 2\nsteps = 8\n[ppo]\nlearners = 1\n\
                    [normalize]\nobservations = true\nrewards = true\n";
        let registry = Registry::of(&[], &[]).unwrap();
        let setup = Setup::new(DistillConfig::parse(text).unwrap(), &registry).unwrap();
        let mut trained = Prepared::new(&setup, 1).unwrap().outer;
        trained.meta_epoch().unwrap();
        let state = trained.training().state();
        let old: Vec<NamedTensor> = state
            .iter()
            .map(|tensor| {
                let shape = if tensor.name.ends_with(".count") { vec![] } else { tensor.shape.clone() };
                NamedTensor { name: old_name(&tensor.name), shape, data: tensor.data.clone() }
            })
            .collect();
        for name in [
            "encoder/layers.0.weight",
            "first_moment/critic/layers.0.weight",
            "observed/count",
            "rewarded/mean",
        ] {
            assert!(old.iter().any(|tensor| tensor.name == name), "{name}");
        }
        let mut resumed = Prepared::new(&setup, 1).unwrap().outer;
        assert_ne!(resumed.training().state(), state);
        resumed.training_mut().restore(old.clone()).unwrap();
        assert_eq!(resumed.training().state(), state);
        let error = resumed.training_mut().restore(old[1..].to_vec()).unwrap_err().to_string();
        assert!(error.contains("the checkpoint has no tensor `x`"), "{error}");
    }
}
