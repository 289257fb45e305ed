//! What the world may ask of a node at once: just at each limit, and just past it.

use std::time::Duration;

use bytes::Bytes;
use client::wire;
use client::wire::frames::{FromClient, FromServer};
use edge::limits::{DOCUMENT_BODY_BYTES_MAX, HEAD_BYTES_MAX, READY_LAG_MAX, SCAN_ROWS_DEFAULT};
use edge::{EdgeOptions, Limits};
use futures::poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::browser::Open;
use crate::fake::Fake;
use crate::framer::{Framer, submit};
use crate::{Served, limits, serve, serve_with};

async fn serve_within(limits: Limits) -> Served {
    let options = EdgeOptions {
        limits,
        ..EdgeOptions::default()
    };
    serve_with(Fake::leading(), options).await
}

#[tokio::test]
async fn a_head_may_have_so_many_bytes() {
    let served = serve(Fake::leading()).await;
    let head = |bytes: usize| {
        let (begin, end) = ("GET /v1/status HTTP/1.1\r\nhost: x\r\nx-long: ", "\r\n\r\n");
        format!("{begin}{}{end}", "x".repeat(bytes - begin.len() - end.len()))
    };
    let ask = async |bytes: usize| {
        let mut stream = served.browser.connect().await;
        let _ = stream.write_all(head(bytes).as_bytes()).await;
        Open::read(stream).await.status
    };
    // The parser looks once its buffer is full, and the buffer holds one byte less than the limit.
    assert_eq!(ask(HEAD_BYTES_MAX - 1).await, 200);
    assert_eq!(ask(HEAD_BYTES_MAX + 1).await, 431);
}

#[tokio::test]
async fn a_body_may_have_so_many_bytes() {
    let served = serve(Fake::leading()).await;
    let plan = r#"{"manifest":{"application":"ledger","version":2},"code":{"native":true}}"#;
    let padded = |bytes: usize| format!("{plan}{}", " ".repeat(bytes - plan.len()));
    let answer = served
        .browser
        .post("/v1/changes", &padded(DOCUMENT_BODY_BYTES_MAX))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = served
        .browser
        .post("/v1/changes", &padded(DOCUMENT_BODY_BYTES_MAX + 1))
        .await;
    assert_eq!(answer.problem(), (413, "too_large".into()));
}

#[tokio::test]
async fn a_scan_without_a_limit_has_one() {
    let served = serve(Fake::leading()).await;
    let scanned = async |rows: usize| {
        let all = (0..rows).map(|nth| (Bytes::from(format!("{nth:06}")), Bytes::from_static(b"1")));
        let all = all.collect();
        served.fake.state.lock().rows.insert("accounts".into(), all);
        let json = served.browser.get("/v1/apps/ledger/tables/accounts/rows").await.json();
        (json["rows"].as_array().unwrap().len(), json["more"].as_bool().unwrap())
    };
    assert_eq!(scanned(SCAN_ROWS_DEFAULT).await, (SCAN_ROWS_DEFAULT, false));
    assert_eq!(scanned(SCAN_ROWS_DEFAULT + 1).await, (SCAN_ROWS_DEFAULT, true));
}

#[tokio::test]
async fn a_node_that_lags_no_more_than_it_may_is_ready() {
    let served = serve(Fake::leading()).await;
    let ready = async |lag: u64| {
        served
            .fake
            .change_with(|state| state.committed.0 = state.applied.0 + lag);
        served.browser.get("/readyz").await.status
    };
    assert_eq!(ready(READY_LAG_MAX).await, 200);
    assert_eq!(ready(READY_LAG_MAX + 1).await, 503);
}

#[tokio::test]
async fn a_connection_past_the_limit_waits_for_its_turn() {
    let served = serve_within(Limits {
        connections_max: 2,
        ..limits()
    })
    .await;
    let (mut first, _) = Framer::connect(&served.browser).await;
    let (second, _) = Framer::connect(&served.browser).await;
    let mut third = served.browser.connect().await;
    let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    third.write_all(request).await.unwrap();
    for correlation in 1..20 {
        let answer = first
            .ask(correlation, FromClient::Submit(submit("transfer", "{}")))
            .await;
        assert!(matches!(answer, FromServer::Reply(_)), "those that are in are served");
    }
    let mut byte = [0; 1];
    assert!(
        poll!(Box::pin(third.read(&mut byte))).is_pending(),
        "it is not its turn"
    );
    drop(second);
    assert_eq!(Open::read(third).await.status, 200);
}

#[tokio::test]
async fn a_request_has_its_time() {
    let served = serve_within(Limits {
        request_time_max: Duration::from_millis(30),
        ..limits()
    })
    .await;
    // Nobody lets it go on; whether it is applied later cannot be known.
    let answer = served.browser.post("/v1/apps/ledger/commands/wait", "{}").await;
    assert_eq!(answer.status, 504, "{}", answer.text());
}

#[tokio::test]
async fn a_connection_may_be_idle_for_its_time() {
    let served = serve_within(Limits {
        frame_time_max: Duration::from_millis(10),
        idle_time_max: Duration::from_millis(40),
        ..limits()
    })
    .await;
    let (mut framer, _) = Framer::connect(&served.browser).await;
    let (correlation, answer) = framer.next().await.unwrap();
    assert!(
        correlation == 0 && matches!(&answer, FromServer::Error(error) if error.detail.contains("idle")),
        "{answer:?}"
    );
    assert_eq!(framer.next().await, None);
}

/// The client's crate knows nothing of the machine's, and says the same.
#[test]
fn both_ends_know_the_same_limits() {
    assert_eq!(wire::limits::COMMAND_BYTES_MAX, machine::limits::COMMAND_BYTES_MAX);
    assert_eq!(wire::limits::SESSION_WINDOW, machine::limits::SESSION_WINDOW);
    const { assert!(wire::limits::NAME_BYTES_MAX >= machine::limits::NAME_BYTES_MAX) };
    const { assert!(wire::limits::NAME_BYTES_MAX >= machine::limits::ADDRESS_BYTES_MAX) };
    const { assert!(wire::limits::HELLO_ADDRESSES_MAX >= machine::limits::NODES_MAX) };
}
