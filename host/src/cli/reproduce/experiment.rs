//! The format of an experiment file, which says what is varied, trained, scored and printed. `docs/experiments.md`
//! describes it.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use potstill_plugin_api::toml_error;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{builtin, key};
use crate::engine::evaluate::Sight;
use crate::engine::policy::Acting;
use crate::error::{Error, Result, did_you_mean};
use crate::files;
use crate::run::LearnerConfig;

/// The size of the largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// An experiment: its file, and the files that this names.
#[derive(Debug)]
pub(super) struct Experiment {
    /// The file's name without `.toml`.
    pub(super) name: String,
    /// The file's path, for errors.
    path: PathBuf,
    file: ExperimentFile,
    /// The configuration files that `base` keys name.
    bases: BTreeMap<PathBuf, Table>,
}

impl std::ops::Deref for Experiment {
    type Target = ExperimentFile;
    fn deref(&self) -> &ExperimentFile {
        &self.file
    }
}

impl std::ops::DerefMut for Experiment {
    fn deref_mut(&mut self) -> &mut ExperimentFile {
        &mut self.file
    }
}

/// The keys of an experiment file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExperimentFile {
    /// What the experiment is, in one line.
    #[serde(default)]
    pub(super) about: String,
    /// What is printed above the table.
    #[serde(default)]
    pub(super) caption: String,
    /// The number of trainings of each configuration, with seeds 0, 1, ….
    #[serde(default = "one")]
    pub(super) seeds: u64,
    /// A configuration file to start from.
    pub(super) base: Option<PathBuf>,
    /// Keys of a configuration, which override those of `base`.
    #[serde(default)]
    pub(super) config: Table,
    /// What is varied. Each combination of points is a row of the table.
    #[serde(default, rename = "axis")]
    pub(super) axes: Vec<Axis>,
    /// Combinations that are left out: the names of points by axis.
    #[serde(default)]
    pub(super) exclude: Vec<BTreeMap<String, String>>,
    /// What is trained in each row; by default its configuration.
    #[serde(default, rename = "training")]
    pub(super) trainings: Vec<Training>,
    /// The names of run directories.
    pub(super) run: Option<String>,
    /// How columns with a `learner` are scored.
    pub(super) evaluate: Option<Evaluate>,
    /// The table's columns; by default every axis and both scores of each training.
    #[serde(default, rename = "column")]
    pub(super) columns: Vec<Column>,
    /// Published figures of others, by a name for their source.
    #[serde(default)]
    pub(super) published: BTreeMap<String, Published>,
    /// Pictures of the learning curves, or of costs.
    #[serde(default, rename = "plot", deserialize_with = "one_or_several")]
    pub(super) plots: Vec<Plot>,
}

fn one() -> u64 {
    1
}

/// Reads a table, or an array of tables.
fn one_or_several<'de, D: serde::Deserializer<'de>, T: DeserializeOwned>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    let tables = match Value::deserialize(from)? {
        Value::Array(tables) => tables,
        table => vec![table],
    };
    tables.into_iter().map(|table| table.try_into().map_err(serde::de::Error::custom)).collect()
}

/// What is varied: named changes of the configuration, or the values of one key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Axis {
    /// What templates and `--only` call it; by default the last part of `key`.
    #[serde(default)]
    pub(super) name: String,
    /// The key of the configuration that the axis varies.
    key: Option<String>,
    /// The values of `key`, one for each point.
    #[serde(default)]
    values: Vec<Value>,
    /// Named changes, instead of a key and its values.
    #[serde(default)]
    pub(super) points: Vec<Point>,
    /// The points that are run unless others are asked for; by default all.
    #[serde(default)]
    pub(super) default: Vec<String>,
}

/// A named change of the configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Point {
    /// Its name in run directories and on the command line.
    pub(super) name: String,
    /// Its name in the table.
    #[serde(default)]
    pub(super) label: String,
    /// A configuration file, which is merged over the experiment's `base` and overridden by the experiment's `config`.
    pub(super) base: Option<PathBuf>,
    /// Keys that are removed first, so that they have their defaults.
    #[serde(default)]
    pub(super) unset: Vec<String>,
    /// Keys that are set.
    #[serde(default)]
    pub(super) config: Table,
    /// Factors by which numbers are multiplied last, by key.
    #[serde(default)]
    pub(super) multiply: BTreeMap<String, f64>,
}

