//! The log of a node that was stopped, applied again by the real binary with the real modules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use seachange::local_cluster::LocalCluster;
use serde_json::{Value, json};

use crate::binary::{self, CommandLine, Given, app, cluster, program};

fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn of<'a>(objects: &'a [Value], what: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["what"] == what).collect()
}

/// Every file under a directory, and what it holds.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

/// Copies a directory, but for the lock, as an operator would.
fn copy(from: &Path, to: &Path) {
    for (path, bytes) in files(from) {
        let name = path.strip_prefix(from).unwrap();
        if name != Path::new("lock") {
            let target = to.join(name);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::write(target, bytes).unwrap();
        }
    }
}

struct Replays<'a> {
    line: &'a CommandLine,
    data: String,
}

impl Replays<'_> {
    fn run(&self, arguments: &[&str]) -> Given {
        let given: Vec<&str> = [&["replay", "--data", &self.data], arguments].concat();
        self.line.run(&given)
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let given = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(given.code, 0, "{arguments:?}: {given:?}");
        objects(&given.out)
    }

    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let given = self.run(arguments);
        assert_eq!(given.code, code, "{arguments:?}: {given:?}");
        given.err
    }
}

/// Two accounts, a transfer under version 1, one under version 2, and one after the way back.
fn live(line: &CommandLine) {
    line.install("ledger-1");
    for (id, owner, balance) in [("ada", "Ada Lovelace", 1050), ("alan", "Alan Turing", 200)] {
        let open = json!({"id": id, "owner": owner, "balance": balance}).to_string();
        line.ok(&["send", "ledger", "open", &open]);
    }
    let transfer = json!({"from": "ada", "to": "alan", "amount": 50}).to_string();
    line.ok(&["send", "ledger", "transfer", &transfer]);
    line.ok(&["app", "upgrade", "ledger", &app("ledger-2").display().to_string()]);
    line.ok(&["send", "ledger", "transfer", &transfer]);
    let shown: Value = serde_json::from_str(&line.ok(&["app", "show", "ledger", "--json"])).unwrap();
    line.ok(&["change", "revert", &shown["reversible"].to_string()]);
    line.ok(&["send", "ledger", "transfer", &transfer]);
}

async fn stopped() -> (LocalCluster, CommandLine, tempfile::TempDir) {
    stopped_after(live).await
}

