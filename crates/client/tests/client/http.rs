//! The operator's calls.

use client::limits::{HTTP_BODY_BYTES_MAX, LINE_BYTES_MAX};
use client::wire::{Code, Consistency, PlanRequest, Problem, RowsParameters, Stage};
use client::{Error, HttpRequest};
use environment::real::environment;

use crate::fake::{deserted, play, play_until};
use crate::fake_http::{FakeHttp, admin_of};

const PLAN: &str = r#"{"manifest":{"application":"ledger","version":1},"code":{"native":true}}"#;

fn problem(code: Code, leader: Option<String>) -> String {
    serde_json::to_string(&Problem::new(code, "by the test").with_leader(leader)).unwrap()
}

fn status(code: Code) -> String {
    format!("{} X", code.http_status())
}

#[tokio::test]
async fn calls_are_what_the_api_says() {
    let environment = environment();
    let server = FakeHttp::start(&environment).await;
    let admin = admin_of(&environment, &[&server.address()]);
    let node = async {
        let asked = server.asked().await;
        assert_eq!(
            asked.line,
            "GET /v1/apps/ledger/tables/accounts/rows/a%2Fb?consistency=stale HTTP/1.1"
        );
        assert!(
            asked.head.contains(&format!("host: {}", server.address())),
            "{}",
            asked.head
        );
        asked
            .answer("200 OK", r#"{"index":4,"key":"a/b","document":{"n":1}}"#)
            .await;
        let asked = server.asked().await;
        assert_eq!(
            asked.line,
            "GET /v1/apps/ledger/tables/accounts/rows?prefix=a%26&limit=2&reverse=true&consistency=linearizable HTTP/1.1"
        );
        asked.answer("200 OK", r#"{"index":4,"rows":[],"more":false}"#).await;
        let asked = server.asked().await;
        assert_eq!(
            asked.line,
            "POST /v1/apps/ledger/queries/total?consistency=linearizable HTTP/1.1"
        );
        assert_eq!(asked.body, b"{}");
        asked
            .answer("200 OK", r#"{"index":4,"outcome":"answered","answer":[7]}"#)
            .await;
        let asked = server.asked().await;
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(asked.line, format!("PUT /v1/modules/{digest} HTTP/1.1"));
        assert_eq!(asked.body, b"abc");
        asked
            .answer("200 OK", &format!(r#"{{"module":"{digest}","bytes":3}}"#))
            .await;
    };
    let callers = async {
        let row = admin
            .get_row("ledger", "accounts", "a/b", Consistency::Stale)
            .await
            .unwrap();
        assert_eq!(&row.row.document[..], br#"{"n":1}"#);
        let parameters = RowsParameters {
            prefix: Some("a&".into()),
            limit: Some(2),
            reverse: true,
            ..RowsParameters::default()
        };
        assert!(!admin.scan_rows("ledger", "accounts", &parameters).await.unwrap().more);
        assert_eq!(
            &admin
                .query("ledger", "total", "{}", Consistency::Linearizable)
                .await
                .unwrap()
                .answer[..],
            b"[7]"
        );
        admin.upload_module("abc").await.unwrap();
    };
    play(&environment, callers, node).await;
}

#[tokio::test]
async fn another_address_answers_when_one_does_not() {
    let environment = environment();
    let gone = deserted(&environment).await;
    let server = FakeHttp::start(&environment).await;
    let admin = admin_of(&environment, &[&gone, &server.address()]);
    let node = async {
        // Cut without an answer: a read is asked again.
        drop(server.asked().await);
        server.asked().await.answer("200 OK", r#"{"index":4,"apps":[]}"#).await;
        // The address that served is asked first from now on.
        server.asked().await.answer("200 OK", r#"{"index":5,"apps":[]}"#).await;
    };
    let callers = async { (admin.apps().await, admin.apps().await) };
    let (first, second) = play(&environment, callers, node).await;
    assert_eq!((first.unwrap().index, second.unwrap().index), (4, 5));
}

#[tokio::test]
async fn a_leader_named_by_a_problem_is_asked() {
    let environment = environment();
    let (follower, leader) = (FakeHttp::start(&environment).await, FakeHttp::start(&environment).await);
    let admin = admin_of(&environment, &[&follower.address()]);
    let node = async {
        let refusal = problem(Code::NotLeader, Some(leader.address()));
        follower.asked().await.answer(&status(Code::NotLeader), &refusal).await;
        let asked = leader.asked().await;
        assert_eq!(asked.line, "POST /v1/changes HTTP/1.1");
        asked.answer("200 OK", r#"{"change":12}"#).await;
    };
    let plan: PlanRequest = serde_json::from_str(PLAN).unwrap();
    assert_eq!(
        play(&environment, admin.plan_change(&plan), node).await.unwrap().change,
        12
    );
}

#[tokio::test]
async fn a_plan_that_may_have_been_received_is_not_sent_again() {
    let environment = environment();
    let server = FakeHttp::start(&environment).await;
    let admin = admin_of(&environment, &[&server.address()]);
    let plan: PlanRequest = serde_json::from_str(PLAN).unwrap();
    let node = async {
        drop(server.asked().await);
        let again = server.asked().await;
        panic!("sent again: {}", again.line);
    };
    let result = play_until(&environment, admin.plan_change(&plan), node).await;
    assert!(matches!(result, Err(Error::OutcomeUnknown(_))), "{result:?}");
}

#[tokio::test]
async fn every_other_status_is_a_problem() {
    let environment = environment();
    let server = FakeHttp::start(&environment).await;
    let admin = admin_of(&environment, &[&server.address()]);
    let node = async {
        let missing = problem(Code::RowNotFound, None);
        server.asked().await.answer(&status(Code::RowNotFound), &missing).await;
        server.asked().await.answer("418 I'm a teapot", "short and stout").await;
        server.asked().await.answer("302 Found", "").await;
        server.asked().await.answer("200 OK", "not json").await;
    };
    let callers = async {
        let missing = admin
            .get_row("ledger", "accounts", "x", Consistency::Stale)
            .await
            .unwrap_err();
        assert_eq!(missing.code(), Code::RowNotFound);
        match admin.apps().await {
            Err(Error::Problem(problem)) => {
                assert_eq!((problem.status, problem.code), (418, Code::Unrecognised));
                assert!(problem.detail.contains("short and stout"), "{problem}");
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(admin.apps().await, Err(Error::Problem(problem)) if problem.status == 302));
        assert!(matches!(admin.apps().await, Err(Error::Unreadable { .. })));
    };
    play(&environment, callers, node).await;
}

#[tokio::test]
async fn a_followed_stream_goes_on_where_it_broke() {
    let environment = environment();
    let (one, two) = (FakeHttp::start(&environment).await, FakeHttp::start(&environment).await);
    let admin = admin_of(&environment, &[&one.address(), &two.address()]);
    let node = async {
        let mut asked = one.asked().await;
        assert_eq!(
            asked.line,
            "GET /v1/streams/ledger.transfers?from=7&follow=true HTTP/1.1"
        );
        asked.begin().await;
        asked
            .chunk("{\"offset\":7,\"time_ms\":1,\"value\":1}\n\n\n{\"offset\":8,\"ti")
            .await;
        asked
            .chunk("me_ms\":1,\"key\":\"k\",\"value\":2}\r\n{\"offset\":9,")
            .await;
        drop(asked);
        drop(one);
        let mut asked = two.asked().await;
        assert_eq!(
            asked.line,
            "GET /v1/streams/ledger.transfers?from=9&follow=true HTTP/1.1"
        );
        asked.begin().await;
        asked
            .chunk("{\"offset\":9,\"time_ms\":1,\"value\":3}\n{\"offset\":11,\"time_ms\":1,\"value\":3}\n")
            .await;
        asked.end().await;
    };
    let callers = async {
        let mut events = admin.events("ledger.transfers", 7, true);
        for offset in 7..10 {
            assert_eq!(events.next().await.unwrap().unwrap().offset, offset);
        }
        // A gap is never handed on.
        assert!(matches!(events.next().await, Err(Error::Unreadable { .. })));
    };
    play(&environment, callers, node).await;
}

#[tokio::test]
async fn a_stream_that_is_not_followed_ends() {
    let environment = environment();
    let server = FakeHttp::start(&environment).await;
    let admin = admin_of(&environment, &[&server.address()]);
    let node = async {
        let mut asked = server.asked().await;
        asked.begin().await;
        asked
            .chunk("{\"offset\":0,\"time_ms\":1,\"value_base64\":\"/w==\"}")
            .await;
        asked.end().await;
    };
    let callers = async {
        let mut events = admin.events("s", 0, false);
        assert_eq!(&events.next().await.unwrap().unwrap().value[..], b"\xff");
        assert_eq!(events.next().await.unwrap(), None);
    };
    play(&environment, callers, node).await;
}

/// Three events from offset 5 on, made by an independent program from Kafka's page of the protocol.
const BATCH: &[u8] = b"\0\0\0\0\0\0\0\x05\0\0\0\x4e\0\0\0\0\x02\x66\x36\xb4\xfe\0\0\0\0\0\x02\0\0\x01\x8b\xcf\xe5\x68\0\
    \0\0\x01\x8b\xcf\xe5\x68\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x03\x1a\0\0\0\x04\x6b\x31\x0a\x68\
    \x65\x6c\x6c\x6f\0\x0c\0\0\x02\x01\0\0\x0e\0\0\x04\0\x02\xff\0";

#[tokio::test]
async fn a_stream_that_breaks_within_a_batch_goes_on_elsewhere() {
    let environment = environment();
    let (one, two) = (FakeHttp::start(&environment).await, FakeHttp::start(&environment).await);
    let admin = admin_of(&environment, &[&one.address(), &two.address()]);
    let node = async {
        let mut asked = one.asked().await;
        assert!(
            asked
                .head
                .contains("accept: application/vnd.seachange.record-batches, application/x-ndjson;q=0.5"),
            "{}",
            asked.head
        );
        asked.begin_batches().await;
        let heartbeat = client::wire::heartbeat();
        // Its pieces are those of the network, not of the batches.
        let sent = [&heartbeat[..], BATCH, &heartbeat, &BATCH[..70]].concat();
        for piece in sent.chunks(50) {
            asked.chunk_of(piece).await;
        }
        drop(asked);
        drop(one);
        let mut asked = two.asked().await;
        assert_eq!(asked.line, "GET /v1/streams/s?from=8&follow=true HTTP/1.1");
        asked.begin_batches().await;
        asked.chunk_of(&[&BATCH[..70], &[0; 30]].concat()).await;
        asked.end().await;
    };
    let callers = async {
        let mut events = admin.events("s", 5, true);
        for (offset, value) in [(5, &b"hello"[..]), (6, b""), (7, b"\xff")] {
            let event = events.next().await.unwrap().unwrap();
            assert_eq!((event.offset, &event.value[..]), (offset, value));
        }
        // What is damaged is never handed on.
        assert!(matches!(events.next().await, Err(Error::Unreadable { .. })));
    };
    play(&environment, callers, node).await;
}

#[tokio::test]
async fn a_stream_that_is_read_from_its_start_begins_with_whatever_is_there() {
    let environment = environment();
    let server = FakeHttp::start(&environment).await;
    let admin = admin_of(&environment, &[&server.address()]);
    let node = async {
        let mut asked = server.asked().await;
        assert_eq!(asked.line, "GET /v1/streams/s HTTP/1.1");
        asked.begin().await;
        asked.chunk("{\"offset\":7,\"time_ms\":1,\"value\":3}\n").await;
        asked.chunk("{\"offset\":9,\"time_ms\":1,\"value\":3}\n").await;
        asked.end().await;
    };
    let callers = async {
        let mut events = admin.events_from_start("s", false);
        assert_eq!(events.offset(), None);
        assert_eq!(events.next().await.unwrap().unwrap().offset, 7);
        assert_eq!(events.offset(), Some(8));
        assert!(
            matches!(events.next().await, Err(Error::Unreadable { .. })),
            "then without gaps"
        );
    };
    play(&environment, callers, node).await;
}

#[tokio::test]
async fn a_change_is_watched_to_its_end_across_nodes() {
    let environment = environment();
    let server = FakeHttp::start(&environment).await;
    let admin = admin_of(&environment, &[&server.address()]);
    let record = |stage: &str| {
        format!(
            r#"{{"id":3,"application":"l","from":null,"to":1,"stage":"{stage}","finalize":true,"switch_index":null,"readiness":[],"blockers":[],"history":[]}}"#
        )
    };
    let node = async {
        let mut asked = server.asked().await;
        assert_eq!(asked.line, "GET /v1/changes/3/watch HTTP/1.1");
        asked.begin().await;
        asked
            .chunk(&format!("{}\n{}\n", record("preparing"), record("ready")))
            .await;
        asked.end().await;
        let mut asked = server.asked().await;
        asked.begin().await;
        asked
            .chunk(&format!("{}\n{}\n", record("ready"), record("finalized")))
            .await;
        asked.end().await;
    };
    let callers = async {
        let mut watch = admin.watch_change(3);
        let mut stages = Vec::new();
        while let Some(record) = watch.next().await.unwrap() {
            stages.push(record.stage);
        }
        stages
    };
    let stages = play(&environment, callers, node).await;
    assert_eq!(stages, [Stage::Preparing, Stage::Ready, Stage::Finalized]);
}

#[tokio::test]
async fn an_answer_past_its_bytes_is_not_read_to_its_end() {
    let environment = environment();
    let server = FakeHttp::start(&environment).await;
    let http = admin_of(&environment, &[&server.address()]).http().clone();
    let request = HttpRequest::post("/v1/anything", "");
    for (bytes, fits) in [(HTTP_BODY_BYTES_MAX, true), (HTTP_BODY_BYTES_MAX + 1, false)] {
        let node = async {
            let mut asked = server.asked().await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\nconnection: close\r\n\r\n");
            asked.write(&head).await;
            // The client may close in the middle.
            let piece = "x".repeat(1 << 20);
            let mut left = bytes;
            while left > 0 && asked.try_write(&piece[..left.min(piece.len())]).await {
                left -= left.min(piece.len());
            }
        };
        let answer = play(&environment, http.send(&request), node).await;
        match answer {
            Ok(answer) => assert!(fits && answer.body.len() == bytes),
            Err(error) => assert!(!fits && error.is_outcome_unknown(), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_line_past_its_bytes_ends_the_answer() {
    let environment = environment();
    let server = FakeHttp::start(&environment).await;
    for (bytes, fits) in [(LINE_BYTES_MAX, true), (LINE_BYTES_MAX + (4 << 20), false)] {
        let http = admin_of(&environment, &[&server.address()]).http().clone();
        let node = async {
            let mut asked = server.asked().await;
            asked.begin().await;
            let piece = "x".repeat(1 << 20);
            let mut whole = true;
            for _ in 0..bytes >> 20 {
                whole = whole && asked.try_write(&format!("{:x}\r\n{piece}\r\n", piece.len())).await;
            }
            if whole {
                asked.chunk("\n").await;
                asked.end().await;
            }
        };
        let caller = async {
            let mut lines = http.lines("/v1/anything").await.unwrap();
            lines.next().await
        };
        match play(&environment, caller, node).await {
            Ok(line) => assert!(fits && line.is_some_and(|line| line.len() == bytes)),
            Err(error) => assert!(!fits && matches!(error, Error::Unreadable { .. }), "{error}"),
        }
    }
}
