//! `seachange status`: a node's view of its cluster.

use client::wire::{Role, Status};
use environment::Environment;

use crate::connection::{ClusterFlags, explain};
use crate::output;

/// Flags of `status`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

impl Arguments {
    /// Prints the view.
    ///
    /// # Errors
    /// No answer.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        let admin = self.cluster.admin(&environment)?;
        let status = admin.status().await.map_err(explain)?;
        if self.cluster.json {
            return output::json(&status);
        }
        output::line(describe(&status))
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Learner => "learner",
    }
}

fn describe(status: &Status) -> String {
    let mut text = format!(
        "cluster {}, level {}, term {}\nnode {} ({}) has applied {} of {} committed entries, digest {}\n",
        status.cluster,
        status.level,
        status.term,
        status.name,
        role_name(status.role),
        output::grouped(status.applied),
        output::grouped(status.committed),
        status.digest
    );
    if let Some(reason) = &status.parked {
        text.push_str(&format!("it is PARKED: {reason}\n"));
    }
    if status.leader.is_none() {
        text.push_str("it knows NO LEADER: commands wait until a majority of the voters is up\n");
    }
    let mut rows = vec![
        ["id", "name", "role", "http", "peer", "in log", "binary"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for member in &status.members {
        let role = match (member.leader, member.voter) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "learner",
        };
        rows.push(vec![
            member.node.to_string(),
            member.name.clone(),
            role.into(),
            member.http_address.clone(),
            member.peer_address.clone(),
            member.matched.map_or_else(|| "-".into(), output::grouped),
            member.binary.clone(),
        ]);
    }
    text + "\n" + &output::columns(&rows)
}
