//! Graphs check shapes and limits, share equal nodes, and refuse wrong calls with clear errors.
mod common;

use common::random;
use potstill_engine::execute::{Device, Plan};
use potstill_engine::graph::{DType, Graph, GraphError, Op, Tensor, grad};
use proptest::prelude::*;
use rand::Rng;
use rand::seq::IndexedRandom;

/// The error that `trace` leaves in a graph.
fn error(trace: impl FnOnce(&Graph)) -> GraphError {
    let graph = Graph::new();
    trace(&graph);
    graph.check().unwrap_err()
}

#[test]
fn errors_name_operation_expectation_and_line() {
    type Trace = fn(&Tensor, &Tensor, &Tensor);
    // The shapes are x [2, 3], image [1, 2, 4, 4] and index [2, 3].
    let cases: [(&str, &str, &str, Trace); 42] = [
        ("add", "[2, 3]", "[1, 2, 4, 4]", |x, i, _| drop(x + i)),
        ("max", "[2, 3]", "[3, 2]", |x, _, _| drop(x.max(&x.transpose()))),
        ("less_equal", "[2, 3]", "[3, 2]", |x, _, _| drop(x.less_equal(&x.transpose()))),
        ("exp", "float", "index", |_, _, n| drop(n.exp())),
        ("powf", "float", "index", |_, _, n| drop(n.powf(3.0))),
        ("mul", "float", "index", |x, _, n| drop(x * n)),
        ("select", "[2, 3]", "[1, 2, 4, 4]", |x, i, _| drop(x.select(x, i))),
        ("select", "float", "index", |x, _, n| drop(n.select(x, x))),
        ("stop_gradient", "float", "index", |_, _, n| drop(n.stop_gradient())),
        ("broadcast_to", "[4, 3]", "[2, 3]", |x, _, _| drop(x.broadcast_to(&[4, 3]))),
        ("broadcast_to", "[3]", "[2, 3]", |x, _, _| drop(x.broadcast_to(&[3]))),
        ("reshape", "7 elements", "6 in [2, 3]", |x, _, _| drop(x.reshape(&[7]))),
        ("reshape", "elements", "18446744073709551615", |x, _, _| drop(x.reshape(&[usize::MAX, 2]))),
        ("permute", "[2, 3]", "[0, 0]", |x, _, _| drop(x.permute(&[0, 0]))),
        ("permute", "[2, 3]", "[0, 2]", |x, _, _| drop(x.permute(&[0, 2]))),
        ("transpose", "two axes", "[6]", |x, _, _| drop(x.reshape(&[6]).transpose())),
        ("slice", "[2, 3]", "axis 2", |x, _, _| drop(x.slice(2, 0, 1))),
        ("slice", "[2, 3]", "axis -3", |x, _, _| drop(x.slice(-3, 0, 1))),
        ("slice", "[2, 3]", "2 from 2", |x, _, _| drop(x.slice(1, 2, 2))),
        ("slice", "[2, 3]", "2 from 18446744073709551615", |x, _, _| drop(x.slice(1, usize::MAX, 2))),
        ("slice", "float", "index", |_, _, n| drop(n.slice(1, 0, 1))),
        ("pad", "axis", "axis -4", |x, _, _| drop(x.pad(-4, 0, 1))),
        ("pad", "elements", "18446744073709551615", |x, _, _| drop(x.pad(0, usize::MAX, 9))),
        ("concat", "[2, 3]", "[3, 2]", |x, _, _| drop(Tensor::concat(&[x, &x.transpose()], 0))),
        ("concat", "[2, 3]", "axis 2", |x, _, _| drop(Tensor::concat(&[x, x], 2))),
        ("sum", "[2, 3]", "axis 5", |x, _, _| drop(x.sum_axes(&[0, 5]))),
        ("sum", "float", "index", |_, _, n| drop(n.sum())),
        ("max_keep", "[2, 3]", "axis -3", |x, _, _| drop(x.max_keep(&[-3]))),
        ("max_keep", "one element", "[2, 0]", |x, _, _| drop(x.slice(1, 0, 0).max_keep(&[1]))),
        ("max_keep", "[2, 3]", "axis 9", |x, _, _| drop(x.log_softmax(9))),
        ("matmul", "m, k", "[2, 3] × [2, 3]", |x, _, _| drop(x.matmul(x))),
        ("matmul", "m, k", "[4, 4] × [2, 3]", |x, i, _| {
            drop(i.slice(1, 0, 1).reshape(&[1, 4, 4]).matmul(x))
        }),
        ("conv2d", "[N, C, H, W]", "[2, 3]", |x, i, _| drop(i.conv2d(x, 1, 0))),
        ("conv2d", "[O, 2,", "[1, 1, 4, 4]", |_, i, _| drop(i.conv2d(&i.slice(1, 0, 1), 1, 0))),
        ("conv2d", "stride ≥ 1", "[4, 4]", |_, i, _| drop(i.conv2d(i, 0, 0))),
        ("avg_pool2d", "at least [5, 5]", "[4, 4]", |_, i, _| drop(i.avg_pool2d(5, 1, 0))),
        ("max_pool2d", "padding smaller", "[2, 2]", |_, i, _| drop(i.max_pool2d(2, 1, 2))),
        ("gather", "index tensor", "float", |x, _, _| drop(x.gather(0, x))),
        ("gather", "[1, 2, 4, 4]", "[2, 3]", |_, i, n| drop(i.gather(0, n))),
        ("scatter", "[2, 3]", "axis 2", |x, _, n| drop(x.scatter(2, n, 4))),
        ("scatter", "[1, 5, 4, 4]", "[2, 3]", |_, i, n| drop(i.scatter(1, n, 5))),
        ("one_hot", "index tensor", "float", |x, _, _| drop(x.one_hot(3))),
    ];
    for (op, expected, got, trace) in cases {
        let error = error(|graph| {
            let (x, image) = (graph.input("x", &[2, 3]), graph.input("image", &[1, 2, 4, 4]));
            let index = graph.int_rows("index", &[2, 3]);
            graph.scope("objective `a`", || graph.scope("outer", || trace(&x, &image, &index)));
        });
        println!("{error}");
        assert_eq!(error.op, op, "{error}");
        assert!(error.expected.contains(expected), "{error}: no {expected}");
        assert!(error.got.contains(got), "{error}: no {got}");
        assert!(error.location.contains("graph_shapes.rs:"), "{error}: {}", error.location);
        assert_eq!(error.scope, ", in objective `a` / outer");
    }
}

