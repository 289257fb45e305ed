//! What the loopback alone gives: bytes from one task to another over TCP.

use anyhow::bail;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What readers ask for at once.
pub const READ_BYTES: usize = 256 << 10;

/// Two ends of one connection.
pub async fn pair() -> anyhow::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (connected, accepted) = tokio::join!(TcpStream::connect(listener.local_addr()?), listener.accept());
    Ok((connected?, accepted?.0))
}

/// Sends so many bytes through a pair, so many at once, and discards them at the other end.
pub async fn through((mut from, mut to): (TcpStream, TcpStream), bytes: u64, piece: usize) -> anyhow::Result<u64> {
    let sender = tokio::spawn(async move {
        let piece = vec![b'.'; piece];
        let mut left = bytes;
        while left > 0 {
            let next = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            from.write_all(&piece[..next]).await?;
            left -= next as u64;
        }
        from.shutdown().await
    });
    let read = discard(&mut to, &mut vec![0; READ_BYTES]).await?;
    sender.await??;
    if read != bytes {
        bail!("{read} bytes of {bytes} came over the loopback");
    }
    Ok(read)
}

/// Reads to the end, and gives how many bytes there were.
pub async fn discard(stream: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<u64> {
    let mut bytes = 0;
    loop {
        match stream.read(buffer).await? {
            0 => return Ok(bytes),
            read => bytes += read as u64,
        }
    }
}
