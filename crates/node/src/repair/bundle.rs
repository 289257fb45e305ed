use std::path::{Path, PathBuf};

use store::snapshot::{SNAPSHOT_FILE, STREAMS_DIRECTORY};

/// Where what comes from another node is put, within the data directory.
pub const INCOMING: &str = "incoming";

/// A snapshot with those segments of streams that are not in place yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The snapshot's file.
    pub snapshot: PathBuf,
    /// A directory of segments, one directory for each stream.
    pub streams: PathBuf,
}

impl Bundle {
    /// The one that lies in `directory`.
    pub fn at(directory: &Path) -> Bundle {
        Bundle {
            snapshot: directory.join(SNAPSHOT_FILE),
            streams: directory.join(STREAMS_DIRECTORY),
        }
    }
}
