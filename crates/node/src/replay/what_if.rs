//! Two machines side by side: one as it was, one in which another version answers from some entry on.

use std::collections::BTreeMap;

use bytes::Bytes;
use machine::{Code, Event, Index, Manifest, Outcome, Read, ReadValue, RequestView, Row, StateRead, TableId};

use super::{Error, Replay, Step};

/// The two machines.
pub struct WhatIf {
    real: Replay,
    other: Replay,
    application: String,
}

/// One entry under both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// As it was.
    pub real: Step,
    /// Commands that were answered in another way.
    pub outcomes: Vec<OutcomesDiffer>,
    /// Streams that got other events.
    pub events: Vec<EventsDiffer>,
}

/// A command that was answered in another way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomesDiffer {
    /// In which entry.
    pub index: Index,
    /// Which of its commands.
    pub place: usize,
    /// Its application.
    pub application: String,
    /// The command.
    pub command: String,
    /// As it was.
    pub real: Outcome,
    /// As it would have been.
    pub other: Outcome,
}

/// An entry whose events in one stream are others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsDiffer {
    /// Which entry.
    pub index: Index,
    /// The stream.
    pub stream: String,
    /// As it was.
    pub real: Vec<Event>,
    /// As it would have been.
    pub other: Vec<Event>,
}

/// A table at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableCompared {
    /// The table.
    pub table: String,
    /// Rows that both have.
    pub rows_equal: u64,
    /// Rows that differ, or that one of them has alone.
    pub rows_different: u64,
    /// The first of those.
    pub samples: Vec<RowDiffers>,
}

/// A row that differs, in the shape of the version that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDiffers {
    /// Its key.
    pub key: Bytes,
    /// As it was.
    pub real: Option<Bytes>,
    /// As it would have been.
    pub other: Option<Bytes>,
}

impl WhatIf {
    /// Lets a version answer from the entry after the last one applied on, in a second machine.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Refused`] where a plan of that version would be.
    pub fn begin(mut real: Replay, manifest: &Manifest, code: &Code, module: Option<&[u8]>) -> Result<WhatIf, Error> {
        let mut other = real.fork()?;
        other.force(manifest, code, module)?;
        Ok(WhatIf {
            real,
            other,
            application: manifest.application.clone(),
        })
    }

    /// Goes on to this entry.
    pub fn go_on_to(&mut self, last: Index) {
        self.real.go_on_to(last);
        self.other.go_on_to(last);
    }

    /// The machine as it was.
    #[must_use]
    pub fn real(&self) -> &Replay {
        &self.real
    }

    /// The one in which the other version answers.
    #[must_use]
    pub fn other(&self) -> &Replay {
        &self.other
    }

