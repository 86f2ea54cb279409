//! Resumes a run: nothing that is missing is taken for new, and nothing goes on that contradicts the run so far.
use super::{Counters, Distillation, Outer, Prepared, tag};
use crate::error::{Error, Result};
use crate::run::{
    Change, Dataset, DistillConfig, MetricsWriter, PluginVersion, RunDirectory, Versions, changes, listed,
};

/// What may differ when a run is resumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Keys of the configuration.
    pub config: bool,
    /// The files of plugins.
    pub plugins: bool,
}

impl<'a> Prepared<'a> {
    /// Continues from the newest complete checkpoint of a run. `allowed` says what may differ from the run so far; such
    /// changes are recorded in `versions.json`. `note` is called for everything that the user should know: incomplete
    /// checkpoints that are skipped, and what was lost or restored.
    ///
    /// # Errors
    /// An error of reading a file; the checkpoints are gone, or were made with another configuration or other plugins.
    pub fn resume(
        mut self,
        run: &'a RunDirectory,
        allowed: Changed,
        note: &mut dyn FnMut(&str),
    ) -> Result<Distillation<'a>> {
        let checkpoints = run.checkpoints();
        let (checkpoint, warnings) = checkpoints.latest()?;
        warnings.iter().for_each(|warning| note(warning));
        let Some(checkpoint) = checkpoint else {
            refuse_lost(run)?;
            self.changed(None, run, allowed)?;
            self.record(run, 0, &[])?;
            let (metrics, _) = MetricsWriter::resume(run.path(), 0)?;
            return Ok(Distillation { prepared: self, run, checkpoints, metrics, best: None, saturated: 0 });
        };
        let mut counters: Counters = serde_json::from_value(checkpoint.state)
            .map_err(|e| Error::file(run.checkpoints_path(), format!("checkpoint state: {e}")))?;
        let changed = self.changed(counters.config.as_deref(), run, allowed)?;
        let because = |e| match changed.is_empty() {
            true => e,
            false => Error::usage(format!(
                "the run cannot go on with another configuration ({}): {e}. Start a new run",
                listed(&changed)
            )),
        };
        if let Outer::Rollouts(ppmo, environments) = &mut self.outer {
            let mut episodes = match self.setup.config.environment.continue_episodes {
                true => &checkpoint.episodes[..],
                false => &[],
            };
            let ours = tag(&self.setup.environment.id, episodes);
            if self.setup.is_native() && !episodes.is_empty() && (ours.is_none() || ours != counters.episodes)
            {
                note(
                    "the episodes that were going on start anew: the checkpoint was written by another user or on another \
                     machine, and a native plugin trusts the state that it restores; from here on, the run differs from one \
                     that was not interrupted",
                );
                episodes = &[];
            }
            ppmo.restore_episodes(environments, episodes).map_err(because)?;
        }
        // The checkpoint was written at the end of a meta-epoch: with the encoder of that one, not of the next.
        let layers = self.setup.config.encoder_layers_in(checkpoint.meta_epoch.saturating_sub(1));
        if layers != self.outer.training().encoder_layers() {
            self.outer.roll_back(layers)?;
        }
        let training = self.outer.training_mut();
        training.restore(checkpoint.tensors).map_err(because)?;
        training.meta_epoch = checkpoint.meta_epoch;
        training.updates = counters.updates;
        training.steps = counters.steps;
        if counters.best.is_some() {
            restore_dataset(run, note)?;
        }
        if changed.iter().any(Change::affects_validation) {
            (counters.best, counters.saturated) = (None, 0);
        }
        self.record(run, checkpoint.meta_epoch, &changed)?;
        let (metrics, lost) = MetricsWriter::resume(run.path(), checkpoint.meta_epoch)?;
        if lost > 0 {
            note(&format!(
                "{} lacks {lost} of {} meta-epochs, which a power failure can cause: its curves have a gap",
                run.metrics_path().display(),
                checkpoint.meta_epoch
            ));
        }
        let Counters { best, saturated, .. } = counters;
        let mut distillation = Distillation { prepared: self, run, checkpoints, metrics, best, saturated };
        if !changed.is_empty() {
            // From now on the changed configuration is the run's.
            distillation.checkpoint()?;
        }
        Ok(distillation)
    }

    /// The keys that differ from `earlier`, the configuration of the checkpoint.
    ///
    /// # Errors
    /// They, or the plugins, are not allowed to differ.
    fn changed(&self, earlier: Option<&str>, run: &RunDirectory, allowed: Changed) -> Result<Vec<Change>> {
        let then = run.versions()?.plugins;
        let now = self.setup.plugins();
        let other = then.iter().find(|p| now.iter().any(|n| n.id == p.id && n.sha256 != p.sha256));
        if let Some(plugin) = other.filter(|_| !allowed.plugins) {
            return Err(Error::usage(format!(
                "plugin `{}` is not the file this run began with; restore it, or go on with --changed-plugin",
                plugin.id
            )));
        }
        let Some(earlier) = earlier else { return Ok(vec![]) };
        let earlier = DistillConfig::parse(earlier).map_err(|e| {
            Error::file(run.checkpoints_path(), format!("the checkpoint's configuration: {e}"))
        })?;
        let changed = changes(&earlier, &self.setup.config)?;
        match changed.is_empty() || allowed.config {
            true => Ok(changed),
            false => Err(Error::usage(format!(
                "{} has changed since the last checkpoint ({}); undo that, or go on with --changed-config",
                run.config_path().display(),
                listed(&changed)
            ))),
        }
    }

    /// Records in the run directory what the run goes on with.
    fn record(&self, run: &RunDirectory, meta_epoch: u64, changed: &[Change]) -> Result<()> {
        let mut versions = run.versions()?;
        let now = self.setup.plugins();
        let mut said: Vec<String> = changed.iter().map(ToString::to_string).collect();
        for plugin in &now {
            let same = |other: &&PluginVersion| other.id == plugin.id;
            if versions.plugins.iter().find(same).is_some_and(|then| then.sha256 != plugin.sha256) {
                said.push(format!("another file of plugin `{}`", plugin.id));
            }
        }
        if said.is_empty() {
            return Ok(());
        }
        self.setup.config.save(run.config_path())?;
        versions.changes.extend(said.iter().map(|change| format!("{change} after meta-epoch {meta_epoch}")));
        run.save_versions(&Versions { plugins: now, seed: self.setup.config.seed, ..versions })
    }
}

