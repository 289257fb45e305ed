use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use super::copy::{CopyId, CopyListing};
use crate::{
    Body, Catalog, ChangeId, ClusterId, Consumers, Failure, Index, Level, NodeId, Offset, Reply, Request, SessionId,
    StateDigest, Term, TimeMs, Usage,
};

/// Requests that may be brought into the log together, at most.
pub const TOGETHER_COMMANDS_MAX: usize = 1024;
/// Bytes that several such requests may take in an entry, by [`Request::encoded_bytes_max`]; a single one may take more.
pub const TOGETHER_BYTES_MAX: usize = 256 << 10;

/// An answer that is still to come.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A record of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its dense position.
    pub offset: Offset,
    /// The time of its entry.
    pub time: TimeMs,
    /// Its key, if the application gave one.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Bytes,
    /// The version of its value.
    pub version: u16,
}

/// An event whose bytes lie elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventView<'a> {
    /// See [`Event::offset`].
    pub offset: Offset,
    /// See [`Event::time`].
    pub time: TimeMs,
    /// See [`Event::key`].
    pub key: Option<&'a [u8]>,
    /// See [`Event::value`].
    pub value: &'a [u8],
    /// See [`Event::version`].
    pub version: u16,
}

impl Event {
    /// The event without its bytes.
    #[must_use]
    #[inline]
    pub fn view(&self) -> EventView<'_> {
        EventView {
            offset: self.offset,
            time: self.time,
            key: self.key.as_deref(),
            value: &self.value,
            version: self.version,
        }
    }
}

impl EventView<'_> {
    /// The event as a value of its own.
    #[must_use]
    pub fn to_event(&self) -> Event {
        Event {
            offset: self.offset,
            time: self.time,
            key: self.key.map(Bytes::copy_from_slice),
            value: Bytes::copy_from_slice(self.value),
            version: self.version,
        }
    }
}

/// Events read together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// Events from the offset asked for on; empty at the end of the stream.
    pub events: Vec<Event>,
    /// The first event that the stream still holds, or will hold.
    pub start: Offset,
    /// The offset that the next event to be appended will have.
    pub end: Offset,
}

/// Events as they lie in a stream's files: Kafka's record batches, format v2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPage {
    /// Whole batches, from the event asked for on; empty at the end of the stream.
    pub batches: Bytes,
    /// The offset behind their last event; the one asked for where there are none.
    pub next: Offset,
    /// The first event that the stream still holds, or will hold.
    pub start: Offset,
    /// The offset that the next event to be appended will have.
    pub end: Offset,
}

/// One stream as a node has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamStatus {
    /// The first event that is there, or will be.
    pub start: Offset,
    /// The offset that the next event to be appended will have.
    pub end: Offset,
    /// Bytes of its files.
    pub bytes: u64,
    /// How many files those are.
    pub segments: u64,
}

/// What a reader wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// One document.
    Get {
        /// The application's name.
        application: String,
        /// The table's name.
        table: String,
        /// The key.
        key: Bytes,
    },
    /// Documents in order of key.
    Scan {
        /// The application's name.
        application: String,
        /// The table's name.
        table: String,
        /// First key, included.
        start: Bytes,
        /// Last key, excluded; none: the end of the table.
        end: Option<Bytes>,
        /// At most so many.
        limit: usize,
        /// From the end to the start.
        reverse: bool,
    },
    /// Which commands an application's clients have sent.
    Usage {
        /// The application's name.
        application: String,
    },
    /// The application's own query.
    Query {
        /// The application's name.
        application: String,
        /// The query's name.
        query: String,
        /// Its payload.
        payload: Bytes,
    },
}

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// It shows every command acknowledged before it was asked.
    Linearizable,
    /// It shows what this node has applied.
    Stale,
}

/// What a read found, and as of when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadAnswer {
    /// The index it shows.
    pub index: Index,
    /// The value.
    pub value: ReadValue,
}

/// What a read found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadValue {
    /// Of a get.
    Document(Option<Bytes>),
    /// Of a scan: the pairs, and whether there are more.
    Pairs {
        /// In the order asked for.
        pairs: Vec<(Bytes, Bytes)>,
        /// Whether the scan ended at its limit.
        more: bool,
    },
    /// Of the commands that were sent: by command and version.
    Usage(Vec<Usage>),
    /// Of a query: the application's answer.
    Answer(Bytes),
    /// Of a query that the application declined.
    Refused(Bytes),
}

