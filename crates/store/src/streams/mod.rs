//! Streams: events in order, in append-only segments of Kafka record batches, one batch for each entry and stream.
//!
//! Nothing is synced until a checkpoint of the state asks for it: the state holds each stream's end, and what lies
//! beyond is cut when the streams are opened and made again by replay, byte for byte the same. The state also says where
//! a stream begins: whole segments before that are removed ([`Streams::remove_trimmed`]).
//!
//! A stream is a directory of its name; a segment is a file named after its first offset with 20 digits.

pub mod batch;
mod error;
mod extents;
mod reader;
mod recover;
mod segment;
mod sync;
mod trim;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use environment::channel::Notify;
use environment::measure::Counter;
use environment::{Disk, Environment, File};
use machine::{Event, EventView, Offset, TimeMs};
use parking_lot::RwLock;

pub use error::Error;
pub use extents::{KnownDigests, Listing, holds, missing, place, segment_path};
pub use reader::{SegmentSpan, StreamReader, StreamSpan};
pub use sync::SyncJob;
pub use trim::{Removal, Trimmed};

use crate::limits::STREAM_SEGMENT_BYTES;
use reader::{Extent, Published, Shared};
use segment::{HEADER_BYTES, Index, Segment};

/// How streams are kept. All replicas of a cluster must use the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamOptions {
    /// Bytes after which a stream goes on in its next segment. A batch that is larger gets a segment of its own.
    pub segment_bytes: u64,
}

impl Default for StreamOptions {
    fn default() -> Self {
        StreamOptions {
            segment_bytes: STREAM_SEGMENT_BYTES,
        }
    }
}

/// All streams of a node, to be written by one owner. Dropping it ends all waits of its readers.
pub struct Streams {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    options: StreamOptions,
    shared: Arc<Shared>,
    tails: BTreeMap<String, Tail>,
    /// Where streams begin that do not begin at 0.
    starts: Arc<BTreeMap<String, Offset>>,
    /// They have changed since a checkpoint took them along.
    trimmed_anew: bool,
    /// Shared with every listing that somebody still looks at.
    listed: Arc<()>,
    /// What could not be removed because of one.
    postponed: Trimmed,
    /// Streams with something in their buffers.
    touched: BTreeSet<String>,
    /// Written since the last sync.
    unsynced: Unsynced,
}

/// What a sync has to do.
#[derive(Default)]
struct Unsynced {
    files: BTreeMap<PathBuf, Arc<dyn File>>,
    directories: BTreeSet<PathBuf>,
}

/// Where a stream is written.
struct Tail {
    published: Arc<Published>,
    directory: PathBuf,
    /// The offset that the next event will have, what is in the buffers included.
    next: Offset,
    /// The file that is written to, and the position after what the buffers will bring there.
    position: Option<u64>,
    pieces: Vec<Piece>,
}

/// Batches for one segment.
struct Piece {
    /// Whether the segment begins with them.
    fresh: bool,
    base: Offset,
    next: Offset,
    /// Time of the last batch.
    time: TimeMs,
    bytes: Vec<u8>,
    /// First offset and position of each batch.
    batches: Vec<(Offset, u64)>,
}

