//! Rows brought into the newest shape, batch after batch.

use super::*;

impl Run {
    /// A few rows in shape 1, and version 2 with shape 2 here to stay.
    fn finalized(rows: u32) -> Run {
        let mut run = Run::new();
        run.switched(1, 1, &[]);
        for row in 0..rows {
            run.outcome("put", &format!("k{row} {row}"));
        }
        let change = run.switched(2, 2, &[1]);
        assert_eq!(run.batch(2), None, "there is a way back");
        assert_eq!(run.step(change, Step::Finalize), "done");
        run
    }

    /// Proposes the next batch, if one is due.
    fn batch(&mut self, rows: u64) -> Option<Decision> {
        let batch = next_batch(self.machine.catalog(), "notes", rows)?;
        Some(self.control(Body::ConvertRows(batch)))
    }

    fn conversion(&self) -> &Conversion {
        &self.machine.catalog().conversions["notes"]["notes"]
    }

    fn shapes(&self) -> Vec<u16> {
        let id = self.machine.catalog().applications["notes"].tables["notes"];
        let rows = self.rows.rows.iter().filter(|((table, _), _)| *table == id);
        rows.map(|(_, row)| row.shape.0).collect()
    }

    /// Rows in shape 1, as if they had lain there.
    pub(super) fn put_rows(&mut self, count: usize, document: &[u8]) {
        let id = self.machine.catalog().applications["notes"].tables["notes"];
        for row in 0..count {
            let row_key = format!("{row:05}");
            let document = Bytes::copy_from_slice(document);
            let shape = Shape(1);
            self.rows.put(id, row_key.as_bytes(), Row { shape, document });
        }
    }

    /// Sums up the rows anew: what the running digest must be.
    fn summed(&self) -> u128 {
        let mut digest = StateDigest::default();
        for ((table, key), row) in self.rows.rows.iter().filter(|((table, _), _)| table.0 >= 16) {
            digest.add(*table, key, row);
        }
        digest.rows
    }
}

#[test]
fn rows_are_converted_batch_after_batch_and_those_written_meanwhile_are_passed_by() {
    let mut run = Run::finalized(5);
    assert_eq!(run.shapes(), [1, 1, 1, 1, 1]);
    assert!(run.batch(2).is_some());
    assert_eq!(run.shapes(), [2, 2, 1, 1, 1]);
    run.outcome("put", "k3 new");
    assert!(run.batch(2).is_some());
    assert_eq!(run.shapes(), [2, 2, 2, 2, 1]);
    assert_eq!(run.conversion().done, None);
    assert!(run.batch(2).is_some());
    let Conversion {
        looked,
        converted,
        failed,
        done,
        ..
    } = run.conversion().clone();
    assert_eq!((looked, converted, failed, done), (5, 4, 0, Some(run.machine.time())));
    assert_eq!(run.stored("k4"), "2/4 in shape 2");
    assert_eq!(run.machine.digest().rows, run.summed());
    assert_eq!(run.batch(2), None);
    let catalog = run.machine.catalog();
    assert_eq!(Catalog::from_bytes(&catalog.to_bytes()).as_ref(), Ok(&**catalog));
}

#[test]
fn a_batch_that_is_not_the_next_one_does_nothing() {
    let mut run = Run::finalized(3);
    let first = next_batch(run.machine.catalog(), "notes", 1).unwrap();
    run.control(Body::ConvertRows(first.clone()));
    let before = run.machine.digest().rows;
    let refused = |decision| {
        matches!(
            decision,
            Decision::Refused {
                code: "no_conversion",
                ..
            }
        )
    };
    assert!(refused(run.control(Body::ConvertRows(first))), "an earlier leader's");
    let mut other = next_batch(run.machine.catalog(), "notes", 1).unwrap();
    other.to = Shape(1);
    assert!(refused(run.control(Body::ConvertRows(other.clone()))));
    other.application = "nobody".into();
    assert!(refused(run.control(Body::ConvertRows(other))));
    assert_eq!((run.machine.digest().rows, run.shapes()), (before, vec![2, 1, 1]));
}

#[test]
fn one_entry_looks_at_so_many_rows_and_bytes_whatever_it_asks_for() {
    let mut run = Run::finalized(0);
    run.put_rows(crate::limits::CONVERT_ROWS_MAX + 1, b"x");
    run.batch(u64::MAX);
    assert_eq!(run.conversion().looked, crate::limits::CONVERT_ROWS_MAX as u64);
    run.batch(u64::MAX);
    assert_eq!(run.conversion().done, Some(run.machine.time()));

    let mut run = Run::finalized(0);
    run.put_rows(9, &vec![b'x'; crate::limits::CONVERT_BYTES_MAX / 4]);
    run.batch(u64::MAX);
    assert_eq!(run.conversion().looked, 4);
}

