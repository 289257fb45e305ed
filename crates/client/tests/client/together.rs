//! Many commands by one call: each has an outcome of its own, and is repeated by itself.

use std::time::Duration;

use client::wire::Code;
use client::wire::frames::{Claim, Failure, Outcome, Submit};
use client::{Client, Command, Error, Options, limits};
use environment::real::environment;

use crate::fake::{Connection, Fake, client_of, client_with, deserted, play, within};

fn command(payload: impl ToString) -> Command {
    Command {
        name: "open".into(),
        version: 1,
        payload: payload.to_string().into(),
    }
}

fn commands(count: u64) -> Vec<Command> {
    (1..=count).map(command).collect()
}

async fn receive(connection: &mut Connection, count: u64) -> Vec<(u64, Submit)> {
    let mut received = Vec::new();
    for _ in 0..count {
        received.push(connection.submit().await);
    }
    received
}

fn sequences(received: &[(u64, Submit)]) -> Vec<u64> {
    let sequence = |(_, submit): &(u64, Submit)| submit.claim.unwrap().sequence;
    received.iter().map(sequence).collect()
}

#[tokio::test]
async fn each_has_an_outcome_of_its_own_in_the_order_of_the_commands() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_of(&environment, &[&leader]);
    let server = async {
        let mut connection = leader.accept_session(5).await;
        let received = receive(&mut connection, 4).await;
        assert_eq!(sequences(&received), [1, 2, 3, 4]);
        let payloads: Vec<&[u8]> = received.iter().map(|(_, submit)| &submit.payload[..]).collect();
        assert_eq!(payloads, [b"1", b"2", b"3", b"4"]);
        let submit = &received[0].1;
        assert_eq!((&submit.application[..], &submit.command[..]), ("ledger", "open"));
        let failure = Failure {
            code: Code::FuelExhausted,
            detail: "too long".into(),
        };
        connection.outcome(received[3].0, Outcome::Refused("no".into())).await;
        connection.outcome(received[1].0, Outcome::Failed(failure)).await;
        connection.error(received[2].0, Code::Malformed, None).await;
        connection.applied(received[0].0, 9, "done").await;
        // All have ended, so that their places in the session are free.
        let (correlation, next) = connection.submit().await;
        let claim = Claim {
            session: 5,
            sequence: 5,
            settled: 5,
        };
        assert_eq!(next.claim, Some(claim));
        connection.applied(correlation, 10, "").await;
    };
    let callers = async {
        let results = client.submit_all("ledger", commands(4)).await;
        let said = results.iter().map(|result| match result {
            Ok(reply) => format!("{:?} {:?}", reply.outcome, reply.reply),
            Err(error) => format!("{:?}", error.code()),
        });
        let said: Vec<String> = said.collect();
        assert_eq!(
            said,
            ["Applied b\"done\"", "FuelExhausted", "Malformed", "Refused b\"no\""]
        );
        client.submit("ledger", "open", 1, "5").await.unwrap();
    };
    play(&environment, callers, server).await;
    let counts = client.counts();
    assert_eq!((counts.requests, counts.attempts, counts.failed), (5, 5, 2));
    assert!(client.submit_all("ledger", Vec::new()).await.is_empty());
}

#[tokio::test]
async fn after_a_cut_only_those_without_an_answer_are_sent_again_with_their_claims() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_of(&environment, &[&leader]);
    let server = async {
        let mut connection = leader.accept_session(5).await;
        let received = receive(&mut connection, 4).await;
        connection.applied(received[1].0, 9, "").await;
        drop(connection);
        let mut connection = leader.accept().await;
        let mut again = receive(&mut connection, 3).await;
        assert_eq!(sequences(&again), [1, 3, 4]);
        // A node that cannot tell is asked again, about the one command.
        connection.error(again[1].0, Code::OutcomeUnknown, None).await;
        again[1] = connection.submit().await;
        assert_eq!(again[1].1, received[2].1);
        for (correlation, _) in again {
            connection.applied(correlation, 10, "").await;
        }
    };
    let results = play(&environment, client.submit_all("ledger", commands(4)), server).await;
    let indexes: Vec<u64> = results.into_iter().map(|result| result.unwrap().index).collect();
    assert_eq!(indexes, [10, 9, 10, 10]);
    assert_eq!(client.counts().retries, 4);
}

