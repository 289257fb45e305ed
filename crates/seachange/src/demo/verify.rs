//! What lies on the nodes at the end, read over HTTP as anybody could.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use client::Admin;
use client::wire::{Consistency, RowsParameters};
use environment::Environment;

use super::ledger::{Account, Transferred};
use crate::connection::{admin_at, explain};
use crate::local_cluster::LocalCluster;

/// Rows asked for at once.
const ROWS_MAX: usize = 1000;

/// What lies on the nodes.
pub struct Found {
    /// Every event of `ledger.transfers`.
    pub events: Vec<Transferred>,
    /// Every account.
    pub accounts: BTreeMap<String, Account>,
    /// Whether all nodes give the same digest at the same index.
    pub digests_equal: bool,
}

/// Waits until the nodes have come to the same index, compares them, and reads stream and accounts from the last of
/// them: any must have the same.
pub async fn look(cluster: &LocalCluster, limit: Duration, environment: &Environment) -> anyhow::Result<Found> {
    let statuses = cluster.wait_until_equal(0, limit).await?;
    let digests_equal = statuses.windows(2).all(|pair| pair[0].digest == pair[1].digest);
    let addresses: Vec<String> = cluster.addresses().into_iter().rev().take(1).collect();
    let admin = admin_at(&addresses, environment)?;
    Ok(Found {
        events: events(&admin).await?,
        accounts: accounts(&admin).await?,
        digests_equal,
    })
}

/// The sum of all balances, in cents.
pub async fn balance_sum(addresses: &[String], environment: &Environment) -> anyhow::Result<i64> {
    let admin = admin_at(addresses, environment)?;
    let accounts = accounts(&admin).await?;
    Ok(accounts.values().map(|account| account.balance).sum())
}

async fn events(admin: &Admin) -> anyhow::Result<Vec<Transferred>> {
    let mut reader = admin.events("ledger.transfers", 0, false);
    let mut events = Vec::new();
    while let Some(event) = reader.next().await.map_err(explain)? {
        anyhow::ensure!(
            event.offset == events.len() as u64,
            "the stream is not dense: after {} events comes offset {}",
            events.len(),
            event.offset
        );
        let parsed = serde_json::from_slice(&event.value);
        events.push(parsed.with_context(|| format!("event {} is no transfer", event.offset))?);
    }
    Ok(events)
}

async fn accounts(admin: &Admin) -> anyhow::Result<BTreeMap<String, Account>> {
    let mut accounts = BTreeMap::new();
    let mut start = None;
    loop {
        let parameters = RowsParameters {
            start: start.take(),
            limit: Some(ROWS_MAX),
            consistency: Consistency::Linearizable,
            ..RowsParameters::default()
        };
        let page = admin
            .scan_rows("ledger", "accounts", &parameters)
            .await
            .map_err(explain)?;
        for row in &page.rows {
            let id = String::from_utf8_lossy(&row.key).into_owned();
            let account = serde_json::from_slice(&row.document);
            accounts.insert(id.clone(), account.with_context(|| format!("account {id} is none"))?);
            // The first key behind this one.
            start = Some(format!("{id}\0"));
        }
        if !page.more || page.rows.is_empty() {
            return Ok(accounts);
        }
    }
}
