//! A whole node of one member, looked at from inside.

use std::sync::Arc;
use std::time::Duration;

use environment::{real, timeout};
use machine::{Cluster, Index, Outcome, PackedRequest, Reply, Request, Status, SubmitError, Term};
use store::state::{FjallBackend, FjallOptions};

use super::Event;
use crate::handle::Handle;
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
    let (submission, reply) = handle.admission.admit(PackedRequest::from(&request(0)), reign).unwrap();
    handle.events.send(Event::Submit(submission)).ok().unwrap();
    reply.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_in_one_reign_is_not_proposed_in_another() {
    let directory = tempfile::tempdir().unwrap();
    let environment = real::environment();
    let listener = environment.network.bind("127.0.0.1:0").await.unwrap();
    let config = Config {
        name: "a".to_owned(),
        data: directory.path().join("a"),
        peer_address: listener.local_addr().to_string(),
        http_address: "127.0.0.1:1".to_owned(),
        join: None,
        registry: host::Registry::new(Vec::new()),
        log: Default::default(),
        state: Default::default(),
        streams: Default::default(),
    };
    let backend = |directory: &std::path::Path| {
        let backend = FjallBackend::open(directory, FjallOptions::default()).map_err(|error| error.to_string())?;
        Ok(Arc::new(backend) as Arc<dyn store::state::Backend>)
    };
    let node = Node::start(config, environment, backend, listener).await.unwrap();
    let handle = &*node.handle;
    until(handle, |status| status.level.0 > 0).await;

    // Requests given together come into few entries, in their order.
    let answers = futures::future::join_all(handle.submit_in_order((0..1000).map(request).collect())).await;
    let indexes: Vec<Index> = answers.iter().map(|answer| answer.as_ref().unwrap().index).collect();
    assert!(indexes.is_sorted());
    let mut entries = indexes.clone();
    entries.dedup();
    assert!(entries.len() < 100, "{} entries", entries.len());

    let first = handle.group.reign().unwrap();
    assert!(matches!(submit_in(handle, first).await.unwrap().outcome, Outcome::Failed(_)));
    handle.group.elect().await;
    until(handle, |status| status.term > first && handle.group.reign() == Some(status.term)).await;
    // It leads again, but what came in before would now stand behind what came in since.
    let committed = handle.status().committed;
    let late = submit_in(handle, first).await;
    assert_eq!(late, Err(SubmitError::NotLeader { leader: None }));
    let second = handle.group.reign().unwrap();
    let reply = submit_in(handle, second).await.unwrap();
    assert!(reply.index > committed);
    node.shutdown().await;
}
