//! Builds graphs: checks shapes, and simplifies nodes as they are added, so that a graph never holds redundant ones.
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::Location;
use std::rc::Rc;

use super::op::{Binary, Bits, Op, Reduction, Unary, Window, broadcast_shapes};
use super::tensor::Tensor;

/// A node's position in its graph. A node comes after its inputs.
pub type NodeId = usize;

/// The element type of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// Floating point: normally `f32`, but `f64` on the device that tests use for finite differences.
    Float,
    /// 32-bit integers, which are indices.
    Int,
}

/// One operation of a graph, with its result's shape and type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// The nodes that it computes it from.
    pub inputs: Vec<NodeId>,
    /// The dimensions of the result.
    pub shape: Vec<usize>,
    /// The element type of the result.
    pub dtype: DType,
}

impl Node {
    /// The number of elements of the result.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }
}

/// An input of a graph.
#[derive(Clone, Debug)]
pub struct InputInfo {
    /// The name, for errors and drawings.
    pub name: String,
    /// The node of the input.
    pub node: NodeId,
    /// Whether axis 0 counts the rows of a batch, which may be split over threads.
    pub rows: bool,
    /// For indices, a number that all of them are below, if one is known.
    pub below: Option<usize>,
}

/// The error of a graph that is not well formed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("graph: `{op}` expected {expected}, got {got} (at {location}{scope})")]
pub struct GraphError {
    /// The operation.
    pub op: String,
    /// What the operation needs.
    pub expected: String,
    /// What the operation was given.
    pub got: String,
    /// Where the operation was traced: the source line of a built-in, or the place that a plugin names.
    pub location: String,
    /// The scopes that the tracing code was in, as `, in a / b`; empty if there were none.
    pub scope: String,
}

/// The most nodes of a graph. Only a runaway plugin needs more.
pub const MAX_NODES: usize = 20_000;
/// The most operands of all nodes together. This bounds the memory and time that nodes with many operands take.
const MAX_OPERANDS: usize = 20 * MAX_NODES;
/// The most axes of a tensor.
pub const MAX_RANK: usize = 16;
/// The most elements of a tensor: 16 GiB of `f32`, or 1 GiB on 32-bit targets.
const MAX_ELEMENTS: usize = 1 << if usize::BITS < 64 { 28 } else { 32 };
/// The most elements of all constant arrays in a graph.
const MAX_ARRAY_ELEMENTS: usize = 1 << 22;

#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) nodes: Vec<Node>,
    pub(crate) inputs: Vec<InputInfo>,
    interned: HashMap<Node, NodeId>,
    scopes: Vec<String>,
    operands: usize,
    array_elements: usize,
    /// Where the tracing code is, if it is not part of this program's source.
    place: Option<String>,
    error: Option<GraphError>,
}

/// A graph under construction. A clone is another handle to the same graph.
#[derive(Clone, Debug, Default)]
pub struct Graph(pub(crate) Rc<RefCell<Store>>);

impl Graph {
    /// Creates an empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a floating-point input that is the same for the whole batch, such as a parameter or a scalar.
    #[track_caller]
    pub fn input(&self, name: impl Into<String>, shape: &[usize]) -> Tensor {
        self.add_input(name.into(), shape, DType::Float, false, None)
    }

    /// Adds a floating-point input whose axis 0 counts the rows of a batch.
    #[track_caller]
    pub fn rows(&self, name: impl Into<String>, shape: &[usize]) -> Tensor {
        self.add_input(name.into(), shape, DType::Float, true, None)
    }

    /// Adds an integer input whose axis 0 counts the rows of a batch.
    #[track_caller]
    pub fn int_rows(&self, name: impl Into<String>, shape: &[usize]) -> Tensor {
        self.add_input(name.into(), shape, DType::Int, true, None)
    }

    /// Adds an integer input as [`Self::int_rows`] does, whose indices are all below `below`. Whoever runs the graph
    /// must ensure this. An axis that they index must have at least this length.
    #[track_caller]
    pub fn indices_below(&self, below: usize, name: impl Into<String>, shape: &[usize]) -> Tensor {
        self.add_input(name.into(), shape, DType::Int, true, Some(below))
    }

