//! Tests the hostile objective.
use super::{Guest, assert_told, objective, student, trace};

const ID: &str = "test/hostile-objective-v1";

#[test]
fn every_mistake_is_one_clear_error() {
    let guest = Guest::of("hostile-objective");
    let student = student(&guest.patient, "mlp", &[]).unwrap();
    for (mode, cause) in [
        ("make-error", "all work and no play"),
        ("make-graph", "in `make`: tensors exist only while the host traces a learner or an objective"),
        ("make-network", "in `make`: tensors exist only while the host traces a learner or an objective"),
        ("make-loop", "in `make`: endless loop: no answer within 1 s (limit `start-seconds`)"),
        ("theta-trap", "in `meta-parameters`: crashed: wasm `unreachable`"),
        ("theta-none", "in `meta-parameters`: theta has no `x`"),
        ("theta-twice", "in `meta-parameters`: a part of theta called `x` appears twice"),
        ("theta-many", "in `meta-parameters`: 400003 parts of theta, expected at most 4096"),
        (
            "theta-large",
            "in `meta-parameters`: part `large` has the shape [1048576, 1048576], expected at most 268435456 numbers",
        ),
        ("theta-all-large", "in `meta-parameters`: 8589934611 numbers in all, expected at most 268435456"),
        ("theta-wrong-shape", "in `meta-parameters`: `y` of theta has the shape [4, 2], expected [3, 2]"),
        ("theta-names-huge", "in `meta-parameters`: a part of theta is called `all work"),
        ("theta-names-control", "in `meta-parameters`: a part of theta is called `y\u{fffd}[31my`"),
        ("theta-init-nan", "in `meta-parameters`: part `x` of theta cannot be initialized as Normal(NaN)"),
        (
            "theta-init-negative",
            "in `meta-parameters`: part `x` of theta cannot be initialized as Normal(-1.0)",
        ),
        (
            "theta-not-positive",
            "in `meta-parameters`: part `inner_lr` of theta cannot be initialized as Constant(-1.0)",
        ),
        ("columns-unknown", "in `columns`: there is no column `horoscopes\u{fffd}[31m`"),
        ("columns-twice", "in `columns`: `actions` appears twice"),
        ("columns-huge", "in `columns`: there is no column `all work"),
        ("inner-few", "in `inner`: it gave 5 parameters, expected 6"),
        ("inner-many", "in `inner`: it gave 7 parameters, expected 6"),
        (
            "inner-shapes",
            "in `inner`: it gave a tensor of shape [2] for parameter 0, expected a tensor of shape [4, 64]",
        ),
        (
            "inner-indices",
            "in `inner`: it gave indices of shape [4, 64] for parameter 0, expected a tensor of shape [4, 64]",
        ),
        ("inner-forged", "`inner` expected tensors of this call, got number 4000000000"),
        ("inner-loop", "in `inner`: endless loop: no answer within 1 s (limit `step-seconds`)"),
        ("inner-loop-of-calls", "in `inner`: endless loop: no answer within 1 s (limit `step-seconds`)"),
        ("inner-trap", "in `inner`: crashed: wasm `unreachable`"),
        ("inner-memory", "in `inner`: memory limit of 64 MiB reached (limit `memory-mib`)"),
        ("inner-recursion", "in `inner`: stack overflow: its calls nest deeper than 512 KiB"),
        ("inner-endless-steps", "expected at most 20000 nodes in a graph"),
        ("apply-few", "`apply` expected 6 parameters, got 5"),
        ("apply-theta", "`apply` expected `layers.0.weight` of [4, 64], got [3, 4]"),
        ("apply-forged", "`apply` expected tensors of this call, got number 4000000000"),
        ("apply-without-end", "expected at most 100000 tensors in a call, got one more"),
        ("gradient-of-result", "`grad` expected inputs or variables, got the result of `tanh`"),
        ("outer-vector", "in `outer`: `loss` is a tensor of shape [7, 1], expected a scalar"),
        ("outer-indices", "in `outer`: `loss` is indices of shape [], expected a scalar"),
        ("outer-forged", "`outer` expected tensors of this call, got number 4000000000"),
        ("outer-loop", "in `outer`: endless loop: no answer within 1 s (limit `step-seconds`)"),
        ("outer-panic", "in `outer`: panicked: 3 columns of a batch of none"),
        ("outer-memory", "in `outer`: memory limit of 64 MiB reached (limit `memory-mib`)"),
        ("metric-vector", "in `outer`: `policy_loss` is a tensor of shape [7, 1], expected a scalar"),
        ("metric-forged", "`outer` expected tensors of this call, got number 4000000000"),
        ("metric-twice", "in `outer`: a metric called `policy_loss` appears twice"),
        (
            "metric-of-the-host",
            "in `outer`: the metric name `value_loss` is reserved for the host; choose another",
        ),
        ("metric-names-huge", "in `outer`: a metric is called `all work"),
        ("metric-names-empty", "in `outer`: a metric is called ``"),
        ("metric-names-control", "in `outer`: a metric is called `policy\u{fffd}[31mloss`"),
        ("metrics-many", "in `outer`: 100001 metrics, expected at most 4096"),
    ] {
        let r = guest.for_mode(mode);
        assert_told(ID, mode, objective(r, ID, &[("mode", mode)]).and_then(|o| trace(&student, &*o)), cause);
        trace(&student, &*objective(r, ID, &[]).unwrap()).expect("another works on");
    }
}
