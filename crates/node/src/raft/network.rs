//! The Raft crate's network over our peer protocol.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use environment::channel::mpsc;
use environment::{Clock, Moment, Stream, timeout};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use machine::codec::{Codec, Error as CodecError};
use machine::{Index, NodeId};
use openraft::OptionalSend;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::impls::BasicNode;
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2, stream_append_sequential};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use store::snapshot::Header;
use tokio::io::{AsyncWriteExt, WriteHalf};

use super::codec;
use super::types::{LogId, Types};
use crate::calls::Offer;
use crate::limits::{PEER_APPEND_TIMEOUT, PEER_CALL_TIMEOUT, SNAPSHOT_OFFER_TIME, SNAPSHOT_POLL};
use crate::measures::PeerMeasures;
use crate::peer::Peers;
use crate::peer::caller::{self, Caller};
use crate::peer::frames::{self, Frame, Kind};

type Rpc<T> = Result<T, RPCError<Types>>;
type Appended = Rpc<StreamAppendResult<Types>>;
/// What a request covers: the entry before its first, and its last.
type Range = (Option<LogId>, Option<LogId>);

/// Makes the connections to other members.
pub struct NetworkFactory(pub Peers);

impl RaftNetworkFactory<Types> for NetworkFactory {
    type Network = Network;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Network {
        Network::new(&self.0, target, node, true)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &BasicNode) -> Network {
        Network::new(&self.0, target, node, false)
    }
}

/// Talks to one member, for one use: entries and heartbeats never wait for each other.
pub struct Network {
    peers: Peers,
    target: NodeId,
    address: String,
    caller: Caller,
    /// Entries go one behind the other on a connection of their own.
    pipelined: bool,
    measures: Arc<PeerMeasures>,
}

impl Network {
    fn new(peers: &Peers, target: u64, node: &BasicNode, pipelined: bool) -> Network {
        let (target, address) = (NodeId(target), node.addr.clone());
        let caller = Caller::new(peers.clone(), target, address.clone());
        Network {
            peers: peers.clone(),
            measures: peers.measures().peers.of(target, peers.environment().clock.now()),
            target,
            address,
            caller,
            pipelined,
        }
    }

    async fn call(&self, rpc: RPCTypes, kind: Kind, body: Vec<u8>, limit: Duration) -> Rpc<bytes::Bytes> {
        let answer = self.caller.call(kind, body, limit).await;
        match &answer {
            Ok(_) | Err(caller::Error::Failed(_)) => self.measures.reached(self.now()),
            Err(error) => self.measures.failed(self.now(), error),
        }
        answer.map_err(|error| match error {
            caller::Error::Unreachable(error) => Unreachable::new(&error).into(),
            caller::Error::Lost | caller::Error::Failed(_) => NetworkError::new(&error).into(),
            caller::Error::Slow(timeout) => {
                let (id, target) = (self.peers.node().0, self.target.0);
                Timeout {
                    action: rpc,
                    id,
                    target,
                    timeout,
                }
                .into()
            }
        })
    }

    fn now(&self) -> Moment {
        self.peers.environment().clock.now()
    }

    /// Sends requests as they come and gives the answers as they come, in the same order.
    async fn pipeline<'s, S>(&'s self, mut input: S) -> Rpc<BoxStream<'s, Appended>>
    where
        S: futures::Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        // After a failure the Raft crate pauses where it makes its next request. Connecting before that would try a peer
        // that is down again and again, as fast as the machine can.
        let Some(first) = input.next().await else {
            return Ok(Box::pin(futures::stream::empty()));
        };
        let stream = self
            .peers
            .connect(self.target, &self.address)
            .await
            .inspect_err(|error| self.measures.failed(self.now(), error))
            .map_err(|error| Unreachable::new(&error))?;
        let (read, write) = tokio::io::split(stream);
        let (sent, ranges) = mpsc::unbounded_channel();
        let clock = self.peers.environment().clock.clone();
        let requests = futures::stream::iter([first]).chain(input);
        let mut sending = Box::pin(send_appends(requests, write, sent, clock).fuse());
        let state = (read, ranges, false);
        let (environment, measures) = (self.peers.environment().clone(), self.measures.clone());
        let answers = futures::stream::unfold(state, move |(mut read, mut ranges, ended)| {
            let (environment, measures) = (environment.clone(), measures.clone());
            async move {
                if ended {
                    return None;
                }
                let (range, sent_at) = ranges.recv().await?;
                let answer = timeout(&environment, PEER_APPEND_TIMEOUT, frames::read(&mut read)).await;
                let answer = match answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                    Ok(Some(frame)) if frame.kind == Kind::Answer => {
                        codec::decode_append_answer(&frame.body).map_err(|error| garbled(&error))
                    }
                    Ok(Some(frame)) => Err(NetworkError::from_string(String::from_utf8_lossy(&frame.body)).into()),
                    Ok(None) => Err(NetworkError::from_string("the peer closed the append stream").into()),
                    Err(error) => Err(NetworkError::new(&error).into()),
                };
                match &answer {
                    Ok(_) => measures.appended(sent_at, environment.clock.now()),
                    Err(error) => measures.failed(environment.clock.now(), error),
                }
                let answer = answer.and_then(|answer| in_range(answer, range));
                let ended = !matches!(answer, Ok(Ok(_)));
                Some((answer, (read, ranges, ended)))
            }
        });
        let mut answers = Box::pin(answers);
        // Sent by whoever takes the answers, and not by a task of its own: once they fail, the Raft crate may purge what a
        // further request would have to read.
        Ok(Box::pin(futures::stream::poll_fn(move |context| {
            let _ = sending.poll_unpin(context);
            answers.poll_next_unpin(context)
        })))
    }

    /// Shows the other node that this one leads with `vote`: gives that, or the higher one that the other node knows.
    async fn vote_of_peer(&mut self, vote: VoteOf<Types>) -> Rpc<VoteOf<Types>> {
        let shown = AppendEntriesRequest {
            vote,
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        };
        match self.append_entries(shown, RPCOption::new(PEER_CALL_TIMEOUT)).await? {
            AppendEntriesResponse::HigherVote(higher) => Ok(higher),
            AppendEntriesResponse::Success
            | AppendEntriesResponse::PartialSuccess(_)
            | AppendEntriesResponse::Conflict => Ok(vote),
        }
    }
}

