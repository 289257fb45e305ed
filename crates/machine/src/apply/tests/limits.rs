//! What a command, an entry or a cluster may be at most: just at each limit, and just past it.

use super::*;
use crate::limits::{
    ADDRESS_BYTES_MAX, APPLICATIONS_MAX, CHANGES_KEPT_MAX, DOCUMENT_BYTES_MAX, EFFECTS_BYTES_MAX, EVENT_BYTES_MAX,
    KEY_BYTES_MAX, MANIFEST_ITEMS_MAX, NODES_MAX, SCAN_BYTES_MAX, SCAN_ROWS_MAX,
};

impl Run {
    /// What comes of a command that acts like this.
    fn acts(&mut self, act: Act) -> String {
        self.notes.act = Some(act);
        let outcome = self.outcome("put", "");
        self.notes.act = None;
        outcome
    }

    fn scan(&self, grown_bytes: Option<usize>, limit: usize, reverse: bool) -> (Vec<Pair>, bool) {
        let read = Read::Scan {
            application: "notes".into(),
            table: "notes".into(),
            start: Bytes::new(),
            end: None,
            limit,
            reverse,
        };
        let mut converter = Notes {
            grown_bytes,
            ..Notes::default()
        };
        let read = self
            .machine
            .read(&read, &self.rows, &mut Notes::default(), &mut converter);
        match read {
            Ok(ReadValue::Pairs { pairs, more }) => (pairs, more),
            other => panic!("no pairs: {other:?}"),
        }
    }

    /// Lays rows of a table down as if commands had written them.
    fn lay(&mut self, count: usize, document_bytes: usize) {
        let id = self.machine.catalog().applications["notes"].tables["notes"];
        for nth in 0..count {
            let row = Row {
                shape: Shape(1),
                document: vec![b'd'; document_bytes].into(),
            };
            self.rows.put(id, format!("{nth:08}").as_bytes(), row);
        }
    }
}

fn installed() -> Run {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    run
}

#[test]
fn keys_documents_and_events_are_bounded() {
    let mut run = installed();
    let acts: [(Act, Act); 3] = [
        (
            |context| context.put("notes", &[b'k'; KEY_BYTES_MAX], b""),
            |context| context.put("notes", &[b'k'; KEY_BYTES_MAX + 1], b""),
        ),
        (
            |context| context.put("notes", b"k", &vec![0; DOCUMENT_BYTES_MAX]),
            |context| context.put("notes", b"k", &vec![0; DOCUMENT_BYTES_MAX + 1]),
        ),
        (
            |context| context.emit("notes.log", Some(b"kk"), &vec![0; EVENT_BYTES_MAX - 2]),
            |context| context.emit("notes.log", Some(b"kk"), &vec![0; EVENT_BYTES_MAX - 1]),
        ),
    ];
    for (at, past) in acts {
        assert_eq!(run.acts(at), "applied ");
        let (rows, events) = (run.rows.rows.clone(), run.rows.events.len());
        assert_eq!(run.acts(past), "failed effects_too_large");
        assert_eq!(
            (run.rows.rows.clone(), run.rows.events.len()),
            (rows, events),
            "nothing stays"
        );
    }
    assert_eq!(
        run.acts(|context| context.put("notes", b"", b"")),
        "failed effects_too_large"
    );
}

