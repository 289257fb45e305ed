//! A fixed set of seeds, and the promise that a seed gives the same run.

use sim::explore::{run_all, run_apart};
use sim::plan::plan;

/// Seeds whose runs are short, with every kind of trouble among them.
const SEEDS: [u64; 8] = [1, 2, 5, 7, 8, 9, 12, 15];

#[test]
fn the_fixed_seeds_hold() {
    let reports = run_all(&SEEDS.map(plan)).expect("runs");
    assert_eq!(reports.len(), SEEDS.len());
    for (seed, report) in SEEDS.into_iter().zip(reports) {
        if let Some(violation) = report.violation {
            panic!("seed {seed}: {violation}\n  cargo run --release -p sim -- --seed {seed}");
        }
        assert!(
            report.acknowledged > 20,
            "seed {seed}: a run in which nothing happens shows nothing"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte() {
    for seed in [2, 5] {
        let (one, other) = (run_apart(&plan(seed), true), run_apart(&plan(seed), true));
        let (one, other) = (one.expect("a run").trace_text, other.expect("a run").trace_text);
        assert!(one.lines().count() > 10_000);
        let differ = one.lines().zip(other.lines()).position(|(here, there)| here != there);
        assert_eq!(differ, None, "seed {seed}: the first line that differs");
        assert_eq!(one.len(), other.len());
    }
}
