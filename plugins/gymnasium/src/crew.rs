//! The workers of this process. All environments share them, so that there is one for each core, however many sets of copies
//! there are, and Gymnasium is imported once in each.
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use potstill_sdk::packages::pythons;

use crate::worker::Worker;

/// A worker that several sets of copies share.
pub(crate) struct Seat(Arc<Mutex<Worker>>);

impl Seat {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Worker> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Workers of one Python.
pub(crate) struct Crew {
    /// The Pythons to try, in this order.
    pythons: Vec<String>,
    hired: Mutex<Hired>,
}

#[derive(Default)]
struct Hired {
    /// The Python that has Gymnasium, and Gymnasium's version.
    python: Option<[String; 2]>,
    seats: Vec<Option<Arc<Mutex<Worker>>>>,
    /// The seat at which the next copies begin.
    next: usize,
    /// Why no Python was found, and when.
    missing: Option<(Instant, String)>,
}

/// How long the user has no time to install Gymnasium. `potstill plugin install` makes every environment in less.
const KEPT: Duration = Duration::from_secs(5);

/// The crew of the user's Python.
pub(crate) static CREW: LazyLock<Crew> = LazyLock::new(|| Crew::new(pythons()));

impl Crew {
    pub(crate) fn new(pythons: Vec<String>) -> Crew {
        Crew { pythons, hired: Mutex::default() }
    }

    /// Finds `count` workers among `all` seats, and starts those that are missing. They are in the order in which they must be
    /// locked. Also says which Gymnasium they have.
    ///
    /// # Errors
    /// No Python has Gymnasium, or a worker does not start within `limit`.
    pub(crate) fn hire(
        &self,
        count: usize,
        all: usize,
        limit: Duration,
    ) -> Result<(Vec<Seat>, String), String> {
        let mut hired = self.hired.lock().unwrap_or_else(PoisonError::into_inner);
        let first = match &hired.python {
            Some(_) => None,
            None => {
                if let Some((_, missing)) = hired.missing.as_ref().filter(|(when, _)| when.elapsed() < KEPT) {
                    return Err(missing.clone());
                }
                let found = self.search(limit).inspect_err(|why| {
                    hired.missing = Some((Instant::now(), why.clone()));
                });
                let (worker, python) = found?;
                hired.python = Some(python);
                Some(worker)
            }
        };
        let [python, version] = hired.python.clone().unwrap_or_default();
        let all = all.max(count);
        let next = hired.next;
        hired.next = (next + count) % all;
        if hired.seats.len() < all {
            hired.seats.resize_with(all, || None);
        }
        let mut places: Vec<usize> = (next..next + count).map(|place| place % all).collect();
        places.sort();
        // A worker that another thread talks to works.
        let works = |seat: &Option<Arc<Mutex<Worker>>>| {
            seat.as_ref().is_some_and(|worker| worker.try_lock().map_or(true, |worker| worker.works()))
        };
        let missing: Vec<usize> =
            places.iter().copied().filter(|&place| !works(&hired.seats[place])).collect();
        // They import Gymnasium at the same time.
        let mut first = first.map(Ok);
        let since = Instant::now();
        let started: Vec<(usize, bool, Worker)> = missing
            .into_iter()
            .map(|place| match first.take() {
                Some(worker) => worker.map(|worker| (place, true, worker)),
                None => Worker::start(&python).map(|worker| (place, false, worker)),
            })
            .collect::<Result<_, _>>()
            .map_err(|error| format!("{python} does not start: {error}"))?;
        for (place, ready, mut worker) in started {
            if !ready {
                worker.answer(since, limit).map_err(|failed| failed.message)?;
            }
            hired.seats[place] = Some(Arc::new(Mutex::new(worker)));
        }
        let seat = |place: usize| hired.seats[place].clone().map(Seat);
        let seats = places.into_iter().filter_map(seat).collect();
        Ok((seats, format!("Gymnasium {version} of {python}")))
    }

    /// A worker of the first Python that has Gymnasium, that Python, and Gymnasium's version.
    fn search(&self, limit: Duration) -> Result<(Worker, [String; 2]), String> {
        let (mut looked, mut runs) = (vec![], None);
        for python in &self.pythons {
            let started = Worker::start(python).map_err(|error| error.to_string());
            let answered = started.and_then(|mut worker| {
                runs = runs.or(Some(python));
                let version = worker.answer(Instant::now(), limit).map_err(|failed| failed.message)?;
                Ok((worker, String::from_utf8_lossy(&version).into_owned()))
            });
            match answered {
                Ok((worker, version)) => return Ok((worker, [python.clone(), version])),
                Err(error) => looked.push(format!("{python} ({error})")),
            }
        }
        let python = runs.map_or("python3", String::as_str);
        Err(format!(
            "Gymnasium was not found in: {}; `{python} -m pip install gymnasium` installs it, and the environment variable \
             POTSTILL_PYTHON names another Python",
            looked.join(", ")
        ))
    }
}
