//! The same load for every system: so many requests on their way over so many connections, each followed by the next.

mod pace;
mod worker;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::task::JoinHandle;

use crate::systems::Connection;

pub use pace::Pace;
use worker::{Shared, Worker};

/// Keys over which writes and reads are spread, unless a load says otherwise.
pub const KEYS: u64 = 100_000;
/// Bytes of a key.
pub const KEY_BYTES: usize = 16;
/// What comes before the time that is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// How often it is noted how many commands are done.
const PACE_EVERY: Duration = Duration::from_millis(100);

/// What one request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Writes so many values of so many bytes, each a command of its own, and waits for all.
    Write { bytes: usize, batch: usize },
    /// Reads one value, as new as the last acknowledged write.
    Read,
}

/// How much is asked at once.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub work: Work,
    /// Requests on their way at the same time, in all.
    pub in_flight: usize,
    /// Keys over which they are spread.
    pub keys: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Measured {
    pub per_second: f64,
    pub errors: u64,
    pub first_error: Option<String>,
    pub longest_gap: Duration,
    latencies: Histogram<u64>,
}

impl Measured {
    /// The time that this part of all requests took at most.
    pub fn quantile(&self, part: f64) -> Duration {
        Duration::from_micros(self.latencies.value_at_quantile(part))
    }
}

/// Loads the connections for so long, calls `meanwhile` when that begins, and gives what came of it.
pub async fn run(
    load: Load,
    length: Duration,
    connections: &[Connection],
    meanwhile: impl AsyncFnOnce(),
) -> anyhow::Result<Measured> {
    let shared = Arc::new(Shared::new(u64::MAX));
    let workers = start(load, connections, &shared);
    tokio::time::sleep(WARM_UP).await;
    let began = Instant::now();
    shared.measure_from(began);
    meanwhile().await;
    tokio::time::sleep(length.saturating_sub(began.elapsed())).await;
    let (done, length) = (shared.done.load(Ordering::Relaxed), began.elapsed());
    shared.acknowledged(began + length);
    shared.measured.store(false, Ordering::Relaxed);
    shared.stop.store(true, Ordering::Relaxed);
    measured(done, length, &shared, workers).await
}

/// Makes so many requests, measures all of them, and gives what came of it and how fast it went from first to last.
pub async fn run_all(load: Load, requests: u64, connections: &[Connection]) -> anyhow::Result<(Measured, Pace)> {
    let shared = Arc::new(Shared::new(requests));
    shared.measure_from(shared.began);
    let workers = start(load, connections, &shared);
    let mut pace = Pace::default();
    while !workers.iter().all(JoinHandle::is_finished) {
        tokio::time::sleep(PACE_EVERY).await;
        pace.note(shared.began.elapsed(), shared.done.load(Ordering::Relaxed));
    }
    let length = Duration::from_micros(shared.last_us.load(Ordering::Relaxed));
    let done = shared.done.load(Ordering::Relaxed);
    // The pause in which the last one was answered was not over then.
    pace.end(length, done);
    Ok((measured(done, length, &shared, workers).await?, pace))
}

/// A worker for each connection that gets a share of the requests.
fn start(load: Load, connections: &[Connection], shared: &Arc<Shared>) -> Vec<JoinHandle<Histogram<u64>>> {
    let used = connections.len().min(load.in_flight);
    let workers = connections[..used].iter().enumerate().map(|(number, connection)| {
        let share = load.in_flight / used + usize::from(number < load.in_flight % used);
        let worker = Worker {
            connection: connection.clone(),
            shared: shared.clone(),
            work: load.work,
            keys: load.keys,
            random: 0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1),
        };
        tokio::spawn(worker.run(share))
    });
    workers.collect()
}

async fn measured(
    done: u64,
    length: Duration,
    shared: &Shared,
    workers: Vec<JoinHandle<Histogram<u64>>>,
) -> anyhow::Result<Measured> {
    let longest_gap = Duration::from_micros(shared.gap_us.load(Ordering::Relaxed));
    let errors = shared.errors.load(Ordering::Relaxed);
    let mut latencies = histogram();
    for worker in workers {
        latencies.add(worker.await?)?;
    }
    Ok(Measured {
        per_second: done as f64 / length.as_secs_f64(),
        errors,
        first_error: shared.first_error.get().cloned(),
        longest_gap,
        latencies,
    })
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds that hold")
}

/// A key of [`KEY_BYTES`].
pub fn key(number: u64) -> String {
    format!("{number:016x}")
}

/// What is written under a key: with it, so many bytes.
pub fn value(bytes: usize) -> Bytes {
    Bytes::from(vec![b'.'; bytes - KEY_BYTES])
}
