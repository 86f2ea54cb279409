//! Uses a distilled dataset: scores it, and trains agents that act.
use std::time::{Duration, Instant};

use super::setup::{Setup, find_recorded, learner_of, make_environments, objective_of, part_of};
use crate::engine::evaluate::{Distilled, Faults, KShot, Protocol, Score, perform};
use crate::engine::inner::Teaching;
use crate::engine::learner::LearnerDistribution;
use crate::engine::normalize::{Moments, normalized};
use crate::engine::objective::Objective;
use crate::engine::policy::Policy;
use crate::engine::programs;
use crate::engine::random::{derived, stream};
use crate::engine::student::{Dimensions, Student};
use crate::engine::theta::{NORMALIZER, Theta, encoder_from, has_encoder};
use crate::error::{Error, Result};
use crate::execute::{Array, Device, Plan};
use crate::plugin::{Environments, Observations, Registry};
use crate::run::{AgentFile, Dataset, DatasetEnvironment, NamedTensor, PluginRecord};

/// A dataset with the plugins that it teaches with.
pub struct Teacher<'a> {
    distilled: Distilled,
    dimensions: Dimensions,
    environment: DatasetEnvironment,
    learner: Source<'a, dyn LearnerDistribution>,
    objective: Source<'a, dyn Objective>,
    make: Box<dyn Fn(usize) -> Result<Box<dyn Environments>> + Sync + 'a>,
}

/// The most episodes that a learner plays at once: no more than keep their observations in cache.
const AT_ONCE: usize = 100;

/// A plugin that is borrowed from a setup, or made because a dataset names it.
enum Source<'a, T: ?Sized> {
    Borrowed(&'a T),
    Owned(Box<T>),
}

impl<T: ?Sized> std::ops::Deref for Source<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        match self {
            Source::Borrowed(value) => value,
            Source::Owned(value) => value,
        }
    }
}

/// Converts a dataset to the form that the engine teaches from. Returns it with the number of layers its encoder
/// covers.
pub(super) fn distilled(
    dataset: &Dataset,
    learner: &dyn LearnerDistribution,
    objective: &dyn Objective,
    d: &Dimensions,
) -> Result<(Distilled, usize)> {
    let theta = Theta::new(objective, d);
    let mut tensors = theta.from_values(|name| dataset.part(name))?;
    let known: Vec<String> = theta.parts.iter().map(|part| Dataset::name_of_part(part.name())).collect();
    if let Some(stray) = dataset.parts().find(|name| !known.iter().any(|known| known == name)) {
        return Err(Error::usage(format!(
            "the dataset holds `{stray}`, which objective `{}` does not know",
            objective.id()
        )));
    }
    let normalizer = Moments::from_tensors(NORMALIZER, &dataset.extra, d.observation.size())?;
    if !has_encoder(&dataset.extra) {
        return Ok((Distilled { tensors, normalizer }, 0));
    }
    let seed = derived(0, "architecture", 0);
    let student = Student::new(learner.draw(&d.observation, d.network_outputs(), seed)?, d)?;
    let (encoder, layers) = encoder_from(&dataset.extra, &student)?;
    tensors.extend(encoder);
    Ok((Distilled { tensors, normalizer }, layers))
}

impl<'a> Teacher<'a> {
    /// Uses the plugins of `setup`, by which the dataset was made.
    ///
    /// # Errors
    /// The dataset is for another environment.
    pub fn new(dataset: &Dataset, setup: &'a Setup<'a>) -> Result<Self> {
        dataset.check_environment(&setup.environment.spec)?;
        let (distilled, encoder_layers) =
            distilled(dataset, &*setup.learner, &*setup.objective, &setup.dimensions)?;
        Ok(Teacher {
            distilled,
            dimensions: Dimensions { encoder_layers, inner: dataset.info.inner, ..setup.dimensions.clone() },
            environment: setup.environment.clone(),
            learner: Source::Borrowed(&*setup.learner),
            objective: Source::Borrowed(&*setup.objective),
            make: Box::new(|count| setup.environments(count)),
        })
    }

