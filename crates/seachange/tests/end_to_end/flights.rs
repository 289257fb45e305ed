//! Real input: 2,000 flights into three nodes, the application switched half-way and the leader killed once, compared
//! with what a few lines of the test make of the same file.

use std::collections::BTreeMap;
use std::ops::Range;

use client::wire::{CommandOutcome, Consistency, RowsParameters};
use client::{Admin, Client, Options};
use environment::Environment;
use environment::channel::oneshot;
use futures::StreamExt;
use seachange::local_cluster::LocalCluster;
use serde_json::Value;

use crate::binary::{CommandLine, app, cluster};

/// Commands on their way at the same time.
const IN_FLIGHT: usize = 32;

/// A line of the file, and where it was applied.
#[derive(Clone)]
struct Flight {
    line: Value,
    index: u64,
}

struct Sender {
    client: Client,
    lines: Vec<String>,
}

impl Sender {
    /// Sends a part of the lines; every one must be applied.
    async fn send(&self, part: Range<usize>) -> Vec<Flight> {
        let sent = self.lines[part].iter().map(|line| async move {
            let reply = self.client.submit("flights", "flight", 1, line.clone()).await.unwrap();
            assert_eq!(reply.outcome, CommandOutcome::Applied, "{line}");
            Flight {
                line: serde_json::from_str(line).unwrap(),
                index: reply.index,
            }
        });
        futures::stream::iter(sent).buffer_unordered(IN_FLIGHT).collect().await
    }
}

/// The rule of the application, written anew.
#[derive(Debug, Default, PartialEq, Eq)]
struct Expected {
    /// By airport and, from the switch on, by route: flights and minutes.
    airports: BTreeMap<String, (u64, i64)>,
    routes: BTreeMap<String, (u64, i64)>,
    /// Late flights, sorted.
    late_before: Vec<String>,
    late_after: Vec<String>,
}

fn expected(flights: &[Flight], switch: u64) -> Expected {
    let mut expected = Expected::default();
    for Flight { line, index } in flights {
        let (origin, destination) = (line["origin"].as_str().unwrap(), line["destination"].as_str().unwrap());
        let delay = line["delay"].as_i64().unwrap();
        let count = |table: &mut BTreeMap<String, (u64, i64)>, key: String| {
            let row = table.entry(key).or_default();
            *row = (row.0 + 1, row.1 + delay);
        };
        count(&mut expected.airports, origin.to_owned());
        let late = late_line(line);
        if *index <= switch {
            if delay > 15 {
                expected.late_before.push(late);
            }
        } else {
            count(&mut expected.routes, format!("{origin}-{destination}"));
            if delay > 30 {
                expected.late_after.push(late);
            }
        }
    }
    expected.late_before.sort();
    expected.late_after.sort();
    expected
}

fn late_line(event: &Value) -> String {
    format!(
        "{} {} {} {}",
        event["date"], event["origin"], event["destination"], event["delay"]
    )
}

async fn table(admin: &Admin, name: &str) -> BTreeMap<String, (u64, i64)> {
    let parameters = RowsParameters {
        limit: Some(10_000),
        consistency: Consistency::Linearizable,
        ..RowsParameters::default()
    };
    let rows = admin.scan_rows("flights", name, &parameters).await.unwrap();
    assert!(!rows.more);
    let row = |row: &client::wire::Row| {
        let document: Value = serde_json::from_slice(&row.document).unwrap();
        let count = (
            document["flights"].as_u64().unwrap(),
            document["delay_minutes"].as_i64().unwrap(),
        );
        (String::from_utf8(row.key.to_vec()).unwrap(), count)
    };
    rows.rows.iter().map(row).collect()
}

async fn late_events(admin: &Admin) -> Vec<String> {
    let mut events = admin.events("flights.late", 0, false);
    let mut late = Vec::new();
    while let Some(event) = events.next().await.unwrap() {
        late.push(late_line(&serde_json::from_slice(&event.value).unwrap()));
    }
    late
}

/// The events as each node gives them: the same on all.
async fn late_events_of_all(cluster: &LocalCluster, environment: &Environment) -> Vec<String> {
    let mut all = Vec::new();
    for address in cluster.addresses() {
        let admin = Admin::new(environment.clone(), Options::new([address])).unwrap();
        all.push(late_events(&admin).await);
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    all.swap_remove(0)
}

fn upgrade(at: &CommandLine) -> u64 {
    let directory = app("flights-2").display().to_string();
    let records = at.ok(&["app", "upgrade", "flights", &directory, "--json"]);
    let last: Value = serde_json::from_str(records.lines().last().unwrap()).unwrap();
    last["switch_index"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_flight_is_counted_once_under_the_version_in_force_at_its_index() {
    let (mut cluster, environment) = cluster(3).await;
    CommandLine::of(&cluster).install("flights-1");
    let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/flights-2k.ndjson")).unwrap();
    let sender = Sender {
        client: Client::connect(environment.clone(), Options::new(cluster.addresses())).unwrap(),
        lines: file.lines().map(str::to_owned).collect(),
    };
    assert_eq!(sender.lines.len(), 2000);

    let mut flights = sender.send(0..1000).await;
    // The switch comes somewhere among the next ones.
    let line = CommandLine::of(&cluster);
    let (say, upgraded) = oneshot::channel();
    environment.spawn_worker("upgrade", async move { say.send(upgrade(&line)).unwrap() });
    flights.extend(sender.send(1000..1400).await);
    let switch = upgraded.await.unwrap();

    // The leader dies while the next ones are on their way.
    let leader = cluster.leader().await.unwrap();
    let sending = sender.send(1400..1900);
    let killing = async {
        environment.sleep(std::time::Duration::from_millis(20)).await;
        cluster.kill(leader).unwrap();
    };
    flights.extend(futures::future::join(sending, killing).await.0);
    cluster.restart(leader).await.unwrap();
    flights.extend(sender.send(1900..2000).await);
    let last = flights.iter().map(|flight| flight.index).max().unwrap();
    let statuses = cluster
        .wait_until_equal(last, std::time::Duration::from_secs(30))
        .await
        .unwrap();
    assert!(
        statuses.windows(2).all(|pair| pair[0].digest == pair[1].digest),
        "{statuses:?}"
    );

    let expected = expected(&flights, switch);
    assert!(!expected.late_before.is_empty() && !expected.late_after.is_empty());
    let admin = Admin::new(environment.clone(), Options::new(cluster.addresses())).unwrap();
    assert_eq!(table(&admin, "airports").await, expected.airports);
    assert_eq!(table(&admin, "routes").await, expected.routes);
    let mut before = late_events_of_all(&cluster, &environment).await;
    let mut after = before.split_off(expected.late_before.len());
    before.sort();
    after.sort();
    assert_eq!(before, expected.late_before);
    assert_eq!(after, expected.late_after);
    cluster.stop().await;
}
