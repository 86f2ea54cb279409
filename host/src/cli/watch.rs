//! How far a long piece of work is: a bar on a terminal, a line a minute elsewhere. And Ctrl-C.
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use super::tell;
use crate::distill::Progress;
use crate::terminal::stderr_columns;

/// Set by Ctrl-C: the run stops after the current meta-epoch or learner.
pub(super) static STOP: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C write a checkpoint and stop; a second Ctrl-C stops at once.
pub(super) fn catch_interrupt() {
    stop_on_interrupt("stopping after this meta-epoch (press Ctrl-C again to stop at once)");
}

/// Makes Ctrl-C set [`STOP`] and say `stopping`; a second Ctrl-C stops at once.
pub(super) fn stop_on_interrupt(stopping: &'static str) {
    // A program that embeds this one may have its own handler, which stays.
    let _ = ctrlc::set_handler(move || {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        // The terminal shows `^C` at the start of the line.
        tell("");
        tell(stopping);
    });
}

/// Shows how many of something are done.
pub(super) struct Meter {
    unit: &'static str,
    total: u64,
    bar: ProgressBar,
    /// In place of the bar where standard error is no terminal.
    log: Option<Mutex<Log>>,
}

impl Meter {
    /// Of `total` pieces, called `unit`, `done` are done. With `quiet` nothing is shown.
    pub(super) fn new(unit: &'static str, total: u64, done: u64, quiet: bool) -> Self {
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(total) };
        let template = match stderr_columns() {
            Some(..100) => "{wide_bar} {pos}/{len}{msg}  ETA {eta}".to_owned(),
            _ => format!("{{bar:28}} {{pos}}/{{len}} {unit}{{msg}}  {{per_sec}}  ETA {{eta}}"),
        };
        bar.set_style(
            ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_position(done);
        bar.reset_eta();
        let log = (bar.is_hidden() && !quiet).then(|| Mutex::new(Log::new(done, Instant::now())));
        Meter { unit, total, bar, log }
    }

    /// `done` pieces are done. `message` is shown beside them.
    pub(super) fn show(&self, done: u64, message: &str) {
        self.bar.set_message(message.to_owned());
        self.bar.set_position(done);
        if let Some(Ok(mut log)) = self.log.as_ref().map(Mutex::lock)
            && let Some(left) = log.due(done, self.total, Instant::now())
        {
            tell(&format!("{done}/{} {}{message}  {left} left", self.total, self.unit));
        }
    }

    /// Another piece is done.
    pub(super) fn one_more(&self) {
        self.bar.inc(1);
        self.show(self.bar.position(), "");
    }

    /// Tells the user something, above the bar.
    fn note(&self, text: &str) {
        self.bar.suspend(|| tell(text));
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Decides when to log a line: early, so that one sees that the work goes on, and then once a minute.
struct Log {
    start: Instant,
    /// The pieces that were done at the start.
    before: u64,
    next: Instant,
}

impl Log {
    const FIRST: Duration = Duration::from_secs(5);
    const EVERY: Duration = Duration::from_secs(60);

    fn new(before: u64, now: Instant) -> Self {
        Log { start: now, before, next: now + Self::FIRST }
    }

    /// If a line is due `now`, the time that the rest will take.
    fn due(&mut self, done: u64, total: u64, now: Instant) -> Option<HumanDuration> {
        if now < self.next || done <= self.before {
            return None;
        }
        self.next = now + Self::EVERY;
        let each = (now - self.start).as_secs_f64() / (done - self.before) as f64;
        let left = Duration::try_from_secs_f64(each * total.saturating_sub(done) as f64);
        Some(HumanDuration(left.unwrap_or(Duration::MAX)))
    }
}

/// Shows the meta-epochs of a run, then the learners of its final evaluation.
pub(super) struct Watcher {
    meter: Meter,
    quiet: bool,
    scoring: bool,
}

impl Watcher {
    /// Of `total` meta-epochs, `done` are done. With `quiet` nothing is shown.
    pub(super) fn new(total: u64, done: u64, quiet: bool) -> Self {
        Watcher { meter: Meter::new("meta-epochs", total, done, quiet), quiet, scoring: false }
    }

    /// Shows what the run reports.
    pub(super) fn show(&mut self, progress: &Progress<'_>) {
        match progress {
            Progress::MetaEpoch { done, report, validation } => {
                let rollout = report.mean_return.map_or(String::new(), |r| format!("  return {r:.1}"));
                let best = validation.map_or(String::new(), |s| format!("  best {:.1}", s.mean_return));
                self.meter.show(*done, &(rollout + &best));
            }
            Progress::Scoring(done, total) => {
                if !self.scoring {
                    self.scoring = true;
                    self.meter.finish();
                    self.meter = Meter::new("learners scored", *total as u64, 0, self.quiet);
                }
                self.meter.show(*done as u64, "");
            }
            Progress::Note(text) => self.meter.note(text),
        }
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        self.meter.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_early_and_then_once_a_minute() {
        let start = Instant::now();
        let mut log = Log::new(100, start);
        let mut line = |done, seconds| {
            let left = log.due(done, 1000, start + Duration::from_secs(seconds));
            left.map(|left| left.to_string())
        };
        assert_eq!(line(101, 1), None);
        assert_eq!(line(110, 6).unwrap(), "9 minutes");
        assert_eq!(line(120, 12), None);
        assert_eq!(line(190, 65), None);
        assert_eq!(line(200, 66).unwrap(), "9 minutes");
        assert_eq!(line(1000, 200).unwrap(), "0 seconds");
        assert_eq!(Log::new(5, start).due(5, 9, start + Log::EVERY).map(|left| left.0), None);
    }
}
