//! The machine over rows in memory and an application of a few lines, entry by entry.

mod collection;
mod contract;
mod conversion;
mod events;
mod force;
mod hostile;
mod limits;
mod preview;
mod rehearsal;
mod removal;
mod revert;
mod scan;
mod usage;
mod verification;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::codec::Codec;
use crate::manifest::{CommandSpec, TableSpec};
use crate::*;

#[derive(Default, Clone)]
struct Rows {
    rows: BTreeMap<(TableId, Vec<u8>), Row>,
    events: Vec<(String, Event)>,
}

impl StateRead for Rows {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Row>, StateError> {
        Ok(self.rows.get(&(table, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        table: TableId,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &Row) -> bool,
    ) -> Result<(), StateError> {
        let inside = |(id, key): &&(TableId, Vec<u8>)| {
            *id == table && key.as_slice() >= start && end.is_none_or(|end| key.as_slice() < end)
        };
        let mut found: Vec<_> = self.rows.iter().filter(|(key, _)| inside(key)).collect();
        if reverse {
            found.reverse();
        }
        for ((_, key), row) in found {
            if !visit(key, row) {
                break;
            }
        }
        Ok(())
    }
}

impl StateTxn for Rows {
    fn put(&mut self, table: TableId, key: &[u8], row: Row) {
        self.rows.insert((table, key.to_vec()), row);
    }

    fn delete(&mut self, table: TableId, key: &[u8]) {
        self.rows.remove(&(table, key.to_vec()));
    }

    fn emit(&mut self, stream: &str, event: EventView<'_>) {
        self.events.push((stream.to_owned(), event.to_event()));
    }
}

/// `put KEY VALUE` writes, `trap KEY` writes and traps, `refuse` refuses. Shape 2 writes `2/` before each value; what
/// holds `bad` cannot be brought back to shape 1. From version 2 on `put KEY boom` traps and `put KEY more` is refused. Version 4 cannot read shape 1; version 1
/// cannot bring back what holds `odd`.
#[derive(Default)]
struct Notes {
    /// The application whose code is not here.
    missing: Option<&'static str>,
    /// What every command does instead of the above.
    act: Option<Act>,
    /// Bytes that `migrate` from shape 1 to shape 2 makes of every document.
    grown_bytes: Option<usize>,
    /// The versions whose code is not here any more.
    gone: BTreeSet<Version>,
}

type Act = fn(&mut dyn Context) -> Result<(), Misuse>;

impl Applications for Notes {
    fn call(
        &mut self,
        manifest: &Manifest,
        code: &Code,
        call: Call<'_>,
        context: &mut dyn Context,
    ) -> Result<CallOutcome, CallError> {
        if manifest.application == TRANSFORM {
            return Ok(contract::transformed(&call));
        }
        self.ready(manifest, code)?;
        let prefix = if manifest.tables[0].shape == Shape(2) { "2/" } else { "" };
        let trapped = |misuse| Ok(CallOutcome::Trapped(Trap::Misuse(misuse)));
        if let (Some(act), Call::Apply { .. }) = (self.act, &call) {
            return match act(context) {
                Ok(()) => Ok(CallOutcome::Done(Bytes::new())),
                Err(misuse) => trapped(misuse),
            };
        }
        match call {
            Call::Apply { command, payload, .. } => {
                let text = String::from_utf8_lossy(payload).into_owned();
                let (key, value) = text.split_once(' ').unwrap_or((&text, ""));
                let before = match context.get("notes", key.as_bytes()) {
                    Ok(before) => before.unwrap_or_default(),
                    Err(misuse) => return trapped(misuse),
                };
                if let Err(misuse) = context.put("notes", key.as_bytes(), format!("{prefix}{value}").as_bytes()) {
                    return trapped(misuse);
                }
                if let Err(misuse) = context.emit("notes.log", Some(key.as_bytes()), value.as_bytes()) {
                    return trapped(misuse);
                }
                if command == "refuse" || (value == "more" && manifest.version > Version(1)) {
                    return Ok(CallOutcome::Refused(Bytes::from_static(b"no")));
                }
                if command == "trap" || (value == "boom" && manifest.version > Version(1)) {
                    return Ok(CallOutcome::Trapped(Trap::Guest));
                }
                Ok(CallOutcome::Done(before))
            }
            Call::Query { .. } => Ok(CallOutcome::Done(Bytes::from_static(b"answer"))),
            Call::Migrate { .. } if manifest.version == Version(3) => Err(CallError::NotReady("only planned".into())),
            Call::Migrate { from: Shape(1), .. } if manifest.version == Version(4) => {
                Ok(CallOutcome::Trapped(Trap::Guest))
            }
            Call::Migrate { from, to, document, .. } => {
                let text = String::from_utf8_lossy(document).into_owned();
                match (from.0, to.0) {
                    (1, 2) if self.grown_bytes.is_some() => Ok(CallOutcome::Done(
                        vec![b'x'; self.grown_bytes.unwrap_or_default()].into(),
                    )),
                    (1, 2) => Ok(CallOutcome::Done(format!("2/{text}").into())),
                    (2, 1) if text.contains("bad") || (text.contains("odd") && manifest.version == Version(1)) => {
                        Ok(CallOutcome::Refused(Bytes::from_static(b"bad")))
                    }
                    (2, 1) => Ok(CallOutcome::Done(text[2..].to_owned().into())),
                    _ => Ok(CallOutcome::Trapped(Trap::Guest)),
                }
            }
        }
    }

