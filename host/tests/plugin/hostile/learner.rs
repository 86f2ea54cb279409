//! Tests the hostile learner.
use super::{Guest, assert_told, dimensions, objective, student, trace};

const ID: &str = "test/hostile-learner-v1";

#[test]
fn every_mistake_is_one_clear_error() {
    let guest = Guest::of("hostile-learner");
    let ppmo = objective(&guest.patient, "ppmo", &[]).unwrap();
    for (mode, cause) in [
        ("make-error", "all work and no play"),
        ("make-graph", "in `make`: tensors exist only while the host traces a learner or an objective"),
        ("make-loop", "in `make`: endless loop: no answer within 1 s (limit `start-seconds`)"),
        ("name-empty", "in `name`: the architecture is called ``; expected 1 to 200 printable characters"),
        ("name-huge", "in `name`: the architecture is called `all work"),
        ("parameters-trap", "in `parameters`: crashed: wasm `unreachable`"),
        ("parameters-many", "in `parameters`: 400000 parameters, expected at most 4096"),
        (
            "parameters-large",
            "in `parameters`: parameter `weight` has the shape [32768, 32768], expected at most 268435456 numbers",
        ),
        ("parameters-empty", "in `parameters`: parameter `none` has the shape [3, 0], which has no elements"),
        ("parameters-rank", "in `parameters`: parameter `deep` has the shape [1, 1, 1,"),
        (
            "parameters-orthogonal",
            "in `parameters`: parameter `weight` [16384, 8192] is too large to be drawn orthogonal",
        ),
        ("parameters-names-huge", "in `parameters`: a parameter is called `all work"),
        ("parameters-names-empty", "in `parameters`: a parameter is called ``"),
        ("parameters-names-control", "in `parameters`: a parameter is called `we\u{fffd}[31might`"),
        ("parameters-names-twice", "in `parameters`: a parameter called `weight` appears twice"),
        ("init-nan", "in `parameters`: parameter `weight` cannot be initialized as Normal(NaN)"),
        ("init-infinite", "in `parameters`: parameter `weight` cannot be initialized as Constant(inf)"),
        ("init-negative", "in `parameters`: parameter `weight` cannot be initialized as Normal(-1.0)"),
        ("lying-shape", "`matmul` expected […, m, k] × […, k, n], got [1, 4] × [5, 2]"),
        ("forged", "`add` expected tensors of this call, got number 4000000000"),
        ("forged-zero", "`add` expected tensors of this call, got number 0"),
        ("forged-earlier", "`add` expected tensors of this call, got number 100"),
        ("forged-result", "`forward` expected tensors of this call, got number 4000000000"),
        ("endless-nodes", "`tanh` expected at most 20000 nodes in a graph"),
        ("endless-calls", "`operation` expected at most 100000 tensors in a call"),
        ("giant", "`broadcast_to` expected at most 4294967296 elements, got shape [1048576, 1048576]"),
        ("giant-dimension", "`broadcast_to` expected at most 4294967296 elements"),
        (
            "giant-nothing",
            "`broadcast_to` expected at most 4294967296 elements, got shape [0, 9223372036854775807,",
        ),
        ("giant-rank", "`reshape` expected at most 16 integers, got 10000"),
        (
            "giant-padding",
            "`conv2d` expected at most 4294967296 elements, got shape [1, 1, 4294967297, 4294967297]",
        ),
        ("many-operands", "`concat` expected at most 20000 tensors, got 100000"),
        ("many-numbers", "`values` expected at most 4194304 elements of arrays in a graph"),
        ("deep-index", "in `forward`: it gave outputs [2, 3, 2], expected [1, 2]"),
        ("wide-gradient", "expected at most 20000 nodes in a graph"),
        ("unknown-operation", "`operation` expected one of this host's operations, got number 9999"),
        ("wrong-arity", "`matmul` expected 2 tensors, 0 integers, 0 numbers, got 1, 1, 1"),
        ("least-integer", "`slice` expected a length of 0 or more, got -9223372036854775808"),
        ("nan-number", "`constant` expected numbers, got NaN"),
        ("gradient-of-result", "`grad` expected inputs or variables, got the result of `tanh`"),
        ("gradient-of-vector", "`grad` expected a scalar"),
        ("wrong-outputs", "in `forward`: it gave outputs [1, 3], expected [1, 2]"),
        ("wrong-batch", "in `forward`: it gave outputs [1, 2], expected [3, 2]"),
        ("index-outputs", "in `forward`: it gave indices, expected numbers"),
        ("forward-loop", "in `forward`: endless loop: no answer within 1 s (limit `step-seconds`)"),
        ("forward-trap", "in `forward`: crashed: wasm `unreachable`"),
        ("forward-panic", "in `forward`: panicked: layer 1 of a network of none"),
        ("forward-memory", "in `forward`: memory limit of 64 MiB reached (limit `memory-mib`)"),
        ("forward-recursion", "in `forward`: stack overflow: its calls nest deeper than 512 KiB"),
        ("forward-late-loop", "in `forward`: endless loop: no answer within 1 s"),
    ] {
        let r = guest.for_mode(mode);
        assert_told(ID, mode, student(r, ID, &[("mode", mode)]).and_then(|s| trace(&s, &*ppmo)), cause);
        trace(&student(r, ID, &[]).unwrap(), &*ppmo).expect("another works on");
    }
}

/// After a trap the instance is unusable, and every call repeats the error.
#[test]
fn the_first_error_stays() {
    let guest = Guest::of("hostile-learner");
    let learners = guest.patient.learner(ID, &crate::settings(&[("mode", "forward-panic")])).unwrap();
    let learner = learners.draw(&dimensions().observation, 2, 0).unwrap();
    let tried = || {
        let graph = potstill::graph::Graph::new();
        let x = graph.rows("x", &[3, 4]);
        let error = learner.forward(&[graph.input("weight", &[4, 2])], &x).err().unwrap().to_string();
        assert!(error.contains("layer 3 of a network of none"), "{error}");
    };
    (0..3).for_each(|_| tried());
}