    #[track_caller]
    fn add_input(
        &self,
        name: String,
        shape: &[usize],
        dtype: DType,
        rows: bool,
        below: Option<usize>,
    ) -> Tensor {
        let location = Location::caller();
        let mut store = self.0.borrow_mut();
        let wrong = match rows && shape.is_empty() {
            true => Err(("an axis that counts rows".into(), format!("`{name}` {shape:?}"))),
            false => store.room().and_then(|()| small(shape)),
        };
        if let Err((expected, got)) = wrong {
            store.fail("input".into(), expected, got, location);
            let nothing = store.constant(f64::NAN);
            drop(store);
            return self.handle(nothing);
        }
        let op = Op::Input(store.inputs.len());
        let node = store.intern(op, vec![], shape.to_vec(), dtype);
        store.inputs.push(InputInfo { name, node, rows, below });
        self.handle(node)
    }

    /// A constant scalar.
    #[track_caller]
    pub fn constant(&self, value: f64) -> Tensor {
        self.full(value, &[])
    }

    /// A tensor of `shape` with `value` everywhere.
    #[track_caller]
    pub fn full(&self, value: f64, shape: &[usize]) -> Tensor {
        let location = Location::caller();
        let mut store = self.0.borrow_mut();
        let node = match store.room().and_then(|()| small(shape)) {
            Ok(()) => store.full(value, shape),
            Err((expected, got)) => {
                store.fail("full".into(), expected, got, location);
                store.constant(f64::NAN)
            }
        };
        drop(store);
        self.handle(node)
    }

    /// A constant array of numbers, row-major.
    #[track_caller]
    pub fn values(&self, values: &[f64], shape: &[usize]) -> Tensor {
        self.array("values", values.iter().copied(), shape, DType::Float)
    }

    /// A constant array of indices, row-major.
    #[track_caller]
    pub fn indices(&self, indices: &[u32], shape: &[usize]) -> Tensor {
        self.array("indices", indices.iter().map(|&i| f64::from(i)), shape, DType::Int)
    }

    #[track_caller]
    fn array(
        &self,
        op: &str,
        elements: impl ExactSizeIterator<Item = f64>,
        shape: &[usize],
        dtype: DType,
    ) -> Tensor {
        let location = Location::caller();
        let mut store = self.0.borrow_mut();
        let count = elements.len();
        let fits = store.room().and_then(|()| small(shape)).and_then(|()| {
            let (size, total) = (shape.iter().product::<usize>(), store.array_elements + count);
            match (count == size, total <= MAX_ARRAY_ELEMENTS) {
                (true, true) => Ok(()),
                (false, _) => Err((format!("{size} elements for {shape:?}"), count.to_string())),
                _ => Err((
                    format!("at most {MAX_ARRAY_ELEMENTS} elements of arrays in a graph"),
                    total.to_string(),
                )),
            }
        });
        let node = match fits {
            Ok(()) => {
                store.array_elements += count;
                let op = Op::Values(elements.map(Bits::new).collect());
                store.intern(op, vec![], shape.to_vec(), dtype)
            }
            Err((expected, got)) => {
                store.fail(op.into(), expected, got, location);
                store.constant(f64::NAN)
            }
        };
        drop(store);
        self.handle(node)
    }

    pub(crate) fn handle(&self, id: NodeId) -> Tensor {
        Tensor::from_parts(self.clone(), id)
    }

    /// Calls `trace`, and names it `name` in the errors of what it traces.
    pub fn scope<T>(&self, name: impl Into<String>, trace: impl FnOnce() -> T) -> T {
        self.0.borrow_mut().scopes.push(name.into());
        let value = trace();
        self.0.borrow_mut().scopes.pop();
        value
    }

    /// Checks whether tracing has recorded an error so far.
    ///
    /// # Errors
    /// The first error of tracing.
    pub fn check(&self) -> Result<(), GraphError> {
        self.0.borrow().error.clone().map_or(Ok(()), Err)
    }

    /// Records an error of the tracing code. Only the first error is kept.
    #[track_caller]
    pub fn fail(&self, op: impl Into<String>, expected: impl Into<String>, got: impl Into<String>) {
        let location = Location::caller();
        self.0.borrow_mut().fail(op.into(), expected.into(), got.into(), location);
    }