async fn stopped_after(live: impl FnOnce(&CommandLine)) -> (LocalCluster, CommandLine, tempfile::TempDir) {
    let (mut cluster, _environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    live(&line);
    let data = cluster.nodes()[0].data();
    let running = line.run(&["replay", "--data", &data.display().to_string()]);
    assert!(
        running.code == 1 && running.err.contains("belongs to a node that runs") && running.err.contains("copy"),
        "{running:?}"
    );
    assert!(cluster.stop_node(0).await.unwrap().success());
    let place = tempfile::tempdir().unwrap();
    copy(&data, place.path());
    (cluster, line, place)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_node_is_replayed_proven_and_shown_as_of_any_entry() {
    let (cluster, line, place) = stopped().await;
    let replays = Replays {
        line: &line,
        data: place.path().display().to_string(),
    };
    let before = files(place.path());
    let all = replays.json(&[]);
    let digests = of(&all, "digest");
    let checkpoint = |digest: &&Value| digest["witness"] == "checkpoint";
    assert!(digests.iter().any(checkpoint), "{all:#?}");
    assert!(digests.iter().all(|digest| digest["equal"] == true), "{digests:?}");
    let end = of(&all, "end")[0];
    assert_eq!((&end["commands"], &end["digests_unequal"]), (&json!(5), &json!(0)));

    let switch = |rule: &&&Value| rule["version_before"] != rule["version_after"];
    let rules = of(&all, "rule");
    let switches: Vec<&Value> = rules.iter().filter(switch).copied().collect();
    let versions: Vec<_> = switches
        .iter()
        .map(|rule| (rule["version_before"].as_u64(), rule["version_after"].as_u64()))
        .collect();
    assert_eq!(versions, [(None, Some(1)), (Some(1), Some(2)), (Some(2), Some(1))]);
    let firsts = of(&all, "first_command");
    let replies: Vec<_> = firsts.iter().map(|first| first["answer"]["reply"].clone()).collect();
    assert_eq!(
        replies[1..],
        [
            json!({"from": 949, "to": 300, "fee": 1}),
            json!({"from": 899, "to": 350})
        ]
    );

    // As of the upgrade, and one entry before its first command.
    let upgraded = switches[1]["index"].to_string();
    let then = replays.json(&["--at-index", &upgraded, "--table", "ledger/accounts"]);
    let rows: Vec<_> = of(&then, "row").iter().map(|row| row["row"].clone()).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["key"], "ada");
    assert_eq!(
        rows[0]["document"],
        json!({"first": "Ada", "last": "Lovelace", "balance": {"amount": 1000, "currency": "USD"}}),
        "as version 2 reads it"
    );
    let last = end["index"].to_string();
    let events = replays.json(&["--at-index", &last, "--events", "ledger.transfers", "--limit", "2"]);
    let offsets: Vec<_> = of(&events, "event")
        .iter()
        .map(|event| event["event"]["offset"].clone())
        .collect();
    assert_eq!(offsets, [json!(1), json!(2)]);
    let one = replays.run(&["--at-index", &last, "--table", "ledger/accounts", "--limit", "1"]);
    assert!(one.out.contains("ada\t") && !one.out.contains("alan\t"), "{one:?}");
    assert!(one.err.contains("more rows"), "{one:?}");

    // What does not stand in it, or may not be asked for.
    let behind = (end["index"].as_u64().unwrap() + 1000).to_string();
    assert!(
        replays
            .fails(1, &["--to-index", &behind])
            .contains("not known to be committed")
    );
    assert!(
        replays
            .fails(1, &["--at-index", &last, "--table", "ledger/no"])
            .contains("no")
    );
    replays.fails(2, &["--at-index", &last, "--table", "ledger"]);
    replays.fails(2, &["--from-index", "9", "--to-index", "8"]);
    replays.fails(2, &["--from-index", "0"]);
    replays.fails(2, &["--table", "ledger/accounts"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let nothing = line.run(&["replay", "--data", &elsewhere.path().display().to_string()]);
    assert!(
        nothing.code == 1 && nothing.err.contains("no data directory"),
        "{nothing:?}"
    );
    assert_eq!(files(elsewhere.path()).len(), 0);
    assert!(files(place.path()) == before, "not a byte was written");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_is_tried_on_the_commands_that_were() {
    let (cluster, line, place) = stopped().await;
    let replays = Replays {
        line: &line,
        data: place.path().display().to_string(),
    };
    let all = replays.json(&[]);
    let opened = of(&all, "first_command")[0]["index"].to_string();
    let package = app("ledger-2").display().to_string();
    let compared = replays.json(&["--at-index", &opened, "--use", &package, "--diff", "--limit", "1"]);
    let answers = of(&compared, "answer_differs");
    assert_eq!(answers.len(), 1, "no more than were asked for");
    assert_eq!(answers[0]["would_be"]["reply"]["last"], "Turing");
    assert_eq!(of(&compared, "compared")[0]["answers_different"], 4);

    // Both accounts are open, and no transfer was made.
    let at = answers[0]["index"].to_string();
    let compared = replays.json(&["--at-index", &at, "--use", &package, "--diff"]);
    let answers = of(&compared, "answer_differs");
    assert_eq!(answers.len(), 3, "{compared:#?}");
    assert_eq!(answers[0]["was"]["reply"], json!({"from": 1000, "to": 250}));
    assert_eq!(
        answers[0]["would_be"]["reply"],
        json!({"from": 999, "to": 250, "fee": 1})
    );
    assert_eq!(of(&compared, "events_differ").len(), 2, "version 2 ran one of them");
    let end = of(&compared, "compared")[0];
    assert_eq!(end["answers_different"], 3);
    assert!(of(&compared, "digest").iter().all(|digest| digest["equal"] == true));
    let rows = of(&compared, "row_differs");
    assert!(!rows.is_empty(), "{compared:#?}");

    let text = replays.run(&["--at-index", &at, "--use", &package]);
    assert_eq!(text.code, 0, "{text:?}");
    assert!(
        text.out.contains("of 3 commands 3 would have been answered otherwise"),
        "{}",
        text.out
    );
    let old = app("ledger-1").display().to_string();
    let refused = replays.fails(1, &["--at-index", &at, "--use", &old]);
    assert!(refused.contains("higher number"), "{refused}");
    replays.fails(2, &["--use", &package]);
    replays.fails(2, &["--at-index", &at, "--to-index", &at, "--use", &package]);
    cluster.stop().await;
}

/// Ledger 3 traps on an account of version 1 that holds a multiple of 13: 988 at the end, which it would never have held.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_version_tried_cannot_read_is_a_difference() {
    let (cluster, line, place) = stopped_after(|line| {
        line.install("ledger-1");
        for (id, owner, balance) in [("ada", "Ada Lovelace", 1050), ("alan", "Alan Turing", 200)] {
            let open = json!({"id": id, "owner": owner, "balance": balance}).to_string();
            line.ok(&["send", "ledger", "open", &open]);
        }
        for amount in [50, 12] {
            let transfer = json!({"from": "ada", "to": "alan", "amount": amount}).to_string();
            line.ok(&["send", "ledger", "transfer", &transfer]);
        }
    })
    .await;
    let replays = Replays {
        line: &line,
        data: place.path().display().to_string(),
    };
    let opened = of(&replays.json(&[]), "first_command")[0]["index"].to_string();
    let package = app("ledger-3").display().to_string();
    let compared = replays.json(&["--at-index", &opened, "--use", &package, "--diff"]);
    let rows = of(&compared, "row_differs");
    let ada = rows
        .iter()
        .find(|row| row["was"]["key"] == "ada")
        .expect("ada's row differs");
    assert_eq!(ada["was"]["code"], "migration_failed", "{ada}");
    let detail = ada["was"]["detail"].as_str().unwrap();
    assert!(detail.contains("version 3 trapped on it"), "{ada}");
    assert_eq!(ada["would_be"]["document"]["balance"]["amount"], 986, "two fees");
    assert_eq!(of(&compared, "compared").len(), 1, "{compared:#?}");
    let text = replays.run(&["--at-index", &opened, "--use", &package, "--diff"]);
    assert!(
        text.code == 0 && text.out.contains("was       failed migration_failed: row \"ada\""),
        "{text:?}"
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_is_run_under_another_version_without_a_cluster() {
    let (cluster, line, place) = stopped().await;
    let replays = Replays {
        line: &line,
        data: place.path().display().to_string(),
    };
    let all = replays.json(&[]);
    let firsts = of(&all, "first_command");
    let (first, upgraded) = (firsts[0]["index"].to_string(), firsts[1]["index"].as_u64().unwrap());
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("monday.recording").display().to_string();
    let before = (upgraded - 1).to_string();
    let recorded = replays.json(&["--from-index", &first, "--to-index", &before, "--record", &file]);
    assert_eq!(of(&recorded, "recorded")[0]["commands"], 3);
    let again = replays.fails(1, &["--from-index", &first, "--record", &file]);
    assert!(again.contains("exists already"), "{again}");
    replays.fails(2, &["--record", &file]);
    cluster.stop().await;

    let packages = ["ledger-1", "ledger-2", "flights-1"].map(|name| app(name).display().to_string());
    let same = line.run(&["app", "test", &packages[0], &file]);
    assert_eq!(same.code, 0, "{same:?}");
    assert!(
        same.out.contains("of 3 commands 0 would have been answered otherwise"),
        "{}",
        same.out
    );
    let other = line.run(&["app", "test", &packages[1], &file, "--json"]);
    assert!(other.code == 1 && other.err.contains("recording_differs"), "{other:?}");
    let differences = objects(&other.out);
    let transfer = of(&differences, "answer_differs");
    let transfer = transfer.last().unwrap();
    assert_eq!(transfer["would_be"]["reply"], json!({"from": 999, "to": 250, "fee": 1}));
    assert_eq!(of(&differences, "events_differ").len(), 1);
    let foreign = line.fails(1, &["app", "test", &packages[2], &file]);
    assert!(foreign.contains("a version of flights"), "{foreign}");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let damaged = line.fails(1, &["app", "test", &packages[0], &file]);
    assert!(damaged.contains("checksum"), "{damaged}");
}

/// What lies in the directory for temporary files.
fn scraps(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_runs_is_copied_replayed_and_proven_equal() {
    let (cluster, _environment) = cluster(3).await;
    let line = CommandLine::of(&cluster);
    live(&line);
    let leader = cluster.leader().await.unwrap();
    let index = cluster.statuses().await[leader].as_ref().unwrap().applied;
    cluster.wait_until_equal(index, Duration::from_secs(60)).await.unwrap();
    let address = cluster.nodes()[(leader + 1) % 3].http().to_owned();
    let place = tempfile::tempdir().unwrap();
    let (scratch, kept) = (place.path().join("scratch"), place.path().join("kept"));
    std::fs::create_dir(&scratch).unwrap();
    let replay = |arguments: &[&str]| {
        let mut command = Command::new(program());
        command.arg("replay").args(arguments).env("TMPDIR", &scratch);
        binary::run(&mut command)
    };

    let url = format!("http://{address}");
    let given = replay(&["--from", &url, "--json"]);
    assert_eq!(given.code, 0, "{given:?}");
    let all = objects(&given.out);
    let switches: Vec<_> = of(&all, "rule")
        .iter()
        .map(|rule| (rule["version_before"].as_u64(), rule["version_after"].as_u64()))
        .filter(|(before, after)| before != after)
        .collect();
    assert_eq!(switches, [(None, Some(1)), (Some(1), Some(2)), (Some(2), Some(1))]);
    let asked: Vec<_> = of(&all, "digest")
        .into_iter()
        .filter(|it| it["witness"] == "asked")
        .collect();
    assert_eq!(asked.len(), 1, "{all:#?}");
    assert_eq!(asked[0]["equal"], true);
    let digest = &asked[0]["production"];
    let (copied, end) = (of(&all, "copied")[0], of(&all, "end")[0]);
    assert_eq!((&copied["from"], &copied["start"]), (&json!(address), &json!(0)));
    assert_eq!(
        (&end["digest"], &end["digests_unequal"], &end["commands"]),
        (digest, &json!(0), &json!(5))
    );
    assert_eq!(scraps(&scratch), 0, "the copy was removed");

    // A copy that is kept is replayed without the node, and nobody serves from it.
    let keep = kept.display().to_string();
    let text = replay(&["--from", &url, "--keep", &keep]);
    assert!(text.code == 0 && text.out.contains("kept in"), "{text:?}");
    assert!(
        text.out.contains("as the node said when it was copied: equal"),
        "{text:?}"
    );
    let again = replay(&["--from", &url, "--keep", &keep]);
    assert!(again.code == 1 && again.err.contains("is not empty"), "{again:?}");
    cluster.stop().await;
    let offline = replay(&["--data", &keep, "--json"]);
    assert_eq!(offline.code, 0, "{offline:?}");
    let offline = objects(&offline.out);
    assert_eq!(of(&offline, "end")[0]["digests_unequal"], 0);
    assert!(
        of(&offline, "digest").iter().any(|it| it["witness"] == "asked"),
        "{offline:#?}"
    );
    let served = Command::new(program())
        .args([
            "serve",
            "--http",
            "127.0.0.1:0",
            "--peer",
            "127.0.0.1:0",
            "--data",
            &keep,
        ])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&served.stderr).into_owned();
    assert!(!served.status.success() && told.contains("nobody may serve"), "{told}");

    // Nobody answers there any more.
    let gone = replay(&["--from", &url, "--json"]);
    assert!(gone.code == 3 && gone.err.contains("Name the HTTP address"), "{gone:?}");
    assert_eq!(scraps(&scratch), 0, "nothing is left of what came to no end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_cannot_be_had_says_why_and_leaves_nothing() {
    let (cluster, environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    line.install("ledger-1");
    let address = cluster.addresses()[0].clone();
    let admin = client::Admin::new(environment.clone(), client::Options::new([address.clone()])).unwrap();
    let other = admin.begin_copy().await.unwrap();
    let place = tempfile::tempdir().unwrap();
    let keep = place.path().join("kept").display().to_string();
    let refused = line.run(&["replay", "--from", &address, "--keep", &keep, "--json"]);
    assert!(
        refused.code == 1 && refused.err.contains("copy_under_way"),
        "{refused:?}"
    );
    assert!(refused.err.contains("Copy off another member"), "{refused:?}");
    assert_eq!(scraps(place.path().join("kept").as_path()), 0);
    admin.end_copy(&other.copy).await.unwrap();
    line.ok(&["replay", "--from", &address, "--keep", &keep]);

    let behind = line.fails(1, &["replay", "--from", &address, "--to-index", "100000"]);
    assert!(behind.contains("not known to be committed"), "{behind}");
    for (wrong, code) in [("http://127.0.0.1:1", 3), ("https://127.0.0.1:1", 2), ("127.0.0.1", 2)] {
        assert_eq!(line.run(&["replay", "--from", wrong]).code, code, "{wrong}");
    }
    for wrong in [
        &["replay"][..],
        &["replay", "--from", &address, "--data", &keep],
        &["replay", "--data", "x", "--keep", "y"],
    ] {
        assert_eq!(line.run(wrong).code, 2, "{wrong:?}");
    }
    cluster.stop().await;
}
