//! The bytes of the Raft crate's own types, in the log and between peers. Ours, and numbered, so that a new release of
//! the crate cannot change what lies on disk.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use machine::codec::{Codec, Error, Reader};
use openraft::EntryPayload;
use openraft::impls::{BasicNode, leader_id_std};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse};
use store::log::Record;

use super::types::{Entry, LogId, Membership, Payload, Types, Vote, from_log_id, to_log_id};

/// Kinds of log records.
const KIND_BLANK: u8 = 0;
const KIND_MACHINE: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

/// An entry as it lies in the log.
pub fn to_record(entry: Entry) -> Record {
    let (index, term) = from_log_id(&entry.log_id);
    let (kind, payload) = match entry.payload {
        EntryPayload::Blank => (KIND_BLANK, Bytes::new()),
        EntryPayload::Normal(Payload(bytes)) => (KIND_MACHINE, bytes),
        EntryPayload::Membership(membership) => (KIND_MEMBERSHIP, encode_membership(&membership)),
    };
    Record {
        index,
        term,
        kind,
        payload,
    }
}

/// An entry from the log.
pub fn from_record(record: Record) -> Result<Entry, Error> {
    let invalid = |what| Error::Invalid { at: 0, what };
    let log_id = to_log_id(record.index, record.term).ok_or(invalid("a record has index 0"))?;
    let payload = match record.kind {
        KIND_BLANK => EntryPayload::Blank,
        KIND_MACHINE => EntryPayload::Normal(Payload(record.payload)),
        KIND_MEMBERSHIP => EntryPayload::Membership(decode_membership(&record.payload)?),
        kind => {
            return Err(Error::Unknown {
                at: 0,
                what: "kind of log record",
                number: u64::from(kind),
            });
        }
    };
    Ok(Entry { log_id, payload })
}

fn encode_membership(membership: &Membership) -> Bytes {
    let mut out = Vec::new();
    membership.get_joint_config().clone().encode(&mut out);
    let nodes: BTreeMap<u64, String> = membership.nodes().map(|(id, node)| (*id, node.addr.clone())).collect();
    nodes.encode(&mut out);
    out.into()
}

fn decode_membership(bytes: &[u8]) -> Result<Membership, Error> {
    let mut reader = Reader::new(bytes);
    let configs: Vec<BTreeSet<u64>> = Codec::decode(&mut reader)?;
    let nodes: BTreeMap<u64, String> = Codec::decode(&mut reader)?;
    reader.end()?;
    let nodes: BTreeMap<u64, BasicNode> = nodes.into_iter().map(|(id, addr)| (id, BasicNode { addr })).collect();
    Membership::new(configs, nodes).map_err(|_| Error::Invalid {
        at: 0,
        what: "a membership contradicts itself",
    })
}

fn put_log_id(id: Option<&LogId>, out: &mut Vec<u8>) {
    let (index, term) = id.map(from_log_id).unwrap_or_default();
    index.encode(out);
    term.encode(out);
}

fn take_log_id(reader: &mut Reader<'_>) -> Result<Option<LogId>, Error> {
    let index = Codec::decode(reader)?;
    let term = Codec::decode(reader)?;
    Ok(to_log_id(index, term))
}

fn put_vote(vote: &Vote, out: &mut Vec<u8>) {
    vote.leader_id.term.encode(out);
    vote.leader_id.voted_for.encode(out);
    vote.committed.encode(out);
}

fn take_vote(reader: &mut Reader<'_>) -> Result<Vote, Error> {
    let leader_id = leader_id_std::LeaderId {
        term: Codec::decode(reader)?,
        voted_for: Codec::decode(reader)?,
    };
    Ok(Vote {
        leader_id,
        committed: Codec::decode(reader)?,
    })
}

pub fn encode_append(request: AppendEntriesRequest<Types>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    put_vote(&request.vote, &mut out);
    put_log_id(request.prev_log_id.as_ref(), &mut out);
    put_log_id(request.leader_commit.as_ref(), &mut out);
    (request.entries.len() as u64).encode(&mut out);
    for entry in request.entries {
        let record = to_record(entry);
        record.index.encode(&mut out);
        record.term.encode(&mut out);
        record.kind.encode(&mut out);
        record.payload.encode(&mut out);
    }
    out
}

