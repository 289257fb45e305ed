use std::time::Duration;

use client::wire::Code;
use client::wire::frames::{FromClient, FromServer};
use edge::Drained;

use crate::fake::Fake;
use crate::framer::{Framer, submit};
use crate::serve;

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_drain_lets_what_runs_end_and_takes_nothing_new() {
    let served = serve(Fake::leading()).await;
    let (mut framer, _) = Framer::connect(&served.browser).await;
    framer.send(&[(1, FromClient::Submit(submit("wait", "1")))]).await;
    served.fake.seen(1).await;
    let mut stream = served
        .browser
        .open("GET", "/v1/streams/ledger.transfers?follow=true", &[], b"")
        .await;
    let slow = served.browser.post("/v1/apps/ledger/commands/wait", "2");
    let rest = async {
        served.fake.seen(2).await;
        let drain = served.edge.drain(LONG);
        let during = async {
            assert_eq!(stream.record().await, None, "a stream that is followed ends");
            framer.send(&[(2, FromClient::Submit(submit("transfer", "{}")))]).await;
            let (correlation, answer) = framer.next().await.unwrap();
            assert_eq!(correlation, 2);
            assert!(matches!(answer, FromServer::Error(error) if error.code == Code::Unavailable));
            served.fake.gate.add_permits(2);
            let (correlation, answer) = framer.next().await.unwrap();
            assert!(correlation == 1 && matches!(answer, FromServer::Reply(_)));
            let (correlation, answer) = framer.next().await.unwrap();
            assert!(correlation == 0 && matches!(answer, FromServer::Error(error) if error.code == Code::Unavailable));
            assert_eq!(framer.next().await, None);
            drop(framer);
        };
        futures::future::join(drain, during).await.0
    };
    let (slow, drained) = futures::future::join(slow, rest).await;
    assert_eq!(slow.status, 200, "{}", slow.text());
    assert_eq!(drained, Drained::Clean);
    let refused = served
        .environment
        .network
        .connect(&served.edge.address().to_string())
        .await;
    assert!(refused.is_err(), "the socket is closed");
}

#[tokio::test]
async fn a_drain_ends_at_its_deadline() {
    let served = serve(Fake::leading()).await;
    let (mut framer, _) = Framer::connect(&served.browser).await;
    framer.send(&[(1, FromClient::Submit(submit("wait", "1")))]).await;
    served.fake.seen(1).await;
    assert_eq!(served.edge.drain(Duration::from_millis(30)).await, Drained::Cut);
    assert_eq!(framer.next().await, None);
}

#[tokio::test]
async fn idle_connections_do_not_hold_a_drain_up() {
    let served = serve(Fake::leading()).await;
    let _silent = served.browser.connect().await;
    assert_eq!(served.browser.get("/healthz").await.status, 200);
    assert_eq!(served.edge.drain(LONG).await, Drained::Clean);
}
