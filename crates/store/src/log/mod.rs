//! The log: records in a row, appended by one worker, durable when their callback says so.
//!
//! A directory of segments, each preallocated and filled with zeros ahead of time, so that a commit is one write and
//! one sync of data and nothing else. Nothing is ever written over: what takes the place of older records is appended,
//! and opening the log reads everything in the order in which it was written. Files are removed whole, oldest first,
//! once all their records are purged, and never used again.
//!
//! | file | what |
//! |---|---|
//! | `00000000000000000001.log` … | segments, by their number |
//! | `vote`, `committed` | the node's vote; how far it knew the log to be committed |

mod error;
mod files;
mod measures;
mod memory;
mod page;
mod record;
mod recover;
mod segment;
mod slots;
mod vote;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use environment::channel::{mpsc, oneshot};
use environment::{Disk, Environment};
use machine::{ClusterId, Index, NodeId, Term};
use parking_lot::Mutex;

pub use error::Error;
pub use measures::LogMeasures;
pub use page::{PageDamaged, read_page, write_page};
pub use record::Record;
pub use vote::Vote;

use crate::{format, limits};
use files::Files;
use memory::{Extent, Found, Memory};
use record::{Decoded, Frame};
use slots::Slots;
use writer::{Operation, Writer};

/// Called once, on the log's worker, when what was asked is durable or can never be. It must not block.
pub type Flushed = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Whose log it is. Every file carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
}

impl Identity {
    fn foreign(self, found: Identity, file: &Path) -> format::Error {
        let name = |identity: Identity| format!("node {} of cluster {:016x}", identity.node, identity.cluster.0);
        format::Error::Foreign {
            file: file.to_owned(),
            found: name(found),
            wanted: name(self),
        }
    }
}

/// How a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// Bytes of a segment. A round of appends that is larger than this gets a segment of its own size.
    pub segment_bytes: u32,
    /// Bytes of recent records that are kept in memory; those that are not yet durable are kept beyond it.
    pub cache_bytes: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions {
            segment_bytes: limits::LOG_SEGMENT_BYTES,
            cache_bytes: limits::LOG_CACHE_BYTES,
        }
    }
}

/// A log that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The log.
    pub log: Log,
    /// What was found and put right, for people.
    pub warnings: Vec<String>,
}

/// A handle to the log; clones share it. When the last one is dropped, the worker finishes what it has and ends.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

struct Shared {
    identity: Identity,
    memory: Arc<Mutex<Memory>>,
    operations: mpsc::UnboundedSender<Operation>,
    measures: Arc<LogMeasures>,
    vote: Mutex<(Slots, Option<Vote>)>,
    committed: Mutex<(Slots, Option<(Index, Term)>)>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (first, last) = (self.first(), self.last());
        formatter
            .debug_struct("Log")
            .field("first", &first)
            .field("last", &last)
            .finish_non_exhaustive()
    }
}

impl Log {
    /// Opens the log in `directory`, which is made if need be, and starts its workers. Blocks while it reads
    /// everything.
    ///
    /// # Errors
    /// See [`Error`]. A torn tail is no error: it is cut, and [`Opened::warnings`] says so.
    pub fn open(
        environment: &Environment,
        directory: &Path,
        identity: Identity,
        options: LogOptions,
    ) -> Result<Opened, Error> {
        let sizes = limits::LOG_SEGMENT_BYTES_MIN..=limits::LOG_SEGMENT_BYTES_MAX;
        if !sizes.contains(&options.segment_bytes) {
            return Err(Error::Options(format!(
                "a segment of {} bytes was asked for: give {} to {}",
                options.segment_bytes,
                sizes.start(),
                sizes.end()
            )));
        }
        let disk = &*environment.disk;
        create_directory(disk, directory)?;
        let mut recovered = recover::recover(disk, directory, identity, options.cache_bytes)?;
        let vote = open_vote(disk, directory, identity, &mut recovered.warnings)?;
        let committed = open_committed(disk, directory, identity)?;

        let files = Files::start(environment, directory.to_owned(), options.segment_bytes);
        files.prepare(recovered.sequence_next);
        // Not bounded here: whoever appends holds back by what is not yet flushed.
        let (operations, queue) = mpsc::unbounded_channel();
        let purged = recovered.memory.purged();
        let memory = Arc::new(Mutex::new(recovered.memory));
        let measures = Arc::new(LogMeasures::default());
        let writer = Writer {
            memory: memory.clone(),
            queue,
            files,
            identity,
            segment_bytes: options.segment_bytes,
            current: recovered.current,
            purged,
            buffer: Vec::new(),
            clock: environment.clock.clone(),
            measures: measures.clone(),
        };
        environment.spawn_worker("log-writer", writer.run());
        let shared = Shared {
            identity,
            memory,
            operations,
            measures,
            vote: Mutex::new(vote),
            committed: Mutex::new(committed),
        };
        Ok(Opened {
            log: Log {
                shared: Arc::new(shared),
            },
            warnings: recovered.warnings,
        })
    }

