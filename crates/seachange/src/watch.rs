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
    events_shown: usize,
    blockers_shown: BTreeSet<(Option<u64>, String)>,
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
        for event in record.history.iter().skip(self.events_shown) {
            output::line(format!("{:>8}  {}", event.index, event.what))?;
        }
        self.events_shown = record.history.len();
        for blocker in &record.blockers {
            if self
                .blockers_shown
                .insert((blocker.node, without_digits(&blocker.what)))
            {
                output::line(format!("   waits  {}", blocker.what))?;
            }
        }
        Ok(())
    }
}

/// A blocker says for how long it has lasted, and is the same one a second later.
fn without_digits(text: &str) -> String {
    text.replace(|c: char| c.is_ascii_digit(), "")
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