/// Stores have limits of their own: ours panics on a key of 64 KiB, which would fell every replica at the same entry.
#[test]
fn a_key_that_no_row_can_have_never_reaches_the_store() {
    struct Strict(Rows);
    fn strict(key: &[u8]) {
        assert!(
            key.len() <= KEY_BYTES_MAX + 1,
            "a key of {} bytes reached the store",
            key.len()
        );
    }
    impl StateRead for Strict {
        fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Row>, StateError> {
            strict(key);
            self.0.get(table, key)
        }
        fn scan(
            &self,
            table: TableId,
            start: &[u8],
            end: Option<&[u8]>,
            reverse: bool,
            visit: &mut dyn FnMut(&[u8], &Row) -> bool,
        ) -> Result<(), StateError> {
            strict(start);
            end.into_iter().for_each(strict);
            self.0.scan(table, start, end, reverse, visit)
        }
    }
    impl StateTxn for Strict {
        fn put(&mut self, table: TableId, key: &[u8], row: Row) {
            strict(key);
            self.0.put(table, key, row);
        }
        fn delete(&mut self, table: TableId, key: &[u8]) {
            strict(key);
            self.0.delete(table, key);
        }
        fn emit(&mut self, stream: &str, event: EventView<'_>) {
            self.0.emit(stream, event);
        }
    }
    let mut run = installed();
    run.notes.act = Some(|context| {
        let long = vec![b'k'; 70_000];
        let (longest, next) = (&long[..KEY_BYTES_MAX], vec![b'l'; KEY_BYTES_MAX]);
        context.put("notes", longest, b"1")?;
        context.put("notes", &next, b"2")?;
        assert_eq!(context.get("notes", &long)?, None);
        context.delete("notes", &long)?;
        let keys = |pairs: Vec<Pair>| pairs.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        // The longest key comes before anything that is longer still.
        assert_eq!(keys(context.scan("notes", &long, None, 10, false)?), [next.as_slice()]);
        assert_eq!(
            keys(context.scan("notes", b"", Some(&long), 10, false)?),
            [longest.to_vec()]
        );
        assert_eq!(
            keys(context.scan("notes", longest, Some(&next), 10, true)?),
            [longest.to_vec()]
        );
        Ok(())
    });
    let request = Request {
        claim: None,
        application: "notes".into(),
        command: "put".into(),
        version: 1,
        payload: Bytes::new(),
    };
    let entry = Entry {
        time: TimeMs(5000),
        body: Body::Requests(vec![request]),
    };
    let mut rows = Strict(run.rows.clone());
    let mut world = World {
        txn: &mut rows,
        applications: &mut run.notes,
        converter: &mut Notes::default(),
        rehearser: None,
        level_max: crate::LEVEL_MAX,
    };
    match run
        .machine
        .apply(run.machine.applied().next(), &entry.to_bytes(), &mut world)
    {
        Ok(Output::Replies(replies)) => assert_eq!(replies[0].outcome, Outcome::Applied(Bytes::new())),
        other => panic!("no reply: {other:?}"),
    }
}

#[test]
fn all_effects_of_one_command_are_bounded() {
    let mut run = installed();
    // Sixteen times a megabyte, keys and all.
    const KEY: usize = 8;
    const DOCUMENT: usize = DOCUMENT_BYTES_MAX - KEY;
    const TIMES: u64 = (EFFECTS_BYTES_MAX / (KEY + DOCUMENT)) as u64;
    let fill: Act =
        |context| (0..TIMES).try_for_each(|nth| context.put("notes", &nth.to_be_bytes(), &vec![0; DOCUMENT]));
    assert_eq!(TIMES as usize * (KEY + DOCUMENT), EFFECTS_BYTES_MAX);
    assert_eq!(run.acts(fill), "applied ");
    let past: Act = |context| {
        (0..TIMES).try_for_each(|nth| context.put("notes", &nth.to_be_bytes(), &vec![0; DOCUMENT]))?;
        context.emit("notes.log", None, b"x")
    };
    assert_eq!(run.acts(past), "failed effects_too_large");
    let deleting: Act = |context| {
        (0..TIMES).try_for_each(|nth| context.put("notes", &nth.to_be_bytes(), &vec![0; DOCUMENT]))?;
        context.delete("notes", b"x")
    };
    assert_eq!(run.acts(deleting), "failed effects_too_large");
}

#[test]
fn a_scan_of_the_most_rows_says_whether_there_are_more() {
    let mut run = installed();
    run.lay(SCAN_ROWS_MAX, 1);
    for asked in [SCAN_ROWS_MAX, SCAN_ROWS_MAX + 1, usize::MAX] {
        let (pairs, more) = run.scan(None, asked, false);
        assert_eq!((pairs.len(), more), (SCAN_ROWS_MAX, false), "{asked}");
    }
    run.lay(SCAN_ROWS_MAX + 1, 1);
    for reverse in [false, true] {
        let (pairs, more) = run.scan(None, usize::MAX, reverse);
        assert_eq!((pairs.len(), more), (SCAN_ROWS_MAX, true), "{reverse}");
    }
    let all: Act = |context| {
        assert_eq!(
            context.scan("notes", b"", None, usize::MAX, false)?.len(),
            SCAN_ROWS_MAX
        );
        Ok(())
    };
    assert_eq!(run.acts(all), "applied ");
}

#[test]
fn a_scan_is_bounded_in_bytes_in_whatever_shape_they_are_given() {
    let mut run = installed();
    let each = SCAN_BYTES_MAX / 8 - 8;
    run.lay(8, each);
    let (pairs, more) = run.scan(None, 100, false);
    assert_eq!(
        (pairs.len(), more),
        (8, true),
        "the last byte may have been the last row's"
    );
    run.lay(20, each);
    let (pairs, more) = run.scan(None, 100, true);
    assert_eq!((pairs.len(), more), (8, true));

    // Small in the shape they lie in, large in the one they are given in; and the other way round.
    let mut run = installed();
    run.lay(100, 1);
    run.switched(2, 2, &[1]);
    let (pairs, more) = run.scan(Some(SCAN_BYTES_MAX / 4), 100, false);
    assert_eq!((pairs.len(), more), (4, true));
    let mut run = installed();
    run.lay(20, each);
    run.switched(2, 2, &[1]);
    let (pairs, more) = run.scan(Some(1), 100, false);
    assert_eq!((pairs.len(), more), (8, true), "what is cut short says so");
}

