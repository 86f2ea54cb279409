//! The agent file: the parameters of one trained learner, with the metadata needed to use them.
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::atomic::Durability;
use super::dataset::{DatasetEnvironment, PluginRecord};
use super::tensor::{NamedTensor, read_safetensors, write_safetensors};
use crate::error::{Error, Result};

const FORMAT: &str = "potstill-agent";

/// A trained agent, as it is on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentFile {
    /// The learner's parameters by name and, where observations are normalized, the moments `normalizer.…`.
    pub parameters: Vec<NamedTensor>,
    /// The distribution that the learner was drawn from.
    pub learner: PluginRecord,
    /// The environment it acts in.
    pub environment: DatasetEnvironment,
    /// The seed that the learner was drawn and initialized with.
    pub seed: u64,
    /// The program that wrote the file, e.g. `potstill 0.1.0`.
    pub software: String,
}

#[derive(Serialize, Deserialize)]
struct Info {
    format_version: u32,
    learner: PluginRecord,
    environment: DatasetEnvironment,
    seed: u64,
    software: String,
}

impl AgentFile {
    /// Whether the file at `path` says that it is an agent.
    pub fn is_agent(path: &Path) -> bool {
        read_safetensors(path).is_ok_and(|c| c.metadata.get("format").is_some_and(|f| f == FORMAT))
    }

    /// Reads and checks an agent.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::File`] when it is damaged or is not an agent.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let container = read_safetensors(path)?;
        let text = match (
            container.metadata.get("format").map(String::as_str),
            container.metadata.get("potstill"),
        ) {
            (Some(FORMAT), Some(text)) => text,
            _ => {
                return Err(Error::file(
                    path,
                    "not an agent of Potstill (`potstill train DATASET` writes one)",
                ));
            }
        };
        let info: Info = serde_json::from_str(text)
            .map_err(|e| Error::file(path, format!("the metadata is incomplete ({e})")))?;
        if info.format_version != 1 {
            return Err(Error::file(
                path,
                format!("agent format {}; this Potstill reads 1: upgrade it", info.format_version),
            ));
        }
        if let Some(bad) = container.tensors.iter().find(|t| t.data.iter().any(|v| !v.is_finite())) {
            return Err(Error::file(path, format!("parameter `{}` is not finite", bad.name)));
        }
        let Info { learner, environment, seed, software, .. } = info;
        Ok(AgentFile { parameters: container.tensors, learner, environment, seed, software })
    }

    /// Writes the agent atomically.
    ///
    /// # Errors
    /// [`Error::Io`] naming `path`.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let info = Info {
            format_version: 1,
            learner: self.learner.clone(),
            environment: self.environment.clone(),
            seed: self.seed,
            software: self.software.clone(),
        };
        let text = serde_json::to_string(&info).map_err(|e| Error::usage(format!("agent metadata: {e}")))?;
        let tensors: Vec<&NamedTensor> = self.parameters.iter().collect();
        let metadata = [("format".to_owned(), FORMAT.to_owned()), ("potstill".into(), text)];
        write_safetensors(path.as_ref(), &tensors, &metadata.into(), Durability::Disk)
    }
}