/// One of several trainings of a row.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Training {
    /// Its name in run directories and for columns.
    pub(super) name: String,
    /// Its name in the plot.
    #[serde(default)]
    pub(super) label: String,
    /// Whether this is direct PPO, as in `potstill rl`, instead of distillation.
    #[serde(default)]
    pub(super) direct: bool,
    /// A configuration file to start from, instead of the row's configuration.
    pub(super) base: Option<PathBuf>,
    /// Keys whose values come from the row's configuration instead of `base`.
    #[serde(default)]
    pub(super) from_row: Vec<String>,
    /// Keys that are set last.
    #[serde(default)]
    pub(super) config: Table,
    /// The training before this one, of the same row and seed, whose dataset this one starts from.
    pub(super) start: Option<String>,
    /// The training before this one, of the same row and seed, whose agent is the teacher.
    pub(super) teacher: Option<String>,
}

/// The protocol of columns that score a dataset on other learners.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Evaluate {
    /// The number of fresh learners.
    pub(super) learners: usize,
    /// The number of episodes that each learner plays.
    pub(super) episodes: usize,
}

impl Default for Evaluate {
    fn default() -> Self {
        Evaluate { learners: 100, episodes: 100 }
    }
}

/// A column of the table. It shows one of `value`, `score`, `random`, `blind`, `cost`, `teach` and `pays`, or only a published
/// figure.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Column {
    /// Its heading.
    pub(super) title: String,
    /// A template for a text with the names of points and the values of the configuration.
    pub(super) value: Option<String>,
    /// The returns of the datasets, with actions chosen in this way.
    pub(super) score: Option<Acting>,
    /// The training whose datasets are scored, if a row has several trainings.
    pub(super) training: Option<String>,
    /// The learners that the datasets are scored on, instead of those they were distilled for.
    pub(super) learner: Option<LearnerConfig>,
    /// What the learners see in place of their own episode: a control of whether a score needs sight.
    pub(super) sight: Option<Sight>,
    /// How the returns of several seeds are summarized in one cell.
    #[serde(default)]
    pub(super) statistic: Statistic,
    /// Whether the column shows the mean return of random actions.
    #[serde(default)]
    pub(super) random: bool,
    /// The policy without sight whose mean return the column shows.
    pub(super) blind: Option<BlindPolicy>,
    /// Whether the column shows the environment steps and minutes of a training.
    #[serde(default)]
    pub(super) cost: bool,
    /// Whether the column shows the milliseconds in which a dataset teaches an agent.
    #[serde(default)]
    pub(super) teach: bool,
    /// The training of one agent: the column shows from how many agents on the distillation takes less time than as many such
    /// trainings.
    pub(super) pays: Option<String>,
    /// The published figure to show for comparison.
    pub(super) published: Option<Reference>,
}

impl Column {
    /// How many things the column shows, apart from a published figure. It is 1, or 0 for a published figure alone.
    pub(super) fn shown(&self) -> usize {
        let Column { value, score, blind, random, cost, teach, pays, .. } = self;
        let named = [value.is_some(), score.is_some(), blind.is_some(), pays.is_some()];
        named.into_iter().chain([*random, *cost, *teach]).filter(|shown| *shown).count()
    }
}

/// A policy that does not look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum BlindPolicy {
    /// The best constant action.
    Constant,
    /// The best distribution of actions that a search finds.
    Distribution,
}

/// How the returns of several seeds are summarized in one cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Statistic {
    /// The median and the worst of the seeds' mean returns.
    #[default]
    MedianWorst,
    /// The mean and standard deviation of the seeds' mean returns.
    MeanOverSeeds,
    /// The mean and standard deviation of the returns of all episodes of all seeds.
    MeanOverEpisodes,
}

/// A published figure.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reference {
    /// The key of its source in `published`.
    pub(super) from: String,
    /// Its key in the source's cells.
    pub(super) cell: String,
}

/// Published figures of others.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Published {
    /// Where they are published: work and table.
    pub(super) source: String,
    /// What was measured there, and how.
    #[serde(default)]
    pub(super) protocol: String,
    /// The figures as printed: by row (its points' names, joined by `/`), then by cell.
    pub(super) cells: BTreeMap<String, BTreeMap<String, String>>,
}

