//! Checks for learners.
use std::collections::BTreeSet;

use potstill_plugin_api::{Init, Space};

use super::gradient::{Loss, normal};
use super::{Check, Outcome, Stop, Subject, failed};
use crate::engine::learner::{Learner, LearnerDistribution, check};
use crate::engine::random::stream;
use crate::error::{Error, Result};
use crate::execute::{Device, Plan};
use crate::graph::{Graph, Tensor, grad};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "spaces",
        about: "it reads observations of several kinds, or refuses them with a message",
        run: spaces,
    },
    Check { name: "parameters", about: "layers count from 0 without a gap", run: parameters },
    Check {
        name: "drawing",
        about: "equal seeds draw equal networks, and equal names trace equal graphs",
        run: drawing,
    },
    Check { name: "forward", about: "outputs are finite for one observation and for seven", run: forward },
    Check { name: "rows", about: "a row of the outputs depends on its own observation", run: rows },
    Check {
        name: "gradients",
        about: "it learns through a gradient step, which needs second derivatives",
        run: gradients,
    },
];

/// Kinds of observations: a few numbers, one, and more; images of Atari and of Procgen.
fn kinds() -> Vec<Space> {
    let vectors = [4, 1, 17].map(|n| Space::unbounded([n]));
    let images = [[4, 84, 84], [3, 64, 64]].map(|shape| Space::Image { shape: shape.into() });
    vectors.into_iter().chain(images).collect()
}

/// The numbers of outputs that are requested: those of a critic, a small policy and an Atari game.
const OUTPUTS: [usize; 3] = [1, 2, 18];

fn distribution(subject: &Subject<'_>) -> Result<Box<dyn LearnerDistribution>> {
    subject.registry.learner(&subject.id, &subject.settings)
}

