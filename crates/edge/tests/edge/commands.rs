use machine::{Body, Claim, Decision, Sequence, SessionId, SubmitError};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::browser::Open;
use crate::fake::Fake;
use crate::serve;

const TRANSFER: &str = "/v1/apps/ledger/commands/transfer";

#[tokio::test]
async fn a_command_is_answered_with_index_outcome_and_reply() {
    let served = serve(Fake::leading()).await;
    let answer = served
        .browser
        .post(TRANSFER, "{\"amount\": 12345678901234567890123}")
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(
        answer.text(),
        "{\"index\":11,\"outcome\":\"applied\",\"reply\":{\"amount\": 12345678901234567890123}}"
    );

    let answer = served
        .browser
        .post("/v1/apps/ledger/commands/refuse?version=3", "{}")
        .await;
    assert_eq!(
        answer.json(),
        json!({"index": 12, "outcome": "refused", "reply": {"why": "poor"}})
    );
    let answer = served.browser.post("/v1/apps/ledger/commands/opaque", "{}").await;
    assert_eq!(
        answer.json(),
        json!({"index": 13, "outcome": "applied", "reply_base64": "/wA="})
    );
    let answer = served.browser.post("/v1/apps/ledger/commands/silent", "{}").await;
    assert_eq!(answer.json(), json!({"index": 14, "outcome": "applied"}));

    let requests = served.fake.state.lock().requests.clone();
    assert_eq!((requests[0].version, requests[1].version), (1, 3));
    assert_eq!(requests[0].claim, None);
}

#[tokio::test]
async fn a_session_travels_in_headers() {
    let served = serve(Fake::leading()).await;
    let answer = served.browser.post("/v1/sessions", "").await;
    assert_eq!(answer.json(), json!({"session": 11}));
    assert_eq!(served.fake.state.lock().bodies, [Body::OpenSession]);

    let headers = [("Seachange-Session", "11"), ("Seachange-Sequence", "7")];
    let answer = served.browser.call("POST", TRANSFER, &headers, b"{}").await;
    assert_eq!(answer.status, 200);
    let claim = served.fake.state.lock().requests[0].claim;
    assert_eq!(
        claim,
        Some(Claim {
            session: SessionId(11),
            sequence: Sequence(7),
            settled: Sequence(0)
        })
    );

    for headers in [
        &[("Seachange-Session", "11")][..],
        &[("Seachange-Sequence", "11")],
        &[("Seachange-Session", "11"), ("Seachange-Sequence", "0")],
        &[("Seachange-Session", "x"), ("Seachange-Sequence", "1")],
        &[("Idempotency-Key", "x")],
    ] {
        let answer = served.browser.call("POST", TRANSFER, headers, b"{}").await;
        assert_eq!(answer.problem(), (400, "malformed".into()), "{headers:?}");
    }
    assert_eq!(
        served.fake.state.lock().requests.len(),
        1,
        "none of them came near the log"
    );
}

#[tokio::test]
async fn failures_of_a_command_are_problems_with_their_index() {
    let served = serve(Fake::leading()).await;
    for (target, status, code) in [
        ("/v1/apps/ledger/commands/nothing", 404, "unknown_command"),
        ("/v1/apps/nothing/commands/x", 404, "unknown_application"),
        ("/v1/apps/No!/commands/x", 404, "unknown_application"),
        ("/v1/apps/ledger/commands/No%20name", 404, "unknown_command"),
        ("/v1/apps/ledger/commands/trap", 422, "application_trapped"),
        ("/v1/apps/ledger/commands/expired", 410, "session_expired"),
    ] {
        let answer = served.browser.post(target, "{}").await;
        assert_eq!(answer.problem(), (status, code.into()), "{target}");
    }
    let answer = served.browser.post("/v1/apps/ledger/commands/trap", "{}").await;
    assert_eq!(answer.json()["index"], 15, "names that nothing can have took no entry");
    assert_eq!(answer.json()["type"], "/v1/errors/application_trapped");
}

