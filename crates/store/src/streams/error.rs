use std::io;
use std::path::{Path, PathBuf};

use machine::Offset;

use crate::format;

/// Why a stream cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A segment is newer than this binary, or no segment.
    #[error(transparent)]
    Format(#[from] format::Error),
    /// A segment is damaged.
    #[error(
        "{} is damaged at byte {offset}: {detail}",
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
    /// The files hold less than the state says they do.
    #[error(
        "{} ends before event {holds} at byte {offset}, and the state speaks of events up to {wanted}: files of the stream were lost",
        file.display()
    )]
    Short {
        /// The last segment, or the stream's directory when it has none.
        file: PathBuf,
        /// Its length in bytes.
        offset: u64,
        /// The end of what it holds.
        holds: Offset,
        /// The end that it should hold.
        wanted: Offset,
    },
    /// Events before the stream's start were asked for.
    #[error("stream {stream} begins with event {start}: those before are removed")]
    Trimmed {
        /// The stream.
        stream: String,
        /// The first event that is there, or will be.
        start: Offset,
    },
    /// Not a stream's name.
    #[error("{0:?} cannot name a stream: use a-z 0-9 - _ and dots, a letter first")]
    Name(String),
    /// Events out of order.
    #[error("the next event of stream {stream} is {expected}, and {found} was appended")]
    Order {
        /// The stream.
        stream: String,
        /// The offset that comes next.
        expected: Offset,
        /// The offset that came.
        found: Offset,
    },
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
