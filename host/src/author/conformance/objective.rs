//! Checks for meta-objectives.
use potstill_plugin_api::{Column, Data, Space, Task};
use rand::Rng;

use super::gradient::{Loss, normal};
use super::{Check, Outcome, Stop, Subject, failed};
use crate::engine::inner::Inner;
use crate::engine::objective::{Judged, Objective};
use crate::engine::policy::Policy;
use crate::engine::programs::{BatchInputs, inner, needs_critic, outer};
use crate::engine::random::{Stream, stream};
use crate::engine::student::{Dimensions, Student};
use crate::engine::theta::{Part, Theta};
use crate::error::{Error, Result};
use crate::execute::Array;
use crate::graph::{Graph, Tensor};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "tasks", about: "it accepts several kinds of tasks, or says why it does not", run: tasks },
    Check {
        name: "theta",
        about: "it learns a part of theta, and reads only what its data have",
        run: declared,
    },
    Check { name: "inner", about: "the inner rule gives finite parameters, and teaches", run: inner_rule },
    Check { name: "outer", about: "loss and metrics are finite", run: outer_loss },
    Check { name: "gradients", about: "the loss teaches every learned part of the dataset", run: gradients },
];

/// The number of transitions of a batch.
const ROWS: usize = 11;

/// Kinds of tasks: observation space, action space and number of instances.
fn kinds() -> Vec<(Space, Space, usize)> {
    let force = Space::Box { shape: vec![2], low: vec![-1.0], high: vec![1.0] };
    vec![
        (Space::unbounded([4]), Space::Discrete { n: 2 }, 3),
        (Space::unbounded([3]), Space::Discrete { n: 5 }, 10),
        (Space::unbounded([2, 3]), Space::Discrete { n: 2 }, 2),
        (Space::unbounded([4]), force, 4),
    ]
}

/// An objective for one task, with a learner to teach.
struct Sample {
    name: String,
    objective: Box<dyn Objective>,
    student: Student,
    dimensions: Dimensions,
}

