//! The notes of a data directory: what a node must know before it can open anything else.

use std::collections::BTreeMap;
use std::path::Path;

use environment::Disk;
use machine::codec::{self, Codec, Reader, put_varint};
use machine::{Index, NodeId, record};

use super::{Error, NOTES, whole};
use crate::limits::NOTES_BYTES_MAX;

/// Name of the notes file in a data directory.
pub const NOTES_FILE: &str = "notes";

/// What a node must know before it can open anything else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notes {
    /// Which directory holds the state: it changes when a snapshot is installed.
    pub generation: u64,
    /// What is to be done before the node can serve.
    pub repair: Option<Repair>,
    /// This node has forgotten entries that it had promised to keep: it must not vote before its log holds this one.
    pub votes_from: Option<Index>,
    /// The peer addresses of the other members, as last known.
    pub peers: BTreeMap<NodeId, String>,
}
record!(Notes {
    generation,
    repair,
    votes_from,
    peers
});

/// What is to be done before the node can serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// 1: a snapshot has arrived and is to take the place of what is here.
    Install,
    /// 2: the state or the streams cannot be trusted.
    Rebuild {
        /// For people.
        reason: String,
    },
    /// 3: nor can the log.
    RebuildAll {
        /// For people.
        reason: String,
    },
}

impl Codec for Repair {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Repair::Install => put_varint(1, out),
            Repair::Rebuild { reason } => {
                put_varint(2, out);
                reason.encode(out);
            }
            Repair::RebuildAll { reason } => {
                put_varint(3, out);
                reason.encode(out);
            }
        }
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, codec::Error> {
        match reader.varint()? {
            1 => Ok(Repair::Install),
            2 => Ok(Repair::Rebuild {
                reason: Codec::decode(reader)?,
            }),
            3 => Ok(Repair::RebuildAll {
                reason: Codec::decode(reader)?,
            }),
            number => Err(reader.unknown("Repair", number)),
        }
    }
}

/// The notes of the data directory `directory`; empty ones when it has none yet.
///
/// # Errors
/// See [`Error`].
pub fn read(disk: &(dyn Disk + 'static), directory: &Path) -> Result<Notes, Error> {
    let notes = whole::read(&NOTES, disk, &directory.join(NOTES_FILE), NOTES_BYTES_MAX)?;
    Ok(notes.unwrap_or_default())
}

/// Replaces the notes, durably: after a crash there are the old or the new ones.
///
/// # Errors
/// [`Error::Disk`].
pub fn write(disk: &(dyn Disk + 'static), directory: &Path, notes: &Notes) -> Result<(), Error> {
    whole::write(&NOTES, disk, &directory.join(NOTES_FILE), notes)
}

#[cfg(test)]
mod tests {
    use environment::real::RealDisk;

    use super::*;

    #[test]
    fn what_was_written_is_read_and_every_flipped_or_missing_byte_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(&RealDisk, directory.path()), Ok(Notes::default()));
        let repairs = [
            None,
            Some(Repair::Install),
            Some(Repair::Rebuild { reason: "x".into() }),
            Some(Repair::RebuildAll { reason: "y".into() }),
        ];
        for repair in repairs {
            let notes = Notes {
                generation: 7,
                repair,
                votes_from: Some(Index(99)),
                peers: [(NodeId(2), "127.0.0.1:1".to_owned())].into(),
            };
            write(&RealDisk, directory.path(), &notes).unwrap();
            assert_eq!(read(&RealDisk, directory.path()), Ok(notes));
        }
        let path = directory.path().join(NOTES_FILE);
        whole::every_wrong_byte_is_noticed(&path, || read(&RealDisk, directory.path()).is_err());
    }

    #[test]
    fn a_file_past_the_limit_is_not_even_read() {
        let directory = tempfile::tempdir().unwrap();
        for (bytes, read_at_all) in [(NOTES_BYTES_MAX, true), (NOTES_BYTES_MAX + 1, false)] {
            let mut whole = NOTES.prefix().to_vec();
            whole.resize(bytes, 0);
            std::fs::write(directory.path().join(NOTES_FILE), whole).unwrap();
            let error = read(&RealDisk, directory.path()).unwrap_err();
            assert_eq!(matches!(error, Error::Unreadable { .. }), read_at_all, "{error}");
        }
    }
}
