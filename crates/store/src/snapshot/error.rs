use std::io;
use std::path::{Path, PathBuf};

use crate::{format, state};

/// Why a snapshot cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is newer than this binary, or no snapshot.
    #[error(transparent)]
    Format(#[from] format::Error),
    /// It is damaged.
    #[error("the snapshot {} is damaged at byte {offset}: {detail}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it, bytes.
        offset: u64,
        /// What is wrong.
        detail: String,
    },
    /// The rows that were to be written are not what the state says they are.
    #[error("the state's rows are not what they should be at index {index}: {detail}")]
    Rows {
        /// As of which index.
        index: machine::Index,
        /// What differs.
        detail: String,
    },
    /// The state could not be read.
    #[error(transparent)]
    State(#[from] state::Error),
    /// The disk failed.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    pub(super) fn disk(path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Disk { path, source }
    }

    pub(super) fn damaged(file: &Path, offset: u64, detail: impl Into<String>) -> Error {
        Error::Damaged {
            file: file.to_owned(),
            offset,
            detail: detail.into(),
        }
    }
}
