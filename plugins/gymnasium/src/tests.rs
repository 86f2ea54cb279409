//! Tests with the Gymnasium that `tests/setup` installed.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use potstill_plugin_api::{Manifest, abi};
use potstill_sdk::testing::{assert_provides, options};
use potstill_sdk::{Actions, Batch, BatchVariant, Frame, OptionValue, Outcomes, RenderMode, Rows, Space};

use crate::catalog::KNOWN;
use crate::crew::Crew;
use crate::{Gymnasium, Make};

/// The Python with Gymnasium. If there is none, that is an error if `CI` is set.
static PYTHON: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/gymnasium-python");
    if folder.join("complete").exists() {
        return Some(folder.join("bin/python"));
    }
    let missing = format!("{} is missing: run plugins/gymnasium/tests/setup", folder.display());
    assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "{missing}");
    eprintln!("SKIPPED: {missing}");
    None
});

static CREW: LazyLock<Crew> = LazyLock::new(|| crew_of(PYTHON.as_deref().unwrap()));

fn crew_of(python: &Path) -> Crew {
    Crew::new(vec![python.to_str().unwrap().to_owned()])
}

fn make_with(
    crew: &Crew,
    name: &str,
    copies: usize,
    values: &[(&str, OptionValue)],
) -> Result<Gymnasium, String> {
    Gymnasium::new(crew, name, copies, &options(Make::schemas(), values))
}

/// Copies and the arrays that a host has for them, in bytes.
struct Host {
    copies: Gymnasium,
    count: usize,
    observations: Vec<u32>,
    finals: Vec<u32>,
    rewards: Vec<f32>,
    terminated: Vec<u8>,
    truncated: Vec<u8>,
}

impl Host {
    fn new(name: &str, count: usize, values: &[(&str, OptionValue)]) -> Self {
        Self::of(make_with(&CREW, name, count, values).unwrap(), count)
    }

    fn of(copies: Gymnasium, count: usize) -> Self {
        let room = vec![0; (count * copies.spec().observation.size() * scalar(&copies)).div_ceil(4)];
        let (rewards, flags) = (vec![f32::NAN; count], vec![9; count]);
        Host {
            copies,
            count,
            observations: room.clone(),
            finals: room,
            rewards,
            terminated: flags.clone(),
            truncated: flags,
        }
    }

    fn reset(&mut self, seeds: &[u64]) -> Result<(), String> {
        let rows = rows(&self.copies, &mut self.observations, self.count);
        self.copies.reset(seeds, rows)
    }

    fn step(&mut self, actions: Actions<'_>) -> Result<(), String> {
        let out = Outcomes {
            observations: rows(&self.copies, &mut self.observations, self.count),
            rewards: &mut self.rewards,
            terminated: &mut self.terminated,
            truncated: &mut self.truncated,
            final_observations: rows(&self.copies, &mut self.finals, self.count),
            faults: None,
            lives_lost: None,
        };
        self.copies.step(actions, out)
    }

    /// The bytes of an observation.
    fn width(&self) -> usize {
        self.copies.spec().observation.size() * scalar(&self.copies)
    }
}

/// The bytes of an element of an observation.
fn scalar(copies: &Gymnasium) -> usize {
    if matches!(copies.spec().observation, Space::Image { .. }) { 1 } else { 4 }
}

fn rows<'a>(copies: &Gymnasium, room: &'a mut [u32], count: usize) -> Rows<'a> {
    let size = count * copies.spec().observation.size();
    match copies.spec().observation {
        Space::Image { .. } => Rows::Byte(&mut bytemuck::cast_slice_mut(room)[..size]),
        _ => Rows::Float(bytemuck::cast_slice_mut(room)),
    }
}

/// Reads a file of `tests/trajectories.py`.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }
}

/// The seeds of copies. A long one is folded.
const SEEDS: [u64; 5] = [0, 1, 2, 12345, 0xabcd_ef01_2345_6789];

