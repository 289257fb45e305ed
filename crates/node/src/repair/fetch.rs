//! Takes a snapshot from another node, over a connection of its own.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use environment::{Disk, Environment, Stream, timeout};
use machine::codec::Codec;
use machine::{Index, NodeId, Term};
use store::snapshot::{Header, SegmentExtent};
use store::streams;
use tracing::info;

use super::bundle::{Bundle, INCOMING};
use crate::limits::{
    DISK_START_BYTES_MIN, PEER_CALL_TIMEOUT, SNAPSHOT_MAKE_TIMEOUT, SNAPSHOT_PIECE_BYTES, SNAPSHOT_PIECE_TIMEOUT,
};
use crate::peer::frames::{self, Frame, Hello, Kind};
use crate::snapshots::Piece;

/// Another node, to take a snapshot from.
pub struct Source {
    environment: Environment,
    address: String,
    stream: Box<dyn Stream>,
}

/// How far the leader's log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Front {
    /// The leader.
    pub leader: NodeId,
    /// Its term.
    pub term: Term,
    /// Its last index.
    pub last: Index,
}
machine::record!(Front { leader, term, last });

impl Source {
    /// Connects to the node at `address`.
    ///
    /// # Errors
    /// A text that says why not.
    pub async fn connect(environment: &Environment, address: &str, hello: &Hello) -> Result<Source, String> {
        let connected = crate::peer::connect(environment, address, hello).await;
        let (stream, _) = connected.map_err(|error| format!("{address}: {error}"))?;
        Ok(Source {
            environment: environment.clone(),
            address: address.to_owned(),
            stream,
        })
    }

    async fn call(&mut self, kind: Kind, body: Vec<u8>, limit: Duration) -> Result<Bytes, String> {
        let environment = self.environment.clone();
        let stream = &mut self.stream;
        let exchange = async {
            let frame = Frame {
                kind,
                id: 0,
                body: body.into(),
            };
            frames::write(stream, &frame).await?;
            frames::read(stream).await
        };
        let answered = timeout(&environment, limit, exchange).await;
        let answer = answered
            .map_err(|_| format!("{} did not answer within {} s", self.address, limit.as_secs()))?
            .map_err(|error| format!("{}: {error}", self.address))?;
        match answer {
            Some(frame) if frame.kind == Kind::Answer => Ok(frame.body),
            Some(frame) => Err(format!("{}: {}", self.address, String::from_utf8_lossy(&frame.body))),
            None => Err(format!("{} closed the connection", self.address)),
        }
    }

    /// How far the leader's log goes, if the other node leads.
    ///
    /// # Errors
    /// A text: mostly that it does not lead.
    pub async fn front(&mut self) -> Result<Front, String> {
        let answer = self.call(Kind::Front, Vec::new(), PEER_CALL_TIMEOUT).await?;
        Front::from_bytes(&answer).map_err(|error| format!("{}: {error}", self.address))
    }

    /// The peer address of the leader that the other node knows.
    ///
    /// # Errors
    /// A text: mostly that it knows none.
    pub async fn who_leads(&mut self) -> Result<String, String> {
        let answer = self.call(Kind::WhoLeads, Vec::new(), PEER_CALL_TIMEOUT).await?;
        String::from_bytes(&answer).map_err(|error| format!("{}: {error}", self.address))
    }

    /// Fetches a snapshot as of `at_least` or later, with the segments that `data` does not have, into `data`'s place for
    /// what comes in, as long as that leaves the room that a node needs for its work. Blocks on the disk: run it on a
    /// worker.
    ///
    /// # Errors
    /// A text that says what went wrong; what was fetched is gone, and is fetched again at the next try.
    pub async fn bundle(&mut self, data: &Path, at_least: Index) -> Result<Header, String> {
        let fetched = self.fetch(data, at_least).await;
        if fetched.is_err() {
            // The disk may be full of it. What cannot be removed is at the next try.
            self.environment.disk.remove_dir_all(&data.join(INCOMING)).ok();
        }
        fetched
    }

