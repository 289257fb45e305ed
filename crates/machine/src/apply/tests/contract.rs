//! Commands in versions of before, brought into those that are taken.

use super::*;

/// A program adds itself to the document; `fail` refuses, `loop` uses up its fuel.
pub(super) fn transformed(call: &Call<'_>) -> CallOutcome {
    let Call::Query { payload, .. } = call else {
        return CallOutcome::Trapped(Trap::Guest);
    };
    let length = u32::from_le_bytes(payload[..4].try_into().expect("four bytes")) as usize;
    let (program, document) = payload[4..].split_at(length);
    match program {
        b"fail" => CallOutcome::Refused(Bytes::from_static(b"it cannot")),
        b"loop" => CallOutcome::Trapped(Trap::Fuel),
        program => CallOutcome::Done([document, program].concat().into()),
    }
}

fn upcast(from: u16, to: u16, program: &str) -> Upcast {
    Upcast {
        command: "put".into(),
        from,
        to,
        program: program.into(),
    }
}

impl Run {
    /// With application `transform`, and version 1 in force, which takes version 1 of each command.
    pub(super) fn with_transform() -> Run {
        let mut run = Run::new();
        let transform = Manifest {
            application: TRANSFORM.into(),
            commands: vec![],
            queries: vec![TRANSFORM.into()],
            tables: vec![],
            streams: vec![],
            ..Run::manifest(1, 1, &[])
        };
        let Decision::Planned(change) = run.plan_manifest(transform) else {
            panic!("not planned");
        };
        run.ready(1, change);
        run.ready(2, change);
        assert_eq!(run.step(change, Step::Switch), "done");
        run.switched(1, 1, &[]);
        run
    }

    /// Plans version 2, which takes only version 3 of `put`.
    fn plan_contracted(&mut self, safeguards: Safeguards, upcasts: Vec<Upcast>) -> Decision {
        let mut manifest = Run::manifest(2, 1, &[]);
        manifest.commands[0].versions = vec![3];
        let contract = Contract {
            upcasts,
            ..Contract::default()
        };
        self.control(Body::PlanGuarded(PlanGuarded {
            plan: PlanApplication {
                manifest,
                code: Code::Native,
                finalize: false,
            },
            safeguards: Safeguards {
                contract: Some(Box::new(contract)),
                ..safeguards
            },
        }))
    }

    fn contracted(&mut self, safeguards: Safeguards, upcasts: Vec<Upcast>) -> ChangeId {
        let Decision::Planned(change) = self.plan_contracted(safeguards, upcasts) else {
            panic!("not planned");
        };
        self.ready(1, change);
        self.ready(2, change);
        assert_eq!(self.step(change, Step::Switch), "done");
        change
    }
}

fn refusal(decision: &Decision) -> &str {
    match decision {
        Decision::Refused { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_that_still_sends_an_older_version_is_served_by_programs() {
    let mut run = Run::with_transform();
    run.outcome("put", "a one");
    let dropped = run.plan_contracted(Safeguards::default(), vec![]);
    assert_eq!(refusal(&dropped), "commands_dropped");
    run.contracted(Safeguards::default(), vec![upcast(1, 2, "!"), upcast(2, 3, "?")]);
    assert_eq!(run.outcome("put", "a two"), "applied one");
    assert_eq!(run.stored("a"), "two!? in shape 1");
    run.request_in(2, None, "put", "a two");
    assert_eq!(run.stored("a"), "two? in shape 1");
    run.request_in(3, None, "put", "a two");
    assert_eq!(run.stored("a"), "two in shape 1");
    let unknown = run.request_in(4, None, "put", "a three").outcome;
    assert!(
        matches!(&unknown, Outcome::Failed(failure) if failure.code == FailureCode::UnknownCommandVersion),
        "{unknown:?}"
    );
    // What came through by a program must come through in the next version, too.
    let mut next = Run::manifest(3, 1, &[]);
    next.commands[0].versions = vec![3];
    let change = run
        .machine
        .catalog()
        .running_change("notes")
        .expect("it can be taken back")
        .0;
    run.step(change, Step::Finalize);
    let dropped = run.plan_manifest(next);
    assert_eq!(refusal(&dropped), "commands_dropped");
    let loaded = Machine::load(&{
        run.machine.save(&mut run.rows);
        run.rows.clone()
    });
    assert_eq!(
        loaded.map(|machine| machine.catalog().clone()),
        Ok(run.machine.catalog().clone())
    );
}

#[test]
fn a_program_that_fails_is_a_clean_failure_that_names_it_and_changes_nothing() {
    for (program, why) in [("fail", "it cannot"), ("loop", "used up its fuel")] {
        let mut run = Run::with_transform();
        run.outcome("put", "a one");
        run.contracted(Safeguards::default(), vec![upcast(1, 3, program)]);
        let failed = run.request(None, "put", "a two").outcome;
        assert!(
            matches!(&failed, Outcome::Failed(failure) if failure.code == FailureCode::CastFailed
                && failure.detail.contains(why)
                && failure.detail.contains("a two")
                && failure.detail.contains(program)),
            "{failed:?}"
        );
        assert_eq!(run.stored("a"), "one in shape 1");
    }
}

#[test]
fn a_program_that_fails_counts_as_a_trap_of_the_new_version() {
    let mut run = Run::with_transform();
    run.outcome("put", "a one");
    let safeguards = Safeguards {
        revert_on_trap: true,
        ..Safeguards::default()
    };
    run.contracted(safeguards, vec![upcast(1, 3, "fail")]);
    assert_eq!(run.outcome("put", "a two"), "applied one");
    assert_eq!(run.machine.catalog().applications["notes"].in_force, Some(Version(1)));
}

#[test]
fn programs_need_what_runs_them_and_that_cannot_be_removed_under_them() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    let missing = run.plan_contracted(Safeguards::default(), vec![upcast(1, 3, "!")]);
    assert_eq!(refusal(&missing), "transform_missing");
    let mut run = Run::with_transform();
    let contradicting = run.plan_contracted(Safeguards::default(), vec![upcast(1, 2, "!")]);
    assert_eq!(refusal(&contradicting), "manifest_invalid");
    run.contracted(Safeguards::default(), vec![upcast(1, 3, "!")]);
    let remove = Body::RemoveApplication(RemoveApplication {
        application: TRANSFORM.into(),
        reason: String::new(),
    });
    let needed = run.control(remove);
    assert_eq!(refusal(&needed), "still_needed");
    // An entry whose code is not here is not begun.
    run.notes.missing = Some(TRANSFORM);
    let request = Request {
        claim: None,
        application: "notes".into(),
        command: "put".into(),
        version: 1,
        payload: "a one".into(),
    };
    let parked = run.entry(Body::Requests(vec![request]));
    assert!(matches!(parked, Err(Stop::Park(_))), "{parked:?}");
}
