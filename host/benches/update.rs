//! Benchmarks one PPMO update at batch 128 (2D cart-pole, k = 3, 2 × 64 tanh, critic, Adam). It compares the compiled plan
//! with the same arithmetic written by hand for exactly these sizes, without allocation and without a graph.
#![allow(missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use potstill::engine::inner::Inner;
use potstill::engine::policy::Policy;
use potstill::engine::programs::{SCALARS, UpdateRule, sample, update};
use potstill::engine::random::stream;
use potstill::engine::student::{Dimensions, Student};
use potstill::engine::theta::{Layout, Theta};
use potstill::execute::{Array, Device};
use potstill::plugin::Registry;
use potstill_plugin_api::{Space, Task};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const K: usize = 3;
const OBSERVATION: usize = 8;
const ACTIONS: usize = 4;
const WIDTH: usize = 64;
const ROWS: usize = 128;

/// Makes pseudorandom numbers that are the same on every machine.
fn numbers(n: usize, scale: f32) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| scale * next()).collect()
}

fn planned(criterion: &mut Criterion) {
    let (observation, policy) = (Space::unbounded([OBSERVATION]), Policy::Categorical(ACTIONS));
    let d = Dimensions {
        k: K,
        observation: observation.clone(),
        policy,
        encoder_layers: 0,
        inner: Inner::default(),
    };
    let device = Device::cpu(1);
    let mut random = stream(0, "bench", 0);
    let registry = Registry::of(&[], &[]).expect("the built-ins");
    let mlp = registry.learner("mlp", &[]).expect("an MLP");
    let student = mlp.draw(&observation, ACTIONS, 0).expect("an MLP");
    let student = Student::new(student, &d).expect("an MLP");
    let critic = Student::critic(mlp.draw(&observation, 1, 0).expect("an MLP"), &d).expect("an MLP");
    let task = Task { observation, action: Space::Discrete { n: ACTIONS }, instances: K, outputs: ACTIONS };
    let objective = registry.objective("ppmo", &[], &task).expect("PPMO");
    let rule = UpdateRule::default();
    let plan = update(&student, &critic, &*objective, &rule, &d, ROWS).expect("a plan").plan;
    let fresh = sample(&student, &device, &mut random);
    let layout = Layout::new(Theta::new(&*objective, &d), &student, &critic);
    let tensor = |shape: &[usize], scale: f32| device.tensor(&numbers(shape.iter().product(), scale), shape);
    let mut state: Vec<Array> = layout.shapes.iter().map(|s| tensor(s, 0.3)).collect();
    for _ in 0..2 {
        state.extend(layout.shapes.iter().map(|s| tensor(s, 0.0)));
    }
    let (observations, column) = (numbers(ROWS * OBSERVATION, 1.0), numbers(ROWS, 1.0));
    let actions: Vec<i32> = (0..ROWS).map(|i| (i % ACTIONS) as i32).collect();
    criterion.bench_function("update 128, planned", |bencher| {
        bencher.iter(|| {
            let mut inputs = state.clone();
            inputs.extend_from_slice(&fresh);
            inputs.extend(SCALARS.map(|_| device.tensor(&[1e-3], &[])));
            let at = inputs.len();
            inputs.push(device.rows(&plan, at, &observations, None));
            inputs.push(device.int_rows(&plan, at + 1, &actions, None));
            for i in 0..3 {
                inputs.push(device.rows(&plan, at + 2 + i, &column, None));
            }
            let mut outputs = device.run(&plan, &inputs);
            outputs.truncate(state.len());
            state = outputs;
        });
    });
}

/// The weights and biases of one network with `O` outputs.
#[derive(Clone)]
struct Network<const O: usize> {
    w: [Vec<f32>; 3],
    b: [Vec<f32>; 3],
}

impl<const O: usize> Network<O> {
    fn new(scale: f32) -> Self {
        let sizes = [OBSERVATION * WIDTH, WIDTH * WIDTH, WIDTH * O];
        let biases = [WIDTH, WIDTH, O];
        Network { w: sizes.map(|n| numbers(n, scale)), b: biases.map(|n| numbers(n, 0.0)) }
    }

