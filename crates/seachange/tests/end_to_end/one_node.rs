//! The life of an application on a cluster of one.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::binary::{CommandLine, app, cluster, run};

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn with_two_accounts(line: &CommandLine) {
    line.install("ledger-1");
    for (id, owner, balance) in [("ada", "Ada Lovelace", 1050), ("alan", "Alan Turing", 200)] {
        let open = json!({"id": id, "owner": owner, "balance": balance}).to_string();
        line.ok(&["send", "ledger", "open", &open]);
    }
}

fn transfer(line: &CommandLine, amount: i64) -> Value {
    let transfer = json!({"from": "ada", "to": "alan", "amount": amount}).to_string();
    json_of(&line.ok(&["send", "ledger", "transfer", &transfer]))
}

fn account(line: &CommandLine, id: &str) -> Value {
    json_of(&line.ok(&["get", "ledger", "accounts", id]))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_installed_used_upgraded_and_taken_back() {
    let (cluster, _environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    with_two_accounts(&line);
    assert_eq!(transfer(&line, 50), json!({"from": 1000, "to": 250}));
    assert_eq!(account(&line, "ada"), json!({"owner": "Ada Lovelace", "balance": 1000}));

    let usage = line.ok(&["app", "show", "ledger", "--usage"]);
    let sent: Vec<&str> = usage.lines().map(str::trim_end).collect();
    assert!(
        sent[1].starts_with("open      1        2     ") && sent[2].starts_with("transfer  1        1     "),
        "{usage}"
    );
    let next = app("ledger-2").display().to_string();
    let foretold = line.ok(&["app", "upgrade", "ledger", &next, "--dry-run"]);
    for said in [
        "from version 1 to version 2",
        "not yet  the module is not in the cluster yet",
        "yes      the module (",
        "answers and applies",
        "accounts from shape 1 to 2",
        "undone by: revert it: version 1 answers",
    ] {
        assert!(foretold.contains(said), "{said}: {foretold}");
    }
    let warned = line.fails(5, &["app", "upgrade", "ledger", &next, "--dry-run", "--finalize"]);
    assert!(warned.contains("with 1 warning"), "{warned}");
    let shown = json_of(&line.ok(&["app", "show", "ledger", "--json"]));
    assert_eq!(shown["in_force"], 1, "a dry run changes nothing");

    let upgrade = line.ok(&["app", "upgrade", "ledger", &next]);
    assert!(upgrade.contains("ledger version 2 answers"), "{upgrade}");
    assert_eq!(
        account(&line, "ada"),
        json!({"first": "Ada", "last": "Lovelace", "balance": {"amount": 1000, "currency": "USD"}})
    );
    assert_eq!(transfer(&line, 50), json!({"from": 949, "to": 300, "fee": 1}));

    let shown = json_of(&line.ok(&["app", "show", "ledger", "--json"]));
    assert_eq!(shown["in_force"], 2);
    let change = shown["reversible"].to_string();
    line.ok(&["change", "revert", &change]);
    assert_eq!(account(&line, "ada"), json!({"owner": "Ada Lovelace", "balance": 949}));
    assert_eq!(
        transfer(&line, 50),
        json!({"from": 899, "to": 350}),
        "version 1 again, without a fee"
    );

    let events = line.ok(&["tail", "ledger.transfers", "--json"]);
    let fees: Vec<Value> = events
        .lines()
        .map(|line| json_of(line)["value"]["fee"].clone())
        .collect();
    assert_eq!(fees, [Value::Null, json!(1), Value::Null]);
    let total = json_of(&line.ok(&["query", "ledger", "total"]));
    assert_eq!(total["balance"], 1250);
    let list = line.ok(&["change", "list"]);
    assert!(list.contains("reverted"), "{list}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_was_removed_comes_back_with_its_data_and_is_gone_after_a_purge() {
    let (cluster, _environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    with_two_accounts(&line);
    let package = app("ledger-1").display().to_string();
    let early = line.fails(1, &["app", "purge", "ledger", "--for-good"]);
    assert!(early.contains("is in service: remove it first"), "{early}");
    line.ok(&["app", "remove", "ledger", "--reason", "moved away"]);
    let refused = line.fails(1, &["get", "ledger", "accounts", "ada"]);
    assert!(refused.contains("unknown_application"), "{refused}");
    let shown = line.ok(&["app", "show", "ledger"]);
    assert!(
        shown.contains("removed at index") && shown.contains("moved away"),
        "{shown}"
    );

    line.ok(&["app", "install", &package]);
    assert_eq!(account(&line, "ada"), json!({"owner": "Ada Lovelace", "balance": 1050}));
    line.ok(&["app", "remove", "ledger"]);
    line.fails(2, &["app", "purge", "ledger"]);
    let gone = line.ok(&["app", "purge", "ledger", "--for-good"]);
    assert!(gone.contains("ledger is gone, in 1 piece"), "{gone}");
    let list = line.ok(&["app", "list", "--json"]);
    assert!(!list.contains("ledger"), "{list}");
    line.ok(&["app", "install", &package]);
    let nobody = line.fails(1, &["get", "ledger", "accounts", "ada"]);
    assert!(nobody.contains("row_not_found"), "{nobody}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let (mut cluster, _environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    with_two_accounts(&line);
    transfer(&line, 50);
    let before = json_of(&line.ok(&["status", "--json"]));
    cluster.kill(0).unwrap();
    cluster.restart(0).await.unwrap();
    let after = json_of(&line.ok(&["status", "--json"]));
    assert_eq!(after["cluster"], before["cluster"]);
    assert_eq!(account(&line, "ada")["balance"], 1000);
    assert_eq!(line.ok(&["tail", "ledger.transfers"]).lines().count(), 1);
    transfer(&line, 50);
    assert_eq!(line.ok(&["tail", "ledger.transfers", "--from", "1"]).lines().count(), 1);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_file_are_sent_and_counted() {
    let (cluster, _environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    line.install("flights-1");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/flights-2k.ndjson");
    let sent = json_of(&line.ok(&[
        "send",
        "flights",
        "flight",
        "--file",
        file,
        "--from-line",
        "1001",
        "--json",
    ]));
    assert_eq!(
        (&sent["sent"], &sent["applied"]),
        (&json!(1000), &json!(1000)),
        "{sent}"
    );
    let rows = line.ok(&["scan", "flights", "airports", "--limit", "1000"]);
    let counted: u64 = rows
        .lines()
        .map(|row| json_of(row.split('\t').nth(1).unwrap())["flights"].as_u64().unwrap())
        .sum();
    assert_eq!(counted, 1000);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_asked_to_stop_drains_and_ends_with_zero() {
    let (mut cluster, _environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    with_two_accounts(&line);
    let pid = cluster.nodes()[0].pid().unwrap();
    let asked = run(Command::new("sh").args(["-c", &format!("kill -TERM {pid}")]));
    assert_eq!(asked.code, 0, "{asked:?}");
    assert!(cluster.stop_node(0).await.unwrap().success());
    cluster.restart(0).await.unwrap();
    assert_eq!(account(&line, "ada")["balance"], 1050);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_port_somebody_has_for_a_moment_starts_again_all_the_same() {
    let (mut cluster, environment) = cluster(1).await;
    let node = &cluster.nodes()[0];
    let (http, log) = (node.http().to_owned(), node.log_path());
    cluster.kill(0).unwrap();
    let somebody = environment.network.bind(&http).await.unwrap();
    let until_missed = async {
        while !std::fs::read_to_string(&log)
            .unwrap()
            .contains("Address already in use")
        {
            environment.sleep(Duration::from_millis(10)).await;
        }
        drop(somebody);
    };
    let both = futures::future::join(cluster.restart(0), until_missed);
    let (started, ()) = environment::timeout(&environment, Duration::from_secs(60), both)
        .await
        .unwrap();
    started.unwrap();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_rehearsed_on_what_clients_send_before_it_answers() {
    let (cluster, _environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    with_two_accounts(&line);
    let next = app("ledger-2").display().to_string();
    let asked = ["app", "upgrade", "ledger", &next, "--rehearse", "3"];
    let foretold = line.ok(&[&asked[..], &["--dry-run"]].concat());
    assert!(foretold.contains("try version 2 on each command"), "{foretold}");
    let unfit = line.fails(1, &[&asked[..], &["--expect-difference", "replies"]].concat());
    assert!(unfit.contains("names no difference"), "{unfit}");

    // It takes a fee, and nobody has said that it would.
    let stuck = while_transferring(&line, || line.fails(1, &asked));
    assert!(
        stuck.contains("commands came out otherwise in its rehearsal")
            && stuck.contains("reply:transfer/fee: none → 1"),
        "{stuck}"
    );
    let changes = line.ok(&["change", "list", "--json"]);
    let id = json_of(changes.lines().last().unwrap_or_default())["id"].to_string();
    let shown = line.ok(&["change", "show", &id]);
    assert!(
        shown.contains("rehearsal: ") && shown.contains("events:ledger.transfers/fee"),
        "{shown}"
    );
    assert_eq!(transfer(&line, 1)["fee"], Value::Null, "version 1 answers");
    line.ok(&["change", "abort", &id]);

    // Some of it is said with the plan, and some by the version itself, under conditions.
    let declaring = with_differences(
        r#"
        [[expected_differences]]
        at = "reply:transfer"
        when = '.command == "transfer" and .new.fee == 1 and .old.fee == null'
        [[expected_differences]]
        at = "events:ledger.transfers/fee"
        when = 'has("old") == false and .new == 1'
        "#,
    );
    let declaring = declaring.path().display().to_string();
    let expecting = [
        "app",
        "upgrade",
        "ledger",
        &declaring,
        "--rehearse",
        "3",
        "--expect-difference",
        "rows:accounts",
    ];
    let foretold = line.ok(&[&expecting[..], &["--dry-run"]].concat());
    let compiled = "the condition of the expected difference events:ledger.transfers/fee compiles, tried here";
    assert!(foretold.contains(compiled), "{foretold}");
    let done = while_transferring(&line, || line.ok(&expecting));
    assert!(
        done.contains("rehearsed: of ") && done.contains("ledger version 2 answers"),
        "{done}"
    );
    let shown = line.ok(&["app", "show", "ledger", "--json"]);
    assert!(shown.contains("has(\\\"old\\\") == false"), "{shown}");
    let unfit = with_differences("[[expected_differences]]\nat = \"replies\"");
    let refused = line.fails(1, &["app", "upgrade", "ledger", &unfit.path().display().to_string()]);
    assert!(refused.contains("\"replies\" names no difference"), "{refused}");
    assert_eq!(transfer(&line, 1)["fee"], 1);
    cluster.stop().await;
}

/// Ledger 2 with what its manifest declares as meant to be otherwise.
fn with_differences(declared: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let manifest = std::fs::read_to_string(app("ledger-2").join("manifest.toml")).unwrap();
    std::fs::write(directory.path().join("manifest.toml"), manifest + declared).unwrap();
    let module = |directory: &Path| directory.join("ledger.wasm");
    std::fs::copy(module(&app("ledger-2")), module(directory.path())).unwrap();
    directory
}

/// Sends transfers until that has ended.
fn while_transferring(line: &CommandLine, act: impl FnOnce() -> String + Send) -> String {
    std::thread::scope(|scope| {
        let acting = scope.spawn(act);
        while !acting.is_finished() {
            transfer(line, 1);
        }
        acting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_into_the_newest_shape_once_there_is_no_way_back() {
    let (cluster, _environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    with_two_accounts(&line);
    let none = line.fails(1, &["app", "convert", "ledger", "--pause"]);
    assert!(none.contains("nothing to steer"), "{none}");
    let upgraded = line.ok(&[
        "app",
        "upgrade",
        "ledger",
        &app("ledger-2").display().to_string(),
        "--verify-data",
    ]);
    assert!(
        upgraded.contains("has brought 2 rows into the new shape and back, and 0 of them"),
        "{upgraded}"
    );
    let changes = line.ok(&["change", "list", "--json"]);
    let id = json_of(changes.lines().last().unwrap_or_default())["id"].to_string();
    let shown = line.ok(&["change", "show", &id]);
    assert!(
        shown.contains("2 stored rows brought into the new shape and back"),
        "{shown}"
    );
    assert!(line.ok(&["app", "convert", "ledger"]).starts_with("No rows of ledger"));
    line.ok(&["change", "finalize", &id]);
    let conversion = loop {
        let conversion = json_of(&line.ok(&["app", "convert", "ledger", "--json"]));
        if conversion.get("done_ms").is_some() {
            break conversion;
        }
    };
    assert_eq!(
        (&conversion["looked"], &conversion["converted"]),
        (&json!(2), &json!(2)),
        "{conversion}"
    );
    let shown = line.ok(&["app", "convert", "ledger", "--rows-per-second", "500"]);
    assert!(
        shown.contains("accounts: to shape 2, done; 2 rows looked at, 2 converted") && shown.contains("500 a second"),
        "{shown}"
    );
    assert_eq!(account(&line, "alan")["last"], "Turing");
    cluster.stop().await;
}
