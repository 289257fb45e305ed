//! Changes that go back by themselves.

use super::*;

const ON_TRAP: Safeguards = Safeguards {
    confirm_within_ms: None,
    revert_on_trap: true,
    refusals_max: None,
    allow_breaking: None,
    rehearse: None,
    verify_data: false,
    contract: None,
};

fn after_refusals(max: u64) -> Safeguards {
    Safeguards {
        refusals_max: Some(max),
        ..Safeguards::default()
    }
}

fn within(milliseconds: u64) -> Safeguards {
    Safeguards {
        confirm_within_ms: Some(milliseconds),
        revert_on_trap: false,
        refusals_max: None,
        allow_breaking: None,
        rehearse: None,
        verify_data: false,
        contract: None,
    }
}

impl Run {
    pub(super) fn plan_guarded(
        &mut self,
        version: u32,
        shape: u16,
        finalize: bool,
        safeguards: Safeguards,
    ) -> Decision {
        self.control(Body::PlanGuarded(PlanGuarded {
            plan: PlanApplication {
                manifest: Run::manifest(version, shape, &[1]),
                code: Code::Native,
                finalize,
            },
            safeguards,
        }))
    }

    /// From version 1 with a row to version 2, which writes shape 2.
    fn guarded(&mut self, safeguards: Safeguards) -> ChangeId {
        self.switched(1, 1, &[]);
        self.outcome("put", "a one");
        let Decision::Planned(change) = self.plan_guarded(2, 2, false, safeguards) else {
            panic!("not planned");
        };
        self.ready(1, change);
        self.ready(2, change);
        assert_eq!(self.step(change, Step::Switch), "done");
        change
    }

    fn stage(&self, change: ChangeId) -> Stage {
        self.machine.catalog().changes[&change].stage
    }

    fn reverted(&self, change: ChangeId) -> Option<AutomaticRevert> {
        self.machine.catalog().guarded[&change].reverted
    }

    fn in_force(&self) -> u32 {
        self.machine.catalog().in_force("notes").unwrap().manifest.version.0
    }

    fn puts(&mut self, texts: &[&str]) -> Vec<String> {
        let requests = texts.iter().map(|text| Request {
            claim: None,
            application: "notes".into(),
            command: "put".into(),
            version: 1,
            payload: Bytes::copy_from_slice(text.as_bytes()),
        });
        let body = Body::Requests(requests.collect());
        let Ok(Output::Replies(replies)) = self.entry(body) else {
            panic!("no replies");
        };
        let show = |reply: Reply| match reply.outcome {
            Outcome::Applied(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            other => panic!("{other:?}"),
        };
        replies.into_iter().map(show).collect()
    }
}

#[test]
fn the_old_version_answers_the_very_command_on_which_the_new_one_traps() {
    let mut run = Run::new();
    let change = run.guarded(ON_TRAP);
    let events = run.rows.events.len();
    // `a` lies in shape 1 and `b` in shape 2 when the third command traps; the rest of the entry is the old version's.
    let replies = run.puts(&["a two", "b one", "b boom", "a three", "b four"]);
    assert_eq!(replies, ["2/one", "", "one", "two", "boom"]);
    assert_eq!(run.stored("a"), "three in shape 1");
    assert_eq!(run.stored("b"), "four in shape 1");
    assert_eq!(run.rows.events.len(), events + 5, "each command emitted once");
    let index = run.machine.applied();
    assert_eq!(run.reverted(change), Some(AutomaticRevert { index, place: 2 }));
    assert_eq!((run.stage(change), run.in_force()), (Stage::Reverted, 1));
    let history = &run.machine.catalog().changes[&change].history;
    let what = &history.last().unwrap().what;
    assert!(
        what.starts_with("taken back by itself: version 2 trapped on command put") && what.contains("command 2 on"),
        "{what}"
    );
    let application = &run.machine.catalog().applications["notes"];
    assert_eq!(application.history.last(), Some(&(index, Version(1))));
    assert_eq!(application.reversible, None);
    assert_eq!(run.outcome("put", "a boom"), "applied three");
    assert_eq!(run.step(change, Step::Revert), "step_refused");
}

#[test]
fn from_the_first_command_on_a_whole_entry_is_the_old_versions() {
    let mut run = Run::new();
    let change = run.guarded(ON_TRAP);
    assert_eq!(run.puts(&["a boom", "a two"]), ["one", "boom"]);
    let index = run.machine.applied();
    assert_eq!(run.reverted(change), Some(AutomaticRevert { index, place: 0 }));
    let history = &run.machine.catalog().applications["notes"].history;
    let before = Index(index.0 - 1);
    assert_eq!(history.last(), Some(&(before, Version(1))));
}

#[test]
fn what_cannot_be_written_for_the_way_back_counts_as_a_trap() {
    let mut run = Run::new();
    let change = run.guarded(ON_TRAP);
    assert_eq!(run.outcome("put", "a bad"), "applied one");
    assert_eq!(run.stored("a"), "bad in shape 1");
    assert_eq!(run.stage(change), Stage::Reverted);
}

#[test]
fn rows_that_the_new_version_cannot_read_take_it_back_and_are_read_as_before() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    run.outcome("put", "a one");
    run.outcome("put", "b two");
    let second = run.switched(2, 2, &[1]);
    assert_eq!(run.step(second, Step::Finalize), "done");
    let Decision::Planned(change) = run.plan_guarded(4, 2, false, ON_TRAP) else {
        panic!("not planned");
    };
    run.ready(1, change);
    run.ready(2, change);
    assert_eq!(run.step(change, Step::Switch), "done");
    assert_eq!(run.outcome("put", "a three"), "applied 2/one");
    assert_eq!(run.stage(change), Stage::Reverted);
    assert_eq!(run.outcome("put", "b four"), "applied 2/two");
}

