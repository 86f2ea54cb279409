//! Shows a graph to people, as text and in Graphviz's language.
use std::fmt::Write;

use super::build::{Graph, NodeId};
use super::op::Op;
use super::tensor::Tensor;

impl Graph {
    /// The nodes that `outputs` need, in order.
    pub fn live(&self, outputs: &[Tensor]) -> Vec<NodeId> {
        let store = self.0.borrow();
        let mut live = vec![false; store.nodes.len()];
        for output in outputs {
            live[output.id()] = true;
        }
        for id in (0..store.nodes.len()).rev() {
            if live[id] {
                for &input in &store.nodes[id].inputs {
                    live[input] = true;
                }
            }
        }
        (0..store.nodes.len()).filter(|&id| live[id]).collect()
    }

    fn label(&self, id: NodeId) -> String {
        let store = self.0.borrow();
        match &store.nodes[id].op {
            Op::Input(i) => format!("input `{}`", store.inputs[*i].name),
            Op::Constant(v) => format!("{v:?}"),
            Op::Values(_) => "values".into(),
            Op::Unary(u) => format!("{u:?}").to_lowercase(),
            Op::Binary(b) => format!("{b:?}").to_lowercase(),
            op => format!("{op:?}"),
        }
    }

    /// The graph as text, one line per node: `%3 = matmul(%1, %2) [8, 64]`.
    pub fn to_text(&self, outputs: &[Tensor]) -> String {
        let mut text = String::new();
        for id in self.live(outputs) {
            let node = self.node(id);
            let inputs: Vec<String> = node.inputs.iter().map(|i| format!("%{i}")).collect();
            let _ = writeln!(text, "%{id} = {}({}) {:?}", self.label(id), inputs.join(", "), node.shape);
        }
        text
    }

    /// The graph in Graphviz's language, for `dot -Tsvg`.
    pub fn to_dot(&self, outputs: &[Tensor]) -> String {
        let mut text = String::from("digraph {\n  node [shape=box, fontname=monospace]\n");
        for id in self.live(outputs) {
            let node = self.node(id);
            let label = self.label(id).replace('"', "'");
            let _ = writeln!(text, "  n{id} [label=\"{label}\\n{:?}\"]", node.shape);
            for input in node.inputs {
                let _ = writeln!(text, "  n{input} -> n{id}");
            }
        }
        text + "}\n"
    }
}
