//! The segments of streams as a snapshot names them, and how they are put in place where one is installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use environment::Disk;
use machine::Offset;
use xxhash_rust::xxh3::Xxh3Default;

use super::segment::{self, path};
use super::{Error, Streams, check_name, trim};
use crate::limits::STREAM_READ_BYTES;
use crate::snapshot::{SegmentExtent, StreamExtent};

/// Digests of segments that will not change any more, so that each is read only once for all snapshots.
#[derive(Debug, Default)]
pub struct KnownDigests(BTreeMap<PathBuf, (u64, u128)>);

/// Every segment of every stream that is needed, as far as it went at one moment. As long as it lives, no segment is
/// removed ([`Streams::remove_trimmed`]).
#[derive(Debug, Clone, Default)]
pub struct Listing {
    streams: BTreeMap<String, Listed>,
    _held: Arc<()>,
}

#[derive(Debug, Clone, Default)]
struct Listed {
    end: Offset,
    /// Base, file, bytes that count.
    segments: Vec<(Offset, PathBuf, u64)>,
}

impl Streams {
    /// The segments as they are now, without those that trimming is about to remove. Flush first: what is in the buffers
    /// is not in them.
    #[must_use]
    pub fn listing(&self) -> Listing {
        let streams = self.shared.streams.read();
        let listed = streams.iter().map(|(name, published)| {
            let extent = published.extent.read();
            let gone = trim::gone(&extent.segments, extent.start, extent.end);
            let segments = extent.segments.iter().skip(gone);
            let segments = segments.map(|segment| (segment.base, segment.path.clone(), segment.bytes));
            let listed = Listed {
                end: extent.end,
                segments: segments.collect(),
            };
            (name.clone(), listed)
        });
        Listing {
            streams: listed.collect(),
            _held: self.listed.clone(),
        }
    }
}

impl Listing {
    /// With the digest of each segment. Blocks while it reads and checks those that are not known yet: whoever holds those
    /// bytes takes them for sound.
    ///
    /// # Errors
    /// As [`Listing::check`].
    pub fn extents(&self, disk: &dyn Disk, known: &mut KnownDigests) -> Result<BTreeMap<String, StreamExtent>, Error> {
        let mut streams = BTreeMap::new();
        for (name, listed) in &self.streams {
            let mut extent = StreamExtent {
                end: listed.end,
                segments: Vec::with_capacity(listed.segments.len()),
            };
            for (base, end, path, bytes) in listed.segments() {
                let digest = match known.0.get(path) {
                    Some((of, digest)) if *of == bytes => *digest,
                    Some(_) | None => {
                        let digest = digest_of(disk, path, bytes)?
                            .ok_or_else(|| Error::damaged(path, bytes, "the file is shorter than it was"))?;
                        check_segment(disk, base, end, path, bytes)?;
                        digest
                    }
                };
                known.0.insert(path.to_owned(), (bytes, digest));
                extent.segments.push(SegmentExtent { base, bytes, digest });
            }
            streams.insert(name.clone(), extent);
        }
        let listed = |path: &PathBuf| {
            let mut all = self.streams.values().flat_map(|listed| &listed.segments);
            all.any(|(_, other, _)| other == path)
        };
        known.0.retain(|path, _| listed(path));
        Ok(streams)
    }

    /// Reads everything again and checks each batch. Blocks.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn check(&self, disk: &dyn Disk) -> Result<(), Error> {
        for listed in self.streams.values() {
            for (base, end, path, bytes) in listed.segments() {
                check_segment(disk, base, end, path, bytes)?;
            }
        }
        Ok(())
    }
}

impl Listed {
    /// Base, the event behind the last, file, bytes that count.
    fn segments(&self) -> impl Iterator<Item = (Offset, Offset, &Path, u64)> {
        let ends = self.segments.iter().skip(1).map(|(base, _, _)| *base).chain([self.end]);
        let segments = self.segments.iter().zip(ends);
        segments.map(|((base, path, bytes), end)| (*base, end, path.as_path(), *bytes))
    }
}

/// Reads a segment again and checks each batch.
fn check_segment(disk: &dyn Disk, base: Offset, end: Offset, path: &Path, bytes: u64) -> Result<(), Error> {
    let (found, reached) = segment::scan(disk, path, base, end)?;
    if reached != end || found.bytes != bytes {
        let detail = format!("it ends before event {reached}, and should go on to event {end}");
        return Err(Error::damaged(path, found.bytes, detail));
    }
    Ok(())
}

