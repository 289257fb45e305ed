//! The peer protocol's frames: `length u32, checksum u32 (CRC-32C of all after it), kind u8, id u64, body`, integers
//! little-endian. The first frame each way is a hello, which settles version, cluster and who is there.

use std::io;

use bytes::{Bytes, BytesMut};
use environment::Stream;
use machine::codec::{self, Codec, Reader};
use machine::{ClusterId, Level, NodeId, record};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::limits::PEER_FRAME_BYTES_MAX;

/// First bytes of a connection between peers.
pub const MAGIC: &[u8; 8] = b"SEAPEER1";
/// The versions of the protocol that this binary speaks.
pub const VERSION_MIN: u16 = 1;
/// See [`VERSION_MIN`].
pub const VERSION_MAX: u16 = 1;

/// What a frame is, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 1: the caller's first frame.
    Hello,
    /// 2: the answer to it.
    Welcome,
    /// 3: the other answer to it: a text, then the connection ends.
    Refusal,
    /// 10: append entries, one call.
    Append,
    /// 14: append entries, one of a stream on a connection of its own, answered in order.
    AppendStream,
    /// 11: ask for a vote.
    Vote,
    /// 12: ask whether a vote would be given.
    PreVote,
    /// 13: become leader.
    TransferLeader,
    /// 20: the index a linearizable read must wait for.
    ReadIndex,
    /// 21: a control entry to be brought into the log.
    Propose,
    /// 22: a new node asks to be registered.
    Join,
    /// 30: the leader tells a node that lags behind its log from which entry on there is a snapshot.
    SnapshotOffer,
    /// 31: asks for the newest snapshot, made now if there is none that is new enough.
    SnapshotHeader,
    /// 32: asks for a piece of it.
    SnapshotRead,
    /// 33: asks the leader how far its log goes.
    Front,
    /// 34: asks for the peer address of the leader.
    WhoLeads,
    /// 100: the answer.
    Answer,
    /// 101: there is none: a text says why.
    Failed,
}

impl Kind {
    const ALL: [(Kind, u8); 18] = [
        (Kind::Hello, 1),
        (Kind::Welcome, 2),
        (Kind::Refusal, 3),
        (Kind::Append, 10),
        (Kind::AppendStream, 14),
        (Kind::Vote, 11),
        (Kind::PreVote, 12),
        (Kind::TransferLeader, 13),
        (Kind::ReadIndex, 20),
        (Kind::Propose, 21),
        (Kind::Join, 22),
        (Kind::SnapshotOffer, 30),
        (Kind::SnapshotHeader, 31),
        (Kind::SnapshotRead, 32),
        (Kind::Front, 33),
        (Kind::WhoLeads, 34),
        (Kind::Answer, 100),
        (Kind::Failed, 101),
    ];

    fn number(self) -> u8 {
        Kind::ALL
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or(0, |(_, number)| *number)
    }

    fn of(number: u8) -> Option<Kind> {
        Kind::ALL
            .iter()
            .find(|(_, known)| *known == number)
            .map(|(kind, _)| *kind)
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// Set by the caller, given back in the answer.
    pub id: u64,
    /// What it carries.
    pub body: Bytes,
}

/// The caller's first frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Versions of the protocol that the caller speaks: from.
    pub version_min: u16,
    /// To.
    pub version_max: u16,
    /// Its cluster; zero when it has none yet.
    pub cluster: ClusterId,
    /// Its id; zero when it has none yet.
    pub node: NodeId,
    /// The highest level that its binary knows.
    pub level_max: Level,
    /// Where its peers reach it now; empty when it does not say. What it registered may be out of date, and a node
    /// that nobody reaches cannot register anew.
    pub peer_address: String,
}

impl Codec for Hello {
    fn encode(&self, out: &mut Vec<u8>) {
        self.version_min.encode(out);
        self.version_max.encode(out);
        self.cluster.encode(out);
        self.node.encode(out);
        self.level_max.encode(out);
        self.peer_address.encode(out);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, codec::Error> {
        Ok(Hello {
            version_min: Codec::decode(reader)?,
            version_max: Codec::decode(reader)?,
            cluster: Codec::decode(reader)?,
            node: Codec::decode(reader)?,
            level_max: Codec::decode(reader)?,
            // The first binaries end here.
            peer_address: match reader.left() {
                0 => String::new(),
                _ => Codec::decode(reader)?,
            },
        })
    }
}

/// The answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The version that both speak from here.
    pub version: u16,
    /// The answerer's cluster.
    pub cluster: ClusterId,
    /// Its id.
    pub node: NodeId,
}
record!(Welcome { version, cluster, node });

const HEADER_BYTES: usize = 4 + 4 + 1 + 8;

/// Appends a frame's bytes.
pub fn put(frame: &Frame, out: &mut BytesMut) {
    let length = (HEADER_BYTES - 4 + frame.body.len()) as u32;
    let mut head = [0; HEADER_BYTES];
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[8] = frame.kind.number();
    head[9..].copy_from_slice(&frame.id.to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&head[8..]), &frame.body);
    head[4..8].copy_from_slice(&checksum.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(&frame.body);
}

