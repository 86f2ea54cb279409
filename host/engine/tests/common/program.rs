//! Random programs, which are traced as a graph and computed with plain arrays at the same time.
use potstill_engine::execute::{Array as Numbers, Device, Plan};
use potstill_engine::graph::{Graph, Tensor};
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::array::Array;
use super::uniform;
use potstill_engine::random::Stream;

/// A value of a program: the graph's tensor, and the array that running it must give.
#[derive(Clone, Debug)]
pub struct Value {
    pub tensor: Tensor,
    pub array: Array,
}

/// The operations that a program consists of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Elementwise operations with broadcasts.
    Elementwise,
    /// All operations.
    Everything,
}

/// A traced program with its inputs' values.
pub struct Program {
    pub graph: Graph,
    /// The last input: 0 or 1 for each row, `[rows, 1]`.
    pub index: Value,
    pub inputs: Vec<Array>,
    pub of_rows: Vec<bool>,
    pub values: Vec<Value>,
}

impl Program {
    /// Creates inputs with the shapes of a batch and of parameters, and applies `steps` random operations.
    pub fn random(rng: &mut Stream, kind: Kind, rows: usize, steps: usize) -> Program {
        let graph = Graph::new();
        let width = rng.random_range(1..5);
        let shapes = [
            (true, vec![rows, width]),
            (true, vec![rows, 1]),
            (true, vec![rows]),
            (true, vec![rows, 1, width]),
            (true, vec![rows, 2, width]),
            (false, vec![width]),
            (false, vec![1, width]),
            (false, vec![width, width]),
            (false, vec![]),
            (false, vec![2, 1]),
        ];
        let index = super::Index::random(rng, &[rows, 1], 2);
        let array = Array::new(&[rows, 1], index.values.iter().map(|&i| f64::from(i)).collect());
        let index = Value { tensor: graph.constant(0.0), array };
        let mut program = Program { graph, index, inputs: vec![], of_rows: vec![], values: vec![] };
        for (i, (of_rows, shape)) in shapes.into_iter().enumerate() {
            if i > 1 && rng.random_bool(0.3) {
                continue;
            }
            // Rounded to single precision, so that all devices start from the same numbers.
            let numbers = uniform(rng, shape.iter().product(), -1.5, 1.5);
            let array = Array::new(&shape, numbers.iter().map(|&v| f64::from(v as f32)).collect());
            let tensor = match of_rows {
                true => program.graph.rows(format!("rows {i}"), &shape),
                false => program.graph.input(format!("input {i}"), &shape),
            };
            program.inputs.push(array.clone());
            program.of_rows.push(of_rows);
            program.values.push(Value { tensor, array });
        }
        program.index.tensor = program.graph.int_rows("index", &[rows, 1]);
        while program.values.len() < program.inputs.len() + steps {
            if let Some(value) = program.step(rng, kind) {
                program.graph.check().unwrap();
                assert_eq!(value.tensor.shape(), value.array.shape);
                program.values.push(value.bounded());
            }
        }
        program
    }

    /// Picks a value, a recent one more often than an old one.
    fn pick(&self, rng: &mut Stream) -> Value {
        let n = self.values.len();
        let i = if rng.random() { rng.random_range(n.saturating_sub(5)..n) } else { rng.random_range(0..n) };
        self.values[i].clone()
    }

    fn step(&self, rng: &mut Stream, kind: Kind) -> Option<Value> {
        let a = self.pick(rng);
        match kind {
            Kind::Elementwise => self.elementwise(rng, &a),
            Kind::Everything => match rng.random_range(0..7) {
                0 => self.indexed(rng, &a),
                1 | 2 => self.elementwise(rng, &a),
                3 | 4 => shaped(rng, &a, self),
                _ => self.contracted(rng, &a),
            },
        }
    }

