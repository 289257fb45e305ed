//! What the edge counts, the ways of commands, and what arrives at a collector.

use std::sync::Arc;
use std::time::Duration;

use client::wire::frames::FromClient;
use client::wire::{StageName, Trace};
use edge::{EdgeOptions, EntryTimes, ObserveOptions};
use environment::Environment;
use machine::Index;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::browser::Answer;
use crate::fake::{Fake, OTHER, node};
use crate::framer::{Framer, submit};
use crate::{Served, limits, serve_in};

const TRANSFER: &str = "/v1/apps/ledger/commands/transfer";
const ASK: (&str, &str) = ("Seachange-Trace", "1");
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// No command is slow, and none is picked by chance. Every entry comes through all its stages when it is asked about.
fn options(environment: &Environment) -> EdgeOptions {
    let clock = environment.clock.clone();
    let times = move |index: Index| match index {
        Index(0) => EntryTimes::default(),
        Index(_) => {
            let now = Some(clock.now());
            EntryTimes {
                packed: now,
                appended: now,
                committed: now,
                apply_begun: now,
                applied: now,
            }
        }
    };
    EdgeOptions {
        limits: limits(),
        binary: "0.1.0".into(),
        observe: ObserveOptions {
            entry_times: Some(Arc::new(times)),
            slow_command: Duration::from_secs(3600),
            trace_one_in: 0,
            ..ObserveOptions::default()
        },
        ..EdgeOptions::default()
    }
}

async fn leader(change: impl FnOnce(&mut EdgeOptions)) -> Served {
    let environment = environment::real::environment();
    let mut options = options(&environment);
    change(&mut options);
    serve_in(environment, Fake::leading(), options).await
}

fn trace_of(answer: &Answer) -> Option<Trace> {
    let text = answer.headers.get("seachange-trace")?;
    Some(serde_json::from_str(text).unwrap())
}

fn names(trace: &Trace) -> Vec<StageName> {
    trace.stages.iter().map(|stage| stage.stage).collect()
}

#[tokio::test]
async fn who_asks_for_the_stages_of_a_command_gets_them_and_nobody_else() {
    let served = leader(|_| {}).await;
    let answer = served.browser.call("POST", TRANSFER, &[ASK], b"{}").await;
    let trace = trace_of(&answer).unwrap();
    assert_eq!((trace.index, trace.node, trace.status), (Some(11), 1, 200));
    assert_eq!(
        (trace.application.as_str(), trace.command.as_str()),
        ("ledger", "transfer")
    );
    use StageName::*;
    assert_eq!(
        names(&trace),
        [Routed, Queued, Appended, Committed, Waited, Applied, Answered]
    );
    assert_eq!(trace_of(&served.browser.post(TRANSFER, "{}").await), None);

    let trapped = served
        .browser
        .call("POST", "/v1/apps/ledger/commands/trap", &[ASK], b"{}")
        .await;
    let trace = trace_of(&trapped).unwrap();
    assert_eq!(
        (trace.index, trace.status),
        (Some(13), 422),
        "a failure has its way too"
    );
    let list = served.browser.get("/v1/traces").await.json();
    assert_eq!(
        list["recent"].as_array().unwrap().len(),
        2,
        "those that were asked for: {list}"
    );
    assert_eq!(list["slowest"].as_array().unwrap().len(), 3, "{list}");
}

