use machine::{Consistency, Failure, FailureCode, Index, ReadError};
use serde_json::json;

use crate::fake::{Fake, OTHER, node};
use crate::serve;

#[tokio::test]
async fn rows_are_read_one_by_one_and_in_ranges() {
    let served = serve(Fake::leading()).await;
    served.fake.put_row("accounts", "a/1 ü", r#"{"balance":1}"#);
    served.fake.put_row("accounts", "b1", "2");
    served.fake.put_row("accounts", "b2", "3");
    let rows = "/v1/apps/ledger/tables/accounts/rows";

    let answer = served.browser.get(&format!("{rows}/a%2F1%20%C3%BC")).await;
    assert_eq!(
        answer.json(),
        json!({"index": 10, "key": "a/1 ü", "document": {"balance": 1}})
    );
    let answer = served.browser.get(&format!("{rows}/missing")).await;
    assert_eq!(answer.problem(), (404, "row_not_found".into()));
    assert_eq!(answer.json()["index"], 10);

    for (parameters, keys, more) in [
        ("", vec!["a/1 ü", "b1", "b2"], false),
        ("?prefix=b", vec!["b1", "b2"], false),
        ("?prefix=b&limit=1&reverse=true", vec!["b2"], true),
        ("?start=b1&end=b2", vec!["b1"], false),
        ("?start=%62%32", vec!["b2"], false),
        ("?limit=2&consistency=stale", vec!["a/1 ü", "b1"], true),
    ] {
        let json = served.browser.get(&format!("{rows}{parameters}")).await.json();
        let found: Vec<&str> = json["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["key"].as_str().unwrap())
            .collect();
        assert_eq!(found, keys, "{parameters}");
        assert_eq!(json["more"], more, "{parameters}");
        assert_eq!(json["index"], 10);
    }
    let consistencies = served.fake.state.lock().consistencies.clone();
    assert_eq!(
        consistencies.iter().filter(|read| **read == Consistency::Stale).count(),
        1
    );

    for parameters in [
        "?prefix=b&start=a",
        "?limit=0",
        "?limit=-1",
        "?reverse=maybe",
        "?consistency=sometimes",
        "?limti=4",
    ] {
        let answer = served.browser.get(&format!("{rows}{parameters}")).await;
        assert_eq!(answer.problem(), (400, "malformed".into()), "{parameters}");
    }
    let answer = served.browser.get("/v1/apps/ledger/tables/nothing/rows").await;
    assert_eq!(answer.problem(), (404, "unknown_table".into()));
    let answer = served.browser.get("/v1/apps/nothing/tables/accounts/rows/x").await;
    assert_eq!(answer.problem(), (404, "unknown_application".into()));
}

#[tokio::test]
async fn queries_are_answered_or_declined() {
    let served = serve(Fake::leading()).await;
    let answer = served.browser.post("/v1/apps/ledger/queries/total", "[1]").await;
    assert_eq!(
        answer.json(),
        json!({"index": 10, "outcome": "answered", "answer": [1]})
    );
    let answer = served.browser.post("/v1/apps/ledger/queries/total", "").await;
    assert_eq!(answer.json(), json!({"index": 10, "outcome": "answered"}));
    let answer = served
        .browser
        .post("/v1/apps/ledger/queries/decline?consistency=stale", "1")
        .await;
    assert_eq!(answer.json(), json!({"index": 10, "outcome": "refused", "answer": 1}));
    let answer = served.browser.post("/v1/apps/ledger/queries/total", "{").await;
    assert_eq!(answer.problem(), (400, "malformed".into()));
    let answer = served.browser.post("/v1/apps/ledger/queries/nothing", "").await;
    assert_eq!(answer.problem(), (404, "unknown_query".into()));
}

#[tokio::test]
async fn errors_of_reads_have_their_codes() {
    let served = serve(Fake::leading()).await;
    let failed = ReadError::Failed(Failure::new(FailureCode::FuelExhausted, "it ran for too long"));
    for (error, status, code) in [
        (failed, 422, "fuel_exhausted"),
        (ReadError::Unavailable("parked".into()), 503, "unavailable"),
    ] {
        served.fake.state.lock().reads.push_back(Err(error));
        let answer = served.browser.post("/v1/apps/ledger/queries/total", "").await;
        assert_eq!(answer.problem(), (status, code.into()));
    }
}

#[tokio::test]
async fn a_read_that_no_leader_confirms_is_tried_again_for_a_while() {
    let served = serve(Fake::leading()).await;
    let unconfirmed = || Err(ReadError::Unconfirmed("no quorum".into()));
    served.fake.state.lock().reads.push_back(unconfirmed());
    let answer = served.browser.get("/v1/apps/ledger/tables/accounts/rows").await;
    assert_eq!(answer.status, 200);

    served.fake.state.lock().reads.extend((0..1000).map(|_| unconfirmed()));
    let answer = served.browser.get("/v1/apps/ledger/tables/accounts/rows").await;
    assert_eq!(answer.problem(), (503, "read_unconfirmed".into()));
}

#[tokio::test]
async fn applications_are_shown() {
    let served = serve(Fake::leading()).await;
    let answer = served.browser.get("/v1/apps").await.json();
    assert_eq!(answer["index"], 10);
    assert_eq!(answer["apps"][0]["name"], "ledger");
    let app = served.browser.get("/v1/apps/ledger").await.json();
    assert_eq!(app, answer["apps"][0]);
    assert_eq!(app["in_force"], 1);
    assert_eq!(app["history"], json!([{"index": 5, "version": 1}]));
    let version = &app["versions"][0];
    assert_eq!(version["code"], json!({"native": true}));
    assert_eq!(
        version["manifest"]["commands"],
        json!([{"name": "transfer", "versions": [1]}])
    );
    assert_eq!(version["manifest"]["streams"], json!([{"name": "ledger.transfers"}]));
    let usage = served.browser.get("/v1/apps/ledger/usage").await.json();
    assert_eq!(
        usage["commands"],
        json!([{"command": "transfer", "version": 1, "count": 7, "last_ms": 5}])
    );
    let answer = served.browser.get("/v1/apps/nothing/usage").await;
    assert_eq!(answer.problem(), (404, "unknown_application".into()));
    let answer = served.browser.get("/v1/apps/nothing").await;
    assert_eq!(answer.problem(), (404, "unknown_application".into()));
}

#[tokio::test]
async fn the_status_names_members_and_leader() {
    let served = serve(Fake::following(Some(OTHER))).await;
    served
        .fake
        .state
        .lock()
        .catalog
        .nodes
        .insert(OTHER, node("two", "127.0.0.1:9".into()));
    let status = served.browser.get("/v1/status").await.json();
    assert_eq!(status["name"], "one");
    assert_eq!(status["role"], "follower");
    assert_eq!(status["leader"], 2);
    assert_eq!(status["leader_http"], "127.0.0.1:9");
    assert_eq!(status["cluster"], "00000000000000c1");
    assert_eq!(status["members"][1]["name"], "two");
    assert_eq!(status["members"][1]["leader"], true);
    assert_eq!(status["members"][0]["http_address"], served.edge.address().to_string());
}

#[tokio::test]
async fn a_node_says_whether_it_is_ready_and_why_not() {
    let served = serve(Fake::leading()).await;
    assert_eq!(served.browser.get("/healthz").await.json(), json!({"ok": true}));
    assert_eq!(served.browser.get("/readyz").await.json(), json!({"ok": true}));
    let check = async |reason: &str| {
        let answer = served.browser.get("/readyz").await;
        assert_eq!(answer.status, 503);
        assert!(
            answer.json()["reason"].as_str().unwrap().contains(reason),
            "{}",
            answer.text()
        );
        assert_eq!(served.browser.get("/healthz").await.status, 200);
    };
    served.fake.change_with(|state| state.cut_off = true);
    check("no leader confirmed").await;
    served.fake.change_with(|state| state.cut_off = false);
    assert_eq!(served.browser.get("/readyz").await.status, 200);
    assert_eq!(served.browser.open("HEAD", "/readyz", &[], b"").await.status, 200);
    served.fake.change_with(|state| state.committed = Index(20_000));
    check("19990 entries behind").await;
    served
        .fake
        .change_with(|state| (state.leader, state.committed) = (None, Index(10)));
    check("no leader").await;
    served
        .fake
        .change_with(|state| state.parked = Some("module 5f3a… is missing".into()));
    check("module 5f3a… is missing").await;
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_double_whatever_the_keys() {
    let served = serve(Fake::leading()).await;
    let keys: [&'static [u8]; 7] = [b"", b"\0", b"a", b"a\0", b"a\xff", b"b/%2F +", b"\xff\xff"];
    {
        let mut state = served.fake.state.lock();
        let rows = state.rows.entry("accounts".into()).or_default();
        rows.extend(
            keys.iter()
                .map(|key| (bytes::Bytes::from_static(key), bytes::Bytes::from_static(b"1"))),
        );
    }
    let target = "/v1/apps/ledger/tables/accounts/rows";
    for (parameters, mut expected) in [
        ("", keys.to_vec()),
        ("&prefix=a", keys[2..5].to_vec()),
        ("&prefix=%FF", keys[6..].to_vec()),
        ("&start=a%00&end=%FF%FF", keys[3..6].to_vec()),
        ("&start=b/%252F+", keys[5..].to_vec()),
    ] {
        for (size, reverse) in [(1, false), (2, false), (3, true), (1, true), (100, true)] {
            let mut found: Vec<Vec<u8>> = Vec::new();
            let mut cursor = String::new();
            loop {
                let page = format!("{target}?limit={size}&reverse={reverse}{parameters}{cursor}");
                let json = served.browser.get(&page).await.json();
                let rows: client::wire::Rows = serde_json::from_value(json).unwrap();
                found.extend(rows.rows.iter().map(|row| row.key.to_vec()));
                assert_eq!(rows.more, rows.next.is_some());
                // What is written between two pages moves neither.
                served.fake.put_row("accounts", "\0\0between", "2");
                served
                    .fake
                    .state
                    .lock()
                    .rows
                    .get_mut("accounts")
                    .unwrap()
                    .remove(&b"\0\0between"[..]);
                match rows.next {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            if reverse {
                expected.reverse();
            }
            assert_eq!(found, expected, "{parameters} {size} {reverse}");
            if reverse {
                expected.reverse();
            }
        }
    }
    for parameters in [
        "?cursor=x",
        "?cursor=r61",
        "?cursor=f61&reverse=true",
        "?cursor=f61&prefix=b",
    ] {
        let answer = served.browser.get(&format!("{target}{parameters}")).await;
        assert_eq!(answer.problem(), (400, "malformed".into()), "{parameters}");
    }
    // Each of the keys can be asked for by itself.
    for (escaped, key) in [("%00", "AA=="), ("a%FF", "Yf8="), ("%FF%FF", "//8=")] {
        let row = served.browser.get(&format!("{target}/{escaped}")).await.json();
        assert!(row["key_base64"] == key || row["key"] == "\0", "{row}");
    }
    let row = served.browser.get(&format!("{target}/b%2F%252F%20+")).await.json();
    assert_eq!(row["key"], "b/%2F +");
}
