//! `seachange app`: writing, installing, upgrading and showing applications.

mod convert;
mod dry_run;
mod install;
mod new;
mod rehearsal;
mod remove;
mod show;
mod test;

use environment::Environment;

/// Commands of `app`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Write the skeleton of an application, ready to build
    New(new::Arguments),
    /// Install the first version of an application
    Install(install::InstallArguments),
    /// Switch an application to its next version while it serves
    Upgrade(install::UpgradeArguments),
    /// Run what was recorded under a version, and say what it does otherwise; without a cluster
    Test(test::TestArguments),
    /// Show how far rows have come into the newest shape, and set the pace
    Convert(convert::ConvertArguments),
    /// Take an application out of service; its data stays
    Remove(remove::RemoveArguments),
    /// Delete the data of an application that was removed
    Purge(remove::PurgeArguments),
    /// Show one application: versions, tables, streams, history
    Show(show::ShowArguments),
    /// List the applications
    List(show::ListArguments),
}

impl Command {
    /// Runs it.
    ///
    /// # Errors
    /// It was refused, or there was no answer.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        match self {
            Command::New(arguments) => arguments.run(),
            Command::Install(arguments) => arguments.run(environment).await,
            Command::Upgrade(arguments) => arguments.run(environment).await,
            Command::Test(arguments) => arguments.run(&environment),
            Command::Convert(arguments) => arguments.run(environment).await,
            Command::Remove(arguments) => arguments.run(environment).await,
            Command::Purge(arguments) => arguments.run(environment).await,
            Command::Show(arguments) => arguments.run(environment).await,
            Command::List(arguments) => arguments.run(environment).await,
        }
    }
}
