//! Runs one update with chosen numbers, for its loss and its meta-gradient.
use potstill_engine::environment::Actions;
use potstill_engine::execute::{Array, Device, Plan};
use potstill_engine::inner::{Inner, Updating};
use potstill_engine::objective::Objective;
use potstill_engine::optimizer::{Adam, Optimizer};
use potstill_engine::policy::Policy;
use potstill_engine::programs::{UpdateRule, needs_critic};
use potstill_engine::student::{Dimensions, Student};
use potstill_engine::theta::{Layout, Theta};
use potstill_plugin_api::{Column, Data, Space, Task};
use rand::Rng;

use super::{options, random, registry, uniform};

/// The progress of the run that an objective reads.
const PROGRESS: f64 = 0.25;
/// The seed of the instances that inner steps see.
pub const BATCHES: u64 = 3;

/// A learner, a compiled update, and values for all inputs of the update.
pub struct Meta {
    pub update: Updating,
    pub layout: Layout,
    pub student: Student,
    pub rows: usize,
    /// The values of θ, ξ and the critic.
    pub values: Vec<Vec<f64>>,
    /// All parameters of the learner before the inner step.
    pub fresh: Vec<Vec<f64>>,
    pub observations: Vec<f32>,
    pub actions: Actions,
    pub log_probs: Vec<f32>,
    pub advantages: Vec<f32>,
    pub returns: Vec<f32>,
    /// The log-probabilities of all actions.
    pub acted: Vec<f32>,
    pub estimates: Vec<f32>,
    objective: Box<dyn Objective>,
    outputs: usize,
}

/// The result of an update, before Adam.
pub struct Outcome {
    pub loss: f64,
    pub value_loss: f64,
    /// The gradient of the loss (of the critic's loss for its parameters), in the order of `values`.
    pub gradient: Vec<Vec<f64>>,
}

impl Meta {
    /// Makes an update with PPMO.
    pub fn new(
        learner: (&str, &[(&str, &str)]),
        observation: &[usize],
        encoder_layers: usize,
        rows: usize,
        seed: u64,
    ) -> Meta {
        Self::of("ppmo", learner, observation, encoder_layers, rows, seed)
    }

    /// Makes an update with `objective` for a categorical policy.
    pub fn of(
        objective: &str,
        learner: (&str, &[(&str, &str)]),
        observation: &[usize],
        encoder_layers: usize,
        rows: usize,
        seed: u64,
    ) -> Meta {
        let action = Space::Discrete { n: 3 };
        Self::with_actions(objective, learner, observation, action, encoder_layers, rows, seed)
    }

    /// Makes an update with `objective`, which is an id with options such as `ppmo clip=0.1`.
    pub fn with_actions(
        objective: &str,
        learner: (&str, &[(&str, &str)]),
        observation: &[usize],
        action: Space,
        encoder_layers: usize,
        rows: usize,
        seed: u64,
    ) -> Meta {
        let sizes = (observation, encoder_layers, rows);
        Self::with_inner(objective, Inner::default(), learner, action, sizes, seed)
    }

