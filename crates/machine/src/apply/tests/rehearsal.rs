//! The version that is to come, tried on commands before it takes over.

use std::collections::BTreeSet;

use super::*;

/// Tries as a node would, and notes what it was given.
#[derive(Default)]
struct Understudy {
    notes: Notes,
    converter: Notes,
    opened: Vec<(ChangeId, Index, BTreeSet<NodeId>)>,
    seen: Vec<String>,
    failed: Vec<String>,
}

impl Rehearser for Understudy {
    fn open(&mut self, change: ChangeId, index: Index, nodes: &BTreeSet<NodeId>, _: &RehearsalPlan) {
        self.opened.push((change, index, nodes.clone()));
    }

    fn wants(&mut self, change: ChangeId, window: Index, _: Index, _: usize) -> bool {
        self.opened
            .last()
            .is_some_and(|(id, index, _)| (*id, *index) == (change, window))
    }

    fn hosts(&mut self) -> (&mut dyn Applications, &mut dyn Applications) {
        (&mut self.notes, &mut self.converter)
    }

    fn tried(&mut self, trial: Trial<'_>) {
        let show = |end: &End| {
            let outcome = match &end.outcome {
                Outcome::Applied(reply) => format!("applied {}", String::from_utf8_lossy(reply)),
                Outcome::Refused(_) => "refused".to_owned(),
                Outcome::Failed(failure) => format!("failed {}", failure.code.name()),
                Outcome::SessionExpired => "expired".to_owned(),
            };
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let rows: Vec<String> = end
                .rows
                .iter()
                .map(|((table, key), row)| format!("{table}/{}={}", text(key), text(row.as_deref().unwrap_or(b"-"))))
                .collect();
            let events: Vec<String> = end.events.iter().map(|(_, _, value)| text(value)).collect();
            format!("{outcome} rows {} events {}", rows.join(","), events.join(","))
        };
        let lossy = trial.lossy.len();
        self.seen
            .push(format!("{} | {} | {lossy} lossy", show(&trial.real), show(&trial.new)));
    }

    fn failed(&mut self, _: ChangeId, error: &StateError) {
        self.failed.push(error.0.clone());
    }

    fn end_entry(&mut self) {}
}

/// A run with somebody who rehearses.
struct Theatre {
    run: Run,
    understudy: Understudy,
}

fn plan() -> RehearsalPlan {
    RehearsalPlan {
        commands: 3,
        for_ms: 0,
        one_in: 1,
        differences_max: 0,
        expected: Vec::new(),
    }
}

impl Theatre {
    /// Version 1 is in force, and version 2 with another shape is to be rehearsed.
    fn set() -> (Theatre, ChangeId) {
        let mut run = Run::new();
        run.switched(1, 1, &[]);
        let change = planned(&mut run, plan());
        run.ready(1, change);
        run.ready(2, change);
        let understudy = Understudy::default();
        (Theatre { run, understudy }, change)
    }

    fn entry(&mut self, body: Body) -> Output {
        self.run.time += 1;
        let time = TimeMs(self.run.time);
        let bytes = Entry { time, body }.to_bytes();
        let index = self.run.machine.applied().next();
        let mut converter = Notes::default();
        let mut world = World {
            txn: &mut self.run.rows,
            applications: &mut self.run.notes,
            converter: &mut converter,
            rehearser: Some(&mut self.understudy),
            level_max: crate::LEVEL_MAX,
        };
        self.run.machine.apply(index, &bytes, &mut world).unwrap()
    }

    fn open(&mut self, change: ChangeId, after: Index) -> Result<Index, String> {
        let nodes = [NodeId(2)].into();
        match self.entry(Body::OpenWindow(OpenWindow { change, after, nodes })) {
            Output::Decision(Decision::Done { index }) => Ok(index),
            Output::Decision(Decision::Refused { reason, .. }) => Err(reason),
            other => panic!("{other:?}"),
        }
    }

    fn command(&mut self, command: &str, text: &str) -> Outcome {
        let request = Request {
            claim: None,
            application: "notes".into(),
            command: command.into(),
            version: 1,
            payload: Bytes::copy_from_slice(text.as_bytes()),
        };
        match self.entry(Body::Requests(vec![request])) {
            Output::Replies(mut replies) => replies.remove(0).outcome,
            other => panic!("{other:?}"),
        }
    }

    fn say(&mut self, change: ChangeId, window: Index, node: u64, findings: Findings) -> String {
        let said = Rehearsed {
            node: NodeId(node),
            change,
            window,
            findings,
        };
        match self.entry(Body::Rehearsed(said)) {
            Output::Decision(Decision::Refused { code, .. }) => code.to_owned(),
            _ => "done".to_owned(),
        }
    }

