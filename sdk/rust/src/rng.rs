//! The random number generator that environments and learners draw from.
/// The random stream of one copy: SplitMix64 (Steele, Lea and Flood, 2014).
///
/// It is small, fast and the same on every platform, and its whole state is one number, which makes snapshots easy. The
/// seed is mixed first, so that the streams of neighboring seeds start far apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng(u64);

impl Rng {
    /// Starts the stream of `seed`.
    pub fn seeded(seed: u64) -> Self {
        Rng(mix(seed ^ 0x5851_f42d_4c95_7f2d))
    }

    /// Draws 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Draws uniformly from `[0, 1)`, with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Draws uniformly from `[low, high)`.
    pub fn uniform_in(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Draws uniformly from `0..n`, without modulo bias. Returns 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        let rest = n.wrapping_neg().checked_rem(n).unwrap_or(0);
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(n);
            if wide as u64 >= rest {
                return (wide >> 64) as u64;
            }
        }
    }

    pub(crate) fn state(&self) -> u64 {
        self.0
    }

    pub(crate) fn from_state(state: u64) -> Self {
        Rng(state)
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_splitmix64() {
        // The first outputs of the reference implementation from state 0.
        let mut rng = Rng::from_state(0);
        assert_eq!(rng.next_u64(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(rng.next_u64(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn is_uniform() {
        let mut rng = Rng::seeded(1);
        let mean = (0..100_000).map(|_| rng.uniform_in(-1.0, 3.0)).sum::<f64>() / 1e5;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        let mut counts = [0u32; 5];
        (0..100_000).for_each(|_| counts[rng.below(5) as usize] += 1);
        assert!(counts.iter().all(|c| c.abs_diff(20_000) < 600), "{counts:?}");
        assert_eq!(rng.below(0), 0);
    }
}
