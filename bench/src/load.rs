//! The same load for every system: so many requests on their way over so many connections, each followed by the next.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hdrhistogram::Histogram;

use crate::systems::Connection;

/// Keys over which writes and reads are spread, unless a load says otherwise.
pub const KEYS: u64 = 100_000;
/// Bytes of a key.
pub const KEY_BYTES: usize = 16;
/// What comes before the time that is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// After an error a request waits for so long; otherwise a cluster without a leader would be asked all the time.
const AFTER_AN_ERROR: Duration = Duration::from_millis(5);

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
    pub length: Duration,
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

struct Shared {
    began: Instant,
    stop: AtomicBool,
    measured: AtomicBool,
    done: AtomicU64,
    errors: AtomicU64,
    first_error: OnceLock<String>,
    /// Microseconds after `began` of the last acknowledgement, and the longest time without one.
    last_us: AtomicU64,
    gap_us: AtomicU64,
}

/// Loads the connections, calls `meanwhile` when the time measured begins, and gives what came of it.
pub async fn run(load: Load, connections: &[Connection], meanwhile: impl AsyncFnOnce()) -> anyhow::Result<Measured> {
    let shared = Arc::new(Shared {
        began: Instant::now(),
        stop: AtomicBool::new(false),
        measured: AtomicBool::new(false),
        done: AtomicU64::new(0),
        errors: AtomicU64::new(0),
        first_error: OnceLock::new(),
        last_us: AtomicU64::new(0),
        gap_us: AtomicU64::new(0),
    });
    let used = connections.len().min(load.in_flight);
    let workers: Vec<_> = connections[..used]
        .iter()
        .enumerate()
        .map(|(number, connection)| {
            let share = load.in_flight / used + usize::from(number < load.in_flight % used);
            let worker = Worker {
                connection: connection.clone(),
                shared: shared.clone(),
                work: load.work,
                keys: load.keys,
                random: 0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1),
            };
            tokio::spawn(worker.run(share))
        })
        .collect();
    tokio::time::sleep(WARM_UP).await;
    let began = Instant::now();
    shared.last_us.store(micros(shared.began, began), Ordering::Relaxed);
    shared.measured.store(true, Ordering::Relaxed);
    meanwhile().await;
    tokio::time::sleep(load.length.saturating_sub(began.elapsed())).await;
    let (done, errors, length) = (
        shared.done.load(Ordering::Relaxed),
        shared.errors.load(Ordering::Relaxed),
        began.elapsed(),
    );
    shared.acknowledged(began + length);
    shared.measured.store(false, Ordering::Relaxed);
    let gap = shared.gap_us.load(Ordering::Relaxed);
    shared.stop.store(true, Ordering::Relaxed);
    let mut latencies = histogram();
    for worker in workers {
        latencies.add(worker.await?)?;
    }
    Ok(Measured {
        per_second: done as f64 / length.as_secs_f64(),
        errors,
        first_error: shared.first_error.get().cloned(),
        longest_gap: Duration::from_micros(gap),
        latencies,
    })
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds that hold")
}

fn micros(from: Instant, to: Instant) -> u64 {
    u64::try_from((to - from).as_micros()).unwrap_or(u64::MAX)
}

impl Shared {
    fn acknowledged(&self, now: Instant) {
        let now = micros(self.began, now);
        let before = self.last_us.fetch_max(now, Ordering::Relaxed);
        self.gap_us.fetch_max(now.saturating_sub(before), Ordering::Relaxed);
    }
}

struct Worker {
    connection: Connection,
    shared: Arc<Shared>,
    work: Work,
    keys: u64,
    random: u64,
}

impl Worker {
    async fn run(mut self, in_flight: usize) -> Histogram<u64> {
        let mut latencies = histogram();
        let mut requests: FuturesUnordered<_> = (0..in_flight).map(|_| self.request()).collect();
        while let Some((began, result)) = requests.next().await {
            let now = Instant::now();
            if self.shared.measured.load(Ordering::Relaxed) {
                match result {
                    Ok(count) => {
                        self.shared.acknowledged(now);
                        self.shared.done.fetch_add(count, Ordering::Relaxed);
                        latencies.saturating_record(micros(began, now).max(1));
                    }
                    Err(error) => {
                        self.shared.errors.fetch_add(1, Ordering::Relaxed);
                        let _ = self.shared.first_error.set(format!("{error:#}"));
                    }
                }
            }
            if !self.shared.stop.load(Ordering::Relaxed) {
                requests.push(self.request());
            }
        }
        latencies
    }

    /// Gives when it began, and how many commands were done.
    fn request(&mut self) -> impl Future<Output = (Instant, anyhow::Result<u64>)> + Send + use<> {
        let connection = self.connection.clone();
        let count = match self.work {
            Work::Write { batch, .. } => batch,
            Work::Read => 1,
        };
        let keys: Vec<String> = (0..count).map(|_| self.key()).collect();
        let work = self.work;
        async move {
            let began = Instant::now();
            let asked = keys.into_iter().map(|key| {
                let mut connection = connection.clone();
                async move {
                    match work {
                        Work::Write { bytes, .. } => connection.write(&key, value(bytes)).await,
                        Work::Read => connection.read(&key).await,
                    }
                }
            });
            let results = futures::future::join_all(asked).await;
            match results.into_iter().find_map(Result::err) {
                None => (began, Ok(count as u64)),
                Some(error) => {
                    tokio::time::sleep(AFTER_AN_ERROR).await;
                    (began, Err(error))
                }
            }
        }
    }

    fn key(&mut self) -> String {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        key((self.random >> 16) % self.keys)
    }
}

/// A key of [`KEY_BYTES`].
pub fn key(number: u64) -> String {
    format!("{number:016x}")
}

/// What is written under a key: with it, so many bytes.
pub fn value(bytes: usize) -> Bytes {
    Bytes::from(vec![b'.'; bytes - KEY_BYTES])
}
