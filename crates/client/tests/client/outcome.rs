//! What a caller is told when there is no reply.

use std::time::Duration;

use client::wire::frames::{Failure, Outcome};
use client::wire::{Code, CommandOutcome};
use client::{Client, Error, Options};
use environment::real::environment;

use crate::fake::{Fake, client_of, client_with, deserted, play, within};

#[tokio::test]
async fn unknown_when_it_was_sent_and_never_answered() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_with(&environment, &[&leader], Duration::from_millis(400));
    let server = async {
        let mut connection = leader.accept_session(5).await;
        let _ = connection.submit().await;
        // Later requests say that nobody waits for this one any more.
        let (correlation, next) = connection.submit().await;
        assert_eq!(next.claim.unwrap().settled, 2);
        connection.applied(correlation, 9, "").await;
    };
    let callers = async {
        let first = client.submit("ledger", "open", 1, "1").await;
        assert!(matches!(first, Err(Error::OutcomeUnknown(_))), "{first:?}");
        client.submit("ledger", "open", 1, "2").await.unwrap();
    };
    play(&environment, callers, server).await;
    let counts = client.counts();
    assert_eq!((counts.failed, counts.unknown), (1, 1));
}

#[tokio::test]
async fn unknown_when_the_connection_was_cut_and_nobody_answers_since() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_with(&environment, &[&leader], Duration::from_millis(400));
    let server = async {
        let mut connection = leader.accept_session(5).await;
        let _ = connection.submit().await;
        drop(connection);
        drop(leader);
    };
    let result = play(&environment, client.submit("ledger", "open", 1, "1"), server).await;
    assert!(matches!(result, Err(Error::OutcomeUnknown(_))), "{result:?}");
}

#[tokio::test]
async fn unavailable_when_nothing_was_ever_sent() {
    let environment = environment();
    let gone = deserted(&environment).await;
    let options = Options::new([gone]).deadline(Duration::from_millis(300));
    let client = Client::connect(environment.clone(), options).unwrap();
    let traced = within(&environment, client.submit_traced("ledger", "open", 1, "{}")).await;
    assert!(matches!(traced.result, Err(Error::Unavailable(_))), "{traced:?}");
    assert_eq!(traced.attempts, 0);
}

#[tokio::test]
async fn unavailable_when_every_attempt_was_turned_away() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_with(&environment, &[&leader], Duration::from_millis(300));
    let server = async {
        let mut connection = leader.accept_session(5).await;
        loop {
            let turned_away = async {
                let (correlation, _) = connection.submit().await;
                connection.error(correlation, Code::Overloaded, None).await;
            };
            if environment::timeout(&environment, Duration::from_millis(600), turned_away)
                .await
                .is_err()
            {
                break;
            }
        }
    };
    let result = play(&environment, client.submit("ledger", "open", 1, "{}"), server).await;
    assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
    assert!(client.counts().retries > 1);
}

#[tokio::test]
async fn a_server_that_does_not_know_is_asked_again_with_the_same_claim() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_of(&environment, &[&leader]);
    let server = async {
        let mut connection = leader.accept_session(5).await;
        let (correlation, before) = connection.submit().await;
        connection.error(correlation, Code::OutcomeUnknown, None).await;
        let (correlation, again) = connection.submit().await;
        assert_eq!(again, before);
        connection.applied(correlation, 40, "done").await;
    };
    assert_eq!(
        play(&environment, client.submit("ledger", "open", 1, "{}"), server)
            .await
            .unwrap()
            .index,
        40
    );
}

#[tokio::test]
async fn refusals_are_replies_and_failures_are_problems() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_of(&environment, &[&leader]);
    let server = async {
        let mut connection = leader.accept_session(5).await;
        let (correlation, _) = connection.submit().await;
        connection.outcome(correlation, Outcome::Refused("no".into())).await;
        let (correlation, _) = connection.submit().await;
        let failure = Failure {
            code: Code::FuelExhausted,
            detail: "too long".into(),
        };
        connection.outcome(correlation, Outcome::Failed(failure)).await;
        let (correlation, _) = connection.submit().await;
        connection.error(correlation, Code::Malformed, None).await;
    };
    let callers = async {
        let refused = client.submit("ledger", "open", 1, "1").await.unwrap();
        assert_eq!(
            (refused.outcome, &refused.reply[..]),
            (CommandOutcome::Refused, &b"no"[..])
        );
        match client.submit("ledger", "open", 1, "2").await {
            Err(Error::Problem(problem)) => {
                assert_eq!((problem.code, problem.index), (Code::FuelExhausted, Some(9)));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(
            client.submit("ledger", "open", 1, "3").await.unwrap_err().code(),
            Code::Malformed
        );
    };
    play(&environment, callers, server).await;
    assert_eq!((client.counts().failed, client.counts().unknown), (2, 0));
}

#[tokio::test]
async fn what_no_cluster_takes_is_not_sent() {
    let environment = environment();
    let gone = deserted(&environment).await;
    let client = Client::connect(environment.clone(), Options::new([gone])).unwrap();
    let large = vec![0; client::wire::limits::COMMAND_BYTES_MAX + 1];
    let error = within(&environment, client.submit("ledger", "open", 1, large))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::TooLarge);
}

#[tokio::test]
async fn no_session_to_be_had_is_told_to_those_who_wait() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_of(&environment, &[&leader]);
    let server = async {
        let mut connection = leader.accept().await;
        let (correlation, _) = connection.receive().await.unwrap();
        connection.error(correlation, Code::ChangeRefused, None).await;
    };
    let error = play(&environment, client.submit("ledger", "open", 1, "{}"), server)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::ChangeRefused);
}
