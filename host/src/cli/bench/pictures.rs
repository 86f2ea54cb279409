//! Times convolutional networks on pictures.
use std::time::Instant;

use potstill_plugin_api::{Space, Task};
use rand::Rng;

use super::{Bench, Timing, median, threads};
use crate::engine::inner::{Inner, Updating};
use crate::engine::policy::Policy;
use crate::engine::programs::{UpdateRule, act, sample};
use crate::engine::random::stream;
use crate::engine::student::{Dimensions, Student};
use crate::engine::theta::{Layout, Theta};
use crate::error::Result;
use crate::execute::{Array, Device, Plan};
use crate::plugin::Registry;

/// The actions of most Atari games with a joystick.
const ACTIONS: usize = 9;
/// The instances of θ.
const K: usize = 6;
/// The rows of a minibatch.
const ROWS: usize = 256;

/// A network and the pictures that it sees.
struct Network {
    name: &'static str,
    learner: &'static str,
    shape: [usize; 3],
}

/// What an update is timed of.
#[derive(Clone, Copy)]
enum Timed {
    /// PPMO with one inner step on [`K`] instances.
    Once,
    /// PPMO with 100 inner steps of Adam on batches of 15 of 150 instances.
    Many,
    /// A learner that is trained as it is.
    Direct,
}

/// The networks and observations of Atari and Procgen.
const NETWORKS: [Network; 2] = [
    Network { name: "Nature CNN", learner: "nature-cnn", shape: [4, 84, 84] },
    Network { name: "IMPALA", learner: "impala-cnn", shape: [3, 64, 64] },
];

impl Bench {
    /// Times updates of PPMO and of direct PPO, and acting.
    pub(super) fn pictures(&self, registry: &Registry) -> Result<Vec<Timing>> {
        let device = Device::named(&self.device, threads(self.threads)?)?;
        let mut timings = vec![];
        for network in &NETWORKS {
            for timed in [Timed::Once, Timed::Direct] {
                timings.extend(self.update(registry, &device, network, timed)?);
            }
            for rows in [8, 32, 128] {
                timings.extend(self.acting(registry, &device, network, rows)?);
            }
        }
        timings.extend(self.update(registry, &device, &NETWORKS[0], Timed::Many)?);
        Ok(timings)
    }

    /// Times one outer update.
    fn update(
        &self,
        registry: &Registry,
        device: &Device,
        network: &Network,
        timed: Timed,
    ) -> Result<Option<Timing>> {
        let mut d = network.dimensions();
        let what = match timed {
            Timed::Once => format!("outer update, k={K}"),
            Timed::Many => {
                d.k = 150;
                d.inner = Inner { steps: 100, adam: Some(5e-3), instances: Some(15) };
                "outer update through 100 inner steps of Adam on 15 of k=150".to_owned()
            }
            Timed::Direct => "direct PPO update".to_owned(),
        };
        let name = format!("{what}, {}", network.on(ROWS));
        if !self.wants(&name) {
            return Ok(None);
        }
        let cnn = registry.learner(network.learner, &[])?;
        if matches!(timed, Timed::Direct) {
            d.encoder_layers = Student::new(cnn.draw(&d.observation, ACTIONS, 0)?, &d)?.layers();
        }
        let student = Student::new(cnn.draw(&d.observation, ACTIONS, 0)?, &d)?;
        let critic = Student::critic(cnn.draw(&d.observation, 1, 0)?, &d)?;
        let action = Space::Discrete { n: ACTIONS };
        let task = Task { observation: d.observation.clone(), action, instances: d.k, outputs: ACTIONS };
        let objective = registry.objective("ppmo", &[], &task)?;
        let update = Updating::new(&student, &critic, &*objective, &UpdateRule::default(), &d, ROWS)?;

        let mut numbers = numbers();
        let shapes = Layout::new(Theta::new(&*objective, &d), &student, &critic).shapes;
        let state: Vec<Array> = (0..3)
            .flat_map(|_| &shapes)
            .map(|shape| device.tensor(&numbers(shape.iter().product()), shape))
            .collect();
        let observations = pictures(ROWS * d.observation.size());
        let (actions, column) = ([1; ROWS], [0.5; ROWS]);
        let fresh = sample(&student, device, &mut stream(0, "learner", 0));
        let batch = |device: &Device, plan: &Plan, first: usize| {
            let mut inputs = vec![device.byte_rows(plan, first, &observations, None)];
            inputs.push(device.int_rows(plan, first + 1, &actions, None));
            inputs.extend((2..5).map(|i| device.rows(plan, first + i, &column, None)));
            inputs
        };
        let most = if matches!(timed, Timed::Many) { 1 } else { 5 };
        Ok(Some(self.times(name, most, || {
            let (_, metrics) = update.run(device, &state, &fresh, 0, [1e-3; 4], batch);
            metrics.last().map(|metric| device.read(metric))
        })))
    }

    /// Times the outputs for a step of `rows` environments.
    fn acting(
        &self,
        registry: &Registry,
        device: &Device,
        network: &Network,
        rows: usize,
    ) -> Result<Option<Timing>> {
        let name = format!("acting, {}", network.on(rows));
        if !self.wants(&name) {
            return Ok(None);
        }
        let d = network.dimensions();
        let cnn = registry.learner(network.learner, &[])?;
        let student = Student::new(cnn.draw(&d.observation, ACTIONS, 0)?, &d)?;
        let plan = act(&student, &d, rows)?;
        let inputs = sample(&student, device, &mut stream(0, "learner", 0));
        let observations = pictures(rows * d.observation.size());
        Ok(Some(self.times(name, 20, || {
            let mut inputs = inputs.clone();
            inputs.push(device.byte_rows(&plan, inputs.len(), &observations, None));
            device.read(&device.run(&plan, &inputs)[0])
        })))
    }

    /// The median of several calls of `work`, the first of which is not counted.
    fn times<T>(&self, name: String, most: usize, work: impl Fn() -> T) -> Timing {
        work();
        let mut times = vec![];
        for _ in 0..self.repetitions.min(most) {
            let started = Instant::now();
            std::hint::black_box(work());
            times.push(started.elapsed());
        }
        Timing { name, seconds: median(&mut times), per_second: None }
    }
}

impl Network {
    fn dimensions(&self) -> Dimensions {
        Dimensions {
            k: K,
            observation: Space::Image { shape: self.shape.to_vec() },
            policy: Policy::Categorical(ACTIONS),
            encoder_layers: 0,
            inner: Inner::default(),
        }
    }

    /// The network and the observations of a batch.
    fn on(&self, rows: usize) -> String {
        let [c, h, w] = self.shape;
        format!("{}, {rows} × {c} × {h} × {w}", self.name)
    }
}

/// Small random numbers.
fn numbers() -> impl FnMut(usize) -> Vec<f32> {
    let mut random = stream(0, "bench", 0);
    move |n| (0..n).map(|_| random.random_range(0.0..0.01)).collect()
}

/// The bytes of random pictures.
fn pictures(n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    stream(0, "bench", 1).fill(&mut bytes[..]);
    bytes
}
