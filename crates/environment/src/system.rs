use std::io;
use std::path::Path;
use std::time::Duration;

/// What the process has used and uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Memory that it holds, bytes.
    pub resident_bytes: u64,
    /// Processor time since it began, in all its threads.
    pub cpu: Duration,
    /// Files and sockets that it has open.
    pub files_open: u64,
    /// Files and sockets that it may have open.
    pub files_max: u64,
    /// Threads.
    pub threads: u64,
}

/// The process and the machine under it, as the operating system sees them. Only for showing: nothing may be decided by
/// it that is in the log.
pub trait System: Send + Sync {
    /// What the process uses.
    ///
    /// # Errors
    /// The system does not say.
    fn usage(&self) -> io::Result<Usage>;

    /// Bytes of the file system that holds `path`, free or not. How many are free is [`Disk::free_bytes`](crate::Disk::free_bytes).
    ///
    /// # Errors
    /// The system does not say.
    fn disk_bytes(&self, path: &Path) -> io::Result<u64>;
}