/// Where a segment lies under a directory of streams.
#[must_use]
pub fn segment_path(directory: &Path, stream: &str, base: Offset) -> PathBuf {
    path(&directory.join(stream), base)
}

/// The segments that `wanted` names and that do not lie in `directory` with those very bytes. Blocks.
///
/// # Errors
/// [`Error::Disk`], [`Error::Name`].
pub fn missing(
    disk: &dyn Disk,
    directory: &Path,
    wanted: &BTreeMap<String, StreamExtent>,
) -> Result<Vec<(String, SegmentExtent)>, Error> {
    let mut missing = Vec::new();
    for (stream, extent) in wanted {
        check_name(stream)?;
        for segment in &extent.segments {
            if !holds(disk, &segment_path(directory, stream, segment.base), segment)? {
                missing.push((stream.clone(), *segment));
            }
        }
    }
    Ok(missing)
}

/// Makes `directory` hold the segments that `wanted` names and no other: those that are missing come from `from`, where
/// they lie in the same way, and are moved. May be done again after a crash. Blocks.
///
/// # Errors
/// [`Error::Disk`], [`Error::Name`]; [`Error::Damaged`] when a segment is in neither place.
pub fn place(
    disk: &dyn Disk,
    directory: &Path,
    wanted: &BTreeMap<String, StreamExtent>,
    from: &Path,
) -> Result<(), Error> {
    disk.create_dir_all(directory).map_err(Error::disk(directory))?;
    for entry in disk.list(directory).map_err(Error::disk(directory))? {
        let name = entry
            .path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if entry.is_dir && !wanted.contains_key(name) {
            disk.remove_dir_all(&entry.path).map_err(Error::disk(&entry.path))?;
        }
    }
    for (stream, extent) in wanted {
        check_name(stream)?;
        let home = directory.join(stream);
        disk.create_dir_all(&home).map_err(Error::disk(&home))?;
        for entry in disk.list(&home).map_err(Error::disk(&home))? {
            let base = segment::base_of(&entry.path);
            if !extent.segments.iter().any(|segment| Some(segment.base) == base) {
                disk.remove_file(&entry.path).map_err(Error::disk(&entry.path))?;
            }
        }
        for segment in &extent.segments {
            place_one(disk, &home, segment, &segment_path(from, stream, segment.base))?;
        }
        disk.sync_dir(&home).map_err(Error::disk(&home))?;
    }
    disk.sync_dir(directory).map_err(Error::disk(directory))
}

fn place_one(disk: &dyn Disk, home: &Path, segment: &SegmentExtent, from: &Path) -> Result<(), Error> {
    let to = path(home, segment.base);
    if !holds(disk, &to, segment)? {
        if !holds(disk, from, segment)? {
            return Err(Error::damaged(
                from,
                0,
                "the segment that the snapshot names is not here",
            ));
        }
        disk.rename(from, &to).map_err(Error::disk(&to))?;
    }
    // Longer than wanted: what follows is of a time after the snapshot.
    let file = disk.open(&to).map_err(Error::disk(&to))?;
    if file.len().map_err(Error::disk(&to))? != segment.bytes {
        file.set_len(segment.bytes).map_err(Error::disk(&to))?;
    }
    file.sync_data().map_err(Error::disk(&to))
}

/// Whether the file begins with the segment's bytes.
pub fn holds(disk: &dyn Disk, path: &Path, segment: &SegmentExtent) -> Result<bool, Error> {
    if !disk.exists(path).map_err(Error::disk(path))? {
        return Ok(false);
    }
    Ok(digest_of(disk, path, segment.bytes)? == Some(segment.digest))
}

/// XXH3 of the first `bytes` of a file; none when it has fewer.
fn digest_of(disk: &dyn Disk, path: &Path, bytes: u64) -> Result<Option<u128>, Error> {
    let file = disk.open(path).map_err(Error::disk(path))?;
    let mut hasher = Xxh3Default::new();
    let mut buffer = vec![0; STREAM_READ_BYTES];
    let mut at = 0;
    while at < bytes {
        let step = (bytes - at).min(buffer.len() as u64) as usize;
        let read = file.read_at(&mut buffer[..step], at).map_err(Error::disk(path))?;
        if read < step {
            return Ok(None);
        }
        hasher.update(&buffer[..read]);
        at += read as u64;
    }
    Ok(Some(hasher.digest128()))
}
