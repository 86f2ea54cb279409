//! Nodes with checked shapes. Simplification happens here, so that a graph never holds what it need not.
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::Location;
use std::rc::Rc;

use super::op::{Binary, Bits, Op, Reduction, Unary, Window, broadcast_shapes};
use super::tensor::Tensor;

/// A node's position in its graph; inputs come before the nodes that use them.
pub type NodeId = usize;

/// Element type of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// Floating point: `f32` when run for real, `f64` when tests look for small differences.
    Float,
    /// 32-bit integer: indices.
    Int,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// From which nodes.
    pub inputs: Vec<NodeId>,
    /// Dimensions of the result.
    pub shape: Vec<usize>,
    /// Element type of the result.
    pub dtype: DType,
}

impl Node {
    /// Number of elements.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }
}

/// An input of a graph.
#[derive(Clone, Debug)]
pub struct InputInfo {
    /// For errors and drawings.
    pub name: String,
    /// Its node.
    pub node: NodeId,
    /// Whether axis 0 counts the rows of a batch, which may be split over threads.
    pub rows: bool,
    /// Of indices: every one is below this, where that is known.
    pub below: Option<usize>,
}

/// A graph that is not well formed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("graph: `{op}` expected {expected}, got {got} (at {location}{scope})")]
pub struct GraphError {
    /// The operation.
    pub op: String,
    /// What it needs.
    pub expected: String,
    /// What it was given.
    pub got: String,
    /// Source line of a built-in, or the plugin.
    pub location: String,
    /// ` in a / b`: the scopes the tracing code was in.
    pub scope: String,
}

/// Nodes beyond which a graph is refused: a runaway plugin, not a learner.
pub const MAX_NODES: usize = 20_000;
/// Operands of all nodes together, which bounds the memory and the time that nodes of many operands take.
const MAX_OPERANDS: usize = 20 * MAX_NODES;
/// Axes beyond which a tensor is refused.
pub const MAX_RANK: usize = 16;
/// Elements beyond which one tensor is refused: 16 GiB of `f32`, or 1 GiB where addresses have 32 bits.
const MAX_ELEMENTS: usize = 1 << if usize::BITS < 64 { 28 } else { 32 };
/// Elements beyond which the arrays that a graph holds are refused.
const MAX_ARRAY_ELEMENTS: usize = 1 << 22;

#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) nodes: Vec<Node>,
    pub(crate) inputs: Vec<InputInfo>,
    interned: HashMap<Node, NodeId>,
    scopes: Vec<String>,
    operands: usize,
    array_elements: usize,
    /// Where the tracing code is, when that is not this program's source.
    place: Option<String>,
    error: Option<GraphError>,
}

