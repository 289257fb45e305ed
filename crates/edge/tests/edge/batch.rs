use std::time::Duration;

use machine::{Sequence, SubmitError};
use serde_json::{Value, json};

use edge::limits::{BATCH_BYTES_MAX, BATCH_COMMANDS_MAX};

use crate::browser::Answer;
use crate::fake::{Fake, ME, OTHER, node};
use crate::routing::{pair, patient};
use crate::{Served, serve, serve_with};

const BATCH: &str = "/v1/apps/ledger/commands";
const LINES: (&str, &str) = ("Content-Type", "application/x-ndjson");
const SESSION: (&str, &str) = ("Seachange-Session", "7");

fn lines(commands: &[&str]) -> String {
    let line = |(place, command): (usize, &&str)| format!("{{\"command\":\"{command}\",\"payload\":{place}}}\n");
    commands.iter().enumerate().map(line).collect()
}

async fn send(served: &Served, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers: Vec<(&str, &str)> = headers.iter().copied().chain([LINES]).collect();
    served.browser.call("POST", BATCH, &headers, body.as_bytes()).await
}

/// Line, outcome, and code or reply of each answer.
fn outcomes(answer: &Answer) -> Vec<(u64, String, String)> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    let read = |line: &str| {
        let json: Value = serde_json::from_str(line).unwrap();
        let what = match json["code"].as_str() {
            Some(code) => code.to_owned(),
            None => json["reply"].to_string(),
        };
        (
            json["line"].as_u64().unwrap(),
            json["outcome"].as_str().unwrap().to_owned(),
            what,
        )
    };
    text.lines().map(read).collect()
}

fn expect(answers: &[(&str, &str)]) -> Vec<(u64, String, String)> {
    let numbered = answers.iter().zip(1..);
    numbered
        .map(|((outcome, what), line)| (line, (*outcome).to_owned(), (*what).to_owned()))
        .collect()
}

#[tokio::test]
async fn each_command_has_an_outcome_of_its_own_in_order() {
    let served = serve(Fake::leading()).await;
    let body = lines(&["transfer", "refuse", "trap", "nothing", "transfer", "expired"]);
    let answer = send(&served, &[], &body).await;
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    assert_eq!(
        outcomes(&answer),
        expect(&[
            ("applied", "0"),
            ("refused", "{\"why\":\"poor\"}"),
            ("failed", "application_trapped"),
            ("failed", "unknown_command"),
            ("applied", "4"),
            ("unknown", "session_expired"),
        ])
    );
    let first: Value = serde_json::from_str(answer.text().lines().next().unwrap()).unwrap();
    assert_eq!(first, json!({"line": 1, "outcome": "applied", "index": 11, "reply": 0}));
    let requests = served.fake.state.lock().requests.clone();
    assert!(
        requests
            .iter()
            .all(|request| request.claim.is_none() && request.version == 1)
    );
}

#[tokio::test]
async fn the_nth_command_has_the_nth_sequence() {
    let served = serve(Fake::leading()).await;
    let body =
        "{\"command\":\"transfer\",\"version\":3,\"payload\":{}}\r\n{\"payload\":[1, 2],\"command\":\"transfer\"}";
    let answer = send(&served, &[SESSION, ("Seachange-Sequence", "5")], body).await;
    assert_eq!(outcomes(&answer), expect(&[("applied", "{}"), ("applied", "[1,2]")]));
    let requests = served.fake.state.lock().requests.clone();
    let sequences: Vec<Sequence> = requests.iter().map(|request| request.claim.unwrap().sequence).collect();
    assert_eq!(sequences, [Sequence(5), Sequence(6)]);
    assert_eq!((requests[0].version, &requests[1].payload[..]), (3, &b"[1, 2]"[..]));
}

