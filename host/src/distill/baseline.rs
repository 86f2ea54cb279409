//! Plays the baselines of an environment: policies that do not look.
use potstill_plugin_api::Space;

use super::setup::{Setup, find_environment, make_environments};
use crate::engine::baseline::{self, Blind, CrossEntropy, MOST_ACTIONS, Played, Player};
use crate::engine::random::stream;
use crate::engine::wrappers::Wrappers;
use crate::error::Result;
use crate::plugin::{Actions, Registry};
use crate::run::{Baseline, Baselines, DatasetEnvironment, Options, RANDOM, RunDirectory};

/// The most episodes that a policy plays at once.
const AT_ONCE: usize = 100;

/// How baselines are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// The number of episodes of each constant action, and of each candidate of the search. The others play twice as many.
    pub episodes: usize,
    /// The number of generations of the search for the best distribution of actions; 0 leaves it out.
    pub generations: usize,
    /// The seed of episodes, actions and candidates.
    pub seed: u64,
}

/// The candidates in a generation of the search, and how many of them the next one learns from.
const CANDIDATES: usize = 20;
const ELITE: usize = 5;

/// The baselines of an environment, ready to be played.
pub struct Baselining<'a> {
    registry: &'a Registry,
    environment: DatasetEnvironment,
    effort: Effort,
    constants: Vec<(String, Blind)>,
    search: Option<CrossEntropy>,
}

impl<'a> Baselining<'a> {
    /// Finds the environment `id` with `settings`, in `wrappers`.
    ///
    /// # Errors
    /// The id or an option is unknown, the plugin fails, or its observations cannot be stacked.
    pub fn new(
        registry: &'a Registry,
        id: &str,
        settings: &Options,
        wrappers: &Wrappers,
        effort: Effort,
    ) -> Result<Self> {
        let environment = find_environment(registry, id, settings, None, wrappers)?;
        let constants = constants(&environment.spec.action);
        let search = CrossEntropy {
            generations: effort.generations,
            candidates: CANDIDATES,
            elite: ELITE,
            episodes: effort.episodes,
        };
        // Of one action there is one distribution.
        let several = baseline::actions(&environment.spec.action).is_some_and(|all| all.len() > 1);
        let search = (several && effort.generations > 0).then_some(search);
        Ok(Baselining { registry, environment, effort, constants, search })
    }

    /// The environment.
    pub fn environment(&self) -> &DatasetEnvironment {
        &self.environment
    }

    /// The names of the constant actions, in the order of probabilities.
    pub fn actions(&self) -> Vec<&str> {
        self.constants.iter().map(|(name, _)| &**name).collect()
    }

    /// The search for the best distribution of actions, if there is one.
    pub fn search(&self) -> Option<CrossEntropy> {
        self.search
    }

    /// The number of policies that are played.
    pub fn policies(&self) -> usize {
        let searched = self.search.map_or(0, |search| search.policies() + 2);
        1 + self.constants.len() + searched
    }

    /// What a reader of the baselines has to know of the action space, in sentences.
    pub fn notes(&self) -> Vec<String> {
        let space = &self.environment.spec.action;
        match space {
            Space::Box { low, high, .. } if low.iter().chain(high).any(|bound| bound.is_infinite()) => vec![
                "bounds of the actions are infinite: there, random actions are normally distributed, or \
                 exponentially beside one finite bound, as in Gymnasium"
                    .into(),
            ],
            Space::Box { .. } => vec![],
            _ if self.constants.is_empty() => vec![format!(
                "constant actions and the best distribution are left out: the action space {space} has more than \
                 {MOST_ACTIONS} actions"
            )],
            _ => vec![],
        }
    }

