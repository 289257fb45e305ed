//! The node as a [`Cluster`]: what whoever serves the world talks to.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use environment::channel::{mpsc, oneshot};
use machine::{
    BatchPage, Body, Catalog, Cluster, ClusterId, Consistency, Consumers, CopyId, CopyListing, Decision, EventPage,
    Index, Level, MemberStatus, NodeId, Offset, PackedRequests, Pending, Read, ReadAnswer, ReadError, Reply, Request,
    Scanned, SkipEntry, SnapshotListing, Status, StreamStatus, SubmitError, TOGETHER_BYTES_MAX, TOGETHER_COMMANDS_MAX,
    Term, limits as log_limits,
};
use store::streams::StreamReader;

use crate::copies::Copies;
use crate::driver::{Admission, Event, Replies};
use crate::measures::Measures;
use crate::progress::Progress;
use crate::published::Published;
use crate::raft::Group;
use crate::reads::{Freshness, Readers};
use crate::room::Room;
use crate::snapshots::{self, Piece, Trouble};
use crate::upkeep::Upkeep;

/// The node as its own process sees it.
pub struct Handle {
    /// This node.
    pub node: NodeId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its group.
    pub group: Group,
    /// To the driver.
    pub events: mpsc::UnboundedSender<Event>,
    /// Bounds what waits.
    pub admission: Admission,
    /// What the applier shows.
    pub published: Arc<Published>,
    /// Moves when the group changes.
    pub group_changed: Arc<Progress>,
    /// Threads for reads.
    pub readers: Readers,
    /// Makes reads fresh.
    pub freshness: Freshness,
    /// Streams.
    pub streams: StreamReader,
    /// Set when the node is on its way out: nothing new is taken.
    pub stopping: AtomicBool,
    /// Snapshots and scans.
    pub upkeep: Upkeep,
    /// Copies for replay elsewhere.
    pub copies: Copies,
    /// Whether the disk has room for more.
    pub room: Room,
    /// What is counted and timed.
    pub measures: Arc<Measures>,
}

impl Handle {
    fn require_leader(&self) -> Result<Term, SubmitError> {
        let reign = self.require_leading()?;
        self.room.check().map(|()| reign).map_err(SubmitError::DiskFull)
    }