#[test]
fn errors_give_the_line() {
    let line = line!() + 1;
    let error = error(|graph| drop(graph.input("x", &[2, 3]) + graph.input("y", &[3, 2])));
    assert!(error.location.ends_with(&format!("graph_shapes.rs:{line}")), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("graph: `add` expected equal shapes, [2, 3], got [3, 2] (at "), "{text}");
}

#[test]
fn the_first_error_wins() {
    let error = error(|graph| {
        let x = graph.input("x", &[2, 3]);
        let wrong = x.reshape(&[7]);
        graph.scope("later", || drop((wrong.matmul(&x) + x.permute(&[7])).sum_axes(&[4])));
        graph.fail("mine", "this", "that");
    });
    assert_eq!((error.op.as_str(), error.scope.as_str()), ("reshape", ""));
}

#[test]
fn graphs_do_not_mix() {
    type Trace = fn(&Tensor, &Tensor);
    let cases: [(&str, Trace); 12] = [
        ("add", |a, b| drop(a + b)),
        ("mul", |a, b| drop(a * b)),
        ("matmul", |a, b| drop(a.matmul(b))),
        ("matmul", |a, b| drop(a.reshape(&[1, 2, 2]).matmul(b))),
        ("select", |a, b| drop(a.select(a, b))),
        ("concat", |a, b| drop(Tensor::concat(&[a, b], 0))),
        ("conv2d", |a, b| drop(a.reshape(&[1, 1, 2, 2]).conv2d(&b.reshape(&[1, 1, 2, 2]), 1, 0))),
        ("gather", |a, b| drop(a.gather(0, b))),
        ("scatter", |a, b| drop(a.scatter(0, b, 2))),
        ("grad", |a, b| drop(grad(&a.sum(), std::slice::from_ref(b)))),
        ("compile", |a, b| drop(Plan::compile(a.graph(), std::slice::from_ref(b)))),
        ("max", |a, b| drop(a.max(b))),
    ];
    for (op, trace) in cases {
        let (first, second) = (Graph::new(), Graph::new());
        // The other graph is bigger, so that its nodes' numbers mean nothing here.
        let other = (0..40).fold(second.input("other", &[2, 2]), |x, _| x.exp().tanh());
        trace(&first.input("x", &[2, 2]), &other);
        let error = first.check().unwrap_err();
        assert_eq!(error.op, op);
        assert!(error.location.contains("graph_shapes.rs:"), "{error}");
    }
}