/// A picture of learning curves, one line for each run, or of the time that agents take, one line for each training.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Plot {
    /// The picture's file in the folder of the runs. Rows with the same file are drawn in one picture.
    pub(super) file: String,
    /// The legend of a row's lines; by default the labels of its points, then of the training.
    pub(super) line: Option<String>,
    /// The quantity on the x axis.
    pub(super) x: Across,
    /// The metric on the y axis.
    pub(super) y: String,
}

impl Default for Plot {
    fn default() -> Self {
        Plot {
            file: "{experiment}.svg".into(),
            line: None,
            x: Across::MetaEpochs,
            y: "validation/return".into(),
        }
    }
}

/// The quantity on the x axis of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Across {
    /// The number of meta-epochs.
    MetaEpochs,
    /// The number of environment steps, in millions.
    EnvironmentSteps,
    /// The time that a run has worked.
    Hours,
    /// The number of agents. The picture shows the hours that these take.
    Agents,
}

impl Experiment {
    /// Reads the experiment file at `path`. Paths in it are relative to its folder.
    pub(super) fn load(path: &Path, name: &str) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::parse(path, name, &files::read_text(path, LARGEST)?, &|base| {
            let path = folder.join(base);
            files::read_text(&path, LARGEST).map(|text| (path, text))
        })
    }

    /// The built-in experiment `name`, whose text is `text`.
    pub(super) fn builtin(name: &str, text: &str) -> Result<Self> {
        let path = PathBuf::from(format!("{name}.toml"));
        Self::parse(&path, name, text, &|base| {
            let text = builtin::recipe(base).map(|text| (base.to_owned(), text.to_owned()));
            text.ok_or_else(|| Error::file(&path, format!("there is no recipe `{}`", base.display())))
        })
    }

    fn parse(
        path: &Path,
        name: &str,
        text: &str,
        read: &dyn Fn(&Path) -> Result<(PathBuf, String)>,
    ) -> Result<Self> {
        let file: ExperimentFile = parse(text).map_err(|what| Error::file(path, what))?;
        let mut experiment =
            Experiment { name: name.to_owned(), path: path.to_owned(), file, bases: BTreeMap::new() };
        experiment.complete().map_err(|what| experiment.error(what))?;
        let points = experiment.axes.iter().flat_map(|axis| &axis.points).map(|point| &point.base);
        let trainings = experiment.trainings.iter().map(|training| &training.base);
        let named = points.chain(trainings).chain([&experiment.base]).flatten().cloned();
        for base in named.collect::<Vec<_>>() {
            let (path, text) = read(&base)?;
            let table = parse(&text).map_err(|what| Error::file(path, what))?;
            experiment.bases.insert(base, table);
        }
        Ok(experiment)
    }

    /// An error about the experiment's file.
    pub(super) fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::file(&self.path, what)
    }

    /// The configuration file `base`, as a table.
    pub(super) fn base(&self, base: &Option<PathBuf>) -> Table {
        base.as_ref().and_then(|base| self.bases.get(base)).cloned().unwrap_or_default()
    }
}

