//! `seachange completions`: what makes a shell complete the commands.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::output;

/// Flags of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange completions bash > ~/.local/share/bash-completion/completions/seachange")]
pub struct Arguments {
    /// The shell
    pub shell: Shell,
}

impl Arguments {
    /// Prints the script.
    ///
    /// # Errors
    /// Standard output is gone.
    pub fn run(self) -> anyhow::Result<()> {
        let mut script = Vec::new();
        let mut command = super::Arguments::command();
        clap_complete::generate(self.shell, &mut command, "seachange", &mut script);
        output::line(String::from_utf8_lossy(&script).trim_end())
    }
}