    fn rehearsal(&self, change: ChangeId) -> &Rehearsal {
        &self.run.machine.catalog().rehearsals[&change]
    }

    fn waits_for(&self, change: ChangeId) -> String {
        let report = change::report(self.run.machine.catalog(), change, TimeMs(0));
        report
            .blockers
            .first()
            .map_or_else(|| format!("{:?}", report.due), |blocker| blocker.what.clone())
    }
}

fn planned(run: &mut Run, rehearse: RehearsalPlan) -> ChangeId {
    match plan_rehearsed(run, rehearse) {
        Decision::Planned(id) => id,
        other => panic!("not planned: {other:?}"),
    }
}

fn plan_rehearsed(run: &mut Run, rehearse: RehearsalPlan) -> Decision {
    let safeguards = Safeguards {
        rehearse: Some(rehearse),
        ..Safeguards::default()
    };
    run.plan_guarded(2, 2, false, safeguards)
}

fn found(commands: u64, differed: u64, digest: u128) -> Findings {
    Findings {
        commands,
        differed,
        digest: StateDigest {
            rows: 0,
            history: digest,
        },
        ..Findings::default()
    }
}

#[test]
fn a_command_is_tried_from_the_same_state_and_nothing_of_it_is_kept() {
    let (mut stage, change) = Theatre::set();
    stage.command("put", "a one");
    assert!(stage.understudy.seen.is_empty(), "no window is open");
    let before = stage.run.machine.digest();
    let window = stage.open(change, Index(0)).unwrap();
    assert_eq!(stage.understudy.opened, [(change, window, [NodeId(2)].into())]);
    assert_eq!(stage.run.machine.digest().rows, before.rows);
    stage.command("put", "a two");
    // The new version reads shape 2, and what it wrote is shown in shape 1.
    let seen = "applied one rows notes/a=two events two | applied 2/one rows notes/a=two events two | 0 lossy";
    assert_eq!(stage.understudy.seen, [seen]);
    assert_eq!(stage.run.stored("a"), "two in shape 1");
    assert_eq!(stage.run.rows.events.len(), 2);

    // The same log without anybody who rehearses comes to the same.
    let mut plain = Run::new();
    plain.switched(1, 1, &[]);
    let change = planned(&mut plain, plan());
    plain.ready(1, change);
    plain.ready(2, change);
    plain.outcome("put", "a one");
    let nodes = [NodeId(2)].into();
    plain.control(Body::OpenWindow(OpenWindow {
        change,
        after: Index(0),
        nodes,
    }));
    plain.outcome("put", "a two");
    assert_eq!(plain.machine.digest(), stage.run.machine.digest());
    assert_eq!(plain.machine.catalog(), stage.run.machine.catalog());
}

#[test]
fn what_only_the_new_version_does_badly_is_seen_and_hurts_nobody() {
    let (mut stage, change) = Theatre::set();
    stage.open(change, Index(0)).unwrap();
    assert_eq!(stage.command("put", "a boom"), Outcome::Applied(Bytes::new()));
    assert_eq!(
        stage.command("put", "a bad"),
        Outcome::Applied(Bytes::from_static(b"boom"))
    );
    assert_eq!(
        stage.command("put", "a more"),
        Outcome::Applied(Bytes::from_static(b"bad"))
    );
    assert_eq!(
        stage.understudy.seen,
        [
            "applied  rows notes/a=boom events boom | failed application_trapped rows  events  | 0 lossy",
            // It could not go the way back, and so must not be written.
            "applied boom rows notes/a=bad events bad | failed migration_failed rows  events  | 0 lossy",
            "applied bad rows notes/a=more events more | refused rows  events  | 0 lossy",
        ]
    );
    // What fails through no fault of the version's is not its difference.
    stage.understudy.notes.act = Some(|_| Err(Misuse::State(StateError("the disk is gone".into()))));
    assert_eq!(
        stage.command("put", "a last"),
        Outcome::Applied(Bytes::from_static(b"more"))
    );
    assert_eq!(stage.understudy.seen.len(), 3);
    assert!(stage.understudy.failed[0].contains("the disk is gone"));
}

#[test]
fn what_is_lost_on_the_way_back_is_seen() {
    let (mut stage, change) = Theatre::set();
    stage.open(change, Index(0)).unwrap();
    stage.understudy.converter.grown_bytes = Some(3);
    stage.command("put", "a one");
    assert_eq!(
        stage.understudy.seen,
        ["applied  rows notes/a=one events one | applied  rows notes/a=one events one | 1 lossy"]
    );
}