impl ExperimentFile {
    /// Fills in names and labels, and checks everything that does not depend on a configuration.
    fn complete(&mut self) -> Result<(), String> {
        if self.seeds == 0 {
            return Err("`seeds` is 0; expected at least 1".into());
        }
        for axis in &mut self.axes {
            axis.complete()?;
        }
        unique("axis", self.axes.iter().map(|axis| &*axis.name))?;
        for training in &mut self.trainings {
            check_name("training", &training.name)?;
            if training.label.is_empty() {
                training.label.clone_from(&training.name);
            }
            if training.base.is_none() && !training.from_row.is_empty() {
                return Err(format!(
                    "training `{}`: `from_row` goes with `base`; without it every key is the row's",
                    training.name
                ));
            }
        }
        unique("training", self.trainings.iter().map(|training| &*training.name))?;
        for (at, training) in self.trainings.iter().enumerate() {
            let before = || self.trainings[..at].iter().map(|training| &*training.name);
            for (key, name) in [("start", &training.start), ("teacher", &training.teacher)] {
                if let Some(name) = name.as_deref().filter(|name| before().all(|before| before != *name)) {
                    let hint = did_you_mean(name, before());
                    return Err(format!(
                        "training `{}`: `{key}`: no training `{name}` comes before it.{hint}",
                        training.name
                    ));
                }
            }
        }
        for keys in self.configs() {
            if keys.contains_key("seed") {
                return Err("`seed` cannot be set in an experiment: `seeds` says how many there are".into());
            }
        }
        if self.evaluate.is_some_and(|evaluate| evaluate.learners == 0 || evaluate.episodes == 0) {
            return Err("`evaluate`: expected at least 1 learner and 1 episode".into());
        }
        for combination in &self.exclude {
            for (axis, name) in combination {
                let axes = self.axes.iter().map(|axis| &*axis.name);
                let found = self.axes.iter().find(|known| known.name == *axis);
                let found = found
                    .ok_or_else(|| format!("`exclude`: no axis `{axis}`.{}", did_you_mean(axis, axes)))?;
                found.check_point("exclude", name)?;
            }
        }
        for axis in &self.axes {
            axis.default.iter().try_for_each(|name| axis.check_point("default", name))?;
        }
        self.complete_columns()
    }

    fn complete_columns(&mut self) -> Result<(), String> {
        if self.columns.is_empty() {
            self.columns = self.default_columns();
        }
        for (name, published) in &self.published {
            for row in published.cells.keys() {
                self.check_row(row).map_err(|what| format!("`published.{name}.cells`: {what}"))?;
            }
        }
        let trainings: Vec<&str> = self.trainings.iter().map(|training| &*training.name).collect();
        for column in &self.columns {
            let wrong = |what: String| Err(format!("column `{}`: {what}", column.title));
            let Column { score, cost, teach, pays, .. } = column;
            match column.shown() {
                0 if column.published.is_some() => {}
                1 => {}
                _ => {
                    return wrong(
                        "expected one of `value`, `score`, `random`, `blind`, `cost`, `teach`, `pays`, or `published`"
                            .into(),
                    );
                }
            }
            let unknown =
                [&column.training, pays].into_iter().flatten().find(|n| !trainings.contains(&&***n));
            if let Some(name) = unknown {
                return wrong(format!("no training `{name}`.{}", did_you_mean(name, trainings)));
            }
            let of_training = score.is_some() || *cost || *teach || pays.is_some();
            match &column.training {
                None if trainings.len() > 1 && of_training => {
                    return wrong(format!("`training` is missing; expected one of {}", trainings.join(", ")));
                }
                _ => {}
            }
            for (key, set) in [("learner", column.learner.is_some()), ("sight", column.sight.is_some())] {
                if set && (score.is_none() || self.evaluate.is_none()) {
                    return wrong(format!("`{key}` goes with `score` and the table [evaluate]"));
                }
            }
            column.learner.as_ref().map_or(Ok(()), LearnerConfig::validate).or_else(wrong)?;
            if let Some(Reference { from, cell }) = &column.published {
                let Some(published) = self.published.get(from) else {
                    let hint = did_you_mean(from, self.published.keys().map(String::as_str));
                    return wrong(format!("`published` has no source `{from}`.{hint}"));
                };
                let mut known: Vec<&str> =
                    published.cells.values().flat_map(|cells| cells.keys().map(String::as_str)).collect();
                known.sort_unstable();
                known.dedup();
                if !known.contains(&&**cell) {
                    let hint = did_you_mean(cell, known);
                    return wrong(format!("`published.{from}` has no cell `{cell}`.{hint}"));
                }
            }
        }
        Ok(())
    }

    /// Checks that `row` names a point of each axis.
    fn check_row(&self, row: &str) -> Result<(), String> {
        let points: Vec<&str> = row.split('/').filter(|point| !point.is_empty()).collect();
        if points.len() != self.axes.len() {
            let axes: Vec<&str> = self.axes.iter().map(|axis| &*axis.name).collect();
            return Err(format!("`{row}` is not a row; expected a point of each axis, {}", axes.join("/")));
        }
        self.axes.iter().zip(points).try_for_each(|(axis, point)| axis.check_point(row, point))
    }

