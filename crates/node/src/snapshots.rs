//! This node's snapshots: made from checkpoints, kept for those who lag behind, and read in pieces by whoever asks.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use environment::Disk;
use machine::codec::{Codec, Reader};
use machine::{ClusterId, Index, Offset, SnapshotFile, SnapshotListing};
use parking_lot::Mutex;
use store::snapshot::{self, Error, Header, SNAPSHOT_FILE, STREAMS_DIRECTORY, Snapshots};
use store::state::View;
use store::streams::{self, KnownDigests};
use tracing::{info, warn};

use crate::checkpoint::{self, Plan};
use crate::limits::{SNAPSHOT_PIECE_BYTES, SNAPSHOTS_IN_USE_MAX, SNAPSHOTS_KEPT};

/// Why something could not be made or checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// What lies on this node's disk is not what it should be.
    #[error("{0}")]
    Damaged(String),
    /// The log is.
    #[error("{0}")]
    LogDamaged(String),
    /// It could not be read or written now.
    #[error("{0}")]
    Failed(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        use store::state::Error as StateError;
        match &error {
            Error::Rows { .. } | Error::State(StateError::Damaged { .. }) => Trouble::Damaged(error.to_string()),
            // A snapshot that is damaged is replaced: the state is not.
            Error::Format(_) | Error::Damaged { .. } | Error::State(_) | Error::Disk { .. } => {
                Trouble::Failed(error.to_string())
            }
        }
    }
}

impl From<streams::Error> for Trouble {
    fn from(error: streams::Error) -> Trouble {
        match &error {
            streams::Error::Disk { .. } | streams::Error::Trimmed { .. } => Trouble::Failed(error.to_string()),
            streams::Error::Format(_)
            | streams::Error::Damaged { .. }
            | streams::Error::Short { .. }
            | streams::Error::Name(_)
            | streams::Error::Order { .. } => Trouble::Damaged(error.to_string()),
        }
    }
}

/// A part of a snapshot, as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The snapshot.
    pub index: Index,
    /// The stream and the first offset of its segment; none: the snapshot's own file.
    pub segment: Option<(String, Offset)>,
    /// The first byte.
    pub from: u64,
}
machine::record!(Piece { index, segment, from });

/// This node's snapshots. Clones share them.
#[derive(Clone)]
pub struct Keeper(Arc<Shared>);

struct Shared {
    disk: Arc<dyn Disk>,
    cluster: ClusterId,
    streams: PathBuf,
    snapshots: Snapshots,
    newest: Mutex<Option<Arc<Header>>>,
    digests: Mutex<KnownDigests>,
    /// Which were read since the last one was made: whoever fetches one needs longer for it than the next takes to come.
    read: Mutex<BTreeSet<Index>>,
    /// One that is kept however old it is.
    held: Mutex<Option<Index>>,
    /// Held while one is made or all are checked: two as of the same entry would be written to the same file.
    making: Mutex<()>,
    made_bytes: AtomicU64,
}

impl Keeper {
    /// Over the snapshots in `data/snapshots`. Blocks.
    ///
    /// # Errors
    /// The disk failed.
    pub fn open(disk: Arc<dyn Disk>, data: &std::path::Path, cluster: ClusterId) -> Result<Keeper, Error> {
        let snapshots = Snapshots::open(disk.clone(), &data.join("snapshots"))?;
        let (newest, wrong) = snapshots.newest()?;
        for error in wrong {
            warn!(%error, "a snapshot cannot be used and will be made anew");
        }
        Ok(Keeper(Arc::new(Shared {
            disk,
            cluster,
            streams: data.join("streams"),
            snapshots,
            newest: Mutex::new(newest.map(Arc::new)),
            digests: Mutex::default(),
            read: Mutex::default(),
            held: Mutex::default(),
            making: Mutex::default(),
            made_bytes: AtomicU64::default(),
        })))
    }

    /// The newest one.
    pub fn newest(&self) -> Option<Arc<Header>> {
        self.0.newest.lock().clone()
    }

    /// Their directory.
    pub fn directory(&self) -> &Snapshots {
        &self.0.snapshots
    }