#[test]
fn tables_that_only_the_new_version_has_are_empty_and_left_out() {
    let (mut stage, _) = Theatre::set();
    let change = stage.run.machine.catalog().running_change("notes").unwrap().0;
    assert_eq!(stage.run.step(change, Step::Abort), "done");
    let mut manifest = Run::manifest(2, 1, &[]);
    manifest.tables.push(TableSpec {
        name: "extra".into(),
        shape: Shape(1),
        converts: vec![],
    });
    let plan = PlanApplication {
        manifest,
        code: Code::Native,
        finalize: false,
    };
    let safeguards = Safeguards {
        rehearse: Some(super::rehearsal::plan()),
        ..Safeguards::default()
    };
    let Decision::Planned(change) = stage.run.control(Body::PlanGuarded(PlanGuarded { plan, safeguards })) else {
        panic!("not planned");
    };
    stage.run.ready(1, change);
    stage.run.ready(2, change);
    stage.open(change, Index(0)).unwrap();
    stage.understudy.notes.act = Some(|context| {
        assert_eq!(context.get("extra", b"k")?, None);
        context.put("extra", b"k", b"v")?;
        assert_eq!(context.get("extra", b"k")?, Some(Bytes::from_static(b"v")));
        context.put("notes", b"a", b"new")
    });
    stage.command("put", "a old");
    assert_eq!(
        stage.understudy.seen,
        ["applied  rows notes/a=old events old | applied  rows notes/a=new events  | 0 lossy"]
    );
    assert!(stage.run.rows.rows.keys().all(|(table, _)| table.0 < 100));
}

#[test]
fn a_change_switches_once_its_rehearsal_has_seen_enough() {
    let (mut stage, change) = Theatre::set();
    assert!(
        stage.waits_for(change).contains("0 of 3 commands"),
        "{}",
        stage.waits_for(change)
    );
    let next = change::next_window(stage.run.machine.catalog(), change, NodeId(1));
    let expected = OpenWindow {
        change,
        after: Index(0),
        nodes: [NodeId(2)].into(),
    };
    assert_eq!(next, Some(expected), "node 1 leads");
    assert_eq!(stage.run.step(change, Step::Switch), "change_blocked");
    let first = stage.open(change, Index(0)).unwrap();
    assert!(stage.open(change, Index(0)).unwrap_err().contains("another window"));
    assert_eq!(
        stage.say(change, first, 2, found(2, 0, 9)),
        "no_rehearsal",
        "it is still open"
    );
    let second = stage.open(change, first).unwrap();
    assert_eq!(
        stage.say(change, first, 1, found(2, 0, 9)),
        "no_rehearsal",
        "node 1 does not rehearse"
    );
    assert_eq!(stage.say(change, first, 2, found(2, 0, 9)), "done");
    assert!(
        stage.waits_for(change).contains("2 of 3 commands, on node 2"),
        "{}",
        stage.waits_for(change)
    );
    // Said again, it counts once.
    assert_eq!(stage.say(change, first, 2, found(2, 0, 9)), "done");
    assert_eq!(stage.rehearsal(change).found.commands, 2);
    stage.open(change, second).unwrap();
    assert_eq!(stage.say(change, second, 2, found(1, 0, 9)), "done");
    assert_eq!(stage.waits_for(change), "Some(Switch)");
    assert_eq!(
        change::next_window(stage.run.machine.catalog(), change, NodeId(1)),
        None
    );
    let catalog = stage.run.machine.catalog();
    assert_eq!(Catalog::from_bytes(&catalog.to_bytes()).as_ref(), Ok(&**catalog));
    assert_eq!(stage.run.step(change, Step::Switch), "done");
    assert!(!stage.run.machine.catalog().is_rehearsing());
    assert!(stage.open(change, Index(0)).is_err());
}

