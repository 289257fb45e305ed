//! Every record of this crate, given bytes that nobody of good will wrote: it answers without a panic and without
//! allocating more than the bytes account for, and what it accepts it writes again with the same meaning.

use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::prelude::*;

use crate::allocations::peak_bytes;
use crate::codec::Codec;
use crate::entry::tests::{manifest, one_of_each};
use crate::machine::Position;
use crate::mutations::{cases, hostile};
use crate::sessions::{Session, Sessions};
use crate::*;

/// The most that a value takes in memory for each byte it was read from: a change's record in a map, of which the
/// smallest has a dozen bytes, takes some hundreds.
const MEMORY_PER_BYTE: usize = 64;
/// And what even an empty one may take.
const MEMORY_AT_LEAST: usize = 4 << 10;

fn check<T: Codec + PartialEq + Debug>(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (decoded, peak) = peak_bytes(|| T::from_bytes(bytes));
    prop_assert!(
        peak <= MEMORY_AT_LEAST + MEMORY_PER_BYTE * bytes.len(),
        "{peak} bytes of memory for {} bytes",
        bytes.len()
    );
    if let Ok(value) = decoded {
        prop_assert_eq!(T::from_bytes(&value.to_bytes()), Ok(value));
    }
    Ok(())
}

fn entries() -> Vec<Vec<u8>> {
    let request = Request {
        claim: Some(Claim {
            session: SessionId(300),
            sequence: Sequence(2),
            settled: Sequence(1),
        }),
        application: "ledger".into(),
        command: "open".into(),
        version: 1,
        payload: bytes::Bytes::from_static(b"{\"id\":1}"),
    };
    let mut bodies = one_of_each();
    bodies.push(Body::Requests(vec![
        request.clone(),
        Request { claim: None, ..request },
    ]));
    let entry = |body| Entry {
        time: TimeMs(1_700_000_000_000),
        body,
    };
    bodies.into_iter().map(|body| entry(body).to_bytes()).collect()
}

/// A catalog in which everything occurs.
fn catalog() -> Catalog {
    let code = Code::Wasm {
        module: Digest([9; 32]),
        meter: MeterNumber(1),
    };
    let version = ApplicationVersion {
        manifest: manifest(),
        code,
    };
    let application = Application {
        in_force: Some(Version(1)),
        versions: [(Version(1), version.clone()), (Version(2), version)].into(),
        tables: [("accounts".to_owned(), TableId(17))].into(),
        reversible: Some(ChangeId(300)),
        history: vec![(Index(7), Version(1))],
    };
    let event = ChangeEvent {
        index: Index(300),
        time: TimeMs(5),
        what: "planned".into(),
    };
    let change = Change {
        application: "ledger".into(),
        from: Some(Version(1)),
        to: Version(2),
        stage: Stage::Ready,
        finalize: false,
        readiness: [
            (
                NodeId(1),
                Readiness::Ready {
                    instrumented: Digest([1; 32]),
                },
            ),
            (NodeId(2), Readiness::Failed { reason: "no".into() }),
        ]
        .into(),
        switch_index: None,
        tables_before: BTreeMap::new(),
        history: vec![event],
    };
    let node = Node {
        nonce: 7,
        name: "a".into(),
        peer_address: "127.0.0.1:1".into(),
        http_address: "127.0.0.1:2".into(),
        level_max: Level(1),
        binary: "0.1.0".into(),
    };
    let module = Module {
        bytes_total: 100,
        bytes_here: 50,
        since: TimeMs(1),
    };
    Catalog {
        cluster: ClusterId(77),
        level: Level(1),
        applications: [("ledger".to_owned(), application)].into(),
        changes: [(ChangeId(300), change)].into(),
        nodes: [(NodeId(1), node)].into(),
        voters: [NodeId(1), NodeId(2)].into(),
        learners: [NodeId(3)].into(),
        modules: [(Digest([9; 32]), module)].into(),
        ..Catalog::default()
    }
}

fn position() -> Position {
    Position {
        streams: [("ledger.transfers".to_owned(), Offset(300))].into(),
        ..Position::default()
    }
}

/// The row of a session with replies of each kind.
fn session() -> Vec<u8> {
    let outcomes = [
        Outcome::Applied(bytes::Bytes::from_static(b"{}")),
        Outcome::Refused(bytes::Bytes::from_static(b"no")),
        Outcome::Failed(Failure::new(FailureCode::Trapped, "it trapped")),
        Outcome::SessionExpired,
    ];
    let mut sessions = Sessions::default();
    sessions.open(SessionId(7), TimeMs(1000));
    for (sequence, outcome) in (1..).zip(outcomes) {
        let claim = Claim {
            session: SessionId(7),
            sequence: Sequence(sequence),
            settled: Sequence(1),
        };
        let index = Index(300 + sequence);
        sessions.remember(&claim, Reply { index, outcome });
    }
    let (_, row) = sessions.take_dirty().remove(0);
    row.expect("it is open")
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn entries_are_read(bytes in hostile(entries())) {
        check::<Entry>(&bytes)?;
    }

    #[test]
    fn manifests_are_read_and_checked(bytes in hostile(vec![manifest().to_bytes()])) {
        check::<Manifest>(&bytes)?;
        if let Ok(manifest) = Manifest::from_bytes(&bytes) {
            let _ = manifest.check();
        }
    }

    #[test]
    fn catalogs_are_read(bytes in hostile(vec![catalog().to_bytes()])) {
        check::<Catalog>(&bytes)?;
    }

    #[test]
    fn positions_are_read(bytes in hostile(vec![position().to_bytes()])) {
        check::<Position>(&bytes)?;
    }

    #[test]
    fn sessions_are_read(bytes in hostile(vec![session()])) {
        check::<Session>(&bytes)?;
    }
}