    /// Applies the next entry to both; nothing when there is none.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn step(&mut self) -> Result<Option<Compared>, Error> {
        let (Some(real), Some(other)) = (self.real.step()?, self.other.step()?) else {
            return Ok(None);
        };
        let mut outcomes = Vec::new();
        if real.replies != other.replies {
            let requests = RequestView::all(&real.payload).map_err(Error::unreadable)?;
            let replies = real.replies.iter().zip(&other.replies);
            for (place, (request, (ours, theirs))) in requests.iter().flatten().zip(replies).enumerate() {
                if ours.outcome != theirs.outcome {
                    outcomes.push(OutcomesDiffer {
                        index: real.index,
                        place,
                        application: request.application.to_owned(),
                        command: request.command.to_owned(),
                        real: ours.outcome.clone(),
                        other: theirs.outcome.clone(),
                    });
                }
            }
        }
        let events = differing_events(&real, &other);
        Ok(Some(Compared { real, outcomes, events }))
    }

    /// Compares the application's tables as they are now, of each at most `samples_max` rows that differ one by one. A row
    /// that lies in another shape than the version tried writes is compared as that version reads it.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn tables(&mut self, samples_max: usize) -> Result<Vec<TableCompared>, Error> {
        let tables = |replay: &Replay| {
            let application = replay.catalog().applications.get(&self.application);
            application
                .map(|application| application.tables.clone())
                .unwrap_or_default()
        };
        let (real, other) = (tables(&self.real), tables(&self.other));
        let mut compared = Vec::new();
        for (table, id) in &other {
            // One that only the version tried has may have the number of another's there.
            let real_id = real.get(table).copied();
            compared.push(self.table(table, real_id, *id, samples_max)?);
        }
        Ok(compared)
    }

    fn table(
        &mut self,
        table: &str,
        real_id: Option<TableId>,
        id: TableId,
        samples_max: usize,
    ) -> Result<TableCompared, Error> {
        let mut compared = TableCompared {
            table: table.to_owned(),
            rows_equal: 0,
            rows_different: 0,
            samples: Vec::new(),
        };
        // Both are in order of key, so what one has alone is found without looking for it.
        let mut rows: BTreeMap<Bytes, (Option<Row>, Option<Row>)> = BTreeMap::new();
        if let Some(real_id) = real_id {
            self.real.state.scan(real_id, &[], None, false, &mut |key, row| {
                rows.insert(Bytes::copy_from_slice(key), (Some(row.clone()), None));
                true
            })?;
        }
        self.other.state.scan(id, &[], None, false, &mut |key, row| {
            match rows.get_mut(key) {
                Some(pair) => pair.1 = Some(row.clone()),
                None => drop(rows.insert(Bytes::copy_from_slice(key), (None, Some(row.clone())))),
            }
            true
        })?;
        for (key, (real, other)) in rows {
            let (real, other) = match (real, other) {
                (real, other) if real == other => {
                    compared.rows_equal += 1;
                    continue;
                }
                (Some(real), Some(other)) if real.shape != other.shape => {
                    (self.as_read(table, &key, true)?, self.as_read(table, &key, false)?)
                }
                (real, other) => (real.map(|row| row.document), other.map(|row| row.document)),
            };
            if real == other {
                compared.rows_equal += 1;
                continue;
            }
            compared.rows_different += 1;
            if compared.samples.len() < samples_max {
                compared.samples.push(RowDiffers { key, real, other });
            }
        }
        self.other.end_reads();
        Ok(compared)
    }

    /// A row as the version tried reads it.
    fn as_read(&mut self, table: &str, key: &Bytes, of_real: bool) -> Result<Option<Bytes>, Error> {
        let read = Read::Get {
            application: self.application.clone(),
            table: table.to_owned(),
            key: key.clone(),
        };
        let value = match of_real {
            true => self.other.read_over(&read, &self.real.state),
            false => self.other.read(&read),
        };
        match value.map_err(Error::unreadable)? {
            ReadValue::Document(document) => Ok(document),
            ReadValue::Pairs { .. } | ReadValue::Answer(_) | ReadValue::Refused(_) => Ok(None),
        }
    }
}

/// Where the events of an entry are stands in the streams depends on those before: keys and values are compared.
fn differing_events(real: &Step, other: &Step) -> Vec<EventsDiffer> {
    fn by_stream(step: &Step) -> BTreeMap<&str, Vec<&Event>> {
        let mut streams: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
        for (stream, event) in &step.events {
            streams.entry(stream).or_default().push(event);
        }
        streams
    }
    let (ours, theirs) = (by_stream(real), by_stream(other));
    let mut streams: Vec<&str> = ours.keys().chain(theirs.keys()).copied().collect();
    streams.sort_unstable();
    streams.dedup();
    let mut differing = Vec::new();
    for stream in streams {
        let of = |events: &BTreeMap<&str, Vec<&Event>>| -> Vec<Event> {
            events
                .get(stream)
                .into_iter()
                .flatten()
                .map(|event| (*event).clone())
                .collect()
        };
        let (ours, theirs) = (of(&ours), of(&theirs));
        let content = |events: &[Event]| -> Vec<(Option<Bytes>, Bytes)> {
            events
                .iter()
                .map(|event| (event.key.clone(), event.value.clone()))
                .collect()
        };
        if content(&ours) != content(&theirs) {
            differing.push(EventsDiffer {
                index: real.index,
                stream: stream.to_owned(),
                real: ours,
                other: theirs,
            });
        }
    }
    differing
}
