//! The program's own learners and objectives, linked into the tests.
use potstill_bridge::native::NativePlugin;
use potstill_engine::Result;
use potstill_engine::learner::LearnerDistribution;
use potstill_engine::objective::Objective;
use potstill_plugin_api::Task;

/// Finds them by name, as the program's registry does.
pub struct Plugins;

pub fn registry() -> Plugins {
    Plugins
}

impl Plugins {
    fn find(name: &str) -> Result<NativePlugin> {
        let entry = match name {
            "a2c" => potstill_a2c::builtin,
            "clone" => potstill_clone::builtin,
            "gradient-matching" => potstill_gradient_matching::builtin,
            "hard-label" => potstill_hard_label::builtin,
            "impala-cnn" => potstill_impala_cnn::builtin,
            "mlp" => potstill_mlp::builtin,
            "nature-cnn" => potstill_nature_cnn::builtin,
            "ppmo" => potstill_ppmo::builtin,
            "ppmo-as-published" => potstill_ppmo_as_published::builtin,
            "ppmo-kl" => potstill_ppmo_kl::builtin,
            "transformer" => potstill_transformer::builtin,
            "unrolled" => potstill_unrolled::builtin,
            _ => panic!("no plugin `{name}`"),
        };
        // SAFETY: the SDK's `builtin!` defines them all, and keeps the contract.
        unsafe { NativePlugin::linked(entry) }
    }

    pub fn learner(&self, name: &str, options: &[(String, String)]) -> Result<Box<dyn LearnerDistribution>> {
        Self::find(name)?.learner(options)
    }

    pub fn objective(
        &self,
        name: &str,
        options: &[(String, String)],
        task: &Task,
    ) -> Result<Box<dyn Objective>> {
        Self::find(name)?.objective(options, task)
    }
}

/// Converts options from the form in which a user writes them.
pub fn options(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}
