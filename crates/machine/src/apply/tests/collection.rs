//! Code that nobody can call any more, and modules that nothing needs.

use super::*;

impl Run {
    fn callable(&self) -> Vec<u32> {
        let callable = self.machine.catalog().callable("notes");
        callable.into_iter().map(|version| version.0).collect()
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
    assert_eq!(run.callable(), [1], "it is to be made ready");
    run.ready(1, first);
    run.ready(2, first);
    run.step(first, Step::Switch);
    run.outcome("put", "a 1");
    let second = run.switched(2, 2, &[1]);
    assert_eq!(run.callable(), [1, 2]);
    run.step(second, Step::Finalize);
    // Its rows lie there in the old shape; the new version reads them itself.
    assert_eq!(run.callable(), [2]);
    assert_eq!(run.outcome("put", "a 2"), "applied 2/1");
    let third = run.planned(4, 2, &[1]);
    assert_eq!(run.callable(), [2, 4]);
    run.step(third, Step::Abort);
    assert_eq!(run.callable(), [2]);
}

#[test]
fn a_version_that_was_taken_back_stays_as_long_as_rows_of_its_shape_do() {
    let with_rows = |rows: &[&str]| {
        let mut run = Run::new();
        run.switched(1, 1, &[]);
        run.outcome("put", "a 1");
        let change = run.switched(2, 2, &[1]);
        for row in rows {
            run.outcome("put", row);
        }
        run.step(change, Step::Revert);
        assert_eq!(run.callable(), [1, 2], "only version 2 reads what it wrote");
        run.outcome("put", "c 3");
        run
    };
    let mut run = with_rows(&["b 2"]);
    run.convert_all();
    assert_eq!(run.callable(), [1]);
    assert_eq!(run.outcome("put", "b 4"), "applied 2");

    // What cannot be brought back stays in its shape, and needs what reads it.
    let mut run = with_rows(&["b 2"]);
    let id = run.machine.catalog().applications["notes"].tables["notes"];
    let unfit = Row {
        shape: Shape(2),
        document: Bytes::from_static(b"2/bad"),
    };
    run.rows.put(id, b"d", unfit);
    run.convert_all();
    assert_eq!(run.callable(), [1, 2]);
}

#[test]
fn a_version_removed_with_its_application_is_called_by_nobody() {
    let mut run = Run::new();
    let change = run.switched(1, 1, &[]);
    run.step(change, Step::Finalize);
    assert_eq!(run.callable(), [1]);
    run.control(Body::RemoveApplication(RemoveApplication {
        application: "notes".into(),
        reason: "moved".into(),
    }));
    assert_eq!(run.callable(), [0; 0]);
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
    assert_eq!(run.unneeded(), Some(one));
    let before = run.machine.digest().rows;
    assert_eq!(run.drop_module(one), "done");
    assert_ne!(run.machine.digest().rows, before);
    assert_eq!(run.drop_module(one), "unknown_module");
    assert_eq!(run.unneeded(), None);
    assert!(Machine::module_bytes(&run.rows, one).unwrap().is_empty());
    assert_eq!(Machine::module_bytes(&run.rows, two).unwrap(), b"two");
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