#[test]
fn a_gradient_is_of_a_scalar() {
    let error = error(|graph| {
        let x = graph.input("x", &[2]);
        assert_eq!(grad(&x, std::slice::from_ref(&x))[0].shape(), [2]);
    });
    assert_eq!((error.op.as_str(), error.expected.as_str()), ("grad", "a scalar"));
}

#[test]
fn limits() {
    let nodes = error(|graph| {
        let mut x = graph.input("x", &[]);
        for _ in 0..250_000 {
            x = x.exp();
        }
        assert!(graph.len() < 201_000);
    });
    assert_eq!(nodes.op, "exp");
    assert!(nodes.expected.contains("nodes"), "{nodes}");
    let inputs = error(|graph| {
        for i in 0..250_000 {
            graph.input("x", &[i]);
        }
        assert!(graph.len() < 201_000);
    });
    assert!(inputs.expected.contains("nodes"), "{inputs}");
    let constants = error(|graph| {
        for i in 0..250_000 {
            graph.constant(f64::from(i));
        }
        assert!(graph.len() < 201_000);
    });
    assert!(constants.expected.contains("nodes"), "{constants}");
    type Trace = fn(&Graph);
    let large: [Trace; 5] = [
        |graph| drop(graph.input("x", &[1 << 20, 1 << 20])),
        |graph| drop(graph.full(1.0, &[usize::MAX, usize::MAX])),
        |graph| drop(graph.input("x", &[1]).broadcast_to(&[1 << 40])),
        |graph| drop(graph.input("x", &[1 << 20, 1]).matmul(&graph.input("y", &[1, 1 << 20]))),
        |graph| drop(graph.int_rows("x", &[4]).one_hot(usize::MAX)),
    ];
    for trace in large {
        let error = error(trace);
        assert!(error.expected.contains("elements"), "{error}");
    }
    let rows = error(|graph| drop(graph.rows("x", &[])));
    assert!(rows.expected.contains("rows"), "{rows}");
}

#[test]
fn equal_computations_are_one_node() {
    let graph = Graph::new();
    let (x, y) = (graph.input("x", &[2, 3]), graph.input("y", &[3]));
    let same = |a: Tensor, b: Tensor| assert_eq!(a.id(), b.id());
    same(x.exp(), x.exp());
    same(&x + &y, &y + &x);
    same(x.max(&x.tanh()), x.tanh().max(&x));
    same(graph.full(2.0, &[2, 3]) * &x, &x * 2.0);
    same((&x * 2.0) * 3.0, &x * 6.0);
    same(-(-&x), x.clone());
    same(&x + 0.0, x.clone());
    same(&x * 1.0, x.clone());
    same(&x / 1.0, x.clone());
    same(&x + (-&x.exp()), &x - x.exp());
    same(x.transpose().transpose(), x.clone());
    same(x.reshape(&[6]).reshape(&[3, 2]), x.reshape(&[3, 2]));
    same(x.reshape(&[6]).reshape(&[2, 3]), x.clone());
    same(y.broadcast_to(&[1, 3]).broadcast_to(&[2, 3]), y.broadcast_to(&[2, 3]));
    same(y.broadcast_to(&[2, 3]).exp(), y.exp().broadcast_to(&[2, 3]));
    same(x.slice(0, 0, 2), x.clone());
    same(x.stop_gradient().stop_gradient(), x.stop_gradient());
    same(x.relu().relu(), x.relu());
    same(&x * 0.0, graph.full(0.0, &[2, 3]));
    same(graph.full(2.0, &[3]).sum(), graph.constant(6.0));
    same(graph.full(2.0, &[2]).square().exp().log() - 4.0, graph.full(0.0, &[2]));
    same(x.powf(2.0), x.square());
    same(x.powf(1.0), x.clone());
    same(x.matmul(&graph.full(0.0, &[3, 4])), graph.full(0.0, &[2, 4]));
    graph.check().unwrap();
    let before = graph.len();
    grad(&(&x * &y).tanh().sum(), &[x.clone(), y.clone()]);
    let after = graph.len();
    grad(&(&x * &y).tanh().sum(), &[x, y]);
    assert!(before < after && graph.len() == after, "a second gradient adds nothing");
}

