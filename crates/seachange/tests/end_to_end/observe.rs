//! What a cluster shows of itself: measures and the documents that name them, the way of a command, the slow node.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use environment::{Environment, timeout};
use seachange::connection::metrics_of;
use seachange::local_cluster::LocalCluster;
use serde_json::Value;

use crate::binary::{CommandLine, cluster, run};

/// Long enough for a machine that does much else; nothing waits for all of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Kind and help of every family, by name.
type Families = BTreeMap<String, (String, String)>;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn families_of_page(page: &str) -> Families {
    let mut families = Families::new();
    for line in page.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(help)) => {
                families.entry(name.to_owned()).or_default().1 = help.to_owned();
            }
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                families.entry(name.to_owned()).or_default().0 = kind.to_owned();
            }
            _ => {}
        }
    }
    families
}

/// The rows of the guide's tables that describe a measure: its name, its kind, what it is.
fn families_of_guide(guide: &str) -> Families {
    let rows = guide.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| `")?.strip_suffix(" |")?.split(" | ").collect();
        let [name, kind, help] = cells[..] else { return None };
        let name = name.strip_suffix('`')?;
        is_measure(name).then(|| (name.to_owned(), (kind.to_owned(), help.to_owned())))
    });
    rows.collect()
}

fn is_measure(word: &str) -> bool {
    word.starts_with("seachange_") || word.starts_with("process_")
}

/// The measures that a text names, histograms by the name of their family.
fn named(text: &str) -> BTreeSet<String> {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !letter(c)).filter(|word| is_measure(word));
    words
        .map(|word| word.strip_suffix("_bucket").unwrap_or(word).to_owned())
        .collect()
}

async fn page_of(cluster: &LocalCluster, node: usize, environment: &Environment) -> String {
    let address = cluster.nodes()[node].http();
    metrics_of(address, environment).await.expect("a page of measures")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_measure_is_in_the_guide_and_what_documents_name_is_measured() {
    let (cluster, environment) = cluster(1).await;
    let page = families_of_page(&page_of(&cluster, 0, &environment).await);
    assert!(page.len() > 60, "{page:#?}");
    let guide = families_of_guide(&document("operating.md"));
    for (name, shown) in &page {
        assert_eq!(
            guide.get(name),
            Some(shown),
            "{name} on /metrics and in docs/operating.md"
        );
        let (kind, _) = shown;
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
    }
    for name in guide.keys() {
        assert!(
            page.contains_key(name),
            "{name} is in docs/operating.md and not on /metrics"
        );
    }
    for file in ["grafana-dashboard.json", "alerts.yml", "operating.md"] {
        let names = named(&document(file));
        assert!(names.len() > 10, "{file}: {names:?}");
        let unknown: Vec<_> = names.iter().filter(|name| !page.contains_key(*name)).collect();
        assert!(unknown.is_empty(), "{file} names what is not on /metrics: {unknown:?}");
    }
    let dashboard: Value = serde_json::from_str(&document("grafana-dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
    }
    cluster.stop().await;
}

#[test]
fn every_alarm_leads_to_a_section_of_the_guide() {
    let guide = document("operating.md");
    let headings = guide.lines().filter_map(|line| {
        line.trim_start_matches('#')
            .strip_prefix(' ')
            .filter(|_| line.starts_with('#'))
    });
    let kept = |c: &char| c.is_alphanumeric() || *c == ' ' || *c == '-';
    let anchors: BTreeSet<String> = headings
        .map(|heading| {
            heading
                .to_lowercase()
                .chars()
                .filter(kept)
                .collect::<String>()
                .replace(' ', "-")
        })
        .collect();
    let alerts = document("alerts.yml");
    let runbooks: Vec<&str> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("runbook: "))
        .collect();
    assert_eq!(runbooks.len(), alerts.matches("- alert: ").count(), "each has one");
    for runbook in runbooks {
        let anchor = runbook
            .trim_matches('"')
            .strip_prefix("docs/operating.md#")
            .unwrap_or_else(|| panic!("{runbook}"));
        assert!(anchors.contains(anchor), "{anchor} is none of {anchors:?}");
    }
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(
            guide.contains(alert),
            "docs/operating.md does not say what to do about {alert}"
        );
    }
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn signal(pid: u32, signal: &str) {
    let sent = run(Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]));
    assert_eq!(sent.code, 0, "{sent:?}");
}

