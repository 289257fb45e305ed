//! A stream whose files were tampered with: it gives the events that it had, or says why not.

use proptest::prelude::*;

use super::*;
use crate::mutations::{cases, mutated};

fn written() -> Vec<(PathBuf, Vec<u8>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _within = runtime.enter();
    let disk = CrashDisk::default();
    let mut streams = open(&disk, &[]).unwrap();
    fill(&mut streams, STREAM, 300);
    drop(streams);
    files(&disk)
}

fn tampered() -> impl Strategy<Value = (PathBuf, Vec<u8>)> {
    let files = written();
    (0..files.len()).prop_flat_map(move |which| {
        let (path, bytes) = files[which].clone();
        mutated(vec![bytes]).prop_map(move |bytes| (path.clone(), bytes))
    })
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn a_tampered_stream_gives_what_it_had_or_says_why_not((path, bytes) in tampered(), end in 0..301_u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _within = runtime.enter();
        let disk = CrashDisk::default();
        for (name, original) in written() {
            let directory = name.parent().unwrap();
            disk.environment().disk.create_dir_all(directory).unwrap();
            disk.set(&name, original);
        }
        disk.set(&path, bytes);
        // A stream is in the state from its first event on.
        let positions = [(STREAM, end)];
        let Ok(mut streams) = open(&disk, &positions[usize::from(end == 0)..]) else { return Ok(()) };
        let reader = streams.reader();
        let expected = expected(0..300);
        let mut from = Offset(0);
        loop {
            let Ok(Some(page)) = reader.read(STREAM, from, 2000) else { break };
            let Some(last) = page.events.last() else { break };
            let range = page.events[0].offset.0 as usize..=last.offset.0 as usize;
            prop_assert_eq!(Some(&page.events[..]), expected.get(range), "other events after {:?} was changed", &path);
            from = Offset(last.offset.0 + 1);
        }
        // What is there can be built upon.
        fill(&mut streams, STREAM, end + 3);
    }
}
