//! The numbers and magics of everything that lies on disk, in one place.
//!
//! Each file begins with eight bytes of magic and the number of its format, little-endian. A format that was ever
//! released keeps its number and its reader for ever; a change of layout is a new number.

pub mod copied;
mod error;
pub mod fault;
pub mod identity;
pub mod notes;
mod whole;

use std::path::Path;

pub use copied::{COPIED_FILE, Copied, Said};
pub use error::Error;
pub use identity::{IDENTITY_FILE, StoredIdentity};
pub use notes::{NOTES_FILE, Notes, Repair};

/// What a kind of file begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// For people.
    pub name: &'static str,
    /// The first eight bytes.
    pub magic: [u8; 8],
    /// The number that this binary writes, and the highest that it reads.
    pub number: u32,
}

/// A segment of the log.
pub const LOG_SEGMENT: Format = Format {
    name: "log segment",
    magic: *b"SEALOG\r\n",
    number: 1,
};
/// The vote of a node.
pub const VOTE: Format = Format {
    name: "vote",
    magic: *b"SEAVOTE\n",
    number: 1,
};
/// The committed position that a node had seen.
pub const COMMITTED: Format = Format {
    name: "committed position",
    magic: *b"SEACOMM\n",
    number: 1,
};
/// The rows of the state.
pub const STATE: Format = Format {
    name: "state",
    magic: *b"SEASTAT\n",
    number: 1,
};
/// A segment of a stream.
pub const STREAM_SEGMENT: Format = Format {
    name: "stream segment",
    magic: *b"SEASTRM\n",
    number: 1,
};
/// Everything as of one index.
pub const SNAPSHOT: Format = Format {
    name: "snapshot",
    magic: *b"SEASNAP\n",
    number: 1,
};
/// What a node must know before it can open anything else.
pub const NOTES: Format = Format {
    name: "notes",
    magic: *b"SEANOTE\n",
    number: 1,
};
/// The entry at which a node last failed.
pub const FAULT: Format = Format {
    name: "fault",
    magic: *b"SEAFAUL\n",
    number: 1,
};
/// Who a data directory belongs to.
pub const IDENTITY: Format = Format {
    name: "identity",
    magic: *b"SEAIDEN\n",
    number: 1,
};
/// Commands of an application with what came of them.
pub const RECORDING: Format = Format {
    name: "recording",
    magic: *b"SEARECO\n",
    number: 1,
};
/// Whose log and snapshot a copy for replay holds.
pub const COPIED: Format = Format {
    name: "note of a copy",
    magic: *b"SEACOPY\n",
    number: 1,
};

impl Format {
    /// Bytes of magic and number.
    pub const PREFIX_BYTES: usize = 12;

    /// Magic and number.
    #[must_use]
    pub fn prefix(&self) -> [u8; Self::PREFIX_BYTES] {
        let mut prefix = [0; Self::PREFIX_BYTES];
        prefix[..8].copy_from_slice(&self.magic);
        prefix[8..].copy_from_slice(&self.number.to_le_bytes());
        prefix
    }

    /// Whether `bytes`, the first of `file`, are of this format.
    ///
    /// # Errors
    /// [`Error::Unreadable`] for other bytes, [`Error::Newer`] for a number that this binary does not know.
    pub fn check(&self, bytes: &[u8], file: &Path) -> Result<(), Error> {
        if bytes.len() < Self::PREFIX_BYTES || bytes[..8] != self.magic {
            return Err(self.unreadable(file, "it does not begin as one"));
        }
        let found = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        if found > self.number {
            return Err(Error::Newer {
                file: file.to_owned(),
                what: self.name,
                found,
                known: self.number,
            });
        }
        if found != self.number {
            return Err(self.unreadable(file, "its format number was never used"));
        }
        Ok(())
    }

    /// An [`Error::Unreadable`] of this format.
    #[must_use]
    pub fn unreadable(&self, file: &Path, detail: impl Into<String>) -> Error {
        Error::Unreadable {
            file: file.to_owned(),
            what: self.name,
            detail: detail.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Format; 11] = [
        LOG_SEGMENT,
        VOTE,
        COMMITTED,
        STATE,
        STREAM_SEGMENT,
        SNAPSHOT,
        NOTES,
        FAULT,
        IDENTITY,
        RECORDING,
        COPIED,
    ];

    #[test]
    fn magics_differ() {
        let mut magics: Vec<_> = ALL.iter().map(|format| format.magic).collect();
        magics.sort_unstable();
        magics.dedup();
        assert_eq!(magics.len(), ALL.len());
    }

    #[test]
    fn a_prefix_is_recognised_and_others_are_refused_by_name() {
        let file = Path::new("some/file");
        for format in ALL {
            assert_eq!(format.check(&format.prefix(), file), Ok(()));
            let newer = Format { number: 2, ..format }.prefix();
            let error = format.check(&newer, file).unwrap_err().to_string();
            assert!(
                error.contains("some/file") && error.contains("format 2") && error.contains("up to 1"),
                "{error}"
            );
            let mut other = format.prefix();
            other[3] ^= 1;
            assert!(matches!(format.check(&other, file), Err(Error::Unreadable { .. })));
            assert!(matches!(format.check(&other[..5], file), Err(Error::Unreadable { .. })));
            let zero = Format { number: 0, ..format }.prefix();
            assert!(matches!(format.check(&zero, file), Err(Error::Unreadable { .. })));
        }
    }
}
