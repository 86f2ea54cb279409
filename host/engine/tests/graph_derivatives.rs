//! First- and second-order derivatives of every operation, compared with central differences in double precision.
mod common;

use common::{Domain, Index, check_derivatives, random};
use potstill_engine::execute::{Device, Plan};
use potstill_engine::graph::{Graph, Tensor, grad};
use proptest::prelude::*;
use rand::Rng;

type Function = fn(&Tensor) -> Tensor;
type Function2 = fn(&Tensor, &Tensor) -> Tensor;

const SMOOTH: [(&str, Domain, Function); 19] = [
    ("neg", Domain::Real, |x| -x),
    ("exp", Domain::Real, Tensor::exp),
    ("log", Domain::Positive, Tensor::log),
    ("sqrt", Domain::Positive, Tensor::sqrt),
    ("abs", Domain::Real, Tensor::abs),
    ("recip", Domain::Positive, Tensor::recip),
    ("tanh", Domain::Real, Tensor::tanh),
    ("sigmoid", Domain::Real, Tensor::sigmoid),
    ("relu", Domain::Real, Tensor::relu),
    ("erf", Domain::Real, Tensor::erf),
    ("gelu", Domain::Real, Tensor::gelu),
    ("square", Domain::Real, Tensor::square),
    ("powf 1.7", Domain::Positive, |x| x.powf(1.7)),
    ("powf 3", Domain::Real, |x| x.powf(3.0)),
    ("powf -2", Domain::Positive, |x| x.powf(-2.0)),
    ("powf 0.5", Domain::Positive, |x| x.powf(0.5)),
    ("clamp", Domain::Real, |x| x.clamp(-0.503_1, 0.701_7)),
    ("negative recip", Domain::Positive, |x| (-x).recip()),
    ("tanh of a scaled sum", Domain::Real, |x| (x * 2.0 + x.sum() * 0.1).tanh()),
];

const BINARY: [(&str, Domain, Function2); 9] = [
    ("add", Domain::Real, |a, b| a + b),
    ("sub", Domain::Real, |a, b| a - b),
    ("mul", Domain::Real, |a, b| a * b),
    ("div", Domain::Positive, |a, b| a / b),
    ("max", Domain::Real, Tensor::max),
    ("min", Domain::Real, Tensor::min),
    ("masked by less", Domain::Real, |a, b| a.less(b) * a.exp() + a.less_equal(b) * b.tanh()),
    ("masked by equal", Domain::Real, |a, b| a.equal(b) * a + a.equal(a) * b.square()),
    ("masked by sign", Domain::Real, |a, b| a.sign() * b.exp() * a),
];

fn dims(rank: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1..4usize, rank)
}

