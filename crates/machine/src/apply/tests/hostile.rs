//! Entries that nobody of good will wrote, applied: no panic, and what stops leaves everything as it was.

use proptest::prelude::*;

use super::*;
use crate::entry::tests::one_of_each;
use crate::mutations::{cases, mutated};

fn entries() -> Vec<Vec<u8>> {
    let request = Request {
        claim: Some(Claim {
            session: SessionId(3),
            sequence: Sequence(1),
            settled: Sequence(1),
        }),
        application: "notes".into(),
        command: "put".into(),
        version: 1,
        payload: Bytes::from_static(b"key value"),
    };
    let manifest = Run::manifest(2, 2, &[1]);
    let plan = PlanApplication {
        manifest,
        code: Code::Native,
        finalize: false,
    };
    let step = |step| {
        Body::ChangeStep(ChangeStep {
            change: ChangeId(8),
            step,
            reason: String::new(),
        })
    };
    let mut bodies = one_of_each();
    bodies.extend([
        Body::Requests(vec![request.clone(), Request { claim: None, ..request }]),
        Body::PlanApplication(plan),
        step(Step::Switch),
        step(Step::Abort),
        step(Step::Finalize),
    ]);
    let entry = |body| Entry {
        time: TimeMs(5000),
        body,
    };
    bodies.into_iter().map(|body| entry(body).to_bytes()).collect()
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn hostile_entries_are_applied_or_leave_everything_as_it_was(
        entries in prop::collection::vec(mutated(entries()), 1..12)
    ) {
        let mut run = Run::new();
        run.switched(1, 1, &[]);
        for bytes in entries {
            let (applied, digest) = (run.machine.applied(), run.machine.digest());
            let rows = run.rows.rows.len();
            if run.bytes(&bytes).is_err() {
                prop_assert_eq!((run.machine.applied(), run.machine.digest()), (applied, digest));
                prop_assert_eq!(run.rows.rows.len(), rows);
            } else {
                prop_assert_eq!(run.machine.applied(), applied.next());
            }
        }
        // Whatever came of them, the next good entry is applied.
        prop_assert!(run.entry(Body::Tick).is_ok());
    }
}
