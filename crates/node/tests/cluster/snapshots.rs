//! Snapshots take the place of a log that was purged.

use machine::{Consistency, Index};

use crate::world::{Member, World, total};

/// A snapshot as often as possible, and little of the log kept behind it.
pub fn eager() -> World {
    let mut world = World::new();
    world.upkeep.snapshot_log_bytes = 1;
    world.upkeep.log_keep_entries = 50;
    world
}

/// Waits until the log of a node begins after `index`: some time after the snapshot that replaces it, as a leader keeps
/// what it is about to send.
pub async fn purged(world: &World, member: &Member, index: Index) {
    let log = member.node.log();
    let waited = environment::timeout(&world.environment, crate::world::PATIENCE, async {
        while log.purged().is_none_or(|(purged, _)| purged <= index) {
            world.environment.sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("the log is purged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_missed_what_was_purged_and_one_that_joins_late_take_a_snapshot() {
    let world = eager();
    let [a, b, c] = world.three(3).await;
    let missed = c.cluster.status().last;
    c.node.shutdown().await;
    drop(c.cluster);
    for _ in 0..200 {
        world.add(&[&a, &b], 1).await;
    }
    for member in [&a, &b] {
        purged(&world, member, missed).await;
    }
    let c = world.start("c", &[1], None).await;
    let (c, reason) = world.start_again("c", c).await;
    assert!(reason.contains("snapshot"), "{reason}");
    let c = world.catch_up("c", c, &[&a, &b]).await;
    assert_eq!(total(&c, Consistency::Linearizable).await.1, "203");
    let d = world.start("d", &[1], Some(&a.peer)).await;
    let (d, _) = world.start_again("d", d).await;
    let d = world.catch_up("d", d, &[&a, &b, &c]).await;
    world.voters(&a, 4).await;
    assert_eq!(world.add(&[&a, &b, &c, &d], 7).await, "210");
    world.agree(&[&a, &b, &c, &d]).await;
    // What was installed is good to start from again, and to give to others.
    d.node.shutdown().await;
    drop(d.cluster);
    let d = world.start("d", &[1], None).await;
    world.agree(&[&a, &b, &c, &d]).await;
    d.node.upkeep().scan().await.expect("all is well");
    for member in [a, b, c, d] {
        member.node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_node_with_a_purged_log_comes_back() {
    let world = eager();
    let a = world.start("a", &[1], None).await;
    let change = world.plan(&[&a], 1).await;
    world.switched(&a, change).await;
    for _ in 0..150 {
        world.add(&[&a], 1).await;
    }
    purged(&world, &a, Index(20)).await;
    a.node.shutdown().await;
    drop(a.cluster);
    // Without its snapshots, too: the state has all that is needed.
    std::fs::remove_dir_all(world.data("a").join("snapshots")).expect("they are there");
    let a = world.start("a", &[1], None).await;
    assert_eq!(world.add(&[&a], 1).await, "151");
    a.node.upkeep().scan().await.expect("all is well");
    a.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_is_answered_also_where_nothing_is_applied_yet_and_many_at_once() {
    let world = World::new();
    let a = world.start("a", &[1], None).await;
    let upkeep = a.node.upkeep();
    let asked = async {
        // A node this young may have applied nothing: then it says so.
        upkeep.scan().await.ok();
        upkeep.make().await.ok();
    };
    let answered = environment::timeout(&world.environment, crate::world::PATIENCE, asked).await;
    assert!(answered.is_ok(), "nobody waits for ever");
    let change = world.plan(&[&a], 1).await;
    world.switched(&a, change).await;
    world.add(&[&a], 1).await;
    let all = (0..8).map(|_| async { (upkeep.make().await, upkeep.scan().await) });
    for (made, scanned) in futures::future::join_all(all).await {
        made.expect("a snapshot");
        scanned.expect("all is well");
    }
    a.node.shutdown().await;
}
