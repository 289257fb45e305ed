//! The command line as people and programs use it: examples, JSON, colours, pages, exit codes.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::binary::{CommandLine, Given, app, cluster, program, run};

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn help(words: &[&str]) -> String {
    let given = run(Command::new(program()).args(words).arg("--help"));
    assert_eq!((given.code, given.err.as_str()), (0, ""), "{words:?}");
    given.out
}

/// The lines of a command's help that show an example.
fn examples(words: &[&str]) -> Vec<String> {
    let help = help(words);
    let after = help
        .split_once("\nExample:\n")
        .or_else(|| help.split_once("\nExamples:\n"));
    let after = after.map_or("", |(_, after)| after);
    let lines = after.lines().map_while(|line| line.strip_prefix("  "));
    let examples: Vec<String> = lines.map(str::to_owned).collect();
    assert!(!examples.is_empty(), "{words:?}: {help}");
    examples
}

/// A place that looks like this repository to somebody who types examples.
fn place_for_examples() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(app(".").canonicalize().unwrap(), place.path().join("apps")).unwrap();
    let flights = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/flights-2k.ndjson");
    let some: Vec<String> = std::fs::read_to_string(flights)
        .unwrap()
        .lines()
        .take(20)
        .map(str::to_owned)
        .collect();
    std::fs::write(place.path().join("flights.ndjson"), some.join("\n")).unwrap();
    place
}

