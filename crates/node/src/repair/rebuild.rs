//! Rebuilds what a node cannot trust any more.

use std::collections::BTreeMap;

use machine::{Index, NodeId};
use store::log::Vote;
use store::streams;
use tracing::{info, warn};

use super::bundle::{Bundle, INCOMING};
use super::fetch::{Front, Source, settle};
use super::install::{LogFate, Site, install, purged};
use crate::limits::REBUILD_RETRY;
use crate::peer::frames::Hello;
use crate::snapshots::Keeper;

/// Rebuilds state and streams, and with `all` the log too: from this node's own snapshot and log where they suffice, else
/// from the other members, for as long as it takes until one of them gives a snapshot. Blocks.
///
/// # Errors
/// A text: there is nobody to ask, the disk failed, or the log is to be kept and cannot be read.
pub async fn rebuild(site: &Site<'_>, hello: &Hello, reason: &str, all: bool) -> Result<(), String> {
    warn!(reason, "rebuilding this node's data");
    if !all && from_own(site).await? {
        return Ok(());
    }
    let mut peers = site.condition.notes().peers;
    peers.remove(&site.identity.node);
    if peers.is_empty() {
        return Err(format!(
            "this node's data is damaged ({reason}), its own snapshot and log do not suffice to rebuild it, and it knows \
             no other member: restore a backup into a directory of its own (seachange restore --from DIRECTORY --data \
             NEW)"
        ));
    }
    let mut told = String::new();
    loop {
        // The log that is kept must go on from the snapshot: one from before its beginning would leave a gap.
        let kept = match all {
            false => Some(purged(site).await?),
            true => None,
        };
        let why = match from_peers(site, hello, &peers, kept).await {
            Ok(()) => return Ok(()),
            Err(why) => why,
        };
        if why != told {
            warn!(why, "no other member gives a snapshot yet: asking again");
            told = why;
        }
        site.environment.sleep(REBUILD_RETRY).await;
    }
}

/// From the newest snapshot that is sound, with the log after it; or from the whole log.
async fn from_own(site: &Site<'_>) -> Result<bool, String> {
    let (disk, data) = (&site.environment.disk, site.condition.data());
    let purged = purged(site).await?;
    let keeper = Keeper::open(disk.clone(), data, site.identity.cluster).map_err(|error| error.to_string())?;
    if let Some(header) = keeper.newest().filter(|header| header.index >= purged) {
        let sound = keeper.directory().check(header.index);
        let missing = streams::missing(&**disk, &data.join("streams"), &header.streams);
        match (sound, missing) {
            (Ok(()), Ok(missing)) if missing.is_empty() => {
                info!(index = %header.index, "rebuilding from this node's own snapshot and log");
                let bundle = Bundle {
                    snapshot: keeper.directory().path(header.index),
                    streams: data.join(INCOMING),
                };
                install(site, &bundle, LogFate::Keep).await?;
                return Ok(true);
            }
            (Ok(()), Ok(missing)) => warn!(segments = missing.len(), "segments of streams are damaged here"),
            (Err(error), _) => warn!(%error, "this node's own snapshot cannot be used"),
            (_, Err(error)) => warn!(%error, "this node's own streams cannot be read"),
        }
    }
    if purged > Index(0) {
        return Ok(false);
    }
    info!("rebuilding from this node's whole log");
    let text = |error: std::io::Error| error.to_string();
    let streams = data.join("streams");
    if disk.exists(&streams).map_err(text)? {
        disk.remove_dir_all(&streams).map_err(text)?;
    }
    let before = site.condition.notes().generation;
    let fresh = site.condition.state_directory(before + 1);
    if disk.exists(&fresh).map_err(text)? {
        disk.remove_dir_all(&fresh).map_err(text)?;
    }
    site.condition.note(|notes| {
        notes.generation = before + 1;
        notes.repair = None;
    })?;
    disk.remove_dir_all(&site.condition.state_directory(before)).ok();
    Ok(true)
}

/// With the log that goes on after `kept`, or without any.
async fn from_peers(
    site: &Site<'_>,
    hello: &Hello,
    peers: &BTreeMap<NodeId, String>,
    kept: Option<Index>,
) -> Result<(), String> {
    let (fate, at_least) = match kept {
        Some(purged) => (LogFate::Keep, purged.max(Index(1))),
        None => {
            let front = front(site, hello, peers).await?;
            // It may have promised to keep any entry up to here: until it holds them again, it must not vote as if it had
            // never seen them.
            let from = site.condition.votes_from().unwrap_or_default().max(front.last);
            site.condition.note(|notes| notes.votes_from = Some(from))?;
            let vote = Vote {
                term: front.term,
                node: Some(front.leader),
                committed: true,
            };
            (LogFate::Discard(vote), Index(1))
        }
    };
    let mut why = Vec::new();
    for address in peers.values() {
        match from_peer(site, hello, address, fate, at_least).await {
            Ok(()) => return Ok(()),
            Err(error) => why.push(error),
        }
    }
    Err(why.join("; "))
}

async fn from_peer(
    site: &Site<'_>,
    hello: &Hello,
    address: &str,
    fate: LogFate,
    at_least: Index,
) -> Result<(), String> {
    let mut source = Source::connect(site.environment, address, hello).await?;
    source.bundle(site.condition.data(), at_least).await?;
    settle(&*site.environment.disk, site.condition.data())?;
    let bundle = Bundle::at(&site.condition.data().join(INCOMING));
    install(site, &bundle, fate).await.map(drop)
}

/// From the leader, which may have joined after this node last knew who the others are.
async fn front(site: &Site<'_>, hello: &Hello, peers: &BTreeMap<NodeId, String>) -> Result<Front, String> {
    let mut addresses: Vec<String> = peers.values().cloned().collect();
    let mut why = Vec::new();
    let mut at = 0;
    while let Some(address) = addresses.get(at).cloned() {
        at += 1;
        let asked = async {
            let mut source = Source::connect(site.environment, &address, hello).await?;
            match source.front().await {
                Ok(front) => Ok(Ok(front)),
                Err(error) => Ok(Err((error, source.who_leads().await))),
            }
        };
        match asked.await {
            Ok(Ok(front)) => return Ok(front),
            Ok(Err((error, leader))) => {
                why.push(error);
                let further = leader.ok().filter(|leader| !addresses.contains(leader));
                addresses.extend(further);
            }
            Err(error) => why.push(error),
        }
    }
    Err(format!("no leader answered: {}", why.join("; ")))
}