#[test]
fn differences_wait_for_a_person_and_two_minds_for_another_version() {
    let (mut stage, change) = Theatre::set();
    let first = stage.open(change, Index(0)).unwrap();
    stage.open(change, first).unwrap();
    assert_eq!(stage.say(change, first, 2, found(3, 1, 9)), "done");
    let waits = stage.waits_for(change);
    assert!(
        waits.contains("of 3 commands 1 came out otherwise") && waits.contains("change approve"),
        "{waits}"
    );
    assert_eq!(stage.run.step(change, Step::Approve), "done");
    assert_eq!(stage.waits_for(change), "Some(Switch)");

    // Two nodes say two things of the same commands.
    assert_eq!(stage.run.step(change, Step::Abort), "done");
    let change = planned(&mut stage.run, plan());
    stage.run.ready(1, change);
    stage.run.ready(2, change);
    let both: BTreeSet<NodeId> = [NodeId(1), NodeId(2)].into();
    let open = |after| {
        Body::OpenWindow(OpenWindow {
            change,
            after,
            nodes: both.clone(),
        })
    };
    assert!(matches!(
        stage.entry(open(Index(0))),
        Output::Decision(Decision::Done { .. })
    ));
    let first = stage.rehearsal(change).open.unwrap();
    stage.entry(open(first));
    stage.say(change, first, 1, found(3, 0, 9));
    assert_eq!(stage.rehearsal(change).found.commands, 0, "one of two has not said it");
    stage.say(change, first, 2, found(3, 0, 8));
    assert!(
        stage.waits_for(change).contains("not deterministic"),
        "{}",
        stage.waits_for(change)
    );
    assert_eq!(
        change::next_window(stage.run.machine.catalog(), change, NodeId(1)),
        None
    );
    assert_eq!(stage.run.step(change, Step::Approve), "step_refused");
    assert_eq!(stage.run.step(change, Step::Switch), "change_blocked");
}

#[test]
fn a_node_that_falls_silent_is_not_asked_again_as_long_as_there_are_others() {
    let (mut stage, change) = Theatre::set();
    let (index, voters) = (stage.run.machine.applied().next(), [NodeId(1), NodeId(2), NodeId(3)]);
    stage
        .run
        .machine
        .apply_members(index, voters.into(), Default::default());
    stage.run.ready(3, change);
    let next = |stage: &Theatre, leader| {
        let next = change::next_window(stage.run.machine.catalog(), change, NodeId(leader));
        next.map(|open| open.nodes.iter().map(|node| node.0).collect::<Vec<_>>())
    };
    assert_eq!(next(&stage, 1), Some(vec![2, 3]));
    assert_eq!(next(&stage, 2), Some(vec![1, 3]));
    let mut open = Index(0);
    for _ in 0..3 {
        open = stage.open(change, open).unwrap();
    }
    // Node 2 has said nothing of two windows that are closed.
    assert_eq!(next(&stage, 1), Some(vec![3]));
    for _ in 0..crate::limits::REHEARSAL_WINDOWS_MAX + 3 {
        open = stage.open(change, open).unwrap();
    }
    assert_eq!(
        stage.rehearsal(change).windows.len(),
        crate::limits::REHEARSAL_WINDOWS_MAX
    );
    // What was not said for long is not waited for, and whoever did not say it is asked again.
    stage.run.time += crate::limits::REHEARSAL_SILENCE_MS - 2;
    open = stage.open(change, open).unwrap();
    assert!(stage.rehearsal(change).windows.len() > 2);
    stage.run.time += crate::limits::REHEARSAL_SILENCE_MS;
    stage.open(change, open).unwrap();
    assert_eq!(stage.rehearsal(change).windows.len(), 2);
    assert_eq!(next(&stage, 1), Some(vec![2, 3]));
}

#[test]
fn what_no_rehearsal_can_be_is_refused_and_so_are_findings_that_no_node_would_send() {
    let refused = |change: fn(&mut RehearsalPlan)| {
        let mut run = Run::new();
        run.switched(1, 1, &[]);
        let mut rehearse = plan();
        change(&mut rehearse);
        matches!(plan_rehearsed(&mut run, rehearse), Decision::Refused { .. })
    };
    assert!(!refused(|_| {}));
    assert!(refused(|plan| plan.commands = 0));
    assert!(refused(|plan| plan.one_in = 0));
    assert!(refused(
        |plan| plan.expected = vec!["reply:put".parse().unwrap(); crate::limits::EXPECTED_MAX + 1]
    ));
    assert!(refused(|plan| {
        plan.expected.push(Expected {
            aspect: Aspect::Reply,
            name: "a/b".into(),
            pointer: String::new(),
        });
    }));
    let (mut stage, change) = Theatre::set();
    assert_eq!(
        stage.run.step(change, Step::Approve),
        "step_refused",
        "nothing was found yet"
    );
    let window = stage.open(change, Index(0)).unwrap();
    let sample = |bytes: usize| Sample {
        index: Index(1),
        place: 0,
        command: "put".into(),
        what: "x".repeat(bytes),
    };
    let with = |samples| Findings {
        samples,
        ..Findings::default()
    };
    let long = with(vec![sample(crate::limits::SAMPLE_BYTES_MAX + 1)]);
    assert_eq!(stage.say(change, window, 2, long), "no_rehearsal");
    let many = with(vec![sample(1); crate::limits::REHEARSAL_SAMPLES_MAX + 1]);
    assert_eq!(stage.say(change, window, 2, many), "no_rehearsal");
}
