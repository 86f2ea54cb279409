//! What a person sees of a run while it goes.
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::tell;
use crate::distill::Progress;

/// Set by Ctrl-C.
pub(super) static STOP: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C ask for a checkpoint and an end; a second one ends at once.
pub(super) fn catch_interrupt() {
    // A handler that is already there (a program that embeds this) stays.
    let _ = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        tell("\nstopping after this meta-epoch (Ctrl-C again: at once)");
    });
}

/// A progress bar over meta-epochs, then over the learners of the evaluation.
pub(super) struct Watcher {
    bar: ProgressBar,
    scoring: bool,
}

impl Watcher {
    /// A bar of `total` meta-epochs, `done` of which are behind.
    pub(super) fn new(total: u64, done: u64, quiet: bool) -> Self {
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(total) };
        let style =
            ProgressStyle::with_template("{bar:28} {pos}/{len} meta-epochs  {msg}  {per_sec}  ETA {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_position(done);
        bar.reset_eta();
        Watcher { bar, scoring: false }
    }

    /// Shows what happened.
    pub(super) fn show(&mut self, progress: &Progress<'_>) {
        match progress {
            Progress::MetaEpoch { done, report, validation } => {
                let rollout = report.mean_return.map_or(String::new(), |r| format!("return {r:.1}"));
                let best = validation.map_or(String::new(), |s| format!("best {:.1}", s.mean_return));
                self.bar.set_message([rollout, best].join("  ").trim().to_owned());
                self.bar.set_position(*done);
            }
            Progress::Scoring(done, total) => {
                if !self.scoring {
                    self.scoring = true;
                    self.bar.set_length(*total as u64);
                    let style =
                        ProgressStyle::with_template("{bar:28} {pos}/{len} learners scored  ETA {eta}");
                    self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                    self.bar.reset_eta();
                }
                self.bar.set_position(*done as u64);
            }
            Progress::Note(text) => self.bar.suspend(|| tell(text)),
        }
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A bar for `total` learners.
pub(super) fn learners(total: usize, quiet: bool) -> ProgressBar {
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(total as u64) };
    let style = ProgressStyle::with_template("{bar:28} {pos}/{len} learners  {per_sec}  ETA {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}
