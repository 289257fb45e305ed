//! Apply alone: session, one get, one put, one event, digest and stream, for entries of 256 commands.
//!
//! `cargo bench -p seachange --bench apply`. The WASM application is apps/counter-wat; the native one does the same.
#![allow(missing_docs, clippy::disallowed_methods)] // a program of its own, on real files

use std::cell::RefCell;
use std::hint::black_box;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::ItemsCount;
use environment::Environment;
use host::{Host, NativeApplication, Registry};
use machine::codec::Codec;
use machine::manifest::{CommandSpec, TableSpec};
use machine::{
    Body, Claim, ClusterId, Code, Digest, Entry, Event, Genesis, Index, LEVEL_MAX, Machine, Manifest, ModuleChunk,
    NodeId, NodeReady, Output, PlanApplication, Readiness, RegisterNode, Request, Row, Sequence, SessionId, Shape,
    StateError, StateRead, StateTxn, TableId, TimeMs, Version, World,
};
use sdk::{Application, Command, Context, Refusal, Reply};
use store::state::{FjallBackend, FjallOptions, State, StateOptions};
use store::streams::{StreamOptions, Streams};

/// Commands of an entry.
const COMMANDS: u64 = 256;
/// Counters over which they are spread.
const KEYS: u64 = 100_000;
/// Sessions that send them.
const SESSIONS: u64 = 4;

const WASM: &[u8] = include_bytes!("../../../apps/counter-wat/counter.wasm");

fn main() {
    // As on a node's worker: a guest that finds too little native stack gets one of its own for each call.
    let worker = std::thread::Builder::new().stack_size(64 << 20).spawn(divan::main);
    worker.expect("a thread").join().expect("measured");
}

#[divan::bench]
fn wasm(bencher: Bencher<'_, '_>) {
    measure(bencher, false);
}

#[divan::bench]
fn native(bencher: Bencher<'_, '_>) {
    measure(bencher, true);
}

fn measure(bencher: Bencher<'_, '_>, native: bool) {
    let node = RefCell::new(Node::new(native));
    bencher
        .counter(ItemsCount::new(COMMANDS))
        .with_inputs(|| node.borrow_mut().commands())
        .bench_local_values(|entry| black_box(node.borrow_mut().apply(&entry)));
}

/// What apps/counter-wat does, in Rust.
struct Counter;

impl Application for Counter {
    fn apply(&self, context: &mut Context<'_>, command: Command<'_>) -> Result<Reply, Refusal> {
        let key = command.payload.trim_ascii();
        let mut document = Vec::new();
        context.host().get("counters", key, &mut document);
        let before = std::str::from_utf8(&document).ok().and_then(|text| text.parse().ok());
        let now = (before.unwrap_or(0_u64) + 1).to_string().into_bytes();
        context.host().put("counters", key, &now);
        context.host().emit("counter.counted", Some(key), &now);
        Ok(Reply::bytes(now))
    }
}

/// All that apply touches, over real files.
struct Node {
    machine: Machine,
    state: State,
    streams: Streams,
    host: Host,
    converter: Host,
    sequence: u64,
    random: u64,
    sessions: Vec<SessionId>,
    _runtime: tokio::runtime::Runtime,
    _directory: tempfile::TempDir,
}

impl Node {
    fn new(native: bool) -> Node {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .expect("a runtime");
        let _entered = runtime.enter();
        let environment: Environment = environment::real::environment();
        let directory = tempfile::tempdir().expect("a directory");
        let backend = FjallBackend::open(&directory.path().join("state"), FjallOptions::default()).expect("a store");
        let streams = Streams::open(
            &environment,
            &directory.path().join("streams"),
            StreamOptions::default(),
            &Default::default(),
            &Default::default(),
        )
        .expect("streams");
        let registry = Registry::new(vec![NativeApplication::new("counter", Version(1), Counter)]);
        let mut node = Node {
            machine: Machine::default(),
            state: State::open(std::sync::Arc::new(backend), StateOptions::default()),
            streams,
            host: registry.host(),
            converter: registry.host(),
            sequence: 0,
            random: 1,
            sessions: Vec::new(),
            _runtime: runtime,
            _directory: directory,
        };
        node.found();
        node.install(&registry, native);
        for _ in 0..SESSIONS {
            node.sessions.push(SessionId(node.machine.applied().0 + 1));
            node.entry(Body::OpenSession);
        }
        node
    }

