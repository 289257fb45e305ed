use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::wire::{Code, limits};

fn bytes() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn code() -> impl Strategy<Value = Code> {
    proptest::sample::select(Code::ALL)
}

fn from_client() -> impl Strategy<Value = FromClient> {
    let hello = (any::<u16>(), any::<u16>(), any::<Option<u64>>(), ".{0,40}", ".{0,20}").prop_map(
        |(version_min, version_max, cluster, name, binary)| {
            FromClient::Hello(Hello {
                version_min,
                version_max,
                cluster,
                name,
                binary,
            })
        },
    );
    let claim = proptest::option::of(any::<(u64, u64, u64)>());
    let submit = (claim, ".{0,40}", ".{0,40}", any::<u16>(), bytes()).prop_map(
        |(claim, application, command, version, payload)| {
            let claim = claim.map(|(session, sequence, settled)| Claim {
                session,
                sequence,
                settled,
            });
            FromClient::Submit(Submit {
                claim,
                application,
                command,
                version,
                payload,
            })
        },
    );
    let get = (".{0,40}", ".{0,40}", bytes(), any::<bool>()).prop_map(|(application, table, key, stale)| {
        FromClient::Get(Get {
            application,
            table,
            key,
            stale,
        })
    });
    prop_oneof![hello, submit, Just(FromClient::OpenSession), get]
}

fn from_server() -> impl Strategy<Value = FromServer> {
    let hello = (
        any::<u16>(),
        any::<[u64; 2]>(),
        ".{0,20}",
        proptest::option::of(".{0,40}"),
    )
        .prop_flat_map(|(version, [cluster, node], binary, leader_http)| {
            proptest::collection::vec(".{0,40}", 0..5).prop_map(move |members_http| {
                FromServer::HelloAnswer(HelloAnswer {
                    version,
                    cluster,
                    node,
                    binary: binary.clone(),
                    leader_http: leader_http.clone(),
                    members_http,
                })
            })
        });
    let outcome = prop_oneof![
        bytes().prop_map(Outcome::Applied),
        bytes().prop_map(Outcome::Refused),
        (code(), ".{0,90}").prop_map(|(code, detail)| Outcome::Failed(Failure { code, detail })),
        Just(Outcome::SessionExpired),
    ];
    let reply = (any::<u64>(), outcome).prop_map(|(index, outcome)| FromServer::Reply(Reply { index, outcome }));
    let error = (code(), ".{0,90}", proptest::option::of(".{0,40}")).prop_map(|(code, detail, leader_http)| {
        FromServer::Error(ErrorAnswer {
            code,
            detail,
            leader_http,
        })
    });
    let row = (any::<u64>(), proptest::option::of(bytes()))
        .prop_map(|(index, document)| FromServer::Row(Row { index, document }));
    prop_oneof![
        hello,
        reply,
        any::<u64>().prop_map(FromServer::SessionOpened),
        error,
        row
    ]
}

/// Hands the bytes over in pieces, as a socket would.
fn frames_of(bytes: &[u8], piece: usize) -> Result<Vec<RawFrame>, FrameError> {
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        while let Some(frame) = decode(&mut buffer)? {
            frames.push(frame);
        }
        assert!(buffer.capacity() <= 2 * (limits::FRAME_BYTES_MAX + 64 + piece.len()));
    }
    Ok(frames)
}

