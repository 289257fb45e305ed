//! Letting go of the oldest events: at once for readers, and on disk by whole segments once it is safe.
//!
//! A segment is removed only when a durable state says that the stream begins behind it. So whatever a crash leaves, the
//! files hold all that the state asks for, and what is too much is removed when the streams are opened.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use environment::Disk;
use machine::Offset;

use super::segment::Segment;
use super::{Error, Streams};

/// Where trimmed streams began and ended at one moment.
#[derive(Debug, Clone, Default)]
pub struct Trimmed {
    extents: BTreeMap<String, (Offset, Offset)>,
}

/// Files that nobody will ask for again. Holds no borrow of the streams.
#[must_use = "the files are still there until this has run"]
pub struct Removal {
    disk: Arc<dyn Disk>,
    files: Vec<PathBuf>,
    directories: BTreeSet<PathBuf>,
}

impl Removal {
    /// Removes them. Blocks. What cannot be removed now is removed when the streams are opened the next time.
    ///
    /// # Errors
    /// [`Error::Disk`]: some of them are still there.
    pub fn run(self) -> Result<(), Error> {
        for file in &self.files {
            self.disk.remove_file(file).map_err(Error::disk(file))?;
        }
        for directory in &self.directories {
            self.disk.sync_dir(directory).map_err(Error::disk(directory))?;
        }
        Ok(())
    }
}

/// How many segments, the first ones, a stream that begins and ends there does not need.
pub(super) fn gone(segments: &[Segment], start: Offset, end: Offset) -> usize {
    let ended = |next: Offset| next <= start && next < end;
    segments.windows(2).take_while(|pair| ended(pair[1].base)).count()
}

impl Streams {
    /// Shows readers that streams begin there from now on: at once where the starts are another value than before.
    pub fn trim(&mut self, starts: &Arc<BTreeMap<String, Offset>>) {
        if Arc::ptr_eq(&self.starts, starts) {
            return;
        }
        for (stream, start) in &**starts {
            if let Some(tail) = self.tails.get(stream) {
                let mut extent = tail.published.extent.write();
                extent.start = extent.start.max(*start);
            }
        }
        self.starts = starts.clone();
        self.trimmed_anew = true;
    }

    /// Whether streams were trimmed since [`Streams::trimmed`] was last asked for.
    #[must_use]
    pub fn is_trimmed_anew(&self) -> bool {
        self.trimmed_anew
    }

    /// Where trimmed streams begin and end now: to be taken with the checkpoint that makes this durable.
    pub fn trimmed(&mut self) -> Trimmed {
        self.trimmed_anew = false;
        let extents = self.starts.keys().filter_map(|stream| {
            let extent = self.tails.get(stream)?.published.extent.read();
            Some((stream.clone(), (extent.start, extent.end)))
        });
        Trimmed {
            extents: extents.collect(),
        }
    }

    /// To be called when a listing has come to its end: lets go of what could not go because of it.
    pub fn remove_postponed(&mut self) -> Removal {
        let postponed = std::mem::take(&mut self.postponed);
        self.remove_trimmed(&postponed)
    }

    /// Lets go of the segments that lie wholly before the starts in `trimmed`, once the checkpoint that was taken with it
    /// is durable, and gives their files to be removed.
    ///
    /// The segment in which the durable state ends stays in any case: where the next segment begins depends on how full
    /// it is, and must be the same after a crash and on every replica. As long as somebody looks at a
    /// [`Listing`](super::Listing) nothing goes: see [`Streams::remove_postponed`].
    pub fn remove_trimmed(&mut self, trimmed: &Trimmed) -> Removal {
        let mut removal = Removal {
            disk: self.disk.clone(),
            files: Vec::new(),
            directories: BTreeSet::new(),
        };
        if Arc::strong_count(&self.listed) > 1 {
            self.postponed = trimmed.clone();
            return removal;
        }
        self.postponed = Trimmed::default();
        for (stream, (start, end)) in &trimmed.extents {
            let Some(tail) = self.tails.get(stream) else {
                continue;
            };
            let mut extent = tail.published.extent.write();
            let gone = gone(&extent.segments, *start, *end);
            if gone > 0 {
                removal
                    .files
                    .extend(extent.segments.drain(..gone).map(|segment| segment.path));
                removal.directories.insert(tail.directory.clone());
            }
        }
        removal
    }
}
