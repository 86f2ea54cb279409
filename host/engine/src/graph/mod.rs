//! The differentiable graph: what learners and objectives trace, what [`crate::execute`] runs.
//!
//! A plugin does not compute with tensors, it describes them: each call on a [`Tensor`] adds a node. The
//! operation set ([`Op`]) is closed under differentiation, so [`grad`] is ordinary code that adds more
//! nodes, and a gradient through a gradient step (what PPMO needs) is a gradient of a bigger graph.
//!
//! - `op`: the operations, and what each means.
//! - `build`: nodes with checked shapes; constants are folded, common subexpressions shared, as they come.
//! - `tensor`: the handle that learners and objectives write with.
//! - `differentiate`: [`grad`].
//! - `draw`: a graph as text and as Graphviz.
//!
//! Shapes are concrete. A shape error poisons the graph instead of panicking: tracing goes on, and
//! [`Graph::check`] gives the first error, with the operation, what it expected, what it got, and where.

mod build;
mod differentiate;
mod draw;
mod op;
mod tensor;

pub use build::{DType, Graph, GraphError, InputInfo, Node, NodeId};
pub use build::{MAX_NODES, MAX_RANK};
pub use differentiate::grad;
pub use op::{Binary, Bits, Op, Reduction, Unary, Window};
pub use tensor::Tensor;
