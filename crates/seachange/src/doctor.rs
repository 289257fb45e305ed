//! Which node is slow, and why: every member's measures, taken twice, and what they say by fixed thresholds.

mod findings;
mod scrape;

use std::time::Duration;

use client::wire::{Member, Role, Status};
use environment::Environment;
use serde::Serialize;

use crate::connection;
pub use findings::{Cause, Finding, bytes, findings, time};
pub use scrape::{Histogram, Scrape};

/// What one member shows. What is not known is none.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Checked {
    /// Its id.
    pub node: u64,
    /// Its name.
    pub name: String,
    /// Where it serves HTTP.
    pub http: String,
    /// Whether it answered.
    pub answers: bool,
    /// Whether it leads.
    pub leads: bool,
    /// Why it does not apply, if it is parked.
    pub parked: Option<String>,
    /// Its fdatasyncs of the log.
    pub fsync: Option<Times>,
    /// Its entries, applied.
    pub apply: Option<Times>,
    /// Entries committed and not yet applied.
    pub apply_lag_entries: Option<f64>,
    /// Appends of the leader to it, until they were durable there.
    pub append: Option<Times>,
    /// Heartbeats of the leader to it, until they were answered: no disk is part of that.
    pub heartbeat: Option<Times>,
    /// Whether it answered the leader when that last talked to it.
    pub reached_by_leader: Option<bool>,
    /// Bytes free on its disk.
    pub disk_free_bytes: Option<f64>,
    /// Bytes of its disk.
    pub disk_total_bytes: Option<f64>,
    /// Memory that it holds.
    pub memory_bytes: Option<f64>,
}

/// How long something took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Times {
    /// Half of them took at most so long.
    pub p50_seconds: f64,
    /// 99 of 100 did.
    pub p99_seconds: f64,
    /// How many they are.
    pub count: f64,
    /// They are all since the node's start, because none came between the two looks.
    pub since_start: bool,
}

/// With fewer than these, p99 is the one slowest, which says nothing.
const COUNT_MIN: f64 = 20.0;

impl Times {
    /// What a node is judged by: p99, or p50 of few; nothing where nothing happened.
    #[must_use]
    pub fn judged_seconds(&self) -> Option<f64> {
        match (self.since_start, self.count < COUNT_MIN) {
            (true, _) => None,
            (false, true) => Some(self.p50_seconds),
            (false, false) => Some(self.p99_seconds),
        }
    }
}

/// What a member gave in one round.
struct Answer {
    status: Option<Status>,
    scrape: Option<Scrape>,
}

/// Looks at every member of `status`'s cluster, twice with `between` in between.
pub async fn check(environment: &Environment, status: &Status, between: Duration) -> Vec<Checked> {
    let before = round(environment, &status.members).await;
    environment.sleep(between).await;
    let after = round(environment, &status.members).await;
    let leads = |answer: &Answer| answer.status.as_ref().is_some_and(|status| status.role == Role::Leader);
    let leader = after.iter().position(leads);
    let leader_scrapes = leader.map(|leader| (before[leader].scrape.as_ref(), after[leader].scrape.as_ref()));
    let members = status.members.iter().zip(before.iter().zip(&after));
    members
        .map(|(member, (before, after))| {
            let mut checked = of_itself(member, before, after);
            if let Some((before, Some(after))) = leader_scrapes
                && !checked.leads
            {
                of_leader(&mut checked, before, after);
            }
            checked
        })
        .collect()
}

async fn round(environment: &Environment, members: &[Member]) -> Vec<Answer> {
    let asked = members.iter().map(|member| async {
        let address = &member.http_address;
        let status = connection::status_of(address, environment).await;
        let scrape = match &status {
            Some(_) => connection::metrics_of(address, environment).await,
            None => None,
        };
        Answer {
            status,
            scrape: scrape.map(|text| Scrape::read(&text)),
        }
    });
    futures::future::join_all(asked).await
}

/// What a member says of itself.
fn of_itself(member: &Member, before: &Answer, after: &Answer) -> Checked {
    let scrape = after.scrape.as_ref();
    let value = |name: &str| scrape.and_then(|scrape| scrape.value(name, &[]));
    let times = |name: &str| recent(before.scrape.as_ref(), scrape?, name, &[]);
    Checked {
        node: member.node,
        name: member.name.clone(),
        http: member.http_address.clone(),
        answers: after.status.is_some(),
        leads: after.status.as_ref().is_some_and(|status| status.role == Role::Leader),
        parked: after.status.as_ref().and_then(|status| status.parked.clone()),
        fsync: times("seachange_log_fsync_seconds"),
        apply: times("seachange_apply_entry_seconds"),
        apply_lag_entries: value("seachange_apply_lag_entries"),
        disk_free_bytes: value("seachange_disk_free_bytes"),
        disk_total_bytes: value("seachange_disk_total_bytes"),
        memory_bytes: value("process_resident_memory_bytes"),
        ..Checked::default()
    }
}

/// What the leader says of a member.
fn of_leader(checked: &mut Checked, before: Option<&Scrape>, after: &Scrape) {
    let peer = checked.node.to_string();
    let labels = [("peer", peer.as_str())];
    checked.append = recent(before, after, "seachange_peer_append_seconds", &labels);
    checked.heartbeat = recent(before, after, "seachange_peer_heartbeat_seconds", &labels);
    checked.reached_by_leader = after
        .value("seachange_peer_reached", &labels)
        .map(|reached| reached > 0.0);
}

/// What came between two looks; all since the start where nothing did.
fn recent(before: Option<&Scrape>, after: &Scrape, name: &str, labels: &[(&str, &str)]) -> Option<Times> {
    let all = after.histogram(name, labels);
    let between = before.map(|before| all.since(&before.histogram(name, labels)));
    let between = between.filter(|between| between.count() > 0.0);
    let (shown, since_start) = match &between {
        Some(between) => (between, false),
        None => (&all, true),
    };
    Some(Times {
        p50_seconds: shown.quantile(0.5)?,
        p99_seconds: shown.quantile(0.99)?,
        count: shown.count(),
        since_start,
    })
}
