//! Threads for the shards of a plan.
//!
//! A plan asks for its threads every few hundred microseconds, and waking one that sleeps takes tens of them:
//! these wait busily for a moment before they sleep.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a thread waits busily: longer than what lies between two updates' parallel parts.
const BUSY: Duration = Duration::from_micros(300);

/// What the threads do: called with the number of the thread, from 1.
type Job = *const (dyn Fn(usize) + Sync);

#[derive(Debug)]
struct Shared {
    /// Counts jobs; odd or even does not matter, only that it changes.
    generation: AtomicUsize,
    /// The current job; read by workers only between a new generation and their own `running.fetch_sub`.
    job: Mutex<Option<SendJob>>,
    /// Workers that have not finished the current job.
    running: AtomicUsize,
    panicked: AtomicBool,
    stop: AtomicBool,
    wake: Condvar,
}

#[derive(Clone, Copy, Debug)]
struct SendJob(Job);
// SAFETY: the closure behind it is `Sync`, and `Pool::run` outlives every use.
unsafe impl Send for SendJob {}

/// A fixed number of threads beside the calling one.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// One job at a time.
    turn: Mutex<()>,
}

impl Pool {
    /// Starts `workers` threads. Those that the system refuses are done without.
    pub(super) fn new(workers: usize) -> Self {
        let shared = Arc::new(Shared {
            generation: AtomicUsize::new(0),
            job: Mutex::new(None),
            running: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            wake: Condvar::new(),
        });
        let start = |number: usize| {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("potstill-{number}"));
            thread.spawn(move || work(&shared, number)).ok()
        };
        let workers = (1..=workers).map_while(start).collect();
        Pool { shared, workers, turn: Mutex::new(()) }
    }

    /// Threads, the calling one included.
    pub(super) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `job` with each thread's number from 0 (the calling thread's), all at once, and waits for all.
    ///
    /// # Panics
    /// When `job` panicked in another thread.
    pub(super) fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes; every worker is done with the job before this function returns.
        let erased = unsafe { std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), Job>(job) };
        {
            let mut place = shared.job.lock().unwrap_or_else(PoisonError::into_inner);
            *place = Some(SendJob(erased));
            shared.running.store(self.workers.len(), Ordering::Relaxed);
            shared.generation.fetch_add(1, Ordering::Release);
            shared.wake.notify_all();
        }
        let own = catch_unwind(AssertUnwindSafe(|| job(0)));
        let mut spins = 0u32;
        while shared.running.load(Ordering::Acquire) != 0 {
            spins += 1;
            if spins.is_multiple_of(1024) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        *shared.job.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Err(payload) = own {
            std::panic::resume_unwind(payload);
        }
        assert!(!shared.panicked.swap(false, Ordering::Relaxed), "a thread of the plan panicked");
    }
}

fn work(shared: &Shared, number: usize) {
    let mut seen = 0;
    loop {
        let started = Instant::now();
        let mut spins = 0u32;
        while shared.generation.load(Ordering::Acquire) == seen {
            spins += 1;
            if !spins.is_multiple_of(64) {
                std::hint::spin_loop();
            } else if started.elapsed() > BUSY {
                break;
            }
        }
        let mut place = shared.job.lock().unwrap_or_else(PoisonError::into_inner);
        while shared.generation.load(Ordering::Acquire) == seen {
            if shared.stop.load(Ordering::Relaxed) {
                return;
            }
            place = shared.wake.wait(place).unwrap_or_else(PoisonError::into_inner);
        }
        seen = shared.generation.load(Ordering::Acquire);
        let job = *place;
        drop(place);
        if let Some(SendJob(job)) = job {
            // SAFETY: `Pool::run` waits for `running` to reach 0 before the closure ends.
            let done = catch_unwind(AssertUnwindSafe(|| unsafe { (*job)(number) }));
            if done.is_err() {
                shared.panicked.store(true, Ordering::Relaxed);
            }
            shared.running.fetch_sub(1, Ordering::Release);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        {
            let _place = self.shared.job.lock().unwrap_or_else(PoisonError::into_inner);
            self.shared.wake.notify_all();
        }
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_works_every_time() {
        let pool = Pool::new(3);
        let counts: Vec<AtomicUsize> = (0..pool.threads()).map(|_| AtomicUsize::new(0)).collect();
        for round in 0..2000 {
            pool.run(&|number| {
                counts[number].fetch_add(1, Ordering::Relaxed);
            });
            if round % 500 == 0 {
                // Long enough for the workers to sleep.
                std::thread::sleep(BUSY * 4);
            }
        }
        assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 2000));
    }

    #[test]
    fn a_panic_is_passed_on_and_the_pool_lives() {
        let pool = Pool::new(1);
        for bad in [0, 1] {
            let run = || pool.run(&|number| assert_ne!(number, bad, "expected by the test"));
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
            pool.run(&|_| ());
        }
    }
}