impl Streams {
    /// Opens all streams in `directory`, which is made if need be, and cuts each back to its end in `positions`. One
    /// that is not named there is removed, and so are segments that lie wholly before a stream's start in `starts` (0
    /// where it names none). Blocks while it reads and checks everything.
    ///
    /// # Errors
    /// See [`Error`]: the files hold less than `positions` says, or are damaged before that.
    pub fn open(
        environment: &Environment,
        directory: &Path,
        options: StreamOptions,
        positions: &BTreeMap<String, Offset>,
        starts: &Arc<BTreeMap<String, Offset>>,
    ) -> Result<Streams, Error> {
        let disk = environment.disk.clone();
        disk.create_dir_all(directory).map_err(Error::disk(directory))?;
        if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            disk.sync_dir(parent).map_err(Error::disk(parent))?;
        }
        recover::remove_unnamed(&*disk, directory, positions)?;
        let shared = Arc::new(Shared {
            disk: disk.clone(),
            streams: RwLock::default(),
            changed: Notify::new(),
            closed: AtomicBool::new(false),
            bytes: Counter::default(),
        });
        let mut streams = Streams {
            disk,
            directory: directory.to_owned(),
            options,
            shared,
            tails: BTreeMap::new(),
            starts: starts.clone(),
            listed: Arc::default(),
            postponed: Trimmed::default(),
            trimmed_anew: false,
            touched: BTreeSet::new(),
            unsynced: Unsynced::default(),
        };
        for (stream, end) in positions {
            check_name(stream)?;
            let start = starts.get(stream).copied().unwrap_or_default();
            let segments = recover::recover(&*streams.disk, &directory.join(stream), start, *end)?;
            streams.add(stream, start, *end, segments);
        }
        Ok(streams)
    }

    /// A reader of these streams.
    #[must_use]
    pub fn reader(&self) -> StreamReader {
        StreamReader {
            shared: self.shared.clone(),
        }
    }

    /// The offset that the next event appended to a stream will have; 0 for one that is new.
    #[must_use]
    pub fn next(&self, stream: &str) -> Offset {
        self.tails.get(stream).map_or(Offset(0), |tail| tail.next)
    }

    /// Adds one batch to the buffers: the events of one entry, which has that time. They follow one another from
    /// [`Streams::next`] on.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Order`]: nothing was added.
    pub fn append(&mut self, stream: &str, time: TimeMs, events: &[Event]) -> Result<(), Error> {
        self.append_views(stream, time, events.iter().map(Event::view))
    }

    /// [`Streams::append`] for events whose bytes lie elsewhere.
    ///
    /// # Errors
    /// As there.
    pub fn append_views<'e>(
        &mut self,
        stream: &str,
        time: TimeMs,
        events: impl Iterator<Item = EventView<'e>> + Clone,
    ) -> Result<(), Error> {
        let expected = self.next(stream);
        let follow = (expected.0..)
            .zip(events.clone())
            .find(|(offset, event)| event.offset.0 != *offset);
        if let Some((offset, event)) = follow {
            return Err(Error::Order {
                stream: stream.to_owned(),
                expected: Offset(offset),
                found: event.offset,
            });
        }
        if events.clone().next().is_none() {
            return Ok(());
        }
        if !self.tails.contains_key(stream) {
            check_name(stream)?;
            self.add(stream, Offset(0), Offset(0), Vec::new());
        }
        if let Some(tail) = self.tails.get_mut(stream) {
            tail.append(&self.options, time, events);
            self.touched.insert(stream.to_owned());
        }
        Ok(())
    }

    /// Writes the buffers, without making them durable, and shows what they hold to readers.
    ///
    /// # Errors
    /// [`Error::Disk`]: the streams must be opened anew.
    pub fn flush(&mut self) -> Result<(), Error> {
        for stream in std::mem::take(&mut self.touched) {
            if let Some(tail) = self.tails.get_mut(&stream) {
                let bytes: usize = tail.pieces.iter().map(|piece| piece.bytes.len()).sum();
                self.shared.bytes.add(bytes as u64);
                tail.flush(&*self.disk, &self.directory, &mut self.unsynced)?;
            }
        }
        Ok(())
    }

    /// Makes everything flushed so far durable. Blocks.
    ///
    /// # Errors
    /// [`Error::Disk`]: what is durable is unknown, and the node must stop.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.begin_sync().run()
    }

    /// The sync of everything flushed so far, to be run on a worker while more is written. What is still in the buffers
    /// is not part of it: flush first.
    pub fn begin_sync(&mut self) -> SyncJob {
        let Unsynced { files, directories } = std::mem::take(&mut self.unsynced);
        SyncJob {
            disk: self.disk.clone(),
            files,
            directories,
        }
    }

    fn add(&mut self, stream: &str, start: Offset, end: Offset, segments: Vec<Segment>) {
        let position = segments.last().map(|segment| segment.bytes);
        let published = Arc::new(Published {
            extent: RwLock::new(Extent { start, end, segments }),
            changed: Notify::new(),
        });
        self.shared.streams.write().insert(stream.to_owned(), published.clone());
        self.shared.changed.notify_waiters();
        let tail = Tail {
            published,
            directory: self.directory.join(stream),
            next: end,
            position,
            pieces: Vec::new(),
        };
        self.tails.insert(stream.to_owned(), tail);
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.changed.notify_waiters();
        for tail in self.tails.values() {
            tail.published.changed.notify_waiters();
        }
    }
}

