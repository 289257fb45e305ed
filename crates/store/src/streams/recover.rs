//! What is found on disk when the streams are opened.

use std::collections::BTreeMap;
use std::path::Path;

use environment::Disk;
use machine::Offset;

use super::Error;
use super::segment::{self, Segment};

/// Removes the directories of streams that the state does not know.
pub(super) fn remove_unnamed(
    disk: &dyn Disk,
    directory: &Path,
    positions: &BTreeMap<String, Offset>,
) -> Result<(), Error> {
    let mut removed = false;
    for entry in disk.list(directory).map_err(Error::disk(directory))? {
        let name = entry.path.file_name().and_then(|name| name.to_str());
        if entry.is_dir && !name.is_some_and(|name| positions.contains_key(name)) {
            disk.remove_dir_all(&entry.path).map_err(Error::disk(&entry.path))?;
            removed = true;
        }
    }
    if removed {
        disk.sync_dir(directory).map_err(Error::disk(directory))?;
    }
    Ok(())
}

/// Cuts the stream in `directory` back to `end`, removes what lies wholly before `start`, and gives its segments.
pub(super) fn recover(disk: &dyn Disk, directory: &Path, start: Offset, end: Offset) -> Result<Vec<Segment>, Error> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut reached = Offset(0);
    if disk.exists(directory).map_err(Error::disk(directory))? {
        let bases = drop_whole(disk, directory, start, cut_whole(disk, directory, end)?)?;
        // The first segment may begin before the start, never behind it.
        reached = bases.first().map_or(Offset(0), |base| start.min(*base));
        for (at, base) in bases.iter().enumerate() {
            let path = segment::path(directory, *base);
            if reached != *base {
                let detail =
                    format!("it begins with event {base}, and event {reached} should come next: a segment was lost");
                return Err(Error::damaged(&path, 0, detail));
            }
            let (segment, next) = segment::scan(disk, &path, *base, end)?;
            reached = next;
            if bases.get(at + 1).is_some() {
                whole(disk, &segment)?;
            } else {
                cut(disk, &segment)?;
            }
            segments.push(segment);
        }
    }
    if reached == end {
        return Ok(segments);
    }
    let last = segments.last();
    Err(Error::Short {
        file: last.map_or(directory, |segment| &segment.path).to_owned(),
        offset: last.map_or(0, |segment| segment.bytes),
        holds: reached,
        wanted: end,
    })
}

/// Removes segments that lie beyond the end as a whole, and gives the first offsets of the others.
fn cut_whole(disk: &dyn Disk, directory: &Path, end: Offset) -> Result<Vec<Offset>, Error> {
    let mut bases = Vec::new();
    let mut removed = false;
    for entry in disk.list(directory).map_err(Error::disk(directory))? {
        let Some(base) = segment::base_of(&entry.path) else {
            continue;
        };
        if base < end {
            bases.push(base);
        } else {
            disk.remove_file(&entry.path).map_err(Error::disk(&entry.path))?;
            removed = true;
        }
    }
    if removed {
        disk.sync_dir(directory).map_err(Error::disk(directory))?;
    }
    bases.sort_unstable();
    Ok(bases)
}

/// Removes segments that lie before the start as a whole, and gives the first offsets of the others: a crash may have
/// left any of those that were to be removed.
fn drop_whole(disk: &dyn Disk, directory: &Path, start: Offset, mut bases: Vec<Offset>) -> Result<Vec<Offset>, Error> {
    let needed = bases.partition_point(|base| *base <= start).saturating_sub(1);
    for base in bases.drain(..needed) {
        let path = segment::path(directory, base);
        disk.remove_file(&path).map_err(Error::disk(&path))?;
    }
    if needed > 0 {
        disk.sync_dir(directory).map_err(Error::disk(directory))?;
    }
    Ok(bases)
}

/// A segment that another follows holds nothing behind its last batch.
fn whole(disk: &dyn Disk, segment: &Segment) -> Result<(), Error> {
    let file = disk.open(&segment.path).map_err(Error::disk(&segment.path))?;
    if file.len().map_err(Error::disk(&segment.path))? == segment.bytes {
        return Ok(());
    }
    Err(Error::damaged(
        &segment.path,
        segment.bytes,
        "the file goes on behind the events that the state knows",
    ))
}

/// Cuts off what lies behind the last batch that counts.
fn cut(disk: &dyn Disk, segment: &Segment) -> Result<(), Error> {
    let file = disk.open(&segment.path).map_err(Error::disk(&segment.path))?;
    if file.len().map_err(Error::disk(&segment.path))? != segment.bytes {
        file.set_len(segment.bytes).map_err(Error::disk(&segment.path))?;
        file.sync_data().map_err(Error::disk(&segment.path))?;
    }
    Ok(())
}
