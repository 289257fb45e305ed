//! The first bytes of a connection say which protocol it speaks: both have the same port.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use client::wire::frames::MAGIC;
use environment::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What the first bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The framed client protocol; its magic has been read.
    Frames,
    /// HTTP, or something so like it that the HTTP parser may say what is wrong.
    Http,
    /// Neither, with what it looks like.
    Unknown(&'static str),
    /// The connection ended before it said anything.
    Nothing,
}

/// Reads until the protocol is clear, and gives back what has been read of it.
///
/// # Errors
/// What the connection says.
pub(crate) async fn sniff(stream: &mut dyn Stream) -> io::Result<(Protocol, Bytes)> {
    let mut read = BytesMut::with_capacity(MAGIC.len());
    loop {
        if let Some(protocol) = judge(&read) {
            return Ok((protocol, read.freeze()));
        }
        let missing = MAGIC.len() - read.len();
        let mut buffer = [0; MAGIC.len()];
        let count = stream.read(&mut buffer[..missing]).await?;
        if count == 0 {
            let protocol = match read.is_empty() {
                true => Protocol::Nothing,
                false => Protocol::Unknown("it ended before its first eight bytes"),
            };
            return Ok((protocol, read.freeze()));
        }
        read.extend_from_slice(&buffer[..count]);
    }
}

/// Decides as soon as the bytes allow it: garbage shorter than eight bytes is not waited for.
pub(crate) fn judge(read: &[u8]) -> Option<Protocol> {
    let magic_so_far = MAGIC.starts_with(read);
    if read.len() == MAGIC.len() && magic_so_far {
        return Some(Protocol::Frames);
    }
    if read.first() == Some(&0x16) {
        return Some(Protocol::Unknown("it looks like TLS, which this port does not speak"));
    }
    let family = &MAGIC[..MAGIC.len() - 1];
    if read.len() == MAGIC.len() && read.starts_with(family) {
        return Some(Protocol::Unknown(
            "it is a form of Seachange's client protocol that this binary does not know",
        ));
    }
    let method = read.split(|byte| *byte == b' ').next().unwrap_or_default();
    let is_method = method.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'-');
    if !read.is_empty() && (method.is_empty() || !is_method) {
        return Some(Protocol::Unknown(
            "it begins neither like an HTTP request nor like Seachange's client protocol",
        ));
    }
    (read.len() == MAGIC.len()).then_some(Protocol::Http)
}

/// A stream whose first bytes have been read and are put back.
pub(crate) struct Rewound {
    again: Bytes,
    stream: Box<dyn Stream>,
}

impl Rewound {
    pub fn new(again: Bytes, stream: Box<dyn Stream>) -> Self {
        Rewound { again, stream }
    }
}

impl AsyncRead for Rewound {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.again.has_remaining() {
            let count = self.again.remaining().min(into.remaining());
            into.put_slice(&self.again[..count]);
            self.again.advance(count);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decides_by_the_first_bytes_and_no_later_than_it_must() {
        let check = |bytes: &[u8], expected: Option<&str>| {
            let judged = judge(bytes).map(|protocol| match protocol {
                Protocol::Frames => "frames",
                Protocol::Http => "http",
                Protocol::Unknown(_) => "unknown",
                Protocol::Nothing => "nothing",
            });
            assert_eq!(judged, expected, "{bytes:?}");
        };
        check(b"", None);
        check(b"SEACHNG", None);
        check(b"SEACHNG1", Some("frames"));
        check(b"SEACHNG2", Some("unknown"));
        check(b"GET / HT", Some("http"));
        check(b"PROPFIND", Some("http"));
        check(b"M-SEARCH", Some("http"));
        check(b"GE", None);
        check(b" GET / H", Some("unknown"));
        check(b"\x16\x03", Some("unknown"));
        check(b"\0", Some("unknown"));
        check(b"GET{/ HT", Some("unknown"));
    }
}