#[tokio::test]
async fn answers_come_as_they_are_known_and_all_commands_are_under_way_at_once() {
    let served = serve(Fake::leading()).await;
    let body = lines(&["transfer", "wait", "transfer"]);
    let mut open = served.browser.open("POST", BATCH, &[LINES], body.as_bytes()).await;
    assert!(open.record().await.unwrap().contains("\"line\":1"));
    assert_eq!(served.fake.state.lock().requests.len(), 3, "the third waits for nobody");
    served.fake.gate.add_permits(1);
    assert!(open.record().await.unwrap().contains("\"line\":2"));
    assert!(open.record().await.unwrap().contains("\"line\":3"));
    assert_eq!(open.record().await, None);
}

#[tokio::test]
async fn a_line_that_cannot_be_read_refuses_the_batch_before_anything_is_done() {
    let served = serve(Fake::leading()).await;
    let good = "{\"command\":\"transfer\",\"payload\":{}}";
    for (body, says) in [
        (String::new(), "empty"),
        ("\n".into(), "empty"),
        (format!("{good}\n{{"), "line 2"),
        (format!("{good}\n\n{good}"), "line 2"),
        (format!("{good}\n{{\"command\":\"transfer\"}}"), "payload"),
        (format!("{good}\n{{\"command\":\"No name\",\"payload\":1}}"), "No name"),
        (
            format!("{good}\n{{\"command\":\"transfer\",\"payload\":1,\"verison\":2}}"),
            "verison",
        ),
        (
            format!("{good}\n{{\"command\":\"transfer\",\"payload\":nan}}"),
            "line 2",
        ),
        (format!("{good}\n[1]"), "line 2"),
        (format!("{good}\n\u{1}"), "line 2"),
        (
            format!("{{\"command\":\"x\",\"payload\":\"{}\"}}", "x".repeat(1 << 20)),
            "1048576",
        ),
    ] {
        let answer = send(&served, &[], &body).await;
        assert_eq!(answer.problem(), (400, "malformed".into()), "{body:.60}");
        assert!(answer.text().contains(says), "{}", answer.text());
    }
    for headers in [
        &[SESSION][..],
        &[SESSION, ("Seachange-Sequence", "0")],
        &[SESSION, ("Seachange-Sequence", "18446744073709551615")],
        &[("Idempotency-Key", "x")],
    ] {
        let answer = send(&served, headers, &lines(&["transfer", "transfer"])).await;
        assert_eq!(answer.problem(), (400, "malformed".into()), "{headers:?}");
    }
    let answer = served
        .browser
        .call("POST", "/v1/apps/No!/commands", &[LINES], good.as_bytes())
        .await;
    assert_eq!(answer.problem(), (404, "unknown_application".into()));
    assert!(served.fake.state.lock().requests.is_empty());
}

#[tokio::test]
async fn a_batch_has_limits() {
    let served = serve(Fake::leading()).await;
    let answer = send(&served, &[], &lines(&["transfer"; BATCH_COMMANDS_MAX])).await;
    let outcomes = outcomes(&answer);
    assert_eq!(
        (outcomes.len(), outcomes[BATCH_COMMANDS_MAX - 1].0),
        (BATCH_COMMANDS_MAX, BATCH_COMMANDS_MAX as u64)
    );
    let answer = send(&served, &[], &lines(&["transfer"; BATCH_COMMANDS_MAX + 1])).await;
    assert_eq!(answer.problem(), (413, "too_large".into()));
    let long = lines(&["transfer"]) + &" ".repeat(BATCH_BYTES_MAX);
    let answer = send(&served, &[], &long).await;
    assert_eq!(answer.problem(), (413, "too_large".into()));
    assert_eq!(served.fake.state.lock().requests.len(), BATCH_COMMANDS_MAX);
}

