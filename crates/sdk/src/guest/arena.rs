//! The guest's allocator. A guest is begun anew for each entry of the log, so what counts is that a small command touches
//! few pages and never grows the memory: the first blocks come out of an arena inside the module's own (zeroed) memory.
//! Blocks have sizes of powers of two, and freed ones are kept in one list for each size. All of it is deterministic.

use std::alloc::Layout;
use std::ptr::{self, NonNull};

/// Bytes of the smallest block, and the alignment of all.
const BLOCK_BYTES_MIN: usize = 16;
/// Sizes of blocks: 16 bytes to 64 MiB, more than which a guest never has.
const SIZES: usize = 23;

/// A stretch of memory: its address and its bytes.
pub(super) type Stretch = (*mut u8, usize);

/// Hands out blocks.
pub(super) struct Arena {
    /// Where the untouched part of the current stretch begins, and how much is left of it.
    fresh: *mut u8,
    fresh_bytes: usize,
    /// The first of the free blocks of each size; each holds the address of the next in its first bytes.
    free: [*mut u8; SIZES],
}

/// Number of the size of block that holds the layout; none when there is none so large.
fn size_of(layout: Layout) -> Option<usize> {
    let bytes = layout.size().max(BLOCK_BYTES_MIN).checked_next_power_of_two()?;
    let number = (bytes.trailing_zeros() - BLOCK_BYTES_MIN.trailing_zeros()) as usize;
    (number < SIZES).then_some(number)
}

impl Arena {
    pub(super) const fn new() -> Self {
        Arena {
            fresh: ptr::null_mut(),
            fresh_bytes: 0,
            free: [ptr::null_mut(); SIZES],
        }
    }

    /// A block for the layout; null when `more` gives no more memory.
    ///
    /// # Safety
    /// What `more(bytes)` gives is at least so many bytes, aligned to 16, valid for ever and nobody else's.
    pub(super) unsafe fn allocate(&mut self, layout: Layout, more: impl FnOnce(usize) -> Option<Stretch>) -> *mut u8 {
        let Some(number) = size_of(layout) else {
            return ptr::null_mut();
        };
        // A block that was freed is only known to be aligned to 16.
        if let Some(block) = NonNull::new(self.free[number]).filter(|_| layout.align() <= BLOCK_BYTES_MIN) {
            // SAFETY: a free block holds the address of the next one, as `free` wrote it.
            self.free[number] = unsafe { block.cast::<*mut u8>().read() };
            return block.as_ptr();
        }
        let bytes = BLOCK_BYTES_MIN << number;
        let mut padding = self.padding(layout);
        if self.fresh_bytes < bytes.saturating_add(padding) {
            let Some((start, len)) = more(bytes.saturating_add(layout.align())) else {
                return ptr::null_mut();
            };
            // A stretch that adjoins is one with what is left; else what is left is given up.
            if self.fresh.wrapping_add(self.fresh_bytes) == start {
                self.fresh_bytes += len;
            } else {
                (self.fresh, self.fresh_bytes) = (start, len);
            }
            padding = self.padding(layout);
        }
        let block = self.fresh.wrapping_add(padding);
        self.fresh = block.wrapping_add(bytes);
        self.fresh_bytes -= padding + bytes;
        block
    }

    /// Bytes to the next address that is aligned for the layout.
    fn padding(&self, layout: Layout) -> usize {
        self.fresh.addr().wrapping_neg() & (layout.align() - 1)
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// `block` came from `allocate` with this layout, and is not used any more.
    pub(super) unsafe fn free(&mut self, block: *mut u8, layout: Layout) {
        if let Some(number) = size_of(layout) {
            // SAFETY: the block is ours again, has at least 16 bytes and is aligned to 16.
            unsafe { block.cast::<*mut u8>().write(self.free[number]) };
            self.free[number] = block;
        }
    }

    /// Whether a block for `layout` also holds `bytes`, so that it need not move.
    pub(super) fn stays(layout: Layout, bytes: usize) -> bool {
        let wanted = Layout::from_size_align(bytes, layout.align());
        wanted.is_ok_and(|wanted| size_of(wanted) == size_of(layout))
    }
}

#[cfg(all(target_arch = "wasm32", feature = "allocator"))]
mod global {
    use super::{Arena, Layout, Stretch};
    use std::alloc::GlobalAlloc;
    use std::cell::UnsafeCell;

    const PAGE_BYTES: usize = 64 << 10;
    const IMAGE_BYTES: usize = 256 << 10;

    #[repr(align(16))]
    struct Image(UnsafeCell<[u8; IMAGE_BYTES]>);
    struct Global(UnsafeCell<(Arena, bool)>);

    // SAFETY: a guest has one thread.
    unsafe impl Sync for Image {}
    // SAFETY: a guest has one thread.
    unsafe impl Sync for Global {}

    /// Zeroed, so it takes no room in the module.
    static IMAGE: Image = Image(UnsafeCell::new([0; IMAGE_BYTES]));

