//! Servers that send what is no frame: the client goes elsewhere, and never panics.

use client::wire::frames::{self, FromServer};
use environment::real::environment;
use tokio::io::AsyncWriteExt;

use crate::fake::{Connection, Fake, client_of, play};

fn garbage() -> Vec<Vec<u8>> {
    let frame = |kind: u8, body: &[u8]| {
        let mut out = Vec::new();
        frames::encode(kind, 1, &mut out, |out| out.extend_from_slice(body)).unwrap();
        out
    };
    let mut session = Vec::new();
    FromServer::SessionOpened(3).encode(u64::MAX, &mut session).unwrap();
    vec![
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        vec![0; 64],
        vec![0xff; 64],
        frame(99, b"from the future"),
        frame(5, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        frame(5, b"\x01\x01\xff\xff\x03"),
        frame(7, b"\x01"),
        frame(1, b""),
        frame(2, b"\x63"),
        // A frame that is whole, for a request that was never made; then the end.
        session,
    ]
}

async fn serve(good: &Fake) {
    let mut connection = good.accept().await;
    let (mut correlation, first) = connection.receive().await.unwrap();
    if first == frames::FromClient::OpenSession {
        connection.send(correlation, FromServer::SessionOpened(5)).await;
        correlation = connection.submit().await.0;
    }
    connection.applied(correlation, 40, "done").await;
}

#[tokio::test]
async fn in_place_of_the_first_answer() {
    let environment = environment();
    for bytes in garbage() {
        let (bad, good) = (Fake::start(&environment).await, Fake::start(&environment).await);
        let client = client_of(&environment, &[&bad, &good]);
        let server = async {
            let mut connection: Connection = bad.accept_raw().await;
            let _ = connection.stream.write_all(&bytes).await;
            let _ = connection.stream.shutdown().await;
            serve(&good).await;
        };
        let reply = play(&environment, client.submit("ledger", "open", 1, "{}"), server).await;
        assert!(reply.is_ok(), "{bytes:?}: {reply:?}");
    }
}

#[tokio::test]
async fn in_place_of_a_reply() {
    let environment = environment();
    for bytes in garbage() {
        let (bad, good) = (Fake::start(&environment).await, Fake::start(&environment).await);
        let client = client_of(&environment, &[&bad, &good]);
        let server = async {
            let mut connection = bad.accept_session(5).await;
            let _ = connection.submit().await;
            let _ = connection.stream.write_all(&bytes).await;
            let _ = connection.stream.shutdown().await;
            serve(&good).await;
        };
        let reply = play(&environment, client.submit("ledger", "open", 1, "{}"), server).await;
        assert!(reply.is_ok(), "{bytes:?}: {reply:?}");
    }
}

#[tokio::test]
async fn an_answer_of_another_kind_than_the_request() {
    let environment = environment();
    let (bad, good) = (Fake::start(&environment).await, Fake::start(&environment).await);
    let client = client_of(&environment, &[&bad, &good]);
    let server = async {
        let mut connection = bad.accept_session(5).await;
        let (correlation, _) = connection.submit().await;
        connection.send(correlation, FromServer::SessionOpened(6)).await;
        serve(&good).await;
    };
    assert!(
        play(&environment, client.submit("ledger", "open", 1, "{}"), server)
            .await
            .is_ok()
    );
}
