//! Named tensors, and the safetensors container of datasets, agents, checkpoints and transitions.
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use safetensors::{Dtype, SafeTensorError, SafeTensors};
use sha2::{Digest as _, Sha256};

use super::atomic::{Durability, write};
pub use crate::engine::theta::NamedTensor;
use crate::error::{Error, IoContext, Result};

/// The elements of a tensor in row-major order, of one of the types that our files use.
pub(super) enum Values<'a> {
    F32(Cow<'a, [f32]>),
    I32(Cow<'a, [i32]>),
    U8(Cow<'a, [u8]>),
}

impl Values<'_> {
    fn dtype(&self) -> Dtype {
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

/// The content of one of our safetensors files.
pub(super) struct Container<T = NamedTensor> {
    /// The tensors in the order of the file.
    pub(super) tensors: Vec<T>,
    /// The `__metadata__` of the header, without the checksum.
    pub(super) metadata: BTreeMap<String, String>,
    /// Whether the file has a checksum, which then was verified.
    pub(super) checked: bool,
}

/// The metadata key of the checksum. The checksum is the SHA-256, in hexadecimal, of the other metadata (key, `\0`,
/// value, `\0`, in the order of the keys) and of every tensor in the order of the names (name, `\0`, then dimensions and
/// values, little-endian).
const CHECKSUM: &str = "sha256";

/// Writes tensors, metadata and their checksum atomically. The same content always gives the same bytes.
///
/// # Errors
/// [`Error::Io`] naming `path`; [`Error::Usage`] for a repeated name or a shape that does not fit its data.
pub(super) fn write_safetensors(
    path: &Path,
    tensors: &[&NamedTensor],
    metadata: &BTreeMap<String, String>,
    durability: Durability,
) -> Result<()> {
    let tensors: Vec<RawTensor<'_>> = tensors.iter().map(|&tensor| tensor.into()).collect();
    write_raw(path, &tensors, metadata, durability)
}

/// As [`write_safetensors`], for tensors of any type that our files use.
///
/// # Errors
/// As [`write_safetensors`].
pub(super) fn write_raw(
    path: &Path,
    tensors: &[RawTensor<'_>],
    metadata: &BTreeMap<String, String>,
    durability: Durability,
) -> Result<()> {
    let mut metadata = metadata.clone();
    metadata.insert(CHECKSUM.into(), checksum(tensors, &metadata));
    let header = header(tensors, &metadata)?;
    write(path, durability, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        tensors.iter().try_for_each(|tensor| tensor.values.write(file))
    })
}

fn checksum(tensors: &[RawTensor<'_>], metadata: &BTreeMap<String, String>) -> String {
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
    for text in metadata.iter().flat_map(|(key, value)| [key, value]) {
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
fn header(tensors: &[RawTensor<'_>], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let mut entries = serde_json::Map::new();
    entries.insert("__metadata__".into(), serde_json::json!(metadata));
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

/// Reads a safetensors file of `f32` tensors.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::File`] when it is not a safetensors file, is cut short or
/// damaged, or holds another type.
pub(super) fn read_safetensors(path: &Path) -> Result<Container> {
    let bytes = std::fs::read(path).at(path)?;
    parse_safetensors(&bytes).map_err(|what| Error::file(path, what))
}

/// As [`read_safetensors`], from the bytes of the file.
pub(super) fn parse_safetensors(bytes: &[u8]) -> Result<Container, String> {
    let Container { tensors, metadata, checked } = parse_raw(bytes)?;
    let float = |RawTensor { name, shape, values }: RawTensor<'_>| match values {
        Values::F32(data) => Ok(NamedTensor { name: name.into_owned(), shape, data: data.into_owned() }),
        other => Err(format!("tensor `{name}` is {:?}; expected F32", other.dtype())),
    };
    Ok(Container { tensors: tensors.into_iter().map(float).collect::<Result<_, _>>()?, metadata, checked })
}

/// As [`parse_safetensors`], for tensors of any type that our files use.
pub(super) fn parse_raw(bytes: &[u8]) -> Result<Container<RawTensor<'static>>, String> {
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
        let (words, _) = view.data().as_chunks::<4>();
        let values = match view.dtype() {
            Dtype::F32 => Values::F32(words.iter().map(|word| f32::from_le_bytes(*word)).collect()),
            Dtype::I32 => Values::I32(words.iter().map(|word| i32::from_le_bytes(*word)).collect()),
            Dtype::U8 => Values::U8(view.data().to_vec().into()),
            other => return Err(format!("tensor `{name}` is {other:?}; expected F32, I32 or U8")),
        };
        tensors.push(RawTensor { name: name.into(), shape: view.shape().to_vec(), values });
    }
    let mut metadata: BTreeMap<_, _> = header.metadata().clone().unwrap_or_default().into_iter().collect();
    let expected = metadata.remove(CHECKSUM);
    if expected.as_ref().is_some_and(|expected| *expected != checksum(&tensors, &metadata)) {
        return Err(
            "the file is damaged: its content does not match its checksum; copy or download it again".into(),
        );
    }
    Ok(Container { tensors, metadata, checked: expected.is_some() })
}
