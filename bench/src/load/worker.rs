use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hdrhistogram::Histogram;

use super::{Work, histogram, key, value};
use crate::systems::Connection;

/// After an error a request waits for so long; otherwise a cluster without a leader would be asked all the time.
const AFTER_AN_ERROR: Duration = Duration::from_millis(5);

/// What all workers of one load share.
pub struct Shared {
    pub began: Instant,
    pub stop: AtomicBool,
    pub measured: AtomicBool,
    /// Requests that may still be made.
    left: AtomicU64,
    pub done: AtomicU64,
    pub errors: AtomicU64,
    pub first_error: OnceLock<String>,
    /// Microseconds after `began` of the last acknowledgement, and the longest time without one.
    pub last_us: AtomicU64,
    pub gap_us: AtomicU64,
}

impl Shared {
    /// Nothing is measured yet. No more requests are made than so many.
    pub fn new(requests_max: u64) -> Shared {
        Shared {
            began: Instant::now(),
            stop: AtomicBool::new(false),
            measured: AtomicBool::new(false),
            left: AtomicU64::new(requests_max),
            done: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            first_error: OnceLock::new(),
            last_us: AtomicU64::new(0),
            gap_us: AtomicU64::new(0),
        }
    }

    /// From now on it counts what is done.
    pub fn measure_from(&self, now: Instant) {
        self.last_us.store(micros(self.began, now), Ordering::Relaxed);
        self.measured.store(true, Ordering::Relaxed);
    }

    /// Whether one more request is to be made.
    fn takes_one(&self) -> bool {
        let one = |left: u64| left.checked_sub(1);
        !self.stop.load(Ordering::Relaxed)
            && self
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one)
                .is_ok()
    }

    /// A request was answered then.
    pub fn acknowledged(&self, now: Instant) {
        let now = micros(self.began, now);
        let before = self.last_us.fetch_max(now, Ordering::Relaxed);
        self.gap_us.fetch_max(now.saturating_sub(before), Ordering::Relaxed);
    }
}

/// Keeps its share of the requests on their way over one connection.
pub struct Worker {
    pub connection: Connection,
    pub shared: Arc<Shared>,
    pub work: Work,
    pub keys: u64,
    pub random: u64,
}

impl Worker {
    /// Until no more are to be made and the last is answered; gives how long they took.
    pub async fn run(mut self, in_flight: usize) -> Histogram<u64> {
        let mut latencies = histogram();
        let mut requests = FuturesUnordered::new();
        for _ in 0..in_flight {
            requests.extend(self.next_request());
        }
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
            requests.extend(self.next_request());
        }
        latencies
    }

    /// One more, if there is to be one: gives when it began, and how many commands were done.
    fn next_request(&mut self) -> Option<impl Future<Output = (Instant, anyhow::Result<u64>)> + Send + use<>> {
        self.shared.takes_one().then(|| self.request())
    }

    fn request(&mut self) -> impl Future<Output = (Instant, anyhow::Result<u64>)> + Send + use<> {
        let mut connection = self.connection.clone();
        let count = match self.work {
            Work::Write { batch, .. } => batch,
            Work::Read => 1,
        };
        let keys: Vec<String> = (0..count).map(|_| self.key()).collect();
        let work = self.work;
        async move {
            let began = Instant::now();
            let result = match (work, &keys[..]) {
                (Work::Write { bytes, .. }, [key]) => connection.write(key, value(bytes)).await,
                (Work::Write { bytes, .. }, keys) => connection.write_all(keys, value(bytes)).await,
                (Work::Read, keys) => match keys.first() {
                    Some(key) => connection.read(key).await,
                    None => Ok(()),
                },
            };
            match result {
                Ok(()) => (began, Ok(count as u64)),
                Err(error) => {
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

/// Microseconds between the two.
fn micros(from: Instant, to: Instant) -> u64 {
    u64::try_from((to - from).as_micros()).unwrap_or(u64::MAX)
}
