//! Pages of rows.

use super::*;

#[test]
fn a_page_says_that_there_is_more_however_it_was_cut() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    let change = run.switched(2, 2, &[1]);
    let id = run.machine.catalog().applications["notes"].tables["notes"];
    assert_eq!(run.step(change, Step::Revert), "done");
    let mut fill = |rows: usize, bytes: usize| {
        run.rows.rows.clear();
        for key in 0..rows {
            let document = Bytes::from(format!("2/{}", "x".repeat(bytes - 2)));
            let shape = Shape(2);
            run.rows
                .put(id, format!("{key:05}").as_bytes(), Row { shape, document });
        }
        let mut pages = [false, true].map(|reverse| {
            let read = Read::Scan {
                application: "notes".into(),
                table: "notes".into(),
                start: Bytes::new(),
                end: None,
                limit: crate::limits::SCAN_ROWS_MAX,
                reverse,
            };
            let (mut applications, mut converter) = (Notes::default(), Notes::default());
            match run.machine.read(&read, &run.rows, &mut applications, &mut converter) {
                Ok(ReadValue::Pairs { pairs, more }) => (pairs.len(), more),
                other => panic!("no page: {other:?}"),
            }
        });
        pages.sort_unstable();
        pages
    };
    assert_eq!(fill(10, 10), [(10, false); 2]);
    assert_eq!(fill(crate::limits::SCAN_ROWS_MAX, 2), [(10_000, false); 2]);
    assert_eq!(fill(crate::limits::SCAN_ROWS_MAX + 1, 2), [(10_000, true); 2]);
    // Cut by its bytes as they lie, and smaller than that once each is brought back to shape 1: then there may be more.
    assert_eq!(fill(5, crate::limits::DOCUMENT_BYTES_MAX), [(4, true); 2]);
}
