use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use environment::channel::Notify;
use environment::measure::Counter;
use environment::{Disk, File};
use machine::{BatchPage, Event, EventPage, Offset, TimeMs};
use parking_lot::RwLock;

use super::segment::Segment;
use super::{Error, batch};
use crate::limits::{STREAM_INDEX_BYTES, STREAM_READ_BYTES};

/// Reads streams while they are written. Clones share it.
#[derive(Clone)]
pub struct StreamReader {
    pub(super) shared: Arc<Shared>,
}

/// How far a stream reaches, and in which files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSpan {
    /// The first event that may be read, or will be there.
    pub start: Offset,
    /// The offset that the next event will have.
    pub end: Offset,
    /// Its segments, in order.
    pub segments: Vec<SegmentSpan>,
}

/// One file of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSpan {
    /// Offset of its first event.
    pub base: Offset,
    /// Bytes of it that hold header and batches.
    pub bytes: u64,
    /// Time of its last event.
    pub last: TimeMs,
}

/// What the writer and all readers see.
pub(super) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub streams: RwLock<BTreeMap<String, Arc<Published>>>,
    /// A stream was made, or the writer has ended.
    pub changed: Notify,
    pub closed: AtomicBool,
    /// Bytes of batches written since the streams were opened.
    pub bytes: Counter,
}

/// One stream.
pub(super) struct Published {
    pub extent: RwLock<Extent>,
    /// It has grown, or the writer has ended.
    pub changed: Notify,
}

/// How far a stream may be read.
pub(super) struct Extent {
    pub start: Offset,
    pub end: Offset,
    pub segments: Vec<Segment>,
}

/// What was found of a stream.
struct Found {
    start: Offset,
    end: Offset,
    /// None at the end.
    place: Option<Place>,
}

/// Where to read.
struct Place {
    path: PathBuf,
    file: Option<Arc<dyn File>>,
    position: u64,
    stop: u64,
}

impl StreamReader {
    /// Events from `from` on, of about `bytes_max` in all, and at least one if there is one. None: no such stream.
    /// Blocks.
    ///
    /// # Errors
    /// [`Error::Trimmed`], [`Error::Disk`], [`Error::Damaged`].
    pub fn read(&self, stream: &str, from: Offset, bytes_max: usize) -> Result<Option<EventPage>, Error> {
        let Some(Found { start, end, place }) = self.find(stream, from)? else {
            return Ok(None);
        };
        let mut events = Vec::new();
        let Some(place) = place else {
            return Ok(Some(EventPage { events, start, end }));
        };
        let (at, Fetched { mut batches, .. }) = self.fetch(stream, &place, from..Offset(u64::MAX), bytes_max)?;
        let mut bytes = 0;
        'page: while !batches.is_empty() {
            let damaged = |detail: &str| Error::damaged(&place.path, at, detail);
            let header = batch::header(&batches).map_err(damaged)?;
            let batch = batches.split_to(header.bytes.min(batches.len()));
            for event in batch::decode(&batch).map_err(damaged)? {
                if event.offset < from {
                    continue;
                }
                bytes += event.value.len() + event.key.as_ref().map_or(0, Bytes::len);
                if bytes > bytes_max && !events.is_empty() {
                    break 'page;
                }
                events.push(event);
            }
        }
        Ok(Some(EventPage { events, start, end }))
    }

    /// The batches of the events in `range` as they lie, of about `bytes_max` in all, and at least one if there is one.
    /// A batch that lies across the start or the end of `range` is made anew without the events outside, which may have
    /// been trimmed. None: no such stream. Blocks.
    ///
    /// # Errors
    /// [`Error::Trimmed`], [`Error::Disk`], [`Error::Damaged`].
    pub fn read_batches(
        &self,
        stream: &str,
        range: Range<Offset>,
        bytes_max: usize,
    ) -> Result<Option<BatchPage>, Error> {
        let from = range.start;
        let Some(Found { start, end, place }) = self.find(stream, from)? else {
            return Ok(None);
        };
        let Fetched { batches, next } = match place {
            Some(place) => {
                let (at, fetched) = self.fetch(stream, &place, range.clone(), bytes_max)?;
                within(fetched, &range).map_err(|detail| Error::damaged(&place.path, at, detail))?
            }
            None => Fetched {
                batches: Bytes::new(),
                next: from,
            },
        };
        Ok(Some(BatchPage {
            batches,
            next,
            start,
            end,
        }))
    }

    /// The offset that the next event will have. None: no such stream.
    #[must_use]
    pub fn end(&self, stream: &str) -> Option<Offset> {
        let streams = self.shared.streams.read();
        streams.get(stream).map(|published| published.extent.read().end)
    }

    /// All streams, by name.
    #[must_use]
    pub fn spans(&self) -> BTreeMap<String, StreamSpan> {
        let streams = self.shared.streams.read();
        let extent = |published: &Published| {
            let extent = published.extent.read();
            StreamSpan {
                start: extent.start,
                end: extent.end,
                segments: extent.segments.iter().map(Segment::span).collect(),
            }
        };
        streams
            .iter()
            .map(|(name, published)| (name.clone(), extent(published)))
            .collect()
    }

    /// Each stream's end.
    #[must_use]
    pub fn ends(&self) -> Vec<(String, Offset)> {
        let streams = self.shared.streams.read();
        let ends = streams
            .iter()
            .map(|(name, published)| (name.clone(), published.extent.read().end));
        ends.collect()
    }

    /// Bytes written to all streams since they were opened.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.shared.bytes.get()
    }

    /// Ends when the stream's end passes `beyond`, or when the streams are closed.
    pub async fn wait_beyond(&self, stream: &str, beyond: Offset) {
        loop {
            let published = self.shared.streams.read().get(stream).cloned();
            let changed = match &published {
                Some(published) => &published.changed,
                None => &self.shared.changed,
            };
            let mut changed = std::pin::pin!(changed.notified());
            // Enlisted before the look, so that no change between the two is missed.
            changed.as_mut().enable();
            let known = published.is_some();
            let passed = published
                .as_ref()
                .is_some_and(|published| published.extent.read().end > beyond);
            if passed || self.shared.closed.load(Ordering::Acquire) {
                return;
            }
            if known || !self.shared.streams.read().contains_key(stream) {
                changed.await;
            }
        }
    }

    fn find(&self, stream: &str, from: Offset) -> Result<Option<Found>, Error> {
        let published = self.shared.streams.read().get(stream).cloned();
        let Some(published) = published else {
            return Ok(None);
        };
        let extent = published.extent.read();
        if from < extent.start {
            return Err(Error::Trimmed {
                stream: stream.to_owned(),
                start: extent.start,
            });
        }
        let after = extent.segments.partition_point(|segment| segment.base <= from);
        let segment = extent
            .segments
            .get(after.saturating_sub(1))
            .filter(|_| from < extent.end);
        let place = segment.map(|segment| Place {
            path: segment.path.clone(),
            file: segment.file.clone(),
            position: segment.index.find(from),
            stop: segment.bytes,
        });
        Ok(Some(Found {
            start: extent.start,
            end: extent.end,
            place,
        }))
    }

    /// The batches from the one that holds the start of `range` on, and where in the file they begin.
    fn fetch(
        &self,
        stream: &str,
        place: &Place,
        range: Range<Offset>,
        bytes_max: usize,
    ) -> Result<(u64, Fetched), Error> {
        match self.fetch_at(place, &range, bytes_max) {
            Ok(found) => Ok(found),
            // The segment may have been removed since it was found: then the stream begins later now.
            Err(error) => self.find(stream, range.start).and(Err(error)),
        }
    }

    fn fetch_at(&self, place: &Place, range: &Range<Offset>, bytes_max: usize) -> Result<(u64, Fetched), Error> {
        let file: Arc<dyn File> = match &place.file {
            Some(file) => file.clone(),
            None => Arc::from(self.shared.disk.open(&place.path).map_err(Error::disk(&place.path))?),
        };
        let mut at = place.position;
        // The batch wanted begins within one step of the index, or behind one large batch.
        let mut wanted = bytes_max.min(STREAM_READ_BYTES) + STREAM_INDEX_BYTES as usize;
        loop {
            let left = usize::try_from(place.stop.saturating_sub(at)).unwrap_or(usize::MAX);
            let asked = wanted.min(left);
            let mut buffer = vec![0; asked];
            let read = file.read_at(&mut buffer, at).map_err(Error::disk(&place.path))?;
            buffer.truncate(read);
            let damaged = |cursor: usize, detail: &str| Error::damaged(&place.path, at + cursor as u64, detail);
            let part = part(&buffer, range, bytes_max).map_err(|(cursor, detail)| damaged(cursor, detail))?;
            if part.start < part.stop {
                let batches = Bytes::from(buffer).slice(part.start..part.stop);
                let next = part.next;
                return Ok((at + part.start as u64, Fetched { batches, next }));
            }
            if read == left || read < asked {
                return Err(damaged(part.stop, "the file ends within a batch"));
            }
            at += part.stop as u64;
            wanted = wanted.max(part.needed);
        }
    }
}

