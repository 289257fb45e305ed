//! What is found on disk when the log is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use environment::{Disk, File};

use super::memory::{Memory, Segment};
use super::record::{Frame, Tag};
use super::segment::{self, Damage, HEADER_BYTES, Header, Scan};
use super::writer::Current;
use super::{Error, Identity};
use crate::format;

/// What recovery gives.
pub(super) struct Recovered {
    pub memory: Memory,
    /// The segment to go on with.
    pub current: Option<Current>,
    /// The number of the next segment.
    pub sequence_next: u64,
    pub warnings: Vec<String>,
    /// The next record found may have any index: the segments before were purged, and if records are missing between,
    /// an older one will take their place further on, or [`check_begin`] complains.
    anywhere: bool,
}

/// A file that holds frames.
struct Found {
    sequence: u64,
    path: PathBuf,
    file: Arc<dyn File>,
    bytes: Vec<u8>,
    header: Header,
}

/// Reads all segments in `directory`, in order, and makes what they say whole.
pub(super) fn recover(
    disk: &dyn Disk,
    directory: &Path,
    identity: Identity,
    cache_bytes: usize,
) -> Result<Recovered, Error> {
    let mut warnings = Vec::new();
    let mut sequences = list(disk, directory)?;
    drop_unused(disk, directory, identity, &mut sequences, &mut warnings)?;
    let leftover = split_leftovers(directory, &mut sequences);
    let mut recovered = Recovered {
        memory: Memory::new(cache_bytes),
        current: None,
        sequence_next: sequences.last().map_or(1, |last| last + 1),
        warnings,
        anywhere: sequences.first().is_some_and(|first| *first > 1),
    };
    let mut sequences = sequences.into_iter();
    let begins_late = recovered.anywhere;
    // A segment's header says how much of the one before is durable: they are read in pairs.
    let mut next = sequences
        .next()
        .map(|sequence| load(disk, directory, identity, sequence))
        .transpose()?;
    while let Some(found) = next {
        next = sequences
            .next()
            .map(|sequence| load(disk, directory, identity, sequence))
            .transpose()?;
        let salt = segment::salt(identity, found.sequence);
        let scan = match &next {
            Some(next) => segment::scan_full(&found.bytes, salt, next.header.previous_end),
            None => segment::scan_last(&found.bytes, salt),
        };
        let scan = scan.map_err(|damage| damaged(&found.path, &damage))?;
        replay(&mut recovered, &found, salt, &scan)?;
        if next.is_none() {
            recovered.current = Some(settle_last(&found, salt, &scan, &mut recovered)?);
        }
    }
    check_begin(directory, &recovered.memory, begins_late)?;
    let purged = recovered
        .memory
        .purged()
        .map(|(index, _)| recovered.memory.drop_purged(index));
    let removable: Vec<PathBuf> = leftover.into_iter().chain(purged.into_iter().flatten()).collect();
    if !removable.is_empty() {
        super::files::remove(disk, directory, &removable);
    }
    Ok(recovered)
}

fn list(disk: &dyn Disk, directory: &Path) -> Result<Vec<u64>, Error> {
    let entries = disk.list(directory).map_err(Error::disk(directory))?;
    let mut sequences: Vec<u64> = entries
        .iter()
        .filter(|entry| !entry.is_dir)
        .filter_map(|entry| segment::sequence_of(&entry.path))
        .collect();
    sequences.sort_unstable();
    Ok(sequences)
}

/// Removes the files at the end that were prepared and never used, or whose first write was torn.
fn drop_unused(
    disk: &dyn Disk,
    directory: &Path,
    identity: Identity,
    sequences: &mut Vec<u64>,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    while let Some(sequence) = sequences.last().copied() {
        let path = segment::path(directory, sequence);
        let (_, bytes) = read(disk, &path)?;
        let used = bytes.iter().any(|byte| *byte != 0);
        if used {
            match Header::decode(&bytes, &path, identity, sequence) {
                Ok(_) => return Ok(()),
                Err(error @ format::Error::Unreadable { .. }) => {
                    if segment::durable_beyond(&bytes, segment::salt(identity, sequence), 0) {
                        return Err(error.into());
                    }
                    warnings.push(format!(
                        "{}: the first write to this segment of the log was torn; nothing in it was ever acknowledged, \
                         and it was removed",
                        path.display()
                    ));
                }
                Err(error) => return Err(error.into()),
            }
        }
        disk.remove_file(&path).map_err(Error::disk(&path))?;
        disk.sync_dir(directory).map_err(Error::disk(directory))?;
        sequences.pop();
    }
    Ok(())
}

