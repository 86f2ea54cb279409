//! Compiles a graph into a plan: in which order values are computed, which operations are fused, and what is split over
//! the rows of the batch.
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::kernel::{Function, Instruction, Kernel, Operand};
use super::memory::{in_gib, memory};
use super::shard::{Rows, propagate};
use crate::graph::{DType, Graph, GraphError, Node, NodeId, Op, Reduction, Tensor};

/// A position in the table of a run's values.
pub(super) type Slot = usize;

/// What a step does.
#[derive(Debug)]
pub(super) enum Action {
    /// It computes one operation of the graph with burn's primitives.
    Primitive(Op),
    /// It computes a group of elementwise operations.
    Fused(Kernel),
}

/// One action of the plan, with the values it reads and writes.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) action: Action,
    pub(super) inputs: Vec<Slot>,
    /// The results: one, or one for each output of a fused group.
    pub(super) outputs: Vec<Slot>,
    /// The shape of the result for the whole batch.
    pub(super) shape: Vec<usize>,
    /// The axis of `shape` that counts the rows of the batch, if there is one.
    pub(super) row_axis: Option<usize>,
    /// The values that nothing needs after this step.
    pub(super) free: Vec<Slot>,
}

/// Steps that run together. First those for the whole batch run, then the others in parallel for each shard of the
/// rows, and then partial results are combined.
#[derive(Debug, Default)]
pub(super) struct Stage {
    pub(super) whole: Vec<Step>,
    pub(super) split: Vec<Step>,
    /// Whether `split` is worth waking other threads for.
    pub(super) heavy: bool,
    pub(super) combine: Vec<(Slot, Reduction)>,
}

/// What the plan knows of an input.
#[derive(Clone, Debug)]
pub(super) struct PlanInput {
    pub(super) name: String,
    pub(super) slot: Option<Slot>,
    pub(super) shape: Vec<usize>,
    pub(super) dtype: DType,
    pub(super) split: bool,
    /// Whether only convolutions read it, as pictures, which may then be bytes.
    pub(super) pictures: bool,
}

/// A value that every run needs and that is not an input.
#[derive(Clone, Debug)]
pub(super) enum Constant {
    Scalar(f64),
    Array { values: Vec<f64>, shape: Vec<usize>, dtype: DType },
}

/// A compiled graph. It is immutable and can be shared between threads.
#[derive(Debug)]
pub struct Plan {
    pub(super) stages: Vec<Stage>,
    pub(super) inputs: Vec<PlanInput>,
    pub(super) outputs: Vec<(Slot, bool)>,
    pub(super) output_shapes: Vec<Vec<usize>>,
    pub(super) constants: Vec<(Slot, Constant)>,
    pub(super) slots: usize,
    /// The most elements of intermediate results that are held at once.
    most_elements: usize,
    /// A rough count of arithmetic operations.
    pub(super) work: usize,
    /// The number of rows of the batch, which are split into `shards`.
    pub(super) rows: usize,
    pub(super) shards: usize,
}

/// The most elements of intermediate results that a plan may hold at once: 32 GiB of `f32`, or 2 GiB on 32-bit targets.
const MAX_ELEMENTS: usize = 1 << if usize::BITS < 64 { 29 } else { 33 };

/// The most rows of a shard. With this many, a shard's hidden layer of 64 units fits a core's second-level cache.
const SHARD_ROWS: usize = 256;

/// The most numbers in a shard's rows. A batch of pictures has work for more threads than its rows suggest.
const SHARD_NUMBERS: usize = 1 << 21;

/// The number of rows that a product works on at once, at most.
const SHARD_VECTOR: usize = 32;

/// A node during planning. Aliases are resolved, and a broadcast is split over the rows if a reader needs it so.
struct Planned {
    node: Node,
    inputs: Vec<usize>,
    rows: Rows,
    level: usize,
}

