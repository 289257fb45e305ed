//! The demo: a cluster of three processes, transfers from many clients; under load a rehearsal, a version switch, a killed leader and
//! a broken version that is taken back by itself; and a look from outside at what came of every single transfer.

pub mod ledger;
mod load;
pub mod report;
pub mod tally;
mod timeline;
mod verify;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use client::Admin;
use client::wire::{ChangeRecord, RehearsalRequest, Stage};
use environment::Environment;
use futures::{StreamExt, TryStreamExt};

use crate::connection::{admin_at, client_at, explain};
use crate::local_cluster::LocalCluster;
use crate::output;
use crate::package::PlanOptions;
use crate::watch::{Shown, Watch};
use load::Load;
use report::{BalanceSum, Report};
use timeline::{Rehearsed, Timeline};

/// Nodes of the demo's cluster.
const NODES: usize = 3;
/// Clients that send transfers at the same time, each with a session of its own.
const CLIENTS: usize = 64;
/// Accounts that are opened at the same time.
const OPENED_AT_ONCE: usize = 512;
/// Cents that each account is opened with: more than transfers can ever take from it.
pub const OPENING_BALANCE: i64 = 10_000_000;
/// Commands that the new version is rehearsed on, at least.
const REHEARSED: u64 = 1_000;
/// What is counted to the switch after the new version answers, and kept away from steady state after the restart.
const SETTLE: Duration = Duration::from_secs(1);
/// How long the killed leader stays down.
const DOWN: Duration = Duration::from_secs(1);
/// How long the nodes may take to come to the same index.
const CATCH_UP_MAX: Duration = Duration::from_secs(30);

/// What is to be shown.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How long transfers run, about.
    pub length: Duration,
    /// Accounts that are opened; two at least.
    pub accounts: u32,
}

/// Runs the demo; gives what it found and the cluster, which still runs.
///
/// # Errors
/// It could not be run to its end. What it found to be wrong is no error, but stands in the report.
pub async fn run(plan: Plan, environment: &Environment) -> anyhow::Result<(Report, LocalCluster)> {
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    output::progress(format!("starting {NODES} nodes, each a process with its own directory"));
    let mut cluster = LocalCluster::start(&program, NODES, environment.clone()).await?;
    let addresses = cluster.addresses();

    output::progress("installing ledger 1 (a WASM module, sent through the log)");
    let admin = admin_at(&addresses, environment)?;
    let installed = ledger::ledger_1()?.plan(&admin, &PlanOptions::default()).await?;
    switched(&admin, installed, environment).await?;
    output::progress(format!("opening {} accounts", output::grouped(plan.accounts.into())));
    let opened = open_accounts(plan.accounts, &addresses, environment).await?;
    let before = verify::balance_sum(&addresses, environment).await?;

    output::progress(format!("sending transfers from {CLIENTS} clients"));
    let running = Load::start(CLIENTS, plan.accounts, &addresses, environment)?;
    let timeline = timeline(&mut cluster, &running, plan.length, environment).await?;
    let sent = running.stop().await;

    output::progress("looking for every transfer in the event stream and in the accounts");
    let found = verify::look(&cluster, CATCH_UP_MAX, environment).await?;
    let findings = tally::compare(
        &sent.transfers,
        &found.events,
        &opened,
        &found.accounts,
        timeline.switch_index,
    );
    let mut report = timeline.report(&sent);
    report.acknowledged += u64::from(plan.accounts);
    report.lost = opened.keys().filter(|id| !found.accounts.contains_key(*id)).count() as u64;
    report.balance_sum = BalanceSum {
        before,
        after: found.accounts.values().map(|account| account.balance).sum(),
    };
    report.digests_equal = found.digests_equal;
    report.conclude(&findings);
    Ok((report, cluster))
}

