//! Modules and manifests that cannot be, and upgrades that may not be.

use std::path::Path;

use machine::Digest;
use serde_json::Value;

use crate::bad_input::{Unharmed, http};
use crate::binary::app;

/// An application by hand, whose text each case spoils.
fn counter() -> String {
    std::fs::read_to_string(app("counter-wat").join("counter.wat")).unwrap()
}

fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn spoilt(from: &str, to: &str) -> Vec<u8> {
    let text = counter();
    assert!(text.contains(from), "{from}");
    wasm(&text.replacen(from, to, 1))
}

fn started(start: &str) -> Vec<u8> {
    let memory = r#"(memory (export "memory") 32)"#;
    spoilt(memory, &format!("{memory} {start}"))
}

const COUNTER: &str = r#"
application = "counter"
version = 1
module = "counter.wasm"
commands = [{ name = "count" }]
tables = [{ name = "counters" }]
streams = [{ name = "counter.counted" }]
"#;

fn package(manifest: &str, module: &[u8]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("manifest.toml"), manifest).unwrap();
    std::fs::write(directory.path().join("counter.wasm"), module).unwrap();
    directory
}

fn text_of(path: &Path) -> String {
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_cannot_run_is_refused_with_its_reason() {
    let unharmed = Unharmed::new().await;
    let line = &unharmed.line;
    let too_large = [wasm("(module)"), vec![0; 8 << 20]].concat();
    for (module, says) in [
        (b"#!/bin/sh".to_vec(), "no WASM module"),
        (b"\0asm\x01\0\0\0garbage".to_vec(), "module_invalid"),
        (wasm("(module)"), "does not export its memory"),
        (spoilt(r#"(export "apply")"#, r#"(export "apples")"#), "apply"),
        (
            spoilt(r#""app_1" "emit""#, r#""wasi_snapshot_preview1" "fd_write""#),
            "wasi_snapshot_preview1",
        ),
        (too_large, "are the most"),
    ] {
        let directory = package(COUNTER, &module);
        let error = line.fails(1, &["app", "install", &text_of(directory.path())]);
        assert!(error.contains(says), "{says}: {error}");
    }
    // These are found out only when the module is tried on each node: the change waits, and the command line does not.
    for (module, says) in [
        (
            spoilt("(result i32) (i32.const 1))", "(result i32) (i32.const 2))"),
            "abi_version gives 2",
        ),
        (
            started("(func $start unreachable) (start $start)"),
            "starting it trapped",
        ),
        (
            started("(func $start (loop (br 0))) (start $start)"),
            "used up its fuel",
        ),
    ] {
        let directory = package(COUNTER, &module);
        let error = line.fails(1, &["app", "install", &text_of(directory.path())]);
        assert!(error.contains("cannot run version 1 of counter"), "{error}");
        assert!(error.contains(says), "{says}: {error}");
        let change = error.split("seachange change abort ").nth(1).unwrap();
        let change = change.split_whitespace().next().unwrap();
        line.ok(&["change", "abort", change]);
    }
    unharmed.check_but_modules().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_under_a_wrong_digest_is_refused() {
    let unharmed = Unharmed::new().await;
    let module = wasm(&counter());
    let digest = Digest::of(b"something else");
    let (status, answer) = http(&unharmed, "PUT", &format!("/v1/modules/{digest}"), &module).await;
    let problem: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (status, problem["code"].as_str()),
        (422, Some("module_digest_mismatch")),
        "{answer}"
    );
    for path in ["/v1/modules/none", "/v1/modules/zz"] {
        let (status, answer) = http(&unharmed, "PUT", path, &module).await;
        assert_eq!(status, 400, "{path}: {answer}");
    }
    let plan = format!(r#"{{"manifest":{{"application":"counter","version":1}},"code":{{"module":"{digest}"}}}}"#);
    let (status, answer) = http(&unharmed, "POST", "/v1/changes", plan.as_bytes()).await;
    assert_eq!(status, 409, "{answer}");
    assert!(answer.contains("module_incomplete"), "{answer}");
    unharmed.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_contradicts_itself_is_refused_with_its_reason() {
    let unharmed = Unharmed::new().await;
    let module = wasm(&counter());
    let names = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("{{ name = \"q{n}\" }}")).collect();
        names.join(",")
    };
    let with = |lines: &str| format!("{COUNTER}\n{lines}");
    let replaced = |from: &str, to: &str| {
        assert!(COUNTER.contains(from));
        COUNTER.replacen(from, to, 1)
    };
    for (manifest, says) in [
        ("application = ".to_owned(), "manifest"),
        (replaced("version = 1", "version = 0"), "versions count from 1"),
        (replaced("version = 1", "version = -1"), "manifest"),
        (replaced("\"counter\"", "\"Counter\""), "is no name"),
        (
            replaced("\"counter\"", &format!("\"{}\"", "c".repeat(65))),
            "is no name",
        ),
        (
            replaced("counter.counted", "ledger.transfers"),
            "must be named counter.NAME",
        ),
        (
            replaced("{ name = \"count\" }", "{ name = \"count\" }, { name = \"count\" }"),
            "twice",
        ),
        (
            replaced(
                "{ name = \"counters\" }",
                "{ name = \"counters\" }, { name = \"counters\" }",
            ),
            "twice",
        ),
        (
            replaced(
                "{ name = \"counter.counted\" }",
                "{ name = \"counter.a\" }, { name = \"counter.a\" }",
            ),
            "twice",
        ),
        (with("queries = [{ name = \"a\" }, { name = \"a\" }]"), "twice"),
        (
            replaced("{ name = \"count\" }", "{ name = \"count\", versions = [] }"),
            "names no version",
        ),
        (
            replaced("{ name = \"count\" }", "{ name = \"count\", versions = [0] }"),
            "version 0",
        ),
        (
            replaced("{ name = \"counters\" }", "{ name = \"counters\", shape = 0 }"),
            "shapes count from 1",
        ),
        (
            replaced(
                "{ name = \"counters\" }",
                "{ name = \"counters\", shape = 2, converts = [2] }",
            ),
            "other than its own",
        ),
        (with("tabels = []"), "tabels"),
        (with(&format!("queries = [{}]", names(257))), "256 are the most"),
        (with(&format!("about = \"{}\"", "x".repeat(64 << 10))), "are the most"),
    ] {
        let directory = package(&manifest, &module);
        let error = unharmed.line.fails(1, &["app", "install", &text_of(directory.path())]);
        assert!(error.contains(says), "{says}: {error}");
    }
    let apps = unharmed.line.ok(&["app", "list"]);
    assert!(!apps.contains("counter"), "{apps}");
    unharmed.check_but_modules().await;
}

/// The example ledger with another manifest.
fn ledger(version: u32, change: impl Fn(String) -> String) -> tempfile::TempDir {
    let from = app("ledger-2");
    let manifest = std::fs::read_to_string(from.join("manifest.toml")).unwrap();
    let manifest = change(manifest.replacen("version = 2", &format!("version = {version}"), 1));
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("manifest.toml"), manifest).unwrap();
    std::fs::copy(from.join("ledger.wasm"), directory.path().join("ledger.wasm")).unwrap();
    directory
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_may_not_be_is_refused_with_its_reason() {
    let unharmed = Unharmed::new().await;
    let line = &unharmed.line;
    let upgrade = |directory: &Path| line.fails(1, &["app", "upgrade", "ledger", &text_of(directory)]);
    let install = line.fails(1, &["app", "install", &text_of(&app("ledger-1"))]);
    assert!(install.contains("installed already"), "{install}");
    let nothing = line.fails(1, &["app", "upgrade", "flights", &text_of(&app("flights-1"))]);
    assert!(nothing.contains("not installed"), "{nothing}");
    let other = line.fails(2, &["app", "upgrade", "flights", &text_of(&app("ledger-2"))]);
    assert!(other.contains("holds a version of ledger"), "{other}");

    let same = upgrade(&app("ledger-1"));
    assert!(same.contains("version_not_newer"), "{same}");
    let without_convert = ledger(2, |manifest| manifest.replacen("converts = [1]", "", 1));
    let refused = upgrade(without_convert.path());
    assert!(refused.contains("shape_not_converted"), "{refused}");
    let foretold = line.fails(
        6,
        &[
            "app",
            "upgrade",
            "ledger",
            &text_of(without_convert.path()),
            "--dry-run",
        ],
    );
    assert!(foretold.contains("it would be refused, for 1 reason"), "{foretold}");
    for (what, change) in [
        (
            "transfer (payload version 1)",
            ("name = \"transfer\"", "name = \"move\""),
        ),
        (
            "open (payload version 1)",
            ("name = \"open\"", "name = \"open\"\nversions = [2]"),
        ),
    ] {
        let dropping = ledger(2, |manifest| manifest.replacen(change.0, change.1, 1));
        let refused = upgrade(dropping.path());
        assert!(
            refused.contains("commands_dropped") && refused.contains(what),
            "{refused}"
        );
    }

    let dropping = ledger(2, |manifest| {
        manifest.replacen("name = \"transfer\"", "name = \"move\"", 1)
    });
    let dropping = text_of(dropping.path());
    let allowed = [
        "app",
        "upgrade",
        "ledger",
        &dropping,
        "--dry-run",
        "--allow-breaking",
        "nobody sends it",
    ];
    let foretold = line.fails(5, &allowed);
    assert!(foretold.contains("it would be taken, with 1 warning"), "{foretold}");

    line.ok(&["app", "upgrade", "ledger", &text_of(&app("ledger-2"))]);
    let second = upgrade(&app("ledger-3"));
    assert!(
        second.contains("change_running") && second.contains("finalize, revert or abort"),
        "{second}"
    );
    let shown: Value = serde_json::from_str(&line.ok(&["app", "show", "ledger", "--json"])).unwrap();
    line.ok(&["change", "finalize", &shown["reversible"].to_string()]);
    for older in ["ledger-1", "ledger-2"] {
        let refused = upgrade(&app(older));
        assert!(refused.contains("version_not_newer"), "{refused}");
    }
    let account: Value = serde_json::from_str(&line.ok(&["get", "ledger", "accounts", "ada"])).unwrap();
    assert_eq!(account["balance"]["amount"], 1000);
    unharmed.cluster.stop().await;
}
