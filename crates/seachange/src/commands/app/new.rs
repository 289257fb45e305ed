//! `seachange app new`: the skeleton of an application.

use std::path::PathBuf;

use crate::exit::Stopped;

/// Flags of `app new`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The application's name; also that of its directory
    pub name: String,
    /// Directory in which to make it
    #[arg(long, default_value = ".", value_name = "DIRECTORY")]
    pub within: PathBuf,
}

impl Arguments {
    /// Writes the skeleton.
    ///
    /// # Errors
    /// The name is none, or something lies there already.
    pub fn run(self) -> anyhow::Result<()> {
        Err(Stopped::failed("the templates are not there yet", "").into())
    }
}
