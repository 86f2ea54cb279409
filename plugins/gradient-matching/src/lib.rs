//! Gradient matching (Light, Liu & Hu 2024, after Zhao, Mopuri & Bilen 2021). For each action, it minimizes the distance
//! between the behavioral-cloning gradient on the synthetic instances with that label and the one on the real transitions
//! with that action. Labels are fixed and one-hot. A student clones the synthetic data in several steps of gradient
//! descent.
//!
//! Continuous actions are one group, and their labels are learned. The student clones labels by the mean squared error,
//! as the inner rule of other objectives does. The loss on real actions is the negative log-likelihood times the variance,
//! which counts as a constant (β-NLL with β = 1, Seitzer et al. 2022): its gradient stays bounded where the policy becomes
//! certain.
use potstill_sdk::{
    Column, Data, MetaInit, MetaParameter, Network, Objective, OptionSchema, Options, Outcome, Outer, Space,
    Task, Tensor, Theta, builtin, default_theta, grad, loss,
};

/// The objective with its hyperparameters.
pub struct GradientMatching {
    /// The number of discrete actions, or the size of a continuous action.
    actions: usize,
    continuous: bool,
    steps: usize,
    places: usize,
    rate: f64,
}

impl Objective for GradientMatching {
    const ID: &'static str = "gradient-matching-v1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "Synthetic data whose cloning gradients match those of offline data (Light, Liu & Hu 2024)";

    fn options() -> Vec<OptionSchema> {
        vec![
            OptionSchema::integer(
                "student-steps",
                "Gradient-descent steps in which a student clones the synthetic data.",
                1..=200,
                20,
            ),
            OptionSchema::integer(
                "places",
                "Points along the student's steps, from the first to the last, where gradients are compared.",
                1..=50,
                3,
            ),
            OptionSchema::number("student-lr", "Learning rate of the student's steps.", 1e-6..=1e3, 0.5),
        ]
    }

    fn new(task: &Task, options: &Options) -> Result<Self, String> {
        let (actions, continuous) = match task.action {
            Space::Discrete { n } if task.instances >= n => (n, false),
            Space::Discrete { n } => {
                return Err(format!(
                    "{} instances cannot label {n} actions; set --k to {n} or more, preferably a multiple",
                    task.instances
                ));
            }
            Space::Box { .. } => (task.action.size(), true),
            _ => {
                return Err(format!(
                    "gradient matching needs discrete or continuous actions; these are {}",
                    task.action
                ));
            }
        };
        Ok(GradientMatching {
            actions,
            continuous,
            steps: options.integer("student-steps")? as usize,
            places: options.integer("places")? as usize,
            rate: options.number("student-lr")?,
        })
    }

    fn data(&self) -> Data {
        Data::Offline
    }