    /// Makes an update through the inner steps `inner`. The sizes are the observation's shape, the layers of the encoder,
    /// and the rows of the minibatch.
    pub fn with_inner(
        objective: &str,
        inner: Inner,
        (learner, settings): (&str, &[(&str, &str)]),
        action: Space,
        (observation, encoder_layers, rows): (&[usize], usize, usize),
        seed: u64,
    ) -> Meta {
        let registry = registry();
        let space = Space::unbounded(observation);
        let policy = Policy::of(&action).unwrap();
        let outputs = policy.outputs();
        let d = Dimensions { k: 4, observation: space.clone(), policy, encoder_layers, inner };
        let learner = registry.learner(learner, &options(settings)).unwrap();
        let drawn = learner.draw(&space, d.network_outputs(), 0).unwrap();
        let student = Student::new(drawn, &d).unwrap();
        let critic = registry.learner("mlp", &options(&[("width", "5"), ("output-gain", "1")])).unwrap();
        let critic = Student::critic(critic.draw(&space, 1, 0).unwrap(), &d).unwrap();
        let task = Task { observation: space.clone(), action, instances: d.k, outputs };
        let mut words = objective.split(' ');
        let objective = words.next().unwrap();
        let settings: Vec<(&str, &str)> = words.map(|word| word.split_once('=').unwrap()).collect();
        let objective = registry.objective(objective, &options(&settings), &task).unwrap();
        let critic = Some(&critic).filter(|_| needs_critic(&*objective));
        let layout = Layout::new(Theta::new(&*objective, &d), &student, critic);
        // With β₁ = 0 the first moment equals the gradient, and with this norm nothing is clipped.
        let rule = UpdateRule {
            optimizer: Optimizer::Adam(Adam { beta1: 0.0, beta2: 0.999, eps: 1e-8 }),
            max_grad_norm: 1e30,
            joint_norm: false,
            value_coefficient: 1.0,
            ..UpdateRule::default()
        };
        let update = Updating::new(&student, critic, &*objective, &rule, &d, rows).unwrap();
        let rng = &mut random(seed);
        let size = |s: &[usize]| s.iter().product::<usize>();
        let mut values: Vec<Vec<f64>> =
            layout.shapes.iter().map(|s| uniform(rng, size(s), -0.7, 0.7)).collect();
        let rate = layout.names.iter().position(|name| name == "log_inner_lr").unwrap();
        values[rate] = vec![-2.0];
        let fresh = student.parameters().iter().map(|p| {
            // This scale keeps activations as large as inputs.
            let fan = match p.shape[..] {
                [inputs, _] => inputs,
                [_, ref rest @ ..] if rest.len() == 3 => rest.iter().product(),
                _ => 100,
            };
            let bound = 2.0 / (fan as f64).sqrt();
            let values = uniform(rng, p.size(), -bound, bound);
            values.into_iter().map(|v| f64::from(v as f32)).collect()
        });
        let fresh: Vec<Vec<f64>> = fresh.collect();
        let mut single = |n: usize, low: f64, high: f64| -> Vec<f32> {
            uniform(rng, n, low, high).into_iter().map(|v| v as f32).collect()
        };
        let observations = single(rows * size(observation), -1.0, 1.0);
        // These are close to those of the policy, because a clipped ratio has no gradient.
        let (low, high) = if matches!(policy, Policy::Categorical(_)) { (-1.6, -0.6) } else { (-3.2, -1.8) };
        let log_probs = single(rows, low, high);
        let (advantages, returns) = (single(rows, -2.0, 2.5), single(rows, -1.0, 1.0));
        let mut acted = single(rows * outputs, -1.0, 1.0);
        if matches!(policy, Policy::Categorical(_)) {
            for row in acted.chunks_exact_mut(outputs) {
                let total: f32 = row.iter().map(|v| v.exp()).sum();
                row.iter_mut().for_each(|v| *v -= total.ln());
            }
        }
        let estimates = single(rows, -1.0, 1.0);
        let actions = match policy {
            Policy::Categorical(n) => {
                Actions::Discrete((0..rows).map(|_| rng.random_range(0..n) as u32).collect())
            }
            Policy::Gaussian(n) => {
                Actions::Continuous((0..rows * n).map(|_| rng.random_range(-2.0..2.0)).collect())
            }
        };
        Meta {
            update,
            layout,
            student,
            rows,
            values,
            fresh,
            observations,
            actions,
            log_probs,
            advantages,
            returns,
            acted,
            estimates,
            objective,
            outputs,
        }
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Runs the update on `device` with `values` for the inputs in the layout.
    pub fn run(&self, device: &Device, values: &[Vec<f64>]) -> Outcome {
        let n = values.len();
        let mut state: Vec<Array> = vec![];
        for (value, shape) in values.iter().zip(&self.layout.shapes) {
            state.push(device.tensor_f64(value, shape));
        }
        for shape in self.layout.shapes.iter().chain(&self.layout.shapes) {
            state.push(device.tensor(&vec![0.0; shape.iter().product()], shape));
        }
        let fresh = self.fresh.iter().zip(self.student.parameters());
        let fresh: Vec<Array> = fresh.map(|(value, p)| device.tensor_f64(value, &p.shape)).collect();
        let batch = |device: &Device, plan: &Plan, first: usize| self.batch(device, plan, first);
        let (state, metrics) =
            self.update.run(device, &state, &fresh, BATCHES, [1e-3, 1e-3, 1.0, 1.0], batch);
        let results: Vec<Vec<f64>> = state.iter().map(|t| device.read_f64(t)).collect();
        let metrics: Vec<f64> = metrics.iter().map(|t| device.read_f64(t)[0]).collect();
        let metric = |name: &str| {
            let at = self.update.metrics().iter().position(|m| *m == name).unwrap();
            metrics[at]
        };
        let value_loss = if needs_critic(&*self.objective) { metric("value_loss") } else { 0.0 };
        Outcome { loss: self.loss(metric), value_loss, gradient: results[n..2 * n].to_vec() }
    }

    /// The batch as inputs of `plan`, from number `first` on.
    fn batch(&self, device: &Device, plan: &Plan, first: usize) -> Vec<Array> {
        assert_eq!(plan.input("observation"), Some(first));
        let mut inputs = vec![device.rows(plan, first, &self.observations, None)];
        inputs.push(match &self.actions {
            Actions::Discrete(indices) => {
                let indices: Vec<i32> = indices.iter().map(|&i| i as i32).collect();
                device.int_rows(plan, first + 1, &indices, None)
            }
            Actions::Continuous(numbers) => device.rows(plan, first + 1, numbers, None),
        });
        let reads = |column: Column| self.objective.columns().contains(&column);
        let of_rollouts = self.objective.data() == Data::Rollouts;
        let has_critic = needs_critic(&*self.objective);
        let columns = [
            of_rollouts.then_some(&self.log_probs),
            has_critic.then_some(&self.advantages),
            has_critic.then_some(&self.returns),
            reads(Column::Outputs).then_some(&self.acted),
            reads(Column::Values).then_some(&self.estimates),
            // The teacher's policy is as good as the one that acted.
            reads(Column::Teacher).then_some(&self.acted),
        ];
        for (i, data) in columns.into_iter().flatten().enumerate() {
            inputs.push(device.rows(plan, first + 2 + i, data, None));
        }
        if reads(Column::Progress) {
            inputs.push(device.tensor_f64(&[PROGRESS], &[1, 1]));
        }
        inputs
    }

    /// Computes the loss from the objective's metrics, with its default weights.
    fn loss(&self, metric: impl Fn(&str) -> f64) -> f64 {
        match self.objective.id() {
            "ppmo-as-published-v1" => metric("policy_loss"),
            "ppmo-kl-v1" => metric("policy_loss") + metric("kl") - 0.01 * metric("entropy"),
            "gradient-matching-v1" => metric("distance"),
            "clone-v1" => metric("cloning_loss"),
            _ => {
                let annealed = self.objective.columns().contains(&Column::Progress);
                let weight = if annealed { 0.01 * (1.0 - PROGRESS) } else { 0.01 };
                metric("policy_loss") - weight * metric("entropy")
            }
        }
    }
}