    fn ready(&mut self, manifest: &Manifest, _code: &Code) -> Result<(), CallError> {
        if self.gone.contains(&manifest.version) {
            Err(CallError::NotReady(format!("version {} was let go", manifest.version)))
        } else if self.missing == Some(manifest.application.as_str()) {
            Err(CallError::NotReady("not here".into()))
        } else {
            Ok(())
        }
    }

    fn end_entry(&mut self) {}
}

struct Run {
    machine: Machine,
    rows: Rows,
    notes: Notes,
    time: u64,
}

impl Run {
    fn new() -> Run {
        let mut run = Run {
            machine: Machine::default(),
            rows: Rows::default(),
            notes: Notes::default(),
            time: 1000,
        };
        run.machine
            .apply_members(Index(1), [NodeId(1), NodeId(2)].into(), Default::default());
        let founder = register(11, "a");
        let genesis = Genesis {
            cluster: ClusterId(7),
            level: Level(1),
            founder,
        };
        run.control(Body::Genesis(genesis));
        run
    }

    fn entry(&mut self, body: Body) -> Result<Output, Stop> {
        self.time += 1;
        let bytes = Entry {
            time: TimeMs(self.time),
            body,
        }
        .to_bytes();
        self.bytes(&bytes)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<Output, Stop> {
        let index = self.machine.applied().next();
        let mut converter = Notes {
            gone: self.notes.gone.clone(),
            ..Notes::default()
        };
        let mut world = World {
            txn: &mut self.rows,
            applications: &mut self.notes,
            converter: &mut converter,
            rehearser: None,
            level_max: crate::LEVEL_MAX,
        };
        let applied = self.machine.apply(index, bytes, &mut world);
        self.follow(bytes);
        applied
    }

    /// Code goes once it is let go, and comes with a plan, in all of these tests.
    fn follow(&mut self, bytes: &[u8]) {
        match Entry::from_bytes(bytes).map(|entry| entry.body) {
            Ok(Body::LetGo(asked)) if self.machine.catalog().is_let_go("notes", asked.version) => {
                self.notes.gone.insert(asked.version);
            }
            Ok(Body::PlanApplication(plan) | Body::PlanGuarded(PlanGuarded { plan, .. })) => {
                self.notes.gone.remove(&plan.manifest.version);
            }
            _ => {}
        }
    }

    fn control(&mut self, body: Body) -> Decision {
        match self.entry(body) {
            Ok(Output::Decision(decision)) => decision,
            other => panic!("no decision: {other:?}"),
        }
    }

    fn request(&mut self, claim: Option<Claim>, command: &str, text: &str) -> Reply {
        self.request_in(1, claim, command, text)
    }

    fn request_in(&mut self, version: u16, claim: Option<Claim>, command: &str, text: &str) -> Reply {
        let request = Request {
            claim,
            application: "notes".into(),
            command: command.into(),
            version,
            payload: Bytes::copy_from_slice(text.as_bytes()),
        };
        match self.entry(Body::Requests(vec![request])) {
            Ok(Output::Replies(mut replies)) => replies.remove(0),
            other => panic!("no reply: {other:?}"),
        }
    }

    fn outcome(&mut self, command: &str, text: &str) -> String {
        match self.request(None, command, text).outcome {
            Outcome::Applied(bytes) => format!("applied {}", String::from_utf8_lossy(&bytes)),
            Outcome::Refused(bytes) => format!("refused {}", String::from_utf8_lossy(&bytes)),
            Outcome::Failed(failure) => format!("failed {}", failure.code.name()),
            Outcome::SessionExpired => "expired".to_owned(),
        }
    }

    fn plan(&mut self, version: u32, shape: u16, converts: &[u16]) -> Decision {
        self.plan_manifest(Run::manifest(version, shape, converts))
    }

    fn manifest(version: u32, shape: u16, converts: &[u16]) -> Manifest {
        Manifest {
            application: "notes".into(),
            version: Version(version),
            about: String::new(),
            commands: ["put", "trap", "refuse"]
                .map(|name| CommandSpec {
                    name: name.into(),
                    versions: vec![1],
                })
                .into(),
            queries: vec![],
            tables: vec![TableSpec {
                name: "notes".into(),
                shape: Shape(shape),
                converts: converts.iter().map(|shape| Shape(*shape)).collect(),
            }],
            streams: vec!["notes.log".into()],
        }
    }

    fn plan_manifest(&mut self, manifest: Manifest) -> Decision {
        self.control(Body::PlanApplication(PlanApplication {
            manifest,
            code: Code::Native,
            finalize: false,
        }))
    }

    fn planned(&mut self, version: u32, shape: u16, converts: &[u16]) -> ChangeId {
        match self.plan(version, shape, converts) {
            Decision::Planned(id) => id,
            other => panic!("not planned: {other:?}"),
        }
    }

    fn ready(&mut self, node: u64, change: ChangeId) {
        let readiness = Readiness::Ready {
            instrumented: Digest([7; 32]),
        };
        self.control(Body::NodeReady(NodeReady {
            node: NodeId(node),
            change,
            readiness,
        }));
    }

    fn step(&mut self, change: ChangeId, step: Step) -> String {
        match self.control(Body::ChangeStep(ChangeStep {
            change,
            step,
            reason: String::new(),
        })) {
            Decision::Refused { code, .. } => code.to_owned(),
            _ => "done".to_owned(),
        }
    }

    fn switched(&mut self, version: u32, shape: u16, converts: &[u16]) -> ChangeId {
        let change = self.planned(version, shape, converts);
        self.ready(1, change);
        self.ready(2, change);
        assert_eq!(self.step(change, Step::Switch), "done");
        change
    }

    fn stored(&self, key: &str) -> String {
        let id = self.machine.catalog().applications["notes"].tables["notes"];
        let row = &self.rows.rows[&(id, key.as_bytes().to_vec())];
        format!("{} in shape {}", String::from_utf8_lossy(&row.document), row.shape)
    }
}

fn register(nonce: u64, name: &str) -> RegisterNode {
    RegisterNode {
        nonce,
        name: name.into(),
        peer_address: "127.0.0.1:1".into(),
        http_address: "127.0.0.1:2".into(),
        level_max: Level(1),
        binary: "0.1.0".into(),
    }
}

#[test]
fn a_command_writes_emits_and_answers() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    assert_eq!(run.outcome("put", "a one"), "applied ");
    assert_eq!(run.outcome("put", "a two"), "applied one");
    assert_eq!(run.stored("a"), "two in shape 1");
    let offsets: Vec<u64> = run.rows.events.iter().map(|(_, event)| event.offset.0).collect();
    assert_eq!(offsets, [0, 1]);
}

#[test]
fn a_trap_and_a_refusal_leave_nothing_behind() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    run.outcome("put", "a one");
    let (rows, events) = (run.rows.rows.clone(), run.rows.events.len());
    assert_eq!(run.outcome("trap", "a two"), "failed application_trapped");
    assert_eq!(run.outcome("refuse", "a"), "refused no");
    assert_eq!(run.rows.rows, rows);
    assert_eq!(run.rows.events.len(), events);
}

#[test]
fn what_is_unknown_fails_with_its_own_code() {
    let mut run = Run::new();
    assert_eq!(run.outcome("put", "a one"), "failed unknown_application");
    run.switched(1, 1, &[]);
    assert_eq!(run.outcome("fly", "a one"), "failed unknown_command");
}

#[test]
fn a_repeat_gets_the_first_answer_and_changes_nothing() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    let Decision::SessionOpened(session) = run.control(Body::OpenSession) else {
        panic!("no session")
    };
    let claim = |sequence| {
        Some(Claim {
            session,
            sequence: Sequence(sequence),
            settled: Sequence(1),
        })
    };
    let first = run.request(claim(1), "put", "a one");
    run.request(claim(2), "put", "a two");
    let rows = run.rows.rows.clone();
    assert_eq!(run.request(claim(1), "put", "a one"), first);
    assert_eq!(run.rows.rows, rows);
    let stranger = Claim {
        session: SessionId(9999),
        sequence: Sequence(1),
        settled: Sequence(1),
    };
    assert_eq!(
        run.request(Some(stranger), "put", "a three").outcome,
        Outcome::SessionExpired
    );
    assert_eq!(run.rows.rows, rows, "an unknown session is never applied");
}