/// Sends requests as they come, and says of each what it covers and when it went.
async fn send_appends(
    requests: impl futures::Stream<Item = AppendEntriesRequest<Types>> + Unpin,
    mut write: WriteHalf<Box<dyn Stream>>,
    sent: mpsc::UnboundedSender<(Range, Moment)>,
    clock: Arc<dyn Clock>,
) {
    futures::pin_mut!(requests);
    let mut out = BytesMut::new();
    while let Some(request) = requests.next().await {
        let range = (range_of(&request), clock.now());
        let frame = Frame {
            kind: Kind::AppendStream,
            id: 0,
            body: codec::encode_append(request).into(),
        };
        frames::put(&frame, &mut out);
        if sent.send(range).is_err() || write.write_all(&out).await.is_err() || write.flush().await.is_err() {
            break;
        }
        out.clear();
    }
    // Tells the other side that nothing more comes.
    write.shutdown().await.ok();
}

fn range_of(request: &AppendEntriesRequest<Types>) -> Range {
    let last = request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id);
    (request.prev_log_id, last)
}

/// An answer as the Raft crate wants it. A conflict with nothing before is no answer that a sound peer gives.
fn in_range(answer: AppendEntriesResponse<Types>, range: Range) -> Appended {
    if answer.is_conflict() && range.0.is_none() {
        return Err(NetworkError::from_string("the peer reports a conflict with nothing").into());
    }
    Ok(answer.into_stream_result(range.0, range.1))
}

fn garbled(error: &CodecError) -> RPCError<Types> {
    NetworkError::new(error).into()
}

impl RaftNetworkV2<Types> for Network {
    type SnapshotData = Arc<Header>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<Types>> {
        let heartbeat = rpc.entries.is_empty().then(|| self.now());
        let body = codec::encode_append(rpc);
        let answer = self
            .call(RPCTypes::AppendEntries, Kind::Append, body, option.hard_ttl())
            .await?;
        if let Some(sent_at) = heartbeat {
            self.measures.heartbeat.time(self.now() - sent_at);
        }
        codec::decode_append_answer(&answer).map_err(|error| garbled(&error))
    }

