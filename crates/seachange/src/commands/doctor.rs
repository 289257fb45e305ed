//! `seachange doctor`: which node is slow, and why.

use std::time::Duration;

use environment::Environment;
use serde_json::json;

use crate::connection::{ClusterFlags, explain};
use crate::doctor::{self, Checked, Finding, Times};
use crate::exit::Stopped;
use crate::output;

/// Flags of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange doctor --at 127.0.0.1:7070

It looks at every member twice and names for each that needs attention one cause: unreachable, parked, disk space, fsync, apply or
network. Exit code 1 when there is one.")]
pub struct Arguments {
    /// Seconds between the two looks: what is shown is what happened in between
    #[arg(long, default_value_t = 2, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(0..=600))]
    pub between: u16,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

impl Arguments {
    /// Looks, and prints what was found.
    ///
    /// # Errors
    /// No node answers, or one needs attention.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        let status = self.cluster.admin(&environment)?.status().await.map_err(explain)?;
        let between = Duration::from_secs(self.between.into());
        let nodes = doctor::check(&environment, &status, between).await;
        let findings = doctor::findings(&nodes);
        if self.cluster.json {
            output::json(&json!({"nodes": nodes, "findings": findings}))?;
        } else {
            output::line(describe(&nodes, &findings))?;
        }
        if findings.is_empty() {
            return Ok(());
        }
        let what = format!("{} of {} nodes need attention", findings.len(), nodes.len());
        Err(Stopped::failed(what, "docs/operating.md says what to do for each cause.").into())
    }
}

fn describe(nodes: &[Checked], findings: &[Finding]) -> String {
    let heading = [
        "id",
        "name",
        "role",
        "fsync p50",
        "fsync p99",
        "apply p99",
        "apply lag",
        "append p99",
        "heartbeat p99",
        "disk free",
        "memory",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let shown = |times: Option<Times>, part: fn(&Times) -> f64| {
        let mark = |times: &Times| if times.since_start { "*" } else { "" };
        let text = |times: Times| format!("{}{}", doctor::time(part(&times)), mark(&times));
        times.map_or_else(|| "-".to_owned(), text)
    };
    let p50 = |times| shown(times, |times| times.p50_seconds);
    let p99 = |times| shown(times, |times| times.p99_seconds);
    let bytes = |bytes: Option<f64>| bytes.map_or_else(|| "-".to_owned(), doctor::bytes);
    for node in nodes {
        let role = match (node.answers, node.leads) {
            (false, _) => "silent",
            (true, true) => "leader",
            (true, false) => "follower",
        };
        rows.push(vec![
            node.node.to_string(),
            node.name.clone(),
            role.to_owned(),
            p50(node.fsync),
            p99(node.fsync),
            p99(node.apply),
            node.apply_lag_entries
                .map_or_else(|| "-".to_owned(), |lag| format!("{lag:.0}")),
            p99(node.append),
            p99(node.heartbeat),
            bytes(node.disk_free_bytes),
            bytes(node.memory_bytes),
        ]);
    }
    let said = match findings {
        [] => "Nothing stands out: no node is past a threshold.".to_owned(),
        some => some
            .iter()
            .map(|finding| finding.text.clone())
            .collect::<Vec<_>>()
            .join("\n"),
    };
    let table = output::columns(&rows);
    let note = match table.contains('*') {
        true => "* since the node's start: nothing of it happened between the two looks\n",
        false => "",
    };
    format!("{table}\n{note}\n{said}")
}
