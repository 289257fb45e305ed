//! Ports and data directories that a node must not use.

use std::path::{Path, PathBuf};
use std::process::Command;

use seachange::local_cluster::LocalCluster;

use crate::binary::{CommandLine, Given, cluster, program, run};

fn serve(data: &Path, more: &[&str]) -> Given {
    run(Command::new(program())
        .args(["serve", "--http", "127.0.0.1:0", "--peer", "127.0.0.1:0", "--data"])
        .arg(data)
        .args(more))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), &to).unwrap();
        }
    }
}

/// A cluster of one that has written a file of every kind.
async fn with_files() -> LocalCluster {
    let (cluster, _environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    line.install("ledger-1");
    for id in ["ada", "alan"] {
        let account = serde_json::json!({"id": id, "owner": "Ada Lovelace", "balance": 100});
        line.ok(&["send", "ledger", "open", &account.to_string()]);
    }
    line.ok(&[
        "send",
        "ledger",
        "transfer",
        r#"{"from":"ada","to":"alan","amount":50}"#,
    ]);
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() {
    let (cluster, _environment) = cluster(1).await;
    let directory = tempfile::tempdir().unwrap();
    let (http, peer) = (cluster.nodes()[0].http(), cluster.nodes()[0].peer());
    for (arguments, address, flag) in [
        (["--http", http, "--peer", "127.0.0.1:0"], http, "--http"),
        (["--http", "127.0.0.1:0", "--peer", peer], peer, "--peer"),
    ] {
        let mut serve = Command::new(program());
        serve
            .arg("serve")
            .args(arguments)
            .arg("--data")
            .arg(directory.path().join("data"));
        let given = run(&mut serve);
        assert_eq!(given.code, 1, "{given:?}");
        assert!(given.err.contains(address) && given.err.contains(flag), "{given:?}");
    }
    CommandLine::of(&cluster).ok(&["status", "--check"]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_in_use_is_refused_and_its_node_goes_on() {
    let cluster = with_files().await;
    let given = serve(&cluster.nodes()[0].data(), &[]);
    assert_eq!(given.code, 1, "{given:?}");
    assert!(given.err.contains("is in use by another process"), "{given:?}");
    CommandLine::of(&cluster).ok(&["status", "--check"]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_newer_format_is_refused_by_name_and_nothing_is_changed() {
    let mut cluster = with_files().await;
    cluster.stop_node(0).await.unwrap();
    let data = cluster.nodes()[0].data();
    let log = |name: &str| PathBuf::from("log").join(name);
    let stream = file_under(&data.join("streams"));
    let stream = stream.strip_prefix(&data).unwrap().to_path_buf();
    let segment = log("00000000000000000001.log");
    for (file, what, slots) in [
        (PathBuf::from("identity"), "identity", 1),
        (segment, "log segment", 1),
        (log("vote"), "vote", 2),
        (log("committed"), "committed position", 2),
        (stream, "stream segment", 1),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let copied = directory.path().join("data");
        copy(&data, &copied);
        let path = copied.join(&file);
        let mut bytes = std::fs::read(&path).unwrap();
        for slot in 0..slots {
            bytes[slot * 512 + 8] = 9;
            if slots == 2 {
                let checksum = crc32c::crc32c(&bytes[slot * 512..slot * 512 + 508]);
                bytes[slot * 512 + 508..slot * 512 + 512].copy_from_slice(&checksum.to_le_bytes());
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        let given = serve(&copied, &[]);
        assert_eq!(given.code, 1, "{file:?}: {given:?}");
        let says = format!("is a {what} of format 9");
        assert!(
            given.err.contains(&says) && given.err.contains("newer binary"),
            "{file:?}: {given:?}"
        );
        assert!(given.err.contains(&path.display().to_string()), "{given:?}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{file:?} was changed");
    }
    // The original is as good as it was.
    cluster.restart(0).await.unwrap();
    let line = CommandLine::of(&cluster);
    assert!(line.ok(&["get", "ledger", "accounts", "ada"]).contains("50"));
    cluster.stop().await;
}

/// Some file below a directory.
fn file_under(directory: &Path) -> PathBuf {
    let first = std::fs::read_dir(directory).unwrap().next();
    let path = first.expect("it is not empty").unwrap().path();
    if path.is_file() { path } else { file_under(&path) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_another_node_or_cluster_is_refused() {
    let mut one = with_files().await;
    let mut other = with_files().await;
    one.stop_node(0).await.unwrap();
    let directory = tempfile::tempdir().unwrap();

    // The whole directory, started to join the other cluster, which runs.
    let mine = directory.path().join("mine");
    copy(&one.nodes()[0].data(), &mine);
    let given = serve(&mine, &["--join", other.nodes()[0].peer()]);
    assert_eq!(given.code, 1, "{given:?}");
    assert!(
        given.err.contains("--join") && given.err.contains("a directory of its own (--data)"),
        "{given:?}"
    );

    // Parts of it, put into that of the other.
    other.stop_node(0).await.unwrap();
    for part in ["identity", "log"] {
        let mixed = directory.path().join(format!("mixed-{part}"));
        copy(&other.nodes()[0].data(), &mixed);
        let from = one.nodes()[0].data().join(part);
        if from.is_dir() {
            std::fs::remove_dir_all(mixed.join(part)).unwrap();
            copy(&from, &mixed.join(part));
        } else {
            std::fs::copy(from, mixed.join(part)).unwrap();
        }
        let given = serve(&mixed, &[]);
        assert_eq!(given.code, 1, "{part}: {given:?}");
        assert!(
            given.err.contains("files were copied between nodes"),
            "{part}: {given:?}"
        );
    }

    // Both are as good as they were.
    for cluster in [&mut one, &mut other] {
        cluster.restart(0).await.unwrap();
        CommandLine::of(cluster).ok(&["get", "ledger", "accounts", "ada"]);
    }
    one.stop().await;
    other.stop().await;
}