    /// Sets where the tracing code is, for errors: a line of a plugin's source, for example.
    pub fn place(&self, place: Option<String>) {
        self.0.borrow_mut().place = place;
    }

    /// The number of nodes, including those that nothing uses.
    pub fn len(&self) -> usize {
        self.0.borrow().nodes.len()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy of node `id`.
    pub fn node(&self, id: NodeId) -> Node {
        self.0.borrow().nodes[id].clone()
    }

    /// Adds `op`, or returns the node that already computes it. A shape error poisons the graph and returns a scalar,
    /// so that tracing can continue to its end.
    pub(crate) fn push(
        &self,
        op: Op,
        inputs: &[NodeId],
        target: &[usize],
        location: &'static Location<'static>,
    ) -> Tensor {
        let mut store = self.0.borrow_mut();
        let id = match store.push(op.clone(), inputs, target) {
            Ok(id) => id,
            Err((expected, got)) => {
                store.fail(op.name(), expected, got, location);
                store.constant(f64::NAN)
            }
        };
        drop(store);
        self.handle(id)
    }
}

/// What an operation expected and what it got.
type Mismatch = (String, String);

impl Store {
    fn fail(&mut self, op: String, expected: String, got: String, location: &'static Location<'static>) {
        if self.error.is_none() {
            let file = location.file().rsplit("src/").next().unwrap_or_default();
            let scope = match self.scopes.join(" / ") {
                s if s.is_empty() => s,
                s => format!(", in {s}"),
            };
            let location = self.place.clone().unwrap_or_else(|| format!("{file}:{}", location.line()));
            let (expected, got) = (cut(expected), cut(got));
            self.error = Some(GraphError { op, expected, got, location, scope });
        }
    }

    fn intern(&mut self, op: Op, inputs: Vec<NodeId>, shape: Vec<usize>, dtype: DType) -> NodeId {
        let node = Node { op, inputs, shape, dtype };
        if let Some(&id) = self.interned.get(&node) {
            return id;
        }
        let id = self.nodes.len();
        self.operands += node.inputs.len();
        self.nodes.push(node.clone());
        self.interned.insert(node, id);
        id
    }

    fn constant(&mut self, value: f64) -> NodeId {
        self.intern(Op::Constant(Bits::new(value)), vec![], vec![], DType::Float)
    }

    fn full(&mut self, value: f64, shape: &[usize]) -> NodeId {
        let scalar = self.constant(value);
        self.broadcast(scalar, shape)
    }

    fn broadcast(&mut self, id: NodeId, shape: &[usize]) -> NodeId {
        if self.nodes[id].shape == shape {
            return id;
        }
        // A broadcast of a broadcast, or of a reshape that only adds leading axes, is one broadcast.
        let source = match &self.nodes[id] {
            Node { op: Op::Broadcast, inputs, .. } => inputs[0],
            _ => id,
        };
        let dtype = self.nodes[source].dtype;
        self.intern(Op::Broadcast, vec![source], shape.to_vec(), dtype)
    }

    fn reshape(&mut self, id: NodeId, shape: &[usize]) -> NodeId {
        if self.nodes[id].shape == shape {
            return id;
        }
        if let Some(value) = self.constant_value(id) {
            return self.full(value, shape);
        }
        let source = match &self.nodes[id] {
            Node { op: Op::Reshape, inputs, .. } => inputs[0],
            _ => id,
        };
        if self.nodes[source].shape == shape {
            return source;
        }
        let dtype = self.nodes[source].dtype;
        self.intern(Op::Reshape, vec![source], shape.to_vec(), dtype)
    }

    /// The number that a node holds in every element, if it is known while tracing.
    pub(crate) fn constant_value(&self, id: NodeId) -> Option<f64> {
        match &self.nodes[id] {
            Node { op: Op::Constant(v), .. } => Some(v.get()),
            Node { op: Op::Broadcast, inputs, .. } => self.constant_value(inputs[0]),
            _ => None,
        }
    }

    /// Checks that the graph may have one more node.
    fn room(&self) -> Result<(), Mismatch> {
        match self.nodes.len() < MAX_NODES {
            true => Ok(()),
            false => Err((format!("at most {MAX_NODES} nodes in a graph"), "one more".into())),
        }
    }

