//! One connection of the framed protocol: made, read and written by tasks of its own, which speak to the driver.

use bytes::BytesMut;
use environment::channel::{mpsc, oneshot};
use environment::{Environment, Moment, Stream, timeout};
use futures::future::{Either, select};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::Event;
use crate::limits;
use crate::wire::frames::{self, FromClient, FromServer, Hello, HelloAnswer};

/// Number of a connection, never used again by its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinkId(pub(super) u64);

/// A connection in use, as the driver sees it. Dropping it ends its tasks and closes the socket.
pub(super) struct Link {
    pub(super) address: String,
    /// Frames to be written; bounded by the requests in flight, since each is sent once on a link before it is
    /// answered.
    out: mpsc::UnboundedSender<Vec<u8>>,
    /// Frames encoded and not yet handed to the writer.
    buffer: Vec<u8>,
    /// Requests sent and not answered.
    pub(super) outstanding: usize,
    /// Since when an answer is waited for.
    pub(super) quiet_since: Moment,
    /// Dropped with the link, which ends reader and writer wherever they wait.
    _stop: [oneshot::Sender<()>; 2],
}

/// A connection whose first frames have been exchanged.
pub(super) struct Made {
    stream: Box<dyn Stream>,
    rest: BytesMut,
    pub(super) hello: HelloAnswer,
}

impl Link {
    pub(super) fn start(
        environment: &Environment,
        id: LinkId,
        address: String,
        made: Made,
        events: &mpsc::Sender<Event>,
    ) -> Link {
        let (read, write) = tokio::io::split(made.stream);
        let (out, frames) = mpsc::unbounded_channel();
        let (stop_reader, reader_stopped) = oneshot::channel();
        let (stop_writer, writer_stopped) = oneshot::channel();
        environment.spawn(
            "client-read",
            run_reader(id, read, made.rest, events.clone(), reader_stopped),
        );
        environment.spawn(
            "client-write",
            run_writer(id, write, frames, events.clone(), writer_stopped),
        );
        let quiet_since = environment.clock.now();
        Link {
            address,
            out,
            buffer: Vec::new(),
            outstanding: 0,
            quiet_since,
            _stop: [stop_reader, stop_writer],
        }
    }

    /// Adds a request, as `encode` writes it; it leaves with the next [`Link::flush`].
    pub(super) fn send(
        &mut self,
        now: Moment,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), frames::FrameError>,
    ) -> Result<(), frames::FrameError> {
        encode(&mut self.buffer)?;
        if self.outstanding == 0 {
            self.quiet_since = now;
        }
        self.outstanding += 1;
        if self.buffer.len() >= limits::WRITE_BYTES {
            self.flush();
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) {
        if !self.buffer.is_empty() {
            // A writer that is gone has said, or is about to say, that the link is lost.
            let _ = self.out.send(std::mem::take(&mut self.buffer));
        }
    }

    pub(super) fn heard(&mut self, answers: usize, now: Moment) {
        self.outstanding = self.outstanding.saturating_sub(answers);
        self.quiet_since = now;
    }

    /// When the link is to be taken for dead unless something comes.
    pub(super) fn dead_at(&self) -> Option<Moment> {
        (self.outstanding > 0).then(|| self.quiet_since + limits::SILENCE)
    }
}

/// Connects and exchanges the first frames, within [`limits::CONNECT`]; then tells the driver.
pub(super) async fn run_connect(
    environment: Environment,
    id: LinkId,
    address: String,
    hello: Hello,
    events: mpsc::Sender<Event>,
) {
    let event = match timeout(&environment, limits::CONNECT, connect(&environment, &address, hello)).await {
        Ok(Ok(made)) => Event::Connected(id, made),
        Ok(Err(reason)) => Event::Lost(id, reason),
        Err(_) => Event::Lost(id, format!("no connection within {} ms", limits::CONNECT.as_millis())),
    };
    // Nobody listens once the client is gone.
    let _ = events.send(event).await;
}

