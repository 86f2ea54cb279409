//! The files of a run: configuration, run directory, checkpoints, metrics, dataset, agent, transitions, and the pictures
//! and the report drawn from them. None of it depends on the tensor engine: a tensor is a [`NamedTensor`].

mod agent;
mod atomic;
mod baseline;
mod changes;
mod checkpoint;
mod config;
mod dataset;
mod date;
mod directory;
mod entries;
mod events;
mod import;
mod learners;
mod metrics;
mod minari;
mod plot;
mod pytorch;
mod report;
mod tensor;
mod transitions;

pub use agent::{AgentFile, AgentOrDataset};
pub(crate) use atomic::{folder_of, write_atomically};
pub use baseline::{Baseline, Baselines, RANDOM};
pub use changes::{Change, changes, essential, listed};
pub use checkpoint::{Checkpoint, Checkpoints};
pub use config::{
    DatasetConfig, DistillConfig, EnvironmentConfig, EvaluationConfig, InnerConfig, InnerOptimizer,
    NormalizeConfig, OfflineConfig, OptimizerConfig, OptimizerKind, Options, PluginConfig, PpoConfig,
    TeacherConfig,
};
pub use dataset::{Dataset, DatasetEnvironment, DatasetInfo, PluginRecord};
pub use directory::{PluginVersion, RunDirectory, Versions};
pub use entries::Entries;
pub use import::{ImportTarget, Imported, import_pytorch};
pub use learners::{LearnerConfig, WeightedPlugin};
pub use metrics::{MetricsRecord, MetricsWriter, read_metrics};
pub use minari::{FromMinari, Minari, ToMinari};
pub(crate) use plot::{Line, curves_svg};
pub use plot::{dataset_png, dataset_svg, learning_curve_svg};
pub use report::{report_html, write_report};
pub use tensor::NamedTensor;
pub use transitions::{Transitions, TransitionsInfo};