    fn push(&mut self, op: Op, inputs: &[NodeId], target: &[usize]) -> Result<NodeId, Mismatch> {
        self.room()?;
        if self.operands + inputs.len() > MAX_OPERANDS {
            let got = (self.operands + inputs.len()).to_string();
            return Err((format!("at most {MAX_OPERANDS} operands of all operations"), got));
        }
        small(target)?;
        let (shape, dtype) = self.infer(&op, inputs, target)?;
        small(&shape)?;
        Ok(match op {
            Op::Broadcast => self.broadcast(inputs[0], &shape),
            Op::Reshape => self.reshape(inputs[0], &shape),
            op => match self.simplify(&op, inputs, &shape) {
                Some(id) => id,
                None => self.intern(op, inputs.to_vec(), shape, dtype),
            },
        })
    }

    /// Infers the shape and type of the result, or says what is wrong with the operands.
    fn infer(&self, op: &Op, inputs: &[NodeId], target: &[usize]) -> Result<(Vec<usize>, DType), Mismatch> {
        let node = |i: usize| &self.nodes[inputs[i]];
        let shape = |i: usize| node(i).shape.clone();
        let float = |i: usize| match node(i).dtype {
            DType::Float => Ok(()),
            DType::Int => Err(("a float tensor".to_owned(), format!("an index tensor {:?}", shape(i)))),
        };
        let index = |i: usize| match node(i).dtype {
            DType::Int => Ok(()),
            DType::Float => Err(("an index tensor".to_owned(), format!("a float tensor {:?}", shape(i)))),
        };
        let axis_in = |axis: usize, s: &[usize]| {
            if axis < s.len() { Ok(()) } else { Err((format!("an axis of {s:?}"), format!("axis {axis}"))) }
        };
        let rank4 = |i: usize| {
            <[usize; 4]>::try_from(shape(i))
                .map_err(|s| ("a tensor [N, C, H, W]".to_owned(), format!("{s:?}")))
        };
        let out = match op {
            Op::Input(_) | Op::Constant(_) | Op::Values(_) => unreachable!("leaves are interned, not pushed"),
            Op::Unary(_) | Op::StopGradient | Op::Variable(_) => {
                float(0)?;
                shape(0)
            }
            Op::Binary(_) | Op::Select => {
                for i in 0..inputs.len() {
                    float(i)?;
                    if shape(i) != shape(0) {
                        return Err((format!("equal shapes, {:?}", shape(0)), format!("{:?}", shape(i))));
                    }
                }
                shape(0)
            }
            Op::Broadcast => {
                if broadcast_shapes(&shape(0), target).as_deref() != Some(target) {
                    return Err((
                        format!("a shape that broadcasts to {target:?}"),
                        format!("{:?}", shape(0)),
                    ));
                }
                return Ok((target.to_vec(), node(0).dtype));
            }
            Op::Reshape => {
                let (from, to) = (node(0).size(), target.iter().product::<usize>());
                if from != to {
                    return Err((
                        format!("{to} elements for {target:?}"),
                        format!("{from} in {:?}", shape(0)),
                    ));
                }
                return Ok((target.to_vec(), node(0).dtype));
            }
            Op::Permute(axes) => {
                let s = shape(0);
                let mut sorted = axes.clone();
                sorted.sort_unstable();
                if sorted != (0..s.len()).collect::<Vec<_>>() {
                    return Err((format!("each axis of {s:?} once"), format!("{axes:?}")));
                }
                return Ok((axes.iter().map(|&a| s[a]).collect(), node(0).dtype));
            }
            Op::Slice { axis, start } | Op::Pad { axis, start } => {
                float(0)?;
                let s = shape(0);
                axis_in(*axis, &s)?;
                let (small, large) =
                    if matches!(op, Op::Slice { .. }) { (target, &s[..]) } else { (&s[..], target) };
                let same =
                    small.len() == large.len() && (0..s.len()).all(|i| i == *axis || small[i] == large[i]);
                if !same || start.checked_add(small[*axis]).is_none_or(|end| end > large[*axis]) {
                    return Err((
                        format!("a range of axis {axis} within {large:?}"),
                        format!("{} from {start}", small.get(*axis).copied().unwrap_or(0)),
                    ));
                }
                target.to_vec()
            }
            Op::Concat { axis } => {
                if inputs.is_empty() {
                    return Err(("at least one tensor".into(), "none".into()));
                }
                let mut s = shape(0);
                axis_in(*axis, &s)?;
                s[*axis] = 0;
                for i in 0..inputs.len() {
                    float(i)?;
                    let mut t = shape(i);
                    let length = t.get(*axis).copied().unwrap_or(0);
                    if t.len() == s.len() {
                        t[*axis] = s[*axis];
                    }
                    if t != s {
                        return Err((
                            format!("tensors of shape {:?} except in axis {axis}", shape(0)),
                            format!("{:?}", shape(i)),
                        ));
                    }
                    s[*axis] += length;
                }
                s
            }
            Op::Reduce { reduction, axes } => {
                float(0)?;
                let mut s = shape(0);
                for &axis in axes {
                    axis_in(axis, &s)?;
                    if *reduction == Reduction::Max && s[axis] == 0 {
                        return Err(("at least one element".into(), format!("{:?}", shape(0))));
                    }
                    s[axis] = 1;
                }
                s
            }
            Op::MatMul => {
                float(0)?;
                float(1)?;
                let (a, b) = (shape(0), shape(1));
                let rank = a.len();
                let fits = rank >= 2
                    && b.len() == rank
                    && a[..rank - 2] == b[..rank - 2]
                    && a[rank - 1] == b[rank - 2];
                if !fits {
                    return Err(("[…, m, k] × […, k, n]".into(), format!("{a:?} × {b:?}")));
                }
                let mut s = a;
                s[rank - 1] = b[rank - 1];
                s
            }
            Op::Conv2d(w) => {
                float(0)?;
                float(1)?;
                let ([n, c, h, wd], [o, ci, kh, kw]) = (rank4(0)?, rank4(1)?);
                if c != ci || [kh, kw] != w.kernel {
                    return Err((
                        format!("weight [O, {c}, {}, {}]", w.kernel[0], w.kernel[1]),
                        format!("{:?}", shape(1)),
                    ));
                }
                let [oh, ow] = fit(w, [n, c, h, wd])?;
                vec![n, o, oh, ow]
            }
            Op::Conv2dInput(w) => {
                let ([n, o, gh, gw], [ow, c, ..]) = (rank4(0)?, rank4(1)?);
                let t = <[usize; 4]>::try_from(target).map_err(|_| four(target))?;
                if o != ow || t[..2] != [n, c] || w.output([t[2], t[3]]) != Some([gh, gw]) {
                    return Err((
                        format!("the gradient of a convolution of {target:?}"),
                        format!("{:?} and weight {:?}", shape(0), shape(1)),
                    ));
                }
                target.to_vec()
            }
            Op::Conv2dWeight(w) => {
                let ([n, c, h, wd], [gn, o, gh, gw]) = (rank4(0)?, rank4(1)?);
                let expected = [o, c, w.kernel[0], w.kernel[1]];
                if n != gn || w.output([h, wd]) != Some([gh, gw]) || target != expected {
                    return Err((
                        format!("the gradient of a convolution of {:?}", shape(0)),
                        format!("{:?}", shape(1)),
                    ));
                }
                target.to_vec()
            }
            Op::AvgPool2d(w) => {
                float(0)?;
                let [n, c, h, wd] = rank4(0)?;
                let [oh, ow] = fit(w, [n, c, h, wd])?;
                vec![n, c, oh, ow]
            }
            Op::AvgPool2dInput(w) => {
                let [n, c, gh, gw] = rank4(0)?;
                let t = <[usize; 4]>::try_from(target).map_err(|_| four(target))?;
                if t[..2] != [n, c] || w.output([t[2], t[3]]) != Some([gh, gw]) {
                    return Err((
                        format!("the gradient of a pooling of {target:?}"),
                        format!("{:?}", shape(0)),
                    ));
                }
                target.to_vec()
            }
            Op::MaxPool2dIndex(w) => {
                float(0)?;
                let [n, c, h, wd] = rank4(0)?;
                // A window that contains only padding has no maximum.
                if w.padding[0] >= w.kernel[0].max(1) || w.padding[1] >= w.kernel[1].max(1) {
                    return Err((
                        format!("padding smaller than the kernel {:?}", w.kernel),
                        format!("{:?}", w.padding),
                    ));
                }
                let [oh, ow] = fit(w, [n, c, h, wd])?;
                return Ok((vec![n, c, oh, ow], DType::Int));
            }
            Op::Gather { axis } => {
                float(0)?;
                index(1)?;
                let (x, i) = (shape(0), shape(1));
                axis_in(*axis, &x)?;
                if i.len() != x.len() || (0..x.len()).any(|a| a != *axis && x[a] != i[a]) {
                    return Err((format!("an index of shape {x:?} except in axis {axis}"), format!("{i:?}")));
                }
                self.points_within(x[*axis], inputs[1])?;
                i
            }
            Op::Scatter { axis } => {
                float(0)?;
                index(1)?;
                let (y, i) = (shape(0), shape(1));
                axis_in(*axis, target)?;
                if y != i || y.len() != target.len() || (0..y.len()).any(|a| a != *axis && y[a] != target[a])
                {
                    return Err((format!("values and index for {target:?}"), format!("{y:?} and {i:?}")));
                }
                self.points_within(target[*axis], inputs[1])?;
                target.to_vec()
            }
            Op::OneHot => {
                index(0)?;
                let s = shape(0);
                if target.len() != s.len() + 1 || target[..s.len()] != s[..] {
                    return Err((format!("{s:?} and a number of classes"), format!("{target:?}")));
                }
                self.points_within(target[s.len()], inputs[0])?;
                target.to_vec()
            }
        };
        Ok((out, DType::Float))
    }

