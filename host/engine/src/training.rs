//! What every outer loop does: draw learners, teach them from θ, and update θ through that.
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use potstill_plugin_api::Column;

use crate::error::{Error, Result};
use crate::execute::{Device, Plan, Tensor};
use crate::learner::{LearnerDistribution, Parameter};
use crate::normalize::Moments;
use crate::objective::Objective;
use crate::optimizer::Schedule;
use crate::programs::{self, Dimensions, Student, Trained, Update, UpdateRule};
use crate::random::{derived, stream};

/// Hyperparameters of the updates.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    /// Learning rate of θ and ξ.
    pub lr: f32,
    /// Learning rate of the critic.
    pub critic_lr: f32,
    /// How both fall.
    pub schedule: Schedule,
    /// Meta-epochs the schedule is stretched over.
    pub meta_epochs: u64,
    /// Initial η, where it is not the objective's own.
    pub inner_lr: Option<f32>,
    /// Bring observations to mean 0 and variance 1.
    pub normalize_observations: bool,
    /// Divide rewards by the running deviation of their discounted sums.
    pub normalize_rewards: bool,
    /// How gradients become updates.
    pub rule: UpdateRule,
}

/// The parts of a distillation that plugins play, and their sizes.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// Sizes.
    pub dimensions: &'a Dimensions,
    /// Λ.
    pub learner: &'a dyn LearnerDistribution,
    /// The critic's architecture.
    pub critic: &'a dyn LearnerDistribution,
    /// The meta-objective.
    pub objective: &'a dyn Objective,
}

/// θ, the encoder ξ and the critic while they are trained, and the programs of every architecture drawn so far.
pub struct Training<'a> {
    /// Where it runs.
    pub(crate) device: Device,
    pub(crate) parts: Parts<'a>,
    /// None where the objective reads no values.
    pub(crate) critic: Option<Student>,
    /// Of everything random.
    pub(crate) seed: u64,
    rates: Rates,
    /// Layout of `state`.
    pub trained: Trained,
    /// Trained values, first moments, second moments.
    state: Vec<Tensor>,
    /// Of the observations, where they are normalised.
    pub observed: Option<Moments>,
    /// Of discounted sums of rewards, where rewards are normalised.
    pub rewarded: Option<Moments>,
    /// Meta-epochs done.
    pub meta_epoch: u64,
    /// Outer updates done.
    pub updates: u64,
    /// Environment steps taken.
    pub steps: u64,
    programs: HashMap<String, Programs>,
}

/// The plans of one architecture.
struct Programs {
    /// The parameters of the learner as it was drawn: one of this name must have the same.
    drawn: Vec<Parameter>,
    student: Student,
    teach: Plan,
    updates: HashMap<usize, Update>,
}

/// A learner that was drawn: its architecture's name, and φ⁰ with the encoder's own initial values.
pub(crate) struct Drawn {
    /// Equal names are equal programs.
    pub(crate) architecture: String,
    fresh: Vec<Tensor>,
}

/// What one meta-epoch reports.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Mean undiscounted return of the episodes that ended, if any did.
    pub mean_return: Option<f32>,
    /// Their mean length.
    pub mean_length: Option<f32>,
    /// How many ended.
    pub episodes: usize,
    /// How many of them because their simulation failed.
    pub faults: usize,
    /// η.
    pub inner_lr: f32,
    /// Means over the updates, by name.
    pub metrics: Vec<(String, f32)>,
}

/// Running means by name, in the order in which the names came.
#[derive(Default)]
pub(crate) struct Means(Vec<(String, f32, u32)>);

impl Means {
    pub(crate) fn add(&mut self, values: Vec<(String, f32)>) {
        for (name, value) in values {
            match self.0.iter_mut().find(|sum| sum.0 == name) {
                Some(sum) => (sum.1, sum.2) = (sum.1 + value, sum.2 + 1),
                None => self.0.push((name, value, 1)),
            }
        }
    }

    pub(crate) fn finish(self) -> Vec<(String, f32)> {
        self.0.into_iter().map(|(name, sum, count)| (name, sum / count as f32)).collect()
    }
}

