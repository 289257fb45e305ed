//! Finding the leader, and finding it again.

use std::time::Duration;

use client::limits::HOPS_MAX;
use client::wire::Code;
use client::{Client, Error, Options};
use environment::real::environment;

use crate::fake::{Fake, client_of, client_with, deserted, play, within};

#[tokio::test]
async fn goes_where_not_leader_points() {
    let environment = environment();
    let (follower, leader) = (Fake::start(&environment).await, Fake::start(&environment).await);
    let client = client_of(&environment, &[&follower]);
    let server = async {
        let mut connection = follower.accept().await;
        let (correlation, _) = connection.receive().await.unwrap();
        connection
            .error(correlation, Code::NotLeader, Some(leader.address()))
            .await;
        let mut connection = leader.accept_session(5).await;
        let (correlation, submit) = connection.submit().await;
        assert_eq!(
            (submit.application.as_str(), submit.command.as_str(), submit.version),
            ("ledger", "open", 3)
        );
        assert_eq!(&submit.payload[..], b"{}");
        let claim = submit.claim.unwrap();
        assert_eq!((claim.session, claim.sequence, claim.settled), (5, 1, 1));
        connection.applied(correlation, 40, "done").await;
    };
    let traced = play(&environment, client.submit_traced("ledger", "open", 3, "{}"), server).await;
    let reply = traced.result.unwrap();
    assert_eq!((reply.index, &reply.reply[..], traced.attempts), (40, &b"done"[..], 1));
    let counts = client.counts();
    assert_eq!(
        (counts.leader_moves, counts.retries, counts.failed, counts.disconnects),
        (1, 0, 0, 0)
    );
}

#[tokio::test]
async fn goes_where_the_first_frame_points_before_anything_is_sent() {
    let environment = environment();
    let (mut follower, leader) = (Fake::start(&environment).await, Fake::start(&environment).await);
    follower.hello.leader_http = Some(leader.address());
    let client = client_of(&environment, &[&follower]);
    let server = async {
        follower.accept().await.closed().await;
        let (mut connection, hello) = leader.accept_hello().await;
        assert_eq!(hello.cluster, Some(77));
        connection.open_session(5).await;
        let (correlation, _) = connection.submit().await;
        connection.applied(correlation, 40, "done").await;
    };
    let traced = play(&environment, client.submit_traced("ledger", "open", 1, "{}"), server).await;
    assert_eq!((traced.result.is_ok(), traced.attempts), (true, 1));
}

#[tokio::test]
async fn a_cut_connection_is_repeated_elsewhere_with_the_same_claim() {
    let environment = environment();
    let (mut first, second) = (Fake::start(&environment).await, Fake::start(&environment).await);
    // The second address is learnt, not given.
    first.hello.members_http = vec![first.address(), second.address()];
    let client = client_of(&environment, &[&first]);
    let server = async {
        let mut connection = first.accept_session(5).await;
        let (_, before) = connection.submit().await;
        drop(connection);
        let mut connection = second.accept().await;
        let (correlation, again) = connection.submit().await;
        assert_eq!(again, before);
        connection.applied(correlation, 40, "done").await;
    };
    let traced = play(&environment, client.submit_traced("ledger", "open", 1, "{}"), server).await;
    assert_eq!((traced.result.is_ok(), traced.attempts), (true, 2));
    let counts = client.counts();
    assert_eq!(
        (counts.attempts, counts.retries, counts.disconnects, counts.failed),
        (2, 1, 1, 0)
    );
}

#[tokio::test]
async fn a_leader_that_steps_down_may_still_answer_what_it_owes() {
    let environment = environment();
    let (old, new) = (Fake::start(&environment).await, Fake::start(&environment).await);
    let client = client_of(&environment, &[&old]);
    let server = async {
        let mut left = old.accept_session(5).await;
        let (one, _) = left.submit().await;
        let (two, _) = left.submit().await;
        left.error(two, Code::NotLeader, Some(new.address())).await;
        let mut connection = new.accept().await;
        let (again, submit) = connection.submit().await;
        assert_eq!(submit.claim.unwrap().sequence, 2);
        left.applied(one, 40, "one").await;
        left.closed().await;
        connection.applied(again, 41, "two").await;
    };
    let callers = futures::future::join(
        client.submit_traced("ledger", "open", 1, "1"),
        client.submit_traced("ledger", "open", 1, "2"),
    );
    let (one, two) = play(&environment, callers, server).await;
    assert_eq!((one.result.unwrap().index, one.attempts), (40, 1));
    assert_eq!((two.result.unwrap().index, two.attempts), (41, 2));
}

