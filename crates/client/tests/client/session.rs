//! Sessions: in flight at once, answered in any order, expired.

use std::collections::BTreeSet;

use client::wire::Code;
use client::wire::frames::{Claim, Outcome, Submit};
use client::{Client, Error, Options, limits};
use environment::real::environment;
use futures::future::{join, join_all};

use crate::fake::{Fake, client_of, play, play_until, within};

#[tokio::test]
async fn answers_may_come_in_any_order() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_of(&environment, &[&leader]);
    let count = 300_u64;
    let server = async {
        let mut connection = leader.accept_session(5).await;
        let mut waiting = Vec::new();
        for _ in 0..count {
            waiting.push(connection.submit().await);
        }
        let sequences: BTreeSet<u64> = waiting
            .iter()
            .map(|(_, submit)| submit.claim.unwrap().sequence)
            .collect();
        assert_eq!(sequences, (1..=count).collect());
        for (correlation, submit) in waiting.into_iter().rev() {
            let outcome = Outcome::Applied(submit.payload);
            connection.outcome(correlation, outcome).await;
        }
        let (correlation, last) = connection.submit().await;
        assert_eq!(
            last.claim,
            Some(Claim {
                session: 5,
                sequence: count + 1,
                settled: count + 1
            })
        );
        connection.applied(correlation, 9, "last").await;
    };
    let callers = async {
        let payload = |number: u64| number.to_string().into_bytes();
        let replies = join_all((0..count).map(|number| client.submit("ledger", "open", 1, payload(number)))).await;
        for (number, reply) in (0..count).zip(replies) {
            assert_eq!(reply.unwrap().reply, payload(number));
        }
        client.submit("ledger", "open", 1, "last").await
    };
    assert!(play(&environment, callers, server).await.is_ok());
}

#[tokio::test]
async fn settled_is_the_lowest_sequence_without_an_answer() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_of(&environment, &[&leader]);
    let server = async {
        let mut connection = leader.accept_session(5).await;
        let (one, _) = connection.submit().await;
        let (two, _) = connection.submit().await;
        connection.applied(two, 9, "2").await;
        let (three, submit) = connection.submit().await;
        assert_eq!(
            submit.claim,
            Some(Claim {
                session: 5,
                sequence: 3,
                settled: 1
            })
        );
        connection.applied(one, 9, "1").await;
        connection.applied(three, 9, "3").await;
    };
    let callers = join(client.submit("ledger", "open", 1, "1"), async {
        client.submit("ledger", "open", 1, "2").await.unwrap();
        client.submit("ledger", "open", 1, "3").await.unwrap();
    });
    play(&environment, callers, server).await.0.unwrap();
}

#[tokio::test]
async fn no_more_are_in_flight_than_allowed() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let options = Options {
        in_flight_max: 3,
        ..Options::new([leader.address()])
    };
    let client = Client::connect(environment.clone(), options).unwrap();
    let server = async {
        let mut connection = leader.accept_session(5).await;
        let mut unanswered = Vec::new();
        for _ in 0..20 {
            unanswered.push(connection.submit().await.0);
            assert!(unanswered.len() <= 3);
            if unanswered.len() == 3 {
                for correlation in unanswered.drain(..) {
                    connection.applied(correlation, 9, "").await;
                }
            }
        }
        for correlation in unanswered {
            connection.applied(correlation, 9, "").await;
        }
    };
    let replies = play(
        &environment,
        join_all((0..20).map(|_| client.submit("l", "o", 1, ""))),
        server,
    )
    .await;
    assert!(replies.iter().all(Result::is_ok));
}

#[tokio::test]
async fn one_stuck_request_does_not_let_the_sequences_drift_apart() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_of(&environment, &[&leader]);
    let rest = limits::SEQUENCE_SPREAD_MAX + 100;
    let server = async {
        let mut connection = leader.accept_session(5).await;
        let (stuck, _) = connection.submit().await;
        for _ in 1..limits::SEQUENCE_SPREAD_MAX {
            let (correlation, submit) = connection.submit().await;
            assert!(submit.claim.unwrap().sequence <= limits::SEQUENCE_SPREAD_MAX);
            connection.applied(correlation, 9, "").await;
        }
        connection.applied(stuck, 9, "").await;
        for _ in limits::SEQUENCE_SPREAD_MAX..=rest {
            let (correlation, _) = connection.submit().await;
            connection.applied(correlation, 9, "").await;
        }
    };
    let callers = join(client.submit("l", "o", 1, "stuck"), async {
        for _ in 0..rest {
            client.submit("l", "o", 1, "").await.unwrap();
        }
    });
    play(&environment, callers, server).await.0.unwrap();
}

