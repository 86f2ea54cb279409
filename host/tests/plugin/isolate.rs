//! Tests native plugins in separate processes: whatever ends such a process is one clear error in the host, and nothing of
//! the process is left behind.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use potstill::plugin::{Actions, Observations, Registry};

use crate::c::{compile, processes_with};
use crate::native::hostile;
use crate::{isolated, registry, settings};

/// Makes a folder with the plugin and a manifest with these time limits in seconds.
fn with_limits(library: &Path, start: f64, step: f64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    std::fs::copy(library, folder.path().join(format!("{prefix}it{suffix}"))).unwrap();
    let manifest = format!(
        "id = \"test/native-v1\"\nrole = \"environment\"\nversion = \"0.1.0\"\napi = \"0.1\"\nsummary = \"s\"\n\
         license = \"MIT\"\nlibrary = \"it\"\n[limits]\nstep-seconds = {step}\nstart-seconds = {start}\n"
    );
    std::fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
    folder
}

/// Plays a few steps and returns the first error, after checking that every later call gives the same one.
fn first_error(registry: &Registry) -> String {
    let mut environments = match registry.make_environments("test/native", &[], 1) {
        Ok(environments) => environments,
        Err(error) => return error.to_string(),
    };
    let mut play = || {
        environments.reset(&[1])?;
        (0..3).try_for_each(|_| -> potstill::Result<()> {
            environments.step(&Actions::Discrete(vec![0]))?;
            // By now its process sleeps and must be woken through the socket.
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        })
    };
    match (play(), play()) {
        (Err(first), Err(again)) => {
            assert_eq!(first.to_string(), again.to_string());
            first.to_string()
        }
        _ => String::new(),
    }
}