#[test]
fn the_entry_after_the_switch_runs_under_the_new_version_and_rows_are_reshaped_as_they_are_read() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    run.outcome("put", "a one");
    let change = run.planned(2, 2, &[1]);
    run.ready(1, change);
    assert_eq!(
        run.step(change, Step::Switch),
        "change_blocked",
        "node 2 has not reported"
    );
    assert_eq!(run.outcome("put", "b one"), "applied ");
    assert_eq!(run.stored("b"), "one in shape 1");
    run.ready(2, change);
    assert_eq!(run.step(change, Step::Switch), "done");
    assert_eq!(run.stored("a"), "one in shape 1", "the switch touches no row");
    assert_eq!(run.outcome("put", "a two"), "applied 2/one");
    assert_eq!(run.stored("a"), "2/two in shape 2");
}

#[test]
fn a_revert_reads_back_what_was_written_since() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    let change = run.switched(2, 2, &[1]);
    run.outcome("put", "a two");
    assert_eq!(
        run.outcome("put", "a bad"),
        "failed migration_failed",
        "it could not go the way back"
    );
    assert_eq!(run.step(change, Step::Revert), "done");
    assert_eq!(run.outcome("put", "a three"), "applied two");
    assert_eq!(run.stored("a"), "three in shape 1");
    assert_eq!(run.step(change, Step::Finalize), "step_refused");
}

