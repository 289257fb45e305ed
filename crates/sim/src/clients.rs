//! The clients: the real client library on simulated sockets, sending transfers, registers and reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::wire::{Code, CommandOutcome, CommandReply, Consistency};
use client::{Admin, Client, Error, Options};
use environment::Environment;
use parking_lot::Mutex;
use seachange::demo::ledger::TransferCommand;
use serde_json::Value;

use crate::history::{History, Outcome};
use crate::oracles::linearizable::Action;
use crate::world::{Dice, Nanos, World};

/// Accounts that the ledger begins with, and what each holds.
pub const ACCOUNTS: u64 = 12;
/// In cents.
pub const BALANCE: i64 = 10_000;
/// Registers that clients write and read.
const REGISTERS: u64 = 4;

/// What all clients share.
pub struct Shared {
    /// The world, for its time.
    pub world: World,
    /// What they have seen.
    pub history: Mutex<History>,
    /// They end after what they are at.
    pub stop: AtomicBool,
    /// Addresses of the nodes.
    pub addresses: Vec<String>,
}

/// One client.
pub struct Sender {
    shared: Arc<Shared>,
    environment: Environment,
    number: u64,
    dice: Dice,
    client: Client,
    admin: Admin,
    sent: u64,
    /// Between two requests, at most.
    pause: Duration,
}

/// The name of an account.
#[must_use]
pub fn account(number: u64) -> String {
    format!("account-{number:02}")
}

impl Sender {
    /// A client that knows one node at first, or all.
    ///
    /// # Errors
    /// The options are refused, which is a mistake of the simulator.
    pub fn new(
        shared: &Arc<Shared>,
        environment: Environment,
        number: u64,
        mut dice: Dice,
        pause: Duration,
    ) -> Result<Sender, Error> {
        let known = match dice.flip() {
            true => shared.addresses.clone(),
            false => dice.pick(&shared.addresses).cloned().into_iter().collect(),
        };
        let deadline = Duration::from_secs(dice.between(2, 40));
        let options = Options::new(known).named(format!("client-{number}")).deadline(deadline);
        Ok(Sender {
            client: Client::connect(environment.clone(), options.clone())?,
            admin: Admin::new(environment.clone(), options)?,
            shared: shared.clone(),
            environment,
            number,
            dice,
            sent: 0,
            pause,
        })
    }

    /// Sends until it is told to stop.
    pub async fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let most = u64::try_from(self.pause.as_micros()).unwrap_or(u64::MAX);
            let pause = Duration::from_micros(self.dice.below(most.saturating_add(1)));
            self.environment.sleep(pause).await;
            self.sent += 1;
            match self.dice.below(100) {
                0..45 => self.transfer().await,
                45..70 => self.write().await,
                70..94 => self.read().await,
                94.. => self.sum().await,
            }
        }
    }

    fn now(&self) -> Nanos {
        self.shared.world.now()
    }

    async fn transfer(&mut self) {
        let from = self.dice.below(ACCOUNTS);
        let to = (from + 1 + self.dice.below(ACCOUNTS - 1)) % ACCOUNTS;
        let id = format!("t-{}-{}", self.number, self.sent);
        let amount = u32::try_from(self.dice.between(1, 40)).unwrap_or(1);
        let command = TransferCommand {
            id: id.clone(),
            from: account(from),
            to: account(to),
            amount,
        };
        let Ok(payload) = serde_json::to_vec(&command) else {
            return;
        };
        self.set(&id, Outcome::Pending);
        // Some belong to no session: then nobody may send them again once they may have been received.
        let answer = match self.dice.below(4) {
            0 => {
                let traced = self.admin.submit_traced("ledger", "transfer", 1, payload).await;
                traced.map(|(reply, _)| reply)
            }
            _ => self.client.submit("ledger", "transfer", 1, payload).await,
        };
        let outcome = self.outcome(answer);
        let is_known = matches!(outcome, Outcome::Applied(_) | Outcome::Refused);
        self.set(&id, outcome);
        if is_known {
            let now = self.now();
            self.shared.history.lock().acknowledge(now);
        }
    }

    fn set(&self, id: &str, outcome: Outcome) {
        self.shared.history.lock().transfers.insert(id.to_owned(), outcome);
    }

    fn outcome(&self, answer: Result<CommandReply, Error>) -> Outcome {
        match answer {
            Ok(reply) => match reply.outcome {
                CommandOutcome::Applied => Outcome::Applied(reply.index),
                CommandOutcome::Refused => Outcome::Refused,
            },
            Err(error) => self.failure(&error),
        }
    }

    fn failure(&self, error: &Error) -> Outcome {
        self.shared.history.lock().error(error.code().name());
        match error {
            Error::Unavailable(_) | Error::Invalid(_) => Outcome::NotDone,
            Error::OutcomeUnknown(_) | Error::Unreadable { .. } => Outcome::Unknown,
            Error::Problem(problem) if problem.code == Code::OutcomeUnknown => Outcome::Unknown,
            Error::Problem(problem) => Outcome::Failed(problem.code.name().to_owned()),
        }
    }

    async fn write(&mut self) {
        let key = self.key();
        // As JSON, so that it comes back as it was sent.
        let value = format!("\"{}-{}\"", self.number, self.sent);
        let payload = format!("{key}{value}");
        let now = self.now();
        let called = self.shared.history.lock().call(&key, now, Action::Write(value));
        let answer = self.client.submit("bench", "put", 1, payload).await;
        let outcome = self.outcome(answer);
        let now = self.now();
        let mut history = self.shared.history.lock();
        match outcome {
            Outcome::Applied(_) | Outcome::Refused => {
                history.acknowledge(now);
                history.answer(&called, now, None);
            }
            Outcome::NotDone | Outcome::Failed(_) => history.take_back(&called),
            Outcome::Unknown | Outcome::Pending => {}
        }
    }

    async fn read(&mut self) {
        let key = self.key();
        let now = self.now();
        let called = self.shared.history.lock().call(&key, now, Action::Read(None));
        let answer = self
            .admin
            .get_row("bench", "values", &key, Consistency::Linearizable)
            .await;
        let seen = match answer {
            Ok(answer) => Some(String::from_utf8_lossy(&answer.row.document).into_owned()),
            Err(Error::Problem(problem)) if problem.code == Code::RowNotFound => None,
            Err(error) => {
                self.failure(&error);
                return;
            }
        };
        let now = self.now();
        let action = Some(Action::Read(seen));
        self.shared.history.lock().answer(&called, now, action);
    }

    async fn sum(&mut self) {
        let answer = self.admin.query("ledger", "total", "", Consistency::Linearizable).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.failure(&error);
                return;
            }
        };
        let total: Value = serde_json::from_slice(&answer.answer).unwrap_or_default();
        let now = self.now();
        let sum = total["balance"].as_i64().unwrap_or(i64::MIN);
        self.shared.history.lock().sums.push((now, sum));
    }

    /// Of sixteen bytes, as the application asks.
    fn key(&mut self) -> String {
        format!("register-{:07}", self.dice.below(REGISTERS))
    }
}
