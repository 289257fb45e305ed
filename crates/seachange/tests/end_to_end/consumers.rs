//! Named consumers: each event at least once, whoever leads, and nothing again that was committed.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::binary::{CommandLine, cluster, program, run};

const STREAM: &str = "ledger.transfers";

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn offsets(text: &str) -> Vec<u64> {
    text.lines()
        .map(|line| json_of(line)["offset"].as_u64().unwrap())
        .collect()
}

fn transfers(line: &CommandLine, count: usize) {
    for _ in 0..count {
        line.ok(&["send", "ledger", "transfer", r#"{"from":"ada","to":"alan","amount":1}"#]);
    }
}

fn with_accounts(line: &CommandLine) {
    line.install("ledger-1");
    for id in ["ada", "alan"] {
        let open = json!({"id": id, "owner": id, "balance": 1000}).to_string();
        line.ok(&["send", "ledger", "open", &open]);
    }
}

fn place(line: &CommandLine) -> (u64, u64) {
    let shown = json_of(&line.ok(&["consumer", "show", STREAM, "audit", "--json"]));
    (shown["offset"].as_u64().unwrap(), shown["lag"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_goes_on_where_it_stood_after_its_leader_was_killed() {
    let (mut cluster, _environment) = cluster(3).await;
    let line = CommandLine::of(&cluster);
    with_accounts(&line);
    transfers(&line, 5);
    let tail = ["tail", STREAM, "--consumer", "audit", "--json"];
    let first = line.ok(&[&tail[..], &["--limit", "3"]].concat());
    assert_eq!(offsets(&first), [0, 1, 2], "a new one begins at the start");
    assert_eq!(place(&line), (3, 2));
    let looked = line.ok(&[&tail[..], &["--commit", "none"]].concat());
    assert_eq!(offsets(&looked), [3, 4]);
    assert_eq!(place(&line), (3, 2), "looking moves nothing");

    let leader = cluster.leader().await.unwrap();
    cluster.kill(leader).unwrap();
    transfers(&line, 1);
    assert_eq!(offsets(&line.ok(&tail)), [3, 4, 5], "nothing again, nothing left out");
    cluster.restart(leader).await.unwrap();
    assert_eq!(place(&line), (6, 0));
    assert_eq!(line.ok(&tail), "");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_is_steered_by_hand_and_stops_on_request() {
    let (cluster, environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    with_accounts(&line);
    transfers(&line, 4);
    assert!(
        line.fails(1, &["tail", "no.stream", "--consumer", "audit"])
            .contains("no.stream")
    );
    assert!(
        line.fails(1, &["consumer", "show", STREAM, "audit"])
            .contains("consumer list")
    );
    line.ok(&["consumer", "commit", STREAM, "audit", "--offset", "3"]);
    let back = line.fails(1, &["consumer", "commit", STREAM, "audit", "--offset", "1"]);
    assert!(back.contains("ask for a reset"), "{back}");
    let beyond = line.fails(1, &["consumer", "reset", STREAM, "audit", "--to", "9"]);
    assert!(beyond.contains("ends at 4"), "{beyond}");
    let moved = line.fails(
        1,
        &[
            "consumer",
            "commit",
            STREAM,
            "audit",
            "--offset",
            "4",
            "--expected",
            "1",
        ],
    );
    assert!(moved.contains("somebody else"), "{moved}");
    line.ok(&["consumer", "reset", STREAM, "audit", "--to", "end"]);
    assert_eq!(place(&line), (4, 0));
    line.ok(&["consumer", "reset", STREAM, "audit", "--to", "start"]);
    assert_eq!(place(&line), (0, 4));

    // One who follows is stopped with ctrl-c, and has then committed what it printed.
    let mut following = Command::new(program())
        .args(["tail", STREAM, "--follow", "--consumer", "audit", "--json"])
        .env("SEACHANGE_AT", cluster.addresses().join(","))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let printed: Vec<u64> = lines
        .by_ref()
        .take(4)
        .flat_map(|line| offsets(&line.unwrap()))
        .collect();
    assert_eq!(printed, [0, 1, 2, 3]);
    // It commits while it goes on; and what came last when it is stopped.
    while place(&line) != (4, 0) {
        environment.sleep(std::time::Duration::from_millis(50)).await;
    }
    transfers(&line, 1);
    assert_eq!(offsets(&lines.next().unwrap().unwrap()), [4]);
    let interrupt = format!("kill -INT {}", following.id());
    assert_eq!(run(Command::new("sh").args(["-c", &interrupt])).code, 0);
    assert!(lines.next().is_none());
    assert!(following.wait().unwrap().success());
    assert_eq!(place(&line), (5, 0));

    let list = line.ok(&["consumer", "list"]);
    assert!(list.contains("audit") && list.contains(STREAM), "{list}");
    line.ok(&["consumer", "remove", STREAM, "audit"]);
    assert!(line.ok(&["consumer", "list"]).contains("no consumers"));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trimmed_stream_says_what_is_gone_and_what_to_do() {
    let (mut cluster, _environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    with_accounts(&line);
    transfers(&line, 6);
    line.ok(&["tail", STREAM, "--consumer", "audit", "--limit", "2"]);
    let beyond = line.fails(1, &["stream", "trim", STREAM, "--before", "7"]);
    assert!(beyond.contains("ends at 6"), "{beyond}");
    assert!(
        line.fails(1, &["stream", "trim", "no.stream", "--before", "0"])
            .contains("no.stream")
    );
    let trimmed = line.ok(&["stream", "trim", STREAM, "--before", "4"]);
    assert!(
        trimmed.contains("consumer audit stands at 2 and has missed 2 events"),
        "{trimmed}"
    );
    let shows_it = |line: &CommandLine| {
        let listed = json_of(&line.ok(&["stream", "list", "--json"]));
        assert_eq!(
            (&listed["name"], &listed["start"], &listed["end"]),
            (&json!(STREAM), &json!(4), &json!(6))
        );
        let gone = line.fails(1, &["tail", STREAM, "--from", "3"]);
        assert!(
            gone.contains("before 4 are removed") && gone.contains("without --from"),
            "{gone}"
        );
        assert_eq!(offsets(&line.ok(&["tail", STREAM, "--json"])), [4, 5]);
        let behind = line.fails(1, &["tail", STREAM, "--consumer", "audit"]);
        assert!(behind.contains("consumer reset"), "{behind}");
    };
    shows_it(&line);
    // Whatever was not in a checkpoint yet is in the log.
    cluster.kill(0).unwrap();
    cluster.restart(0).await.unwrap();
    shows_it(&line);
    let shown = line.ok(&["consumer", "show", STREAM, "audit"]);
    assert!(shown.contains("MISSED 2 events"), "{shown}");
    line.ok(&["consumer", "reset", STREAM, "audit", "--to", "start"]);
    assert_eq!(
        offsets(&line.ok(&["tail", STREAM, "--consumer", "audit", "--json"])),
        [4, 5]
    );
    transfers(&line, 1);
    assert_eq!(
        offsets(&line.ok(&["tail", STREAM, "--consumer", "audit", "--json"])),
        [6]
    );
    cluster.stop().await;
}
