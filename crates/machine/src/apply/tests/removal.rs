//! Applications that are removed, installed again, and purged.

use super::*;

impl Run {
    fn remove(&mut self, application: &str, reason: &str) -> Decision {
        self.control(Body::RemoveApplication(RemoveApplication {
            application: application.into(),
            reason: reason.into(),
        }))
    }

    fn purge(&mut self) -> Decision {
        self.control(Body::PurgeApplication(PurgeApplication {
            application: "notes".into(),
        }))
    }

    /// Rows of the application's tables.
    fn rows_left(&self) -> usize {
        self.rows.rows.keys().filter(|(table, _)| *table >= TableId(16)).count()
    }
}

fn code(decision: Decision) -> &'static str {
    match decision {
        Decision::Refused { code, .. } => code,
        _ => "taken",
    }
}

#[test]
fn a_removed_application_answers_nothing_and_comes_back_with_its_data() {
    let mut run = Run::new();
    assert_eq!(code(run.remove("notes", "")), "unknown_application");
    run.switched(1, 1, &[]);
    run.outcome("put", "a one");
    let long = "x".repeat(crate::limits::REASON_BYTES_MAX + 1);
    assert_eq!(code(run.remove("notes", &long)), "reason_too_long");
    assert_eq!(code(run.remove("notes", &long[1..])), "taken");
    assert_eq!(run.outcome("put", "a two"), "failed unknown_application");
    assert_eq!(code(run.remove("notes", "")), "unknown_application");
    let catalog = run.machine.catalog();
    assert_eq!(Catalog::from_bytes(&catalog.to_bytes()).as_ref(), Ok(&**catalog));
    assert!(
        catalog.no_application("notes").contains("was removed by entry"),
        "{catalog:?}"
    );
    run.switched(2, 2, &[1]);
    assert_eq!(run.outcome("put", "a two"), "applied 2/one");
    assert!(run.machine.catalog().removed.is_empty());
}

#[test]
fn one_whose_change_is_under_way_is_not_removed() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    let change = run.planned(2, 2, &[1]);
    assert_eq!(code(run.remove("notes", "")), "change_running");
    run.ready(1, change);
    run.ready(2, change);
    assert_eq!(run.step(change, Step::Switch), "done");
    assert_eq!(code(run.remove("notes", "")), "change_running");
    assert_eq!(run.step(change, Step::Finalize), "done");
    assert_eq!(code(run.remove("notes", "")), "taken");
}

#[test]
fn what_is_purged_goes_a_bounded_piece_at_a_time_and_leaves_the_digest_of_an_empty_state() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    let empty = run.machine.digest().rows;
    for row in 0..=crate::limits::PURGE_ROWS_MAX {
        run.outcome("put", &format!("k{row} v"));
    }
    assert_eq!(code(run.purge()), "not_removed");
    run.remove("notes", "moved");
    let install = run.planned(2, 1, &[]);
    assert_eq!(code(run.purge()), "change_running");
    assert_eq!(run.step(install, Step::Abort), "done");
    assert_eq!(code(run.purge()), "taken");
    assert_eq!(run.rows_left(), 1);
    assert!(run.machine.catalog().removed.contains_key("notes"));
    assert_eq!(code(run.purge()), "taken");
    assert_eq!((run.rows_left(), run.machine.digest().rows), (0, empty));
    let catalog = run.machine.catalog();
    assert!(catalog.applications.is_empty() && catalog.removed.is_empty());
    let (start, end) = (
        run.machine.stream_starts()["notes.log"],
        run.machine.streams()["notes.log"],
    );
    assert_eq!((start, end.0), (end, crate::limits::PURGE_ROWS_MAX as u64 + 1));
    assert_eq!(code(run.purge()), "not_removed");
    // Installed anew it begins with nothing, and its events go on where they ended.
    run.switched(1, 1, &[]);
    assert_eq!(run.outcome("put", "k0 v"), "applied ");
    assert_eq!(run.machine.streams()["notes.log"].0, end.0 + 1);
}

#[test]
fn a_table_that_only_a_version_had_that_was_taken_back_is_purged_too() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    let mut manifest = Run::manifest(2, 1, &[]);
    manifest.tables.push(TableSpec {
        name: "extra".into(),
        shape: Shape(1),
        converts: vec![],
    });
    let Decision::Planned(change) = run.plan_manifest(manifest) else {
        panic!("not planned");
    };
    run.ready(1, change);
    run.ready(2, change);
    assert_eq!(run.step(change, Step::Switch), "done");
    run.notes.act = Some(|context| context.put("extra", b"k", b"v"));
    run.outcome("put", "");
    assert_eq!(run.step(change, Step::Revert), "done");
    assert_eq!(run.rows_left(), 1);
    run.remove("notes", "");
    assert_eq!(code(run.purge()), "taken");
    assert_eq!(run.rows_left(), 0);
}