    /// For what makes room: the reserve is for that, too.
    fn require_leading(&self) -> Result<Term, SubmitError> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(SubmitError::Unavailable("the node is stopping".to_owned()));
        }
        self.group.reign().ok_or_else(|| SubmitError::NotLeader {
            leader: self.group.other_leader(),
        })
    }

    /// In its first moments a cluster has a leader and not yet its first entry.
    fn require_cluster(&self) -> Result<(), SubmitError> {
        match self.published.catalog().level {
            Level(0) => Err(SubmitError::NotLeader { leader: None }),
            Level(_) => Ok(()),
        }
    }

    /// Gives requests to the driver in their order. Once one is not taken, none behind it is.
    fn take(&self, requests: Vec<Request>) -> Vec<Result<Replies, SubmitError>> {
        let reign = self.require_leader().and_then(|reign| {
            self.require_cluster()?;
            Ok(reign)
        });
        let mut refused = reign.as_ref().err().cloned();
        let reign = reign.unwrap_or_default();
        let mut take = |request: Request| {
            if let Some(error) = &refused {
                return Err(error.clone());
            }
            let taken = self.take_one(&request, reign);
            refused = taken.as_ref().err().cloned();
            taken
        };
        requests.into_iter().map(&mut take).collect()
    }

    fn take_one(&self, request: &Request, reign: Term) -> Result<Replies, SubmitError> {
        self.take_together(std::slice::from_ref(request), reign)
    }

    fn take_together(&self, requests: &[Request], reign: Term) -> Result<Replies, SubmitError> {
        check_together(requests)?;
        let (submission, replies) = self.admission.admit(PackedRequests::from(requests), reign)?;
        self.events.send(Event::Submit(submission)).map_err(|_| stopped())?;
        Ok(replies)
    }

    async fn submit_here(&self, requests: &[Request]) -> Result<Vec<Reply>, SubmitError> {
        let reign = self.require_leader()?;
        self.require_cluster()?;
        answered(self.take_together(requests, reign)).await
    }

    async fn propose_here(&self, body: Body) -> Result<Decision, SubmitError> {
        // Those that make room have the reserve of a full disk.
        if matches!(
            body,
            Body::TrimStreams(_) | Body::SkipEntry(_) | Body::LetGo(_) | Body::DropModule(_)
        ) {
            self.require_leading()?;
        } else {
            self.require_leader()?;
        }
        if !matches!(body, Body::Genesis(_)) {
            self.require_cluster()?;
        }
        if let Body::SkipEntry(skip) = &body
            && let Some(decided) = self.decided_here(skip)
        {
            return Ok(decided);
        }
        let bytes = body_bytes(&body);
        if bytes > log_limits::ENTRY_BYTES_MAX {
            let text = format!(
                "the entry would have {bytes} bytes: {} are the most",
                log_limits::ENTRY_BYTES_MAX
            );
            return Err(SubmitError::TooLarge(text));
        }
        let (decision, decided) = oneshot::channel();
        self.events
            .send(Event::Propose(Box::new(body), decision))
            .map_err(|_| stopped())?;
        decided.await.unwrap_or_else(|_| Err(unknown()))
    }

    /// What needs no entry: the decision was taken before, or cannot be.
    fn decided_here(&self, skip: &SkipEntry) -> Option<Decision> {
        if let Some(skipped) = self.published.catalog().skipped.get(&skip.entry) {
            return Some(Decision::Done { index: skipped.by });
        }
        self.may_skip(skip).err().map(|reason| Decision::Refused {
            code: "skip_refused",
            reason,
        })
    }

    /// Nothing is skipped that this node could apply: what the log says of an entry is not to be unsaid.
    fn may_skip(&self, skip: &SkipEntry) -> Result<(), String> {
        skip.check_size()?;
        let facts = self.published.facts();
        let entry = skip.entry;
        match facts.failed_at {
            Some(at) if at == entry => Ok(()),
            Some(at) => Err(format!(
                "the leader's program fails at entry {at}, and not at entry {entry}"
            )),
            None if facts.applied >= entry => Err(format!(
                "the leader has applied entry {entry}: give the nodes whose program fails there the leader's binary"
            )),
            None => Err(format!(
                "the leader's program has not failed at entry {entry}: an entry is skipped once it has stopped the leader \
                 twice, so that it stands before it"
            )),
        }
    }

    async fn read_here(&self, read: Read, consistency: Consistency) -> Result<ReadAnswer, ReadError> {
        match consistency {
            Consistency::Linearizable => drop(self.fresh().await?),
            Consistency::Stale => {}
        }
        self.readers.read(read).await
    }

    /// Waits until this node shows every command acknowledged before this was asked.
    async fn fresh(&self) -> Result<Index, ReadError> {
        let index = self.freshness.index().await?;
        // The Raft crate's idea of what is applied is not ours: only our own applier's counts.
        self.published.applied.reach(index).await;
        match self.published.applied.get() < index {
            true => Err(ReadError::Unavailable("the node is stopping".to_owned())),
            false => Ok(index),
        }
    }

    async fn snapshot_here(&self) -> Result<SnapshotListing, ReadError> {
        let index = self.fresh().await?;
        let header = self.upkeep.snapshot(index).await.map_err(ReadError::Unavailable)?;
        let keeper = self.upkeep.keeper().clone();
        let listing = self.upkeep.work("snapshot list", move || keeper.listing(&header));
        listing.await.map_err(ReadError::Unavailable)
    }

    async fn piece_here(&self, index: Index, file: &str, from: u64) -> Result<bytes::Bytes, ReadError> {
        let segment = snapshots::segment_of(file).ok_or_else(|| {
            ReadError::UnknownSnapshot(format!(
                "a snapshot has no file {file:?}: take the names that it was listed with"
            ))
        })?;
        let piece = Piece { index, segment, from };
        let bytes = self.upkeep.read(piece).await.map_err(ReadError::UnknownSnapshot)?;
        Ok(bytes.into())
    }
}

/// What of a control entry can be large.
fn body_bytes(body: &Body) -> usize {
    match body {
        Body::ModuleChunk(chunk) => chunk.bytes.len(),
        other => machine::codec::Codec::to_bytes(&machine::Entry {
            time: machine::TimeMs(0),
            body: other.clone(),
        })
        .len(),
    }
}