impl<'a> Training<'a> {
    /// Starts from a random θ. `with_critic`: whether values are learned too.
    ///
    /// # Errors
    /// The learner's or the critic's tracing error.
    pub fn new(device: Device, parts: Parts<'a>, rates: Rates, with_critic: bool, seed: u64) -> Result<Self> {
        let Parts { dimensions, learner, critic, objective } = parts;
        let architecture = derived(seed, "architecture", 0);
        let first = learner.draw(&dimensions.observation, dimensions.network_outputs(), architecture)?;
        let first = Student::new(first, dimensions)?;
        let critic = match with_critic {
            true => {
                let drawn =
                    critic.draw(&dimensions.observation, 1, derived(seed, "critic architecture", 0))?;
                Some(Student::critic(drawn, dimensions)?)
            }
            false => None,
        };
        let theta = programs::saved_theta(objective, dimensions);
        let trained = Trained::new(&first, critic.as_ref(), &theta);
        let mut state = vec![];
        let size = |shape: &[usize]| shape.iter().product();
        for part in &theta {
            let start = match rates.inner_lr.filter(|_| part.name == "inner_lr") {
                Some(rate) if part.positive => vec![rate.ln()],
                Some(rate) => vec![rate],
                None => programs::initial(part, seed),
            };
            state.push(device.tensor(&start, &part.shape));
        }
        let mut encoder_stream = stream(seed, "encoder", 0);
        state.extend(first.encoder().map(|p| device.tensor(&p.sample(&mut encoder_stream), &p.shape)));
        if let Some(critic) = &critic {
            let mut stream = stream(seed, "critic", 0);
            let parameters = critic.parameters().iter();
            state.extend(parameters.map(|p| device.tensor(&p.sample(&mut stream), &p.shape)));
        }
        for _ in 0..2 {
            state.extend(trained.shapes.iter().map(|s| device.tensor(&vec![0.0; size(s)], s)));
        }
        let rewarded = rates.normalize_rewards.then(|| Moments::new(1));
        let observed = rates.normalize_observations.then(|| Moments::new(dimensions.observation.size()));
        Ok(Training {
            device,
            parts,
            critic,
            seed,
            rates,
            trained,
            state,
            observed,
            rewarded,
            meta_epoch: 0,
            updates: 0,
            steps: 0,
            programs: HashMap::new(),
        })
    }

    /// Draws learner `number` from Λ: its architecture, whose programs are made when it is new, and φ⁰.
    pub(crate) fn draw(&mut self, number: u64) -> Result<Drawn> {
        let Parts { dimensions: d, learner, objective, .. } = self.parts;
        let drawn =
            learner.draw(&d.observation, d.network_outputs(), derived(self.seed, "architecture", number))?;
        let architecture = drawn.name().to_owned();
        let programs = match self.programs.entry(architecture.clone()) {
            Entry::Occupied(known) if known.get().drawn != drawn.parameters() => {
                return Err(Error::Plugin {
                    plugin: learner.id().to_owned(),
                    function: "name".into(),
                    cause: format!("it called two architectures of other parameters `{architecture}`"),
                });
            }
            Entry::Occupied(programs) => programs.into_mut(),
            Entry::Vacant(place) => {
                let parameters = drawn.parameters().to_vec();
                let student = Student::new(drawn, d)?;
                let teach = programs::teach(&student, objective, d)?;
                place.insert(Programs { drawn: parameters, student, teach, updates: HashMap::new() })
            }
        };
        let mut stream = stream(self.seed, "learner", number);
        let fresh = programs::sample(&programs.student, &self.device, &mut stream);
        Ok(Drawn { architecture, fresh })
    }

    /// The architecture of a learner that was drawn.
    pub(crate) fn student(&self, drawn: &Drawn) -> &Student {
        &self.programs[&drawn.architecture].student
    }

    /// All parameters of a learner after the inner rule.
    pub(crate) fn teach(&self, drawn: &Drawn) -> Vec<Tensor> {
        let mut inputs = self.state[..self.trained.of_theta].to_vec();
        inputs.extend_from_slice(&drawn.fresh);
        self.device.run(&self.programs[&drawn.architecture].teach, &inputs)
    }

    /// The critic's parameters.
    pub(crate) fn critic_parameters(&self) -> &[Tensor] {
        &self.state[self.trained.of_theta..self.trained.names.len()]
    }

