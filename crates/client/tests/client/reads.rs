//! Reads of single rows over the framed protocol.

use client::wire::frames::{FromClient, FromServer, Get, Row};
use client::wire::{Code, Consistency};
use client::{Client, Error};
use environment::real::environment;

use crate::fake::{Connection, Fake, client_of, play};

async fn asked(connection: &mut Connection) -> (u64, Get) {
    match connection.receive().await {
        Some((correlation, FromClient::Get(get))) => (correlation, get),
        other => panic!("{other:?} is no read"),
    }
}

async fn answer(connection: &mut Connection, correlation: u64, document: Option<&'static str>) {
    let document = document.map(Into::into);
    let row = Row { index: 7, document };
    connection.send(correlation, FromServer::Row(row)).await;
}

async fn ada(client: &Client) -> Result<(u64, Option<bytes::Bytes>), Error> {
    client.get("ledger", "accounts", "ada", Consistency::Linearizable).await
}

#[tokio::test]
async fn a_read_needs_no_session_and_says_what_is_there() {
    let environment = environment();
    let fake = Fake::start(&environment).await;
    let client = client_of(&environment, &[&fake]);
    let server = async {
        let mut connection = fake.accept().await;
        let (correlation, get) = asked(&mut connection).await;
        assert_eq!((get.application.as_str(), get.table.as_str()), ("ledger", "accounts"));
        assert_eq!((&get.key[..], get.stale), (&b"ada"[..], false));
        answer(&mut connection, correlation, Some("document")).await;
        let (correlation, get) = asked(&mut connection).await;
        assert!(get.stale);
        answer(&mut connection, correlation, None).await;
    };
    let caller = async {
        assert_eq!(ada(&client).await, Ok((7, Some("document".into()))));
        let stale = client.get("ledger", "accounts", "eve", Consistency::Stale).await;
        assert_eq!(stale, Ok((7, None)));
    };
    play(&environment, caller, server).await;
    assert_eq!(client.counts().sessions, 0);
}

#[tokio::test]
async fn a_read_is_asked_again_where_it_was_left_without_an_answer() {
    let environment = environment();
    let fake = Fake::start(&environment).await;
    let client = client_of(&environment, &[&fake]);
    let server = async {
        let mut connection = fake.accept().await;
        asked(&mut connection).await;
        drop(connection);
        let mut connection = fake.accept().await;
        let (correlation, _) = asked(&mut connection).await;
        connection.error(correlation, Code::ReadUnconfirmed, None).await;
        // It looks for a node that can, and there is but this one.
        let mut connection = fake.accept().await;
        let (correlation, _) = asked(&mut connection).await;
        answer(&mut connection, correlation, Some("document")).await;
    };
    assert_eq!(
        play(&environment, ada(&client), server).await,
        Ok((7, Some("document".into())))
    );
    assert_eq!(client.counts().unknown, 0);
}

#[tokio::test]
async fn what_nobody_can_answer_is_a_problem() {
    let environment = environment();
    let fake = Fake::start(&environment).await;
    let client = client_of(&environment, &[&fake]);
    let server = async {
        let mut connection = fake.accept().await;
        let (correlation, _) = asked(&mut connection).await;
        connection.error(correlation, Code::UnknownTable, None).await;
    };
    match play(&environment, ada(&client), server).await {
        Err(Error::Problem(problem)) => assert_eq!(problem.code, Code::UnknownTable),
        other => panic!("{other:?}"),
    }
}
