//! Checks for environments.
use std::time::{Duration, Instant};

use potstill_plugin_api::{Frame, Space};

use super::trajectory::{Actor, Trajectory, choices, go_on, numbers, play};
use super::{Check, Outcome, Stop, Subject, failed};
use crate::error::Result;
use crate::plugin::{Actions, Environments, Observations, RenderMode};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "spec",
        about: "its specification is the same for every instance and number of copies",
        run: spec,
    },
    Check {
        name: "play",
        about: "random play gives well-formed answers, and episodes end",
        run: random_play,
    },
    Check { name: "determinism", about: "equal seeds and actions give equal episodes", run: determinism },
    Check {
        name: "copies",
        about: "a copy depends on its seed, not on how many copies there are",
        run: copies,
    },
    Check { name: "replay", about: "a reset forgets what was played before", run: replay },
    Check { name: "seeds", about: "different seeds give different episodes", run: seeds },
    Check { name: "bounds", about: "observations lie in the declared space", run: bounds },
    Check { name: "time-limit", about: "episodes end within the step limit, as truncated", run: time_limit },
    Check { name: "returns", about: "no return is above the declared maximum", run: returns },
    Check {
        name: "actions",
        about: "it accepts every action, and numbers at and beyond their bounds",
        run: actions,
    },
    Check { name: "snapshot", about: "a restored state continues as the original does", run: snapshot },
    Check { name: "restore", about: "bytes that are not a state are refused with a message", run: restore },
    Check { name: "render", about: "drawing changes nothing", run: render },
    Check { name: "speed", about: "steps of 64 copies", run: speed },
];

/// The seeds of a few copies: adjacent ones, equal ones, and the ends of the range.
const SEEDS: [u64; 5] = [0, 1, 1, 12_345, u64::MAX];
/// The number of steps of a short play.
const STEPS: usize = 200;
/// The most numbers in the observations of one play.
const MOST_NUMBERS: usize = 1 << 24;

fn steps(environments: &dyn Environments, wanted: usize) -> usize {
    let numbers = environments.len() * environments.spec().observation.size();
    wanted.min(MOST_NUMBERS / numbers).max(10)
}

/// Plays a few copies from `SEEDS`.
fn played(environments: &mut dyn Environments, wanted: usize) -> Result<Vec<Trajectory>> {
    let (steps, seeds) = (steps(environments, wanted), &SEEDS[..environments.len()]);
    play(environments, seeds, &mut Actor::new(seeds), steps)
}

/// Plays long enough to see the effect of the step limit.
fn played_long(environments: &mut dyn Environments) -> Result<Vec<Trajectory>> {
    let limit = environments.spec().max_episode_steps.unwrap_or(0) as usize;
    played(environments, (2 * limit + 10).clamp(500, 5000))
}

/// Compares two plays copy by copy.
fn compare(first: &[Trajectory], second: &[Trajectory]) -> Result<(), Stop> {
    for (copy, (a, b)) in first.iter().zip(second).enumerate() {
        if let Some(difference) = a.difference(b) {
            return failed(format!("copy {copy} (seed {}): {difference}", SEEDS[copy]));
        }
    }
    Ok(())
}

fn spec(subject: &Subject<'_>) -> Outcome {
    let one = subject.environments(1)?;
    for count in [1, 5] {
        let other = subject.environments(count)?;
        if other.spec() != one.spec() {
            let text = |spec| serde_json::to_string(spec).unwrap_or_default();
            return failed(format!(
                "an instance of 1 copy says {}, one of {count} says {}",
                text(one.spec()),
                text(other.spec())
            ));
        }
    }
    let spec = one.spec();
    let mut notes = vec![];
    if matches!((spec.reward_threshold, spec.max_return), (Some(threshold), Some(most)) if threshold > most) {
        return failed("the reward threshold is above the maximal return");
    }
    if spec.max_episode_steps.is_none() {
        notes.push("there is no step limit: an episode that a policy keeps up never ends".into());
    }
    Ok(notes)
}

