//! Control entries about streams: where their named consumers stand.

use super::refused;
use crate::consumers::{Commit, Refusal};
use crate::machine::Machine;
use crate::{CommitConsumer, Decision, Index, Offset, RemoveConsumer};

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

    /// Start and end of a stream: of one that was written to, or that a manifest names.
    fn extent(&self, stream: &str) -> Result<(Offset, Offset), Refusal> {
        match self.position.streams.get(stream) {
            Some(end) => Ok((Offset(0), *end)),
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
