//! Bad input on every port and on the command line: each gets an error that says what is wrong, nothing is lost, and the
//! node goes on. Packages and directories have files of their own.

use std::process::Command;
use std::time::Duration;

use client::wire::frames::{self, FromClient, FromServer, Submit};
use client::wire::{Code, limits};
use environment::{Environment, Stream};
use machine::codec::Codec;
use machine::{ClusterId, Level, NodeId};
use seachange::local_cluster::LocalCluster;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::binary::{CommandLine, cluster, program, run};

/// How long a node may take to answer or to close.
const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster of one with an account, and what it looked like before anything bad was sent to it.
pub struct Unharmed {
    pub cluster: LocalCluster,
    pub environment: Environment,
    pub line: CommandLine,
    rows: String,
}

impl Unharmed {
    pub async fn new() -> Unharmed {
        let (cluster, environment) = cluster(1).await;
        let line = CommandLine::of(&cluster);
        line.install("ledger-1");
        line.ok(&["send", "ledger", "open", r#"{"id":"ada","owner":"Ada","balance":1000}"#]);
        let rows = rows(&line);
        Unharmed {
            cluster,
            environment,
            line,
            rows,
        }
    }

    pub fn http(&self) -> &str {
        self.cluster.nodes()[0].http()
    }

    pub fn peer(&self) -> &str {
        self.cluster.nodes()[0].peer()
    }

    /// The node has the rows that it had, answers, and takes commands; it was not started anew in between.
    pub async fn check(self) {
        assert_eq!(rows(&self.line), self.rows, "the rows have changed");
        self.check_but_modules().await;
    }

    /// As [`Unharmed::check`], where modules that arrived may have made rows of their own.
    pub async fn check_but_modules(self) {
        let accounts = self.line.ok(&["scan", "ledger", "accounts", "--all"]);
        assert_eq!(accounts, "ada\t{\"owner\":\"Ada\",\"balance\":1000}");
        let status: Value = serde_json::from_str(&self.line.ok(&["status", "--json", "--check"])).unwrap();
        assert_eq!(status["term"], 1, "{status}");
        self.line
            .ok(&["send", "ledger", "open", r#"{"id":"last","owner":"Last","balance":1}"#]);
        self.cluster.stop().await;
    }
}

/// The digest of all rows: the first half of a node's digest. The second half is that of its history, in which what was
/// refused stands too.
fn rows(line: &CommandLine) -> String {
    let status: Value = serde_json::from_str(&line.ok(&["status", "--json"])).unwrap();
    let digest = status["members"][0]["digest"].as_str().unwrap();
    digest.split('-').next().unwrap().to_owned()
}

/// Sends bytes, and reads until the node has closed the connection.
async fn say(address: &str, bytes: &[u8], environment: &Environment) -> Vec<u8> {
    let mut stream = environment.network.connect(address).await.unwrap();
    // The node may have closed already, which is as good.
    let _ = stream.write_all(bytes).await;
    rest(&mut stream, environment).await
}

/// What the node says until it closes the connection.
async fn rest(stream: &mut Box<dyn Stream>, environment: &Environment) -> Vec<u8> {
    let mut answer = Vec::new();
    let read = environment::timeout(environment, PATIENCE, stream.read_to_end(&mut answer)).await;
    // The system may report bytes that were never read as a reset, after the answer.
    let _ = read.expect("the node closes the connection");
    answer
}

/// One request, and the status and body of its answer.
pub async fn http(unharmed: &Unharmed, method: &str, path: &str, body: &[u8]) -> (u16, String) {
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    let answer = say(unharmed.http(), &request, &unharmed.environment).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (
        status.unwrap_or_else(|| panic!("{method} {path}: {answer:?}")),
        body.to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_or_cannot_be_read_is_named() {
    let unharmed = Unharmed::new().await;
    let line = &unharmed.line;
    for (arguments, code) in [
        (&["send", "nothing", "open", "{}"][..], "unknown_application"),
        (&["send", "ledger", "close", "{}"], "unknown_command"),
        (
            &["send", "ledger", "open", "{}", "--payload-version", "9"],
            "unknown_command_version",
        ),
        (&["get", "nothing", "accounts", "ada"], "unknown_application"),
        (&["get", "ledger", "nothing", "ada"], "unknown_table"),
        (&["get", "ledger", "accounts", "nobody"], "row_not_found"),
        (&["scan", "ledger", "nothing"], "unknown_table"),
        (&["query", "ledger", "nothing"], "unknown_query"),
        (&["query", "nothing", "total"], "unknown_application"),
        (&["tail", "ledger.nothing"], "unknown_stream"),
        (&["app", "show", "nothing"], "unknown_application"),
        (&["change", "show", "9999999"], "unknown_change"),
        (&["change", "abort", "9999999"], "unknown_change"),
        (&["send", "ledger", "open", "{\"id\":"], "malformed"),
        (&["send", "ledger", "open", "{\"id\":1}"], "malformed"),
        (&["send", "ledger", "open", ""], "malformed"),
    ] {
        let error = line.fails(1, arguments);
        assert!(error.contains(code), "{arguments:?}: {error}");
    }
    unharmed.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_requests_that_cannot_be_served_are_told_why() {
    let unharmed = Unharmed::new().await;
    let big = |bytes: usize| vec![b' '; bytes];
    let cases: [(&str, &str, Vec<u8>, u16, &str); 14] = [
        ("GET", "/nothing", vec![], 404, "not_found"),
        ("DELETE", "/v1/status", vec![], 405, "method_not_allowed"),
        (
            "POST",
            "/v1/apps/nothing/commands/open",
            b"{}".to_vec(),
            404,
            "unknown_application",
        ),
        (
            "POST",
            "/v1/apps/ledger/commands/nothing",
            b"{}".to_vec(),
            404,
            "unknown_command",
        ),
        ("POST", "/v1/apps/ledger/queries/nothing", vec![], 404, "unknown_query"),
        (
            "GET",
            "/v1/apps/ledger/tables/nothing/rows",
            vec![],
            404,
            "unknown_table",
        ),
        (
            "GET",
            "/v1/apps/ledger/tables/accounts/rows?limit=many",
            vec![],
            400,
            "malformed",
        ),
        (
            "GET",
            "/v1/apps/ledger/tables/accounts/rows?limits=1",
            vec![],
            400,
            "malformed",
        ),
        (
            "GET",
            "/v1/apps/ledger/tables/accounts/rows?consistency=some",
            vec![],
            400,
            "malformed",
        ),
        ("GET", "/v1/apps/%ff/tables/accounts/rows", vec![], 400, "malformed"),
        ("GET", "/v1/streams/ledger.transfers?from=-1", vec![], 400, "malformed"),
        ("POST", "/v1/changes", b"{\"manifest\":".to_vec(), 400, "malformed"),
        ("POST", "/v1/changes", big(257 << 10), 413, "too_large"),
        ("POST", "/v1/apps/ledger/commands/open", big(2 << 20), 413, "too_large"),
    ];
    for (method, path, body, status, code) in cases {
        let answer = http(&unharmed, method, path, &body).await;
        assert_eq!(answer.0, status, "{method} {path}: {answer:?}");
        let problem: Value = serde_json::from_str(&answer.1).unwrap_or_else(|_| panic!("{method} {path}: {answer:?}"));
        assert_eq!(problem["code"], code, "{method} {path}: {problem}");
        assert!(
            problem["detail"].as_str().is_some_and(|detail| detail.len() > 10),
            "{problem}"
        );
    }
    // At the limit exactly, a body is the application's to refuse.
    let (_, at_limit) = http(&unharmed, "POST", "/v1/apps/ledger/commands/open", &big(1 << 20)).await;
    assert!(!at_limit.contains("too_large"), "{at_limit}");
    unharmed.check().await;
}

fn client_frame(length: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend_from_slice(rest);
    bytes
}

fn client_hello() -> Vec<u8> {
    let hello = frames::Hello {
        version_min: 1,
        version_max: 1,
        cluster: None,
        name: "test".into(),
        binary: "0".into(),
    };
    let mut bytes = frames::MAGIC.to_vec();
    FromClient::Hello(hello).encode(0, &mut bytes).unwrap();
    bytes
}

/// The code of the last answer on a connection of the client protocol.
fn last_code(answer: &[u8]) -> Option<Code> {
    let mut bytes = bytes::BytesMut::from(answer);
    let mut last = None;
    while let Ok(Some(frame)) = frames::decode(&mut bytes) {
        if let Ok(FromServer::Error(error)) = FromServer::decode(&frame) {
            last = Some(error.code);
        }
    }
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn client_frames_past_their_limit_or_of_garbage_end_their_connection_only() {
    let unharmed = Unharmed::new().await;
    let frame_bytes = u32::try_from(limits::FRAME_BYTES_MAX).unwrap();
    let mut submit = Vec::new();
    let command = Submit {
        claim: None,
        application: "x".repeat(limits::NAME_BYTES_MAX + 1),
        command: "open".into(),
        version: 1,
        payload: bytes::Bytes::from_static(b"{}"),
    };
    FromClient::Submit(command).encode(1, &mut submit).unwrap();
    for (what, bytes) in [
        ("a length past the limit", client_frame(frame_bytes + 1, &[3; 64])),
        ("the greatest length", client_frame(u32::MAX, &[0xff; 4096])),
        ("a length of nothing", client_frame(0, &[])),
        ("a kind that is none", client_frame(9, &[200; 9])),
        ("a body of garbage", client_frame(64, &[3; 64])),
        ("a name past its limit", submit),
    ] {
        let mut all = client_hello();
        all.extend_from_slice(&bytes);
        let answer = say(unharmed.http(), &all, &unharmed.environment).await;
        assert_eq!(last_code(&answer), Some(Code::Malformed), "{what}: {answer:?}");
    }
    // Without a hello there is nobody to answer to but with an error.
    for garbage in [&[0xff; 4096][..], &client_frame(u32::MAX, &[0; 64])] {
        let mut all = frames::MAGIC.to_vec();
        all.extend_from_slice(garbage);
        let answer = say(unharmed.http(), &all, &unharmed.environment).await;
        assert!(last_code(&answer).is_some(), "{answer:?}");
    }
    unharmed.check().await;
}

/// A frame of the peer protocol.
fn peer_frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut checked = vec![kind];
    checked.extend_from_slice(&0_u64.to_le_bytes());
    checked.extend_from_slice(body);
    let mut bytes = u32::try_from(checked.len() + 4).unwrap().to_le_bytes().to_vec();
    bytes.extend_from_slice(&crc32c::crc32c(&checked).to_le_bytes());
    bytes.extend_from_slice(&checked);
    bytes
}

/// A hello of the peer protocol, after its magic.
fn peer_hello(versions: (u16, u16), cluster: ClusterId) -> Vec<u8> {
    let mut body = Vec::new();
    versions.encode(&mut body);
    (cluster, NodeId(77)).encode(&mut body);
    Level(1).encode(&mut body);
    let mut bytes = b"SEAPEER1".to_vec();
    bytes.extend(peer_frame(1, &body));
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_peer_port_ends_its_connection_only() {
    let unharmed = Unharmed::new().await;
    let (address, environment) = (unharmed.peer(), &unharmed.environment);
    let random: Vec<u8> = (0..65_536_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for garbage in [
        &[0xff; 4096][..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"SEAPEER1",
        b"SEAPEER9",
        &random,
    ] {
        let mut stream = environment.network.connect(address).await.unwrap();
        let _ = stream.write_all(garbage).await;
        let _ = stream.shutdown().await;
        rest(&mut stream, environment).await;
    }
    let good = peer_hello((1, 1), ClusterId(0));
    let past_limit = [u32::MAX.to_le_bytes().as_slice(), &[0; 64]].concat();
    let damaged = {
        let mut frame = peer_frame(11, b"a vote that is none");
        *frame.last_mut().unwrap() ^= 1;
        frame
    };
    for (what, after) in [
        ("a frame past the limit", past_limit),
        ("a frame with a wrong checksum", damaged),
        ("a kind that is none", peer_frame(99, b"x")),
        ("random bytes", random.clone()),
    ] {
        let all = [good.as_slice(), &after].concat();
        let answer = say(address, &all, environment).await;
        assert_eq!(answer.get(8), Some(&2), "{what}: greeted, then closed: {answer:?}");
    }
    // What is a frame, and none that means anything, is answered with why; the connection lives on.
    for kind in [10, 11, 12, 13, 20, 21, 22, 1, 2, 100] {
        let mut stream = environment.network.connect(address).await.unwrap();
        let all = [good.as_slice(), &peer_frame(kind, &[0xfe; 32])].concat();
        stream.write_all(&all).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = rest(&mut stream, environment).await;
        assert_eq!(answer.get(8), Some(&2), "kind {kind}: {answer:?}");
    }
    for (hello, why) in [
        (peer_hello((7, 9), ClusterId(0)), "run binaries that have one in common"),
        (peer_hello((1, 1), ClusterId(0xbad)), "the caller to cluster bad"),
    ] {
        let answer = say(address, &hello, environment).await;
        assert!(String::from_utf8_lossy(&answer).contains(why), "{answer:?}");
    }
    unharmed.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_http_port_is_told_what_is_spoken_there() {
    let unharmed = Unharmed::new().await;
    let long_head = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(200_000));
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(10_000));
    for garbage in [
        &[0xff; 4096][..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"SEACHNG9",
        b"{\"a\":1}\n",
        b"GET / NONSENSE\r\n\r\n",
        b"POST /v1/changes HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/changes HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        long_head.as_bytes(),
        many_headers.as_bytes(),
    ] {
        let answer = say(unharmed.http(), garbage, &unharmed.environment).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            answer.starts_with("HTTP/1.1 4"),
            "{answer:?} to {:?}",
            &garbage[..garbage.len().min(60)]
        );
    }
    unharmed.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_never_finish_their_heads_keep_nobody_waiting() {
    let unharmed = Unharmed::new().await;
    let mut slow = Vec::new();
    for n in 0..300 {
        let mut stream = unharmed.environment.network.connect(unharmed.http()).await.unwrap();
        let begun: &[u8] = match n % 3 {
            0 => b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX-a: ",
            1 => frames::MAGIC,
            _ => b"G",
        };
        stream.write_all(begun).await.unwrap();
        slow.push(stream);
    }
    // They are all still there while the others are served.
    unharmed.check().await;
    drop(slow);
}

#[test]
fn nobody_there_is_said_with_its_own_exit_code() {
    let given = run(Command::new(program()).args([
        "get",
        "ledger",
        "accounts",
        "ada",
        "--at",
        "127.0.0.1:1",
        "--timeout",
        "1",
    ]));
    assert_eq!(given.code, 3, "{given:?}");
    assert!(given.err.contains("127.0.0.1:1"), "{given:?}");
}