    /// Appends records that follow one another. They take the place of all there are from the first one's index on,
    /// can be read at once, and are durable when `flushed` is called with `Ok`. Calls come in the order of appends.
    ///
    /// After the first failure of the disk, this and everything later gets an error: a sync that failed is never tried
    /// again. An index that leaves a gap or was purged is refused without harm. In an empty log that was never purged,
    /// the first index may be any.
    pub fn append(&self, records: Vec<Record>, flushed: Flushed) {
        let mut memory = self.shared.memory.lock();
        let operation = match (memory.failed(), memory.check(&records)) {
            (Some(error), _) => Operation::Refuse(error, flushed),
            (None, Err(reason)) => Operation::Refuse(io::Error::new(io::ErrorKind::InvalidInput, reason), flushed),
            (None, Ok(())) => {
                memory.take(&records);
                Operation::Append(records, flushed)
            }
        };
        // Sent under the lock, so that the worker's order is the memory's.
        let unsent = self.shared.operations.send(operation);
        drop(memory);
        refuse(unsent);
    }

    /// Removes everything after `last`; all there is, when none.
    pub fn truncate_after(&self, last: Option<Index>, done: Flushed) {
        let mut memory = self.shared.memory.lock();
        let from = last.map_or(memory.first(), Index::next);
        let operation = match memory.failed() {
            Some(error) => Operation::Refuse(error, done),
            None if from < memory.first() => {
                let reason = format!(
                    "everything after {from} was to be removed, but the log begins at {}",
                    memory.first()
                );
                Operation::Refuse(io::Error::new(io::ErrorKind::InvalidInput, reason), done)
            }
            None => {
                memory.take_truncation(from);
                Operation::Truncate(from, done)
            }
        };
        let unsent = self.shared.operations.send(operation);
        drop(memory);
        refuse(unsent);
    }

    /// Removes everything up to `index`, which has that term, whether the log has come that far or not: the next record
    /// after a purge beyond the end is `index + 1`. Space is given back in whole segments. `done` is called when the
    /// purge is durable.
    pub fn purge_through(&self, index: Index, term: Term, done: Flushed) {
        let mut memory = self.shared.memory.lock();
        let operation = match memory.failed() {
            Some(error) => Operation::Refuse(error, done),
            None => {
                memory.take_purge(index, term);
                let (index, term) = memory.purged().unwrap_or((index, term));
                Operation::Purge(index, term, done)
            }
        };
        let unsent = self.shared.operations.send(operation);
        drop(memory);
        refuse(unsent);
    }

    /// Records from `from` on, before `to`, of about `bytes_max` in all, and at least one if there is one; all as they
    /// stood at one moment. Blocks when they are no longer in memory.
    ///
    /// # Errors
    /// [`Error::Purged`], [`Error::Damaged`], [`Error::Disk`].
    pub fn read(&self, from: Index, to: Index, bytes_max: usize) -> Result<Vec<Record>, Error> {
        let mut records: Vec<Record> = Vec::new();
        let mut from = from;
        let mut left = bytes_max;
        let mut truncations = None;
        loop {
            if !records.is_empty() && left == 0 {
                return Ok(records);
            }
            let found = {
                let memory = self.shared.memory.lock();
                // What was read so far is no beginning of what stands there now.
                let changed = *truncations.get_or_insert(memory.truncations()) != memory.truncations();
                if !records.is_empty() && (changed || from < memory.first()) {
                    return Ok(records);
                }
                memory.find(from, to, left.min(limits::LOG_READ_BYTES))?
            };
            let more = match found {
                Found::Nothing => return Ok(records),
                Found::Records(more) => more,
                Found::Extent(extent) => extent.read()?,
            };
            for record in more {
                // One at least; never past what was asked for after that.
                if !records.is_empty() && record.payload.len() > left {
                    return Ok(records);
                }
                left = left.saturating_sub(record.payload.len());
                from = record.index.next();
                records.push(record);
            }
        }
    }

