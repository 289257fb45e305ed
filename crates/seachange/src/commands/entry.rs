//! `seachange entry`: entries of the log at which the program fails, and passing them by.

use client::wire::SkippedEntry;
use environment::Environment;

use super::status;
use crate::connection::{ClusterFlags, explain};
use crate::exit::Stopped;
use crate::output;

/// Commands of `entry`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Have every node pass by an entry at which the program fails: its commands are answered with an error
    #[command(after_help = SKIP_HELP)]
    Skip(SkipArguments),
    /// List the entries that were skipped
    #[command(after_help = "Example:\n  seachange entry skipped")]
    Skipped(SkippedArguments),
}

const SKIP_HELP: &str = "\
Example:
  seachange entry skip 812 --reason 'panics in 0.1.0: issue 96'

For an entry that has stopped the leader twice, so that it stands before it (seachange status says so). A majority must be
up. A newer binary that does not fail there is the better way: nothing is lost then.";

/// Flags of `entry skip`.
#[derive(Debug, clap::Args)]
pub struct SkipArguments {
    /// Index of the entry
    #[arg(value_name = "INDEX")]
    pub entry: u64,
    /// Why, for whoever asks for it later
    #[arg(long)]
    pub reason: String,
    /// Also where a member has applied it: what that one has done of it is undone, and it is rebuilt from another
    #[arg(long)]
    pub even_if_applied: bool,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

/// Flags of `entry skipped`.
#[derive(Debug, clap::Args)]
pub struct SkippedArguments {
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

impl Command {
    /// Runs it.
    ///
    /// # Errors
    /// The cluster refused, or gave no answer.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        match self {
            Command::Skip(arguments) => skip(arguments, environment).await,
            Command::Skipped(arguments) => skipped(arguments, environment).await,
        }
    }
}

async fn skip(arguments: SkipArguments, environment: Environment) -> anyhow::Result<()> {
    let SkipArguments { entry, reason, .. } = arguments;
    let admin = arguments.cluster.admin(&environment)?;
    let known = admin.skipped_entries().await.map_err(explain)?.entries;
    let is_decided = known.iter().any(|skipped| skipped.entry == entry);
    if !arguments.even_if_applied
        && !is_decided
        && let Some(member) = status::member_past(&admin, &environment, entry).await?
    {
        let has = match member.reachable {
            true => "has applied",
            false => "does not answer, and may have applied",
        };
        let what = format!(
            "node {} (binary {}) {has} entry {}: its program does not fail there then, and commands of it may have been \
             answered",
            member.name,
            member.binary,
            output::grouped(entry)
        );
        let remedy =
            "Start the others with that binary. To skip it all the same, and rebuild that node: --even-if-applied.";
        return Err(Stopped::failed(what, remedy).into());
    }
    let decided = admin.skip_entry(entry, Some(reason)).await.map_err(explain)?;
    if arguments.cluster.json {
        return output::json(&decided);
    }
    output::line(format!(
        "entry {} is skipped by every node, as entry {} decides; its commands are answered with entry_skipped",
        output::grouped(entry),
        output::grouped(decided.index)
    ))
}

async fn skipped(arguments: SkippedArguments, environment: Environment) -> anyhow::Result<()> {
    let admin = arguments.cluster.admin(&environment)?;
    let list = admin.skipped_entries().await.map_err(explain)?;
    if arguments.cluster.json {
        return output::json(&list);
    }
    if list.entries.is_empty() {
        return output::line("No entry was ever skipped.");
    }
    let heading = ["entry", "decided by", "commands", "bytes' SHA-256", "reason"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(list.entries.iter().map(|skipped: &SkippedEntry| {
        vec![
            output::grouped(skipped.entry),
            output::grouped(skipped.decided_by),
            skipped.commands.map_or_else(|| "none".to_owned(), output::grouped),
            skipped.digest.chars().take(12).collect(),
            skipped.reason.clone(),
        ]
    }));
    output::line(output::columns(&rows))
}
