//! Copies of an environment that are spread over workers.
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::crew::Seat;
use crate::worker::{Failed, Task, Worker};

/// Copies of an environment in several workers. They are closed when it is dropped.
pub(crate) struct Copies {
    /// The number under which the workers know these copies.
    group: u32,
    shares: Vec<Share>,
    /// How long a worker may take for an answer.
    limit: Duration,
}

/// Consecutive copies that one worker steps.
pub(crate) struct Share {
    seat: Seat,
    pub(crate) first: usize,
    pub(crate) count: usize,
}

impl Copies {
    /// Spreads `count` copies over `seats`, of which there are at most as many. They are not made yet.
    pub(crate) fn new(seats: Vec<Seat>, count: usize, limit: Duration) -> Copies {
        static GROUPS: AtomicU32 = AtomicU32::new(0);
        let (all, mut first) = (seats.len().max(1), 0);
        let share = |(i, seat)| {
            let share = Share { seat, first, count: (count * (i + 1)) / all - first };
            first += share.count;
            share
        };
        let shares = seats.into_iter().enumerate().map(share).collect();
        Copies { group: GROUPS.fetch_add(1, Ordering::Relaxed), shares, limit }
    }

    /// Asks every worker at once, each with the payload for its share, and waits for their answers, in the order of the
    /// copies.
    ///
    /// # Errors
    /// The first that failed, with the copy whose environment raised the error. All workers have answered nevertheless.
    pub(crate) fn ask(
        &self,
        task: Task,
        payload: impl Fn(&Share) -> Vec<u8>,
    ) -> Result<Vec<Vec<u8>>, String> {
        // Every set of copies locks its workers in the same order, so that none waits for another in a circle.
        let mut workers: Vec<MutexGuard<'_, Worker>> =
            self.shares.iter().map(|share| share.seat.lock()).collect();
        let since = Instant::now();
        let asked: Vec<Result<(), Failed>> = workers
            .iter_mut()
            .zip(&self.shares)
            .map(|(worker, share)| worker.ask(task, self.group, &payload(share)))
            .collect();
        let answers: Vec<Result<Vec<u8>, String>> = workers
            .iter_mut()
            .zip(&self.shares)
            .zip(asked)
            .map(|((worker, share), asked)| {
                asked.and_then(|()| worker.answer(since, self.limit)).map_err(|failed| share.words(failed))
            })
            .collect();
        answers.into_iter().collect()
    }

    /// Asks the worker of one copy; the payload gets the copy's place in its share.
    ///
    /// # Errors
    /// As [`Copies::ask`].
    pub(crate) fn ask_one(
        &self,
        copy: usize,
        task: Task,
        payload: impl Fn(usize) -> Vec<u8>,
    ) -> Result<Vec<u8>, String> {
        let share = self.shares.iter().find(|share| (share.first..share.first + share.count).contains(&copy));
        let share = share.ok_or_else(|| format!("there is no copy {copy}"))?;
        let (mut worker, since) = (share.seat.lock(), Instant::now());
        let asked = worker.ask(task, self.group, &payload(copy - share.first));
        let answered = asked.and_then(|()| worker.answer(since, self.limit));
        answered.map_err(|failed| share.words(failed))
    }

    /// The processes of the workers, in the order of the copies.
    #[cfg(test)]
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.shares.iter().map(|share| share.seat.lock().process()).collect()
    }
}

impl Share {
    /// What failed, with the number of the copy among all.
    fn words(&self, failed: Failed) -> String {
        match failed.copy {
            Some(copy) => format!("copy {}: {}", self.first + copy, failed.message),
            None => failed.message,
        }
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        // A worker that cannot close them has ended, or is stopped.
        let _ = self.ask(Task::Close, |_| vec![]);
    }
}