fn random_play(subject: &Subject<'_>) -> Outcome {
    // The host checks every answer: lengths, finite numbers, flags, final observations.
    let all = played_long(&mut *subject.environments(4)?)?;
    let ends = all.iter().flat_map(|t| &t.moments).filter(|m| m.last.is_some()).count();
    let mut notes = vec![];
    if ends == 0 {
        notes.push(format!("no episode ended in {} steps", all[0].moments.len()));
    }
    let faults = all.iter().flat_map(|t| &t.moments).filter(|m| m.fault).count();
    if faults > 0 {
        notes.push(format!("{faults} of {ends} episodes ended because the simulation failed"));
    }
    Ok(notes)
}

fn determinism(subject: &Subject<'_>) -> Outcome {
    let play = || played(&mut *subject.environments(3)?, STEPS);
    let (first, second) = (play()?, play()?);
    compare(&first, &second)?;
    Ok(vec![])
}

fn copies(subject: &Subject<'_>) -> Outcome {
    let together = played(&mut *subject.environments(SEEDS.len())?, STEPS)?;
    let mut alone = vec![];
    for seed in SEEDS {
        let mut one = subject.environments(1)?;
        alone.extend(play(&mut *one, &[seed], &mut Actor::new(&[seed]), together[0].moments.len())?);
    }
    compare(&together, &alone)?;
    // Seeds 1 and 2 of `SEEDS` are equal.
    if let Some(difference) = together[1].difference(&together[2]) {
        return failed(format!("two copies of seed 1 side by side: {difference}"));
    }
    Ok(vec![])
}

fn replay(subject: &Subject<'_>) -> Outcome {
    let mut environments = subject.environments(3)?;
    let first = played(&mut *environments, STEPS)?;
    compare(&first, &played(&mut *environments, STEPS)?)?;
    Ok(vec![])
}

fn seeds(subject: &Subject<'_>) -> Outcome {
    let mut environments = subject.environments(SEEDS.len())?;
    let steps = steps(&*environments, STEPS);
    // All copies take the same actions, so that only their seeds can make a difference.
    let all = play(&mut *environments, &SEEDS, &mut Actor::new(&[0; SEEDS.len()]), steps)?;
    Ok(match all.iter().all(|t| t == &all[0]) {
        true => vec!["every seed gives the same episode: is nothing random here?".into()],
        false => vec![],
    })
}

fn bounds(subject: &Subject<'_>) -> Outcome {
    let mut environments = subject.environments(4)?;
    let Space::Box { low, high, .. } = environments.spec().observation.clone() else {
        return Err(Stop::Skipped("any byte is a pixel".into()));
    };
    let all = played_long(&mut *environments)?;
    let outside = |observation: &Observations| {
        let values = numbers(observation);
        let at = |bounds: &[f32], i: usize| bounds[i % bounds.len()];
        let i = (0..values.len()).find(|&i| !(at(&low, i)..=at(&high, i)).contains(&values[i]))?;
        Some(format!("observation {i} is {}, declared from {} to {}", values[i], at(&low, i), at(&high, i)))
    };
    for (copy, trajectory) in all.iter().enumerate() {
        let later = trajectory.moments.iter().enumerate().flat_map(|(step, moment)| {
            moment.last.iter().chain([&moment.observation]).map(move |o| (step + 1, o))
        });
        for (step, observation) in trajectory.start.iter().map(|o| (0, o)).chain(later) {
            if let Some(what) = outside(observation) {
                return failed(format!("copy {copy} after step {step}: {what}"));
            }
        }
    }
    Ok(vec![])
}

/// An episode, or the part of it that was played.
#[derive(Clone, Copy, Default)]
struct Episode {
    length: u32,
    total: f64,
    ended: bool,
    truncated: bool,
}

fn episodes(all: &[Trajectory]) -> Vec<Episode> {
    let mut episodes = vec![];
    for trajectory in all {
        let mut episode = Episode::default();
        for moment in &trajectory.moments {
            episode.length += 1;
            episode.total += f64::from(moment.reward);
            if moment.last.is_some() {
                episodes.push(Episode { ended: true, truncated: moment.truncated, ..episode });
                episode = Episode::default();
            }
        }
        // The last episode has not ended.
        episodes.push(episode);
    }
    episodes
}

