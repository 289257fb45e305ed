//! The worker that writes: one write and one sync for everything that has queued up since the last round.

use std::io;
use std::sync::Arc;

use environment::channel::{mpsc, oneshot};
use environment::{Clock, File};
use machine::{Index, Term};
use parking_lot::Mutex;

use super::files::Files;
use super::measures::LogMeasures;
use super::memory::{Memory, Segment};
use super::record::{Frame, Tag, frame_bytes};
use super::segment::{self, HEADER_BYTES, Header};
use super::{Flushed, Identity, Record};
use crate::limits::LOG_ROUND_BYTES;

/// What is asked of the worker.
pub(super) enum Operation {
    Append(Vec<Record>, Flushed),
    Truncate(Index, Flushed),
    Purge(Index, Term, Flushed),
    /// Something that was refused, answered in its turn.
    Refuse(io::Error, Flushed),
    Shutdown(oneshot::Sender<()>),
}

/// The segment that is written to.
pub(super) struct Current {
    pub file: Arc<dyn File>,
    pub salt: u32,
    /// Where the next frame goes.
    pub end: u32,
    /// Bytes known to be durable.
    pub durable: u32,
}

pub(super) struct Writer {
    pub memory: Arc<Mutex<Memory>>,
    pub queue: mpsc::UnboundedReceiver<Operation>,
    pub files: Files,
    pub identity: Identity,
    pub segment_bytes: u32,
    pub current: Option<Current>,
    /// The last purge that is durable.
    pub purged: Option<(Index, Term)>,
    pub buffer: Vec<u8>,
    /// Only to measure: nothing depends on it.
    pub clock: Arc<dyn Clock>,
    pub measures: Arc<LogMeasures>,
}

/// What became of a frame: what to remember once it is durable.
pub(super) enum Placed {
    Record(Index, u32),
    Truncation(Index),
    Purge(Index, Term),
}

impl Writer {
    pub(super) async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            let mut round = Vec::new();
            let mut bytes = 0;
            let mut next = Some(first);
            let mut shutdown = None;
            while let Some(operation) = next {
                bytes += operation.bytes();
                if let Operation::Shutdown(done) = operation {
                    shutdown = Some(done);
                    break;
                }
                round.push(operation);
                next = if bytes < LOG_ROUND_BYTES {
                    self.queue.try_recv().ok()
                } else {
                    None
                };
            }
            self.round(round, bytes).await;
            if let Some(done) = shutdown {
                self.end(done).await;
                return;
            }
        }
        self.files.finish().await;
    }

    /// Nothing is taken any more; what is still queued is refused.
    async fn end(mut self, done: oneshot::Sender<()>) {
        self.queue.close();
        let mut also = Vec::new();
        while let Some(operation) = self.queue.recv().await {
            match operation.into_flushed() {
                Ok(flushed) => flushed(Err(io::Error::other("the log is shut down"))),
                Err(done) => also.push(done),
            }
        }
        self.files.finish().await;
        for done in also.into_iter().chain([done]) {
            // Whoever asked may have given up.
            let _ = done.send(());
        }
    }

    async fn round(&mut self, round: Vec<Operation>, bytes: usize) {
        let failed = self.memory.lock().failed();
        let first = round.iter().find_map(Operation::first);
        let room = match failed {
            Some(error) => Err(error),
            None if bytes == 0 => Ok(None),
            None => self.room_for(first, bytes).await,
        };
        let result = room.and_then(|fresh| self.write(&round, fresh)).inspect_err(|error| {
            let mut memory = self.memory.lock();
            if memory.failed().is_none() {
                tracing::error!(%error, "the log could not be written");
                memory.fail(error);
            }
        });
        for operation in round {
            match (operation, &result) {
                (Operation::Refuse(error, flushed), _) => flushed(Err(error)),
                (
                    Operation::Append(_, flushed) | Operation::Truncate(_, flushed) | Operation::Purge(_, _, flushed),
                    Ok(()),
                ) => {
                    flushed(Ok(()));
                }
                (
                    Operation::Append(_, flushed) | Operation::Truncate(_, flushed) | Operation::Purge(_, _, flushed),
                    Err(error),
                ) => flushed(Err(io::Error::new(error.kind(), error.to_string()))),
                (Operation::Shutdown(_), _) => {}
            }
        }
        if result.is_ok()
            && self.queue.is_empty()
            && let Err(error) = self.mark_durable()
        {
            tracing::error!(%error, "the log could not be written");
            self.memory.lock().fail(&error);
        }
    }

    /// Writes a round, and returns once it is durable and known to those who read.
    fn write(&mut self, round: &[Operation], fresh: Option<Segment>) -> io::Result<()> {
        let waiting = round.iter().filter(|operation| operation.is_waited_for()).count();
        if round.iter().all(|operation| operation.bytes() == 0) {
            self.memory.lock().settle(waiting);
            return Ok(());
        }
        let Some(current) = &mut self.current else {
            return Err(io::Error::other("there is no segment to write to"));
        };
        // A fresh segment's header goes along with its first frames.
        let start = if fresh.is_some() { 0 } else { current.end };
        let placed = encode(round, current, &mut self.buffer);
        let begun = self.clock.now();
        current.file.write_all_at(&self.buffer, u64::from(start))?;
        let written = self.clock.now();
        current.file.sync_data()?;
        let synced = self.clock.now();
        self.measures.round(&placed, self.buffer.len(), begun, written, synced);
        current.end = start + self.buffer.len() as u32;
        current.durable = current.end;
        self.buffer.clear();
        self.buffer.shrink_to(LOG_ROUND_BYTES);

        let mut memory = self.memory.lock();
        if let Some(segment) = fresh {
            memory.add_segment(segment);
        }
        let mut purged = None;
        for placed in placed {
            match placed {
                Placed::Record(index, offset) => memory.place(index, offset),
                Placed::Truncation(from) => memory.displace(from),
                Placed::Purge(index, term) => purged = Some((index, term)),
            }
        }
        memory.set_end(current.end);
        memory.settle(waiting);
        if let Some((index, term)) = purged {
            self.purged = Some((index, term));
            self.files.remove(memory.drop_purged(index));
        }
        Ok(())
    }

    /// Goes on to the next segment if the round has no room in this one; its header is then in the buffer.
    async fn room_for(&mut self, first: Option<Index>, bytes: usize) -> io::Result<Option<Segment>> {
        if let Some(current) = &self.current
            && (current.end as usize + bytes <= self.segment_bytes as usize)
        {
            return Ok(None);
        }
        let prepared = self.files.prepared().await?;
        let header = Header {
            identity: self.identity,
            sequence: prepared.sequence,
            first: first.unwrap_or_default(),
            // What lies beyond is at most a mark that was never synced, and may be torn.
            previous_end: self.current.as_ref().map_or(0, |current| current.durable),
            purged: self.purged,
        };
        self.buffer.clear();
        header.encode(&mut self.buffer);
        let salt = segment::salt(self.identity, prepared.sequence);
        let full = self.current.replace(Current {
            file: prepared.file.clone(),
            salt,
            end: HEADER_BYTES as u32,
            durable: 0,
        });
        if let Some(full) = full {
            self.files.forget(full.file);
        }
        self.files.prepare(prepared.sequence + 1);
        Ok(Some(Segment::new(
            prepared.path,
            prepared.file,
            salt,
            HEADER_BYTES as u32,
        )))
    }

    /// Notes that the round before is durable, without waiting for the note to be so too: from then on damage to that
    /// round cannot be taken for a torn write.
    fn mark_durable(&mut self) -> io::Result<()> {
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        let room = current.end as usize + frame_bytes(0) <= self.segment_bytes as usize;
        if !room || current.durable < current.end {
            return Ok(());
        }
        self.buffer.clear();
        let mark = Frame::mark(Tag::Durable, Index(0), Term(0), current.durable);
        mark.encode(&[], current.salt, current.end, &mut self.buffer);
        current.file.write_all_at(&self.buffer, u64::from(current.end))?;
        current.end += self.buffer.len() as u32;
        self.buffer.clear();
        Ok(())
    }
}

