//! Clients that write and read all the while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::wire::{Code, CommandOutcome, CommandReply, Consistency};
use client::{Admin, Client, Error, Options};
use environment::Environment;
use futures::future::join_all;
use serde_json::json;
use sim::oracles::linearizable::{Action, Operation};

use sim::world::Dice;

use crate::history::{History, Outcome, Transfer};

/// Accounts, and what each begins with: so much that no transfer is refused for want of it.
pub const ACCOUNTS: usize = 20;
pub const OPENED_WITH: i64 = 1_000_000;
const PAYERS: usize = 6;
const WRITERS: usize = 4;
/// Of each kind.
const READERS: usize = 3;
/// Commands that share a client, and so its session and its connection.
const SHARING: usize = 3;
/// For how long a request is tried. The one outlasts most faults, so that commands are repeated; the other does not, so that
/// outcomes become unknown.
const DEADLINES: [Duration; 2] = [Duration::from_secs(5), Duration::from_millis(600)];
/// Between two requests of one of them: enough is asked without taking the machine from the nodes.
const PACE: Duration = Duration::from_millis(10);
/// Keys written at one time; and for how long, so that no history grows past what can be checked.
const KEYS: usize = 4;
const KEYS_FOR: Duration = Duration::from_secs(2);

/// The world as the clients know it.
#[derive(Clone)]
pub struct Load {
    pub addresses: Vec<String>,
    pub environment: Environment,
    pub history: Arc<History>,
    pub over: Arc<AtomicBool>,
}

pub fn account(number: usize) -> String {
    format!("account-{number:02}")
}

