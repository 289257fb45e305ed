//! What stands in the log. Each entry is one byte of format, the kind's number, and the kind's body.

mod packed;
mod streams;

use bytes::Bytes;

use crate::codec::{Codec, Error, Reader, put_varint};
use crate::{
    AssignVerification, ChangeId, ClusterId, ConvertRows, Digest, DropModule, Index, LetGo, Level, Manifest,
    MeterNumber, NodeId, OpenWindow, Rehearsed, Safeguards, Sequence, SessionId, SkipEntry, StateDigest,
    SteerConversion, TimeMs, Verified, limits, record,
};

use crate::skip::SKIP_ENTRY;

pub use packed::{PackedRequests, RequestView, pack};
pub use streams::{CommitConsumer, PinConsumer, RemoveConsumer, TrimStreams};

/// The format of the entries that this binary writes. It reads this one and, for ever, all before it.
pub const ENTRY_FORMAT: u8 = 1;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The leader's stamp.
    pub time: TimeMs,
    /// What is to be done.
    pub body: Body,
}

/// The kinds of entries, each with its number in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// 1: the first entry of a cluster.
    Genesis(Genesis),
    /// 2: requests of clients, packed.
    Requests(Vec<Request>),
    /// 3: opens a session, whose id is this entry's index.
    OpenSession,
    /// 4: a piece of a module.
    ModuleChunk(ModuleChunk),
    /// 5: plans the change of an application to a version.
    PlanApplication(PlanApplication),
    /// 6: a node says whether it can run what a change needs.
    NodeReady(NodeReady),
    /// 7: a step of a change.
    ChangeStep(ChangeStep),
    /// 8: a node's name and addresses; gives a new node its id.
    RegisterNode(RegisterNode),
    /// 9: nothing but the time.
    Tick,
    /// 10: raises the level.
    RaiseLevel(Level),
    /// 11: moves a named consumer of a stream, or makes it.
    CommitConsumer(CommitConsumer),
    /// 12: forgets a named consumer.
    RemoveConsumer(RemoveConsumer),
    /// 13: lets go of the oldest events of streams.
    TrimStreams(TrimStreams),
    /// 14: marks where the nodes' digests are to be compared: before this entry.
    MarkDigest,
    /// 15: what a node's digest was there.
    ReportDigest(ReportDigest),
    /// 16: as 5, for a change that looks after itself once it has switched.
    PlanGuarded(PlanGuarded),
    /// 17: takes an application out of service.
    RemoveApplication(RemoveApplication),
    /// 18: deletes some of a removed application's data.
    PurgeApplication(PurgeApplication),
    /// 19: opens a window of a rehearsal.
    OpenWindow(OpenWindow),
    /// 20: what a node found in one.
    Rehearsed(Rehearsed),
    /// 21: brings rows into the newest shape.
    ConvertRows(ConvertRows),
    /// 22: steers that.
    SteerConversion(SteerConversion),
    /// 23: names the nodes that look at their rows before a switch.
    AssignVerification(AssignVerification),
    /// 24: what one of them found.
    Verified(Verified),
    /// 25: passes by an entry at which the program fails.
    SkipEntry(SkipEntry),
    /// 26: pins a named consumer to a version of its stream's events.
    PinConsumer(PinConsumer),
    /// 27: lets a version go that nobody can call any more.
    LetGo(LetGo),
    /// 28: deletes a module that nothing needs.
    DropModule(DropModule),
}

/// The first entry of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// The cluster's id.
    pub cluster: ClusterId,
    /// The level it begins at.
    pub level: Level,
    /// The node that founds it: node 1.
    pub founder: RegisterNode,
}
record!(Genesis {
    cluster,
    level,
    founder
});

/// Who asks, so that a repeat is known as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The session.
    pub session: SessionId,
    /// The request's position in it.
    pub sequence: Sequence,
    /// The client has the replies to all sequences below this one and will never ask for them again.
    pub settled: Sequence,
}
record!(Claim {
    session,
    sequence,
    settled
});

