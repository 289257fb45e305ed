use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use environment::{Disk, Environment, FileLock};
use host::Registry;
use machine::{ClusterId, Index, NodeId, Row, Standing, TableId};
use store::format::{Copied, Repair, copied, identity};
use store::limits::LOG_SEGMENT_BYTES_MIN;
use store::log::{Identity, Log, LogOptions};
use store::snapshot::{Header, Reader, Snapshots};
use store::state::{Backend, MemoryBackend, State};

use super::player::Skips;
use super::proof::Witnesses;
use super::untouched::Untouched;
use super::{Error, Proof, Replay, Witness};
use crate::condition::Condition;
use crate::limits::{APPEND_BYTES_MAX, REPLAY_COPY_BYTES, REPLAY_LOAD_ROWS};
use crate::raft::Committed;
use crate::repair::OpenBackend;

/// How the node's own checkpoint is read. The store beneath writes where it is opened, so that happens on a copy.
pub struct Checkpointed<'a> {
    /// Opens the store.
    pub backend: &'a OpenBackend,
    /// An empty directory for the copy.
    pub scratch: &'a Path,
}

/// The data directory of a node that does not run, or a copy that was taken off one that does, read without writing anything
/// in it.
pub struct Archive {
    disk: Arc<dyn Disk>,
    identity: Identity,
    log: Log,
    files: Snapshots,
    witnesses: Witnesses,
    /// The last entry that a copy has; zero for a node's own directory.
    copied: Index,
    warnings: Vec<String>,
    _lock: Box<dyn FileLock>,
}