impl Planned {
    /// The properties that two elementwise nodes must have in common to share a kernel.
    fn key(&self) -> (usize, Option<usize>, &[usize]) {
        let axis = match self.rows {
            Rows::Split(axis) => Some(axis),
            _ => None,
        };
        (self.level, axis, &self.node.shape)
    }
    fn is_split(&self) -> bool {
        self.rows != Rows::Whole
    }
}

impl Plan {
    /// Compiles everything that `outputs` need. The plan's inputs are those of the graph in the same order, used or
    /// not.
    ///
    /// # Errors
    /// The first error of tracing, if there was one; an output belongs to another graph; the intermediate results take
    /// more than half of this machine's memory.
    #[track_caller]
    pub fn compile(graph: &Graph, outputs: &[Tensor]) -> Result<Plan, GraphError> {
        if outputs.iter().any(|t| !Rc::ptr_eq(&t.graph().0, &graph.0)) {
            graph.fail("compile", "outputs of this graph", "a tensor of another graph");
        }
        graph.check()?;
        let rows = batch_rows(graph);
        let shards = rows.div_ceil(shard_rows(graph)).max(1);
        let planned = if shards > 1 { plan_nodes(graph, outputs, rows, true) } else { None };
        let (shards, (nodes, output_nodes)) = match planned {
            Some(planned) => (shards, planned),
            // There is only one shard, or an operation mixes rows: everything is computed for the whole batch.
            None => {
                let planned = plan_nodes(graph, outputs, rows, false);
                (1, planned.unwrap_or_default())
            }
        };
        let plan = schedule(graph, nodes, output_nodes, rows, shards);
        // An element has four bytes. Half of the memory is left for everything else.
        let (bytes, most) =
            ((plan.most_elements as u64).saturating_mul(4), (MAX_ELEMENTS as u64 * 4).min(memory() / 2));
        if bytes > most {
            let expected =
                format!("at most {} of intermediate results at once on this machine", in_gib(most));
            graph.fail("compile", expected, in_gib(bytes));
            graph.check()?;
        }
        Ok(plan)
    }

    /// The number of steps: fused groups and primitives.
    pub fn len(&self) -> usize {
        self.stages.iter().map(|s| s.whole.len() + s.split.len()).sum()
    }

    /// Whether there is nothing to compute.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows of shard `index` of `shards`. They depend on the size of the batch, not on the number of threads.
    pub(super) fn shard(&self, index: usize, shards: usize) -> std::ops::Range<usize> {
        self.rows * index / shards..self.rows * (index + 1) / shards
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} steps, {} rows in {} shards", self.len(), self.rows, self.shards)?;
        for (i, stage) in self.stages.iter().enumerate() {
            for (kind, steps) in [("whole", &stage.whole), ("split", &stage.split)] {
                for step in steps {
                    let what = match &step.action {
                        Action::Primitive(op) => format!("{op:?}"),
                        Action::Fused(k) => {
                            let names = k.instructions.iter().map(|i| match i.function {
                                Function::Unary(u) => format!("{u:?}"),
                                Function::Binary(b) => format!("{b:?}"),
                                Function::Select => "Select".into(),
                            });
                            format!("fused {}", names.collect::<Vec<_>>().join(" "))
                        }
                    };
                    writeln!(
                        f,
                        "{i} {kind} {:?} {:?} <- {:?} {what}",
                        step.shape, step.outputs, step.inputs
                    )?;
                }
            }
            writeln!(f, "{i} combine {:?}", stage.combine)?;
        }
        Ok(())
    }
}

/// The number of rows of the batch; 1 if no input has rows or inputs disagree.
fn batch_rows(graph: &Graph) -> usize {
    let store = graph.0.borrow();
    let mut rows = store
        .inputs
        .iter()
        .filter(|i| i.rows)
        .map(|i| store.nodes[i.node].shape.first().copied().unwrap_or(1));
    let first = rows.next().unwrap_or(1);
    if rows.all(|r| r == first) { first } else { 1 }
}