impl Tail {
    fn append<'e>(
        &mut self,
        options: &StreamOptions,
        time: TimeMs,
        events: impl Iterator<Item = EventView<'e>> + Clone,
    ) {
        let mut bytes = Vec::new();
        let count = batch::encode(time, events, &mut bytes);
        let room = self
            .position
            .filter(|position| segment::has_room(options, *position, bytes.len()));
        let batch_bytes = bytes.len() as u64;
        let base = self.next;
        let next = Offset(base.0 + u64::from(count));
        let position = room.unwrap_or(HEADER_BYTES as u64);
        match self.pieces.last_mut().filter(|_| room.is_some()) {
            Some(piece) => {
                piece.bytes.extend_from_slice(&bytes);
                piece.batches.push((base, position));
                piece.next = next;
                piece.time = time;
            }
            None => self.pieces.push(Piece {
                fresh: room.is_none(),
                base,
                next,
                time,
                batches: vec![(base, position)],
                bytes,
            }),
        }
        self.position = Some(position + batch_bytes);
        self.next = next;
    }

    fn flush(&mut self, disk: &dyn Disk, root: &Path, unsynced: &mut Unsynced) -> Result<(), Error> {
        for piece in std::mem::take(&mut self.pieces) {
            if piece.fresh {
                self.begin_segment(disk, root, &piece, unsynced)?;
            }
            self.extend_segment(disk, &piece, unsynced)?;
        }
        self.published.changed.notify_waiters();
        Ok(())
    }

    fn begin_segment(
        &mut self,
        disk: &dyn Disk,
        root: &Path,
        piece: &Piece,
        unsynced: &mut Unsynced,
    ) -> Result<(), Error> {
        let path = segment::path(&self.directory, piece.base);
        if piece.base == Offset(0) {
            disk.create_dir_all(&self.directory)
                .map_err(Error::disk(&self.directory))?;
            unsynced.directories.insert(root.to_owned());
        }
        let file: Arc<dyn File> = Arc::from(disk.create_new(&path).map_err(Error::disk(&path))?);
        file.write_all_at(&segment::header(piece.base), 0)
            .map_err(Error::disk(&path))?;
        unsynced.directories.insert(self.directory.clone());
        let mut extent = self.published.extent.write();
        if let Some(before) = extent.segments.last_mut() {
            before.file = None;
        }
        extent.segments.push(Segment {
            base: piece.base,
            path,
            file: Some(file),
            bytes: HEADER_BYTES as u64,
            last: piece.time,
            index: Index::default(),
        });
        Ok(())
    }

    fn extend_segment(&mut self, disk: &dyn Disk, piece: &Piece, unsynced: &mut Unsynced) -> Result<(), Error> {
        let (path, file, at) = {
            let mut extent = self.published.extent.write();
            let Some(segment) = extent.segments.last_mut() else {
                return Ok(());
            };
            let file = match &segment.file {
                Some(file) => file.clone(),
                None => {
                    let file: Arc<dyn File> = Arc::from(disk.open(&segment.path).map_err(Error::disk(&segment.path))?);
                    segment.file = Some(file.clone());
                    file
                }
            };
            (segment.path.clone(), file, segment.bytes)
        };
        file.write_all_at(&piece.bytes, at).map_err(Error::disk(&path))?;
        unsynced.files.insert(path, file);
        let mut extent = self.published.extent.write();
        extent.end = piece.next;
        if let Some(segment) = extent.segments.last_mut() {
            segment.bytes += piece.bytes.len() as u64;
            segment.last = piece.time;
            for (base, position) in &piece.batches {
                segment.index.note(*base, *position);
            }
        }
        Ok(())
    }
}

/// Names become directories: nothing but what is safe as one.
fn check_name(stream: &str) -> Result<(), Error> {
    let safe = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    let begins = stream
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if begins && stream.len() <= 200 && stream.bytes().all(safe) {
        return Ok(());
    }
    Err(Error::Name(stream.to_owned()))
}

#[cfg(test)]
mod tests;
