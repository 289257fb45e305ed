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

    // Dollars became cents.
    let next = package(".amount = .amount * 100");
    let next = next.path().display().to_string();
    let foretold = line.ok(&["app", "upgrade", "ledger", &next, "--dry-run"]);
    for said in [
        "clients that still send version 1 of command transfer are served",
        "application transform, which runs its programs, is not installed yet",
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
