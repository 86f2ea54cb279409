//! The differentiable graph, which learners and objectives trace and [`crate::execute`] runs.
//!
//! A plugin does not compute with tensors, it describes them: each call on a [`Tensor`] adds a node. The set of
//! operations ([`Op`]) is closed under differentiation. Therefore [`grad`] is ordinary code that adds more nodes, and a
//! gradient through a gradient step, which PPMO needs, is a gradient of a bigger graph.
//!
//! - `op`: the operations and their meaning.
//! - `build`: checks shapes, folds constants and shares common subexpressions while nodes are added.
//! - `tensor`: the handle that learners and objectives write with.
//! - `differentiate`: [`grad`].
//! - `draw`: shows a graph as text and in Graphviz's language.
//!
//! Shapes are concrete. A shape error poisons the graph instead of panicking: tracing continues, and [`Graph::check`]
//! returns the first error, with the operation, what it expected, what it got, and where.

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