    /// A number that all indices of a node are below, if one is known.
    fn below(&self, index: NodeId) -> Option<usize> {
        let mut node = &self.nodes[index];
        // There is no recursion here, because a plugin decides how long the chain is.
        while matches!(node.op, Op::Broadcast | Op::Reshape | Op::Permute(_)) {
            node = &self.nodes[node.inputs[0]];
        }
        match &node.op {
            Op::Input(i) => self.inputs[*i].below,
            Op::Values(values) => values.iter().map(|v| v.get() as usize + 1).max(),
            Op::MaxPool2dIndex(_) => Some(self.nodes[node.inputs[0]].shape[2..].iter().product()),
            _ => None,
        }
    }

    /// Checks that `index` stays within an axis of `length`.
    fn points_within(&self, length: usize, index: NodeId) -> Result<(), Mismatch> {
        something(length, &self.nodes[index])?;
        match self.below(index) {
            Some(below) if below > length => Err((
                format!("an axis of at least {below}, which the index needs"),
                format!("one of {length}"),
            )),
            _ => Ok(()),
        }
    }

    /// Finds an equal node that is cheaper or already there.
    fn simplify(&mut self, op: &Op, inputs: &[NodeId], shape: &[usize]) -> Option<NodeId> {
        match op {
            Op::Unary(unary) => self.simplify_unary(*unary, inputs[0], shape),
            Op::Binary(binary) => self.simplify_binary(*binary, inputs[0], inputs[1], shape),
            Op::Select => match self.constant_value(inputs[0]) {
                Some(mask) => Some(if mask != 0.0 { inputs[1] } else { inputs[2] }),
                None => (inputs[1] == inputs[2]).then_some(inputs[1]),
            },
            Op::StopGradient => {
                let free = self.constant_value(inputs[0]).is_some()
                    || matches!(self.nodes[inputs[0]].op, Op::StopGradient);
                free.then_some(inputs[0])
            }
            Op::Permute(axes) => {
                if let Some(value) = self.constant_value(inputs[0]) {
                    return Some(self.full(value, shape));
                }
                if axes.iter().enumerate().all(|(i, &a)| i == a) {
                    return Some(inputs[0]);
                }
                let Node { op: Op::Permute(inner), inputs: source, .. } = &self.nodes[inputs[0]] else {
                    return None;
                };
                let (source, merged) = (source[0], axes.iter().map(|&a| inner[a]).collect::<Vec<_>>());
                self.push(Op::Permute(merged), &[source], &[]).ok()
            }
            Op::Slice { .. } => {
                let whole = self.nodes[inputs[0]].shape == shape;
                match self.constant_value(inputs[0]) {
                    _ if whole => Some(inputs[0]),
                    Some(value) => Some(self.full(value, shape)),
                    None => None,
                }
            }
            Op::Pad { .. } => {
                let whole = self.nodes[inputs[0]].shape == shape;
                match self.constant_value(inputs[0]) {
                    _ if whole => Some(inputs[0]),
                    Some(0.0) => Some(self.full(0.0, shape)),
                    _ => None,
                }
            }
            Op::Concat { .. } => (inputs.len() == 1).then(|| inputs[0]),
            Op::Reduce { reduction, axes } => {
                let source = &self.nodes[inputs[0]];
                if source.shape == shape {
                    return Some(inputs[0]);
                }
                let count: usize = axes.iter().map(|&a| source.shape[a]).product();
                let value = self.constant_value(inputs[0])?;
                Some(match reduction {
                    Reduction::Sum => self.full(value * count as f64, shape),
                    Reduction::Max => self.full(value, shape),
                })
            }
            Op::MatMul | Op::Conv2d(_) | Op::Conv2dInput(_) | Op::Conv2dWeight(_) => {
                let zero = inputs.iter().any(|&i| self.constant_value(i) == Some(0.0));
                zero.then(|| self.full(0.0, shape))
            }
            Op::AvgPool2dInput(_) | Op::Scatter { .. } => {
                (self.constant_value(inputs[0]) == Some(0.0)).then(|| self.full(0.0, shape))
            }
            _ => None,
        }
    }