impl Archive {
    /// Opens what lies in `data`. Without `checkpoint` the node's own checkpoint is left out. Blocks.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(
        environment: &Environment,
        data: &Path,
        checkpoint: Option<&Checkpointed<'_>>,
    ) -> Result<Archive, Error> {
        let real = environment.disk.clone();
        let mut environment = environment.clone();
        environment.disk = Arc::new(Untouched::new(real.clone()));
        let disk = environment.disk.clone();
        let (identity, copied) = whose(&*disk, data)?;
        let lock = disk.lock(&data.join("lock")).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => Error::InUse(data.to_owned()),
            _ => Error::Unreadable(format!("{}: {error}", data.display())),
        })?;
        // It makes the next segment ready ahead of time, in memory here: a small one will do.
        let options = LogOptions {
            segment_bytes: LOG_SEGMENT_BYTES_MIN,
            ..LogOptions::default()
        };
        let opened = Log::open(&environment, &data.join("log"), identity, options)?;
        let mut warnings = opened.warnings;
        let files = Snapshots::open(disk.clone(), &data.join("snapshots"))?;
        let snapshots = headers(&*disk, &files, &mut warnings)?;
        let (condition, _) = Condition::read(disk.clone(), data).map_err(Error::unreadable)?;
        let standing = match checkpoint {
            Some(checkpoint) => standing(&*real, &condition, checkpoint, &mut warnings)?,
            None => None,
        };
        let archive = Archive {
            disk,
            identity,
            log: opened.log,
            files,
            witnesses: Witnesses {
                snapshots,
                standing,
                said: copied.said.iter().map(|said| (said.index, said.digest)).collect(),
            },
            copied: copied.last,
            warnings,
            _lock: lock,
        };
        let last = archive.log.last().map(|(last, _)| last).unwrap_or_default();
        let here = archive.witnesses.snapshots.keys().next_back().copied().max(Some(last));
        match here.unwrap_or_default() < copied.last {
            true => Err(Error::NotWhole {
                last: copied.last,
                here: last,
            }),
            false => Ok(archive),
        }
    }

    /// An entry of which the node that was copied said its digest, and that lies behind `applied`.
    #[must_use]
    pub fn said_behind(&self, applied: Index) -> Option<Index> {
        let mut said = self.witnesses.said.keys().rev();
        said.next().filter(|said| **said > applied).copied()
    }

    /// Whose it is.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.identity.node
    }

    /// Of which cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.identity.cluster
    }

    /// What could not be used, for people.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The last entry that is known to be committed: noted as such, or part of a state that lies here.
    #[must_use]
    pub fn committed(&self) -> Index {
        let last = self.log.last().map(|(last, _)| last).unwrap_or_default();
        let noted = self.log.read_committed().map(|(index, _)| index);
        let applied = self.witnesses.standing.as_ref().map(|standing| standing.applied);
        let snapshot = self.witnesses.snapshots.keys().next_back().copied();
        let known = [noted, applied, snapshot, Some(self.copied)]
            .into_iter()
            .flatten()
            .max();
        known.unwrap_or_default().min(last)
    }

    /// As of which entries there are states from which the log goes on, oldest first; zero: from its beginning.
    fn starts(&self) -> Vec<Index> {
        let purged = self.log.purged().map(|(purged, _)| purged).unwrap_or_default();
        let nothing = (purged == Index(0)).then_some(Index(0));
        let last = self.committed();
        let goes_on = |index: &&Index| **index >= purged && **index <= last;
        nothing
            .into_iter()
            .chain(self.witnesses.snapshots.keys().filter(goes_on).copied())
            .collect()
    }

    /// Begins with the oldest state there is; where only what follows is to be seen, with the newest from before `from`.
    /// It goes on to `to`, or as far as is known to be committed. Blocks.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn replay(&self, registry: &Registry, from: Option<Index>, to: Option<Index>) -> Result<Replay, Error> {
        let committed = self.committed();
        let start = match start(&self.starts(), committed, from, to)? {
            Some(start) => start,
            None => return Err(Error::NoStart(self.log.first())),
        };
        let state = State::open(self.load(start)?, Default::default());
        let last = to.unwrap_or(committed);
        let mut replay = Replay::over(self.log.clone(), registry, state, last, self.witnesses.clone())?;
        replay.player.skip(self.skips(start, committed)?);
        if start > Index(0) {
            replay.prove_start()?;
        }
        Ok(replay)
    }

    /// What is passed by: decided behind the entry, perhaps behind the last one to be replayed.
    fn skips(&self, start: Index, committed: Index) -> Result<Skips, Error> {
        let mut skips = Skips::new();
        let mut next = start.next();
        while next <= committed {
            let records = self.log.read(next, committed.next(), APPEND_BYTES_MAX)?;
            let Some(last) = records.last().map(|record| record.index) else {
                break;
            };
            next = last.next();
            for record in records {
                // One that cannot be read is told of by whoever comes to it, which a replay that ends before need not.
                let decided = Committed::read(record).ok();
                if let Some((by, skip)) = decided.and_then(|entry| Some((entry.index, entry.skip()?))) {
                    skips.entry(skip.entry).or_insert((by, skip));
                }
            }
        }
        Ok(skips)
    }

    fn load(&self, start: Index) -> Result<Arc<dyn Backend>, Error> {
        let backend = Arc::new(MemoryBackend::default());
        if start == Index(0) {
            return Ok(backend);
        }
        let mut batch: Vec<(TableId, Bytes, Option<Row>)> = Vec::new();
        let reader = Reader::open(&*self.disk, &self.files.path(start))?;
        reader.rows(|table, key, row| {
            batch.push((table, key, Some(row)));
            if batch.len() < REPLAY_LOAD_ROWS {
                return Ok(());
            }
            backend.write(std::mem::take(&mut batch)).map_err(Error::from)
        })?;
        backend.write(batch)?;
        Ok(backend)
    }

    /// What a replay of all of it will be compared with, without the reports in the log.
    #[must_use]
    pub fn witnesses(&self) -> usize {
        let Witnesses {
            snapshots,
            standing,
            said,
        } = &self.witnesses;
        snapshots.len() + usize::from(standing.is_some()) + said.len()
    }
}

impl Replay {
    /// What was loaded must be what its header says.
    fn prove_start(&mut self) -> Result<(), Error> {
        let says_otherwise = |proof: &Proof| proof.witness == Witness::Snapshot && !proof.is_equal();
        match self.proofs_here().into_iter().find(says_otherwise) {
            Some(proof) => Err(Error::Unreadable(format!(
                "the snapshot as of entry {} holds the state of another digest than its header says ({} and {})",
                proof.index, proof.ours, proof.theirs
            ))),
            None => Ok(()),
        }
    }
}

