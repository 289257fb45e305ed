//! What the clients did and what they were told.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use sim::oracles::linearizable::Operation;

/// What its client was told of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Acknowledged(Balances),
    /// Declined, or surely not done.
    NothingDone(String),
    Unknown(String),
}

/// What a transfer's reply says: both balances after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub struct Balances {
    pub from: i64,
    pub to: i64,
}

/// One transfer, with the time in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    pub id: String,
    pub from: String,
    pub to: String,
    pub amount: i64,
    pub called: u64,
    pub returned: u64,
    pub outcome: Outcome,
}

/// All of it.
#[derive(Debug, Default)]
pub struct History {
    pub transfers: Mutex<Vec<Transfer>>,
    /// What was asked of each key, and answered.
    pub registers: Mutex<BTreeMap<String, Vec<Operation>>>,
    /// Why commands and reads failed, with how often.
    pub failures: Mutex<BTreeMap<String, u64>>,
}

impl History {
    pub fn operation(&self, key: &str, operation: Operation) {
        let mut registers = self.registers.lock();
        registers.entry(key.to_owned()).or_default().push(operation);
    }

    pub fn failed(&self, what: &str, error: &client::Error) {
        let kind = format!("{what}: {}", error.code());
        *self.failures.lock().entry(kind).or_default() += 1;
    }
}