#[tokio::test]
async fn an_expired_session_is_renewed_when_the_request_was_surely_not_applied() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_of(&environment, &[&leader]);
    let server = async {
        let mut connection = leader.accept_session(5).await;
        let (correlation, _) = connection.submit().await;
        connection.outcome(correlation, Outcome::SessionExpired).await;
        connection.open_session(6).await;
        let (correlation, again) = connection.submit().await;
        assert_eq!(
            again.claim,
            Some(Claim {
                session: 6,
                sequence: 1,
                settled: 1
            })
        );
        connection.applied(correlation, 40, "done").await;
    };
    assert!(
        play(&environment, client.submit("ledger", "open", 1, "{}"), server)
            .await
            .is_ok()
    );
    assert_eq!(client.counts().sessions, 2);
}

#[tokio::test]
async fn an_expired_session_is_an_unknown_outcome_after_an_attempt_without_an_answer() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_of(&environment, &[&leader]);
    let server = async {
        let mut connection = leader.accept_session(5).await;
        let _ = connection.submit().await;
        drop(connection);
        let mut connection = leader.accept().await;
        let (correlation, again) = connection.submit().await;
        assert_eq!(again.claim.unwrap().session, 5);
        connection.outcome(correlation, Outcome::SessionExpired).await;
        connection.open_session(6).await;
        let (correlation, next) = connection.submit().await;
        assert_eq!(
            next.claim,
            Some(Claim {
                session: 6,
                sequence: 1,
                settled: 1
            })
        );
        connection.applied(correlation, 40, "done").await;
    };
    let callers = async {
        let first = client.submit("ledger", "open", 1, "1").await;
        assert!(matches!(first, Err(Error::OutcomeUnknown(_))), "{first:?}");
        client.submit("ledger", "open", 1, "2").await
    };
    assert!(play(&environment, callers, server).await.is_ok());
    assert_eq!(client.counts().unknown, 1);
}

#[tokio::test]
async fn a_request_without_a_claim_is_not_sent_twice() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_of(&environment, &[&leader]);
    let submit = Submit {
        claim: None,
        application: "ledger".into(),
        command: "open".into(),
        version: 1,
        payload: "{}".into(),
    };
    let server = async {
        let mut connection = leader.accept().await;
        // Refused before anything was done: that may be repeated.
        let (correlation, _) = connection.submit().await;
        connection.error(correlation, Code::Overloaded, None).await;
        let (_, again) = connection.submit().await;
        assert_eq!(again, submit);
        drop(connection);
        loop {
            let sent = leader.accept().await.receive().await;
            assert_eq!(sent, None, "it was sent again");
        }
    };
    let result = play_until(&environment, client.forward(submit.clone()), server).await;
    assert!(matches!(result, Err(Error::OutcomeUnknown(_))), "{result:?}");
}

#[tokio::test]
async fn a_forwarded_claim_is_kept_and_its_expiry_handed_back() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_of(&environment, &[&leader]);
    let claim = Some(Claim {
        session: 3,
        sequence: 8,
        settled: 2,
    });
    let submit = Submit {
        claim,
        application: "ledger".into(),
        command: "open".into(),
        version: 1,
        payload: "{}".into(),
    };
    let server = async {
        let mut connection = leader.accept().await;
        let (_, first) = connection.submit().await;
        assert_eq!(first, submit);
        drop(connection);
        let mut connection = leader.accept().await;
        let (correlation, again) = connection.submit().await;
        assert_eq!(again, submit);
        connection.outcome(correlation, Outcome::SessionExpired).await;
    };
    let reply = play(&environment, client.forward(submit.clone()), server)
        .await
        .unwrap();
    assert_eq!(reply.outcome, Outcome::SessionExpired);
}

#[tokio::test]
async fn sessions_are_opened_for_others() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_of(&environment, &[&leader]);
    let (session, _connection) = within(&environment, join(client.open_session(), leader.accept_session(12))).await;
    assert_eq!(session, Ok(12));
}
