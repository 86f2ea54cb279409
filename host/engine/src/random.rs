//! Random streams: one for each purpose and meta-epoch, so that no generator's state needs saving and a
//! resumed run draws what the uninterrupted one would have drawn.
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A generator of random numbers.
pub type Stream = ChaCha8Rng;

/// The stream of `seed` for `purpose`, number `index`.
pub fn stream(seed: u64, purpose: &str, index: u64) -> Stream {
    // FNV-1a over the purpose; ChaCha takes care of mixing.
    let purpose = purpose.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut key = [0u8; 32];
    for (part, value) in key.chunks_exact_mut(8).zip([seed, purpose, index, 0]) {
        part.copy_from_slice(&value.to_le_bytes());
    }
    Stream::from_seed(key)
}
/// The first number of a stream: a seed for somebody else's.
pub fn derived(seed: u64, purpose: &str, number: u64) -> u64 {
    stream(seed, purpose, number).random()
}