    async fn fetch(&mut self, data: &Path, at_least: Index) -> Result<Header, String> {
        let environment = self.environment.clone();
        let disk = &*environment.disk;
        let answer = self
            .call(Kind::SnapshotHeader, at_least.to_bytes(), SNAPSHOT_MAKE_TIMEOUT)
            .await?;
        let header = Header::from_bytes(&answer).map_err(|error| format!("{}: {error}", self.address))?;
        if header.index < at_least {
            return Err(format!(
                "{} has come to entry {} only, and entry {at_least} is needed",
                self.address, header.index
            ));
        }
        let incoming = data.join(INCOMING);
        let text = |error: std::io::Error| format!("{}: {error}", incoming.display());
        if disk.exists(&incoming).map_err(text)? {
            disk.remove_dir_all(&incoming).map_err(text)?;
        }
        disk.create_dir_all(&incoming).map_err(text)?;
        let bundle = Bundle::at(&incoming);
        let missing =
            streams::missing(disk, &data.join("streams"), &header.streams).map_err(|error| error.to_string())?;
        info!(
            from = self.address,
            index = %header.index,
            segments = missing.len(),
            "fetching a snapshot"
        );
        self.file(&bundle.snapshot, header.index, None, None).await?;
        for (stream, segment) in missing {
            let path = streams::segment_path(&bundle.streams, &stream, segment.base);
            if let Some(parent) = path.parent() {
                disk.create_dir_all(parent).map_err(text)?;
            }
            self.file(&path, header.index, Some((stream, segment.base)), Some(&segment))
                .await?;
            if !streams::holds(disk, &path, &segment).map_err(|error| error.to_string())? {
                return Err(format!("{} sent a segment that is not the snapshot's", self.address));
            }
        }
        Ok(header)
    }

    /// Fetches one file: of a segment, as many bytes as count.
    async fn file(
        &mut self,
        path: &Path,
        index: Index,
        of: Option<(String, machine::Offset)>,
        segment: Option<&SegmentExtent>,
    ) -> Result<(), String> {
        let disk = self.environment.disk.clone();
        let text = |error: std::io::Error| format!("{}: {error}", path.display());
        let file = disk.create_new(path).map_err(text)?;
        let bytes_max = segment.map_or(u64::MAX, |segment| segment.bytes);
        let mut from = 0;
        while from < bytes_max {
            let piece = Piece {
                index,
                segment: of.clone(),
                from,
            };
            let bytes = self
                .call(Kind::SnapshotRead, piece.to_bytes(), SNAPSHOT_PIECE_TIMEOUT)
                .await?;
            if bytes.is_empty() {
                break;
            }
            let wanted = usize::try_from(bytes_max - from).unwrap_or(usize::MAX).min(bytes.len());
            check_room(&*disk, path)?;
            file.write_all_at(&bytes[..wanted], from).map_err(text)?;
            from += wanted as u64;
        }
        file.sync_data().map_err(text)
    }
}

/// What a running node needs for its own work is left to it: its next write must not fail.
fn check_room(disk: &dyn Disk, path: &Path) -> Result<(), String> {
    let directory = path.parent().unwrap_or(path);
    match disk.free_bytes(directory) {
        Ok(free) if free < DISK_START_BYTES_MIN + SNAPSHOT_PIECE_BYTES as u64 => Err(format!(
            "{}: {free} bytes are free on the disk, too few for a snapshot",
            path.display()
        )),
        // Where the system cannot tell, the writes themselves will.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Makes what was fetched durable by name, before anything relies on it.
///
/// # Errors
/// The disk failed.
pub fn settle(disk: &dyn Disk, data: &Path) -> Result<(), String> {
    let sync = |path: &Path| {
        disk.sync_dir(path)
            .map_err(|error| format!("{}: {error}", path.display()))
    };
    let incoming = data.join(INCOMING);
    let streams = Bundle::at(&incoming).streams;
    let text = |error: std::io::Error| error.to_string();
    if disk.exists(&streams).map_err(text)? {
        for entry in disk.list(&streams).map_err(text)? {
            sync(&entry.path)?;
        }
        sync(&streams)?;
    }
    sync(&incoming)?;
    sync(data)
}
