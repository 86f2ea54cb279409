//! Tests of the environments as the host plays them. `tests/setup` installs what they need.
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use potstill_mujoco::{
    Ant, HalfCheetah, Hopper, Humanoid, HumanoidStandup, InvertedDoublePendulum, Mujoco, Reacher, Walker2d,
};
use potstill_sdk::testing::Copies;
use potstill_sdk::{Actions, Environment, Frame, OptionValue, Options, RenderMode, Rng, Space};

/// Whether MuJoCo is installed. If it is not, that is an error if `CI` is set.
fn installed() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        let folder = std::env::var_os("POTSTILL_MUJOCO").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/mujoco-python"),
            PathBuf::from,
        );
        let stack = folder.join("v5");
        if !stack.join("complete").exists() {
            let missing = format!("{} is missing: run plugins/mujoco/tests/setup", folder.display());
            assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "{missing}");
            eprintln!("SKIPPED: {missing}");
            return false;
        }
        let site = std::fs::read_dir(stack.join("lib")).unwrap().next().unwrap().unwrap().path();
        // SAFETY: every test waits for this before it does anything else.
        unsafe { std::env::set_var("MUJOCO_PATH", site.join("site-packages")) };
        true
    })
}

fn options<E: Environment>(set: &[(&str, OptionValue)]) -> Options {
    E::options()
        .into_iter()
        .map(|option| {
            let value = set.iter().find(|(name, _)| *name == option.name).map(|(_, value)| value.clone());
            (option.name, value.unwrap_or(option.default))
        })
        .collect()
}

fn copies<E: Environment>(count: usize, threads: i64) -> Copies<E> {
    copies_with(count, &[("threads", threads.into())])
}

fn copies_with<E: Environment>(count: usize, set: &[(&str, OptionValue)]) -> Copies<E> {
    let mut copies = Copies::new(count, &options::<E>(set)).unwrap();
    copies.reset(&(0..count as u64).collect::<Vec<_>>()).unwrap();
    copies
}

fn actions<E: Environment>(count: usize, rng: &mut Rng) -> Vec<f32> {
    let space = E::new(&options::<E>(&[])).unwrap().spec().action;
    let Space::Box { low, high, .. } = space else { panic!("{space}") };
    let draw = |(low, high): (&f32, &f32)| rng.uniform_in(f64::from(*low), f64::from(*high)) as f32;
    low.repeat(count).iter().zip(&high.repeat(count)).map(draw).collect()
}

fn same_whatever_the_threads<E: Environment<Scalar = f32>>() {
    let run = |threads| {
        let (mut copies, mut rng) = (copies::<E>(9, threads), Rng::seeded(1));
        let actions: Vec<Vec<f32>> = (0..60).map(|_| actions::<E>(9, &mut rng)).collect();
        let play = |copies: &mut Copies<E>| -> Vec<String> {
            actions.iter().map(|a| format!("{:?}", copies.step(Actions::Continuous(a)).unwrap())).collect()
        };
        let all = play(&mut copies);
        let state = copies.snapshot().unwrap();
        let more = play(&mut copies);
        copies.restore(&state).unwrap();
        assert!(play(&mut copies) == more, "{} goes on from a snapshot", E::ID);
        (all, more)
    };
    let alone = run(1);
    for threads in [0, 2, 5] {
        assert!(run(threads) == alone, "{} by {threads} threads", E::ID);
    }
}

#[test]
fn results_do_not_depend_on_threads() {
    if !installed() {
        return;
    }
    same_whatever_the_threads::<Mujoco<Hopper<4>>>();
    same_whatever_the_threads::<Mujoco<HalfCheetah<5>>>();
    same_whatever_the_threads::<Mujoco<Walker2d<4>>>();
    same_whatever_the_threads::<Mujoco<InvertedDoublePendulum<4>>>();
    same_whatever_the_threads::<Mujoco<Reacher<4>>>();
    same_whatever_the_threads::<Mujoco<Ant<4>>>();
    same_whatever_the_threads::<Mujoco<Humanoid<5>>>();
    same_whatever_the_threads::<Mujoco<HumanoidStandup<5>>>();
}

