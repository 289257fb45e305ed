use bytes::Bytes;

use super::reader::{Reader, put_bytes, put_detail, put_label, put_option, put_varint};
use super::{FrameError, RawFrame, encode, kind};
use crate::wire::{Code, limits};

/// The server's first frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelloAnswer {
    /// The version that both ends now speak.
    pub version: u16,
    /// The cluster.
    pub cluster: u64,
    /// The node that answers.
    pub node: u64,
    /// For people: version of the server's binary.
    pub binary: String,
    /// `HOST:PORT` of the leader's HTTP, if one is known.
    pub leader_http: Option<String>,
    /// `HOST:PORT` of every member's HTTP, at most [`limits::HELLO_ADDRESSES_MAX`].
    pub members_http: Vec<String>,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The entry in which the command was applied; a repeat gives the first one's.
    pub index: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// 1: done; the application's reply.
    Applied(Bytes),
    /// 2: the application declined; nothing was changed.
    Refused(Bytes),
    /// 3: the command could not be run, or ended in a trap; nothing was changed.
    Failed(Failure),
    /// 4: the session is unknown or has forgotten the sequence: not applied now, and whether before cannot be known.
    SessionExpired,
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind.
    pub code: Code,
    /// For people.
    pub detail: String,
}

/// The answer to a read of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The index that it shows.
    pub index: u64,
    /// The row's document, in the shape of the version in force; none: there is no such row.
    pub document: Option<Bytes>,
}

/// A request that has no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorAnswer {
    /// The kind.
    pub code: Code,
    /// For people: what, why, and what to do.
    pub detail: String,
    /// `HOST:PORT` of the leader's HTTP, if that is where to go.
    pub leader_http: Option<String>,
}

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromServer {
    /// Kind 2: the first frame.
    HelloAnswer(HelloAnswer),
    /// Kind 5: the answer to a Submit.
    Reply(Reply),
    /// Kind 6: the answer to an OpenSession: the session's id.
    SessionOpened(u64),
    /// Kind 7: in place of the answer.
    Error(ErrorAnswer),
    /// Kind 9: the answer to a Get.
    Row(Row),
}

mod outcome {
    pub(super) const APPLIED: u64 = 1;
    pub(super) const REFUSED: u64 = 2;
    pub(super) const FAILED: u64 = 3;
    pub(super) const SESSION_EXPIRED: u64 = 4;
}

/// Number and name: a reader that does not know the number can still show the name.
fn put_code(code: Code, out: &mut Vec<u8>) {
    put_varint(code.number().into(), out);
    put_bytes(code.name().as_bytes(), out);
}

fn read_code(reader: &mut Reader<'_>) -> Result<(Code, String), FrameError> {
    let number = reader.u16()?;
    let name = reader.name()?;
    let detail = reader.detail()?;
    Ok(match Code::from_number(number) {
        Some(code) => (code, detail),
        None => (Code::Unrecognised, format!("{name} (code {number}): {detail}")),
    })
}

impl Reply {
    fn encode_body(&self, out: &mut Vec<u8>) {
        put_varint(self.index, out);
        match &self.outcome {
            Outcome::Applied(reply) => {
                put_varint(outcome::APPLIED, out);
                put_bytes(reply, out);
            }
            Outcome::Refused(reply) => {
                put_varint(outcome::REFUSED, out);
                put_bytes(reply, out);
            }
            Outcome::Failed(failure) => {
                put_varint(outcome::FAILED, out);
                put_code(failure.code, out);
                put_detail(&failure.detail, out);
            }
            Outcome::SessionExpired => put_varint(outcome::SESSION_EXPIRED, out),
        }
    }

    fn decode_body(reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        let index = reader.varint()?;
        let outcome = match reader.varint()? {
            outcome::APPLIED => Outcome::Applied(reader.bytes()?),
            outcome::REFUSED => Outcome::Refused(reader.bytes()?),
            outcome::FAILED => {
                let (code, detail) = read_code(reader)?;
                Outcome::Failed(Failure { code, detail })
            }
            outcome::SESSION_EXPIRED => Outcome::SessionExpired,
            _ => return Err(reader.invalid("an outcome that is not known")),
        };
        Ok(Reply { index, outcome })
    }
}

impl HelloAnswer {
    fn encode_body(&self, out: &mut Vec<u8>) {
        put_varint(self.version.into(), out);
        put_varint(self.cluster, out);
        put_varint(self.node, out);
        put_label(&self.binary, out);
        put_option(self.leader_http.as_ref(), out, |leader, out| {
            put_bytes(leader.as_bytes(), out)
        });
        let members = &self.members_http[..self.members_http.len().min(limits::HELLO_ADDRESSES_MAX)];
        put_varint(members.len() as u64, out);
        for member in members {
            put_bytes(member.as_bytes(), out);
        }
    }

    fn decode_body(reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        let version = reader.u16()?;
        let cluster = reader.varint()?;
        let node = reader.varint()?;
        let binary = reader.name()?;
        let leader_http = reader.option(Reader::name)?;
        let count = reader.varint()?;
        if count > limits::HELLO_ADDRESSES_MAX as u64 {
            return Err(reader.invalid("more addresses than there may be"));
        }
        let members_http = (0..count).map(|_| reader.name()).collect::<Result<_, _>>()?;
        Ok(HelloAnswer {
            version,
            cluster,
            node,
            binary,
            leader_http,
            members_http,
        })
    }
}

impl FromServer {
    /// Appends the frame.
    ///
    /// # Errors
    /// [`FrameError::Length`]; `out` is then as it was.
    pub fn encode(&self, correlation: u64, out: &mut Vec<u8>) -> Result<(), FrameError> {
        match self {
            FromServer::HelloAnswer(answer) => {
                encode(kind::HELLO_ANSWER, correlation, out, |out| answer.encode_body(out))
            }
            FromServer::Reply(reply) => encode(kind::REPLY, correlation, out, |out| reply.encode_body(out)),
            FromServer::SessionOpened(session) => {
                encode(kind::SESSION_OPENED, correlation, out, |out| put_varint(*session, out))
            }
            FromServer::Row(row) => encode(kind::ROW, correlation, out, |out| {
                put_varint(row.index, out);
                put_option(row.document.as_ref(), out, |document, out| put_bytes(document, out));
            }),
            FromServer::Error(error) => encode(kind::ERROR, correlation, out, |out| {
                put_code(error.code, out);
                put_detail(&error.detail, out);
                put_option(error.leader_http.as_ref(), out, |leader, out| {
                    put_bytes(leader.as_bytes(), out)
                });
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
            kind::HELLO_ANSWER => return HelloAnswer::decode_body(&mut reader).map(FromServer::HelloAnswer),
            kind::REPLY => FromServer::Reply(Reply::decode_body(&mut reader)?),
            kind::SESSION_OPENED => FromServer::SessionOpened(reader.varint()?),
            kind::ROW => FromServer::Row(Row {
                index: reader.varint()?,
                document: reader.option(Reader::bytes)?,
            }),
            kind::ERROR => {
                let (code, detail) = read_code(&mut reader)?;
                let leader_http = reader.option(Reader::name)?;
                FromServer::Error(ErrorAnswer {
                    code,
                    detail,
                    leader_http,
                })
            }
            other => return Err(FrameError::Kind(other)),
        };
        reader.end()?;
        Ok(decoded)
    }
}
