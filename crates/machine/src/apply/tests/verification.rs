//! Stored rows brought into a shape that is to come and back, before the switch.

use std::cell::Cell;

use super::*;

impl Run {
    /// Version 2 with shape 2 is planned, and every voter can run it; two rows lie in shape 1.
    fn to_be_verified() -> (Run, ChangeId) {
        let mut run = Run::new();
        run.switched(1, 1, &[]);
        run.outcome("put", "a one");
        run.outcome("put", "b two");
        let safeguards = Safeguards {
            verify_data: true,
            ..Safeguards::default()
        };
        let Decision::Planned(change) = run.plan_guarded(2, 2, false, safeguards) else {
            panic!("not planned");
        };
        (run, change)
    }

    fn next(&self, change: ChangeId, leader: u64, now: u64) -> Option<Vec<u64>> {
        let next = change::next_verification(self.machine.catalog(), change, NodeId(leader), TimeMs(now));
        next.map(|assign| assign.nodes.iter().map(|node| node.0).collect())
    }

    fn assign(&mut self, change: ChangeId, nodes: &[u64]) -> Decision {
        let nodes = nodes.iter().map(|node| NodeId(*node)).collect();
        self.control(Body::AssignVerification(AssignVerification { change, nodes }))
    }

    fn say(&mut self, change: ChangeId, node: u64, rows: VerifiedRows) -> Decision {
        let node = NodeId(node);
        self.control(Body::Verified(Verified { node, change, rows }))
    }

    fn verify(&self, change: ChangeId, converter: &mut Notes) -> VerifiedRows {
        let alike = |one: &[u8], other: &[u8]| one == other;
        verify_rows(self.machine.catalog(), change, &self.rows, converter, &alike, &|| true).unwrap()
    }

    fn waits(&self, change: ChangeId) -> Vec<String> {
        let report = change::report(self.machine.catalog(), change, TimeMs(0));
        report.blockers.into_iter().map(|blocker| blocker.what).collect()
    }
}

fn is_refused(decision: Decision) -> bool {
    matches!(
        decision,
        Decision::Refused {
            code: "no_rehearsal",
            ..
        }
    )
}

#[test]
fn a_change_switches_once_the_nodes_that_were_asked_found_every_row_whole() {
    let (mut run, change) = Run::to_be_verified();
    assert!(is_refused(run.assign(change, &[2])), "nobody is ready");
    run.ready(1, change);
    run.ready(2, change);
    assert!(
        run.waits(change)[0].contains("it begins once"),
        "{:?}",
        run.waits(change)
    );
    assert_eq!(run.next(change, 1, 0), Some(vec![2]), "node 1 leads");
    assert!(is_refused(run.assign(change, &[])) && is_refused(run.assign(change, &[7])));
    assert_eq!(
        run.assign(change, &[1, 2]),
        Decision::Done {
            index: run.machine.applied()
        }
    );
    assert_eq!(run.next(change, 1, 0), None);
    assert_eq!(run.waits(change).len(), 2);
    let rows = run.verify(change, &mut Notes::default());
    assert_eq!((rows.rows, rows.failed), (2, 0));
    run.say(change, 1, rows.clone());
    assert_eq!(run.waits(change).len(), 1);
    run.say(change, 2, rows);
    assert!(run.waits(change).is_empty());
    let catalog = run.machine.catalog();
    assert_eq!(Catalog::from_bytes(&catalog.to_bytes()).as_ref(), Ok(&**catalog));
    assert_eq!(run.step(change, Step::Switch), "done");
}

#[test]
fn rows_that_do_not_come_through_wait_for_a_person() {
    let (mut run, change) = Run::to_be_verified();
    run.ready(1, change);
    run.ready(2, change);
    run.assign(change, &[2]);
    run.outcome("put", "c bad");
    let rows = run.verify(change, &mut Notes::default());
    assert_eq!((rows.rows, rows.failed), (3, 1));
    assert!(
        rows.samples[0].key == "c" && rows.samples[0].why.starts_with("notes: row"),
        "{rows:?}"
    );
    // What comes back as another one is told with both ends.
    let mut grown = Notes {
        grown_bytes: Some(5),
        ..Notes::default()
    };
    let rows = run.verify(change, &mut grown);
    assert_eq!(rows.failed, 3);
    assert!(
        rows.samples[0].why.contains("to shape 2 and back: one and then xxx"),
        "{rows:?}"
    );
    run.say(change, 2, rows);
    assert!(
        run.waits(change)[0].contains("3 of them did not come through"),
        "{:?}",
        run.waits(change)
    );
    assert_eq!(run.step(change, Step::Switch), "change_blocked");
    assert_eq!(run.step(change, Step::Approve), "done");
    assert_eq!(run.step(change, Step::Switch), "done");
}

#[test]
fn a_node_that_says_nothing_for_long_is_passed_by_and_one_that_stops_says_so() {
    let (mut run, change) = Run::to_be_verified();
    run.ready(1, change);
    run.ready(2, change);
    run.assign(change, &[2]);
    let now = run.time;
    assert_eq!(run.next(change, 1, now + crate::limits::VERIFICATION_MS_MAX - 1), None);
    assert_eq!(
        run.next(change, 1, now + crate::limits::VERIFICATION_MS_MAX),
        Some(vec![1])
    );
    let asked = Cell::new(0);
    run.put_rows(600, b"x");
    let stopped = verify_rows(
        run.machine.catalog(),
        change,
        &run.rows,
        &mut Notes::default(),
        &|_, _| true,
        &|| {
            asked.set(asked.get() + 1);
            false
        },
    );
    assert!(stopped.is_err() && asked.get() == 1);
}
