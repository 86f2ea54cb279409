//! Behavioral cloning as the outer loss: the taught learner imitates a teacher. On rollouts, the learners visit the states
//! and the teacher labels them, as in DAgger (Ross, Gordon & Bagnell 2011) without its growing buffer; on offline data, the
//! labels are the actions in the file. Either loss has far less variance than a policy gradient, which has to find out from
//! returns what the teacher knows.
use potstill_sdk::{
    Column, Data, MetaParameter, Network, Objective, OptionSchema, Options, Outcome, Outer, Space, Task,
    Tensor, Theta, builtin, loss,
};

/// The objective with its hyperparameters.
pub struct Clone {
    target: Target,
    /// The number of discrete actions, or the size of a continuous action.
    actions: usize,
    inner_rates: loss::InnerRates,
}

/// What the taught learner imitates.
enum Target {
    /// The actions in offline data.
    Taken,
    /// The teacher's most probable of discrete actions.
    Best,
    /// The teacher's mean of a continuous action.
    Mean,
    /// The teacher's distribution over discrete actions.
    Categorical,
    /// The teacher's distribution over continuous actions.
    Gaussian,
}

/// The lowest of the teacher's log-probabilities. That of an impossible action is −∞, and 0 · ∞ is not a number.
const LOWEST: f64 = -100.0;

impl Objective for Clone {
    const ID: &'static str = "clone-v1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "Behavioral cloning of a teacher that labels the rollouts, or of the actions in offline data";

    fn options() -> Vec<OptionSchema> {
        vec![
            OptionSchema::text(
                "data",
                "What is cloned: a teacher (--teacher) on the learners' own rollouts, or offline data (--data).",
                &["rollouts", "offline"],
                "rollouts",
            ),
            OptionSchema::text(
                "target",
                "What a learner imitates: the teacher's greedy actions, by its log-likelihood of them, or the teacher's \
                 distribution over actions, by the divergence from it.",
                &["actions", "distribution"],
                "actions",
            ),
            loss::InnerRates::option(),
        ]
    }

    fn new(task: &Task, options: &Options) -> Result<Self, String> {
        let continuous = matches!(task.action, Space::Box { .. });
        let target = match (options.text("data")?, options.text("target")?, continuous) {
            ("offline", "distribution", _) => {
                return Err("offline data hold actions and no distributions: set target=actions".into());
            }
            ("offline", ..) => Target::Taken,
            (_, "distribution", false) => Target::Categorical,
            (_, "distribution", true) => Target::Gaussian,
            (.., false) => Target::Best,
            (.., true) => Target::Mean,
        };
        let actions = match task.action {
            Space::Discrete { n } => n,
            _ => task.action.size(),
        };
        Ok(Clone { target, actions, inner_rates: loss::InnerRates::new(options)? })
    }

    fn data(&self) -> Data {
        match self.target {
            Target::Taken => Data::Offline,
            _ => Data::Rollouts,
        }
    }

    fn theta(&self, task: &Task) -> Vec<MetaParameter> {
        self.inner_rates.theta(task)
    }

    fn inner(&self, theta: &Theta, network: &Network, fresh: &[Tensor]) -> Vec<Tensor> {
        self.inner_rates.step(theta, network, fresh)
    }

    fn columns(&self) -> Vec<Column> {
        let labels = if matches!(self.target, Target::Taken) { Column::Actions } else { Column::Teacher };
        vec![Column::Observations, labels]
    }

    fn outer(&self, outer: &Outer<'_>) -> Outcome {
        let (outputs, network) = (outer.outputs(), outer.network);
        let teacher = || outer.batch(Column::Teacher);
        let losses = match self.target {
            Target::Taken => -network.log_prob(&outputs, outer.batch(Column::Actions)),
            Target::Best => {
                let best = teacher().equal(&teacher().max_keep(&[-1]));
                // Actions that are equally probable share the label.
                loss::cross_entropy(&outputs, &(&best / best.sum_keep(&[-1])))
            }
            Target::Mean => -network.log_prob(&outputs, &teacher().slice(-1, 0, self.actions)),
            Target::Categorical => network.divergence(&teacher().max(&Tensor::constant(LOWEST)), &outputs),
            Target::Gaussian => network.divergence(teacher(), &outputs),
        };
        let (loss, entropy) = (losses.mean(), network.entropy(&outputs).mean());
        Outcome { loss: loss.clone(), metrics: vec![("cloning_loss", loss), ("entropy", entropy)] }
    }
}

builtin!(objective Clone);
#[cfg(any(target_family = "wasm", feature = "dylib"))]
potstill_sdk::export_objective!(Clone);