#[test]
fn after_finalize_there_is_no_way_back_and_none_is_kept_open() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    let change = run.switched(2, 2, &[1]);
    assert_eq!(run.step(change, Step::Finalize), "done");
    assert_eq!(run.outcome("put", "a bad"), "applied ");
    assert_eq!(run.step(change, Step::Revert), "step_refused");
}

#[test]
fn plans_that_contradict_are_refused_with_their_reason() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    let code = |decision| match decision {
        Decision::Refused { code, .. } => code,
        other => panic!("not refused: {other:?}"),
    };
    let decision = run.plan(1, 1, &[]);
    assert_eq!(code(decision), "version_not_newer");
    let decision = run.plan(2, 2, &[]);
    assert_eq!(code(decision), "shape_not_converted");
    let change = run.planned(2, 2, &[1]);
    let decision = run.plan(3, 2, &[1]);
    assert_eq!(code(decision), "change_running");
    assert_eq!(run.step(change, Step::Abort), "done");
    run.planned(2, 1, &[]);
}

#[test]
fn a_version_that_drops_commands_in_use_is_refused_and_they_are_named() {
    let mut run = Run::new();
    let mut first = Run::manifest(1, 1, &[]);
    first.commands[0].versions = vec![1, 2];
    let planned = run.plan_manifest(first);
    let Decision::Planned(change) = planned else {
        panic!("{planned:?}")
    };
    run.ready(1, change);
    run.ready(2, change);
    assert_eq!(run.step(change, Step::Switch), "done");
    for (change, named) in [
        (
            &(|m: &mut Manifest| drop(m.commands.remove(1))) as &dyn Fn(&mut Manifest),
            "trap (payload version 1)",
        ),
        (&|m| m.commands[0].versions = vec![1, 3], "put (payload version 2)"),
        (
            &|m| m.commands.clear(),
            "put (payload version 1), put (payload version 2), trap (payload version 1)",
        ),
    ] {
        let mut manifest = Run::manifest(2, 1, &[]);
        manifest.commands[0].versions = vec![1, 2];
        change(&mut manifest);
        match run.plan_manifest(manifest) {
            Decision::Refused { code, reason } => {
                assert_eq!(code, "commands_dropped");
                assert!(reason.contains(named), "{reason}");
            }
            other => panic!("not refused: {other:?}"),
        }
    }
    let mut wider = Run::manifest(2, 1, &[]);
    wider.commands[0].versions = vec![3, 2, 1];
    assert!(matches!(run.plan_manifest(wider), Decision::Planned(_)));
}

