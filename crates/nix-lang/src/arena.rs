//! The memory of one evaluator: allocated by moving a pointer, freed all at once.
//!
//! Everything here is eight-byte aligned and is never dropped, so only plain data may be put in. Large chunks are aligned for huge pages,
//! which the kernel is asked to use: a big evaluation then faults in dozens of pages instead of tens of thousands. (The
//! crate `bumpalo` has the same interface but lets its chunks neither be aligned nor be advised on, and doubles their size.)

use std::alloc::{alloc, dealloc, handle_alloc_error, Layout};
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// A huge page of x86-64 and of most others.
const HUGE: usize = 2 << 20;
/// The first chunk is small, for the many evaluations that are.
const FIRST: usize = 256 << 10;
const CHUNK: usize = 8 << 20;

/// Most of what the machine has, so that a program without end gets an error and the machine's other programs do not get the kernel's wrath.
pub fn memory_to_use() -> usize {
    // SAFETY: asks for two numbers.
    let (pages, size) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    match (usize::try_from(pages), usize::try_from(size)) {
        (Ok(pages), Ok(size)) if pages > 0 => pages.saturating_mul(size) / 5 * 4,
        _ => usize::MAX,
    }
}

pub struct Arena {
    next: Cell<usize>,
    end: Cell<usize>,
    chunks: RefCell<Vec<(NonNull<u8>, Layout)>>,
    /// Bytes handed out from chunks that are full.
    full: Cell<usize>,
    start: Cell<usize>,
    /// What may be handed out in all.
    limit: usize,
    /// Raised when more than `limit` is handed out: the memory itself is given all the same, and who watches the flag stops soon after.
    alarm: Arc<AtomicBool>,
}

impl Default for Arena {
    fn default() -> Self {
        Arena::new()
    }
}

impl Arena {
    pub fn new() -> Arena {
        Arena::with_limit(usize::MAX, Arc::default())
    }

    /// An arena that raises `alarm` when it has handed out more than `limit` bytes.
    pub fn with_limit(limit: usize, alarm: Arc<AtomicBool>) -> Arena {
        let zero = || Cell::new(0);
        Arena { next: zero(), end: zero(), chunks: RefCell::new(Vec::new()), full: zero(), start: zero(), limit, alarm }
    }

    /// How many bytes may still be handed out.
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.used())
    }

    /// Bytes handed out so far.
    pub fn used(&self) -> usize {
        self.full.get() + self.next.get() - self.start.get()
    }

    #[inline(always)]
    fn raw(&self, size: usize) -> *mut u8 {
        let size = (size + 7) & !7;
        let at = self.next.get();
        if size > self.end.get() - at {
            return self.raw_slow(size);
        }
        self.next.set(at + size);
        at as *mut u8
    }

    #[cold]
    #[inline(never)]
    fn raw_slow(&self, size: usize) -> *mut u8 {
        let first = self.chunks.borrow().is_empty();
        if size > CHUNK / 4 {
            // On its own, so that the rest of the current chunk is not lost.
            self.full.set(self.full.get() + size);
            // What lies before it may be referred to from it, so that must not look like the last thing allocated any more.
            self.next.set((self.next.get() + 8).min(self.end.get()));
            if self.next.get() == self.end.get() {
                self.full.set(self.full.get() + self.next.get() - self.start.get());
                for cell in [&self.start, &self.next, &self.end] {
                    cell.set(0);
                }
            }
            return self.chunk(size, 8).as_ptr();
        }
        let (len, align) = if first { (FIRST, 8) } else { (CHUNK, HUGE) };
        let len = len.max(size);
        let chunk = self.chunk(len, align).as_ptr() as usize;
        self.full.set(self.full.get() + self.next.get() - self.start.get());
        self.start.set(chunk);
        self.next.set(chunk + size);
        self.end.set(chunk + len);
        chunk as *mut u8
    }

    fn chunk(&self, len: usize, align: usize) -> NonNull<u8> {
        let layout = Layout::from_size_align(len, align).expect("a chunk's size fits the address space");
        // SAFETY: the size is not zero.
        let Some(chunk) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        #[cfg(target_os = "linux")]
        if align == HUGE {
            // SAFETY: the range is ours; advice that the kernel does not take is no error.
            unsafe { libc::madvise(chunk.as_ptr().cast(), len, libc::MADV_HUGEPAGE) };
        }
        self.chunks.borrow_mut().push((chunk, layout));
        if self.used() > self.limit {
            self.alarm.store(true, Ordering::Relaxed);
        }
        chunk
    }

    #[inline(always)]
    #[allow(clippy::mut_from_ref)] // each call gives other memory
    pub fn alloc<T>(&self, value: T) -> &mut T {
        const { assert!(std::mem::align_of::<T>() <= 8 && std::mem::size_of::<T>() > 0) };
        let at = self.raw(std::mem::size_of::<T>()) as *mut T;
        // SAFETY: the memory is fresh, large enough and aligned.
        unsafe {
            at.write(value);
            &mut *at
        }
    }

    /// Takes the last `n` words back, if they are at `start` and nothing has been allocated since.
    #[inline(always)]
    pub(crate) fn take_back(&self, start: *mut u64, n: usize) {
        if self.next.get() == start as usize + n * 8 {
            self.next.set(start as usize);
        }
    }

    /// Memory for `n` words, not initialised.
    #[inline(always)]
    pub fn alloc_words(&self, n: usize) -> *mut u64 {
        self.raw(n * 8) as *mut u64
    }

    #[allow(clippy::mut_from_ref)]
    pub fn alloc_slice_copy<T: Copy>(&self, items: &[T]) -> &mut [T] {
        const { assert!(std::mem::align_of::<T>() <= 8) };
        if items.is_empty() {
            return &mut [];
        }
        let at = self.raw(std::mem::size_of_val(items)) as *mut T;
        // SAFETY: as in `alloc`; the two do not overlap.
        unsafe {
            std::ptr::copy_nonoverlapping(items.as_ptr(), at, items.len());
            std::slice::from_raw_parts_mut(at, items.len())
        }
    }

    #[allow(clippy::mut_from_ref)]
    pub fn alloc_slice_fill_iter<T, I>(&self, items: I) -> &mut [T]
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: ExactSizeIterator,
    {
        const { assert!(std::mem::align_of::<T>() <= 8) };
        let items = items.into_iter();
        let len = items.len();
        if len == 0 {
            return &mut [];
        }
        let at = self.raw(len * std::mem::size_of::<T>()) as *mut T;
        let mut written = 0;
        for item in items.take(len) {
            // SAFETY: `written` is below `len`.
            unsafe { at.add(written).write(item) };
            written += 1;
        }
        // SAFETY: only what was written is in the slice.
        unsafe { std::slice::from_raw_parts_mut(at, written) }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for (chunk, layout) in self.chunks.get_mut().drain(..) {
            // SAFETY: made by `alloc` with this layout.
            unsafe { dealloc(chunk.as_ptr(), layout) };
        }
    }
}
