//! Named `f32` tensors, and the safetensors container that datasets and checkpoints share.
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use safetensors::{Dtype, SafeTensorError, SafeTensors};
use sha2::{Digest as _, Sha256};

use super::atomic::{Durability, write};
use crate::error::{Error, IoContext, Result};

/// A tensor by name: `data` holds the elements of `shape` row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// The name in the file, e.g. `x` or `encoder.0.weight`.
    pub name: String,
    /// Dimensions; empty for a scalar.
    pub shape: Vec<usize>,
    /// As many elements as `shape` has.
    pub data: Vec<f32>,
}

impl NamedTensor {
    /// A tensor of `shape`, row by row.
    ///
    /// # Errors
    /// [`Error::Usage`] when `data` does not have as many elements as `shape`.
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Result<Self> {
        let tensor = NamedTensor { name: name.into(), shape: shape.into(), data };
        match tensor.shape.iter().product::<usize>() == tensor.data.len() {
            true => Ok(tensor),
            false => Err(Error::usage(format!(
                "tensor `{}` of shape {:?} cannot hold {} values",
                tensor.name,
                tensor.shape,
                tensor.data.len()
            ))),
        }
    }

    /// A scalar, shape `[]`.
    pub fn scalar(name: impl Into<String>, value: f32) -> Self {
        NamedTensor { name: name.into(), shape: vec![], data: vec![value] }
    }
}

/// What a safetensors file of ours holds.
pub(super) struct Container {
    /// In the order of the file.
    pub(super) tensors: Vec<NamedTensor>,
    /// The `__metadata__` of the header, without the checksum.
    pub(super) metadata: BTreeMap<String, String>,
    /// Whether the file carried a checksum (which then holds).
    pub(super) checked: bool,
}

/// The metadata key of the checksum: SHA-256, in hexadecimal, over the other metadata (key, `\0`, value,
/// `\0`, in order of key) and every tensor in order of name (name, `\0`, the dimensions and the
/// values, little-endian).
const CHECKSUM: &str = "sha256";

/// Writes tensors, metadata and their checksum atomically, the same bytes for the same content.
///
/// # Errors
/// [`Error::Io`] naming `path`; [`Error::Usage`] for a repeated name or a shape that does not fit.
pub(super) fn write_safetensors(
    path: &Path,
    tensors: &[&NamedTensor],
    metadata: &BTreeMap<String, String>,
    durability: Durability,
) -> Result<()> {
    let mut metadata = metadata.clone();
    metadata.insert(CHECKSUM.into(), checksum(tensors.iter().copied(), &metadata));
    let header = header(tensors, &metadata)?;
    write(path, durability, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        tensors.iter().try_for_each(|tensor| write_values(file, &tensor.data))
    })
}

fn write_values(file: &mut dyn Write, values: &[f32]) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(4 * 4096);
    for chunk in values.chunks(4096) {
        bytes.clear();
        bytes.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
        file.write_all(&bytes)?;
    }
    Ok(())
}

fn checksum<'a>(
    tensors: impl Iterator<Item = &'a NamedTensor>,
    metadata: &BTreeMap<String, String>,
) -> String {
    /// Hashing is writing that cannot fail.
    struct Digest(Sha256);
    impl Write for Digest {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut digest = Digest(Sha256::new());
    for text in metadata.iter().flat_map(|(key, value)| [key, value]) {
        digest.0.update(text);
        digest.0.update([0]);
    }
    let mut tensors: Vec<_> = tensors.collect();
    tensors.sort_by_key(|tensor| &tensor.name);
    for tensor in tensors {
        digest.0.update(&tensor.name);
        digest.0.update([0]);
        tensor.shape.iter().for_each(|d| digest.0.update((*d as u64).to_le_bytes()));
        let _ = write_values(&mut digest, &tensor.data);
    }
    format!("{:x}", digest.0.finalize())
}

/// Ours and not the crate's: it orders metadata by a random hash, and a dataset's hash should be its own.
fn header(tensors: &[&NamedTensor], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let mut entries = serde_json::Map::new();
    entries.insert("__metadata__".into(), serde_json::json!(metadata));
    let mut offset = 0;
    for tensor in tensors {
        if tensor.shape.iter().product::<usize>() != tensor.data.len() {
            return Err(Error::usage(format!(
                "tensor `{}` of shape {:?} cannot hold {} values",
                tensor.name,
                tensor.shape,
                tensor.data.len()
            )));
        }
        let end = offset + 4 * tensor.data.len();
        let entry =
            serde_json::json!({ "dtype": "F32", "shape": tensor.shape, "data_offsets": [offset, end] });
        if entries.insert(tensor.name.clone(), entry).is_some() {
            return Err(Error::usage(format!("two tensors are named `{}`", tensor.name)));
        }
        offset = end;
    }
    let mut header = serde_json::Value::Object(entries).to_string().into_bytes();
    // The format asks that the tensors start at a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

/// Reads a safetensors file of `f32` tensors.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::File`] when it is not safetensors, is cut short or damaged,
/// or holds another type.
pub(super) fn read_safetensors(path: &Path) -> Result<Container> {
    let bytes = std::fs::read(path).at(path)?;
    parse_safetensors(&bytes).map_err(|what| Error::file(path, what))
}

/// What [`read_safetensors`] does with the file's bytes: says what is wrong.
pub(super) fn parse_safetensors(bytes: &[u8]) -> Result<Container, String> {
    let wrong = |e: SafeTensorError| match e {
        _ if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\x80\x02") => {
            "this looks like a PyTorch file, not a safetensors file: import it first".into()
        }
        SafeTensorError::MetadataIncompleteBuffer | SafeTensorError::InvalidHeaderLength => {
            format!("the file is cut short ({} bytes): copy or download it again", bytes.len())
        }
        SafeTensorError::HeaderTooSmall => {
            format!(
                "the file is {} bytes long: it is empty or cut short; copy or download it again",
                bytes.len()
            )
        }
        e => format!("not a safetensors file, or a damaged one ({e})"),
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(wrong)?;
    let views = SafeTensors::deserialize(bytes).map_err(wrong)?;
    let mut tensors = Vec::with_capacity(views.len());
    for name in header.offset_keys() {
        let view = views.tensor(&name).map_err(wrong)?;
        if view.dtype() != Dtype::F32 {
            return Err(format!("tensor `{name}` is {:?}; expected F32", view.dtype()));
        }
        let (chunks, _) = view.data().as_chunks::<4>();
        let data = chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
        tensors.push(NamedTensor { name, shape: view.shape().to_vec(), data });
    }
    let mut metadata: BTreeMap<_, _> = header.metadata().clone().unwrap_or_default().into_iter().collect();
    let expected = metadata.remove(CHECKSUM);
    if expected.as_ref().is_some_and(|expected| *expected != checksum(tensors.iter(), &metadata)) {
        return Err(
            "the file is damaged: its content does not match its checksum; copy or download it again".into(),
        );
    }
    Ok(Container { tensors, metadata, checked: expected.is_some() })
}