#[test]
fn each_death_is_one_clear_error() {
    for (mode, expected) in [
        ("ABORTS", "in `step`: its process was killed by signal 6 (abort)"),
        ("SEGFAULTS", "in `step`: its process was killed by signal 11 (segmentation fault)"),
        ("OVERFLOWS", "in `step`: its process was killed by signal"),
        ("EXITS", "in `step`: its process exited in the middle of the call, with status 0"),
        ("KILLED", "in `step`: its process was killed by signal 9 (SIGKILL"),
        ("LEAVES_CHILD", "in `step`: its process was killed by signal 6 (abort)"),
        ("CLOSES_ALL", "in `step`: its process was killed: it closed the host's socket"),
        ("WRITES_TO_ALL", "in `step`: its process was killed: it wrote to the host's socket"),
        ("HANGS", "in `step`: no answer within 2 s (limit `step-seconds`): its process was killed"),
        ("SEGFAULTS_IN_MAKE", "in `make`: its process was killed by signal 11 (segmentation fault)"),
        ("SEGFAULTS_IN_RESET", "in `reset`: its process was killed by signal 11 (segmentation fault)"),
        ("ABORTS_ON_LOAD", "in `load`: its process was killed by signal 6 (abort)"),
        ("HANGS_ON_LOAD", "in `load`: no answer within 2 s (limit `start-seconds`): its process was killed"),
        ("THROWS", "in `step`: its process was killed by signal 6 (abort)"),
        ("PRINTS", ""),
        ("GOOD", ""),
    ] {
        let library = match mode {
            "THROWS" => compile("tests/hostile-native/throws.cpp", mode, &[]),
            mode => hostile(mode),
        };
        // Only modes that never answer may reach a time limit: a plugin that hangs, and a child process that keeps the
        // socket open.
        let short = |hangs: bool, long: f64| if hangs { 2.0 } else { long };
        let start = short(mode == "HANGS_ON_LOAD", 300.0);
        let step = short(matches!(mode, "HANGS" | "LEAVES_CHILD"), 120.0);
        let folder = with_limits(&library, start, step);
        let error = first_error(&isolated(&[folder.path().to_owned()]));
        let whole = format!("plugin `test/native-v1`, {expected}");
        assert!(error.starts_with(&whole) || error == expected, "{mode}: {error}");
        assert_eq!(error.lines().count(), usize::from(!expected.is_empty()), "{mode}: {error}");
        if mode == "LEAVES_CHILD" {
            // The child is killed too, but the host cannot wait for it, because it is not the host's own child.
            while processes_with(folder.path()) > 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        assert_eq!(processes_with(folder.path()), 0, "{mode}");
    }
}

/// A violation of the contract gives the same error as without a separate process.
#[test]
fn each_violation_is_the_same_error_as_in_this_process() {
    for mode in [
        "WRONG_MAGIC",
        "NEWER_MAJOR",
        "SHORT_TABLE",
        "NULL_STEP",
        "BAD_UTF8",
        "BAD_OPTION",
        "NO_HANDLE",
        "REFUSES",
        "FAILS",
        "UNKNOWN_CODE",
        "NO_WORDS",
        "UNKNOWN_SPACE",
        "HUGE_SPACE",
        "NAN_REWARD",
        "NAN_OBSERVATION",
        "BAD_FLAG",
        "BOTH_FLAGS",
        "STEP_FAILS",
    ] {
        let library = hostile(mode);
        let error = |registry: Result<Registry, _>| {
            registry.map_or_else(|e: potstill::Error| e.to_string(), |r| first_error(&r))
        };
        let program = env!("CARGO_BIN_EXE_potstill").into();
        let there = error(Registry::isolated(std::slice::from_ref(&library), &[], program));
        let here = error(Registry::of(&[library], &[]));
        assert!(!here.is_empty() && here == there, "{mode}: {here} / {there}");
    }
}

#[test]
fn a_killed_process_is_one_clear_error() {
    let library = hostile("GOOD");
    let folder = with_limits(&library, 300.0, 120.0);
    let registry = isolated(&[folder.path().to_owned()]);
    let mut environments = registry.make_environments("test/native", &[], 1).unwrap();
    environments.reset(&[1]).unwrap();
    environments.step(&Actions::Discrete(vec![0])).unwrap();
    let killed = Command::new("pkill").arg("-KILL").arg("-f").arg(folder.path()).status().unwrap();
    assert!(killed.success());
    let error = environments.step(&Actions::Discrete(vec![0])).unwrap_err().to_string();
    assert!(error.contains("in `step`: its process was killed by signal 9"), "{error}");
}

#[test]
fn an_end_that_takes_too_long_is_cut_short() {
    for mode in ["HANGS_IN_DESTROY", "EXITS_IN_DESTROY", "GOOD"] {
        // The limits differ so much that the time tells which of the two was waited for.
        let (short, long) = (Duration::from_secs(2), Duration::from_secs(300));
        let folder = with_limits(&hostile(mode), long.as_secs_f64(), short.as_secs_f64());
        let environments =
            isolated(&[folder.path().to_owned()]).make_environments("test/native", &[], 1).unwrap();
        let started = Instant::now();
        drop(environments);
        let took = started.elapsed();
        assert!(took < long && (mode != "HANGS_IN_DESTROY" || took >= short), "{mode}: {took:?}");
        assert_eq!(processes_with(folder.path()), 0, "{mode}");
    }
}

#[test]
fn the_mountain_car_plays_alike() {
    let library = compile("examples/mountain-car/mountain_car.c", "mountain_car", &[]);
    let play = |registry: Registry| {
        let force = settings(&[("force", "0.002")]);
        let mut cars = registry.make_environments("acme/mountain-car", &force, 3).unwrap();
        let mut seen = format!("{:?}", cars.spec());
        seen += &format!("{:?}", cars.reset(&[1, 2, 3]).unwrap());
        for i in 0..450u32 {
            seen += &format!("{:?}", cars.step(&Actions::Discrete(vec![i / 10 % 3, 1, i % 3])).unwrap());
        }
        seen
    };
    assert_eq!(play(registry(std::slice::from_ref(&library))), play(isolated(&[library])));
}

/// Environments can move between threads and outlive the thread that made them.
#[test]
fn the_thread_that_made_it_may_end() {
    let library = compile("examples/mountain-car/mountain_car.c", "mountain_car_thread", &[]);
    let make = move || isolated(&[library]).make_environments("acme/mountain-car", &[], 2).unwrap();
    let mut cars = std::thread::spawn(make).join().unwrap();
    let Observations::Float(start) = cars.reset(&[1, 2]).unwrap() else { panic!("bytes") };
    assert_eq!(start.len(), 4);
    std::thread::sleep(Duration::from_millis(50));
    cars.step(&Actions::Discrete(vec![0, 1])).unwrap();
}

#[test]
fn a_program_that_cannot_be_started_is_an_error() {
    let library = hostile("GOOD");
    let error = |program: &str| {
        let plugins: Vec<PathBuf> = vec![library.clone()];
        Registry::isolated(&plugins, &[], program.into()).err().unwrap().to_string()
    };
    assert!(
        error("/nowhere/potstill").contains("its process cannot be started (/nowhere/potstill: No such file")
    );
    assert!(error("/bin/false").contains("its process exited in the middle of the call, with status 1"));
}
