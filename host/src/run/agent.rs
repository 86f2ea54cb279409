//! The agent file: the parameters of one trained learner, with the metadata needed to use them.
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::atomic::Durability;
use super::dataset::{Dataset, DatasetEnvironment, PluginRecord};
use super::tensor::{Kind, MAX_FILE, NamedTensor, described, parse_safetensors, write_safetensors};
use crate::error::{Error, Result};
use crate::files;

const KIND: Kind = Kind {
    format: "potstill-agent",
    name: "an agent",
    otherwise: "not an agent of Potstill (`potstill train DATASET` writes one)",
    most: MAX_FILE,
};

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
    /// Reads and checks an agent.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::File`] when it is damaged or is not an agent.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_hashed(path).map(|(agent, _)| agent)
    }

    /// As [`AgentFile::load`], with the SHA-256 of the file in hexadecimal.
    ///
    /// # Errors
    /// As [`AgentFile::load`].
    pub fn load_hashed(path: impl AsRef<Path>) -> Result<(Self, String)> {
        let path = path.as_ref();
        let bytes = files::read_or_pipe(path, KIND.most)?;
        let agent = Self::parse(&bytes).map_err(|what| Error::file(path, what))?;
        Ok((agent, format!("{:x}", Sha256::digest(&bytes))))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let container = parse_safetensors(bytes, &KIND)?;
        let info: Info =
            serde_json::from_str(&container.info).map_err(|e| format!("the metadata is incomplete ({e})"))?;
        if info.format_version != 1 {
            return Err(format!("agent format {}; this Potstill reads 1: upgrade it", info.format_version));
        }
        if let Some(bad) = container.tensors.iter().find(|t| t.data.iter().any(|v| !v.is_finite())) {
            return Err(format!("parameter `{}` is not finite", bad.name));
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
        write_safetensors(path.as_ref(), &KIND, &text, &tensors, Durability::Disk)
    }
}

/// A file that an agent can be made from.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a command loads one file")]
pub enum AgentOrDataset {
    /// A trained agent.
    Agent(AgentFile),
    /// A dataset, which trains one.
    Dataset(Dataset),
}

impl AgentOrDataset {
    /// Reads and checks an agent or a dataset.
    ///
    /// # Errors
    /// Those of [`AgentFile::load`] and [`Dataset::load`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = files::read_or_pipe(path, KIND.most)?;
        let read = match described(&bytes, &KIND) {
            // Only datasets have an objective.
            Some(info) if info.get("objective").is_none() => AgentFile::parse(&bytes).map(Self::Agent),
            _ => Dataset::parse(&bytes).map(Self::Dataset),
        };
        read.map_err(|what| Error::file(path, what))
    }
}
