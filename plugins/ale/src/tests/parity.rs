//! Pixels, rewards, lives, ends and memory equal those of Gymnasium's wrappers on the same games.
use std::path::Path;
use std::process::Command;

use potstill_sdk::{OptionValue, Rng};

use super::{play, python};
use crate::machine::MEMORY;

/// Plays `seeds` times `steps` random actions. Gymnasium's wrapper gets `arguments`, in JSON, and the plugin `values`.
fn equals_gymnasium(rom: &str, [seeds, steps]: [usize; 2], arguments: &str, values: &[(&str, OptionValue)]) {
    let Some(python) = python() else { return };
    let file = python.with_file_name(format!("{rom}-{}.trajectories", arguments.len()));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trajectories.py");
    let mut command = Command::new(python);
    command.arg("-Wignore").arg(script).arg(rom).args([seeds, steps].map(|n| n.to_string())).arg(&file);
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
    let mut play = play(&format!("ale/{}-v4", rom.replace('_', "-")), values).unwrap();
    let rng = &mut Rng::seeded(0);
    let length = play.stack.len();
    let (mut episodes, mut lost, mut rewards) = (0, 0, 0);
    let mut lives = 0;
    for step in 0..seeds * steps {
        let starts = take(1) == [1];
        if starts {
            play.start(usize::from(take(1)[0])).unwrap();
            play.see(true);
            assert!(play.stack == take(length), "{rom}: the start of the episode at step {step}");
            episodes += 1;
        }
        let (reward, _) = play.advance(usize::from(take(1)[0]), rng);
        play.see(false);
        assert!(play.stack == take(length), "{rom}: the frames after step {step}");
        let expected = f32::from_le_bytes(take(4).try_into().unwrap());
        let ends = [play.machine.terminated(), play.machine.truncated()].map(u8::from);
        assert_eq!((reward, &ends[..]), (expected, take(2)), "{rom}, step {step}");
        let now = i32::from(take(1)[0]);
        assert_eq!(play.machine.lives(), now, "{rom}, step {step}");
        assert_eq!(play.life_lost, !starts && ends == [0, 0] && now < lives || play.life_lost && starts);
        let mut memory = [0; MEMORY];
        play.machine.memory(&mut memory);
        assert_eq!(&memory[..], take(MEMORY), "{rom}: the memory after step {step}");
        lives = now;
        lost += usize::from(play.life_lost);
        rewards += usize::from(reward != 0.0);
    }
    assert!(rest.is_empty());
    println!("{rom}: {episodes} episodes, {lost} lives lost, {rewards} rewards: all equal");
}

macro_rules! games {
    ($($rom:ident),*) => { $(#[test] fn $rom() { equals_gymnasium(stringify!($rom), [3, 1000], "{}", &[]); })* };
}
games!(
    pong,
    centipede,
    space_invaders,
    ms_pacman,
    breakout,
    montezuma_revenge,
    seaquest,
    video_pinball,
    tennis
);

#[test]
fn colors_of_another_size_and_skip() {
    let values = [("grayscale", false.into()), ("screen-size", 96i64.into()), ("frame-skip", 3i64.into())];
    let arguments = r#"{"grayscale_obs": false, "screen_size": 96, "frame_skip": 3}"#;
    equals_gymnasium("breakout", [1, 400], arguments, &values);
    // A frame may be larger in one direction than the screen is.
    equals_gymnasium(
        "pong",
        [1, 100],
        r#"{"screen_size": 160, "frame_skip": 1}"#,
        &[("screen-size", 160i64.into()), ("frame-skip", 1i64.into())],
    );
}