/// The most rows that a shard of this graph has.
fn shard_rows(graph: &Graph) -> usize {
    let store = graph.0.borrow();
    let widths = store
        .inputs
        .iter()
        .filter(|i| i.rows)
        .map(|i| store.nodes[i.node].shape.iter().skip(1).product::<usize>());
    let most = (SHARD_NUMBERS / widths.max().unwrap_or(1).max(1)).clamp(1, SHARD_ROWS);
    // Whole vectors of rows.
    if most < SHARD_VECTOR { most } else { most / SHARD_VECTOR * SHARD_VECTOR }
}

/// Resolves aliases, decides what is split, and numbers the levels. Returns `None` if rows cannot be split.
fn plan_nodes(
    graph: &Graph,
    outputs: &[Tensor],
    rows: usize,
    split: bool,
) -> Option<(Vec<Planned>, Vec<usize>)> {
    let store = graph.0.borrow();
    let mut nodes: Vec<Planned> = vec![];
    let mut position: HashMap<NodeId, usize> = HashMap::new();
    let mut split_broadcasts: HashMap<(usize, usize), usize> = HashMap::new();
    let as_input = |rows: Rows| if matches!(rows, Rows::Partial(_)) { Rows::Whole } else { rows };
    for id in graph.live(outputs) {
        let node = &store.nodes[id];
        if matches!(node.op, Op::StopGradient | Op::Variable(_)) {
            position.insert(id, position[&node.inputs[0]]);
            continue;
        }
        let mut inputs: Vec<usize> = node.inputs.iter().map(|i| position[i]).collect();
        // A broadcast of the whole batch is split if another input of its reader is.
        let met = inputs.iter().find_map(|&i| match nodes[i].rows {
            Rows::Split(axis) => Some(axis),
            _ => None,
        });
        if let Some(axis) = met {
            for input in &mut inputs {
                let candidate = &nodes[*input];
                let axis = if node.op.is_elementwise() { axis } else { 0 };
                let Some(&source) = candidate.inputs.first() else { continue };
                if candidate.node.op != Op::Broadcast
                    || candidate.rows != Rows::Whole
                    || candidate.node.shape.get(axis).is_none_or(|d| !d.is_multiple_of(rows))
                {
                    continue;
                }
                let from = &nodes[source].node.shape;
                let lead = candidate.node.shape.len() - from.len();
                if axis >= lead && from[axis - lead] != 1 {
                    continue;
                }
                let copy = Planned {
                    node: candidate.node.clone(),
                    inputs: candidate.inputs.clone(),
                    rows: Rows::Split(axis),
                    level: candidate.level,
                };
                *input = *split_broadcasts.entry((*input, axis)).or_insert_with(|| {
                    nodes.push(copy);
                    nodes.len() - 1
                });
            }
        }
        let states: Vec<(&Node, Rows)> =
            inputs.iter().map(|&i| (&nodes[i].node, as_input(nodes[i].rows))).collect();
        let state = match node.op {
            Op::Input(i) if split && store.inputs[i].rows => Rows::Split(0),
            Op::Input(_) => Rows::Whole,
            _ => propagate(&node.op, &node.shape, &states, rows)?,
        };
        let level = inputs
            .iter()
            .map(|&i| nodes[i].level + usize::from(matches!(nodes[i].rows, Rows::Partial(_))))
            .max()
            .unwrap_or(0);
        // Within a level, steps for rows come after steps for the whole batch: from the rows of level n, the whole
        // batch needs only their combined results, at level n + 1.
        position.insert(id, nodes.len());
        nodes.push(Planned { node: node.clone(), inputs, rows: state, level });
    }
    let outputs: Vec<usize> = outputs.iter().map(|t| position[&t.id()]).collect();
    as_late_as_possible(&mut nodes, &outputs);
    // The parts of an output are concatenated when it is read, so its rows must be in axis 0.
    let readable = |&o: &usize| !matches!(nodes[o].rows, Rows::Split(axis) if axis > 0);
    outputs.iter().all(readable).then_some((nodes, outputs))
}