    /// All whose headers can be read, oldest first, with the bytes of their files. Blocks.
    ///
    /// # Errors
    /// A text: the disk failed.
    pub fn all(&self) -> Result<Vec<(Header, u64)>, String> {
        let shared = &*self.0;
        let mut all = Vec::new();
        for index in shared.snapshots.list().map_err(|error| error.to_string())? {
            let path = shared.snapshots.path(index);
            let bytes = shared.disk.open(&path).and_then(|file| file.len());
            // One may be removed meanwhile, and one that is damaged is of no use to anybody.
            if let (Ok(bytes), Ok(reader)) = (bytes, snapshot::Reader::open(&*shared.disk, &path)) {
                all.push((reader.header().clone(), bytes));
            }
        }
        Ok(all)
    }

    /// Bytes of the one that was made last since the node started; 0 before that.
    pub fn made_bytes(&self) -> u64 {
        self.0.made_bytes.load(Ordering::Relaxed)
    }

    /// Whether everything that a snapshot names is still here: streams may have been trimmed since. Blocks.
    pub fn is_whole(&self, header: &Header) -> bool {
        header.streams.iter().all(|(stream, extent)| {
            let here = |base| {
                let path = streams::segment_path(&self.0.streams, stream, base);
                self.0.disk.exists(&path).unwrap_or(false)
            };
            extent.segments.iter().all(|segment| here(segment.base))
        })
    }

