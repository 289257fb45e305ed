//! The state's promises, on both backends.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use machine::Shape;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::format;

mod twin;

fn row(shape: u16, document: impl Into<Bytes>) -> Row {
    Row {
        shape: Shape(shape),
        document: document.into(),
    }
}

fn key(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn fjall(directory: &Path) -> FjallBackend {
    FjallBackend::open(directory, FjallOptions::default()).unwrap()
}

type Rows = Vec<(Bytes, Row)>;

fn rows_of(backend: &dyn Backend, table: u32, start: &str, end: Option<&str>, reverse: bool) -> Rows {
    let mut rows = Vec::new();
    let end = end.map(str::as_bytes);
    let mut visit = |key: &[u8], row: &Row| {
        rows.push((Bytes::copy_from_slice(key), row.clone()));
        true
    };
    backend
        .scan(TableId(table), start.as_bytes(), end, reverse, &mut visit)
        .unwrap();
    rows
}

/// What every backend does.
fn conforms(backend: &dyn Backend) {
    assert_eq!(backend.get(TableId(1), b"a").unwrap(), None);
    assert_eq!(rows_of(backend, 1, "", None, false), []);
    let mut batch = vec![
        (TableId(1), key("a"), Some(row(1, "one"))),
        (TableId(1), key("b"), Some(row(2, ""))),
        (TableId(1), key(""), Some(row(3, "empty key"))),
        (TableId(1), key("b\0"), Some(row(u16::MAX, "after b"))),
        (TableId(0), key("a"), Some(row(1, "other table"))),
        (TableId(2), key("a"), Some(row(1, "the table after"))),
        (TableId(256), key("a"), Some(row(1, "far"))),
        (TableId(u32::MAX), key("a"), Some(row(1, "last table"))),
        (TableId(1), key("gone"), None),
    ];
    let long = Bytes::from(vec![0xff; 2000]);
    batch.push((TableId(1), long.clone(), Some(row(1, vec![7; 100_000]))));
    backend.write(batch).unwrap();

    assert_eq!(backend.get(TableId(1), b"b").unwrap(), Some(row(2, "")));
    assert_eq!(backend.get(TableId(1), b"").unwrap(), Some(row(3, "empty key")));
    assert_eq!(backend.get(TableId(1), b"gone").unwrap(), None);
    assert_eq!(backend.get(TableId(1), &long).unwrap(), Some(row(1, vec![7; 100_000])));
    assert_eq!(backend.get(TableId(3), b"a").unwrap(), None);

    let all: Rows = vec![
        (key(""), row(3, "empty key")),
        (key("a"), row(1, "one")),
        (key("b"), row(2, "")),
        (key("b\0"), row(u16::MAX, "after b")),
        (long.clone(), row(1, vec![7; 100_000])),
    ];
    assert_eq!(rows_of(backend, 1, "", None, false), all);
    assert_eq!(
        rows_of(backend, 1, "", None, true),
        all.iter().rev().cloned().collect::<Rows>()
    );
    assert_eq!(rows_of(backend, 1, "a", Some("b"), false), all[1..2]);
    assert_eq!(
        rows_of(backend, 1, "a", Some("b\0"), true),
        [all[2].clone(), all[1].clone()]
    );
    assert_eq!(rows_of(backend, 1, "b", Some("a"), false), []);
    assert_eq!(rows_of(backend, 1, "b", Some("b"), true), []);
    assert_eq!(rows_of(backend, u32::MAX, "", None, false).len(), 1);
    assert_eq!(rows_of(backend, 0, "", None, true).len(), 1);

    let mut seen = 0;
    let mut visit = |_: &[u8], _: &Row| {
        seen += 1;
        seen < 2
    };
    backend.scan(TableId(1), b"", None, false, &mut visit).unwrap();
    assert_eq!(seen, 2, "a visitor that has enough is not called again");

    let batch = vec![
        (TableId(1), key("a"), None),
        (TableId(1), key("b"), Some(row(9, "new"))),
    ];
    backend.write(batch).unwrap();
    assert_eq!(backend.get(TableId(1), b"a").unwrap(), None);
    assert_eq!(backend.get(TableId(1), b"b").unwrap(), Some(row(9, "new")));
    assert_eq!(backend.get(TableId(2), b"a").unwrap(), Some(row(1, "the table after")));
    backend.write(vec![]).unwrap();
}

/// A view shows what was there when it was taken, whatever is written later.
fn views_conform(backend: &dyn Backend) {
    let batch = |document: &'static str| vec![(TableId(7), key("k"), Some(row(1, document)))];
    backend.write(batch("before")).unwrap();
    let view = backend.view();
    backend.write(batch("after")).unwrap();
    backend
        .write(vec![(TableId(8), key("k"), Some(row(1, "new")))])
        .unwrap();
    assert_eq!(view.get(TableId(7), b"k").unwrap(), Some(row(1, "before")));
    assert_eq!(view.get(TableId(8), b"k").unwrap(), None);
    let mut seen = Vec::new();
    let push = &mut |table, key: &[u8], row: &Row| {
        seen.push((table, Bytes::copy_from_slice(key), row.clone()));
        true
    };
    view.rows(push).unwrap();
    assert!(seen.contains(&(TableId(7), key("k"), row(1, "before"))));
    assert!(seen.is_sorted_by_key(|(table, key, _)| (*table, key.clone())));
    assert!(!seen.iter().any(|(table, _, _)| *table == TableId(8)));
    backend.check_files().unwrap();
}

#[test]
fn memory_conforms() {
    conforms(&MemoryBackend::default());
    views_conform(&MemoryBackend::default());
}

#[test]
fn fjall_conforms() {
    let directory = tempfile::tempdir().unwrap();
    conforms(&fjall(&directory.path().join("state")));
    views_conform(&fjall(&directory.path().join("view")));
}

/// A backend with more large rows than fjall holds in memory, so that it has written a table, and a file of rows.
fn with_large_rows(directory: &Path) -> FjallBackend {
    let backend = fjall(directory);
    let documents = (0..40_u8).map(|number| {
        let key = Bytes::copy_from_slice(&[number]);
        (TableId(1), key, Some(row(1, vec![number; 400_000])))
    });
    backend.write(documents.collect()).unwrap();
    // They are whole once a version of the keyspace names them.
    while !directory.join("keyspaces/1/v1").exists() {
        std::thread::yield_now();
    }
    backend
}

#[test]
fn a_file_that_changes_is_noticed_although_its_rows_are_in_memory() {
    for kind in ["tables", "blobs"] {
        let directory = tempfile::tempdir().unwrap();
        let backend = with_large_rows(directory.path());
        backend.check_files().unwrap();
        backend.check_files().unwrap();
        flip(&files_of(directory.path(), kind)[0]);
        let error = backend.check_files().unwrap_err().to_string();
        assert!(error.contains("has changed"), "{error}");
    }
}

#[test]
fn a_large_row_that_has_changed_on_disk_is_damage_and_never_given() {
    let directory = tempfile::tempdir().unwrap();
    drop(with_large_rows(directory.path()));
    let file = &files_of(directory.path(), "blobs")[0];
    assert!(file.metadata().unwrap().len() > 15_000_000, "it holds the rows");
    flip(file);
    let backend = fjall(directory.path());
    let mut damaged = 0;
    for number in 0..40_u8 {
        match backend.get(TableId(1), &[number]) {
            Ok(found) => assert_eq!(found, Some(row(1, vec![number; 400_000]))),
            Err(Error::Damaged { .. }) => damaged += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(damaged, 1);
}

/// What an older binary made, which kept every row beside its key, is read and written as it is.
#[test]
fn a_store_from_before_large_rows_lay_apart_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let large = |round: u16, number: u8| row(round, vec![number; 400_000]);
    {
        let database = ::fjall::Database::builder(directory.path()).open().unwrap();
        let rows = database
            .keyspace("rows", ::fjall::KeyspaceCreateOptions::default)
            .unwrap();
        rows.insert([0], format::STATE.prefix()).unwrap();
        for number in 0..40_u8 {
            let value = [&1_u16.to_le_bytes()[..], &large(1, number).document].concat();
            rows.insert([0, 0, 0, 1, number], value).unwrap();
        }
        rows.rotate_memtable_and_wait().unwrap();
        database.persist(::fjall::PersistMode::SyncAll).unwrap();
    }
    for round in 1..4_u16 {
        let backend = fjall(directory.path());
        let batch = (0..40_u8).map(|number| {
            let key = Bytes::copy_from_slice(&[number]);
            assert_eq!(backend.get(TableId(1), &key).unwrap(), Some(large(round, number)));
            (TableId(1), key, Some(large(round + 1, number)))
        });
        let batch = batch.collect();
        backend.write(batch).unwrap();
    }
    assert_eq!(rows_of(&fjall(directory.path()), 1, "", None, false).len(), 40);
    assert!(!files_of(directory.path(), "tables").is_empty());
    assert!(files_of(directory.path(), "blobs").is_empty());
}

/// Changes one bit in the middle.
fn flip(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

/// Files in directories of that name, however deep, that are not empty.
fn files_of(directory: &Path, kind: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_of(&path, kind));
        } else if path.parent().is_some_and(|parent| parent.ends_with(kind)) && path.metadata().unwrap().len() > 0 {
            found.push(path);
        }
    }
    found
}

