//! A cluster as the edge sees one, with answers that a test decides.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use environment::channel::{Notify, Semaphore};
use machine::manifest::{CommandSpec, TableSpec};
use machine::{
    Application, ApplicationVersion, BatchPage, Body, Catalog, Change, ChangeEvent, ChangeId, Cluster, ClusterId, Code,
    Consistency, Consumer, Consumers, CopyId, CopyListing, CopySnapshot, Decision, Event, EventPage, Failure,
    FailureCode, Index, Level, Manifest, MemberStatus, Module, Node, NodeId, Offset, Outcome, Pending, Read,
    ReadAnswer, ReadError, ReadValue, Reply, Request, Role, Scanned, SessionId, Shape, SnapshotFile, SnapshotListing,
    Stage, StateDigest, Status, StreamStatus, SubmitError, TableId, Term, TimeMs, Usage, Version,
};
use parking_lot::Mutex;

pub const ME: NodeId = NodeId(1);
pub const OTHER: NodeId = NodeId(2);
const COPY: CopyId = CopyId(0xc0);

pub struct Fake {
    pub state: Mutex<State>,
    changed: Notify,
    /// Commands named `wait` take a permit of it before they are answered.
    pub gate: Semaphore,
}

pub struct State {
    pub leader: Option<NodeId>,
    pub applied: Index,
    pub committed: Index,
    pub parked: Option<String>,
    /// Nobody confirms reads.
    pub cut_off: bool,
    pub catalog: Catalog,
    /// Answers for the next submits, before the usual ones.
    pub submits: VecDeque<Result<Reply, SubmitError>>,
    /// Answers for the next proposals, before the usual ones.
    pub decisions: VecDeque<Result<Decision, SubmitError>>,
    /// Answers for the next reads, before the usual ones.
    pub reads: VecDeque<Result<ReadAnswer, ReadError>>,
    pub requests: Vec<Request>,
    pub bodies: Vec<Body>,
    pub consistencies: Vec<Consistency>,
    /// The highest index that somebody has waited for.
    pub awaited: Index,
    pub rows: BTreeMap<String, BTreeMap<Bytes, Bytes>>,
    pub streams: BTreeMap<String, Vec<Event>>,
    /// Where all streams begin.
    pub start: Offset,
    pub consumers: Arc<Consumers>,
    /// Whether somebody copies the log.
    pub copying: bool,
    /// Answers for the next questions whether what is shown is fresh, before the usual ones.
    pub confirmations: VecDeque<Result<Index, ReadError>>,
}

pub fn manifest(version: u32) -> Manifest {
    Manifest {
        application: "ledger".into(),
        version: Version(version),
        about: "accounts".into(),
        commands: vec![CommandSpec {
            name: "transfer".into(),
            versions: vec![1],
        }],
        queries: vec!["total".into()],
        tables: vec![TableSpec {
            name: "accounts".into(),
            shape: Shape(1),
            converts: vec![],
        }],
        streams: vec!["ledger.transfers".into()],
    }
}

fn catalog() -> Catalog {
    let mut catalog = Catalog {
        cluster: ClusterId(0xc1),
        level: Level(1),
        voters: [ME, OTHER].into(),
        ..Catalog::default()
    };
    catalog.applications.insert(
        "ledger".into(),
        Application {
            in_force: Some(Version(1)),
            versions: [(
                Version(1),
                ApplicationVersion {
                    manifest: manifest(1),
                    code: Code::Native,
                },
            )]
            .into(),
            tables: [("accounts".to_owned(), TableId(1))].into(),
            reversible: None,
            history: vec![(Index(5), Version(1))],
        },
    );
    catalog
}

pub fn node(name: &str, http_address: String) -> Node {
    Node {
        nonce: 1,
        name: name.into(),
        peer_address: "127.0.0.1:1".into(),
        http_address,
        level_max: Level(1),
        binary: "0.1.0".into(),
    }
}

pub fn change(stage: Stage) -> Change {
    Change {
        application: "ledger".into(),
        from: Some(Version(1)),
        to: Version(2),
        stage,
        finalize: false,
        readiness: BTreeMap::new(),
        switch_index: None,
        tables_before: BTreeMap::new(),
        history: vec![ChangeEvent {
            index: Index(9),
            time: TimeMs(1_700_000_000_000),
            what: "planned".into(),
        }],
    }
}

