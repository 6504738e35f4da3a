//! The guest's heap.
//!
//! The same allocator as std's, but it begins in an arena inside the module's first memory. std's asks for more memory
//! with its first allocation, and for the host that means changing the protection of pages twice an attempt: measured,
//! a third of what a short job costs. Most jobs never leave the arena.

#![expect(unsafe_code, reason = "a global allocator")]

use core::{
    alloc::{GlobalAlloc, Layout},
    arch::wasm32::memory_grow,
    cell::{Cell, UnsafeCell},
    ptr,
};

use dlmalloc::{Allocator, Dlmalloc};

const PAGE: usize = 64 << 10;
const ARENA: usize = 96 << 10;

/// All zeros, so it costs nothing in the file.
#[repr(align(16))]
struct Arena(UnsafeCell<[u8; ARENA]>);

// SAFETY: components without threads have one thread.
unsafe impl Sync for Arena {}

static FIRST: Arena = Arena(UnsafeCell::new([0; ARENA]));

struct Memory {
    first_given: Cell<bool>,
}

// SAFETY: every range that `alloc` gives out is mapped, not used by anything else, and given out once.
unsafe impl Allocator for Memory {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        if size <= ARENA && !self.first_given.replace(true) {
            return (FIRST.0.get().cast(), ARENA, 0);
        }
        let pages = size.div_ceil(PAGE);
        match memory_grow::<0>(pages) {
            usize::MAX => (ptr::null_mut(), 0, 0),
            before => (ptr::without_provenance_mut(before * PAGE), pages * PAGE, 0),
        }
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE
    }
}

struct Heap(UnsafeCell<Dlmalloc<Memory>>);

// SAFETY: as above.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap = Heap(UnsafeCell::new(Dlmalloc::new_with_allocator(Memory { first_given: Cell::new(false) })));

impl Heap {
    #[expect(clippy::mut_from_ref, reason = "one thread, and dlmalloc calls nothing that comes back here")]
    fn inner(&self) -> &mut Dlmalloc<Memory> {
        // SAFETY: one thread, and no call into the allocator is open while another begins.
        unsafe { &mut *self.0.get() }
    }
}

// SAFETY: dlmalloc keeps the contract of `GlobalAlloc`; pointers and layouts are passed on as they come.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: see the impl.
        unsafe { self.inner().malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: see the impl.
        unsafe { self.inner().calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: see the impl.
        unsafe { self.inner().free(ptr, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: see the impl.
        unsafe { self.inner().realloc(ptr, layout.size(), layout.align(), new_size) }
    }
}
