//! The messages between the host and a plugin's process: one byte that wakes the other side, or a message in CBOR (which,
//! unlike JSON, represents every float) followed by raw bytes.
use std::io::{self, Read, Write};

use potstill_plugin_api::{OptionSchema, OptionValue, Role, Space, Task};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::memory::Layout;
use crate::plugin::trace::Ask;
use crate::plugin::traced::RawJudged;

/// The first byte of a wake-up call: something has happened in the shared memory.
pub(super) const WAKE: u8 = 0x57;
/// The first byte of a message.
const MESSAGE: u8 = 0x4d;
/// The most bytes of CBOR in a message.
const LONGEST_HEAD: u32 = 1 << 28;
/// The most raw bytes behind it: a snapshot or a picture.
const LONGEST_BODY: u64 = 1 << 32;

/// A message from the host. Each variant's documentation says what it does and what the reply carries.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Selects the library's plugin with this index; the default is the first. No reply value.
    Choose { plugin: usize },
    /// Makes environments. Returns the [`EnvironmentSpec`](potstill_plugin_api::EnvironmentSpec).
    MakeEnvironments { copies: usize, settings: Vec<(String, OptionValue)> },
    /// Maps the shared memory, through which `reset` and `step` then go. No reply value.
    Share(Layout),
    /// Renders a copy. Returns a [`Picture`], followed by its pixels.
    Render { index: usize, text: bool },
    /// Takes a snapshot. Returns whether there are snapshots, followed by the bytes.
    Snapshot,
    /// Restores the snapshot in the raw bytes. No reply value.
    Restore,
    /// Draws a learner. Returns its number and its [`Architecture`](crate::plugin::traced::Architecture).
    DrawLearner { settings: Vec<(String, OptionValue)>, observation: Space, outputs: usize, seed: u64 },
    /// Traces a learner. Returns the output tensor.
    Forward { learner: u32, parameters: Vec<u32>, x: u32 },
    /// Destroys a learner. No reply value.
    DropLearner { learner: u32 },
    /// Makes an objective. Returns what it [declares](crate::plugin::traced::Declared).
    MakeObjective { settings: Vec<(String, OptionValue)>, task: Task },
    /// Traces the inner rule. Returns the parameters after it.
    Inner { theta: Vec<u32>, fresh: Vec<u32> },
    /// Traces the outer loss. Returns a [`RawLoss`](crate::plugin::traced::RawLoss).
    Outer(RawJudged),
    /// Answers a [`Reply::Ask`], after which the call continues.
    Answer(Vec<u32>),
}

/// A message from the plugin's process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply<T> {
    /// The call is done.
    Done(T),
    /// The call failed in this function: the plugin refused, or cannot be called again.
    Failed { function: String, refused: bool, words: String },
    /// The plugin asks a question during the call and waits for the answer.
    Ask(Ask),
}

/// A description of a plugin. The process begins by sending those of all plugins in the library.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PluginInfo {
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) summary: String,
    pub(crate) role: Role,
    pub(crate) options: Vec<OptionSchema>,
}

/// The result of `render`. Pixels follow as raw bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Picture {
    Rgb { width: u32, height: u32 },
    Text(String),
}

/// Writes a message.
///
/// # Errors
/// The socket's.
pub(super) fn write(mut to: impl Write, head: &impl Serialize, body: &[u8]) -> io::Result<()> {
    let mut bytes = vec![0; 13];
    ciborium::into_writer(head, &mut bytes).map_err(io::Error::other)?;
    let length = (bytes.len() - 13) as u32;
    bytes[0] = MESSAGE;
    bytes[1..5].copy_from_slice(&length.to_le_bytes());
    bytes[5..13].copy_from_slice(&(body.len() as u64).to_le_bytes());
    to.write_all(&bytes)?;
    to.write_all(body)
}

/// The next item in a socket.
pub(super) enum Next<T> {
    Wake,
    Message(T, Vec<u8>),
}

/// Reads the next item.
///
/// # Errors
/// The socket's; [`io::ErrorKind::InvalidData`] for data that is neither a wake-up call nor a message.
pub(super) fn read<T: DeserializeOwned>(mut from: impl Read) -> io::Result<Next<T>> {
    let nonsense = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut first = [0];
    from.read_exact(&mut first)?;
    match first[0] {
        WAKE => return Ok(Next::Wake),
        MESSAGE => {}
        other => return Err(nonsense(format!("a message that begins with {other:#04x}"))),
    }
    let (mut head, mut body) = ([0; 4], [0; 8]);
    from.read_exact(&mut head)?;
    from.read_exact(&mut body)?;
    let (head, body) = (u32::from_le_bytes(head), u64::from_le_bytes(body));
    if head > LONGEST_HEAD || body > LONGEST_BODY {
        return Err(nonsense(format!("a message of {head} and {body} bytes")));
    }
    let head = read_exactly(&mut from, u64::from(head))?;
    let body = read_exactly(&mut from, body)?;
    let head = ciborium::from_reader(&head[..]).map_err(|e| nonsense(format!("an unknown message ({e})")))?;
    Ok(Next::Message(head, body))
}

/// Reads `length` bytes. Memory is allocated only as bytes arrive.
fn read_exactly(from: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    match from.take(length).read_to_end(&mut bytes)? as u64 == length {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_every_float() {
        let given = Request::Answer(vec![1, 2]);
        let mut bytes = vec![];
        write(&mut bytes, &given, b"behind").unwrap();
        bytes.push(WAKE);
        let mut rest = &bytes[..];
        let Next::Message(Request::Answer(numbers), body) = read(&mut rest).unwrap() else { panic!() };
        assert_eq!((numbers, &body[..]), (vec![1, 2], &b"behind"[..]));
        assert!(matches!(read::<Request>(&mut rest).unwrap(), Next::Wake));

        let numbers = vec![f64::NEG_INFINITY, -0.0, 0.1, f64::MIN_POSITIVE, 1e300, f64::from(f32::MAX)];
        let ask = Ask::Operation { op: 1, inputs: vec![], integers: vec![i64::MIN], numbers, place: None };
        let mut bytes = vec![];
        write(&mut bytes, &Reply::<()>::Ask(ask.clone()), &[]).unwrap();
        let Next::Message(Reply::<()>::Ask(back), _) = read(&bytes[..]).unwrap() else { panic!() };
        assert_eq!(back, ask);
    }

    #[test]
    fn refuses_nonsense() {
        let kind = |bytes: &[u8]| read::<Request>(bytes).err().unwrap().kind();
        assert_eq!(kind(b"hello, world, hello"), io::ErrorKind::InvalidData);
        assert_eq!(kind(&[[MESSAGE].as_slice(), &[0xff; 40]].concat()), io::ErrorKind::InvalidData);
        assert_eq!(kind(&[MESSAGE, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff]), io::ErrorKind::InvalidData);
        assert_eq!(kind(&[MESSAGE, 9, 0, 0, 0]), io::ErrorKind::UnexpectedEof);
    }
}
