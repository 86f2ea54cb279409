//! Properties of the wrappers, on a game whose observations say which copy, episode and step they are of.
use potstill_plugin_api::Autoreset;
use proptest::prelude::*;

use super::*;
use crate::environment::{Actions, RenderMode, Transition};
use crate::random::derived;

/// N copies of a game. Lengths of episodes, rewards and lost lives follow from the seed, the episode and the step alone.
struct Game {
    spec: EnvironmentSpec,
    copies: Vec<Place>,
    bytes: bool,
    transition: Transition,
}

#[derive(Clone, Copy)]
struct Place {
    seed: u64,
    episode: u8,
    step: u8,
}

impl Place {
    fn chance(self, what: &str, sides: u64) -> u64 {
        derived(self.seed, what, u64::from(self.episode) << 8 | u64::from(self.step)) % sides
    }

    fn length(self) -> u8 {
        1 + Place { step: 0, ..self }.chance("length", 12) as u8
    }

    fn reward(self) -> f32 {
        self.chance("reward", 7) as f32 - 3.0
    }

    fn loses_a_life(self) -> bool {
        self.step < self.length() && self.chance("life", 4) == 0
    }
}

impl Game {
    fn new(n: usize, bytes: bool) -> Self {
        let observation = match bytes {
            true => Space::Image { shape: vec![3] },
            false => Space::unbounded([3]),
        };
        let spec = EnvironmentSpec {
            id: "game-v1".into(),
            summary: String::new(),
            action: Space::Discrete { n: 2 },
            max_episode_steps: None,
            reward_threshold: None,
            max_return: Some(36.0),
            autoreset: Autoreset::SameStep,
            observation,
        };
        let copies = vec![Place { seed: 0, episode: 0, step: 0 }; n];
        Game { transition: Transition::none(&spec.observation), spec, copies, bytes }
    }

    fn observation(&self, place: Place) -> Observations {
        // Different copies have different seeds.
        let numbers = [place.seed as u8, place.episode, place.step];
        match self.bytes {
            true => Observations::Byte(numbers.to_vec()),
            false => Observations::Float(numbers.map(f32::from).to_vec()),
        }
    }
}

impl Environments for Game {
    fn spec(&self) -> &EnvironmentSpec {
        &self.spec
    }

    fn len(&self) -> usize {
        self.copies.len()
    }

    fn reset(&mut self, seeds: &[u64]) -> Result<Observations> {
        let mut observations = Observations::none(&self.spec.observation);
        for (i, &seed) in seeds.iter().enumerate() {
            self.copies[i] = Place { seed, episode: 0, step: 0 };
            observations.append(&self.observation(self.copies[i]), 0..3);
        }
        Ok(observations)
    }

    fn step(&mut self, _: &Actions) -> Result<&Transition> {
        let mut out = Transition::none(&self.spec.observation);
        for i in 0..self.copies.len() {
            self.copies[i].step += 1;
            let place = self.copies[i];
            let ended = place.step == place.length();
            out.rewards.push(place.reward());
            out.terminated.push(ended && place.episode.is_multiple_of(2));
            out.truncated.push(ended && !place.episode.is_multiple_of(2));
            out.faults.push(false);
            out.lives_lost.push(place.loses_a_life());
            if ended {
                out.final_observations.append(&self.observation(place), 0..3);
                self.copies[i] = Place { episode: place.episode + 1, step: 0, ..place };
            }
            out.observations.append(&self.observation(self.copies[i]), 0..3);
        }
        self.transition = out;
        Ok(&self.transition)
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>> {
        let numbers = |place: &Place| [place.seed, place.episode.into(), place.step.into()];
        Ok(Some(self.copies.iter().flat_map(numbers).flat_map(u64::to_le_bytes).collect()))
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let mut numbers = state.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number));
        let mut next = || numbers.next().unwrap();
        for place in &mut self.copies {
            *place = Place { seed: next(), episode: next() as u8, step: next() as u8 };
        }
        Ok(())
    }

    fn render(&mut self, _: usize, _: RenderMode) -> Result<potstill_plugin_api::Frame> {
        unreachable!("nothing is drawn")
    }
}

/// An episode of one copy: what was observed, first to last, with the reward of each step.
#[derive(Clone, Debug, Default, PartialEq)]
struct Episode {
    observed: Vec<Vec<u8>>,
    rewards: Vec<f32>,
    terminated: bool,
}

/// Rows of `size` numbers.
fn rows(observations: &Observations, size: usize) -> Vec<Vec<u8>> {
    match observations {
        Observations::Byte(values) => values.chunks(size).map(<[u8]>::to_vec).collect(),
        Observations::Float(values) => {
            values.chunks(size).map(|row| row.iter().map(|&v| v as u8).collect()).collect()
        }
    }
}

