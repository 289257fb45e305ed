//! What lies on the nodes once all is over.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use client::Admin;
use client::wire::{Consistency, RowsParameters, Status};
use environment::Environment;
use sim::oracles::linearizable::{Action, Operation};

use crate::load::{Load, read_register};
use crate::nodes::Nodes;
use crate::plan::NODES;

/// How long the nodes may take to become equal once all is well.
const SETTLE_MAX: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(50);
const ROWS_MAX: usize = 1000;

/// What one node shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub transfers: Vec<Event>,
    /// Cents by account.
    pub balances: BTreeMap<String, i64>,
}

/// An event of `ledger.transfers`, at its offset.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Event {
    #[serde(skip)]
    pub offset: u64,
    pub id: String,
    pub from: String,
    pub to: String,
    pub amount: i64,
    /// Of version 2 only.
    pub fee: Option<i64>,
}

#[derive(serde::Deserialize)]
struct Account {
    balance: Balance,
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Balance {
    Shape1(i64),
    Shape2 { amount: i64 },
}

/// Waits until all nodes have applied the same entries with the same result. Nothing may be sent meanwhile.
pub async fn settle(nodes: &Nodes, environment: &Environment) -> anyhow::Result<Vec<Status>> {
    let deadline = environment.clock.now() + SETTLE_MAX;
    loop {
        let here: Vec<Status> = nodes.statuses().await.into_iter().flatten().collect();
        let front = here.iter().map(|status| status.last.max(status.committed)).max();
        let equal = here
            .iter()
            .all(|status| Some(status.applied) == front && status.leader.is_some() && status.parked.is_none());
        if here.len() == NODES && equal {
            let digests_equal = here.windows(2).all(|pair| pair[0].digest == pair[1].digest);
            ensure!(digests_equal, "the digests differ at the same index: {here:?}");
            return Ok(here);
        }
        if environment.clock.now() > deadline {
            bail!(
                "the nodes did not become equal within {SETTLE_MAX:?}: {here:?}{}",
                nodes.log_ends()
            );
        }
        environment.sleep(POLL).await;
    }
}

/// Looks at one node, past its proxy.
pub async fn look(nodes: &Nodes, number: usize) -> anyhow::Result<Shown> {
    let admin = nodes.admin_of(number)?;
    Ok(Shown {
        transfers: transfers(&admin).await?,
        balances: balances(&admin).await?,
    })
}

async fn transfers(admin: &Admin) -> anyhow::Result<Vec<Event>> {
    let mut reader = admin.events("ledger.transfers", 0, false);
    let mut events = Vec::new();
    while let Some(record) = reader.next().await? {
        let event: Event = serde_json::from_slice(&record.value)
            .with_context(|| format!("event {} is no transfer: {:?}", record.offset, record.value))?;
        events.push(Event {
            offset: record.offset,
            ..event
        });
    }
    Ok(events)
}

async fn balances(admin: &Admin) -> anyhow::Result<BTreeMap<String, i64>> {
    let parameters = RowsParameters {
        limit: Some(ROWS_MAX),
        consistency: Consistency::Linearizable,
        ..RowsParameters::default()
    };
    let page = admin.scan_rows("ledger", "accounts", &parameters).await?;
    ensure!(!page.more, "more accounts than were opened");
    let mut balances = BTreeMap::new();
    for row in page.rows {
        let account: Account = serde_json::from_slice(&row.document).context("an account is none")?;
        let balance = match account.balance {
            Balance::Shape1(amount) | Balance::Shape2 { amount } => amount,
        };
        balances.insert(String::from_utf8_lossy(&row.key).into_owned(), balance);
    }
    Ok(balances)
}

/// Reads every key at every node, as the last operations of its history.
pub async fn read_all_registers(load: &Load, nodes: &Nodes) -> anyhow::Result<()> {
    let keys: Vec<String> = load.history.registers.lock().keys().cloned().collect();
    for number in 0..NODES {
        let admin = nodes.admin_of(number)?;
        for key in &keys {
            let called = load.now();
            let seen = read_register(&admin, key).await?;
            let read = Operation {
                called,
                returned: Some(load.now()),
                action: Action::Read(seen),
            };
            load.history.operation(key, read);
        }
    }
    Ok(())
}