#[test]
fn a_row_that_cannot_be_converted_is_listed_and_hurts_nothing() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    for row in 0..crate::limits::CONVERSION_SAMPLES_MAX + 2 {
        run.outcome("put", &format!("k{row:02} one"));
    }
    // Version 4 cannot read shape 1.
    let change = run.switched(4, 2, &[1]);
    run.step(change, Step::Finalize);
    assert!(run.batch(100).is_some());
    let conversion = run.conversion();
    assert_eq!(conversion.failed, crate::limits::CONVERSION_SAMPLES_MAX as u64 + 2);
    assert_eq!(conversion.samples.len(), crate::limits::CONVERSION_SAMPLES_MAX);
    assert_eq!(conversion.samples[0].key, Bytes::from_static(b"k00"));
    assert!(
        conversion.samples[0].why.contains("version 4 trapped"),
        "{conversion:?}"
    );
    assert_eq!(run.shapes().iter().max(), Some(&1));
    assert_eq!(run.machine.digest().rows, run.summed());
}

#[test]
fn it_is_paused_and_paced_by_entries_and_begins_anew_where_a_version_wrote_behind_it() {
    let mut run = Run::finalized(4);
    let steer = |run: &mut Run, paused, rate| {
        let application = "notes".into();
        match run.control(Body::SteerConversion(SteerConversion {
            application,
            paused,
            rate,
        })) {
            Decision::Refused { reason, .. } => reason,
            _ => "done".to_owned(),
        }
    };
    assert_eq!(run.conversion().rate, crate::limits::CONVERSION_RATE_DEFAULT);
    run.batch(1);
    assert_eq!(steer(&mut run, Some(true), Some(7)), "done");
    assert_eq!((run.batch(1), run.conversion().rate), (None, 7));
    assert!(steer(&mut run, None, Some(0)).contains("or pause it"));
    assert!(steer(&mut run, None, Some(crate::limits::CONVERSION_RATE_MAX + 1)).contains("rows a second"));
    assert_eq!(steer(&mut run, Some(false), None), "done");
    assert!(run.batch(1).is_some());
    // While version 5 can be taken back nothing is converted; what it wrote behind the place that was reached is found then.
    let change = run.switched(5, 1, &[2]);
    run.outcome("put", "k0 behind");
    assert_eq!(run.shapes(), [1, 2, 1, 1]);
    assert_eq!(run.batch(1), None);
    assert_eq!(run.step(change, Step::Revert), "done");
    assert_eq!((run.conversion().looked, run.conversion().rate), (0, 7));
    while run.batch(3).is_some() {}
    assert_eq!(run.shapes(), [2, 2, 2, 2]);
    assert_eq!(run.stored("k0"), "2/behind in shape 2");
    assert!(steer(&mut Run::new(), None, None).contains("nothing to steer"));
}

#[test]
fn what_a_version_wrote_that_was_taken_back_and_what_lies_there_at_a_new_installation_are_converted_too() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    run.outcome("put", "a one");
    let change = run.switched(2, 2, &[1]);
    run.outcome("put", "b two");
    assert_eq!(run.shapes(), [1, 2]);
    assert_eq!(run.step(change, Step::Revert), "done");
    while run.batch(10).is_some() {}
    assert_eq!(run.shapes(), [1, 1]);
    assert_eq!(run.stored("b"), "two in shape 1");

    run.control(Body::RemoveApplication(RemoveApplication {
        application: "notes".into(),
        reason: String::new(),
    }));
    assert_eq!(run.batch(10), None);
    run.switched(5, 2, &[1]);
    while run.batch(10).is_some() {}
    assert_eq!(run.shapes(), [2, 2]);
    assert_eq!(run.machine.digest().rows, run.summed());
}

#[test]
fn what_rows_come_to_bounds_an_entry_as_well_as_what_they_are() {
    let mut run = Run::finalized(3);
    let batch = next_batch(run.machine.catalog(), "notes", 100).unwrap();
    let bytes = Entry {
        time: TimeMs(run.time),
        body: Body::ConvertRows(batch),
    }
    .to_bytes();
    let index = run.machine.applied().next();
    let mut converter = Notes {
        grown_bytes: Some(crate::limits::CONVERT_BYTES_MAX / 2),
        ..Notes::default()
    };
    let mut world = World {
        txn: &mut run.rows,
        applications: &mut run.notes,
        converter: &mut converter,
        rehearser: None,
        level_max: crate::LEVEL_MAX,
    };
    run.machine.apply(index, &bytes, &mut world).unwrap();
    assert_eq!(
        (run.conversion().looked, run.conversion().done, run.shapes()),
        (2, None, vec![2, 2, 1])
    );
}