#[test]
fn an_entry_of_an_unknown_kind_or_format_parks_and_changes_nothing() {
    let mut run = Run::new();
    let before = (run.machine.applied(), run.machine.digest());
    let mut newer = Entry {
        time: TimeMs(1),
        body: Body::Tick,
    }
    .to_bytes();
    newer[0] = 2;
    let Err(Stop::Park(reason)) = run.bytes(&newer) else {
        panic!("not parked")
    };
    assert!(reason.contains("newer binary"), "{reason}");
    let mut kind = Entry {
        time: TimeMs(1),
        body: Body::Tick,
    }
    .to_bytes();
    kind[1] = 99;
    assert!(matches!(run.bytes(&kind), Err(Stop::Park(_))));
    let level = Entry {
        time: TimeMs(1),
        body: Body::RaiseLevel(Level(2)),
    }
    .to_bytes();
    assert!(matches!(run.bytes(&level), Err(Stop::Park(_))));
    assert_eq!((run.machine.applied(), run.machine.digest()), before);
}

#[test]
fn an_entry_whose_code_is_not_here_parks_and_goes_on_once_it_is() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    run.notes.missing = Some("notes");
    let request = Request {
        claim: None,
        application: "notes".into(),
        command: "put".into(),
        version: 1,
        payload: Bytes::from_static(b"a one"),
    };
    let rows = run.rows.rows.clone();
    assert_eq!(
        run.entry(Body::Requests(vec![request])),
        Err(Stop::Park("not here".into()))
    );
    assert_eq!(run.rows.rows, rows);
    run.notes.missing = None;
    assert_eq!(run.outcome("put", "a one"), "applied ");
}

#[test]
fn what_is_saved_is_loaded_and_goes_on_with_the_same_digest() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    let Decision::SessionOpened(session) = run.control(Body::OpenSession) else {
        panic!("no session")
    };
    let claim = Claim {
        session,
        sequence: Sequence(1),
        settled: Sequence(1),
    };
    let first = run.request(Some(claim), "put", "a one");
    run.machine.save(&mut run.rows);
    let loaded = Machine::load(&run.rows).expect("what was saved can be loaded");
    assert_eq!(loaded.digest(), run.machine.digest());
    assert_eq!(loaded.catalog(), run.machine.catalog());
    run.machine = loaded;
    assert_eq!(run.request(Some(claim), "put", "a one"), first);
}

