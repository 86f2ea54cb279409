//! Tests with the library that `tests/setup` installed.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use potstill_plugin_api::{Manifest, abi};
use potstill_sdk::packages::Packages;
use potstill_sdk::testing::{Copies, assert_provides, options};
use potstill_sdk::{Action, Actions, Environment, Frame, OptionValue, Options, RenderMode, Rng};
use proptest::prelude::*;

use crate::environment::{Levels, Play, deal};
use crate::library::{WANTED, locate};
use crate::{GAMES, Game, Procgen};

/// The Python with Procgen. If there is none, that is an error if `CI` is set.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON
        .get_or_init(|| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/procgen-python");
            if !folder.join("complete").exists() {
                let missing = format!("{} is missing: run plugins/procgen/tests/setup", folder.display());
                assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "{missing}");
                eprintln!("SKIPPED: {missing}");
                return None;
            }
            // SAFETY: every test waits for this before it does anything else.
            unsafe { std::env::set_var("PROCGEN_PATH", site(&folder)) };
            Some(folder.join("bin/python"))
        })
        .as_deref()
}

/// The folder of a Python's packages.
fn site(folder: &Path) -> PathBuf {
    std::fs::read_dir(folder.join("lib")).unwrap().next().unwrap().unwrap().path().join("site-packages")
}

fn game(name: &str) -> &'static Game {
    GAMES.iter().find(|game| game.name == name).unwrap()
}

fn set(values: &[(&str, OptionValue)]) -> Options {
    options(Play::options(), values)
}

/// Plays as the Python package does with this seed, and compares pixels, rewards, ends and levels.
fn equals_the_package(name: &str, seed: i32, steps: usize, arguments: &str, values: &[(&str, OptionValue)]) {
    let Some(python) = python() else { return };
    let file = python.with_file_name(format!("{name}-{seed}-{}.trajectory", arguments.len()));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trajectories.py");
    let mut command = Command::new(python);
    command.arg("-Wignore").arg(script).arg(name).args([seed.to_string(), steps.to_string()]).arg(&file);
    let output = command.arg(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = std::fs::read(&file).unwrap();
    std::fs::remove_file(file).unwrap();
    let mut rest = &bytes[..];
    let mut take = |count| {
        let (taken, behind) = rest.split_at(count);
        rest = behind;
        taken
    };
    let channels = |pixels: &[u8]| {
        let mut channels = vec![0; pixels.len()];
        deal(pixels, &mut channels);
        channels
    };
    let mut play = Play::new(game(name), &set(values)).unwrap();
    play.start(seed).unwrap();
    let (mut rng, mut seen) = (Rng::seeded(0), vec![0; 64 * 64 * 3]);
    let mut before = channels(take(seen.len()));
    let (mut ends, mut rewards) = (0, 0);
    for step in 0..steps {
        let action = Action::Discrete(u32::from(take(1)[0]));
        let now = play.step(action, &mut rng, &mut seen);
        let reward = f32::from_le_bytes(take(4).try_into().unwrap());
        let ended = take(1) == [1];
        assert_eq!(
            (now.reward, now.terminated, now.truncated),
            (reward, ended, false),
            "{name}, step {step}"
        );
        let level = i32::from_le_bytes(take(4).try_into().unwrap());
        assert_eq!(play.level(), Some(level), "{name}, step {step}");
        let expected = channels(take(seen.len()));
        if ended {
            assert!(seen == before, "{name}: the end of the episode at step {step}");
            play.reset(&mut rng, &mut seen);
        }
        assert!(seen == expected, "{name}: what is seen after step {step}");
        before = expected;
        ends += usize::from(ended);
        rewards += usize::from(reward != 0.0);
    }
    println!("{name}: {ends} episodes, {rewards} rewards: all equal");
}

macro_rules! games {
    ($($name:ident),*) => {
        mod parity {
            $(#[test] fn $name() {
                let name = stringify!($name);
                super::equals_the_package(name, 11, 700, "{}", &[]);
                let easy = [("distribution-mode", "easy".into()), ("num-levels", 200i64.into()), ("start-level", 100i64.into())];
                let arguments = r#"{"distribution_mode": "easy", "num_levels": 200, "start_level": 100}"#;
                super::equals_the_package(name, 12, 300, arguments, &easy);
            })*
        }
    };
}
games!(
    bigfish, bossfight, caveflyer, chaser, climber, coinrun, dodgeball, fruitbot, heist, jumper, leaper,
    maze, miner, ninja, plunder, starpilot
);

#[test]
fn every_option_reaches_the_library() {
    let flags = [
        ("center-agent", "center_agent", false),
        ("use-generated-assets", "use_generated_assets", true),
        ("use-monochrome-assets", "use_monochrome_assets", true),
        ("restrict-themes", "restrict_themes", true),
        ("use-backgrounds", "use_backgrounds", false),
        ("paint-vel-info", "paint_vel_info", true),
        ("use-sequential-levels", "use_sequential_levels", true),
    ];
    for (name, own, value) in flags {
        equals_the_package("coinrun", 3, 60, &format!("{{\"{own}\": {value}}}"), &[(name, value.into())]);
    }
    for (game, mode) in [("dodgeball", "extreme"), ("jumper", "memory"), ("maze", "exploration")] {
        let arguments = format!("{{\"distribution_mode\": \"{mode}\"}}");
        equals_the_package(game, 4, 60, &arguments, &[("distribution-mode", mode.into())]);
    }
}