#[test]
fn fjall_keeps_its_rows() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..3_u16 {
        let backend = fjall(directory.path());
        let written = rows_of(&backend, 7, "", None, false);
        assert_eq!(written.len(), usize::from(round) * 100);
        let batch = (0..100).map(|nth| {
            let key = Bytes::from(format!("{round}-{nth}"));
            (TableId(7), key, Some(row(round, format!("{nth}"))))
        });
        backend.write(batch.collect()).unwrap();
    }
}

#[test]
fn fjall_refuses_a_newer_format_and_rows_without_one() {
    let directory = tempfile::tempdir().unwrap();
    drop(fjall(directory.path()));
    let put = |key: &[u8], value: &[u8]| {
        let database = ::fjall::Database::builder(directory.path()).open().unwrap();
        let rows = database
            .keyspace("rows", ::fjall::KeyspaceCreateOptions::default)
            .unwrap();
        rows.insert(key, value).unwrap();
        if value.is_empty() {
            rows.remove([0]).unwrap();
        }
        database.persist(::fjall::PersistMode::SyncAll).unwrap();
    };
    let newer = format::Format {
        number: 2,
        ..format::STATE
    };
    put(&[0], &newer.prefix());
    let error = FjallBackend::open(directory.path(), FjallOptions::default())
        .err()
        .unwrap();
    assert!(
        matches!(error, Error::Format(format::Error::Newer { found: 2, .. })),
        "{error}"
    );
    put(b"\0\0\0\x01key", b"");
    let error = FjallBackend::open(directory.path(), FjallOptions::default())
        .err()
        .unwrap();
    assert!(
        matches!(error, Error::Format(format::Error::Unreadable { .. })),
        "{error}"
    );
}

