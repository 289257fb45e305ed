//! Events in more than one version, and consumers that are pinned to one.

use super::*;

const STREAM: &str = "notes.log";

fn events(version: u16, casts: &[(u16, u16, &str)]) -> EventContract {
    EventContract {
        versions: [(STREAM.to_owned(), version)].into(),
        downcasts: casts
            .iter()
            .map(|(from, to, program)| Downcast {
                stream: STREAM.into(),
                from: *from,
                to: *to,
                program: (*program).into(),
            })
            .collect(),
    }
}

impl Run {
    fn plan_emitting(&mut self, version: u32, events: EventContract, safeguards: Safeguards) -> Decision {
        self.control(Body::PlanGuarded(PlanGuarded {
            plan: PlanApplication {
                manifest: Run::manifest(version, 1, &[]),
                code: Code::Native,
                finalize: false,
            },
            safeguards: Safeguards {
                contract: Some(Box::new(Contract {
                    events,
                    ..Contract::default()
                })),
                ..safeguards
            },
        }))
    }

    fn emitting(&mut self, version: u32, events: EventContract, safeguards: Safeguards) -> ChangeId {
        let Decision::Planned(change) = self.plan_emitting(version, events, safeguards) else {
            panic!("not planned");
        };
        self.ready(1, change);
        self.ready(2, change);
        assert_eq!(self.step(change, Step::Switch), "done");
        change
    }

    /// Makes the consumer, if need be, and pins it.
    fn pin(&mut self, consumer: &str, version: Option<u16>) -> Decision {
        self.control(Body::CommitConsumer(CommitConsumer {
            stream: STREAM.into(),
            consumer: consumer.into(),
            offset: Offset(0),
            expected: None,
            reset: true,
        }));
        self.control(Body::PinConsumer(PinConsumer {
            stream: STREAM.into(),
            consumer: consumer.into(),
            version,
        }))
    }

    fn emitted(&self) -> Vec<(String, u16)> {
        let events = self.rows.events.iter();
        events
            .map(|(_, event)| (String::from_utf8_lossy(&event.value).into_owned(), event.version))
            .collect()
    }
}

fn code(decision: &Decision) -> &str {
    match decision {
        Decision::Refused { code, .. } => code,
        _ => "done",
    }
}

#[test]
fn events_carry_the_version_of_whoever_emitted_them_and_come_down_from_it() {
    let mut run = Run::with_transform();
    run.outcome("put", "a one");
    let first = run.emitting(2, events(3, &[(3, 2, "!"), (2, 1, "?")]), Safeguards::default());
    run.outcome("put", "a two");
    assert_eq!(run.step(first, Step::Revert), "done");
    run.outcome("put", "a three");
    assert_eq!(
        run.emitted(),
        [("one".into(), 1), ("two".into(), 3), ("three".into(), 1)]
    );
    // Version 1 answers again, and says nothing of version 3; those who read what is there are served all the same.
    let catalog = run.machine.catalog().clone();
    assert_eq!(catalog.event_version(STREAM), 1);
    let down = |from, to| {
        let way = catalog.way_down(STREAM, from, to)?;
        way.bring(b"two", &mut Notes::default()).ok()
    };
    assert_eq!(down(3, 1).as_deref(), Some(&b"two!?"[..]));
    assert_eq!(down(3, 2).as_deref(), Some(&b"two!"[..]));
    assert_eq!(down(4, 1), None);
    run.machine.save(&mut run.rows);
    let loaded = Machine::load(&run.rows).map(|machine| machine.catalog().clone());
    assert_eq!(loaded, Ok(catalog));
}

#[test]
fn an_event_of_the_old_version_is_of_the_old_version_in_the_entry_that_goes_back() {
    let mut run = Run::with_transform();
    let safeguards = Safeguards {
        revert_on_trap: true,
        ..Safeguards::default()
    };
    run.emitting(2, events(2, &[]), safeguards);
    let request = |text: &str| Request {
        claim: None,
        application: "notes".into(),
        command: "put".into(),
        version: 1,
        payload: Bytes::copy_from_slice(text.as_bytes()),
    };
    run.entry(Body::Requests(vec![
        request("a one"),
        request("b boom"),
        request("c two"),
    ]))
    .unwrap();
    assert_eq!(
        run.emitted(),
        [("one".into(), 2), ("boom".into(), 1), ("two".into(), 1)]
    );
}