    fn update(&mut self, other: &Self, f: impl Fn(&mut f32, f32) + Copy) {
        let own = self.w.iter_mut().chain(&mut self.b);
        for (a, b) in own.zip(other.w.iter().chain(&other.b)) {
            a.iter_mut().zip(b).for_each(|(a, b)| f(a, *b));
        }
    }
}

/// The activations and their gradients for up to `ROWS` rows.
struct Scratch {
    h: [Vec<f32>; 2],
    d: [Vec<f32>; 2],
    out: Vec<f32>,
    d_out: Vec<f32>,
    transposed: Vec<f32>,
}

impl Scratch {
    fn new() -> Self {
        let hidden = || vec![0.0; ROWS * WIDTH];
        Scratch {
            h: [hidden(), hidden()],
            d: [hidden(), hidden()],
            out: vec![0.0; ROWS * ACTIONS],
            d_out: vec![0.0; ROWS * ACTIONS],
            transposed: vec![0.0; WIDTH * WIDTH],
        }
    }
}

/// Computes `c[n, M] = bias + a[n, k]·b[k, M]`. Without a bias it adds to `c` if `ADD`.
#[inline(always)]
fn multiply<const M: usize, const ADD: bool>(
    c: &mut [f32],
    a: &[f32],
    b: &[f32],
    n: usize,
    bias: Option<&[f32]>,
) {
    let k = b.len() / M;
    for i in 0..n {
        let row = &mut c[i * M..(i + 1) * M];
        let mut sums = [0f32; M];
        match bias {
            Some(bias) => sums.copy_from_slice(bias),
            None if ADD => sums.copy_from_slice(row),
            None => {}
        }
        for p in 0..k {
            let (x, line) = (a[i * k + p], &b[p * M..(p + 1) * M]);
            for j in 0..M {
                sums[j] += x * line[j];
            }
        }
        row.copy_from_slice(&sums);
    }
}

/// Computes `c[k, M] = a[n, k]ᵀ·d[n, M]`.
#[inline(always)]
fn outer<const M: usize>(c: &mut [f32], a: &[f32], d: &[f32], n: usize) {
    let k = c.len() / M;
    for p in 0..k {
        let mut sums = [0f32; M];
        for i in 0..n {
            let (x, line) = (a[i * k + p], &d[i * M..(i + 1) * M]);
            for j in 0..M {
                sums[j] += x * line[j];
            }
        }
        c[p * M..(p + 1) * M].copy_from_slice(&sums);
    }
}

#[inline(always)]
fn transpose(from: &[f32], rows: usize, to: &mut [f32]) {
    let columns = from.len() / rows;
    for i in 0..rows {
        for j in 0..columns {
            to[j * rows + i] = from[i * columns + j];
        }
    }
}

#[inline(always)]
fn column_sums<const M: usize>(sums: &mut [f32], d: &[f32], n: usize) {
    sums.fill(0.0);
    for row in d[..n * M].chunks_exact(M) {
        sums.iter_mut().zip(row).for_each(|(s, v)| *s += v);
    }
}

/// Computes tanh by the rational approximation that the fused kernels use.
#[inline(always)]
#[allow(clippy::excessive_precision)]
fn tanh(x: f32) -> f32 {
    let x = x.clamp(-7.998_811_7, 7.998_811_7);
    let s = x * x;
    let p = ((((((-2.760_768_5e-16 * s + 2.000_187_9e-13) * s - 8.604_671_5e-11) * s + 5.122_297_1e-8) * s
        + 1.485_722_4e-5)
        * s
        + 6.372_619_3e-4)
        * s
        + 4.893_524_6e-3)
        * x;
    p / (((1.198_258_4e-6 * s + 1.185_347_1e-4) * s + 2.268_434_6e-3) * s + 4.893_525_2e-3)
}