proptest! {
    #[test]
    fn what_a_client_says_is_understood(said in proptest::collection::vec((any::<u64>(), from_client()), 0..6), piece in 1..80_usize) {
        let mut out = Vec::new();
        for (correlation, frame) in &said {
            frame.encode(*correlation, &mut out).unwrap();
        }
        let heard: Vec<_> = frames_of(&out, piece)
            .unwrap()
            .iter()
            .map(|raw| (raw.correlation, FromClient::decode(raw).unwrap()))
            .collect();
        prop_assert_eq!(heard, said);
    }

    #[test]
    fn what_a_server_says_is_understood(said in proptest::collection::vec((any::<u64>(), from_server()), 0..6), piece in 1..80_usize) {
        let mut out = Vec::new();
        for (correlation, frame) in &said {
            frame.encode(*correlation, &mut out).unwrap();
        }
        let heard: Vec<_> = frames_of(&out, piece)
            .unwrap()
            .iter()
            .map(|raw| (raw.correlation, FromServer::decode(raw).unwrap()))
            .collect();
        prop_assert_eq!(heard, said);
    }

    #[test]
    fn garbage_is_refused_without_a_panic(garbage in proptest::collection::vec(any::<u8>(), 0..400), kind in 0..9_u8, piece in 1..80_usize) {
        let _ = frames_of(&garbage, piece);
        let raw = RawFrame { kind, correlation: 1, body: garbage.into() };
        let _ = FromClient::decode(&raw);
        let _ = FromServer::decode(&raw);
    }

    #[test]
    fn a_damaged_frame_is_refused_without_a_panic(frame in from_server(), at in any::<proptest::sample::Index>(), by in 1..=255_u8) {
        let mut out = Vec::new();
        frame.encode(7, &mut out).unwrap();
        let at = at.index(out.len());
        out[at] ^= by;
        for raw in frames_of(&out, 64).unwrap_or_default() {
            let _ = FromServer::decode(&raw);
        }
    }
}

#[test]
fn a_length_past_the_limit_is_refused_before_memory_is_taken() {
    for length in [0, 8, limits::FRAME_BYTES_MAX as u32 + 1, u32::MAX] {
        let mut buffer = BytesMut::from(&length.to_le_bytes()[..]);
        let capacity = buffer.capacity();
        assert_eq!(decode(&mut buffer), Err(FrameError::Length { bytes: length.into() }));
        assert_eq!(buffer.capacity(), capacity);
    }
}

#[test]
fn a_frame_past_the_limit_is_not_written() {
    let payload = Bytes::from(vec![0; limits::FRAME_BYTES_MAX]);
    let submit = FromClient::Submit(Submit {
        claim: None,
        application: "a".into(),
        command: "c".into(),
        version: 1,
        payload,
    });
    let mut out = vec![1, 2, 3];
    assert!(submit.encode(1, &mut out).is_err());
    assert_eq!(out, [1, 2, 3]);
}

#[test]
fn the_largest_command_fits() {
    let submit = Submit {
        claim: Some(Claim {
            session: u64::MAX,
            sequence: u64::MAX,
            settled: u64::MAX,
        }),
        application: "a".repeat(limits::NAME_BYTES_MAX),
        command: "c".repeat(limits::NAME_BYTES_MAX),
        version: u16::MAX,
        payload: Bytes::from(vec![0; limits::COMMAND_BYTES_MAX]),
    };
    FromClient::Submit(submit).encode(1, &mut Vec::new()).unwrap();
}

#[test]
fn an_unknown_code_keeps_its_name() {
    let mut out = Vec::new();
    encode(7, 1, &mut out, |out| {
        out.extend_from_slice(&[0xe7, 0x07]); // 999
        out.extend_from_slice(b"\x05novel\x04text\x00");
    })
    .unwrap();
    let raw = decode(&mut BytesMut::from(&out[..])).unwrap().unwrap();
    let FromServer::Error(error) = FromServer::decode(&raw).unwrap() else {
        panic!("not an error");
    };
    assert_eq!(
        (error.code, error.detail.as_str()),
        (Code::Unrecognised, "novel (code 999): text")
    );
}

/// Released bytes are read for ever: these may be added to, never changed.
#[test]
fn the_bytes_of_version_1() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let client = |frame: FromClient| {
        let mut out = Vec::new();
        frame.encode(2, &mut out).unwrap();
        hex(&out)
    };
    let server = |frame: FromServer| {
        let mut out = Vec::new();
        frame.encode(2, &mut out).unwrap();
        hex(&out)
    };
    let lines = [
        client(FromClient::Hello(Hello {
            version_min: 1,
            version_max: 2,
            cluster: Some(300),
            name: "me".into(),
            binary: "0.1".into(),
        })),
        client(FromClient::Submit(Submit {
            claim: Some(Claim {
                session: 5,
                sequence: 300,
                settled: 7,
            }),
            application: "ledger".into(),
            command: "open".into(),
            version: 1,
            payload: "{}".into(),
        })),
        client(FromClient::OpenSession),
        server(FromServer::HelloAnswer(HelloAnswer {
            version: 1,
            cluster: 300,
            node: 3,
            binary: "0.1".into(),
            leader_http: Some("h:1".into()),
            members_http: vec!["h:1".into(), "h:2".into()],
        })),
        server(FromServer::Reply(Reply {
            index: 9,
            outcome: Outcome::Applied("ok".into()),
        })),
        server(FromServer::Reply(Reply {
            index: 9,
            outcome: Outcome::Failed(Failure {
                code: Code::FuelExhausted,
                detail: "d".into(),
            }),
        })),
        server(FromServer::Reply(Reply {
            index: 9,
            outcome: Outcome::SessionExpired,
        })),
        server(FromServer::SessionOpened(300)),
        server(FromServer::Error(ErrorAnswer {
            code: Code::NotLeader,
            detail: "d".into(),
            leader_http: Some("h:1".into()),
        })),
    ];
    expect_test::expect_file!["version_1.hex"].assert_eq(&(lines.join("\n") + "\n"));
}

