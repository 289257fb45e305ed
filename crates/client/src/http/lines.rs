use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::{Error, limits};

/// An answer as it comes, line by line.
#[derive(Debug)]
pub struct Lines {
    address: String,
    body: Incoming,
    buffer: BytesMut,
    /// Bytes of the buffer in which no line end was found.
    searched: usize,
    ended: bool,
}

impl Lines {
    pub(crate) fn new(address: String, body: Incoming) -> Self {
        Lines {
            address,
            body,
            buffer: BytesMut::new(),
            searched: 0,
            ended: false,
        }
    }

    /// Who answers.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The next line without its end, or none when the answer has ended. Empty lines, by which a server shows that it
    /// is there, are left out. May be dropped while it waits without losing anything.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the connection broke, [`Error::Unreadable`] when a line is longer than a line may be.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.next_or_empty().await? {
                Some(line) if line.is_empty() => {}
                other => return Ok(other),
            }
        }
    }

    /// As [`Lines::next`], with the empty lines.
    pub(crate) async fn next_or_empty(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            if self.buffer.len() > limits::LINE_BYTES_MAX {
                return Err(Error::Unreadable {
                    address: self.address.clone(),
                    what: format!("a line of more than {} bytes", limits::LINE_BYTES_MAX),
                });
            }
            if self.ended {
                let rest = self.buffer.split().freeze();
                self.searched = 0;
                return Ok((!rest.is_empty()).then_some(rest));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => return Err(Error::Unavailable(format!("{}: {error}", self.address))),
                None => self.ended = true,
            }
        }
    }

    fn take_line(&mut self) -> Option<Bytes> {
        let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let mut line = self.buffer.split_to(self.searched + at + 1).freeze();
        self.searched = 0;
        line.truncate(line.len() - 1);
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Some(line)
    }
}
