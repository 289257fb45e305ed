//! Bad input: each gets an error that says what is wrong, and the node goes on.

use std::process::Command;

use client::wire::frames;
use environment::Environment;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::binary::{CommandLine, app, cluster, program, run};

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_named() {
    let (cluster, _environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    line.install("ledger-1");
    for (arguments, code) in [
        (&["send", "nothing", "open", "{}"][..], "unknown_application"),
        (&["send", "ledger", "close", "{}"], "unknown_command"),
        (
            &["send", "ledger", "open", "{}", "--payload-version", "9"],
            "unknown_command_version",
        ),
        (&["get", "nothing", "accounts", "ada"], "unknown_application"),
        (&["get", "ledger", "nothing", "ada"], "unknown_table"),
        (&["get", "ledger", "accounts", "nobody"], "row_not_found"),
        (&["scan", "ledger", "nothing"], "unknown_table"),
        (&["query", "ledger", "nothing"], "unknown_query"),
        (&["tail", "ledger.nothing"], "unknown_stream"),
        (&["app", "show", "nothing"], "unknown_application"),
        (&["change", "show", "9999999"], "unknown_change"),
        (&["change", "abort", "9999999"], "unknown_change"),
    ] {
        let error = line.fails(1, arguments);
        assert!(error.contains(code), "{arguments:?}: {error}");
    }
    assert!(
        line.fails(1, &["send", "ledger", "open", "{\"id\":"])
            .contains("malformed")
    );
    line.ok(&["send", "ledger", "open", r#"{"id":"ada","owner":"Ada","balance":1}"#]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_cannot_run_is_refused_with_its_reason() {
    let (cluster, _environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    let directory = tempfile::tempdir().unwrap();
    let manifest = std::fs::read_to_string(app("ledger-1").join("manifest.toml")).unwrap();
    std::fs::write(directory.path().join("manifest.toml"), manifest).unwrap();
    let module = directory.path().join("ledger.wasm");
    let path = directory.path().display().to_string();
    // An empty module is valid WASM, and lacks every export; the other begins like one and is none.
    for bytes in [&b"\0asm\x01\0\0\0"[..], b"\0asm\x01\0\0\0garbage"] {
        std::fs::write(&module, bytes).unwrap();
        let error = line.fails(1, &["app", "install", &path]);
        assert!(error.contains("module"), "{error}");
    }
    std::fs::write(&module, b"#!/bin/sh").unwrap();
    assert!(line.fails(1, &["app", "install", &path]).contains("no WASM module"));
    assert!(
        line.fails(1, &["app", "upgrade", "ledger", &app("ledger-2").display().to_string()])
            .contains("not installed")
    );
    line.install("ledger-1");
    assert!(
        line.fails(1, &["app", "install", &app("ledger-1").display().to_string()])
            .contains("installed already")
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() {
    let (cluster, _environment) = cluster(1).await;
    let http = cluster.nodes()[0].http();
    let directory = tempfile::tempdir().unwrap();
    let mut serve = Command::new(program());
    serve
        .args(["serve", "--http", http, "--peer", "127.0.0.1:0", "--data"])
        .arg(directory.path().join("data"));
    let given = run(&mut serve);
    assert_eq!(given.code, 1, "{given:?}");
    assert!(given.err.contains(http) && given.err.contains("--http"), "{given:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_directory_belongs_to_one_node() {
    let (cluster, _environment) = cluster(1).await;
    let mut serve = Command::new(program());
    serve
        .args(["serve", "--http", "127.0.0.1:0", "--peer", "127.0.0.1:0", "--data"])
        .arg(cluster.nodes()[0].data());
    let given = run(&mut serve);
    assert_eq!(given.code, 1, "{given:?}");
    assert!(given.err.contains("data"), "{given:?}");
    cluster.stop().await;
}

/// Sends bytes, and reads until the node closes the connection or has said something.
async fn say(address: &str, bytes: &[u8], environment: &Environment) -> Vec<u8> {
    let mut stream = environment.network.connect(address).await.unwrap();
    // The node may have closed already, which is as good.
    let _ = stream.write_all(bytes).await;
    let mut answer = vec![0; 4096];
    let read = environment::timeout(
        environment,
        std::time::Duration::from_secs(20),
        stream.read(&mut answer),
    )
    .await;
    let length = read.expect("the node answers or closes").unwrap_or(0);
    answer.truncate(length);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_any_port_harms_nobody() {
    let (cluster, environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    line.install("ledger-1");
    let node = &cluster.nodes()[0];
    let garbage = [0xff; 4096];
    for address in [node.http(), node.peer()] {
        say(address, &garbage, &environment).await;
        say(address, b"GET / HTTP/1.1\r\n\r\n", &environment).await;
    }
    // A frame of the client protocol that claims to be larger than any may be.
    let mut frame = frames::MAGIC.to_vec();
    frame.extend_from_slice(&u32::MAX.to_le_bytes());
    frame.extend_from_slice(&garbage);
    say(node.http(), &frame, &environment).await;
    line.ok(&["send", "ledger", "open", r#"{"id":"ada","owner":"Ada","balance":1}"#]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_past_its_limit_is_refused() {
    let (cluster, environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    line.install("ledger-1");
    let head = format!(
        "POST /v1/apps/ledger/commands/open HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        2 << 20
    );
    let mut request = head.into_bytes();
    request.resize(request.len() + (2 << 20), b' ');
    let answer = say(cluster.nodes()[0].http(), &request, &environment).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("too_large"),
        "{answer}"
    );
    line.ok(&["send", "ledger", "open", r#"{"id":"ada","owner":"Ada","balance":1}"#]);
    cluster.stop().await;
}

#[test]
fn nobody_there_is_said_with_its_own_exit_code() {
    let given = run(Command::new(program()).args([
        "get",
        "ledger",
        "accounts",
        "ada",
        "--at",
        "127.0.0.1:1",
        "--timeout",
        "1",
    ]));
    assert_eq!(given.code, 3, "{given:?}");
    assert!(given.err.contains("127.0.0.1:1"), "{given:?}");
}
