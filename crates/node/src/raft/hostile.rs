//! What Raft's messages and records are read from, given bytes that no peer would send.

use bytes::Bytes;
use openraft::EntryPayload;
use proptest::prelude::*;
use store::log::Record;

use super::codec::*;
use super::types::{Entry, Membership, Payload, Types, Vote, to_log_id};
use crate::allocations::peak_bytes;
use crate::mutations::{cases, hostile};
use machine::{Index, Term};
use openraft::impls::BasicNode;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse};

/// An entry of the Raft crate takes some hundred bytes in memory, and room for 1,024 is made at most before they are seen.
fn may_hold(bytes: usize) -> usize {
    (512 << 10) + 256 * bytes
}

fn vote() -> Vote {
    Vote::new_committed(300, 2)
}

fn entries() -> Vec<Entry> {
    let nodes = [1, 2, 3].map(|id| (id, BasicNode::new(format!("127.0.0.1:{id}"))));
    let membership = Membership::new(
        vec![[1, 2, 3].into(), [1, 2].into()],
        std::collections::BTreeMap::from(nodes),
    );
    let payloads = [
        EntryPayload::Blank,
        EntryPayload::Normal(Payload(Bytes::from_static(b"an entry of the machine"))),
        EntryPayload::Membership(membership.expect("it is one")),
    ];
    let entry = |(index, payload)| Entry {
        log_id: to_log_id(Index(index), Term(300)).expect("an index"),
        payload,
    };
    (300..).zip(payloads).map(entry).collect()
}

fn append() -> Vec<u8> {
    let id = to_log_id(Index(299), Term(2));
    encode_append(AppendEntriesRequest::<Types> {
        vote: vote(),
        prev_log_id: id,
        entries: entries(),
        leader_commit: id,
    })
}

fn answers() -> Vec<Vec<u8>> {
    let id = to_log_id(Index(299), Term(2));
    let answers: [AppendEntriesResponse<Types>; 4] = [
        AppendEntriesResponse::Success,
        AppendEntriesResponse::PartialSuccess(id),
        AppendEntriesResponse::Conflict,
        AppendEntriesResponse::HigherVote(vote()),
    ];
    answers.iter().map(encode_append_answer).collect()
}

fn votes() -> Vec<Vec<u8>> {
    let id = to_log_id(Index(299), Term(2));
    vec![
        encode_vote(&VoteRequest::new(vote(), id)),
        encode_vote_answer(&VoteResponse::new(vote(), id, true)),
        encode_transfer(&TransferLeaderRequest::new(vote(), 3, id)),
    ]
}

fn records() -> Vec<Vec<u8>> {
    entries()
        .into_iter()
        .map(|entry| to_record(entry).payload.to_vec())
        .collect()
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn appends_are_read(bytes in hostile(vec![append()])) {
        let bytes = Bytes::from(bytes);
        let (decoded, peak) = peak_bytes(|| decode_append(&bytes));
        prop_assert!(peak <= may_hold(bytes.len()), "{peak} for {}", bytes.len());
        if let Ok(request) = decoded {
            let again = Bytes::from(encode_append(request));
            let twice = decode_append(&again).expect("what was written is read");
            prop_assert_eq!(encode_append(twice), again);
        }
    }

    #[test]
    fn answers_to_appends_are_read(bytes in hostile(answers())) {
        if let Ok(answer) = decode_append_answer(&bytes) {
            let again = encode_append_answer(&answer);
            let twice = decode_append_answer(&again).expect("what was written is read");
            prop_assert_eq!(encode_append_answer(&twice), again);
        }
    }

    #[test]
    fn votes_and_handovers_are_read(bytes in hostile(votes())) {
        if let Ok(request) = decode_vote(&bytes) {
            let again = encode_vote(&request);
            prop_assert_eq!(encode_vote(&decode_vote(&again).expect("read")), again);
        }
        if let Ok(answer) = decode_vote_answer(&bytes) {
            let again = encode_vote_answer(&answer);
            prop_assert_eq!(encode_vote_answer(&decode_vote_answer(&again).expect("read")), again);
        }
        if let Ok(request) = decode_transfer(&bytes) {
            let again = encode_transfer(&request);
            prop_assert_eq!(encode_transfer(&decode_transfer(&again).expect("read")), again);
        }
    }

    #[test]
    fn records_of_the_log_are_read(payload in hostile(records()), index in 0..3_u64, kind in 0..5_u8) {
        let record = Record {
            index: Index(index),
            term: Term(1),
            kind,
            payload: payload.into(),
        };
        if let Ok(entry) = from_record(record) {
            let again = to_record(entry);
            let twice = from_record(again.clone()).expect("what was written is read");
            prop_assert_eq!(to_record(twice), again);
        }
    }
}