#[test]
fn a_row_without_a_shape_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    drop(fjall(directory.path()));
    {
        let database = ::fjall::Database::builder(directory.path()).open().unwrap();
        let rows = database
            .keyspace("rows", ::fjall::KeyspaceCreateOptions::default)
            .unwrap();
        rows.insert(b"\0\0\0\x01key", b"x").unwrap();
    }
    let backend = fjall(directory.path());
    assert!(matches!(backend.get(TableId(1), b"key"), Err(Error::Damaged { .. })));
    let scanned = backend.scan(TableId(1), b"", None, false, &mut |_, _| true);
    assert!(matches!(scanned, Err(Error::Damaged { .. })));
}

/// The journal's bytes are cut at many places: the backend then shows all of a batch or none of it.
#[test]
fn a_batch_is_there_as_a_whole_or_not_at_all_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let original = directory.path().join("original");
    let backend = fjall(&original);
    let batch = |round: u16| (0..50).map(move |nth| (TableId(1), Bytes::from(format!("{nth}")), Some(row(round, "x"))));
    backend.write(batch(1).collect()).unwrap();
    let journal = original.join("0.jnl");
    let synced = copy_of(&original, &directory.path().join("copy"));
    let length_before =
        used(&std::fs::read(journal.strip_prefix(&original).map(|name| synced.join(name)).unwrap()).unwrap());
    backend.write(batch(2).collect()).unwrap();
    let length_after = used(&std::fs::read(&journal).unwrap());
    assert!(length_after > length_before);
    let mut shapes = BTreeSet::new();
    for cut in (length_before..=length_after).step_by(61).chain([length_after]) {
        let copy = copy_of(&original, &directory.path().join(format!("cut-{cut}")));
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(copy.join("0.jnl"))
            .unwrap();
        file.set_len(cut as u64).unwrap();
        drop(file);
        let found = rows_of(&fjall(&copy), 1, "", None, false);
        assert_eq!(found.len(), 50);
        let found: BTreeSet<u16> = found.iter().map(|(_, row)| row.shape.0).collect();
        assert_eq!(found.len(), 1, "cut at {cut}");
        shapes.extend(found);
    }
    assert_eq!(shapes, BTreeSet::from([1, 2]));
}

/// More than goes through the journal: rows of 1 KiB, which lie apart, and of 100 bytes.
fn large_batch(round: u16) -> Vec<Write> {
    let rows = (0..12_000_u64).map(|nth| {
        let bytes = if nth % 3 == 0 { 100 } else { 1024 };
        let document = vec![round as u8; bytes];
        (TableId(1), Bytes::from(format!("{nth:06}")), Some(row(round, document)))
    });
    rows.collect()
}