#[inline(always)]
fn forward<const O: usize>(net: &Network<O>, x: &[f32], n: usize, s: &mut Scratch) {
    multiply::<WIDTH, false>(&mut s.h[0], x, &net.w[0], n, Some(&net.b[0]));
    s.h[0][..n * WIDTH].iter_mut().for_each(|v| *v = tanh(*v));
    let [h0, h1] = &mut s.h;
    multiply::<WIDTH, false>(h1, h0, &net.w[1], n, Some(&net.b[1]));
    h1[..n * WIDTH].iter_mut().for_each(|v| *v = tanh(*v));
    multiply::<O, false>(&mut s.out, h1, &net.w[2], n, Some(&net.b[2]));
}

/// Computes the gradients of the parameters from those of the outputs, `s.d_out`.
#[inline(always)]
fn backward<const O: usize>(net: &Network<O>, x: &[f32], n: usize, s: &mut Scratch, g: &mut Network<O>) {
    outer::<O>(&mut g.w[2], &s.h[1], &s.d_out, n);
    column_sums::<O>(&mut g.b[2], &s.d_out, n);
    transpose(&net.w[2], WIDTH, &mut s.transposed);
    multiply::<WIDTH, false>(&mut s.d[1], &s.d_out, &s.transposed[..O * WIDTH], n, None);
    s.d[1][..n * WIDTH].iter_mut().zip(&s.h[1]).for_each(|(d, h)| *d *= 1.0 - h * h);
    outer::<WIDTH>(&mut g.w[1], &s.h[0], &s.d[1], n);
    column_sums::<WIDTH>(&mut g.b[1], &s.d[1], n);
    transpose(&net.w[1], WIDTH, &mut s.transposed);
    let [d0, d1] = &mut s.d;
    multiply::<WIDTH, false>(d0, d1, &s.transposed, n, None);
    d0[..n * WIDTH].iter_mut().zip(&s.h[0]).for_each(|(d, h)| *d *= 1.0 - h * h);
    outer::<WIDTH>(&mut g.w[0], x, d0, n);
    column_sums::<WIDTH>(&mut g.b[0], d0, n);
}