/// Moves every node to the last level that its readers allow. Otherwise a batch statistic that a loss needs (the mean
/// of the advantages, for example) would separate a shard's forward pass from its backward pass, so that activations
/// would leave the cache in between, and would separate the optimizer's moments from the update they belong to.
fn as_late_as_possible(nodes: &mut [Planned], outputs: &[usize]) {
    let combined = |n: &Planned| usize::from(matches!(n.rows, Rows::Partial(_)));
    let last = nodes.iter().map(|n| n.level + combined(n)).max().unwrap_or(0);
    let mut latest = vec![last; nodes.len()];
    for &o in outputs {
        latest[o] = last - combined(&nodes[o]);
    }
    for i in (0..nodes.len()).rev() {
        nodes[i].level = latest[i].max(nodes[i].level);
        for &input in &nodes[i].inputs {
            // A partial result is combined at the end of its level, so it must be at an earlier level than its reader.
            latest[input] = latest[input].min(nodes[i].level - combined(&nodes[input]));
        }
    }
}

/// Groups elementwise nodes, orders all steps, and assigns slots.
fn schedule(graph: &Graph, nodes: Vec<Planned>, outputs: Vec<usize>, rows: usize, shards: usize) -> Plan {
    let groups = fuse(&nodes);
    let mut is_output = vec![false; nodes.len()];
    for &o in &outputs {
        is_output[o] = true;
    }

    // A unit is a fused group or a single node; its members are in order.
    let mut units: Vec<Vec<usize>> = vec![];
    let mut unit_of = vec![usize::MAX; nodes.len()];
    let mut unit_of_group: HashMap<usize, usize> = HashMap::new();
    for (i, group) in groups.iter().enumerate() {
        let unit = match group {
            Some(g) => *unit_of_group.entry(*g).or_insert_with(|| {
                units.push(vec![]);
                units.len() - 1
            }),
            None => {
                units.push(vec![]);
                units.len() - 1
            }
        };
        units[unit].push(i);
        unit_of[i] = unit;
    }

    // What a unit reads: a fused group looks through broadcasts, a single node does not.
    let through = |i: usize, fused: bool| {
        if fused && nodes[i].node.op == Op::Broadcast { nodes[i].inputs[0] } else { i }
    };
    let constant = |i: usize| constant_of(&nodes, i);
    let mut used = is_output.clone();
    let mut unit_inputs: Vec<Vec<usize>> = vec![vec![]; units.len()];
    for (u, members) in units.iter().enumerate() {
        let fused = groups[members[0]].is_some();
        for &m in members {
            for &input in &nodes[m].inputs {
                let source = through(input, fused);
                // A kernel loads each input once; a primitive needs each operand in its place.
                let known =
                    constant(source).is_some() || unit_of[source] == u || unit_inputs[u].contains(&source);
                if fused && known {
                    continue;
                }
                unit_inputs[u].push(source);
            }
        }
    }
    // Find the units that are needed. A broadcast that is only looked through is not computed.
    let mut needed = vec![false; units.len()];
    let mut pending: Vec<usize> = outputs.iter().map(|&o| unit_of[o]).collect();
    while let Some(u) = pending.pop() {
        if !std::mem::replace(&mut needed[u], true) {
            for &input in &unit_inputs[u] {
                used[input] = true;
                pending.push(unit_of[input]);
            }
        }
    }

    let order = topological(&units, &unit_inputs, &unit_of, &needed);
    let levels = nodes.iter().map(|n| n.level).max().unwrap_or(0) + 1;
    let mut plan = Plan {
        stages: (0..levels).map(|_| Stage::default()).collect(),
        inputs: vec![],
        outputs: outputs.iter().map(|&o| (o, matches!(nodes[o].rows, Rows::Split(_)))).collect(),
        output_shapes: outputs.iter().map(|&o| nodes[o].node.shape.clone()).collect(),
        constants: vec![],
        slots: nodes.len(),
        most_elements: 0,
        work: 0,
        rows,
        shards,
    };
    {
        let store = graph.0.borrow();
        for info in &store.inputs {
            let node = &store.nodes[info.node];
            plan.inputs.push(PlanInput {
                name: info.name.clone(),
                slot: None,
                shape: node.shape.clone(),
                dtype: node.dtype,
                split: false,
                pictures: false,
            });
        }
    }
    for u in order {
        let members = &units[u];
        let first = &nodes[members[0]];
        match first.node.op {
            Op::Input(i) => {
                plan.inputs[i].slot = Some(members[0]);
                plan.inputs[i].split = first.is_split();
                plan.inputs[i].pictures = !is_output[members[0]] && only_pictures(&nodes, members[0]);
                continue;
            }
            Op::Constant(value) => {
                plan.constants.push((members[0], Constant::Scalar(value.get())));
                continue;
            }
            Op::Values(ref bits) => {
                let (shape, dtype) = (first.node.shape.clone(), first.node.dtype);
                let values = bits.iter().map(|v| v.get()).collect();
                plan.constants.push((members[0], Constant::Array { values, shape, dtype }));
                continue;
            }
            _ => {}
        }
        let (action, outputs) = if groups[members[0]].is_some() {
            let (kernel, outputs) = assemble(&nodes, members, &unit_inputs[u], &used);
            (Action::Fused(kernel), outputs)
        } else {
            (Action::Primitive(first.node.op.clone()), vec![members[0]])
        };
        let row_axis = match first.rows {
            Rows::Split(axis) => Some(axis),
            _ => None,
        };
        let step = Step {
            action,
            inputs: unit_inputs[u].clone(),
            outputs,
            shape: first.node.shape.clone(),
            row_axis,
            free: vec![],
        };
        let stage = &mut plan.stages[first.level];
        if let Rows::Partial(reduction) = first.rows {
            stage.combine.push((members[0], reduction));
        }
        if first.is_split() { stage.split.push(step) } else { stage.whole.push(step) }
    }
    for stage in &mut plan.stages {
        stage.heavy = stage.split.iter().map(|step| work(step, &nodes)).sum::<usize>() > WORTH_A_THREAD;
    }
    plan.work =
        plan.stages.iter().flat_map(|s| s.whole.iter().chain(&s.split)).map(|s| work(s, &nodes)).sum();
    free_after_last_use(&mut plan, &nodes, &is_output);
    plan.most_elements = most_elements(&plan, &nodes);
    number_slots(&mut plan);
    plan
}