/// Runs a line in a shell, in which `seachange` is the binary under test.
fn shell(line: &str, place: &Path, at: &str) -> Given {
    let bin: PathBuf = program().parent().unwrap().into();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    run(Command::new("sh")
        .args(["-c", line])
        .current_dir(place)
        .env("PATH", path)
        .env("SEACHANGE_AT", at))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_help_work() {
    let (cluster, _environment) = cluster(1).await;
    let place = place_for_examples();
    let at = cluster.addresses().join(",");
    let ok = |line: &str| {
        let given = shell(line, place.path(), &at);
        assert_eq!(given.code, 0, "{line}: {given:?}");
        given.out
    };
    for words in [&["app", "install"][..], &["status"], &["app", "new"]] {
        examples(words).iter().for_each(|line| drop(ok(line)));
    }
    ok("seachange app install apps/flights-1");
    for line in examples(&["send"]) {
        ok(&line);
    }
    ok(r#"seachange send ledger open '{"id":"alan","owner":"Alan Turing","balance":200}'"#);
    ok(r#"seachange send ledger transfer '{"from":"ada","to":"alan","amount":50}'"#);
    for words in [&["get"][..], &["scan"], &["query"], &["app", "show"], &["app", "list"]] {
        for line in examples(words) {
            assert!(!ok(&line).is_empty(), "{line} printed nothing");
        }
    }
    ok("seachange consumer commit ledger.transfers audit --offset 1");
    let ends = |line: &&String| !line.contains("--follow");
    for line in examples(&["tail"]).iter().filter(ends) {
        ok(line);
    }
    for words in [
        &["stream", "list"][..],
        &["consumer", "show"],
        &["consumer", "list"],
        &["consumer", "remove"],
        &["app", "upgrade"],
        &["app"],
        &["change", "list"],
        &["change"],
        &["status"],
    ] {
        examples(words).iter().for_each(|line| drop(ok(line)));
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_shows_every_member_and_what_is_not_well() {
    let (mut cluster, _environment) = cluster(3).await;
    let line = CommandLine::of(&cluster);
    line.install("ledger-1");
    let leader = cluster.leader().await.unwrap();
    let index = cluster.statuses().await[leader].as_ref().unwrap().applied;
    cluster
        .wait_until_equal(index, std::time::Duration::from_secs(30))
        .await
        .unwrap();

    let text = line.ok(&["status", "--check"]);
    assert!(text.ends_with("All is well."), "{text}");
    for node in cluster.nodes() {
        assert!(text.contains(node.http()) && text.contains(node.peer()), "{text}");
    }
    assert!(text.contains("ledger"), "{text}");
    let status = json_of(&line.ok(&["status", "--json"]));
    assert_eq!(
        (&status["ok"], &status["wrongs"]),
        (&json!(true), &json!([])),
        "{status}"
    );
    let members = status["members"].as_array().unwrap();
    assert_eq!(members.len(), 3);
    let digests: Vec<&Value> = members.iter().map(|member| &member["digest"]).collect();
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{status}");
    assert!(
        members
            .iter()
            .all(|member| member["reachable"] == true && member["lag"] == 0),
        "{status}"
    );
    assert_eq!(status["applications"][0]["in_force"], 1);

    let follower = (leader + 1) % 3;
    cluster.kill(follower).unwrap();
    let name = cluster.nodes()[follower].name().to_owned();
    let given = line.run(&["status", "--check"]);
    assert_eq!(given.code, 1, "{given:?}");
    let expected = format!("Not all is well: node {name} cannot be reached");
    assert!(given.out.contains(&expected), "{given:?}");
    assert_eq!(line.run(&["status"]).code, 0, "shown all the same");
    cluster.restart(follower).await.unwrap();
    cluster.stop().await;
}

fn accounts(count: usize) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let lines: Vec<String> = (0..count)
        .map(|n| json!({"id": format!("a-{n:04}"), "owner": "Ada Lovelace", "balance": n}).to_string())
        .collect();
    std::fs::write(file.path(), lines.join("\n")).unwrap();
    file
}

fn keys(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.split('\t').next().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_goes_through_all_pages() {
    let (cluster, _environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    line.install("ledger-1");
    let file = accounts(2345);
    let path = file.path().display().to_string();
    let sent = line.run(&["send", "ledger", "open", "--file", &path]);
    assert_eq!(
        (sent.code, sent.err.as_str()),
        (0, ""),
        "no progress where nobody looks: {sent:?}"
    );
    assert!(sent.out.starts_with("2,345 sent: 2,345 applied"), "{sent:?}");

    let all = keys(&line.ok(&["scan", "ledger", "accounts", "--all"]));
    let expected: Vec<String> = (0..2345).map(|n| format!("a-{n:04}")).collect();
    assert_eq!(all, expected);
    let mut back = keys(&line.ok(&["scan", "ledger", "accounts", "--all", "--reverse"]));
    back.reverse();
    assert_eq!(back, expected);
    for reverse in [&[][..], &["--reverse"]] {
        let mut some = ["scan", "ledger", "accounts", "--prefix", "a-1", "--all"].to_vec();
        some.extend(reverse);
        let mut some = keys(&line.ok(&some));
        some.sort_unstable();
        assert_eq!(some, expected[1000..2000], "{reverse:?}");
    }
    let limited = line.run(&["scan", "ledger", "accounts", "--limit", "1500"]);
    assert_eq!(keys(&limited.out), expected[..1500]);
    assert!(limited.err.contains("more rows than these 1500"), "{}", limited.err);
    let rows = line.run(&["scan", "ledger", "accounts", "--limit", "2", "--json"]);
    assert_eq!(rows.err, "", "a program knows by the number of rows");
    let first = json_of(rows.out.lines().next().unwrap());
    assert_eq!(
        (&first["key"], &first["document"]["balance"]),
        (&json!("a-0000"), &json!(0))
    );

    // Whoever reads has enough after one line: nothing is said about it.
    let piped = "{ seachange scan ledger accounts --all; echo ended with $? >&2; } | head -n 1";
    let piped = shell(piped, Path::new("."), &cluster.addresses().join(","));
    assert_eq!(keys(&piped.out), ["a-0000"]);
    assert_eq!(piped.err, "ended with 0\n");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_objects_for_programs() {
    let (cluster, _environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    line.install("ledger-1");
    let open = r#"{"id":"ada","owner":"Ada Lovelace","balance":1}"#;
    line.ok(&["send", "ledger", "open", open]);
    for (exit, code, arguments) in [
        (
            1,
            "row_not_found",
            &["get", "ledger", "accounts", "nobody", "--json"][..],
        ),
        (1, "unknown_application", &["query", "nothing", "total", "--json"]),
        (1, "unknown_stream", &["tail", "ledger.nothing", "--json"]),
        (1, "unknown_change", &["change", "show", "99999", "--json"]),
        (1, "refused", &["send", "ledger", "open", open, "--json"]),
        (2, "usage", &["get", "ledger", "--json"]),
        (2, "usage", &["status", "--at", "nowhere", "--json"]),
        (
            3,
            "unavailable",
            &["status", "--at", "127.0.0.1:1", "--timeout", "1", "--json"],
        ),
    ] {
        let given = line.run(arguments);
        assert_eq!(given.code, exit, "{arguments:?}: {given:?}");
        let error = json_of(&given.err);
        assert_eq!(
            (&error["code"], &error["exit"]),
            (&json!(code), &json!(exit)),
            "{arguments:?}: {error}"
        );
        assert!(
            error["detail"].as_str().is_some_and(|detail| detail.len() > 10),
            "{error}"
        );
    }
    // One a line that went wrong, and one for the whole.
    let file = accounts(2);
    std::fs::write(file.path(), format!("{open}\nnonsense\n")).unwrap();
    let given = line.run(&[
        "send",
        "ledger",
        "open",
        "--json",
        "--file",
        &file.path().display().to_string(),
    ]);
    assert_eq!(given.code, 1, "{given:?}");
    let errors: Vec<Value> = given.err.lines().map(json_of).collect();
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert_eq!(json_of(&given.out)["sent"], 2);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_for_terminals_and_for_whoever_insists() {
    let (cluster, _environment) = cluster(1).await;
    let line = CommandLine::of(&cluster);
    line.install("ledger-1");
    assert!(!line.ok(&["status"]).contains('\u{1b}'));
    let coloured = line.ok(&["status", "--color", "always"]);
    assert!(coloured.contains("\u{1b}[32mAll is well.\u{1b}[0m"), "{coloured:?}");
    assert!(!line.ok(&["status", "--color=never"]).contains('\u{1b}'));
    assert!(!line.ok(&["status", "--color", "always", "--json"]).contains('\u{1b}'));
    let given = line.run(&["change", "show", "99999", "--color", "always"]);
    assert!(given.err.contains("\u{1b}[31m"), "{given:?}");
    let given = line.run(&["status", "--color", "purple"]);
    assert_eq!(given.code, 2, "{given:?}");
    cluster.stop().await;
}

#[test]
fn every_shell_has_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let given = run(Command::new(program()).args(["completions", shell]));
        assert_eq!(given.code, 0, "{shell}: {given:?}");
        assert!(given.out.contains("seachange") && given.out.contains("scan"), "{shell}");
    }
}