impl Fake {
    /// A cluster in which this node leads.
    pub fn leading() -> Arc<Fake> {
        Arc::new(Fake {
            state: Mutex::new(State {
                leader: Some(ME),
                applied: Index(10),
                committed: Index(10),
                parked: None,
                cut_off: false,
                catalog: catalog(),
                submits: VecDeque::new(),
                decisions: VecDeque::new(),
                reads: VecDeque::new(),
                requests: Vec::new(),
                bodies: Vec::new(),
                consistencies: Vec::new(),
                awaited: Index(0),
                rows: BTreeMap::new(),
                streams: [("ledger.transfers".to_owned(), Vec::new())].into(),
                start: Offset(0),
                consumers: Arc::default(),
                copying: false,
                confirmations: VecDeque::new(),
            }),
            changed: Notify::new(),
            gate: Semaphore::new(0),
        })
    }

    /// A cluster in which another does, or nobody.
    pub fn following(leader: Option<NodeId>) -> Arc<Fake> {
        let fake = Fake::leading();
        fake.state.lock().leader = leader;
        fake
    }

    pub fn change_with<T>(&self, how: impl FnOnce(&mut State) -> T) -> T {
        let result = how(&mut self.state.lock());
        self.changed.notify_waiters();
        result
    }

    pub fn put_row(&self, table: &str, key: &'static str, document: &'static str) {
        let mut state = self.state.lock();
        let rows = state.rows.entry(table.into()).or_default();
        rows.insert(
            Bytes::from_static(key.as_bytes()),
            Bytes::from_static(document.as_bytes()),
        );
    }

    pub fn emit(&self, stream: &str, value: &'static [u8]) {
        self.change_with(|state| {
            let events = state.streams.get_mut(stream).unwrap();
            events.push(Event {
                offset: Offset(events.len() as u64),
                time: TimeMs(1_700_000_000_000 + events.len() as u64),
                key: Some(Bytes::from_static(b"k")),
                value: Bytes::from_static(value),
                version: 1,
            });
        });
    }

    fn copying(&self, copy: CopyId) -> Result<(), ReadError> {
        match copy == COPY && self.state.lock().copying {
            true => Ok(()),
            false => Err(ReadError::UnknownCopy),
        }
    }

    async fn until(&self, done: impl Fn(&State) -> bool) {
        loop {
            let notified = self.changed.notified();
            futures::pin_mut!(notified);
            notified.as_mut().enable();
            if done(&self.state.lock()) {
                return;
            }
            notified.await;
        }
    }

    /// Ends when so many requests have come in.
    pub async fn seen(&self, count: usize) {
        self.until(|state| state.requests.len() >= count).await;
    }

    /// Ends when somebody waits for that index to be applied.
    pub async fn waits_for(&self, index: Index) {
        self.until(|state| state.awaited >= index).await;
    }