/// Whether only convolutions read this node, as their pictures.
fn only_pictures(nodes: &[Planned], node: usize) -> bool {
    nodes.iter().filter(|reader| reader.inputs.contains(&node)).all(|reader| {
        matches!(reader.node.op, Op::Conv2d(_) | Op::Conv2dWeight(_)) && reader.inputs[1] != node
    })
}

/// The most elements that are held at once, if all shards run at the same time.
fn most_elements(plan: &Plan, nodes: &[Planned]) -> usize {
    let size = |slots: &[Slot]| {
        let made = slots.iter().filter(|&&slot| !matches!(nodes[slot].node.op, Op::Input(_)));
        made.map(|&slot| nodes[slot].node.size()).fold(0, usize::saturating_add)
    };
    let (mut held, mut most) = (0usize, 0);
    for step in plan.stages.iter().flat_map(|stage| stage.whole.iter().chain(&stage.split)) {
        held = held.saturating_add(size(&step.outputs));
        most = most.max(held);
        held = held.saturating_sub(size(&step.free));
    }
    most
}

/// The number of operations below which waking a thread costs more than it saves: some tens of microseconds of work.
const WORTH_A_THREAD: usize = 200_000;

/// A rough count of a step's arithmetic operations.
fn work(step: &Step, nodes: &[Planned]) -> usize {
    let elements: usize = step.shape.iter().product();
    match &step.action {
        Action::Fused(kernel) => elements * kernel.instructions.len(),
        Action::Primitive(Op::MatMul) => elements * nodes[step.inputs[0]].node.shape.last().unwrap_or(&1),
        Action::Primitive(Op::Conv2d(w) | Op::Conv2dInput(w) | Op::Conv2dWeight(w)) => {
            elements * nodes[step.inputs[1]].node.shape[1] * w.kernel[0] * w.kernel[1]
        }
        Action::Primitive(_) => elements,
    }
}

