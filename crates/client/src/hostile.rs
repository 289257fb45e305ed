//! What comes to a client or to whoever serves one, given bytes that nobody of good will sent: frames, JSON bodies and
//! manifests.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::allocations::peak_bytes;
use crate::mutations::{cases, hostile};
use crate::wire::frames::{
    Claim, ErrorAnswer, Failure, FromClient, FromServer, Hello, HelloAnswer, Outcome, Reply, Submit, decode,
};
use crate::wire::v1::record_batch;
use crate::wire::{self, Code, limits};

/// What a decoder may hold for each byte that is there. A buffer is made large enough for the frame that is announced.
fn may_hold(bytes: usize) -> usize {
    2 * limits::FRAME_BYTES_MAX + (16 << 10) + 64 * bytes
}

fn from_client() -> Vec<Vec<u8>> {
    let said = [
        FromClient::Hello(Hello {
            version_min: 1,
            version_max: 1,
            cluster: Some(300),
            name: "a client".into(),
            binary: "0.1.0".into(),
        }),
        FromClient::OpenSession,
        FromClient::Submit(Submit {
            claim: Some(Claim {
                session: 300,
                sequence: 2,
                settled: 1,
            }),
            application: "ledger".into(),
            command: "open".into(),
            version: 1,
            payload: Bytes::from_static(b"{\"id\":1}"),
        }),
    ];
    frames_of(said.iter().map(|said| move |out: &mut Vec<u8>| said.encode(300, out)))
}

fn from_server() -> Vec<Vec<u8>> {
    let reply = |outcome| FromServer::Reply(Reply { index: 300, outcome });
    let said = [
        FromServer::HelloAnswer(HelloAnswer {
            version: 1,
            cluster: 300,
            node: 1,
            binary: "0.1.0".into(),
            leader_http: Some("127.0.0.1:1".into()),
            members_http: vec!["127.0.0.1:1".into(), "127.0.0.1:2".into()],
        }),
        reply(Outcome::Applied(Bytes::from_static(b"{}"))),
        reply(Outcome::Refused(Bytes::from_static(b"no"))),
        reply(Outcome::Failed(Failure {
            code: Code::ApplicationTrapped,
            detail: "it trapped".into(),
        })),
        reply(Outcome::SessionExpired),
        FromServer::SessionOpened(300),
        FromServer::Error(ErrorAnswer {
            code: Code::NotLeader,
            detail: "go there".into(),
            leader_http: Some("127.0.0.1:1".into()),
        }),
    ];
    frames_of(said.iter().map(|said| move |out: &mut Vec<u8>| said.encode(300, out)))
}

/// Each frame alone, and all of them in a row.
fn frames_of<E: Debug, F: FnOnce(&mut Vec<u8>) -> Result<(), E>>(said: impl Iterator<Item = F>) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = said
        .map(|encode| {
            let mut out = Vec::new();
            encode(&mut out).expect("it is short enough");
            out
        })
        .collect();
    all.push(all.concat());
    all
}

/// Reads frames until there is none, and calls `each` with every one of them.
fn read(bytes: &[u8], mut each: impl FnMut(&wire::frames::RawFrame)) {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(frame)) = decode(&mut buffer) {
        each(&frame);
    }
}

/// A body as JSON: what is accepted is accepted again once it is written, and then stays as it is. The first writing may
/// change it: a line break within a document is written as a blank, so that a record has one line.
fn check<T: DeserializeOwned + Serialize + Debug>(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (decoded, peak) = peak_bytes(|| serde_json::from_slice::<T>(bytes));
    prop_assert!(peak <= (16 << 10) + 64 * bytes.len(), "{peak} for {}", bytes.len());
    if let Ok(value) = decoded {
        let again = serde_json::to_vec(&value).expect("it was read");
        match serde_json::from_slice::<T>(&again) {
            Ok(twice) => prop_assert_eq!(serde_json::to_vec(&twice).expect("it was read"), again),
            Err(error) => prop_assert!(false, "{error}: {}", String::from_utf8_lossy(&again)),
        }
    }
    Ok(())
}

const MANIFEST: &str = r#"
application = "ledger"
version = 2
about = "Accounts"
module = "ledger.wasm"
commands = [{ name = "transfer" }, { name = "open", versions = [1, 2] }]
[[queries]]
name = "total"
[[tables]]
name = "accounts"
shape = 2
converts = [1]
[[streams]]
name = "ledger.transfers"
"#;