/// Computes the gradients of θ: `v`, the gradient at φ′, is pulled back through `φ′ = φ − η·∇φ mse(f(φ, X), Y)`. A tangent
/// along `v` at φ, then a reverse pass over the k rows. `s` holds the forward pass of X at φ.
#[inline(always)]
fn pull_back(
    phi: &Network<ACTIONS>,
    v: &Network<ACTIONS>,
    x: &[f32],
    y: &[f32],
    eta: f32,
    s: &mut Scratch,
    gradients: (&mut [f32], &mut [f32]),
) {
    const KH: usize = K * WIDTH;
    let (h, t) = (&s.h, &mut s.transposed);
    let (mut z, mut dot) = ([[0f32; KH]; 2], [[0f32; KH]; 2]);
    multiply::<WIDTH, false>(&mut z[0], x, &v.w[0], K, Some(&v.b[0]));
    for i in 0..KH {
        dot[0][i] = (1.0 - h[0][i] * h[0][i]) * z[0][i];
    }
    multiply::<WIDTH, false>(&mut z[1], &h[0], &v.w[1], K, Some(&v.b[1]));
    multiply::<WIDTH, true>(&mut z[1], &dot[0], &phi.w[1], K, None);
    for i in 0..KH {
        dot[1][i] = (1.0 - h[1][i] * h[1][i]) * z[1][i];
    }
    let mut dot_out = [0f32; K * ACTIONS];
    multiply::<ACTIONS, false>(&mut dot_out, &h[1], &v.w[2], K, Some(&v.b[2]));
    multiply::<ACTIONS, true>(&mut dot_out, &dot[1], &phi.w[2], K, None);

    // S = Σ d·dot_out with d = c·(out − y): reverse over out (via d) and over dot_out.
    let c = -eta * 2.0 / (K * ACTIONS) as f32;
    let (mut bar_out, mut bar_dot) = ([0f32; K * ACTIONS], [0f32; K * ACTIONS]);
    for i in 0..K * ACTIONS {
        bar_out[i] = c * dot_out[i];
        bar_dot[i] = c * (s.out[i] - y[i]);
        gradients.1[i] = -c * dot_out[i];
    }
    let (mut bar_h, mut bar_t) = ([[0f32; KH]; 2], [[0f32; KH]; 2]);
    transpose(&phi.w[2], WIDTH, t);
    multiply::<WIDTH, false>(&mut bar_h[1], &bar_out, &t[..KH / K * ACTIONS], K, None);
    multiply::<WIDTH, false>(&mut bar_t[1], &bar_dot, &t[..KH / K * ACTIONS], K, None);
    transpose(&v.w[2], WIDTH, t);
    multiply::<WIDTH, true>(&mut bar_h[1], &bar_dot, &t[..KH / K * ACTIONS], K, None);
    let through = |bar_h: &mut [f32; KH], bar_t: &mut [f32; KH], h: &[f32], z: &[f32; KH]| {
        for i in 0..KH {
            let slope = 1.0 - h[i] * h[i];
            bar_h[i] = (bar_h[i] - 2.0 * h[i] * z[i] * bar_t[i]) * slope;
            bar_t[i] *= slope;
        }
    };
    through(&mut bar_h[1], &mut bar_t[1], &h[1], &z[1]);
    let ([bar_h0, bar_h1], [bar_t0, bar_t1]) = (&mut bar_h, &mut bar_t);
    transpose(&phi.w[1], WIDTH, t);
    multiply::<WIDTH, false>(bar_h0, bar_h1, t, K, None);
    multiply::<WIDTH, false>(bar_t0, bar_t1, t, K, None);
    transpose(&v.w[1], WIDTH, t);
    multiply::<WIDTH, true>(bar_h0, bar_t1, t, K, None);
    through(bar_h0, bar_t0, &h[0], &z[0]);
    transpose(&phi.w[0], OBSERVATION, t);
    multiply::<OBSERVATION, false>(gradients.0, bar_h0, &t[..OBSERVATION * WIDTH], K, None);
    transpose(&v.w[0], OBSERVATION, t);
    multiply::<OBSERVATION, true>(gradients.0, bar_t0, &t[..OBSERVATION * WIDTH], K, None);
}

/// Writes the gradient of the policy loss with respect to the logits `s.out` to `s.d_out`.
#[inline(always)]
fn policy_gradient(s: &mut Scratch, actions: &[usize], log_probs: &[f32], advantages: &[f32]) {
    let n = ROWS as f32;
    for i in 0..ROWS {
        let logits = &s.out[i * ACTIONS..(i + 1) * ACTIONS];
        let largest = logits.iter().copied().fold(f32::MIN, f32::max);
        let exp: [f32; ACTIONS] = std::array::from_fn(|j| (logits[j] - largest).exp());
        let sum: f32 = exp.iter().sum();
        let log_policy: [f32; ACTIONS] = std::array::from_fn(|j| logits[j] - largest - sum.ln());
        let ratio = (log_policy[actions[i]] - log_probs[i]).exp();
        let clipped = ratio.clamp(0.8, 1.2) * advantages[i] < ratio * advantages[i];
        let d_ratio = if clipped { 0.0 } else { -ratio * advantages[i] / n };
        let entropy: f32 = (0..ACTIONS).map(|j| exp[j] / sum * log_policy[j]).sum();
        for j in 0..ACTIONS {
            let p = exp[j] / sum;
            let one = if j == actions[i] { 1.0 } else { 0.0 };
            s.d_out[i * ACTIONS + j] = d_ratio * (one - p) + 0.01 / n * p * (log_policy[j] - entropy);
        }
    }
}

struct ByHand {
    phi: Network<ACTIONS>,
    critic: Network<1>,
    moments: [Network<1>; 2],
    x: Vec<f32>,
    y: Vec<f32>,
    theta_moments: [Vec<f32>; 2],
    scratch: [Scratch; 2],
    gradients: [Network<ACTIONS>; 2],
    critic_gradients: Network<1>,
}

