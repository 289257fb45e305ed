//! `seachange change`: what is being changed, and the operator's part in it.

use client::wire::{ChangeRecord, RehearsalRecord, Stage};
use environment::Environment;

use crate::connection::{ClusterFlags, explain};
use crate::output;
use crate::watch::{Shown, Watch};

/// Commands of `change`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the changes
    List(ListArguments),
    /// Show one change: stage, blockers, history
    #[command(after_help = "Example:\n  seachange change show 15")]
    Show(ShowArguments),
    /// Follow one change until it has ended
    #[command(after_help = "Example:\n  seachange change watch 15")]
    Watch(ShowArguments),
    /// Say that what a change's rehearsal found is as it should be
    #[command(after_help = "Example:\n  seachange change approve 15 --reason 'the new rounding'")]
    Approve(StepArguments),
    /// Go back to the version before, with everything that was written since
    #[command(after_help = "Example:\n  seachange change revert 15")]
    Revert(StepArguments),
    /// Give up the way back
    #[command(after_help = "Example:\n  seachange change finalize 15")]
    Finalize(StepArguments),
    /// Let a change stay that is taken back otherwise when its time is up
    #[command(after_help = "Example:\n  seachange change confirm 15")]
    Confirm(StepArguments),
    /// Give up a change before its switch
    #[command(after_help = "Example:\n  seachange change abort 15 --reason 'planned too early'")]
    Abort(StepArguments),
}

/// Flags of `change list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange change list")]
pub struct ListArguments {
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

/// Flags of `change show` and `change watch`.
#[derive(Debug, clap::Args)]
pub struct ShowArguments {
    /// The change's id
    pub change: u64,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

/// Flags of a step.
#[derive(Debug, clap::Args)]
pub struct StepArguments {
    /// The change's id
    pub change: u64,
    /// Why, for the change's history
    #[arg(long)]
    pub reason: Option<String>,
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
            Command::List(arguments) => list(arguments, environment).await,
            Command::Show(arguments) => show(arguments, environment).await,
            Command::Watch(arguments) => watch(arguments, environment).await,
            Command::Approve(arguments) => step(arguments, Step::Approve, environment).await,
            Command::Revert(arguments) => step(arguments, Step::Revert, environment).await,
            Command::Finalize(arguments) => step(arguments, Step::Finalize, environment).await,
            Command::Confirm(arguments) => step(arguments, Step::Confirm, environment).await,
            Command::Abort(arguments) => step(arguments, Step::Abort, environment).await,
        }
    }
}

#[derive(Clone, Copy)]
enum Step {
    Approve,
    Revert,
    Finalize,
    Confirm,
    Abort,
}