    /// Uses the plugins that the dataset names, but the learner distribution `learner` if one is given.
    ///
    /// # Errors
    /// A plugin is not installed, or its environment does not fit the dataset's tensors.
    pub fn of_dataset(
        dataset: &Dataset,
        registry: &'a Registry,
        learner: Option<Box<dyn LearnerDistribution>>,
    ) -> Result<Self> {
        let info = &dataset.info;
        let environment = find_recorded(registry, &info.environment)?;
        dataset.check_environment(&environment.spec)?;
        let learner = match learner {
            Some(learner) => learner,
            None => learner_of(registry, &info.learner)?,
        };
        let mut dimensions = Dimensions::new(&environment.spec, dataset.k())?;
        let objective = objective_of(registry, &info.objective, &dimensions.task(&environment.spec.action))?;
        let (distilled, layers) = distilled(dataset, &*learner, &*objective, &dimensions)?;
        (dimensions.encoder_layers, dimensions.inner) = (layers, dataset.info.inner);
        let of_environment = environment.clone();
        Ok(Teacher {
            distilled,
            dimensions,
            environment,
            learner: Source::Owned(learner),
            objective: Source::Owned(objective),
            make: Box::new(move |count| make_environments(registry, &of_environment, count, 1)),
        })
    }

    /// Makes `count` copies of the environment.
    pub(super) fn environments(&self, count: usize) -> Result<Box<dyn Environments>> {
        (self.make)(count)
    }

    /// Says how the environment differs from the one that `dataset` was made with, if it does.
    pub fn changes(&self, dataset: &Dataset) -> Option<String> {
        dataset.info.environment.changes(&self.environment)
    }

    /// Scores the dataset by k-shot evaluation. `done` is called after each learner, and an error it returns ends the
    /// scoring.
    ///
    /// # Errors
    /// An error of a plugin, or of `done`.
    pub fn score(
        &self,
        protocol: &Protocol,
        threads: usize,
        done: &(dyn Fn() -> Result<()> + Sync),
    ) -> Result<Score> {
        let copies = protocol.copies(AT_ONCE);
        let teacher = KShot {
            distilled: &self.distilled,
            dimensions: &self.dimensions,
            learner: &*self.learner,
            objective: &*self.objective,
        };
        let score = teacher.evaluate(&|| (self.make)(copies), protocol, threads, done)?;
        let DatasetEnvironment { id, spec, .. } = &self.environment;
        score.check(spec.max_return).map_err(|cause| Error::Plugin {
            plugin: id.clone(),
            function: "spec".into(),
            cause,
        })?;
        Ok(score)
    }

    /// Draws a learner, initializes it and teaches it.
    ///
    /// # Errors
    /// An error of tracing the learner.
    pub fn train(&self, seed: u64) -> Result<Agent> {
        let device = Device::cpu(1);
        let student = agent_student(&*self.learner, &self.dimensions, seed)?;
        let teaching = Teaching::new(&student, &*self.objective, &self.dimensions)?;
        let started = Instant::now();
        let (mut initialization, batches) =
            (stream(seed, "agent", 0), derived(seed, "agent inner batches", 0));
        let parameters = self.distilled.teach(&device, &teaching, &student, &mut initialization, batches);
        let time = started.elapsed();
        let learner = part_of(&*self.learner);
        let (environment, normalizer) = (self.environment.clone(), self.distilled.normalizer.clone());
        let changes = None;
        Ok(Agent { student, parameters, normalizer, learner, environment, changes, seed, device, time })
    }
}

/// The architecture of the agent with `seed`. An agent file records only the distribution and the seed.
fn agent_student(learner: &dyn LearnerDistribution, d: &Dimensions, seed: u64) -> Result<Student> {
    let architecture = derived(seed, "agent architecture", 0);
    Student::new(learner.draw(&d.observation, d.network_outputs(), architecture)?, d)
}

/// Describes the agent to a reader of files that it helped to make, such as collected transitions.
impl std::fmt::Display for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "agent of learner `{}`, seed {}", self.learner.id, self.seed)
    }
}

/// A trained agent.
pub struct Agent {
    student: Student,
    parameters: Vec<Array>,
    normalizer: Option<Moments>,
    learner: PluginRecord,
    environment: DatasetEnvironment,
    changes: Option<String>,
    seed: u64,
    device: Device,
    /// The time that initialization and the inner steps took, without tracing and files.
    pub time: Duration,
}

