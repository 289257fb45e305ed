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

/// Room on the disk that holds a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// Bytes that this process may still write.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// The process and the machine under it, as the operating system sees them. Only for showing: nothing may be decided by
/// it that is in the log.
pub trait System: Send + Sync {
    /// What the process uses.
    ///
    /// # Errors
    /// The system does not say.
    fn usage(&self) -> io::Result<Usage>;

    /// Room on the disk that holds `path`.
    ///
    /// # Errors
    /// The system does not say.
    fn space(&self, path: &Path) -> io::Result<Space>;
}
