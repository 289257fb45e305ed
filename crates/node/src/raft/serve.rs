//! Answers other members' Raft calls.

use std::io;

use bytes::{Bytes, BytesMut};
use environment::channel::mpsc;
use futures::StreamExt;
use openraft::raft::AppendEntriesRequest;
use openraft::raft::AppendEntriesResponse;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::codec;
use super::group::Group;
use super::types::Types;
use crate::condition::Condition;
use crate::peer::frames::{self, Frame, Kind};
use crate::room::Room;

/// How many appends of one stream may wait for this node's log.
const APPENDS_WAITING: usize = 64;

/// Answers other members' Raft calls.
#[derive(Clone)]
pub struct PeerService {
    group: Group,
    condition: Condition,
    room: Room,
}

impl PeerService {
    /// For a node's group.
    pub fn new(group: Group, condition: Condition, room: Room) -> PeerService {
        PeerService { group, condition, room }
    }

    /// A node that has forgotten entries it had promised to keep has no voice before it holds them again.
    fn may_vote(&self) -> Result<(), String> {
        match self.condition.votes_from() {
            None => Ok(()),
            Some(from) => Err(format!(
                "this node was rebuilt and does not vote before its log holds entry {from}"
            )),
        }
    }

    /// Answers one call.
    ///
    /// # Errors
    /// A text for the caller: nothing was done.
    pub async fn answer(&self, kind: Kind, body: Bytes) -> Result<Vec<u8>, String> {
        let raft = self.group.handle();
        let text = |error: &dyn std::fmt::Display| error.to_string();
        match kind {
            Kind::Append => {
                let request = codec::decode_append(&body).map_err(|error| text(&error))?;
                if !request.entries.is_empty() && !self.room.holds() {
                    return Err("the disk is full: no entries are taken until there is room".to_owned());
                }
                let answer = raft.append_entries(request).await.map_err(|error| text(&error))?;
                Ok(codec::encode_append_answer(&answer))
            }
            Kind::Vote | Kind::PreVote => {
                self.may_vote()?;
                let request = codec::decode_vote(&body).map_err(|error| text(&error))?;
                let measures = &self.group.measures().raft;
                let (answer, counted) = match kind {
                    Kind::PreVote => (raft.pre_vote(request).await, &measures.pre_votes),
                    _ => (raft.vote(request).await, &measures.votes),
                };
                let answer = answer.map_err(|error| text(&error))?;
                counted[usize::from(answer.vote_granted)].increment();
                Ok(codec::encode_vote_answer(&answer))
            }
            Kind::TransferLeader => {
                self.may_vote()?;
                let request = codec::decode_transfer(&body).map_err(|error| text(&error))?;
                let answer = raft
                    .handle_transfer_leader(request)
                    .await
                    .map_err(|error| text(&error))?;
                Ok(vec![u8::from(answer.is_ok())])
            }
            Kind::Hello
            | Kind::Welcome
            | Kind::Refusal
            | Kind::AppendStream
            | Kind::ReadIndex
            | Kind::Propose
            | Kind::Join
            | Kind::SnapshotOffer
            | Kind::SnapshotHeader
            | Kind::SnapshotRead
            | Kind::Front
            | Kind::WhoLeads
            | Kind::Answer
            | Kind::Failed => Err("not a Raft call".to_owned()),
        }
    }

    /// Serves a stream of appends, whose first is at hand, until it ends: each answered when it is durable here, in order.
    ///
    /// # Errors
    /// The connection failed or garbage came; the connection must end.
    pub async fn append_stream(
        &self,
        first: Frame,
        read: impl AsyncRead + Unpin + Send,
        mut write: impl AsyncWrite + Unpin + Send,
    ) -> io::Result<()> {
        let (requests, waiting) = mpsc::channel::<AppendEntriesRequest<Types>>(APPENDS_WAITING);
        let waiting = futures::stream::unfold(waiting, |mut waiting| async move {
            let next = waiting.recv().await?;
            Some((next, waiting))
        });
        let mut answers = std::pin::pin!(self.group.handle().stream_append(waiting));
        let incoming = take_in(first, read, requests, &self.room);
        let outgoing = async {
            let mut out = BytesMut::new();
            while let Some(answer) = answers.next().await {
                let answer = answer.map_err(io::Error::other)?;
                let body = match answer {
                    Ok(matched) => codec::encode_append_answer(&AppendEntriesResponse::PartialSuccess(matched)),
                    refused @ Err(_) => codec::encode_append_answer(&refused.into()),
                };
                frames::put(
                    &Frame {
                        kind: Kind::Answer,
                        id: 0,
                        body: body.into(),
                    },
                    &mut out,
                );
                write.write_all(&out).await?;
                write.flush().await?;
                out.clear();
            }
            write.shutdown().await
        };
        futures::pin_mut!(incoming, outgoing);
        match futures::future::select(incoming, outgoing).await {
            // The caller sends no more: answer what is still under way.
            futures::future::Either::Left((Ok(()), outgoing)) => outgoing.await,
            futures::future::Either::Left((Err(error), _)) => Err(error),
            futures::future::Either::Right((ended, _)) => ended,
        }
    }
}

async fn take_in(
    first: Frame,
    mut read: impl AsyncRead + Unpin,
    requests: mpsc::Sender<AppendEntriesRequest<Types>>,
    room: &Room,
) -> io::Result<()> {
    let mut frame = first;
    loop {
        if frame.kind != Kind::AppendStream {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a frame of another kind in an append stream",
            ));
        }
        let request = codec::decode_append(&frame.body)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        // What only shows that the leader lives needs no room.
        if !request.entries.is_empty() && !room.holds() {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "the disk is full: no entries are taken until there is room",
            ));
        }
        if requests.send(request).await.is_err() {
            return Ok(());
        }
        match frames::read(&mut read).await? {
            Some(next) => frame = next,
            None => return Ok(()),
        }
    }
}