/// Why a read gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No application of that name.
    #[error("there is no application {0:?}")]
    UnknownApplication(String),
    /// The version in force keeps no such table.
    #[error("application {application:?} keeps no table {table:?}")]
    UnknownTable {
        /// The application.
        application: String,
        /// The table.
        table: String,
    },
    /// The version in force has no such query.
    #[error("application {application:?} has no query {query:?}")]
    UnknownQuery {
        /// The application.
        application: String,
        /// The query.
        query: String,
    },
    /// No such stream.
    #[error("there is no stream {0:?}")]
    UnknownStream(String),
    /// What lies on this node's disk is not what it should be.
    #[error("this node's data is damaged: {0}")]
    Damaged(String),
    /// No such snapshot here, or no such file in it.
    #[error("{0}")]
    UnknownSnapshot(String),
    /// Somebody else is copying this node's log.
    #[error("{0}")]
    CopyUnderWay(String),
    /// No such copy is under way here: it has ended, or was not asked for anything for too long.
    #[error("no such copy is under way at this node")]
    UnknownCopy,
    /// The entry was let go of.
    #[error("entry {wanted} is no longer in this node's log, which begins with entry {first}")]
    EntriesPurged {
        /// Asked for.
        wanted: Index,
        /// The first that there is.
        first: Index,
    },
    /// An event cannot be given in the version asked for.
    #[error("event {offset} of stream {stream} cannot be given in version {version}: {why}")]
    EventVersionUnserved {
        /// The stream.
        stream: String,
        /// Which one.
        offset: Offset,
        /// Asked for.
        version: u16,
        /// Why, and what to do.
        why: String,
    },
    /// Events before the stream's start were asked for.
    #[error("events of stream {stream:?} before {start} are removed")]
    EventsTrimmed {
        /// The stream.
        stream: String,
        /// The first event that is there, or will be.
        start: Offset,
    },
    /// The application failed on it.
    #[error("the application failed: {}", .0.detail)]
    Failed(Failure),
    /// No leader could confirm that the read is fresh.
    #[error("the read could not be confirmed as fresh: {0}")]
    Unconfirmed(String),
    /// This node cannot answer now.
    #[error("this node cannot answer: {0}")]
    Unavailable(String),
}

/// What came of a control entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Done, at that index.
    Done {
        /// Of the entry.
        index: Index,
    },
    /// A session was opened.
    SessionOpened(SessionId),
    /// A change was planned.
    Planned(ChangeId),
    /// A node was registered.
    Registered(NodeId),
    /// Refused: nothing was changed; the reason is the same on every node.
    Refused {
        /// A stable name of the reason.
        code: &'static str,
        /// For people: what, why, and what to do.
        reason: String,
    },
}

/// Why a request or control entry has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// This node does not lead. Nothing was done.
    #[error("this node does not lead the cluster")]
    NotLeader {
        /// Who does, if known.
        leader: Option<NodeId>,
    },
    /// It may have been applied, or may still be.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(String),
    /// Too much is waiting. Nothing was done.
    #[error("the node has too much waiting: {0}")]
    Overloaded(String),
    /// Past a limit. Nothing was done.
    #[error("{0}")]
    TooLarge(String),
    /// The disk has no room for it. Nothing was done.
    #[error("the disk is full: {0}")]
    DiskFull(String),
    /// The node is stopping or cannot serve. Nothing was done.
    #[error("the node cannot serve: {0}")]
    Unavailable(String),
}

/// What a node is to its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Leads.
    Leader,
    /// Votes and follows.
    Follower,
    /// Seeks votes.
    Candidate,
    /// Follows without a vote.
    Learner,
}

/// One member as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its id.
    pub node: NodeId,
    /// Whether it votes.
    pub voter: bool,
    /// The last index known to be in its log; only the leader knows.
    pub matched: Option<Index>,
}

/// A node's view of itself and its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// This node.
    pub node: NodeId,
    /// The cluster.
    pub cluster: ClusterId,
    /// Its role.
    pub role: Role,
    /// The current term.
    pub term: Term,
    /// Who leads, if known.
    pub leader: Option<NodeId>,
    /// Last index in its log.
    pub last: Index,
    /// Last index known to be committed.
    pub committed: Index,
    /// Last index applied.
    pub applied: Index,
    /// The digest as of `applied`.
    pub digest: StateDigest,
    /// The cluster's level.
    pub level: Level,
    /// Members, by id.
    pub members: Vec<MemberStatus>,
    /// Why it does not apply, if it is parked.
    pub parked: Option<String>,
}

/// A snapshot of everything as of one index, as files that can be copied off a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotListing {
    /// The cluster it is of.
    pub cluster: ClusterId,
    /// As of which entry.
    pub index: Index,
    /// The digest as of then.
    pub digest: StateDigest,
    /// The files, the snapshot itself first.
    pub files: Vec<SnapshotFile>,
}

/// One file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Its name, with `/` between the parts of a path.
    pub name: String,
    /// Its length, bytes.
    pub bytes: u64,
}

/// What a scan of everything that lies on a node's disk found in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scanned {
    /// As of which entry.
    pub index: Index,
    /// How many rows.
    pub rows: u64,
}

