//! What the clients asked and were told, in simulated time.

use std::collections::BTreeMap;

use crate::oracles::linearizable::{Action, Operation};
use crate::world::Nanos;

/// What a client knows of a transfer that it sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There is no answer yet.
    Pending,
    /// It was applied, at that entry.
    Applied(u64),
    /// The application declined it: nothing was changed.
    Refused,
    /// The cluster said that it failed: nothing was changed.
    Failed(String),
    /// Surely nothing was done.
    NotDone,
    /// It may have been applied, once at most.
    Unknown,
}

/// Everything that all clients have seen.
#[derive(Debug, Default)]
pub struct History {
    /// Transfers, by id.
    pub transfers: BTreeMap<String, Outcome>,
    /// Operations on registers, by key.
    pub registers: BTreeMap<String, Vec<Operation>>,
    /// Sums of all balances that linearizable queries gave, with when.
    pub sums: Vec<(Nanos, i64)>,
    /// When the last command was acknowledged.
    pub acknowledged_at: Nanos,
    /// Commands that were acknowledged.
    pub acknowledged: u64,
    /// Requests that failed, by what they said.
    pub errors: BTreeMap<String, u64>,
}

/// A place among the operations on a register.
#[derive(Debug, Clone)]
pub struct Called {
    key: String,
    at: usize,
}

impl History {
    /// A client has sent something for a register.
    pub fn call(&mut self, key: &str, now: Nanos, action: Action) -> Called {
        let operations = self.registers.entry(key.to_owned()).or_default();
        operations.push(Operation {
            called: now,
            returned: None,
            action,
        });
        Called {
            key: key.to_owned(),
            at: operations.len() - 1,
        }
    }

    /// Its answer has come; with `action`, what was read.
    pub fn answer(&mut self, called: &Called, now: Nanos, action: Option<Action>) {
        let operations = self.registers.get_mut(&called.key);
        if let Some(operation) = operations.and_then(|all| all.get_mut(called.at)) {
            operation.returned = Some(now);
            operation.action = action.unwrap_or(operation.action.clone());
        }
    }

    /// Surely nothing was done: as if it had read something, and got no answer.
    pub fn take_back(&mut self, called: &Called) {
        let operations = self.registers.get_mut(&called.key);
        if let Some(operation) = operations.and_then(|all| all.get_mut(called.at)) {
            operation.action = Action::Read(None);
        }
    }

    /// A command was acknowledged.
    pub fn acknowledge(&mut self, now: Nanos) {
        self.acknowledged_at = now;
        self.acknowledged += 1;
    }

    /// A request failed.
    pub fn error(&mut self, what: &str) {
        *self.errors.entry(what.to_owned()).or_default() += 1;
    }
}