    /// Reads every segment from the disk again, past everything that is in memory, and checks each record. Blocks.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Format`] when the beginning of a segment is; [`Error::Disk`].
    pub fn check(&self) -> Result<(), Error> {
        let segments = self.shared.memory.lock().segments();
        for (path, file, salt, end) in segments {
            let mut bytes = vec![0; end as usize];
            let read = file.read_at(&mut bytes, 0).map_err(Error::disk(&path))?;
            bytes.truncate(read);
            if let Some(sequence) = segment::sequence_of(&path) {
                segment::Header::decode(&bytes, &path, self.shared.identity, sequence)?;
            }
            segment::scan_full(&bytes, salt, end).map_err(|damage| Error::Damaged {
                file: path.clone(),
                offset: u64::from(damage.offset),
                detail: damage.detail.to_owned(),
            })?;
        }
        Ok(())
    }

    /// The index of the first record, or, in an empty log, of the one that would be.
    #[must_use]
    pub fn first(&self) -> Index {
        self.shared.memory.lock().first()
    }

    /// Index and term of the last record; those of the last one purged, when there is none after it.
    #[must_use]
    pub fn last(&self) -> Option<(Index, Term)> {
        self.shared.memory.lock().last()
    }

    /// Up to where the log was purged.
    #[must_use]
    pub fn purged(&self) -> Option<(Index, Term)> {
        self.shared.memory.lock().purged()
    }

    /// The error that every append gets since the disk failed, if it did. What was on its way then is not there.
    #[must_use]
    pub fn failed(&self) -> Option<io::Error> {
        self.shared.memory.lock().failed()
    }

    /// The last index that is durable.
    #[must_use]
    pub fn flushed(&self) -> Option<Index> {
        self.shared.memory.lock().flushed()
    }

    /// How many segments it has.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.shared.memory.lock().segment_count()
    }

    /// Bytes of the segments that hold what comes behind a record, as far as they are written.
    #[must_use]
    pub fn bytes_behind(&self, index: Index) -> u64 {
        self.shared.memory.lock().bytes_behind(index)
    }

    /// What its writer has counted and timed.
    #[must_use]
    pub fn measures(&self) -> &LogMeasures {
        &self.shared.measures
    }

    /// The term of a record, or of the last one purged.
    #[must_use]
    pub fn term_at(&self, index: Index) -> Option<Term> {
        self.shared.memory.lock().term_at(index)
    }

    /// Saves the vote; it is durable when this returns. Blocks.
    ///
    /// # Errors
    /// The disk failed: whether the vote was saved is unknown, and the node must stop.
    pub fn save_vote(&self, vote: Vote) -> io::Result<()> {
        let mut guard = self.shared.vote.lock();
        guard.0.save(&vote.to_value(), true)?;
        guard.1 = Some(vote);
        Ok(())
    }

    /// The vote saved last.
    #[must_use]
    pub fn read_vote(&self) -> Option<Vote> {
        self.shared.vote.lock().1
    }

    /// Notes how far the log is known to be committed, without making that durable: after a crash an older note, or
    /// none, may be found.
    ///
    /// # Errors
    /// The disk failed.
    pub fn save_committed(&self, committed: Option<(Index, Term)>) -> io::Result<()> {
        let mut guard = self.shared.committed.lock();
        guard.0.save(&vote::committed_to_value(committed), false)?;
        guard.1 = committed;
        Ok(())
    }

    /// The note, as far as the log still holds what it speaks of: never past the last record, never before what was
    /// purged.
    #[must_use]
    pub fn read_committed(&self) -> Option<(Index, Term)> {
        let committed = self.shared.committed.lock().1;
        let memory = self.shared.memory.lock();
        let (index, term) = committed.max(memory.purged())?;
        let (last, last_term) = memory.last()?;
        if index > last {
            return Some((last, last_term));
        }
        match memory.term_at(index) {
            Some(found) if found == term => Some((index, term)),
            // The record it spoke of was lost and another is in its place: nothing is known but what was purged.
            Some(_) | None => memory.purged(),
        }
    }

    /// Ends when everything appended so far was dealt with and the workers have ended. Later appends get an error.
    pub async fn shutdown(&self) {
        let (done, ended) = oneshot::channel();
        if self.shared.operations.send(Operation::Shutdown(done)).is_ok() {
            // An error means that the worker has ended already.
            let _ = ended.await;
        }
    }
}

