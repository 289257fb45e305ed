use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::Error;
use crate::wire::{RecordBatch, whole_bytes};

/// An answer as it comes, batch by batch.
#[derive(Debug)]
pub(crate) struct Batches {
    address: String,
    body: Incoming,
    buffer: BytesMut,
}

impl Batches {
    pub fn new(address: String, body: Incoming) -> Self {
        Batches {
            address,
            body,
            buffer: BytesMut::new(),
        }
    }

    /// Who answers.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The next batch, or none when the answer has ended. One without events shows that the server is there. May be
    /// dropped while it waits without losing anything.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the connection broke, also within a batch; [`Error::Unreadable`] when what comes is no
    /// batch.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        loop {
            if let Some(batch) = self.take_batch()? {
                return Ok(Some(batch));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => return Err(Error::Unavailable(format!("{}: {error}", self.address))),
                None if self.buffer.is_empty() => return Ok(None),
                None => {
                    let address = &self.address;
                    return Err(Error::Unavailable(format!("{address}: it ended within a batch")));
                }
            }
        }
    }

    fn take_batch(&mut self) -> Result<Option<RecordBatch>, Error> {
        let unreadable = |what: &str| Error::Unreadable {
            address: self.address.clone(),
            what: what.to_owned(),
        };
        let Some(whole) = whole_bytes(&self.buffer).map_err(unreadable)? else {
            return Ok(None);
        };
        if self.buffer.len() < whole {
            return Ok(None);
        }
        let batch = self.buffer.split_to(whole).freeze();
        RecordBatch::open(&batch).map(Some).map_err(unreadable)
    }
}