/// The library ends the process if an option is wrong, so none that is wrong may reach it.
#[test]
fn wrong_levels_are_refused() {
    let levels = |name: &str, values: &[(&str, OptionValue)]| Levels::new(game(name), &set(values));
    let error = levels("bigfish", &[("distribution-mode", "memory".into())]).unwrap_err();
    assert_eq!(error, "bigfish has no distribution-mode memory; it has easy, hard");
    let error = levels("jumper", &[("distribution-mode", "extreme".into())]).unwrap_err();
    assert_eq!(error, "jumper has no distribution-mode extreme; it has easy, hard, memory, exploration");
    let many = i64::from(i32::MAX);
    let error = levels("maze", &[("start-level", 1i64.into()), ("num-levels", many.into())]).unwrap_err();
    assert!(error.contains("beyond 2147483647"), "{error}");
    let exploration = ("distribution-mode", "exploration".into());
    let error = levels("maze", &[exploration.clone(), ("num-levels", 1i64.into())]).unwrap_err();
    assert!(error.contains("leave start-level and num-levels out"), "{error}");
    assert!(levels("maze", &[exploration]).is_ok());
    assert!(levels("maze", &[("start-level", many.into())]).is_ok());
}

/// Copies of Starpilot with these options, each with an episode.
fn copies(count: usize, values: &[(&str, OptionValue)]) -> Copies<Play> {
    let mut copies = Copies::of::<Procgen<15>>(count, &set(values)).unwrap();
    copies.reset(&(0..count as u64).collect::<Vec<_>>()).unwrap();
    copies
}

#[test]
fn a_snapshot_continues_to_the_byte() {
    if python().is_none() {
        return;
    }
    let (mut first, mut second) = (copies(3, &[]), copies(3, &[]));
    let actions = |step: u32| [step % 15, step / 2 % 15, step / 7 % 15];
    (0..150).for_each(|step| drop(first.step(Actions::Discrete(&actions(step))).unwrap().clone()));
    let state = first.snapshot().unwrap();
    second.restore(&state).unwrap();
    for step in 150..500 {
        let expected = first.step(Actions::Discrete(&actions(step))).unwrap().clone();
        let found = second.step(Actions::Discrete(&actions(step))).unwrap();
        assert!(found.observations == expected.observations, "step {step}");
        assert_eq!((&found.rewards, &found.terminated), (&expected.rewards, &expected.terminated));
    }
    let mut other = Copies::of::<Procgen<0>>(3, &set(&[])).unwrap();
    other.reset(&[1, 2, 3]).unwrap();
    assert!(other.restore(&state).unwrap_err().contains("of another game"));
    let mut easy = copies(3, &[("distribution-mode", "easy".into())]);
    assert!(easy.restore(&state).unwrap_err().contains("other options"));
}

#[test]
fn threads_change_nothing_and_seeds_do() {
    if python().is_none() {
        return;
    }
    let run = |threads: i64, seed: u64| {
        let mut copies = copies(5, &[("threads", threads.into())]);
        copies.reset(&[seed, 2, 3, 4, 5]).unwrap();
        let step = |step: u32| {
            let transition = copies.step(Actions::Discrete(&[step % 15, 9, 3, step / 3 % 15, 7])).unwrap();
            (transition.observations.clone(), transition.rewards.clone())
        };
        (0..120).map(step).collect::<Vec<_>>()
    };
    let alone = run(1, 1);
    assert!(run(2, 1) == alone && run(8, 1) == alone);
    assert!(run(1, 7) != alone);
}

#[test]
fn pictures_are_small_or_large() {
    if python().is_none() {
        return;
    }
    for (large, side) in [(false, 64), (true, 512)] {
        let copies = copies(1, &[("large-pictures", large.into())]);
        let Frame::Rgb { width, height, pixels } = copies.render(0, RenderMode::Rgb).unwrap() else {
            unreachable!("a picture")
        };
        assert_eq!((width, height, pixels.len()), (side, side, 3 * (side * side) as usize));
        assert!(pixels.iter().any(|&byte| byte != pixels[0]));
        assert!(copies.render(0, RenderMode::Text).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// A changed snapshot is refused, and the game goes on.
    #[test]
    fn a_damaged_snapshot_is_refused(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<prop::sample::Index>()) {
        if python().is_some() {
            let mut play = Play::new(game("maze"), &set(&[])).unwrap();
            play.start(3).unwrap();
            let mut state = vec![];
            prop_assert!(play.snapshot(&mut state));
            let mut damaged = state.clone();
            *at.get_mut(&mut damaged) ^= 1 << bit;
            prop_assert!(play.restore(&damaged).is_err());
            prop_assert!(play.restore(&state[..cut.index(state.len())]).is_err());
            prop_assert_eq!(play.restore(&state), Ok(()));
        }
    }
}

#[test]
fn the_library_is_found_in_the_package_and_beside_it() {
    let Some(python) = python() else { return };
    let site = site(python.parent().and_then(Path::parent).unwrap());
    let file = site.join("procgen/data/prebuilt/libenv.so");
    let search =
        |folder: &Path| Packages::among(WANTED, Some(folder.to_owned()), None, vec!["no-such-python".into()]);
    for folder in
        [&*site, &site.join("procgen"), &site.join("procgen/data"), &site.join("procgen/data/prebuilt")]
    {
        assert_eq!(locate(&search(folder)).unwrap(), file);
    }
    let error = locate(&search(Path::new("/nowhere"))).unwrap_err();
    assert!(error.starts_with("Procgen's library was not found in: PROCGEN_PATH (/nowhere)"), "{error}");
    assert!(error.contains("`potstill plugin setup procgen` installs it"), "{error}");
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
    assert_eq!(manifest.provides.len(), 16);
}
