//! An entry at which this program itself fails does not fell a node again and again.

use machine::{
    Body, Claim, Consistency, Decision, FailureCode, Index, Outcome, Request, Sequence, SkipEntry, SubmitError,
};
use node::Ending;
use node::replay::Proof;

use crate::replay::{open, proofs, run};
use crate::world::{Member, PATIENCE, World, registry, total};

async fn stopped(world: &World, member: Member) -> String {
    let ending = environment::timeout(&world.environment, PATIENCE, member.node.ended()).await;
    let reason = match ending.expect("the node ends by itself") {
        Ending::Stop(reason) => reason,
        Ending::Restart(reason) => panic!("it is to be started again: {reason}"),
    };
    gone(member).await;
    reason
}

async fn gone(member: Member) {
    member.node.shutdown().await;
    drop(member.cluster);
}

/// Until the node has applied all that its log holds, and then its total.
async fn total_at_the_end(world: &World, member: &Member) -> String {
    world
        .until(member, "the end of the log", |status, _| {
            status.leader.is_some() && status.applied == status.last
        })
        .await;
    total(member, Consistency::Linearizable).await.1
}

fn poison(claim: Option<Claim>) -> Request {
    Request {
        claim,
        application: "adder".into(),
        command: "add".into(),
        version: 1,
        payload: "666".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_stopped_a_node_twice_parks_it_until_it_may_try_again() {
    let world = World::new();
    let a = world.start_poisoned("a", None).await;
    let change = world.plan(&[&a], 1).await;
    world.switched(&a, change).await;
    assert_eq!(world.add(&[&a], 1).await, "1");
    let answer = a.cluster.submit(poison(None)).await;
    assert!(matches!(answer, Err(SubmitError::OutcomeUnknown(_))), "{answer:?}");
    let first = stopped(&world, a).await;
    assert!(
        first.contains("this program failed at entry") && first.contains("666"),
        "{first}"
    );

    let again = world.start_poisoned("a", None).await;
    stopped(&world, again).await;

    let parked = world.start_poisoned("a", None).await;
    world
        .until(&parked, "parking", |status, _| status.parked.is_some())
        .await;
    let status = parked.cluster.status();
    let why = status.parked.unwrap_or_default();
    assert!(
        why.contains("has stopped this node 2 times") && why.contains("remove the file fault"),
        "{why}"
    );
    assert!(status.committed > status.applied, "its log goes on");
    assert_eq!(total(&parked, Consistency::Stale).await.1, "1");
    gone(parked).await;

    // With the note gone and code that does not fail, it goes on, and leaves no note.
    let note = world.data("a").join("fault");
    std::fs::remove_file(&note).expect("the note is there");
    let mended = world.start("a", &[1], None).await;
    assert_eq!(total_at_the_end(&world, &mended).await, "667");
    assert!(!note.exists());
    gone(mended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_does_not_come_back_is_forgotten_once_its_entry_is_applied() {
    let world = World::new();
    let a = world.start_poisoned("a", None).await;
    let change = world.plan(&[&a], 1).await;
    world.switched(&a, change).await;
    let answer = a.cluster.submit(poison(None)).await;
    assert!(matches!(answer, Err(SubmitError::OutcomeUnknown(_))), "{answer:?}");
    stopped(&world, a).await;
    let note = world.data("a").join("fault");
    assert!(note.exists());
    let mended = world.start("a", &[1], None).await;
    assert_eq!(total_at_the_end(&world, &mended).await, "666");
    assert!(!note.exists());
    gone(mended).await;
}

/// Starts a node again as often as its program fails, until it stands before the entry.
async fn until_parked(world: &World, name: &str, mut member: Member) -> Member {
    loop {
        let stopped = {
            let parked = world.until(&member, "parking", |status, _| status.parked.is_some());
            let ended = member.node.ended();
            futures::pin_mut!(ended, parked);
            matches!(
                futures::future::select(ended, parked).await,
                futures::future::Either::Left(_)
            )
        };
        if !stopped {
            return member;
        }
        gone(member).await;
        member = world.start_poisoned(name, None).await;
    }
}

/// What the leader says to a decision, whoever leads by then. A parked leader hands over now and then: what it has not
/// answered by then is asked again.
async fn skip(world: &World, members: &[&Member], entry: Index) -> Decision {
    let body = Body::SkipEntry(SkipEntry {
        entry,
        reason: "it panics".into(),
    });
    let decided = environment::timeout(&world.environment, PATIENCE, async {
        loop {
            for member in members {
                match member.cluster.propose(body.clone()).await {
                    Ok(decision) => return decision,
                    Err(SubmitError::NotLeader { .. } | SubmitError::OutcomeUnknown(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            world.environment.sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    decided.await.expect("a leader takes it")
}

/// Submits 666 to whoever leads; gives the session under which that was done.
async fn submit_poison(world: &World, members: &[&Member]) -> Claim {
    let Decision::SessionOpened(session) = world.propose(members, Body::OpenSession).await else {
        panic!("no session");
    };
    let claim = Claim {
        session,
        sequence: Sequence(1),
        settled: Sequence(1),
    };
    for member in members {
        match member.cluster.submit(poison(Some(claim))).await {
            Err(SubmitError::OutcomeUnknown(_)) => return claim,
            Err(SubmitError::NotLeader { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("nobody leads");
}

fn skipped_outcome(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(failure) if failure.code == FailureCode::EntrySkipped
        && failure.detail.contains("it panics"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_at_which_every_node_fails_is_skipped_by_all_of_them_and_by_replay() {
    let world = World::new();
    let a = world.start_poisoned("a", None).await;
    let b = world.start_poisoned("b", Some(&a.peer)).await;
    let c = world.start_poisoned("c", Some(&a.peer)).await;
    world.voters(&a, 3).await;
    let change = world.plan(&[&a, &b, &c], 1).await;
    world.switched(&a, change).await;
    assert_eq!(world.add(&[&a, &b, &c], 1).await, "1");
    let claim = submit_poison(&world, &[&a, &b, &c]).await;
    let (a, b, c) = futures::join!(
        until_parked(&world, "a", a),
        until_parked(&world, "b", b),
        until_parked(&world, "c", c)
    );
    let all = [&a, &b, &c];
    let entry = a.cluster.status().applied.next();

    let ahead = skip(&world, &all, entry.next()).await;
    assert!(
        matches!(&ahead, Decision::Refused { code: "skip_refused", reason } if reason.contains("fails at entry")),
        "{ahead:?}"
    );
    let decided = skip(&world, &all, entry).await;
    assert!(matches!(decided, Decision::Done { .. }), "{decided:?}");
    assert_eq!(world.add(&all, 1).await, "2");
    world.agree(&all).await;
    let catalog = c.cluster.catalog();
    let skipped = &catalog.skipped[&entry];
    assert_eq!((skipped.commands, skipped.reason.as_str()), (Some(1), "it panics"));

    // A repeat gets the same answer, and what is skipped already is found done.
    let mut repeated = None;
    for member in all {
        if let Ok(reply) = member.cluster.submit(poison(Some(claim))).await {
            repeated = Some(reply);
        }
    }
    let repeated = repeated.expect("one of them leads");
    assert_eq!(repeated.index, entry);
    assert!(skipped_outcome(&repeated.outcome), "{repeated:?}");
    let again = skip(&world, &all, entry).await;
    assert_eq!(again, decided);

    let (applied, digest) = (a.cluster.status().applied, a.cluster.status().digest);
    futures::join!(gone(a), gone(b), gone(c));
    // Replay passes it by too, although its program would not fail.
    let archive = open(&world, "a").expect("nobody holds it any more");
    let (replay, steps) = run(archive
        .replay(&registry(&[1]), None, Some(applied))
        .expect("from entry 1"));
    let step = steps.iter().find(|step| step.index == entry).expect("it is there");
    assert!(skipped_outcome(&step.replies[0].outcome), "{step:?}");
    // Others may have been logged behind it since: they are looked at by what production says of them.
    assert_eq!((replay.applied(), replay.digest()), (applied, digest));
    let (_, steps) = run(archive.replay(&registry(&[1]), None, None).expect("from entry 1"));
    let proofs = proofs(&steps);
    assert!(!proofs.is_empty() && proofs.iter().all(Proof::is_equal), "{proofs:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_applied_what_is_skipped_is_rebuilt_from_one_that_did_not() {
    let world = World::new();
    let c = world.start("c", &[1], None).await;
    let a = world.start_poisoned("a", Some(&c.peer)).await;
    let b = world.start_poisoned("b", Some(&c.peer)).await;
    world.voters(&c, 3).await;
    let change = world.plan(&[&a, &b, &c], 1).await;
    world.switched(&c, change).await;
    assert_eq!(world.add(&[&a, &b, &c], 1).await, "1");
    world
        .until(&c, "leading", |status, _| status.leader == Some(status.node))
        .await;
    assert_eq!(world.add(&[&c], 666).await, "667");
    let (a, b) = futures::join!(until_parked(&world, "a", a), until_parked(&world, "b", b));
    let entry = a.cluster.status().applied.next();
    // The leader has applied it: nothing is to be skipped.
    let refused = skip(&world, &[&c], entry).await;
    assert!(
        matches!(&refused, Decision::Refused { code: "skip_refused", reason } if reason.contains("the leader has applied")),
        "{refused:?}"
    );
    gone(c).await;

    let decided = skip(&world, &[&a, &b], entry).await;
    assert!(matches!(decided, Decision::Done { .. }), "{decided:?}");
    assert_eq!(world.add(&[&a, &b], 1).await, "2");
    let c = world.start("c", &[1], None).await;
    let (c, reason) = world.start_again("c", c).await;
    assert!(
        reason.contains("is skipped, and this node has applied that"),
        "{reason}"
    );
    let c = world.catch_up("c", c, &[&a, &b]).await;
    assert_eq!(total(&c, Consistency::Stale).await.1, "2");
    futures::join!(gone(a), gone(b), gone(c));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_entry_that_fails_soon_behind_a_skipped_one_is_skipped_too() {
    let world = World::new();
    let a = world.start_poisoned("a", None).await;
    let change = world.plan(&[&a], 1).await;
    world.switched(&a, change).await;
    assert_eq!(world.add(&[&a], 1).await, "1");
    submit_poison(&world, &[&a]).await;
    let a = until_parked(&world, "a", a).await;
    let first = a.cluster.status().applied.next();
    skip(&world, &[&a], first).await;
    submit_poison(&world, &[&a]).await;
    let a = until_parked(&world, "a", a).await;
    let second = a.cluster.status().applied.next();
    assert!(second > first, "{second}");
    let decided = skip(&world, &[&a], second).await;
    assert!(matches!(decided, Decision::Done { .. }), "{decided:?}");
    assert_eq!(world.add(&[&a], 1).await, "2");
    assert_eq!(a.cluster.catalog().skipped.len(), 2);
    // Decided again, it is found done.
    let again = skip(&world, &[&a], first).await;
    assert!(matches!(again, Decision::Done { index } if index < second), "{again:?}");
    gone(a).await;
}
