//! `potstill eval`: k-shot evaluation of a dataset, or the score of one agent.
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::options::{LearnerArguments, threads};
use super::watch::Meter;
use super::{print_json, say, target};
use crate::distill::Agent;
use crate::engine::evaluate::{Protocol, Score, Sight};
use crate::engine::policy::Acting;
use crate::error::{Error, Result};
use crate::plugin::Registry;
use crate::plugin::text::counted;
use crate::run::{AgentOrDataset, DatasetEnvironment};

/// Score a dataset: fresh learners take its inner steps, by default one, and play whole episodes
///
/// An agent file is scored on the episodes that its one agent plays. --blind asks whether a score needs sight.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill eval runs/five\n  potstill eval runs/five/dataset.safetensors --greedy --json\n  \
                        potstill eval runs/five --learner-set width=32-256\n  potstill eval agent.safetensors\n  \
                        potstill eval runs/five --blind"
)]
pub(super) struct Eval {
    /// A dataset file, a run directory or an agent file
    pub(super) target: PathBuf,
    /// Take the most probable action instead of sampling
    #[arg(long, help_heading = "Protocol")]
    greedy: bool,
    /// Number of fresh learners [default: 100]
    #[arg(long, help_heading = "Protocol")]
    learners: Option<usize>,
    /// Episodes that each learner plays
    #[arg(long, default_value_t = 100, help_heading = "Protocol")]
    episodes: usize,
    /// Seed of the learners, the episodes and the actions
    #[arg(long, default_value_t = 0, help_heading = "Protocol")]
    seed: u64,
    /// Score the learners blind too: on one frame that never changes, or on what another of their episodes shows
    #[arg(long, value_name = "HOW", num_args = 0..=1, default_missing_value = "both", help_heading = "Protocol")]
    blind: Option<Blind>,
    #[command(flatten)]
    learner: LearnerArguments,
    /// CPU threads; 0 uses every core. Results do not depend on it
    #[arg(long, default_value_t = 0, help_heading = "Machine")]
    threads: usize,
    /// Print only the score, as JSON
    #[arg(long)]
    json: bool,
}

/// How learners are blinded.
#[derive(Clone, Copy, ValueEnum)]
enum Blind {
    /// Every observation is the first of the learner's first episode
    Frozen,
    /// Observations are those of another episode, which the same learner plays sighted
    Other,
    /// First the one, then the other
    Both,
}

impl Eval {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        if self.learners == Some(0) || self.episodes == 0 {
            return Err(Error::usage("--learners and --episodes must be at least 1"));
        }
        let acting = if self.greedy { Acting::Greedy } else { Acting::Sampled };
        let learners = self.learners.unwrap_or(100);
        let protocol =
            Protocol { acting, learners, episodes: self.episodes, seed: self.seed, sight: Sight::Own };
        let dataset = match target::load(&self.target)? {
            AgentOrDataset::Dataset(dataset) => dataset,
            AgentOrDataset::Agent(file) => {
                let agent = target::of_file(&self.target, file, registry)?;
                return self.agent(&agent, registry, protocol);
            }
        };
        let learner = self.learner.instead_of(&dataset.info.learner, registry)?;
        let teacher = target::teacher(&self.target, &dataset, registry, learner)?;
        let threads = threads(self.threads)?;
        let meter = Meter::new("learners", (learners * self.sights().len()) as u64, 0, self.json);
        let scores = self.scores(protocol, &|protocol| {
            teacher.score(protocol, threads, &|| {
                meter.one_more();
                Ok(())
            })
        });
        meter.finish();
        let scores = scores?;
        if self.json {
            let mut value = Self::value(&scores, &dataset.info.environment);
            value["k"] = json!(dataset.k());
            return print_json(&value);
        }
        let width = width(&scores);
        scores.iter().try_for_each(|score| say(&format!("{}{}", self.seeing(score), line(score, width))))
    }

    fn agent(&self, agent: &Agent, registry: &Registry, protocol: Protocol) -> Result<()> {
        if self.learners.is_some() || self.learner != LearnerArguments::default() {
            return Err(Error::usage(
                "--learners, --learner and --learner-set are for datasets: an agent file holds one trained agent",
            ));
        }
        let scores = self.scores(protocol, &|protocol| agent.score(registry, protocol))?;
        if self.json {
            return print_json(&Self::value(&scores, agent.environment()));
        }
        let (episodes, width) = (counted(self.episodes, "episode"), width(&scores));
        scores.iter().try_for_each(|score| {
            let (seeing, faults) = (self.seeing(score), faults(score.faults));
            say(&format!("{seeing}{} ({episodes}, seed {}){faults}", returns(score, width), self.seed))
        })
    }

    /// What the learners are to see, sighted first.
    fn sights(&self) -> &'static [Sight] {
        match self.blind {
            None => &[Sight::Own],
            Some(Blind::Frozen) => &[Sight::Own, Sight::Frozen],
            Some(Blind::Other) => &[Sight::Own, Sight::Other],
            Some(Blind::Both) => &[Sight::Own, Sight::Frozen, Sight::Other],
        }
    }

    fn scores(&self, protocol: Protocol, score: &dyn Fn(&Protocol) -> Result<Score>) -> Result<Vec<Score>> {
        self.sights().iter().map(|&sight| score(&Protocol { sight, ..protocol })).collect()
    }

    /// The start of a score's line, which says what the learners saw if they did not see the same in all lines.
    fn seeing(&self, score: &Score) -> String {
        match self.blind {
            None => String::new(),
            Some(_) => format!("{:9}", score.protocol.sight),
        }
    }

    /// The score of sighted learners as JSON, with those of blind ones below `blind`.
    fn value(scores: &[Score], environment: &DatasetEnvironment) -> serde_json::Value {
        let mut value = json!(scores.first());
        value["environment"] = json!(environment.id);
        value["settings"] = json!(environment.settings);
        for score in scores.iter().skip(1) {
            value["blind"][score.protocol.sight.to_string()] = json!(score);
        }
        value
    }
}

/// The width of the widest mean return.
fn width(scores: &[Score]) -> usize {
    scores.iter().map(|score| format!("{:.1}", score.mean_return).len()).max().unwrap_or(0)
}

fn returns(score: &Score, width: usize) -> String {
    let Score { protocol, mean_return, std_return, .. } = score;
    format!("{:7} return {mean_return:width$.1} ± {std_return:.1}", protocol.acting)
}

/// Formats a score and its protocol in one line, with the mean return padded to `width`.
pub(super) fn line(score: &Score, width: usize) -> String {
    let Protocol { learners, episodes, seed, .. } = score.protocol;
    format!(
        "{} (worst learner {:.1}; {} × {}, seed {seed}){}",
        returns(score, width),
        score.min_learner,
        counted(learners, "learner"),
        counted(episodes, "episode"),
        faults(score.faults)
    )
}

/// Says how many episodes ended because their simulation failed; nothing if none did.
pub(super) fn faults(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => "; 1 episode ended because its simulation failed".into(),
        n => format!("; {n} episodes ended because their simulation failed"),
    }
}
