//! The entry at which a node last failed through a fault of its own.

use std::path::Path;

use environment::Disk;
use machine::{Index, record};

use super::{Error, FAULT, whole};
use crate::limits::NOTES_BYTES_MAX;

/// Name of the file in a data directory.
pub const FAULT_FILE: &str = "fault";

/// An entry at which a node failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which.
    pub index: Index,
    /// How often it has stopped the node.
    pub stops: u64,
    /// Which binary that was.
    pub binary: String,
    /// What it said the last time, for people.
    pub reason: String,
}
record!(Fault {
    index,
    stops,
    binary,
    reason
});

/// What is noted in the data directory `directory`, if anything is.
///
/// # Errors
/// See [`Error`].
pub fn read(disk: &(dyn Disk + 'static), directory: &Path) -> Result<Option<Fault>, Error> {
    whole::read(&FAULT, disk, &directory.join(FAULT_FILE), NOTES_BYTES_MAX)
}

/// Replaces what is noted, durably.
///
/// # Errors
/// [`Error::Disk`].
pub fn write(disk: &(dyn Disk + 'static), directory: &Path, fault: &Fault) -> Result<(), Error> {
    whole::write(&FAULT, disk, &directory.join(FAULT_FILE), fault)
}

#[cfg(test)]
mod tests {
    use environment::real::RealDisk;

    use super::*;

    #[test]
    fn what_was_written_is_read_and_every_flipped_or_missing_byte_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(&RealDisk, directory.path()), Ok(None));
        let fault = Fault {
            index: Index(812),
            stops: 2,
            binary: "0.1.0".into(),
            reason: "a panic".into(),
        };
        write(&RealDisk, directory.path(), &fault).unwrap();
        assert_eq!(read(&RealDisk, directory.path()), Ok(Some(fault)));
        let path = directory.path().join(FAULT_FILE);
        whole::every_wrong_byte_is_noticed(&path, || read(&RealDisk, directory.path()).is_err());
    }
}
