//! Frames in and out of one connection's bytes.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use client::wire::Code;
use client::wire::frames::{ErrorAnswer, FrameError, FromServer, RawFrame, decode};
use environment::Stream;
use futures::future::poll_fn;
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::limits;

/// Bytes of the output buffer that are kept for the next answers.
const OUTPUT_BYTES_KEPT: usize = 256 << 10;

/// Bytes of the input buffer with which it is still worth reading.
const INPUT_BYTES_LEFT_MIN: usize = 4 << 10;

/// A connection with what has been read and not understood yet, and what is to be written.
pub(super) struct Pipe {
    stream: Box<dyn Stream>,
    input: BytesMut,
    output: Vec<u8>,
    written: usize,
    /// Counts what was read and written, so that a standstill can be seen without looking at the clock each time.
    pub reads: u64,
    pub writes: u64,
}

/// Why no frame can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The bytes are none.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Pipe {
    pub fn new(stream: Box<dyn Stream>) -> Self {
        Pipe {
            stream,
            input: BytesMut::with_capacity(limits::INPUT_BYTES),
            output: Vec::with_capacity(limits::INPUT_BYTES),
            written: 0,
            reads: 0,
            writes: 0,
        }
    }

    /// A frame that is there in full.
    pub fn take_frame(&mut self) -> Result<Option<RawFrame>, FrameError> {
        decode(&mut self.input)
    }

    /// Whether the beginning of a frame is there.
    pub fn has_partial_frame(&self) -> bool {
        !self.input.is_empty()
    }

    /// Bytes that wait to be written.
    pub fn unwritten(&self) -> usize {
        self.output.len() - self.written
    }

    /// Reads what there is, once; 0 at the end.
    pub fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Requests in flight share the memory they were read into, so it is used up before there is more of it.
        if self.input.capacity() - self.input.len() < INPUT_BYTES_LEFT_MIN {
            self.input.reserve(limits::INPUT_BYTES);
        }
        // Nothing is lost when this future is dropped: it holds nothing between two polls.
        let count = ready!(pin!(self.stream.read_buf(&mut self.input)).poll(context))?;
        self.reads += 1;
        Poll::Ready(Ok(count))
    }

    /// Puts an answer behind those that wait.
    pub fn push(&mut self, correlation: u64, answer: &FromServer) {
        let Err(error) = answer.encode(correlation, &mut self.output) else {
            return;
        };
        // Replies are limited far below a frame: were one too long all the same, the client must hear something.
        let instead = FromServer::Error(ErrorAnswer {
            code: Code::Internal,
            detail: format!("the answer does not fit: {error}; it was applied, read its effects from the state"),
            leader_http: None,
        });
        if let Err(error) = instead.encode(correlation, &mut self.output) {
            tracing::error!(%error, "an answer was lost because even its replacement is no frame");
        }
    }

    /// Writes until all is written or the connection takes no more.
    pub fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.output.len() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.output[self.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
            self.writes += 1;
        }
        if self.written > 0 {
            self.output.clear();
            self.output.shrink_to(OUTPUT_BYTES_KEPT);
            self.written = 0;
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Writes all that waits.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_write(context)).await
    }

    /// The next frame; none when the client ended the connection.
    pub async fn next_frame(&mut self) -> Result<Option<RawFrame>, Error> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(Some(frame));
            }
            if poll_fn(|context| self.poll_fill(context)).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Writes all that waits and says that no more will come; then reads what the client had under way, so that the
    /// system does not throw away, unread, what was just written.
    pub async fn close(&mut self) -> io::Result<()> {
        self.flush().await?;
        poll_fn(|context| Pin::new(&mut self.stream).poll_shutdown(context)).await?;
        let mut read = 0;
        while read < limits::DISCARD_BYTES_MAX {
            self.input.clear();
            match poll_fn(|context| self.poll_fill(context)).await? {
                0 => break,
                count => read += count,
            }
        }
        Ok(())
    }
}