async fn list(arguments: ListArguments, environment: Environment) -> anyhow::Result<()> {
    let admin = arguments.cluster.admin(&environment)?;
    let list = admin.changes().await.map_err(explain)?;
    if arguments.cluster.json {
        return list.changes.iter().try_for_each(output::json);
    }
    if list.changes.is_empty() {
        return output::line("There are no changes yet: `seachange app install DIRECTORY` makes one.");
    }
    let mut rows = vec![
        ["change", "application", "version", "stage", "waits for"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(list.changes.iter().map(|change| {
        vec![
            change.id.to_string(),
            change.application.clone(),
            versions(change),
            change.stage.to_string(),
            change
                .blockers
                .first()
                .map(|blocker| blocker.what.clone())
                .unwrap_or_default(),
        ]
    }));
    output::line(output::columns(&rows))
}

fn versions(change: &ChangeRecord) -> String {
    match change.from {
        Some(from) => format!("{from} to {}", change.to),
        None => format!("{}", change.to),
    }
}

async fn show(arguments: ShowArguments, environment: Environment) -> anyhow::Result<()> {
    let admin = arguments.cluster.admin(&environment)?;
    let change = admin.change(arguments.change).await.map_err(explain)?;
    if arguments.cluster.json {
        return output::json(&change);
    }
    output::line(describe(&change, environment.clock.wall_ms()))
}

fn describe(change: &ChangeRecord, now_ms: u64) -> String {
    let mut lines = vec![format!(
        "change {}: {} version {}, {}",
        change.id,
        change.application,
        versions(change),
        change.stage
    )];
    if let Some(index) = change.switch_index {
        lines.push(format!(
            "switched at index {index}: the new version answers from the next entry on"
        ));
    }
    if let Some(at) = change.reverted {
        lines.push(format!(
            "taken back by itself at index {}, command {}: the old version answered from there on",
            at.index, at.command
        ));
    }
    if change.stage == Stage::Switched {
        if let Some(by) = change.confirm_by_ms {
            let left = output::time_left(by, now_ms);
            let id = change.id;
            lines.push(format!(
                "taken back in {left}, unless confirmed: seachange change confirm {id}"
            ));
        }
        if change.reverts_on_trap {
            lines.push("taken back at the first command on which only the new version traps".into());
        }
        if let Some((count, max)) = change.refusals.zip(change.refusals_max) {
            lines.push(format!(
                "taken back with more than {max} commands refused that the old version would have applied; so far {count}"
            ));
        }
    }
    if let Some(rehearsal) = &change.rehearsal {
        lines.extend(describe_rehearsal(rehearsal));
    }
    for verified in &change.verified {
        lines.push(format!(
            "node {}: {} stored rows brought into the new shape and back, as of index {}; {} did not come through",
            verified.node,
            output::grouped(verified.rows),
            verified.as_of,
            output::grouped(verified.failed)
        ));
        let samples = verified.samples.iter();
        lines.extend(samples.map(|sample| format!("  {}: {}", sample.key, sample.why)));
    }
    for blocker in &change.blockers {
        lines.push(format!("waits: {}", blocker.what));
    }
    for node in &change.readiness {
        let found = match (&node.reason, node.ready) {
            (_, true) => "ready".to_owned(),
            (Some(reason), false) => format!("cannot run it: {reason}"),
            (None, false) => "not ready".to_owned(),
        };
        lines.push(format!("node {}: {found}", node.name));
    }
    lines.push("history:".into());
    lines.extend(
        change
            .history
            .iter()
            .map(|event| format!("  {:>8}  {}", event.index, event.what)),
    );
    lines.join("\n")
}

fn describe_rehearsal(rehearsal: &RehearsalRecord) -> Vec<String> {
    let verdict = match (rehearsal.approved, rehearsal.passed) {
        (true, _) => ", approved",
        (false, true) => ", passed",
        (false, false) => "",
    };
    let mut lines = vec![format!(
        "rehearsal{verdict}: {} commands in {} s; {} came out otherwise, {} of them in a trap; {} as expected",
        output::grouped(rehearsal.commands),
        rehearsal.lasted_ms / 1000,
        output::grouped(rehearsal.differed),
        output::grouped(rehearsal.trapped),
        output::grouped(rehearsal.expected),
    )];
    let samples = rehearsal.samples.iter();
    lines.extend(samples.map(|sample| format!("  {:>8}  {}: {}", sample.index, sample.command, sample.what)));
    lines
}

async fn watch(arguments: ShowArguments, environment: Environment) -> anyhow::Result<()> {
    let admin = arguments.cluster.admin(&environment)?;
    Watch::new(Shown::json_if(arguments.cluster.json), &environment)
        .until(&admin, arguments.change, |change| change.stage.is_final())
        .await?;
    Ok(())
}

async fn step(arguments: StepArguments, step: Step, environment: Environment) -> anyhow::Result<()> {
    let admin = arguments.cluster.admin(&environment)?;
    let (change, reason) = (arguments.change, arguments.reason);
    let (taken, done) = match step {
        Step::Approve => (admin.approve(change, reason).await, "approved"),
        Step::Revert => (admin.revert(change, reason).await, "reverted"),
        Step::Finalize => (admin.finalize(change, reason).await, "finalized"),
        Step::Confirm => (admin.confirm(change, reason).await, "confirmed"),
        Step::Abort => (admin.abort(change, reason).await, "aborted"),
    };
    let taken = taken.map_err(explain)?;
    if arguments.cluster.json {
        return output::json(&taken);
    }
    output::line(format!("change {} is {done}, at index {}", taken.change, taken.index))
}
