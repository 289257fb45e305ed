use std::path::PathBuf;

use machine::Index;

/// Why a data directory cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A node runs there.
    #[error("{0} belongs to a node that runs: stop it, or copy the directory and replay the copy")]
    InUse(PathBuf),
    /// It holds no node's data.
    #[error("{0} is no data directory of a node: name the directory that was given to `seachange serve --data`")]
    NoNode(PathBuf),
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// What a running node gave cannot be used, or not be written.
    #[error("the copy cannot be made: {0}")]
    Copy(String),
    /// The directory of a copy cannot be written.
    #[error("the copy cannot be written: {0}")]
    CopyDisk(String),
    /// Some of a copy is missing.
    #[error("the copy is not whole: it goes up to entry {last}, and its log ends at entry {here}")]
    NotWhole {
        /// The last entry that it has had.
        last: Index,
        /// The last that is here.
        here: Index,
    },
    /// Nothing is left from which replay could begin.
    #[error(
        "no state from before entry {wanted} is left here: the oldest from which the log goes on is as of entry {oldest}"
    )]
    TooOld {
        /// The first entry that was to be seen.
        wanted: Index,
        /// As of which entry there is a state.
        oldest: Index,
    },
    /// The log was purged, and no snapshot is left from which it goes on.
    #[error(
        "the log begins with entry {0}, and no snapshot from before it is left: copy a directory that has one, or restore a \
         backup"
    )]
    NoStart(Index),
    /// The entry is not known to be committed.
    #[error(
        "entry {wanted} is not known to be committed: this directory knows of entries up to {committed}, and what may stand \
         behind is hearsay"
    )]
    NotCommitted {
        /// What was asked for.
        wanted: Index,
        /// How far it is known.
        committed: Index,
    },
    /// An entry cannot be applied here.
    #[error("entry {index} cannot be applied here: {reason}")]
    Stopped {
        /// Which.
        index: Index,
        /// What and why.
        reason: String,
    },
    /// A version that is to be tried cannot be.
    #[error("the version to be tried cannot take over behind entry {index}: {reason}")]
    Refused {
        /// Where.
        index: Index,
        /// Why.
        reason: String,
    },
}

impl Error {
    pub(super) fn unreadable(error: impl std::fmt::Display) -> Error {
        Error::Unreadable(error.to_string())
    }
}

impl From<store::snapshot::Error> for Error {
    fn from(error: store::snapshot::Error) -> Error {
        Error::unreadable(error)
    }
}

impl From<store::state::Error> for Error {
    fn from(error: store::state::Error) -> Error {
        Error::unreadable(error)
    }
}

impl From<store::log::Error> for Error {
    fn from(error: store::log::Error) -> Error {
        Error::unreadable(error)
    }
}

impl From<machine::StateError> for Error {
    fn from(error: machine::StateError) -> Error {
        Error::unreadable(error)
    }
}