impl Sample {
    /// Makes an objective for a task. The inner error is the plugin's message, if it refuses the task.
    fn new(subject: &Subject<'_>, kind: (Space, Space, usize)) -> Result<Result<Self, String>> {
        let (observation, action, instances) = kind;
        let name = format!("{action}, k = {instances}");
        let Some(policy) = Policy::of(&action) else {
            return Err(Error::usage(format!("there is no policy for {action}")));
        };
        let outputs = policy.outputs();
        let task = Task { observation: observation.clone(), action, instances, outputs };
        let objective = match subject.registry.objective(&subject.id, &subject.settings, &task) {
            Ok(objective) => objective,
            Err(Error::Usage(words)) => return Ok(Err(format!("refuses {name}: {}", subject.words(&words)))),
            Err(error) => return Err(error),
        };
        let dimensions = Dimensions {
            k: instances,
            observation: observation.clone(),
            policy,
            encoder_layers: 0,
            inner: Inner::default(),
        };
        let small = [("width", "6"), ("output-gain", "1")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let learner =
            subject.registry.learner("mlp-v1", &small)?.draw(&observation, policy.network_outputs(), 0)?;
        let student = Student::new(learner, &dimensions)?;
        Ok(Ok(Sample { name, objective, student, dimensions }))
    }

    /// Traces the objective: its loss as a function of θ, together with the metrics and the taught parameters.
    fn trace(&self) -> Result<(Loss, usize), Stop> {
        let (objective, d) = (&*self.objective, &self.dimensions);
        let graph = Graph::new();
        let layout = Theta::new(objective, d);
        let trained = layout.inputs(&graph);
        let fresh = self.student.inputs(&graph);
        let batch = BatchInputs::trace(&graph, objective, d, ROWS)?;
        let theta = layout.read(&trained);
        let taught = inner(&self.student, objective, &theta, &[], &fresh, d)?;
        let judged = Judged { theta: &theta, fresh: &fresh, taught: &taught, columns: &batch.columns };
        let outer = outer(&self.student, objective, &judged, &[], d)?;
        let learned = layout.parts.iter().zip(&trained).filter(|(part, _)| part.learned());
        let learned: Vec<_> =
            learned.map(|(part, tensor)| (part.name().to_owned(), tensor.clone())).collect();
        let metrics = outer.metrics.len();
        let others: Vec<Tensor> = outer.metrics.into_iter().map(|(_, tensor)| tensor).chain(taught).collect();
        Ok((Loss::new(&graph, &outer.loss, &learned, &others)?, metrics))
    }

    /// The initial θ, a fresh learner, and a batch of random transitions.
    fn inputs(&self, loss: &Loss) -> Vec<Array> {
        let ((device, plan), d) = (loss.parts(), &self.dimensions);
        let stream = &mut stream(0, "conformance batch", 0);
        let theta = Theta::new(&*self.objective, d);
        let mut inputs: Vec<Array> =
            theta.parts.iter().map(|part| device.tensor(&part.initial(0), part.shape())).collect();
        inputs.extend(self.student.parameters().iter().map(|p| device.tensor(&p.sample(stream), &p.shape)));
        let size = d.observation.size();
        inputs.push(device.rows(plan, inputs.len(), &normal::<f32>(stream, &[ROWS, size]), None));
        inputs.push(match d.policy {
            Policy::Categorical(n) => {
                // Every action occurs.
                let actions: Vec<i32> = (0..ROWS).map(|i| (i % n) as i32).collect();
                device.int_rows(plan, inputs.len(), &actions, None)
            }
            Policy::Gaussian(n) => device.rows(plan, inputs.len(), &normal::<f32>(stream, &[ROWS, n]), None),
        });
        if self.objective.data() != Data::Offline {
            self.add_rollouts(stream, loss, &mut inputs);
        }
        if self.objective.columns().contains(&Column::Progress) {
            inputs.push(device.tensor(&[0.5], &[1, 1]));
        }
        inputs
    }

    /// Adds the columns that only a batch of rollouts has.
    fn add_rollouts(&self, stream: &mut Stream, loss: &Loss, inputs: &mut Vec<Array>) {
        let ((device, plan), outputs) = (loss.parts(), self.dimensions.outputs());
        // The log-probabilities are near those of the learner's policy, so that ratios are near 1.
        let likely = -(outputs as f32).ln();
        let log_probs: Vec<f32> = (0..ROWS).map(|_| likely + stream.random_range(-0.1..0.1)).collect();
        let reads = |column: Column| self.objective.columns().contains(&column);
        let acted = match self.dimensions.policy {
            Policy::Categorical(_) => vec![likely; ROWS * outputs],
            Policy::Gaussian(_) => normal::<f32>(stream, &[ROWS, outputs]),
        };
        let needs_critic = needs_critic(&*self.objective);
        let columns = [
            Some(log_probs),
            needs_critic.then(|| normal(stream, &[ROWS])),
            needs_critic.then(|| normal(stream, &[ROWS])),
            reads(Column::Outputs).then_some(acted),
            reads(Column::Values).then(|| normal(stream, &[ROWS])),
            // Logits are as good as log-probabilities, of which they are a shift.
            reads(Column::Teacher).then(|| normal(stream, &[ROWS, outputs])),
        ];
        for column in columns.into_iter().flatten() {
            inputs.push(device.rows(plan, inputs.len(), &column, None));
        }
    }
}

/// A sample for each kind of task that is not refused.
fn samples(subject: &Subject<'_>) -> Result<Vec<Sample>, Stop> {
    let mut samples = vec![];
    for kind in kinds() {
        samples.extend(Sample::new(subject, kind)?.ok());
    }
    match samples.is_empty() {
        true => Err(Stop::Skipped("it refuses every kind of task (see `tasks`)".into())),
        false => Ok(samples),
    }
}

/// Runs `check` for each task and puts the task's name before each of its messages.
fn of_each(subject: &Subject<'_>, check: impl Fn(&Sample) -> Outcome) -> Outcome {
    let mut notes = vec![];
    for sample in samples(subject)? {
        let found = check(&sample).map_err(|stop| match stop {
            Stop::Failed(cause) => Stop::Failed(format!("{}: {cause}", sample.name)),
            skipped => skipped,
        })?;
        notes.extend(found.into_iter().map(|note| format!("{}: {note}", sample.name)));
    }
    Ok(notes)
}

fn tasks(subject: &Subject<'_>) -> Outcome {
    let mut refusals = vec![];
    for kind in kinds() {
        refusals.extend(Sample::new(subject, kind)?.err());
    }
    if refusals.len() == kinds().len() {
        return failed(format!("it refuses every kind of task; {}", refusals[0]));
    }
    Ok(refusals)
}

fn declared(subject: &Subject<'_>) -> Outcome {
    of_each(subject, |sample| {
        let objective = &sample.objective;
        if !objective.theta().iter().any(|part| part.learned) {
            return failed("no part of theta is learned");
        }
        let of_transitions = [Column::Observations, Column::Actions, Column::Progress];
        let of_rollouts = objective.columns().iter().find(|column| !of_transitions.contains(column));
        if let (Data::Offline, Some(column)) = (objective.data(), of_rollouts) {
            return failed(format!("it reads `{}`, which offline data does not have", column.name()));
        }
        if let Some(part) = objective
            .theta()
            .iter()
            .find(|&part| Part::from(part.clone()).initial(0).iter().any(|v| !v.is_finite()))
        {
            return failed(format!("`{}` does not start finite in single precision", part.name));
        }
        Ok(vec![])
    })
}

fn inner_rule(subject: &Subject<'_>) -> Outcome {
    of_each(subject, |sample| {
        let (loss, metrics) = sample.trace()?;
        let inputs = sample.inputs(&loss);
        let taught = loss.run(&inputs).others.split_off(metrics);
        let device = loss.parts().0;
        let fresh = &inputs[sample.objective.theta().len()..];
        let mut moved = false;
        for ((taught, fresh), p) in taught.iter().zip(fresh).zip(sample.student.parameters()) {
            if taught.iter().any(|v| !v.is_finite()) {
                return failed(format!("`{}` is not finite after the inner rule", p.name));
            }
            moved |= *taught != device.read_f64(fresh);
        }
        Ok(if moved { vec![] } else { vec!["the inner rule changes nothing".into()] })
    })
}

fn outer_loss(subject: &Subject<'_>) -> Outcome {
    of_each(subject, |sample| {
        let (loss, metrics) = sample.trace()?;
        let at = loss.run(&sample.inputs(&loss));
        if let Some(value) =
            [at.loss].iter().chain(at.others[..metrics].iter().flatten()).find(|v| !v.is_finite())
        {
            return failed(format!("the loss or a metric is {value}"));
        }
        Ok(vec![])
    })
}

fn gradients(subject: &Subject<'_>) -> Outcome {
    of_each(subject, |sample| {
        let (loss, _) = sample.trace()?;
        loss.check(&sample.inputs(&loss))
    })
}