/// A version that knows the next one's shape already reads it by itself on the way back: so it is what a write is tried with.
#[test]
fn a_write_is_tried_with_the_code_that_reads_it_on_the_way_back() {
    let mut run = Run::new();
    run.switched(1, 1, &[2]);
    let change = run.switched(2, 2, &[1]);
    assert_eq!(run.outcome("put", "a odd"), "failed migration_failed");
    assert_eq!(run.outcome("put", "a even"), "applied ");
    assert_eq!(run.step(change, Step::Revert), "done");
    assert_eq!(run.outcome("put", "a one"), "applied even");
}

#[test]
fn a_command_on_which_both_versions_trap_is_an_error_and_nothing_goes_back() {
    let mut run = Run::new();
    let change = run.guarded(ON_TRAP);
    let rows = run.rows.rows.clone();
    assert_eq!(run.outcome("trap", "a two"), "failed application_trapped");
    assert_eq!(run.rows.rows, rows);
    assert_eq!((run.stage(change), run.in_force()), (Stage::Switched, 2));
    assert_eq!(run.outcome("put", "a two"), "applied 2/one");
}

#[test]
fn a_refusal_goes_nowhere_and_neither_does_a_command_that_only_the_new_version_has() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    run.outcome("put", "a one");
    let mut manifest = Run::manifest(2, 2, &[1]);
    manifest.commands.push(CommandSpec {
        name: "new".into(),
        versions: vec![1],
    });
    let plan = PlanApplication {
        manifest,
        code: Code::Native,
        finalize: false,
    };
    let planned = run.control(Body::PlanGuarded(PlanGuarded {
        plan,
        safeguards: ON_TRAP,
    }));
    let Decision::Planned(change) = planned else {
        panic!("{planned:?}");
    };
    run.ready(1, change);
    run.ready(2, change);
    run.step(change, Step::Switch);
    assert_eq!(run.outcome("refuse", "a two"), "refused no");
    assert_eq!(run.outcome("new", "a boom"), "failed application_trapped");
    assert_eq!(run.stage(change), Stage::Switched);
    run.step(change, Step::Finalize);
    assert_eq!(run.outcome("put", "a boom"), "failed application_trapped");
    assert_eq!((run.stage(change), run.in_force()), (Stage::Finalized, 2));
}

