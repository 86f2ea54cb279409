//! The rows of an experiment: the combinations of its points, with the configurations that are trained for each.
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use toml::Table;

use super::experiment::{Axis, Experiment, Point, Training, in_name};
use super::key;
use crate::cli::tell;
use crate::distill::directly;
use crate::error::{Error, Result, did_you_mean};
use crate::plugin::Registry;
use crate::run::DistillConfig;

/// The largest number of runs of an experiment. More are most likely a mistake in a grid.
const MOST_RUNS: u64 = 10_000;

/// The rows that the command line selects.
pub(super) struct Filter<'a> {
    /// The names of points, alone or as `axis=point`. An axis none of whose points is named has its default points.
    pub(super) only: &'a [String],
    /// The largest point of the first axis that is selected. Its points must be numbers.
    pub(super) up_to: Option<u64>,
}

/// A combination of points, one of each axis.
pub(super) struct Row<'a> {
    experiment: &'a Experiment,
    points: Vec<&'a Point>,
    /// The row's configuration, as it would be in a file.
    table: Table,
    /// The same configuration with every key.
    pub(super) config: DistillConfig,
    /// The trainings of the row.
    pub(super) trainings: Vec<Trained<'a>>,
}

/// A training of a row.
pub(super) struct Trained<'a> {
    /// The experiment's description of the training; `None` if the row's own configuration is trained.
    pub(super) training: Option<&'a Training>,
    /// Its configuration, without the seed and the changes of direct PPO.
    pub(super) config: DistillConfig,
}

impl Trained<'_> {
    /// The configuration that is run with `seed`.
    pub(super) fn with_seed(&self, seed: u64, registry: &Registry) -> Result<DistillConfig> {
        let config = DistillConfig { seed, ..self.config.clone() };
        match self.training.is_some_and(|training| training.direct) {
            true => directly(config, registry),
            false => Ok(config),
        }
    }
}

