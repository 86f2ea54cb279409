//! A thread pool for short parallel jobs.
//!
//! A plan needs its threads every few hundred microseconds, and environments need them for each step. Waking a sleeping
//! thread takes tens of microseconds, so the threads of this pool spin for a while before they sleep.
//!
//! On targets without threads, such as `wasm32-unknown-unknown`, the calling thread does all the work.
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A job: a function that is called with each index below a count.
type Job = dyn Fn(usize) + Sync;

/// How a pool's helper threads behave.
#[derive(Clone, Copy, Debug)]
pub struct Helpers {
    /// The prefix of the threads' names: `name-1`, `name-2`, ….
    pub name: &'static str,
    /// How long a helper spins for the next job before it sleeps.
    pub watch: Duration,
    /// A wrapper that must call its argument. A helper runs its share of each job through it.
    pub around: fn(&dyn Fn()),
}

/// A pool of the calling thread and its helper threads. Dropping it ends the helpers.
pub struct Pool {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
    /// Held while a job runs, so that there is only one at a time.
    turn: Mutex<()>,
}

/// The state that the caller and the helpers share.
struct Shared {
    /// The upper half is the number of the job. The lower half holds the flag [`OPEN`], which says whether helpers may
    /// still join the job, and the number of helpers at work on it. The caller waits only for these helpers, not for
    /// sleeping ones.
    state: AtomicU64,
    /// The next index of the job that no thread has taken.
    next: AtomicUsize,
    work: Mutex<Work>,
    wake: Condvar,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// The current job.
struct Work {
    /// Valid while the job is open or a helper is still working on it.
    job: &'static Job,
    count: usize,
    /// The number of helpers that wait for `wake`.
    asleep: usize,
    end: bool,
}

const NUMBER: u64 = 1 << 32;
const OPEN: u64 = 1 << 31;
const NOTHING: &Job = &|_| {};

/// The most threads of a pool. The system ends a process whose threads use up its memory mappings, two to three for each.
pub const MOST_THREADS: usize = 1024;

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

impl Pool {
    /// Makes a pool of `threads` threads, including the calling one. It has fewer if the system cannot start them all, and
    /// at most [`MOST_THREADS`].
    pub fn new(threads: usize, how: Helpers) -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            work: Mutex::new(Work { job: NOTHING, count: 0, asleep: 0, end: false }),
            wake: Condvar::new(),
            panic: Mutex::new(None),
        });
        let start = |i: usize| {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("{}-{i}", how.name));
            thread.spawn(move || shared.help(how)).ok()
        };
        let helpers = (1..threads.min(MOST_THREADS)).map_while(start).collect();
        Pool { shared, helpers, turn: Mutex::new(()) }
    }

    /// Returns the number of threads, including the calling one.
    pub fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Calls `job` once with each index below `count`, in parallel on all threads, and waits until all calls have
    /// returned. It is not determined which thread takes which index.
    ///
    /// # Panics
    /// Panics if `job` does, with the same payload. The calls for the other indices may or may not have been made.
    pub fn run(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        if self.helpers.is_empty() || count < 2 {
            return (0..count).for_each(job);
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. When `close` returns, no helper uses the reference any more and none can
        // get it, and nothing between here and `close` unwinds.
        let endless = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static Job>(job) };
        let asleep = shared.open(endless, count);
        if asleep > 0 {
            shared.wake.notify_all();
        }
        let done = catch_unwind(AssertUnwindSafe(|| shared.take_part(job, count)));
        shared.close();
        let panic = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = done.err().or(panic) {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.work().end = true;
        self.shared.wake.notify_all();
        for helper in self.helpers.drain(..) {
            let _ = helper.join();
        }
    }
}

impl Shared {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets helpers join a new job. Returns how many of them are asleep.
    fn open(&self, job: &'static Job, count: usize) -> usize {
        let mut work = self.work();
        (work.job, work.count) = (job, count);
        self.next.store(0, Ordering::Relaxed);
        // No helper is still working on the previous job, because `close` has waited for them.
        let number = (self.state.load(Ordering::Relaxed) / NUMBER + 1) % (1 << 31);
        self.state.store((number * NUMBER) | OPEN, Ordering::Release);
        work.asleep
    }

    /// Stops helpers from joining the job, and waits for those that have joined.
    fn close(&self) {
        let mut joined = self.state.fetch_and(!OPEN, Ordering::AcqRel) & (OPEN - 1);
        while joined > 0 {
            patiently(|| {
                joined = self.state.load(Ordering::Acquire) & (OPEN - 1);
                joined == 0
            });
        }
        self.work().job = NOTHING;
    }

