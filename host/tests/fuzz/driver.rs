//! Runs a target: changes its seeds, loads the result, and judges what came of it.
use std::any::Any;
use std::cell::RefCell;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::memory;

/// Whether a file was accepted, or what is wrong with the program that loaded it.
pub(crate) type Verdict = Result<bool, String>;

/// Changes a file; the other seeds are there to be mixed in.
type Change = fn(&[u8], &[Vec<u8>], &mut ChaCha8Rng) -> Vec<u8>;

/// Something that is loaded.
pub(crate) struct Target {
    /// The name of its test, with `-` for `_`.
    pub(crate) name: &'static str,
    /// The name of the file to load.
    pub(crate) file: &'static str,
    /// Valid files.
    pub(crate) seeds: Vec<Vec<u8>>,
    pub(crate) change: Change,
}

/// The most memory that loading a file may take.
const MEMORY: usize = 1 << 30;
/// The largest file, in bytes. The program reads no larger ones of most kinds, and the tests that read them here should take
/// less than [`MEMORY`].
const LARGEST: usize = 32 << 20;
/// The time after which loading a file is taken to be endless.
const PATIENCE: Duration = Duration::from_secs(300);

impl Target {
    /// Loads the seeds, then changed ones until the time is over.
    pub(crate) fn run(&self, load: &dyn Fn(&Path) -> Verdict) {
        remember_panics();
        let folder = self.folder();
        std::fs::create_dir_all(&folder).unwrap();
        // Another process may be at the same target.
        let turn = File::create(folder.with_extension("lock")).unwrap();
        turn.lock().unwrap();
        let path = folder.join(self.file);
        if let Some(input) = std::env::var_os("POTSTILL_FUZZ_INPUT") {
            std::fs::copy(input, &path).unwrap();
            return match judge(&path, load) {
                Ok(accepted) => println!("{}: accepted: {accepted}", self.name),
                Err(what) => panic!("{}: {what}", self.name),
            };
        }
        let number = |name: &str, default: u64| match std::env::var(name) {
            Ok(text) => text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")),
            Err(_) => default,
        };
        let (seed, seconds) = (number("POTSTILL_FUZZ_SEED", 0), number("POTSTILL_FUZZ_SECONDS", 2));
        for (i, bytes) in self.seeds.iter().enumerate() {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(judge(&path, load), Ok(true), "{}: seed {i}", self.name);
        }
        let (started, end) = (Mutex::new(Instant::now()), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| self.watch(&started, &end));
            let _end = End(&end);
            let until = Instant::now() + Duration::from_secs(seconds);
            let (mut cases, mut accepted) = (0, 0);
            while cases == 0 || Instant::now() < until {
                let bytes = self.changed(seed, cases);
                std::fs::write(&path, &bytes).unwrap();
                *started.lock().unwrap() = Instant::now();
                match judge(&path, load) {
                    Ok(was) => accepted += u64::from(was),
                    Err(what) => self.fail(&format!("{seed}-{cases}"), &bytes, &what),
                }
                cases += 1;
            }
            println!("{}: {cases} files, {accepted} accepted", self.name);
        });
    }

    /// The folder of the target's files.
    fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("fuzz").join(self.name)
    }

    /// The file of this number, which depends on nothing else but `seed` and the seeds.
    fn changed(&self, seed: u64, number: u64) -> Vec<u8> {
        let mut hash = DefaultHasher::new();
        (self.name, seed).hash(&mut hash);
        let mut rng = ChaCha8Rng::seed_from_u64(hash.finish());
        rng.set_stream(number);
        let mut bytes = self.seeds[rng.random_range(0..self.seeds.len())].clone();
        for _ in 0..[1, 1, 1, 2, 3, 6][rng.random_range(0..6)] {
            bytes = Some((self.change)(&bytes, &self.seeds, &mut rng))
                .filter(|changed| changed.len() <= LARGEST)
                .unwrap_or(bytes);
        }
        bytes
    }

    /// Ends the process if a file takes too long.
    fn watch(&self, started: &Mutex<Instant>, end: &AtomicBool) {
        while !end.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
            if started.lock().unwrap().elapsed() > PATIENCE {
                let file = self.folder().join(self.file);
                eprintln!("{}: {} takes longer than {PATIENCE:?} to load", self.name, file.display());
                std::process::abort();
            }
        }
    }

    fn fail(&self, number: &str, bytes: &[u8], what: &str) -> ! {
        let kept = self.folder().with_file_name(format!("{}-{number}", self.name));
        std::fs::write(&kept, bytes).unwrap();
        panic!(
            "{name}: {what}\nThe file is {file}. To try it again:\n  POTSTILL_FUZZ_INPUT={file} cargo test --release -p \
             potstill --test fuzz {test}",
            name = self.name,
            file = kept.display(),
            test = self.name.replace('-', "_"),
        );
    }
}

/// Says at the end of its life that the watcher can go.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Loads a file, and turns a panic or too much memory into what is wrong.
fn judge(path: &Path, load: &dyn Fn(&Path) -> Verdict) -> Verdict {
    memory::begin();
    let verdict = catch_unwind(AssertUnwindSafe(|| load(path)));
    let most = memory::most();
    if let Some(panic) = ELSEWHERE.lock().unwrap().take() {
        return Err(format!("a thread panicked {panic}"));
    }
    let accepted = verdict.map_err(|panic| format!("panicked {}: {}", LAST.take(), words(&*panic)))??;
    match most <= MEMORY {
        true => Ok(accepted),
        false => Err(format!("took {} MiB, expected at most {}", most >> 20, MEMORY >> 20)),
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("")
}

thread_local! {
    /// Where this thread panicked last.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A panic of a thread that the program started itself, which it may have caught.
static ELSEWHERE: Mutex<Option<String>> = Mutex::new(None);

/// Remembers where each panic was.
fn remember_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map_or(String::new(), |place| format!("at {place}"));
            // The program names its threads, and so do its libraries; those of tests have the names of tests.
            if std::thread::current().name().is_some_and(|name| name.starts_with("potstill")) {
                *ELSEWHERE.lock().unwrap() = Some(format!("{place}: {info}"));
            } else {
                LAST.set(place);
                before(info);
            }
        }));
    });
}
