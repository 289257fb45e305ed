//! Code that nobody can call any more, and modules that nothing needs.

use proptest::prelude::*;

use super::*;

impl Run {
    fn kept(&self) -> Vec<u32> {
        let kept = self.machine.catalog().kept("notes");
        kept.map(|version| version.manifest.version.0).collect()
    }

    fn needed(&self) -> Vec<u32> {
        let needed = self.machine.catalog().needed();
        needed.map(|version| version.manifest.version.0).collect()
    }

    /// What the leader does of its own accord.
    fn let_go(&mut self) {
        while let Some(asked) = self.machine.catalog().to_let_go() {
            let version = asked.version;
            let decision = self.control(Body::LetGo(asked));
            assert!(matches!(decision, Decision::Done { .. }), "{decision:?}");
            assert!(!self.kept().contains(&version.0));
        }
    }

    fn convert_all(&mut self) {
        while let Some(batch) = next_batch(self.machine.catalog(), "notes", 8) {
            self.control(Body::ConvertRows(batch));
        }
    }

    fn send_module(&mut self, bytes: &'static [u8]) -> Digest {
        let module = Digest::of(bytes);
        let sent = self.control(Body::ModuleChunk(ModuleChunk {
            module,
            bytes_total: bytes.len() as u64,
            at: 0,
            bytes: Bytes::from_static(bytes),
        }));
        assert!(matches!(sent, Decision::Done { .. }), "{sent:?}");
        module
    }

    fn plan_module(&mut self, version: u32, module: Digest) -> Decision {
        self.control(Body::PlanApplication(PlanApplication {
            manifest: Run::manifest(version, 1, &[]),
            code: Code::Wasm {
                module,
                meter: MeterNumber(1),
            },
            finalize: false,
        }))
    }

    /// The next module that the leader would delete, long after all that was done.
    fn unneeded(&mut self) -> Option<Digest> {
        self.time += crate::limits::MODULE_IDLE_MS;
        self.control(Body::Tick);
        self.machine.catalog().module_to_drop(self.machine.time())
    }

    fn drop_module(&mut self, module: Digest) -> String {
        match self.control(Body::DropModule(DropModule { module })) {
            Decision::Refused { code, .. } => code.to_owned(),
            _ => "done".to_owned(),
        }
    }
}

#[test]
fn a_version_is_let_go_once_there_is_no_way_back_to_it() {
    let mut run = Run::new();
    let first = run.planned(1, 1, &[]);
    assert_eq!((run.kept(), run.needed()), (vec![], vec![1]), "it is to be made ready");
    run.ready(1, first);
    run.ready(2, first);
    run.step(first, Step::Switch);
    run.outcome("put", "a 1");
    let second = run.switched(2, 2, &[1]);
    run.let_go();
    assert_eq!(run.kept(), [1, 2]);
    run.step(second, Step::Finalize);
    // Its rows lie there in the old shape; the new version reads them itself.
    run.let_go();
    assert_eq!((run.kept(), run.needed()), (vec![2], vec![2]));
    assert_eq!(run.outcome("put", "a 2"), "applied 2/1");
    let third = run.planned(4, 2, &[1]);
    assert_eq!((run.kept(), run.needed()), (vec![2], vec![2, 4]));
    run.step(third, Step::Abort);
    assert_eq!(run.needed(), [2]);
    let catalog = run.machine.catalog();
    assert!(catalog.is_let_go("notes", Version(1)));
    assert_eq!(Catalog::from_bytes(&catalog.to_bytes()).as_ref(), Ok(&**catalog));
}

