//! A directory with what a running node gives of itself, written so that [`Archive`](super::Archive) opens it: first the
//! snapshot to begin with, then the log from there on, and last the note without which it is nothing.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use environment::{Disk, Environment, File};
use machine::{ClusterId, Index, NodeId};
use store::format::Said;
use store::format::copied::{self, Copied};
use store::log::{Identity, Log, LogOptions, read_page};
use store::snapshot::{Reader, Snapshots};

use super::Error;
use crate::repair::wait_for;

const LOG: &str = "log";
const SNAPSHOTS: &str = "snapshots";

/// The snapshot with which a copy begins, on its way.
pub struct SnapshotCopy {
    environment: Environment,
    directory: PathBuf,
    identity: Identity,
    snapshots: Snapshots,
    start: Index,
    file: Option<Box<dyn File>>,
    bytes: u64,
}

/// The log behind it, on its way.
pub struct LogCopy {
    environment: Environment,
    directory: PathBuf,
    identity: Identity,
    log: Log,
    next: Index,
}

impl SnapshotCopy {
    /// Begins with the snapshot as of `start` in a directory that is made if need be; zero: with the first entry. Blocks.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn begin(
        environment: &Environment,
        directory: &Path,
        owner: (ClusterId, NodeId),
        start: Index,
    ) -> Result<SnapshotCopy, Error> {
        let disk = &environment.disk;
        let snapshots = Snapshots::open(disk.clone(), &directory.join(SNAPSHOTS))?;
        let file = match start {
            Index(0) => None,
            start => Some(
                disk.create_new(&snapshots.path_unfinished(start))
                    .map_err(failed(directory))?,
            ),
        };
        Ok(SnapshotCopy {
            environment: environment.clone(),
            directory: directory.to_owned(),
            identity: Identity {
                cluster: owner.0,
                node: owner.1,
            },
            snapshots,
            start,
            file,
            bytes: 0,
        })
    }

    /// Bytes that have come.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next piece of the snapshot. Blocks.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn put(&mut self, piece: &[u8]) -> Result<(), Error> {
        if let Some(file) = &self.file {
            file.write_all_at(piece, self.bytes).map_err(failed(&self.directory))?;
        }
        self.bytes += piece.len() as u64;
        Ok(())
    }

    /// The snapshot has arrived: the log goes on behind it. Blocks.
    ///
    /// # Errors
    /// What arrived is not that snapshot; see [`Error`].
    pub async fn end(self) -> Result<LogCopy, Error> {
        let (disk, directory) = (&self.environment.disk, &self.directory);
        let mut before = None;
        if let Some(file) = &self.file {
            file.sync_data().map_err(failed(directory))?;
            let reader = Reader::open(&**disk, &self.snapshots.path_unfinished(self.start))?;
            let header = reader.header();
            if (header.index, header.cluster) != (self.start, self.identity.cluster) {
                return Err(Error::Copy(format!(
                    "the snapshot that came is as of entry {} of cluster {:016x}, and that as of entry {} of cluster \
                     {:016x} was asked for",
                    header.index, header.cluster.0, self.start, self.identity.cluster.0
                )));
            }
            before = Some((header.index, header.term));
            self.snapshots.finish(self.start)?;
        }
        let opened = Log::open(
            &self.environment,
            &directory.join(LOG),
            self.identity,
            LogOptions::default(),
        )?;
        if let Some((index, term)) = before {
            let purged = wait_for(|done| opened.log.purge_through(index, term, done)).await;
            purged.map_err(Error::CopyDisk)?;
        }
        Ok(LogCopy {
            environment: self.environment,
            directory: self.directory,
            identity: self.identity,
            log: opened.log,
            next: self.start.next(),
        })
    }
}

impl LogCopy {
    /// The entry that comes next.
    #[must_use]
    pub fn next(&self) -> Index {
        self.next
    }

    /// Takes the next page of entries, up to `last`. Blocks.
    ///
    /// # Errors
    /// They are not those that come next; see [`Error`].
    pub async fn put(&mut self, page: &Bytes, last: Index) -> Result<(), Error> {
        let records = read_page(page).map_err(|error| Error::Copy(error.to_string()))?;
        let mut next = self.next;
        for record in &records {
            if record.index != next || record.index > last {
                return Err(Error::Copy(format!(
                    "entry {} came where entry {next} of {last} was to come",
                    record.index
                )));
            }
            next = record.index.next();
        }
        if records.is_empty() {
            return Err(Error::Copy(format!(
                "the node gave no entry {next}, and said that it has it"
            )));
        }
        let appended = wait_for(|done| self.log.append(records, done)).await;
        appended.map_err(Error::CopyDisk)?;
        self.next = next;
        Ok(())
    }

    /// The log has arrived up to `last`: the directory is a copy from now on, with what the node said of its digest.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn end(self, last: Index, said: Vec<Said>) -> Result<(), Error> {
        // A log that ends at its purge holds nothing whose term it knows.
        if let Some((_, term)) = self.log.last().filter(|(index, _)| *index == last) {
            let noted = self.log.save_committed(Some((last, term)));
            noted.map_err(failed(&self.directory))?;
        }
        self.log.shutdown().await;
        let copied = Copied {
            cluster: self.identity.cluster,
            node: self.identity.node,
            last,
            said,
        };
        copied::write(&*self.environment.disk, &self.directory, &copied).map_err(Error::unreadable)
    }
}

/// Removes what a copy that came to no end has left in a directory. Blocks.
///
/// # Errors
/// The disk failed.
pub fn discard(disk: &dyn Disk, directory: &Path) -> std::io::Result<()> {
    // First what makes a copy of the rest.
    let note = directory.join(copied::COPIED_FILE);
    for note in [note.with_extension("new"), note] {
        if disk.exists(&note)? {
            disk.remove_file(&note)?;
        }
    }
    for part in [SNAPSHOTS, LOG] {
        let path = directory.join(part);
        if disk.exists(&path)? {
            disk.remove_dir_all(&path)?;
        }
    }
    Ok(())
}

fn failed(directory: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let directory = directory.to_owned();
    move |error| Error::CopyDisk(format!("{}: {error}", directory.display()))
}
