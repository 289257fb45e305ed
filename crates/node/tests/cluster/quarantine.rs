//! An entry at which this program itself fails does not fell a node again and again.

use machine::{Consistency, Request, SubmitError};
use node::Ending;

use crate::world::{Member, PATIENCE, World, total};

async fn stopped(world: &World, member: Member) -> String {
    let ending = environment::timeout(&world.environment, PATIENCE, member.node.ended()).await;
    let reason = match ending.expect("the node ends by itself") {
        Ending::Stop(reason) => reason,
        Ending::Restart(reason) => panic!("it is to be started again: {reason}"),
    };
    gone(member).await;
    reason
}

async fn gone(member: Member) {
    member.node.shutdown().await;
    drop(member.cluster);
}

/// Until the node has applied all that its log holds, and then its total.
async fn total_at_the_end(world: &World, member: &Member) -> String {
    world
        .until(member, "the end of the log", |status, _| {
            status.leader.is_some() && status.applied == status.last
        })
        .await;
    total(member, Consistency::Linearizable).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_stopped_a_node_twice_parks_it_until_it_may_try_again() {
    let world = World::new();
    let a = world.start_poisoned("a").await;
    let change = world.plan(&[&a], 1).await;
    world.switched(&a, change).await;
    assert_eq!(world.add(&[&a], 1).await, "1");
    let poison = Request {
        claim: None,
        application: "adder".into(),
        command: "add".into(),
        version: 1,
        payload: "666".into(),
    };
    let answer = a.cluster.submit(poison).await;
    assert!(matches!(answer, Err(SubmitError::OutcomeUnknown(_))), "{answer:?}");
    let first = stopped(&world, a).await;
    assert!(
        first.contains("this program failed at entry") && first.contains("666"),
        "{first}"
    );

    let again = world.start_poisoned("a").await;
    stopped(&world, again).await;

    let parked = world.start_poisoned("a").await;
    world
        .until(&parked, "parking", |status, _| status.parked.is_some())
        .await;
    let status = parked.cluster.status();
    let why = status.parked.unwrap_or_default();
    assert!(
        why.contains("has stopped this node 2 times") && why.contains("remove the file fault"),
        "{why}"
    );
    assert!(status.committed > status.applied, "its log goes on");
    assert_eq!(total(&parked, Consistency::Stale).await.1, "1");
    gone(parked).await;

    // With the note gone and code that does not fail, it goes on, and leaves no note.
    let note = world.data("a").join("fault");
    std::fs::remove_file(&note).expect("the note is there");
    let mended = world.start("a", &[1], None).await;
    assert_eq!(total_at_the_end(&world, &mended).await, "667");
    assert!(!note.exists());
    gone(mended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_does_not_come_back_is_forgotten_once_its_entry_is_applied() {
    let world = World::new();
    let a = world.start_poisoned("a").await;
    let change = world.plan(&[&a], 1).await;
    world.switched(&a, change).await;
    let request = Request {
        claim: None,
        application: "adder".into(),
        command: "add".into(),
        version: 1,
        payload: "666".into(),
    };
    let answer = a.cluster.submit(request).await;
    assert!(matches!(answer, Err(SubmitError::OutcomeUnknown(_))), "{answer:?}");
    stopped(&world, a).await;
    let note = world.data("a").join("fault");
    assert!(note.exists());
    let mended = world.start("a", &[1], None).await;
    assert_eq!(total_at_the_end(&world, &mended).await, "666");
    assert!(!note.exists());
    gone(mended).await;
}
