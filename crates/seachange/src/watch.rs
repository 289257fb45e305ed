//! Following a change.

use std::collections::BTreeSet;

use client::Admin;
use client::wire::{ChangeRecord, Stage};

use crate::connection::explain;
use crate::exit::Stopped;
use crate::output;

/// Shows how a change goes on, each thing once.
#[derive(Debug, Default)]
pub struct Watch {
    json: bool,
    quiet: bool,
    shown: BTreeSet<String>,
}

impl Watch {
    /// Lines for people, or each record as JSON.
    #[must_use]
    pub fn new(json: bool) -> Watch {
        Watch {
            json,
            ..Watch::default()
        }
    }

    /// Shows nothing.
    #[must_use]
    pub fn quiet() -> Watch {
        Watch {
            quiet: true,
            ..Watch::default()
        }
    }

    /// Follows the change until `done` says so of a record, which it gives.
    ///
    /// # Errors
    /// The change ended otherwise, or the cluster gave no answer.
    pub async fn until(
        mut self,
        admin: &Admin,
        change: u64,
        done: impl Fn(&ChangeRecord) -> bool,
    ) -> anyhow::Result<ChangeRecord> {
        let mut records = admin.watch_change(change);
        while let Some(record) = records.next().await.map_err(explain)? {
            self.show(&record)?;
            if done(&record) {
                return Ok(record);
            }
            if record.stage.is_final() {
                return Err(ended(&record).into());
            }
        }
        let what = format!("the node stopped telling how change {change} goes on");
        Err(Stopped::failed(what, format!("Ask again: seachange change watch {change}")).into())
    }

    fn show(&mut self, record: &ChangeRecord) -> anyhow::Result<()> {
        if self.quiet {
            return Ok(());
        }
        if self.json {
            return output::json(record);
        }
        for line in lines(record) {
            if self.shown.insert(line.clone()) {
                output::line(line)?;
            }
        }
        Ok(())
    }
}

/// What is worth showing of a record, in order; what was shown once is not shown again.
fn lines(record: &ChangeRecord) -> Vec<String> {
    let mut lines: Vec<String> = record
        .history
        .iter()
        .map(|event| format!("{:>8}  {}", event.index, event.what))
        .collect();
    lines.extend(
        record
            .blockers
            .iter()
            .map(|blocker| format!("   waits  {}", blocker.what)),
    );
    lines
}

fn ended(record: &ChangeRecord) -> Stopped {
    let last = record.history.last().map_or("", |event| event.what.as_str());
    let what = format!("change {} is {}: {last}", record.id, record.stage);
    let remedy = match record.stage {
        Stage::Aborted => "Nothing was switched. Put right what it says, and plan it again.",
        Stage::Reverted => "The version before answers again.",
        Stage::Finalized | Stage::Preparing | Stage::Ready | Stage::Switched => "",
    };
    Stopped::failed(what, remedy)
}