impl ByHand {
    #[inline(always)]
    fn update(&mut self, observations: &[f32], actions: &[usize], column: &[f32]) {
        let [of_x, of_rows] = &mut self.scratch;
        let [inner, outer] = &mut self.gradients;
        let eta = 0.5;
        forward(&self.phi, &self.x, K, of_x);
        for i in 0..K * ACTIONS {
            of_x.d_out[i] = 2.0 * (of_x.out[i] - self.y[i]) / (K * ACTIONS) as f32;
        }
        backward(&self.phi, &self.x, K, of_x, inner);
        let mut taught = self.phi.clone();
        taught.update(inner, |p, g| *p -= eta * g);

        let mean = column.iter().sum::<f32>() / ROWS as f32;
        let deviation = (column.iter().map(|a| (a - mean).powi(2)).sum::<f32>() / ROWS as f32).sqrt();
        let advantages: Vec<f32> = column.iter().map(|a| (a - mean) / (deviation + 1e-8)).collect();
        forward(&taught, observations, ROWS, of_rows);
        policy_gradient(of_rows, actions, column, &advantages);
        backward(&taught, observations, ROWS, of_rows, outer);
        let (mut gx, mut gy) = ([0f32; K * OBSERVATION], [0f32; K * ACTIONS]);
        pull_back(&self.phi, outer, &self.x, &self.y, eta, of_x, (&mut gx, &mut gy));

        forward(&self.critic, observations, ROWS, of_rows);
        for ((d, out), target) in of_rows.d_out.iter_mut().zip(&of_rows.out).zip(column) {
            *d = (out - target) / ROWS as f32;
        }
        backward(&self.critic, observations, ROWS, of_rows, &mut self.critic_gradients);

        let adam = |p: &mut f32, g: f32, m: &mut f32, v: &mut f32| {
            *m = 0.9 * *m + 0.1 * g;
            *v = 0.999 * *v + 0.001 * g * g;
            *p -= 1e-3 * *m / (v.sqrt() + 1e-5);
        };
        let [first, second] = &mut self.theta_moments;
        let theta = self.x.iter_mut().chain(&mut self.y).zip(gx.iter().chain(&gy));
        for ((p, g), (m, v)) in theta.zip(first.iter_mut().zip(second)) {
            adam(p, *g, m, v);
        }
        let g = &self.critic_gradients;
        let [first, second] = &mut self.moments;
        for i in 0..3 {
            let weights = self.critic.w[i].iter_mut().zip(&g.w[i]);
            for ((p, g), (m, v)) in weights.zip(first.w[i].iter_mut().zip(&mut second.w[i])) {
                adam(p, *g, m, v);
            }
            let biases = self.critic.b[i].iter_mut().zip(&g.b[i]);
            for ((p, g), (m, v)) in biases.zip(first.b[i].iter_mut().zip(&mut second.b[i])) {
                adam(p, *g, m, v);
            }
        }
    }
}

fn by_hand(criterion: &mut Criterion) {
    let zero = || vec![0.0; K * (OBSERVATION + ACTIONS)];
    let mut state = ByHand {
        phi: Network::new(0.2),
        critic: Network::new(0.2),
        moments: [Network::new(0.0), Network::new(0.0)],
        x: numbers(K * OBSERVATION, 1.0),
        y: numbers(K * ACTIONS, 1.0),
        theta_moments: [zero(), zero()],
        scratch: [Scratch::new(), Scratch::new()],
        gradients: [Network::new(0.0), Network::new(0.0)],
        critic_gradients: Network::new(0.0),
    };
    let (observations, column) = (numbers(ROWS * OBSERVATION, 1.0), numbers(ROWS, 1.0));
    let actions: Vec<usize> = (0..ROWS).map(|i| i % ACTIONS).collect();
    // Use the same vector instructions as the kernels of the plan.
    let arch = pulp::Arch::new();
    criterion.bench_function("update 128, by hand", |bencher| {
        bencher.iter(|| arch.dispatch(|| state.update(&observations, &actions, &column)));
    });
}

criterion_group!(benches, planned, by_hand);
criterion_main!(benches);