/// A graph under construction. Cloning gives another handle on the same graph.
#[derive(Clone, Debug, Default)]
pub struct Graph(pub(crate) Rc<RefCell<Store>>);

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// A floating-point input that is the same for the whole batch: a parameter, a scalar.
    #[track_caller]
    pub fn input(&self, name: impl Into<String>, shape: &[usize]) -> Tensor {
        self.add_input(name.into(), shape, DType::Float, false, None)
    }

    /// A floating-point input whose axis 0 counts the rows of a batch.
    #[track_caller]
    pub fn rows(&self, name: impl Into<String>, shape: &[usize]) -> Tensor {
        self.add_input(name.into(), shape, DType::Float, true, None)
    }

    /// An integer input whose axis 0 counts the rows of a batch.
    #[track_caller]
    pub fn int_rows(&self, name: impl Into<String>, shape: &[usize]) -> Tensor {
        self.add_input(name.into(), shape, DType::Int, true, None)
    }

    /// As [`Self::int_rows`]; whoever runs the graph makes sure that every index is below `below`, and what is
    /// indexed has to be that long.
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

    /// A scalar.
    #[track_caller]
    pub fn constant(&self, value: f64) -> Tensor {
        self.full(value, &[])
    }

    /// `value` everywhere.
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

    /// An array of numbers, row-major.
    #[track_caller]
    pub fn values(&self, values: &[f64], shape: &[usize]) -> Tensor {
        self.array("values", values.iter().copied(), shape, DType::Float)
    }

    /// An array of indices, row-major.
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

    /// Names what is traced by `trace`, for errors.
    pub fn scope<T>(&self, name: impl Into<String>, trace: impl FnOnce() -> T) -> T {
        self.0.borrow_mut().scopes.push(name.into());
        let value = trace();
        self.0.borrow_mut().scopes.pop();
        value
    }

    /// The first error of the tracing so far.
    ///
    /// # Errors
    /// That error.
    pub fn check(&self) -> Result<(), GraphError> {
        self.0.borrow().error.clone().map_or(Ok(()), Err)
    }

    /// Records an error of the tracing code; the first one wins.
    #[track_caller]
    pub fn fail(&self, op: impl Into<String>, expected: impl Into<String>, got: impl Into<String>) {
        let location = Location::caller();
        self.0.borrow_mut().fail(op.into(), expected.into(), got.into(), location);
    }

    /// Says where the tracing code is, for errors: a line of a plugin's source, say.
    pub fn place(&self, place: Option<String>) {
        self.0.borrow_mut().place = place;
    }

    /// Number of nodes, dead ones included.
    pub fn len(&self) -> usize {
        self.0.borrow().nodes.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy of node `id`.
    pub fn node(&self, id: NodeId) -> Node {
        self.0.borrow().nodes[id].clone()
    }

    /// Adds `op`, or gives the node that already computes it. A shape error poisons the graph and gives a
    /// scalar, so that tracing can go on to its end.
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

/// What an operation expected, and what it got.
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
        // Broadcast of a broadcast, and of added leading axes, is one broadcast.
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

    /// The number a node holds in every element, when that is known now.
    pub(crate) fn constant_value(&self, id: NodeId) -> Option<f64> {
        match &self.nodes[id] {
            Node { op: Op::Constant(v), .. } => Some(v.get()),
            Node { op: Op::Broadcast, inputs, .. } => self.constant_value(inputs[0]),
            _ => None,
        }
    }

    /// Whether the graph may have one more node.
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

    /// Shape and type of the result, or what is wrong with the operands.
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
                            format!("tensors equal to {:?} but in axis {axis}", shape(0)),
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
                // A window of nothing but padding has no maximum.
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
                    return Err((format!("an index equal to {x:?} but in axis {axis}"), format!("{i:?}")));
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

    /// One more than the largest index that a node may hold, where that is known.
    fn below(&self, index: NodeId) -> Option<usize> {
        let mut node = &self.nodes[index];
        // A plugin decides how long the chain is: no recursion.
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

    /// Whether an axis of `length` has what `index` points at.
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

    /// An equal node that is cheaper or already there.
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
            // A function of a repeated tensor is the repeated function: compute it once per element.
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
            // Constants of a chain meet at its right end: (x·c)·d = x·(c·d).
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
        // Canonical order, constants at the right, so that a·b and b·a are one node.
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
        // Repeated alike: compute once per element, repeat after.
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

/// Whether a tensor of `shape` may be. No product of its dimensions overflows, not even beside one that is 0.
fn small(shape: &[usize]) -> Result<(), Mismatch> {
    if shape.len() > MAX_RANK {
        return Err((format!("at most {MAX_RANK} axes"), shape.len().to_string()));
    }
    match shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1))) {
        Some(n) if n <= MAX_ELEMENTS => Ok(()),
        _ => Err((format!("at most {MAX_ELEMENTS} elements"), format!("shape {shape:?}"))),
    }
}

/// What a plugin's numbers look like in an error: they may be many.
fn cut(text: String) -> String {
    const LONGEST: usize = 300;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// Whether an axis of `length` has what `index` may point at.
fn something(length: usize, index: &Node) -> Result<(), Mismatch> {
    match length == 0 && index.size() > 0 {
        true => Err(("an axis with something to index".into(), "an axis of length 0".into())),
        false => Ok(()),
    }
}

fn four(shape: &[usize]) -> Mismatch {
    ("a tensor [N, C, H, W]".into(), format!("{shape:?}"))
}

/// Height and width of what `window` makes of `[N, C, H, W]`, whose padded copy has to be small too.
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
