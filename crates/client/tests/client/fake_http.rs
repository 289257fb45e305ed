//! An HTTP server whose every answer the test gives.

use bytes::BytesMut;
use client::{Admin, Options};
use environment::{Environment, Listener, Stream};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub struct FakeHttp(Box<dyn Listener>);

/// A request that waits for its answer.
pub struct Asked {
    pub line: String,
    pub head: String,
    pub body: Vec<u8>,
    stream: Box<dyn Stream>,
}

impl FakeHttp {
    pub async fn start(environment: &Environment) -> FakeHttp {
        FakeHttp(environment.network.bind("127.0.0.1:0").await.unwrap())
    }

    pub fn address(&self) -> String {
        self.0.local_addr().to_string()
    }

    pub async fn asked(&self) -> Asked {
        let (mut stream, _) = self.0.accept().await.unwrap();
        let mut buffer = BytesMut::new();
        loop {
            let text = String::from_utf8_lossy(&buffer).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())
                    .unwrap_or(0);
                if body.len() >= length {
                    let line = head.lines().next().unwrap_or_default().to_owned();
                    return Asked {
                        line,
                        head: head.to_owned(),
                        body: body.as_bytes().to_vec(),
                        stream,
                    };
                }
            }
            assert!(
                stream.read_buf(&mut buffer).await.unwrap() > 0,
                "closed in the middle of {text:?}"
            );
        }
    }
}

impl Asked {
    pub async fn answer(mut self, status: &str, body: &str) {
        let length = body.len();
        self.write(&format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        ))
        .await;
    }

    pub async fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Whether the other side still takes it.
    pub async fn try_write(&mut self, text: &str) -> bool {
        self.stream.write_all(text.as_bytes()).await.is_ok()
    }

    /// Begins an answer of unknown length.
    pub async fn begin(&mut self) {
        self.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
    }

    pub async fn chunk(&mut self, text: &str) {
        self.write(&format!("{:x}\r\n{text}\r\n", text.len())).await;
    }

    /// Begins an answer with batches of events.
    pub async fn begin_batches(&mut self) {
        let kind = client::wire::RECORD_BATCH_MEDIA_TYPE;
        self.write(&format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
        ))
        .await;
    }

    pub async fn chunk_of(&mut self, bytes: &[u8]) {
        self.write(&format!("{:x}\r\n", bytes.len())).await;
        self.stream.write_all(bytes).await.unwrap();
        self.write("\r\n").await;
    }

    /// Ends it as it should end; without this it is cut.
    pub async fn end(mut self) {
        self.write("0\r\n\r\n").await;
    }
}

pub fn admin_of(environment: &Environment, addresses: &[&str]) -> Admin {
    let options = Options::new(addresses.iter().copied()).deadline(Duration::from_secs(20));
    Admin::new(environment.clone(), options).unwrap()
}