/// Removes all records of a log that is not open, and the note of what was committed. The vote stays as long as it can be
/// read.
///
/// # Errors
/// [`Error::Disk`]; [`Error::Format`] when the vote is of another node.
pub fn discard_records(disk: &(dyn Disk + 'static), directory: &Path, identity: Identity) -> Result<(), Error> {
    if !disk.exists(directory).map_err(Error::disk(directory))? {
        return Ok(());
    }
    for entry in disk.list(directory).map_err(Error::disk(directory))? {
        if segment::sequence_of(&entry.path).is_some() {
            disk.remove_file(&entry.path).map_err(Error::disk(&entry.path))?;
        }
    }
    let committed = directory.join("committed");
    if disk.exists(&committed).map_err(Error::disk(&committed))? {
        slots::discard(disk, &committed)?;
    }
    let vote = directory.join("vote");
    if let Err(Error::Format(format::Error::Unreadable { .. })) = Slots::open(disk, &vote, format::VOTE, identity) {
        slots::discard(disk, &vote)?;
    }
    disk.sync_dir(directory).map_err(Error::disk(directory))
}

/// Answers an operation that the worker no longer takes.
fn refuse(unsent: Result<(), mpsc::error::SendError<Operation>>) {
    if let Err(mpsc::error::SendError(operation)) = unsent
        && let Ok(flushed) = operation.into_flushed()
    {
        flushed(Err(io::Error::other("the log is shut down")));
    }
}

impl Extent {
    fn read(self) -> Result<Vec<Record>, Error> {
        let mut buffer = vec![0; (self.stop - self.start) as usize];
        let read = self
            .file
            .read_at(&mut buffer, u64::from(self.start))
            .map_err(Error::disk(&self.path))?;
        buffer.truncate(read);
        let buffer = Bytes::from(buffer);
        let mut records = Vec::with_capacity(self.places.len());
        for (index, offset) in self.places {
            let at = (offset - self.start) as usize;
            let detail = match Frame::decode(buffer.get(at..).unwrap_or_default(), self.salt, offset) {
                Decoded::Frame(frame) if frame.index == index => {
                    let payload = at + record::HEADER_BYTES;
                    records.push(Record {
                        index,
                        term: frame.term,
                        kind: frame.kind,
                        payload: buffer.slice(payload..payload + frame.payload_bytes as usize),
                    });
                    continue;
                }
                Decoded::Frame(_) => "another record stands there",
                Decoded::End => "nothing stands there",
                Decoded::Bad(detail) => detail,
            };
            return Err(Error::Damaged {
                file: self.path,
                offset: u64::from(offset),
                detail: format!("record {index}: {detail}"),
            });
        }
        Ok(records)
    }
}

fn create_directory(disk: &(dyn Disk + 'static), directory: &Path) -> Result<(), Error> {
    disk.create_dir_all(directory).map_err(Error::disk(directory))?;
    match directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => disk.sync_dir(parent).map_err(Error::disk(parent)),
        None => Ok(()),
    }
}

fn open_vote(
    disk: &(dyn Disk + 'static),
    directory: &Path,
    identity: Identity,
    warnings: &mut Vec<String>,
) -> Result<(Slots, Option<Vote>), Error> {
    let path: PathBuf = directory.join("vote");
    let opened = Slots::open(disk, &path, format::VOTE, identity)?;
    if opened.torn {
        warnings.push(format!(
            "{}: one of the two copies of the vote was torn, and the other one was taken",
            path.display()
        ));
    }
    Ok((opened.slots, opened.value.as_ref().map(Vote::from_value)))
}

/// The note may be lost: when it cannot be read, a new file is begun.
fn open_committed(
    disk: &(dyn Disk + 'static),
    directory: &Path,
    identity: Identity,
) -> Result<(Slots, Option<(Index, Term)>), Error> {
    let path = directory.join("committed");
    let opened = match Slots::open(disk, &path, format::COMMITTED, identity) {
        Err(Error::Format(format::Error::Unreadable { .. })) => {
            slots::discard(disk, &path)?;
            Slots::open(disk, &path, format::COMMITTED, identity)?
        }
        other => other?,
    };
    let committed = opened.value.as_ref().and_then(vote::committed_from_value);
    Ok((opened.slots, committed))
}

#[cfg(test)]
mod tests;
