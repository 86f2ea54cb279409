//! How a product is divided among blocks of threads.

/// A block computes `m × n` numbers, `tm × tn` each thread, from `k` numbers of the sum at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tile {
    pub(super) m: u32,
    pub(super) n: u32,
    pub(super) k: u32,
    /// Multiples of 4, as `tn`: a thread's numbers are fours that lie a whole tile apart.
    pub(super) tm: u32,
    pub(super) tn: u32,
}

impl Tile {
    pub(super) fn threads(self) -> u32 {
        (self.m / self.tm) * (self.n / self.tn)
    }

    fn blocks(self, [m, n, _]: [u32; 3], batches: u32) -> u64 {
        u64::from(m.div_ceil(self.m)) * u64::from(n.div_ceil(self.n)) * u64::from(batches)
    }

    /// The most parts that a sum over `k` is worth splitting into.
    fn most_splits(self, k: u32) -> u64 {
        u64::from(k.div_ceil(4 * self.k).max(1))
    }

    /// The instructions of a block for each number of the sum: products, loads from shared memory, and loads from
    /// memory, each of which takes some five to find its place.
    fn cost(self) -> u64 {
        u64::from(self.m * self.n + self.threads() * (self.tm + self.tn) + 5 * (self.m + self.n))
    }
}

const fn tile(m: u32, n: u32, tm: u32, tn: u32) -> Tile {
    Tile { m, n, k: 16, tm, tn }
}

const TILES: [Tile; 11] = [
    tile(64, 128, 8, 8),
    tile(128, 64, 8, 8),
    tile(64, 64, 8, 4),
    tile(32, 128, 4, 8),
    tile(128, 32, 8, 4),
    tile(32, 32, 4, 4),
    tile(16, 128, 4, 4),
    tile(128, 16, 4, 4),
    tile(16, 64, 4, 4),
    tile(64, 16, 4, 4),
    tile(16, 32, 4, 4),
];

/// Blocks that keep every multiprocessor of a large GPU busy.
const BUSY: u64 = 528;

/// The tile that takes a product of `[m, n, k]` the least time, and into how many parts it splits the sums.
pub(super) fn choose(sizes: [u32; 3], batches: u32) -> (Tile, u32) {
    // The work of all blocks, and the more of it the fewer blocks share it.
    let time = |tile: &Tile| {
        let blocks = tile.blocks(sizes, batches).max(1);
        let busy = (blocks * tile.most_splits(sizes[2])).min(BUSY);
        blocks * tile.cost() * BUSY / busy
    };
    let tile = TILES.into_iter().min_by_key(time).unwrap_or(TILES[0]);
    let splits = (BUSY / tile.blocks(sizes, batches).max(1)).clamp(1, tile.most_splits(sizes[2]));
    (tile, splits as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_made_of_whole_threads() {
        for tile in TILES {
            let threads = tile.threads();
            assert!(threads.is_multiple_of(32) && threads <= 256, "{tile:?}");
            assert!([tile.tm, tile.tn].iter().all(|t| t.is_multiple_of(4)), "{tile:?}");
            // Each thread loads equally many numbers of each operand.
            assert!((tile.m * tile.k).is_multiple_of(threads), "{tile:?}");
            assert!((tile.n * tile.k).is_multiple_of(threads), "{tile:?}");
            // What the poorest device has.
            assert!((tile.m + 4 + tile.n + 4) * tile.k * 4 <= 16384, "{tile:?}");
        }
    }

    #[test]
    fn little_of_a_tile_is_wasted() {
        for m in [1, 6, 9, 16, 20, 32, 64, 100, 512] {
            for n in [1, 6, 9, 16, 20, 32, 64, 100, 512, 50_000] {
                let (tile, _) = choose([m, n, 512], 1);
                let computed = tile.blocks([m, n, 512], 1) * u64::from(tile.m * tile.n);
                // 16 is the smallest side.
                let needed = u64::from(m.next_multiple_of(16)) * u64::from(n.next_multiple_of(16));
                assert!(computed <= 3 * needed, "{m} × {n}: {tile:?}");
            }
        }
    }

    #[test]
    fn large_products_get_large_tiles_and_small_ones_are_split() {
        let (tile, splits) = choose([64, 800_000, 256], 1);
        assert_eq!((tile.tm, tile.tn, splits), (8, 8, 1));
        // The weight gradient of a first convolution: few results, each a sum of very many products.
        let (tile, splits) = choose([32, 256, 100_000], 1);
        assert!(tile.blocks([32, 256, 0], 1) * u64::from(splits) > BUSY / 2, "{tile:?} {splits}");
        // A sum is never split into parts of nothing.
        assert_eq!(choose([9, 9, 3], 1).1, 1);
        assert_eq!(choose([9, 9, 0], 1).1, 1);
    }
}
