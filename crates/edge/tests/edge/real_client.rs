//! The project's own client against this edge: both halves of the wire, and the way from a follower to the leader.

use client::wire::{Code, CommandOutcome, RowsParameters};
use client::{Admin, Client, Options};
use machine::SubmitError;

use crate::fake::{Fake, ME, OTHER, node};
use crate::serve;

#[tokio::test]
async fn the_client_finds_the_leader_and_keeps_its_claim() {
    let leader = serve(Fake::leading()).await;
    let follower = serve(Fake::following(Some(OTHER))).await;
    let address = leader.edge.address().to_string();
    follower
        .fake
        .change_with(|state| state.catalog.nodes.insert(OTHER, node("two", address)));
    let options = Options::new([follower.edge.address().to_string()]);
    let client = Client::connect(follower.environment.clone(), options).unwrap();

    let many = (0..500).map(|number| client.submit("ledger", "transfer", 1, number.to_string()));
    let replies = futures::future::join_all(many).await;
    for (number, reply) in replies.into_iter().enumerate() {
        let reply = reply.unwrap();
        assert_eq!(
            (reply.outcome, &reply.reply[..]),
            (CommandOutcome::Applied, number.to_string().as_bytes())
        );
    }
    let mut sequences: Vec<u64> = leader
        .fake
        .state
        .lock()
        .requests
        .iter()
        .map(|request| request.claim.unwrap().sequence.0)
        .collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=500).collect::<Vec<_>>());

    // An outcome that the leader lost is asked for again under the same claim.
    let lost = SubmitError::OutcomeUnknown("leadership was lost".into());
    leader.fake.state.lock().submits.push_back(Err(lost));
    let traced = client.submit_traced("ledger", "transfer", 1, "{}").await;
    assert!(traced.result.is_ok() && traced.attempts == 2, "{traced:?}");
    let requests = leader.fake.state.lock().requests.clone();
    assert_eq!(
        requests[500].claim.unwrap().sequence,
        requests[501].claim.unwrap().sequence
    );

    // The leader steps down in favour of the node that the client came from.
    let address = follower.edge.address().to_string();
    leader.fake.change_with(|state| {
        state.leader = Some(OTHER);
        state.catalog.nodes.insert(OTHER, node("two", address));
    });
    follower.fake.change_with(|state| state.leader = Some(ME));
    let reply = client.submit("ledger", "transfer", 1, "{}").await.unwrap();
    assert_eq!(reply.outcome, CommandOutcome::Applied);
    assert_eq!(follower.fake.state.lock().requests.last().unwrap().command, "transfer");
}

#[tokio::test]
async fn the_admin_client_reads_what_is_served() {
    let served = serve(Fake::leading()).await;
    served.fake.put_row("accounts", "a/1", "1");
    served.fake.emit("ledger.transfers", b"{\"n\":1}");
    let options = Options::new([served.edge.address().to_string()]);
    let admin = Admin::new(served.environment.clone(), options).unwrap();
    assert_eq!(admin.status().await.unwrap().name, "one");
    assert_eq!(admin.apps().await.unwrap().apps[0].name, "ledger");
    let rows = admin
        .scan_rows("ledger", "accounts", &RowsParameters::default())
        .await
        .unwrap();
    assert_eq!((rows.rows.len(), &rows.rows[0].key[..]), (1, &b"a/1"[..]));
    let error = admin.app("nothing").await.unwrap_err();
    assert_eq!(error.code(), Code::UnknownApplication);
    assert_eq!(admin.upload_module(&b"module"[..]).await.unwrap().bytes, 6);

    assert_eq!(admin.members().await.unwrap().members.len(), 2);
    assert_eq!(admin.streams().await.unwrap().streams[0].end, 1);
    assert_eq!(admin.tables("ledger").await.unwrap().tables[0].name, "accounts");
    assert_eq!(admin.error("no_leader").await.unwrap().number, 101);
    let mut watch = admin.watch();
    let kinds = [watch.next().await.unwrap(), watch.next().await.unwrap()].map(|record| record.watched.kind());
    assert_eq!(kinds, ["status", "application"]);

    let mut events = admin.events("ledger.transfers", 0, true);
    assert_eq!(events.next().await.unwrap().unwrap().offset, 0);
    served.fake.emit("ledger.transfers", b"2");
    assert_eq!(events.next().await.unwrap().unwrap().offset, 1);
    assert_eq!(served.fake.state.lock().bodies.len(), 1);
}
