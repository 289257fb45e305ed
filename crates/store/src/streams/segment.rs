//! One file of a stream: a header of 32 bytes, then batches to its end.
//!
//! The header holds magic and format (12 bytes), the offset of the first event (8, little-endian), zeros (8), and the
//! CRC-32C of everything before. It has nothing in it of the node: replicas' files are equal byte for byte.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use environment::{Disk, File};
use machine::{Offset, TimeMs};

use super::batch::{self, Header};
use super::{Error, SegmentSpan, StreamOptions};
use crate::format::STREAM_SEGMENT;
use crate::limits::{STREAM_INDEX_BYTES, STREAM_READ_BYTES};

/// Bytes before the first batch.
pub(super) const HEADER_BYTES: usize = 32;

/// A segment as far as readers may see it.
pub(super) struct Segment {
    /// Offset of its first event.
    pub base: Offset,
    pub path: PathBuf,
    /// Open as long as it is written to.
    pub file: Option<Arc<dyn File>>,
    /// Bytes that hold header and batches.
    pub bytes: u64,
    /// Time of its last batch.
    pub last: TimeMs,
    pub index: Index,
}

impl Segment {
    pub(super) fn span(&self) -> SegmentSpan {
        SegmentSpan {
            base: self.base,
            bytes: self.bytes,
            last: self.last,
        }
    }
}

/// Where some of the batches of a segment begin.
#[derive(Default)]
pub(super) struct Index(Vec<(Offset, u64)>);

impl Index {
    /// Notes a batch, if the last one noted is far enough before it.
    pub(super) fn note(&mut self, base: Offset, position: u64) {
        if self
            .0
            .last()
            .is_none_or(|(_, last)| position >= last + STREAM_INDEX_BYTES)
        {
            self.0.push((base, position));
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Where to look for an event: at or before its batch.
    pub(super) fn find(&self, offset: Offset) -> u64 {
        let after = self.0.partition_point(|(base, _)| *base <= offset);
        after.checked_sub(1).map_or(HEADER_BYTES as u64, |at| self.0[at].1)
    }
}

pub(super) fn header(base: Offset) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..12].copy_from_slice(&STREAM_SEGMENT.prefix());
    bytes[12..20].copy_from_slice(&base.0.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..28]);
    bytes[28..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

pub(super) fn path(directory: &Path, base: Offset) -> PathBuf {
    directory.join(format!("{:020}.segment", base.0))
}

/// The first offset of the segment that lies at `path`, if it is one.
pub(super) fn base_of(path: &Path) -> Option<Offset> {
    let digits = path.file_name()?.to_str()?.strip_suffix(".segment")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Offset)
}

/// Whether a batch of that size still goes into a segment that has come so far.
pub(super) fn has_room(options: &StreamOptions, position: u64, batch_bytes: usize) -> bool {
    position == HEADER_BYTES as u64 || position + batch_bytes as u64 <= options.segment_bytes
}

/// Reads a segment from its start up to the event before `end`, checking everything, and gives it with the offset that
/// it reached: `end`, or less when the file ends there.
pub(super) fn scan(disk: &dyn Disk, path: &Path, base: Offset, end: Offset) -> Result<(Segment, Offset), Error> {
    let file = disk.open(path).map_err(Error::disk(path))?;
    let length = file.len().map_err(Error::disk(path))?;
    let mut window = Window::new(&*file, path, length);
    let head = window.at(0, HEADER_BYTES)?;
    if head.is_empty() && length == 0 {
        return Err(STREAM_SEGMENT.unreadable(path, "it is empty").into());
    }
    STREAM_SEGMENT.check(head, path)?;
    if head != header(base) {
        return Err(STREAM_SEGMENT
            .unreadable(path, "its header is damaged, or it has another segment's name")
            .into());
    }
    let mut index = Index::default();
    let mut position = HEADER_BYTES as u64;
    let mut next = base;
    let mut last = TimeMs::default();
    while next < end && position < length {
        let batch = window.batch(position)?;
        if batch.base != next {
            let detail = format!("event {} stands where event {next} should", batch.base);
            return Err(Error::damaged(path, position, detail));
        }
        if batch.next > end {
            let detail = format!("the state ends at event {end}, within the batch up to {}", batch.next);
            return Err(Error::damaged(path, position, detail));
        }
        index.note(batch.base, position);
        position += batch.bytes as u64;
        next = batch.next;
        last = batch.time;
    }
    let segment = Segment {
        base,
        path: path.to_owned(),
        file: None,
        bytes: position,
        last,
        index,
    };
    Ok((segment, next))
}

/// Reads a file front to back in large steps.
struct Window<'a> {
    file: &'a dyn File,
    path: &'a Path,
    length: u64,
    start: u64,
    buffer: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(file: &'a dyn File, path: &'a Path, length: u64) -> Self {
        Window {
            file,
            path,
            length,
            start: 0,
            buffer: Vec::new(),
        }
    }

    /// The next `count` bytes from `position` on, or as many as there are.
    fn at(&mut self, position: u64, count: usize) -> Result<&[u8], Error> {
        let held = self.start + self.buffer.len() as u64;
        if position < self.start || position + count as u64 > held {
            let left = self.length.saturating_sub(position);
            let bytes = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(count.max(STREAM_READ_BYTES));
            self.buffer.resize(bytes, 0);
            let read = self
                .file
                .read_at(&mut self.buffer, position)
                .map_err(Error::disk(self.path))?;
            self.buffer.truncate(read);
            self.start = position;
        }
        let from = (position - self.start) as usize;
        let to = (from + count).min(self.buffer.len());
        Ok(self.buffer.get(from..to).unwrap_or_default())
    }

    fn batch(&mut self, position: u64) -> Result<Header, Error> {
        let path = self.path;
        let damaged = |detail: &str| Error::damaged(path, position, detail);
        let whole = batch::whole_bytes(self.at(position, batch::HEADER_BYTES)?);
        let whole = whole
            .ok_or_else(|| damaged("the file ends within a batch"))?
            .map_err(damaged)?;
        batch::check(self.at(position, whole)?).map_err(damaged)
    }
}
