use bytes::{Buf, Bytes};
use machine::{Body, Event, Offset, TrimStreams};
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

const BATCHES: (&str, &str) = ("Accept", "application/vnd.seachange.record-batches");

/// The events of batches, and how many batches were empty.
fn unpacked(mut bytes: Bytes) -> (Vec<Event>, usize) {
    let (mut events, mut empty) = (Vec::new(), 0);
    while !bytes.is_empty() {
        let whole = store::streams::batch::whole_bytes(&bytes).unwrap().unwrap();
        let batch = bytes.split_to(whole);
        match batch.slice(57..).get_u32() {
            0 => empty += 1,
            _ => events.extend(store::streams::batch::decode(&batch).unwrap()),
        }
    }
    (events, empty)
}

#[tokio::test]
async fn events_come_in_batches_where_that_is_asked_for() {
    let served = serve(Fake::leading()).await;
    for value in [&b"0"[..], b"\xff", b"2", b"3"] {
        served.fake.emit("ledger.transfers", value);
    }
    let all = served.fake.state.lock().streams["ledger.transfers"].clone();
    for (parameters, expected) in [
        ("", 0..4),
        ("?from=1", 1..4),
        ("?from=1&limit=2", 1..3),
        ("?limit=0", 0..0),
        ("?from=4", 0..0),
        ("?from=99", 0..0),
    ] {
        let target = format!("{STREAM}{parameters}");
        let answer = served.browser.call("GET", &target, &[BATCHES], b"").await;
        assert_eq!(answer.headers["content-type"], BATCHES.1);
        assert_eq!(answer.headers["seachange-stream-end"], "4");
        assert_eq!(
            unpacked(answer.body.into()),
            (all[expected].to_vec(), 0),
            "{parameters}"
        );
    }
    let answer = served
        .browser
        .call("GET", &format!("{STREAM}?from=3"), &[BATCHES], b"")
        .await;
    assert_eq!(answer.headers["seachange-stream-from"], "3");
    let answer = served
        .browser
        .call("GET", "/v1/streams/nothing.here", &[BATCHES], b"")
        .await;
    assert_eq!(answer.problem(), (404, "unknown_stream".into()));
}

#[tokio::test]
async fn a_follower_of_batches_sees_them_as_they_come_and_that_the_node_is_there() {
    let served = serve(Fake::leading()).await;
    served.fake.emit("ledger.transfers", b"0");
    let target = format!("{STREAM}?follow=true&limit=2");
    let mut open = served.browser.open("GET", &target, &[BATCHES], b"").await;
    let (mut events, mut empty) = (Vec::new(), 0);
    while let Some(chunk) = open.next_chunk().await {
        let (more, heartbeats) = unpacked(chunk.into());
        events.extend(more.iter().map(|event| event.offset.0));
        if empty == 0 && heartbeats > 0 {
            served.fake.emit("ledger.transfers", b"1");
        }
        empty += heartbeats;
    }
    assert_eq!(events, [0, 1], "the limit ends it");
}

#[tokio::test]
async fn streams_are_listed_with_where_they_begin_and_end() {
    let served = serve(Fake::leading()).await;
    served.fake.emit("ledger.transfers", b"0");
    let streams = served.browser.get("/v1/streams").await.json();
    let record = json!({"name": "ledger.transfers", "start": 0, "end": 1, "bytes": 100, "segments": 1});
    assert_eq!(streams, json!({"index": 10, "streams": [record]}));
}

