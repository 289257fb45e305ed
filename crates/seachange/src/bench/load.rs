//! Clients that keep a number of commands on their way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use client::Client;
use environment::channel::oneshot;
use environment::{Environment, Moment};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::{Histogram, Plan};
use crate::acknowledgements::Acknowledgements;
use crate::connection::client_at;

/// Keys over which the writes are spread.
const KEYS: u64 = 1_000_000;
/// Commands that one session has on their way at most; a larger number gets more connections.
const IN_FLIGHT_MAX: u32 = client::limits::IN_FLIGHT_MAX as u32;

/// A running load.
pub struct Load {
    clients: Vec<Arc<Client>>,
    ends: Vec<oneshot::Receiver<Histogram>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    measured: AtomicBool,
    errors: AtomicU64,
    acknowledged: Arc<Acknowledgements>,
}

/// What went wrong up to a moment.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// Commands that ended in an error.
    pub errors: u64,
    /// Attempts that the clients repeated by themselves.
    pub retried: u64,
}

impl Load {
    /// Starts the clients.
    pub fn start(plan: &Plan, addresses: &[String], environment: &Environment) -> anyhow::Result<Load> {
        let shared = Arc::new(Shared::default());
        let mut load = Load {
            clients: Vec::new(),
            ends: Vec::new(),
            shared: shared.clone(),
        };
        let connections = plan
            .connections
            .min(plan.in_flight)
            .max(plan.in_flight.div_ceil(IN_FLIGHT_MAX));
        for number in 0..connections {
            let client = Arc::new(client_at(addresses, environment)?);
            let (say, end) = oneshot::channel();
            // What does not divide evenly goes to the first ones.
            let in_flight = plan.in_flight / connections + u32::from(number < plan.in_flight % connections);
            let sender = Sender {
                client: client.clone(),
                shared: shared.clone(),
                environment: environment.clone(),
                batch: plan.batch.min(in_flight),
                bytes: plan.bytes as usize,
                random: 0x9e37_79b9_7f4a_7c15 ^ (u64::from(number) + 1),
            };
            environment.spawn("bench", async move {
                let _ = say.send(sender.run(in_flight).await);
            });
            load.clients.push(client);
            load.ends.push(end);
        }
        Ok(load)
    }

    /// Whether latencies are counted.
    pub fn measure(&self, measured: bool) {
        self.shared.measured.store(measured, Ordering::Relaxed);
    }

    /// What went wrong so far.
    pub fn counts(&self) -> Counts {
        Counts {
            errors: self.shared.errors.load(Ordering::Relaxed),
            retried: self.clients.iter().map(|client| client.counts().retries).sum(),
        }
    }

    /// Sends nothing more, waits for what is on its way, and gives moments and latencies.
    pub async fn stop(self) -> (Arc<Acknowledgements>, Histogram) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut latencies = Histogram::default();
        for end in self.ends {
            if let Ok(theirs) = end.await {
                latencies.add(&theirs);
            }
        }
        (self.shared.acknowledged.clone(), latencies)
    }
}

struct Sender {
    client: Arc<Client>,
    shared: Arc<Shared>,
    environment: Environment,
    batch: u32,
    bytes: usize,
    random: u64,
}

impl Sender {
    async fn run(mut self, in_flight: u32) -> Histogram {
        let mut latencies = Histogram::default();
        let mut batches = FuturesUnordered::new();
        for _ in 0..in_flight / self.batch {
            batches.push(self.send_batch());
        }
        while let Some((started, succeeded, failed)) = batches.next().await {
            let now = self.environment.clock.now();
            let measured = self.shared.measured.load(Ordering::Relaxed);
            for _ in 0..succeeded {
                self.shared.acknowledged.record(now);
                if measured {
                    latencies.record(now - started);
                }
            }
            self.shared.errors.fetch_add(failed, Ordering::Relaxed);
            if !self.shared.stop.load(Ordering::Relaxed) {
                batches.push(self.send_batch());
            }
        }
        latencies
    }

    /// Sends the commands of one batch; gives when that was, how many were acknowledged and how many failed.
    fn send_batch(&mut self) -> impl Future<Output = (Moment, u64, u64)> + use<> {
        let payloads: Vec<Bytes> = (0..self.batch).map(|_| self.payload()).collect();
        let (client, clock) = (self.client.clone(), self.environment.clock.clone());
        async move {
            let started = clock.now();
            let sent = payloads
                .into_iter()
                .map(|payload| client.submit("bench", "put", 1, payload));
            let results = futures::future::join_all(sent).await;
            let failed = results.iter().filter(|result| result.is_err()).count() as u64;
            (started, results.len() as u64 - failed, failed)
        }
    }

    /// A key among many, then bytes that say nothing.
    fn payload(&mut self) -> Bytes {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let mut payload = BytesMut::with_capacity(self.bytes);
        payload.put_slice(format!("{:016x}", (self.random >> 16) % KEYS).as_bytes());
        payload.resize(self.bytes, b'.');
        payload.freeze()
    }
}
