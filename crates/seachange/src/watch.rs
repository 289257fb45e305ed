//! Following a change: what happens as lines, and on a terminal where it stands, drawn anew in place.

mod panel;

use std::collections::BTreeSet;
use std::time::Duration;

use client::Admin;
use client::wire::{ChangeRecord, RehearsalRecord, Stage, VerifiedRecord};
use environment::{Environment, TimedOut, timeout};

use crate::connection::explain;
use crate::exit::Stopped;
use crate::output::{self, Panel};
use crate::style::paint_error;

/// What a change waits for is shown when nothing has moved for so long: most waits are over before.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows how a change goes on, each thing once.
#[derive(Debug)]
pub struct Watch {
    environment: Environment,
    shown: Shown,
    give_up_when_stuck: bool,
    events_shown: usize,
    blockers_shown: BTreeSet<(Option<u64>, String)>,
    panel: Panel,
}

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Nothing.
    Nothing,
    /// Lines for people.
    Lines,
    /// Each record as JSON.
    Json,
}

impl Shown {
    /// JSON if it was asked for.
    #[must_use]
    pub fn json_if(json: bool) -> Shown {
        if json { Shown::Json } else { Shown::Lines }
    }
}

impl Watch {
    /// Begins with nothing shown.
    #[must_use]
    pub fn new(shown: Shown, environment: &Environment) -> Watch {
        Watch {
            environment: environment.clone(),
            shown,
            give_up_when_stuck: false,
            events_shown: 0,
            blockers_shown: BTreeSet::new(),
            panel: Panel::new(shown != Shown::Lines),
        }
    }

    /// Ends with an error, instead of waiting, once a node has said that it cannot run the new version.
    #[must_use]
    pub fn give_up_when_stuck(mut self) -> Watch {
        self.give_up_when_stuck = true;
        self
    }

    /// Follows the change until `done` says so of a record, which it gives.
    ///
    /// # Errors
    /// The change ended otherwise, cannot go on ([`Watch::give_up_when_stuck`]), or the cluster gave no answer.
    pub async fn until(
        mut self,
        admin: &Admin,
        change: u64,
        done: impl Fn(&ChangeRecord) -> bool,
    ) -> anyhow::Result<ChangeRecord> {
        let mut records = admin.watch_change(change);
        loop {
            let next = match timeout(&self.environment, PATIENCE, records.next()).await {
                Ok(next) => next.map_err(explain)?,
                Err(TimedOut) => {
                    let now = admin.change(change).await.map_err(explain)?;
                    if let Some(stuck) = stuck(&now).filter(|_| self.give_up_when_stuck) {
                        return Err(stuck.into());
                    }
                    if self.panel.is_seen() {
                        self.draw(&now);
                        continue;
                    }
                    self.show_blockers(&now)?;
                    records.next().await.map_err(explain)?
                }
            };
            let Some(record) = next else { break };
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
        match self.shown {
            Shown::Nothing => {}
            Shown::Json => output::json(record)?,
            Shown::Lines => {
                for event in record.history.iter().skip(self.events_shown) {
                    self.panel.above(format!("{:>8}  {}", event.index, event.what))?;
                }
                self.events_shown = record.history.len();
                self.draw(record);
                // A rehearsal moves all the time, and is waited for all the same.
                if record.rehearsal.is_some() && !self.panel.is_seen() {
                    self.show_blockers(record)?;
                }
            }
        }
        Ok(())
    }

    fn draw(&self, record: &ChangeRecord) {
        let now_ms = self.environment.clock.wall_ms();
        self.panel.show(panel::lines(record, now_ms, paint_error).join("\n"));
    }

    fn show_blockers(&mut self, record: &ChangeRecord) -> anyhow::Result<()> {
        if self.shown != Shown::Lines {
            return Ok(());
        }
        for blocker in &record.blockers {
            let known = (blocker.node, without_digits(&blocker.what));
            if self.blockers_shown.insert(known) {
                output::line(format!("   waits  {}", blocker.what))?;
            }
        }
        Ok(())
    }
}

/// Whether a node has said that it cannot run the new version, most often since the module is at fault, on every node; or its
/// rehearsal says that it should not answer.
fn stuck(record: &ChangeRecord) -> Option<Stopped> {
    let before_switch = matches!(record.stage, Stage::Preparing | Stage::Ready);
    if let Some(stuck) = record
        .rehearsal
        .as_ref()
        .and_then(|rehearsal| rehearsed_badly(record, rehearsal))
    {
        return before_switch.then_some(stuck);
    }
    if let Some(rows) = record
        .verified
        .iter()
        .find(|rows| rows.failed > 0 && !rows.approved && before_switch)
    {
        return Some(lossy(record, rows));
    }
    let node = record.readiness.iter().find(|node| before_switch && !node.ready)?;
    let reason = node.reason.as_deref()?;
    let what = format!(
        "change {} waits, because {} cannot run version {} of {}: {reason}",
        record.id, node.name, record.to, record.application
    );
    let remedy = format!(
        "If the module is at fault, give it up: seachange change abort {id}    If it is the node, mend that: \
         seachange change watch {id} shows how it goes on",
        id = record.id
    );
    Some(Stopped::failed(what, remedy).coded("change_stuck"))
}

/// Rows did not come through, so that it waits for a person.
fn lossy(record: &ChangeRecord, rows: &VerifiedRecord) -> Stopped {
    let id = record.id;
    let what = format!(
        "change {id} waits, because {} of {} stored rows did not come through the new shape and back{}",
        rows.failed,
        rows.rows,
        rows.samples
            .first()
            .map_or_else(String::new, |row| format!(", the first {}: {}", row.key, row.why))
    );
    let remedy = format!(
        "See them: seachange change show {id}    As it should be: seachange change approve {id}    Not so: seachange change \
         abort {id}"
    );
    Stopped::failed(what, remedy).coded("change_stuck")
}

/// Whether more came out otherwise than may, so that it waits for a person.
fn rehearsed_badly(record: &ChangeRecord, rehearsal: &RehearsalRecord) -> Option<Stopped> {
    let max = rehearsal.asked.differences_max.unwrap_or(0);
    let id = record.id;
    if rehearsal.unlike {
        let what = format!(
            "change {id} cannot switch: two nodes came to different ends on the same commands, so version {} is not deterministic",
            record.to
        );
        let remedy = format!("Give it up: seachange change abort {id}");
        return Some(Stopped::failed(what, remedy).coded("change_stuck"));
    }
    if rehearsal.approved || rehearsal.differed <= max {
        return None;
    }
    let what = format!(
        "change {id} waits, because {} of {} commands came out otherwise in its rehearsal{}",
        rehearsal.differed,
        rehearsal.commands,
        rehearsal
            .samples
            .first()
            .map_or_else(String::new, |sample| format!(", the first so: {}", sample.what))
    );
    let remedy = format!(
        "See them: seachange change show {id}    As it should be: seachange change approve {id}    Not so: seachange change \
         abort {id}"
    );
    Some(Stopped::failed(what, remedy).coded("change_stuck"))
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