/// Plays `steps` steps with `n` copies, and returns the episodes of each copy that ended.
fn play(wrappers: &Wrappers, n: usize, bytes: bool, steps: usize) -> Vec<Vec<Episode>> {
    let mut game = wrappers.make(&|n| Ok(Box::new(Game::new(n, bytes))), n, n).unwrap();
    let size = game.spec().observation.size();
    let seeds: Vec<u64> = (10..10 + n as u64).collect();
    let first = rows(&game.reset(&seeds).unwrap(), size);
    let begin = |observation: &Vec<u8>| Episode { observed: vec![observation.clone()], ..Episode::default() };
    let mut running: Vec<Episode> = first.iter().map(begin).collect();
    let mut done = vec![vec![]; n];
    for _ in 0..steps {
        let step = game.step(&Actions::Discrete(vec![0; n])).unwrap();
        let (next, mut finals) =
            (rows(&step.observations, size), rows(&step.final_observations, size).into_iter());
        for i in 0..n {
            running[i].rewards.push(step.rewards[i]);
            if step.terminated[i] || step.truncated[i] {
                running[i].terminated = step.terminated[i];
                running[i].observed.push(finals.next().unwrap());
                done[i].push(std::mem::replace(&mut running[i], begin(&next[i])));
            } else {
                running[i].observed.push(next[i].clone());
            }
        }
        assert_eq!(finals.next(), None);
    }
    done
}

fn wrappers() -> impl Strategy<Value = Wrappers> {
    let at_least = |most: usize| prop::option::of(2..most);
    (at_least(9), at_least(5), any::<bool>(), any::<bool>(), at_least(6)).prop_map(
        |(max_episode_steps, action_repeat, max_pool, episodic_life, frame_stack)| Wrappers {
            max_episode_steps,
            action_repeat,
            max_pool: max_pool && action_repeat.is_some(),
            episodic_life,
            frame_stack,
        },
    )
}

proptest! {
    /// A stack holds consecutive observations of one episode, or its first one several times.
    #[test]
    fn stacks_never_mix_episodes(others in wrappers(), n in 1usize..4, bytes: bool) {
        let stacked = Wrappers { frame_stack: Some(4), ..others };
        let plain = play(&Wrappers { frame_stack: None, ..stacked.clone() }, n, bytes, 120);
        let stacks = play(&stacked, n, bytes, 120);
        for (plain, stacks) in plain.iter().flatten().zip(stacks.iter().flatten()) {
            prop_assert_eq!(&plain.rewards, &stacks.rewards);
            prop_assert_eq!(plain.terminated, stacks.terminated);
            for (t, stack) in stacks.observed.iter().enumerate() {
                let expected: Vec<u8> =
                    (0..4).flat_map(|back| plain.observed[(t + back).saturating_sub(3)].clone()).collect();
                prop_assert_eq!(stack, &expected);
            }
        }
    }

    /// Whatever the wrappers, nothing is lost: the rewards of an unwrapped game are shared out among the episodes in order.
    /// A time limit would begin other episodes.
    #[test]
    fn rewards_add_up(others in wrappers(), n in 1usize..4, bytes: bool) {
        let wrappers = Wrappers { max_episode_steps: None, ..others };
        let whole = play(&Wrappers::default(), n, bytes, 500);
        for (i, episodes) in play(&wrappers, n, bytes, 60).iter().enumerate() {
            let mut games = whole[i].iter();
            let mut episodes = episodes.iter();
            while let Some(first) = episodes.next() {
                let mut total: f32 = first.rewards.iter().sum();
                // Only the loss of a life ends an episode before the game.
                let game = games.next().unwrap();
                let size = game.observed[0].len();
                let last = |episode: &Episode| episode.observed.last().unwrap()[..].to_vec();
                let newest = |episode: &Episode| last(episode)[last(episode).len() - size..].to_vec();
                let mut episode = first;
                while newest(episode) != last(game) {
                    prop_assert!(wrappers.episodic_life && episode.terminated);
                    let before = newest(episode);
                    let Some(next) = episodes.next() else { return Ok(()) };
                    let start = &next.observed[0];
                    prop_assert_eq!(&start[start.len() - size..], &before[..], "the game goes on where it was");
                    total += next.rewards.iter().sum::<f32>();
                    episode = next;
                }
                prop_assert_eq!(total, game.rewards.iter().sum::<f32>());
                prop_assert_eq!(episode.terminated, game.terminated);
            }
        }
    }

    /// An episode ends with the game, with a life, or at the limit, counted in the game's own steps.
    #[test]
    fn an_episode_is_as_long_as_it_may_be(wrappers in wrappers(), n in 1usize..4) {
        let repeat = wrappers.action_repeat.unwrap_or(1);
        let most = wrappers.max_episode_steps.unwrap_or(12).min(12).div_ceil(repeat);
        for episode in play(&wrappers, n, true, 100).iter().flatten() {
            prop_assert!((1..=most).contains(&episode.rewards.len()));
        }
    }

    /// Games go on from a snapshot as they would have gone on.
    #[test]
    fn a_snapshot_is_the_whole_state(wrappers in wrappers(), n in 1usize..4, bytes: bool, steps in 0usize..40) {
        let make = || wrappers.make(&|n| Ok(Box::new(Game::new(n, bytes))), n, n).unwrap();
        let (mut first, mut second) = (make(), make());
        first.reset(&(10..10 + n as u64).collect::<Vec<_>>()).unwrap();
        let step = |game: &mut Box<dyn Environments>| game.step(&Actions::Discrete(vec![0; n])).unwrap().clone();
        (0..steps).for_each(|_| drop(step(&mut first)));
        let state = first.snapshot().unwrap().unwrap();
        second.restore(&state).unwrap();
        for _ in 0..60 {
            prop_assert_eq!(step(&mut first), step(&mut second));
        }
        if wrappers.max_episode_steps.or(wrappers.action_repeat).or(wrappers.frame_stack).is_some() {
            prop_assert!(second.restore(&state[..state.len() - 1]).is_err());
        }
    }

    /// What a copy plays does not depend on how many others there are.
    #[test]
    fn copies_are_independent(wrappers in wrappers(), bytes: bool) {
        prop_assert_eq!(&play(&wrappers, 1, bytes, 50)[0], &play(&wrappers, 3, bytes, 50)[0]);
    }
}