    /// One outer update of θ, ξ and the critic with a learner, on a batch of `rows` transitions: `batch` gives the
    /// plan's inputs from number `first` on. Gives the update's metrics.
    pub(crate) fn update(
        &mut self,
        drawn: &Drawn,
        rows: usize,
        batch: impl FnOnce(&Device, &Plan, usize) -> Vec<Tensor>,
    ) -> Result<Vec<(String, f32)>> {
        let Some(Programs { student, updates, .. }) = self.programs.get_mut(&drawn.architecture) else {
            return Ok(vec![]);
        };
        let Rates { lr, critic_lr, schedule, meta_epochs, rule, .. } = &self.rates;
        let Update { plan, metrics } = match updates.entry(rows) {
            Entry::Occupied(update) => update.into_mut(),
            Entry::Vacant(place) => {
                let Parts { dimensions, objective, .. } = self.parts;
                let update =
                    programs::update(student, self.critic.as_ref(), objective, rule, dimensions, rows)?;
                place.insert(update)
            }
        };
        self.updates += 1;
        let factor = schedule.factor(self.meta_epoch, *meta_epochs);
        let [correction1, correction2] = rule.optimizer.corrections(self.updates);
        let scalars = [lr * factor, critic_lr * factor, correction1, correction2];
        let mut inputs = self.state.clone();
        inputs.extend_from_slice(&drawn.fresh);
        inputs.extend(scalars.map(|v| self.device.tensor(&[v], &[])));
        inputs.extend(batch(&self.device, plan, inputs.len()));
        if self.parts.objective.columns().contains(&Column::Progress) {
            let progress = self.meta_epoch as f32 / *meta_epochs as f32;
            inputs.push(self.device.tensor(&[progress], &[1, 1]));
        }
        let mut outputs = self.device.run(plan, &inputs);
        let values = outputs.split_off(self.state.len());
        self.state = outputs;
        Ok(metrics.iter().zip(values).map(|(name, t)| (name.clone(), self.device.read(&t)[0])).collect())
    }

    /// Ends a meta-epoch: its number counts, and a θ that is not a number any more is an error.
    pub(crate) fn end_meta_epoch(&mut self, metrics: Means) -> Result<Report> {
        let report = Report { inner_lr: self.inner_lr(), metrics: metrics.finish(), ..Report::default() };
        if !report.inner_lr.is_finite() || report.metrics.iter().any(|(_, v)| !v.is_finite()) {
            return Err(Error::usage(format!(
                "meta-epoch {}: θ is not finite any more, the optimisation diverged (try a smaller --lr)",
                self.meta_epoch
            )));
        }
        self.meta_epoch += 1;
        Ok(report)
    }

    /// η.
    fn inner_lr(&self) -> f32 {
        let theta = programs::saved_theta(self.parts.objective, self.parts.dimensions);
        let parts = theta.iter().zip(&self.state);
        let mut rate = parts.filter(|(part, _)| part.name == "inner_lr").map(|(part, tensor)| {
            let value = self.device.read(tensor)[0];
            if part.positive { value.exp() } else { value }
        });
        rate.next().unwrap_or(f32::NAN)
    }

    /// Everything that is trained, with the optimiser's moments, then what is known of observations and rewards: name,
    /// shape, numbers.
    pub fn state(&self) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        let mut state = self.trained_state();
        let moments = [("observed", &self.observed), ("rewarded", &self.rewarded)];
        for (name, moments) in moments {
            let Some(Moments { count, mean, variance }) = moments else { continue };
            state.push((format!("{name}/count"), vec![], vec![*count]));
            state.push((format!("{name}/mean"), vec![mean.len()], mean.clone()));
            state.push((format!("{name}/variance"), vec![variance.len()], variance.clone()));
        }
        state
    }

    fn trained_state(&self) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        let prefixes = ["", "first_moment/", "second_moment/"];
        let count = self.trained.names.len();
        self.state
            .iter()
            .enumerate()
            .map(|(i, tensor)| {
                let name = format!("{}{}", prefixes[i / count], self.trained.names[i % count]);
                (name, tensor.shape().to_vec(), self.device.read(tensor))
            })
            .collect()
    }

    /// Goes on from what [`Self::state`] gave.
    ///
    /// # Errors
    /// A missing tensor, or one of another shape.
    pub fn restore(&mut self, tensors: &[(String, Vec<usize>, Vec<f32>)]) -> Result<()> {
        let find = |name: &str, shape: &[usize]| match tensors.iter().find(|t| t.0 == *name) {
            Some((_, found, data)) if found == shape => Ok(data.clone()),
            Some((_, found, _)) => Err(Error::usage(format!(
                "checkpoint tensor `{name}` has shape {found:?}, expected {shape:?}"
            ))),
            None => Err(Error::usage(format!("the checkpoint has no tensor `{name}`"))),
        };
        let trained = self.trained_state();
        let restored =
            trained.iter().map(|(name, shape, _)| Ok(self.device.tensor(&find(name, shape)?, shape)));
        self.state = restored.collect::<Result<_>>()?;
        for (name, moments) in [("observed", &mut self.observed), ("rewarded", &mut self.rewarded)] {
            let Some(moments) = moments else { continue };
            let width = moments.mean.len();
            *moments = Moments {
                count: find(&format!("{name}/count"), &[])?[0],
                mean: find(&format!("{name}/mean"), &[width])?,
                variance: find(&format!("{name}/variance"), &[width])?,
            };
        }
        Ok(())
    }
}
