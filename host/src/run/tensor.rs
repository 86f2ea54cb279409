//! Named tensors, and the safetensors container of datasets, agents, checkpoints and transitions.
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use potstill_bridge::text::counted;
use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use sha2::{Digest as _, Sha256};

use super::atomic::{Durability, write};
pub use crate::engine::theta::NamedTensor;
use crate::error::{Error, Result};
use crate::files;

/// The most bytes of a dataset, an agent or a PyTorch file.
pub(super) const MAX_FILE: u64 = 1 << 30;
/// The most bytes of a checkpoint or of transitions.
pub(super) const MAX_STATE: u64 = 1 << 34;
/// The most bytes of a header. Parsed, it takes several times as many.
const MAX_HEADER: u64 = 1 << 24;

/// The elements of a tensor in row-major order, of one of the types that our files use.
pub(super) enum Values<'a> {
    F32(Cow<'a, [f32]>),
    I32(Cow<'a, [i32]>),
    U8(Cow<'a, [u8]>),
}

impl Values<'_> {
    pub(super) fn dtype(&self) -> Dtype {
        match self {
            Values::F32(_) => Dtype::F32,
            Values::I32(_) => Dtype::I32,
            Values::U8(_) => Dtype::U8,
        }
    }

    fn len(&self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::I32(values) => values.len(),
            Values::U8(values) => values.len(),
        }
    }

    /// The bytes of one element.
    fn size(&self) -> usize {
        if matches!(self, Values::U8(_)) { 1 } else { 4 }
    }

    /// Writes the elements, little-endian.
    fn write(&self, file: &mut dyn Write) -> std::io::Result<()> {
        fn words<T: Copy>(
            file: &mut dyn Write,
            values: &[T],
            bytes: impl Fn(T) -> [u8; 4],
        ) -> std::io::Result<()> {
            let mut buffer = Vec::with_capacity(4 * 4096);
            for chunk in values.chunks(4096) {
                buffer.clear();
                buffer.extend(chunk.iter().flat_map(|&value| bytes(value)));
                file.write_all(&buffer)?;
            }
            Ok(())
        }
        match self {
            Values::F32(values) => words(file, values, f32::to_le_bytes),
            Values::I32(values) => words(file, values, i32::to_le_bytes),
            Values::U8(values) => file.write_all(values),
        }
    }
}

/// A named tensor of any type that our files use.
pub(super) struct RawTensor<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) shape: Vec<usize>,
    pub(super) values: Values<'a>,
}

impl<'a> From<&'a NamedTensor> for RawTensor<'a> {
    fn from(tensor: &'a NamedTensor) -> Self {
        let NamedTensor { name, shape, data } = tensor;
        RawTensor { name: name.into(), shape: shape.clone(), values: Values::F32(data.into()) }
    }
}

/// A kind of our files.
pub(super) struct Kind {
    /// What the metadata says under `format`, e.g. `potstill-dataset`.
    pub(super) format: &'static str,
    /// The kind in words, e.g. `a dataset`.
    pub(super) name: &'static str,
    /// The error for a file without our metadata.
    pub(super) otherwise: &'static str,
    /// The most bytes of a file, read or written.
    pub(super) most: u64,
}

impl Kind {
    /// What the formats of our files start with.
    const OWN: &'static str = "potstill-";
    /// The metadata key of the JSON value that describes the content.
    const INFO: &'static str = "potstill";
    /// The metadata key of the checksum.
    const CHECKSUM: &'static str = "sha256";

    /// Takes our two entries from a file's metadata: the description, and the checksum if there is one. Entries of others
    /// are ignored, but not one whose name is a damaged name of ours.
    fn take(&self, mut metadata: HashMap<String, String>) -> Result<(String, Option<String>), String> {
        let info = metadata.remove(Self::INFO).ok_or(self.otherwise)?;
        // Libraries write their own name here: `pt` is Hugging Face's for PyTorch.
        if let Some(other) = metadata.remove("format")
            && other != self.format
            && (other.starts_with(Self::OWN) || is_damaged(&other, self.format))
        {
            return Err(format!("this is a `{other}` file; expected {} (`{}`)", self.name, self.format));
        }
        let checksum = metadata.remove(Self::CHECKSUM);
        let own = ["format", Self::INFO, Self::CHECKSUM];
        match metadata.keys().find(|key| own.iter().any(|own| is_damaged(key, own))) {
            Some(key) => Err(format!("unknown metadata `{key}` in the header: the file is damaged")),
            None => Ok((info, checksum)),
        }
    }
}

