//! Random changes of bytes and of trees of values, which every format is made of.
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// The most bytes that a file grows to.
const LONGEST: usize = 1 << 20;

/// Numbers at the borders of types.
const NUMBERS: [u64; 16] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7f80_0000,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// Changes bytes without a thought of what they mean.
pub(crate) fn bytes(bytes: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut ChaCha8Rng) {
    if bytes.is_empty() {
        return bytes.push(rng.random());
    }
    let at = rng.random_range(0..bytes.len());
    let some = at..(at + span(rng)).min(bytes.len());
    match rng.random_range(0..11) {
        0 => bytes[at] ^= 1 << rng.random_range(0..8),
        1 => bytes[at] = rng.random(),
        2 => rng.fill(&mut bytes[some]),
        3 => drop(bytes.drain(some)),
        4 => bytes.truncate(at),
        5 => {
            let copy = bytes[some.clone()].to_vec();
            let most = (LONGEST.saturating_sub(bytes.len()) / copy.len()).max(1);
            let times = *[1, 1, 2, 100, 20_000].choose(rng).unwrap();
            bytes.splice(at..at, copy.repeat(times.min(most)));
        }
        6 => {
            let new: Vec<u8> = (0..span(rng)).map(|_| rng.random()).collect();
            bytes.splice(at..at, new);
        }
        7 => {
            let number = NUMBERS.choose(rng).unwrap().to_le_bytes();
            let width = (*[1, 2, 4, 8].choose(rng).unwrap()).min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
        8 => {
            let to = rng.random_range(0..bytes.len());
            let copy = bytes[some].to_vec();
            let end = (to + copy.len()).min(bytes.len());
            bytes[to..end].copy_from_slice(&copy[..end - to]);
        }
        9 => {
            let other = others.choose(rng).unwrap();
            let from = rng.random_range(0..other.len());
            let end = (from + span(rng)).min(other.len());
            bytes.splice(some, other[from..end].iter().copied());
        }
        _ => words(bytes, at, rng),
    }
}

/// Mostly short, sometimes long.
fn span(rng: &mut ChaCha8Rng) -> usize {
    match rng.random_range(0..4) {
        0 => 1,
        1 => rng.random_range(1..9),
        2 => rng.random_range(1..65),
        _ => rng.random_range(1..2049),
    }
}

/// Changes the next text after `at` and keeps its length.
fn words(bytes: &mut [u8], at: usize, rng: &mut ChaCha8Rng) {
    let printable = |byte: &u8| (b' '..=b'~').contains(byte);
    let Some(start) =
        (at..bytes.len()).find(|&i| bytes[i..].iter().take(4).filter(|b| printable(b)).count() == 4)
    else {
        return;
    };
    let length = bytes[start..].iter().take_while(|byte| printable(byte)).count();
    let (from, length) = (start + rng.random_range(0..length), rng.random_range(1..=length.min(16)));
    let end = (from + length).min(bytes.len());
    let odd = *[0x1b, b'\n', 0, 0xff, b'9', b'-', b'/', b'A', 0xe2].choose(rng).unwrap();
    bytes[from..end].fill(odd);
}

/// Changes one value of a tree, chosen at random, or what stands beside it.
pub(crate) fn tree(root: &mut Value, rng: &mut ChaCha8Rng) {
    let mut paths = vec![];
    collect(root, &mut String::new(), &mut paths);
    let path = paths.choose(rng).unwrap();
    let other = root.pointer(paths.choose(rng).unwrap()).cloned().unwrap_or_default();
    if rng.random_range(0..5) == 0
        && let Some((parent, key)) = path.rsplit_once('/')
    {
        let key = key.replace("~1", "/").replace("~0", "~");
        return match (root.pointer_mut(parent), rng.random_range(0..3)) {
            (Some(Value::Object(entries)), 0) => drop(entries.remove(&key)),
            (Some(Value::Object(entries)), 1) => {
                let value = entries.remove(&key).unwrap_or_default();
                entries.insert(odd_text(rng), value);
            }
            (Some(Value::Object(entries)), _) => drop(entries.insert(odd_text(rng), other)),
            (Some(Value::Array(values)), 0) => drop(values.pop()),
            (Some(Value::Array(values)), _) => {
                values.extend(std::iter::repeat_n(other, *[1, 2, 3000].choose(rng).unwrap()));
            }
            _ => {}
        };
    }
    let Some(value) = root.pointer_mut(path) else { return };
    *value = match (&*value, rng.random_range(0..4)) {
        (_, 0) => other,
        (Value::Number(number), 1) => match number.as_i64() {
            Some(number) => {
                [number.wrapping_add(1), number.wrapping_sub(1), number.wrapping_neg(), number << 8]
                    [rng.random_range(0..4)]
                .into()
            }
            None => (number.as_f64().unwrap_or(0.0) * -1e30).into(),
        },
        (Value::String(text), 1) => {
            let mut text = text.clone().into_bytes();
            let before = text.clone();
            bytes(&mut text, &[if before.is_empty() { b"x".to_vec() } else { before }], rng);
            String::from_utf8_lossy(&text).into_owned().into()
        }
        _ => odd(rng),
    };
}

/// The JSON pointers of all values.
fn collect(value: &Value, path: &mut String, paths: &mut Vec<String>) {
    paths.push(path.clone());
    let length = path.len();
    let mut go = |key: &str, value: &Value| {
        path.push('/');
        path.push_str(&key.replace('~', "~0").replace('/', "~1"));
        collect(value, path, paths);
        path.truncate(length);
    };
    match value {
        Value::Object(entries) => entries.iter().for_each(|(key, value)| go(key, value)),
        Value::Array(values) => values.iter().enumerate().for_each(|(i, value)| go(&i.to_string(), value)),
        _ => {}
    }
}

/// A value that a file should not have there.
fn odd(rng: &mut ChaCha8Rng) -> Value {
    match rng.random_range(0..8) {
        0 => Value::Null,
        1 => rng.random::<bool>().into(),
        2 => NUMBERS.choose(rng).copied().into(),
        3 => i64::from(rng.random_range(-3..=3)).into(),
        4 => [1e300, -1e-300, 0.5, 1e39, -0.0, f64::from(f32::MAX)].choose(rng).copied().into(),
        5 => odd_text(rng).into(),
        6 => Value::Array(vec![0.into(); *[0, 1, 17, 5000].choose(rng).unwrap()]),
        _ => (0..rng.random_range(1..150)).fold(Value::Null, |inner, _| Value::Array(vec![inner])),
    }
}

fn odd_text(rng: &mut ChaCha8Rng) -> String {
    let texts =
        ["", " ", "-inf", "nan", "\u{1b}[2J", "a\nerror: b", "\u{202e}", "../../x", "/dev/zero", "x", "0"];
    match rng.random_range(0..8) {
        0 => "a".repeat(*[65, 300, 65_536, 200_000].choose(rng).unwrap()),
        _ => (*texts.choose(rng).unwrap()).to_owned(),
    }
}