    fn simplify_unary(&mut self, unary: Unary, x: NodeId, shape: &[usize]) -> Option<NodeId> {
        if let Some(value) = self.constant_value(x).and_then(|v| fold_unary(unary, v)) {
            return Some(self.full(value, shape));
        }
        let node = self.nodes[x].clone();
        match (unary, &node.op) {
            (Unary::Neg, Op::Unary(Unary::Neg)) => Some(node.inputs[0]),
            (Unary::Relu, Op::Unary(Unary::Relu)) => Some(x),
            // A function of a repeated tensor is the function's result repeated: compute it once per element.
            (_, Op::Broadcast) => {
                let inner = self.push(Op::Unary(unary), &node.inputs, &[]).ok()?;
                Some(self.broadcast(inner, shape))
            }
            _ => None,
        }
    }

    fn simplify_binary(&mut self, op: Binary, a: NodeId, b: NodeId, shape: &[usize]) -> Option<NodeId> {
        use Binary::{Add, Div, Equal, Max, Min, Mul, Sub};
        let (ca, cb) = (self.constant_value(a), self.constant_value(b));
        if let (Some(x), Some(y)) = (ca, cb) {
            return Some(self.full(fold_binary(op, x, y), shape));
        }
        match (op, ca, cb) {
            (Add | Sub, _, Some(0.0)) | (Mul | Div, _, Some(1.0)) => return Some(a),
            (Add, Some(0.0), _) | (Mul, Some(1.0), _) => return Some(b),
            (Mul, Some(0.0), _) | (Mul, _, Some(0.0)) | (Div, Some(0.0), _) => {
                return Some(self.full(0.0, shape));
            }
            (Mul, _, Some(-1.0)) => return self.push(Op::Unary(Unary::Neg), &[a], &[]).ok(),
            (Sub, Some(0.0), _) | (Mul, Some(-1.0), _) => {
                return self.push(Op::Unary(Unary::Neg), &[b], &[]).ok();
            }
            (Div, _, Some(c)) => {
                let inverse = self.full(1.0 / c, shape);
                return self.push(Op::Binary(Mul), &[a, inverse], &[]).ok();
            }
            // Constants of a chain are combined at its right end: (x·c)·d = x·(c·d).
            (Mul, _, Some(d)) => {
                if let Node { op: Op::Binary(Mul), inputs, .. } = &self.nodes[a]
                    && let Some(c) = self.constant_value(inputs[1])
                {
                    let (x, product) = (inputs[0], c * d);
                    let product = self.full(product, shape);
                    return self.push(Op::Binary(Mul), &[x, product], &[]).ok();
                }
            }
            _ => {}
        }
        // Operands get a canonical order with constants on the right, so that a·b and b·a are one node.
        if matches!(op, Add | Mul | Max | Min | Equal) && cb.is_none() && (ca.is_some() || a > b) {
            return self.push(Op::Binary(op), &[b, a], &[]).ok();
        }
        if let (Add | Sub, Op::Unary(Unary::Neg)) = (op, &self.nodes[b].op) {
            let inner = self.nodes[b].inputs[0];
            let opposite = if op == Add { Sub } else { Add };
            return self.push(Op::Binary(opposite), &[a, inner], &[]).ok();
        }
        if let (Add, Op::Unary(Unary::Neg)) = (op, &self.nodes[a].op) {
            let inner = self.nodes[a].inputs[0];
            return self.push(Op::Binary(Sub), &[b, inner], &[]).ok();
        }
        // If both operands are repeated in the same way, compute once per element and repeat the result.
        let narrow = |id: NodeId| match &self.nodes[id] {
            Node { op: Op::Broadcast, inputs, .. } => Some(inputs[0]),
            _ => None,
        };
        let (na, nb) = (narrow(a)?, narrow(b)?);
        let (sa, sb) = (self.nodes[na].shape.clone(), self.nodes[nb].shape.clone());
        let inner = broadcast_shapes(&sa, &sb)?;
        if inner.iter().product::<usize>() >= shape.iter().product() || (sa != sb && ca.or(cb).is_none()) {
            return None;
        }
        let (na, nb) = (self.broadcast(na, &inner), self.broadcast(nb, &inner));
        let narrow = self.push(Op::Binary(op), &[na, nb], &[]).ok()?;
        Some(self.broadcast(narrow, shape))
    }
}

/// Checks that a tensor of `shape` is small enough. Dimensions of 0 count as 1, so that no product of the others
/// overflows.
fn small(shape: &[usize]) -> Result<(), Mismatch> {
    if shape.len() > MAX_RANK {
        return Err((format!("at most {MAX_RANK} axes"), shape.len().to_string()));
    }
    match shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1))) {
        Some(n) if n <= MAX_ELEMENTS => Ok(()),
        _ => Err((format!("at most {MAX_ELEMENTS} elements"), format!("shape {shape:?}"))),
    }
}

