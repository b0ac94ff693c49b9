//! An allocator that zeroes what is freed, and the one under it.
//!
//! It covers what no type of our own holds: buffers of TLS, HTTP and JSON libraries. Set it in a
//! `main.rs`, never in a library:
//!
//! ```
//! use dauth_enclave::allocator::Zeroizing;
//!
//! #[global_allocator]
//! static ALLOCATOR: Zeroizing<std::alloc::System> = Zeroizing(std::alloc::System);
//! # fn main() { drop(vec![1u8; 64]); }
//! ```
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys::{mi_free, mi_malloc_aligned, mi_zalloc_aligned};

/// Zeroes every block on free, then hands it to the allocator inside.
pub struct Zeroizing<A>(pub A);

// `realloc` is left to its default (allocate, copy, free): the inner allocator's own would move
// the memory and leave the old block as it was.
//
// SAFETY: every call is passed to the inner allocator with the layout that it came with, and a
// block is written only between the caller giving it up and the inner allocator taking it back.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Zeroizing<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `GlobalAlloc::alloc`.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `GlobalAlloc::alloc_zeroed`.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is live, `layout.size()` bytes long, and nobody else's any more.
        unsafe { zero(block, layout.size()) };
        // SAFETY: the caller upholds the contract of `GlobalAlloc::dealloc`.
        unsafe { self.0.dealloc(block, layout) };
    }
}

/// mimalloc, without a `realloc` of its own: there is no way to move a block that leaves the old one
/// as it was, wrapped or not.
pub struct MiMalloc;

// SAFETY: blocks are mimalloc's, aligned as asked, and null where there is no memory.
unsafe impl GlobalAlloc for MiMalloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the alignment of a layout is a power of two, its size no more than isize::MAX.
        unsafe { mi_malloc_aligned(layout.size(), layout.align()).cast() }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { mi_zalloc_aligned(layout.size(), layout.align()).cast() }
    }

    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the caller gives back a block of this allocator, once.
        unsafe { mi_free(block.cast()) }
    }
}

/// # Safety
/// `block` must be valid for writes of `size` bytes.
unsafe fn zero(block: *mut u8, size: usize) {
    #[cfg(mutations)]
    if crate::mutation::Mutation::NoWiping.is_chosen() {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe { block.write_bytes(0, size) };
    // The writes are to memory about to be freed: without this the compiler may leave them out.
    core::hint::black_box(block);
    core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use std::{
        alloc::System,
        sync::atomic::{AtomicBool, Ordering},
    };

    use super::*;

    static SAW_ZEROES: AtomicBool = AtomicBool::new(false);

    /// Looks at each block as it is freed.
    struct Inspecting;

    // SAFETY: every call is passed on to the system's allocator; the block is only read.
    unsafe impl GlobalAlloc for Inspecting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's promise.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the block is live until it is passed on.
            let bytes = unsafe { core::slice::from_raw_parts(block, layout.size()) };
            SAW_ZEROES.store(bytes.iter().all(|b| *b == 0), Ordering::Relaxed);
            // SAFETY: the caller's promise.
            unsafe { System.dealloc(block, layout) }
        }
    }

    #[test]
    fn freed_and_moved_blocks_are_zero() {
        let allocator = Zeroizing(Inspecting);
        let layout = Layout::from_size_align(100, 8).unwrap();
        for grow in [None, Some(200)] {
            SAW_ZEROES.store(false, Ordering::Relaxed);
            // SAFETY: allocated, written within bounds, and freed with its own layout.
            unsafe {
                let block = allocator.alloc(layout);
                assert!(!block.is_null());
                block.write_bytes(0xa5, 100);
                match grow {
                    None => allocator.dealloc(block, layout),
                    Some(size) => {
                        let block = allocator.realloc(block, layout, size);
                        assert!(SAW_ZEROES.load(Ordering::Relaxed), "moved without wiping");
                        allocator.dealloc(block, Layout::from_size_align(size, 8).unwrap());
                    }
                }
            }
            assert!(SAW_ZEROES.load(Ordering::Relaxed));
        }
    }

    #[test]
    fn mimalloc_gives_what_a_layout_asks_for() {
        for (size, align) in [(1, 1), (100, 64), (70_000, 4096)] {
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: written within bounds, and freed once, with its own layout.
            unsafe {
                let block = MiMalloc.alloc(layout);
                assert!(!block.is_null() && (block as usize).is_multiple_of(align));
                block.write_bytes(0xa5, size);
                MiMalloc.dealloc(block, layout);
                let zeroed = MiMalloc.alloc_zeroed(layout);
                assert!(!zeroed.is_null() && (zeroed as usize).is_multiple_of(align));
                let bytes = core::slice::from_raw_parts(zeroed, size);
                assert!(bytes.iter().all(|b| *b == 0));
                MiMalloc.dealloc(zeroed, layout);
            }
        }
    }
}