/// Refuses to begin a run that has begun before: without a checkpoint, its metrics and its dataset would be overwritten.
fn refuse_lost(run: &RunDirectory) -> Result<()> {
    let metrics = run.metrics_path();
    let left = [run.dataset_path(), metrics.clone()].into_iter().find(|path| match path.metadata() {
        Ok(file) => *path != metrics || file.len() > 0,
        Err(_) => false,
    });
    match left {
        None => Ok(()),
        Some(left) => Err(Error::file(
            run.checkpoints_path(),
            format!(
                "holds no checkpoint, but the run has begun: there is {}. Restore the checkpoints from a backup, or start a \
                 new run with `potstill distill --config` and this run's config.toml",
                left.display()
            ),
        )),
    }
}

/// Checks that the run's dataset, which a validation wrote, is there, and restores a lost one.
fn restore_dataset(run: &RunDirectory, note: &mut dyn FnMut(&str)) -> Result<()> {
    let (path, copy) = (run.dataset_path(), run.checkpoints().best_path());
    match Dataset::load(&path) {
        Ok(_) => Ok(()),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            let best = Dataset::load(&copy).map_err(|e| {
                let how = "start a new run with `potstill distill --config` and this run's config.toml";
                Error::file(&path, format!("is gone, and cannot be restored ({e}): {how}"))
            })?;
            best.save(&path)?;
            note(&format!(
                "{} was gone: the best θ so far was restored from {}",
                path.display(),
                copy.display()
            ));
            Ok(())
        }
        Err(e) => Err(Error::usage(format!(
            "{e}. Move the file away, and `potstill resume` restores the run's dataset"
        ))),
    }
}
