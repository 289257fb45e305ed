//! Snapshots take the place of a log that was purged.

use machine::{Body, ChangeStep, Consistency, Index, Step, Version};

use crate::copy::take;
use crate::replay::run;
use crate::world::{Member, World, registry, total};

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

/// Waits until a node has a snapshot from behind `index`.
async fn snapshot_behind(world: &World, member: &Member, index: Index) {
    let waited = environment::timeout(&world.environment, crate::world::PATIENCE, async {
        loop {
            let listing = member.cluster.begin_copy().await.expect("nobody else copies");
            member.cluster.end_copy(listing.copy);
            if listing.snapshots.last().is_some_and(|newest| newest.index > index) {
                return;
            }
            world.environment.sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("there is one");
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_can_cross_a_change_for_as_long_as_that_may_take_room() {
    let mut world = eager();
    world.upkeep.replay_keep_bytes = 1 << 30;
    let a = world.start("a", &[1, 2], None).await;
    let installed = world.plan(&[&a], 1).await;
    world.switched(&a, installed).await;
    for _ in 0..150 {
        world.add(&[&a], 1).await;
    }
    // An installation is nothing to be crossed.
    purged(&world, &a, Index(20)).await;
    let upgraded = world.plan(&[&a], 2).await;
    world.switched(&a, upgraded).await;
    let switch = a.cluster.catalog().changes[&upgraded]
        .switch_index
        .expect("it has switched");
    let finalize = ChangeStep {
        change: upgraded,
        step: Step::Finalize,
        reason: "a test".to_owned(),
    };
    for round in 0..3 {
        for _ in 0..80 {
            world.add(&[&a], 1).await;
        }
        let last = a.cluster.status().applied;
        snapshot_behind(&world, &a, Index(last.0 - 10)).await;
        if round == 1 {
            world.propose(&[&a], Body::ChangeStep(finalize.clone())).await;
        }
    }
    let place = world.data("copy");
    let listing = take(&world, &*a.cluster, &place, None).await;
    assert!(listing.first > Index(20) && listing.first <= switch, "{listing:?}");
    assert_eq!(
        listing.snapshots.len(),
        3,
        "the two newest, and the one from before the change"
    );
    let archive = node::replay::Archive::open(&world.environment, &place, None).expect("it is a copy");
    let (_, steps) = run(archive.replay(&registry(&[1, 2]), None, None).expect("it begins"));
    let switches: Vec<_> = steps
        .iter()
        .flat_map(|step| &step.rules)
        .filter(|rule| rule.is_switch())
        .collect();
    assert_eq!(switches.len(), 1, "{switches:?}");
    assert_eq!((switches[0].index, switches[0].after), (switch, Some(Version(2))));
    a.node.shutdown().await;
    drop(a.cluster);

    // Over a restart, too; and no longer once it takes more than it may.
    let a = world.start("a", &[1, 2], None).await;
    snapshot_behind(&world, &a, switch).await;
    assert!(a.node.log().purged().is_none_or(|(purged, _)| purged < switch));
    a.node.shutdown().await;
    drop(a.cluster);
    world.upkeep.replay_keep_bytes = 1;
    let a = world.start("a", &[1, 2], None).await;
    for _ in 0..10 {
        world.add(&[&a], 1).await;
    }
    purged(&world, &a, switch).await;
    let listing = a.cluster.begin_copy().await.expect("nobody else copies");
    assert_eq!(listing.snapshots.len(), 2);
    assert!(
        listing.snapshots.iter().all(|snapshot| snapshot.index > switch),
        "{listing:?}"
    );
    a.node.shutdown().await;
}
