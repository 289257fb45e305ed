//! `seachange replay --use`: what another version would have made of the same commands.

use std::path::Path;

use bytes::Bytes;
use client::wire::{EventRecord, Row};
use host::Registry;
use machine::{Code, Digest, Event};
use node::replay::{Archive, EventsDiffer, OutcomesDiffer, Replay, RowDiffers, TableCompared, WhatIf};
use serde_json::{Value, json};

use super::show::{Show, outcome, outcome_json};
use super::{Arguments, Tally, explain};
use crate::output;
use crate::package::{Package, PackagedCode};

/// What differs, counted; the first of each kind are printed if that is wanted.
struct Differences<'a> {
    arguments: &'a Arguments,
    commands: u64,
    outcomes: u64,
    events: u64,
}

/// Runs both from where `replay` stands. Gives what production's digests said of the one that is as it was.
pub fn run(
    arguments: &Arguments,
    package: &Path,
    replay: Replay,
    archive: &Archive,
    show: &Show,
) -> anyhow::Result<Tally> {
    let Package { manifest, code } = Package::read(package, false)?;
    let manifest = edge::read_manifest(manifest);
    let module = match code {
        PackagedCode::Module(module) => Some(module),
        PackagedCode::Native => None,
    };
    let meter = Registry::new(Vec::new()).meter();
    let code = match &module {
        Some(module) => Code::Wasm {
            module: Digest::of(module),
            meter,
        },
        None => Code::Native,
    };
    let at = replay.applied();
    let mut both = WhatIf::begin(replay, &manifest, &code, module.as_deref()).map_err(|error| explain(&error))?;
    let last = arguments.to_index.map_or(archive.committed(), machine::Index);
    both.go_on_to(last);
    if !arguments.json {
        output::line(format!(
            "trying version {} of {} from entry {} to {}, beside what was",
            manifest.version,
            manifest.application,
            output::grouped(at.next().0),
            output::grouped(last.0)
        ))?;
    }
    let mut found = Differences {
        arguments,
        commands: 0,
        outcomes: 0,
        events: 0,
    };
    let mut tally = Tally::default();
    while let Some(compared) = both.step().map_err(|error| explain(&error))? {
        tally.note(&compared.real);
        show.step(&compared.real, at)?;
        found.commands += compared.real.replies.len() as u64;
        for differs in &compared.outcomes {
            found.outcome(differs)?;
        }
        for differs in &compared.events {
            found.events(differs)?;
        }
    }
    let samples = if arguments.diff { arguments.limit as usize } else { 0 };
    let tables = both.tables(samples).map_err(|error| explain(&error))?;
    found.conclude(&tables, &both)?;
    Ok(tally)
}

impl Differences<'_> {
    /// Whether the next one is still to be printed.
    fn is_shown(&self, before: u64) -> bool {
        self.arguments.diff && before < u64::from(self.arguments.limit)
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
        if self.arguments.json {
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
        if self.arguments.json {
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

    fn conclude(&self, tables: &[TableCompared], both: &WhatIf) -> anyhow::Result<()> {
        for table in tables {
            for row in &table.samples {
                self.row(&table.table, row)?;
            }
        }
        if self.arguments.json {
            let rows = |table: &TableCompared| json!({ "table": table.table, "equal": table.rows_equal, "different": table.rows_different });
            return output::json(&json!({
                "what": "compared",
                "index": both.real().applied().0,
                "commands": self.commands,
                "answers_different": self.outcomes,
                "events_different": self.events,
                "tables": tables.iter().map(rows).collect::<Vec<_>>(),
                "digest_was": both.real().digest().to_string(),
                "digest_would_be": both.other().digest().to_string(),
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
        let document = |document: &Option<Bytes>| document.as_deref().map_or("(none)".to_owned(), output::text);
        if !self.arguments.json {
            return output::line(format!(
                "table {table}, row {}:\n  was       {}\n  would be  {}",
                output::text(&row.key),
                document(&row.real),
                document(&row.other)
            ));
        }
        let of = |document: &Option<Bytes>| {
            document.as_ref().map(|document| Row {
                key: row.key.clone(),
                document: document.clone(),
            })
        };
        output::json(&json!({
            "what": "row_differs",
            "table": table,
            "was": of(&row.real),
            "would_be": of(&row.other),
        }))
    }
}

fn record(event: &Event) -> Value {
    json!(EventRecord {
        offset: event.offset.0,
        time_ms: event.time.0,
        key: event.key.clone(),
        value: event.value.clone(),
    })
}

/// What stands before the first pair that differs says nothing.
fn without_equal<'a>(real: &'a [Event], other: &'a [Event]) -> (&'a [Event], &'a [Event]) {
    let same = |(ours, theirs): &(&Event, &Event)| ours.key == theirs.key && ours.value == theirs.value;
    let equal = real.iter().zip(other).take_while(same).count();
    (&real[equal..], &other[equal..])
}

/// The first few of these, for people.
fn events(events: &[Event]) -> String {
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
