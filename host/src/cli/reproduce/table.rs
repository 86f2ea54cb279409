//! The table of an experiment, which is printed row by row as runs finish, and its pictures.
use std::cell::RefCell;
use std::collections::BTreeMap;

use super::experiment::{Across, BlindPolicy, Column, Evaluate, Experiment, Plot, Reference, Statistic};
use super::rows::{Row, Trained};
use super::runs::{Runs, unless_stopped};
use crate::cli::watch::Meter;
use crate::cli::{say, tell};
use crate::distill::{Baselining, Effort, Setup, Teacher, learners};
use crate::engine::evaluate::{Faults, Protocol, Score, Sight, episodes};
use crate::engine::policy::{Acting, Policy};
use crate::engine::random::stream;
use crate::error::{Error, Result};
use crate::plugin::Registry;
use crate::run::{
    Baseline, Dataset, DatasetEnvironment, DistillConfig, EnvironmentConfig, Line, MetricsRecord, curves_svg,
    write_atomically,
};

/// Shown where nothing is published.
const NOTHING: &str = "–";
/// How policies that do not look are played, as by `potstill baseline`.
const BLIND: Effort = Effort { episodes: 10, generations: 10, seed: 0 };
/// The number of environments that random play steps together.
const AT_ONCE: usize = 50;
/// The number of agents over which costs are drawn.
const AGENTS: u32 = 20;
/// The number of agents that are taught to say how long one takes.
const TAUGHT: u64 = 5;
/// The longest time between two meta-epochs, in seconds, unless the run was stopped in between.
const LONGEST_PAUSE: f64 = 120.0;

/// The table of an experiment and its pictures, as far as they are finished.
pub(super) struct Table<'a> {
    experiment: &'a Experiment,
    caption: String,
    runs: &'a Runs,
    registry: &'a Registry,
    /// What policies score that do not look, by environment and kind.
    blind: RefCell<Vec<(DatasetEnvironment, BlindPolicy, Vec<Baseline>)>>,
    /// The lines of each picture with their legends, in the order of the rows.
    pictures: BTreeMap<String, Vec<(String, Vec<Line>)>>,
}