    /// Makes one of a checkpoint, reading and checking every row on the way. Blocks.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub fn make(&self, plan: &Plan, view: &dyn View) -> Result<Arc<Header>, Trouble> {
        let _alone = self.0.making.lock();
        let shared = &*self.0;
        let streams = plan.streams.extents(&*shared.disk, &mut shared.digests.lock())?;
        let header = Header {
            cluster: shared.cluster,
            index: plan.index,
            term: plan.term,
            digest: plan.digest,
            members: plan.members.clone(),
            streams,
        };
        let path = shared.snapshots.path_unfinished(plan.index);
        let written = self.write(&path, &header, view);
        if written.is_err() {
            // What is half written is of no use; if it cannot be removed now, it is at the next start.
            shared.disk.remove_file(&path).ok();
        }
        let sums = written?;
        info!(index = %plan.index, rows = sums.rows, "made a snapshot");
        let header = Arc::new(header);
        *shared.newest.lock() = Some(header.clone());
        self.retire()?;
        Ok(header)
    }

    fn write(&self, path: &std::path::Path, header: &Header, view: &dyn View) -> Result<machine::RowSums, Trouble> {
        let shared = &*self.0;
        if shared.disk.exists(path).map_err(failed)? {
            shared.disk.remove_file(path).map_err(failed)?;
        }
        let sums = snapshot::write(&*shared.disk, path, header, view)?;
        checkpoint::check_system(view, &sums).map_err(Trouble::Damaged)?;
        let bytes = shared.disk.open(path).and_then(|file| file.len()).map_err(failed)?;
        shared.made_bytes.store(bytes, Ordering::Relaxed);
        shared.snapshots.finish(header.index)?;
        Ok(sums)
    }

    fn retire(&self) -> Result<(), Error> {
        let held = self.0.held.lock();
        let all = self.0.snapshots.list()?;
        let read = std::mem::take(&mut *self.0.read.lock());
        let old = all
            .iter()
            .rev()
            .skip(SNAPSHOTS_KEPT)
            .filter(|index| Some(**index) != *held);
        let (in_use, unused): (Vec<&Index>, Vec<&Index>) = old.partition(|index| read.contains(*index));
        for index in in_use.into_iter().skip(SNAPSHOTS_IN_USE_MAX).chain(unused) {
            self.0.snapshots.remove(*index)?;
        }
        Ok(())
    }

    /// Keeps the one as of `held`, however old it is, in the place of the one that was kept so before, which goes unless it
    /// is kept for another reason. Blocks.
    ///
    /// # Errors
    /// The disk failed.
    pub fn hold(&self, held: Option<Index>) -> Result<(), Error> {
        let mut shown = self.0.held.lock();
        let before = std::mem::replace(&mut *shown, held);
        let Some(before) = before.filter(|before| Some(*before) != held) else {
            return Ok(());
        };
        match self.0.read.lock().contains(&before) {
            true => Ok(()),
            false => self.drop_old(before),
        }
    }

    /// Removes the one as of `index`, read or not, unless it is one of the newest. Blocks.
    ///
    /// # Errors
    /// The disk failed.
    pub fn drop_old(&self, index: Index) -> Result<(), Error> {
        let all = self.0.snapshots.list()?;
        match all.iter().rev().skip(SNAPSHOTS_KEPT).any(|old| *old == index) {
            true => self.0.snapshots.remove(index),
            false => Ok(()),
        }
    }

    /// Reads every snapshot and checks it; one that is damaged is removed as soon as there is a sound one. Blocks.
    ///
    /// # Errors
    /// What is wrong with the newest.
    pub fn check(&self) -> Result<(), Error> {
        // None comes or goes meanwhile.
        let _alone = self.0.making.lock();
        let newest = self.newest().map(|header| header.index);
        let mut wrong = Ok(());
        for index in self.0.snapshots.list()? {
            match self.0.snapshots.check(index) {
                Ok(()) => {}
                // What was held may go at any time.
                Err(_) if !self.0.disk.exists(&self.0.snapshots.path(index)).unwrap_or(true) => {}
                Err(error) if Some(index) == newest => wrong = Err(error),
                Err(error) => {
                    warn!(%error, "an older snapshot is damaged and was removed");
                    self.0.snapshots.remove(index)?;
                }
            }
        }
        wrong
    }

    /// Lets go of those that are ahead of the state: it was rebuilt, and will come there again.
    ///
    /// # Errors
    /// The disk failed.
    pub fn forget_after(&self, applied: Index) -> Result<(), Error> {
        for index in self.0.snapshots.list()? {
            if index > applied {
                self.0.snapshots.remove(index)?;
            }
        }
        let (newest, _) = self.0.snapshots.newest()?;
        *self.0.newest.lock() = newest.map(Arc::new);
        Ok(())
    }

    /// What files a snapshot consists of. Blocks.
    ///
    /// # Errors
    /// The disk failed.
    pub fn listing(&self, header: &Header) -> Result<SnapshotListing, String> {
        let path = self.0.snapshots.path(header.index);
        let file = self.0.disk.open(&path).and_then(|file| file.len());
        let bytes = file.map_err(|error| format!("{}: {error}", path.display()))?;
        let mut files = vec![SnapshotFile {
            name: SNAPSHOT_FILE.to_owned(),
            bytes,
        }];
        for (stream, extent) in &header.streams {
            let names = extent.segments.iter().map(|segment| SnapshotFile {
                name: segment_name(stream, segment.base),
                bytes: segment.bytes,
            });
            files.extend(names);
        }
        Ok(SnapshotListing {
            cluster: header.cluster,
            index: header.index,
            digest: header.digest,
            files,
        })
    }

    /// Bytes of a piece from where it was asked for, at most [`SNAPSHOT_PIECE_BYTES`]; none at its end. Blocks.
    ///
    /// # Errors
    /// A text for whoever asked.
    pub fn read(&self, piece: &Piece) -> Result<Vec<u8>, String> {
        let path = match &piece.segment {
            None => self.0.snapshots.path(piece.index),
            Some((stream, base)) => {
                // Only names that are in the snapshot: what was asked for becomes a path.
                let known = self.newest().is_some_and(|header| header.streams.contains_key(stream));
                if !known {
                    return Err(format!(
                        "the snapshot as of entry {} has no stream {stream:?}",
                        piece.index
                    ));
                }
                streams::segment_path(&self.0.streams, stream, *base)
            }
        };
        let text = |error: std::io::Error| format!("{}: {error}", path.display());
        let file = self.0.disk.open(&path).map_err(text)?;
        let mut bytes = vec![0; SNAPSHOT_PIECE_BYTES];
        let read = file.read_at(&mut bytes, piece.from).map_err(text)?;
        bytes.truncate(read);
        if piece.segment.is_none() {
            self.0.read.lock().insert(piece.index);
        }
        Ok(bytes)
    }
}

