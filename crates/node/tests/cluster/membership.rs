//! Members come, go and differ.

use environment::timeout;
use machine::{Catalog, Consistency, Role, Status, change};

use crate::world::{PATIENCE, World, stop, total};

#[tokio::test(flavor = "multi_thread")]
async fn nodes_join_catch_up_vote_and_hold_the_same() {
    let world = World::new();
    let a = world.start("a", &[1], None).await;
    let change = world.plan(&[&a], 1).await;
    world.switched(&a, change).await;
    for add in 1..=10 {
        world.add(&[&a], add).await;
    }
    let b = world.start("b", &[1], Some(&a.peer)).await;
    let c = world.start("c", &[1], Some(&b.peer)).await;
    world.voters(&a, 3).await;
    assert_eq!(world.add(&[&a, &b, &c], 5).await, "60");
    for member in [&a, &b, &c] {
        assert_eq!(
            total(member, Consistency::Linearizable).await.1,
            "60",
            "fresh at every node"
        );
    }
    world.agree(&[&a, &b, &c]).await;
    for member in [a, b, c] {
        member.node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_comes_back_with_what_it_had_and_what_it_missed() {
    let world = World::new();
    let a = world.start("a", &[1], None).await;
    let b = world.start("b", &[1], Some(&a.peer)).await;
    let c = world.start("c", &[1], Some(&a.peer)).await;
    world.voters(&a, 3).await;
    let change = world.plan(&[&a, &b, &c], 1).await;
    world.switched(&c, change).await;
    world.add(&[&a, &b, &c], 1).await;
    // The leader leaves, and says so.
    a.node.prepare_to_stop().await;
    world
        .until(&b, "another leader", |status, _| {
            status.leader.is_some_and(|leader| leader.0 != 1)
        })
        .await;
    a.node.shutdown().await;
    drop(a.cluster);
    assert_eq!(world.add(&[&b, &c], 2).await, "3");
    // It comes back at another address, which the others learn from it.
    world.moves("a");
    let a = world.start("a", &[1], None).await;
    world.agree(&[&a, &b, &c]).await;
    assert_eq!(total(&a, Consistency::Linearizable).await.1, "3");
    let moved = a.peer.clone();
    world
        .until(&c, "the new address", |_, catalog| {
            catalog.nodes.values().any(|node| node.peer_address == moved)
        })
        .await;
    for member in [a, b, c] {
        member.node.shutdown().await;
    }
}

/// What it missed keeps it from being elected, and its new address can only be registered with its own help: the node
/// that is left must find it where it says that it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_elsewhere_completes_the_majority() {
    let world = World::new();
    let [a, b, c] = world.three(1).await;
    let left = c.peer.clone();
    stop(c).await;
    assert_eq!(world.add(&[&a, &b], 1).await, "2");
    stop(b).await;
    world.moves("c");
    let c = world.start("c", &[1], None).await;
    assert_ne!(c.peer, left);
    assert_eq!(world.add(&[&a, &c], 1).await, "3");
    world.agree(&[&a, &c]).await;
    for member in [a, c] {
        stop(member).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_waits_for_every_voter_and_says_for_whom_and_why() {
    let world = World::new();
    let a = world.start("a", &[1, 2], None).await;
    let b = world.start("b", &[1], Some(&a.peer)).await;
    let c = world.start("c", &[1, 2], Some(&a.peer)).await;
    world.voters(&a, 3).await;
    let members = [&a, &b, &c];
    let installed = world.plan(&members, 1).await;
    world.switched(&a, installed).await;
    let change = world.plan(&members, 2).await;
    let failed = |catalog: &Catalog| {
        let report = change::report(catalog, change, machine::TimeMs(0));
        report
            .blockers
            .iter()
            .any(|blocker| blocker.what.contains("b cannot run version 2"))
    };
    world.until(&a, "the reason", |_, catalog| failed(catalog)).await;
    assert_eq!(world.add(&members, 1).await, "1", "version 1 goes on meanwhile");
    // The node is given a binary that can.
    b.node.shutdown().await;
    drop(b.cluster);
    let b = world.start("b", &[1, 2], None).await;
    world.switched(&a, change).await;
    assert_eq!(world.add(&[&a, &b, &c], 1).await, "3", "version 2 adds twice");
    world.agree(&[&a, &b, &c]).await;
    for member in [a, b, c] {
        member.node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_the_version_in_force_parks_says_why_and_goes_on_once_it_has_it() {
    let world = World::new();
    let a = world.start("a", &[1, 2], None).await;
    let b = world.start("b", &[1, 2], Some(&a.peer)).await;
    world.voters(&a, 2).await;
    for version in [1, 2] {
        let change = world.plan(&[&a, &b], version).await;
        world.switched(&a, change).await;
        world.switched(&b, change).await;
        world.add(&[&a, &b], 1).await;
    }
    // A binary without version 2 joins: it replicates, votes, and applies what it can.
    let c = world.start("c", &[1], Some(&a.peer)).await;
    let why = |status: &Status| status.parked.as_ref().is_some_and(|why| why.contains('2'));
    world
        .until(&c, "the parked node's reason", |status, _| why(status))
        .await;
    world.voters(&a, 3).await;
    assert_eq!(world.add(&[&a, &b], 1).await, "5", "the others go on");
    let parked_at = c.cluster.status().applied;
    world
        .until(&c, "replication", |status, _| status.last > parked_at)
        .await;
    assert_eq!(
        total(&c, Consistency::Stale).await.1,
        "1",
        "nothing was skipped or guessed"
    );
    c.node.shutdown().await;
    drop(c.cluster);
    let c = world.start("c", &[1, 2], None).await;
    world.agree(&[&a, &b, &c]).await;
    assert_eq!(total(&c, Consistency::Linearizable).await.1, "5");
    for member in [a, b, c] {
        member.node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_on_the_peer_port_changes_nothing() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::new();
    let a = world.start("a", &[1], None).await;
    world
        .until(&a, "a leader", |status, catalog| {
            status.role == Role::Leader && catalog.nodes.len() == 1
        })
        .await;
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"SEAPEER1\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"",
        b"SEAPEER1",
    ] {
        let mut stream = world.environment.network.connect(&a.peer).await.expect("a connection");
        stream.write_all(garbage).await.expect("it is sent");
        stream.shutdown().await.expect("it is all");
        let mut answer = Vec::new();
        // However it ends, it ends.
        timeout(&world.environment, PATIENCE, stream.read_to_end(&mut answer))
            .await
            .expect("the node closes")
            .ok();
    }
    let change = world.plan(&[&a], 1).await;
    world.switched(&a, change).await;
    assert_eq!(world.add(&[&a], 7).await, "7");
    a.node.shutdown().await;
}
