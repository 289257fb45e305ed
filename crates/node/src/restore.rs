//! A new cluster from a backup: the state of another cluster as of one index, under a cluster id of its own, so that nodes
//! of the old one can never mix with it.

use std::path::Path;
use std::sync::Arc;

use environment::Environment;
use machine::{
    ClusterId, Index, LEVEL_MAX, NodeId, RegisterNode, Row, RowSums, StateDigest, StateError, TableId, Term, refound,
};
use store::format::identity::{self, StoredIdentity};
use store::log::{Identity, Log, LogOptions, Vote};
use store::snapshot::{Header, Reader};
use store::state::{Backend, Error as BackendError, Write};
use store::streams;

use crate::checkpoint::own_rows;
use crate::limits::INSTALL_BATCH_BYTES;
use crate::raft::lone_member_record;
use crate::repair::{Bundle, wait_for};

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The new cluster.
    pub cluster: ClusterId,
    /// The cluster that the backup is of.
    pub from: ClusterId,
    /// Its first node.
    pub node: NodeId,
    /// As of which entry.
    pub index: Index,
    /// The digest as of then: that of the old cluster at that index.
    pub digest: StateDigest,
    /// How many rows.
    pub rows: u64,
}

/// Makes a data directory from a backup: of the first node of a new cluster. Blocks.
///
/// # Errors
/// A text: the directory is not empty, the backup is damaged or not whole, or the disk failed.
pub async fn restore(
    environment: &Environment,
    backend: impl Fn(&Path) -> Result<Arc<dyn Backend>, BackendError>,
    from: &Path,
    data: &Path,
    name: &str,
) -> Result<Restored, String> {
    let disk = &*environment.disk;
    let text = |error: std::io::Error| error.to_string();
    if disk.exists(data).map_err(text)? && !disk.list(data).map_err(text)?.is_empty() {
        return Err(format!(
            "{} is not empty: a restored cluster begins in a directory of its own",
            data.display()
        ));
    }
    let bundle = Bundle::at(from);
    let reader = Reader::open(disk, &bundle.snapshot).map_err(|error| error.to_string())?;
    let header = reader.header().clone();
    let absent = streams::missing(disk, &bundle.streams, &header.streams).map_err(|error| error.to_string())?;
    if let Some((stream, segment)) = absent.first() {
        return Err(format!(
            "the backup in {} is not whole: the segment of stream {stream} from event {} on is missing or damaged",
            from.display(),
            segment.base
        ));
    }
    disk.create_dir_all(data).map_err(text)?;
    let cluster = ClusterId(environment.chance.next_u64() | 1);
    let founder = RegisterNode {
        nonce: environment.chance.next_u64(),
        name: name.to_owned(),
        // It says where it is when it starts.
        peer_address: String::new(),
        http_address: String::new(),
        level_max: LEVEL_MAX,
        binary: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let backend = backend(&data.join("state")).map_err(|error| error.to_string())?;
    let (node, sums) = load(&*backend, reader, &header, cluster, &founder)?;
    drop(backend);
    copy_streams(environment, &bundle, &header, data)?;
    begin_log(environment, &header, data, cluster, node).await?;
    let identity = StoredIdentity {
        cluster,
        node,
        nonce: founder.nonce,
    };
    // Last: without an identity the directory is nobody's.
    identity::write(disk, data, &identity).map_err(|error| error.to_string())?;
    Ok(Restored {
        cluster,
        from: header.cluster,
        node,
        index: header.index,
        digest: header.digest,
        rows: sums.rows,
    })
}

/// The rows, with the catalog of the new cluster.
fn load(
    backend: &dyn Backend,
    reader: Reader,
    header: &Header,
    cluster: ClusterId,
    founder: &RegisterNode,
) -> Result<(NodeId, RowSums), String> {
    let mut batch: Vec<Write> = Vec::new();
    let (mut bytes, mut node, mut sums) = (0, None, RowSums::default());
    let take = |table: TableId, key: bytes::Bytes, row: Row| -> Result<(), Failure> {
        let (row, founded) = refound(table, &key, row, cluster, founder)?;
        node = node.or(founded);
        sums.add(table, &key, &row);
        bytes += key.len() + row.document.len();
        batch.push((table, key, Some(row)));
        if bytes >= INSTALL_BATCH_BYTES {
            bytes = 0;
            backend.write(std::mem::take(&mut batch))?;
        }
        Ok(())
    };
    reader.rows(take).map_err(|Failure(text)| text)?;
    let node = node.ok_or("the backup is of a cluster that had not begun")?;
    let members = lone_member_record(header.index, header.term, node).ok_or("the backup is as of no entry")?;
    batch.extend(own_rows(&crate::checkpoint::MembersRow(members).to_bytes(), &sums));
    backend.write(batch).map_err(|error| error.to_string())?;
    Ok((node, sums))
}

struct Failure(String);

impl From<store::snapshot::Error> for Failure {
    fn from(error: store::snapshot::Error) -> Failure {
        Failure(error.to_string())
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Failure {
        Failure(error.to_string())
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Failure {
        Failure(error.to_string())
    }
}

/// The backup keeps what it has: segments are copied.
fn copy_streams(environment: &Environment, bundle: &Bundle, header: &Header, data: &Path) -> Result<(), String> {
    let disk = &*environment.disk;
    let home = data.join("streams");
    let text = |error: std::io::Error| error.to_string();
    disk.create_dir_all(&home).map_err(text)?;
    for (stream, extent) in &header.streams {
        let directory = home.join(stream);
        disk.create_dir_all(&directory).map_err(text)?;
        for segment in &extent.segments {
            let from = disk
                .open(&streams::segment_path(&bundle.streams, stream, segment.base))
                .map_err(text)?;
            let to = disk
                .create_new(&streams::segment_path(&home, stream, segment.base))
                .map_err(text)?;
            let mut buffer = vec![0; store::limits::STREAM_READ_BYTES];
            let mut at = 0;
            while at < segment.bytes {
                let step = (segment.bytes - at).min(buffer.len() as u64) as usize;
                let read = from.read_at(&mut buffer[..step], at).map_err(text)?;
                if read == 0 {
                    return Err(format!(
                        "a segment of stream {stream} became shorter while it was copied"
                    ));
                }
                to.write_all_at(&buffer[..read], at).map_err(text)?;
                at += read as u64;
            }
            to.sync_data().map_err(text)?;
        }
        disk.sync_dir(&directory).map_err(text)?;
    }
    disk.sync_dir(&home).map_err(text)
}

/// An empty log that goes on after the backup's last entry.
async fn begin_log(
    environment: &Environment,
    header: &Header,
    data: &Path,
    cluster: ClusterId,
    node: NodeId,
) -> Result<(), String> {
    let owner = Identity { cluster, node };
    let opened = Log::open(environment, &data.join("log"), owner, LogOptions::default());
    let log = opened.map_err(|error| error.to_string())?.log;
    let (index, term): (Index, Term) = (header.index, header.term);
    wait_for(|done| log.purge_through(index, term, done)).await?;
    let vote = Vote {
        term,
        node: Some(node),
        committed: false,
    };
    log.save_vote(vote).map_err(|error| error.to_string())?;
    log.shutdown().await;
    Ok(())
}
