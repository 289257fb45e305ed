use machine::{ChangeId, Index, Stage, Version};
use serde_json::{Value, json};

use crate::browser::Open;
use crate::fake::{Fake, ME, OTHER, change};
use crate::{Served, serve};

async fn record(open: &mut Open) -> Value {
    serde_json::from_str(&open.record().await.unwrap()).unwrap()
}

async fn watch(served: &Served, parameters: &str, headers: &[(&str, &str)]) -> Open {
    let open = served
        .browser
        .open("GET", &format!("/v1/watch{parameters}"), headers, b"")
        .await;
    assert_eq!(open.status, 200);
    open
}

#[tokio::test]
async fn a_watcher_sees_how_things_are_and_then_what_changes() {
    let served = serve(Fake::leading()).await;
    served.fake.change_with(|state| {
        state.catalog.changes.insert(ChangeId(7), change(Stage::Finalized));
        state.catalog.changes.insert(ChangeId(9), change(Stage::Preparing));
    });
    let mut open = watch(&served, "", &[]).await;
    assert_eq!(open.headers["content-type"], "application/x-ndjson");
    let status = record(&mut open).await;
    assert_eq!((&status["kind"], &status["index"]), (&json!("status"), &json!(10)));
    assert_eq!(status["status"]["role"], "leader");
    let application = record(&mut open).await;
    assert_eq!(
        (&application["kind"], &application["application"]["name"]),
        (&json!("application"), &json!("ledger"))
    );
    let begun = record(&mut open).await;
    assert_eq!(
        (&begun["kind"], &begun["change"]["id"]),
        (&json!("change"), &json!(9)),
        "one that has ended is no news"
    );

    // Entries alone are no news; the switch is, of the change and of the application.
    served.fake.change_with(|state| state.applied = Index(11));
    served.fake.change_with(|state| {
        state.applied = Index(12);
        state.catalog.changes.get_mut(&ChangeId(9)).unwrap().stage = Stage::Switched;
        state
            .catalog
            .applications
            .get_mut("ledger")
            .unwrap()
            .history
            .push((Index(12), Version(2)));
    });
    let application = record(&mut open).await;
    assert_eq!(
        (&application["kind"], &application["index"]),
        (&json!("application"), &json!(12))
    );
    let switched = record(&mut open).await;
    assert_eq!(
        (&switched["change"]["stage"], &switched["index"]),
        (&json!("switched"), &json!(12))
    );

    served.fake.change_with(|state| state.leader = None);
    let lost = record(&mut open).await;
    assert_eq!(
        (&lost["kind"], &lost["status"]["leader"]),
        (&json!("status"), &Value::Null)
    );
    served.fake.change_with(|state| state.leader = Some(OTHER));
    assert_eq!(record(&mut open).await["status"]["leader"], 2);
    served
        .fake
        .change_with(|state| state.parked = Some("a module is missing".into()));
    assert_eq!(record(&mut open).await["status"]["parked"], "a module is missing");
}

#[tokio::test]
async fn one_who_comes_back_learns_what_ended_meanwhile() {
    let served = serve(Fake::leading()).await;
    served.fake.change_with(|state| {
        // Its last step was entry 9.
        state.catalog.changes.insert(ChangeId(7), change(Stage::Finalized));
    });
    for (last, shown) in [("8", true), ("9", false)] {
        let headers = [("Accept", "text/event-stream"), ("Last-Event-ID", last)];
        let mut open = watch(&served, "?kinds=change", &headers).await;
        assert_eq!(open.headers["content-type"], "text/event-stream");
        let first = open.record().await.unwrap();
        match shown {
            true => assert_eq!(first, "id: 10"),
            false => assert_eq!(first, ": still here", "nothing but signs of life"),
        }
    }
}

#[tokio::test]
async fn only_the_kinds_asked_for_come() {
    let served = serve(Fake::leading()).await;
    let mut open = watch(&served, "?kinds=application", &[]).await;
    assert_eq!(record(&mut open).await["kind"], "application");
    served.fake.change_with(|state| state.parked = Some("x".into()));
    served
        .fake
        .change_with(|state| state.catalog.applications.get_mut("ledger").unwrap().in_force = None);
    let next = record(&mut open).await;
    assert_eq!(
        (&next["kind"], &next["application"]["in_force"]),
        (&json!("application"), &Value::Null)
    );
    for (target, headers) in [
        ("/v1/watch?kinds=everything", &[][..]),
        ("/v1/watch?kind=status", &[]),
        ("/v1/watch", &[("Last-Event-ID", "x")]),
    ] {
        let answer = served.browser.call("GET", target, headers, b"").await;
        assert_eq!(answer.problem(), (400, "malformed".into()), "{target}");
    }
}

#[tokio::test]
async fn a_watch_ends_when_the_node_stops() {
    let served = serve(Fake::leading()).await;
    let mut open = watch(&served, "?kinds=status", &[]).await;
    record(&mut open).await;
    let drained = served.edge.drain(std::time::Duration::from_secs(60));
    let (drained, end) = futures::future::join(drained, open.record()).await;
    assert_eq!((drained, end), (edge::Drained::Clean, None));
}

#[tokio::test]
async fn members_streams_and_tables_are_listed() {
    let served = serve(Fake::following(Some(OTHER))).await;
    let members = served.browser.get("/v1/members").await.json();
    assert_eq!(
        (&members["index"], &members["term"], &members["leader"]),
        (&json!(10), &json!(3), &json!(2))
    );
    assert_eq!(
        (&members["members"][0]["name"], &members["members"][1]["leader"]),
        (&json!("one"), &json!(true))
    );
    served.fake.emit("ledger.transfers", b"1");
    served.fake.emit("ledger.transfers", b"2");
    assert_eq!(
        served.browser.get("/v1/streams").await.json(),
        json!({
            "index": 10,
            "streams": [{"name": "ledger.transfers", "start": 0, "end": 2, "bytes": 100, "segments": 1}]
        })
    );
    assert_eq!(
        served.browser.get("/v1/apps/ledger/tables").await.json(),
        json!({
            "index": 10, "application": "ledger", "version": 1,
            "tables": [{"name": "accounts", "shape": 1, "converts": []}]
        })
    );
    let answer = served.browser.get("/v1/apps/nothing/tables").await;
    assert_eq!(answer.problem(), (404, "unknown_application".into()));
    served.fake.change_with(|state| state.leader = Some(ME));
}