fn time_limit(subject: &Subject<'_>) -> Outcome {
    let mut environments = subject.environments(4)?;
    let Some(limit) = environments.spec().max_episode_steps else {
        return Err(Stop::Skipped("it declares no step limit".into()));
    };
    let episodes = episodes(&played_long(&mut *environments)?);
    if let Some(long) = episodes.iter().find(|episode| episode.length > limit) {
        let length = long.length;
        return failed(format!("an episode went on for {length} steps or more, the limit is {limit}"));
    }
    let at_limit: Vec<_> = episodes.iter().filter(|episode| episode.length == limit).collect();
    let mut notes = vec![];
    if at_limit.is_empty() {
        notes.push(format!("no episode of random play reached the limit of {limit} steps"));
    } else if at_limit.len() > 2 && at_limit.iter().all(|episode| !episode.truncated) {
        return failed(format!(
            "episodes of {limit} steps ended as terminated; at the limit say truncated, or their value is taken to be 0"
        ));
    }
    if episodes.iter().any(|episode| episode.truncated && episode.length < limit) {
        notes.push("some episodes were truncated before the limit".into());
    }
    Ok(notes)
}

fn returns(subject: &Subject<'_>) -> Outcome {
    let mut environments = subject.environments(4)?;
    let (threshold, most) = (environments.spec().reward_threshold, environments.spec().max_return);
    if threshold.is_none() && most.is_none() {
        return Err(Stop::Skipped("it declares neither a maximal return nor a threshold".into()));
    }
    let episodes = episodes(&played_long(&mut *environments)?);
    let ended = episodes.iter().filter(|episode| episode.ended);
    let best = ended.map(|episode| episode.total).fold(f64::NEG_INFINITY, f64::max);
    // Rewards are rounded to single precision.
    if let Some(most) = most.filter(|&most| best > f64::from(most) + 1e-3 * f64::from(most).abs()) {
        return failed(format!("an episode returned {best}, the declared maximum is {most}"));
    }
    Ok(match threshold.filter(|&threshold| best >= f64::from(threshold)) {
        Some(threshold) => vec![format!(
            "random play returned {best}: the threshold of {threshold}, which counts as solved, is low"
        )],
        None => vec![],
    })
}

fn actions(subject: &Subject<'_>) -> Outcome {
    let space = subject.environments(1)?.spec().action.clone();
    for action in extremes(&space) {
        let mut environments = subject.environments(1)?;
        environments.reset(&[0])?;
        for _ in 0..3 {
            if let Err(error) = environments.step(&action) {
                let action = match &action {
                    Actions::Discrete(values) => format!("{values:?}"),
                    Actions::Continuous(values) => format!("{values:?}"),
                };
                return failed(format!("action {action}: {error}"));
            }
        }
    }
    Ok(vec![])
}

/// Actions at the extremes: every choice alone; all numbers at their bounds, in the middle, and far beyond, because the
/// host does not clamp here.
fn extremes(space: &Space) -> Vec<Actions> {
    const MOST: usize = 1000;
    let choices = choices(space);
    if let Space::Box { low, high, .. } = space {
        let filled =
            |value: &dyn Fn(usize) -> f32| Actions::Continuous((0..space.size()).map(value).collect());
        let at = |bounds: &[f32], i: usize| bounds[i % bounds.len()].clamp(-1e6, 1e6);
        return vec![
            filled(&|i| at(low, i)),
            filled(&|i| at(high, i)),
            filled(&|_| 0.0),
            filled(&|i| 10.0 * at(low, i) - 1.0),
            filled(&|i| 10.0 * at(high, i) + 1.0),
        ];
    }
    let each =
        choices.iter().enumerate().flat_map(|(component, &n)| (0..n).map(move |choice| (component, choice)));
    let one = |(component, choice): (usize, usize)| {
        let mut action = vec![0; choices.len()];
        action[component] = choice as u32;
        Actions::Discrete(action)
    };
    each.take(MOST).map(one).collect()
}

/// A snapshot of `environments`, or the reason to skip the check.
fn state(environments: &mut dyn Environments) -> Result<Vec<u8>, Stop> {
    let none = "it has no snapshots, which are optional";
    environments.snapshot()?.ok_or_else(|| Stop::Skipped(none.into()))
}

