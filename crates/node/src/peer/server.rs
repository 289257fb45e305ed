//! Answers peers: greets each connection, then its calls.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use environment::channel::{Semaphore, mpsc};
use environment::{Listener, Stream, timeout};
use machine::codec::Codec;
use machine::{ClusterId, Pending};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::{debug, warn};

use super::Peers;
use super::frames::{self, Frame, Hello, Kind, MAGIC, VERSION_MAX, VERSION_MIN, Welcome};
use crate::limits::{PEER_CALLS_MAX, PEER_CONNECTIONS_MAX, PEER_HELLO_TIMEOUT};
use crate::published::Published;
use crate::raft::PeerService;

/// Answers the calls that are not the Raft crate's.
pub trait Calls: Send + Sync {
    /// The answer, or a text for the caller when nothing was done.
    fn answer(&self, kind: Kind, body: Bytes) -> Pending<'_, Result<Vec<u8>, String>>;
}

/// What peers talk to.
#[derive(Clone)]
pub struct Server {
    /// Who this is, and whom they must mean.
    pub peers: Peers,
    /// Raft.
    pub raft: PeerService,
    /// The rest.
    pub calls: Arc<dyn Calls>,
    /// Closed when the node stops.
    pub stop: Arc<Published>,
}

impl Server {
    /// Accepts connections for as long as the node lives.
    pub async fn run(self, listener: Box<dyn Listener>) {
        let environment = self.peers.environment().clone();
        let places = Arc::new(Semaphore::new(PEER_CONNECTIONS_MAX));
        loop {
            // Never closed, so a place comes as soon as a connection ends.
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            let accepted = {
                let (accept, stop) = (listener.accept(), self.stop.stop.closed());
                futures::pin_mut!(accept, stop);
                match futures::future::select(accept, stop).await {
                    futures::future::Either::Left((accepted, _)) => accepted,
                    futures::future::Either::Right(_) => return,
                }
            };
            match accepted {
                Ok((stream, from)) => {
                    let server = self.clone();
                    environment.spawn("peer connection", async move {
                        let (connection, stop) = (server.connection(stream), server.stop.stop.closed());
                        futures::pin_mut!(connection, stop);
                        if let futures::future::Either::Left((Err(error), _)) =
                            futures::future::select(connection, stop).await
                        {
                            match error.kind() {
                                // The leader tries again all the while; that the disk is full is told where it is seen.
                                io::ErrorKind::StorageFull => {
                                    debug!(%from, %error, "a connection on the peer port ended")
                                }
                                _ => warn!(%from, %error, "a connection on the peer port ended"),
                            }
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    warn!(%error, "could not accept a connection on the peer port");
                    environment.sleep(std::time::Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn connection(&self, mut stream: Box<dyn Stream>) -> io::Result<()> {
        let greeted = timeout(self.peers.environment(), PEER_HELLO_TIMEOUT, self.greet(&mut stream)).await;
        let hello = greeted.map_err(|_| invalid("no hello came in time"))??;
        debug!(node = %hello.node, "a peer is connected");
        self.peers.heard(&hello);
        let (mut read, write) = tokio::io::split(stream);
        match frames::read(&mut read).await? {
            Some(first) if first.kind == Kind::AppendStream => self.raft.append_stream(first, read, write).await,
            Some(first) => self.answer_calls(first, read, write).await,
            None => Ok(()),
        }
    }

    async fn greet(&self, stream: &mut Box<dyn Stream>) -> io::Result<Hello> {
        let mut magic = [0; 8];
        stream.read_exact(&mut magic).await?;
        if &magic != MAGIC {
            return Err(invalid(
                "what came is not the peer protocol: is a client using the peer port?",
            ));
        }
        let hello = match frames::read(stream).await? {
            Some(frame) if frame.kind == Kind::Hello => {
                Hello::from_bytes(&frame.body).map_err(|error| invalid(&error.to_string()))?
            }
            Some(_) | None => return Err(invalid("the first frame is no hello")),
        };
        if let Some(refusal) = self.refusal(&hello) {
            let body = Bytes::from(refusal.clone());
            frames::write(
                stream,
                &Frame {
                    kind: Kind::Refusal,
                    id: 0,
                    body,
                },
            )
            .await?;
            return Err(invalid(&refusal));
        }
        let version = hello.version_max.min(VERSION_MAX);
        let welcome = Welcome {
            version,
            cluster: self.peers.cluster(),
            node: self.peers.node(),
        };
        frames::write(
            stream,
            &Frame {
                kind: Kind::Welcome,
                id: 0,
                body: welcome.to_bytes().into(),
            },
        )
        .await?;
        Ok(hello)
    }

    fn refusal(&self, hello: &Hello) -> Option<String> {
        if hello.version_min > VERSION_MAX || hello.version_max < VERSION_MIN {
            return Some(format!(
                "this node speaks versions {VERSION_MIN} to {VERSION_MAX} of the peer protocol, the caller {} to {}: \
                 run binaries that have one in common",
                hello.version_min, hello.version_max
            ));
        }
        // A node that is about to join has no cluster yet.
        let stranger = hello.cluster != ClusterId(0) && hello.cluster != self.peers.cluster();
        stranger.then(|| {
            format!(
                "this node belongs to cluster {:x}, the caller to cluster {:x}",
                self.peers.cluster().0,
                hello.cluster.0
            )
        })
    }

    async fn answer_calls(
        &self,
        first: Frame,
        mut read: tokio::io::ReadHalf<Box<dyn Stream>>,
        mut write: tokio::io::WriteHalf<Box<dyn Stream>>,
    ) -> io::Result<()> {
        let (answers, mut outgoing) = mpsc::channel::<Frame>(PEER_CALLS_MAX);
        self.peers.environment().spawn("peer answers", async move {
            let mut out = BytesMut::new();
            while let Some(frame) = outgoing.recv().await {
                frames::put(&frame, &mut out);
                while let Ok(frame) = outgoing.try_recv() {
                    frames::put(&frame, &mut out);
                }
                if write.write_all(&out).await.is_err() || write.flush().await.is_err() {
                    return;
                }
                out.clear();
            }
            write.shutdown().await.ok();
        });
        let places = Arc::new(Semaphore::new(PEER_CALLS_MAX));
        let mut next = Some(first);
        while let Some(frame) = next {
            let Ok(place) = places.clone().acquire_owned().await else {
                return Ok(());
            };
            let (server, answers) = (self.clone(), answers.clone());
            self.peers.environment().spawn("peer call", async move {
                let answer = server.answer(frame).await;
                // A caller that has gone has no use for its answer.
                answers.send(answer).await.ok();
                drop(place);
            });
            next = frames::read(&mut read).await?;
        }
        Ok(())
    }

    async fn answer(&self, frame: Frame) -> Frame {
        let answered = match frame.kind {
            Kind::Append | Kind::Vote | Kind::PreVote | Kind::TransferLeader => {
                self.raft.answer(frame.kind, frame.body).await
            }
            Kind::ReadIndex
            | Kind::Propose
            | Kind::Join
            | Kind::SnapshotOffer
            | Kind::SnapshotHeader
            | Kind::SnapshotRead
            | Kind::Front
            | Kind::WhoLeads => self.calls.answer(frame.kind, frame.body).await,
            Kind::Hello | Kind::Welcome | Kind::Refusal | Kind::AppendStream | Kind::Answer | Kind::Failed => {
                Err("a frame of this kind cannot stand here".to_owned())
            }
        };
        match answered {
            Ok(body) => Frame {
                kind: Kind::Answer,
                id: frame.id,
                body: body.into(),
            },
            Err(text) => Frame {
                kind: Kind::Failed,
                id: frame.id,
                body: text.into_bytes().into(),
            },
        }
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.to_owned())
}