fn check_together(requests: &[Request]) -> Result<(), SubmitError> {
    let mut bytes = 0;
    for request in requests {
        request.check_size().map_err(SubmitError::TooLarge)?;
        bytes += request.encoded_bytes_max();
    }
    if requests.len() > 1 && (requests.len() > TOGETHER_COMMANDS_MAX || bytes > TOGETHER_BYTES_MAX) {
        return Err(SubmitError::TooLarge(format!(
            "{} requests of {bytes} bytes do not go into the log together: {TOGETHER_COMMANDS_MAX} of \
             {TOGETHER_BYTES_MAX} bytes are the most",
            requests.len()
        )));
    }
    Ok(())
}

fn stopped() -> SubmitError {
    SubmitError::Unavailable("the node is stopping".to_owned())
}

async fn answered(taken: Result<Replies, SubmitError>) -> Result<Vec<Reply>, SubmitError> {
    taken?.await.unwrap_or_else(|_| Err(unknown()))
}

/// The reply to a request that went alone.
async fn answered_one(taken: Result<Replies, SubmitError>) -> Result<Reply, SubmitError> {
    answered(taken).await.and_then(only)
}

fn only(mut replies: Vec<Reply>) -> Result<Reply, SubmitError> {
    replies.pop().ok_or_else(|| {
        SubmitError::OutcomeUnknown("the entry was answered without a reply to the request in it".to_owned())
    })
}

fn unknown() -> SubmitError {
    SubmitError::OutcomeUnknown("the node stopped before the reply was known".to_owned())
}

impl Cluster for Handle {
    fn submit(&self, request: Request) -> Pending<'_, Result<Reply, SubmitError>> {
        Box::pin(async move {
            let submitted = self.submit_here(&[request]).await.and_then(only);
            submitted.inspect_err(|error| self.measures.refused(error))
        })
    }

    fn submit_together<'a>(&'a self, requests: &'a [Request]) -> Pending<'a, Result<Vec<Reply>, SubmitError>> {
        Box::pin(async {
            let submitted = self.submit_here(requests).await;
            submitted.inspect_err(|error| requests.iter().for_each(|_| self.measures.refused(error)))
        })
    }

    fn submit_in_order(&self, requests: Vec<Request>) -> Vec<Pending<'_, Result<Reply, SubmitError>>> {
        let taken = self.take(requests).into_iter();
        taken
            .map(|taken| -> Pending<'_, _> { Box::pin(answered_one(taken)) })
            .collect()
    }

    fn propose(&self, body: Body) -> Pending<'_, Result<Decision, SubmitError>> {
        Box::pin(self.propose_here(body))
    }

    fn read(&self, read: Read, consistency: Consistency) -> Pending<'_, Result<ReadAnswer, ReadError>> {
        Box::pin(self.read_here(read, consistency))
    }

    fn read_index(&self) -> Pending<'_, Result<Index, ReadError>> {
        Box::pin(self.freshness.index())
    }

    fn events(
        &self,
        stream: String,
        from: Offset,
        bytes_max: usize,
        version: Option<u16>,
    ) -> Pending<'_, Result<EventPage, ReadError>> {
        Box::pin(self.readers.events(stream, from, bytes_max, version))
    }

    fn event_batches(
        &self,
        stream: String,
        range: Range<Offset>,
        bytes_max: usize,
    ) -> Pending<'_, Result<BatchPage, ReadError>> {
        Box::pin(self.readers.event_batches(stream, range, bytes_max))
    }

    fn events_beyond(&self, stream: String, beyond: Offset) -> Pending<'_, ()> {
        Box::pin(async move { self.streams.wait_beyond(&stream, beyond).await })
    }

    fn snapshot(&self) -> Pending<'_, Result<SnapshotListing, ReadError>> {
        Box::pin(self.snapshot_here())
    }

    fn snapshot_piece(&self, index: Index, file: String, from: u64) -> Pending<'_, Result<bytes::Bytes, ReadError>> {
        Box::pin(async move { self.piece_here(index, &file, from).await })
    }

    fn begin_copy(&self) -> Pending<'_, Result<CopyListing, ReadError>> {
        Box::pin(async move { self.copies.begin(self.group.view().committed).await })
    }

    fn copy_snapshot(&self, copy: CopyId, index: Index, from: u64) -> Pending<'_, Result<bytes::Bytes, ReadError>> {
        Box::pin(self.copies.piece(copy, index, from))
    }

    fn copy_entries(&self, copy: CopyId, from: Index) -> Pending<'_, Result<bytes::Bytes, ReadError>> {
        Box::pin(self.copies.entries(copy, from))
    }

    fn end_copy(&self, copy: CopyId) {
        self.copies.end(copy);
    }

    fn scan_disk(&self) -> Pending<'_, Result<Scanned, ReadError>> {
        Box::pin(async move {
            self.upkeep.scan().await.map_err(|trouble| match trouble {
                Trouble::Damaged(reason) | Trouble::LogDamaged(reason) => ReadError::Damaged(reason),
                Trouble::Failed(reason) => ReadError::Unavailable(reason),
            })
        })
    }

    fn streams(&self) -> BTreeMap<String, StreamStatus> {
        let catalog = self.published.catalog();
        // One that nothing was written to yet is a stream all the same.
        let named = catalog.streams().map(|name| (name.to_owned(), StreamStatus::default()));
        let mut streams: BTreeMap<String, StreamStatus> = named.collect();
        streams.extend(self.streams.spans().into_iter().map(|(name, extent)| {
            let status = StreamStatus {
                start: extent.start,
                end: extent.end,
                bytes: extent.segments.iter().map(|segment| segment.bytes).sum(),
                segments: extent.segments.len() as u64,
            };
            (name, status)
        }));
        streams
    }

    fn consumers(&self) -> Arc<Consumers> {
        self.published.consumers()
    }

    fn fresh(&self) -> Pending<'_, Result<Index, ReadError>> {
        Box::pin(Handle::fresh(self))
    }

    fn status(&self) -> Status {
        let view = self.group.view();
        let facts = self.published.facts();
        let members = view.members.iter().map(|member| MemberStatus {
            node: member.node,
            voter: member.voter,
            matched: member.matched,
        });
        Status {
            node: self.node,
            cluster: self.cluster,
            role: view.role,
            term: view.term,
            leader: view.leader,
            last: view.last,
            committed: view.committed,
            applied: facts.applied,
            digest: facts.digest,
            level: facts.catalog.level,
            members: members.collect(),
            parked: facts.parked,
        }
    }

    fn catalog(&self) -> Arc<Catalog> {
        self.published.catalog()
    }

    fn applied(&self, index: Index) -> Pending<'_, ()> {
        Box::pin(self.published.applied.reach(index))
    }

    fn leader_known(&self, other_than: Option<NodeId>) -> Pending<'_, ()> {
        Box::pin(self.group_changed.until(move || {
            let leader = self.group.leader();
            leader.is_some() && leader != other_than
        }))
    }
}