    fn elementwise(&self, rng: &mut Stream, a: &Value) -> Option<Value> {
        let constant = *[0.0, 1.0, -1.0, 2.0, 0.5, -0.7].choose(rng)?;
        let number = Value { tensor: self.graph.constant(constant), array: Array::new(&[], vec![constant]) };
        let b = if rng.random_bool(0.25) { number } else { self.pick(rng) };
        let (a, b) = if rng.random_bool(0.2) { (&b, a) } else { (a, &b) };
        let one = |t: Tensor, f: &dyn Fn(f64) -> f64| Some(Value { tensor: t, array: a.array.map(f) });
        let common = Array::common_shape(&a.array.shape, &b.array.shape);
        let fits = common.as_ref().is_some_and(|s| s.iter().product::<usize>() <= 40_000);
        let two = |t: &dyn Fn() -> Tensor, f: &dyn Fn(f64, f64) -> f64| {
            fits.then(|| Value { tensor: t(), array: a.array.zip(&b.array, f) })
        };
        let x = &a.tensor;
        let least = a.array.data.iter().copied().fold(f64::INFINITY, f64::min);
        // Near a discontinuity, the two precisions may fall on different sides.
        let clear = fits && a.array.zip(&b.array, |x, y| (x - y).abs()).data.iter().all(|&d| d > 1e-3);
        let truth = |t: bool| f64::from(u8::from(t));
        match rng.random_range(0..26) {
            0 => one(-x, &|x| -x),
            1 => one(x.exp(), &f64::exp),
            2 => one(x.tanh(), &f64::tanh),
            3 => one(x.sigmoid(), &|x| 1.0 / (1.0 + (-x).exp())),
            4 => one(x.relu(), &|x| x.max(0.0)),
            5 => one(x.abs(), &f64::abs),
            6 => one(x.erf(), &libm::erf),
            7 => one((x.abs() + 0.5).log(), &|x| (x.abs() + 0.5).ln()),
            8 => one((x.square() + 0.5).sqrt(), &|x| (x * x + 0.5).sqrt()),
            9 => one((x.square() + 0.5).recip(), &|x| 1.0 / (x * x + 0.5)),
            10 if least > 0.3 => one(x.powf(1.5), &|x| x.powf(1.5)),
            11 => one(x.clamp(-0.5, 1.0), &|x| x.clamp(-0.5, 1.0)),
            12 if least > 1e-3 => one(x.sign(), &f64::signum),
            13 => one(x.stop_gradient(), &|x| x),
            14 => one(x.gelu(), &|x| x * 0.5 * (1.0 + libm::erf(x / 2f64.sqrt()))),
            15 | 16 => two(&|| x + &b.tensor, &|x, y| x + y),
            17 => two(&|| x - &b.tensor, &|x, y| x - y),
            18 | 19 => two(&|| x * &b.tensor, &|x, y| x * y),
            20 => two(&|| x / (b.tensor.abs() + 0.5), &|x, y| x / (y.abs() + 0.5)),
            21 => two(&|| x.max(&b.tensor), &f64::max),
            22 => two(&|| x.min(&b.tensor), &f64::min),
            23 if clear => two(&|| x.less(&b.tensor), &|x, y| truth(x < y)),
            24 if clear => two(&|| x.equal(&b.tensor) + x.less_equal(&b.tensor), &|x, y| truth(x < y)),
            25 if clear => {
                let shape = common?;
                let (ta, tb) = (x.broadcast_to(&shape), b.tensor.broadcast_to(&shape));
                let tensor = ta.less(&tb).select(&ta.tanh(), &(tb * 0.5));
                let f = |x: f64, y: f64| if x < y { x.tanh() } else { y * 0.5 };
                Some(Value { tensor, array: a.array.zip(&b.array, f) })
            }
            _ => None,
        }
    }