#[test]
fn a_module_arrives_in_order_and_is_kept_only_with_its_digest() {
    let mut run = Run::new();
    let bytes = b"a module".to_vec();
    let chunk = |module, at: usize, end: usize| {
        Body::ModuleChunk(ModuleChunk {
            module,
            bytes_total: bytes.len() as u64,
            at: at as u64,
            bytes: Bytes::copy_from_slice(&bytes[at..end]),
        })
    };
    let right = Digest::of(&bytes);
    run.control(chunk(right, 0, 4));
    assert!(matches!(
        run.control(chunk(right, 6, 8)),
        Decision::Refused {
            code: "module_chunk_out_of_order",
            ..
        }
    ));
    run.control(chunk(right, 4, 8));
    assert_eq!(Machine::module_bytes(&run.rows, right).unwrap(), bytes);
    let wrong = Digest::of(b"another");
    let digest = run.machine.digest().rows;
    run.control(chunk(wrong, 0, 4));
    assert!(matches!(
        run.control(chunk(wrong, 4, 8)),
        Decision::Refused {
            code: "module_digest_mismatch",
            ..
        }
    ));
    assert_eq!(run.machine.digest().rows, digest, "nothing of it is left");
}

#[test]
fn the_row_digest_is_that_of_the_rows_however_they_came_to_be() {
    let mut one = Run::new();
    one.switched(1, 1, &[]);
    let mut other = Run::new();
    other.switched(1, 1, &[]);
    for text in ["a one", "b two", "a three"] {
        one.outcome("put", text);
    }
    for text in ["b two", "a three"] {
        other.outcome("put", text);
    }
    assert_eq!(one.machine.digest().rows, other.machine.digest().rows);
    assert_ne!(one.machine.digest().history, other.machine.digest().history);
}

#[test]
fn the_founder_is_node_1_and_asking_twice_gives_the_same_id() {
    let mut run = Run::new();
    assert_eq!(
        run.control(Body::RegisterNode(register(22, "b"))),
        Decision::Registered(NodeId(2))
    );
    assert_eq!(
        run.control(Body::RegisterNode(register(33, "c"))),
        Decision::Registered(NodeId(3))
    );
    assert_eq!(
        run.control(Body::RegisterNode(register(22, "b"))),
        Decision::Registered(NodeId(2))
    );
    assert_eq!(
        run.control(Body::RegisterNode(register(11, "a"))),
        Decision::Registered(NodeId(1))
    );
}

#[test]
fn a_version_that_is_only_planned_converts_nothing() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    run.outcome("put", "a one");
    let change = run.switched(2, 2, &[1]);
    run.step(change, Step::Finalize);
    run.planned(3, 2, &[1]);
    assert_eq!(
        run.outcome("put", "a two"),
        "applied 2/one",
        "version 2 reads what version 1 wrote"
    );
}

fn commit(run: &mut Run, stream: &str, offset: u64, expected: Option<u64>, reset: bool) -> String {
    let decision = run.control(Body::CommitConsumer(CommitConsumer {
        stream: stream.into(),
        consumer: "audit".into(),
        offset: Offset(offset),
        expected: expected.map(Offset),
        reset,
    }));
    code_of(decision)
}

fn code_of(decision: Decision) -> String {
    match decision {
        Decision::Refused { code, .. } => code.to_owned(),
        _ => "done".to_owned(),
    }
}

