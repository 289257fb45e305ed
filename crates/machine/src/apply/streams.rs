//! Control entries about streams: where they begin, and where their named consumers stand.

use super::refused;
use crate::consumers::{Commit, Refusal};
use crate::machine::Machine;
use crate::{CommitConsumer, Decision, Index, Offset, RemoveConsumer, TrimStreams};

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
        decision(index, self.consumers.remove(&remove.stream, &remove.consumer))
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

fn decision(index: Index, done: Result<(), Refusal>) -> Decision {
    match done {
        Ok(()) => Decision::Done { index },
        Err((code, reason)) => refused(code, reason),
    }
}
