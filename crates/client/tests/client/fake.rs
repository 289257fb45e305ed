//! A server of the framed protocol whose every answer the test gives.

use std::future::Future;
use std::time::Duration;

use bytes::BytesMut;
use client::wire::Code;
use client::wire::frames::{
    self, ErrorAnswer, FromClient, FromServer, Hello, HelloAnswer, Outcome, Reply, Submit, decode,
};
use client::{Client, Options};
use environment::{Environment, Listener, Stream};
use futures::future::Either;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Longer than any test needs; a test that waits for what never comes fails by it.
const TEST_MAX: Duration = Duration::from_secs(30);

pub async fn within<T>(environment: &Environment, future: impl Future<Output = T>) -> T {
    match environment::timeout(environment, TEST_MAX, future).await {
        Ok(value) => value,
        Err(_) => panic!("the test waits for something that never comes"),
    }
}

/// Plays both sides at once, and gives what the caller got.
pub async fn play<T>(
    environment: &Environment,
    caller: impl Future<Output = T>,
    server: impl Future<Output = ()>,
) -> T {
    within(environment, futures::future::join(caller, server)).await.0
}

/// Plays a server that never comes to its end while the caller is not at its own.
pub async fn play_until<T>(
    environment: &Environment,
    caller: impl Future<Output = T>,
    server: impl Future<Output = std::convert::Infallible>,
) -> T {
    let (caller, server) = (std::pin::pin!(caller), std::pin::pin!(server));
    match within(environment, futures::future::select(caller, server)).await {
        Either::Left((value, _)) => value,
        Either::Right((never, _)) => match never {},
    }
}

pub struct Fake {
    listener: Box<dyn Listener>,
    pub hello: HelloAnswer,
}

/// One connection.
pub struct Connection {
    pub stream: Box<dyn Stream>,
    buffer: BytesMut,
}

impl Fake {
    pub async fn start(environment: &Environment) -> Fake {
        let listener = environment.network.bind("127.0.0.1:0").await.unwrap();
        let hello = HelloAnswer {
            version: 1,
            cluster: 77,
            node: 1,
            binary: "test".into(),
            leader_http: None,
            members_http: Vec::new(),
        };
        Fake { listener, hello }
    }

    pub fn address(&self) -> String {
        self.listener.local_addr().to_string()
    }

    /// A connection before its first frames.
    pub async fn accept_raw(&self) -> Connection {
        let (stream, _) = self.listener.accept().await.unwrap();
        Connection {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// A connection after its first frames, and what the client said in its.
    pub async fn accept_hello(&self) -> (Connection, Hello) {
        let mut connection = self.accept_raw().await;
        let mut magic = [0; 8];
        connection.stream.read_exact(&mut magic).await.unwrap();
        assert_eq!(&magic, frames::MAGIC);
        let (correlation, first) = connection.receive().await.unwrap();
        let FromClient::Hello(hello) = first else {
            panic!("{first:?} is no Hello");
        };
        connection
            .send(correlation, FromServer::HelloAnswer(self.hello.clone()))
            .await;
        (connection, hello)
    }

    pub async fn accept(&self) -> Connection {
        self.accept_hello().await.0
    }

    /// A connection on which the client has opened that session.
    pub async fn accept_session(&self, session: u64) -> Connection {
        let mut connection = self.accept().await;
        connection.open_session(session).await;
        connection
    }
}

impl Connection {
    /// The next frame; none when the client has closed.
    pub async fn receive(&mut self) -> Option<(u64, FromClient)> {
        loop {
            if let Some(raw) = decode(&mut self.buffer).unwrap() {
                return Some((raw.correlation, FromClient::decode(&raw).unwrap()));
            }
            if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub async fn submit(&mut self) -> (u64, Submit) {
        match self.receive().await {
            Some((correlation, FromClient::Submit(submit))) => (correlation, submit),
            other => panic!("{other:?} is no command"),
        }
    }

    pub async fn open_session(&mut self, session: u64) {
        match self.receive().await {
            Some((correlation, FromClient::OpenSession)) => {
                self.send(correlation, FromServer::SessionOpened(session)).await;
            }
            other => panic!("{other:?} asks for no session"),
        }
    }

    pub async fn send(&mut self, correlation: u64, frame: FromServer) {
        let mut out = Vec::new();
        frame.encode(correlation, &mut out).unwrap();
        self.stream.write_all(&out).await.unwrap();
    }

    pub async fn applied(&mut self, correlation: u64, index: u64, reply: &'static str) {
        let outcome = Outcome::Applied(reply.into());
        self.send(correlation, FromServer::Reply(Reply { index, outcome }))
            .await;
    }

    pub async fn outcome(&mut self, correlation: u64, outcome: Outcome) {
        self.send(correlation, FromServer::Reply(Reply { index: 9, outcome }))
            .await;
    }

    pub async fn error(&mut self, correlation: u64, code: Code, leader_http: Option<String>) {
        let error = ErrorAnswer {
            code,
            detail: "by the test".into(),
            leader_http,
        };
        self.send(correlation, FromServer::Error(error)).await;
    }

    /// Waits until the client has closed the connection.
    pub async fn closed(&mut self) {
        assert_eq!(self.receive().await, None);
    }
}

pub fn client_of(environment: &Environment, servers: &[&Fake]) -> Client {
    client_with(environment, servers, Duration::from_secs(20))
}

pub fn client_with(environment: &Environment, servers: &[&Fake], deadline: Duration) -> Client {
    let options = Options::new(servers.iter().map(|server| server.address()))
        .deadline(deadline)
        .named("test");
    Client::connect(environment.clone(), options).unwrap()
}

/// An address at which nobody listens.
pub async fn deserted(environment: &Environment) -> String {
    Fake::start(environment).await.address()
}
