//! Calls to one peer: many at once over one connection, which is made when needed and made anew when lost.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use environment::channel::{mpsc, oneshot};
use environment::{Stream, timeout};
use machine::NodeId;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;

use super::Peers;
use super::frames::{self, Frame, Kind};
use crate::limits::PEER_CALLS_MAX;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was never sent.
    #[error("the peer cannot be reached: {0}")]
    Unreachable(io::Error),
    /// It was sent, and the answer was lost: it may have been carried out.
    #[error("the connection to the peer was lost before its answer came")]
    Lost,
    /// No answer within the time allowed: it may have been carried out.
    #[error("the peer did not answer within {} ms", .0.as_millis())]
    Slow(Duration),
    /// The peer answered that it cannot, and did nothing.
    #[error("the peer answered: {0}")]
    Failed(String),
}

type Waiting = Arc<Mutex<Option<BTreeMap<u64, oneshot::Sender<Frame>>>>>;

/// Calls to one peer.
#[derive(Clone)]
pub struct Caller {
    peers: Peers,
    target: NodeId,
    otherwise: String,
    connection: Arc<Mutex<Option<Connection>>>,
}

#[derive(Clone)]
struct Connection {
    frames: mpsc::Sender<Frame>,
    waiting: Waiting,
    next_id: Arc<AtomicU64>,
}

impl Caller {
    /// To `target`, at the address it registered, or at `otherwise`.
    pub fn new(peers: Peers, target: NodeId, otherwise: String) -> Caller {
        Caller {
            peers,
            target,
            otherwise,
            connection: Arc::default(),
        }
    }

    /// Makes a call and waits for its answer.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn call(&self, kind: Kind, body: Vec<u8>, limit: Duration) -> Result<Bytes, Error> {
        let environment = self.peers.environment().clone();
        match timeout(&environment, limit, self.exchange(kind, body.into())).await {
            Ok(answer) => answer,
            Err(_) => {
                // It may be dead without saying so: the next call makes a new one, and this one's ends with its calls.
                self.connection.lock().take();
                Err(Error::Slow(limit))
            }
        }
    }

    async fn exchange(&self, kind: Kind, body: Bytes) -> Result<Bytes, Error> {
        let connection = self.connection().await.map_err(Error::Unreachable)?;
        let id = connection.next_id.fetch_add(1, Ordering::Relaxed);
        let (answer, wait) = oneshot::channel();
        let refused = || Error::Unreachable(io::ErrorKind::NotConnected.into());
        match connection.waiting.lock().as_mut() {
            Some(waiting) if waiting.len() < PEER_CALLS_MAX => waiting.insert(id, answer),
            Some(_) | None => return Err(refused()),
        };
        connection
            .frames
            .send(Frame { kind, id, body })
            .await
            .map_err(|_| refused())?;
        let answer = wait.await.map_err(|_| Error::Lost)?;
        match answer.kind {
            Kind::Answer => Ok(answer.body),
            _ => Err(Error::Failed(String::from_utf8_lossy(&answer.body).into_owned())),
        }
    }

    async fn connection(&self) -> io::Result<Connection> {
        let alive = self
            .connection
            .lock()
            .clone()
            .filter(|connection| connection.waiting.lock().is_some());
        if let Some(connection) = alive {
            return Ok(connection);
        }
        let stream = self.peers.connect(self.target, &self.otherwise).await?;
        let connection = Connection::start(&self.peers, stream);
        *self.connection.lock() = Some(connection.clone());
        Ok(connection)
    }
}

impl Connection {
    fn start(peers: &Peers, stream: Box<dyn Stream>) -> Connection {
        let (mut read, mut write) = tokio::io::split(stream);
        let (frames, mut outgoing) = mpsc::channel::<Frame>(PEER_CALLS_MAX);
        let waiting: Waiting = Arc::new(Mutex::new(Some(BTreeMap::new())));
        let connection = Connection {
            frames,
            waiting: waiting.clone(),
            next_id: Arc::default(),
        };
        peers.environment().spawn("peer calls, out", async move {
            let mut out = BytesMut::new();
            while let Some(frame) = outgoing.recv().await {
                frames::put(&frame, &mut out);
                while let Ok(frame) = outgoing.try_recv() {
                    frames::put(&frame, &mut out);
                }
                if write.write_all(&out).await.is_err() || write.flush().await.is_err() {
                    break;
                }
                out.clear();
            }
            write.shutdown().await.ok();
        });
        peers.environment().spawn("peer calls, in", async move {
            while let Ok(Some(frame)) = frames::read(&mut read).await {
                let caller = waiting.lock().as_mut().and_then(|waiting| waiting.remove(&frame.id));
                if let Some(caller) = caller {
                    caller.send(frame).ok();
                }
            }
            // Dropping those who wait tells them that their answers are lost.
            waiting.lock().take();
        });
        connection
    }
}
