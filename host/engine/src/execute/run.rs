//! Runs a plan: its stages in order, and the shards of each stage in parallel.
use super::backend::{Context, Execute, Value, combine, constant, primitive};
use super::plan::{Action, Plan, Step};

/// The values of a run by slot. There is one table for the whole batch and one for each shard.
type Table<B> = Vec<Option<Value<B>>>;

/// A function that calls another for each shard's table, in parallel where it can.
type Parallel<'a, B> = dyn Fn(&mut [Table<B>], &(dyn Fn(usize, &mut Table<B>) + Sync)) + Sync + 'a;

/// Runs `plan` with its rows split into `shards` and returns the parts of its outputs. `inputs` are in the order of the
/// graph's inputs; a whole input has one part, an input with rows has one part for each shard.
pub(super) fn run<B: Execute>(
    plan: &Plan,
    shards: usize,
    inputs: &[&[Value<B>]],
    context: &Context<B>,
    parallel: &Parallel<'_, B>,
) -> Vec<Vec<Value<B>>> {
    let mut whole: Table<B> = vec![None; plan.slots];
    let split = plan.inputs.iter().any(|i| i.split);
    let mut tables: Vec<Table<B>> =
        (0..if split { shards } else { 0 }).map(|_| vec![None; plan.slots]).collect();
    for (input, parts) in plan.inputs.iter().zip(inputs) {
        let Some(slot) = input.slot else { continue };
        if input.split {
            for (table, part) in tables.iter_mut().zip(*parts) {
                table[slot] = Some(part.clone());
            }
        } else {
            whole[slot] = Some(parts[0].clone());
        }
    }
    for (slot, value) in &plan.constants {
        whole[*slot] = Some(constant(value, context));
    }
    for stage in &plan.stages {
        for step in &stage.whole {
            execute(step, None, plan, &mut whole, &[], context);
        }
        if stage.split.is_empty() {
            continue;
        }
        let shared = &whole;
        let work = |index: usize, table: &mut Table<B>| {
            let rows = plan.shard(index, shards).len();
            for step in &stage.split {
                execute(step, Some(rows), plan, table, shared, context);
            }
        };
        if stage.heavy {
            parallel(&mut tables, &work);
        } else {
            tables.iter_mut().enumerate().for_each(|(index, table)| work(index, table));
        }
        for &(slot, reduction) in &stage.combine {
            // Parts are combined in the order of the shards, so that a sum does not depend on which thread was first.
            let parts = tables.iter_mut().filter_map(|t| match t[slot].take() {
                Some(Value::Float(t)) => Some(t),
                _ => None,
            });
            let total = parts.reduce(|a, b| combine::<B>(reduction, a, b, context));
            whole[slot] = total.map(Value::Float);
        }
    }
    plan.outputs
        .iter()
        .map(|&(slot, split)| match split {
            true => tables.iter().filter_map(|t| t[slot].clone()).collect(),
            false => whole[slot].clone().into_iter().collect(),
        })
        .collect()
}

fn execute<B: Execute>(
    step: &Step,
    rows: Option<usize>,
    plan: &Plan,
    table: &mut Table<B>,
    shared: &[Option<Value<B>>],
    context: &Context<B>,
) {
    let mut of_shard;
    let shape: &[usize] = match (step.row_axis, rows) {
        (Some(axis), Some(rows)) => {
            of_shard = step.shape.clone();
            of_shard[axis] = step.shape[axis] / plan.rows * rows;
            &of_shard
        }
        _ => &step.shape,
    };
    let value = |slot: usize| {
        let found = table[slot].as_ref().or_else(|| shared.get(slot).and_then(Option::as_ref));
        found.expect("a plan computes every value before it is read")
    };
    match &step.action {
        Action::Primitive(op) => {
            let inputs: Vec<&Value<B>> = step.inputs.iter().map(|&i| value(i)).collect();
            let result = primitive(op, shape, &inputs, context);
            table[step.outputs[0]] = Some(result);
        }
        Action::Fused(kernel) => {
            let inputs: Vec<_> = step
                .inputs
                .iter()
                .map(|&i| match value(i) {
                    Value::Float(t) => t,
                    Value::Int(_) => unreachable!("elementwise operations are on floats"),
                })
                .collect();
            let results = B::fused(kernel, shape, &inputs, context);
            for (&slot, result) in step.outputs.iter().zip(results) {
                table[slot] = Some(Value::Float(result));
            }
        }
    }
    for &slot in &step.free {
        table[slot] = None;
    }
}