impl Agent {
    /// Makes an agent from its file, with its learner from `registry`.
    ///
    /// # Errors
    /// The learner or the environment is not installed, the parameters are not those of the learner, or the environment
    /// has other spaces now.
    pub fn from_file(file: AgentFile, registry: &Registry) -> Result<Self> {
        let environment = find_recorded(registry, &file.environment)?;
        file.environment.check("agent was trained for", &environment.spec)?;
        let changes = file.environment.changes(&environment);
        let learner = learner_of(registry, &file.learner)?;
        let student = agent_student(&*learner, &Dimensions::new(&file.environment.spec, 1)?, file.seed)?;
        let device = Device::cpu(1);
        let parameters: Result<Vec<Array>> = student
            .parameters()
            .iter()
            .map(|p| match file.parameters.iter().find(|t| t.name == p.name) {
                Some(t) if t.shape == p.shape => Ok(device.tensor(&t.data, &t.shape)),
                Some(t) => Err(Error::usage(format!(
                    "agent parameter `{}` has shape {:?}, expected {:?}",
                    p.name, t.shape, p.shape
                ))),
                None => Err(Error::usage(format!("the agent has no parameter `{}`", p.name))),
            })
            .collect();
        let parameters = parameters?;
        let own = |name: &str| student.parameters().iter().any(|p| p.name == name);
        let moment = |name: &str| name.strip_prefix(NORMALIZER).is_some_and(|rest| rest.starts_with('.'));
        if let Some(stray) = file.parameters.iter().find(|t| !own(&t.name) && !moment(&t.name)) {
            return Err(Error::usage(format!(
                "the agent holds `{}`, which is no parameter of learner `{}`",
                stray.name, file.learner.id
            )));
        }
        let size = file.environment.spec.observation.size();
        let normalizer = Moments::from_tensors(NORMALIZER, &file.parameters, size)?;
        let (learner, seed, time) = (file.learner, file.seed, Duration::ZERO);
        Ok(Agent { student, parameters, normalizer, learner, environment, changes, seed, device, time })
    }

    /// The agent in the form that a file holds.
    pub fn to_file(&self) -> AgentFile {
        let parameters = self.student.parameters().iter().zip(&self.parameters).map(|(p, t)| NamedTensor {
            name: p.name.clone(),
            shape: p.shape.clone(),
            data: self.device.read(t),
        });
        AgentFile {
            parameters: parameters
                .chain(self.normalizer.iter().flat_map(|moments| moments.to_tensors(NORMALIZER)))
                .collect(),
            learner: self.learner.clone(),
            environment: self.environment.clone(),
            seed: self.seed,
            software: format!("potstill {}", env!("CARGO_PKG_VERSION")),
        }
    }

    /// Says how the environment differs from the one that the agent's file was made with, if it does.
    pub fn changes(&self) -> Option<&str> {
        self.changes.as_deref()
    }

    /// The learner distribution that the agent was drawn from.
    pub fn learner(&self) -> &PluginRecord {
        &self.learner
    }

    /// The environment that the agent was trained for.
    pub fn environment(&self) -> &DatasetEnvironment {
        &self.environment
    }

    /// Makes one copy of that environment.
    ///
    /// # Errors
    /// An error of the plugin.
    pub fn make_environment(&self, registry: &Registry) -> Result<Box<dyn Environments>> {
        make_environments(registry, &self.environment, 1, 1)
    }

    /// The distribution over actions that the agent's outputs describe.
    ///
    /// # Errors
    /// This version has no policy for the environment's action space.
    pub fn policy(&self) -> Result<Policy> {
        Ok(Dimensions::new(&self.environment.spec, 1)?.policy)
    }

    /// Plays the episodes of `protocol` and scores them. The agent is the one learner, whatever `protocol` says.
    ///
    /// # Errors
    /// An error of the plugin, or an episode that does not end.
    pub fn score(&self, registry: &Registry, protocol: &Protocol) -> Result<Score> {
        let copies = protocol.copies(AT_ONCE);
        let mut environments = make_environments(registry, &self.environment, copies, 1)?;
        let (outputs, policy) = (self.outputs(copies)?, self.policy()?);
        let mut faults = Faults::default();
        let returns = perform(environments.as_mut(), &outputs, policy, protocol, 0, &mut faults)?;
        let protocol = Protocol { learners: 1, ..*protocol };
        Ok(Score { faults: faults.0, ..Score::new(protocol, &[returns]) })
    }

    /// A function from `rows` observations to the agent's outputs, `[rows, outputs]`. Those of a categorical policy are
    /// log-probabilities.
    ///
    /// # Errors
    /// An error of tracing the learner.
    pub fn outputs(&self, rows: usize) -> Result<impl Fn(&Observations) -> Vec<f32> + '_> {
        let d = Dimensions::new(&self.environment.spec, 1)?;
        let plan: Plan = programs::act(&self.student, &d, rows)?;
        Ok(move |observations: &Observations| {
            let mut inputs = self.parameters.clone();
            let observations = normalized(self.normalizer.as_ref(), observations);
            inputs.push(observations.upload(&self.device, &plan, inputs.len(), None));
            let outputs = self.device.run(&plan, &inputs);
            outputs.first().map(|t| self.device.read(t)).unwrap_or_default()
        })
    }
}