/// Whole batches, and the offset behind their last event.
struct Fetched {
    batches: Bytes,
    next: Offset,
}

/// What of the batches lies in `range`.
fn within(fetched: Fetched, range: &Range<Offset>) -> Result<Fetched, &'static str> {
    let Fetched { mut batches, next } = fetched;
    if batch::header(&batches)?.base >= range.start && next <= range.end {
        return Ok(Fetched { batches, next });
    }
    let mut out = Vec::with_capacity(batches.len());
    while !batches.is_empty() {
        let header = batch::header(&batches)?;
        let whole = batches.split_to(header.bytes.min(batches.len()));
        if header.base >= range.start && header.next <= range.end {
            out.extend_from_slice(&whole);
            continue;
        }
        let mut events = batch::decode(&whole)?;
        events.retain(|event| range.contains(&event.offset));
        batch::encode(header.time, events.iter().map(Event::view), &mut out);
    }
    Ok(Fetched {
        batches: out.into(),
        next: next.min(range.end),
    })
}

/// What of some bytes is wanted.
struct Part {
    start: usize,
    /// Whole batches end here.
    stop: usize,
    /// The offset behind their last event.
    next: Offset,
    /// Bytes of the batch that begins there.
    needed: usize,
}

fn part(bytes: &[u8], range: &Range<Offset>, bytes_max: usize) -> Result<Part, (usize, &'static str)> {
    let mut part = Part {
        start: 0,
        stop: 0,
        next: range.start,
        needed: batch::HEADER_BYTES,
    };
    loop {
        let rest = &bytes[part.stop..];
        part.needed = match batch::whole_bytes(rest) {
            Some(whole) => whole.map_err(|detail| (part.stop, detail))?,
            None => batch::HEADER_BYTES,
        };
        let taken = part.stop - part.start;
        if rest.len() < part.needed || (taken > 0 && taken + part.needed > bytes_max) {
            return Ok(part);
        }
        let header = batch::check(rest).map_err(|detail| (part.stop, detail))?;
        if taken > 0 && header.base >= range.end {
            return Ok(part);
        }
        part.stop += header.bytes;
        part.next = header.next;
        if header.next <= range.start {
            part.start = part.stop;
        }
    }
}
