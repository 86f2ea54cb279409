//! Threads that step copies together, for environments whose step takes long enough: see
//! [`Environment::threads`](crate::Environment::threads).
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::native::quietly;

/// For so long a helper looks for the next work before it sleeps: waking it costs as much.
const LOOKS: Duration = Duration::from_micros(30);

/// The calling thread and its helpers, which live as long as this.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
}

/// One piece of work at a time: `job(i)` for each `i` below `count`, by whoever is free. Which thread takes which makes
/// no difference to what comes out.
struct Shared {
    /// The number of the work in the upper half; its lower half says whether it can be joined ([`OPEN`]), and how many
    /// helpers have joined. The caller waits for those alone, not for the ones that sleep.
    state: AtomicU64,
    next: AtomicUsize,
    work: Mutex<Work>,
    wake: Condvar,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

struct Work {
    job: Job,
    count: usize,
    /// Helpers that wait for `wake`.
    asleep: usize,
    end: bool,
}

#[derive(Clone, Copy)]
struct Job(*const (dyn Fn(usize) + Sync));

// SAFETY: only called while the caller of `run` waits, and then it is shared as `Sync` allows.
unsafe impl Send for Job {}

const NUMBER: u64 = 1 << 32;
const OPEN: u64 = 1 << 31;

impl Pool {
    /// `threads` in all, the caller's among them.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let nothing: &'static (dyn Fn(usize) + Sync) = &|_| {};
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            work: Mutex::new(Work { job: Job(nothing), count: 0, asleep: 0, end: false }),
            wake: Condvar::new(),
            panic: Mutex::new(None),
        });
        let mut pool = Pool { shared, helpers: vec![] };
        for i in 1..threads {
            let shared = pool.shared.clone();
            let helper =
                std::thread::Builder::new().name(format!("copies-{i}")).spawn(move || shared.help())?;
            pool.helpers.push(helper);
        }
        Ok(pool)
    }

    /// Calls `job` with each number below `count`, on all threads at once. A panic in it goes on here.
    pub(crate) fn run(&mut self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. Nobody calls it after this function: `close` ends that.
        let endless = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync)>(job)
        };
        let mut work = shared.work();
        (work.job, work.count) = (Job(endless), count);
        shared.next.store(0, Ordering::Relaxed);
        // Nobody is in the work before: `run` has closed it.
        let number = (shared.state.load(Ordering::Relaxed) / NUMBER + 1) % (1 << 31);
        shared.state.store((number * NUMBER) | OPEN, Ordering::Release);
        let asleep = work.asleep;
        drop(work);
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

    fn take_part(&self, job: &(dyn Fn(usize) + Sync), count: usize) {
        loop {
            match self.next.fetch_add(1, Ordering::Relaxed) {
                i if i < count => job(i),
                _ => break,
            }
        }
    }

    /// Lets nobody join any more, and waits for those that have.
    fn close(&self) {
        let mut joined = self.state.fetch_and(!OPEN, Ordering::AcqRel) & (OPEN - 1);
        while joined > 0 {
            std::thread::yield_now();
            joined = self.state.load(Ordering::Acquire) & (OPEN - 1);
        }
    }

    /// What a helper does all its life.
    fn help(&self) {
        let mut seen = 0;
        while let Some((number, job, count)) = self.next_work(seen) {
            seen = number;
            let state = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
                (state / NUMBER == number && state & OPEN != 0).then_some(state + 1)
            });
            if state.is_err() {
                continue;
            }
            // SAFETY: joined, so the caller of `run` is still there.
            let job = unsafe { &*job.0 };
            if let Err(panic) = quietly(|| catch_unwind(AssertUnwindSafe(|| self.take_part(job, count)))) {
                self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
            }
            self.state.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Waits for a work with another number than `seen`, first with open eyes. None: there will be none.
    fn next_work(&self, seen: u64) -> Option<(u64, Job, usize)> {
        let since = Instant::now();
        while self.state.load(Ordering::Acquire) / NUMBER == seen && since.elapsed() < LOOKS {
            std::thread::yield_now();
        }
        let mut work = self.work();
        loop {
            let number = self.state.load(Ordering::Acquire) / NUMBER;
            if work.end {
                return None;
            }
            if number != seen {
                return Some((number, work.job, work.count));
            }
            work.asleep += 1;
            work = self.wake.wait(work).unwrap_or_else(PoisonError::into_inner);
            work.asleep -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_once_whatever_the_threads() {
        for threads in [1, 2, 5] {
            let mut pool = Pool::new(threads).unwrap();
            for count in (0..200).chain([10_000]) {
                let calls: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                pool.run(count, &|i| {
                    calls[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1), "{threads} {count}");
                // Now and then they fall asleep.
                if count % 50 == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }

    #[test]
    fn helpers_help() {
        let mut pool = Pool::new(3).unwrap();
        let threads = Mutex::new(std::collections::HashSet::new());
        pool.run(30, &|_| {
            threads.lock().unwrap().insert(std::thread::current().id());
            std::thread::sleep(Duration::from_millis(2));
        });
        assert_eq!(threads.lock().unwrap().len(), 3);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives() {
        let mut pool = Pool::new(3).unwrap();
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
