//! What every hostile guest can do, whatever its role.
use std::hint::black_box;

/// Never ends.
pub fn spin() -> ! {
    let mut x = 1u64;
    loop {
        x = black_box(x.wrapping_mul(3));
    }
}

/// Fills the machine's stack.
#[inline(never)]
pub fn recurse(depth: u64) -> u64 {
    if depth == 0 { 0 } else { recurse(depth.wrapping_mul(3) | 1).wrapping_mul(depth) ^ 3 }
}

/// Takes memory until there is none.
pub fn hoard() -> ! {
    let mut all = vec![];
    loop {
        all.push(black_box(vec![1u8; 1 << 20]));
    }
}

/// A text that nobody wants to read.
pub fn tirade() -> String {
    "all work and no play\n".repeat(1 << 18)
}