impl Experiment {
    /// The rows that `filter` selects. `meta_epochs`, if given, overrides the number in the file. A row with the same
    /// configuration as an earlier one is left out.
    pub(super) fn rows(&self, filter: &Filter<'_>, meta_epochs: Option<u64>) -> Result<Vec<Row<'_>>> {
        let wanted = self.wanted(filter)?;
        let combinations = self.axes.iter().try_fold(1u64, |n, axis| n.checked_mul(axis.points.len() as u64));
        let trainings = self.trainings.len().max(1) as u64;
        let runs = combinations.and_then(|n| n.checked_mul(trainings)?.checked_mul(self.seeds));
        if runs.is_none_or(|runs| runs > MOST_RUNS) {
            return Err(self.error(format!("the experiment has more than {MOST_RUNS} runs")));
        }
        let mut combinations: Vec<Vec<&Point>> = vec![vec![]];
        for axis in &self.axes {
            let longer = |points: &Vec<_>| {
                let points = points.clone();
                axis.points.iter().map(move |point| [&points[..], &[point]].concat())
            };
            combinations = combinations.iter().flat_map(longer).collect();
        }
        let mut rows = vec![];
        let (mut configs, mut directories) = (BTreeMap::new(), BTreeMap::new());
        for points in combinations {
            if self.excludes(&points) {
                continue;
            }
            let row = self.row(points, meta_epochs)?;
            let is_wanted =
                row.points.iter().zip(&wanted).all(|(point, wanted)| wanted.contains(&&*point.name));
            match configs.entry(row.config.to_toml()?) {
                Entry::Vacant(place) => place.insert(row.name()),
                Entry::Occupied(same) => {
                    if is_wanted {
                        tell(&format!("`{}` is left out: it is the same as `{}`", row.name(), same.get()));
                    }
                    continue;
                }
            };
            for training in &row.trainings {
                if let Some(other) = directories.insert(row.run(training, 0)?, row.name()) {
                    let (run, name) = (row.run(training, 0)?, row.name());
                    return Err(self.error(format!("`run`: `{other}` and `{name}` would both be in `{run}`")));
                }
            }
            if is_wanted {
                rows.push(row);
            }
        }
        match rows.is_empty() {
            true => Err(Error::usage(format!("`{}`: no row is left by --only and --up-to", self.name))),
            false => Ok(rows),
        }
    }

    /// The names of the selected points of each axis.
    fn wanted(&self, filter: &Filter<'_>) -> Result<Vec<Vec<&str>>> {
        let mut named: Vec<Vec<&str>> = vec![vec![]; self.axes.len()];
        for wanted in filter.only {
            let mut found = false;
            for (axis, named) in self.axes.iter().zip(&mut named) {
                let of_axis = wanted.strip_prefix(&axis.name).and_then(|rest| rest.strip_prefix('='));
                let point = axis.points.iter().find(|p| p.name == *wanted || Some(&*p.name) == of_axis);
                named.extend(point.map(|point| &*point.name));
                found |= point.is_some();
            }
            if !found {
                let points = self.axes.iter().flat_map(|axis| &axis.points).map(|point| &*point.name);
                let hint = did_you_mean(wanted, points);
                return Err(Error::usage(format!("--only: `{}` has no `{wanted}`.{hint}", self.name)));
            }
        }
        for (axis, named) in self.axes.iter().zip(&mut named).filter(|(_, named)| named.is_empty()) {
            *named = match axis.default.is_empty() {
                true => axis.points.iter().map(|point| &*point.name).collect(),
                false => axis.default.iter().map(String::as_str).collect(),
            };
        }
        if let Some(most) = filter.up_to {
            let number = |axis: &Axis| axis.points.iter().all(|point| point.name.parse::<u64>().is_ok());
            let Some(first) = self.axes.first().filter(|axis| number(axis)) else {
                return Err(Error::usage(format!(
                    "--up-to: the first axis of `{}` has points that are not numbers; choose some with --only",
                    self.name
                )));
            };
            let most = |name: &&str| name.parse::<u64>().is_ok_and(|number| number <= most);
            named[0].retain(most);
            if named[0].is_empty() {
                let known: Vec<_> = first.points.iter().map(|point| &*point.name).collect();
                return Err(Error::usage(format!("--up-to: the least is {}", known[0])));
            }
        }
        Ok(named)
    }

    fn excludes(&self, points: &[&Point]) -> bool {
        self.exclude.iter().any(|combination| {
            let of_axis = |(axis, point): (&Axis, &&Point)| {
                combination.get(&axis.name).is_none_or(|name| *name == point.name)
            };
            self.axes.iter().zip(points).all(of_axis)
        })
    }

    fn row<'a>(&'a self, points: Vec<&'a Point>, meta_epochs: Option<u64>) -> Result<Row<'a>> {
        let name = points.iter().map(|point| &*point.name).collect::<Vec<_>>().join("/");
        let wrong = |what: String| match name.is_empty() {
            true => self.error(what),
            false => self.error(format!("`{name}`: {what}")),
        };
        let meta_epochs = meta_epochs.map(|n| toml::Value::Integer(n as i64));
        let put_meta_epochs = |table: &mut Table| match &meta_epochs {
            Some(value) => key::set(table, "meta_epochs", value.clone()),
            None => Ok(()),
        };
        let mut table = self.base(&self.base);
        points.iter().for_each(|point| key::merge(&mut table, &self.base(&point.base)));
        key::merge(&mut table, &self.config);
        put_meta_epochs(&mut table).map_err(wrong)?;
        for point in &points {
            point.unset.iter().for_each(|key| key::unset(&mut table, key));
            key::merge(&mut table, &point.config);
            key::multiply(&mut table, &point.multiply, &defaults()).map_err(wrong)?;
        }
        let config = parse(&table).map_err(wrong)?;
        let of_training = |training: &'a Training| {
            let mut own = table.clone();
            if training.base.is_some() {
                own = self.base(&training.base);
                for key in &training.from_row {
                    key::unset(&mut own, key);
                    if let Some(value) = key::get(&table, key) {
                        key::set(&mut own, key, value.clone())?;
                    }
                }
                put_meta_epochs(&mut own)?;
            }
            if training.direct {
                // As in `potstill rl`, only one network is trained.
                key::set(&mut own, "ppo.learners", toml::Value::Integer(1))?;
            }
            key::merge(&mut own, &training.config);
            let config = parse(&own).map_err(|what| format!("training `{}`: {what}", training.name))?;
            Ok(Trained { training: Some(training), config })
        };
        let mut trainings =
            self.trainings.iter().map(of_training).collect::<Result<Vec<_>, String>>().map_err(wrong)?;
        if trainings.is_empty() {
            trainings.push(Trained { training: None, config: config.clone() });
        }
        Ok(Row { experiment: self, points, table, config, trainings })
    }
}