/// Shortens text from a plugin for an error: it may hold very many numbers.
fn cut(text: String) -> String {
    const LONGEST: usize = 300;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// Checks that an axis of `length` has elements, if `index` has any.
fn something(length: usize, index: &Node) -> Result<(), Mismatch> {
    match length == 0 && index.size() > 0 {
        true => Err(("a non-empty axis to index".into(), "an axis of length 0".into())),
        false => Ok(()),
    }
}

/// The error of an operation on images that got another rank.
fn four(shape: &[usize]) -> Mismatch {
    ("a tensor [N, C, H, W]".into(), format!("{shape:?}"))
}

/// The height and width of the result of `window` on an input `[N, C, H, W]`, whose padded copy must be small enough
/// too.
fn fit(window: &Window, [n, c, height, width]: [usize; 4]) -> Result<[usize; 2], Mismatch> {
    let output = window.output([height, width]).ok_or_else(|| {
        (format!("an input of at least {:?} with stride ≥ 1", window.kernel), format!("[{height}, {width}]"))
    })?;
    let padded = |size: usize, padding: usize| size.saturating_add(padding.saturating_mul(2));
    small(&[n, c, padded(height, window.padding[0]), padded(width, window.padding[1])])?;
    Ok(output)
}

fn fold_unary(unary: Unary, x: f64) -> Option<f64> {
    Some(match unary {
        Unary::Neg => -x,
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Sqrt => x.sqrt(),
        Unary::Abs => x.abs(),
        Unary::Sign => {
            if x == 0.0 {
                0.0
            } else {
                x.signum()
            }
        }
        Unary::Recip => 1.0 / x,
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Unary::Relu => x.max(0.0),
        Unary::Erf => return None,
        Unary::Power(p) => x.powf(p.get()),
    })
}

fn fold_binary(op: Binary, a: f64, b: f64) -> f64 {
    let truth = |t: bool| if t { 1.0 } else { 0.0 };
    match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Max => a.max(b),
        Binary::Min => a.min(b),
        Binary::Less => truth(a < b),
        Binary::LessEqual => truth(a <= b),
        Binary::Equal => truth(a == b),
    }
}