/// A shape that broadcasts to `shape`: some axes have length 1, and some leading axes are dropped.
fn narrowed(shape: &[usize], seed: u64) -> Vec<usize> {
    let mut rng = random(seed ^ 1);
    let dropped = rng.random_range(0..=shape.len());
    shape[dropped..].iter().map(|&d| if rng.random() { d } else { 1 }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn unary_operations(shape in dims(0..=3), seed: u64) {
        for (name, domain, f) in SMOOTH {
            println!("{name}");
            check_derivatives(std::slice::from_ref(&shape), &[], domain, seed, |x, _| f(&x[0]));
        }
    }

    #[test]
    fn binary_operations_broadcast(shape in dims(0..=3), seed: u64) {
        let narrow = narrowed(&shape, seed);
        for (name, domain, f) in BINARY {
            println!("{name}");
            check_derivatives(&[shape.clone(), narrow.clone()], &[], domain, seed, |x, _| f(&x[0], &x[1]));
            check_derivatives(&[narrow.clone(), shape.clone()], &[], domain, seed, |x, _| f(&x[0], &x[1]));
        }
    }

    #[test]
    fn select(shape in dims(0..=3), seed: u64) {
        let shapes = [shape.clone(), shape.clone(), shape];
        check_derivatives(&shapes, &[], Domain::Real, seed, |x, _| {
            x[0].less(&x[1]).select(&(&x[0] * &x[2]), &x[1].exp()) + x[0].relu().select(&x[1], &x[2])
        });
    }

    #[test]
    fn shape_operations(shape in dims(1..=4), seed: u64, extra in dims(0..=2)) {
        let rng = &mut random(seed);
        let rank = shape.len();
        let axis = rng.random_range(0..rank);
        let mut axes: Vec<usize> = (0..rank).collect();
        rand::seq::SliceRandom::shuffle(&mut axes[..], rng);
        let wide: Vec<usize> = extra.iter().chain(&shape).copied().collect();
        let narrow = narrowed(&shape, seed);
        let size: usize = shape.iter().product();
        let start = rng.random_range(0..shape[axis]);
        let length = rng.random_range(1..=shape[axis] - start);
        let (before, after) = (rng.random_range(0..3), rng.random_range(0..3));
        let from_end = axis as isize - rank as isize;
        let one = |f: &dyn Fn(&Tensor) -> Tensor| {
            check_derivatives(std::slice::from_ref(&shape), &[], Domain::Real, seed, |x, _| f(&x[0]));
        };
        check_derivatives(&[narrow], &[], Domain::Real, seed, |x, _| x[0].broadcast_to(&wide).exp());
        one(&|x| x.broadcast_to(&wide));
        one(&|x| x.reshape(&[size]).exp().reshape(&[1, size, 1]));
        one(&|x| x.flatten_rows());
        one(&|x| x.permute(&axes).tanh());
        one(&|x| x.permute(&axes).permute(&axes));
        one(&|x| x.slice(from_end, start, length).exp());
        one(&|x| x.pad(axis as isize, before, after).tanh());
        one(&|x| x.pad(from_end, before, after).slice(from_end, before, shape[axis]).square());
        one(&|x| Tensor::concat(&[x, &x.exp(), x], axis as isize).unwrap());
        if rank > 1 {
            one(&|x| x.transpose().exp());
        }
        let mut other = shape.clone();
        other[axis] += 1;
        check_derivatives(&[shape.clone(), other], &[], Domain::Real, seed, |x, _| {
            Tensor::concat(&[&x[0], &x[1]], from_end).unwrap().tanh()
        });
    }

    #[test]
    fn reductions_over_every_choice_of_axes(shape in dims(0..=4), seed: u64) {
        for mask in 0..1u32 << shape.len() {
            let axes: Vec<isize> = (0..shape.len() as isize).filter(|a| mask >> a & 1 == 1).collect();
            let one = |f: &dyn Fn(&Tensor) -> Tensor| {
                check_derivatives(std::slice::from_ref(&shape), &[], Domain::Real, seed, |x, _| f(&x[0]));
            };
            one(&|x| x.square().sum_axes(&axes));
            one(&|x| x.tanh().sum_keep(&axes) * x);
            one(&|x| x.exp().mean_keep(&axes));
            one(&|x| x.exp().max_keep(&axes) * x);
        }
        check_derivatives(std::slice::from_ref(&shape), &[], Domain::Real, seed, |x, _| x[0].exp().sum());
        check_derivatives(&[shape], &[], Domain::Real, seed, |x, _| x[0].exp().mean());
    }

    #[test]
    fn matmul(lead in dims(0..=2), m in 1..4usize, k in 1..4usize, n in 1..4usize, seed: u64) {
        let shape = |tail: [usize; 2]| lead.iter().copied().chain(tail).collect::<Vec<usize>>();
        let shapes = [shape([m, k]), shape([k, n])];
        check_derivatives(&shapes, &[], Domain::Real, seed, |x, _| x[0].matmul(&x[1]));
        check_derivatives(&shapes, &[], Domain::Real, seed, |x, _| x[0].tanh().matmul(&x[1].exp()).tanh());
        check_derivatives(&[shape([m, k]), vec![k, n]], &[], Domain::Real, seed, |x, _| {
            x[0].matmul(&x[1]).tanh()
        });
        check_derivatives(&[shape([m, k])], &[], Domain::Real, seed, |x, _| x[0].matmul(&x[0].transpose()));
    }

    #[test]
    fn convolution(
        (n, c, o) in (1..3usize, 1..3usize, 1..3usize),
        (kh, kw) in (1..4usize, 1..4usize),
        (stride, padding) in (1..4usize, 0..3usize),
        (dh, dw) in (0..5usize, 0..5usize),
        seed: u64,
    ) {
        let shapes = [vec![n, c, kh + dh, kw + dw], vec![o, c, kh, kw]];
        // Because of tanh, the gradient that reaches the convolution depends on both operands. The two gradient
        // operations are therefore differentiated with respect to each of their operands.
        check_derivatives(&shapes, &[], Domain::Real, seed, |x, _| x[0].conv2d(&x[1], stride, padding).tanh());
        check_derivatives(&shapes, &[], Domain::Real, seed, |x, _| {
            x[0].tanh().conv2d(&x[1].tanh(), stride, padding) * 0.5
        });
    }

    #[test]
    fn pooling(
        (n, c) in (1..3usize, 1..3usize),
        (kernel, stride) in (1..4usize, 1..4usize),
        padding in 0..2usize,
        (dh, dw) in (0..5usize, 0..5usize),
        seed: u64,
    ) {
        let padding = padding.min(kernel / 2);
        let shape = vec![n, c, kernel + dh, kernel + dw];
        check_derivatives(std::slice::from_ref(&shape), &[], Domain::Real, seed, |x, _| {
            x[0].tanh().avg_pool2d(kernel, stride, padding).exp()
        });
        check_derivatives(&[shape], &[], Domain::Real, seed, |x, _| {
            x[0].tanh().max_pool2d(kernel, stride, padding).exp()
        });
    }

    #[test]
    fn gather_and_scatter_with_repeated_indices(shape in dims(1..=3), count in 1..6usize, seed: u64) {
        let rng = &mut random(seed);
        let axis = rng.random_range(0..shape.len());
        let mut picked = shape.clone();
        picked[axis] = count;
        let index = [Index::random(rng, &picked, shape[axis])];
        check_derivatives(std::slice::from_ref(&shape), &index, Domain::Real, seed, |x, i| {
            x[0].tanh().gather(axis as isize, &i[0]).exp()
        });
        check_derivatives(&[picked], &index, Domain::Real, seed, |x, i| {
            x[0].tanh().scatter(axis as isize - shape.len() as isize, &i[0], shape[axis]).exp()
        });
    }

    #[test]
    fn one_hot_masks(rows in 1..5usize, classes in 1..5usize, seed: u64) {
        let index = [Index::random(&mut random(seed), &[rows], classes)];
        check_derivatives(&[vec![rows, classes]], &index, Domain::Real, seed, |x, i| {
            (i[0].one_hot(classes) * x[0].exp()).sum_axes(&[-1])
        });
    }

    #[test]
    fn softmax_and_normalization(shape in dims(1..=3), seed: u64) {
        for axis in 0..shape.len() as isize {
            let one = |f: &dyn Fn(&Tensor) -> Tensor| {
                check_derivatives(std::slice::from_ref(&shape), &[], Domain::Real, seed, |x, _| f(&x[0]));
            };
            one(&|x| (x * 3.0).log_softmax(axis));
            one(&|x| (x * 3.0).softmax(axis));
        }
        check_derivatives(&[shape], &[], Domain::Real, seed, |x, _| x[0].layer_norm(0.05));
    }
}

/// Runs `outputs` in double precision for the inputs `x`, which are pairs of data and shape.
fn evaluate(graph: &Graph, outputs: &[Tensor], x: &[(&[f64], &[usize])]) -> Vec<Vec<f64>> {
    let device = Device::cpu_f64();
    let inputs: Vec<_> = x.iter().map(|(v, s)| device.tensor_f64(v, s)).collect();
    let plan = Plan::compile(graph, outputs).unwrap();
    device.run(&plan, &inputs).iter().map(|t| device.read_f64(t)).collect()
}

#[test]
fn stop_gradient_stops() {
    let graph = Graph::new();
    let x = graph.input("x", &[3]);
    let loss = (&x * x.stop_gradient()).sum();
    let first = grad(&loss, std::slice::from_ref(&x)).remove(0);
    let second = grad(&(&first * &first).sum(), std::slice::from_ref(&x)).remove(0);
    let stopped = grad(&x.stop_gradient().square().sum(), std::slice::from_ref(&x)).remove(0);
    let values = evaluate(&graph, &[first, second, stopped], &[(&[1.0, -2.0, 3.0], &[3])]);
    assert_eq!(values, [vec![1.0, -2.0, 3.0], vec![0.0; 3], vec![0.0; 3]]);
}

#[test]
fn gradients_at_kinks() {
    let graph = Graph::new();
    let (x, zero) = (graph.input("x", &[3]), [-1.0, 0.0, 1.0]);
    let of = |y: Tensor| grad(&y.sum(), std::slice::from_ref(&x)).remove(0);
    let outputs = [
        of(x.relu()),
        of(x.abs()),
        of(x.clamp(-1.0, 1.0)),
        of(x.clamp(-0.5, 0.0)),
        of((&x * 0.0 + x.sign()).exp()),
    ];
    let values = evaluate(&graph, &outputs, &[(&zero, &[3])]);
    let expected = [[0.0, 0.0, 1.0], [-1.0, 0.0, 1.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]];
    assert_eq!(values, expected);
}

/// The gradient of a maximum over an axis is shared among equal elements. The gradient of the maximum of two tensors
/// goes to one of them.
#[test]
fn equal_maxima_share_the_gradient() {
    let graph = Graph::new();
    let (a, b) = (graph.input("a", &[2, 2]), graph.input("b", &[2, 2]));
    let reduced = grad(&a.max_keep(&[0, 1]).sum(), std::slice::from_ref(&a)).remove(0);
    let pair = grad(&a.max(&b).sum(), &[a, b]);
    let x: (&[f64], &[usize]) = (&[1.0, 3.0, 3.0, 0.0], &[2, 2]);
    let values = evaluate(&graph, &[reduced, &pair[0] + &pair[1]], &[x, x]);
    assert_eq!(values, [[0.0, 0.5, 0.5, 0.0], [1.0; 4]]);
}

#[test]
fn gradients_of_what_does_not_depend_are_zero() {
    let graph = Graph::new();
    let (x, y) = (graph.input("x", &[2]), graph.input("y", &[3]));
    let loss = x.sum().variable();
    let gradients = grad(&loss, &[y.clone(), loss.clone(), y.exp().variable(), x]);
    let values = evaluate(&graph, &gradients, &[(&[1.0, 2.0], &[2]), (&[0.0; 3], &[3])]);
    assert_eq!(values, [vec![0.0; 3], vec![1.0], vec![0.0; 3], vec![1.0; 2]]);
}

/// A second inner step can differentiate with respect to the result of the first, if that is a variable. Anything other
/// than an input or a variable is refused, because a simplification may have bypassed it.
#[test]
fn grad_wants_inputs_or_variables() {
    let graph = Graph::new();
    let x = graph.input("x", &[]);
    let doubled = (&x * 2.0).variable();
    let gradients = potstill_engine::graph::grad(&(&doubled * 3.0), std::slice::from_ref(&doubled));
    let again = potstill_engine::graph::grad(&(&doubled * 3.0).square(), std::slice::from_ref(&x));
    let plan = Plan::compile(&graph, &[gradients[0].clone(), again[0].clone()]).unwrap();
    let device = Device::cpu(1);
    let outputs = device.run(&plan, &[device.tensor(&[0.5], &[])]);
    assert_eq!(device.read(&outputs[0]), [3.0]);
    assert_eq!(device.read(&outputs[1]), [72.0 * 0.5]);

    let tripled = &x * 3.0;
    potstill_engine::graph::grad(&tripled.square(), std::slice::from_ref(&tripled));
    let error = graph.check().unwrap_err().to_string();
    assert!(error.contains("`grad` expected inputs or variables") && error.contains("variable()"), "{error}");
}
