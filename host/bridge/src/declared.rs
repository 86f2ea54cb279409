//! Checks what learners and objectives from any loader declare: names must be printable, and sizes must fit a machine.
use std::collections::HashSet;

use potstill_plugin_api::{Column, Init, MetaInit, MetaParameter, Task};

use super::text::{LONGEST_MESSAGE, is_hidden, tame};
use potstill_engine::graph::{DType, MAX_RANK, Tensor};
use potstill_engine::learner::Parameter;

/// The most parameters of a learner, parts of θ, or metrics.
const MOST: usize = 4096;
/// The most numbers in all of a learner's parameters, or in all of θ: 1 GiB.
const MOST_NUMBERS: usize = 1 << 28;
/// The most characters of a name.
const LONGEST_NAME: usize = 200;
/// The message for the author of an objective that answers `rollouts-as-published`, a data source that was withdrawn
/// from the contract.
pub const WITHDRAWN_DATA: &str = "it asks for the advantages of the code published with Wilhelm & Ventura 2025, \
    which are a setting of Potstill now: build it with `rollouts` as its data, and run it with `advantages = \
    \"as-published\"` in `[ppo]`";
/// The most multiplications for drawing an orthogonal matrix, which take half a minute.
const MOST_STEPS: u64 = 1 << 36;

/// Checks the texts that a plugin describes itself with: id, version, summary.
///
/// # Errors
/// One is too long.
pub fn check_description(texts: &[&str]) -> Result<(), String> {
    match texts.iter().find(|text| text.chars().nth(LONGEST_MESSAGE).is_some()) {
        Some(text) => Err(format!(
            "`{}` is too long for a description, expected at most {LONGEST_MESSAGE} characters",
            tame(text, 40)
        )),
        None => Ok(()),
    }
}

/// Checks the name and the parameters of an architecture.
///
/// # Errors
/// Returns the function whose answer is wrong, and what is wrong with it.
pub fn check_learner(name: &str, parameters: &[Parameter]) -> Result<(), (&'static str, String)> {
    check_name("the architecture", name).map_err(|cause| ("name", cause))?;
    check_parameters(parameters).map_err(|cause| ("parameters", cause))
}

fn check_parameters(parameters: &[Parameter]) -> Result<(), String> {
    check_names("parameters", "a parameter", parameters.iter().map(|p| &*p.name))?;
    check_sizes("parameter", parameters.iter().map(|p| (&*p.name, &*p.shape)))?;
    for p in parameters {
        let sane = match p.init {
            Init::Constant(v) | Init::Orthogonal(v) => v.is_finite(),
            Init::Uniform(v) | Init::Normal(v) => v.is_finite() && v >= 0.0,
        };
        if !sane {
            return Err(format!("parameter `{}` cannot be initialized as {:?}", p.name, p.init));
        }
        // Each vector along the short side is made orthogonal to those before it.
        let (short, numbers) = (p.orthogonal_vectors(), p.size());
        if (numbers as u64).checked_mul(short as u64).is_none_or(|steps| steps > MOST_STEPS) {
            let shape = &p.shape;
            return Err(format!("parameter `{}` {shape:?} is too large to be drawn orthogonal", p.name));
        }
    }
    Ok(())
}

/// Checks the outputs that a learner traced.
///
/// # Errors
/// Says what was returned and what was expected.
pub fn check_outputs(result: &Tensor, observations: &Tensor, outputs: usize) -> Result<(), String> {
    let expected = [observations.shape().first().copied().unwrap_or(1), outputs];
    match (result.dtype(), result.shape()) {
        (DType::Float, shape) if shape == expected => Ok(()),
        (DType::Float, shape) => Err(format!("it gave outputs {shape:?}, expected {expected:?}")),
        (DType::Int, _) => Err("it gave indices, expected numbers".into()),
    }
}

/// Checks θ and the columns as an objective declares them.
///
/// # Errors
/// Returns the function whose answer is wrong, and what is wrong with it.
pub fn check_objective(
    theta: &[MetaParameter],
    columns: &[Column],
    task: &Task,
) -> Result<(), (&'static str, String)> {
    if let Some(i) = (0..columns.len()).find(|&i| columns[..i].contains(&columns[i])) {
        return Err(("columns", format!("`{}` appears twice", columns[i].name())));
    }
    check_theta(theta, task).map_err(|cause| ("meta-parameters", cause))
}