/// The running cluster as one of its nodes gives it to whoever serves the world.
pub trait Cluster: Send + Sync {
    /// Brings a request into the log and waits for its reply. Only the leader takes it.
    fn submit(&self, request: Request) -> Pending<'_, Result<Reply, SubmitError>>;
    /// Brings requests into the log together, in one entry or not at all, and waits for their replies, which stand in the
    /// same order. Only the leader takes them. [`TOGETHER_COMMANDS_MAX`] and [`TOGETHER_BYTES_MAX`] bound them.
    fn submit_together<'a>(&'a self, requests: &'a [Request]) -> Pending<'a, Result<Vec<Reply>, SubmitError>>;
    /// Brings requests into the log in their order; the answers stand in the same order. Only the leader takes them, and
    /// only for as long as it leads without a break: whatever happens, those that are ever applied are the first of
    /// them, each behind the one before it. So once one is answered with anything but a reply or
    /// [`SubmitError::OutcomeUnknown`], it was not applied, and none behind it was or will be.
    fn submit_in_order(&self, requests: Vec<Request>) -> Vec<Pending<'_, Result<Reply, SubmitError>>>;
    /// Brings a control entry into the log and waits for what came of it. Only the leader takes it.
    fn propose(&self, body: Body) -> Pending<'_, Result<Decision, SubmitError>>;
    /// Reads, at any node.
    fn read(&self, read: Read, consistency: Consistency) -> Pending<'_, Result<ReadAnswer, ReadError>>;
    /// The index that a read which begins now must show to be linearizable, confirmed by a majority of the voters.
    fn read_index(&self) -> Pending<'_, Result<Index, ReadError>>;
    /// Events of a stream from `from` on, at most about `bytes_max` of them (one at least, if there is one). Those that were
    /// emitted in a later version than `version`, where one is given, are brought down into it.
    fn events(
        &self,
        stream: String,
        from: Offset,
        bytes_max: usize,
        version: Option<u16>,
    ) -> Pending<'_, Result<EventPage, ReadError>>;
    /// The same as they lie in the stream's files, and none at the end of `range` or behind it.
    fn event_batches(
        &self,
        stream: String,
        range: Range<Offset>,
        bytes_max: usize,
    ) -> Pending<'_, Result<BatchPage, ReadError>>;
    /// Ends when the stream's end passes `beyond`, or soon after the node stops serving.
    fn events_beyond(&self, stream: String, beyond: Offset) -> Pending<'_, ()>;
    /// Every stream there is, by name, as this node has it now.
    fn streams(&self) -> BTreeMap<String, StreamStatus>;
    /// Named consumers as of this node's applied index.
    fn consumers(&self) -> Arc<Consumers>;
    /// Ends when this node shows everything that was acknowledged before the call, and gives the index that it shows.
    fn fresh(&self) -> Pending<'_, Result<Index, ReadError>>;
    /// This node and its cluster as it sees them now.
    fn status(&self) -> Status;
    /// Applications, changes and nodes as of this node's applied index.
    fn catalog(&self) -> Arc<Catalog>;
    /// A snapshot at this node that shows every command acknowledged before it was asked for; made now if need be.
    fn snapshot(&self) -> Pending<'_, Result<SnapshotListing, ReadError>>;
    /// Bytes of a file of a snapshot from `from` on, about a mebibyte; none at its end.
    fn snapshot_piece(&self, index: Index, file: String, from: u64) -> Pending<'_, Result<Bytes, ReadError>>;
    /// Begins a copy of what this node has to be replayed elsewhere: its snapshots and its log. There is one at a time;
    /// one that is asked for nothing for half a minute has ended.
    fn begin_copy(&self) -> Pending<'_, Result<CopyListing, ReadError>>;
    /// Bytes of a snapshot from `from` on, about a mebibyte; none at its end.
    fn copy_snapshot(&self, copy: CopyId, index: Index, from: u64) -> Pending<'_, Result<Bytes, ReadError>>;
    /// Entries of the log from `from` on, about a mebibyte of them and at least one, as a page of the log's own frames;
    /// none behind the copy's last.
    fn copy_entries(&self, copy: CopyId, from: Index) -> Pending<'_, Result<Bytes, ReadError>>;
    /// Ends a copy, so that another may begin.
    fn end_copy(&self, copy: CopyId);
    /// Reads everything on this node's disk again and checks it; damage ends the node.
    fn scan_disk(&self) -> Pending<'_, Result<Scanned, ReadError>>;
    /// Ends when this node's applied index is at least `index` and its catalog shows that, or soon after it stops.
    fn applied(&self, index: Index) -> Pending<'_, ()>;
    /// Ends when a leader is known that is not `other_than`, or soon after the node stops.
    fn leader_known(&self, other_than: Option<NodeId>) -> Pending<'_, ()>;
}