    /// Takes indices of the job and calls it until none are left.
    fn take_part(&self, job: &(dyn Fn(usize) + Sync), count: usize) {
        loop {
            match self.next.fetch_add(1, Ordering::Relaxed) {
                i if i < count => job(i),
                _ => break,
            }
        }
    }

    /// Runs a helper: joins one job after another until the pool ends.
    fn help(&self, how: Helpers) {
        let mut seen = 0;
        while let Some((job, count)) = self.join(&mut seen, how.watch) {
            (how.around)(&|| {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.take_part(job, count))) {
                    self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
                }
            });
            self.state.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Waits for a job with another number than `seen`, first spinning and then asleep, and joins it. Returns `None` once
    /// the pool ends.
    fn join(&self, seen: &mut u64, watch: Duration) -> Option<(&'static Job, usize)> {
        loop {
            let since = Instant::now();
            let is_new = || self.state.load(Ordering::Acquire) / NUMBER != *seen;
            while !patiently(is_new) && since.elapsed() < watch {}
            let mut work = self.work();
            while !work.end && !is_new() {
                work.asleep += 1;
                work = self.wake.wait(work).unwrap_or_else(PoisonError::into_inner);
                work.asleep -= 1;
            }
            if work.end {
                return None;
            }
            // No other job can begin while `work` is locked, but this one may just have been closed.
            *seen = self.state.load(Ordering::Acquire) / NUMBER;
            let joined = |state| (state & OPEN != 0).then_some(state + 1);
            if self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, joined).is_ok() {
                return Some((work.job, work.count));
            }
        }
    }
}

/// Checks `there` a few times and returns whether it became true. If not, it yields the core, because the thread that
/// this one waits for may need it.
fn patiently(mut there: impl FnMut() -> bool) -> bool {
    for _ in 0..64 {
        if there() {
            return true;
        }
        std::hint::spin_loop();
    }
    std::thread::yield_now();
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    const HELPERS: Helpers =
        Helpers { name: "test", watch: Duration::from_micros(100), around: |part| part() };

    #[test]
    fn every_index_is_called_once_with_any_number_of_threads() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads, HELPERS);
            assert_eq!(pool.threads(), threads);
            for count in (0..200).chain([10_000]) {
                let calls: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                pool.run(count, &|i| {
                    calls[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1), "{threads} {count}");
                // Let the helpers fall asleep now and then.
                if count % 50 == 0 {
                    std::thread::sleep(HELPERS.watch * 10);
                }
            }
        }
    }

    /// Each call waits for the other three, so this ends only if every call has its own thread.
    #[test]
    fn every_thread_takes_part_in_every_job() {
        let pool = Pool::new(4, HELPERS);
        for round in 0..500 {
            let all = Barrier::new(4);
            pool.run(4, &|_| {
                all.wait();
            });
            if round % 100 == 0 {
                std::thread::sleep(HELPERS.watch * 10);
            }
        }
    }

    /// Two threads that use the pool at the same time take turns.
    #[test]
    fn one_job_at_a_time() {
        let (pool, sum) = (Pool::new(2, HELPERS), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        pool.run(5, &|i| {
                            sum.fetch_add(i, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), 2 * 500 * 10);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_stays_usable() {
        for threads in [1, 3] {
            let pool = Pool::new(threads, HELPERS);
            for _ in 0..20 {
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    pool.run(50, &|i| {
                        if i == 20 {
                            resume_unwind(Box::new("number 20"));
                        }
                    });
                }));
                assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"number 20"));
            }
            let sum = AtomicUsize::new(0);
            pool.run(10, &|i| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 45);
        }
    }

    /// The panic happens only on a helper's thread.
    #[test]
    fn a_helpers_panic_reaches_the_caller() {
        let pool = Pool::new(2, HELPERS);
        let caller = std::thread::current().id();
        let both = Barrier::new(2);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.run(2, &|_| {
                both.wait();
                if std::thread::current().id() != caller {
                    resume_unwind(Box::new("a helper"));
                }
            });
        }));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"a helper"));
    }

    #[test]
    fn helpers_run_their_share_through_the_wrapper() {
        static PARTS: AtomicUsize = AtomicUsize::new(0);
        fn counted(part: &dyn Fn()) {
            PARTS.fetch_add(1, Ordering::Relaxed);
            part();
        }
        let pool = Pool::new(2, Helpers { around: counted, ..HELPERS });
        let both = Barrier::new(2);
        pool.run(2, &|_| {
            both.wait();
        });
        assert_eq!(PARTS.load(Ordering::Relaxed), 1);
    }
}
