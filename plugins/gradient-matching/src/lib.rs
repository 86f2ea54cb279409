//! Gradient matching (Light, Liu & Hu 2024, after Zhao, Mopuri & Bilen 2021): for each action, the gradient of behavioural
//! cloning on the synthetic instances with this label is drawn to that on the real transitions with this action. Labels
//! are fixed one-hot; a student clones the synthetic data in several steps of gradient descent.
use potstill_sdk::{
    Column, Data, MetaInit, MetaParameter, Network, Objective, OptionSchema, Options, Outcome, Outer, Space,
    Task, Tensor, Theta, builtin, default_theta, grad, loss,
};

/// The objective with its hyperparameters.
pub struct GradientMatching {
    actions: usize,
    steps: usize,
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
                "Steps of gradient descent in which a student clones the synthetic data.",
                1..=200,
                20,
            ),
            OptionSchema::number("student-lr", "Their learning rate.", 1e-6..=1e3, 0.5),
        ]
    }

    fn new(task: &Task, options: &Options) -> Result<Self, String> {
        match task.action {
            Space::Discrete { n } if task.instances >= n => Ok(GradientMatching {
                actions: n,
                steps: options.integer("student-steps")? as usize,
                rate: options.number("student-lr")?,
            }),
            Space::Discrete { n } => Err(format!(
                "{} instances cannot label {n} actions; set --k to {n} or more, best a multiple",
                task.instances
            )),
            _ => Err(format!("gradients are matched action by action; the actions are {}", task.action)),
        }
    }

    fn data(&self) -> Data {
        Data::Offline
    }

    fn theta(&self, task: &Task) -> Vec<MetaParameter> {
        let part = |part: MetaParameter| match part.name.as_str() {
            "y" => MetaParameter::new("y", &part.shape, MetaInit::Labels).fixed(),
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
        let mut parameters = fresh.to_vec();
        for _ in 0..self.steps {
            let loss = loss::cross_entropy(&network.apply(&parameters, theta.x()), theta.y()).mean();
            let gradients = grad(&loss, &parameters);
            parameters = parameters
                .iter()
                .zip(&gradients)
                .map(|(p, g)| (p - theta.inner_lr() * g).variable())
                .collect();
        }
        parameters
    }

    fn outer(&self, outer: &Outer<'_>) -> Outcome {
        let rows = outer.batch(Column::Actions).shape()[0];
        let taken = outer.batch(Column::Actions).reshape(&[rows]).one_hot(self.actions);
        let real =
            loss::cross_entropy(&outer.network.apply(outer.fresh, outer.batch(Column::Observations)), &taken);
        let labels = outer.theta.y();
        let synthetic = loss::cross_entropy(&outer.network.apply(outer.fresh, outer.theta.x()), labels);
        // The mean over the rows of one action; 0 where there are none.
        let of_action = |losses: &Tensor, labels: &Tensor, action: usize| {
            let mask = labels.slice(-1, action, 1);
            (losses * &mask).sum() / mask.sum().max(&Tensor::constant(1.0))
        };
        let distances = (0..self.actions).map(|action| {
            let real = grad(&of_action(&real, &taken, action), outer.fresh);
            let synthetic = grad(&of_action(&synthetic, labels, action), outer.fresh);
            let square = |(r, s): (&Tensor, &Tensor)| (r - s).square().sum();
            real.iter().zip(&synthetic).map(square).reduce(|a, b| a + b)
        });
        let distance = distances.flatten().reduce(|a, b| a + b).unwrap_or_else(|| Tensor::constant(0.0));
        let student = outer.network.apply(outer.taught, outer.batch(Column::Observations));
        let cloning = loss::cross_entropy(&student, &taken).mean();
        Outcome { loss: distance.clone(), metrics: vec![("distance", distance), ("student_loss", cloning)] }
    }
}

builtin!(objective GradientMatching);
#[cfg(any(target_family = "wasm", feature = "dylib"))]
potstill_sdk::export_objective!(GradientMatching);