/// A client's command on its way into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Without one, the request is never sent again by anybody.
    pub claim: Option<Claim>,
    /// The application's name.
    pub application: String,
    /// The command's name.
    pub command: String,
    /// Version of the command's payload.
    pub version: u16,
    /// The payload, as the application reads it (JSON for those written with the sdk).
    pub payload: Bytes,
}
record!(Request {
    claim,
    application,
    command,
    version,
    payload
});

impl Request {
    /// Whether the log takes a request of this size.
    ///
    /// # Errors
    /// What is too large, for people.
    pub fn check_size(&self) -> Result<(), String> {
        let sizes = [
            ("application's name", self.application.len(), limits::NAME_BYTES_MAX),
            ("command's name", self.command.len(), limits::NAME_BYTES_MAX),
            ("payload", self.payload.len(), limits::COMMAND_BYTES_MAX),
        ];
        match sizes.into_iter().find(|(_, bytes, most)| bytes > most) {
            Some((what, bytes, most)) => Err(format!("the {what} has {bytes} bytes: {most} are the most")),
            None => Ok(()),
        }
    }

    /// Bytes that the request takes in an entry, at most.
    #[must_use]
    pub fn encoded_bytes_max(&self) -> usize {
        64 + self.application.len() + self.command.len() + self.payload.len()
    }
}

/// A piece of a module, at a position in its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleChunk {
    /// Digest of the whole module.
    pub module: Digest,
    /// Bytes of the whole module.
    pub bytes_total: u64,
    /// Where this piece begins; pieces come in order, and one that is there already changes nothing.
    pub at: u64,
    /// The piece.
    pub bytes: Bytes,
}
record!(ModuleChunk {
    module,
    bytes_total,
    at,
    bytes
});

/// Where a version's code comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// 1: a WASM module that came through the log.
    Wasm {
        /// Digest of the module as its author gave it.
        module: Digest,
        /// The meter it is instrumented with.
        meter: MeterNumber,
    },
    /// 2: linked into the binary under the application's name and version.
    Native,
}

impl Codec for Code {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Code::Wasm { module, meter } => {
                put_varint(1, out);
                module.encode(out);
                meter.encode(out);
            }
            Code::Native => put_varint(2, out),
        }
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        match reader.varint()? {
            1 => Ok(Code::Wasm {
                module: Codec::decode(reader)?,
                meter: Codec::decode(reader)?,
            }),
            2 => Ok(Code::Native),
            number => Err(reader.unknown("Code", number)),
        }
    }
}

/// Plans a change of kind `application`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanApplication {
    /// What the version is.
    pub manifest: Manifest,
    /// Where its code is.
    pub code: Code,
    /// Finalize by itself once switched.
    pub finalize: bool,
}
record!(PlanApplication {
    manifest,
    code,
    finalize
});

/// Plans a change of kind `application` with safeguards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanGuarded {
    /// The change.
    pub plan: PlanApplication,
    /// What it does by itself.
    pub safeguards: Safeguards,
}
record!(PlanGuarded { plan, safeguards });

/// Takes an application out of service; its data stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveApplication {
    /// Which.
    pub application: String,
    /// Why, for people.
    pub reason: String,
}
record!(RemoveApplication { application, reason });

/// Deletes some of the rows of a removed application, and with the last of them the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgeApplication {
    /// Which.
    pub application: String,
}
record!(PurgeApplication { application });

/// What a node found when it made a version ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// 1: it can run it. The digest is that of the instrumented module (of the name and version for native code), and
    /// must be the same on every node.
    Ready {
        /// What will run.
        instrumented: Digest,
    },
    /// 2: it cannot, and says why.
    Failed {
        /// For people.
        reason: String,
    },
}