/// The cause that `doctor` finds for a node, if any.
fn cause(line: &CommandLine, node: u64) -> Option<(String, String)> {
    let given = line.run(&["doctor", "--json", "--between", "0"]);
    let report = json_of(&given.out);
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(given.code, i32::from(!findings.is_empty()), "{given:?}");
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let found = findings.iter().find(|finding| finding["node"] == node);
    found.map(|finding| (text(finding, "cause"), text(finding, "text")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_tells_its_way_and_doctor_finds_the_node_that_stands_still() {
    let (cluster, environment) = cluster(3).await;
    let line = CommandLine::of(&cluster);
    line.install("ledger-1");
    let leader = cluster.leader().await.unwrap();
    let follower = (leader + 1) % 3;
    let (leads, follows) = (
        node_id(&cluster, leader, &environment).await,
        node_id(&cluster, follower, &environment).await,
    );

    let at = cluster.nodes()[follower].http();
    let open = r#"{"id":"ada","owner":"Ada Lovelace","balance":5}"#;
    let sent = json_of(&line.ok(&["send", "ledger", "open", open, "--trace", "--json", "--at", at]));
    assert_eq!(sent["reply"]["balance"], 5, "{sent}");
    let stages = sent["trace"]["stages"].as_array().unwrap();
    let total = sent["trace"]["total_us"].as_u64().unwrap();
    for stage in stages {
        let end = stage["at_us"].as_u64().unwrap() + stage["us"].as_u64().unwrap();
        assert!(end <= total + 5, "{stage} ends after the whole: {sent}");
    }
    let of = |node: Value| -> Vec<&str> {
        let those = stages.iter().filter(|stage| stage["node"] == node);
        those.map(|stage| stage["stage"].as_str().unwrap()).collect()
    };
    assert_eq!(of(Value::Null), ["routed", "forwarded"], "{sent}");
    let mut there = of(leads.into());
    there.sort_unstable();
    assert_eq!(
        there,
        [
            "answered",
            "appended",
            "applied",
            "committed",
            "queued",
            "routed",
            "waited"
        ],
        "{sent}"
    );
    let chart = line.ok(&[
        "send",
        "ledger",
        "open",
        &open.replace("ada", "eve"),
        "--trace",
        "--at",
        at,
    ]);
    assert!(chart.contains("forwarded ") && chart.contains('█'), "{chart}");

    let (pid, peer) = (
        cluster.nodes()[follower].pid().unwrap(),
        format!("{{peer=\"{follows}\"}} "),
    );
    signal(pid, "STOP");
    let reached = format!("seachange_peer_reached{peer}");
    until(&environment, "the leader to miss it", async || {
        page_of(&cluster, leader, &environment)
            .await
            .contains(&format!("{reached}0\n"))
    })
    .await;
    let found = cause(&line, follows);
    signal(pid, "CONT");
    let (cause_found, text) = found.expect("a finding");
    assert_eq!(cause_found, "unreachable");
    assert!(text.contains("network/unreachable"), "{text}");
    until(&environment, "the leader to reach it", async || {
        page_of(&cluster, leader, &environment)
            .await
            .contains(&format!("{reached}1\n"))
    })
    .await;
    until(&environment, "doctor to be content with it", async || {
        cause(&line, follows).is_none_or(|(cause, _)| cause != "unreachable")
    })
    .await;

    let log = cluster.nodes()[leader].data().with_file_name("log.txt");
    let log = std::fs::read_to_string(log).unwrap();
    let told = |what: &str| {
        log.lines()
            .filter(|line| line.contains(what) && line.contains(&format!("peer={follows}")))
            .count()
    };
    assert_eq!(
        (told("a peer does not answer"), told("a peer answers again")),
        (1, 1),
        "{log}"
    );
    cluster.stop().await;
}

async fn node_id(cluster: &LocalCluster, number: usize, environment: &Environment) -> u64 {
    let status = seachange::connection::status_of(cluster.nodes()[number].http(), environment).await;
    status.expect("a status").node
}

async fn until(environment: &Environment, what: &str, met: impl AsyncFn() -> bool) {
    let waited = timeout(environment, PATIENCE, async {
        while !met().await {
            environment.sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain for {what}");
}
