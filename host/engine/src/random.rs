//! Random streams. Each purpose has one for each learner or meta-epoch, so that no generator's state needs saving and a
//! resumed run draws the same numbers as an uninterrupted one.
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A generator of random numbers.
pub type Stream = ChaCha8Rng;

/// Stream number `index` for `purpose`, derived from `seed`.
pub fn stream(seed: u64, purpose: &str, index: u64) -> Stream {
    // The purpose is hashed with FNV-1a. ChaCha mixes the key well enough.
    let purpose = purpose.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut key = [0u8; 32];
    for (part, value) in key.chunks_exact_mut(8).zip([seed, purpose, index, 0]) {
        part.copy_from_slice(&value.to_le_bytes());
    }
    Stream::from_seed(key)
}
/// The first number of stream `number` for `purpose`, as a seed for another generator, a plugin's for example.
pub fn derived(seed: u64, purpose: &str, number: u64) -> u64 {
    stream(seed, purpose, number).random()
}