#[test]
fn episodes_are_as_long_as_told() {
    type E = Mujoco<HalfCheetah<4>>;
    if !installed() {
        return;
    }
    let mut rng = Rng::seeded(1);
    let mut copies = copies_with::<E>(2, &[("max-episode-steps", 7i64.into())]);
    for step in 1..=14 {
        let actions = actions::<E>(2, &mut rng);
        let stepped = copies.step(Actions::Continuous(&actions)).unwrap();
        assert_eq!(stepped.truncated, [u8::from(step % 7 == 0); 2], "step {step}");
    }
}

/// If one copy becomes unstable, its episode ends as a fault with a finite observation, and the others continue.
#[test]
fn a_fault_ends_the_episode_of_its_copy_alone() {
    type E = Mujoco<Hopper<4>>;
    if !installed() {
        return;
    }
    for threads in [1, 2] {
        let (mut copies, mut rng) = (copies::<E>(3, threads), Rng::seeded(1));
        let (first, second) = (actions::<E>(3, &mut rng), actions::<E>(3, &mut rng));
        copies.step(Actions::Continuous(&first)).unwrap();
        let mut state = copies.snapshot().unwrap();
        let calm = copies.step(Actions::Continuous(&second)).unwrap().clone();
        assert_eq!(calm.faults, [0; 3]);
        // The magic number and the count; then for each copy 16 bytes of the SDK's, version, mark, time, six positions, six
        // velocities.
        let copy = (state.len() - 16) / 3;
        let velocity = 16 + copy + 16 + 8 * (3 + 6);
        state[velocity..][..8].copy_from_slice(&1e11f64.to_le_bytes());
        copies.restore(&state).unwrap();
        let wild = copies.step(Actions::Continuous(&second)).unwrap().clone();
        assert_eq!(
            (&wild.faults[..], &wild.truncated[..], &wild.terminated[..]),
            (&[0, 1, 0][..], &[0, 1, 0][..], &[0; 3][..])
        );
        assert_eq!(
            (wild.rewards[0], wild.rewards[1], wild.rewards[2]),
            (calm.rewards[0], 0.0, calm.rewards[2])
        );
        assert_eq!(
            (&wild.observations[..11], &wild.observations[22..]),
            (&calm.observations[..11], &calm.observations[22..])
        );
        assert_eq!(wild.final_observations.len(), 11);
        assert!(wild.final_observations.iter().chain(&wild.observations).all(|v| v.is_finite()));
        assert!((wild.observations[11] - 1.25).abs() < 0.01, "a new episode: {}", wild.observations[11]);
        // A state beyond single precision is refused at once.
        state[velocity - 8..velocity].copy_from_slice(&1e300f64.to_le_bytes());
        assert_eq!(
            copies.restore(&state).unwrap_err(),
            "the snapshot's numbers are not a state of a simulation"
        );
        copies.restore(&state[..state.len() - 1]).unwrap_err();
        state[32..40].copy_from_slice(&316f64.to_le_bytes());
        assert_eq!(copies.restore(&state).unwrap_err(), "the snapshot is of another version of MuJoCo");
        copies.step(Actions::Continuous(&second)).unwrap();
    }
}

#[test]
fn no_bytes_break_a_restore() {
    type E = Mujoco<Ant<5>>;
    if !installed() {
        return;
    }
    let (mut copies, mut rng) = (copies::<E>(1, 1), Rng::seeded(7));
    let state = copies.snapshot().unwrap();
    let (mut restored, mut faults) = (0, 0);
    for _ in 0..300 {
        let mut broken = state.clone();
        for _ in 0..1 + rng.below(4) {
            let at = rng.below(broken.len() as u64) as usize;
            broken[at] = rng.next_u64() as u8;
        }
        broken.truncate(broken.len() - rng.below(8).saturating_sub(6) as usize);
        restored += u32::from(copies.restore(&broken).is_ok());
        let step = copies.step(Actions::Continuous(&actions::<E>(1, &mut rng))).unwrap();
        assert!(step.observations.iter().chain(&step.rewards).all(|value| value.is_finite()));
        faults += u32::from(step.faults[0]);
    }
    assert!((50..300).contains(&restored) && faults > 0, "{restored} restored, {faults} faults");
}

