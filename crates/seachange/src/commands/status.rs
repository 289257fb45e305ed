//! `seachange status`: the whole cluster, each member asked at its own address.

mod text;
mod view;

use client::Admin;
use environment::Environment;

use crate::connection::ClusterFlags;
use crate::exit::Stopped;
use crate::output;
use view::{MemberView, View};

/// Flags of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange status

The last line says whether all is well, or what is not.")]
pub struct Arguments {
    /// Exit with 1 unless all is well
    #[arg(long)]
    pub check: bool,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

impl Arguments {
    /// Prints the cluster as its members tell it, or with `--json` the same as one object.
    ///
    /// # Errors
    /// No answer from any node, or with `--check`: not all is well.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        let admin = self.cluster.admin(&environment)?;
        let view = View::gather(&admin, &environment).await?;
        if self.cluster.json {
            output::json(&view)?;
        } else {
            output::line(text::describe(&view))?;
        }
        if self.check && !view.ok {
            return Err(Stopped::failed(view.wrongs.join("; "), "").coded("not_well").into());
        }
        Ok(())
    }
}

/// A member that says it has applied an entry, or a voter that cannot be asked, if there is one.
///
/// # Errors
/// No answer from any node.
pub(super) async fn member_past(
    admin: &Admin,
    environment: &Environment,
    entry: u64,
) -> anyhow::Result<Option<MemberView>> {
    let members = View::gather(admin, environment).await?.members.into_iter();
    let past = |member: &MemberView| member.applied.map_or(member.voter, |applied| applied >= entry);
    Ok(members.into_iter().find(past))
}
