//! Threads that share out short jobs.
//!
//! A plan asks for its threads every few hundred microseconds, and environments for each step. Waking a thread that
//! sleeps takes tens of microseconds, so these watch for the next job for a while before they sleep.
//!
//! Where there are no threads, as on `wasm32-unknown-unknown`, the calling thread does everything.
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What is called with each number of a job.
type Job = dyn Fn(usize) + Sync;

/// How a pool's helper threads behave.
#[derive(Clone, Copy, Debug)]
pub struct Helpers {
    /// What the threads are called: `name-1`, `name-2`, ….
    pub name: &'static str,
    /// How long a helper watches for the next job before it sleeps.
    pub watch: Duration,
    /// Calls its argument. A helper runs its part of each job in it.
    pub around: fn(&dyn Fn()),
}

/// The calling thread and its helpers, which end when this is dropped.
pub struct Pool {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
    /// One job at a time.
    turn: Mutex<()>,
}

struct Shared {
    /// The upper half is the number of the job. The lower half says whether helpers can still join it ([`OPEN`]) and
    /// how many have. The caller waits for those alone, not for the ones that sleep.
    state: AtomicU64,
    /// The next number of the job that nobody has taken.
    next: AtomicUsize,
    work: Mutex<Work>,
    wake: Condvar,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

struct Work {
    /// Valid while the job is open or a helper that joined it is at work.
    job: &'static Job,
    count: usize,
    /// Helpers that wait for `wake`.
    asleep: usize,
    end: bool,
}

const NUMBER: u64 = 1 << 32;
const OPEN: u64 = 1 << 31;
const NOTHING: &Job = &|_| {};

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool of `threads`, the calling one among them. It does without those that the system refuses.
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
        let helpers = (1..threads).map_while(start).collect();
        Pool { shared, helpers, turn: Mutex::new(()) }
    }

    /// Threads, the calling one included.
    pub fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Calls `job` with each number below `count`, on all threads at once, and waits until all are done. Which thread
    /// takes which number is left to chance.
    ///
    /// # Panics
    /// When `job` does, with its message. All the other numbers may or may not have been done.
    pub fn run(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        if self.helpers.is_empty() || count < 2 {
            return (0..count).for_each(job);
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. `close` returns when no helper uses the reference any more and none can
        // get it, and nothing between here and there unwinds.
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

    /// Lets helpers join a new job. How many of them are asleep.
    fn open(&self, job: &'static Job, count: usize) -> usize {
        let mut work = self.work();
        (work.job, work.count) = (job, count);
        self.next.store(0, Ordering::Relaxed);
        // Nobody is in the job before this one: `close` has seen to that.
        let number = (self.state.load(Ordering::Relaxed) / NUMBER + 1) % (1 << 31);
        self.state.store((number * NUMBER) | OPEN, Ordering::Release);
        work.asleep
    }

    /// Lets nobody join any more, and waits for those that have.
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

    fn take_part(&self, job: &(dyn Fn(usize) + Sync), count: usize) {
        loop {
            match self.next.fetch_add(1, Ordering::Relaxed) {
                i if i < count => job(i),
                _ => break,
            }
        }
    }

    /// What a helper does all its life.
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

    /// Waits for a job with another number than `seen`, first watching, then asleep, and joins it. None: there will
    /// be none.
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
            // While `work` is locked no other job can begin, but this one may just have been closed.
            *seen = self.state.load(Ordering::Acquire) / NUMBER;
            let joined = |state| (state & OPEN != 0).then_some(state + 1);
            if self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, joined).is_ok() {
                return Some((work.job, work.count));
            }
        }
    }
}

/// Looks a few times whether `there` is what is waited for. Then it gives the core away: the thread that is waited for
/// may need it.
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
    fn each_number_once_whatever_the_threads() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads, HELPERS);
            assert_eq!(pool.threads(), threads);
            for count in (0..200).chain([10_000]) {
                let calls: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                pool.run(count, &|i| {
                    calls[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1), "{threads} {count}");
                // Now and then they fall asleep.
                if count % 50 == 0 {
                    std::thread::sleep(HELPERS.watch * 10);
                }
            }
        }
    }

    /// Each number waits for the others: without a thread for each of them this would never end.
    #[test]
    fn every_thread_works_every_time() {
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

    /// Two callers at once take turns.
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
    fn a_panic_reaches_the_caller_and_the_pool_lives() {
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

    /// A helper's panic, which the caller's own thread has no part in.
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
    fn helpers_work_inside_of_what_is_around_them() {
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