/// Compares copies with Gymnasium's own environments, to the bit: observations, rewards and flags, over `steps` random steps.
/// At least `ends` episodes must end, or this says little.
fn equals_gymnasium(name: &str, steps: usize, ends: usize, kwargs: &str, values: &[(&str, OptionValue)]) {
    let Some(python) = PYTHON.as_deref() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trajectories");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trajectories.py");
    let seeds = SEEDS.map(|seed| seed.to_string()).join(",");
    let output = Command::new(python)
        .args(["-Wignore".as_ref(), script.as_os_str(), name.as_ref(), seeds.as_ref()])
        .args([steps.to_string().as_ref(), file.as_os_str(), kwargs.as_ref()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = std::fs::read(&file).unwrap();

    let mut values = values.to_vec();
    values.extend([("kwargs", kwargs.into()), ("workers", 2i64.into())]);
    let mut host = Host::new(name, SEEDS.len(), &values);
    host.reset(&SEEDS).unwrap();
    let (width, components) = (host.width(), host.copies.spec().action.size());
    // Every copy's part of the file.
    let mut reader = Reader(&bytes);
    let mut parts = vec![];
    for _ in SEEDS {
        let first = reader.take(width);
        let mut all = vec![];
        for _ in 0..steps {
            let (action, outcome) = (reader.take(4 * components), reader.take(6));
            let after = reader.take(width);
            let next = (outcome[4] | outcome[5] != 0).then(|| reader.take(width));
            all.push((action, outcome, after, next));
        }
        parts.push((first, all));
    }
    assert!(reader.0.is_empty(), "{name}: the file is of other spaces");
    for (i, (first, _)) in parts.iter().enumerate() {
        let seen: &[u8] = bytemuck::cast_slice(&host.observations);
        assert!(seen[i * width..][..width] == **first, "{name}: the first observation of copy {i}");
    }
    let (mut ended, continuous) = (0, matches!(host.copies.spec().action, Space::Box { .. }));
    for step in 0..steps {
        let words = parts.iter().flat_map(|(_, all)| all[step].0.chunks_exact(4));
        let actions: Vec<u32> = words.map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
        match continuous {
            true => host.step(Actions::Continuous(bytemuck::cast_slice(&actions))).unwrap(),
            false => host.step(Actions::Discrete(&actions)).unwrap(),
        }
        let seen: &[u8] = bytemuck::cast_slice(&host.observations);
        let mut finals: &[u8] = bytemuck::cast_slice(&host.finals);
        for (i, (_, all)) in parts.iter().enumerate() {
            let (_, outcome, after, next) = all[step];
            let found =
                [&host.rewards[i].to_le_bytes()[..], &[host.terminated[i], host.truncated[i]]].concat();
            assert_eq!(found, outcome, "{name}: reward and flags of copy {i} in step {step}");
            let now = &seen[i * width..][..width];
            match next {
                None => assert!(now == after, "{name}: copy {i} after step {step}"),
                Some(next) => {
                    assert!(now == next, "{name}: the start of an episode of copy {i} in step {step}");
                    assert!(
                        finals[..width] == *after,
                        "{name}: the end of an episode of copy {i} in step {step}"
                    );
                    finals = &finals[width..];
                    ended += 1;
                }
            }
        }
    }
    assert!(ended >= ends, "{name}: only {ended} episodes ended");
    println!("{name}: {} steps, {ended} ends: all equal", steps * SEEDS.len());
}

#[test]
fn classic_control_equals_gymnasium() {
    equals_gymnasium("CartPole-v1", 500, 50, "{}", &[]);
    equals_gymnasium("Acrobot-v1", 520, 5, "{}", &[]);
    equals_gymnasium("MountainCarContinuous-v0", 1010, 5, "{}", &[]);
    equals_gymnasium("Pendulum-v1", 410, 10, r#"{"g": 9.81}"#, &[]);
}

#[test]
fn box2d_equals_gymnasium() {
    equals_gymnasium("LunarLander-v3", 400, 10, "{}", &[]);
    equals_gymnasium("LunarLander-v3", 200, 1, r#"{"continuous": true}"#, &[]);
    equals_gymnasium("CarRacing-v3", 12, 0, "{}", &[]);
}

#[test]
fn toy_text_is_flattened() {
    equals_gymnasium("FrozenLake-v1", 200, 50, "{}", &[]);
    equals_gymnasium("Blackjack-v1", 60, 50, "{}", &[]);
}

#[test]
fn grids_equal_minigrid() {
    let image = [("wrappers", "minigrid.wrappers:ImgObsWrapper".into()), ("images", false.into())];
    equals_gymnasium("minigrid:MiniGrid-DoorKey-5x5-v0", 300, 5, "{}", &image);
}

#[test]
fn workers_change_nothing() {
    if PYTHON.is_none() {
        return;
    }
    let run = |workers: i64| {
        let mut host = Host::new("Acrobot-v1", 5, &[("workers", workers.into())]);
        // Copies of another environment, which the same workers step in between.
        let mut other = Host::new("Pendulum-v1", 3, &[("workers", workers.into())]);
        host.reset(&SEEDS).unwrap();
        other.reset(&SEEDS[..3]).unwrap();
        let step = |step: u32| {
            other.step(Actions::Continuous(&[1.0, -2.0, 0.5])).unwrap();
            host.step(Actions::Discrete(&[step % 3, 0, step / 5 % 3, 2, 1])).unwrap();
            (host.observations.clone(), other.observations.clone())
        };
        (0..100).map(step).collect::<Vec<_>>()
    };
    let alone = run(1);
    assert!(alone[0] != alone[1]);
    assert!(run(2) == alone && run(3) == alone && run(64) == alone);
}

/// Workers belong to the process: copies that are made later import nothing.
#[test]
fn workers_are_kept_and_shared() {
    let Some(python) = PYTHON.as_deref() else { return };
    let crew = crew_of(python);
    let processes = |count| {
        let workers = [("workers", 2i64.into())];
        make_with(&crew, "Pendulum-v1", count, &workers).unwrap().copies.processes()
    };
    let both = processes(4);
    assert_eq!(both.len(), 2);
    assert_eq!(processes(4), both);
    // Single copies take turns.
    assert_eq!([processes(1), processes(1)].concat(), both);
}

const FAULTY: &str = "tests.faulty:Faulty-v0";

fn faulty(how: &str, more: &[(&str, OptionValue)]) -> Vec<(&'static str, OptionValue)> {
    let kwargs = ("kwargs", format!(r#"{{"how": "{how}"}}"#).as_str().into());
    let more = more.iter().map(|(name, value)| {
        let names = ["timeout", "workers", "max-episode-steps", "render"];
        (names.into_iter().find(|known| known == name).unwrap(), value.clone())
    });
    std::iter::once(kwargs).chain(more).collect()
}

#[test]
fn every_fault_is_one_error() {
    if PYTHON.is_none() {
        return;
    }
    for (how, expected) in [
        ("raise", "copy 0: ZeroDivisionError: division [2J by zero (faulty.py:"),
        (
            "dependency",
            "copy 0: gymnasium.error.DependencyNotInstalled: Moon is not installed, run `pip install moon`",
        ),
        ("exit", "ended: exit status: 3"),
        ("kill", "ended: signal: 9 (SIGKILL); it said last: last words"),
        ("hang", "did not answer within 0.5 s and was stopped"),
        ("shape", "copy 0: an observation has the shape (2,), and its space (1,)"),
    ] {
        let limit = if how == "hang" { 0.5 } else { 60.0 };
        let crew = crew_of(PYTHON.as_deref().unwrap());
        let values = faulty(how, &[("timeout", 60.0.into()), ("workers", 1i64.into())]);
        // The worker is there before the clock counts.
        drop(make_with(&crew, "Pendulum-v1", 1, &values[2..]).unwrap());
        let values = faulty(how, &[("timeout", limit.into()), ("workers", 1i64.into())]);
        let copies = make_with(&crew, FAULTY, 2, &values).unwrap();
        let process = copies.copies.processes()[0];
        let mut host = Host::of(copies, 2);
        host.reset(&[1, 2]).unwrap();
        let error = (0..4).find_map(|_| host.step(Actions::Discrete(&[0, 1])).err()).unwrap();
        assert!(error.contains(expected), "{how}: {error}");
        assert!(!error.contains(char::is_control), "{how}: {error}");
        if ["exit", "kill", "hang"].contains(&how) {
            assert!(!runs(process), "{how}");
            assert_eq!(host.step(Actions::Discrete(&[0, 1])).unwrap_err(), error);
            // The next copies get another worker.
            make_with(&crew, "Pendulum-v1", 1, &[("workers", 1i64.into())]).unwrap();
        } else {
            assert!(runs(process), "{how}");
        }
    }
}

#[test]
fn a_worker_that_is_killed_is_named() {
    if PYTHON.is_none() {
        return;
    }
    let crew = crew_of(PYTHON.as_deref().unwrap());
    let copies = make_with(&crew, FAULTY, 4, &[("workers", 2i64.into())]).unwrap();
    let mut host = Host::of(copies, 4);
    host.reset(&[1, 2, 3, 4]).unwrap();
    host.step(Actions::Discrete(&[0; 4])).unwrap();
    let process = host.copies.copies.processes()[1];
    assert!(Command::new("kill").args(["-9", &process.to_string()]).status().unwrap().success());
    let error = host.step(Actions::Discrete(&[0; 4])).unwrap_err();
    assert!(
        error.starts_with(&format!("a worker (process {process}) ended: signal: 9 (SIGKILL)")),
        "{error}"
    );
}

/// Whether the process exists and has not ended.
fn runs(process: u32) -> bool {
    let state = Command::new("ps").args(["-o", "stat=", "-p", &process.to_string()]).output().unwrap();
    let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}

#[test]
fn what_cannot_be_made_is_said_with_the_reason() {
    let Some(python) = PYTHON.as_deref() else { return };
    // Its own, because one of them ends.
    let crew = crew_of(python);
    let spaces = |observation: &str, action: &str| {
        serde_json::json!({ "observation": observation, "action": action }).to_string()
    };
    let number = "Box(0, 1, (2,))";
    for (name, option, value, expected) in [
        (
            "LunarLandr-v3",
            "",
            "".into(),
            "Environment `LunarLandr` doesn't exist. Did you mean: `LunarLander`?, in Gymnasium 1.2.3 of",
        ),
        ("Moon-v0", "", "".into(), "If a module registers it, name that: `gym/make --set id=MODULE:Moon-v0`"),
        ("LunarLander-v2", "", "".into(), "Please use `LunarLander-v3` instead"),
        ("moon:Lander-v0", "", "".into(), "ModuleNotFoundError: No module named 'moon'"),
        ("Acrobot-v1", "kwargs", "{".into(), "the option `kwargs` is not JSON"),
        ("Acrobot-v1", "kwargs", "[]".into(), "the option `kwargs` is not a JSON object"),
        ("Acrobot-v1", "kwargs", r#"{"moon": 1}"#.into(), "unexpected keyword argument 'moon'"),
        (
            "Acrobot-v1",
            "wrappers",
            "gymnasium.wrappers:Moon".into(),
            "module 'gymnasium.wrappers' has no attribute 'Moon'",
        ),
        ("Acrobot-v1", "wrappers", "Moon".into(), "`Moon` is not a wrapper; expected `module:Class`"),
        (
            "tests.faulty:Faulty-v0",
            "kwargs",
            r#"{"how": "raise", "at": 0}"#.into(),
            "ZeroDivisionError: division",
        ),
        ("tests.faulty:Faulty-v0", "kwargs", r#"{"how": "exit", "at": 0}"#.into(), "ended: exit status: 3"),
        (
            "tests.faulty:Spaces-v0",
            "kwargs",
            spaces("Dict(a=Text(3), b=Sequence(Discrete(2)))", "Discrete(2)"),
            "has a part that has no fixed number of numbers",
        ),
        (
            "tests.faulty:Spaces-v0",
            "kwargs",
            spaces(number, "Dict(a=Discrete(2))"),
            "the action space Dict('a': Discrete(2)) is not supported",
        ),
        (
            "tests.faulty:Spaces-v0",
            "kwargs",
            spaces(number, "Box(0, 9, (2,), np.int64)"),
            "is not supported; Discrete, MultiDiscrete",
        ),
    ] {
        let mut values: Vec<(&str, OptionValue)> = vec![("workers", 1i64.into())];
        values.extend((!option.is_empty()).then(|| (option, value.as_str().into())));
        let error = make_with(&crew, name, 1, &values).err().unwrap();
        assert!(error.contains(expected), "{name}, {value}: {error}");
        assert!(!error.contains(char::is_control), "{error}");
    }
    let error = Make::make(1, &options(Make::schemas(), &[])).err().unwrap();
    assert!(error.starts_with("name the environment: --set id="), "{error}");
}

#[test]
fn a_python_without_gymnasium_is_passed_over() {
    use std::os::unix::fs::PermissionsExt;
    let Some(python) = PYTHON.as_deref() else { return };
    let folder = tempfile::tempdir().unwrap();
    let bare = folder.path().join("python");
    std::fs::write(&bare, format!("#!/bin/sh\nexec '{}' -S \"$@\"\n", python.display())).unwrap();
    std::fs::set_permissions(&bare, std::fs::Permissions::from_mode(0o755)).unwrap();
    let [bare, python] = [&bare, python].map(|path| path.to_str().unwrap().to_owned());
    let missing = Crew::new(vec!["/no/python".into(), bare.clone()]);
    let error = make_with(&missing, "Acrobot-v1", 1, &[]).err().unwrap();
    assert_eq!(
        error,
        format!(
            "Gymnasium was not found in: /no/python (No such file or directory (os error 2)), {bare} (ModuleNotFoundError: No \
             module named 'gymnasium'); `{bare} -m pip install gymnasium` installs it, and the environment variable \
             POTSTILL_PYTHON names another Python"
        )
    );
    make_with(&Crew::new(vec![bare, python]), "Acrobot-v1", 1, &[]).unwrap();
}

#[test]
fn terminated_and_truncated_are_kept_apart() {
    if PYTHON.is_none() {
        return;
    }
    let flags = |how: &str, limit: i64| {
        let mut host = Host::new(FAULTY, 2, &faulty(how, &[("max-episode-steps", limit.into())]));
        host.reset(&[1, 2]).unwrap();
        let step = |_| {
            host.step(Actions::Discrete(&[0, 1])).unwrap();
            // The space starts at -1.
            assert_eq!(host.rewards, [-1.0, 0.0]);
            (host.observations[0], host.finals[0], host.terminated[0], host.truncated[0])
        };
        (0..4).map(step).last().unwrap()
    };
    let number = |number: f32| number.to_bits();
    assert_eq!(flags("flood", 0), (number(0.0), number(4.0), 0, 1));
    assert_eq!(flags("both", 0), (number(0.0), number(4.0), 1, 0));
    assert_eq!(flags("", 2), (number(0.0), number(2.0), 0, 1));
}

#[test]
fn spaces_are_carried() {
    if PYTHON.is_none() {
        return;
    }
    let spec = |observation: &str, action: &str| {
        let kwargs = serde_json::json!({ "observation": observation, "action": action }).to_string();
        let mut host = Host::new("tests.faulty:Spaces-v0", 2, &[("kwargs", kwargs.as_str().into())]);
        host.reset(&[1, 2]).unwrap();
        let spec = host.copies.spec();
        // The environment checks that the last of each space's actions is one.
        let last: Vec<u32> = match &spec.action {
            Space::Discrete { n } => vec![*n as u32 - 1; 2],
            Space::MultiDiscrete { nvec } => {
                [&nvec[..], nvec].concat().iter().map(|n| *n as u32 - 1).collect()
            }
            _ => vec![],
        };
        match &spec.action {
            Space::Box { .. } => host.step(Actions::Continuous(&vec![0.25; 2 * spec.action.size()])).unwrap(),
            _ => host.step(Actions::Discrete(&last)).unwrap(),
        }
        (spec.observation, spec.action, host.rewards[0])
    };
    let boxed = |shape: &[usize], low: f32, high: f32| Space::Box {
        shape: shape.to_vec(),
        low: vec![low],
        high: vec![high],
    };
    let infinity = f32::INFINITY;
    for (observation, expected) in [
        ("Box(-np.inf, 3, (2, 3), np.float64)", boxed(&[2, 3], -infinity, 3.0)),
        ("Box(-1e300, 1e300, (2,), np.float64)", boxed(&[2], -infinity, infinity)),
        (
            "Box(np.array([0, 1]), np.array([2, 3]), dtype=np.int32)",
            Space::Box { shape: vec![2], low: vec![0.0, 1.0], high: vec![2.0, 3.0] },
        ),
        ("Box(0, 255, (128,), np.uint8)", boxed(&[128], 0.0, 255.0)),
        ("Box(0, 9, (8, 9, 3), np.uint8)", boxed(&[8, 9, 3], 0.0, 9.0)),
        ("Box(0, 255, (8, 9, 3), np.uint8)", Space::Image { shape: vec![3, 8, 9] }),
        ("Box(0, 255, (4, 8, 9), np.uint8)", Space::Image { shape: vec![4, 8, 9] }),
        ("Box(0, 255, (8, 9), np.uint8)", Space::Image { shape: vec![1, 8, 9] }),
        ("Discrete(3, start=5)", boxed(&[3], 0.0, 1.0)),
        ("MultiBinary(4)", boxed(&[4], 0.0, 1.0)),
        ("Dict(a=Discrete(2), b=Tuple([Box(0, 1, (2, 2)), MultiDiscrete([2, 3])]))", boxed(&[11], 0.0, 1.0)),
    ] {
        assert_eq!(spec(observation, "Discrete(2)").0, expected, "{observation}");
    }
    for (action, expected, reward) in [
        ("Discrete(3, start=5)", Space::Discrete { n: 3 }, 7.0),
        ("MultiDiscrete([2, 3])", Space::MultiDiscrete { nvec: vec![2, 3] }, 3.0),
        (
            "MultiDiscrete([[2, 3], [4, 5]], start=[[1, 1], [1, 1]])",
            Space::MultiDiscrete { nvec: vec![2, 3, 4, 5] },
            14.0,
        ),
        ("MultiBinary((2, 2))", Space::MultiDiscrete { nvec: vec![2; 4] }, 4.0),
        ("Box(-1, 2, (2, 2), np.float64)", boxed(&[2, 2], -1.0, 2.0), 1.0),
    ] {
        let (_, found, paid) = spec("Box(0, 1, (2,))", action);
        assert_eq!((found, paid), (expected, reward), "{action}");
    }
}

#[test]
fn copies_draw_pictures_or_text() {
    if PYTHON.is_none() {
        return;
    }
    let drawn = |name: &str, render: &str, mode: RenderMode| {
        let mut host = Host::new(name, 3, &[("render", render.into())]);
        host.reset(&[1, 2, 3]).unwrap();
        host.copies.render(2, mode)
    };
    let Frame::Rgb { width, height, pixels } = drawn("CartPole-v1", "auto", RenderMode::Rgb).unwrap() else {
        panic!("a picture")
    };
    assert_eq!((width, height, pixels.len()), (600, 400, 720_000));
    assert!(pixels.iter().any(|byte| *byte != pixels[0]));
    let Frame::Text(text) = drawn("FrozenLake-v1", "ansi", RenderMode::Text).unwrap() else { panic!("text") };
    assert!(text.contains("FHFH"), "{text}");
    assert!(matches!(drawn("FrozenLake-v1", "auto", RenderMode::Text), Ok(Frame::Text(_))));
    assert!(matches!(drawn("LunarLander-v3", "rgb_array", RenderMode::Rgb), Ok(Frame::Rgb { .. })));
    for (name, render, mode) in [
        ("CartPole-v1", "none", RenderMode::Rgb),
        ("CartPole-v1", "auto", RenderMode::Text),
        ("FrozenLake-v1", "ansi", RenderMode::Rgb),
    ] {
        let error = drawn(name, render, mode).unwrap_err();
        assert!(error.contains("this environment does not draw"), "{error}");
    }
    let Frame::Rgb { width, height, pixels } = drawn(FAULTY, "auto", RenderMode::Rgb).unwrap() else {
        panic!("a picture")
    };
    assert_eq!((width, height, &*pixels), (3, 2, &[7; 18][..]));
    assert!(drawn(FAULTY, "auto", RenderMode::Text).is_err());
}

/// For the next test, in a process of its own: starts workers, says which, and hangs in one.
#[test]
#[ignore = "part of another test"]
fn hangs_with_workers() {
    let values = faulty("hang", &[("workers", 2i64.into())]);
    let mut host = Host::new(FAULTY, 2, &values);
    host.reset(&[1, 2]).unwrap();
    println!("workers {:?}", host.copies.copies.processes());
    (0..3).for_each(|_| host.step(Actions::Discrete(&[0, 0])).unwrap());
}

#[test]
fn no_worker_outlives_the_program() {
    use std::io::{BufRead, BufReader};
    if PYTHON.is_none() {
        return;
    }
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::hangs_with_workers", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(program.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.into_iter().find(|line| line.contains("workers [")).unwrap();
    let inside = line.split_once('[').unwrap().1.trim_end_matches(']');
    let workers: Vec<u32> = inside.split(", ").map(|number| number.parse().unwrap()).collect();
    assert!(workers.len() == 2 && workers.iter().all(|worker| runs(*worker)), "{line}");
    // Time to hang. The hanging workers hold Python's lock and read no pipe.
    std::thread::sleep(Duration::from_millis(300));
    program.kill().unwrap();
    program.wait().unwrap();
    let since = Instant::now();
    while workers.iter().any(|worker| runs(*worker)) {
        assert!(since.elapsed() < Duration::from_secs(10), "a worker is left");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The catalog's names are Gymnasium's and MiniGrid's.
#[test]
fn gymnasium_knows_the_catalog() {
    let Some(python) = PYTHON.as_deref() else { return };
    let names = KNOWN.iter().map(|known| known.name);
    let script =
        "import sys, gymnasium, minigrid\nfor name in sys.argv[1:]: gymnasium.spec(name.split(':')[-1])";
    let output = Command::new(python).args(["-Wignore", "-c", script]).args(names).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The manifest lists what the library contains, in the same order.
#[test]
fn the_manifest_says_what_the_library_provides() {
    unsafe extern "C" {
        fn potstill_plugin(host: *const abi::Host) -> *const abi::Plugin;
    }
    let manifest = Manifest::parse(include_str!("../plugin.toml")).unwrap();
    // SAFETY: it is this crate's own, and takes no host for one that offers nothing.
    unsafe { assert_provides(potstill_plugin(std::ptr::null()), &manifest) };
    assert_eq!(manifest.provides.len(), KNOWN.len() + 1);
}