impl<'a> Table<'a> {
    /// Creates the table of `rows`. Every template is filled in and every learner looked up first, so that mistakes are
    /// found before hours of training.
    pub(super) fn new(
        experiment: &'a Experiment,
        rows: &[Row<'_>],
        runs: &'a Runs,
        registry: &'a Registry,
    ) -> Result<Self> {
        for row in rows {
            for column in &experiment.columns {
                column.value.iter().try_for_each(|value| row.value(&column.title, value).map(drop))?;
                if let Some(learner) = &column.learner {
                    learners(registry, learner)?;
                }
            }
            for plot in &experiment.plots {
                row.picture(&plot.file)?;
                row.trainings.iter().try_for_each(|t| row.line(plot.line.as_deref(), t).map(drop))?;
            }
        }
        let Evaluate { learners, episodes } = experiment.evaluate.unwrap_or_default();
        let caption = match rows.first() {
            Some(first) => first.fill("caption", &experiment.caption, |name| match name {
                "seeds" => Some(runs.seeds.to_string()),
                "evaluate.learners" => Some(learners.to_string()),
                "evaluate.episodes" => Some(episodes.to_string()),
                _ => None,
            })?,
            None => String::new(),
        };
        Ok(Table {
            experiment,
            caption,
            runs,
            registry,
            blind: RefCell::default(),
            pictures: BTreeMap::new(),
        })
    }

    /// Prints what comes above the rows.
    pub(super) fn begin(&self) -> Result<()> {
        if !self.caption.is_empty() {
            say(self.caption.replace('\n', " ").trim())?;
            say("")?;
        }
        let columns = &self.experiment.columns;
        say(&line(columns.iter().map(|column| column.title.clone())))?;
        say(&format!("|{}", "---|".repeat(columns.len())))
    }

    /// Prints `row` and draws its learning curves. `datasets` are those of each training and seed.
    pub(super) fn row(&mut self, row: &Row<'_>, datasets: &[Vec<Dataset>]) -> Result<()> {
        let columns = &self.experiment.columns;
        let cells = columns.iter().map(|column| self.cell(column, row, datasets));
        say(&line(cells.collect::<Result<Vec<_>>>()?))?;
        for name in self.experiment.published.keys() {
            let cells: Vec<Option<&str>> =
                columns.iter().map(|column| self.beside(column, name, row)).collect();
            if cells.iter().any(Option::is_some) {
                let cells = cells.into_iter().enumerate().map(|(at, cell)| match (at, cell) {
                    (_, Some(cell)) => cell.to_owned(),
                    (0, None) => name.clone(),
                    (_, None) => String::new(),
                });
                say(&line(cells))?;
            }
        }
        self.experiment.plots.iter().try_for_each(|plot| self.draw(plot, row, datasets))
    }

    /// Prints what comes below the rows: the sources of the published figures.
    pub(super) fn end(&self) -> Result<()> {
        for (name, published) in &self.experiment.published {
            let protocol = match published.protocol.is_empty() {
                true => String::new(),
                false => format!(" {}", published.protocol),
            };
            say("")?;
            say(&format!("{name}: {}.{protocol}", published.source))?;
        }
        let pictures = self.pictures.keys().map(|file| self.runs.dir.join(file).display().to_string());
        match pictures.collect::<Vec<_>>() {
            none if none.is_empty() => Ok(()),
            files => {
                tell(&format!("learning curves: {}", files.join(", ")));
                Ok(())
            }
        }
    }

    fn cell(&self, column: &Column, row: &Row<'_>, datasets: &[Vec<Dataset>]) -> Result<String> {
        let at = row.trainings.iter().position(|trained| {
            column.training.is_none() || trained.training.map(|t| &t.name) == column.training.as_ref()
        });
        let at = at.unwrap_or_default();
        if let Some(value) = &column.value {
            return row.value(&column.title, value);
        }
        if let Some(acting) = column.score {
            let scores = datasets[at].iter().map(|dataset| self.score(column, acting, dataset));
            return Ok(statistic(column.statistic, &scores.collect::<Result<Vec<_>>>()?));
        }
        if let Some(policy) = column.blind {
            return self.blind(policy, row);
        }
        if column.random {
            return Ok(number(random(row.config.clone(), self.registry)?));
        }
        if column.cost {
            let metrics = self.metrics(row, &row.trainings[at])?;
            let of = |value: fn(&[MetricsRecord]) -> f64| {
                median_and_worst(&metrics.iter().map(|run| value(run)).collect::<Vec<_>>()).0
            };
            return Ok(format!("{:.1} M steps, {:.0} min", of(steps), of(minutes)));
        }
        if column.teach {
            return Ok(format!("{:.1} ms", 1e3 * self.seconds_of_an_agent(&datasets[at])?));
        }
        if let Some(name) = &column.pays {
            let one = self.seconds(row, row.training(name))?;
            let each = self.seconds_of_an_agent(&datasets[at])?;
            let once = self.seconds(row, Some(&row.trainings[at]))?;
            return Ok(match one > each {
                true => format!("{}", (once / (one - each)).ceil().max(1.0)),
                false => "never".into(),
            });
        }
        Ok(column.published.as_ref().and_then(|p| self.published(p, row)).unwrap_or(NOTHING).to_owned())
    }

    /// The score of `dataset` that `column` shows: its own, or a new one on other learners.
    fn score(&self, column: &Column, acting: Acting, dataset: &Dataset) -> Result<Score> {
        let sight = column.sight.unwrap_or_default();
        let anew = column.learner.is_some() || sight != Sight::Own;
        let Some(evaluate) = self.experiment.evaluate.as_ref().filter(|_| anew) else {
            let mut own = dataset.info.scores.iter();
            return own.find(|score| score.protocol.acting == acting).cloned().ok_or_else(|| {
                let id = &dataset.info.environment.id;
                Error::usage(format!("the dataset of `{id}` has no {acting} score"))
            });
        };
        let learner = column.learner.as_ref().map(|learner| learners(self.registry, learner)).transpose()?;
        let teacher = Teacher::of_dataset(dataset, self.registry, learner)?;
        let Evaluate { learners, episodes } = *evaluate;
        let meter = Meter::new("learners", learners as u64, 0, false);
        let score = teacher.score(
            &Protocol { acting, learners, episodes, seed: 0, sight },
            self.runs.threads,
            &|| {
                meter.one_more();
                unless_stopped()
            },
        );
        meter.finish();
        score
    }

    /// The seconds in which the first of `datasets` teaches one agent on one core: the median of several.
    fn seconds_of_an_agent(&self, datasets: &[Dataset]) -> Result<f64> {
        let Some(dataset) = datasets.first() else { return Ok(0.0) };
        let teacher = Teacher::of_dataset(dataset, self.registry, None)?;
        let seconds = (0..TAUGHT).map(|seed| Ok(teacher.train(seed)?.time.as_secs_f64()));
        Ok(median_and_worst(&seconds.collect::<Result<Vec<_>>>()?).0)
    }

    /// The seconds that `training` took, with those that it took its teacher or its start from: the median of the seeds.
    fn seconds(&self, row: &Row<'_>, training: Option<&Trained<'_>>) -> Result<f64> {
        let Some(training) = training else { return Ok(0.0) };
        let runs = self.metrics(row, training)?;
        let own = median_and_worst(&runs.iter().map(|run| 60.0 * minutes(run)).collect::<Vec<_>>()).0;
        let before = training.training.iter().flat_map(|training| [&training.teacher, &training.start]);
        let before: f64 =
            before.flatten().map(|name| self.seconds(row, row.training(name))).sum::<Result<f64>>()?;
        Ok(own + before)
    }

    /// The mean return of the best policy of this kind that does not look, and its name. Rows with one environment share it.
    fn blind(&self, policy: BlindPolicy, row: &Row<'_>) -> Result<String> {
        let EnvironmentConfig { id, settings, .. } = &row.config.environment;
        let wrappers = row.config.environment.wrappers();
        let generations = if policy == BlindPolicy::Distribution { BLIND.generations } else { 0 };
        let effort = Effort { generations, ..BLIND };
        let baselining = Baselining::new(self.registry, id, settings, &wrappers, effort)?;
        let environment = baselining.environment().clone();
        let mut known = self.blind.borrow_mut();
        let at = known.iter().position(|(of, kind, _)| (of, *kind) == (&environment, policy));
        let at = match at {
            Some(at) => at,
            None => {
                let meter = Meter::new("policies", baselining.policies() as u64, 0, false);
                let rows = baselining.play(self.runs.threads, &|| meter.one_more());
                meter.finish();
                unless_stopped()?;
                known.push((environment, policy, rows?));
                known.len() - 1
            }
        };
        let best = known[at].2.iter().find(|row| match policy {
            BlindPolicy::Constant => row.is_constant(),
            BlindPolicy::Distribution => row.probabilities.is_some(),
        });
        Ok(best.map_or(NOTHING.to_owned(), |best| {
            format!("{} ({})", number(best.tally.mean_return), best.policy)
        }))
    }

    fn published(&self, reference: &Reference, row: &Row<'_>) -> Option<&str> {
        let published = self.experiment.published.get(&reference.from)?;
        Some(published.cells.get(&row.name())?.get(&reference.cell)?)
    }

    /// The published figure of source `name` to show with what `column` measures in `row`.
    fn beside(&self, column: &Column, name: &str, row: &Row<'_>) -> Option<&str> {
        let reference = column.published.as_ref().filter(|p| column.shown() > 0 && p.from == name)?;
        self.published(reference, row)
    }

    fn metrics(&self, row: &Row<'_>, training: &Trained<'_>) -> Result<Vec<Vec<MetricsRecord>>> {
        (0..self.runs.seeds).map(|seed| self.runs.metrics(&row.run(training, seed)?)).collect()
    }

    /// Adds the lines of `row`, learning curves for each training and seed or costs for each training, and writes their
    /// picture. `datasets` are those of each training and seed.
    fn draw(&mut self, plot: &Plot, row: &Row<'_>, datasets: &[Vec<Dataset>]) -> Result<()> {
        let file = row.picture(&plot.file)?;
        for (training, datasets) in row.trainings.iter().zip(datasets) {
            let lines = match plot.x {
                Across::Agents => vec![self.costs(row, training, datasets)?],
                _ => self.metrics(row, training)?.iter().map(|records| curve(plot, records)).collect(),
            };
            let name = row.line(plot.line.as_deref(), training)?;
            self.pictures.entry(file.clone()).or_default().push((name, lines));
        }
        let (up, across) = match plot.x {
            Across::MetaEpochs => ("Return", "meta-epochs"),
            Across::EnvironmentSteps => ("Return", "million environment steps"),
            Across::Hours => ("Return", "hours"),
            Across::Agents => ("Hours", "number of agents, with the hours that they take"),
        };
        let lines = self.pictures.get(&file).into_iter().flatten();
        let lines: Vec<_> = lines.map(|(name, lines)| (name.as_str(), lines.clone())).collect();
        let path = self.runs.dir.join(file);
        write_atomically(&path, |file| file.write_all(curves_svg([up, across], &lines, None).as_bytes()))
    }

    /// The hours that 1, 2, … agents of `training` take: as many trainings of direct PPO, or one distillation, from whose dataset
    /// every agent learns.
    fn costs(&self, row: &Row<'_>, training: &Trained<'_>, datasets: &[Dataset]) -> Result<Line> {
        let once = self.seconds(row, Some(training))?;
        let (once, each) = match training.training.is_some_and(|training| training.direct) {
            true => (0.0, once),
            false => (once, self.seconds_of_an_agent(datasets)?),
        };
        Ok((1..=AGENTS).map(|n| (n as f64, (once + n as f64 * each) / 3600.0)).collect())
    }
}

/// The learning curve of a run.
fn curve(plot: &Plot, records: &[MetricsRecord]) -> Line {
    let point = |record: &MetricsRecord| {
        let x = match plot.x {
            Across::EnvironmentSteps => record.values.get("environment_steps")? / 1e6,
            Across::Hours => record.seconds? / 3600.0,
            Across::MetaEpochs | Across::Agents => record.meta_epoch as f64,
        };
        Some((x, *record.values.get(&plot.y)?))
    };
    records.iter().filter_map(point).collect()
}

/// A line of a Markdown table.
fn line(cells: impl IntoIterator<Item = String>) -> String {
    let cell = |text: String| match text.is_empty() {
        true => " |".to_owned(),
        false => format!(" {} |", text.replace('|', "\\|")),
    };
    format!("|{}", cells.into_iter().map(cell).collect::<String>())
}

/// A return with one decimal, and with a minus sign if it is negative.
fn number(value: f64) -> String {
    format!("{value:.1}").replace('-', "−")
}

fn statistic(statistic: Statistic, scores: &[Score]) -> String {
    let means: Vec<f64> = scores.iter().map(|score| score.mean_return).collect();
    let (mean, deviation) = mean_and_deviation(&means);
    match statistic {
        Statistic::MedianWorst => {
            let (median, worst) = median_and_worst(&means);
            match means.len() {
                1 => number(median),
                _ => format!("{} ({})", number(median), number(worst)),
            }
        }
        Statistic::MeanOverSeeds => format!("{} ± {}", number(mean), number(deviation)),
        Statistic::MeanOverEpisodes => {
            // All seeds have equally many episodes, so that the variance is the mean variance within seeds plus that
            // between.
            let within =
                scores.iter().map(|score| score.std_return.powi(2)).sum::<f64>() / means.len() as f64;
            format!("{} ± {}", number(mean), number((within + deviation.powi(2)).sqrt()))
        }
    }
}

/// The median and the smallest of `values`.
fn median_and_worst(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median =
        if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
    (median, sorted[0])
}

/// The mean and the population standard deviation of `values`.
fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
    (mean, variance.sqrt())
}

