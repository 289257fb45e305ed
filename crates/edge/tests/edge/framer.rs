//! The other end of the framed protocol, with nothing in it that could hide what the server does.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use client::wire::frames::{Claim, FromClient, FromServer, Hello, HelloAnswer, MAGIC, Submit, decode};
use environment::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::browser::Browser;

pub struct Framer {
    pub stream: Box<dyn Stream>,
    input: BytesMut,
}

pub fn hello() -> Hello {
    Hello {
        version_min: 1,
        version_max: 1,
        cluster: None,
        name: "test".into(),
        binary: "0".into(),
    }
}

pub fn submit(command: &str, payload: impl Into<Bytes>) -> Submit {
    Submit {
        claim: None,
        application: "ledger".into(),
        command: command.into(),
        version: 1,
        payload: payload.into(),
    }
}

pub fn claimed(command: &str, sequence: u64) -> Submit {
    Submit {
        claim: Some(Claim {
            session: 7,
            sequence,
            settled: sequence,
        }),
        ..submit(command, "{}")
    }
}

impl Framer {
    /// Sends the magic and a Hello; gives the server's first frame.
    pub async fn greet(browser: &Browser, hello: Hello) -> (Framer, FromServer) {
        let mut framer = Framer {
            stream: browser.connect().await,
            input: BytesMut::new(),
        };
        framer.stream.write_all(MAGIC).await.unwrap();
        framer.send(&[(0, FromClient::Hello(hello))]).await;
        let (correlation, first) = framer.next().await.unwrap();
        assert_eq!(correlation, 0);
        (framer, first)
    }

    pub async fn connect(browser: &Browser) -> (Framer, HelloAnswer) {
        match Framer::greet(browser, hello()).await {
            (framer, FromServer::HelloAnswer(answer)) => (framer, answer),
            (_, other) => panic!("{other:?}"),
        }
    }

    pub async fn send(&mut self, frames: &[(u64, FromClient)]) {
        let mut out = Vec::new();
        for (correlation, frame) in frames {
            frame.encode(*correlation, &mut out).unwrap();
        }
        self.stream.write_all(&out).await.unwrap();
    }

    /// The next answer; none when the server has closed the connection.
    pub async fn next(&mut self) -> Option<(u64, FromServer)> {
        loop {
            if let Some(frame) = decode(&mut self.input).unwrap() {
                return Some((frame.correlation, FromServer::decode(&frame).unwrap()));
            }
            if self.stream.read_buf(&mut self.input).await.unwrap() == 0 {
                assert!(self.input.is_empty(), "it ended in the middle of a frame");
                return None;
            }
        }
    }

    pub async fn ask(&mut self, correlation: u64, frame: FromClient) -> FromServer {
        self.send(&[(correlation, frame)]).await;
        let (answered, answer) = self.next().await.unwrap();
        assert_eq!(answered, correlation);
        answer
    }

    /// So many answers, by correlation id.
    pub async fn collect(&mut self, count: usize) -> BTreeMap<u64, FromServer> {
        let mut answers = BTreeMap::new();
        while answers.len() < count {
            let (correlation, answer) = self.next().await.unwrap();
            assert!(
                answers.insert(correlation, answer).is_none(),
                "{correlation} was answered twice"
            );
        }
        answers
    }
}
