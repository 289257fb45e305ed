use std::path::PathBuf;

use machine::StateError;

use crate::format;

/// Why the state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What lies there is newer than this binary, or no state.
    #[error(transparent)]
    Format(#[from] format::Error),
    /// A row is not one.
    #[error(
        "the state in {} is damaged: {detail}",
        directory.display()
    )]
    Damaged {
        /// The state's directory.
        directory: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The store below failed.
    #[error("the state's store in {}: {detail}", directory.display())]
    Store {
        /// The state's directory.
        directory: PathBuf,
        /// What it said.
        detail: String,
    },
}

impl From<Error> for StateError {
    fn from(error: Error) -> Self {
        StateError(error.to_string())
    }
}