/// Draws a learner for `space`, or returns `None` if the plugin refuses it with a message.
fn draw(
    learners: &dyn LearnerDistribution,
    space: &Space,
    outputs: usize,
    seed: u64,
) -> Result<Option<Box<dyn Learner>>> {
    match learners.draw(space, outputs, seed) {
        Ok(learner) => Ok(Some(learner)),
        Err(Error::Usage(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A kind of observations, and a learner that reads it.
type Sample = (Space, Box<dyn Learner>);

/// Learners with 2 outputs for the first vector and the first image that are not refused.
fn samples(subject: &Subject<'_>) -> Result<Vec<Sample>, Stop> {
    let learners = distribution(subject)?;
    let mut samples: Vec<Sample> = vec![];
    for space in kinds() {
        let is_image = |space: &Space| matches!(space, Space::Image { .. });
        if samples.iter().any(|(known, _)| is_image(known) == is_image(&space)) {
            continue;
        }
        samples.extend(draw(&*learners, &space, 2, 0)?.map(|learner| (space, learner)));
    }
    match samples.is_empty() {
        true => Err(Stop::Skipped("it refuses every kind of observations (see `spaces`)".into())),
        false => Ok(samples),
    }
}

fn spaces(subject: &Subject<'_>) -> Outcome {
    let learners = distribution(subject)?;
    let mut notes = vec![];
    for space in kinds() {
        for outputs in OUTPUTS {
            match learners.draw(&space, outputs, 0) {
                Ok(learner) => check(&*learner, &space)
                    .map_err(|error| Stop::Failed(format!("{space}, {outputs} outputs: {error}")))?,
                Err(Error::Usage(words)) => {
                    notes.push(format!("refuses {space}: {}", subject.words(&words)));
                    break;
                }
                Err(error) => return failed(format!("{space}, {outputs} outputs: {error}")),
            }
        }
    }
    if notes.len() == kinds().len() {
        return failed(format!("it refuses every kind of observations; {}", notes[0]));
    }
    Ok(notes)
}

fn parameters(subject: &Subject<'_>) -> Outcome {
    let mut notes = vec![];
    for (space, learner) in samples(subject)? {
        let parameters = learner.parameters();
        let layers: BTreeSet<usize> = parameters.iter().map(|p| p.layer).collect();
        if layers.is_empty() {
            return failed(format!("{space}: it has no parameters, so there is nothing to teach"));
        }
        if layers.iter().enumerate().any(|(i, &layer)| i != layer) {
            let layers: Vec<String> = layers.iter().map(usize::to_string).collect();
            return failed(format!(
                "{space}: its layers are {}; count them from 0, so that an encoder of l layers has l",
                layers.join(", ")
            ));
        }
        for p in parameters.iter().filter(|p| p.shape.len() > 1) {
            // A product with unit inputs should neither vanish nor explode, but output layers may start small.
            let inputs = if p.shape.len() == 2 { p.shape[0] } else { p.shape[1..].iter().product() };
            let deviation = match p.init {
                Init::Constant(v) => v.abs(),
                Init::Uniform(bound) => bound / 3f64.sqrt(),
                Init::Normal(deviation) => deviation,
                Init::Orthogonal(gain) => gain.abs() / (inputs.max(p.size() / inputs) as f64).sqrt(),
            };
            let gain = deviation * (inputs as f64).sqrt();
            if gain > 10.0 || gain == 0.0 {
                notes.push(format!("`{}` starts as {:?}: it multiplies by about {gain:.1}", p.name, p.init));
            }
        }
    }
    Ok(notes)
}

/// Traces a learner on `rows` observations. The graph's inputs are the parameters, then the observations. Returns it
/// with the outputs.
fn traced(learner: &dyn Learner, space: &Space, rows: usize) -> Result<(Graph, Tensor)> {
    let graph = Graph::new();
    let parameters: Vec<Tensor> =
        learner.parameters().iter().map(|p| graph.input(&*p.name, &p.shape)).collect();
    let batch: Vec<usize> = std::iter::once(rows).chain(space.shape()).collect();
    let observations = graph.rows("observation", &batch);
    let outputs = learner.forward(&parameters, &observations)?;
    graph.check()?;
    Ok((graph, outputs))
}

fn drawing(subject: &Subject<'_>) -> Outcome {
    const SEEDS: u64 = 8;
    for (space, _) in samples(subject)? {
        let (learners, others) = (distribution(subject)?, distribution(subject)?);
        let text = |learner: &dyn Learner| -> Result<String> {
            let (graph, outputs) = traced(learner, &space, 3)?;
            Ok(graph.to_text(&[outputs]))
        };
        let mut known: Vec<(u64, Box<dyn Learner>, String)> = vec![];
        for seed in 0..SEEDS {
            let (one, other) = (learners.draw(&space, 2, seed)?, others.draw(&space, 2, seed)?);
            let traced = text(&*one)?;
            if one.name() != other.name()
                || one.parameters() != other.parameters()
                || traced != text(&*other)?
            {
                return failed(format!("{space}: seed {seed} drew two different networks"));
            }
            let namesake = known.iter().find(|(_, earlier, _)| earlier.name() == one.name());
            if let Some((earlier_seed, earlier, graph)) = namesake
                && (earlier.parameters() != one.parameters() || *graph != traced)
            {
                return failed(format!(
                    "{space}: seeds {earlier_seed} and {seed} drew different networks called `{}`; the host compiles \
                     a name once",
                    one.name()
                ));
            }
            known.push((seed, one, traced));
        }
    }
    Ok(vec![])
}

/// The outputs of a fresh learner for `observations`, in double precision.
fn outputs(learner: &dyn Learner, space: &Space, observations: &[f32]) -> Result<Vec<f64>> {
    let (graph, outputs) = traced(learner, space, observations.len() / space.size())?;
    let (device, plan) = (Device::cpu_f64(), Plan::compile(&graph, &[outputs])?);
    let stream = &mut stream(0, "conformance parameters", 0);
    let parameters = learner.parameters().iter();
    let mut inputs: Vec<_> = parameters.map(|p| device.tensor(&p.sample(stream), &p.shape)).collect();
    inputs.push(device.rows(&plan, inputs.len(), observations, None));
    Ok(device.run(&plan, &inputs).iter().flat_map(|t| device.read_f64(t)).collect())
}

fn forward(subject: &Subject<'_>) -> Outcome {
    for (space, learner) in samples(subject)? {
        for rows in [1, 7] {
            let observations: Vec<f32> =
                normal(&mut stream(1, "conformance observations", 0), &[rows, space.size()]);
            let outputs = outputs(&*learner, &space, &observations)?;
            if let Some(i) = outputs.iter().position(|v| !v.is_finite()) {
                return failed(format!(
                    "{space}, batch of {rows}: output {} of row {} is {}",
                    i % 2,
                    i / 2,
                    outputs[i]
                ));
            }
        }
    }
    Ok(vec![])
}

/// Mixing rows is only noted, because a learner may use batch normalization.
fn rows(subject: &Subject<'_>) -> Outcome {
    let mut notes = vec![];
    for (space, learner) in samples(subject)? {
        let size = space.size();
        let mut observations: Vec<f32> = normal(&mut stream(2, "conformance observations", 0), &[3, size]);
        let before = outputs(&*learner, &space, &observations)?;
        observations[..size].iter_mut().for_each(|v| *v = 1.0 - *v);
        let after = outputs(&*learner, &space, &observations)?;
        let largest = before.iter().fold(1e-3f64, |m, v| m.max(v.abs()));
        // Each row has two outputs, and only the first row's observation was changed.
        if (2..6).any(|i| (before[i] - after[i]).abs() > 1e-9 * largest) {
            notes.push(format!(
                "{space}: a row depends on the other rows of its batch: an agent acts differently among others than alone"
            ));
        }
    }
    Ok(notes)
}

fn gradients(subject: &Subject<'_>) -> Outcome {
    const ROWS: usize = 3;
    let mut notes = vec![];
    for (space, learner) in samples(subject)? {
        let graph = Graph::new();
        let batch: Vec<usize> = std::iter::once(ROWS).chain(space.shape()).collect();
        let theta = [
            ("x", graph.input("x", &batch)),
            ("y", graph.input("y", &[ROWS, 2])),
            ("inner_lr", graph.input("inner_lr", &[])),
        ];
        let fresh: Vec<Tensor> =
            learner.parameters().iter().map(|p| graph.input(&*p.name, &p.shape)).collect();
        let observations = graph.rows("observation", &batch);
        let weights = graph.rows("weight", &[ROWS, 2]);
        // The inner step, and a loss that depends on all outputs of the taught learner.
        let error = learner.forward(&fresh, &theta[0].1)? - &theta[1].1;
        let slopes = grad(&error.square().mean(), &fresh);
        let taught: Vec<Tensor> = fresh.iter().zip(&slopes).map(|(p, g)| p - &theta[2].1 * g).collect();
        let loss = (learner.forward(&taught, &observations)? * weights).sum();
        let named = theta.iter().map(|(name, tensor)| (format!("{name} of the dataset"), tensor.clone()));
        let parameters =
            learner.parameters().iter().zip(&fresh).map(|(p, tensor)| (p.name.clone(), tensor.clone()));
        let loss = Loss::new(&graph, &loss, &named.chain(parameters).collect::<Vec<_>>(), &[])?;

        let (device, plan) = loss.parts();
        let stream = &mut stream(3, "conformance gradients", 0);
        let mut inputs = vec![
            device.tensor(&normal::<f32>(stream, &batch), &batch),
            device.tensor(&normal::<f32>(stream, &[ROWS, 2]), &[ROWS, 2]),
            device.tensor(&[0.01], &[]),
        ];
        inputs.extend(learner.parameters().iter().map(|p| device.tensor(&p.sample(stream), &p.shape)));
        for shape in [&batch[..], &[ROWS, 2]] {
            inputs.push(device.rows(plan, inputs.len(), &normal::<f32>(stream, shape), None));
        }
        let found = loss.check(&inputs).map_err(|stop| match stop {
            Stop::Failed(cause) => Stop::Failed(format!("{space}: {cause}")),
            skipped => skipped,
        })?;
        notes.extend(found.into_iter().map(|note| format!("{space}: {note}")));
    }
    Ok(notes)
}
