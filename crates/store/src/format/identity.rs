//! The identity file of a data directory.

use std::path::Path;

use environment::Disk;
use machine::{ClusterId, NodeId};

use super::{Error, Format, IDENTITY};
use crate::limits::IDENTITY_BYTES_MAX;

/// Name of the identity file in a data directory.
pub const IDENTITY_FILE: &str = "identity";

/// Whose a data directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredIdentity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node; zero as long as the cluster has not given one.
    pub node: NodeId,
    /// Drawn when the directory was made.
    pub nonce: u64,
}

const BODY: usize = Format::PREFIX_BYTES;
const BYTES: usize = BODY + 24 + 4;

/// The identity of the data directory `directory`; none when it has none yet.
///
/// # Errors
/// See [`Error`].
pub fn read(disk: &(dyn Disk + 'static), directory: &Path) -> Result<Option<StoredIdentity>, Error> {
    let path = directory.join(IDENTITY_FILE);
    let failed = |error: std::io::Error| Error::Disk {
        file: path.clone(),
        detail: error.to_string(),
    };
    if !disk.exists(&path).map_err(failed)? {
        return Ok(None);
    }
    let bytes = disk.read_whole(&path, IDENTITY_BYTES_MAX).map_err(failed)?;
    IDENTITY.check(&bytes, &path)?;
    if bytes.len() != BYTES {
        let detail = format!("it has {} bytes instead of {BYTES}", bytes.len());
        return Err(IDENTITY.unreadable(&path, detail));
    }
    let (content, checksum) = bytes.split_at(BYTES - 4);
    if crc32c::crc32c(content).to_le_bytes() != *checksum {
        return Err(IDENTITY.unreadable(&path, "its checksum is wrong"));
    }
    let number = |at: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&content[BODY + at..BODY + at + 8]);
        u64::from_le_bytes(eight)
    };
    Ok(Some(StoredIdentity {
        cluster: ClusterId(number(0)),
        node: NodeId(number(8)),
        nonce: number(16),
    }))
}

/// Gives the data directory an identity, durably: after a crash it has the old or the new one.
///
/// # Errors
/// [`Error::Disk`].
pub fn write(disk: &(dyn Disk + 'static), directory: &Path, identity: &StoredIdentity) -> Result<(), Error> {
    let path = directory.join(IDENTITY_FILE);
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.extend_from_slice(&IDENTITY.prefix());
    bytes.extend_from_slice(&identity.cluster.0.to_le_bytes());
    bytes.extend_from_slice(&identity.node.0.to_le_bytes());
    bytes.extend_from_slice(&identity.nonce.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    disk.write_whole(&path, &bytes).map_err(|error| Error::Disk {
        file: path.clone(),
        detail: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use environment::real::RealDisk;

    use super::super::whole;
    use super::*;

    const IDENTITY_OF_ONE: StoredIdentity = StoredIdentity {
        cluster: ClusterId(7),
        node: NodeId(2),
        nonce: 99,
    };

    #[test]
    fn what_was_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(&RealDisk, directory.path()), Ok(None));
        write(&RealDisk, directory.path(), &IDENTITY_OF_ONE).unwrap();
        assert_eq!(read(&RealDisk, directory.path()), Ok(Some(IDENTITY_OF_ONE)));
        let other = StoredIdentity {
            node: NodeId(3),
            ..IDENTITY_OF_ONE
        };
        write(&RealDisk, directory.path(), &other).unwrap();
        assert_eq!(read(&RealDisk, directory.path()), Ok(Some(other)));
    }

    #[test]
    fn every_flipped_or_missing_byte_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        write(&RealDisk, directory.path(), &IDENTITY_OF_ONE).unwrap();
        let path = directory.path().join(IDENTITY_FILE);
        whole::every_wrong_byte_is_noticed(&path, || read(&RealDisk, directory.path()).is_err());
    }

    #[test]
    fn a_newer_format_says_so() {
        let directory = tempfile::tempdir().unwrap();
        write(&RealDisk, directory.path(), &IDENTITY_OF_ONE).unwrap();
        let path = directory.path().join(IDENTITY_FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[8] = 2;
        std::fs::write(&path, &bytes).unwrap();
        let error = read(&RealDisk, directory.path()).unwrap_err();
        assert!(matches!(error, Error::Newer { found: 2, known: 1, .. }), "{error}");
    }

    #[test]
    fn a_file_past_the_limit_is_not_even_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(IDENTITY_FILE);
        for (bytes, says) in [(IDENTITY_BYTES_MAX, "instead of"), (IDENTITY_BYTES_MAX + 1, "")] {
            let mut whole = IDENTITY.prefix().to_vec();
            whole.resize(bytes, 0);
            std::fs::write(&path, whole).unwrap();
            let error = read(&RealDisk, directory.path()).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(matches!(error, Error::Disk { .. }), says.is_empty(), "{error}");
        }
    }
}