/// The state to begin with, of those as of `starts`, oldest first: the oldest; where only what follows is to be seen, the
/// newest from before `from`. None where there is none at all.
///
/// # Errors
/// [`Error::NotCommitted`] for an entry behind `committed`, [`Error::TooOld`] for one from before all states.
pub fn start(
    starts: &[Index],
    committed: Index,
    from: Option<Index>,
    to: Option<Index>,
) -> Result<Option<Index>, Error> {
    let wanted = [from, to].into_iter().flatten().max();
    if let Some(wanted) = wanted.filter(|wanted| *wanted > committed) {
        return Err(Error::NotCommitted { wanted, committed });
    }
    let Some(oldest) = starts.first().copied() else {
        return Ok(None);
    };
    let first_seen = [from, to].into_iter().flatten().min();
    match (from, first_seen) {
        // A state as of the very entry at which to stop is good enough; to see an entry takes one from before it.
        (_, Some(seen)) if from.is_some_and(|from| oldest >= from) || oldest > seen => {
            Err(Error::TooOld { wanted: seen, oldest })
        }
        (Some(from), _) => Ok(Some(
            starts.iter().rfind(|start| **start < from).copied().unwrap_or(oldest),
        )),
        (None, _) => Ok(Some(oldest)),
    }
}

/// Whose log and snapshots lie in a directory, and what it is a copy of, if it is one.
fn whose(disk: &(dyn Disk + 'static), data: &Path) -> Result<(Identity, Copied), Error> {
    if let Some(copied) = copied::read(disk, data).map_err(Error::unreadable)? {
        let identity = Identity {
            cluster: copied.cluster,
            node: copied.node,
        };
        return Ok((identity, copied));
    }
    let stored = identity::read(disk, data).map_err(Error::unreadable)?;
    let stored = stored.filter(|stored| stored.node != NodeId(0));
    let stored = stored.ok_or_else(|| Error::NoNode(data.to_owned()))?;
    let identity = Identity {
        cluster: stored.cluster,
        node: stored.node,
    };
    Ok((identity, Copied::default()))
}

/// The headers of snapshots; of one that cannot be read, a warning.
fn headers(disk: &dyn Disk, files: &Snapshots, warnings: &mut Vec<String>) -> Result<BTreeMap<Index, Header>, Error> {
    let mut headers = BTreeMap::new();
    for index in files.list()? {
        match Reader::open(disk, &files.path(index)) {
            Ok(reader) => drop(headers.insert(index, reader.header().clone())),
            Err(error) => warnings.push(format!("a snapshot is left out: {error}")),
        }
    }
    Ok(headers)
}

/// Where the node itself stood at its last checkpoint.
fn standing(
    real: &dyn Disk,
    condition: &Condition,
    checkpoint: &Checkpointed<'_>,
    warnings: &mut Vec<String>,
) -> Result<Option<Standing>, Error> {
    let notes = condition.notes();
    if let Some(Repair::Rebuild { reason } | Repair::RebuildAll { reason }) = notes.repair {
        warnings.push(format!(
            "the node's own checkpoint is left out: it was to be rebuilt ({reason})"
        ));
        return Ok(None);
    }
    let directory = condition.state_directory(notes.generation);
    let text = |error: std::io::Error| Error::Unreadable(format!("{}: {error}", directory.display()));
    if !real.exists(&directory).map_err(text)? {
        return Ok(None);
    }
    let copy = checkpoint.scratch.join("state");
    copy_directory(real, &directory, &copy).map_err(text)?;
    let backend = (checkpoint.backend)(&copy)?;
    Ok(Standing::of(&*backend.view())?)
}

fn copy_directory(disk: &dyn Disk, from: &Path, to: &Path) -> std::io::Result<()> {
    disk.create_dir_all(to)?;
    for entry in disk.list(from)? {
        let Some(name) = entry.path.file_name() else { continue };
        let target = to.join(name);
        if entry.is_dir {
            copy_directory(disk, &entry.path, &target)?;
        } else {
            copy_file(disk, &entry.path, &target)?;
        }
    }
    Ok(())
}

fn copy_file(disk: &dyn Disk, from: &Path, to: &Path) -> std::io::Result<()> {
    let (source, target) = (disk.open(from)?, disk.create_new(to)?);
    let mut buffer = vec![0; REPLAY_COPY_BYTES];
    let mut at = 0;
    loop {
        let read = source.read_at(&mut buffer, at)?;
        if read == 0 {
            return Ok(());
        }
        target.write_all_at(&buffer[..read], at)?;
        at += read as u64;
    }
}