#[tokio::test]
async fn the_deadline_leaves_what_was_answered_and_tells_the_sent_from_the_turned_away() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_with(&environment, &[&leader], Duration::from_millis(400));
    let server = async {
        let mut connection = leader.accept_session(5).await;
        let received = receive(&mut connection, 3).await;
        connection.applied(received[0].0, 9, "").await;
        let mut turned_away = received[2].0;
        // What is sent behind the deadline is another command.
        loop {
            connection.error(turned_away, Code::Overloaded, None).await;
            let (correlation, submit) = connection.submit().await;
            if &submit.payload[..] == b"next" {
                assert_eq!(submit.claim.unwrap().settled, 4);
                return connection.applied(correlation, 9, "").await;
            }
            turned_away = correlation;
        }
    };
    let callers = async {
        let results = client.submit_all("ledger", commands(3)).await;
        assert!(results[0].is_ok(), "{results:?}");
        assert!(matches!(results[1], Err(Error::OutcomeUnknown(_))), "{results:?}");
        assert!(matches!(results[2], Err(Error::Unavailable(_))), "{results:?}");
        client.submit("ledger", "open", 1, "next").await.unwrap();
    };
    play(&environment, callers, server).await;
    assert_eq!((client.counts().failed, client.counts().unknown), (2, 1));
}

#[tokio::test]
async fn an_expired_session_concerns_those_that_surely_were_not_applied() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_of(&environment, &[&leader]);
    let server = async {
        let mut connection = leader.accept_session(5).await;
        let received = receive(&mut connection, 2).await;
        connection.applied(received[0].0, 9, "").await;
        connection.outcome(received[1].0, Outcome::SessionExpired).await;
        connection.open_session(6).await;
        let (correlation, again) = connection.submit().await;
        let claim = Claim {
            session: 6,
            sequence: 1,
            settled: 1,
        };
        assert_eq!((again.claim, &again.payload[..]), (Some(claim), &b"2"[..]));
        connection.applied(correlation, 10, "").await;
    };
    let results = play(&environment, client.submit_all("ledger", commands(2)), server).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

#[tokio::test]
async fn no_more_are_in_flight_than_allowed_and_the_places_come_back() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    for in_flight_max in [3, limits::IN_FLIGHT_MAX] {
        let options = Options {
            in_flight_max,
            ..Options::new([leader.address()])
        };
        let client = Client::connect(environment.clone(), options).unwrap();
        let count = in_flight_max as u64 * 2 + 1;
        let server = async {
            let mut connection = leader.accept_session(5).await;
            let mut unanswered = Vec::new();
            for received in 1..=2 * count {
                unanswered.push(connection.submit().await.0);
                assert!(unanswered.len() <= in_flight_max);
                if unanswered.len() == in_flight_max || received % count == 0 {
                    for correlation in unanswered.drain(..) {
                        connection.applied(correlation, 9, "").await;
                    }
                }
            }
        };
        let callers = async {
            for _ in 0..2 {
                let results = client.submit_all("ledger", commands(count)).await;
                assert_eq!(results.len() as u64, count);
                assert!(results.iter().all(Result::is_ok));
            }
        };
        play(&environment, callers, server).await;
    }
}

#[tokio::test]
async fn what_no_cluster_takes_is_not_sent_and_the_others_are() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_of(&environment, &[&leader]);
    let large = command("x".repeat(client::wire::limits::COMMAND_BYTES_MAX + 1));
    let unnamed = Command {
        name: "n".repeat(client::wire::limits::NAME_BYTES_MAX + 1).into(),
        ..command("")
    };
    let server = async {
        let mut connection = leader.accept_session(5).await;
        for payload in [b"1", b"2"] {
            let (correlation, submit) = connection.submit().await;
            assert_eq!(&submit.payload[..], payload);
            connection.applied(correlation, 9, "").await;
        }
    };
    let mixed = vec![large, command("1"), unnamed, command("2")];
    let results = play(&environment, client.submit_all("ledger", mixed), server).await;
    let codes: Vec<Option<Code>> = results
        .iter()
        .map(|result| result.as_ref().err().map(Error::code))
        .collect();
    assert_eq!(codes, [Some(Code::TooLarge), None, Some(Code::TooLarge), None]);
}

#[tokio::test]
async fn all_are_unavailable_when_nothing_was_ever_sent() {
    let environment = environment();
    let gone = deserted(&environment).await;
    let options = Options {
        in_flight_max: 2,
        ..Options::new([gone]).deadline(Duration::from_millis(300))
    };
    let client = Client::connect(environment.clone(), options).unwrap();
    // Two are tried; the others wait for their places.
    let results = within(&environment, client.submit_all("ledger", commands(5))).await;
    assert_eq!(results.len(), 5);
    for result in results {
        assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
    }
}
