//! Learners and objectives that come with the host. They reach the engine as third parties' do: as traces.

pub mod mlp;
pub mod ppmo;

use serde::de::DeserializeOwned;

use crate::engine::learner::LearnerDistribution;
use crate::engine::objective::Objective;
use crate::error::{Error, Result, did_you_mean};
use crate::run::Options;

/// A learner distribution inside the program.
pub struct BuiltinLearner {
    /// What `--learner` takes.
    pub id: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Makes it from its options.
    pub make: fn(&Options) -> Result<Box<dyn LearnerDistribution>>,
}
inventory::collect!(BuiltinLearner);

/// A meta-objective inside the program.
pub struct BuiltinObjective {
    /// What `--objective` takes.
    pub id: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Makes it from its options.
    pub make: fn(&Options) -> Result<Box<dyn Objective>>,
}
inventory::collect!(BuiltinObjective);

inventory::submit! {
    BuiltinLearner {
        id: "mlp",
        summary: "Multilayer perceptron: any width, depth, activation and initialisation",
        make: |options| {
            let mlp: mlp::Mlp = from_options("learner `mlp`", options)?;
            mlp.validate()?;
            Ok(Box::new(mlp))
        },
    }
}
inventory::submit! {
    BuiltinObjective {
        id: "ppmo",
        summary: "Proximal policy meta-optimization with the clipped loss (Wilhelm & Ventura 2025)",
        make: |options| Ok(Box::new(from_options::<ppmo::Ppmo>("objective `ppmo`", options)?)),
    }
}
inventory::submit! {
    BuiltinObjective {
        id: "ppmo-as-published",
        summary: "PPMO with the faults of the authors' released code, to compare with",
        make: |options| {
            Ok(Box::new(from_options::<ppmo::PpmoAsPublished>("objective `ppmo-as-published`", options)?))
        },
    }
}

/// Makes the learner distribution `id`.
///
/// # Errors
/// An unknown id, or options it does not take.
pub fn learner(id: &str, options: &Options) -> Result<Box<dyn LearnerDistribution>> {
    match inventory::iter::<BuiltinLearner>.into_iter().find(|b| b.id == id) {
        Some(builtin) => (builtin.make)(options),
        None => {
            let known = inventory::iter::<BuiltinLearner>.into_iter().map(|b| b.id);
            Err(Error::usage(format!("there is no learner `{id}`.{}", did_you_mean(id, known))))
        }
    }
}

/// Makes the objective `id`.
///
/// # Errors
/// As [`learner`].
pub fn objective(id: &str, options: &Options) -> Result<Box<dyn Objective>> {
    match inventory::iter::<BuiltinObjective>.into_iter().find(|b| b.id == id) {
        Some(builtin) => (builtin.make)(options),
        None => {
            let known = inventory::iter::<BuiltinObjective>.into_iter().map(|b| b.id);
            Err(Error::usage(format!("there is no objective `{id}`.{}", did_you_mean(id, known))))
        }
    }
}

fn from_options<T: DeserializeOwned>(of: &str, options: &Options) -> Result<T> {
    let value = serde_json::to_value(options).map_err(|e| Error::usage(format!("{of}: {e}")))?;
    serde_json::from_value(value).map_err(|e| Error::usage(format!("{of}: {e}")))
}