/// Waits until the version of a change answers; gives the switch's index.
async fn switched(admin: &Admin, change: u64, environment: &Environment) -> anyhow::Result<u64> {
    let change = Watch::new(Shown::Nothing, environment)
        .until(admin, change, |change| change.switch_index.is_some())
        .await?;
    change.switch_index.context("the change has no switch")
}

/// Plans the change to the next version with a rehearsal; gives the change's id.
async fn plan_rehearsed(admin: &Admin) -> anyhow::Result<u64> {
    let options = PlanOptions {
        rehearse: Some(RehearsalRequest {
            commands: Some(REHEARSED),
            // What the fee changes.
            expected: ["reply:transfer", "events:ledger.transfers/fee", "rows:accounts"]
                .map(str::to_owned)
                .into(),
            ..RehearsalRequest::default()
        }),
        ..PlanOptions::default()
    };
    ledger::ledger_2()?.plan(admin, &options).await
}

/// Waits until the rehearsal of a change has seen enough; gives what was found.
async fn rehearsed(admin: &Admin, change: u64, environment: &Environment) -> anyhow::Result<Rehearsed> {
    let has_passed = |change: &ChangeRecord| change.rehearsal.as_ref().is_some_and(|rehearsal| rehearsal.passed);
    let change = follow(admin, change, environment, has_passed).await?;
    let found = change.rehearsal.context("the change has no rehearsal")?;
    Ok(Rehearsed {
        commands: found.commands,
        expected: found.expected,
        differed: found.differed,
    })
}

async fn follow(
    admin: &Admin,
    change: u64,
    environment: &Environment,
    done: impl Fn(&ChangeRecord) -> bool,
) -> anyhow::Result<ChangeRecord> {
    let watch = Watch::new(Shown::Nothing, environment).give_up_when_stuck();
    watch.until(admin, change, done).await
}

/// Waits until every row has the shape of the version in force; gives how many had not.
async fn converted(admin: &Admin, environment: &Environment) -> anyhow::Result<u64> {
    loop {
        let conversions = admin.app("ledger").await.map_err(explain)?.conversions;
        if conversions.iter().all(|conversion| conversion.done_ms.is_some()) {
            return Ok(conversions.iter().map(|conversion| conversion.converted).sum());
        }
        environment.sleep(Duration::from_millis(20)).await;
    }
}

/// Makes the change to the broken version, and waits until it has been taken back by itself; gives where that was: the entry,
/// and the command of it.
async fn try_broken(admin: &Admin, environment: &Environment) -> anyhow::Result<(u64, u64)> {
    let id = ledger::ledger_3()?.plan(admin, &PlanOptions::default()).await?;
    let change = Watch::new(Shown::Nothing, environment)
        .until(admin, id, |change| change.stage == Stage::Reverted)
        .await?;
    let reverted = change
        .reverted
        .context("the broken version was taken back, but not by itself")?;
    Ok((reverted.index, reverted.command))
}

async fn open_accounts(
    accounts: u32,
    addresses: &[String],
    environment: &Environment,
) -> anyhow::Result<BTreeMap<String, i64>> {
    let client = client_at(addresses, environment)?;
    let opened = (0..accounts).map(|number| {
        let open = ledger::Open {
            id: ledger::account_id(number),
            owner: format!("Owner {number}"),
            balance: OPENING_BALANCE,
        };
        let client = &client;
        async move {
            let payload = serde_json::to_vec(&open)?;
            let reply = client.submit("ledger", "open", 1, payload).await.map_err(explain)?;
            anyhow::ensure!(
                reply.outcome == client::wire::CommandOutcome::Applied,
                "account {} was not opened: {}",
                open.id,
                output::text(&reply.reply)
            );
            anyhow::Ok((open.id, open.balance))
        }
    });
    futures::stream::iter(opened)
        .buffer_unordered(OPENED_AT_ONCE)
        .try_collect()
        .await
}

