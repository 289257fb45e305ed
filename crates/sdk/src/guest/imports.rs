use super::reader;
use crate::{Host, scan::PAGE_BYTES};

/// Length that stands for "no key" and "no end".
const NONE: usize = usize::MAX;
/// What a document's buffer begins with.
const DOCUMENT_BYTES: usize = 1 << 10;

#[link(wasm_import_module = "app_1")]
unsafe extern "C" {
    fn get(
        table: *const u8,
        table_len: usize,
        key: *const u8,
        key_len: usize,
        out: *mut u8,
        out_capacity: usize,
    ) -> i64;
    fn put(
        table: *const u8,
        table_len: usize,
        key: *const u8,
        key_len: usize,
        document: *const u8,
        document_len: usize,
    );
    fn delete(table: *const u8, table_len: usize, key: *const u8, key_len: usize);
    fn scan(
        table: *const u8,
        table_len: usize,
        start: *const u8,
        start_len: usize,
        end: *const u8,
        end_len: usize,
        limit: u32,
        reverse: u32,
        out: *mut u8,
        out_capacity: usize,
    ) -> i64;
    fn emit(stream: *const u8, stream_len: usize, key: *const u8, key_len: usize, value: *const u8, value_len: usize);
    safe fn time() -> u64;
    safe fn index() -> u64;
    safe fn random() -> u64;
}

/// The host as the guest's imports show it.
pub(super) struct Imports {
    /// Pages of scans, kept from one to the next.
    page: Vec<u8>,
}

impl Imports {
    pub(super) const fn new() -> Self {
        Imports { page: Vec::new() }
    }
}

/// Lets `fill` write into the whole capacity of `out`, and again into a larger one when it says that it needs that, and
/// sets the length to what was written. `fill` gives the bytes written, or those needed when that is more than it had.
fn fill(out: &mut Vec<u8>, capacity: usize, fill: &mut dyn FnMut(*mut u8, usize) -> usize) {
    out.clear();
    out.reserve(capacity);
    loop {
        let written = fill(out.as_mut_ptr(), out.capacity());
        if written <= out.capacity() {
            // SAFETY: the host has written so many bytes from the beginning of the buffer, which holds them.
            unsafe { out.set_len(written) };
            return;
        }
        out.reserve(written);
    }
}

/// A length that came from the host; it cannot be past the address space.
fn length(bytes: i64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

// In all calls below: each pointer stands with the length of the slice or buffer it comes from, and the host keeps none.
impl Host for Imports {
    fn get(&mut self, table: &str, key: &[u8], document: &mut Vec<u8>) -> bool {
        let mut found = true;
        fill(document, DOCUMENT_BYTES, &mut |out, capacity| {
            // SAFETY: see above.
            let len = unsafe { get(table.as_ptr(), table.len(), key.as_ptr(), key.len(), out, capacity) };
            found = len >= 0;
            if found { length(len) } else { 0 }
        });
        found
    }

    fn put(&mut self, table: &str, key: &[u8], document: &[u8]) {
        // SAFETY: see above.
        unsafe {
            put(
                table.as_ptr(),
                table.len(),
                key.as_ptr(),
                key.len(),
                document.as_ptr(),
                document.len(),
            );
        }
    }

    fn delete(&mut self, table: &str, key: &[u8]) {
        // SAFETY: see above.
        unsafe { delete(table.as_ptr(), table.len(), key.as_ptr(), key.len()) };
    }

    fn scan(
        &mut self,
        table: &str,
        start: &[u8],
        end: Option<&[u8]>,
        limit: u32,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) {
        let (end, end_len) = end.map_or((std::ptr::null(), NONE), |end| (end.as_ptr(), end.len()));
        fill(&mut self.page, PAGE_BYTES, &mut |out, capacity| {
            // SAFETY: see above.
            let written = unsafe {
                scan(
                    table.as_ptr(),
                    table.len(),
                    start.as_ptr(),
                    start.len(),
                    end,
                    end_len,
                    limit,
                    u32::from(reverse),
                    out,
                    capacity,
                )
            };
            // Below zero: not even one pair fits, and so many bytes are needed.
            length(written.saturating_abs())
        });
        if reader::pairs(&self.page, visit).is_none() {
            std::process::abort();
        }
    }

    fn emit(&mut self, stream: &str, key: Option<&[u8]>, value: &[u8]) {
        let (key, key_len) = key.map_or((std::ptr::null(), NONE), |key| (key.as_ptr(), key.len()));
        // SAFETY: see above.
        unsafe {
            emit(stream.as_ptr(), stream.len(), key, key_len, value.as_ptr(), value.len());
        }
    }

    fn time(&mut self) -> u64 {
        time()
    }

    fn index(&mut self) -> u64 {
        index()
    }

    fn random(&mut self) -> u64 {
        random()
    }
}
