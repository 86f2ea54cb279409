//! Distills 1D cart-pole into two instances with the engine alone: no command line, no files, no plugin to load.
use potstill_bridge::native::NativePlugin;
use potstill_engine::Result;
use potstill_engine::evaluate::{KShot, Protocol, Score, Sight};
use potstill_engine::execute::Device;
use potstill_engine::policy::Acting;
use potstill_engine::ppmo::{Hyperparameters, Ppmo};
use potstill_engine::student::Dimensions;
use potstill_engine::training::{MetaEpochReport, Rates, Roles};

/// Runs `meta_epochs` of PPMO, calling `watch` after each, and scores the dataset: 20 fresh learners, one inner step each,
/// 5 episodes.
///
/// # Errors
/// A plugin's, or a diverged optimization.
pub fn distill(meta_epochs: u64, mut watch: impl FnMut(&MetaEpochReport)) -> Result<Score> {
    // SAFETY: the SDK's `builtin!` defines all three, and keeps the contract.
    let [environment, mlp, ppmo] =
        [potstill_nd_cartpole::builtin, potstill_mlp::builtin, potstill_ppmo::builtin]
            .map(|entry| unsafe { NativePlugin::linked(entry) });
    let (environment, mlp) = (environment?, mlp?);
    let learner = mlp.clone().learner(&[])?;
    let critic = mlp.learner(&[("output-gain".into(), "1".into())])?;
    // Four learners a meta-epoch, each with two copies of the environment.
    let mut environments: Vec<_> =
        (0..4).map(|_| environment.clone().environments(&[], 2)).collect::<Result<_>>()?;
    let spec = environments[0].spec().clone();
    let dimensions = Dimensions::new(&spec, 2)?;
    let objective = ppmo?.objective(&[], &dimensions.task(&spec.action))?;
    let roles =
        Roles { dimensions: &dimensions, learner: &*learner, critic: &*critic, objective: &*objective };
    let rates = Rates { meta_epochs, ..Rates::default() };
    let mut ppmo = Ppmo::new(Device::cpu(1), roles, rates, Hyperparameters::default(), 0)?;
    for _ in 0..meta_epochs {
        watch(&ppmo.meta_epoch(&mut environments)?);
    }
    let distilled = ppmo.training.distilled();
    let dataset =
        KShot { distilled: &distilled, dimensions: &dimensions, learner: &*learner, objective: &*objective };
    let protocol = Protocol { acting: Acting::Greedy, learners: 20, episodes: 5, seed: 0, sight: Sight::Own };
    dataset.evaluate(&|| environment.clone().environments(&[], 5), &protocol, 1, &|| Ok(()))
}

/// For WebAssembly: the mean return after `meta_epochs`, or -1 after an error.
#[unsafe(no_mangle)]
pub extern "C" fn mean_return(meta_epochs: u64) -> f64 {
    distill(meta_epochs, |_| ()).map_or(-1.0, |score| score.mean_return)
}
