//! `seachange replay --use`: what another version would have made of the same commands.

use std::path::Path;

use bytes::Bytes;
use client::wire::{EventRecord, Row};
use node::replay::{
    Archive, EmittedEvent, EventsDiffer, OutcomesDiffer, Replay, RowDiffers, RowRead, TableCompared, WhatIf,
};
use serde_json::{Value, json};

use super::show::{Show, outcome, outcome_json};
use super::{Arguments, Tally, explain};
use crate::output;
use crate::package::Package;

/// What differs, counted; the first of each kind are printed.
pub struct Differences {
    json: bool,
    /// How many of each kind are printed.
    samples_max: usize,
    commands: u64,
    outcomes: u64,
    events: u64,
    rows: u64,
}

/// Runs both from where `replay` stands. Gives what production's digests said of the one that is as it was.
pub fn run(
    arguments: &Arguments,
    package: &Path,
    replay: Replay,
    archive: &Archive,
    show: &Show,
) -> anyhow::Result<Tally> {
    let candidate = Package::read(package, false)?.into_candidate()?;
    let at = replay.applied();
    let mut both = WhatIf::begin(replay, &candidate).map_err(|error| explain(&error))?;
    let last = arguments.to_index.map_or(archive.committed(), machine::Index);
    both.go_on_to(last);
    if !arguments.json {
        output::line(format!(
            "trying version {} of {} from entry {} to {}, beside what was",
            candidate.manifest.version,
            candidate.manifest.application,
            output::grouped(at.next().0),
            output::grouped(last.0)
        ))?;
    }
    let samples_max = if arguments.diff { arguments.limit as usize } else { 0 };
    let mut found = Differences::new(arguments.json, samples_max);
    let mut tally = Tally::default();
    while let Some(compared) = both.step().map_err(|error| explain(&error))? {
        tally.note(&compared.real);
        show.step(&compared.real, at)?;
        found.entry(compared.real.replies.len(), &compared.outcomes, &compared.events)?;
    }
    found.tables(&both.tables(samples_max).map_err(|error| explain(&error))?)?;
    let (real, other) = (both.real().digest(), both.other().digest());
    if arguments.json {
        let digests = json!({ "what": "digests", "was": real.to_string(), "would_be": other.to_string() });
        output::json(&digests)?;
    } else {
        output::line(format!("digest {real} as it was, {other} as it would be"))?;
    }
    Ok(tally)
}

impl Differences {
    /// None so far.
    pub fn new(json: bool, samples_max: usize) -> Differences {
        Differences {
            json,
            samples_max,
            commands: 0,
            outcomes: 0,
            events: 0,
            rows: 0,
        }
    }

    /// Whether anything differs.
    pub fn is_any(&self) -> bool {
        self.outcomes + self.events + self.rows > 0
    }

    /// What of an entry with so many commands differs.
    pub fn entry(
        &mut self,
        commands: usize,
        outcomes: &[OutcomesDiffer],
        events: &[EventsDiffer],
    ) -> anyhow::Result<()> {
        self.commands += commands as u64;
        for differs in outcomes {
            self.outcome(differs)?;
        }
        for differs in events {
            self.events(differs)?;
        }
        Ok(())
    }

    /// Whether the next one is still to be printed.
    fn is_shown(&self, before: u64) -> bool {
        before < self.samples_max as u64
    }

    fn outcome(&mut self, differs: &OutcomesDiffer) -> anyhow::Result<()> {
        let is_shown = self.is_shown(self.outcomes);
        self.outcomes += 1;
        if !is_shown {
            return Ok(());
        }
        let OutcomesDiffer {
            index,
            place,
            application,
            command,
            real,
            other,
        } = differs;
        if self.json {
            return output::json(&json!({
                "what": "answer_differs",
                "index": index.0,
                "place": place,
                "application": application,
                "command": command,
                "was": outcome_json(*index, real)?,
                "would_be": outcome_json(*index, other)?,
            }));
        }
        output::line(format!(
            "entry {}, command {place}, {command}:\n  was       {}\n  would be  {}",
            output::grouped(index.0),
            outcome(real),
            outcome(other)
        ))
    }

