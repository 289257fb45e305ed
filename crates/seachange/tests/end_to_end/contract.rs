//! Clients that send a command in a version of before, once a version that takes only the next one answers.

use serde_json::{Value, json};

use crate::binary::{CommandLine, app, cluster};

/// Ledger 2, which takes only version 2 of a transfer, and makes that of version 1 by a program.
fn package(program: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let manifest = std::fs::read_to_string(app("ledger-2").join("manifest.toml")).unwrap();
    let transfer = "[[commands]]\nname = \"transfer\"\n";
    assert!(manifest.contains(transfer), "{manifest}");
    let upcast =
        format!("{transfer}versions = [2]\n[[commands.upcasts]]\nfrom = 1\nto = 2\nprogram = '''{program}'''\n");
    std::fs::write(
        directory.path().join("manifest.toml"),
        manifest.replace(transfer, &upcast),
    )
    .unwrap();
    std::fs::copy(
        app("ledger-2").join("ledger.wasm"),
        directory.path().join("ledger.wasm"),
    )
    .unwrap();
    directory
}

fn transfer(line: &CommandLine, amount: &Value, version: &str) -> Value {
    let transfer = json!({"from": "ada", "to": "alan", "amount": amount}).to_string();
    let reply = line.ok(&["send", "ledger", "transfer", &transfer, "--payload-version", version]);
    serde_json::from_str(&reply).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_before_is_served_by_a_version_that_takes_only_the_next_payload() {
    let (cluster, _environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    line.install("ledger-1");
    for (id, balance) in [("ada", 1050), ("alan", 200)] {
        let open = json!({"id": id, "owner": "A B", "balance": balance}).to_string();
        line.ok(&["send", "ledger", "open", &open]);
    }
    assert_eq!(transfer(&line, &json!(50), "1")["from"], 1000);

    let broken = package(".amount = = 2");
    let broken = broken.path().display().to_string();
    let refused = line.run(&["app", "upgrade", "ledger", &broken, "--dry-run"]);
    assert_eq!(refused.code, 6, "{refused:?}");
    assert!(refused.out.contains("fails on every payload"), "{refused:?}");
    let missing = "application transform, which runs its programs, is not installed yet";
    assert!(refused.out.contains(missing), "{refused:?}");
    // Whoever does not ask first is told by the nodes, before anything is switched.
    let waits = line.fails(1, &["app", "upgrade", "ledger", &broken]);
    assert!(
        waits.contains("cannot run version 2") && waits.contains("cannot be compiled"),
        "{waits}"
    );
    let change = waits.split("seachange change abort ").nth(1).unwrap();
    line.ok(&["change", "abort", change.split_whitespace().next().unwrap()]);

    // Dollars became cents.
    let next = package(".amount = .amount * 100");
    let next = next.path().display().to_string();
    let foretold = line.ok(&["app", "upgrade", "ledger", &next, "--dry-run"]);
    for said in [
        "clients that still send version 1 of command transfer are served",
        "compiles, tried here",
    ] {
        assert!(foretold.contains(said), "{said}: {foretold}");
    }
    line.ok(&["app", "upgrade", "ledger", &next, "--stay-on-trap"]);
    // A fee of 1 each; what stood at 1,000 pays 2 dollars, then 2 cents.
    assert_eq!(transfer(&line, &json!(2), "1")["from"], 799);
    assert_eq!(transfer(&line, &json!(2), "2")["from"], 796);
    let none = json!({"from": "ada", "to": "alan"}).to_string();
    let failed = line.fails(1, &["send", "ledger", "transfer", &none]);
    assert!(
        failed.contains("cast_failed") && failed.contains(".amount * 100") && failed.contains("alan"),
        "{failed}"
    );
    let shown: Value = serde_json::from_str(&line.ok(&["app", "show", "ledger", "--json"])).unwrap();
    assert_eq!(
        shown["versions"][1]["manifest"]["commands"][1]["upcasts"][0]["from"], 1,
        "{shown}"
    );
    let needed = line.fails(1, &["app", "remove", "transform"]);
    assert!(needed.contains("runs the programs of ledger"), "{needed}");
}

/// Ledger 2, whose events say the fee, and so have version 2.
fn with_fees_told(downcast: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut manifest = std::fs::read_to_string(app("ledger-2").join("manifest.toml")).unwrap();
    let stream = "[[streams]]\nname = \"ledger.transfers\"\n";
    assert!(manifest.ends_with(stream), "{manifest}");
    manifest.push_str("event_version = 2\n");
    manifest.push_str(downcast);
    std::fs::write(directory.path().join("manifest.toml"), manifest).unwrap();
    std::fs::copy(
        app("ledger-2").join("ledger.wasm"),
        directory.path().join("ledger.wasm"),
    )
    .unwrap();
    directory
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_pinned_gets_events_as_it_knows_them() {
    let (cluster, _environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    line.install("ledger-1");
    for id in ["ada", "alan"] {
        let open = json!({"id": id, "owner": "A B", "balance": 1000}).to_string();
        line.ok(&["send", "ledger", "open", &open]);
    }
    transfer(&line, &json!(50), "1");
    line.ok(&["consumer", "commit", "ledger.transfers", "audit", "--offset", "0"]);
    let pinned = line.ok(&["consumer", "pin", "ledger.transfers", "audit", "--event-version", "1"]);
    assert!(
        pinned.contains("gets events of later versions as version 1"),
        "{pinned}"
    );

    let unserved = with_fees_told("");
    let unserved = unserved.path().display().to_string();
    let refused = line.run(&["app", "upgrade", "ledger", &unserved, "--dry-run"]);
    assert_eq!(refused.code, 6, "{refused:?}");
    assert!(
        refused
            .out
            .contains("consumer audit of ledger.transfers is pinned to version 1"),
        "{refused:?}"
    );
    let refused = line.fails(1, &["app", "upgrade", "ledger", &unserved]);
    assert!(refused.contains("events_unserved"), "{refused}");

    let served = with_fees_told(
        "[[streams.downcasts]]\nfrom = 2\nto = 1\nprogram = 'if .amount == 13 then error(\"unlucky\") else del(.fee) end'\n",
    );
    let served = served.path().display().to_string();
    let foretold = line.ok(&["app", "upgrade", "ledger", &served, "--dry-run"]);
    assert!(
        foretold.contains("programs go on giving audit (version 1)"),
        "{foretold}"
    );
    line.ok(&["app", "upgrade", "ledger", &served]);
    transfer(&line, &json!(60), "1");

    let values = |arguments: &[&str]| -> Vec<(Value, Value)> {
        let printed = line.ok(&[&["tail", "ledger.transfers", "--json"], arguments].concat());
        let records = printed
            .lines()
            .map(|record| serde_json::from_str::<Value>(record).unwrap());
        records
            .map(|record| (record["value"]["fee"].clone(), record["version"].clone()))
            .collect()
    };
    let as_emitted = [(Value::Null, Value::Null), (json!(1), json!(2))];
    assert_eq!(values(&[]), as_emitted);
    // The first version is not written.
    let as_version_1 = [(Value::Null, Value::Null), (Value::Null, Value::Null)];
    assert_eq!(values(&["--event-version", "1"]), as_version_1);
    assert_eq!(values(&["--event-version", "2"]), as_emitted);
    assert_eq!(values(&["--consumer", "audit", "--commit", "none"]), as_version_1);
    assert_eq!(values(&["--consumer", "other", "--commit", "none"]), as_emitted);

    let usage = line.ok(&["app", "show", "ledger", "--usage"]);
    assert!(
        usage.contains("audit") && usage.contains("version 1, pinned"),
        "{usage}"
    );

    // What a program fails on is not left out: whoever asks for it is told why.
    transfer(&line, &json!(13), "1");
    let failed = line.fails(1, &["tail", "ledger.transfers", "--event-version", "1", "--from", "2"]);
    assert!(
        failed.contains("event_version_unserved") && failed.contains("unlucky"),
        "{failed}"
    );
    assert_eq!(values(&["--event-version", "1", "--limit", "2"]), as_version_1);
    line.ok(&["consumer", "unpin", "ledger.transfers", "audit"]);
    assert_eq!(
        values(&["--consumer", "audit", "--commit", "none", "--limit", "2"]),
        as_emitted
    );
}

/// A version of ledger that says what a transfer looks like.
fn with_schema(name: &str, schema: &Value) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let manifest = std::fs::read_to_string(app(name).join("manifest.toml")).unwrap();
    let transfer = "[[commands]]\nname = \"transfer\"\n";
    assert!(manifest.contains(transfer), "{manifest}");
    let with = format!("{transfer}[[commands.schemas]]\nfile = \"transfer.json\"\n");
    std::fs::write(
        directory.path().join("manifest.toml"),
        manifest.replace(transfer, &with),
    )
    .unwrap();
    std::fs::write(directory.path().join("transfer.json"), schema.to_string()).unwrap();
    std::fs::copy(app(name).join("ledger.wasm"), directory.path().join("ledger.wasm")).unwrap();
    directory
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_payload_may_be_stays_so_under_its_number() {
    let (cluster, _environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    let amount = |schema: Value| json!({"type": "object", "properties": {"amount": schema}});
    let package = |name, schema: &Value| {
        let directory = with_schema(name, schema);
        let path = directory.path().display().to_string();
        (directory, path)
    };
    let (_kept, first) = package("ledger-1", &amount(json!({"type": "integer"})));
    line.ok(&["app", "install", &first]);
    let shown: Value = serde_json::from_str(&line.ok(&["app", "show", "ledger", "--json"])).unwrap();
    assert_eq!(
        shown["versions"][0]["manifest"]["commands"][1]["schemas"],
        json!([{"version": 1, "schema": {"type": "object", "properties": {"amount": {"type": "integer"}}}}])
    );
    let (_kept, other) = package("ledger-2", &amount(json!({"type": "string"})));
    let refused = line.run(&["app", "upgrade", "ledger", &other, "--dry-run"]);
    assert_eq!(refused.code, 6, "{refused:?}");
    let refused = line.fails(1, &["app", "upgrade", "ledger", &other]);
    assert!(
        refused.contains("schema_changed") && refused.contains("transfer"),
        "{refused}"
    );
    let (_kept, broken) = package("ledger-2", &json!(7));
    let refused = line.fails(1, &["app", "upgrade", "ledger", &broken]);
    assert!(refused.contains("an object, or true or false"), "{refused}");
    let (_kept, told) = package(
        "ledger-2",
        &amount(json!({"type": "integer", "description": "whole units"})),
    );
    line.ok(&["app", "upgrade", "ledger", &told]);
}