fn constant_of(nodes: &[Planned], i: usize) -> Option<f64> {
    match nodes[i].node.op {
        Op::Constant(v) => Some(v.get()),
        Op::Broadcast => constant_of(nodes, nodes[i].inputs[0]),
        _ => None,
    }
}

/// The fused group of each elementwise node; `None` for all other nodes.
///
/// A node joins the group of an input, and the groups of several inputs are merged, unless the group would then wait
/// for a node outside it that waits for one of its members.
fn fuse(nodes: &[Planned]) -> Vec<Option<usize>> {
    let mut group: Vec<Option<usize>> = vec![None; nodes.len()];
    let mut members: HashMap<usize, Vec<usize>> = HashMap::new();
    for (i, planned) in nodes.iter().enumerate() {
        if !planned.node.op.is_elementwise() {
            continue;
        }
        let mut current = i;
        group[i] = Some(i);
        members.insert(i, vec![i]);
        let candidates: BTreeSet<usize> = planned
            .inputs
            .iter()
            .filter(|&&input| nodes[input].key() == planned.key())
            .filter_map(|&input| group[input])
            .collect();
        for candidate in candidates.into_iter().rev() {
            if candidate == current {
                continue;
            }
            let mut union = members[&candidate].clone();
            union.extend(&members[&current]);
            if waits_for_itself(nodes, &group, &members, &union) {
                continue;
            }
            for &m in &members[&current].clone() {
                group[m] = Some(candidate);
            }
            members.remove(&current);
            union.sort_unstable();
            members.insert(candidate, union);
            current = candidate;
        }
    }
    group
}

/// Whether a member of `union` reads something outside it that depends on a member.
fn waits_for_itself(
    nodes: &[Planned],
    group: &[Option<usize>],
    members: &HashMap<usize, Vec<usize>>,
    union: &[usize],
) -> bool {
    let mut inside = vec![false; nodes.len()];
    for &m in union {
        inside[m] = true;
    }
    let mut seen = vec![false; nodes.len()];
    let mut pending: Vec<usize> =
        union.iter().flat_map(|&m| nodes[m].inputs.iter().copied()).filter(|&i| !inside[i]).collect();
    while let Some(i) = pending.pop() {
        if inside[i] {
            return true;
        }
        if std::mem::replace(&mut seen[i], true) {
            continue;
        }
        // A group is computed at once, so it waits for everything that any of its members reads.
        match group[i].and_then(|g| members.get(&g)) {
            Some(unit) => {
                for &m in unit {
                    seen[m] = true;
                    pending.extend(nodes[m].inputs.iter().filter(|&&input| group[input] != group[i]));
                }
            }
            None => pending.extend(&nodes[i].inputs),
        }
    }
    false
}

fn topological(
    units: &[Vec<usize>],
    unit_inputs: &[Vec<usize>],
    unit_of: &[usize],
    needed: &[bool],
) -> Vec<usize> {
    let mut waiting = vec![0; units.len()];
    let mut readers: Vec<Vec<usize>> = vec![vec![]; units.len()];
    for u in (0..units.len()).filter(|&u| needed[u]) {
        let sources: BTreeSet<usize> = unit_inputs[u].iter().map(|&i| unit_of[i]).collect();
        waiting[u] = sources.len();
        for s in sources {
            readers[s].push(u);
        }
    }
    let mut ready: BTreeSet<usize> = (0..units.len()).filter(|&u| needed[u] && waiting[u] == 0).collect();
    let mut order = vec![];
    while let Some(u) = ready.pop_first() {
        order.push(u);
        for &r in &readers[u] {
            waiting[r] -= 1;
            if waiting[r] == 0 {
                ready.insert(r);
            }
        }
    }
    debug_assert_eq!(order.len(), needed.iter().filter(|&&n| n).count(), "fused groups form a cycle");
    order
}