/// Writes one frame.
pub async fn write(stream: &mut (impl tokio::io::AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    let mut out = BytesMut::with_capacity(HEADER_BYTES + frame.body.len());
    put(frame, &mut out);
    stream.write_all(&out).await?;
    stream.flush().await
}

/// Reads the next frame; nothing at a clean end.
///
/// # Errors
/// The connection failed, or what came is no frame: then `InvalidData`, and the connection must end.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut head = [0; HEADER_BYTES];
    match stream.read_exact(&mut head[..1]).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    stream.read_exact(&mut head[1..]).await?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let checksum = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    if !(HEADER_BYTES - 4..=PEER_FRAME_BYTES_MAX).contains(&length) {
        return Err(invalid(format!(
            "a frame of {length} bytes: at most {PEER_FRAME_BYTES_MAX} are allowed"
        )));
    }
    let mut id = [0; 8];
    id.copy_from_slice(&head[9..]);
    let body = read_body(stream, length + 4 - HEADER_BYTES).await?;
    if crc32c::crc32c_append(crc32c::crc32c(&head[8..]), &body) != checksum {
        return Err(invalid("a frame's checksum does not match".to_owned()));
    }
    let Some(kind) = Kind::of(head[8]) else {
        return Err(invalid(format!(
            "a frame of kind {}, which this binary does not know",
            head[8]
        )));
    };
    Ok(Some(Frame {
        kind,
        id: u64::from_le_bytes(id),
        body,
    }))
}

/// Grows with what arrives, so that a length alone cannot make this node allocate.
async fn read_body(stream: &mut (impl AsyncRead + Unpin), length: usize) -> io::Result<Bytes> {
    let mut body = BytesMut::with_capacity(length.min(1 << 20));
    while body.len() < length {
        let mut limited = (&mut *stream).take((length - body.len()) as u64);
        if limited.read_buf(&mut body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(body.freeze())
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// The caller's side of the first exchange.
///
/// # Errors
/// The connection failed, or the other side refused; the text says why.
pub async fn greet(stream: &mut Box<dyn Stream>, hello: &Hello) -> io::Result<Welcome> {
    stream.write_all(MAGIC).await?;
    let body = hello.to_bytes().into();
    write(
        stream,
        &Frame {
            kind: Kind::Hello,
            id: 0,
            body,
        },
    )
    .await?;
    let answer = read(stream)
        .await?
        .ok_or_else(|| invalid("the peer closed the connection at the hello".into()))?;
    if answer.kind == Kind::Refusal {
        return Err(invalid(String::from_utf8_lossy(&answer.body).into_owned()));
    }
    if answer.kind != Kind::Welcome {
        return Err(invalid("the peer did not answer the hello".into()));
    }
    let welcome = Welcome::decode(&mut Reader::new(&answer.body)).map_err(|error| invalid(error.to_string()))?;
    Ok(welcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        Frame {
            kind: Kind::Append,
            id: 7,
            body: Bytes::from_static(b"entries"),
        }
    }

    fn bytes_of(frame: &Frame) -> BytesMut {
        let mut out = BytesMut::new();
        put(frame, &mut out);
        out
    }

    #[tokio::test]
    async fn a_frame_comes_back() {
        let bytes = bytes_of(&frame());
        assert_eq!(read(&mut &bytes[..]).await.unwrap(), Some(frame()));
        assert_eq!(read(&mut &b""[..]).await.unwrap(), None);
    }

    #[tokio::test]
    async fn any_flipped_bit_and_any_cut_is_an_error() {
        let bytes = bytes_of(&frame());
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert!(read(&mut &flipped[..]).await.is_err(), "flipped byte {at}");
            if at > 0 {
                assert!(read(&mut &bytes[..at]).await.is_err(), "cut at {at}");
            }
        }
    }

    #[tokio::test]
    async fn the_largest_frame_comes_back_and_one_byte_more_is_refused() {
        let body = PEER_FRAME_BYTES_MAX + 4 - HEADER_BYTES;
        let largest = Frame {
            body: vec![7; body].into(),
            ..frame()
        };
        let bytes = bytes_of(&largest);
        assert_eq!(read(&mut &bytes[..]).await.unwrap(), Some(largest));
        let larger = Frame {
            body: vec![7; body + 1].into(),
            ..frame()
        };
        let error = read(&mut &bytes_of(&larger)[..]).await.unwrap_err();
        assert!(error.to_string().contains("at most"), "{error}");
    }

    #[tokio::test]
    async fn a_length_past_the_limit_is_refused_before_anything_is_read() {
        let mut bytes = bytes_of(&frame());
        bytes[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        let error = read(&mut &bytes[..]).await.unwrap_err();
        assert!(error.to_string().contains("at most"), "{error}");
    }
}
