//! What peers send, given bytes that no peer would: each decoder answers without a panic and without allocating more than
//! the bytes account for, and what it accepts it writes again with the same meaning.

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use machine::codec::Codec;
use machine::{ClusterId, Level, NodeId};
use proptest::prelude::*;

use crate::allocations::peak_bytes;
use crate::calls::Proposed;
use crate::limits::PEER_FRAME_BYTES_MAX;
use crate::mutations::{cases, hostile};
use crate::peer::frames::{self, Frame, Hello, Kind, Welcome};

/// What a decoder may hold for each byte that is there. A frame's body is asked for in one piece of a megabyte at most.
fn may_hold(bytes: usize) -> usize {
    (1 << 20) + (8 << 10) + 64 * bytes
}

fn hello() -> Hello {
    Hello {
        version_min: 1,
        version_max: 1,
        cluster: ClusterId(300),
        node: NodeId(2),
        level_max: Level(1),
        peer_address: "127.0.0.1:7571".into(),
    }
}

fn welcome() -> Welcome {
    Welcome {
        version: 1,
        cluster: ClusterId(300),
        node: NodeId(1),
    }
}

fn streams() -> Vec<Vec<u8>> {
    let bodies = [
        (Kind::Hello, hello().to_bytes()),
        (Kind::Welcome, welcome().to_bytes()),
        (Kind::Refusal, b"no".to_vec()),
        (Kind::Append, vec![7; 300]),
    ];
    let mut all = BytesMut::new();
    let mut streams = Vec::new();
    for (kind, body) in bodies {
        let mut one = BytesMut::new();
        let body = Bytes::from(body);
        frames::put(&Frame { kind, id: 300, body }, &mut one);
        all.extend_from_slice(&one);
        streams.push(one.to_vec());
    }
    streams.push(all.to_vec());
    streams
}

/// The frames that stand in `bytes`, and whether the connection would have to end.
fn read_all(mut bytes: &[u8]) -> (Vec<Frame>, bool) {
    let mut found = Vec::new();
    loop {
        // Bytes in memory never make a reader wait.
        match frames::read(&mut bytes).now_or_never() {
            Some(Ok(Some(frame))) => found.push(frame),
            Some(Ok(None)) => return (found, false),
            Some(Err(_)) | None => return (found, true),
        }
    }
}

/// With the checksum that the first frame would have: else few come past it.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = bytes
        .first_chunk::<4>()
        .map(|length| u32::from_le_bytes(*length) as usize);
    if let Some(frame) = length.and_then(|length| bytes.get(8..length.checked_add(4)?)) {
        let checksum = crc32c::crc32c(frame);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    }
    bytes
}

fn check<T: Codec + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(value) = T::from_bytes(bytes) {
        prop_assert_eq!(T::from_bytes(&value.to_bytes()), Ok(value));
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn frames_are_read(bytes in hostile(streams()), reseal: bool) {
        let bytes = if reseal { resealed(bytes) } else { bytes };
        let ((found, _), peak) = peak_bytes(|| read_all(&bytes));
        prop_assert!(peak <= may_hold(bytes.len()), "{peak} for {}", bytes.len());
        let mut again = BytesMut::new();
        for frame in &found {
            prop_assert!(frame.body.len() <= PEER_FRAME_BYTES_MAX);
            frames::put(frame, &mut again);
        }
        prop_assert!(bytes.starts_with(&again), "what was read is what stands there");
    }

    #[test]
    fn first_frames_are_read(bytes in hostile(vec![hello().to_bytes(), welcome().to_bytes()])) {
        check::<Hello>(&bytes)?;
        check::<Welcome>(&bytes)?;
    }

    #[test]
    fn answers_to_proposals_are_read(bytes in hostile(vec![
        Proposed::Done(machine::Index(300)).to_bytes(),
        Proposed::Registered(NodeId(3)).to_bytes(),
        Proposed::Refused("no".into()).to_bytes(),
    ])) {
        check::<Proposed>(&bytes)?;
    }
}