    fn indexed(&self, rng: &mut Stream, a: &Value) -> Option<Value> {
        let Value { tensor: index, array: at } = &self.index;
        let shape = &a.array.shape;
        let rows = at.shape[0];
        if rng.random_bool(0.2) {
            let array = Array::build(&[rows, 1, 3], |i| f64::from(u8::from(at.at(&i[..2]) == i[2] as f64)));
            return Some(Value { tensor: index.one_hot(3), array });
        }
        let (tensor, index, at, axis) = match shape[..] {
            [n, k] if n == rows && k >= 2 => (a.tensor.clone(), index.clone(), at.clone(), 1),
            // Index the first axis, with the index repeated and transposed.
            [n, m] if n >= 2 && m == rows => {
                let index = index.broadcast_to(&[rows, 3]).permute(&[1, 0]);
                (a.tensor.clone(), index, at.broadcast(&[rows, 3]).permute(&[1, 0]), 0)
            }
            _ => return None,
        };
        let gathered =
            Value { tensor: tensor.gather(axis, &index), array: a.array.gather(axis as usize, &at) };
        if rng.random() {
            return Some(gathered);
        }
        let array = gathered.array.scatter(axis as usize, &at, 3);
        Some(Value { tensor: gathered.tensor.scatter(axis, &index, 3), array })
    }

    fn contracted(&self, rng: &mut Stream, a: &Value) -> Option<Value> {
        let rank = a.array.shape.len();
        match rng.random_range(0..4) {
            0 | 1 => {
                // Multiply by anything that fits, including its own transpose.
                let mut others: Vec<&Value> = self.values.iter().collect();
                others.shuffle(rng);
                if rank < 2 {
                    return None;
                }
                let fits = |b: &&&Value| {
                    let s = &b.array.shape;
                    let inner = s.len() >= 2 && s[s.len() - 2] == a.array.shape[rank - 1];
                    let lead =
                        s.len() == 2 || (s.len() == rank && s[..rank - 2] == a.array.shape[..rank - 2]);
                    let size = a.array.data.len() / a.array.shape[rank - 1].max(1) * s.last().unwrap_or(&1);
                    inner && lead && s[s.len() - 1] <= 64 && size <= 40_000
                };
                let Some(b) = others.iter().find(fits) else {
                    let mut axes: Vec<usize> = (0..rank).collect();
                    axes.swap(rank - 2, rank - 1);
                    // Weight gradients consist of products xᵀx.
                    let wide = a.array.shape[rank - 1] > 8;
                    return (!wide).then(|| {
                        let t = a.tensor.transpose();
                        let scale = 1.0 / a.array.shape[rank - 2] as f64;
                        let array = a.array.permute(&axes).matmul(&a.array).map(|v| v * scale);
                        Value { tensor: t.matmul(&a.tensor) * scale, array }
                    });
                };
                let scale = 1.0 / a.array.shape[rank - 1] as f64;
                let array = a.array.matmul(&b.array).map(|v| v * scale);
                Some(Value { tensor: a.tensor.matmul(&b.tensor) * scale, array })
            }
            _ => {
                let axes: Vec<usize> = (0..rank).filter(|_| rng.random()).collect();
                let signed: Vec<isize> = axes.iter().map(|&a| a as isize).collect();
                let count: usize = axes.iter().map(|&i| a.array.shape[i]).product();
                let mean = a.array.sum(&axes).map(|v| v / count as f64);
                let left = (0..rank).filter(|i| !axes.contains(i)).map(|i| a.array.shape[i]);
                let left: Vec<usize> = left.collect();
                Some(match rng.random_range(0..4) {
                    0 => Value { tensor: a.tensor.mean_keep(&signed), array: mean },
                    1 => Value { tensor: a.tensor.max_keep(&signed), array: a.array.max(&axes) },
                    2 => Value {
                        tensor: a.tensor.sum_axes(&signed) / count as f64,
                        array: mean.reshape(&left),
                    },
                    _ => {
                        let all: Vec<usize> = (0..rank).collect();
                        let mean = a.array.sum(&all).map(|v| v / a.array.data.len() as f64);
                        Value { tensor: a.tensor.mean(), array: mean.reshape(&[]) }
                    }
                })
            }
        }
    }

    /// Some of the values, including the last, one of them twice.
    pub fn outputs(&self, rng: &mut Stream) -> Vec<Value> {
        let mut outputs: Vec<Value> = (0..rng.random_range(0..4)).map(|_| self.pick(rng)).collect();
        outputs.extend(self.values.last().cloned());
        outputs.push(outputs[0].clone());
        outputs
    }