/// Version 2 refuses `put KEY more`, which version 1 applies; both refuse `refuse`.
#[test]
fn with_one_refusal_too_many_the_old_version_answers_that_very_command() {
    let mut run = Run::new();
    let change = run.guarded(after_refusals(2));
    let refusals = |run: &Run| run.machine.catalog().guarded[&change].refusals;
    let digest = run.machine.digest();
    assert_eq!(run.outcome("put", "a more"), "refused no");
    assert_ne!(run.machine.digest(), digest);
    assert_eq!(
        run.stored("a"),
        "one in shape 1",
        "nothing of what the old version did is kept"
    );
    assert_eq!(run.outcome("refuse", "a x"), "refused no");
    assert_eq!(run.outcome("trap", "a x"), "failed application_trapped");
    assert_eq!(run.outcome("put", "b more"), "refused no");
    assert_eq!((refusals(&run), run.stage(change)), (2, Stage::Switched));
    let events = run.rows.events.len();
    assert_eq!(run.puts(&["a two", "b more", "b one"]), ["2/one", "", "more"]);
    assert_eq!(run.rows.events.len(), events + 3);
    let index = run.machine.applied();
    assert_eq!(run.reverted(change), Some(AutomaticRevert { index, place: 1 }));
    assert_eq!((run.stage(change), run.in_force()), (Stage::Reverted, 1));
    let history = &run.machine.catalog().changes[&change].history;
    assert!(
        history.last().unwrap().what.contains("has refused 3 commands"),
        "{history:?}"
    );
}

#[test]
fn refusals_are_counted_only_where_it_was_asked_for_and_only_so_many() {
    let mut run = Run::new();
    let change = run.guarded(ON_TRAP);
    assert_eq!(run.outcome("put", "a more"), "refused no");
    assert_eq!(run.machine.catalog().guarded[&change].refusals, 0);
    assert_eq!(run.step(change, Step::Revert), "done");
    let too_many = after_refusals(crate::limits::REFUSALS_MAX + 1);
    let decision = run.plan_guarded(3, 2, false, too_many);
    assert!(matches!(
        decision,
        Decision::Refused {
            code: "plan_contradicts_itself",
            ..
        }
    ));
    let decision = run.plan_guarded(3, 2, false, after_refusals(crate::limits::REFUSALS_MAX));
    assert!(matches!(decision, Decision::Planned(_)));
}

#[test]
fn a_change_without_safeguards_stays_where_it_is() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    let change = run.switched(2, 2, &[1]);
    assert_eq!(run.outcome("put", "a boom"), "failed application_trapped");
    assert_eq!((run.stage(change), run.in_force()), (Stage::Switched, 2));
}

#[test]
fn a_repeat_after_going_back_is_answered_as_the_first_time() {
    let mut run = Run::new();
    run.guarded(ON_TRAP);
    let Decision::SessionOpened(session) = run.control(Body::OpenSession) else {
        panic!("no session");
    };
    let claim = Claim {
        session,
        sequence: Sequence(1),
        settled: Sequence(1),
    };
    let first = run.request(Some(claim), "put", "a boom");
    assert_eq!(first.outcome, Outcome::Applied(Bytes::from_static(b"one")));
    assert_eq!(run.request(Some(claim), "put", "a boom"), first);
    assert_eq!(run.stored("a"), "boom in shape 1");
}

#[test]
fn what_nobody_confirms_in_time_is_taken_back_before_the_next_entry() {
    let mut run = Run::new();
    let change = run.guarded(within(100));
    let switched = run.time;
    run.time = switched + 98;
    assert_eq!(run.puts(&["a two"]), ["2/one"]);
    assert_eq!(run.machine.catalog().deadline(), Some(TimeMs(switched + 100)));
    // The next entry's stamp is the deadline's.
    assert_eq!(run.puts(&["a three"]), ["two"]);
    let index = run.machine.applied();
    assert_eq!(run.reverted(change), Some(AutomaticRevert { index, place: 0 }));
    assert_eq!(
        (run.stage(change), run.stored("a")),
        (Stage::Reverted, "three in shape 1".into())
    );
    assert_eq!(run.machine.catalog().deadline(), None);
    assert_eq!(run.step(change, Step::Confirm), "step_refused");
}