/// Leaves the segments that follow one another without a gap up to the last one. Those before a gap were purged: their
/// removal, oldest first, did not reach the disk in that order.
fn split_leftovers(directory: &Path, sequences: &mut Vec<u64>) -> Vec<PathBuf> {
    let gap = (1..sequences.len())
        .rev()
        .find(|at| sequences[*at] != sequences[at - 1] + 1);
    let before: Vec<u64> = sequences.drain(..gap.unwrap_or(0)).collect();
    before
        .iter()
        .map(|sequence| segment::path(directory, *sequence))
        .collect()
}

fn load(disk: &dyn Disk, directory: &Path, identity: Identity, sequence: u64) -> Result<Found, Error> {
    let path = segment::path(directory, sequence);
    let (file, bytes) = read(disk, &path)?;
    let header = Header::decode(&bytes, &path, identity, sequence)?;
    Ok(Found {
        sequence,
        path,
        file,
        bytes,
        header,
    })
}

fn read(disk: &dyn Disk, path: &Path) -> Result<(Arc<dyn File>, Vec<u8>), Error> {
    let file: Arc<dyn File> = Arc::from(disk.open(path).map_err(Error::disk(path))?);
    let length = file.len().map_err(Error::disk(path))?;
    if u32::try_from(length).is_err() {
        return Err(format::LOG_SEGMENT
            .unreadable(path, format!("it has {length} bytes, more than a segment may"))
            .into());
    }
    let mut bytes = vec![0; length as usize];
    let read = file.read_at(&mut bytes, 0).map_err(Error::disk(path))?;
    bytes.truncate(read);
    Ok((file, bytes))
}

fn damaged(path: &Path, damage: &Damage) -> Error {
    Error::Damaged {
        file: path.to_owned(),
        offset: u64::from(damage.offset),
        detail: damage.detail.to_owned(),
    }
}

fn replay(recovered: &mut Recovered, found: &Found, salt: u32, scan: &Scan) -> Result<(), Error> {
    let memory = &mut recovered.memory;
    memory.add_segment(Segment::new(found.path.clone(), found.file.clone(), salt, scan.end));
    if let Some((index, term)) = found.header.purged {
        memory.replay_purge(index, term);
    }
    for (offset, frame) in &scan.frames {
        let Frame { index, term, .. } = *frame;
        match frame.tag {
            Tag::Record => {
                let anywhere = std::mem::take(&mut recovered.anywhere);
                let replayed = memory.replay(index, term, *offset, anywhere);
                replayed.map_err(|expected| Error::Damaged {
                    file: found.path.clone(),
                    offset: u64::from(*offset),
                    detail: format!("record {index} stands where record {expected} should"),
                })?;
            }
            Tag::Truncate => memory.replay_truncation(index),
            Tag::Purge => memory.replay_purge(index, term),
            Tag::Durable => {}
        }
    }
    Ok(())
}

/// Cuts a torn tail off, and makes sure that what was read is durable: it may have come from the system's cache.
fn settle_last(found: &Found, salt: u32, scan: &Scan, recovered: &mut Recovered) -> Result<Current, Error> {
    let end = scan.end as usize;
    if let Some(detail) = scan.torn {
        let last = found.bytes.iter().rposition(|byte| *byte != 0).map_or(end, |at| at + 1);
        let cut = last.saturating_sub(end);
        found
            .file
            .write_all_at(&vec![0; cut], end as u64)
            .map_err(Error::disk(&found.path))?;
        recovered.warnings.push(format!(
            "{}: the tail of the log was torn at byte {end} ({detail}); {cut} bytes that were never acknowledged were cut",
            found.path.display()
        ));
    }
    found.file.sync_data().map_err(Error::disk(&found.path))?;
    Ok(Current {
        file: found.file.clone(),
        salt,
        end: scan.end.max(HEADER_BYTES as u32),
        durable: scan.end.max(HEADER_BYTES as u32),
    })
}

/// The first records may only be missing because they were purged.
fn check_begin(directory: &Path, memory: &Memory, begins_late: bool) -> Result<(), Error> {
    let missing = |from, to| {
        Err(Error::Missing {
            directory: directory.to_owned(),
            from,
            to,
        })
    };
    let begin = memory.first_placed();
    match (memory.purged(), begin) {
        (Some((purged, _)), Some(begin)) if begin > purged.next() => {
            missing(purged.next(), machine::Index(begin.0 - 1))
        }
        (None, Some(begin)) if begins_late => missing(machine::Index(0), machine::Index(begin.0.saturating_sub(1))),
        (None, None) if begins_late => missing(machine::Index(0), machine::Index(0)),
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}
