//! Whose log and snapshot a directory holds that is a copy for replay, and what the node said of its digest. A directory
//! with such a file is no node's: nobody may serve from it.

use std::path::Path;

use environment::Disk;
use machine::{ClusterId, Index, NodeId, StateDigest, record};

use super::{COPIED, Error, whole};
use crate::limits::COPIED_BYTES_MAX;

/// Name of the file in a directory.
pub const COPIED_FILE: &str = "copied";

/// Whose log and snapshot it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copied {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node that it was copied off.
    pub node: NodeId,
    /// The last entry that was copied, which the node knew to be committed.
    pub last: Index,
    /// What that node said of its digest.
    pub said: Vec<Said>,
}
record!(Copied {
    cluster,
    node,
    last,
    said
});

/// What a node said of its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// As of which entry.
    pub index: Index,
    /// The digest.
    pub digest: StateDigest,
}
record!(Said { index, digest });

/// What the directory is a copy of; none when it is no copy.
///
/// # Errors
/// See [`Error`].
pub fn read(disk: &(dyn Disk + 'static), directory: &Path) -> Result<Option<Copied>, Error> {
    whole::read(&COPIED, disk, &directory.join(COPIED_FILE), COPIED_BYTES_MAX)
}

/// Makes the directory a copy, durably.
///
/// # Errors
/// [`Error::Disk`].
pub fn write(disk: &(dyn Disk + 'static), directory: &Path, copied: &Copied) -> Result<(), Error> {
    whole::write(&COPIED, disk, &directory.join(COPIED_FILE), copied)
}

#[cfg(test)]
mod tests {
    use environment::real::RealDisk;

    use super::*;

    #[test]
    fn what_was_written_is_read_and_every_flipped_or_missing_byte_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(&RealDisk, directory.path()), Ok(None));
        let copied = Copied {
            cluster: ClusterId(7),
            node: NodeId(2),
            last: Index(301),
            said: vec![Said {
                index: Index(300),
                digest: StateDigest { rows: 1, history: 2 },
            }],
        };
        write(&RealDisk, directory.path(), &copied).unwrap();
        assert_eq!(read(&RealDisk, directory.path()), Ok(Some(copied)));
        let path = directory.path().join(COPIED_FILE);
        whole::every_wrong_byte_is_noticed(&path, || read(&RealDisk, directory.path()).is_err());
    }

    #[test]
    fn a_file_past_the_limit_is_not_even_read() {
        let directory = tempfile::tempdir().unwrap();
        for (bytes, read_at_all) in [(COPIED_BYTES_MAX, true), (COPIED_BYTES_MAX + 1, false)] {
            let mut whole = COPIED.prefix().to_vec();
            whole.resize(bytes, 0);
            std::fs::write(directory.path().join(COPIED_FILE), whole).unwrap();
            let error = read(&RealDisk, directory.path()).unwrap_err();
            assert_eq!(matches!(error, Error::Unreadable { .. }), read_at_all, "{error}");
        }
    }
}