#[test]
fn a_repeated_action_ends_with_the_episode() {
    let [plain, repeated] = [None, Some(4)]
        .map(|action_repeat| play(&Wrappers { action_repeat, ..Wrappers::default() }, 2, false, 200));
    let of_a_copy = |(plain, repeated): (Vec<_>, Vec<_>)| plain.into_iter().zip(repeated);
    for (plain, repeated) in plain.into_iter().zip(repeated).flat_map(of_a_copy) {
        let sums: Vec<f32> = plain.rewards.chunks(4).map(|rewards| rewards.iter().sum()).collect();
        assert_eq!(repeated.rewards, sums);
        let last = plain.observed.len() - 1;
        let seen: Vec<&Vec<u8>> =
            (0..).map(|t| &plain.observed[(4 * t).min(last)]).take(sums.len() + 1).collect();
        assert_eq!(repeated.observed.iter().collect::<Vec<_>>(), seen);
        assert_eq!(repeated.terminated, plain.terminated);
    }
}

#[test]
fn specifications() {
    let spec = |shape: &[usize]| EnvironmentSpec {
        observation: Space::Image { shape: shape.to_vec() },
        max_episode_steps: Some(50),
        ..Game::new(1, true).spec
    };
    let stack = Wrappers { frame_stack: Some(4), ..Wrappers::default() };
    let stacked = |shape: &[usize]| stack.stacked(spec(shape)).unwrap().observation.shape();
    assert_eq!(stacked(&[84, 84]), [4, 84, 84]);
    assert_eq!(stacked(&[1, 84, 84]), [4, 84, 84]);
    assert_eq!(stacked(&[3, 84, 84]), [12, 84, 84]);
    let bounds = Space::Box { shape: vec![2], low: vec![-1.0, 0.0], high: vec![5.0] };
    let stacked = stack.stacked(EnvironmentSpec { observation: bounds, ..spec(&[1]) }).unwrap().observation;
    let low = [-1.0, 0.0].repeat(4);
    assert_eq!(stacked, Space::Box { shape: vec![4, 2], low, high: vec![5.0] });
    let error = stack.stacked(EnvironmentSpec { observation: Space::Discrete { n: 3 }, ..spec(&[1]) });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("`environment.frame_stack` is 4, for `game-v1`: it stacks a box or"), "{error}");
    let huge = Wrappers { frame_stack: Some(1000), ..Wrappers::default() };
    let error = huge.stacked(spec(&[3, 2000, 2000])).unwrap_err().to_string();
    assert!(error.contains("is larger than"), "{error}");

    let repeat = |limit| Wrappers { action_repeat: Some(4), max_episode_steps: limit, ..Wrappers::default() };
    let of = |limit| repeat(limit).unstacked(spec(&[1]));
    assert_eq!((of(None).max_episode_steps, of(None).max_return), (Some(13), Some(36.0)));
    assert_eq!((of(Some(21)).max_episode_steps, of(Some(21)).max_return), (Some(6), None));
    assert_eq!((of(Some(90)).max_episode_steps, of(Some(90)).max_return), (Some(13), Some(36.0)));
}

#[test]
fn files_hold_only_what_is_set() {
    let some = Wrappers { frame_stack: Some(4), max_pool: true, ..Wrappers::default() };
    let text = serde_json::to_string(&some).unwrap();
    assert_eq!(text, r#"{"max_pool":true,"frame_stack":4}"#);
    assert_eq!(serde_json::from_str::<Wrappers>(&text).unwrap(), some);
    assert!(serde_json::from_str::<Wrappers>("{}").unwrap().is_none());
    assert!(serde_json::from_str::<Wrappers>(r#"{"sticky":true}"#).is_err(), "from a newer release");
    some.check().unwrap();
    let wrong = Wrappers { action_repeat: Some(0), ..some }.check().unwrap_err();
    assert_eq!(wrong, "the wrapper `action_repeat` is 0; expected 1 to 1000");
}