    fn events(&mut self, differs: &EventsDiffer) -> anyhow::Result<()> {
        let is_shown = self.is_shown(self.events);
        self.events += 1;
        if !is_shown {
            return Ok(());
        }
        let (index, stream) = (differs.index, &differs.stream);
        if self.json {
            return output::json(&json!({
                "what": "events_differ",
                "index": index.0,
                "stream": stream,
                "were": differs.real.iter().map(record).collect::<Vec<_>>(),
                "would_be": differs.other.iter().map(record).collect::<Vec<_>>(),
            }));
        }
        let (real, other) = without_equal(&differs.real, &differs.other);
        output::line(format!(
            "entry {}, events of {stream}:\n  were      {}\n  would be  {}",
            output::grouped(index.0),
            events(real),
            events(other)
        ))
    }

    /// The tables at the end, and with them the whole.
    pub fn tables(&mut self, tables: &[TableCompared]) -> anyhow::Result<()> {
        for table in tables {
            self.rows += table.rows_different;
            for row in &table.samples {
                self.row(&table.table, row)?;
            }
        }
        if self.json {
            let rows = |table: &TableCompared| json!({ "table": table.table, "equal": table.rows_equal, "different": table.rows_different });
            return output::json(&json!({
                "what": "compared",
                "commands": self.commands,
                "answers_different": self.outcomes,
                "events_different": self.events,
                "tables": tables.iter().map(rows).collect::<Vec<_>>(),
            }));
        }
        output::line(format!(
            "of {} commands {} would have been answered otherwise; the events of {} entries would have been others",
            output::grouped(self.commands),
            output::grouped(self.outcomes),
            output::grouped(self.events)
        ))?;
        for table in tables {
            output::line(format!(
                "table {}: {} rows equal, {} different at the end",
                table.table,
                output::grouped(table.rows_equal),
                output::grouped(table.rows_different)
            ))?;
        }
        Ok(())
    }

    fn row(&self, table: &str, row: &RowDiffers) -> anyhow::Result<()> {
        let read = |read: &RowRead| match read {
            RowRead::Absent => "(none)".to_owned(),
            RowRead::Document(document) => output::text(document),
            RowRead::Failed(failure) => format!("failed {}: {}", failure.code.name(), failure.detail),
        };
        if !self.json {
            return output::line(format!(
                "table {table}, row {}:\n  was       {}\n  would be  {}",
                output::text(&row.key),
                read(&row.real),
                read(&row.other)
            ));
        }
        output::json(&json!({
            "what": "row_differs",
            "table": table,
            "was": row_json(&row.key, &row.real),
            "would_be": row_json(&row.key, &row.other),
        }))
    }
}

/// A row as the HTTP API gives it, or its key and why the version tried cannot read it.
fn row_json(key: &Bytes, read: &RowRead) -> Value {
    let row = |document: &Bytes| {
        json!(Row {
            key: key.clone(),
            document: document.clone(),
        })
    };
    match read {
        RowRead::Absent => Value::Null,
        RowRead::Document(document) => row(document),
        RowRead::Failed(failure) => {
            let mut row = row(&Bytes::new());
            if let Some(fields) = row.as_object_mut() {
                fields.retain(|name, _| name.starts_with("key"));
                fields.insert("code".to_owned(), json!(failure.code.name()));
                fields.insert("detail".to_owned(), json!(failure.detail));
            }
            row
        }
    }
}

/// An event as the HTTP API gives it, but for where and when.
fn record(event: &EmittedEvent) -> Value {
    let mut record = json!(EventRecord {
        offset: 0,
        time_ms: 0,
        key: event.key.clone(),
        value: event.value.clone(),
        version: 1,
    });
    if let Some(fields) = record.as_object_mut() {
        fields.retain(|name, _| name != "offset" && name != "time_ms");
    }
    record
}

/// What stands before the first pair that differs says nothing.
fn without_equal<'a>(real: &'a [EmittedEvent], other: &'a [EmittedEvent]) -> (&'a [EmittedEvent], &'a [EmittedEvent]) {
    let equal = real
        .iter()
        .zip(other)
        .take_while(|(ours, theirs)| ours == theirs)
        .count();
    (&real[equal..], &other[equal..])
}

/// The first few of these, for people.
fn events(events: &[EmittedEvent]) -> String {
    const SHOWN_MAX: usize = 3;
    let shown = events.iter().take(SHOWN_MAX).map(|event| output::text(&event.value));
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if events.is_empty() {
        text.push_str("(none)");
    }
    if events.len() > SHOWN_MAX {
        text.push_str(&format!(" and {} more", events.len() - SHOWN_MAX));
    }
    text
}