    fn theta(&self, task: &Task) -> Vec<MetaParameter> {
        let part = |part: MetaParameter| match part.name.as_str() {
            "y" if !self.continuous => MetaParameter::new("y", &part.shape, MetaInit::Labels).fixed(),
            "inner_lr" => {
                MetaParameter::new("inner_lr", &[], MetaInit::Constant(self.rate)).positive().fixed()
            }
            _ => part,
        };
        default_theta(task).into_iter().map(part).collect()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::Observations, Column::Actions]
    }

    fn inner(&self, theta: &Theta, network: &Network, fresh: &[Tensor]) -> Vec<Tensor> {
        self.path(network, theta.x(), theta.y(), theta.inner_lr(), fresh).pop().unwrap_or_default()
    }

    fn outer(&self, outer: &Outer<'_>) -> Outcome {
        let taken = outer.batch(Column::Actions);
        let taken = match self.continuous {
            true => taken.clone(),
            false => taken.reshape(&[taken.shape()[0]]).one_hot(self.actions),
        };
        let (x, labels) = (outer.theta.x(), outer.theta.y());
        let real = |parameters: &[Tensor]| {
            self.real(&outer.network.apply(parameters, outer.batch(Column::Observations)), &taken)
        };
        // The points at which gradients are compared count as constants: no gradient flows through them to X.
        let rate = outer.theta.inner_lr();
        let path = self.path(outer.network, &x.stop_gradient(), labels, rate, outer.fresh);
        let mut distance = Tensor::constant(0.0);
        for place in 0..self.places {
            let at = if self.places == 1 { 0 } else { place * self.steps / (self.places - 1) };
            let student: Vec<Tensor> = path[at].iter().map(|p| p.stop_gradient().variable()).collect();
            let real = real(&student);
            let synthetic = self.synthetic(&outer.network.apply(&student, x), labels);
            let groups: Vec<[Tensor; 3]> = match self.continuous {
                true => vec![[real.mean(), synthetic.mean(), Tensor::constant(1.0)]],
                false => (0..self.actions)
                    .map(|action| {
                        let (real, seen) = mean_of(&real, &taken, action);
                        [real, mean_of(&synthetic, labels, action).0, seen]
                    })
                    .collect(),
            };
            for [real, synthetic, seen] in groups {
                for (r, s) in grad(&real, &student).iter().zip(&grad(&synthetic, &student)) {
                    // An action that does not occur in the batch does not contribute.
                    distance = distance + &seen * (r - s).square().sum();
                }
            }
        }
        distance = distance * (1.0 / self.places as f64);
        let cloning = real(outer.taught).mean();
        Outcome { loss: distance.clone(), metrics: vec![("distance", distance), ("student_loss", cloning)] }
    }
}

impl GradientMatching {
    /// The loss of each row of `outputs` on the actions `taken`: one-hot rows, or continuous actions. `[b, 1]`.
    fn real(&self, outputs: &Tensor, taken: &Tensor) -> Tensor {
        if !self.continuous {
            return loss::cross_entropy(outputs, taken);
        }
        let n = self.actions;
        let (mean, log_std) = (outputs.slice(-1, 0, n), outputs.slice(-1, n, n));
        let variance = (&log_std * 2.0).exp();
        let likelihood = (taken - mean).square() / &variance * 0.5 + log_std;
        (variance.stop_gradient() * likelihood).sum_keep(&[-1])
    }

    /// The loss of each row of `outputs` on labels. `[k, 1]`.
    fn synthetic(&self, outputs: &Tensor, labels: &Tensor) -> Tensor {
        match self.continuous {
            true => (outputs - labels).square().mean_keep(&[-1]),
            false => loss::cross_entropy(outputs, labels),
        }
    }

    /// A student's parameters before each step of cloning `x` and `y`, and after the last.
    fn path(
        &self,
        network: &Network,
        x: &Tensor,
        y: &Tensor,
        rate: &Tensor,
        fresh: &[Tensor],
    ) -> Vec<Vec<Tensor>> {
        let mut path = vec![fresh.to_vec()];
        for step in 0..self.steps {
            let parameters = &path[step];
            let loss = self.synthetic(&network.apply(parameters, x), y).mean();
            let gradients = grad(&loss, parameters);
            let next = parameters.iter().zip(&gradients).map(|(p, g)| (p - rate * g).variable()).collect();
            path.push(next);
        }
        path
    }
}

/// The mean loss of the rows whose label is `action`, and 1; or 0 and 0 if there are no such rows.
fn mean_of(losses: &Tensor, labels: &Tensor, action: usize) -> (Tensor, Tensor) {
    let mask = labels.slice(-1, action, 1);
    let seen = mask.sum().min(&Tensor::constant(1.0));
    ((losses * &mask).sum() / mask.sum().max(&Tensor::constant(1.0)), seen)
}

builtin!(objective GradientMatching);
#[cfg(any(target_family = "wasm", feature = "dylib"))]
potstill_sdk::export_objective!(GradientMatching);