/// The number of environment steps that a run took, in millions.
fn steps(records: &[MetricsRecord]) -> f64 {
    records.last().and_then(|last| last.values.get("environment_steps")).map_or(0.0, |steps| steps / 1e6)
}

/// The time from the first meta-epoch to the last, in minutes, without the time in which the run was stopped.
fn minutes(records: &[MetricsRecord]) -> f64 {
    if let Some(seconds) = records.last().and_then(|last| last.seconds) {
        return seconds / 60.0;
    }
    // Older runs did not record it.
    let gaps = records.windows(2).map(|pair| pair[1].wall_time - pair[0].wall_time);
    gaps.filter(|seconds| *seconds < LONGEST_PAUSE).sum::<f64>() / 60.0
}

/// The mean return of random actions over as many episodes as a dataset's score has: normal actions of mean 0 and
/// standard deviation 1, or uniformly random discrete actions.
fn random(config: DistillConfig, registry: &Registry) -> Result<f64> {
    unless_stopped()?;
    let count = config.evaluation.learners * config.evaluation.episodes;
    let setup = Setup::new(config, registry)?;
    let mut environments = setup.environments(AT_ONCE)?;
    let spec = environments.spec();
    let policy = Policy::of(&spec.action)
        .ok_or_else(|| Error::usage(format!("`{}` has no discrete or continuous actions", spec.id)))?;
    // The policy's outputs: equal log-probabilities, or means of 0 and log standard deviations of 0.
    let each = match policy {
        Policy::Categorical(n) => -(n as f32).ln(),
        Policy::Gaussian(_) => 0.0,
    };
    let standard = vec![each; policy.outputs() * AT_ONCE];
    let mut random = stream(0, "random actions", 0);
    let returns = episodes(
        environments.as_mut(),
        &|_| standard.clone(),
        policy,
        Acting::Sampled,
        count,
        &mut random,
        &mut Faults::default(),
    )?;
    Ok(returns.iter().map(|&r| f64::from(r)).sum::<f64>() / returns.len() as f64)
}
