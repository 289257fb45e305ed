//! Measures a cluster with the smallest application that does something: each command is one write.

mod histogram;
mod load;

use std::time::Duration;

use anyhow::Context;
use environment::Environment;
use serde::Serialize;

use crate::acknowledgements::Window;
use crate::connection::{admin_at, explain};
use crate::local_cluster::LocalCluster;
use crate::output;
use crate::package::{Package, PlanOptions};
use crate::watch::{Shown, Watch};
pub use histogram::Histogram;
use load::Load;

/// Nodes that are started when no cluster is named.
const NODES: usize = 3;
/// What is sent before it is measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Commands on their way at the same time.
    pub in_flight: u32,
    /// Connections over which they are spread.
    pub connections: u32,
    /// Commands that are sent and waited for together.
    pub batch: u32,
    /// Bytes of one command.
    pub bytes: u32,
    /// How long is measured.
    pub length: Duration,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Acknowledgements a second.
    pub per_second: u64,
    /// Half of all took at most so long, microseconds.
    pub p50_us: u64,
    /// All but one in a hundred took at most so long.
    pub p99_us: u64,
    /// All but one in a thousand took at most so long.
    pub p999_us: u64,
    /// Longest time without an acknowledgement.
    pub longest_gap_ms: f64,
    /// Commands that ended in an error.
    pub errors: u64,
    /// Commands acknowledged in the time measured.
    pub acknowledged: u64,
    /// Attempts that the clients repeated by themselves.
    pub retried: u64,
    /// See [`Plan`].
    pub in_flight: u32,
    /// See [`Plan`].
    pub connections: u32,
    /// See [`Plan`].
    pub batch: u32,
    /// See [`Plan`].
    pub bytes: u32,
    /// See [`Plan`].
    pub seconds: f64,
}

impl Measured {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "{} commands of {} bytes in {:.0} s, {} in flight over {} connections\n\
             {} a second, half within {} us, 99 % within {} us, 99.9 % within {} us\n\
             longest time without an acknowledgement {:.1} ms, errors {}",
            output::grouped(self.acknowledged),
            self.bytes,
            self.seconds,
            self.in_flight,
            self.connections,
            output::grouped(self.per_second),
            output::grouped(self.p50_us),
            output::grouped(self.p99_us),
            output::grouped(self.p999_us),
            self.longest_gap_ms,
            output::grouped(self.errors)
        )
    }
}

/// Measures the cluster at these addresses; without any, one that is started for it.
///
/// # Errors
/// No cluster, or the application could not be installed.
pub async fn write(plan: &Plan, addresses: &[String], environment: &Environment) -> anyhow::Result<Measured> {
    if !addresses.is_empty() {
        return write_at(plan, addresses, environment).await;
    }
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    output::progress(format!("starting {NODES} nodes"));
    let cluster = LocalCluster::start(&program, NODES, environment.clone()).await?;
    let measured = write_at(plan, &cluster.addresses(), environment).await;
    cluster.stop().await;
    measured
}

async fn write_at(plan: &Plan, addresses: &[String], environment: &Environment) -> anyhow::Result<Measured> {
    install(addresses, environment).await?;
    output::progress(format!("sending for {} s", plan.length.as_secs()));
    let load = Load::start(plan, addresses, environment)?;
    environment.sleep(WARM_UP).await;
    let from = environment.clock.now();
    let before = load.counts();
    load.measure(true);
    environment.sleep(plan.length).await;
    load.measure(false);
    let to = environment.clock.now();
    let after = load.counts();
    let (acknowledgements, latencies) = load.stop().await;
    let window = Window { from, to };
    let acknowledged = acknowledgements.count_in(window) as u64;
    let us = (to - from).as_micros().max(1);
    Ok(Measured {
        per_second: u64::try_from(u128::from(acknowledged) * 1_000_000 / us).unwrap_or(u64::MAX),
        p50_us: latencies.quantile_us(0.5),
        p99_us: latencies.quantile_us(0.99),
        p999_us: latencies.quantile_us(0.999),
        longest_gap_ms: (acknowledgements.longest_gap(window).as_secs_f64() * 10_000.0).round() / 10.0,
        errors: after.errors - before.errors,
        acknowledged,
        retried: after.retried - before.retried,
        in_flight: plan.in_flight,
        connections: plan.connections,
        batch: plan.batch,
        bytes: plan.bytes,
        seconds: (to - from).as_secs_f64(),
    })
}

async fn install(addresses: &[String], environment: &Environment) -> anyhow::Result<()> {
    let package = Package::embedded(
        include_str!("../../../apps/bench-1/manifest.toml"),
        include_bytes!("../../../apps/bench-1/bench.wasm"),
    )?;
    let admin = admin_at(addresses, environment)?;
    let list = admin.apps().await.map_err(explain)?;
    let name = &package.manifest.application;
    if list.apps.iter().any(|app| app.name == *name && app.in_force.is_some()) {
        return Ok(());
    }
    let change = package.plan(&admin, &PlanOptions::FINALIZE).await?;
    Watch::new(Shown::Nothing, environment)
        .until(&admin, change, |change| change.switch_index.is_some())
        .await?;
    Ok(())
}