    /// The plan's inputs, uploaded to `device`.
    pub fn numbers(&self, device: &Device, plan: &Plan) -> Vec<Numbers> {
        let upload = |(i, (array, &of_rows)): (usize, (&Array, &bool))| {
            let data: Vec<f32> = array.data.iter().map(|&v| v as f32).collect();
            match of_rows {
                true => device.rows(plan, i, &data, None),
                false => device.tensor(&data, &array.shape),
            }
        };
        let index: Vec<i32> = self.index.array.data.iter().map(|&i| i as i32).collect();
        let index = device.int_rows(plan, self.inputs.len(), &index, None);
        self.inputs.iter().zip(&self.of_rows).enumerate().map(upload).chain([index]).collect()
    }
}

impl Value {
    /// Returns the value itself, or its tanh if its numbers have grown large.
    fn bounded(self) -> Value {
        if self.array.data.iter().all(|v| v.abs() < 4.0) {
            return self;
        }
        Value { tensor: self.tensor.tanh(), array: self.array.map(f64::tanh) }
    }
}

fn shaped(rng: &mut Stream, a: &Value, program: &Program) -> Option<Value> {
    let shape = a.array.shape.clone();
    let rank = shape.len();
    let make = |tensor: Tensor, array: Array| Some(Value { tensor, array });
    if rank == 0 {
        return make(a.tensor.reshape(&[1, 1]), a.array.reshape(&[1, 1]));
    }
    let axis = rng.random_range(0..rank);
    let signed = axis as isize - rank as isize;
    match rng.random_range(0..9) {
        0 | 1 => {
            let mut axes: Vec<usize> = (0..rank).collect();
            axes.shuffle(rng);
            make(a.tensor.permute(&axes), a.array.permute(&axes))
        }
        2 => {
            // Merge two axes.
            if axis + 1 == rank {
                return None;
            }
            let mut to = shape;
            to[axis] *= to.remove(axis + 1);
            make(a.tensor.reshape(&to), a.array.reshape(&to))
        }
        3 => {
            // Split an axis, or add one.
            let factor = [2, 3, 1].into_iter().find(|f| shape[axis].is_multiple_of(*f))?;
            let mut to = shape;
            to[axis] /= factor;
            to.insert(axis + usize::from(rng.random::<bool>()), factor);
            (to.len() < 5).then_some(())?;
            make(a.tensor.reshape(&to), a.array.reshape(&to))
        }
        4 => {
            let start = rng.random_range(0..shape[axis]);
            let length = rng.random_range(1..=shape[axis] - start);
            make(a.tensor.slice(signed, start, length), a.array.window(axis, start as isize, length))
        }
        5 => {
            let (before, after) = (rng.random_range(0..3), rng.random_range(0..3));
            let length = shape[axis] + before + after;
            make(a.tensor.pad(signed, before, after), a.array.window(axis, -(before as isize), length))
        }
        6 => {
            let other = program.values.iter().rev().find(|b| {
                let s = &b.array.shape;
                s.len() == rank && (0..rank).all(|i| i == axis || s[i] == shape[i])
            })?;
            (a.array.data.len() + other.array.data.len() <= 40_000).then_some(())?;
            let tensor = Tensor::concat(&[&a.tensor, &other.tensor, &a.tensor], signed)?;
            make(tensor, Array::concat(&[&a.array, &other.array, &a.array], axis))
        }
        7 => {
            let to: Vec<usize> = [2].into_iter().chain(shape).collect();
            (rank < 4 && a.array.data.len() < 20_000).then_some(())?;
            make(a.tensor.broadcast_to(&to), a.array.broadcast(&to))
        }
        _ => {
            let shifted = a.array.zip(&a.array.max(&[axis]), |x, m| x - m);
            let sum = shifted.map(f64::exp).sum(&[axis]);
            make(a.tensor.log_softmax(signed), shifted.zip(&sum, |x, s| x - s.ln()))
        }
    }
}
