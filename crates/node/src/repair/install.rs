//! Puts a snapshot in the place of what a data directory holds.

use std::sync::Arc;

use bytes::Bytes;
use environment::channel::oneshot;
use environment::{Disk, Environment};
use machine::{Index, Row, TableId, Term};
use store::log::{self, Identity, Log, LogOptions, Vote};
use store::snapshot::{Header, Reader, Snapshots};
use store::state::{Backend, Error as StateError};
use store::streams;
use tracing::info;

use super::bundle::{Bundle, INCOMING};
use crate::checkpoint::own_rows;
use crate::condition::{Condition, rebuild_remedy};
use crate::limits::INSTALL_BATCH_BYTES;

/// What becomes of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFate {
    /// What it holds after the snapshot is kept, if it goes on from there.
    Keep,
    /// Nothing in it can be trusted. The node knows a term whose leader it has heard, and votes for no other in it.
    Discard(Vote),
}

/// Opens the state in a directory.
pub type OpenBackend = dyn Fn(&std::path::Path) -> Result<Arc<dyn Backend>, StateError> + Send + Sync;

/// All that an installation works with.
pub struct Site<'a> {
    /// The world.
    pub environment: &'a Environment,
    /// The node's notes.
    pub condition: &'a Condition,
    /// Whose directory it is.
    pub identity: Identity,
    /// How the log is kept.
    pub log: LogOptions,
    /// Opens the state.
    pub backend: &'a OpenBackend,
}

impl Site<'_> {
    /// Opens the log.
    ///
    /// # Errors
    /// A text: of a log that cannot be trusted, with what a person can do about it.
    pub fn open_log(&self) -> Result<log::Opened, String> {
        let data = self.condition.data();
        let opened = Log::open(self.environment, &data.join("log"), self.identity, self.log);
        opened.map_err(|error| match error {
            log::Error::Damaged { .. }
            | log::Error::Missing { .. }
            | log::Error::Format(store::format::Error::Unreadable { .. }) => {
                format!("{error}; {}", rebuild_remedy(data))
            }
            log::Error::Format(_) | log::Error::Purged { .. } | log::Error::Disk { .. } | log::Error::Options(_) => {
                error.to_string()
            }
        })
    }
}

/// Puts the snapshot of `bundle` in the place of state and streams, and makes the log go on from there. When it returns,
/// the notes ask for no repair any more. May be done again after a crash. Blocks.
///
/// # Errors
/// A text that says what could not be done; nothing of what was there before is trusted less for it.
pub async fn install(site: &Site<'_>, bundle: &Bundle, fate: LogFate) -> Result<Header, String> {
    let (disk, data) = (&*site.environment.disk, site.condition.data());
    let reader = Reader::open(disk, &bundle.snapshot).map_err(|error| error.to_string())?;
    let header = reader.header().clone();
    if header.cluster != site.identity.cluster {
        return Err(format!(
            "the snapshot is of cluster {:016x}, and this node belongs to cluster {:016x}",
            header.cluster.0, site.identity.cluster.0
        ));
    }
    if let LogFate::Keep = fate {
        // Before anything is changed: the log would be left with a gap, and what it holds after that is promised.
        let purged = purged(site).await?;
        if header.index < purged {
            return Err(format!(
                "the snapshot is as of entry {}, and the log begins after entry {purged}",
                header.index
            ));
        }
    }
    let before = site.condition.notes().generation;
    let generation = before + 1;
    load_state(site, reader, generation)?;
    streams::place(disk, &data.join("streams"), &header.streams, &bundle.streams).map_err(|error| error.to_string())?;
    continue_log(site, header.index, header.term, fate).await?;
    site.condition.note(|notes| {
        notes.generation = generation;
        notes.repair = None;
    })?;
    // Only now: up to here a crash begins again with the bundle as it was.
    adopt(site, bundle, header.index)?;
    // What is left of what was before is of no use; if it cannot be removed, it only takes room.
    disk.remove_dir_all(&site.condition.state_directory(before)).ok();
    disk.remove_dir_all(&data.join(INCOMING)).ok();
    info!(index = %header.index, "installed a snapshot");
    Ok(header)
}

/// The rows of the snapshot become the state of a generation of their own.
fn load_state(site: &Site<'_>, reader: Reader, generation: u64) -> Result<(), String> {
    let disk = &*site.environment.disk;
    let directory = site.condition.state_directory(generation);
    if disk.exists(&directory).map_err(|error| error.to_string())? {
        disk.remove_dir_all(&directory).map_err(|error| error.to_string())?;
    }
    let members = reader.header().members.clone();
    let backend = (site.backend)(&directory).map_err(|error| error.to_string())?;
    let mut batch: Vec<(TableId, Bytes, Option<Row>)> = Vec::new();
    let mut bytes = 0;
    let sums = reader
        .rows(|table, key, row| {
            bytes += key.len() + row.document.len();
            batch.push((table, key, Some(row)));
            if bytes < INSTALL_BATCH_BYTES {
                return Ok(());
            }
            bytes = 0;
            backend
                .write(std::mem::take(&mut batch))
                .map_err(store::snapshot::Error::from)
        })
        .map_err(|error| error.to_string())?;
    batch.extend(own_rows(&members, &sums));
    backend.write(batch).map_err(|error| error.to_string())
}

/// Up to where this node's own log was purged.
///
/// # Errors
/// The log cannot be read.
pub async fn purged(site: &Site<'_>) -> Result<Index, String> {
    let opened = site.open_log()?;
    let purged = opened.log.purged().map(|(index, _)| index).unwrap_or_default();
    opened.log.shutdown().await;
    Ok(purged)
}

/// Makes the log go on after the snapshot.
async fn continue_log(site: &Site<'_>, index: Index, term: Term, fate: LogFate) -> Result<(), String> {
    if let LogFate::Discard(_) = fate {
        let directory = site.condition.data().join("log");
        log::discard_records(&*site.environment.disk, &directory, site.identity).map_err(|error| error.to_string())?;
    }
    let log = site.open_log()?.log;
    if log.term_at(index) != Some(term) {
        // Either it has not come so far, or what it holds there and after it was never committed. What comes before is
        // promised, and goes only with the purge that says that the snapshot holds it.
        if log.last().is_some_and(|(last, _)| last >= index) {
            wait_for(|done| log.truncate_after(index.0.checked_sub(1).map(Index), done)).await?;
        }
        wait_for(|done| log.purge_through(index, term, done)).await?;
    }
    if let LogFate::Discard(vote) = fate
        && log.read_vote().is_none_or(|known| known.term < vote.term)
    {
        log.save_vote(vote).map_err(|error| error.to_string())?;
    }
    log.shutdown().await;
    Ok(())
}

/// Waits for what was asked of the log.
///
/// # Errors
/// The disk failed.
pub async fn wait_for(ask: impl FnOnce(log::Flushed)) -> Result<(), String> {
    let (done, waiting) = oneshot::channel();
    ask(Box::new(move |result| drop(done.send(result))));
    match waiting.await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the log has stopped".to_owned()),
    }
}

/// The snapshot becomes one of this node's own.
fn adopt(site: &Site<'_>, bundle: &Bundle, index: Index) -> Result<(), String> {
    let disk: &Arc<dyn Disk> = &site.environment.disk;
    let directory = site.condition.data().join("snapshots");
    let snapshots = Snapshots::open(disk.clone(), &directory).map_err(|error| error.to_string())?;
    if bundle.snapshot != snapshots.path(index) {
        snapshots
            .adopt(&bundle.snapshot, index)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}
