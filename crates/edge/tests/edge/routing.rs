use std::sync::Arc;
use std::time::Duration;

use edge::{EdgeOptions, Limits};
use machine::{Index, SubmitError};
use serde_json::json;

use crate::fake::{Fake, ME, OTHER, node};
use crate::{Served, limits, serve, serve_with};

const TRANSFER: &str = "/v1/apps/ledger/commands/transfer";
const CLAIM: [(&str, &str); 2] = [("Seachange-Session", "7"), ("Seachange-Sequence", "1")];

/// Limits for tests in which something happens while a request is held.
pub fn patient() -> EdgeOptions {
    EdgeOptions {
        limits: Limits {
            hold_max: Duration::from_secs(60),
            ..limits()
        },
        ..EdgeOptions::default()
    }
}

/// A follower and the leader that it knows.
pub async fn pair() -> (Served, Served) {
    let leader = serve(Fake::leading()).await;
    let follower = serve_with(Fake::following(Some(OTHER)), patient()).await;
    lead_to(&follower.fake, &leader);
    (follower, leader)
}

fn lead_to(follower: &Arc<Fake>, leader: &Served) {
    let address = leader.edge.address().to_string();
    follower.change_with(|state| {
        state.leader = Some(OTHER);
        state.catalog.nodes.insert(OTHER, node("two", address));
    });
}

#[tokio::test]
async fn writes_at_a_follower_are_answered_by_the_leader() {
    let (follower, leader) = pair().await;
    follower.fake.change_with(|state| state.applied = Index(100));
    let answer = follower
        .browser
        .call("POST", &format!("{TRANSFER}?version=4"), &CLAIM, b"[1]")
        .await;
    assert_eq!(answer.json(), json!({"index": 11, "outcome": "applied", "reply": [1]}));
    let request = leader.fake.state.lock().requests[0].clone();
    assert_eq!((request.version, &request.payload[..]), (4, &b"[1]"[..]));
    assert_eq!(request.claim.unwrap().session.0, 7);

    let answer = follower.browser.post("/v1/apps/ledger/commands/trap", "{}").await;
    assert_eq!(answer.problem(), (422, "application_trapped".into()));
    assert_eq!(
        follower.browser.post("/v1/sessions", "").await.json(),
        json!({"session": 13})
    );
    let answer = follower
        .browser
        .post("/v1/changes/9/revert", "{\"reason\":\"x\"}")
        .await;
    assert_eq!(answer.json(), json!({"change": 9, "index": 14}));
    let answer = follower.browser.get("/v1/changes/8").await;
    assert_eq!(answer.problem(), (404, "unknown_change".into()), "reads stay here");
    let bytes = b"module";
    let target = format!("/v1/modules/{}", machine::Digest::of(bytes));
    assert_eq!(follower.browser.call("PUT", &target, &[], bytes).await.status, 200);
    assert_eq!(leader.fake.state.lock().bodies.len(), 3);
}

#[tokio::test]
async fn after_a_decision_of_the_leader_this_node_shows_it() {
    let (follower, _leader) = pair().await;
    let plan = json!({"manifest": {"application": "ledger", "version": 2}, "code": {"native": true}}).to_string();
    let planned = follower.browser.post("/v1/changes", &plan);
    let applies = async {
        // The follower has applied 10, and the leader decides at 11.
        follower.fake.waits_for(Index(11)).await;
        follower.fake.change_with(|state| state.applied = Index(11));
    };
    let (planned, ()) = futures::future::join(planned, applies).await;
    assert_eq!(planned.json(), json!({"change": 11}));
}

#[tokio::test]
async fn without_a_leader_a_write_is_held_until_there_is_one() {
    let leader = serve(Fake::leading()).await;
    let follower = serve_with(Fake::following(None), patient()).await;
    let held = follower.browser.post(TRANSFER, "{}");
    let elected = async {
        follower.fake.seen(1).await;
        lead_to(&follower.fake, &leader);
    };
    let (answer, ()) = futures::future::join(held, elected).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(leader.fake.state.lock().requests.len(), 1);

    let alone = serve(Fake::following(None)).await;
    let held = alone.browser.post(TRANSFER, "{}");
    let elected = async {
        alone.fake.seen(1).await;
        alone.fake.change_with(|state| state.leader = Some(ME));
    };
    let (answer, ()) = futures::future::join(held, elected).await;
    assert_eq!(
        answer.status,
        200,
        "this node itself became the leader: {}",
        answer.text()
    );
}

