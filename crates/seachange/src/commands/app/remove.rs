//! `seachange app remove` and `app purge`: an application out of service, and its data gone.

use environment::Environment;

use crate::connection::{ClusterFlags, explain};
use crate::exit::Stopped;
use crate::output;

/// Flags of `app remove`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange app remove flights --reason 'moved to another cluster'")]
pub struct RemoveArguments {
    /// The application
    pub app: String,
    /// Why, for whoever asks for it later
    #[arg(long)]
    pub reason: Option<String>,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

/// Flags of `app purge`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange app purge flights --for-good")]
pub struct PurgeArguments {
    /// The application, which was removed
    pub app: String,
    /// Yes: all its rows, events and consumers, and there is no way back
    #[arg(long)]
    pub for_good: bool,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

impl RemoveArguments {
    /// Removes.
    ///
    /// # Errors
    /// The cluster refused, or gave no answer.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        let admin = self.cluster.admin(&environment)?;
        let removed = admin.remove_app(&self.app, self.reason).await.map_err(explain)?;
        if self.cluster.json {
            return output::json(&removed);
        }
        let (app, index) = (&self.app, removed.index);
        output::line(format!(
            "{app} answers nothing any more, since index {index}; its data is kept"
        ))?;
        output::line(format!(
            "back: seachange app install DIRECTORY    data away: seachange app purge {app} --for-good"
        ))
    }
}

impl PurgeArguments {
    /// Purges, piece by piece, until nothing is left.
    ///
    /// # Errors
    /// It was not confirmed, the cluster refused, or gave no answer.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        if !self.for_good {
            let what = format!(
                "a purge deletes all rows, events and consumers of {}, and there is no way back",
                self.app
            );
            return Err(Stopped::usage(what, "If that is what you want, add --for-good.").into());
        }
        let admin = self.cluster.admin(&environment)?;
        let mut pieces = 0_u64;
        loop {
            let purged = admin.purge_app(&self.app).await.map_err(explain)?;
            pieces += 1;
            if purged.gone {
                if self.cluster.json {
                    return output::json(&purged);
                }
                let many = if pieces == 1 { "" } else { "s" };
                return output::line(format!(
                    "{} is gone, in {} piece{many}",
                    self.app,
                    output::grouped(pieces)
                ));
            }
        }
    }
}