#[test]
fn graphs_as_text() {
    let graph = Graph::new();
    let (x, w) = (graph.rows("x", &[8, 2]), graph.input("w", &[2, 3]));
    let _dead = x.exp();
    let y = (x.matmul(&w) + 0.5).tanh().slice(1, 0, 2).sum();
    let expected = "\
%0 = input `x`() [8, 2]
%1 = input `w`() [2, 3]
%3 = matmul(%0, %1) [8, 3]
%4 = 0.5() []
%5 = broadcast(%4) [8, 3]
%6 = add(%3, %5) [8, 3]
%7 = tanh(%6) [8, 3]
%8 = slice { axis: 1, start: 0 }(%7) [8, 2]
%9 = reduce { reduction: Sum, axes: [0, 1] }(%8) [1, 1]
%10 = reshape(%9) []
";
    assert_eq!(graph.to_text(std::slice::from_ref(&y)).to_lowercase(), expected.to_lowercase());
    let dot = graph.to_dot(&[y]);
    assert!(dot.starts_with("digraph {\n") && dot.ends_with("}\n"), "{dot}");
    assert!(dot.contains("  n3 [label=\"MatMul\\n[8, 3]\"]\n  n0 -> n3\n  n1 -> n3\n"), "{dot}");
    assert!(!dot.contains("n2 "), "{dot}");
}

#[test]
fn nodes_can_be_read() {
    let graph = Graph::new();
    let x = graph.rows("x", &[2, 3]);
    let y = x.permute(&[1, 0]);
    let node = graph.node(y.id());
    assert_eq!((node.op, node.inputs, node.shape), (Op::Permute(vec![1, 0]), vec![x.id()], vec![3, 2]));
    assert_eq!((node.dtype, y.dtype()), (DType::Float, DType::Float));
}