/// Whether `text` is `own` with one character changed.
fn is_damaged(text: &str, own: &str) -> bool {
    strsim::hamming(text, own) == Ok(1)
}

/// The content of one of our safetensors files.
pub(super) struct Container<T = NamedTensor> {
    /// The tensors in the order of the file.
    pub(super) tensors: Vec<T>,
    /// The JSON value that describes them.
    pub(super) info: String,
    /// Whether the file has a checksum, which then was verified.
    pub(super) checked: bool,
}

/// Writes tensors, their description and a checksum of both atomically. The same content always gives the same bytes.
///
/// # Errors
/// [`Error::Io`] naming `path`; [`Error::File`] when the file would be longer than what is read; [`Error::Usage`] for a
/// repeated name or a shape that does not fit its data.
pub(super) fn write_safetensors(
    path: &Path,
    kind: &Kind,
    info: &str,
    tensors: &[&NamedTensor],
    durability: Durability,
) -> Result<()> {
    let tensors: Vec<RawTensor<'_>> = tensors.iter().map(|&tensor| tensor.into()).collect();
    write_raw(path, kind, info, &tensors, durability)
}

/// As [`write_safetensors`], for tensors of any type that our files use.
///
/// # Errors
/// As [`write_safetensors`].
pub(super) fn write_raw(
    path: &Path,
    kind: &Kind,
    info: &str,
    tensors: &[RawTensor<'_>],
    durability: Durability,
) -> Result<()> {
    let header = header(kind, info, tensors)?;
    let data: usize = tensors.iter().map(|tensor| tensor.values.len() * tensor.values.size()).sum();
    files::check_length(path, header.len(), MAX_HEADER)?;
    files::check_length(path, header.len() + data + 8, kind.most)?;
    write(path, durability, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        tensors.iter().try_for_each(|tensor| tensor.values.write(file))
    })
}

