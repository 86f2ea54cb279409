//! What the host and a plugin's process write to each other's socket: a byte that wakes, or a message in CBOR (which,
//! other than JSON, keeps every float) with raw bytes behind it.
use std::io::{self, Read, Write};

use potstill_plugin_api::{EnvironmentSpec, OptionSchema, OptionValue, Role, Space, Task};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::memory::Layout;
use crate::plugin::trace::Ask;
use crate::plugin::traced::RawJudged;

/// First byte: something has happened in the shared memory.
pub(super) const WAKE: u8 = 0x57;
/// First byte: a message follows.
const MESSAGE: u8 = 0x4d;
/// Bytes of CBOR in a message.
const LONGEST_HEAD: u32 = 1 << 28;
/// Bytes behind it: a snapshot, a picture.
const LONGEST_BODY: u64 = 1 << 32;

/// From the host. What each gives back stands behind it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Nothing. Which of the library's plugins the others are about, by its number; until then the first.
    Choose { plugin: usize },
    /// [`EnvironmentSpec`].
    Make { copies: usize, settings: Vec<(String, OptionValue)> },
    /// Nothing. From now on `reset` and `step` go through the shared memory.
    Share(Layout),
    /// [`Picture`], pixels behind it.
    Render { index: usize, text: bool },
    /// Whether it has snapshots, the snapshot behind it.
    Snapshot,
    /// Nothing. The snapshot is behind it.
    Restore,
    /// A number to call the learner by, and [`DrawnLearner`](crate::plugin::traced::DrawnLearner).
    Draw { settings: Vec<(String, OptionValue)>, observation: Space, outputs: usize, seed: u64 },
    /// A tensor.
    Forward { learner: u32, parameters: Vec<u32>, x: u32 },
    /// Nothing.
    Forget { learner: u32 },
    /// [`Declared`](crate::plugin::traced::Declared).
    Begin { settings: Vec<(String, OptionValue)>, task: Task },
    /// Tensors.
    Inner { theta: Vec<u32>, fresh: Vec<u32> },
    /// [`RawLoss`](crate::plugin::traced::RawLoss).
    Outer(RawJudged),
    /// To a [`Reply::Ask`]: the call goes on.
    Answer(Vec<u32>),
}

/// From the plugin's process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply<T> {
    /// The call is done.
    Done(T),
    /// The call failed in this function, by the plugin's will or for good.
    Failed { function: String, refused: bool, words: String },
    /// The call needs an answer to go on.
    Ask(Ask),
}

/// Who a plugin is. All those of the library are the first thing that its process says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) summary: String,
    pub(crate) role: Role,
    pub(crate) options: Vec<OptionSchema>,
}

/// What `make` gave.
pub(super) type Made = EnvironmentSpec;

/// What `render` drew: pixels follow as bytes.
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

/// What a socket holds next.
pub(super) enum Next<T> {
    Wake,
    Message(T, Vec<u8>),
}

/// Reads what comes next.
///
/// # Errors
/// The socket's; [`io::ErrorKind::InvalidData`] for what is neither.
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

/// `length` bytes; memory grows with what really comes.
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
