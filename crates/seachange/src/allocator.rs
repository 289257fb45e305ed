//! How the system's allocator is told to behave.

/// Lets what is freed be merged with its neighbours at once. To be called before the first thread is started.
///
/// glibc gathers small pieces of memory unmerged, and merges all of them within one later allocation. When a thread gives
/// back the rows of a large checkpoint, that one was the applier's, and took it up to 400 ms with a million rows.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)] // The allocator has no other interface.
pub fn tune() {
    // SAFETY: it sets a number of the allocator's own, and there is one thread. It cannot fail for 0, mallopt(3).
    unsafe { libc::mallopt(libc::M_MXFAST, 0) };
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn tune() {}
