//! A whole node of one member, looked at from inside.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use environment::{real, timeout};
use machine::{
    Cluster, Index, Outcome, PackedRequests, Reply, Request, Status, SubmitError, TOGETHER_COMMANDS_MAX, Term, TimeMs,
    limits as log_limits,
};
use store::state::{FjallBackend, FjallOptions};

use super::{Admission, Event, Submission, how_many_fit, pack};
use crate::handle::Handle;
use crate::limits::{ENTRY_PACK_BYTES, REQUESTS_WAITING_BYTES_MAX, REQUESTS_WAITING_MAX};
use crate::{Config, Node};

const PATIENCE: Duration = Duration::from_secs(60);

fn request(payload: usize) -> Request {
    Request {
        claim: None,
        application: "nobody".into(),
        command: "x".into(),
        version: 1,
        payload: payload.to_string().into(),
    }
}

async fn until(handle: &Handle, met: impl Fn(&Status) -> bool) {
    let environment = real::environment();
    let waited = timeout(&environment, PATIENCE, async {
        while !met(&handle.status()) {
            environment.sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("it comes in time");
}

async fn submit_in(handle: &Handle, reign: Term) -> Result<Reply, SubmitError> {
    let packed = PackedRequests::from(&[request(0)][..]);
    let (submission, replies) = handle.admission.admit(packed, reign).unwrap();
    handle.events.send(Event::Submit(submission)).ok().unwrap();
    replies.await.unwrap().map(|mut replies| replies.remove(0))
}

async fn start(directory: &Path) -> Node {
    let environment = real::environment();
    let listener = environment.network.bind("127.0.0.1:0").await.unwrap();
    let config = Config {
        name: "a".to_owned(),
        data: directory.join("a"),
        peer_address: listener.local_addr().to_string(),
        http_address: "127.0.0.1:1".to_owned(),
        join: None,
        registry: host::Registry::new(Vec::new()),
        level_max: machine::LEVEL_MAX,
        log: Default::default(),
        state: Default::default(),
        streams: Default::default(),
        upkeep: Default::default(),
        retention: Default::default(),
    };
    let backend = |directory: &Path| {
        let backend = FjallBackend::open(directory, FjallOptions::default())?;
        Ok(Arc::new(backend) as Arc<dyn store::state::Backend>)
    };
    let node = Node::start(config, environment, backend, listener).await.unwrap();
    // Who leads is known a little before its reign has begun.
    until(&node.handle, |status| {
        status.level.0 > 0 && status.leader == Some(status.node) && node.handle.group.reign().is_some()
    })
    .await;
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_in_one_reign_is_not_proposed_in_another() {
    let directory = tempfile::tempdir().unwrap();
    let node = start(directory.path()).await;
    let first = node.handle.group.reign().unwrap();
    let reply = submit_in(&node.handle, first).await.unwrap();
    assert!(
        matches!(reply.outcome, Outcome::Failed(_)),
        "there is no such application"
    );
    node.shutdown().await;

    // It leads again, but what came in before would now stand behind what came in since.
    let node = start(directory.path()).await;
    let second = node.handle.group.reign().unwrap();
    assert!(second > first);
    let last = node.handle.status().last;
    let late = submit_in(&node.handle, first).await;
    assert_eq!(late, Err(SubmitError::NotLeader { leader: None }));
    let reply = submit_in(&node.handle, second).await.unwrap();
    assert_eq!(reply.index, last.next(), "the late one took no place in the log");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_given_together_come_into_few_entries_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let node = start(directory.path()).await;
    let requests = (0..1000).map(request).collect();
    let answers = futures::future::join_all(node.handle.submit_in_order(requests)).await;
    let mut entries: Vec<Index> = answers.iter().map(|answer| answer.as_ref().unwrap().index).collect();
    assert!(entries.is_sorted());
    entries.dedup();
    assert!(entries.len() < 100, "{} entries", entries.len());

    // Once one is not taken, none behind it is.
    let mut requests: Vec<Request> = (0..3).map(request).collect();
    requests[1].payload = vec![b' '; machine::limits::COMMAND_BYTES_MAX + 1].into();
    let answers = futures::future::join_all(node.handle.submit_in_order(requests)).await;
    assert!(answers[0].is_ok());
    assert!(matches!(answers[1], Err(SubmitError::TooLarge(_))));
    assert_eq!(answers[2], answers[1]);
    node.shutdown().await;
}

#[test]
fn an_entry_holds_so_many_requests_of_so_many_bytes() {
    let fit = |length: usize, count: usize| how_many_fit(std::iter::repeat_n((1, length), count));
    let most = log_limits::ENTRY_COMMANDS_MAX;
    assert_eq!(fit(10, most), most);
    assert_eq!(fit(10, most + 1), most);
    assert_eq!(fit(ENTRY_PACK_BYTES / 4, 100), 4);
    assert_eq!(fit(ENTRY_PACK_BYTES / 4 + 1, 100), 3);
    assert_eq!(fit(ENTRY_PACK_BYTES, 2), 1);
    assert_eq!(fit(ENTRY_PACK_BYTES + 1, 2), 1, "one that is larger goes alone");
    let together = std::iter::repeat_n((TOGETHER_COMMANDS_MAX, 10), most);
    assert_eq!(how_many_fit(together), most / TOGETHER_COMMANDS_MAX);
}

#[test]
fn the_largest_request_makes_an_entry_that_may_be() {
    let request = machine::Request {
        claim: Some(machine::Claim {
            session: machine::SessionId(u64::MAX),
            sequence: machine::Sequence(u64::MAX),
            settled: machine::Sequence(u64::MAX),
        }),
        application: "a".repeat(log_limits::NAME_BYTES_MAX),
        command: "c".repeat(log_limits::NAME_BYTES_MAX),
        version: u16::MAX,
        payload: vec![0; log_limits::COMMAND_BYTES_MAX].into(),
    };
    let packed = pack(TimeMs(u64::MAX), [PackedRequests::from(&[request][..])].iter());
    assert!(packed.len() <= log_limits::ENTRY_BYTES_MAX);
}

fn admitted(admission: &Admission, bytes: usize, count: usize) -> (usize, Vec<Submission>) {
    let request = Request {
        payload: vec![0; bytes].into(),
        ..request(0)
    };
    let packed = PackedRequests::from(&[request][..]);
    let admitted: Vec<Submission> = (0..count)
        .map_while(|_| admission.admit(packed.clone(), Term(1)).ok())
        .map(|(submission, _)| submission)
        .collect();
    (admitted.len(), admitted)
}

#[test]
fn requests_that_wait_are_bounded_in_number_and_bytes_and_leave_their_places_behind() {
    let admission = Admission::default();
    let (count, waiting) = admitted(&admission, 0, REQUESTS_WAITING_MAX + 1);
    assert_eq!(count, REQUESTS_WAITING_MAX);
    drop(waiting);
    assert_eq!(admission.waiting(), (0, 0));
    let (count, waiting) = admitted(&admission, 1 << 20, REQUESTS_WAITING_MAX);
    assert_eq!(count, (REQUESTS_WAITING_BYTES_MAX >> 20) - 1);
    let large = Request {
        payload: vec![0; 1 << 20].into(),
        ..request(0)
    };
    let refused = admission.admit(PackedRequests::from(&[large][..]), Term(1)).err();
    assert!(matches!(refused, Some(SubmitError::Overloaded(_))), "{refused:?}");
    drop(waiting);
    let several: Vec<Request> = (0..3).map(request).collect();
    let (_waiting, _replies) = admission.admit(PackedRequests::from(&several[..]), Term(1)).unwrap();
    assert_eq!(admission.waiting().0, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_come_together_lie_in_one_entry_and_have_their_own_replies() {
    let directory = tempfile::tempdir().unwrap();
    let node = start(directory.path()).await;
    let requests: Vec<Request> = (0..TOGETHER_COMMANDS_MAX).map(request).collect();
    let groups = requests
        .chunks(100)
        .map(|requests| node.handle.submit_together(requests));
    let answers = futures::future::join_all(groups).await;
    for (answer, requests) in answers.into_iter().zip(requests.chunks(100)) {
        let replies = answer.unwrap();
        assert_eq!(replies.len(), requests.len());
        assert!(replies.iter().all(|reply| reply.index == replies[0].index));
    }
    node.shutdown().await;
}
