use machine::{
    AutomaticRevert, Body, ChangeId, Code, Decision, Digest, Guarded, Index, MeterNumber, NodeId, PlanGuarded,
    Readiness, Safeguards, Stage, Step, TimeMs,
};
use serde_json::{Value, json};

use crate::fake::{Fake, change};
use crate::serve;

fn plan(code: Value) -> Value {
    json!({"manifest": {"application": "ledger", "version": 2, "commands": [{"name": "transfer"}]}, "code": code})
}

#[tokio::test]
async fn a_plan_goes_into_the_log_and_is_shown() {
    let served = serve(Fake::leading()).await;
    let digest = Digest::of(b"module");
    let answer = served
        .browser
        .post("/v1/changes", &plan(json!({"module": digest.to_string()})).to_string())
        .await;
    assert_eq!(answer.json(), json!({"change": 11}));
    let bodies = served.fake.state.lock().bodies.clone();
    let [
        Body::PlanGuarded(PlanGuarded {
            plan: planned,
            safeguards,
        }),
    ] = &bodies[..]
    else {
        panic!("{bodies:?}");
    };
    let on_trap = Safeguards {
        confirm_within_ms: None,
        revert_on_trap: true,
        refusals_max: None,
        allow_breaking: None,
        rehearse: None,
        verify_data: false,
        contract: None,
    };
    assert_eq!(*safeguards, on_trap);
    assert_eq!((planned.manifest.version.0, planned.finalize), (2, false));
    assert_eq!(
        planned.code,
        Code::Wasm {
            module: digest,
            meter: MeterNumber(1)
        }
    );
    let shown = served.browser.get("/v1/changes/11").await.json();
    assert_eq!(
        (&shown["id"], &shown["stage"], &shown["kind"]),
        (&json!(11), &json!("preparing"), &json!("application"))
    );
    assert_eq!(
        shown["blockers"].as_array().unwrap().len(),
        2,
        "no voter has reported: {shown}"
    );
    assert_eq!(shown["blockers"][0]["name"], "one");
    let list = served.browser.get("/v1/changes").await.json();
    assert_eq!((&list["index"], &list["changes"][0]["id"]), (&json!(11), &json!(11)));
    let answer = served.browser.get("/v1/changes/12").await;
    assert_eq!(answer.problem(), (404, "unknown_change".into()));
    let answer = served.browser.get("/v1/changes/x").await;
    assert_eq!(answer.problem(), (400, "malformed".into()));
}

