//! Clients that send transfers one after the other until they are told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use client::Client;
use client::wire::CommandOutcome;
use environment::Environment;
use environment::channel::oneshot;

use super::ledger::{TransferCommand, account_id, transfer_id};
use super::tally::{End, Transfer};
use crate::acknowledgements::Acknowledgements;
use crate::connection::client_at;

/// Cents of one transfer at most.
const AMOUNT_MAX: u32 = 100;

/// A running load.
pub struct Load {
    clients: Vec<Arc<Client>>,
    ends: Vec<oneshot::Receiver<Vec<Transfer>>>,
    shared: Arc<Shared>,
}

struct Shared {
    stop: AtomicBool,
    failed: AtomicU64,
    acknowledged: Acknowledgements,
}

/// How many errors callers saw, and how many attempts clients repeated by themselves, up to a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Errors.
    pub failed: u64,
    /// Repeated attempts.
    pub retried: u64,
}

/// What a load has sent, and when it was acknowledged.
pub struct Sent {
    /// By client, in the order sent.
    pub transfers: Vec<Vec<Transfer>>,
    shared: Arc<Shared>,
}

impl Sent {
    /// The moments of all acknowledgements.
    pub fn acknowledged(&self) -> &Acknowledgements {
        &self.shared.acknowledged
    }
}

impl Load {
    /// Starts so many clients, each with a session and a connection of its own.
    pub fn start(
        clients: usize,
        accounts: u32,
        addresses: &[String],
        environment: &Environment,
    ) -> anyhow::Result<Load> {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            failed: AtomicU64::new(0),
            acknowledged: Acknowledgements::default(),
        });
        let mut load = Load {
            clients: Vec::new(),
            ends: Vec::new(),
            shared: shared.clone(),
        };
        for number in 0..clients {
            let client = Arc::new(client_at(addresses, environment)?);
            let (say, end) = oneshot::channel();
            let sender = Sender {
                number,
                accounts,
                client: client.clone(),
                shared: shared.clone(),
                environment: environment.clone(),
                // Any numbers do, as long as they differ from client to client and are not zero.
                random: 0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1),
            };
            environment.spawn("transfers", async move {
                let _ = say.send(sender.run().await);
            });
            load.clients.push(client);
            load.ends.push(end);
        }
        Ok(load)
    }

    /// Errors and repeated attempts so far.
    pub fn counts(&self) -> Counts {
        Counts {
            failed: self.shared.failed.load(Ordering::Relaxed),
            retried: self.clients.iter().map(|client| client.counts().retries).sum(),
        }
    }

    /// Lets every client finish the transfer it is at.
    pub async fn stop(self) -> Sent {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut transfers = Vec::with_capacity(self.ends.len());
        for end in self.ends {
            transfers.push(end.await.unwrap_or_default());
        }
        Sent {
            transfers,
            shared: self.shared,
        }
    }
}

struct Sender {
    number: usize,
    accounts: u32,
    client: Arc<Client>,
    shared: Arc<Shared>,
    environment: Environment,
    random: u64,
}

impl Sender {
    async fn run(mut self) -> Vec<Transfer> {
        let mut sent = Vec::new();
        while !self.shared.stop.load(Ordering::Relaxed) {
            let mut transfer = self.draw();
            transfer.end = self.send(&transfer, sent.len()).await;
            sent.push(transfer);
        }
        sent
    }

    /// Two accounts and an amount. Its end is filled in once it is known; until then nothing is claimed of it.
    fn draw(&mut self) -> Transfer {
        let from = self.below(self.accounts);
        let to = (from + 1 + self.below(self.accounts - 1)) % self.accounts;
        Transfer {
            from,
            to,
            amount: 1 + self.below(AMOUNT_MAX),
            end: End::Failed { unknown: true },
        }
    }

    async fn send(&self, transfer: &Transfer, number: usize) -> End {
        let command = TransferCommand {
            id: transfer_id(self.number, number),
            from: account_id(transfer.from),
            to: account_id(transfer.to),
            amount: transfer.amount,
        };
        let Ok(payload) = serde_json::to_vec(&command) else {
            return End::Failed { unknown: false };
        };
        match self.client.submit("ledger", "transfer", 1, payload).await {
            Ok(reply) => {
                self.shared.acknowledged.record(self.environment.clock.now());
                match reply.outcome {
                    CommandOutcome::Applied => End::Acknowledged { index: reply.index },
                    CommandOutcome::Refused => End::Refused,
                }
            }
            Err(error) => {
                self.shared.failed.fetch_add(1, Ordering::Relaxed);
                End::Failed {
                    unknown: error.is_outcome_unknown(),
                }
            }
        }
    }

    /// A number below `limit` (xorshift: the transfers only have to be spread).
    fn below(&mut self, limit: u32) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let below = (self.random >> 32) % u64::from(limit.max(1));
        u32::try_from(below).unwrap_or(0)
    }
}
