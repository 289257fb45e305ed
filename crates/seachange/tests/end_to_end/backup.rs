//! A backup taken while the cluster serves, and the cluster that is made of it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use environment::Environment;
use serde_json::Value;

use crate::binary::{CommandLine, cluster, program, run};

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A node over a data directory of its own, ended with the test.
struct Served {
    process: Child,
    ready: Value,
}

impl Served {
    fn start(data: &Path, name: &str, join: Option<&str>) -> Served {
        let mut command = Command::new(program());
        command
            .args(["serve", "--json", "--until-stdin-ends", "--name", name])
            .args(["--http", "127.0.0.1:0", "--peer", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(join) = join {
            command.args(["--join", join]);
        }
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Served {
            process,
            ready: json_of(&line),
        }
    }

    fn http(&self) -> &str {
        self.ready["http"].as_str().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> String {
        let given = run(Command::new(program()).args(arguments).env("SEACHANGE_AT", self.http()));
        assert_eq!(given.code, 0, "{arguments:?}: {given:?}");
        given.out
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// The part of a digest that the rows sum up to.
fn rows_of(digest: &Value) -> String {
    digest.as_str().unwrap().split('-').next().unwrap().to_owned()
}

async fn until(environment: &Environment, what: &str, mut met: impl FnMut() -> bool) {
    let waited = environment::timeout(environment, Duration::from_secs(60), async {
        while !met() {
            environment.sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} did not come");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_load_becomes_a_new_cluster_with_the_same_digest() {
    let (cluster, environment) = cluster(3).await;
    let line = CommandLine::of(&cluster);
    line.install("flights-1");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/flights-2k.ndjson");
    line.ok(&["send", "flights", "flight", "--file", file]);
    let place = tempfile::tempdir().unwrap();
    let (backup, restored) = (place.path().join("backup"), place.path().join("restored"));
    // More comes while the backup is taken.
    let at = cluster.addresses().join(",");
    let sender = Command::new(program())
        .args(["send", "flights", "flight", "--file", file, "--json"])
        .env("SEACHANGE_AT", &at)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let backed = json_of(&line.ok(&["backup", "--to", &backup.display().to_string(), "--json"]));
    let sent = sender.unwrap().wait().unwrap();
    assert!(sent.success(), "nobody noticed the backup");
    line.fails(1, &["backup", "--to", &backup.display().to_string()]);

    let directories = [
        "restore",
        "--from",
        &backup.display().to_string(),
        "--data",
        &restored.display().to_string(),
        "--json",
    ]
    .map(str::to_owned);
    let made = json_of(&line.ok(&directories.iter().map(String::as_str).collect::<Vec<_>>()));
    for key in ["index", "digest", "rows"] {
        assert_eq!(made[key], backed[key], "{key}");
    }
    assert_ne!(
        made["cluster"], backed["cluster"],
        "nodes of the old cluster must not mix with it"
    );
    let again = line.run(&directories.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(again.code == 1 && again.err.contains("is not empty"), "{again:?}");

    let first = Served::start(&restored, "r1", None);
    let second = Served::start(&place.path().join("second"), "r2", first.ready["peer"].as_str());
    let status = |node: &Served| json_of(&node.run(&["status", "--json"]));
    let members = |status: &Value| status["members"].as_array().cloned().unwrap_or_default();
    until(&environment, "two voters that hold the same", || {
        let members = members(&status(&first));
        let applied = members.first().map(|member| member["applied"].clone());
        let same = |member: &Value| member["voter"] == true && Some(&member["applied"]) == applied.as_ref();
        members.len() == 2 && members.iter().all(same)
    })
    .await;
    let now = status(&second);
    assert_eq!(now["cluster"], made["cluster"]);
    for member in members(&now) {
        assert_eq!(rows_of(&member["digest"]), rows_of(&backed["digest"]), "{member}");
    }
    for node in [&first, &second] {
        node.run(&["verify"]);
        let late = node.run(&["tail", "flights.late"]);
        assert!(late.lines().count() >= 300, "the streams came along");
    }
    // The restored cluster takes commands; the old one goes on without it.
    second.run(&["send", "flights", "flight", "--file", file]);
    // One of them may still be compiling what it runs.
    until(&environment, "both have applied them", || {
        let is_new = |member: &Value| rows_of(&member["digest"]) != rows_of(&backed["digest"]);
        members(&status(&second)).iter().all(is_new)
    })
    .await;
    line.ok(&["status"]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_damaged_is_not_restored() {
    let (cluster, _environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    line.install("flights-1");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/flights-2k.ndjson");
    line.ok(&["send", "flights", "flight", "--file", file]);
    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("backup");
    line.ok(&["backup", "--to", &backup.display().to_string()]);
    let segment = "streams/flights.late/00000000000000000000.segment";
    for (round, name) in ["snapshot", segment].into_iter().enumerate() {
        let path = backup.join(name);
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        std::fs::write(&path, flipped).unwrap();
        let data = place.path().join(format!("data-{round}"));
        let (from, to) = (backup.display().to_string(), data.display().to_string());
        let error = line.fails(1, &["restore", "--from", &from, "--data", &to]);
        assert!(error.contains("damaged"), "{error}");
        assert!(!data.join("identity").exists(), "nothing can be served from it");
        std::fs::write(&path, whole).unwrap();
    }
    cluster.stop().await;
}