    /// Plays the baselines and returns them with the highest mean return first. Results do not depend on `threads`. `done`
    /// is called after each of [`Self::policies`].
    ///
    /// # Errors
    /// An error of the plugin, or an episode that does not end.
    pub fn play(&self, threads: usize, done: &(dyn Fn() + Sync)) -> Result<Vec<Baseline>> {
        let Effort { episodes, seed, .. } = self.effort;
        let copies = episodes.clamp(1, AT_ONCE);
        let make = || make_environments(self.registry, &self.environment, copies, 1);
        let player = Player::new(&make, seed, threads, done);
        let random = player.play(&[Blind::Random], 2 * episodes, "baseline", 0)?;
        let policies: Vec<Blind> = self.constants.iter().map(|(_, policy)| policy.clone()).collect();
        let constants = player.play(&policies, episodes, "baseline", 0)?;
        let mut all: Vec<Baseline> = random.iter().map(|played| Baseline::new(RANDOM, played)).collect();
        let names = self.constants.iter().map(|(name, _)| name);
        all.extend(names.zip(&constants).map(|(name, played)| Baseline::new(name, played)));
        if let Some(search) = self.search
            && let Some(found) = search.search(&player, constants.len())?
        {
            // The search starts between the constant actions, and may end in worse than one of them.
            let found_played = player.play(&[Blind::Mixed(found.clone())], episodes, "baseline", 0)?;
            let equal = vec![1.0 / constants.len() as f64; constants.len()];
            let certain = |action: usize| {
                (0..constants.len()).map(|other| if other == action { 1.0 } else { 0.0 }).collect()
            };
            let candidates = std::iter::once((found, &found_played[0]))
                .chain(random.iter().map(|played| (equal.clone(), played)))
                .chain(constants.iter().enumerate().map(|(action, played)| (certain(action), played)));
            let best = candidates.max_by(|(_, a), (_, b)| a.mean().total_cmp(&b.mean()));
            if let Some((probabilities, _)) = best {
                // Its score is that of episodes that it was not chosen by.
                let policy = [Blind::Mixed(probabilities.clone())];
                for played in player.play(&policy, 2 * episodes, "baseline score", 0)? {
                    all.push(Baseline {
                        probabilities: Some(probabilities.clone()),
                        ..Baseline::new(BEST, &played)
                    });
                }
            }
        }
        all.sort_by(|a, b| b.tally.mean_return.total_cmp(&a.tally.mean_return));
        Ok(all)
    }
}

const BEST: &str = "best distribution";

/// The constant policies of the action space, with their names: each action of a discrete one, zero of a box.
fn constants(space: &Space) -> Vec<(String, Blind)> {
    if let Space::Box { .. } = space {
        return vec![("zero".into(), Blind::Constant(baseline::zero(space)))];
    }
    let named = |action: Actions| {
        let name = match &action {
            Actions::Discrete(choices) if choices.len() == 1 => format!("action {}", choices[0]),
            Actions::Discrete(choices) => {
                let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
                format!("action ({})", choices.join(", "))
            }
            Actions::Continuous(_) => "constant".into(),
        };
        (name, Blind::Constant(action))
    };
    baseline::actions(space).into_iter().flatten().map(named).collect()
}

/// The number of episodes of each policy for a run's report, and the most steps that all of them take.
const EPISODES: usize = 10;
const MOST_STEPS: usize = 20_000;

/// Leaves the baselines of a run's environment in its directory, for the report, unless they are there. Their random streams
/// are their own.
///
/// Each policy plays one episode after the other, in turn, until all have played 10 or the next turn would take more than
/// 20,000 steps in all.
///
/// # Errors
/// An error of the plugin or of writing the file.
pub fn leave_baselines(setup: &Setup<'_>, run: &RunDirectory) -> Result<()> {
    let (environment, seed) = (&setup.environment, setup.config.seed);
    // A file that cannot be read is made anew.
    if let Ok(Some(there)) = run.baselines()
        && (&there.environment, there.seed) == (environment, seed)
    {
        return Ok(());
    }
    let constants = constants(&environment.spec.action);
    let policies: Vec<&Blind> =
        std::iter::once(&Blind::Random).chain(constants.iter().map(|(_, policy)| policy)).collect();
    let mut environments = setup.environments(1)?;
    let mut played = vec![Played::default(); policies.len()];
    let mut left = MOST_STEPS;
    'turns: for turn in 0..EPISODES as u64 {
        let mut turns = vec![];
        for policy in &policies {
            let mut random = stream(seed, "baselines of a run", turn);
            match policy.play_within(&mut left, environments.as_mut(), 1, &mut random)? {
                Some(episode) => turns.push(episode),
                None => break 'turns,
            }
        }
        played.iter_mut().zip(turns).for_each(|(all, episode)| all.add(episode));
    }
    let mut baselines = vec![];
    if let Some((random, constant)) = played.split_first().filter(|(random, _)| !random.returns.is_empty()) {
        baselines.push(Baseline::new(RANDOM, random));
        // The first of the best.
        let best =
            constants.iter().zip(constant).rev().max_by(|(_, a), (_, b)| a.mean().total_cmp(&b.mean()));
        baselines.extend(best.map(|((name, _), played)| Baseline::new(name, played)));
    }
    let constants = constants.len();
    run.save_baselines(&Baselines {
        environment: environment.clone(),
        seed,
        most_steps: MOST_STEPS,
        constants,
        baselines,
    })
}
