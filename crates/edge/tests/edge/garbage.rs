use std::time::Duration;

use client::wire::frames::MAGIC;
use edge::{EdgeOptions, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fake::Fake;
use crate::{Served, limits, serve, serve_with};

async fn say(served: &Served, bytes: &[u8]) -> String {
    let mut stream = served.browser.connect().await;
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // The system may report the bytes that were never read as a reset, after the answer.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn garbage_is_answered_with_what_is_spoken_here_and_the_edge_lives_on() {
    let served = serve(Fake::leading()).await;
    for (garbage, reason) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01"[..], "TLS"),
        (b"\0\0\0\0\0\0\0\0", "neither"),
        (b"SEACHNG9", "does not know"),
        (b"{\"a\":1}\n", "neither"),
        (b"\xff", "neither"),
    ] {
        let answer = say(&served, garbage).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(
            answer.contains(reason) && answer.contains("application/problem+json"),
            "{answer}"
        );
    }
    let answer = say(&served, b"GET /v1/status NONSENSE\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(200_000));
    let answer = say(&served, long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert_eq!(served.browser.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_connection_that_says_too_little_is_closed() {
    let options = EdgeOptions {
        limits: Limits {
            head_time_max: Duration::from_millis(50),
            body_time_max: Duration::from_millis(50),
            frame_time_max: Duration::from_millis(50),
            ..limits()
        },
        ..EdgeOptions::default()
    };
    let served = serve_with(Fake::leading(), options).await;
    assert!(say(&served, b"GE").await.contains("in time"));
    say(&served, b"GET /v1/status HTTP/1.1\r\nhost:").await;
    assert_eq!(say(&served, MAGIC).await, "");
    let head = b"POST /v1/apps/ledger/commands/transfer HTTP/1.1\r\ncontent-length: 9\r\n\r\n{";
    let answer = say(&served, head).await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("did not arrive"),
        "{answer}"
    );
    assert!(served.fake.state.lock().requests.is_empty());
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_at_once() {
    let served = serve(Fake::leading()).await;
    let head = b"PUT /v1/modules/0000000000000000000000000000000000000000000000000000000000000000 HTTP/1.1\r\n\
        expect: 100-continue\r\ncontent-length: 999999999\r\n\r\n";
    let answer = say(&served, head).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}
