//! Two machines side by side: one as it was, one in which another version answers from some entry on.

use std::collections::BTreeMap;

use bytes::Bytes;
use machine::{Event, Index, Outcome, RequestView, record};

use super::tables::{TableCompared, compare_tables};
use super::{Candidate, Error, Replay, Step};

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
    pub real: Vec<EmittedEvent>,
    /// As it would have been.
    pub other: Vec<EmittedEvent>,
}

/// An event, wherever it stands in its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmittedEvent {
    /// The stream.
    pub stream: String,
    /// Its key, if the application gave one.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Bytes,
}
record!(EmittedEvent { stream, key, value });

impl WhatIf {
    /// Lets a version answer from the entry after the last one applied on, in a second machine.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Refused`] where a plan of that version would be.
    pub fn begin(mut real: Replay, candidate: &Candidate) -> Result<WhatIf, Error> {
        let mut other = real.fork()?;
        other.force(candidate)?;
        Ok(WhatIf {
            real,
            other,
            application: candidate.manifest.application.clone(),
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
        let events = differing_events(real.index, emitted(&real.events), emitted(&other.events));
        Ok(Some(Compared { real, outcomes, events }))
    }

    /// Compares the application's tables as they are now, of each at most `samples_max` rows that differ one by one. A row
    /// that lies in another shape than the version tried writes is compared as that version reads it.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn tables(&mut self, samples_max: usize) -> Result<Vec<TableCompared>, Error> {
        let application = self.real.catalog().applications.get(&self.application);
        let tables = application
            .map(|application| application.tables.clone())
            .unwrap_or_default();
        let real = (&self.real.player.state, &tables);
        compare_tables(&mut self.other.player, &self.application, real, samples_max)
    }
}

/// The events of an entry that are others. Where they stand in their streams depends on those before.
pub(super) fn differing_events(
    index: Index,
    real: impl Iterator<Item = EmittedEvent>,
    other: impl Iterator<Item = EmittedEvent>,
) -> Vec<EventsDiffer> {
    let mut streams: BTreeMap<String, [Vec<EmittedEvent>; 2]> = BTreeMap::new();
    let both = real.map(|event| (0, event)).chain(other.map(|event| (1, event)));
    for (whose, event) in both {
        streams.entry(event.stream.clone()).or_default()[whose].push(event);
    }
    let differing = streams.into_iter().filter(|(_, [real, other])| real != other);
    differing
        .map(|(stream, [real, other])| EventsDiffer {
            index,
            stream,
            real,
            other,
        })
        .collect()
}

pub(super) fn emitted(events: &[(String, Event)]) -> impl Iterator<Item = EmittedEvent> {
    events.iter().map(|(stream, event)| EmittedEvent {
        stream: stream.clone(),
        key: event.key.clone(),
        value: event.value.clone(),
    })
}