    #[global_allocator]
    static GLOBAL: Global = Global(UnsafeCell::new((Arena::new(), false)));

    /// The image first, then pages that the memory grows by.
    fn more(image_used: &mut bool, bytes: usize) -> Option<Stretch> {
        if !*image_used && bytes <= IMAGE_BYTES {
            *image_used = true;
            return Some((IMAGE.0.get().cast(), IMAGE_BYTES));
        }
        // Four pages at least, as each call of the host's to grow costs more than the pages.
        let pages = bytes.div_ceil(PAGE_BYTES).max(4);
        let before = std::arch::wasm32::memory_grow::<0>(pages);
        // The engine gives the largest number when it grants none.
        (before != usize::MAX).then(|| {
            (
                std::ptr::without_provenance_mut(before * PAGE_BYTES),
                pages * PAGE_BYTES,
            )
        })
    }

    // SAFETY: blocks come from the image and from grown pages, each once; `Arena` hands none out twice.
    unsafe impl GlobalAlloc for Global {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: one thread, and nothing here allocates.
            let (arena, image_used) = unsafe { &mut *self.0.get() };
            // SAFETY: the stretches are those of `more`.
            unsafe { arena.allocate(layout, |bytes| more(image_used, bytes)) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: one thread; the caller's promise is the one asked for.
            unsafe { (*self.0.get()).0.free(block, layout) };
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
            if Arena::stays(layout, bytes) {
                return block;
            }
            // SAFETY: the caller has checked that the size does not overflow with this alignment.
            let wanted = unsafe { Layout::from_size_align_unchecked(bytes, layout.align()) };
            // SAFETY: as for `alloc`.
            let moved = unsafe { self.alloc(wanted) };
            if !moved.is_null() {
                // SAFETY: both blocks hold the smaller of the two sizes, and are two.
                unsafe { std::ptr::copy_nonoverlapping(block, moved, layout.size().min(bytes)) };
                // SAFETY: the caller hands the block over.
                unsafe { self.dealloc(block, layout) };
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(bytes: usize, align: usize) -> Layout {
        Layout::from_size_align(bytes, align).expect("a layout")
    }

    /// An arena over memory that lives as long as the test process.
    struct Fixture {
        arena: Arena,
        asked: Vec<usize>,
    }

    impl Fixture {
        fn new() -> Self {
            Fixture {
                arena: Arena::new(),
                asked: Vec::new(),
            }
        }

        fn allocate(&mut self, layout: Layout) -> *mut u8 {
            let asked = &mut self.asked;
            // SAFETY: leaked memory is valid for ever and nobody else's.
            unsafe {
                self.arena.allocate(layout, |bytes| {
                    asked.push(bytes);
                    let words: &'static mut [u128] = Vec::leak(vec![0_u128; bytes.div_ceil(16).max(64)]);
                    Some((words.as_mut_ptr().cast(), std::mem::size_of_val(words)))
                })
            }
        }

        fn free(&mut self, block: *mut u8, layout: Layout) {
            // SAFETY: the tests hand in what they got.
            unsafe { self.arena.free(block, layout) };
        }
    }

    #[test]
    fn a_freed_block_is_handed_out_again() {
        let mut fixture = Fixture::new();
        let first = fixture.allocate(layout(100, 8));
        let second = fixture.allocate(layout(100, 8));
        assert_ne!(first, second);
        fixture.free(first, layout(100, 8));
        fixture.free(second, layout(100, 8));
        assert_eq!(fixture.allocate(layout(65, 1)), second);
        assert_eq!(fixture.allocate(layout(128, 16)), first);
        assert_eq!(fixture.asked.len(), 1, "one stretch was enough");
    }

    #[test]
    fn blocks_do_not_overlap_and_are_aligned() {
        let mut fixture = Fixture::new();
        let mut held: Vec<(usize, usize)> = Vec::new();
        let mut number: u32 = 7;
        for _ in 0..2000 {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let layout = layout((number >> 8) as usize % 700, 1 << ((number >> 24) % 8));
            let block = fixture.allocate(layout);
            assert_eq!(block.addr() % layout.align(), 0);
            if number.is_multiple_of(3) {
                fixture.free(block, layout);
            } else {
                held.push((block.addr(), block.addr() + layout.size()));
            }
        }
        held.sort_unstable();
        assert!(held.windows(2).all(|pair| pair[0].1 <= pair[1].0));
    }

    #[test]
    fn a_block_stays_where_its_size_holds_the_new_length() {
        assert!(Arena::stays(layout(17, 1), 32));
        assert!(!Arena::stays(layout(17, 1), 33));
        assert!(!Arena::stays(layout(17, 1), usize::MAX));
    }

    #[test]
    fn what_no_block_holds_is_refused() {
        let mut fixture = Fixture::new();
        assert!(fixture.allocate(layout(64 << 20, 1)).addr() != 0);
        assert!(fixture.allocate(layout((64 << 20) + 1, 1)).is_null());
    }
}