    fn answer(&self, request: Request) -> Result<Reply, SubmitError> {
        self.change_with(|state| {
            state.requests.push(request.clone());
            if let Some(scripted) = state.submits.pop_front() {
                return scripted;
            }
            if state.leader != Some(ME) {
                return Err(SubmitError::NotLeader { leader: state.leader });
            }
            state.applied = state.applied.next();
            state.committed = state.applied;
            let failure = |code| Outcome::Failed(Failure::new(code, "the detail"));
            let outcome = match (request.application.as_str(), request.command.as_str()) {
                ("ledger", "refuse") => Outcome::Refused(Bytes::from_static(br#"{"why":"poor"}"#)),
                ("ledger", "trap") => failure(FailureCode::Trapped),
                ("ledger", "opaque") => Outcome::Applied(Bytes::from_static(b"\xff\0")),
                ("ledger", "silent") => Outcome::Applied(Bytes::new()),
                ("ledger", "expired") => Outcome::SessionExpired,
                ("ledger", "transfer" | "wait") => Outcome::Applied(request.payload),
                ("ledger", _) => failure(FailureCode::UnknownCommand),
                _ => failure(FailureCode::UnknownApplication),
            };
            Ok(Reply {
                index: state.applied,
                outcome,
            })
        })
    }

    fn decide(&self, body: Body) -> Result<Decision, SubmitError> {
        self.change_with(|state| {
            state.bodies.push(body.clone());
            if let Some(scripted) = state.decisions.pop_front() {
                return scripted;
            }
            if state.leader != Some(ME) {
                return Err(SubmitError::NotLeader { leader: state.leader });
            }
            state.applied = state.applied.next();
            state.committed = state.applied;
            let index = state.applied;
            Ok(match body {
                Body::OpenSession => Decision::SessionOpened(SessionId(index.0)),
                Body::PlanApplication(_) | Body::PlanGuarded(_) => {
                    state
                        .catalog
                        .changes
                        .insert(ChangeId(index.0), change(Stage::Preparing));
                    Decision::Planned(ChangeId(index.0))
                }
                Body::ModuleChunk(chunk) => {
                    let module = state.catalog.modules.entry(chunk.module).or_insert(Module {
                        bytes_total: chunk.bytes_total,
                        bytes_here: 0,
                        since: TimeMs(1),
                    });
                    assert!(chunk.at <= module.bytes_here, "pieces come in order");
                    module.bytes_here = module.bytes_here.max(chunk.at + chunk.bytes.len() as u64);
                    Decision::Done { index }
                }
                Body::CommitConsumer(commit) => {
                    let consumer = Consumer {
                        offset: commit.offset,
                        committed: TimeMs(5),
                    };
                    Arc::make_mut(&mut state.consumers).insert(&commit.stream, &commit.consumer, consumer);
                    Decision::Done { index }
                }
                Body::PinConsumer(pin) => {
                    let pins = state.catalog.pins.entry(pin.stream).or_default();
                    match pin.version {
                        Some(version) => drop(pins.insert(pin.consumer, version)),
                        None => drop(pins.remove(&pin.consumer)),
                    }
                    Decision::Done { index }
                }
                Body::RemoveConsumer(remove) => {
                    Arc::make_mut(&mut state.consumers).remove(&remove.stream, &remove.consumer);
                    Decision::Done { index }
                }
                _ => Decision::Done { index },
            })
        })
    }

    fn look(&self, read: Read, consistency: Consistency) -> Result<ReadAnswer, ReadError> {
        let mut state = self.state.lock();
        state.consistencies.push(consistency);
        if let Some(scripted) = state.reads.pop_front() {
            return scripted;
        }
        let (application, table) = match &read {
            Read::Get { application, table, .. } | Read::Scan { application, table, .. } => (application, Some(table)),
            Read::Usage { application } | Read::Query { application, .. } => (application, None),
        };
        if application != "ledger" {
            return Err(ReadError::UnknownApplication(application.clone()));
        }
        if let Some(table) = table.filter(|table| *table != "accounts") {
            return Err(ReadError::UnknownTable {
                application: application.clone(),
                table: table.clone(),
            });
        }
        let empty = BTreeMap::new();
        let rows = table.and_then(|table| state.rows.get(table)).unwrap_or(&empty);
        let value = match read {
            Read::Get { key, .. } => ReadValue::Document(rows.get(&key).cloned()),
            Read::Scan {
                start,
                end,
                limit,
                reverse,
                ..
            } => {
                let within = |key: &Bytes| *key >= start && end.as_ref().is_none_or(|end| key < end);
                let mut pairs: Vec<_> = rows
                    .iter()
                    .filter(|(key, _)| within(key))
                    .map(|(key, document)| (key.clone(), document.clone()))
                    .collect();
                if reverse {
                    pairs.reverse();
                }
                let more = pairs.len() > limit;
                pairs.truncate(limit);
                ReadValue::Pairs { pairs, more }
            }
            Read::Usage { application } => ReadValue::Usage(vec![Usage {
                application,
                command: "transfer".into(),
                version: 1,
                count: 7,
                last: TimeMs(5),
            }]),
            Read::Query { query, payload, .. } if query == "total" => ReadValue::Answer(payload),
            Read::Query { query, payload, .. } if query == "decline" => ReadValue::Refused(payload),
            Read::Query { application, query, .. } => {
                return Err(ReadError::UnknownQuery { application, query });
            }
        };
        Ok(ReadAnswer {
            index: state.applied,
            value,
        })
    }
}

impl Cluster for Fake {
    fn submit(&self, request: Request) -> Pending<'_, Result<Reply, SubmitError>> {
        Box::pin(async move {
            let leads = self.state.lock().leader == Some(ME);
            if leads && request.command == "wait" {
                self.change_with(|state| state.requests.push(request.clone()));
                self.gate.acquire().await.unwrap().forget();
            }
            self.answer(request)
        })
    }

    fn submit_together<'a>(&'a self, requests: &'a [Request]) -> Pending<'a, Result<Vec<Reply>, SubmitError>> {
        let answers = requests.iter().map(|request| self.submit(request.clone()));
        let answers = futures::future::join_all(answers);
        Box::pin(async move { answers.await.into_iter().collect() })
    }

    fn submit_in_order(&self, requests: Vec<Request>) -> Vec<Pending<'_, Result<Reply, SubmitError>>> {
        let mut refused = None;
        let mut answer = |request: Request| -> Pending<'_, Result<Reply, SubmitError>> {
            let waits = request.command == "wait";
            let answer = match &refused {
                Some(error) => Err(SubmitError::clone(error)),
                None => self.answer(request),
            };
            match &answer {
                Ok(_) | Err(SubmitError::OutcomeUnknown(_)) => {}
                Err(error) => refused = Some(error.clone()),
            }
            Box::pin(async move {
                // It is applied, and its answer still on the way.
                if waits && answer.is_ok() {
                    self.gate.acquire().await.unwrap().forget();
                }
                answer
            })
        };
        requests.into_iter().map(&mut answer).collect()
    }

    fn propose(&self, body: Body) -> Pending<'_, Result<Decision, SubmitError>> {
        Box::pin(async move { self.decide(body) })
    }

    fn read(&self, read: Read, consistency: Consistency) -> Pending<'_, Result<ReadAnswer, ReadError>> {
        Box::pin(async move { self.look(read, consistency) })
    }

    fn read_index(&self) -> Pending<'_, Result<Index, ReadError>> {
        Box::pin(async move {
            // A node that is cut off asks, and nobody answers.
            self.until(|state| !state.cut_off).await;
            Ok(self.state.lock().applied)
        })
    }

    /// In another version an event's value is that version's number.
    fn events(
        &self,
        stream: String,
        from: Offset,
        bytes_max: usize,
        version: Option<u16>,
    ) -> Pending<'_, Result<EventPage, ReadError>> {
        Box::pin(async move {
            let state = self.state.lock();
            let Some(events) = state.streams.get(&stream) else {
                return Err(ReadError::UnknownStream(stream));
            };
            if from < state.start {
                let start = state.start;
                return Err(ReadError::EventsTrimmed { stream, start });
            }
            let mut bytes = 0;
            let page = events
                .iter()
                .skip(from.0 as usize)
                .take_while(|event| {
                    let fits = bytes == 0 || bytes < bytes_max;
                    bytes += event.value.len();
                    fits
                })
                .cloned()
                .map(|mut event| {
                    if let Some(version) = version.filter(|version| *version < event.version) {
                        event.version = version;
                        event.value = version.to_string().into();
                    }
                    event
                })
                .collect();
            Ok(EventPage {
                events: page,
                start: state.start,
                end: Offset(events.len() as u64),
            })
        })
    }

    fn event_batches(
        &self,
        stream: String,
        range: Range<Offset>,
        bytes_max: usize,
    ) -> Pending<'_, Result<BatchPage, ReadError>> {
        Box::pin(async move {
            let mut page = self.events(stream, range.start, bytes_max, None).await?;
            page.events.retain(|event| range.contains(&event.offset));
            let mut batches = Vec::new();
            store::streams::batch::encode(TimeMs(1), page.events.iter().map(Event::view), &mut batches);
            Ok(BatchPage {
                batches: batches.into(),
                next: page.events.last().map_or(range.start, |last| Offset(last.offset.0 + 1)),
                start: page.start,
                end: page.end,
            })
        })
    }

    fn events_beyond(&self, stream: String, beyond: Offset) -> Pending<'_, ()> {
        Box::pin(async move {
            self.until(|state| state.streams[&stream].len() as u64 > beyond.0).await;
        })
    }

    fn snapshot(&self) -> Pending<'_, Result<SnapshotListing, ReadError>> {
        Box::pin(async move {
            let state = self.state.lock();
            Ok(SnapshotListing {
                cluster: state.catalog.cluster,
                index: state.applied,
                digest: StateDigest::default(),
                files: vec![SnapshotFile {
                    name: "snapshot".into(),
                    bytes: 8,
                }],
            })
        })
    }

    fn snapshot_piece(&self, index: Index, file: String, from: u64) -> Pending<'_, Result<Bytes, ReadError>> {
        Box::pin(async move {
            if file != "snapshot" || index != self.state.lock().applied {
                return Err(ReadError::UnknownSnapshot(format!("no {file:?} as of {index}")));
            }
            // Pieces of three bytes.
            let whole = Bytes::from_static(b"all of it").slice(..8);
            let from = usize::try_from(from).unwrap_or(usize::MAX).min(whole.len());
            Ok(whole.slice(from..(from + 3).min(whole.len())))
        })
    }

    fn begin_copy(&self) -> Pending<'_, Result<CopyListing, ReadError>> {
        Box::pin(async move {
            let mut state = self.state.lock();
            if state.copying {
                return Err(ReadError::CopyUnderWay("somebody else copies".into()));
            }
            state.copying = true;
            Ok(CopyListing {
                copy: COPY,
                cluster: state.catalog.cluster,
                node: ME,
                first: Index(1),
                last: state.applied,
                applied: state.applied,
                digest: StateDigest::default(),
                snapshot_format: 1,
                snapshots: vec![CopySnapshot {
                    index: state.applied,
                    digest: StateDigest::default(),
                    bytes: 8,
                }],
            })
        })
    }

    fn copy_snapshot(&self, copy: CopyId, index: Index, from: u64) -> Pending<'_, Result<Bytes, ReadError>> {
        Box::pin(async move {
            self.copying(copy)?;
            self.snapshot_piece(index, "snapshot".into(), from).await
        })
    }

    fn copy_entries(&self, copy: CopyId, from: Index) -> Pending<'_, Result<Bytes, ReadError>> {
        Box::pin(async move {
            self.copying(copy)?;
            match from {
                Index(0 | 1) => Err(ReadError::EntriesPurged {
                    wanted: from,
                    first: Index(2),
                }),
                from => Ok(format!("entries from {from}").into()),
            }
        })
    }

    fn end_copy(&self, copy: CopyId) {
        if copy == COPY {
            self.state.lock().copying = false;
        }
    }

    fn scan_disk(&self) -> Pending<'_, Result<Scanned, ReadError>> {
        Box::pin(async move {
            Ok(Scanned {
                index: self.state.lock().applied,
                rows: 7,
            })
        })
    }

    fn streams(&self) -> BTreeMap<String, StreamStatus> {
        let state = self.state.lock();
        let status = |events: &Vec<Event>| StreamStatus {
            start: state.start,
            end: Offset(events.len() as u64),
            bytes: 100,
            segments: 1,
        };
        let streams = state.streams.iter();
        streams.map(|(name, events)| (name.clone(), status(events))).collect()
    }

    fn consumers(&self) -> Arc<Consumers> {
        self.state.lock().consumers.clone()
    }

    fn fresh(&self) -> Pending<'_, Result<Index, ReadError>> {
        Box::pin(async move {
            let mut state = self.state.lock();
            let applied = state.applied;
            state.confirmations.pop_front().unwrap_or(Ok(applied))
        })
    }

    fn status(&self) -> Status {
        let state = self.state.lock();
        Status {
            node: ME,
            cluster: state.catalog.cluster,
            role: match state.leader {
                Some(ME) => Role::Leader,
                _ => Role::Follower,
            },
            term: Term(3),
            leader: state.leader,
            last: state.committed,
            committed: state.committed,
            applied: state.applied,
            digest: StateDigest::default(),
            level: Level(1),
            members: vec![
                MemberStatus {
                    node: ME,
                    voter: true,
                    matched: Some(state.committed),
                },
                MemberStatus {
                    node: OTHER,
                    voter: true,
                    matched: None,
                },
            ],
            parked: state.parked.clone(),
        }
    }

    fn catalog(&self) -> Arc<Catalog> {
        Arc::new(self.state.lock().catalog.clone())
    }

    fn applied(&self, index: Index) -> Pending<'_, ()> {
        Box::pin(async move {
            self.change_with(|state| state.awaited = state.awaited.max(index));
            self.until(|state| state.applied >= index).await;
        })
    }

    fn leader_known(&self, other_than: Option<NodeId>) -> Pending<'_, ()> {
        Box::pin(async move {
            self.until(|state| state.leader.is_some() && state.leader != other_than)
                .await;
        })
    }
}