#[test]
fn a_batch_that_makes_files_of_its_own_is_there_as_a_whole_or_not_at_all_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let original = directory.path().join("original");
    let backend = fjall(&original);
    let journaled = || used(&std::fs::read(original.join("0.jnl")).unwrap());
    let journaled_before = journaled();
    backend.write(large_batch(1)).unwrap();
    assert_eq!(journaled(), journaled_before, "it does not go through the journal");
    let before = copy_of(&original, &directory.path().join("before"));
    backend.write(large_batch(2)).unwrap();
    let after = copy_of(&original, &directory.path().join("after"));
    // All of it is written but for the one file that names the others, as at a crash just before the end.
    let between = copy_of(&original, &directory.path().join("between"));
    let named = |copy: &Path| copy.join("keyspaces/1/current");
    assert_ne!(
        std::fs::read(named(&before)).unwrap(),
        std::fs::read(named(&after)).unwrap()
    );
    for path in files_of(&before, "1") {
        let name = path.strip_prefix(&before).unwrap();
        std::fs::copy(&path, between.join(name)).unwrap();
    }
    for (copy, round) in [(before, 1), (between, 1), (after, 2)] {
        let found = rows_of(&fjall(&copy), 1, "", None, false);
        assert_eq!(found.len(), 12_000, "{}", copy.display());
        assert!(found.iter().all(|(_, row)| row.shape.0 == round), "{}", copy.display());
    }
}

#[test]
fn batches_with_and_without_files_of_their_own_lie_over_one_another_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let backend = fjall(directory.path());
    let mut expected = BTreeMap::new();
    for round in 1..5_u16 {
        let few = (0..12_000_u64).step_by(7).map(|nth| {
            let removed = nth % 2 == 0;
            let key = Bytes::from(format!("{nth:06}"));
            (TableId(1), key, (!removed).then(|| row(100 + round, "few")))
        });
        let mut many = large_batch(round);
        many.iter_mut()
            .step_by(5 + usize::from(round))
            .for_each(|(_, _, row)| *row = None);
        // One that is not in order goes through the journal, however large.
        let mut shuffled = large_batch(10 + round);
        shuffled.swap(0, 9);
        for batch in [many, few.collect(), shuffled] {
            for (_, key, row) in &batch {
                match row {
                    Some(row) => drop(expected.insert(key.clone(), row.clone())),
                    None => drop(expected.remove(key)),
                }
            }
            let view = backend.view();
            let seen = |view: &dyn View| {
                let mut rows = 0;
                view.rows(&mut |_, _, _| {
                    rows += 1;
                    true
                })
                .unwrap();
                rows
            };
            let held = seen(&*view);
            backend.write(batch).unwrap();
            assert_eq!(seen(&*view), held, "a view goes on showing what it showed");
        }
    }
    let expected: Rows = expected.into_iter().collect();
    assert!(rows_of(&backend, 1, "", None, false) == expected);
    drop(backend);
    assert!(rows_of(&fjall(directory.path()), 1, "", None, false) == expected);
}

fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1)
}

fn copy_of(from: &Path, to: &Path) -> std::path::PathBuf {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_of(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
    to.to_owned()
}

fn state(backend: &Arc<dyn Backend>) -> State {
    State::open(backend.clone(), StateOptions { cache_bytes: 1 << 20 })
}

#[test]
fn a_checkpoint_holds_exactly_the_rows_as_of_the_freeze() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::default());
    let mut state = state(&backend);
    state.put(TableId(1), b"a", row(1, "before"));
    state.put(TableId(1), b"b", row(1, "before"));
    assert!(state.dirty_bytes() > 0);
    let checkpoint = state.freeze().unwrap();
    assert_eq!((state.dirty_bytes(), checkpoint.rows()), (0, 2));
    assert!(state.freeze().is_none(), "one at a time");
    state.put(TableId(1), b"a", row(1, "after"));
    state.delete(TableId(1), b"b");
    state.put(TableId(1), b"c", row(1, "after"));
    assert_eq!(rows_of(&*backend, 1, "", None, false), []);
    let written = checkpoint.write().unwrap();
    let as_of_freeze = vec![(key("a"), row(1, "before")), (key("b"), row(1, "before"))];
    assert_eq!(rows_of(&*backend, 1, "", None, false), as_of_freeze);
    assert!(state.freeze().is_none(), "still not finished");
    drop(state.finish(written));
    assert_eq!(state.get(TableId(1), b"a").unwrap(), Some(row(1, "after")));
    assert_eq!(state.get(TableId(1), b"b").unwrap(), None);
    // A crash now: opened anew, the state is as of the freeze.
    let again = self::state(&backend);
    assert_eq!(again.get(TableId(1), b"b").unwrap(), Some(row(1, "before")));
    drop(state.freeze().unwrap().write().unwrap());
    assert_eq!(
        rows_of(&*backend, 1, "", None, false),
        [(key("a"), row(1, "after")), (key("c"), row(1, "after"))]
    );
}

