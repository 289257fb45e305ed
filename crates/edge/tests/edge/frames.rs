use std::time::Duration;

use bytes::Bytes;
use client::wire::Code;
use client::wire::frames::{ErrorAnswer, FromClient, FromServer, Get, Hello, Outcome, Reply, Row};
use client::wire::limits::{COMMAND_BYTES_MAX, FRAME_BYTES_MAX};
use edge::{EdgeOptions, Limits};
use machine::{Consistency, ReadError, SubmitError};
use tokio::io::AsyncWriteExt;

use crate::fake::{Fake, OTHER, node};
use crate::framer::{Framer, claimed, hello, submit};
use crate::{limits, serve, serve_with};

fn code_of(answer: &FromServer) -> Code {
    match answer {
        FromServer::Error(error) => error.code,
        other => panic!("{other:?}"),
    }
}

fn error_of(answer: FromServer) -> ErrorAnswer {
    match answer {
        FromServer::Error(error) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_frame_settles_version_and_cluster() {
    let served = serve(Fake::leading()).await;
    let (_framer, answer) = Framer::connect(&served.browser).await;
    assert_eq!((answer.version, answer.cluster, answer.node), (1, 0xc1, 1));
    assert_eq!(answer.binary, "0.1.0");
    assert_eq!(answer.leader_http, Some(served.edge.address().to_string()));
    assert_eq!(answer.members_http, [served.edge.address().to_string()]);

    let with = |change: fn(&mut Hello)| {
        let mut hello = hello();
        change(&mut hello);
        hello
    };
    for (hello, code) in [
        (
            with(|hello| (hello.version_min, hello.version_max) = (2, 9)),
            Code::VersionUnsupported,
        ),
        (with(|hello| hello.cluster = Some(5)), Code::WrongCluster),
    ] {
        let (mut framer, answer) = Framer::greet(&served.browser, hello).await;
        assert_eq!(code_of(&answer), code);
        assert_eq!(framer.next().await, None, "and the connection is closed");
    }
    served.fake.state.lock().catalog.cluster.0 = 0;
    let (_framer, answer) = Framer::greet(&served.browser, hello()).await;
    assert_eq!(code_of(&answer), Code::Unavailable);
    served.fake.state.lock().catalog.cluster.0 = 0xc1;
    let (_framer, answer) = Framer::greet(&served.browser, with(|hello| hello.cluster = Some(0xc1))).await;
    assert!(matches!(answer, FromServer::HelloAnswer(_)));
}

#[tokio::test]
async fn outcomes_come_as_they_are() {
    let served = serve(Fake::leading()).await;
    let (mut framer, _) = Framer::connect(&served.browser).await;
    let mut ask = async |correlation, command: &str| match framer
        .ask(correlation, FromClient::Submit(submit(command, "{}")))
        .await
    {
        FromServer::Reply(reply) => reply,
        other => panic!("{other:?}"),
    };
    let applied = ask(1, "transfer").await;
    assert_eq!(
        applied,
        Reply {
            index: 11,
            outcome: Outcome::Applied(Bytes::from_static(b"{}"))
        }
    );
    assert!(matches!(ask(2, "refuse").await.outcome, Outcome::Refused(_)));
    assert!(matches!(ask(3, "expired").await.outcome, Outcome::SessionExpired));
    match ask(4, "trap").await.outcome {
        Outcome::Failed(failure) => assert_eq!(failure.code, Code::ApplicationTrapped),
        other => panic!("{other:?}"),
    }
    let opened = framer.ask(5, FromClient::OpenSession).await;
    assert_eq!(opened, FromServer::SessionOpened(15));
    framer.ask(6, FromClient::Submit(claimed("transfer", 3))).await;
    let claim = served.fake.state.lock().requests.last().unwrap().claim.unwrap();
    assert_eq!((claim.session.0, claim.sequence.0, claim.settled.0), (7, 3, 3));
}

#[tokio::test]
async fn rows_are_read_by_key() {
    let served = serve(Fake::leading()).await;
    served.fake.put_row("accounts", "ada", "1");
    let (mut framer, _) = Framer::connect(&served.browser).await;
    let get = |table: &str, key: &'static str, stale| {
        FromClient::Get(Get {
            application: "ledger".into(),
            table: table.into(),
            key: key.into(),
            stale,
        })
    };
    let row = |document: Option<&'static str>| {
        FromServer::Row(Row {
            index: 10,
            document: document.map(Bytes::from),
        })
    };
    assert_eq!(framer.ask(1, get("accounts", "ada", false)).await, row(Some("1")));
    assert_eq!(framer.ask(2, get("accounts", "eve", true)).await, row(None));
    let consistencies = served.fake.state.lock().consistencies.clone();
    assert_eq!(consistencies, [Consistency::Linearizable, Consistency::Stale]);
    let unknown = framer.ask(3, get("nothing", "ada", false)).await;
    assert_eq!(code_of(&unknown), Code::UnknownTable);
    let unconfirmed = Err(ReadError::Unconfirmed("no leader".into()));
    served.fake.state.lock().reads.push_back(unconfirmed);
    let unconfirmed = framer.ask(4, get("accounts", "ada", false)).await;
    assert_eq!(code_of(&unconfirmed), Code::ReadUnconfirmed);
}