#[tokio::test]
async fn a_dry_run_says_what_a_plan_would_come_to_and_writes_nothing() {
    let served = serve(Fake::leading()).await;
    let digest = Digest::of(b"module");
    let plan = plan(json!({"module": digest.to_string()}));
    let found = served
        .browser
        .post("/v1/changes/dry-run", &plan.to_string())
        .await
        .json();
    let names = |of: &str, part: &str| -> Vec<String> {
        let list = found[of].as_array().unwrap();
        list.iter().map(|one| one[part].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((&found["application"], &found["to"]), (&json!("ledger"), &json!(2)));
    assert!(names("checks", "name").contains(&"commands".to_owned()), "{found}");
    assert_eq!(names("steps", "name")[..2], ["plan", "prepare"]);
    let module = found["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["name"] == "module");
    assert_eq!(module.unwrap()["verdict"], "pending", "{found}");
    assert!(served.fake.state.lock().bodies.is_empty());
    let mut dropping = plan.clone();
    dropping["manifest"]["commands"] = json!([{"name": "open"}]);
    let found = served
        .browser
        .post("/v1/changes/dry-run", &dropping.to_string())
        .await
        .json();
    let checks = found["checks"].as_array().unwrap();
    let usage = checks.iter().find(|check| check["name"] == "usage");
    let said = usage.unwrap()["what"].as_str().unwrap();
    assert!(said.contains("command transfer 7 times"), "{found}");
    let mut unnamed = plan.clone();
    unnamed["manifest"]["application"] = json!("No Name");
    let found = served
        .browser
        .post("/v1/changes/dry-run", &unnamed.to_string())
        .await
        .json();
    assert_eq!(found["forecast"], "blocked");
    let answer = served.browser.post("/v1/changes/dry-run", "{}").await;
    assert_eq!(answer.problem(), (400, "malformed".into()));
}

#[tokio::test]
async fn a_plan_says_what_it_does_by_itself() {
    let served = serve(Fake::leading()).await;
    let safeguards = |confirm_within_ms, revert_on_trap| Safeguards {
        confirm_within_ms,
        revert_on_trap,
        refusals_max: None,
        allow_breaking: None,
        rehearse: None,
        verify_data: false,
        contract: None,
    };
    let cases = [
        (
            json!({"confirm_within_ms": 600_000}),
            Some(safeguards(Some(600_000), true)),
        ),
        (
            json!({"confirm_within_ms": 1, "revert_on_trap": false}),
            Some(safeguards(Some(1), false)),
        ),
        (json!({"revert_on_trap": false}), None),
        (
            json!({"revert_on_trap": false, "refusals_max": 5}),
            Some(Safeguards {
                refusals_max: Some(5),
                ..safeguards(None, false)
            }),
        ),
        (json!({"finalize": true}), None),
        // The cluster refuses what contradicts itself; the edge does not guess.
        (
            json!({"finalize": true, "revert_on_trap": true}),
            Some(safeguards(None, true)),
        ),
    ];
    for (asked, expected) in cases {
        let mut plan = plan(json!({"native": true}));
        plan.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
        assert_eq!(served.browser.post("/v1/changes", &plan.to_string()).await.status, 200);
        let body = served.fake.state.lock().bodies.pop();
        let found = match &body {
            Some(Body::PlanGuarded(guarded)) => Some(guarded.safeguards.clone()),
            Some(Body::PlanApplication(_)) => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(found, expected, "{asked}");
    }
}

#[tokio::test]
async fn a_record_says_what_a_change_does_and_did_by_itself() {
    let served = serve(Fake::leading()).await;
    let guarded = Guarded {
        safeguards: Safeguards {
            confirm_within_ms: Some(5),
            revert_on_trap: true,
            refusals_max: Some(3),
            allow_breaking: None,
            rehearse: None,
            verify_data: false,
            contract: None,
        },
        deadline: Some(TimeMs(1005)),
        reverted: Some(AutomaticRevert {
            index: Index(8),
            place: 3,
        }),
        refusals: 2,
    };
    served.fake.change_with(|state| {
        state.catalog.changes.insert(ChangeId(9), change(Stage::Switched));
        state.catalog.changes.insert(ChangeId(10), change(Stage::Switched));
        state.catalog.guarded.insert(ChangeId(9), guarded.clone())
    });
    let shown = served.browser.get("/v1/changes/9").await.json();
    assert_eq!(shown["reverts_on_trap"], true);
    assert_eq!(shown["confirm_by_ms"], 1005);
    assert_eq!((&shown["refusals"], &shown["refusals_max"]), (&json!(2), &json!(3)));
    assert_eq!(shown["reverted"], json!({"index": 8, "command": 3}));
    let shown = served.browser.get("/v1/changes/10").await.json();
    assert_eq!(shown["reverts_on_trap"], false);
    assert!(shown.get("confirm_by_ms").is_none() && shown.get("reverted").is_none());
}

#[tokio::test]
async fn a_plan_that_cannot_hold_does_not_reach_the_log() {
    let served = serve(Fake::leading()).await;
    for (body, status, code) in [
        ("{".to_owned(), 400, "malformed"),
        (plan(json!({})).to_string(), 400, "malformed"),
        (plan(json!({"module": "abc"})).to_string(), 400, "malformed"),
        (
            plan(json!({"native": true})).to_string().replace("ledger", "Ledger!"),
            422,
            "manifest_invalid",
        ),
        (
            plan(json!({"native": true})).to_string().replace("commands", "comands"),
            400,
            "malformed",
        ),
    ] {
        let answer = served.browser.post("/v1/changes", &body).await;
        assert_eq!(answer.problem(), (status, code.into()), "{body}");
    }
    assert!(served.fake.state.lock().bodies.is_empty());
    served.fake.state.lock().decisions.push_back(Ok(Decision::Refused {
        code: "version_not_newer",
        reason: "ledger is at version 2".into(),
    }));
    let answer = served
        .browser
        .post("/v1/changes", &plan(json!({"native": true})).to_string())
        .await;
    assert_eq!(answer.problem(), (409, "change_refused".into()));
    assert!(answer.text().contains("version_not_newer"));
}

#[tokio::test]
async fn steps_are_proposed_with_their_reason() {
    let served = serve(Fake::leading()).await;
    let answer = served
        .browser
        .post("/v1/changes/9/revert", r#"{"reason":"too slow"}"#)
        .await;
    assert_eq!(answer.json(), json!({"change": 9, "index": 11}));
    assert_eq!(served.browser.post("/v1/changes/9/finalize", "").await.status, 200);
    assert_eq!(served.browser.post("/v1/changes/9/abort", "{}").await.status, 200);
    assert_eq!(served.browser.post("/v1/changes/9/confirm", "").await.status, 200);
    assert_eq!(served.browser.post("/v1/changes/9/approve", "").await.status, 200);
    let steps: Vec<(Step, String)> = served
        .fake
        .state
        .lock()
        .bodies
        .iter()
        .map(|body| match body {
            Body::ChangeStep(step) => (step.step, step.reason.clone()),
            other => panic!("{other:?}"),
        })
        .collect();
    let none = String::new;
    assert_eq!(
        steps,
        [
            (Step::Revert, "too slow".into()),
            (Step::Finalize, none()),
            (Step::Abort, none()),
            (Step::Confirm, none()),
            (Step::Approve, none())
        ]
    );
    let answer = served.browser.post("/v1/changes/9/revert", r#"{"raeson":"x"}"#).await;
    assert_eq!(answer.problem(), (400, "malformed".into()));
}

#[tokio::test]
async fn a_watcher_sees_each_change_until_the_last() {
    let served = serve(Fake::leading()).await;
    served
        .fake
        .change_with(|state| state.catalog.changes.insert(ChangeId(9), change(Stage::Preparing)));
    let mut open = served.browser.open("GET", "/v1/changes/9/watch", &[], b"").await;
    let mut next = async || {
        open.record()
            .await
            .map(|line| serde_json::from_str::<Value>(&line).unwrap())
    };
    assert_eq!(next().await.unwrap()["stage"], "preparing");
    let step = |stage: Stage| {
        served.fake.change_with(|state| {
            let change = state.catalog.changes.get_mut(&ChangeId(9)).unwrap();
            change.stage = stage;
            change.readiness.insert(
                NodeId(1),
                Readiness::Ready {
                    instrumented: Digest::of(b"x"),
                },
            );
            state.applied = Index(state.applied.0 + 1);
        });
    };
    step(Stage::Ready);
    let record = next().await.unwrap();
    assert_eq!(
        (&record["stage"], &record["readiness"][0]["ready"]),
        (&json!("ready"), &json!(true))
    );
    step(Stage::Finalized);
    assert_eq!(next().await.unwrap()["stage"], "finalized");
    assert_eq!(next().await, None);

    let headers = [("Accept", "text/event-stream")];
    let answer = served.browser.call("GET", "/v1/changes/9/watch", &headers, b"").await;
    assert!(answer.text().starts_with("id: 9\ndata: {\"id\":9"), "{}", answer.text());
    let answer = served.browser.get("/v1/changes/8/watch").await;
    assert_eq!(answer.problem(), (404, "unknown_change".into()));
}