#[cfg(test)]
mod tests {
    use machine::{Digest, ModuleChunk};

    use super::*;

    #[test]
    fn a_request_is_bounded_in_names_and_payload() {
        let request = |name: usize, payload: usize| Request {
            claim: None,
            application: "a".repeat(name),
            command: "c".repeat(name),
            version: 1,
            payload: vec![0; payload].into(),
        };
        let (name, payload) = (log_limits::NAME_BYTES_MAX, log_limits::COMMAND_BYTES_MAX);
        assert_eq!(check_together(&[request(name, payload)]), Ok(()));
        for past in [request(name + 1, 0), request(1, payload + 1)] {
            assert!(matches!(check_together(&[past]), Err(SubmitError::TooLarge(_))));
        }
        let many = |count: usize, payload: usize| vec![request(1, payload); count];
        assert_eq!(check_together(&many(TOGETHER_COMMANDS_MAX, 1)), Ok(()));
        for past in [many(TOGETHER_COMMANDS_MAX + 1, 1), many(2, TOGETHER_BYTES_MAX / 2)] {
            assert!(matches!(check_together(&past), Err(SubmitError::TooLarge(_))));
        }
    }

    #[test]
    fn what_a_control_entry_carries_is_counted() {
        for (bytes, fits) in [
            (log_limits::ENTRY_BYTES_MAX, true),
            (log_limits::ENTRY_BYTES_MAX + 1, false),
        ] {
            let chunk = Body::ModuleChunk(ModuleChunk {
                module: Digest([0; 32]),
                bytes_total: 1,
                at: 0,
                bytes: vec![0; bytes].into(),
            });
            assert_eq!(body_bytes(&chunk) <= log_limits::ENTRY_BYTES_MAX, fits);
        }
        let step = Body::ChangeStep(machine::ChangeStep {
            change: machine::ChangeId(1),
            step: machine::Step::Abort,
            reason: "x".repeat(log_limits::ENTRY_BYTES_MAX),
        });
        assert!(body_bytes(&step) > log_limits::ENTRY_BYTES_MAX);
    }
}