#[tokio::test]
async fn what_no_application_could_read_does_not_reach_the_log() {
    let served = serve(Fake::leading()).await;
    for body in [&b""[..], b"{", b"{} {}", b"\xff", b"{\"a\":nan}"] {
        let answer = served.browser.call("POST", TRANSFER, &[], body).await;
        assert_eq!(answer.problem(), (400, "malformed".into()), "{body:?}");
    }
    let answer = served.browser.post(&format!("{TRANSFER}?version=x"), "{}").await;
    assert_eq!(answer.problem(), (400, "malformed".into()));
    let answer = served.browser.post(&format!("{TRANSFER}?versoin=1"), "{}").await;
    assert_eq!(answer.problem(), (400, "malformed".into()));
    assert!(answer.text().contains("versoin"), "{}", answer.text());
    assert!(served.fake.state.lock().requests.is_empty());
}

#[tokio::test]
async fn a_body_past_its_limit_is_refused_and_the_client_gets_to_know() {
    let served = serve(Fake::leading()).await;
    let most = machine::limits::COMMAND_BYTES_MAX;
    let fits = format!("\"{}\"", "x".repeat(most - 2));
    let answer = served.browser.post(TRANSFER, &fits).await;
    assert_eq!(answer.status, 200);
    // Far more than the system's buffers take: many clients see the answer only if they could send it all.
    let large = vec![b' '; 16 * most];
    let mut stream = served.browser.connect().await;
    let head = format!("POST {TRANSFER} HTTP/1.1\r\ncontent-length: {}\r\n\r\n", large.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&large).await.unwrap();
    let answer = Open::read(stream).await.whole().await;
    assert_eq!(answer.problem(), (413, "too_large".into()));
    assert_eq!(served.fake.state.lock().requests.len(), 1);
}

#[tokio::test]
async fn errors_of_the_cluster_have_their_codes() {
    let served = serve(Fake::leading()).await;
    let unknown = |text: &str| SubmitError::OutcomeUnknown(text.into());
    for (error, status, code) in [
        (unknown("lost"), 504, "outcome_unknown"),
        (SubmitError::Overloaded("full".into()), 503, "overloaded"),
        (SubmitError::TooLarge("it is too large".into()), 413, "too_large"),
        (SubmitError::Unavailable("stopping".into()), 503, "unavailable"),
    ] {
        served.fake.state.lock().submits.push_back(Err(error));
        let answer = served.browser.post(TRANSFER, "{}").await;
        assert_eq!(answer.problem(), (status, code.into()));
        assert_eq!(answer.headers.contains_key("retry-after"), code == "overloaded");
    }
    let refused = Decision::Refused {
        code: "no_cluster",
        reason: "the cluster has not begun".into(),
    };
    served.fake.state.lock().decisions.push_back(Ok(refused));
    let answer = served.browser.post("/v1/sessions", "").await;
    assert_eq!(answer.problem(), (503, "unavailable".into()));
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_problems() {
    let served = serve(Fake::leading()).await;
    for target in ["/v2/apps", "/v1", "/favicon.ico", "/v1/changes/1/jump"] {
        let method = if target.ends_with("jump") { "POST" } else { "GET" };
        let answer = served.browser.call(method, target, &[], b"").await;
        assert_eq!(answer.problem(), (404, "not_found".into()), "{target}");
    }
    for (method, target) in [
        ("GET", TRANSFER),
        ("GET", "/v1/apps/ledger/commands"),
        ("DELETE", "/v1/apps"),
        ("POST", "/v1/status"),
        ("POST", "/v1/changes/1/watch"),
        ("NONSENSE", "/v1/status"),
    ] {
        let answer = served.browser.call(method, target, &[], b"").await;
        assert_eq!(
            answer.problem(),
            (405, "method_not_allowed".into()),
            "{method} {target}"
        );
        assert!(answer.headers.contains_key("allow"), "{method} {target}");
    }
}
