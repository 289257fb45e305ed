//! Many seeds, one behind the other, on several threads; each run has a thread of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::run::{Report, run};
use crate::script::Script;

/// A guest's stack and the simulation's.
const STACK_BYTES: usize = 64 << 20;

/// What came of many runs.
#[derive(Debug, Clone, Default)]
pub struct Explored {
    /// Seeds that were run.
    pub seeds: u64,
    /// Seconds of simulated time in all.
    pub simulated_seconds: f64,
    /// Commands that were acknowledged in all.
    pub acknowledged: u64,
    /// Seeds with what did not hold.
    pub failures: Vec<(u64, String)>,
}

/// Runs a script on a thread of its own.
///
/// # Errors
/// It cannot be set up, or the simulator itself has a mistake.
#[allow(clippy::disallowed_methods)] // the simulator is no part of a node: its runs need real threads
pub fn run_apart(script: &Script, keep_trace: bool) -> anyhow::Result<Report> {
    let script = script.clone();
    let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        catch_unwind(AssertUnwindSafe(|| run(&script, keep_trace)))
            .unwrap_or_else(|_| Err(anyhow::anyhow!("the simulator panicked")))
    })?;
    thread
        .join()
        .unwrap_or_else(|_| Err(anyhow::anyhow!("the simulator's thread panicked")))
}

/// Runs scripts on two threads, and gives each report in the order of its script.
///
/// # Errors
/// One cannot be set up, or the simulator itself has a mistake.
#[allow(clippy::disallowed_methods)] // as above: real threads
pub fn run_all(scripts: &[Script]) -> anyhow::Result<Vec<Report>> {
    let next = AtomicUsize::new(0);
    let run_some = || {
        let mut reports = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(script) = scripts.get(at) else { return reports };
            reports.push((at, run_apart(script, false)));
        }
    };
    let mut reports: Vec<_> = thread::scope(|scope| {
        let workers = [scope.spawn(run_some), scope.spawn(run_some)];
        workers
            .into_iter()
            .filter_map(|worker| worker.join().ok())
            .flatten()
            .collect()
    });
    reports.sort_by_key(|(at, _)| *at);
    reports.into_iter().map(|(_, report)| report).collect()
}

/// How long is explored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// For so long.
    Time(Duration),
    /// Up to the first failure, or so many seeds.
    FirstFailure(u64),
}

/// Runs seeds from `first` on up to a bound, on so many threads, and tells of each failure as it comes.
#[allow(clippy::disallowed_methods)] // real time bounds an exploration, and decides nothing in a run
pub fn explore(first: u64, bound: Bound, threads: usize, tell: impl Fn(u64, &str) + Sync) -> Explored {
    let next = AtomicU64::new(first);
    let (began, failed) = (Instant::now(), AtomicBool::new(false));
    let parts: Vec<Explored> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut explored = Explored::default();
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        let over = match bound {
                            Bound::Time(time) => began.elapsed() >= time,
                            Bound::FirstFailure(seeds) => failed.load(Ordering::Relaxed) || seed - first >= seeds,
                        };
                        if over {
                            break;
                        }
                        explored.add(seed, &tell);
                        failed.fetch_or(!explored.failures.is_empty(), Ordering::Relaxed);
                    }
                    explored
                })
            })
            .collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).collect()
    });
    parts.into_iter().fold(Explored::default(), Explored::and)
}

impl Explored {
    /// Runs one seed more.
    fn add(&mut self, seed: u64, tell: &impl Fn(u64, &str)) {
        self.seeds += 1;
        let failure = match run_apart(&crate::plan::plan(seed), false) {
            Ok(report) => {
                self.simulated_seconds += report.simulated as f64 / 1e9;
                self.acknowledged += report.acknowledged;
                report.violation.map(|violation| violation.to_string())
            }
            Err(error) => Some(format!("{error:#}")),
        };
        if let Some(failure) = failure {
            tell(seed, &failure);
            self.failures.push((seed, failure));
        }
    }

    fn and(mut self, other: Explored) -> Explored {
        self.seeds += other.seeds;
        self.simulated_seconds += other.simulated_seconds;
        self.acknowledged += other.acknowledged;
        self.failures.extend(other.failures);
        self
    }
}
