use machine::{Body, CommitConsumer, Decision, Index, Offset, ReadError, RemoveConsumer};
use serde_json::{Value, json};

use crate::fake::{Fake, ME, OTHER, node};
use crate::{Served, serve};

const AUDIT: &str = "/v1/streams/ledger.transfers/consumers/audit";

async fn with_events(count: usize) -> Served {
    let served = serve(Fake::leading()).await;
    for _ in 0..count {
        served.fake.emit("ledger.transfers", b"1");
    }
    served
}

async fn put(served: &Served, body: Value) -> (u16, Value) {
    let answer = served
        .browser
        .call("PUT", AUDIT, &[], body.to_string().as_bytes())
        .await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn a_consumer_is_committed_shown_listed_and_removed() {
    let served = with_events(10).await;
    let answer = served.browser.get(AUDIT).await;
    assert_eq!(answer.problem(), (404, "unknown_consumer".into()));
    let committed = put(&served, json!({"offset": 4})).await;
    assert_eq!(
        committed,
        (
            200,
            json!({"stream": "ledger.transfers", "name": "audit", "offset": 4, "index": 11})
        )
    );
    let record = json!({
        "stream": "ledger.transfers", "name": "audit",
        "offset": 4, "start": 0, "end": 10, "lag": 6, "missed": 0, "committed_ms": 5,
    });
    assert_eq!(served.browser.get(AUDIT).await.json(), record);
    let list = served.browser.get("/v1/consumers").await.json();
    assert_eq!(list, json!({"index": 11, "consumers": [record]}));
    let removed = served.browser.call("DELETE", AUDIT, &[], b"").await.json();
    assert_eq!(
        removed,
        json!({"stream": "ledger.transfers", "name": "audit", "index": 12})
    );
    assert_eq!(served.browser.get("/v1/consumers").await.json()["consumers"], json!([]));
    let bodies = served.fake.state.lock().bodies.clone();
    let commit = CommitConsumer {
        stream: "ledger.transfers".into(),
        consumer: "audit".into(),
        offset: Offset(4),
        expected: None,
        reset: false,
    };
    let remove = RemoveConsumer {
        stream: "ledger.transfers".into(),
        consumer: "audit".into(),
    };
    assert_eq!(bodies, [Body::CommitConsumer(commit), Body::RemoveConsumer(remove)]);
}

#[tokio::test]
async fn what_a_commit_expects_and_allows_reaches_the_log() {
    let served = with_events(10).await;
    put(&served, json!({"offset": 4, "expected": 7, "reset": true})).await;
    let Some(Body::CommitConsumer(commit)) = served.fake.state.lock().bodies.pop() else {
        panic!("no commit")
    };
    assert_eq!((commit.expected, commit.reset), (Some(Offset(7)), true));
    for body in [
        json!({}),
        json!({"offset": -1}),
        json!({"offset": 1, "ofset": 2}),
        json!(7),
    ] {
        let answer = served
            .browser
            .call("PUT", AUDIT, &[], body.to_string().as_bytes())
            .await;
        assert_eq!(answer.problem(), (400, "malformed".into()), "{body}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_machine_keeps_its_name() {
    let served = with_events(10).await;
    for (code, status) in [
        ("consumer_moved", 409),
        ("consumer_goes_back", 409),
        ("too_many_consumers", 409),
        ("consumer_invalid", 422),
        ("offset_past_end", 422),
        ("events_trimmed", 410),
        ("unknown_stream", 404),
    ] {
        let refused = Decision::Refused {
            code,
            reason: "because of that".into(),
        };
        served.fake.state.lock().decisions.push_back(Ok(refused));
        let answer = served.browser.call("PUT", AUDIT, &[], br#"{"offset":1}"#).await;
        assert_eq!(answer.problem(), (status, code.to_owned()));
    }
}

#[tokio::test]
async fn a_stream_is_read_from_where_a_consumer_stands() {
    let served = with_events(10).await;
    put(&served, json!({"offset": 7})).await;
    let offsets = |text: String| -> Vec<u64> {
        let offset = |line: &str| serde_json::from_str::<Value>(line).unwrap()["offset"].as_u64().unwrap();
        text.lines().map(offset).collect()
    };
    let stream = "/v1/streams/ledger.transfers";
    let text = served.browser.get(&format!("{stream}?consumer=audit")).await.text();
    assert_eq!(offsets(text), [7, 8, 9]);
    // A client of server-sent events that lost its connection goes on behind what it got.
    let resumed = [("Last-Event-ID", "8")];
    let answer = served
        .browser
        .call("GET", &format!("{stream}?consumer=audit"), &resumed, b"")
        .await;
    assert_eq!(offsets(answer.text()), [9]);
    let answer = served.browser.get(&format!("{stream}?consumer=other")).await;
    assert_eq!(answer.problem(), (404, "unknown_consumer".into()));
    let answer = served.browser.get("/v1/streams/no.such?consumer=audit").await;
    assert_eq!(answer.problem(), (404, "unknown_stream".into()));
    let answer = served.browser.get(&format!("{stream}?consumer=audit&from=1")).await;
    assert_eq!(answer.problem(), (400, "malformed".into()));
}

#[tokio::test]
async fn a_place_is_shown_only_once_it_is_known_to_be_fresh() {
    let served = with_events(10).await;
    put(&served, json!({"offset": 7})).await;
    let unconfirmed = || Err(ReadError::Unconfirmed("no leader is known".into()));
    // Once is waited for; for ever is not.
    served.fake.state.lock().confirmations.push_back(unconfirmed());
    assert_eq!(served.browser.get(AUDIT).await.json()["offset"], 7);
    for _ in 0..1000 {
        served.fake.state.lock().confirmations.push_back(unconfirmed());
    }
    let answer = served.browser.get(AUDIT).await;
    assert_eq!(answer.problem(), (503, "read_unconfirmed".into()));
    let stale = served.browser.get(&format!("{AUDIT}?consistency=stale")).await;
    assert_eq!(stale.json()["offset"], 7);
}

#[tokio::test]
async fn a_commit_at_a_follower_is_the_leaders() {
    let leader = with_events(10).await;
    let follower = serve(Fake::following(Some(OTHER))).await;
    let address = leader.edge.address().to_string();
    follower.fake.change_with(|state| {
        state.applied = Index(100);
        state.catalog.nodes.insert(OTHER, node("two", address));
    });
    let committed = put(&follower, json!({"offset": 3})).await;
    assert_eq!((committed.0, &committed.1["index"]), (200, &json!(11)));
    let removed = follower.browser.call("DELETE", AUDIT, &[], b"").await.json();
    assert_eq!(removed["index"], 12);
    assert_eq!(leader.fake.state.lock().bodies.len(), 2);
    assert_eq!(leader.fake.state.lock().leader, Some(ME));
}
