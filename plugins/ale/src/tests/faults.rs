//! Missing and damaged games, and snapshots of others.
use std::path::Path;

use potstill_plugin_api::Manifest;
use potstill_sdk::Environment;
use potstill_sdk::abi;
use potstill_sdk::packages::Packages;
use proptest::prelude::*;

use super::{play, python, roms};
use crate::roms::{WANTED, search};

fn packages(folder: &Path) -> Packages {
    Packages::among(WANTED, Some(folder.to_owned()), None, vec!["no-such-python".into()])
}

#[test]
fn a_game_is_read_from_where_it_is_and_checked() {
    let Some(python) = python() else { return };
    let roms = roms(python);
    let site = roms.parent().and_then(Path::parent).unwrap();
    for folder in [&*roms, site] {
        assert_eq!(search(&packages(folder), "pong").unwrap(), roms.join("pong.bin"));
    }
    let folder = tempfile::tempdir().unwrap();
    let error = |what: &str| {
        let error = search(&packages(folder.path()), "pong").unwrap_err();
        assert!(error.contains(what), "{error}");
        assert!(error.ends_with(
            "; `potstill plugin setup ale` installs it, and so does `python3 -m pip install ale_py==0.12.1`"
        ));
    };
    error("the game pong.bin was not found in: ALE_ROMS (");
    let copy = |name: &str| std::fs::copy(roms.join(name), folder.path().join(name)).unwrap();
    copy("pong.bin");
    error("md5.json: it is not a file");
    std::fs::write(folder.path().join("md5.json"), "[").unwrap();
    error("md5.json: EOF while parsing");
    std::fs::write(folder.path().join("md5.json"), "{}").unwrap();
    error("it does not list pong.bin");
    copy("md5.json");
    assert!(search(&packages(folder.path()), "pong").is_ok());
    let mut bytes = std::fs::read(roms.join("pong.bin")).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(folder.path().join("pong.bin"), &bytes).unwrap();
    error("pong.bin: the file is damaged (its MD5 is ");
    std::fs::write(folder.path().join("pong.bin"), vec![0; 2 << 20]).unwrap();
    error("it has more than 1048576 bytes");
}

#[test]
fn a_mode_that_a_game_does_not_have_is_an_error() {
    if python().is_none() {
        return;
    }
    let error = play("ale/pong-v4", &[("mode", 77i64.into())]).err().unwrap();
    assert!(error.contains("pong.bin: ") && error.to_lowercase().contains("mode"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// A changed snapshot is refused, and the game goes on.
    #[test]
    fn a_damaged_snapshot_is_refused(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<prop::sample::Index>()) {
        if python().is_some() {
            let mut play = play("ale/pong-v4", &[]).unwrap();
            play.start(3).unwrap();
            let mut state = vec![];
            prop_assert!(play.snapshot(&mut state));
            let mut damaged = state.clone();
            *at.get_mut(&mut damaged) ^= 1 << bit;
            prop_assert_eq!(play.restore(&damaged), Err("the snapshot is damaged".into()));
            prop_assert!(play.restore(&state[..cut.index(state.len())]).is_err());
            prop_assert_eq!(play.restore(&state), Ok(()));
        }
    }
}

#[test]
fn a_snapshot_of_another_game_is_refused() {
    if python().is_none() {
        return;
    }
    let snapshot = |id| {
        let mut play = play(id, &[]).unwrap();
        play.start(0).unwrap();
        let mut state = vec![];
        assert!(play.snapshot(&mut state));
        state
    };
    let mut pong = play("ale/pong-v4", &[]).unwrap();
    assert!(pong.restore(&snapshot("ale/breakout-v4")).is_err());
    assert!(pong.restore(&snapshot("ale/centipede-v4")).is_err());
    assert!(pong.restore(&snapshot("ale/pong-v4")).is_ok());
}

/// The manifest lists what the library contains, in the same order.
#[test]
fn the_manifest_says_what_the_library_provides() {
    unsafe extern "C" {
        fn potstill_plugin(host: *const abi::Host) -> *const abi::Plugin;
    }
    let manifest = Manifest::parse(include_str!("../../plugin.toml")).unwrap();
    // SAFETY: it is this crate's own, and takes no host for one that offers nothing.
    unsafe { potstill_sdk::testing::assert_provides(potstill_plugin(std::ptr::null()), &manifest) };
    assert_eq!(manifest.provides.len(), 208);
}