#[tokio::test]
async fn a_write_is_not_held_for_ever() {
    let served = serve(Fake::following(None)).await;
    let answer = served.browser.post(TRANSFER, "{}").await;
    assert_eq!(answer.problem(), (503, "no_leader".into()));
}

#[tokio::test]
async fn what_is_held_has_a_budget() {
    let options = EdgeOptions {
        limits: Limits {
            held_bytes_max: 100,
            ..limits()
        },
        ..EdgeOptions::default()
    };
    let served = serve_with(Fake::following(None), options).await;
    let answer = served.browser.post(TRANSFER, &format!("[{}1]", "1,".repeat(100))).await;
    assert_eq!(answer.problem(), (503, "overloaded".into()));
}

#[tokio::test]
async fn a_leader_that_is_gone_is_waited_for_or_replaced() {
    let (follower, gone) = pair().await;
    gone.edge.drain(Duration::from_secs(60)).await;
    let held = follower.browser.post(TRANSFER, "{}");
    let elected = async {
        follower.fake.seen(2).await;
        follower.fake.change_with(|state| state.leader = Some(ME));
    };
    let (answer, ()) = futures::future::join(held, elected).await;
    assert_eq!(answer.status, 200, "nothing had been sent: {}", answer.text());
}

#[tokio::test]
async fn two_nodes_that_take_each_other_for_the_leader_do_not_send_to_and_fro() {
    let one = serve(Fake::following(Some(OTHER))).await;
    let two = serve(Fake::following(Some(OTHER))).await;
    lead_to(&one.fake, &two);
    lead_to(&two.fake, &one);
    let answer = one.browser.post(TRANSFER, "{}").await;
    assert_eq!(answer.problem(), (503, "no_leader".into()));
    let (asked_one, asked_two) = (
        one.fake.state.lock().requests.len(),
        two.fake.state.lock().requests.len(),
    );
    assert!(asked_two <= asked_one, "{asked_two} > {asked_one}");
}

#[tokio::test]
async fn a_lost_answer_is_repeated_only_for_a_claim() {
    let served = serve(Fake::leading()).await;
    let lost = || Err(SubmitError::OutcomeUnknown("leadership was lost".into()));
    served.fake.state.lock().submits.push_back(lost());
    let answer = served.browser.call("POST", TRANSFER, &CLAIM, b"{}").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(served.fake.state.lock().requests.len(), 2);

    served.fake.state.lock().submits.push_back(lost());
    let answer = served.browser.post(TRANSFER, "{}").await;
    assert_eq!(answer.problem(), (504, "outcome_unknown".into()));
    assert_eq!(served.fake.state.lock().requests.len(), 3);
}

#[tokio::test]
async fn a_later_refusal_does_not_undo_what_may_have_been_applied() {
    let served = serve(Fake::leading()).await;
    served.fake.state.lock().submits.extend([
        Err(SubmitError::OutcomeUnknown("leadership was lost".into())),
        Err(SubmitError::Overloaded("full".into())),
    ]);
    let answer = served.browser.call("POST", TRANSFER, &CLAIM, b"{}").await;
    assert_eq!(answer.problem(), (504, "outcome_unknown".into()));
}

#[tokio::test]
async fn an_answer_that_the_leader_lost_is_repeated_only_for_a_claim() {
    let (follower, leader) = pair().await;
    let lost = || Err(SubmitError::OutcomeUnknown("leadership was lost".into()));
    leader.fake.state.lock().submits.push_back(lost());
    let answer = follower.browser.post(TRANSFER, "{}").await;
    assert_eq!(answer.problem(), (504, "outcome_unknown".into()));
    assert_eq!(leader.fake.state.lock().requests.len(), 1);

    leader.fake.state.lock().submits.push_back(lost());
    let answer = follower.browser.call("POST", TRANSFER, &CLAIM, b"{}").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_leader_that_dies_with_a_write_leaves_its_outcome_unknown() {
    for (claim, status, code) in [(&CLAIM[..], 200, None), (&[], 504, Some("outcome_unknown"))] {
        let (follower, leader) = pair().await;
        let waits = "/v1/apps/ledger/commands/wait";
        let asked = follower.browser.call("POST", waits, claim, b"{}");
        let dies = async {
            leader.fake.seen(1).await;
            follower.fake.change_with(|state| state.leader = Some(ME));
            follower.fake.gate.add_permits(1);
            leader.edge.drain(Duration::ZERO).await;
        };
        let (answer, ()) = futures::future::join(asked, dies).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        if let Some(code) = code {
            assert_eq!(answer.problem().1, code);
        }
    }
}