/// Makes a random call with random arguments, right or wrong, on floats, indices and results of earlier mistakes.
fn any_call(rng: &mut impl Rng, pool: &[Tensor]) -> Tensor {
    let any = |rng: &mut _| IndexedRandom::choose(pool, rng).unwrap();
    let (a, b, c) = (any(rng), any(rng), any(rng));
    let size = |rng: &mut dyn rand::RngCore| match rng.random_range(0..20) {
        0 => usize::MAX,
        1 => usize::MAX / 2 + 1,
        2 => 0,
        n => n % 5,
    };
    let (m, n) = (size(rng), size(rng));
    let axis = match rng.random_range(0..24i32) {
        0 => isize::MIN,
        1 => isize::MAX,
        n => n as isize - 12,
    };
    let axis = if rng.random_bool(0.7) { axis.clamp(-4, 4) } else { axis };
    let mut shape = a.shape();
    if rng.random() {
        shape.push(size(rng));
    } else if let Some(d) = shape.first_mut() {
        *d = n;
    }
    let axes: Vec<usize> = (0..rng.random_range(0..5)).map(|_| size(rng)).collect();
    let some: Vec<isize> = axes.iter().map(|&a| a as isize - 2).collect();
    match rng.random_range(0..40) {
        0 => -a,
        1 => a.exp(),
        2 => a.gelu(),
        3 => a.powf(1.5),
        4 => a + b,
        5 => a * b,
        6 => a / 2.0,
        7 => a.max(b),
        8 => a.clamp(-1.0, 1.0),
        9 => a.less_equal(b),
        10 => a.select(b, c),
        11 => a.stop_gradient(),
        12 => a.broadcast_to(&shape),
        13 => a.reshape(&axes),
        14 => a.reshape(&shape),
        15 => a.flatten_rows(),
        16 => a.permute(&axes),
        17 => a.transpose(),
        18 => a.slice(axis, m, n),
        19 => a.pad(axis, m, n),
        20 => Tensor::concat(&[a, b, c], axis).unwrap(),
        21 => a.sum(),
        22 => a.mean(),
        23 => a.sum_axes(&some),
        24 => a.mean_keep(&some),
        25 => a.max_keep(&some),
        26 => a.log_softmax(axis),
        27 => a.softmax(axis),
        28 => a.layer_norm(1e-5),
        29 => a.matmul(b),
        30 => a.matmul(&b.transpose()),
        31 => a.conv2d(b, m, n),
        32 => a.avg_pool2d(m, n, size(rng)),
        33 => a.max_pool2d(m, n, size(rng)),
        34 => a.gather(axis, b),
        35 => a.scatter(axis, b, n),
        36 => a.one_hot(n),
        37 => grad(&a.sum(), &[b.clone(), c.clone()]).remove(0),
        38 => grad(a, std::slice::from_ref(b)).remove(0),
        _ => a.graph().full(2.0, &shape),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Tracing never panics, and what it accepts compiles and runs.
    #[test]
    fn wrong_calls_are_errors(seed: u64, keep in 0.0..1.0f64) {
        let rng = &mut random(seed);
        let mut graph = Graph::new();
        let start = |graph: &Graph| {
            let pool = vec![
                graph.input("vector", &[3]),
                graph.input("scalar", &[]),
                graph.rows("matrix", &[2, 3]),
                graph.input("square", &[3, 3]),
                graph.input("image", &[2, 3, 4, 4]),
                graph.input("kernel", &[2, 3, 2, 2]),
                graph.int_rows("index", &[2, 3]),
                graph.int_rows("indices", &[2]),
                graph.input("empty", &[2, 0]),
            ];
            (pool, 9)
        };
        let (mut pool, inputs) = start(&graph);
        for _ in 0..rng.random_range(1..30) {
            let next = any_call(rng, &pool);
            let wrong = graph.check().is_err();
            if wrong && rng.random_bool(keep) {
                // Continue with a new graph, to see what else is accepted.
                graph = Graph::new();
                (pool, _) = start(&graph);
                continue;
            }
            let many = next.shape().iter().product::<usize>() > 10_000;
            if !many {
                pool.push(next);
            }
        }
        if graph.check().is_ok() {
            let plan = Plan::compile(&graph, &pool).unwrap();
            for device in [Device::cpu(1), Device::cpu_f64()] {
                let numbers: Vec<_> = pool[..inputs]
                    .iter()
                    .enumerate()
                    .map(|(i, t)| match t.dtype() {
                        DType::Int => device.int_rows(&plan, i, &vec![0; t.shape().iter().product()], None),
                        DType::Float => device.tensor(&vec![0.5; t.shape().iter().product()], &t.shape()),
                    })
                    .collect();
                let results = device.run(&plan, &numbers);
                for (result, tensor) in results.iter().zip(&pool) {
                    assert_eq!(result.shape(), tensor.shape());
                    assert_eq!(device.read(result).len(), tensor.shape().iter().product::<usize>());
                }
            }
        } else {
            assert!(Plan::compile(&graph, &pool[..1]).is_err());
        }
    }
}

/// Each tensor is small enough, but not all of them at once.
#[test]
fn a_plan_that_no_machine_can_hold_is_refused() {
    let graph = Graph::new();
    let x = graph.input("x", &[1 << 16, 1]);
    let y = graph.input("y", &[1, 1 << 16]);
    let many: Vec<_> = (0..3).map(|i| (&x + i as f64).matmul(&y)).collect();
    let together = many[1..].iter().map(|m| m.matmul(&many[0]).sum()).reduce(|a, b| a + b).unwrap();
    let error = Plan::compile(&graph, &[together]).unwrap_err().to_string();
    let expected = "GiB of intermediate results at once on this machine, got 64.0 GiB";
    assert!(error.contains("`compile` expected at most ") && error.contains(expected), "{error}");
}

/// Graphs of the largest allowed size compile quickly enough.
#[test]
fn the_largest_graphs_compile() {
    let long = |x: &Tensor| (0..19_000).fold(x.clone(), |x, _| x.tanh());
    let wide = |x: &Tensor| {
        let all: Vec<Tensor> = (0..3_800).map(|i| (x * f64::from(i)).tanh()).collect();
        all.into_iter().reduce(|a, b| a + b).unwrap()
    };
    for (name, trace) in [("long", &long as &dyn Fn(&Tensor) -> Tensor), ("wide", &wide)] {
        let graph = Graph::new();
        let y = trace(&graph.rows("x", &[7, 3]));
        let plan = Plan::compile(&graph, &[y]).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(graph.len() > 18_000 && !plan.is_empty(), "{name}: {} nodes", graph.len());
    }
}