#[test]
fn a_version_that_does_not_serve_a_pinned_consumer_is_refused_unless_it_says_why() {
    let mut run = Run::with_transform();
    assert_eq!(code(&run.pin("audit", Some(1))), "done");
    let unserved = run.plan_emitting(2, events(2, &[]), Safeguards::default());
    assert_eq!(code(&unserved), "events_unserved");
    assert!(
        matches!(&unserved, Decision::Refused { reason, .. } if reason.contains("audit") && reason.contains("version 1")),
        "{unserved:?}"
    );
    let breaking = Safeguards {
        allow_breaking: Some("audit is told".into()),
        ..Safeguards::default()
    };
    let Decision::Planned(change) = run.plan_emitting(2, events(2, &[]), breaking) else {
        panic!("not planned");
    };
    let planned = &run.machine.catalog().changes[&change].history[0].what;
    assert!(
        planned.contains("audit") && planned.contains("(audit is told)"),
        "{planned}"
    );
    assert_eq!(run.step(change, Step::Abort), "done");
    let change = run.emitting(2, events(2, &[(2, 1, "!")]), Safeguards::default());
    assert_eq!(run.step(change, Step::Finalize), "done");
    // What is read in version 2 now would come in version 1 again.
    let backwards = run.plan_emitting(3, EventContract::default(), Safeguards::default());
    assert_eq!(code(&backwards), "events_unserved");
    // The consumer learns version 2; then nobody needs the program.
    assert_eq!(code(&run.pin("audit", Some(2))), "done");
    run.emitting(3, events(2, &[]), Safeguards::default());
}

#[test]
fn a_consumer_is_pinned_to_what_it_can_be_given_and_no_longer_than_it_is_there() {
    let mut run = Run::with_transform();
    for version in [0, 2] {
        assert_eq!(
            code(&run.pin("audit", Some(version))),
            "event_version_unserved",
            "{version}"
        );
    }
    let unknown = run.control(Body::PinConsumer(PinConsumer {
        stream: STREAM.into(),
        consumer: "nobody".into(),
        version: None,
    }));
    assert_eq!(code(&unknown), "unknown_consumer");
    let Decision::Planned(change) = run.plan_emitting(2, events(2, &[]), Safeguards::default()) else {
        panic!("not planned");
    };
    // The change was planned before, and would leave it without events.
    assert_eq!(code(&run.pin("audit", Some(1))), "event_version_unserved");
    assert_eq!(run.step(change, Step::Abort), "done");
    let second = run.emitting(2, events(2, &[(2, 1, "!")]), Safeguards::default());
    assert_eq!(code(&run.pin("audit", Some(1))), "done");
    assert_eq!(run.machine.catalog().pin(STREAM, "audit"), Some(1));
    assert_eq!(code(&run.pin("audit", None)), "done");
    assert_eq!(run.step(second, Step::Finalize), "done");
    let third = run.emitting(3, events(3, &[(3, 1, "?")]), Safeguards::default());
    // Version 2 serves it, too, should the change be taken back; nothing serves version 2 now.
    assert_eq!(code(&run.pin("audit", Some(1))), "done");
    assert_eq!(code(&run.pin("audit", Some(2))), "event_version_unserved");
    assert_eq!(run.step(third, Step::Revert), "done");
    assert_eq!(code(&run.pin("audit", None)), "done");
    assert_eq!(run.machine.catalog().pin(STREAM, "audit"), None);
    assert_eq!(code(&run.pin("audit", Some(2))), "done");
    let remove = RemoveConsumer {
        stream: STREAM.into(),
        consumer: "audit".into(),
    };
    run.control(Body::RemoveConsumer(remove));
    assert_eq!(run.machine.catalog().pins, BTreeMap::new());
}

#[test]
fn a_dry_run_says_who_goes_on_getting_what() {
    let mut run = Run::with_transform();
    run.pin("audit", Some(1));
    let plan = PlanApplication {
        manifest: Run::manifest(2, 1, &[]),
        code: Code::Native,
        finalize: false,
    };
    let safeguards = |casts, why: Option<&str>| Safeguards {
        contract: Some(Box::new(Contract {
            events: events(2, casts),
            ..Contract::default()
        })),
        allow_breaking: why.map(str::to_owned),
        ..Safeguards::default()
    };
    let says = |safeguards: &Safeguards, what: &str| {
        let checks = change::preview(run.machine.catalog(), &plan, safeguards).checks;
        assert!(
            checks.iter().any(|check| check.what.contains(what)),
            "{what}: {checks:?}"
        );
    };
    says(&safeguards(&[(2, 1, "!")], None), "go on giving audit (version 1)");
    says(&safeguards(&[], None), "breaks who reads its events");
    says(&safeguards(&[], Some("because")), "which is allowed: because");
}