    /// The default columns: every axis, and both scores of each training.
    fn default_columns(&self) -> Vec<Column> {
        let axes = self.axes.iter().map(|axis| Column {
            title: axis.name.clone(),
            value: Some(format!("{{{}}}", axis.name)),
            ..Column::default()
        });
        let one = [(None, String::new())];
        let several: Vec<_> =
            self.trainings.iter().map(|t| (Some(t.name.clone()), format!("{}, ", t.label))).collect();
        let trainings = if several.is_empty() { one.to_vec() } else { several };
        let scores = trainings.into_iter().flat_map(|(training, prefix)| {
            [Acting::Sampled, Acting::Greedy].map(|acting| Column {
                title: format!("{prefix}{acting}"),
                score: Some(acting),
                training: training.clone(),
                ..Column::default()
            })
        });
        axes.chain(scores).collect()
    }

    fn configs(&self) -> impl Iterator<Item = &Table> {
        let points = self.axes.iter().flat_map(|axis| &axis.points).map(|point| &point.config);
        points.chain(self.trainings.iter().map(|training| &training.config)).chain([&self.config])
    }
}

impl Axis {
    /// Turns values into points, and fills in names and labels.
    fn complete(&mut self) -> Result<(), String> {
        match &self.key {
            Some(key) => {
                if !self.points.is_empty() || self.values.is_empty() {
                    return Err(format!("axis `{key}`: expected `values` beside `key`, and no `points`"));
                }
                if self.name.is_empty() {
                    self.name = key.rsplit('.').next().unwrap_or(key).to_owned();
                }
                self.points = self.values.iter().map(|value| point(key, value)).collect::<Result<_, _>>()?;
            }
            None if self.points.is_empty() || !self.values.is_empty() => {
                return Err(format!("axis `{}`: expected `points`, or `key` and `values`", self.name));
            }
            None => {}
        }
        check_name("axis", &self.name)?;
        for point in &mut self.points {
            check_name("point", &point.name)?;
            if point.label.is_empty() {
                point.label.clone_from(&point.name);
            }
        }
        unique(&format!("point of axis `{}`", self.name), self.points.iter().map(|point| &*point.name))
    }

    fn check_point(&self, place: &str, name: &str) -> Result<(), String> {
        let mut names = self.points.iter().map(|point| &*point.name);
        match names.clone().any(|known| known == name) {
            true => Ok(()),
            false => {
                let hint = did_you_mean(name, names.by_ref());
                Err(format!("`{place}`: axis `{}` has no point `{name}`.{hint}", self.name))
            }
        }
    }
}

/// The point at which `key` has `value`. Its name has only characters that a file name may have.
fn point(key: &str, value: &Value) -> Result<Point, String> {
    let label = key::text(value)
        .ok_or_else(|| format!("axis `{key}`: a value is a number, a text or a boolean; use `points`"))?;
    let name = label.chars().map(|c| if in_name(c) { c } else { '_' }).collect();
    let mut config = Table::new();
    key::set(&mut config, key, value.clone())?;
    Ok(Point { name, label, config, ..Point::default() })
}

/// Reads TOML. The error for an unknown key or value suggests the nearest known one.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let explain = |error: toml::de::Error| {
        let mut words = error.message().split('`').skip(1).step_by(2);
        let hint = match (error.message().starts_with("unknown "), words.next()) {
            (true, Some(unknown)) => did_you_mean(unknown, words),
            _ => String::new(),
        };
        format!("{}{hint}", toml_error(&error))
    };
    let table: Table = toml::from_str(text).map_err(explain)?;
    key::check_printable(&Value::Table(table))?;
    toml::from_str(text).map_err(explain)
}

/// Whether `c` may occur in names that become parts of a file name.
pub(super) fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-+=".contains(c)
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    match !name.is_empty() && name.chars().all(in_name) {
        true => Ok(()),
        false => Err(format!(
            "{what} `{name}`: a name has letters, digits and `.`, `_`, `-`, `+`, `=`; `label` is free text"
        )),
    }
}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut known = std::collections::BTreeSet::new();
    for name in names {
        if !known.insert(name) {
            return Err(format!("{what}: there are two with the name `{name}`"));
        }
    }
    Ok(())
}