fn plan() -> String {
    let manifest = wire::Manifest::from_toml(MANIFEST).expect("it is one");
    let plan = wire::PlanRequest {
        manifest,
        code: wire::CodeSource::module("ab".repeat(32)),
        finalize: true,
        confirm_within_ms: Some(600_000),
        revert_on_trap: Some(false),
        refusals_max: Some(7),
        allow_breaking: Some("nobody sends it".into()),
        rehearse: Some(wire::RehearsalRequest {
            commands: Some(100),
            for_ms: Some(1_000),
            one_in: Some(10),
            differences_max: Some(2),
            expected: vec!["rows:accounts/balance".into()],
        }),
        verify_data: true,
    };
    serde_json::to_string(&plan).expect("it can be written")
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn what_clients_say_is_read(bytes in hostile(from_client())) {
        let mut wrong = None;
        let ((), peak) = peak_bytes(|| read(&bytes, |frame| {
            if let Ok(said) = FromClient::decode(frame) {
                let mut again = Vec::new();
                // A name for people is cut when it is written, and then it is another.
                if said.encode(frame.correlation, &mut again).is_ok() {
                    read(&again, |twice| {
                        if FromClient::decode(twice) != Ok(said.clone()) {
                            wrong = Some(said.clone());
                        }
                    });
                }
            }
        }));
        prop_assert!(peak <= may_hold(bytes.len()), "{peak} for {}", bytes.len());
        prop_assert_eq!(wrong, None);
    }

    #[test]
    fn what_servers_say_is_read(bytes in hostile(from_server())) {
        let mut wrong = None;
        let ((), peak) = peak_bytes(|| read(&bytes, |frame| {
            if let Ok(said) = FromServer::decode(frame) {
                let mut again = Vec::new();
                if said.encode(frame.correlation, &mut again).is_ok() {
                    read(&again, |twice| {
                        if FromServer::decode(twice) != Ok(said.clone()) {
                            wrong = Some(said.clone());
                        }
                    });
                }
            }
        }));
        prop_assert!(peak <= may_hold(bytes.len()), "{peak} for {}", bytes.len());
        prop_assert_eq!(wrong, None);
    }

    #[test]
    fn batches_of_events_are_read(bytes in hostile(vec![record_batch::sample(), wire::heartbeat().to_vec()]), reseal: bool) {
        let mut bytes = bytes;
        if reseal && bytes.len() > 21 {
            let checksum = crc32c::crc32c(&bytes[21..]);
            bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
        }
        let bytes = Bytes::from(bytes);
        let (read, peak) = peak_bytes(|| {
            let _ = wire::whole_bytes(&bytes);
            wire::RecordBatch::open(&bytes).map(|batch| batch.flatten().count())
        });
        prop_assert!(peak <= may_hold(bytes.len()), "{peak} for {}", bytes.len());
        prop_assert!(read.is_err() || read.is_ok_and(|events| events <= bytes.len()));
    }

    #[test]
    fn manifests_are_read(bytes in hostile(texts(&[MANIFEST]))) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (decoded, peak) = peak_bytes(|| wire::Manifest::from_toml(&text));
        prop_assert!(peak <= (64 << 10) + 256 * text.len(), "{peak} for {}", text.len());
        if let Ok(manifest) = decoded {
            check::<wire::Manifest>(&serde_json::to_vec(&manifest).expect("it was read"))?;
        }
    }

    #[test]
    fn bodies_of_requests_are_read(bytes in hostile(texts(&[&plan(), r#"{"reason":"because"}"#]))) {
        check::<wire::PlanRequest>(&bytes)?;
        check::<wire::StepRequest>(&bytes)?;
    }

    #[test]
    fn bodies_of_answers_are_read(bytes in hostile(texts(&[
        r#"{"index":9,"outcome":"applied","reply":{"from":1}}"#,
        r#"{"index":9,"outcome":"refused","reply_base64":"/w=="}"#,
        r#"{"index":9,"rows":[{"key":"a","document":{"n":1}},{"key_base64":"/w==","document_base64":"AQ=="}],"more":true}"#,
        r#"{"offset":3,"time_ms":5,"key":"k","value":[1]}"#,
        r#"{"copy":"c0","cluster":"c1","node":2,"name":"b","first":1,"last":9,"applied":9,"digest":"0-0","snapshot_format":1,"snapshots":[{"index":5,"digest":"0-0","bytes":300}]}"#,
        r#"{"type":"urn:seachange:problem:x","title":"t","status":404,"detail":"d","code":"row_not_found"}"#,
    ]))) {
        check::<wire::CommandReply>(&bytes)?;
        check::<wire::QueryReply>(&bytes)?;
        check::<wire::Rows>(&bytes)?;
        check::<wire::RowAnswer>(&bytes)?;
        check::<wire::EventRecord>(&bytes)?;
        check::<wire::CopyRecord>(&bytes)?;
        check::<wire::Problem>(&bytes)?;
    }
}