    fn stream_append<'s, S>(&'s mut self, input: S, option: RPCOption) -> BoxFuture<'s, Rpc<BoxStream<'s, Appended>>>
    where
        S: futures::Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        if self.pipelined {
            Box::pin(self.pipeline(input))
        } else {
            stream_append_sequential(self, input, option)
        }
    }

    async fn vote(&mut self, rpc: VoteRequest<Types>, option: RPCOption) -> Rpc<VoteResponse<Types>> {
        let answer = self
            .call(RPCTypes::Vote, Kind::Vote, codec::encode_vote(&rpc), option.hard_ttl())
            .await?;
        codec::decode_vote_answer(&answer).map_err(|error| garbled(&error))
    }

    async fn pre_vote(&mut self, rpc: VoteRequest<Types>, option: RPCOption) -> Rpc<VoteResponse<Types>> {
        let answer = self
            .call(
                RPCTypes::Vote,
                Kind::PreVote,
                codec::encode_vote(&rpc),
                option.hard_ttl(),
            )
            .await?;
        codec::decode_vote_answer(&answer).map_err(|error| garbled(&error))
    }

    /// The other node takes the snapshot itself, starts again with it, and is asked until it has. It may have it from
    /// another leader: the answer counts as its word that this one leads still, so its vote is asked for as well.
    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        snapshot: SnapshotOf<Types, Arc<Header>>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let index = snapshot.snapshot.index;
        let offer = Offer {
            index,
            from: self.peers.here().to_owned(),
        };
        let environment = self.peers.environment().clone();
        // The same snapshot for a while, also while the node starts again: with a newer one each time it might never end.
        let until = environment.clock.now() + SNAPSHOT_OFFER_TIME;
        futures::pin_mut!(cancel);
        loop {
            let asked = self
                .caller
                .call(Kind::SnapshotOffer, offer.to_bytes(), PEER_CALL_TIMEOUT);
            let answer = {
                futures::pin_mut!(asked);
                match futures::future::select(asked, &mut cancel).await {
                    futures::future::Either::Left((answer, _)) => answer,
                    futures::future::Either::Right((closed, _)) => return Err(closed.into()),
                }
            };
            match answer {
                Ok(answer) => {
                    let applied = Index::from_bytes(&answer).map_err(|error| NetworkError::new(&error))?;
                    if applied >= index {
                        return Ok(SnapshotResponse::new(self.vote_of_peer(vote).await?));
                    }
                }
                Err(error) if environment.clock.now() >= until => return Err(Unreachable::new(&error).into()),
                Err(_) => {}
            }
            let pause = environment.sleep(SNAPSHOT_POLL);
            futures::pin_mut!(pause);
            if let futures::future::Either::Right((closed, _)) = futures::future::select(pause, &mut cancel).await {
                return Err(closed.into());
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Rpc<TransferLeaderResponse<Types>> {
        let body = codec::encode_transfer(&req);
        let answer = self
            .call(RPCTypes::TransferLeader, Kind::TransferLeader, body, option.hard_ttl())
            .await?;
        // 1: accepted; 0: the peer's log or vote has moved on.
        Ok(match answer.first() {
            Some(1) => Ok(()),
            Some(_) | None => {
                let expected = req.last_log_id().copied();
                Err(TransferLeaderError::LogNotFlushed { expected, actual: None })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use environment::real;
    use machine::ClusterId;
    use openraft::Snapshot;

    use super::*;
    use crate::measures::Measures;
    use crate::peer::frames::Welcome;

    const CLUSTER: ClusterId = ClusterId(7);

    /// Answers as node 2 that has every snapshot, and was told by a leader with `vote`.
    async fn answer_calls(mut stream: Box<dyn Stream>, vote: VoteOf<Types>) {
        let mut magic = [0; 8];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut magic)
            .await
            .expect("magic");
        while let Ok(Some(Frame { kind, id, body })) = frames::read(&mut stream).await {
            let (kind, body) = match kind {
                Kind::Hello => {
                    let welcome = Welcome {
                        version: frames::VERSION_MAX,
                        cluster: CLUSTER,
                        node: NodeId(2),
                    };
                    (Kind::Welcome, welcome.to_bytes())
                }
                Kind::SnapshotOffer => (
                    Kind::Answer,
                    Offer::from_bytes(&body).expect("an offer").index.to_bytes(),
                ),
                Kind::Append => {
                    let answer = AppendEntriesResponse::HigherVote(vote);
                    (Kind::Answer, codec::encode_append_answer(&answer))
                }
                other => panic!("nobody asks for {other:?} here"),
            };
            let frame = Frame {
                kind,
                id,
                body: body.into(),
            };
            frames::write(&mut stream, &frame).await.expect("it is read");
        }
    }

    /// The Raft crate takes what is returned for the other node's word that this one leads still, and answers reads on it.
    #[tokio::test]
    async fn a_node_that_has_the_offered_snapshot_from_another_leader_is_taken_at_its_vote() {
        let environment = real::environment();
        let (old, new) = (
            VoteOf::<Types>::new_committed(1, 1),
            VoteOf::<Types>::new_committed(2, 3),
        );
        let listener = environment.network.bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().to_string();
        let spawner = environment.clone();
        environment.spawn("peer", async move {
            while let Ok((stream, _)) = listener.accept().await {
                spawner.spawn("connection", answer_calls(stream, new));
            }
        });
        let measures = Arc::new(Measures::new(NodeId(1), environment.clock.clone()));
        let peers = Peers::new(environment, CLUSTER, "127.0.0.1:1".into(), Arc::default(), measures);
        let mut network = NetworkFactory(peers).new_client(2, &BasicNode::new(address)).await;
        let header = Header {
            index: Index(40),
            ..Header::default()
        };
        let snapshot = Snapshot {
            meta: Default::default(),
            snapshot: Arc::new(header),
        };
        let response = network.full_snapshot(
            old,
            snapshot,
            futures::future::pending(),
            RPCOption::new(Duration::from_secs(5)),
        );
        assert_eq!(response.await.expect("it answers").vote, new);
    }
}