#[tokio::test]
async fn thousands_are_in_flight_at_once_and_answered_in_any_order() {
    let served = serve(Fake::leading()).await;
    let (mut framer, _) = Framer::connect(&served.browser).await;
    let count = 4000;
    let wait: Vec<_> = (1..=count)
        .map(|id| (id, FromClient::Submit(submit("wait", id.to_string()))))
        .collect();
    framer.send(&wait).await;
    served.fake.seen(count as usize).await;
    // One that comes last overtakes them all.
    let first = framer.ask(9999, FromClient::Submit(submit("transfer", "{}"))).await;
    assert!(matches!(first, FromServer::Reply(_)));
    served.fake.gate.add_permits(count as usize);
    let answers = framer.collect(count as usize).await;
    for (id, answer) in answers {
        match answer {
            FromServer::Reply(reply) => assert_eq!(reply.outcome, Outcome::Applied(id.to_string().into())),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_connection_has_no_more_in_flight_than_it_may() {
    let options = EdgeOptions {
        limits: Limits {
            in_flight_max: 3,
            ..limits()
        },
        ..EdgeOptions::default()
    };
    let served = serve_with(Fake::leading(), options).await;
    let (mut framer, _) = Framer::connect(&served.browser).await;
    let wait: Vec<_> = (1..=10)
        .map(|id| (id, FromClient::Submit(submit("wait", "1"))))
        .collect();
    framer.send(&wait).await;
    served.fake.seen(3).await;
    // Another connection is served meanwhile, so the first had every chance to be read further.
    let (mut other, _) = Framer::connect(&served.browser).await;
    other.ask(1, FromClient::Submit(submit("transfer", "{}"))).await;
    assert_eq!(served.fake.state.lock().requests.len(), 4);
    served.fake.gate.add_permits(10);
    framer.collect(10).await;
}

#[tokio::test]
async fn errors_of_the_cluster_have_their_codes() {
    let served = serve(Fake::leading()).await;
    let (mut framer, _) = Framer::connect(&served.browser).await;
    for (error, code) in [
        (SubmitError::OutcomeUnknown("lost".into()), Code::OutcomeUnknown),
        (SubmitError::Overloaded("full".into()), Code::Overloaded),
        (SubmitError::TooLarge("too large".into()), Code::TooLarge),
        (SubmitError::Unavailable("stopping".into()), Code::Unavailable),
    ] {
        served.fake.state.lock().submits.push_back(Err(error));
        let error = error_of(framer.ask(1, FromClient::Submit(submit("transfer", "{}"))).await);
        assert_eq!((error.code, error.leader_http), (code, None));
    }
    let large = submit("transfer", vec![b' '; COMMAND_BYTES_MAX + 1]);
    assert_eq!(code_of(&framer.ask(1, FromClient::Submit(large)).await), Code::TooLarge);
    assert!(matches!(
        framer.ask(1, FromClient::OpenSession).await,
        FromServer::SessionOpened(_)
    ));
}

#[tokio::test]
async fn a_node_that_does_not_lead_says_who_does() {
    let served = serve(Fake::following(Some(OTHER))).await;
    served
        .fake
        .state
        .lock()
        .catalog
        .nodes
        .insert(OTHER, node("two", "10.0.0.2:7070".into()));
    let (mut framer, hello) = Framer::connect(&served.browser).await;
    assert_eq!(hello.leader_http.as_deref(), Some("10.0.0.2:7070"));
    for request in [FromClient::Submit(submit("transfer", "{}")), FromClient::OpenSession] {
        let error = error_of(framer.ask(1, request).await);
        assert_eq!(
            (error.code, error.leader_http.as_deref()),
            (Code::NotLeader, Some("10.0.0.2:7070"))
        );
    }
}

#[tokio::test]
async fn without_a_leader_a_request_is_held_until_there_is_one() {
    let options = EdgeOptions {
        limits: Limits {
            hold_max: Duration::from_secs(60),
            ..limits()
        },
        ..EdgeOptions::default()
    };
    let served = serve_with(Fake::following(None), options).await;
    served
        .fake
        .state
        .lock()
        .catalog
        .nodes
        .insert(OTHER, node("two", "10.0.0.2:7070".into()));
    let (mut framer, _) = Framer::connect(&served.browser).await;
    framer.send(&[(1, FromClient::Submit(submit("transfer", "{}")))]).await;
    served.fake.seen(1).await;
    served.fake.change_with(|state| state.leader = Some(OTHER));
    let error = error_of(framer.next().await.unwrap().1);
    assert_eq!(
        (error.code, error.leader_http.as_deref()),
        (Code::NotLeader, Some("10.0.0.2:7070"))
    );

    served.fake.change_with(|state| state.leader = None);
    let error = error_of(framer.ask(2, FromClient::Submit(submit("transfer", "{}"))).await);
    assert_eq!(
        (error.code, error.leader_http),
        (Code::NoLeader, None),
        "but not for ever"
    );
}

#[tokio::test]
async fn what_is_held_has_a_budget() {
    let options = EdgeOptions {
        limits: Limits {
            held_bytes_max: 1000,
            ..limits()
        },
        ..EdgeOptions::default()
    };
    let served = serve_with(Fake::following(None), options).await;
    let (mut framer, _) = Framer::connect(&served.browser).await;
    let request = |id| (id, FromClient::Submit(submit("transfer", vec![b'1'; 400])));
    framer.send(&[request(1), request(2)]).await;
    served.fake.seen(2).await;
    let (mut other, _) = Framer::connect(&served.browser).await;
    let (_, third) = request(3);
    assert_eq!(code_of(&other.ask(3, third).await), Code::Overloaded);
    let answers = framer.collect(2).await;
    let codes: Vec<Code> = answers.values().map(code_of).collect();
    assert_eq!(codes, [Code::NoLeader, Code::NoLeader]);
}

#[tokio::test]
async fn an_unknown_outcome_stays_one_and_a_claim_is_told_where_to_ask() {
    let served = serve(Fake::leading()).await;
    let (mut framer, _) = Framer::connect(&served.browser).await;
    let lost = || Err(SubmitError::OutcomeUnknown("leadership was lost".into()));
    served.fake.state.lock().submits.extend([lost(), lost()]);
    let error = error_of(framer.ask(1, FromClient::Submit(claimed("transfer", 1))).await);
    assert_eq!(
        (error.code, error.leader_http),
        (Code::OutcomeUnknown, Some(served.edge.address().to_string()))
    );
    let error = error_of(framer.ask(2, FromClient::Submit(submit("transfer", "{}"))).await);
    assert_eq!((error.code, error.leader_http), (Code::OutcomeUnknown, None));
}

#[tokio::test]
async fn frames_of_garbage_end_the_connection_with_a_reason_after_the_answers() {
    let served = serve(Fake::leading()).await;
    let oversize = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_le_bytes().to_vec();
    let unknown_kind = [&10_u32.to_le_bytes()[..], &[99], &[0; 9]].concat();
    let bad_body = [&12_u32.to_le_bytes()[..], &[3], &[0; 8], &[7, 7, 7]].concat();
    for garbage in [oversize, unknown_kind, bad_body, vec![0; 16], vec![0xff; 4]] {
        let (mut framer, _) = Framer::connect(&served.browser).await;
        framer.send(&[(1, FromClient::Submit(submit("wait", "1")))]).await;
        framer.stream.write_all(&garbage).await.unwrap();
        served.fake.gate.add_permits(1);
        let (first, _) = framer.next().await.unwrap();
        assert_eq!(first, 1, "what was asked before is answered");
        let (correlation, answer) = framer.next().await.unwrap();
        assert_eq!((correlation, code_of(&answer)), (0, Code::Malformed), "{garbage:?}");
        assert_eq!(framer.next().await, None);
    }
    // A request before the Hello.
    let (mut framer, _) = Framer::connect(&served.browser).await;
    let again = framer.ask(1, FromClient::Hello(hello())).await;
    assert_eq!(code_of(&again), Code::Malformed);
    assert!(
        matches!(
            framer.ask(2, FromClient::OpenSession).await,
            FromServer::SessionOpened(_)
        ),
        "still open"
    );
}

#[tokio::test]
async fn a_frame_that_stops_in_the_middle_is_not_waited_for_for_ever() {
    let options = EdgeOptions {
        limits: Limits {
            frame_time_max: Duration::from_millis(50),
            ..limits()
        },
        ..EdgeOptions::default()
    };
    let served = serve_with(Fake::leading(), options).await;
    let (mut framer, _) = Framer::connect(&served.browser).await;
    framer.stream.write_all(&[20, 0, 0, 0, 3]).await.unwrap();
    let (correlation, answer) = framer.next().await.unwrap();
    assert_eq!((correlation, code_of(&answer)), (0, Code::Malformed));
    assert_eq!(framer.next().await, None);
}