async fn connect(environment: &Environment, address: &str, hello: Hello) -> Result<Made, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = environment.network.connect(address).await.map_err(text)?;
    let mut first = frames::MAGIC.to_vec();
    FromClient::Hello(hello)
        .encode(0, &mut first)
        .map_err(|error| error.to_string())?;
    stream.write_all(&first).await.map_err(text)?;
    stream.flush().await.map_err(text)?;
    let mut rest = BytesMut::new();
    loop {
        if let Some(raw) = frames::decode(&mut rest).map_err(|error| error.to_string())? {
            let hello = first_answer(&raw)?;
            return Ok(Made { stream, rest, hello });
        }
        if stream.read_buf(&mut rest).await.map_err(text)? == 0 {
            return Err("the connection was closed before the first answer".into());
        }
    }
}

fn first_answer(raw: &frames::RawFrame) -> Result<HelloAnswer, String> {
    match FromServer::decode(raw).map_err(|error| error.to_string())? {
        FromServer::HelloAnswer(answer) if (frames::VERSION_MIN..=frames::VERSION_MAX).contains(&answer.version) => {
            Ok(answer)
        }
        FromServer::HelloAnswer(answer) => Err(format!(
            "the server chose version {} of the protocol, which was not offered",
            answer.version
        )),
        FromServer::Error(error) => Err(format!("{} ({})", error.detail, error.code)),
        FromServer::Reply(_) | FromServer::SessionOpened(_) | FromServer::Row(_) => {
            Err("the server's first frame is no answer to Hello".into())
        }
    }
}

async fn run_reader(
    id: LinkId,
    mut read: ReadHalf<Box<dyn Stream>>,
    mut buffer: BytesMut,
    events: mpsc::Sender<Event>,
    mut stopped: oneshot::Receiver<()>,
) {
    loop {
        let mut answers = Vec::new();
        let decoded = decode_all(&mut buffer, &mut answers);
        // What came before the damage is sound.
        if !answers.is_empty() && events.send(Event::Answers(id, answers)).await.is_err() {
            return;
        }
        if let Err(reason) = decoded {
            let _ = events.send(Event::Lost(id, reason)).await;
            return;
        }
        buffer.reserve(limits::READ_BYTES);
        let next = std::pin::pin!(read.read_buf(&mut buffer));
        let reason = match select(&mut stopped, next).await {
            Either::Left(_) => return,
            Either::Right((Ok(0), _)) => "the connection was closed".to_owned(),
            Either::Right((Ok(_), _)) => continue,
            Either::Right((Err(error), _)) => error.to_string(),
        };
        let _ = events.send(Event::Lost(id, reason)).await;
        return;
    }
}

/// Every whole frame in the buffer. An error that concerns the whole connection is its end.
fn decode_all(buffer: &mut BytesMut, answers: &mut Vec<(u64, FromServer)>) -> Result<(), String> {
    while let Some(raw) = frames::decode(buffer).map_err(|error| error.to_string())? {
        let answer = FromServer::decode(&raw).map_err(|error| error.to_string())?;
        match answer {
            FromServer::Error(error) if raw.correlation == 0 => {
                return Err(format!("{} ({})", error.detail, error.code));
            }
            FromServer::HelloAnswer(_) => return Err("a second answer to Hello".into()),
            FromServer::Reply(_) | FromServer::SessionOpened(_) | FromServer::Row(_) | FromServer::Error(_) => {
                answers.push((raw.correlation, answer));
            }
        }
    }
    Ok(())
}

async fn run_writer(
    id: LinkId,
    mut write: WriteHalf<Box<dyn Stream>>,
    mut frames: mpsc::UnboundedReceiver<Vec<u8>>,
    events: mpsc::Sender<Event>,
    mut stopped: oneshot::Receiver<()>,
) {
    while let Some(mut bytes) = frames.recv().await {
        while bytes.len() < limits::WRITE_BYTES
            && let Ok(more) = frames.try_recv()
        {
            bytes.extend_from_slice(&more);
        }
        let written = std::pin::pin!(async {
            write.write_all(&bytes).await?;
            write.flush().await
        });
        match select(&mut stopped, written).await {
            Either::Left(_) => return,
            Either::Right((Ok(()), _)) => {}
            Either::Right((Err(error), _)) => {
                let _ = events.send(Event::Lost(id, error.to_string())).await;
                return;
            }
        }
    }
    // The driver has let go; the peer may have closed already.
    let _ = write.shutdown().await;
}