/// What happens while the transfers run: the switch, the kill and the restart, a version that is taken back by itself; and
/// steady time before, between and after them.
async fn timeline(
    cluster: &mut LocalCluster,
    load: &Load,
    length: Duration,
    environment: &Environment,
) -> anyhow::Result<Timeline> {
    let clock = &environment.clock;
    let mut timeline = Timeline::start(clock.now(), load.counts());
    environment.sleep(length.mul_f64(0.3)).await;

    output::progress("rehearsing ledger 2 on them: a new shape of every account, and a fee");
    let admin = admin_at(&cluster.addresses(), environment)?;
    timeline.mark_rehearsal_asked(clock.now(), load.counts());
    let change = plan_rehearsed(&admin).await?;
    let is_ready = |change: &ChangeRecord| change.stage != Stage::Preparing;
    follow(&admin, change, environment, is_ready).await?;
    timeline.mark_rehearsal_begun(clock.now(), load.counts());
    timeline.rehearsed = rehearsed(&admin, change, environment).await?;
    timeline.mark_rehearsal_over(clock.now(), load.counts());

    output::progress("switching to it while they run");
    timeline.mark_switch_asked(clock.now(), load.counts());
    timeline.switch_index = switched(&admin, change, environment).await?;
    environment.sleep(SETTLE).await;
    timeline.mark_switch_over(clock.now(), load.counts());
    output::progress(format!("switched at index {}", output::grouped(timeline.switch_index)));
    environment.sleep(length.mul_f64(0.2)).await;

    let leader = cluster.leader().await?;
    output::progress(format!(
        "killing the leader, node {}, with SIGKILL",
        cluster.nodes()[leader].name()
    ));
    timeline.mark_killed(clock.now(), load.counts());
    cluster.kill(leader)?;
    environment.sleep(DOWN).await;
    output::progress("starting it again");
    cluster.restart(leader).await?;
    wait_for_catch_up(cluster, leader, environment).await?;
    output::progress("it has caught up");
    timeline.mark_kill_over(clock.now(), load.counts());
    environment.sleep(length.mul_f64(0.1)).await;

    output::progress("keeping ledger 2, which brings every account into its shape");
    timeline.mark_kept(clock.now(), load.counts());
    admin.finalize(change, None).await.map_err(explain)?;
    timeline.rows_converted = converted(&admin, environment).await?;
    timeline.mark_converted(clock.now(), load.counts());

    output::progress("switching to ledger 3: it is broken, and traps on every 13th amount");
    timeline.mark_broken_asked(clock.now(), load.counts());
    timeline.reverted = try_broken(&admin, environment).await?;
    environment.sleep(SETTLE).await;
    timeline.mark_broken_over(clock.now(), load.counts());
    output::progress(format!(
        "taken back by itself in entry {}",
        output::grouped(timeline.reverted.0)
    ));

    let passed = clock.now() - timeline.started();
    environment.sleep(length.saturating_sub(passed).max(SETTLE)).await;
    timeline.mark_end(clock.now(), load.counts());
    Ok(timeline)
}

/// Waits until the restarted node has applied everything that was committed when it came up.
async fn wait_for_catch_up(cluster: &LocalCluster, node: usize, environment: &Environment) -> anyhow::Result<()> {
    let statuses = cluster.statuses().await;
    let goal = statuses
        .iter()
        .flatten()
        .map(|status| status.committed)
        .max()
        .unwrap_or(0);
    let deadline = environment.clock.now() + CATCH_UP_MAX;
    loop {
        let statuses = cluster.statuses().await;
        if let Some(Some(status)) = statuses.get(node)
            && status.applied >= goal
        {
            return Ok(());
        }
        if environment.clock.now() > deadline {
            let name = cluster.nodes()[node].name();
            anyhow::bail!(
                "node {name} did not catch up with index {goal} within {} s{}",
                CATCH_UP_MAX.as_secs(),
                cluster.nodes()[node].log_end()
            );
        }
        environment.sleep(Duration::from_millis(20)).await;
    }
}