fn check_theta(theta: &[MetaParameter], task: &Task) -> Result<(), String> {
    check_names("parts of theta", "a part of theta", theta.iter().map(|part| &*part.name))?;
    check_sizes("part", theta.iter().map(|part| (&*part.name, &*part.shape)))?;
    for part in theta {
        let name = &part.name;
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!("a part of theta is called `{name}`; expected letters, digits and `_`"));
        }
        let starts = match part.init {
            MetaInit::Constant(v) => v.is_finite() && (!part.positive || v > 0.0),
            MetaInit::Normal(v) => v.is_finite() && v >= 0.0 && !part.positive,
            MetaInit::Labels => !part.positive,
        };
        if !starts {
            return Err(format!("part `{name}` of theta cannot be initialized as {:?}", part.init));
        }
    }
    let x: Vec<usize> = std::iter::once(task.instances).chain(task.observation.shape()).collect();
    for (name, shape) in [("x", x), ("y", vec![task.instances, task.outputs]), ("inner_lr", vec![])] {
        match theta.iter().find(|part| part.name == name) {
            Some(part) if part.shape == shape => {}
            Some(part) => {
                return Err(format!("`{name}` of theta has the shape {:?}, expected {shape:?}", part.shape));
            }
            None => return Err(format!("theta has no `{name}`")),
        }
    }
    Ok(())
}

/// The metrics that the engine logs itself.
const OF_THE_HOST: [&str; 2] = ["value_loss", "grad_norm"];

/// Checks the names of an objective's metrics.
///
/// # Errors
/// Says which name is wrong, and why.
pub fn check_metrics<'a>(names: impl ExactSizeIterator<Item = &'a str> + Clone) -> Result<(), String> {
    check_names("metrics", "a metric", names.clone())?;
    match names.into_iter().find(|name| OF_THE_HOST.contains(name)) {
        Some(name) => Err(format!("the metric name `{name}` is reserved for the host; choose another")),
        None => Ok(()),
    }
}

/// Checks that there are not too many names, that each is printable, and that no two are equal. Errors call them
/// `several`, or each `one`.
fn check_names<'a>(
    several: &str,
    one: &str,
    names: impl ExactSizeIterator<Item = &'a str>,
) -> Result<(), String> {
    if names.len() > MOST {
        return Err(format!("{} {several}, expected at most {MOST}", names.len()));
    }
    let mut seen = HashSet::new();
    for name in names {
        check_name(one, name)?;
        if !seen.insert(name) {
            return Err(format!("{one} called `{name}` appears twice"));
        }
    }
    Ok(())
}

fn check_name(one: &str, name: &str) -> Result<(), String> {
    let length = name.chars().take(LONGEST_NAME + 1).count();
    if length == 0 || length > LONGEST_NAME || name.contains(is_hidden) {
        let shown = tame(name, 40);
        return Err(format!("{one} is called `{shown}`; expected 1 to {LONGEST_NAME} printable characters"));
    }
    Ok(())
}

fn check_sizes<'a>(one: &str, parts: impl Iterator<Item = (&'a str, &'a [usize])>) -> Result<(), String> {
    let mut total = 0usize;
    for (name, shape) in parts {
        let wrong = |what: String| {
            Err(tame(&format!("{one} `{name}` has the shape {shape:?}, {what}"), LONGEST_MESSAGE))
        };
        if shape.len() > MAX_RANK {
            return wrong(format!("expected at most {MAX_RANK} axes"));
        }
        match shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) {
            Some(0) => return wrong("which has no elements".into()),
            Some(size) if size <= MOST_NUMBERS => total += size,
            _ => return wrong(format!("expected at most {MOST_NUMBERS} numbers")),
        }
    }
    match total <= MOST_NUMBERS {
        true => Ok(()),
        false => Err(format!("{total} numbers in all, expected at most {MOST_NUMBERS}")),
    }
}