impl Codec for Readiness {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Readiness::Ready { instrumented } => {
                put_varint(1, out);
                instrumented.encode(out);
            }
            Readiness::Failed { reason } => {
                put_varint(2, out);
                reason.encode(out);
            }
        }
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        match reader.varint()? {
            1 => Ok(Readiness::Ready {
                instrumented: Codec::decode(reader)?,
            }),
            2 => Ok(Readiness::Failed {
                reason: Codec::decode(reader)?,
            }),
            number => Err(reader.unknown("Readiness", number)),
        }
    }
}

/// A node reports on a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReady {
    /// Who.
    pub node: NodeId,
    /// On what.
    pub change: ChangeId,
    /// What it found.
    pub readiness: Readiness,
}
record!(NodeReady {
    node,
    change,
    readiness
});

/// A step of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The new version answers from the next entry on.
    Switch,
    /// No way back from here; the old version is let go.
    Finalize,
    /// The old version answers again from the next entry on.
    Revert,
    /// Given up before the switch.
    Abort,
    /// It stays switched beyond its deadline; the way back stays open.
    Confirm,
    /// What its rehearsal found is as it should be: it may switch.
    Approve,
}
crate::numbered!(Step { Switch = 1, Finalize = 2, Revert = 3, Abort = 4, Confirm = 5, Approve = 6 });

/// Asks for a step; whether it may be taken is decided in apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeStep {
    /// Of which change.
    pub change: ChangeId,
    /// Which step.
    pub step: Step,
    /// For people: who or what asked.
    pub reason: String,
}
record!(ChangeStep { change, step, reason });

/// A node's name and addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterNode {
    /// Drawn by the node when its data directory was made, so that asking twice gives the same id.
    pub nonce: u64,
    /// For people.
    pub name: String,
    /// `HOST:PORT` of the peer protocol.
    pub peer_address: String,
    /// `HOST:PORT` of HTTP and the client protocol.
    pub http_address: String,
    /// The highest level that its binary knows.
    pub level_max: Level,
    /// For people: the binary's version.
    pub binary: String,
}
record!(RegisterNode {
    nonce,
    name,
    peer_address,
    http_address,
    level_max,
    binary
});

/// What a node's digest was before a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportDigest {
    /// Who.
    pub node: NodeId,
    /// The entry that marks where.
    pub mark: Index,
    /// What it had.
    pub digest: StateDigest,
}
record!(ReportDigest { node, mark, digest });

impl Body {
    fn number(&self) -> u64 {
        match self {
            Body::Genesis(_) => 1,
            Body::Requests(_) => 2,
            Body::OpenSession => 3,
            Body::ModuleChunk(_) => 4,
            Body::PlanApplication(_) => 5,
            Body::NodeReady(_) => 6,
            Body::ChangeStep(_) => 7,
            Body::RegisterNode(_) => 8,
            Body::Tick => 9,
            Body::RaiseLevel(_) => 10,
            Body::CommitConsumer(_) => 11,
            Body::RemoveConsumer(_) => 12,
            Body::TrimStreams(_) => 13,
            Body::MarkDigest => 14,
            Body::ReportDigest(_) => 15,
            Body::PlanGuarded(_) => 16,
            Body::RemoveApplication(_) => 17,
            Body::PurgeApplication(_) => 18,
            Body::OpenWindow(_) => 19,
            Body::Rehearsed(_) => 20,
            Body::ConvertRows(_) => 21,
            Body::SteerConversion(_) => 22,
            Body::AssignVerification(_) => 23,
            Body::Verified(_) => 24,
            Body::SkipEntry(_) => SKIP_ENTRY,
            Body::PinConsumer(_) => 26,
            Body::LetGo(_) => 27,
            Body::DropModule(_) => 28,
        }
    }
}