#[test]
fn a_converted_document_is_bounded() {
    for (bytes, outcome) in [(DOCUMENT_BYTES_MAX, true), (DOCUMENT_BYTES_MAX + 1, false)] {
        let mut run = installed();
        run.lay(1, 1);
        run.switched(2, 2, &[1]);
        let read = Read::Get {
            application: "notes".into(),
            table: "notes".into(),
            key: Bytes::from_static(b"00000000"),
        };
        let mut converter = Notes {
            grown_bytes: Some(bytes),
            ..Notes::default()
        };
        let read = run
            .machine
            .read(&read, &run.rows, &mut Notes::default(), &mut converter);
        assert_eq!(read.is_ok(), outcome, "{bytes}");
    }
}

fn code_of(decision: Decision) -> &'static str {
    match decision {
        Decision::Refused { code, .. } => code,
        Decision::Planned(_) | Decision::Registered(_) | Decision::Done { .. } => "",
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_manifest_names_is_bounded() {
    for (count, code) in [(MANIFEST_ITEMS_MAX, ""), (MANIFEST_ITEMS_MAX + 1, "manifest_invalid")] {
        let names = || (0..count).map(|nth| format!("n{nth}"));
        let widen: [&dyn Fn(&mut Manifest); 4] = [
            &|manifest| manifest.queries = names().collect(),
            &|manifest| manifest.streams = names().map(|name| format!("notes.{name}")).collect(),
            &|manifest| {
                manifest.commands = names()
                    .map(|name| CommandSpec {
                        name,
                        versions: vec![1],
                    })
                    .collect();
            },
            &|manifest| {
                let table = |name| TableSpec {
                    name,
                    shape: Shape(1),
                    converts: vec![],
                };
                manifest.tables = names().map(table).collect();
            },
        ];
        for widen in widen {
            let mut manifest = Run::manifest(1, 1, &[]);
            widen(&mut manifest);
            assert_eq!(code_of(Run::new().plan_manifest(manifest)), code);
        }
    }
}

#[test]
fn the_applications_of_a_cluster_are_bounded() {
    let mut run = Run::new();
    let mut plan = |nth: usize| {
        let mut manifest = Run::manifest(1, 1, &[]);
        manifest.application = format!("a{nth}");
        manifest.streams.clear();
        code_of(run.plan_manifest(manifest))
    };
    for nth in 0..APPLICATIONS_MAX {
        assert_eq!(plan(nth), "");
    }
    assert_eq!(plan(APPLICATIONS_MAX), "too_many_applications");
}

#[test]
fn the_nodes_of_a_cluster_and_what_they_tell_are_bounded() {
    let mut run = Run::new();
    let tell = |nth: usize, bytes: usize| RegisterNode {
        http_address: "x".repeat(bytes),
        ..register(1000 + nth as u64, "n")
    };
    assert_eq!(
        code_of(run.control(Body::RegisterNode(tell(0, ADDRESS_BYTES_MAX + 1)))),
        "node_invalid"
    );
    // The founder is one of them.
    for nth in 1..NODES_MAX {
        assert_eq!(
            code_of(run.control(Body::RegisterNode(tell(nth, ADDRESS_BYTES_MAX)))),
            ""
        );
    }
    assert_eq!(
        code_of(run.control(Body::RegisterNode(tell(NODES_MAX, 1)))),
        "too_many_nodes"
    );
    assert_eq!(
        code_of(run.control(Body::RegisterNode(tell(1, 2)))),
        "",
        "one that is known is no new one"
    );
}

#[test]
fn of_finished_changes_the_oldest_are_forgotten() {
    let mut run = Run::new();
    let first = run.planned(1, 1, &[]);
    assert_eq!(run.step(first, Step::Abort), "done");
    for nth in 1..CHANGES_KEPT_MAX {
        let change = run.planned(1, 1, &[]);
        assert_eq!(run.step(change, Step::Abort), "done", "{nth}");
    }
    assert_eq!(run.machine.catalog().changes.len(), CHANGES_KEPT_MAX);
    assert!(run.machine.catalog().changes.contains_key(&first));
    let running = run.planned(1, 1, &[]);
    assert_eq!(run.machine.catalog().changes.len(), CHANGES_KEPT_MAX);
    assert!(!run.machine.catalog().changes.contains_key(&first));
    assert!(run.machine.catalog().changes.contains_key(&running));
}