#[tokio::test]
async fn bodies_of_another_kind_are_refused_where_they_cannot_be_meant() {
    let served = serve(Fake::leading()).await;
    let body = lines(&["transfer"]);
    let call = async |target: &str, kind: &str| {
        served
            .browser
            .call("POST", target, &[("Content-Type", kind)], body.as_bytes())
            .await
    };
    for kind in ["application/json", "text/plain", "multipart/form-data; boundary=x", ""] {
        assert_eq!(
            call(BATCH, kind).await.problem(),
            (415, "unsupported_media_type".into()),
            "{kind}"
        );
    }
    let answer = served.browser.post(BATCH, &body).await;
    assert_eq!(answer.problem(), (415, "unsupported_media_type".into()));
    assert_eq!(call(BATCH, "Application/X-NDJSON; charset=utf-8").await.status, 200);
    for target in [
        "/v1/apps/ledger/commands/transfer",
        "/v1/apps/ledger/queries/total",
        "/v1/changes",
        "/v1/changes/1/abort",
    ] {
        for kind in ["application/x-ndjson", "application/xml", "application/octet-stream"] {
            assert_eq!(
                call(target, kind).await.problem(),
                (415, "unsupported_media_type".into()),
                "{target} {kind}"
            );
        }
    }
    for kind in [
        "application/json",
        "application/vnd.x+json",
        "application/x-www-form-urlencoded",
        "text/plain",
    ] {
        assert_eq!(
            call("/v1/apps/ledger/commands/transfer", kind).await.status,
            200,
            "{kind}"
        );
    }
}

#[tokio::test]
async fn at_a_follower_the_batch_goes_to_the_leader() {
    let (follower, leader) = pair().await;
    let body = lines(&["transfer", "trap", "transfer"]);
    let answer = send(&follower, &[SESSION, ("Seachange-Sequence", "3")], &body).await;
    assert_eq!(
        outcomes(&answer),
        expect(&[("applied", "0"), ("failed", "application_trapped"), ("applied", "2")])
    );
    let requests = leader.fake.state.lock().requests.clone();
    assert_eq!(requests[2].claim.unwrap().sequence, Sequence(5));
    assert!(
        !follower
            .fake
            .state
            .lock()
            .requests
            .iter()
            .any(|request| request.command == "nothing")
    );
}

#[tokio::test]
async fn what_the_leader_answers_is_passed_on_at_once() {
    let (follower, leader) = pair().await;
    let body = lines(&["transfer", "wait"]);
    let mut open = follower.browser.open("POST", BATCH, &[LINES], body.as_bytes()).await;
    assert!(open.record().await.unwrap().contains("\"line\":1"));
    leader.fake.gate.add_permits(1);
    assert!(open.record().await.unwrap().contains("\"line\":2"));
}

#[tokio::test]
async fn without_a_leader_a_batch_is_held_and_then_refused_as_a_whole() {
    let served = serve(Fake::following(None)).await;
    let answer = send(&served, &[], &lines(&["transfer", "transfer"])).await;
    assert_eq!(answer.problem(), (503, "no_leader".into()));

    let served = serve_with(Fake::following(None), patient()).await;
    let held = lines(&["transfer", "transfer"]);
    let held = send(&served, &[], &held);
    let elected = async {
        served.fake.seen(1).await;
        served.fake.change_with(|state| state.leader = Some(ME));
    };
    let (answer, ()) = futures::future::join(held, elected).await;
    assert_eq!(outcomes(&answer), expect(&[("applied", "0"), ("applied", "1")]));
}

#[tokio::test]
async fn what_was_surely_not_done_is_tried_again_from_there_on() {
    let served = serve_with(Fake::leading(), patient()).await;
    // Leadership is lost behind the first command, and won again before the next attempt.
    served.fake.state.lock().submits.extend([
        Ok(machine::Reply {
            index: machine::Index(11),
            outcome: machine::Outcome::Applied("1".into()),
        }),
        Err(SubmitError::NotLeader { leader: None }),
    ]);
    let answer = send(&served, &[], &lines(&["transfer", "transfer", "transfer"])).await;
    assert_eq!(
        outcomes(&answer),
        expect(&[("applied", "1"), ("applied", "1"), ("applied", "2")])
    );
    let payloads: Vec<_> = served
        .fake
        .state
        .lock()
        .requests
        .iter()
        .map(|request| request.payload.clone())
        .collect();
    assert_eq!(
        payloads,
        ["0", "1", "1", "2"],
        "none is skipped and none comes before another"
    );
}