/// The SHA-256, in hexadecimal, of `format`, the kind's name, `potstill` and the description, each followed by `\0`, and
/// of every tensor in the order of the names: name, `\0`, then dimensions (64 bits) and values, little-endian.
fn checksum(kind: &Kind, info: &str, tensors: &[RawTensor<'_>]) -> String {
    /// A hash as a writer that cannot fail.
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
    for text in ["format", kind.format, Kind::INFO, info] {
        digest.0.update(text);
        digest.0.update([0]);
    }
    let mut tensors: Vec<_> = tensors.iter().collect();
    tensors.sort_by_key(|tensor| &tensor.name);
    for tensor in tensors {
        digest.0.update(&*tensor.name);
        digest.0.update([0]);
        tensor.shape.iter().for_each(|d| digest.0.update((*d as u64).to_le_bytes()));
        let _ = tensor.values.write(&mut digest);
    }
    format!("{:x}", digest.0.finalize())
}

/// Makes the header. The crate safetensors is not used here: it orders metadata by a random hash, and the same dataset
/// must give the same bytes.
fn header(kind: &Kind, info: &str, tensors: &[RawTensor<'_>]) -> Result<Vec<u8>> {
    let mut entries = serde_json::Map::new();
    let sha256 = checksum(kind, info, tensors);
    let metadata = serde_json::json!({ "format": kind.format, Kind::INFO: info, Kind::CHECKSUM: sha256 });
    entries.insert("__metadata__".into(), metadata);
    let mut offset = 0;
    for tensor in tensors {
        let RawTensor { name, shape, values } = tensor;
        if shape.iter().product::<usize>() != values.len() {
            let len = values.len();
            return Err(Error::usage(format!("tensor `{name}` of shape {shape:?} cannot hold {len} values")));
        }
        let end = offset + values.size() * values.len();
        let entry =
            serde_json::json!({ "dtype": values.dtype(), "shape": shape, "data_offsets": [offset, end] });
        if entries.insert(name.to_string(), entry).is_some() {
            return Err(Error::usage(format!("two tensors are named `{name}`")));
        }
        offset = end;
    }
    let mut header = serde_json::Value::Object(entries).to_string().into_bytes();
    // The format requires tensors to start at a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

/// Reads a safetensors file of `f32` tensors from its bytes.
///
/// # Errors
/// Says why it is not one: it is of another kind, is cut short or damaged, or holds another type.
pub(super) fn parse_safetensors(bytes: &[u8], kind: &Kind) -> Result<Container, String> {
    let Container { tensors, info, checked } = parse_raw(bytes, kind)?;
    let float = |RawTensor { name, shape, values }: RawTensor<'_>| match values {
        Values::F32(data) => Ok(NamedTensor { name: name.into_owned(), shape, data: data.into_owned() }),
        other => Err(format!("tensor `{name}` is {:?}; expected F32", other.dtype())),
    };
    Ok(Container { tensors: tensors.into_iter().map(float).collect::<Result<_, _>>()?, info, checked })
}

/// As [`parse_safetensors`], for tensors of any type that our files use.
pub(super) fn parse_raw(bytes: &[u8], kind: &Kind) -> Result<Container<RawTensor<'static>>, String> {
    let wrong = |e: SafeTensorError| not_safetensors(bytes, &e);
    let header = read_header(bytes)?;
    let (info, expected) = kind.take(header.metadata().clone().unwrap_or_default())?;
    let views = SafeTensors::deserialize(bytes).map_err(wrong)?;
    let mut tensors = Vec::with_capacity(views.len());
    for name in header.offset_keys() {
        let view = views.tensor(&name).map_err(wrong)?;
        let (words, _) = view.data().as_chunks::<4>();
        let values = match view.dtype() {
            Dtype::F32 => Values::F32(words.iter().map(|word| f32::from_le_bytes(*word)).collect()),
            Dtype::I32 => Values::I32(words.iter().map(|word| i32::from_le_bytes(*word)).collect()),
            Dtype::U8 => Values::U8(view.data().to_vec().into()),
            other => return Err(format!("tensor `{name}` is {other:?}; expected F32, I32 or U8")),
        };
        tensors.push(RawTensor { name: name.into(), shape: view.shape().to_vec(), values });
    }
    if expected.as_ref().is_some_and(|expected| *expected != checksum(kind, &info, &tensors)) {
        return Err(
            "the file is damaged: its content does not match its checksum; copy or download it again".into(),
        );
    }
    Ok(Container { tensors, info, checked: expected.is_some() })
}

/// The JSON value that describes the content of a file, if the file may be of this kind.
pub(super) fn described(bytes: &[u8], kind: &Kind) -> Option<serde_json::Value> {
    let metadata = read_header(bytes).ok()?.metadata().clone()?;
    serde_json::from_str(&kind.take(metadata).ok()?.0).ok()
}

/// Reads the header of a safetensors file.
fn read_header(bytes: &[u8]) -> Result<Metadata, String> {
    let length = bytes.first_chunk::<8>().map_or(0, |length| u64::from_le_bytes(*length));
    if length > MAX_HEADER && length < bytes.len() as u64 {
        return Err(format!("its header has {length} bytes; at most {MAX_HEADER} are read"));
    }
    SafeTensors::read_metadata(bytes).map(|(_, header)| header).map_err(|e| not_safetensors(bytes, &e))
}

/// Says why `bytes` are not a safetensors file.
fn not_safetensors(bytes: &[u8], error: &SafeTensorError) -> String {
    let length = bytes.len();
    match error {
        _ if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\x80\x02") => {
            "this looks like a PyTorch file, not a safetensors file: import it first".into()
        }
        SafeTensorError::MetadataIncompleteBuffer
            if end_of_tensors(bytes).is_some_and(|end| end < length) =>
        {
            let extra = length - end_of_tensors(bytes).unwrap_or(length);
            format!(
                "something was appended after the last tensor ({}); copy or download the file again",
                counted(extra, "byte")
            )
        }
        SafeTensorError::MetadataIncompleteBuffer | SafeTensorError::InvalidHeaderLength => {
            format!("the file is cut short ({length} bytes): copy or download it again")
        }
        SafeTensorError::HeaderTooSmall => {
            format!("the file is {length} bytes long: it is empty or cut short; copy or download it again")
        }
        e => format!("not a safetensors file, or a damaged one ({e})"),
    }
}

/// Where the last tensor ends, by the header.
fn end_of_tensors(bytes: &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let header: Metadata = serde_json::from_slice(rest.get(..length)?).ok()?;
    length.checked_add(8)?.checked_add(header.data_len())
}