impl Codec for Entry {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(ENTRY_FORMAT);
        put_varint(self.body.number(), out);
        self.time.encode(out);
        match &self.body {
            Body::Genesis(body) => body.encode(out),
            Body::Requests(body) => body.encode(out),
            Body::ModuleChunk(body) => body.encode(out),
            Body::PlanApplication(body) => body.encode(out),
            Body::NodeReady(body) => body.encode(out),
            Body::ChangeStep(body) => body.encode(out),
            Body::RegisterNode(body) => body.encode(out),
            Body::RaiseLevel(body) => body.encode(out),
            Body::CommitConsumer(body) => body.encode(out),
            Body::RemoveConsumer(body) => body.encode(out),
            Body::TrimStreams(body) => body.encode(out),
            Body::ReportDigest(body) => body.encode(out),
            Body::PlanGuarded(body) => body.encode(out),
            Body::RemoveApplication(body) => body.encode(out),
            Body::PurgeApplication(body) => body.encode(out),
            Body::OpenWindow(body) => body.encode(out),
            Body::Rehearsed(body) => body.encode(out),
            Body::ConvertRows(body) => body.encode(out),
            Body::SteerConversion(body) => body.encode(out),
            Body::AssignVerification(body) => body.encode(out),
            Body::Verified(body) => body.encode(out),
            Body::SkipEntry(body) => body.encode(out),
            Body::PinConsumer(body) => body.encode(out),
            Body::LetGo(body) => body.encode(out),
            Body::DropModule(body) => body.encode(out),
            Body::OpenSession | Body::Tick | Body::MarkDigest => {}
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let format = reader.byte()?;
        if format != ENTRY_FORMAT {
            return Err(reader.unknown("entry format", u64::from(format)));
        }
        let number = reader.varint()?;
        let time = TimeMs::decode(reader)?;
        let body = match number {
            1 => Body::Genesis(Codec::decode(reader)?),
            2 => Body::Requests(Codec::decode(reader)?),
            3 => Body::OpenSession,
            4 => Body::ModuleChunk(Codec::decode(reader)?),
            5 => Body::PlanApplication(Codec::decode(reader)?),
            6 => Body::NodeReady(Codec::decode(reader)?),
            7 => Body::ChangeStep(Codec::decode(reader)?),
            8 => Body::RegisterNode(Codec::decode(reader)?),
            9 => Body::Tick,
            10 => Body::RaiseLevel(Codec::decode(reader)?),
            11 => Body::CommitConsumer(Codec::decode(reader)?),
            12 => Body::RemoveConsumer(Codec::decode(reader)?),
            13 => Body::TrimStreams(Codec::decode(reader)?),
            14 => Body::MarkDigest,
            15 => Body::ReportDigest(Codec::decode(reader)?),
            16 => Body::PlanGuarded(Codec::decode(reader)?),
            17 => Body::RemoveApplication(Codec::decode(reader)?),
            18 => Body::PurgeApplication(Codec::decode(reader)?),
            19 => Body::OpenWindow(Codec::decode(reader)?),
            20 => Body::Rehearsed(Codec::decode(reader)?),
            21 => Body::ConvertRows(Codec::decode(reader)?),
            22 => Body::SteerConversion(Codec::decode(reader)?),
            23 => Body::AssignVerification(Codec::decode(reader)?),
            24 => Body::Verified(Codec::decode(reader)?),
            SKIP_ENTRY => Body::SkipEntry(Codec::decode(reader)?),
            26 => Body::PinConsumer(Codec::decode(reader)?),
            27 => Body::LetGo(Codec::decode(reader)?),
            28 => Body::DropModule(Codec::decode(reader)?),
            number => return Err(reader.unknown("entry kind", number)),
        };
        Ok(Entry { time, body })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{Codec, Reader};
    use crate::{Findings, Offset, Sample, Shape, Unconverted, VerifiedRows, Version};

    fn request() -> impl Strategy<Value = Request> {
        let claim = proptest::option::of((any::<u64>(), any::<u64>(), any::<u64>()));
        (
            claim,
            "[a-z]{1,8}",
            "[a-z]{1,8}",
            any::<u16>(),
            proptest::collection::vec(any::<u8>(), 0..64),
        )
            .prop_map(|(claim, application, command, version, payload)| Request {
                claim: claim.map(|(session, sequence, settled)| Claim {
                    session: SessionId(session),
                    sequence: Sequence(sequence),
                    settled: Sequence(settled),
                }),
                application,
                command,
                version,
                payload: payload.into(),
            })
    }

    pub(crate) fn manifest() -> Manifest {
        Manifest {
            application: "ledger".into(),
            version: Version(2),
            about: "an example".into(),
            commands: vec![crate::manifest::CommandSpec {
                name: "open".into(),
                versions: vec![1],
            }],
            queries: vec!["total".into()],
            tables: vec![crate::manifest::TableSpec {
                name: "accounts".into(),
                shape: Shape(2),
                converts: vec![Shape(1)],
            }],
            streams: vec!["ledger.transfers".into()],
        }
    }

    fn register() -> RegisterNode {
        RegisterNode {
            nonce: 1,
            name: "a".into(),
            peer_address: "127.0.0.1:1".into(),
            http_address: "127.0.0.1:2".into(),
            level_max: Level(1),
            binary: "0.1.0".into(),
        }
    }

    pub(crate) fn one_of_each() -> Vec<Body> {
        let (digest, change, node) = (Digest([7; 32]), ChangeId(9), NodeId(3));
        let all = vec![
            Body::Genesis(Genesis {
                cluster: ClusterId(5),
                level: Level(1),
                founder: register(),
            }),
            Body::Requests(vec![]),
            Body::OpenSession,
            Body::ModuleChunk(ModuleChunk {
                module: digest,
                bytes_total: 9,
                at: 4,
                bytes: Bytes::from_static(b"wasm"),
            }),
            Body::PlanApplication(PlanApplication {
                manifest: manifest(),
                code: Code::Wasm {
                    module: digest,
                    meter: MeterNumber(1),
                },
                finalize: true,
            }),
            Body::NodeReady(NodeReady {
                node,
                change,
                readiness: Readiness::Failed { reason: "no".into() },
            }),
            Body::ChangeStep(ChangeStep {
                change,
                step: Step::Revert,
                reason: "asked".into(),
            }),
            Body::RegisterNode(register()),
            Body::Tick,
            Body::RaiseLevel(Level(2)),
            Body::CommitConsumer(CommitConsumer {
                stream: "ledger.transfers".into(),
                consumer: "audit".into(),
                offset: Offset(300),
                expected: Some(Offset(200)),
                reset: true,
            }),
            Body::RemoveConsumer(RemoveConsumer {
                stream: "ledger.transfers".into(),
                consumer: "audit".into(),
            }),
            Body::TrimStreams(TrimStreams {
                starts: [("ledger.transfers".to_owned(), Offset(300))].into(),
            }),
            Body::MarkDigest,
            Body::ReportDigest(ReportDigest {
                node,
                mark: Index(70),
                digest: StateDigest { rows: 5, history: 6 },
            }),
        ];
        [all, of_late(node)].concat()
    }

    fn of_late(node: NodeId) -> Vec<Body> {
        vec![
            Body::PlanGuarded(plan_guarded()),
            Body::RemoveApplication(RemoveApplication {
                application: "ledger".into(),
                reason: "moved".into(),
            }),
            Body::PurgeApplication(PurgeApplication {
                application: "ledger".into(),
            }),
            Body::OpenWindow(OpenWindow {
                change: ChangeId(80),
                after: Index(81),
                nodes: [node, NodeId(9)].into(),
            }),
            Body::Rehearsed(rehearsed(node)),
            Body::ConvertRows(ConvertRows {
                application: "ledger".into(),
                table: "accounts".into(),
                to: Shape(2),
                after: Bytes::from_static(b"ada"),
                rows: 100,
            }),
            Body::SteerConversion(SteerConversion {
                application: "ledger".into(),
                paused: Some(true),
                rate: None,
            }),
            Body::AssignVerification(AssignVerification {
                change: ChangeId(80),
                nodes: [node].into(),
            }),
            Body::Verified(Verified {
                node,
                change: ChangeId(80),
                rows: VerifiedRows {
                    as_of: Index(70),
                    rows: 5,
                    failed: 1,
                    samples: vec![Unconverted {
                        key: Bytes::from_static(b"ada"),
                        why: "it is another one".into(),
                    }],
                },
            }),
            Body::SkipEntry(SkipEntry {
                entry: Index(70),
                reason: "a panic".into(),
            }),
            Body::PinConsumer(PinConsumer {
                stream: "ledger.transfers".into(),
                consumer: "audit".into(),
                version: Some(1),
            }),
            Body::LetGo(LetGo {
                application: "ledger".into(),
                version: Version(2),
            }),
            Body::DropModule(DropModule {
                module: Digest([8; 32]),
            }),
        ]
    }

    fn rehearsed(node: NodeId) -> Rehearsed {
        let sample = Sample {
            index: Index(90),
            place: 3,
            command: "transfer".into(),
            what: "otherwise".into(),
        };
        Rehearsed {
            node,
            change: ChangeId(80),
            window: Index(82),
            findings: Findings {
                commands: 7,
                differed: 2,
                expected: 1,
                trapped: 1,
                digest: StateDigest { rows: 0, history: 8 },
                samples: vec![sample],
            },
        }
    }

    fn plan_guarded() -> PlanGuarded {
        PlanGuarded {
            plan: PlanApplication {
                manifest: manifest(),
                code: Code::Native,
                finalize: false,
            },
            safeguards: Safeguards {
                confirm_within_ms: Some(600_000),
                revert_on_trap: true,
                refusals_max: None,
                allow_breaking: None,
                rehearse: None,
                verify_data: false,
                contract: None,
            },
        }
    }

    #[test]
    fn every_kind_comes_back_and_its_bytes_stay_as_they_are() {
        let mut all = String::new();
        for body in one_of_each() {
            let entry = Entry {
                time: TimeMs(1_000),
                body,
            };
            let bytes = entry.to_bytes();
            assert_eq!(Entry::kind_of(&bytes), Some(entry.body.number()));
            assert_eq!(Entry::from_bytes(&bytes), Ok(entry));
            all += &format!("{}\n", Digest::of(&bytes).short());
        }
        // Format 1 is read for ever: a change here is a new format, not a new expectation.
        expect_test::expect_file!["entry.format-1.txt"].assert_eq(&all);
    }

    proptest! {
        #[test]
        fn packed_requests_are_the_bytes_of_an_entry(
            requests in proptest::collection::vec(request(), 0..8),
            together in 1..4_usize,
            time: u64,
        ) {
            let packed: Vec<PackedRequests> = requests.chunks(together).map(PackedRequests::from).collect();
            let bytes = pack(TimeMs(time), packed.iter());
            let entry = Entry { time: TimeMs(time), body: Body::Requests(requests.clone()) };
            prop_assert_eq!(&bytes, &entry.to_bytes());
            prop_assert_eq!(Entry::from_bytes(&bytes), Ok(entry));
            let mut reader = Reader::new(&bytes[bytes.len() - packed.iter().map(PackedRequests::bytes).sum::<usize>()..]);
            for request in requests {
                prop_assert_eq!(RequestView::read(&mut reader).map(|view| view.to_request()), Ok(request));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = Entry::from_bytes(&bytes);
        }

        #[test]
        fn no_damaged_entry_panics(which in 0..one_of_each().len(), at: proptest::sample::Index, byte: u8) {
            let mut bytes = Entry { time: TimeMs(1), body: one_of_each().swap_remove(which) }.to_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = Entry::from_bytes(&bytes);
            let _ = Entry::from_bytes(&bytes[..at]);
        }
    }
}