/// Payloads share the frame's bytes.
pub fn decode_append(frame: &Bytes) -> Result<AppendEntriesRequest<Types>, Error> {
    let mut reader = Reader::new(frame);
    let vote = take_vote(&mut reader)?;
    let prev_log_id = take_log_id(&mut reader)?;
    let leader_commit = take_log_id(&mut reader)?;
    let count = reader.count()?;
    let mut entries = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        let (index, term, kind) = (
            Codec::decode(&mut reader)?,
            Codec::decode(&mut reader)?,
            Codec::decode(&mut reader)?,
        );
        let payload = frame.slice_ref(reader.bytes()?);
        entries.push(from_record(Record {
            index,
            term,
            kind,
            payload,
        })?);
    }
    reader.end()?;
    Ok(AppendEntriesRequest {
        vote,
        prev_log_id,
        entries,
        leader_commit,
    })
}

pub fn encode_append_answer(answer: &AppendEntriesResponse<Types>) -> Vec<u8> {
    let mut out = Vec::new();
    match answer {
        AppendEntriesResponse::Success => out.push(1),
        AppendEntriesResponse::PartialSuccess(id) => {
            out.push(2);
            put_log_id(id.as_ref(), &mut out);
        }
        AppendEntriesResponse::Conflict => out.push(3),
        AppendEntriesResponse::HigherVote(vote) => {
            out.push(4);
            put_vote(vote, &mut out);
        }
    }
    out
}

pub fn decode_append_answer(bytes: &[u8]) -> Result<AppendEntriesResponse<Types>, Error> {
    let mut reader = Reader::new(bytes);
    let answer = match reader.byte()? {
        1 => AppendEntriesResponse::Success,
        2 => AppendEntriesResponse::PartialSuccess(take_log_id(&mut reader)?),
        3 => AppendEntriesResponse::Conflict,
        4 => AppendEntriesResponse::HigherVote(take_vote(&mut reader)?),
        number => return Err(reader.unknown("answer to append", u64::from(number))),
    };
    reader.end()?;
    Ok(answer)
}

pub fn encode_vote(request: &VoteRequest<Types>) -> Vec<u8> {
    let mut out = Vec::new();
    put_vote(&request.vote, &mut out);
    put_log_id(request.last_log_id.as_ref(), &mut out);
    request.leadership_transfer.encode(&mut out);
    out
}

pub fn decode_vote(bytes: &[u8]) -> Result<VoteRequest<Types>, Error> {
    let mut reader = Reader::new(bytes);
    let mut request = VoteRequest::new(take_vote(&mut reader)?, take_log_id(&mut reader)?);
    request.leadership_transfer = Codec::decode(&mut reader)?;
    reader.end()?;
    Ok(request)
}

pub fn encode_vote_answer(answer: &VoteResponse<Types>) -> Vec<u8> {
    let mut out = Vec::new();
    put_vote(&answer.vote, &mut out);
    answer.vote_granted.encode(&mut out);
    put_log_id(answer.last_log_id.as_ref(), &mut out);
    out
}

pub fn decode_vote_answer(bytes: &[u8]) -> Result<VoteResponse<Types>, Error> {
    let mut reader = Reader::new(bytes);
    let vote = take_vote(&mut reader)?;
    let granted = Codec::decode(&mut reader)?;
    let last = take_log_id(&mut reader)?;
    reader.end()?;
    Ok(VoteResponse::new(vote, last, granted))
}

pub fn encode_transfer(request: &TransferLeaderRequest<Types>) -> Vec<u8> {
    let mut out = Vec::new();
    put_vote(request.from_leader(), &mut out);
    request.to_node_id().encode(&mut out);
    put_log_id(request.last_log_id(), &mut out);
    out
}

pub fn decode_transfer(bytes: &[u8]) -> Result<TransferLeaderRequest<Types>, Error> {
    let mut reader = Reader::new(bytes);
    let (from, to, last) = (
        take_vote(&mut reader)?,
        Codec::decode(&mut reader)?,
        take_log_id(&mut reader)?,
    );
    reader.end()?;
    Ok(TransferLeaderRequest::new(from, to, last))
}