#[tokio::test]
async fn a_stream_that_is_trimmed_says_so_and_where_it_begins() {
    let served = serve(Fake::leading()).await;
    for _ in 0..10 {
        served.fake.emit("ledger.transfers", b"0");
    }
    let answer = served.browser.post(&format!("{STREAM}/trim"), r#"{"before":6}"#).await;
    assert_eq!(
        answer.json(),
        json!({"stream": "ledger.transfers", "before": 6, "index": 11})
    );
    let trim = TrimStreams {
        starts: [("ledger.transfers".to_owned(), Offset(6))].into(),
    };
    assert_eq!(served.fake.state.lock().bodies, [Body::TrimStreams(trim)]);
    for body in ["", "{}", r#"{"before":-1}"#, r#"{"before":6,"force":true}"#] {
        let answer = served.browser.post(&format!("{STREAM}/trim"), body).await;
        assert_eq!(answer.problem(), (400, "malformed".into()), "{body}");
    }
    served.fake.state.lock().start = Offset(6);
    let answer = served.browser.get(&format!("{STREAM}?from=5")).await;
    assert_eq!(answer.problem(), (410, "events_trimmed".into()));
    assert_eq!(answer.json()["first_offset"], 6);
    // Without an offset it is read from the first event that is there.
    let answer = served.browser.get(STREAM).await;
    assert_eq!(offsets(&answer.text()), [6, 7, 8, 9]);
    assert_eq!(answer.headers["seachange-stream-start"], "6");
    assert_eq!(answer.headers["seachange-stream-end"], "10");
    let streams = served.browser.get("/v1/streams").await.json();
    assert_eq!(
        (&streams["streams"][0]["start"], &streams["streams"][0]["end"]),
        (&json!(6), &json!(10))
    );
}

#[tokio::test]
async fn a_consumer_before_the_start_is_told_what_it_missed_and_what_to_do() {
    let served = serve(Fake::leading()).await;
    for _ in 0..10 {
        served.fake.emit("ledger.transfers", b"0");
    }
    let audit = format!("{STREAM}/consumers/audit");
    served.browser.call("PUT", &audit, &[], br#"{"offset":2}"#).await;
    served.fake.state.lock().start = Offset(6);
    let record = served.browser.get(&audit).await.json();
    assert_eq!((&record["lag"], &record["missed"]), (&json!(4), &json!(4)));
    let answer = served.browser.get(&format!("{STREAM}?consumer=audit")).await;
    assert_eq!(answer.problem(), (410, "events_trimmed".into()));
    let detail = answer.json()["detail"].to_string();
    assert!(
        detail.contains("4 events") && detail.contains("consumer reset ledger.transfers audit"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_follower_that_was_overtaken_by_trimming_is_cut_off_not_misled() {
    let served = serve(Fake::leading()).await;
    served.fake.emit("ledger.transfers", b"0");
    let mut open = served
        .browser
        .open("GET", &format!("{STREAM}?follow=true"), &[], b"")
        .await;
    assert_eq!(offsets(&open.record().await.unwrap()), [0]);
    // Event 1 comes and goes before it is read; the next request gets to know why.
    served.fake.change_with(|state| {
        let event = state.streams["ledger.transfers"][0].clone();
        let events = state.streams.get_mut("ledger.transfers").unwrap();
        events.extend([1, 2].map(|offset| Event {
            offset: Offset(offset),
            ..event.clone()
        }));
        state.start = Offset(2);
    });
    let rest = loop {
        match open.record().await {
            Some(record) if record.trim().is_empty() => {}
            other => break other,
        }
    };
    assert_eq!(rest, None, "nothing is left out without a word");
    let answer = served.browser.get(&format!("{STREAM}?from=1&follow=true")).await;
    assert_eq!(answer.problem(), (410, "events_trimmed".into()));
}

#[tokio::test]
async fn events_come_in_the_version_that_is_asked_for_or_that_the_consumer_is_pinned_to() {
    let served = serve(Fake::leading()).await;
    for _ in 0..2 {
        served.fake.emit("ledger.transfers", b"\"as emitted\"");
    }
    served.fake.change_with(|state| {
        state.streams.get_mut("ledger.transfers").unwrap()[1].version = 3;
    });
    let values = async |parameters: &str| {
        let text = served.browser.get(&format!("{STREAM}{parameters}")).await.text();
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        records
            .map(|record| (record["value"].clone(), record["version"].clone()))
            .collect::<Vec<_>>()
    };
    let first = (json!("as emitted"), Value::Null);
    let emitted = [first.clone(), (json!("as emitted"), json!(3))];
    assert_eq!(values("").await, emitted);
    assert_eq!(values("?event_version=3").await, emitted);
    assert_eq!(values("?event_version=2").await, [first.clone(), (json!(2), json!(2))]);
    let audit = format!("{STREAM}/consumers/audit");
    served.browser.call("PUT", &audit, &[], b"{\"offset\":0}").await;
    assert_eq!(values("?consumer=audit").await, emitted);
    let pin = format!("{audit}/event-version");
    let pinned = served
        .browser
        .call("PUT", &pin, &[], b"{\"event_version\":1}")
        .await
        .json();
    assert_eq!(
        pinned,
        json!({"stream": "ledger.transfers", "name": "audit", "event_version": 1, "index": 12})
    );
    assert_eq!(values("?consumer=audit").await, [first, (json!(1), Value::Null)]);
    assert_eq!(served.browser.get(&audit).await.json()["event_version"], 1);
    let usage = served.browser.get("/v1/apps/ledger/usage").await.json();
    assert_eq!(
        usage["consumers"],
        json!([{"stream": "ledger.transfers", "name": "audit", "event_version": 1, "pinned": true, "last_ms": 5}])
    );
    // Batches lie as they were emitted.
    let accept = [("accept", "application/vnd.seachange.record-batches")];
    let answer = served
        .browser
        .call("GET", &format!("{STREAM}?consumer=audit"), &accept, b"")
        .await;
    assert_eq!(answer.problem(), (400, "malformed".into()));
    for (path, body) in [
        (&pin, "{}"),
        (&pin, "{\"event_version\":-1}"),
        (&audit, "{\"event_version\":1}"),
    ] {
        let answer = served.browser.call("PUT", path, &[], body.as_bytes()).await;
        assert_eq!(answer.problem(), (400, "malformed".into()), "{path} {body}");
    }
    let answer = served.browser.get(&format!("{STREAM}?event_version=0")).await;
    assert_eq!(answer.problem(), (400, "malformed".into()));
    served.browser.call("PUT", &pin, &[], b"{\"event_version\":null}").await;
    assert_eq!(values("?consumer=audit").await, emitted);
}
