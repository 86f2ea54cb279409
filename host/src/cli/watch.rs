//! Progress bars, and Ctrl-C.
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use super::tell;
use crate::distill::Progress;

/// Set by Ctrl-C: the run stops after the current meta-epoch or learner.
pub(super) static STOP: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C write a checkpoint and stop; a second Ctrl-C stops at once.
pub(super) fn catch_interrupt() {
    // A program that embeds this one may have its own handler, which stays.
    let _ = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        tell("\nstopping after this meta-epoch (press Ctrl-C again to stop at once)");
    });
}

/// A progress bar over the meta-epochs, then over the learners of the final evaluation.
pub(super) struct Watcher {
    bar: ProgressBar,
    scoring: bool,
}

impl Watcher {
    /// A bar over `total` meta-epochs, of which `done` are done. With `quiet` it is hidden.
    pub(super) fn new(total: u64, done: u64, quiet: bool) -> Self {
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(total) };
        let style =
            ProgressStyle::with_template("{bar:28} {pos}/{len} meta-epochs  {msg}  {per_sec}  ETA {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_position(done);
        bar.reset_eta();
        Watcher { bar, scoring: false }
    }

    /// Shows what the run reports.
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

/// A progress bar over `total` learners. With `quiet` it is hidden.
pub(super) fn learners(total: usize, quiet: bool) -> ProgressBar {
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(total as u64) };
    let style = ProgressStyle::with_template("{bar:28} {pos}/{len} learners  {per_sec}  ETA {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
