//! What an environment does beyond Gymnasium's preprocessing: sticky actions, snapshots, threads, options.
use potstill_sdk::testing::Copies;
use potstill_sdk::{Action, Actions, Environment, Frame, OptionValue, RenderMode, Rng, Space, Variant};

use super::{game, play, python, set};
use crate::environment::Play;
use crate::{Atari, GAMES};

const PONG: usize = {
    let mut n = 0;
    while !matches!(GAMES[n].rom.as_bytes(), b"pong") {
        n += 1;
    }
    n
};

/// Copies of Pong with these options, each with an episode.
fn copies(count: usize, values: &[(&str, OptionValue)]) -> Copies<Play> {
    let mut copies = Copies::of::<Atari<PONG>>(count, &set(&GAMES[PONG], values)).unwrap();
    copies.reset(&(0..count as u64).collect::<Vec<_>>()).unwrap();
    copies
}

#[test]
fn each_game_is_there_with_and_without_sticky_actions() {
    let sticky = |id| {
        let options = set(game(id), &[]);
        options.number("repeat-action-probability").unwrap()
    };
    assert_eq!((sticky("ale/pong-v4"), sticky("ale/pong-v5")), (0.0, 0.25));
    assert_eq!((GAMES.len(), Atari::<PONG>::names()[0]), (208, "ale/pong-v4"));
}

/// A frame repeats what was pressed before with the probability that is asked for.
#[test]
fn actions_stick() {
    const FRAMES: usize = 4000;
    if python().is_none() {
        return;
    }
    let values = [("frame-skip", 1i64.into()), ("noop-max", 0i64.into())];
    let mut play = play("ale/pong-v5", &values).unwrap();
    let mut rng = Rng::seeded(3);
    play.start(0).unwrap();
    let mut stuck = 0;
    for frame in 0..FRAMES {
        // What was pressed before is never what is chosen now.
        let before = play.pressed;
        let choice = if before == 3 { 3 } else { 2 };
        play.advance(choice, &mut rng);
        stuck += usize::from(play.pressed == before);
        if play.machine.terminated() {
            play.start(frame % 30).unwrap();
        }
    }
    // Four standard deviations.
    let (expected, width) = (0.25 * FRAMES as f64, 4.0 * (0.25 * 0.75 * FRAMES as f64).sqrt());
    assert!((stuck as f64 - expected).abs() < width, "{stuck} of {FRAMES}");
}

/// The first half of an episode, a snapshot, and twice the second half.
#[test]
fn a_snapshot_continues_to_the_byte() {
    if python().is_none() {
        return;
    }
    let sticky = [("repeat-action-probability", 0.25.into())];
    let (mut first, mut second) = (copies(3, &sticky), copies(3, &sticky));
    let actions = |step: u32| [step % 6, step / 2 % 6, step / 7 % 6];
    (0..150).for_each(|step| drop(first.step(Actions::Discrete(&actions(step))).unwrap().clone()));
    second.restore(&first.snapshot().unwrap()).unwrap();
    let frame = |copies: &Copies<Play>| copies.render(2, RenderMode::Rgb).unwrap();
    assert_eq!(frame(&first), frame(&second));
    for step in 150..400 {
        let actions = actions(step);
        let expected = first.step(Actions::Discrete(&actions)).unwrap().clone();
        let found = second.step(Actions::Discrete(&actions)).unwrap();
        assert!(found.observations == expected.observations, "step {step}");
        assert_eq!((&found.rewards, &found.lives_lost), (&expected.rewards, &expected.lives_lost));
    }
}

#[test]
fn threads_change_nothing() {
    if python().is_none() {
        return;
    }
    let run = |threads: i64| {
        let mut copies = copies(5, &[("threads", threads.into())]);
        let step = |step: u32| {
            let transition = copies.step(Actions::Discrete(&[step % 6, 2, 3, step / 3 % 6, 0])).unwrap();
            (transition.observations.clone(), transition.rewards.clone())
        };
        (0..120).map(step).collect::<Vec<_>>()
    };
    let alone = run(1);
    assert!(run(2) == alone && run(8) == alone);
}

#[test]
fn what_is_seen_follows_the_options() {
    if python().is_none() {
        return;
    }
    let shape = |values: &[(&str, OptionValue)]| {
        let Space::Image { shape } = play("ale/pong-v4", values).unwrap().spec().observation else {
            unreachable!("pictures")
        };
        shape
    };
    assert_eq!(shape(&[]), [4, 84, 84]);
    assert_eq!(shape(&[("frame-stack", 2i64.into()), ("grayscale", false.into())]), [6, 84, 84]);
    assert_eq!(shape(&[("observation", "ram".into()), ("frame-stack", 1i64.into())]), [1, 1, 128]);
    let actions =
        |full: bool| play("ale/pong-v4", &[("full-action-space", full.into())]).unwrap().spec().action;
    assert_eq!((actions(false), actions(true)), (Space::Discrete { n: 6 }, Space::Discrete { n: 18 }));
    let mut memory = copies(1, &[("observation", "ram".into()), ("frame-stack", 1i64.into())]);
    let seen = memory.step(Actions::Discrete(&[0])).unwrap().observations.clone();
    assert!(seen.len() == 128 && seen.iter().any(|&byte| byte != 0));
    // Behind the frames, the memory at each of them.
    let (mut both, mut screen) = (copies(1, &[("observation", "screen-and-ram".into())]), copies(1, &[]));
    let mut memory = copies(1, &[("observation", "ram".into())]);
    let mut bits = copies(1, &[("observation", "ram".into()), ("ram-bits", true.into())]);
    for step in 0..40 {
        let action = Actions::Discrete(&[step % 6]);
        let both = both.step(action).unwrap().observations.clone();
        let frames = &screen.step(action).unwrap().observations;
        let memory = &memory.step(action).unwrap().observations;
        let bits = &bits.step(action).unwrap().observations;
        let bytes = bits.chunks(8).map(|bits| bits.iter().fold(0, |byte, bit| (byte << 1) | (bit / 255)));
        assert!(bytes.eq(memory.iter().copied()) && bits.iter().all(|bit| [0, 255].contains(bit)));
        assert!(both == [&frames[..], memory, &vec![0; 84 * 84 - 4 * 128]].concat());
    }
    let copies = copies(1, &[]);
    let Frame::Rgb { width, height, pixels } = copies.render(0, RenderMode::Rgb).unwrap() else {
        unreachable!("a picture")
    };
    assert_eq!((width, height, pixels.len()), (160, 210, 3 * 160 * 210));
    let Frame::Text(text) = copies.render(0, RenderMode::Text).unwrap() else { unreachable!("a text") };
    assert!(text.lines().count() == 42 && text.lines().all(|line| line.len() == 80), "{text}");
}

/// Breakout serves a ball only when the button is pressed.
#[test]
fn fire_reset_starts_the_game() {
    if python().is_none() {
        return;
    }
    let moving = |fires: bool| {
        let mut play = play("ale/breakout-v4", &[("fire-reset", fires.into())]).unwrap();
        let mut rng = Rng::seeded(1);
        let mut seen = vec![0; 4 * 84 * 84];
        play.reset(&mut rng, &mut seen);
        (0..20).any(|_| {
            play.step(Action::Discrete(0), &mut rng, &mut seen);
            let frames: Vec<&[u8]> = seen.chunks(84 * 84).collect();
            frames[2] != frames[3]
        })
    };
    assert_eq!((moving(false), moving(true)), (false, true));
}
