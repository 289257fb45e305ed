use serde_json::{Value, json};

use crate::fake::Fake;
use crate::serve;

const STREAM: &str = "/v1/streams/ledger.transfers";

fn offsets(text: &str) -> Vec<u64> {
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["offset"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn events_come_as_lines_from_an_offset_up_to_a_limit() {
    let served = serve(Fake::leading()).await;
    assert_eq!(served.browser.get(STREAM).await.text(), "");
    served.fake.emit("ledger.transfers", b"{\n\"n\":1}");
    served.fake.emit("ledger.transfers", b"\xff");
    for _ in 2..10 {
        served.fake.emit("ledger.transfers", b"3");
    }
    let answer = served.browser.get(&format!("{STREAM}?limit=2")).await;
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    let text = answer.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines[0],
        json!({"offset": 0, "time_ms": 1_700_000_000_000_u64, "key": "k", "value": {"n": 1}})
    );
    assert_eq!(lines[1]["value_base64"], "/w==");
    assert_eq!(lines.len(), 2);

    assert_eq!(
        offsets(&served.browser.get(&format!("{STREAM}?from=7")).await.text()),
        [7, 8, 9]
    );
    assert_eq!(offsets(&served.browser.get(STREAM).await.text()).len(), 10);
    assert_eq!(served.browser.get(&format!("{STREAM}?from=10")).await.text(), "");
    assert_eq!(served.browser.get(&format!("{STREAM}?from=99")).await.text(), "");
    assert_eq!(served.browser.get(&format!("{STREAM}?limit=0")).await.text(), "");
    let answer = served.browser.get("/v1/streams/nothing.here").await;
    assert_eq!(answer.problem(), (404, "unknown_stream".into()));
    for parameters in ["?from=-1", "?from=x", "?follow=1", "?form=3"] {
        let answer = served.browser.get(&format!("{STREAM}{parameters}")).await;
        assert_eq!(answer.problem(), (400, "malformed".into()), "{parameters}");
    }
}

#[tokio::test]
async fn more_than_one_page_comes_whole_and_in_order() {
    let served = serve(Fake::leading()).await;
    let value: &'static [u8] = Box::leak(vec![b' '; 100_000].into_boxed_slice());
    for _ in 0..20 {
        served.fake.emit("ledger.transfers", value);
    }
    let text = served.browser.get(STREAM).await.text();
    assert_eq!(offsets(&text), (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_follower_sees_events_as_they_come() {
    let served = serve(Fake::leading()).await;
    served.fake.emit("ledger.transfers", b"0");
    let mut open = served
        .browser
        .open("GET", &format!("{STREAM}?follow=true&limit=3"), &[], b"")
        .await;
    assert_eq!(offsets(&open.record().await.unwrap()), [0]);
    served.fake.emit("ledger.transfers", b"1");
    assert_eq!(offsets(&open.record().await.unwrap()), [1]);
    served.fake.emit("ledger.transfers", b"2");
    served.fake.emit("ledger.transfers", b"3");
    assert_eq!(offsets(&open.record().await.unwrap()), [2]);
    assert_eq!(open.record().await, None, "the limit ends it");
}

#[tokio::test]
async fn server_sent_events_resume_and_show_that_they_live() {
    let served = serve(Fake::leading()).await;
    for _ in 0..3 {
        served.fake.emit("ledger.transfers", b"0");
    }
    let headers = [("Accept", "text/event-stream"), ("Last-Event-ID", "1")];
    let mut open = served
        .browser
        .open("GET", &format!("{STREAM}?follow=true"), &headers, b"")
        .await;
    assert_eq!(open.status, 200);
    assert_eq!(open.headers["content-type"], "text/event-stream");
    assert_eq!(open.line().await.unwrap(), "id: 2");
    let data = open.line().await.unwrap();
    assert_eq!(offsets(data.strip_prefix("data: ").unwrap()), [2]);
    assert_eq!(open.line().await.unwrap(), "");
    assert_eq!(open.line().await.unwrap(), ": still here");
    assert_eq!(open.line().await.unwrap(), "");
    served.fake.emit("ledger.transfers", b"0");
    loop {
        match open.line().await.unwrap().as_str() {
            "" | ": still here" => {}
            line => break assert_eq!(line, "id: 3"),
        }
    }
    let answer = served.browser.call("GET", STREAM, &[("Last-Event-ID", "x")], b"").await;
    assert_eq!(answer.problem(), (400, "malformed".into()));
}

#[tokio::test]
async fn streams_are_listed_with_where_they_begin_and_end() {
    let served = serve(Fake::leading()).await;
    served.fake.emit("ledger.transfers", b"0");
    let streams = served.browser.get("/v1/streams").await.json();
    let record = json!({"name": "ledger.transfers", "start": 0, "end": 1, "bytes": 100, "segments": 1});
    assert_eq!(streams, json!({"index": 10, "streams": [record]}));
}
