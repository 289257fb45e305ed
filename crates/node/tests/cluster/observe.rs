//! What a node counts and times of itself.

use environment::measure::Page;
use machine::{Index, Request};
use node::EntryTimes;

use crate::world::{Member, World};

/// What a node shows of itself.
fn page_of(member: &Member) -> String {
    let mut page = Page::default();
    member.node.observed().page(&mut page);
    page.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_counts_every_command_that_it_applies() {
    let world = World::new();
    let members = world.three(3).await;
    let [a, b, c] = &members;
    world.add(&[a, b, c], 1).await;
    world.agree(&[a, b, c]).await;
    for member in members {
        let page = page_of(&member);
        let applied = "seachange_commands_total{outcome=\"applied\"} 4\n";
        assert!(page.contains(applied), "{page}");
        member.node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_tells_when_an_entry_came_how_far_and_what_came_of_it() {
    let world = World::new();
    let a = world.start("a", &[1], None).await;
    let change = world.plan(&[&a], 1).await;
    world.switched(&a, change).await;
    let request = |command: &str| Request {
        claim: None,
        application: "adder".into(),
        command: command.into(),
        version: 1,
        payload: "1".into(),
    };
    let before = world.environment.clock.now();
    let reply = a.cluster.submit(request("add")).await.expect("it leads");
    let after = world.environment.clock.now();
    let times = a.node.observed().entry(reply.index);
    let stages = [
        times.packed,
        times.appended,
        times.committed,
        times.apply_begun,
        times.applied,
    ];
    let known: Vec<_> = stages.into_iter().flatten().collect();
    assert_eq!(known.len(), 5, "{times:?}");
    assert!(known[0] >= before && known[4] <= after, "{times:?}");
    assert!(known[0] <= known[1] && known[1] <= known[3], "{times:?}");
    assert!(
        known[0] <= known[2] && known[2] <= known[3] && known[3] <= known[4],
        "{times:?}"
    );
    let next = Index(reply.index.0 + 1);
    assert_eq!(a.node.observed().entry(next), EntryTimes::default());

    a.cluster.submit(request("none")).await.expect("it leads");
    let page = page_of(&a);
    for line in [
        "seachange_commands_total{outcome=\"applied\"} 1",
        "seachange_commands_total{outcome=\"failed\"} 1",
        "seachange_command_failures_total{code=\"unknown_command\"} 1",
        "seachange_entry_commands_count 2",
        "seachange_raft_is_leader 1",
        "seachange_requests_waiting 0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in {page}");
    }
    a.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_due_after_so_many_bytes_of_entries_though_no_row_has_changed() {
    let world = World::new();
    let a = world.start("a", &[1], None).await;
    let change = world.plan(&[&a], 1).await;
    world.switched(&a, change).await;
    let request = Request {
        claim: None,
        application: "adder".into(),
        command: "none".into(),
        version: 1,
        payload: vec![b' '; machine::limits::COMMAND_BYTES_MAX].into(),
    };
    let written = || {
        let page = page_of(&a);
        let line = page
            .lines()
            .find(|line| line.starts_with("seachange_checkpoint_seconds_count"));
        line.expect("it is counted").to_owned()
    };
    let before = written();
    let mut requests = 0;
    while written() == before {
        // Many times as many as are needed: it is written beside what is applied.
        assert!(requests < 200, "{}", page_of(&a));
        a.cluster.submit(request.clone()).await.expect("it leads");
        requests += 1;
    }
    assert!(requests >= 32, "{requests}");
    a.node.shutdown().await;
}
