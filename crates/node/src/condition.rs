//! The node's own condition: its notes on disk, and how it ends when it cannot go on as it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use environment::Disk;
use environment::channel::mpsc;
use machine::{Index, NodeId};
use parking_lot::Mutex;
use store::format::notes::{self, Notes, Repair};
use tracing::{error, info};

use crate::limits::DISK_START_BYTES_MIN;

/// How a node ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// For good: a person must look at it. The text says what and why.
    Stop(String),
    /// To be started again from the same directory, where it repairs itself first. The text says why.
    Restart(String),
}

/// The notes of one node, and its way out. Clones share it.
#[derive(Clone)]
pub struct Condition(Arc<Shared>);

struct Shared {
    disk: Arc<dyn Disk>,
    data: PathBuf,
    notes: Mutex<Notes>,
    /// Bytes that were free on the disk when somebody last looked.
    free: AtomicU64,
    endings: mpsc::UnboundedSender<Ending>,
}

impl Condition {
    /// With the notes that lie in `data`; endings come out at the receiver.
    ///
    /// # Errors
    /// The notes cannot be read.
    pub fn read(
        disk: Arc<dyn Disk>,
        data: &Path,
    ) -> Result<(Condition, mpsc::UnboundedReceiver<Ending>), store::format::Error> {
        let notes = notes::read(&*disk, data)?;
        let (endings, receiver) = mpsc::unbounded_channel();
        let shared = Shared {
            disk,
            data: data.to_owned(),
            notes: Mutex::new(notes),
            free: AtomicU64::new(u64::MAX),
            endings,
        };
        Ok((Condition(Arc::new(shared)), receiver))
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.0.data
    }

    /// The disk it lies on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.0.disk
    }

    /// Looks how many bytes are free on the disk. Where the system cannot tell, the writes themselves will: then there are
    /// enough.
    pub fn free_bytes(&self) -> u64 {
        let free = self.0.disk.free_bytes(&self.0.data).unwrap_or(u64::MAX);
        self.0.free.store(free, Ordering::Relaxed);
        free
    }

    /// The notes.
    pub fn notes(&self) -> Notes {
        self.0.notes.lock().clone()
    }

    /// Changes the notes, durably.
    ///
    /// # Errors
    /// The disk failed; the notes are as before.
    pub fn note(&self, change: impl FnOnce(&mut Notes)) -> Result<(), String> {
        let mut shown = self.0.notes.lock();
        let mut changed = shown.clone();
        change(&mut changed);
        if *shown == changed {
            return Ok(());
        }
        notes::write(&*self.0.disk, &self.0.data, &changed).map_err(|error| error.to_string())?;
        *shown = changed;
        Ok(())
    }

    /// Where the state of a generation lies.
    pub fn state_directory(&self, generation: u64) -> PathBuf {
        match generation {
            0 => self.0.data.join("state"),
            later => self.0.data.join(format!("state-{later}")),
        }
    }

    /// Notes who the others are, so that they are found when nothing else can be read.
    pub fn meet(&self, peers: BTreeMap<NodeId, String>) {
        if let Err(error) = self.note(|notes| notes.peers = peers) {
            tracing::warn!(error, "the members' addresses could not be noted");
        }
    }

    /// The first entry that this node must hold before it votes.
    pub fn votes_from(&self) -> Option<Index> {
        self.0.notes.lock().votes_from
    }

    /// What lies on disk cannot be trusted: the node stops serving and is rebuilt.
    pub fn damaged(&self, reason: &str) {
        self.tell_damage(reason);
        let repair = Repair::Rebuild {
            reason: reason.to_owned(),
        };
        match self.note(|notes| notes.repair = Some(repair)) {
            Ok(()) => self.end(Ending::Restart(format!(
                "its data is damaged and must be rebuilt: {reason}"
            ))),
            Err(error) => self.end(Ending::Stop(format!("{reason}; and that could not be noted: {error}"))),
        }
    }

    /// The node went another way than the others: nor can its own snapshots be trusted.
    pub fn diverged(&self, reason: &str) {
        let snapshots = self.0.data.join("snapshots");
        match self.0.disk.remove_dir_all(&snapshots) {
            Ok(()) => self.damaged(reason),
            Err(error) => self.end(Ending::Stop(format!(
                "{reason}; and its snapshots could not be removed: {}: {error}",
                snapshots.display()
            ))),
        }
    }

    /// Says that what lies on disk cannot be trusted.
    pub fn tell_damage(&self, reason: &str) {
        error!(
            reason,
            "this node's data is damaged: it stops serving and will be rebuilt"
        );
    }

    /// Nor can the log: a person must decide, because a node that lost entries it had promised to keep weakens what the
    /// others rely on.
    pub fn log_damaged(&self, reason: &str) {
        error!(reason, "this node's log is damaged: it stops");
        self.end(Ending::Stop(format!("{reason}; {}", rebuild_remedy(&self.0.data))));
    }

    /// A snapshot has arrived: the node starts again with it.
    pub fn install(&self, index: Index) {
        info!(%index, "a snapshot has arrived: starting again with it");
        match self.note(|notes| notes.repair = Some(Repair::Install)) {
            Ok(()) => self.end(Ending::Restart(format!(
                "a snapshot as of entry {index} is to be installed"
            ))),
            Err(error) => self.end(Ending::Stop(error)),
        }
    }

    /// It cannot go on. Where the disk has no room, that is all there is to it: it starts again once there is some.
    pub fn broken(&self, reason: String) {
        // Whoever filled it may have made room since the write that failed: what was seen before that counts too.
        let before = self.0.free.load(Ordering::Relaxed);
        match before.min(self.free_bytes()) {
            free if free < DISK_START_BYTES_MIN => self.end(Ending::Restart(format!(
                "the disk is full ({free} bytes are free): {reason}"
            ))),
            _ => self.end(Ending::Stop(reason)),
        }
    }

    fn end(&self, ending: Ending) {
        // Nobody waits when the node is stopping anyway.
        self.0.endings.send(ending).ok();
    }
}

/// What to do about a log that is damaged.
pub fn rebuild_remedy(data: &Path) -> String {
    format!(
        "to take everything from the other members, run: seachange rebuild --data {}, then start the node again",
        data.display()
    )
}

/// Notes in the data directory of a node that does not run that everything in it, the log too, is to be taken from the
/// other members at its next start.
///
/// # Errors
/// A text: it runs, it is no data directory, or the disk failed.
pub fn order_rebuild(disk: &Arc<dyn Disk>, data: &Path, reason: &str) -> Result<(), String> {
    let text = |error: std::io::Error| format!("{}: {error}", data.display());
    let identity = store::format::identity::read(&**disk, data).map_err(|error| error.to_string())?;
    if identity.is_none() {
        return Err(format!("{} is no data directory of a node", data.display()));
    }
    let _lock = disk.lock(&data.join("lock")).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => format!("{} is in use: stop the node first", data.display()),
        _ => text(error),
    })?;
    let mut notes = notes::read(&**disk, data).map_err(|error| error.to_string())?;
    if notes.peers.is_empty() {
        return Err(format!(
            "the node in {} knows no other member to take its data from: restore a backup (seachange restore)",
            data.display()
        ));
    }
    notes.repair = Some(Repair::RebuildAll {
        reason: reason.to_owned(),
    });
    notes::write(&**disk, data, &notes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