/// Builds the program of a group, with the slots of its outputs.
fn assemble(nodes: &[Planned], members: &[usize], loads: &[usize], used: &[bool]) -> (Kernel, Vec<Slot>) {
    let mut outputs = vec![];
    let mut instructions = vec![];
    for &m in members {
        let function = match nodes[m].node.op {
            Op::Unary(u) => Function::Unary(u),
            Op::Binary(b) => Function::Binary(b),
            _ => Function::Select,
        };
        let mut operands = [Operand::Constant(0.0); 3];
        for (operand, &input) in operands.iter_mut().zip(&nodes[m].inputs) {
            *operand = if let Some(value) = constant_of(nodes, input) {
                Operand::Constant(value)
            } else if let Some(r) = members.iter().position(|&i| i == input) {
                Operand::Result(r)
            } else {
                let source =
                    if nodes[input].node.op == Op::Broadcast { nodes[input].inputs[0] } else { input };
                match members.iter().position(|&i| i == source) {
                    // A scalar group may broadcast one of its own results to its own shape.
                    Some(r) => Operand::Result(r),
                    None => Operand::Load(loads.iter().position(|&l| l == source).unwrap_or(0)),
                }
            };
        }
        let output = used[m].then(|| {
            outputs.push(m);
            outputs.len() - 1
        });
        instructions.push(Instruction { function, operands, output, register: 0 });
    }
    (Kernel::new(instructions), outputs)
}

/// Marks the step after which each value is no longer needed. Values of the whole batch that rows read are kept.
fn free_after_last_use(plan: &mut Plan, nodes: &[Planned], is_output: &[bool]) {
    let mut kept: Vec<bool> = is_output.to_vec();
    for step in plan.stages.iter().flat_map(|s| &s.split) {
        for &input in &step.inputs {
            kept[input] |= !matches!(nodes[input].rows, Rows::Split(_));
        }
    }
    let mut seen = vec![false; nodes.len()];
    for stage in plan.stages.iter_mut().rev() {
        for (steps, of_rows) in [(&mut stage.split, true), (&mut stage.whole, false)] {
            for step in steps.iter_mut().rev() {
                let own = |i: usize| matches!(nodes[i].rows, Rows::Split(_)) == of_rows;
                for &slot in step.inputs.iter().chain(&step.outputs) {
                    let first_sight = !std::mem::replace(&mut seen[slot], true);
                    let partial = matches!(nodes[slot].rows, Rows::Partial(_)) && of_rows;
                    if first_sight && !kept[slot] && own(slot) && !partial {
                        step.free.push(slot);
                    }
                }
            }
        }
    }
}

/// Renumbers the values that exist from 0. Most nodes exist only inside fused groups.
fn number_slots(plan: &mut Plan) {
    let mut numbers: HashMap<Slot, Slot> = HashMap::new();
    let mut renumber = |slot: &mut Slot| {
        let next = numbers.len();
        *slot = *numbers.entry(*slot).or_insert(next);
    };
    plan.inputs.iter_mut().filter_map(|i| i.slot.as_mut()).for_each(&mut renumber);
    plan.constants.iter_mut().for_each(|(slot, _)| renumber(slot));
    for stage in &mut plan.stages {
        for step in stage.whole.iter_mut().chain(&mut stage.split) {
            step.inputs.iter_mut().chain(&mut step.outputs).chain(&mut step.free).for_each(&mut renumber);
        }
        stage.combine.iter_mut().for_each(|(slot, _)| renumber(slot));
    }
    plan.outputs.iter_mut().for_each(|(slot, _)| renumber(slot));
    plan.slots = numbers.len();
}