#[test]
fn a_consumer_stands_in_the_log_within_its_stream_and_is_found_again() {
    let mut run = Run::new();
    assert_eq!(commit(&mut run, "notes.log", 0, None, false), "unknown_stream");
    run.switched(1, 1, &[]);
    assert_eq!(
        commit(&mut run, "notes.log", 0, None, false),
        "done",
        "named and never written to"
    );
    for text in ["a one", "b two", "c three"] {
        run.outcome("put", text);
    }
    assert_eq!(commit(&mut run, "notes.log", 4, None, false), "offset_past_end");
    assert_eq!(commit(&mut run, "notes.log", 2, Some(1), false), "consumer_moved");
    assert_eq!(commit(&mut run, "notes.log", 2, Some(0), false), "done");
    let committed = run.machine.time();
    assert_eq!(commit(&mut run, "notes.log", 1, None, false), "consumer_goes_back");
    run.machine.save(&mut run.rows);
    let loaded = Machine::load(&run.rows).expect("what was saved can be loaded");
    assert_eq!(loaded.consumers(), run.machine.consumers());
    let stands = loaded.consumers().get("notes.log", "audit");
    let expected = Consumer {
        offset: Offset(2),
        committed,
    };
    assert_eq!(stands, Some(expected), "with the log time of its last commit");
}

#[test]
fn a_consumer_that_is_removed_is_gone_from_the_rows_too() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    let remove = || {
        Body::RemoveConsumer(RemoveConsumer {
            stream: "notes.log".into(),
            consumer: "audit".into(),
        })
    };
    assert_eq!(code_of(run.control(remove())), "unknown_consumer");
    commit(&mut run, "notes.log", 0, None, false);
    run.machine.save(&mut run.rows);
    assert_eq!(Machine::load(&run.rows).unwrap().consumers().count(), 1);
    assert_eq!(code_of(run.control(remove())), "done");
    run.machine.save(&mut run.rows);
    assert_eq!(Machine::load(&run.rows).unwrap().consumers().count(), 0);
}

#[test]
fn the_machines_other_rows_lie_beside_those_of_consumers() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    commit(&mut run, "notes.log", 0, None, false);
    run.control(Body::OpenSession);
    run.machine.save(&mut run.rows);
    let loaded = Machine::load(&run.rows).unwrap();
    assert_eq!((loaded.sessions_open(), loaded.consumers().count()), (1, 1));
    assert_eq!(loaded.catalog(), run.machine.catalog());
}

fn trim(run: &mut Run, starts: &[(&str, u64)]) -> String {
    let starts = starts
        .iter()
        .map(|(stream, start)| ((*stream).to_owned(), Offset(*start)));
    code_of(run.control(Body::TrimStreams(TrimStreams {
        starts: starts.collect(),
    })))
}

#[test]
fn a_stream_is_trimmed_within_its_extent_all_or_nothing_and_never_back() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    for text in ["a one", "b two", "c three"] {
        run.outcome("put", text);
    }
    let start = |run: &Run| run.machine.stream_starts().get("notes.log").copied();
    assert_eq!(trim(&mut run, &[("notes.log", 4)]), "offset_past_end");
    assert_eq!(trim(&mut run, &[("no.stream", 0)]), "unknown_stream");
    assert_eq!(trim(&mut run, &[("notes.log", 1), ("other.log", 1)]), "unknown_stream");
    assert_eq!(start(&run), None, "nothing was changed");
    assert_eq!(trim(&mut run, &[("notes.log", 2)]), "done");
    assert_eq!(trim(&mut run, &[("notes.log", 1)]), "done", "it begins later already");
    assert_eq!(start(&run), Some(Offset(2)));
    assert_eq!(run.machine.streams()["notes.log"], Offset(3), "the end stays");
    // A consumer can stand nowhere before.
    assert_eq!(commit(&mut run, "notes.log", 1, None, false), "events_trimmed");
    assert_eq!(commit(&mut run, "notes.log", 2, None, false), "done");
    assert_eq!(trim(&mut run, &[("notes.log", 3)]), "done", "all of it");
    run.machine.save(&mut run.rows);
    let loaded = Machine::load(&run.rows).expect("what was saved can be loaded");
    assert_eq!(loaded.stream_starts(), run.machine.stream_starts());
    assert_eq!(loaded.stream_starts()["notes.log"], Offset(3));
}
