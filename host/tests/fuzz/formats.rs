//! Changes of files that know their format, so that most of them get past its first checks.
use std::io::{Cursor, Read, Write};

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;

use crate::mutate;

/// The operations of a pickle that inflates.
const MANY: usize = 1 << 24;

/// Applies the general change of bytes.
fn any(file: &[u8], others: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = file.to_vec();
    mutate::bytes(&mut bytes, others, rng);
    bytes
}

/// Changes a value of a TOML file, or its text.
pub(crate) fn toml(file: &[u8], others: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let value = std::str::from_utf8(file).ok().and_then(|text| ::toml::from_str::<Value>(text).ok());
    match value {
        Some(mut value) if rng.random_range(0..4) > 0 => {
            mutate::tree(&mut value, rng);
            ::toml::to_string(&value).map_or_else(|_| any(file, others, rng), String::into_bytes)
        }
        _ => any(file, others, rng),
    }
}

/// Changes a value of one of the JSON values of a file, or its text.
pub(crate) fn json_lines(file: &[u8], others: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_slice(file).into_iter().collect();
    match values {
        Ok(mut values) if !values.is_empty() && rng.random_range(0..4) > 0 => {
            let i = rng.random_range(0..values.len());
            mutate::tree(&mut values[i], rng);
            values.iter().map(|value| format!("{value}\n")).collect::<String>().into_bytes()
        }
        _ => any(file, others, rng),
    }
}

/// Changes our metadata, the header or the numbers of a safetensors file, and mostly makes its checksum right again.
pub(crate) fn safetensors(file: &[u8], others: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let Some((mut header, mut data)) = split(file).filter(|_| rng.random_range(0..8) > 0) else {
        return any(file, others, rng);
    };
    match rng.random_range(0..4) {
        0 => {
            let mut header = Value::Object(header.clone());
            mutate::tree(&mut header, rng);
            return join(&header, &data);
        }
        1 => mutate::bytes(&mut data, others, rng),
        _ => {
            let own = header.get_mut("__metadata__").and_then(|metadata| metadata.get_mut("potstill"));
            if let Some(Value::String(text)) = own
                && let Ok(mut value) = serde_json::from_str(text)
            {
                mutate::tree(&mut value, rng);
                *text = value.to_string();
            }
        }
    }
    let checksum = checksum(&header, &data).filter(|_| rng.random_range(0..8) > 0);
    if let Some(Value::Object(metadata)) = header.get_mut("__metadata__") {
        match checksum {
            Some(checksum) => metadata.insert("sha256".into(), checksum.into()),
            None => metadata.remove("sha256"),
        };
    }
    join(&Value::Object(header), &data)
}

fn split(file: &[u8]) -> Option<(Map<String, Value>, Vec<u8>)> {
    let (length, rest) = file.split_first_chunk::<8>()?;
    let (header, data) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    Some((serde_json::from_slice(header).ok()?, data.to_vec()))
}

fn join(header: &Value, data: &[u8]) -> Vec<u8> {
    let mut header = header.to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    [&(header.len() as u64).to_le_bytes()[..], &header, data].concat()
}

/// The checksum as `docs/dataset-format.md` defines it.
fn checksum(header: &Map<String, Value>, data: &[u8]) -> Option<String> {
    let mut digest = Sha256::new();
    for (key, value) in header.get("__metadata__")?.as_object()?.iter().filter(|(key, _)| *key != "sha256") {
        for text in [key, value.as_str()?] {
            digest.update(text);
            digest.update([0]);
        }
    }
    for (name, tensor) in header.iter().filter(|(name, _)| *name != "__metadata__") {
        digest.update(name);
        digest.update([0]);
        for size in tensor["shape"].as_array()? {
            digest.update(size.as_u64()?.to_le_bytes());
        }
        let offset = |i: usize| usize::try_from(tensor["data_offsets"][i].as_u64()?).ok();
        digest.update(data.get(offset(0)?..offset(1)?)?);
    }
    Some(format!("{:x}", digest.finalize()))
}

/// Changes a file within the archive of a `.pt` file, or the bytes of a legacy one.
pub(crate) fn pytorch(file: &[u8], others: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
    match unpacked(file).filter(|_| rng.random_range(0..6) > 0) {
        Some(mut files) => {
            let pickle = files.iter().position(|(name, _)| name.ends_with("data.pkl"));
            let chosen = pickle.filter(|_| rng.random_range(0..3) > 0);
            let chosen = chosen.unwrap_or_else(|| rng.random_range(0..files.len()));
            match rng.random_range(0..100) {
                0 => {
                    // A small file of many small objects: each of these operations makes one, or a reference to one.
                    let operation = *b")]}(N2".choose(rng).unwrap();
                    let at = rng.random_range(0..=files[chosen].1.len());
                    files[chosen].1.splice(at..at, std::iter::repeat_n(operation, MANY));
                }
                _ => mutate::bytes(&mut files[chosen].1, others, rng),
            }
            packed(&files)
        }
        None => any(file, others, rng),
    }
}

fn unpacked(file: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(file)).ok().filter(|archive| !archive.is_empty())?;
    let files = archive.len();
    let read = |i| {
        let mut file = archive.by_index(i).ok()?;
        let mut bytes = vec![];
        file.read_to_end(&mut bytes).ok()?;
        Some((file.name().to_owned(), bytes))
    };
    (0..files).map(read).collect()
}

fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(vec![]));
    for (name, bytes) in files {
        let method = if bytes.len() < MANY {
            zip::CompressionMethod::Stored
        } else {
            zip::CompressionMethod::Deflated
        };
        archive.start_file(name.as_str(), SimpleFileOptions::default().compression_method(method)).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// Changes the inside of a section of a component, or of a module in it, or the order of the sections.
pub(crate) fn wasm(file: &[u8], others: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let Some(mut sections) = sections(file).filter(|_| rng.random_range(0..8) > 0) else {
        return any(file, others, rng);
    };
    let i = rng.random_range(0..sections.len());
    match rng.random_range(0..12) {
        0 => drop(sections.remove(i)),
        1 => {
            let copy = sections.choose(rng).unwrap().clone();
            sections.insert(i, copy);
        }
        2 => {
            let j = rng.random_range(0..sections.len());
            sections.swap(i, j);
        }
        _ if sections[i].1.starts_with(b"\0asm") => sections[i].1 = wasm(&sections[i].1, others, rng),
        _ => mutate::bytes(&mut sections[i].1, others, rng),
    }
    let mut file = file[..8].to_vec();
    for (id, content) in sections {
        file.push(id);
        let mut length = content.len();
        while length >= 0x80 {
            file.push(length as u8 | 0x80);
            length >>= 7;
        }
        file.push(length as u8);
        file.extend(content);
    }
    file
}

/// The numbers and contents of all sections, at least one.
fn sections(file: &[u8]) -> Option<Vec<(u8, Vec<u8>)>> {
    let mut rest = file.strip_prefix(b"\0asm")?.get(4..)?;
    let mut sections = vec![];
    while let Some((&id, mut after)) = rest.split_first() {
        let (mut length, mut shift) = (0, 0);
        loop {
            let (&byte, next) = after.split_first()?;
            after = next;
            length |= usize::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        let (content, next) = after.split_at_checked(length)?;
        sections.push((id, content.to_vec()));
        rest = next;
    }
    (!sections.is_empty()).then_some(sections)
}
