//! A small HTTP client of the tests' own, so that the server is not judged by code that it shares.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use environment::{Environment, Stream};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    /// Status and code of a problem, after a look at the rest of it.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(
            self.headers["content-type"],
            "application/problem+json",
            "{}",
            self.text()
        );
        let json = self.json();
        assert_eq!(json["status"], self.status);
        assert!(json["detail"].as_str().is_some_and(|detail| detail.len() > 8), "{json}");
        assert!(json["title"].as_str().is_some_and(|title| title.len() > 8), "{json}");
        (self.status, json["code"].as_str().unwrap().to_owned())
    }
}

/// An answer of which only the head has been read.
pub struct Open {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    stream: BufReader<Box<dyn Stream>>,
    chunk: Vec<u8>,
}

pub struct Browser {
    pub environment: Environment,
    pub address: SocketAddr,
}

impl Browser {
    pub async fn connect(&self) -> Box<dyn Stream> {
        self.environment
            .network
            .connect(&self.address.to_string())
            .await
            .unwrap()
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.call("GET", target, &[], b"").await
    }

    pub async fn post(&self, target: &str, body: &str) -> Answer {
        self.call("POST", target, &[], body.as_bytes()).await
    }

    pub async fn call(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let answer = self.open(method, target, headers, body).await.whole().await;
        crate::description::check_documented(method, target, &answer);
        answer
    }

    pub async fn open(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Open {
        let mut stream = self.connect().await;
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that refuses early may close before all of it is written.
        let _ = stream.write_all(body).await;
        Open::read(stream).await
    }
}

impl Open {
    pub async fn read(stream: Box<dyn Stream>) -> Open {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let status = line
            .split(' ')
            .nth(1)
            .unwrap_or_else(|| panic!("no status in {line:?}"))
            .parse()
            .unwrap();
        let mut headers = BTreeMap::new();
        loop {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
            match line.trim_end().split_once(": ") {
                Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_owned()),
                None => break,
            };
        }
        Open {
            status,
            headers,
            stream,
            chunk: Vec::new(),
        }
    }

    /// Reads the body to its end.
    pub async fn whole(mut self) -> Answer {
        let mut body = Vec::new();
        match self.headers.get("content-length").cloned() {
            Some(length) => {
                body.resize(length.parse().unwrap(), 0);
                self.stream.read_exact(&mut body).await.unwrap();
            }
            None => {
                while let Some(chunk) = self.next_chunk().await {
                    body.extend_from_slice(&chunk);
                }
            }
        }
        Answer {
            status: self.status,
            headers: self.headers,
            body,
        }
    }

    /// The next piece of a body that comes in chunks; none at its end.
    pub async fn next_chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.unwrap();
        let length = usize::from_str_radix(line.trim_end(), 16).unwrap_or(0);
        let mut chunk = vec![0; length + 2];
        self.stream.read_exact(&mut chunk).await.ok()?;
        chunk.truncate(length);
        (length > 0).then_some(chunk)
    }

    /// The next line that is not empty; none at the end.
    pub async fn record(&mut self) -> Option<String> {
        loop {
            match self.line().await {
                Some(line) if line.is_empty() => {}
                other => return other,
            }
        }
    }

    /// The next line of a body that comes in chunks; none at its end.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.chunk.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.chunk.drain(..=end).collect();
                return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            let chunk = self.next_chunk().await?;
            self.chunk.extend_from_slice(&chunk);
        }
    }
}
