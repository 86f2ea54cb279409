//! TensorBoard event files: TFRecord framing around hand-encoded `Event` messages.
//!
//! A record is the length (u64), its masked CRC-32C, the message, and the message's masked CRC-32C, all
//! little-endian. The fields used, by number, of `tensorflow/core/util/event.proto` and
//! `tensorflow/core/framework/summary.proto`: Event `wall_time` = 1 (double), `step` = 2 (int64),
//! `file_version` = 3 (string), `summary` = 5; Summary `value` = 1; Value `tag` = 1, `simple_value` = 2 (float).
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::date::unix_seconds;
use crate::error::{IoContext, Result};

const PREFIX: &str = "events.out.tfevents.";

/// Whether `name` is that of an event file.
pub(super) fn is_event_file(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// An event file that is being written.
#[derive(Debug)]
pub(super) struct EventWriter {
    path: PathBuf,
    file: File,
}

impl EventWriter {
    /// Starts a new file in `folder`, with time, host and process in its name as TensorBoard expects.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let now = unix_seconds(SystemTime::now());
        let mut second = now as u64;
        loop {
            let name = format!("{PREFIX}{second:010}.{}.{}.v2", host(), std::process::id());
            let path = folder.join(name);
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                // TensorBoard reads the files of a folder in the order of their names: a later file must sort last.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => second += 1,
                opened => {
                    let mut writer = EventWriter { file: opened.at(&path)?, path };
                    writer.write(&[&double(1, now)[..], &bytes(3, b"brain.Event:2")].concat())?;
                    return Ok(writer);
                }
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends the scalars of one step, in one event.
    pub(super) fn scalars<'a>(
        &mut self,
        wall_time: f64,
        step: u64,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<()> {
        let mut summary = vec![];
        for (tag, value) in values {
            summary.extend(bytes(1, &[bytes(1, tag.as_bytes()), float(2, value as f32)].concat()));
        }
        let event =
            [double(1, wall_time), [vec![2 << 3], varint(step)].concat(), bytes(5, &summary)].concat();
        self.write(&event)
    }

    fn write(&mut self, message: &[u8]) -> Result<()> {
        // One write, so that a reader that follows the file sees whole records.
        self.file.write_all(&record(message)).at(&self.path)
    }
}

fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length), message, &masked_crc(message)].concat()
}

fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = vec![];
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    [&[field << 3 | 2][..], &varint(content.len() as u64), content].concat()
}

fn double(field: u8, value: f64) -> Vec<u8> {
    [&[field << 3 | 1][..], &value.to_le_bytes()].concat()
}

fn float(field: u8, value: f32) -> Vec<u8> {
    [&[field << 3 | 5][..], &value.to_le_bytes()].concat()
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    if name.is_empty() { "host".into() } else { name }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The step, tag and value of every scalar. The reader shares no code with the writer but the CRC, which it checks.
    pub(in crate::run) fn read_scalars(path: &Path) -> Vec<(u64, String, f32)> {
        let file = std::fs::read(path).unwrap();
        let (mut rest, mut found, mut first) = (&file[..], vec![], true);
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], masked_crc(&rest[..8]));
            let message = &rest[12..12 + length];
            assert_eq!(rest[12 + length..16 + length], masked_crc(message));
            rest = &rest[16 + length..];
            let event = fields(message);
            if std::mem::take(&mut first) {
                assert_eq!(event[1], (3, b"brain.Event:2".to_vec()));
                continue;
            }
            let step = u64::from_le_bytes(event[1].1[..].try_into().unwrap());
            for (_, value) in fields(&event[2].1) {
                let value = fields(&value);
                let number = f32::from_le_bytes(value[1].1[..].try_into().unwrap());
                found.push((step, String::from_utf8(value[0].1.clone()).unwrap(), number));
            }
        }
        found
    }

    fn fields(mut message: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut found = vec![];
        while let [key, rest @ ..] = message {
            let (content, rest) = match key & 7 {
                0 => {
                    let (value, rest) = read_varint(rest);
                    (value.to_le_bytes().to_vec(), rest)
                }
                1 => (rest[..8].to_vec(), &rest[8..]),
                2 => {
                    let (length, rest) = read_varint(rest);
                    (rest[..length as usize].to_vec(), &rest[length as usize..])
                }
                5 => (rest[..4].to_vec(), &rest[4..]),
                other => panic!("wire type {other}"),
            };
            found.push((key >> 3, content));
            message = rest;
        }
        found
    }

    fn read_varint(bytes: &[u8]) -> (u64, &[u8]) {
        let end = bytes.iter().position(|b| b & 0x80 == 0).unwrap();
        let value = bytes[..=end].iter().rev().fold(0, |value, b| value << 7 | u64::from(b & 0x7f));
        (value, &bytes[end + 1..])
    }

    #[test]
    fn framing() {
        // CRC-32C of "123456789" is 0xe3069283 (RFC 3720); masked as TFRecord does.
        let masked = 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(masked_crc(b"123456789"), masked.to_le_bytes());
        assert_eq!(varint(300), [0xac, 0x02]);
    }

    #[test]
    fn two_files_in_a_second_sort_by_age() {
        let folder = tempfile::tempdir().unwrap();
        let first = EventWriter::create(folder.path()).unwrap();
        let second = EventWriter::create(folder.path()).unwrap();
        assert!(first.path() < second.path());
    }
}