/// The name of a segment among a snapshot's files.
fn segment_name(stream: &str, base: Offset) -> String {
    format!("{STREAMS_DIRECTORY}/{stream}/{:020}.segment", base.0)
}

/// The segment that a file's name stands for, or none for the snapshot itself; nothing when it is no such name.
pub fn segment_of(name: &str) -> Option<Option<(String, Offset)>> {
    if name == SNAPSHOT_FILE {
        return Some(None);
    }
    let (stream, file) = name
        .strip_prefix(STREAMS_DIRECTORY)?
        .strip_prefix('/')?
        .split_once('/')?;
    let base = file.strip_suffix(".segment")?.parse().ok().map(Offset)?;
    (segment_name(stream, base) == name).then(|| Some((stream.to_owned(), base)))
}

fn failed(error: std::io::Error) -> Trouble {
    Trouble::Failed(error.to_string())
}

/// Decodes what a peer asks for.
///
/// # Errors
/// A text for the peer.
pub fn read_piece(body: &[u8]) -> Result<Piece, String> {
    let mut reader = Reader::new(body);
    Piece::decode(&mut reader).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_being_read_is_kept_up_to_a_limit_and_as_long_as_it_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = environment::real::environment().disk;
        let keeper = Keeper::open(disk, directory.path(), ClusterId(1)).expect("it opens");
        let last = (SNAPSHOTS_IN_USE_MAX + SNAPSHOTS_KEPT + 2) as u64;
        let left_of = |read: &[u64]| {
            for index in 1..=last {
                std::fs::write(keeper.directory().path(Index(index)), b"rows").expect("it can be written");
            }
            for index in read {
                let piece = Piece {
                    index: Index(*index),
                    segment: None,
                    from: 0,
                };
                assert_eq!(keeper.read(&piece).expect("it can be read"), b"rows");
            }
            keeper.retire().expect("the disk is well");
            let left = keeper.directory().list().expect("the disk is well");
            let old = left.into_iter().map(|index| index.0);
            old.filter(|index| *index <= last - SNAPSHOTS_KEPT as u64)
                .collect::<Vec<_>>()
        };
        let at_the_limit: Vec<u64> = (1..=SNAPSHOTS_IN_USE_MAX as u64).collect();
        assert_eq!(left_of(&at_the_limit), at_the_limit);
        let past_it: Vec<u64> = (1..=SNAPSHOTS_IN_USE_MAX as u64 + 1).collect();
        assert_eq!(left_of(&past_it), past_it[1..], "the oldest goes");
        assert!(left_of(&[]).is_empty(), "nobody reads them any more");
    }

    #[tokio::test]
    async fn one_that_is_held_is_kept_however_old_and_goes_with_the_next() {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = environment::real::environment().disk;
        let keeper = Keeper::open(disk, directory.path(), ClusterId(1)).expect("it opens");
        let left = || {
            let left = keeper.directory().list().expect("the disk is well");
            left.into_iter().map(|index| index.0).collect::<Vec<_>>()
        };
        for index in 1..=6 {
            std::fs::write(keeper.directory().path(Index(index)), b"rows").expect("it can be written");
        }
        keeper.hold(Some(Index(2))).expect("the disk is well");
        keeper.retire().expect("the disk is well");
        assert_eq!(left(), [2, 5, 6]);
        keeper.hold(Some(Index(5))).expect("the disk is well");
        assert_eq!(left(), [5, 6]);
        keeper.hold(None).expect("the disk is well");
        assert_eq!(left(), [5, 6], "it is one of the newest");
    }

    #[test]
    fn files_are_named_in_one_way_only() {
        let name = segment_name("ledger.transfers", Offset(12));
        assert_eq!(name, "streams/ledger.transfers/00000000000000000012.segment");
        assert_eq!(
            segment_of(&name),
            Some(Some(("ledger.transfers".to_owned(), Offset(12))))
        );
        assert_eq!(segment_of("snapshot"), Some(None));
        for wrong in [
            "",
            "streams",
            "streams/a/12.segment",
            "streams/a/../00000000000000000012.segment",
            "../identity",
            "streams//00000000000000000012.segments",
        ] {
            assert_eq!(segment_of(wrong), None, "{wrong:?}");
        }
    }
}
