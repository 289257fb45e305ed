//! A byte flips on one node's disk: it says so and is rebuilt, and the others go on.

use std::path::{Path, PathBuf};

use machine::Consistency;
use node::limits::REBUILDS_MAX;

use crate::world::{World, stop, total};

/// Every file below `directory` whose path has `part` in it, the largest first.
fn files(directory: &Path, part: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, part));
        } else if path.to_string_lossy().contains(part) {
            found.push(path);
        }
    }
    found.sort_by_key(|path| std::cmp::Reverse(path.metadata().map_or(0, |metadata| metadata.len())));
    found
}

/// Flips a bit in the middle of what the file holds.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).expect("it can be read");
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("it is not empty") + 1;
    bytes[used / 2] ^= 1;
    std::fs::write(path, bytes).expect("it can be written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_damaged_is_rebuilt_from_the_nodes_own_log_or_snapshot() {
    let world = World::new();
    let [a, b, mut c] = world.three(20).await;
    for round in 0..2 {
        if round == 1 {
            c.node.upkeep().make().await.expect("a snapshot");
            world.add(&[&a, &b, &c], 1).await;
        }
        stop(c).await;
        let state = std::fs::read_dir(world.data("c")).expect("a directory");
        let state = state.map(|entry| entry.expect("an entry").path()).find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("state"))
        });
        let state = state.expect("there is a state");
        // Whatever holds rows: journals, tables, and files of large rows.
        for file in files(&state, "") {
            let name = file.to_string_lossy().into_owned();
            if [".jnl", "tables", "blobs"].iter().any(|part| name.contains(part)) {
                flip(&file);
            }
        }
        assert_eq!(
            world.add(&[&a, &b], 1).await,
            (21 + 2 * round).to_string(),
            "the others go on"
        );
        c = world.start("c", &[1], None).await;
        world.agree(&[&a, &b, &c]).await;
        c.node.upkeep().scan().await.expect("all is well again");
    }
    for member in [a, b, c] {
        stop(member).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_lost_rows_without_a_trace_is_found_by_the_scan_and_taken_from_the_others() {
    use machine::{Row, Shape, TableId};
    use store::state::{Backend, FjallBackend, FjallOptions};
    let mut world = World::new();
    world.upkeep.snapshot_log_bytes = 1;
    world.upkeep.log_keep_entries = 0;
    let [a, b, c] = world.three(100).await;
    stop(c).await;
    {
        let backend = FjallBackend::open(&world.data("c").join("state"), FjallOptions::default()).expect("it opens");
        let row = Row {
            shape: Shape(1),
            document: bytes::Bytes::from_static(b"99999"),
        };
        backend
            .write(vec![(TableId(16), bytes::Bytes::from_static(b"all"), Some(row))])
            .expect("a row of its own making");
    }
    // Nor can its own snapshot help.
    for snapshot in files(&world.data("c"), ".snapshot") {
        flip(&snapshot);
    }
    let c = world.start("c", &[1], None).await;
    let (c, reason) = world.start_again("c", c).await;
    assert!(reason.contains("sum up"), "{reason}");
    world.agree(&[&a, &b, &c]).await;
    assert_eq!(total(&c, Consistency::Linearizable).await.1, "100");
    for member in [a, b, c] {
        stop(member).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_damaged_stops_the_node_until_it_is_told_to_take_everything_from_the_others() {
    let world = World::new();
    let [a, b, c] = world.three(30).await;
    stop(c).await;
    let segment = files(&world.data("c").join("log"), ".log").remove(0);
    let mut bytes = std::fs::read(&segment).expect("it can be read");
    bytes[300] ^= 1;
    std::fs::write(&segment, bytes).expect("it can be written");
    let error = world.try_start("c", &[1], None).await.err().expect("it does not start");
    let text = error.to_string();
    assert!(
        text.contains("damaged at byte") && text.contains("seachange rebuild"),
        "{text}"
    );
    assert!(text.contains(&*segment.to_string_lossy()), "{text}");
    node::order_rebuild(&world.environment.disk, &world.data("c"), "a test").expect("it is noted");
    let c = world.start("c", &[1], None).await;
    world.agree(&[&a, &b, &c]).await;
    assert_eq!(total(&c, Consistency::Linearizable).await.1, "30");
    // It votes again: with one of the others gone, the cluster needs it.
    stop(b).await;
    assert_eq!(world.add(&[&a, &c], 1).await, "31");
    for member in [a, c] {
        stop(member).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_has_lost_its_end_stops_the_node_too() {
    let world = World::new();
    let [a, b, c] = world.three(3).await;
    stop(c).await;
    let log = world.data("c").join("log");
    let before: Vec<_> = files(&log, "")
        .into_iter()
        .map(|path| (std::fs::read(&path).expect("it can be read"), path))
        .collect();
    let c = world.start("c", &[1], None).await;
    world.add(&[&a, &b, &c], 1).await;
    world.agree(&[&a, &b, &c]).await;
    c.node.upkeep().make().await.expect("a checkpoint");
    stop(c).await;
    for path in files(&log, "") {
        std::fs::remove_file(path).expect("it can be removed");
    }
    for (bytes, path) in before {
        std::fs::write(path, bytes).expect("it can be written");
    }
    let error = world.try_start("c", &[1], None).await.err().expect("it does not start");
    let text = error.to_string();
    assert!(
        text.contains("lost its end") && text.contains("seachange rebuild"),
        "{text}"
    );
    node::order_rebuild(&world.environment.disk, &world.data("c"), "a test").expect("it is noted");
    let c = world.start("c", &[1], None).await;
    world.agree(&[&a, &b, &c]).await;
    for member in [a, b, c] {
        stop(member).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_read_what_it_rebuilds_gives_up() {
    let world = World::new();
    let a = world.start("a", &[1], None).await;
    let change = world.plan(&[&a], 1).await;
    world.switched(&a, change).await;
    world.add(&[&a], 1).await;
    stop(a).await;
    let failed = world.try_start_damaged("a", REBUILDS_MAX + 1).await;
    let text = failed.err().expect("it does not start").to_string();
    assert!(text.contains("still cannot be read"), "{text}");
    let a = world.try_start_damaged("a", REBUILDS_MAX).await.expect("it starts");
    assert_eq!(world.add(&[&a], 1).await, "2");
    stop(a).await;
}

/// The leader knows that it had confirmed more than the snapshot holds, and must send it that again.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_takes_everything_from_a_snapshot_older_than_what_it_had_confirmed() {
    let world = World::new();
    let [a, b, c] = world.three(3).await;
    for member in [&a, &b] {
        member.node.upkeep().make().await.expect("a snapshot");
    }
    for _ in 0..20 {
        world.add(&[&a, &b, &c], 1).await;
    }
    world.agree(&[&a, &b, &c]).await;
    stop(c).await;
    node::order_rebuild(&world.environment.disk, &world.data("c"), "a test").expect("it is noted");
    let c = world.start("c", &[1], None).await;
    world.agree(&[&a, &b, &c]).await;
    stop(b).await;
    assert_eq!(world.add(&[&a, &c], 1).await, "24");
    for member in [a, c] {
        stop(member).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_rebuilt_is_not_judged_by_what_it_said_before() {
    let world = World::new();
    let a = world.start("a", &[1], None).await;
    let b = world.start("b", &[1], Some(&a.peer)).await;
    let c = world.start_liar("c", &a.peer).await;
    world.voters(&a, 3).await;
    let change = world.plan(&[&a, &b, &c], 1).await;
    world.switched(&a, change).await;
    world.add(&[&a, &b, &c], 1).await;
    // The only mark: it stays the one that counts.
    world.propose(&[&a, &b, &c], machine::Body::MarkDigest).await;
    let (c, reason) = world.start_again("c", c).await;
    assert!(reason.contains("majority of the voters"), "{reason}");
    world.agree(&[&a, &b, &c]).await;
    for total in 2..20 {
        assert_eq!(world.add(&[&a, &b, &c], 1).await, total.to_string());
    }
    world.agree(&[&a, &b, &c]).await;
    {
        let ended = c.node.ended();
        futures::pin_mut!(ended);
        assert!(futures::poll!(ended).is_pending(), "it goes on");
    }
    for member in [a, b, c] {
        stop(member).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_damaged_is_made_anew_and_the_node_goes_on() {
    let world = World::new();
    let a = world.start("a", &[1], None).await;
    let change = world.plan(&[&a], 1).await;
    world.switched(&a, change).await;
    world.add(&[&a], 1).await;
    a.node.upkeep().make().await.expect("a snapshot");
    let snapshot = files(&world.data("a"), ".snapshot").remove(0);
    flip(&snapshot);
    a.node.upkeep().scan().await.expect("the node itself is well");
    assert_eq!(world.add(&[&a], 1).await, "2");
    a.node.upkeep().scan().await.expect("and has a sound snapshot");
    stop(a).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_went_another_way_is_found_by_comparison_and_rebuilt() {
    let mut world = World::new();
    world.upkeep.scan_interval = std::time::Duration::from_millis(300);
    let a = world.start("a", &[1], None).await;
    let b = world.start("b", &[1], Some(&a.peer)).await;
    let c = world.start_liar("c", &a.peer).await;
    world.voters(&a, 3).await;
    let change = world.plan(&[&a, &b, &c], 1).await;
    world.switched(&a, change).await;
    world.add(&[&a, &b, &c], 1).await;
    // With the right code it comes to what the others hold.
    let (c, reason) = world.start_again("c", c).await;
    assert!(reason.contains("majority of the voters"), "{reason}");
    world.agree(&[&a, &b, &c]).await;
    assert_eq!(total(&c, Consistency::Linearizable).await.1, "1");
    assert_eq!(world.add(&[&a, &b, &c], 1).await, "2");
    for member in [a, b, c] {
        stop(member).await;
    }
}