/// What a register holds: the row's document is the value as a JSON string.
pub async fn read_register(admin: &Admin, key: &str) -> Result<Option<String>, Error> {
    match admin.get_row("bench", "values", key, Consistency::Linearizable).await {
        Ok(answer) => Ok(Some(value_of(&answer.row.document))),
        Err(error) if error.code() == Code::RowNotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn value_of(document: &[u8]) -> String {
    // What is no such string nobody has written: as a value it is one that no order explains.
    serde_json::from_slice(document).unwrap_or_else(|_| format!("{document:?}"))
}

/// How a reader reads.
enum Reader {
    /// Over HTTP, from one node: a follower answers with what its leader confirms.
    Http(Admin),
    /// Over the framed protocol, from the leader.
    Frames(Client),
}

impl Reader {
    async fn read(&self, key: &str) -> Result<Option<String>, Error> {
        match self {
            Reader::Http(admin) => read_register(admin, key).await,
            Reader::Frames(client) => {
                let (_, document) = client.get("bench", "values", key, Consistency::Linearizable).await?;
                Ok(document.map(|document| value_of(&document)))
            }
        }
    }
}

impl Load {
    /// Opens the accounts.
    pub async fn open_accounts(&self) -> anyhow::Result<()> {
        let client = self.client("opener", Duration::from_secs(30))?;
        for number in 0..ACCOUNTS {
            let open = json!({"id": account(number), "owner": "Ada Lovelace", "balance": OPENED_WITH});
            let reply = client.submit("ledger", "open", 1, open.to_string()).await?;
            anyhow::ensure!(reply.outcome == CommandOutcome::Applied, "{reply:?}");
        }
        Ok(())
    }

    /// Runs until it is over and the last answer has come.
    pub async fn run(&self, dice: &mut Dice) -> anyhow::Result<()> {
        let (mut payers, mut writers, mut readers) = (Vec::new(), Vec::new(), Vec::new());
        let mut client = self.client("0", DEADLINES[0])?;
        for number in 0..PAYERS + WRITERS {
            if number % SHARING == 0 {
                let deadline = DEADLINES[number / SHARING % DEADLINES.len()];
                client = self.client(&number.to_string(), deadline)?;
            }
            match number < PAYERS {
                true => payers.push(self.pay(number, client.clone(), dice.fork())),
                false => writers.push(self.write(number, client.clone(), dice.fork())),
            }
        }
        for number in 0..READERS {
            let options = Options::new(self.addresses.clone()).deadline(DEADLINES[0]);
            let admin = Admin::new(self.environment.clone(), options)?;
            let admin = admin.at(self.addresses[number % self.addresses.len()].clone())?;
            readers.push(self.read(Reader::Http(admin), dice.fork()));
            let client = self.client(&format!("reader {number}"), DEADLINES[number % DEADLINES.len()])?;
            readers.push(self.read(Reader::Frames(client), dice.fork()));
        }
        futures::join!(join_all(payers), join_all(writers), join_all(readers));
        Ok(())
    }

    fn client(&self, name: &str, deadline: Duration) -> Result<Client, Error> {
        let options = Options::new(self.addresses.clone()).named(name).deadline(deadline);
        Client::connect(self.environment.clone(), options)
    }

    /// Microseconds.
    pub fn now(&self) -> u64 {
        u64::try_from(self.environment.clock.now().0.as_micros()).unwrap_or(u64::MAX)
    }

    async fn goes_on(&self) -> bool {
        self.environment.sleep(PACE).await;
        !self.over.load(Ordering::Relaxed)
    }

    async fn pay(&self, payer: usize, client: Client, mut dice: Dice) {
        let mut number = 0;
        while self.goes_on().await {
            number += 1;
            let from = dice.index(ACCOUNTS);
            let to = (from + 1 + dice.index(ACCOUNTS - 1)) % ACCOUNTS;
            let mut transfer = Transfer {
                id: format!("{payer}-{number}"),
                from: account(from),
                to: account(to),
                amount: 1 + i64::try_from(dice.index(100)).unwrap_or(0),
                called: self.now(),
                returned: 0,
                outcome: Outcome::Unknown(String::new()),
            };
            let Transfer {
                id, from, to, amount, ..
            } = &transfer;
            let payload = json!({"id": id, "from": from, "to": to, "amount": amount});
            let result = client.submit("ledger", "transfer", 1, payload.to_string()).await;
            if let Err(error) = &result {
                self.history.failed("transfer", error);
            }
            transfer.returned = self.now();
            transfer.outcome = outcome_of(result);
            self.history.transfers.lock().push(transfer);
        }
    }

    /// A key of those that are written now. It has the sixteen bytes that the application takes for one.
    fn key(&self, dice: &mut Dice) -> String {
        let round = self.environment.clock.now().0.as_millis() / KEYS_FOR.as_millis();
        format!("{round:08}-{:07}", dice.index(KEYS))
    }

    async fn write(&self, writer: usize, client: Client, mut dice: Dice) {
        let mut number = 0;
        while self.goes_on().await {
            number += 1;
            let key = self.key(&mut dice);
            let value = format!("{writer}-{number}");
            let called = self.now();
            let payload = format!("{key}{}", json!(value));
            let result = client.submit("bench", "put", 1, payload).await;
            if let Err(error) = &result {
                self.history.failed("write", error);
            }
            let returned = match result {
                Ok(reply) if reply.outcome == CommandOutcome::Applied => Some(self.now()),
                Err(error) if may_be_done(&error) => None,
                // Surely not done: a value that is read all the same is one that nobody wrote.
                Ok(_) | Err(_) => continue,
            };
            let operation = Operation {
                called,
                returned,
                action: Action::Write(value),
            };
            self.history.operation(&key, operation);
        }
    }

    async fn read(&self, reader: Reader, mut dice: Dice) {
        while self.goes_on().await {
            let key = self.key(&mut dice);
            let called = self.now();
            match reader.read(&key).await {
                Ok(seen) => {
                    let operation = Operation {
                        called,
                        returned: Some(self.now()),
                        action: Action::Read(seen),
                    };
                    self.history.operation(&key, operation);
                }
                // A read without an answer says nothing.
                Err(error) => self.history.failed("read", &error),
            }
        }
    }
}

fn may_be_done(error: &Error) -> bool {
    match error {
        Error::OutcomeUnknown(_) | Error::Unreadable { .. } => true,
        Error::Problem(_) => error.is_outcome_unknown(),
        Error::Unavailable(_) | Error::Invalid(_) => false,
    }
}

fn outcome_of(result: Result<CommandReply, Error>) -> Outcome {
    match result {
        Ok(reply) if reply.outcome == CommandOutcome::Applied => match serde_json::from_slice(&reply.reply) {
            Ok(balances) => Outcome::Acknowledged(balances),
            Err(error) => Outcome::NothingDone(format!("applied with the reply {:?}: {error}", reply.reply)),
        },
        Ok(reply) => Outcome::NothingDone(String::from_utf8_lossy(&reply.reply).into_owned()),
        Err(error) if may_be_done(&error) => Outcome::Unknown(error.to_string()),
        Err(error) => Outcome::NothingDone(error.to_string()),
    }
}
