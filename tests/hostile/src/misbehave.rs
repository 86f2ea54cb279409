//! Misbehavior that hostile guests of all roles share.
use std::hint::black_box;

/// Loops forever.
pub fn spin() -> ! {
    let mut x = 1u64;
    loop {
        x = black_box(x.wrapping_mul(3));
    }
}

/// Overflows the machine's stack.
#[inline(never)]
pub fn recurse(depth: u64) -> u64 {
    if depth == 0 { 0 } else { recurse(depth.wrapping_mul(3) | 1).wrapping_mul(depth) ^ 3 }
}

/// Allocates memory until there is none left.
pub fn hoard() -> ! {
    let mut all = vec![];
    loop {
        all.push(black_box(vec![1u8; 1 << 20]));
    }
}

/// Makes an enormous text.
pub fn tirade() -> String {
    "all work and no play\n".repeat(1 << 18)
}
