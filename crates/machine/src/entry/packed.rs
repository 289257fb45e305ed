//! Requests as the bytes of an entry, without one value for each.

use bytes::Bytes;

use super::{Claim, ENTRY_FORMAT, Entry, Request};
use crate::TimeMs;
use crate::codec::{Codec, Error, Reader, put_varint};

/// Requests in the form in which they stand in an entry, made once where they arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedRequests {
    count: usize,
    bytes: Bytes,
}

impl PackedRequests {
    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes that they take in an entry.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl From<&[Request]> for PackedRequests {
    fn from(requests: &[Request]) -> Self {
        let mut out = Vec::with_capacity(requests.iter().map(Request::encoded_bytes_max).sum());
        for request in requests {
            request.encode(&mut out);
        }
        PackedRequests {
            count: requests.len(),
            bytes: out.into(),
        }
    }
}

/// An entry of requests, put together from their packed forms: the same bytes as encoding [`Body::Requests`].
#[must_use]
pub fn pack<'a>(time: TimeMs, requests: impl Iterator<Item = &'a PackedRequests> + Clone) -> Vec<u8> {
    let (mut bytes, mut count) = (0, 0);
    for packed in requests.clone() {
        bytes += packed.bytes();
        count += packed.count();
    }
    let mut out = Vec::with_capacity(bytes + 32);
    out.push(ENTRY_FORMAT);
    put_varint(2, &mut out);
    time.encode(&mut out);
    put_varint(count as u64, &mut out);
    for packed in requests {
        out.extend_from_slice(&packed.bytes);
    }
    out
}

impl Entry {
    /// The number of an encoded entry's kind, as [`Body`](crate::Body) lists them; none where it has none that can be read.
    #[must_use]
    pub fn kind_of(payload: &[u8]) -> Option<u64> {
        let mut reader = Reader::new(payload);
        let is_known = reader.byte().ok()? == ENTRY_FORMAT;
        reader.varint().ok().filter(|_| is_known)
    }
}

/// Requests of one entry, read one after the other without copying their payloads.
#[derive(Debug)]
pub struct RequestView<'a> {
    /// See [`Request::claim`].
    pub claim: Option<Claim>,
    /// See [`Request::application`].
    pub application: &'a str,
    /// See [`Request::command`].
    pub command: &'a str,
    /// See [`Request::version`].
    pub version: u16,
    /// See [`Request::payload`].
    pub payload: &'a [u8],
}

impl<'a> RequestView<'a> {
    /// The requests of an entry in the order in which they are applied; nothing for an entry of another kind.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn all(payload: &'a [u8]) -> Result<Option<Vec<Self>>, Error> {
        // Entries of the log's own, as a new leader writes one, have none.
        if payload.is_empty() {
            return Ok(None);
        }
        let mut reader = Reader::new(payload);
        let Some((_, count)) = RequestView::header(&mut reader)? else {
            return Ok(None);
        };
        let requests = (0..count).map(|_| RequestView::read(&mut reader));
        requests.collect::<Result<_, _>>().map(Some)
    }

    /// Whether an entry is one of requests.
    #[must_use]
    pub fn is_of(payload: &[u8]) -> bool {
        matches!(RequestView::header(&mut Reader::new(payload)), Ok(Some(_)))
    }

    /// The time and count of an entry of requests; nothing for every other kind.
    pub(crate) fn header(reader: &mut Reader<'_>) -> Result<Option<(TimeMs, usize)>, Error> {
        let format = reader.byte()?;
        if format != ENTRY_FORMAT || reader.varint()? != 2 {
            return Ok(None);
        }
        Ok(Some((TimeMs::decode(reader)?, reader.count()?)))
    }

    /// Reads the next request.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        Ok(RequestView {
            claim: Codec::decode(reader)?,
            application: reader.text()?,
            command: reader.text()?,
            version: Codec::decode(reader)?,
            payload: reader.bytes()?,
        })
    }

    /// The request as a value of its own.
    #[must_use]
    pub fn to_request(&self) -> Request {
        Request {
            claim: self.claim,
            application: self.application.to_owned(),
            command: self.command.to_owned(),
            version: self.version,
            payload: Bytes::copy_from_slice(self.payload),
        }
    }
}