#[test]
fn any_entry_may_be_the_one_that_comes_too_late() {
    for late in [Body::Tick, Body::OpenSession] {
        let mut run = Run::new();
        let change = run.guarded(within(100));
        run.time += 100;
        run.control(late);
        assert_eq!((run.stage(change), run.in_force()), (Stage::Reverted, 1));
    }
    let mut run = Run::new();
    let change = run.guarded(within(100));
    run.time += 100;
    assert_eq!(run.step(change, Step::Confirm), "step_refused", "too late");
}

#[test]
fn what_is_confirmed_or_finalized_stays() {
    for (step, again) in [(Step::Confirm, "done"), (Step::Finalize, "step_refused")] {
        let mut run = Run::new();
        let change = run.guarded(within(100));
        assert_eq!(run.step(change, step), "done");
        run.time += 1000;
        assert_eq!(run.outcome("put", "a two"), "applied 2/one");
        assert_eq!(run.in_force(), 2);
        assert_eq!(
            run.step(change, Step::Revert),
            again,
            "confirmed, the way back stays open"
        );
    }
    let mut run = Run::new();
    let change = run.guarded(ON_TRAP);
    assert_eq!(run.step(change, Step::Confirm), "step_refused", "it has no deadline");
}

#[test]
fn a_plan_that_contradicts_itself_is_refused() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    for (finalize, safeguards) in [(true, ON_TRAP), (true, within(1)), (false, within(0))] {
        let decision = run.plan_guarded(2, 2, finalize, safeguards);
        assert!(
            matches!(
                decision,
                Decision::Refused {
                    code: "plan_contradicts_itself",
                    ..
                }
            ),
            "{decision:?}"
        );
    }
    assert!(matches!(
        run.plan_guarded(2, 2, true, Safeguards::default()),
        Decision::Planned(_)
    ));
}

#[test]
fn a_machine_that_was_saved_meanwhile_goes_back_all_the_same() {
    let mut runs = [Run::new(), Run::new()];
    let change = runs.each_mut().map(|run| run.guarded(within(100)))[0];
    let [first, second] = &mut runs;
    second.machine.save(&mut second.rows);
    second.machine = Machine::load(&second.rows).unwrap();
    for run in [&mut *first, &mut *second] {
        run.time += 1000;
        run.puts(&["a two", "b boom"]);
    }
    assert_eq!(first.machine.catalog(), second.machine.catalog());
    assert_eq!(first.machine.digest(), second.machine.digest());
    assert_eq!(first.stage(change), Stage::Reverted);
}

#[test]
fn nodes_that_went_back_have_another_digest_than_those_that_did_not() {
    let mut digests = [10, 1_000_000].map(|milliseconds| {
        let mut run = Run::new();
        run.guarded(within(milliseconds));
        run.time += 1000;
        run.control(Body::Tick);
        run.machine.digest()
    });
    digests.sort_by_key(|digest| digest.history);
    assert_ne!(digests[0], digests[1]);
}

#[test]
fn a_catalog_without_safeguards_has_the_bytes_that_it_had_before_there_were_any() {
    let mut run = Run::new();
    let bytes = run.machine.catalog().to_bytes();
    run.guarded(ON_TRAP);
    let catalog = Catalog::from_bytes(&bytes).unwrap();
    assert!(catalog.guarded.is_empty());
    assert_eq!(catalog.to_bytes(), bytes);
    let guarded = run.machine.catalog().to_bytes();
    assert_eq!(&Catalog::from_bytes(&guarded).unwrap(), &**run.machine.catalog());
}
