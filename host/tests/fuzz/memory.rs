//! An allocator that counts, to measure the memory that loading a file takes.
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, which counts the bytes of each thread.
pub(crate) struct Counted;

thread_local! {
    /// The bytes that this thread has, and the most it had since [`begin`]. Memory may be freed by another thread, so the
    /// first can be below 0.
    static USED: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(change: isize) {
    // A thread that is ending has no counter any more.
    let _ = USED.try_with(|used| {
        let (now, most) = used.get();
        used.set((now + change, most.max(now + change)));
    });
}

/// Starts to measure this thread.
pub(crate) fn begin() {
    USED.set((0, 0));
}

/// The most bytes that this thread had at once since [`begin`].
pub(crate) fn most() -> usize {
    USED.get().1.unsigned_abs()
}

// SAFETY: this is the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
