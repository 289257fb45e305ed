use std::path::PathBuf;

/// Why a file is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A newer binary wrote it.
    #[error(
        "{} is a {what} of format {found}, and this binary knows formats up to {known}: start the newer binary that wrote it",
        file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// What it should be.
        what: &'static str,
        /// The number it carries.
        found: u32,
        /// The highest number known.
        known: u32,
    },
    /// It cannot be read as what it should be.
    #[error("{} cannot be read as a {what}: {detail}; restore it from a backup, or remove this node's data and let it join again", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What it should be.
        what: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// It belongs to another node or cluster.
    #[error("{} belongs to {found}, and this is {wanted}: the data directory of another node was given, or files were copied between nodes", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// The disk failed.
    #[error("{}: {detail}", file.display())]
    Disk {
        /// The file.
        file: PathBuf,
        /// What the system said.
        detail: String,
    },
}