/// Counts reads, and fails when told to.
#[derive(Default)]
struct Watched {
    inner: MemoryBackend,
    reads: Mutex<usize>,
    broken: Mutex<bool>,
}

impl Watched {
    fn check(&self) -> Result<(), Error> {
        if *self.broken.lock() {
            return Err(Error::Store {
                directory: "nowhere".into(),
                detail: "broken".to_owned(),
            });
        }
        Ok(())
    }
}

impl Backend for Watched {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Row>, Error> {
        self.check()?;
        *self.reads.lock() += 1;
        self.inner.get(table, key)
    }

    fn scan(
        &self,
        table: TableId,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &Row) -> bool,
    ) -> Result<(), Error> {
        self.check()?;
        self.inner.scan(table, start, end, reverse, visit)
    }

    fn write(&self, batch: Vec<Write>) -> Result<(), Error> {
        self.check()?;
        self.inner.write(batch)
    }

    fn rows_about(&self) -> u64 {
        self.inner.rows_about()
    }

    fn view(&self) -> Arc<dyn View> {
        self.inner.view()
    }

    fn check_files(&self) -> Result<(), Error> {
        self.check()
    }
}

#[test]
fn rows_and_their_absence_are_cached() {
    let watched = Arc::new(Watched::default());
    watched.write(vec![(TableId(1), key("a"), Some(row(1, "x")))]).unwrap();
    let mut state = State::open(watched.clone(), StateOptions { cache_bytes: 1 << 20 });
    for _ in 0..3 {
        assert_eq!(state.get(TableId(1), b"a").unwrap(), Some(row(1, "x")));
        assert_eq!(state.get(TableId(1), b"none").unwrap(), None);
    }
    assert_eq!(state.cache_hits_and_misses(), (4, 2));
    assert_eq!(state.rows_about(), 1);
    assert_eq!(*watched.reads.lock(), 2);
    // What a checkpoint wrote needs no read either.
    state.put(TableId(1), b"b", row(1, "y"));
    let written = state.freeze().unwrap().write().unwrap();
    drop(state.finish(written));
    assert_eq!(state.get(TableId(1), b"b").unwrap(), Some(row(1, "y")));
    assert_eq!(*watched.reads.lock(), 2);
}

#[test]
fn a_backend_that_fails_is_an_error_and_loses_nothing_in_memory() {
    let watched = Arc::new(Watched::default());
    let mut state = State::open(watched.clone(), StateOptions { cache_bytes: 0 });
    state.put(TableId(1), b"a", row(1, "x"));
    let checkpoint = state.freeze().unwrap();
    *watched.broken.lock() = true;
    assert!(checkpoint.write().is_err());
    assert_eq!(state.get(TableId(1), b"a").unwrap(), Some(row(1, "x")));
    assert!(state.get(TableId(1), b"b").unwrap_err().to_string().contains("broken"));
    assert!(state.scan(TableId(1), b"", None, false, &mut |_, _| true).is_err());
    assert!(
        state.freeze().is_none(),
        "no later checkpoint passes the one that failed"
    );
}

#[test]
fn a_checkpoint_of_another_state_ends_none() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::default());
    let (mut one, mut other) = (state(&backend), state(&backend));
    one.put(TableId(1), b"a", row(1, "x"));
    let checkpoint = one.freeze().unwrap();
    other.put(TableId(1), b"b", row(1, "x"));
    let written = other.freeze().unwrap().write().unwrap();
    drop(one.finish(written));
    assert!(one.freeze().is_none());
    drop(one.finish(checkpoint.write().unwrap()));
    assert!(one.freeze().is_some());
}

#[test]
fn dirty_bytes_follow_what_would_be_written() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::default());
    let mut state = state(&backend);
    state.put(TableId(1), b"a", row(1, vec![0; 1000]));
    let once = state.dirty_bytes();
    assert!((1000..1300).contains(&once));
    state.put(TableId(1), b"a", row(1, vec![0; 1000]));
    assert_eq!(state.dirty_bytes(), once);
    state.delete(TableId(1), b"a");
    assert_eq!(state.dirty_bytes(), once - 1000);
}
