//! `seachange query`: a question that the application answers itself.

use client::wire::QueryOutcome;
use environment::Environment;

use super::get::Freshness;
use crate::connection::{ClusterFlags, explain};
use crate::exit::Stopped;
use crate::output;

/// Flags of `query`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange query ledger total")]
pub struct Arguments {
    /// The application
    pub app: String,
    /// The query
    pub query: String,
    /// Its payload, as the application reads it
    #[arg(default_value = "")]
    pub payload: String,
    /// How fresh the answer must be.
    #[command(flatten)]
    pub freshness: Freshness,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

impl Arguments {
    /// Prints the answer, or with `--json` the answer with its index.
    ///
    /// # Errors
    /// The application declined, or there is no answer.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        let admin = self.cluster.admin(&environment)?;
        let consistency = self.freshness.consistency();
        let asked = admin.query(&self.app, &self.query, self.payload.into_bytes(), consistency);
        let reply = asked.await.map_err(explain)?;
        if self.cluster.json {
            output::json(&reply)?;
        } else if reply.outcome == QueryOutcome::Answered {
            output::line(output::text(&reply.answer))?;
        }
        match reply.outcome {
            QueryOutcome::Answered => Ok(()),
            QueryOutcome::Refused => {
                let reason = output::text(&reply.answer);
                let what = format!("{} refused the query: {reason}", self.app);
                Err(Stopped::failed(what, "").coded("refused").into())
            }
        }
    }
}