fn snapshot(subject: &Subject<'_>) -> Outcome {
    let mut environments = subject.environments(3)?;
    let (seeds, steps) = (&SEEDS[..3], steps(&*environments, STEPS));
    let mut actor = Actor::new(seeds);
    play(&mut *environments, seeds, &mut actor, steps / 2)?;
    let state = state(&mut *environments)?;
    let going_on = actor.clone();
    let expected = go_on(&mut *environments, &mut going_on.clone(), steps)?;
    let mut another = subject.environments(3)?;
    for (which, environments) in
        [("another instance", &mut another), ("the same instance", &mut environments)]
    {
        environments.restore(&state)?;
        let got = go_on(&mut **environments, &mut going_on.clone(), steps)?;
        if let Err(Stop::Failed(difference)) = compare(&expected, &got) {
            return failed(format!("restored in {which}, {difference}"));
        }
    }
    Ok(vec![])
}

fn restore(subject: &Subject<'_>) -> Outcome {
    let mut environments = subject.environments(2)?;
    environments.reset(&SEEDS[..2])?;
    let good = state(&mut *environments)?;
    let mut more = subject.environments(3)?;
    more.reset(&SEEDS[..3])?;
    let mut other_start = good.clone();
    if let Some(byte) = other_start.first_mut() {
        *byte ^= 0xff;
    }
    let short = good[..good.len().saturating_sub(1)].to_vec();
    for (what, bytes) in [
        ("no bytes", vec![]),
        ("64 bytes of something else", vec![0xa5; 64]),
        ("a state whose first byte was changed", other_start),
        ("a state without its last byte", short),
        ("a state of 3 copies for 2", state(&mut *more)?),
    ] {
        let mut environments = subject.environments(2)?;
        environments.reset(&SEEDS[..2])?;
        match environments.restore(&bytes) {
            Ok(()) => return failed(format!("it accepted {what} as a state; refuse it with a message")),
            Err(error) if environments.reset(&SEEDS[..2]).is_err() => {
                return failed(format!("{what}: {error}"));
            }
            Err(_) => {}
        }
    }
    Ok(vec![])
}

fn render(subject: &Subject<'_>) -> Outcome {
    let expected = played(&mut *subject.environments(2)?, 2 * STEPS)?;
    let mut notes = vec![];
    for mode in [RenderMode::Rgb, RenderMode::Text] {
        let mut environments = subject.environments(2)?;
        let (seeds, mut drawn) = (&SEEDS[..2], 0);
        let mut actor = Actor::new(seeds);
        let mut got = play(&mut *environments, seeds, &mut actor, 0)?;
        while got[0].moments.len() < expected[0].moments.len() {
            // The host checks sizes.
            match environments.render(drawn % 2, mode) {
                Ok(Frame::Rgb { .. } | Frame::Text(_)) => drawn += 1,
                Err(error) if drawn > 0 || environments.reset(seeds).is_err() => {
                    return failed(error.to_string());
                }
                Err(_) => break,
            }
            let more = go_on(&mut *environments, &mut actor, 5)?;
            got.iter_mut().zip(more).for_each(|(all, more)| all.moments.extend(more.moments));
        }
        match drawn {
            0 => notes
                .push(format!("{} is not supported", if mode == RenderMode::Rgb { "rgb" } else { "text" })),
            _ => compare(&expected, &got)?,
        }
    }
    if notes.len() == 2 {
        return Err(Stop::Skipped("it draws neither pixels nor text".into()));
    }
    Ok(notes)
}

fn speed(subject: &Subject<'_>) -> Outcome {
    const COPIES: usize = 64;
    let mut environments = subject.environments(COPIES)?;
    let seeds: Vec<u64> = (0..COPIES as u64).collect();
    let mut actor = Actor::new(&seeds);
    play(&mut *environments, &seeds, &mut actor, 2)?;
    let space = environments.spec().action.clone();
    // Actions are drawn in advance, so that only steps are timed.
    let prepared: Vec<Actions> = (0..16).map(|_| actor.act(&space)).collect();
    let (started, mut calls) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_millis(300) {
        for action in &prepared {
            environments.step(action)?;
            calls += 1;
        }
    }
    let rate = (calls * COPIES) as f64 / started.elapsed().as_secs_f64();
    Ok(vec![format!("{rate:.0} steps a second")])
}
