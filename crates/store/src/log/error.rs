use std::io;
use std::path::{Path, PathBuf};

use machine::Index;

use crate::format;

/// Why the log cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is foreign, newer than this binary, or unreadable as a whole.
    #[error(transparent)]
    Format(#[from] format::Error),
    /// What was once safe on disk is damaged.
    #[error(
        "{} is damaged at byte {offset}: {detail}; the log cannot be trusted from there on",
        file.display()
    )]
    Damaged {
        /// The segment.
        file: PathBuf,
        /// Where in it, bytes.
        offset: u64,
        /// What is wrong.
        detail: String,
    },
    /// A segment is gone.
    #[error(
        "the log in {} lacks the records from {from} to {to}: a segment was removed",
        directory.display()
    )]
    Missing {
        /// The log's directory.
        directory: PathBuf,
        /// First index missing.
        from: Index,
        /// Last index missing.
        to: Index,
    },
    /// The records were purged.
    #[error("record {index} was purged: the log begins at {first}")]
    Purged {
        /// Asked for.
        index: Index,
        /// The first there is.
        first: Index,
    },
    /// The disk failed.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Options that cannot be.
    #[error("the log's options cannot be used: {0}")]
    Options(String),
}

impl Error {
    pub(super) fn disk(path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Disk { path, source }
    }
}