#[test]
fn a_version_that_may_be_called_is_not_let_go() {
    let mut run = Run::new();
    let first = run.switched(1, 1, &[]);
    run.step(first, Step::Finalize);
    run.switched(2, 2, &[1]);
    let mut asked = |application: &str, version: u32| {
        let asked = LetGo {
            application: application.to_owned(),
            version: Version(version),
        };
        match run.control(Body::LetGo(asked)) {
            Decision::Refused { code, .. } => code,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(asked("notes", 1), "version_needed", "there is a way back");
    assert_eq!(asked("notes", 2), "version_needed");
    assert_eq!(asked("notes", 3), "nothing_to_let_go");
    assert_eq!(asked("nobody", 1), "nothing_to_let_go");
}

/// Version 2, which wrote these rows, was taken back.
fn taken_back(rows: &[&str]) -> Run {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    run.outcome("put", "a 1");
    let change = run.switched(2, 2, &[1]);
    for row in rows {
        run.outcome("put", row);
    }
    run.step(change, Step::Revert);
    run.let_go();
    assert_eq!(run.kept(), [1, 2], "only version 2 reads what it wrote");
    run.outcome("put", "c 3");
    run
}

#[test]
fn a_version_that_was_taken_back_stays_as_long_as_rows_of_its_shape_do() {
    let mut run = taken_back(&["b 2"]);
    run.convert_all();
    run.let_go();
    assert_eq!(run.kept(), [1]);
    assert_eq!(run.outcome("put", "b 4"), "applied 2");

    // What cannot be brought back stays in its shape, and needs what reads it.
    let mut run = taken_back(&["b 2"]);
    let id = run.machine.catalog().applications["notes"].tables["notes"];
    let unfit = Row {
        shape: Shape(2),
        document: Bytes::from_static(b"2/bad"),
    };
    run.rows.put(id, b"d", unfit);
    run.convert_all();
    run.let_go();
    assert_eq!(run.kept(), [1, 2]);
}

#[test]
fn what_was_let_go_is_not_asked_for_again_by_what_comes_later() {
    let mut run = taken_back(&["b 2"]);
    run.convert_all();
    run.let_go();
    // The mended one has the shape of the one that was taken back.
    let mended = run.switched(5, 2, &[1]);
    assert_eq!(run.outcome("put", "b 5"), "applied 2/2");
    run.step(mended, Step::Revert);
    run.let_go();
    assert_eq!(run.kept(), [1, 5]);
    assert_eq!(run.outcome("put", "b 6"), "applied 5");
    run.convert_all();
    run.let_go();
    assert_eq!(run.kept(), [1]);
    // The very same again: it is needed from its switch on, and not before.
    let again = run.planned(5, 2, &[1]);
    assert_eq!((run.kept(), run.needed()), (vec![1], vec![1, 5]));
    run.ready(1, again);
    run.ready(2, again);
    assert_eq!(run.step(again, Step::Switch), "done");
    assert_eq!(run.kept(), [1, 5]);
    assert_eq!(run.outcome("put", "b 7"), "applied 2/6");
}

#[test]
fn a_version_removed_with_its_application_is_called_by_nobody() {
    let mut run = Run::new();
    let change = run.switched(1, 1, &[]);
    run.step(change, Step::Finalize);
    run.let_go();
    assert_eq!(run.kept(), [1]);
    run.outcome("put", "a 1");
    let remove = || {
        Body::RemoveApplication(RemoveApplication {
            application: "notes".into(),
            reason: "moved".into(),
        })
    };
    run.control(remove());
    run.let_go();
    assert_eq!(run.kept(), [0; 0]);
    // It comes back, with its data.
    run.switched(1, 1, &[]);
    assert_eq!((run.kept(), run.outcome("put", "a 2")), (vec![1], "applied 1".into()));
    run.control(remove());
    run.let_go();
    let purge = PurgeApplication {
        application: "notes".into(),
    };
    run.control(Body::PurgeApplication(purge));
    assert!(run.machine.catalog().let_go.is_empty());
}

/// What may come next, in any order: what is refused changes nothing.
#[derive(Debug, Clone)]
enum Next {
    Put(u8),
    Plan(u32),
    Ready,
    Step(Step),
    Convert,
    LetGo,
    Remove,
}

fn next() -> impl Strategy<Value = Next> {
    prop_oneof![
        4 => any::<u8>().prop_map(Next::Put),
        4 => (5_u32..13).prop_map(Next::Plan),
        4 => Just(Next::Ready),
        6 => prop_oneof![Just(Step::Switch), Just(Step::Switch), Just(Step::Finalize), Just(Step::Revert), Just(Step::Abort)]
            .prop_map(Next::Step),
        2 => Just(Next::Convert),
        4 => Just(Next::LetGo),
        1 => Just(Next::Remove),
    ]
}

impl Run {
    fn act(&mut self, next: &Next) {
        let running = self.machine.catalog().running_change("notes").map(|(id, _)| id);
        match next {
            Next::Put(value) => {
                let told = self.outcome("put", &format!("k{} {value}", value % 7));
                assert!(
                    told.starts_with("applied") || told == "failed unknown_application",
                    "{told}"
                );
            }
            // Odd ones have shape 1, and each reads both.
            Next::Plan(version) => {
                let shape = 1 + (version + 1) as u16 % 2;
                drop(self.plan(*version, shape, &[3 - shape]));
            }
            Next::Ready => {
                for (node, change) in [1, 2].into_iter().zip(running.into_iter().cycle()) {
                    self.ready(node, change);
                }
            }
            Next::Step(step) => {
                if let Some(change) = running {
                    self.step(change, *step);
                }
            }
            Next::Convert => {
                if let Some(batch) = next_batch(self.machine.catalog(), "notes", 3) {
                    self.control(Body::ConvertRows(batch));
                }
            }
            Next::LetGo => self.let_go(),
            Next::Remove => {
                self.control(Body::RemoveApplication(RemoveApplication {
                    application: "notes".into(),
                    reason: "a test".into(),
                }));
            }
        }
    }
}

proptest! {
    /// Code that was let go is gone in these tests: an entry that asked for it would stop every node.
    #[test]
    fn no_entry_asks_for_what_was_let_go(steps in proptest::collection::vec(next(), 0..80)) {
        let mut run = Run::new();
        run.switched(5, 1, &[2]);
        for next in &steps {
            run.act(next);
        }
        // What is there can be read, too.
        run.let_go();
        if run.machine.catalog().in_force("notes").is_some() {
            for key in 0..7 {
                let told = run.outcome("put", &format!("k{key} last"));
                prop_assert!(told.starts_with("applied"), "{}", told);
            }
        }
    }
}

#[test]
fn a_module_goes_when_no_version_needs_it_and_a_while_has_passed() {
    let mut run = Run::new();
    let (one, two) = (run.send_module(b"one"), run.send_module(b"two"));
    let Decision::Planned(first) = run.plan_module(1, one) else {
        panic!("it is not planned");
    };
    run.ready(1, first);
    run.ready(2, first);
    run.step(first, Step::Switch);
    run.step(first, Step::Finalize);
    // Nobody planned with the second yet, and may.
    assert_eq!(run.drop_module(two), "module_needed");
    assert_eq!(run.machine.catalog().module_to_drop(run.machine.time()), None);
    let Decision::Planned(second) = run.plan_module(2, two) else {
        panic!("it is not planned");
    };
    assert_eq!(run.unneeded(), None);
    run.ready(1, second);
    run.ready(2, second);
    run.step(second, Step::Switch);
    assert_eq!(run.unneeded(), None, "there is a way back");
    assert_eq!(
        (run.drop_module(one), run.drop_module(two)),
        ("module_needed".into(), "module_needed".into())
    );
    run.step(second, Step::Finalize);
    assert_eq!(run.unneeded(), None, "it may still be called");
    run.let_go();
    assert_eq!(run.unneeded(), Some(one));
    let before = run.machine.digest().rows;
    assert_eq!(run.drop_module(one), "done");
    assert_ne!(run.machine.digest().rows, before);
    assert_eq!(run.drop_module(one), "unknown_module");
    assert_eq!(run.unneeded(), None);
    assert!(Machine::module_bytes(&run.rows, one).unwrap().is_empty());
    assert_eq!(Machine::module_bytes(&run.rows, two).unwrap(), b"two");
    // Whoever sends what is here already is about to plan with it, too.
    run.send_module(b"two");
    assert_eq!(run.machine.catalog().modules[&two].since, run.machine.time());
    // A version of that code would have to send it again.
    let refused = run.plan_module(3, one);
    assert!(
        matches!(
            refused,
            Decision::Refused {
                code: "module_incomplete",
                ..
            }
        ),
        "{refused:?}"
    );
    run.send_module(b"one");
    assert!(matches!(run.plan_module(3, one), Decision::Planned(_)));
}

#[test]
fn a_module_that_was_sent_for_nothing_goes_too() {
    let mut run = Run::new();
    let part = Digest::of(b"never whole");
    run.control(Body::ModuleChunk(ModuleChunk {
        module: part,
        bytes_total: 11,
        at: 0,
        bytes: Bytes::from_static(b"never"),
    }));
    assert_eq!(run.unneeded(), Some(part));
    let rows = run.rows.rows.len();
    assert_eq!(run.drop_module(part), "done");
    assert_eq!(run.rows.rows.len(), rows - 1);
}