/// Appends the frames of a round to the buffer, which may hold the segment's header already.
fn encode(round: &[Operation], current: &Current, buffer: &mut Vec<u8>) -> Vec<Placed> {
    let start = if buffer.is_empty() { current.end } else { 0 };
    let mut placed = Vec::new();
    for operation in round {
        let at = start + buffer.len() as u32;
        match operation {
            Operation::Append(records, _) => {
                for record in records {
                    let at = start + buffer.len() as u32;
                    Frame::of(record, current.durable).encode(&record.payload, current.salt, at, buffer);
                    placed.push(Placed::Record(record.index, at));
                }
            }
            Operation::Truncate(from, _) => {
                Frame::mark(Tag::Truncate, *from, Term(0), current.durable).encode(&[], current.salt, at, buffer);
                placed.push(Placed::Truncation(*from));
            }
            Operation::Purge(index, term, _) => {
                Frame::mark(Tag::Purge, *index, *term, current.durable).encode(&[], current.salt, at, buffer);
                placed.push(Placed::Purge(*index, *term));
            }
            Operation::Refuse(..) | Operation::Shutdown(_) => {}
        }
    }
    placed
}

impl Operation {
    /// Bytes that it takes in a segment.
    fn bytes(&self) -> usize {
        match self {
            Operation::Append(records, _) => records.iter().map(|record| frame_bytes(record.payload.len())).sum(),
            Operation::Truncate(..) | Operation::Purge(..) => frame_bytes(0),
            Operation::Refuse(..) | Operation::Shutdown(_) => 0,
        }
    }

    fn first(&self) -> Option<Index> {
        match self {
            Operation::Append(records, _) => records.first().map(|record| record.index),
            Operation::Truncate(..) | Operation::Purge(..) | Operation::Refuse(..) | Operation::Shutdown(_) => None,
        }
    }

    /// Whether the memory keeps account of it.
    fn is_waited_for(&self) -> bool {
        match self {
            Operation::Append(..) | Operation::Truncate(..) | Operation::Purge(..) => true,
            Operation::Refuse(..) | Operation::Shutdown(_) => false,
        }
    }

    pub(super) fn into_flushed(self) -> Result<Flushed, oneshot::Sender<()>> {
        match self {
            Operation::Append(_, flushed)
            | Operation::Truncate(_, flushed)
            | Operation::Purge(_, _, flushed)
            | Operation::Refuse(_, flushed) => Ok(flushed),
            Operation::Shutdown(done) => Err(done),
        }
    }
}
