//! Control entries about streams: where they begin, and where their named consumers stand.

use super::refused;
use crate::consumers::{Commit, Refusal, unknown_consumer};
use crate::machine::Machine;
use crate::{Catalog, CommitConsumer, Decision, Index, Offset, PinConsumer, RemoveConsumer, Stage, TrimStreams};

impl Machine {
    pub(super) fn commit_consumer(&mut self, index: Index, commit: &CommitConsumer) -> Decision {
        let time = self.position.time;
        let moved = self.extent(&commit.stream).and_then(|(start, end)| {
            let commit = Commit {
                stream: &commit.stream,
                name: &commit.consumer,
                offset: commit.offset,
                expected: commit.expected,
                reset: commit.reset,
            };
            self.consumers.commit(&commit, start, end, time)
        });
        decision(index, moved)
    }

    pub(super) fn remove_consumer(&mut self, index: Index, remove: &RemoveConsumer) -> Decision {
        let removed = self.consumers.remove(&remove.stream, &remove.consumer);
        if removed.is_ok() {
            self.unpin(&remove.stream, &remove.consumer);
        }
        decision(index, removed)
    }

    /// A consumer that is gone, or that takes events as they come, is pinned to nothing.
    pub(super) fn unpin(&mut self, stream: &str, consumer: &str) {
        if self.catalog.pin(stream, consumer).is_some() {
            self.catalog_mut().set_pin(stream, consumer, None);
        }
    }

    pub(super) fn pin_consumer(&mut self, index: Index, pin: &PinConsumer) -> Decision {
        let PinConsumer {
            stream,
            consumer,
            version,
        } = pin;
        let known = self.extent(stream).and_then(|_| {
            let known = self.consumers.shared().get(stream, consumer);
            known.map(drop).ok_or_else(|| unknown_consumer(stream, consumer))
        });
        let Some(version) = *version else {
            if known.is_ok() {
                self.unpin(stream, consumer);
            }
            return decision(index, known);
        };
        let served = known.and_then(|()| require_served(&self.catalog, stream, version));
        if served.is_ok() {
            self.catalog_mut().set_pin(stream, consumer, Some(version));
        }
        decision(index, served)
    }

    pub(super) fn trim_streams(&mut self, index: Index, trim: TrimStreams) -> Decision {
        let mut further = Vec::new();
        for (stream, wanted) in trim.starts {
            let (start, end) = match self.extent(&stream) {
                Ok(extent) => extent,
                Err((code, reason)) => return refused(code, reason),
            };
            if wanted > end {
                let reason = format!("stream {stream} ends at {end}: it cannot begin at {wanted}, beyond its end");
                return refused("offset_past_end", reason);
            }
            // One that somebody else has cut further meanwhile stays so.
            if wanted > start {
                further.push((stream, wanted));
            }
        }
        if !further.is_empty() {
            self.stream_starts_mut().extend(further);
        }
        Decision::Done { index }
    }

    /// Start and end of a stream: of one that was written to, or that a manifest names.
    fn extent(&self, stream: &str) -> Result<(Offset, Offset), Refusal> {
        match self.position.streams.get(stream) {
            Some(end) => Ok((self.stream_starts().get(stream).copied().unwrap_or_default(), *end)),
            None if self.catalog.has_stream(stream) => Ok((Offset(0), Offset(0))),
            None => Err((
                "unknown_stream",
                format!("there is no stream {stream:?}: seachange stream list shows those there are"),
            )),
        }
    }
}

/// The version in force, and the one that is to come, must give events in that version.
fn require_served(catalog: &Catalog, stream: &str, version: u16) -> Result<(), Refusal> {
    let emitted = catalog.event_version(stream);
    if version == 0 || version > emitted {
        let reason =
            format!("events of {stream} are emitted in version {emitted}: pin to that one, or to an earlier one");
        return Err(("event_version_unserved", reason));
    }
    if version < emitted && catalog.way_down(stream, emitted, version).is_none() {
        let reason = format!(
            "events of {stream} are emitted in version {emitted}, and the manifest in force has no downcast that brings \
             them into version {version}: pin to {emitted}, or bring a version of the application with one"
        );
        return Err(("event_version_unserved", reason));
    }
    let name = stream.split('.').next().unwrap_or_default();
    let Some((id, change)) = catalog.running_change(name) else {
        return Ok(());
    };
    // The one that is to come, and the one that it may be taken back to.
    let others = match change.stage {
        Stage::Switched => change.from,
        Stage::Preparing | Stage::Ready => Some(change.to),
        Stage::Finalized | Stage::Aborted | Stage::Reverted => None,
    };
    let Some(other) = others else {
        return Ok(());
    };
    let events = catalog.contract(name, other).map(|contract| &contract.events);
    let serves = events.is_none_or(|events| {
        let emitted = events.version_of(stream);
        version >= emitted || events.downcasts_of(stream, emitted, version).is_some()
    });
    match serves {
        true => Ok(()),
        false => {
            let reason = format!(
                "while change {id} is {}, version {other} of {name} may answer, which has no downcast of events of {stream} \
                 into version {version}: end that change first, or pin to a later version",
                change.stage.name()
            );
            Err(("event_version_unserved", reason))
        }
    }
}

fn decision(index: Index, done: Result<(), Refusal>) -> Decision {
    match done {
        Ok(()) => Decision::Done { index },
        Err((code, reason)) => refused(code, reason),
    }
}