#[tokio::test]
async fn a_trace_of_the_callers_is_continued() {
    let served = leader(|_| {}).await;
    let answer = served
        .browser
        .call("POST", TRANSFER, &[("traceparent", PARENT)], b"{}")
        .await;
    let trace = trace_of(&answer).unwrap();
    assert_eq!(trace.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(trace.parent_span_id.as_deref(), Some("00f067aa0ba902b7"));
    let broken = ("traceparent", "00-0-0-01");
    let answer = served.browser.call("POST", TRANSFER, &[broken, ASK], b"{}").await;
    let trace = trace_of(&answer).unwrap();
    assert_eq!((trace.trace_id.len(), trace.parent_span_id), (32, None));
}

#[tokio::test]
async fn a_command_that_was_passed_on_has_the_leaders_stages_too() {
    let leader = leader(|_| {}).await;
    let environment = environment::real::environment();
    let options = options(&environment);
    let follower = serve_in(environment, Fake::following(Some(OTHER)), options).await;
    let address = leader.edge.address().to_string();
    follower.fake.change_with(|state| {
        state.catalog.nodes.insert(OTHER, node("two", address));
    });
    let answer = follower
        .browser
        .call("POST", TRANSFER, &[ASK, ("traceparent", PARENT)], b"{}")
        .await;
    let trace = trace_of(&answer).unwrap();
    let of = |here: bool| {
        let stages = trace.stages.iter().filter(move |stage| stage.node.is_none() == here);
        stages.map(|stage| stage.stage).collect::<Vec<_>>()
    };
    use StageName::*;
    assert_eq!(of(true), [Routed, Forwarded]);
    assert_eq!(
        of(false),
        [Routed, Queued, Appended, Committed, Waited, Applied, Answered]
    );
    assert_eq!(trace.index, Some(11));
    let there = leader.browser.get("/v1/traces").await.json();
    assert_eq!(there["recent"][0]["trace_id"], trace.trace_id.as_str(), "{there}");
    assert_eq!(there["recent"][0]["parent_span_id"], trace.span_id.as_str(), "{there}");

    let answer = follower.browser.call("POST", TRANSFER, &[ASK], b"{}").await;
    let trace = trace_of(&answer).unwrap();
    let there = leader.browser.get("/v1/traces").await.json();
    assert_eq!(
        there["recent"][0]["trace_id"],
        trace.trace_id.as_str(),
        "kept there too: {there}"
    );

    let plain = follower.browser.post(TRANSFER, "{}").await;
    assert_eq!(
        (plain.status, trace_of(&plain)),
        (200, None),
        "the leader's answer to the node is kept back"
    );
    let page = follower.browser.get("/metrics").await.text();
    assert!(
        page.contains("seachange_forwarded_total{result=\"answered\"} 3\n"),
        "{page}"
    );
}

#[tokio::test]
async fn slow_commands_and_those_picked_by_chance_are_kept() {
    let served = leader(|options| options.observe.slow_command = Duration::ZERO).await;
    served.browser.post(TRANSFER, "{}").await;
    let (mut framer, _) = Framer::connect(&served.browser).await;
    framer.ask(1, FromClient::Submit(submit("transfer", "{}"))).await;
    let list = served.browser.get("/v1/traces").await.json();
    assert_eq!(list["recent"][0]["route"], "frames/submit", "{list}");
    assert_eq!(list["recent"][0]["command"], "transfer");
    assert_eq!(list["recent"].as_array().unwrap().len(), 2);
    let page = served.browser.get("/metrics").await.text();
    assert!(page.contains("seachange_slow_commands_total 2\n"), "{page}");

    let served = leader(|options| options.observe.trace_one_in = 3).await;
    for _ in 0..7 {
        served.browser.post(TRANSFER, "{}").await;
    }
    let list = served.browser.get("/v1/traces").await.json();
    assert_eq!(
        list["recent"].as_array().unwrap().len(),
        3,
        "the 1st, 4th and 7th: {list}"
    );
}

#[tokio::test]
async fn requests_connections_and_bytes_are_counted() {
    let more = |page: &mut environment::measure::Page| page.gauge("seachange_more", "Of the node.").is(7_u64);
    let served = leader(|options| options.observe.page = Some(Arc::new(more))).await;
    served.browser.post(TRANSFER, "{}").await;
    served.browser.post("/v1/apps/ledger/commands/trap", "{}").await;
    served.browser.get("/nowhere").await;
    let (mut framer, _) = Framer::connect(&served.browser).await;
    framer.ask(1, FromClient::Submit(submit("transfer", "{}"))).await;
    let answer = served.browser.get("/metrics").await;
    assert_eq!(
        answer.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let page = answer.text();
    let route = "/v1/apps/{app}/commands/{command}";
    for line in [
        format!("seachange_requests_total{{route=\"{route}\",status=\"200\"}} 1"),
        format!("seachange_requests_total{{route=\"{route}\",status=\"422\"}} 1"),
        format!("seachange_request_seconds_count{{route=\"{route}\"}} 2"),
        "seachange_requests_total{route=\"none\",status=\"404\"} 1".to_owned(),
        "seachange_requests_total{route=\"frames/submit\",status=\"200\"} 1".to_owned(),
        "seachange_connections{protocol=\"frames\"} 1".to_owned(),
        "seachange_connections_total{protocol=\"http\"} 4".to_owned(),
        "seachange_more 7".to_owned(),
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    let sent = page
        .lines()
        .find_map(|line| line.strip_prefix("seachange_sent_bytes_total "));
    assert!(sent.unwrap().parse::<u64>().unwrap() > 500, "{page}");
}

/// A small collector: it takes one request at a time, and gives its path and JSON.
struct Collector {
    listener: Box<dyn environment::Listener>,
}

impl Collector {
    async fn start(environment: &Environment) -> Collector {
        let listener = environment.network.bind("127.0.0.1:0").await.unwrap();
        Collector { listener }
    }

    fn endpoint(&self) -> edge::Endpoint {
        format!("http://{}", self.listener.local_addr()).parse().unwrap()
    }

    async fn next(&self, status: &str) -> (String, Value) {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut first = String::new();
        stream.read_line(&mut first).await.unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap(),
                Some((name, value)) if name.eq_ignore_ascii_case("content-type") => {
                    assert_eq!(value, "application/json")
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        let path = first.split(' ').nth(1).unwrap().to_owned();
        (path, serde_json::from_slice(&body).unwrap())
    }
}

fn attribute<'a>(of: &'a Value, key: &str) -> &'a Value {
    let all = of["attributes"].as_array().unwrap();
    let found = all.iter().find(|attribute| attribute["key"] == key);
    &found.unwrap_or_else(|| panic!("no {key} in {of}"))["value"]
}

fn nanoseconds(span: &Value, key: &str) -> u128 {
    span[key].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn spans_arrive_at_a_collector_under_the_callers_span() {
    let collector = Collector::start(&environment::real::environment()).await;
    let endpoint = collector.endpoint();
    let served = leader(|options| options.observe.collector = Some(endpoint)).await;
    served
        .browser
        .call("POST", TRANSFER, &[("traceparent", PARENT)], b"{}")
        .await;
    let (path, request) = collector.next("200 OK").await;
    assert_eq!(path, "/v1/traces");

    let resource = &request["resourceSpans"][0];
    assert_eq!(
        attribute(&resource["resource"], "service.name")["stringValue"],
        "seachange"
    );
    assert_eq!(
        attribute(&resource["resource"], "service.instance.id")["stringValue"],
        "one"
    );
    let spans = resource["scopeSpans"][0]["spans"].as_array().unwrap();
    let root = &spans[0];
    assert_eq!(root["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(root["parentSpanId"], "00f067aa0ba902b7");
    assert_eq!(
        (&root["name"], &root["kind"]),
        (&"command ledger transfer".into(), &2.into())
    );
    assert_eq!(attribute(root, "seachange.index")["intValue"], "11");
    let begin = nanoseconds(root, "startTimeUnixNano");
    assert!(nanoseconds(root, "endTimeUnixNano") > begin, "{root}");
    let names: Vec<&str> = spans[1..].iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "routed",
            "queued",
            "appended",
            "committed",
            "waited",
            "applied",
            "answered"
        ]
    );
    let mut ids = std::collections::BTreeSet::new();
    for span in &spans[1..] {
        assert_eq!(
            (&span["traceId"], &span["parentSpanId"]),
            (&root["traceId"], &root["spanId"])
        );
        let (from, to) = (
            nanoseconds(span, "startTimeUnixNano"),
            nanoseconds(span, "endTimeUnixNano"),
        );
        assert!(begin <= from && from <= to, "{span}");
        assert_eq!(span["spanId"].as_str().unwrap().len(), 16);
        assert!(ids.insert(span["spanId"].to_string()), "{span}");
    }
}

#[tokio::test]
async fn a_collector_that_takes_nothing_harms_nobody() {
    let environment = environment::real::environment();
    let collector = Collector::start(&environment).await;
    let endpoint = collector.endpoint();
    let served = leader(|options| options.observe.collector = Some(endpoint)).await;
    let traced = [("traceparent", PARENT)];
    assert_eq!(served.browser.call("POST", TRANSFER, &traced, b"{}").await.status, 200);
    collector.next("503 Service Unavailable").await;
    drop(collector);
    assert_eq!(served.browser.call("POST", TRANSFER, &traced, b"{}").await.status, 200);
    // The first request's eight spans are given up when its answer has come, the second's when nobody listens.
    let dropped = async {
        while !served
            .browser
            .get("/metrics")
            .await
            .text()
            .contains("seachange_spans_total{result=\"dropped\"} 16\n")
        {
            environment.sleep(Duration::from_millis(10)).await;
        }
    };
    environment::timeout(&environment, Duration::from_secs(60), dropped)
        .await
        .unwrap();
}