/// The options for Gymnasium's arguments have their effects.
#[test]
fn options_are_gymnasium_s_arguments() {
    type E = Mujoco<Hopper<5>>;
    if !installed() {
        return;
    }
    let reward = |set: &[(&str, OptionValue)]| {
        let mut copies = Copies::<E>::new(1, &options::<E>(set)).unwrap();
        copies.reset(&[3]).unwrap();
        let step = copies.step(Actions::Continuous(&[0.5, -0.5, 1.0])).unwrap();
        (step.rewards[0], step.observations.len(), step.terminated[0])
    };
    let (plain, size, _) = reward(&[]);
    let off = [("forward-reward-weight", 0.0.into()), ("healthy-reward", 0.0.into())];
    assert!((reward(&off).0 + 1.5e-3).abs() < 1e-8, "the cost of the action alone: {}", reward(&off).0);
    assert!((reward(&[("ctrl-cost-weight", 1.0.into())]).0 - (plain - 1.4985)).abs() < 1e-5);
    assert_eq!(reward(&[("exclude-current-positions-from-observation", false.into())]).1, size + 1);
    assert_ne!(reward(&[("frame-skip", 8i64.into())]).0, plain);
    assert_ne!(reward(&[("reset-noise-scale", 0.0.into())]).0, plain);
    let low = [("healthy-z-max", 1.0.into())];
    assert_eq!(reward(&low).2, 1);
    let goes_on = [("healthy-z-max", 1.0.into()), ("terminate-when-unhealthy", false.into())];
    assert_eq!((reward(&goes_on).2, reward(&goes_on).0 + 1.0), (0, plain), "an unhealthy step pays 1 less");
}

fn draws<E: Environment>() {
    // With `auto`, MuJoCo's renderer draws if the machine has OpenGL; src/tests/pictures.rs tests it in detail.
    ["2d", "auto"].into_iter().for_each(draws_by::<E>);
}

fn draws_by<E: Environment>(render: &str) {
    let mut copies = copies_with::<E>(2, &[("threads", 1i64.into()), ("render", render.into())]);
    let mut rng = Rng::seeded(1);
    for _ in 0..10 {
        copies.step(Actions::Continuous(&actions::<E>(2, &mut rng))).unwrap();
    }
    let state = copies.snapshot();
    let Frame::Rgb { width, height, pixels } = copies.render(1, RenderMode::Rgb).unwrap() else {
        panic!("pixels")
    };
    assert_eq!((width, height, pixels.len()), (320, 240, 320 * 240 * 3));
    if let Some(folder) = std::env::var_os("POTSTILL_PICTURES") {
        let file = Path::new(&folder).join(format!("{}-{render}.ppm", E::ID.replace('/', "-")));
        std::fs::write(file, [b"P6 320 240 255\n".as_slice(), &pixels].concat()).unwrap();
    }
    // The body is in the middle. Unlike sky and floor, it has a strong color.
    let strong = |rgb: &[u8; 3]| rgb.iter().max().unwrap() - rgb.iter().min().unwrap() > 40;
    let colored = pixels.as_chunks().0.iter().filter(|rgb| strong(rgb)).count();
    assert!((200..30_000).contains(&colored), "{}: {colored} pixels", E::ID);
    let Frame::Text(text) = copies.render(1, RenderMode::Text).unwrap() else { panic!("text") };
    assert_eq!(text.lines().count(), 25, "{text}");
    assert!(text.contains(['█', '▀', '▄']) && text.lines().last().unwrap().starts_with("x "), "{text}");
    println!("{text}");
    assert!(copies.snapshot() == state, "drawing changes nothing");
}

#[test]
fn every_environment_draws() {
    if !installed() {
        return;
    }
    draws::<Mujoco<Hopper<4>>>();
    draws::<Mujoco<HalfCheetah<4>>>();
    draws::<Mujoco<Walker2d<4>>>();
    draws::<Mujoco<InvertedDoublePendulum<4>>>();
    draws::<Mujoco<Reacher<4>>>();
    draws::<Mujoco<Ant<4>>>();
    draws::<Mujoco<Humanoid<4>>>();
    draws::<Mujoco<HumanoidStandup<4>>>();
}