    fn found(&mut self) {
        self.machine
            .apply_members(Index(1), [NodeId(1)].into(), Default::default());
        let founder = RegisterNode {
            nonce: 1,
            name: "a".into(),
            peer_address: "127.0.0.1:1".into(),
            http_address: "127.0.0.1:2".into(),
            level_max: LEVEL_MAX,
            binary: "bench".into(),
        };
        self.entry(Body::Genesis(Genesis {
            cluster: ClusterId(1),
            level: LEVEL_MAX,
            founder,
        }));
    }

    fn install(&mut self, registry: &Registry, native: bool) {
        let manifest = Manifest {
            application: "counter".into(),
            version: Version(1),
            about: String::new(),
            commands: vec![CommandSpec {
                name: "count".into(),
                versions: vec![1],
            }],
            queries: Vec::new(),
            tables: vec![TableSpec {
                name: "counters".into(),
                shape: Shape(1),
                converts: Vec::new(),
            }],
            streams: vec!["counter.counted".into()],
        };
        let module = Digest::of(WASM);
        let code = match native {
            true => Code::Native,
            false => Code::Wasm {
                module,
                meter: registry.meter(),
            },
        };
        self.entry(Body::ModuleChunk(ModuleChunk {
            module,
            bytes_total: WASM.len() as u64,
            at: 0,
            bytes: Bytes::from_static(WASM),
        }));
        let instrumented = registry.prepare(&manifest, &code, Some(WASM)).expect("it can run");
        let change = machine::ChangeId(self.machine.applied().0 + 1);
        self.entry(Body::PlanApplication(PlanApplication {
            manifest,
            code,
            finalize: true,
        }));
        self.entry(Body::NodeReady(NodeReady {
            node: NodeId(1),
            change,
            readiness: Readiness::Ready { instrumented },
        }));
        self.entry(Body::ChangeStep(machine::ChangeStep {
            change,
            step: machine::Step::Switch,
            reason: String::new(),
        }));
    }

    /// An entry of commands, as it stands in the log.
    fn commands(&mut self) -> Vec<u8> {
        let requests = (0..COMMANDS).map(|_| self.request()).collect();
        let body = Body::Requests(requests);
        Entry { time: TimeMs(1), body }.to_bytes()
    }

    fn request(&mut self) -> Request {
        self.sequence += 1;
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let sequence = 1 + self.sequence / SESSIONS;
        Request {
            claim: Some(Claim {
                session: self.sessions[(self.sequence % SESSIONS) as usize],
                sequence: Sequence(sequence),
                settled: Sequence(sequence.saturating_sub(64)),
            }),
            application: "counter".into(),
            command: "count".into(),
            version: 1,
            payload: format!("\"{:016x}\"", (self.random >> 16) % KEYS).into(),
        }
    }

    fn entry(&mut self, body: Body) -> Output {
        self.apply(&Entry { time: TimeMs(1), body }.to_bytes())
    }

    /// As the applier of a node does it.
    fn apply(&mut self, entry: &[u8]) -> Output {
        let index = self.machine.applied().next();
        let mut txn = Txn {
            state: &mut self.state,
            events: Vec::new(),
        };
        let mut world = World {
            txn: &mut txn,
            applications: &mut self.host,
            converter: &mut self.converter,
            level_max: LEVEL_MAX,
        };
        let output = self.machine.apply(index, entry, &mut world).expect("applied");
        for (stream, events) in txn.events {
            self.streams
                .append(&stream, self.machine.time(), &events)
                .expect("appended");
        }
        self.streams.flush().expect("flushed");
        output
    }
}

struct Txn<'a> {
    state: &'a mut State,
    events: Vec<(String, Vec<Event>)>,
}

impl StateRead for Txn<'_> {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Row>, StateError> {
        self.state.get(table, key)
    }

    fn scan(
        &self,
        table: TableId,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &Row) -> bool,
    ) -> Result<(), StateError> {
        self.state.scan(table, start, end, reverse, visit)
    }
}

impl StateTxn for Txn<'_> {
    fn put(&mut self, table: TableId, key: &[u8], row: Row) {
        self.state.put(table, key, row);
    }

    fn delete(&mut self, table: TableId, key: &[u8]) {
        self.state.delete(table, key);
    }

    fn replace(&mut self, table: TableId, key: &[u8], row: Option<Row>) -> Result<Option<Row>, StateError> {
        self.state.replace(table, key, row)
    }

    fn emit(&mut self, stream: &str, event: Event) {
        match self.events.iter_mut().find(|(name, _)| name == stream) {
            Some((_, events)) => events.push(event),
            None => self.events.push((stream.to_owned(), vec![event])),
        }
    }
}
