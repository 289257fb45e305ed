use bytes::Bytes;

use super::reader::{Reader, put_bytes, put_label, put_option, put_varint};
use super::{FrameError, RawFrame, encode, kind};

/// The client's first frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Lowest version of the protocol that it speaks.
    pub version_min: u16,
    /// Highest version of the protocol that it speaks.
    pub version_max: u16,
    /// The cluster it wants, once it knows one: a server of another answers `wrong_cluster`.
    pub cluster: Option<u64>,
    /// For people: what the client is called.
    pub name: String,
    /// For people: version of the client's binary.
    pub binary: String,
}

/// Who asks, so that a repeat is known as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The session.
    pub session: u64,
    /// The request's position in it, from 1.
    pub sequence: u64,
    /// The client has the replies to all sequences below this one and will never ask for them again.
    pub settled: u64,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submit {
    /// Without one, the request is never sent again by anybody.
    pub claim: Option<Claim>,
    /// The application's name.
    pub application: String,
    /// The command's name.
    pub command: String,
    /// Version of the command's payload.
    pub version: u16,
    /// The payload.
    pub payload: Bytes,
}

impl Submit {
    /// Appends the body, byte for byte a request as it stands in an entry.
    pub fn encode_body(&self, out: &mut Vec<u8>) {
        self.borrowed().encode_body(out);
    }

    fn borrowed(&self) -> SubmitRef<'_> {
        SubmitRef {
            claim: self.claim,
            application: &self.application,
            command: &self.command,
            version: self.version,
            payload: &self.payload,
        }
    }
}

/// A [`Submit`] whose parts lie elsewhere.
pub(crate) struct SubmitRef<'a> {
    pub(crate) claim: Option<Claim>,
    pub(crate) application: &'a str,
    pub(crate) command: &'a str,
    pub(crate) version: u16,
    pub(crate) payload: &'a [u8],
}

impl SubmitRef<'_> {
    /// Appends the frame.
    ///
    /// # Errors
    /// [`FrameError::Length`]; `out` is then as it was.
    pub(crate) fn encode(&self, correlation: u64, out: &mut Vec<u8>) -> Result<(), FrameError> {
        encode(kind::SUBMIT, correlation, out, |out| self.encode_body(out))
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        put_option(self.claim.as_ref(), out, |claim, out| {
            put_varint(claim.session, out);
            put_varint(claim.sequence, out);
            put_varint(claim.settled, out);
        });
        put_bytes(self.application.as_bytes(), out);
        put_bytes(self.command.as_bytes(), out);
        put_varint(self.version.into(), out);
        put_bytes(self.payload, out);
    }
}

/// A read of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Get {
    /// The application's name.
    pub application: String,
    /// The table's name.
    pub table: String,
    /// The row's key.
    pub key: Bytes,
    /// Whether what the node that answers has applied will do; else every acknowledged command is seen.
    pub stale: bool,
}

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromClient {
    /// Kind 1: the first frame.
    Hello(Hello),
    /// Kind 3: a command.
    Submit(Submit),
    /// Kind 4: asks for a session.
    OpenSession,
    /// Kind 8: a read of one row.
    Get(Get),
}

impl FromClient {
    /// Appends the frame.
    ///
    /// # Errors
    /// [`FrameError::Length`]; `out` is then as it was.
    pub fn encode(&self, correlation: u64, out: &mut Vec<u8>) -> Result<(), FrameError> {
        match self {
            FromClient::Hello(hello) => encode(kind::HELLO, correlation, out, |out| {
                put_varint(hello.version_min.into(), out);
                put_varint(hello.version_max.into(), out);
                put_option(hello.cluster.as_ref(), out, |cluster, out| put_varint(*cluster, out));
                put_label(&hello.name, out);
                put_label(&hello.binary, out);
            }),
            FromClient::Submit(submit) => submit.borrowed().encode(correlation, out),
            FromClient::OpenSession => encode(kind::OPEN_SESSION, correlation, out, |_| {}),
            FromClient::Get(get) => encode(kind::GET, correlation, out, |out| {
                put_bytes(get.application.as_bytes(), out);
                put_bytes(get.table.as_bytes(), out);
                put_bytes(&get.key, out);
                put_varint(get.stale.into(), out);
            }),
        }
    }

    /// What a frame says.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn decode(frame: &RawFrame) -> Result<Self, FrameError> {
        let mut reader = Reader::new(frame);
        let decoded = match frame.kind {
            kind::HELLO => {
                return Ok(FromClient::Hello(Hello {
                    version_min: reader.u16()?,
                    version_max: reader.u16()?,
                    cluster: reader.option(Reader::varint)?,
                    name: reader.name()?,
                    binary: reader.name()?,
                }));
            }
            kind::SUBMIT => FromClient::Submit(Submit {
                claim: reader.option(|reader| {
                    Ok(Claim {
                        session: reader.varint()?,
                        sequence: reader.varint()?,
                        settled: reader.varint()?,
                    })
                })?,
                application: reader.name()?,
                command: reader.name()?,
                version: reader.u16()?,
                payload: reader.bytes()?,
            }),
            kind::OPEN_SESSION => FromClient::OpenSession,
            kind::GET => FromClient::Get(Get {
                application: reader.name()?,
                table: reader.name()?,
                key: reader.bytes()?,
                stale: reader.flag()?,
            }),
            other => return Err(FrameError::Kind(other)),
        };
        reader.end()?;
        Ok(decoded)
    }
}