#[tokio::test]
async fn what_is_in_doubt_is_tried_again_only_under_a_session() {
    let lost = || Err(SubmitError::OutcomeUnknown("leadership was lost".into()));
    let script = || [lost(), lost(), Err(SubmitError::NotLeader { leader: None })];
    let body = lines(&["transfer", "transfer", "transfer"]);

    let served = serve(Fake::leading()).await;
    served.fake.state.lock().submits.extend(script());
    let answer = send(&served, &[], &body).await;
    assert_eq!(
        outcomes(&answer),
        expect(&[
            ("unknown", "outcome_unknown"),
            ("unknown", "outcome_unknown"),
            ("failed", "unavailable")
        ]),
        "the third must not come before the others"
    );
    assert_eq!(served.fake.state.lock().requests.len(), 3);

    let served = serve(Fake::leading()).await;
    served.fake.state.lock().submits.extend(script());
    let answer = send(&served, &[SESSION, ("Seachange-Sequence", "1")], &body).await;
    assert_eq!(
        outcomes(&answer),
        expect(&[("applied", "0"), ("applied", "1"), ("applied", "2")])
    );
    let requests = served.fake.state.lock().requests.clone();
    let sequences: Vec<u64> = requests
        .iter()
        .map(|request| request.claim.unwrap().sequence.0)
        .collect();
    assert_eq!(sequences, [1, 2, 3, 1, 2, 3]);
}

#[tokio::test]
async fn a_node_that_is_full_takes_the_first_of_a_batch_and_no_more() {
    let served = serve(Fake::leading()).await;
    let full = || Err(SubmitError::Overloaded("full".into()));
    let reply = machine::Reply {
        index: machine::Index(11),
        outcome: machine::Outcome::Applied("1".into()),
    };
    served.fake.state.lock().submits.extend([Ok(reply), full()]);
    let answer = send(&served, &[], &lines(&["transfer", "transfer", "transfer"])).await;
    assert_eq!(
        outcomes(&answer),
        expect(&[("applied", "1"), ("failed", "overloaded"), ("failed", "overloaded")])
    );
    served.fake.state.lock().submits.push_back(full());
    let answer = send(&served, &[], &lines(&["transfer", "transfer"])).await;
    assert_eq!(answer.problem(), (503, "overloaded".into()));
    assert!(answer.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_leader_that_dies_leaves_what_it_did_not_answer_unknown_or_asked_for_again() {
    for (headers, second) in [
        (&[][..], "unknown"),
        (&[SESSION, ("Seachange-Sequence", "1")], "applied"),
    ] {
        let (follower, leader) = pair().await;
        let body = lines(&["transfer", "wait"]);
        let headers: Vec<(&str, &str)> = headers.iter().copied().chain([LINES]).collect();
        let mut open = follower.browser.open("POST", BATCH, &headers, body.as_bytes()).await;
        let first: Value = serde_json::from_str(&open.record().await.unwrap()).unwrap();
        assert_eq!((&first["line"], &first["outcome"]), (&json!(1), &json!("applied")));
        follower.fake.gate.add_permits(1);
        follower.fake.change_with(|state| state.leader = Some(ME));
        leader.edge.drain(Duration::ZERO).await;
        let rest: Value = serde_json::from_str(&open.record().await.unwrap()).unwrap();
        assert_eq!((&rest["line"], &rest["outcome"]), (&json!(2), &json!(second)), "{rest}");
        assert_eq!(open.record().await, None);
    }
}

#[tokio::test]
async fn nodes_that_contradict_each_other_do_not_send_a_batch_to_and_fro() {
    let one = serve(Fake::following(Some(OTHER))).await;
    let two = serve(Fake::following(Some(OTHER))).await;
    for (fake, other) in [(&one.fake, &two), (&two.fake, &one)] {
        let address = other.edge.address().to_string();
        fake.change_with(|state| state.catalog.nodes.insert(OTHER, node("two", address)));
    }
    let answer = send(&one, &[], &lines(&["transfer"])).await;
    assert_eq!(answer.problem(), (503, "no_leader".into()));
}