/// A configuration with everything at its default.
fn defaults() -> Table {
    Table::try_from(DistillConfig::default()).unwrap_or_default()
}

fn parse(table: &Table) -> Result<DistillConfig, String> {
    DistillConfig::parse(&toml::to_string(table).map_err(|e| e.to_string())?)
}

impl Row<'_> {
    /// The names of its points.
    pub(super) fn name(&self) -> String {
        self.points.iter().map(|point| &*point.name).collect::<Vec<_>>().join("/")
    }

    /// The training `name`.
    pub(super) fn training(&self, name: &str) -> Option<&Trained<'_>> {
        self.trainings.iter().find(|trained| trained.training.is_some_and(|training| training.name == name))
    }

    /// The name of the run directory of `training` with `seed`.
    pub(super) fn run(&self, training: &Trained<'_>, seed: u64) -> Result<String> {
        let template = self.experiment.run.clone().unwrap_or_else(|| self.default_run());
        let seed = seed.to_string();
        let name = self.fill("run", &template, |name| match name {
            "seed" => Some(seed.clone()),
            "training" => training.training.map(|training| training.name.clone()),
            name => self.point(name).map(|point| point.name.clone()),
        })?;
        self.file_name("run", name)
    }

    fn default_run(&self) -> String {
        let axes = self.experiment.axes.iter().map(|axis| format!("{{{}}}", axis.name));
        let training = (!self.experiment.trainings.is_empty()).then(|| "{training}".into());
        axes.chain(training).chain(["s{seed}".into()]).collect::<Vec<_>>().join("-")
    }

    /// The file of the picture that the row is drawn in.
    pub(super) fn picture(&self, template: &str) -> Result<String> {
        let name =
            self.fill("plot.file", template, |name| self.point(name).map(|point| point.name.clone()))?;
        self.file_name("plot.file", name)
    }

    /// Fills `template` of the table's column `title` with labels.
    pub(super) fn value(&self, title: &str, template: &str) -> Result<String> {
        let place = format!("column `{title}`");
        self.fill(&place, template, |name| self.point(name).map(|point| point.label.clone()))
    }

    /// The name of the lines of `training` in the legend.
    pub(super) fn line(&self, template: Option<&str>, training: &Trained<'_>) -> Result<String> {
        let label = training.training.map(|training| training.label.clone());
        match template {
            Some(template) => self.fill("plot.line", template, |name| match name {
                "training" => label.clone(),
                name => self.point(name).map(|point| point.label.clone()),
            }),
            None => {
                let points = self.points.iter().map(|point| point.label.clone());
                let parts: Vec<_> = points.chain(label).collect();
                Ok(if parts.is_empty() { self.experiment.name.clone() } else { parts.join(", ") })
            }
        }
    }

    fn point(&self, axis: &str) -> Option<&Point> {
        let at = self.experiment.axes.iter().position(|known| known.name == axis)?;
        Some(self.points[at])
    }

    /// Replaces each `{name}` in `template` by what `known` returns for it, or else by that value of the configuration.
    pub(super) fn fill(
        &self,
        place: &str,
        template: &str,
        known: impl Fn(&str) -> Option<String>,
    ) -> Result<String> {
        let mut filled = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let wrong = |what: String| self.experiment.error(format!("{place}: {what}"));
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| wrong(format!("`{template}` has an opening brace without a closing one")))?;
            let of_config = || key::get(&self.table, name).cloned().or(key::get(&defaults(), name).cloned());
            let value = known(name)
                .or_else(|| (name == "experiment").then(|| self.experiment.name.clone()))
                .or_else(|| of_config().as_ref().and_then(key::text));
            let value = value.ok_or_else(|| {
                let names = self.experiment.axes.iter().map(|axis| &*axis.name);
                let hint = did_you_mean(name, names.chain(["training", "seed", "experiment"]));
                wrong(format!("`{{{name}}}` is neither an axis here nor a key of the configuration.{hint}"))
            })?;
            filled += before;
            filled += &value;
            rest = after;
        }
        Ok(filled + rest)
    }

    fn file_name(&self, place: &str, name: String) -> Result<String> {
        match name.chars().all(in_name) && !name.starts_with('.') && (1..=200).contains(&name.len()) {
            true => Ok(name),
            false => Err(self.experiment.error(format!(
                "{place}: `{name}` cannot be a file's name: expected letters, digits and `.`, `_`, `-`, `+`, `=`"
            ))),
        }
    }
}
