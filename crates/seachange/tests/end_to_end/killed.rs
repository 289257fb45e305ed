//! Nodes that are killed again and again while commands come, with a log that is purged behind them: some come back by the
//! log, some by a snapshot, and nothing that was acknowledged is lost or applied twice.

use std::process::{Command, Stdio};
use std::time::Duration;

use seachange::local_cluster::LocalCluster;
use serde_json::Value;

use crate::binary::{CommandLine, program};

/// How often the file of 2,000 flights is sent.
const ROUNDS: usize = 60;
/// Each node in turn is killed so often.
const KILLS: usize = 2;
/// Little of the log is kept, so that a node that was away for a moment needs a snapshot.
const FLAGS: [&str; 4] = ["--snapshot-log-bytes", "60000", "--log-keep-entries", "10"];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_whenever_no_flight_is_lost_or_counted_twice() {
    let environment = environment::real::environment();
    let started = LocalCluster::start_with(program(), 3, &FLAGS, environment.clone()).await;
    let mut cluster = started.unwrap();
    let line = CommandLine::of(&cluster);
    line.install("flights-1");
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("flights.ndjson");
    let flights = include_str!("../data/flights-2k.ndjson");
    std::fs::write(&file, flights.repeat(ROUNDS)).unwrap();
    let mut sender = Command::new(program())
        .args(["send", "flights", "flight", "--json", "--timeout", "60", "--file"])
        .arg(&file)
        .env("SEACHANGE_AT", cluster.addresses().join(","))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    for number in (0..3).cycle().take(3 * KILLS) {
        // Far enough that what the node lacks is purged before it is back: purging goes by 64 entries.
        let before = committed(&cluster).await;
        cluster.kill(number).unwrap();
        let others = environment::timeout(&environment, Duration::from_secs(60), async {
            while sender.try_wait().unwrap().is_none() && committed(&cluster).await < before + 100 {
                environment.sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(others.await.is_ok(), "the others go on without node {number}");
        cluster.restart(number).await.unwrap();
    }
    let sent = sender.wait_with_output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stdout));
    let sent: Value = serde_json::from_slice(&sent.stdout).unwrap();
    let all = 2000 * ROUNDS as u64;
    assert_eq!(sent["applied"], all, "{sent}");
    let last = sent["last_index"].as_u64().unwrap();
    let statuses = cluster.wait_until_equal(last, Duration::from_secs(60)).await.unwrap();
    assert!(statuses.iter().all(|status| status.digest == statuses[0].digest));
    let rows = line.ok(&["scan", "flights", "airports", "--all"]);
    let counted: u64 = rows
        .lines()
        .filter_map(|row| serde_json::from_str::<Value>(row.split('\t').nth(1)?).ok()?["flights"].as_u64())
        .sum();
    assert_eq!(counted, all);
    for address in cluster.addresses() {
        line.ok(&["verify", "--at", &address]);
    }
    // A snapshot that was installed is a state of a later generation.
    let installed = |data: std::path::PathBuf| {
        let names = std::fs::read_dir(data).unwrap();
        names
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .any(|name| name.starts_with("state-"))
    };
    assert!(cluster.nodes().iter().any(|node| installed(node.data())));
    cluster.stop().await;
}

/// The furthest that any node that answers knows the log to be committed.
async fn committed(cluster: &LocalCluster) -> u64 {
    let statuses = cluster.statuses().await;
    statuses
        .into_iter()
        .flatten()
        .map(|status| status.committed)
        .max()
        .unwrap_or(0)
}