#[test]
fn versions_are_negotiated() {
    assert_eq!(negotiate(1, 1), Some(1));
    assert_eq!(negotiate(1, 9), Some(1));
    assert_eq!(negotiate(2, 9), None);
    assert_eq!(negotiate(0, 0), None);
    assert_eq!(negotiate(9, 1), None);
}

/// The first of the frames that `bytes` holds.
fn first(bytes: &[u8]) -> RawFrame {
    frames_of(bytes, bytes.len()).unwrap().remove(0)
}

#[test]
fn a_text_for_people_is_cut_where_it_is_encoded_and_refused_where_it_is_not() {
    for (letters, kept) in [
        (limits::DETAIL_BYTES_MAX, limits::DETAIL_BYTES_MAX),
        (limits::DETAIL_BYTES_MAX + 1, limits::DETAIL_BYTES_MAX),
    ] {
        let said = FromServer::Error(ErrorAnswer {
            code: Code::Internal,
            detail: "x".repeat(letters),
            leader_http: None,
        });
        let mut out = Vec::new();
        said.encode(0, &mut out).unwrap();
        match FromServer::decode(&first(&out)).unwrap() {
            FromServer::Error(error) => assert_eq!(error.detail.len(), kept),
            other => panic!("{other:?}"),
        }
    }
    // A body that another program wrote: code, then a text one byte longer than may be.
    for (bytes, fits) in [(limits::DETAIL_BYTES_MAX, true), (limits::DETAIL_BYTES_MAX + 1, false)] {
        let mut out = Vec::new();
        encode(kind::ERROR, 0, &mut out, |out| {
            reader::put_varint(Code::Internal.number().into(), out);
            reader::put_bytes(Code::Internal.name().as_bytes(), out);
            reader::put_bytes(&vec![b'x'; bytes], out);
            out.push(0);
        })
        .unwrap();
        assert_eq!(FromServer::decode(&first(&out)).is_ok(), fits, "{bytes}");
    }
}

#[test]
fn a_hello_names_no_more_addresses_than_may_be() {
    let hello = |count: usize| {
        FromServer::HelloAnswer(HelloAnswer {
            version: 1,
            cluster: 1,
            node: 1,
            binary: "0".into(),
            leader_http: None,
            members_http: vec!["127.0.0.1:1".into(); count],
        })
    };
    for count in [limits::HELLO_ADDRESSES_MAX, limits::HELLO_ADDRESSES_MAX + 1] {
        let mut out = Vec::new();
        hello(count).encode(0, &mut out).unwrap();
        match FromServer::decode(&first(&out)).unwrap() {
            FromServer::HelloAnswer(answer) => assert_eq!(answer.members_http.len(), limits::HELLO_ADDRESSES_MAX),
            other => panic!("{other:?}"),
        }
    }
    // A count that lies.
    let mut out = Vec::new();
    encode(kind::HELLO_ANSWER, 0, &mut out, |out| {
        for number in [1, 1, 1] {
            reader::put_varint(number, out);
        }
        reader::put_bytes(b"0", out);
        out.push(0);
        reader::put_varint(limits::HELLO_ADDRESSES_MAX as u64 + 1, out);
        (0..=limits::HELLO_ADDRESSES_MAX).for_each(|_| reader::put_bytes(b"a", out));
    })
    .unwrap();
    assert!(FromServer::decode(&first(&out)).is_err());
}