#[tokio::test]
async fn an_overloaded_leader_is_asked_again_after_a_pause() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_of(&environment, &[&leader]);
    let server = async {
        let mut connection = leader.accept_session(5).await;
        let (correlation, before) = connection.submit().await;
        connection.error(correlation, Code::Overloaded, None).await;
        let (correlation, again) = connection.submit().await;
        assert_eq!(again, before);
        connection.applied(correlation, 40, "done").await;
    };
    let traced = play(&environment, client.submit_traced("ledger", "open", 1, "{}"), server).await;
    assert_eq!((traced.result.is_ok(), traced.attempts), (true, 2));
}

#[tokio::test]
async fn a_hint_to_where_nobody_answers_is_not_followed_in_a_circle() {
    let environment = environment();
    let (follower, leader) = (Fake::start(&environment).await, Fake::start(&environment).await);
    let gone = deserted(&environment).await;
    let client = client_of(&environment, &[&follower, &leader]);
    let server = async {
        let mut connection = follower.accept().await;
        let (correlation, _) = connection.receive().await.unwrap();
        connection.error(correlation, Code::NotLeader, Some(gone)).await;
        let mut connection = leader.accept_session(5).await;
        let (correlation, _) = connection.submit().await;
        connection.applied(correlation, 40, "done").await;
    };
    assert!(
        play(&environment, client.submit("ledger", "open", 1, "{}"), server)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_silent_leader_is_left() {
    let environment = environment();
    let (silent, awake) = (Fake::start(&environment).await, Fake::start(&environment).await);
    let client = client_of(&environment, &[&silent, &awake]);
    let server = async {
        let mut connection = silent.accept_session(5).await;
        let (_, before) = connection.submit().await;
        let mut other = awake.accept().await;
        let (correlation, again) = other.submit().await;
        assert_eq!(again, before);
        other.applied(correlation, 40, "done").await;
    };
    assert!(
        play(&environment, client.submit("ledger", "open", 1, "{}"), server)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_node_of_another_cluster_is_not_used() {
    let environment = environment();
    let (ours, mut theirs) = (Fake::start(&environment).await, Fake::start(&environment).await);
    theirs.hello.cluster = 78;
    let client = client_with(&environment, &[&ours, &theirs], Duration::from_secs(20));
    let server = async {
        let mut connection = ours.accept_session(5).await;
        let _ = connection.submit().await;
        drop(connection);
        let mut stranger = theirs.accept().await;
        stranger.closed().await;
        let mut connection = ours.accept().await;
        let (correlation, _) = connection.submit().await;
        connection.applied(correlation, 40, "done").await;
    };
    assert!(
        play(&environment, client.submit("ledger", "open", 1, "{}"), server)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn connections_close_with_the_last_clone() {
    let environment = environment();
    let leader = Fake::start(&environment).await;
    let client = client_of(&environment, &[&leader]);
    let clone = client.clone();
    drop(client);
    let (session, mut connection) = within(
        &environment,
        futures::future::join(clone.open_session(), leader.accept_session(5)),
    )
    .await;
    assert_eq!(session, Ok(5));
    drop(clone);
    within(&environment, connection.closed()).await;
}

#[tokio::test]
async fn options_are_checked() {
    let invalid = Options {
        in_flight_max: 1025,
        ..Options::new(["h:1"])
    };
    assert!(matches!(
        Client::connect(environment(), invalid),
        Err(Error::Invalid(_))
    ));
}

#[tokio::test]
async fn nodes_that_point_at_each_other_are_not_followed_for_ever() {
    let environment = environment();
    let (mut one, mut two) = (Fake::start(&environment).await, Fake::start(&environment).await);
    one.hello.leader_http = Some(two.address());
    two.hello.leader_http = Some(one.address());
    let client = client_of(&environment, &[&one]);
    let server = async {
        for hop in 0..HOPS_MAX {
            let asked = if hop.is_multiple_of(2) { &one } else { &two };
            asked.accept().await.closed().await;
        }
        // Past that, the node that is reached is asked, whoever it says leads.
        let reached = if HOPS_MAX.is_multiple_of(2) { &one } else { &two };
        let mut connection = reached.accept_session(5).await;
        let (correlation, _) = connection.submit().await;
        connection.applied(correlation, 40, "done").await;
    };
    let traced = play(&environment, client.submit_traced("ledger", "open", 1, "{}"), server).await;
    assert!(traced.result.is_ok(), "{traced:?}");
}
