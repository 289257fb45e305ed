use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use environment::Environment;
use sim::oracles::ending;
use sim::oracles::linearizable::{self, Action, Operation};

use sim::world::Dice;

use crate::evidence::{self, Shown};
use crate::faults::Faults;
use crate::history::{History, Outcome, Transfer};
use crate::load::Load;
use crate::nodes::{Nodes, SMALL};
use crate::operator::Operator;
use crate::oracles;
use crate::plan::{Fault, NODES, Plan};
use crate::small_disk::SmallDisk;

/// What one run is to be.
pub struct Settings {
    pub seed: u64,
    pub time: Duration,
    pub keep: bool,
    pub program: PathBuf,
}

/// Commands acknowledged and reads answered for each second of faults, at least: a cluster that answers nothing tells no
/// lies either.
const ANSWERED_A_SECOND_MIN: u64 = 10;

/// One run, from the first node's start to the last oracle's word.
pub async fn run(settings: Settings, environment: Environment) -> anyhow::Result<()> {
    let mut dice = Dice::new(settings.seed, "chaos");
    let disk = SmallDisk::make()
        .inspect_err(|error| println!("SKIPPED: no disk is filled, because no small one can be made: {error}"))
        .ok();
    let plan = Plan::draw(&mut dice.fork(), settings.time, disk.is_some().then_some(SMALL));
    let begun = environment.clock.now();
    let nodes = Nodes::start(&settings.program, disk, settings.keep, environment.clone()).await?;
    let mut faults = Faults {
        nodes,
        environment: environment.clone(),
        begun,
        done: BTreeMap::new(),
    };
    let load = Load {
        addresses: faults.nodes.addresses(),
        environment: environment.clone(),
        history: Arc::new(History::default()),
        over: Arc::new(AtomicBool::new(false)),
    };
    let operator = Operator::new(&load.addresses, &environment)?;
    operator.change("ledger-1", true).await?;
    operator.change("bench-1", true).await?;
    load.open_accounts().await?;
    faults.say("the nodes serve, the accounts are open");
    let outcome = act(&mut faults, &load, &operator, &plan, settings.time, dice).await;
    outcome.map_err(|error| with_logs(&error, &faults.nodes))?;
    let statuses = evidence::settle(&faults.nodes, &environment).await?;
    faults.say(&format!("the nodes are equal at entry {}", statuses[0].applied));
    judge(&mut faults, &load, &operator)
        .await
        .map_err(|error| with_logs(&error, &faults.nodes))?;
    enough_happened(&faults, &load.history, settings.time)
}

/// What is wrong stands first, however much follows.
fn with_logs(error: &anyhow::Error, nodes: &Nodes) -> anyhow::Error {
    anyhow::anyhow!("{error:#}\n{}", nodes.log_ends())
}

/// Load, faults and operator at once.
async fn act(
    faults: &mut Faults,
    load: &Load,
    operator: &Operator,
    plan: &Plan,
    time: Duration,
    mut dice: Dice,
) -> anyhow::Result<()> {
    let environment = faults.environment.clone();
    let (begun, at) = (faults.begun, environment.clock.now());
    let say = |text: &str| {
        let since = environment.clock.now() - begun;
        println!("{:7.2} s  operator: {text}", since.as_secs_f64());
    };
    let change = async {
        environment
            .clock
            .sleep_until(at + time * plan.upgrade_permille / 1000)
            .await;
        say("upgrades the ledger");
        let change = operator.change("ledger-2", false).await?;
        say("version 2 answers");
        environment
            .clock
            .sleep_until(at + time * plan.revert_permille / 1000)
            .await;
        say("takes the upgrade back");
        operator.revert(change).await?;
        say("version 1 answers again");
        anyhow::Ok(())
    };
    let harm_and_change = async {
        futures::try_join!(faults.carry_out(plan, time), change)?;
        load.over.store(true, Ordering::Relaxed);
        anyhow::Ok(())
    };
    futures::try_join!(load.run(&mut dice), harm_and_change)?;
    Ok(())
}

/// Every oracle; and each of the two that matter most must find a lie in this very history.
async fn judge(faults: &mut Faults, load: &Load, operator: &Operator) -> anyhow::Result<()> {
    let mut shown = Vec::new();
    for number in 0..NODES {
        shown.push(evidence::look(&faults.nodes, number).await?);
    }
    let sent = load.history.transfers.lock().clone();
    oracles::transfers::check(&sent, &shown)?;
    a_lost_transfer_would_be_found(&sent, &shown)?;
    evidence::read_all_registers(load, &faults.nodes).await?;
    let mut registers = load.history.registers.lock().clone();
    linearizable::check(&registers).map_err(|violation| anyhow::anyhow!("no order explains {violation:#?}"))?;
    a_stale_read_would_be_found(&mut registers)?;
    ending::check_changes(&operator.changes().await?).map_err(|(oracle, what)| anyhow::anyhow!("{oracle}: {what}"))?;
    faults.nodes.check_running()?;
    for node in &faults.nodes.nodes {
        oracles::logs::tells_of_nothing_unexplained(&node.name, &node.log())?;
    }
    Ok(())
}

fn a_lost_transfer_would_be_found(sent: &[Transfer], shown: &[Shown]) -> anyhow::Result<()> {
    let last = sent
        .iter()
        .rfind(|transfer| matches!(transfer.outcome, Outcome::Acknowledged(_)));
    let id = &last.context("no transfer was acknowledged")?.id;
    let mut less = shown.to_vec();
    for shown in &mut less {
        shown.transfers.retain(|event| event.id != *id);
    }
    ensure!(
        oracles::transfers::check(sent, &less).is_err(),
        "a transfer that is lost is not found"
    );
    Ok(())
}

fn a_stale_read_would_be_found(registers: &mut BTreeMap<String, Vec<Operation>>) -> anyhow::Result<()> {
    let written = |operations: &Vec<Operation>| {
        operations
            .iter()
            .any(|operation| operation.returned.is_some() && matches!(operation.action, Action::Write(_)))
    };
    let (key, operations) = registers
        .iter_mut()
        .find(|(_, operations)| written(operations))
        .context("no write was acknowledged")?;
    let now = operations
        .iter()
        .filter_map(|operation| operation.returned)
        .max()
        .unwrap_or(0);
    operations.push(Operation {
        called: now + 1,
        returned: Some(now + 2),
        action: Action::Read(None),
    });
    ensure!(
        !linearizable::is_linearizable(operations),
        "a stale read of {key} is not found"
    );
    Ok(())
}

/// The run was worth its time.
fn enough_happened(faults: &Faults, history: &History, time: Duration) -> anyhow::Result<()> {
    let transfers = history.transfers.lock();
    let acknowledged = transfers
        .iter()
        .filter(|sent| matches!(sent.outcome, Outcome::Acknowledged(_)));
    let unknown = transfers
        .iter()
        .filter(|sent| matches!(sent.outcome, Outcome::Unknown(_)));
    let registers = history.registers.lock();
    let answered = |reads: bool| {
        let of_kind = |operation: &&Operation| matches!(operation.action, Action::Read(_)) == reads;
        let all = registers.values().flatten().filter(of_kind);
        all.filter(|operation| operation.returned.is_some()).count()
    };
    let counts = [acknowledged.count(), answered(false), answered(true)];
    println!(
        "transfers: {} acknowledged, {} unknown; writes: {}; reads: {}; failures: {:?}",
        counts[0],
        unknown.count(),
        counts[1],
        counts[2],
        history.failures.lock()
    );
    println!("faults: {:?}", faults.done);
    let least = usize::try_from(ANSWERED_A_SECOND_MIN * time.as_secs())?;
    ensure!(
        counts.iter().all(|count| *count >= least),
        "too little was answered: {counts:?}"
    );
    for fault in Fault::ALL {
        let possible = faults.nodes.disk.is_some() || !fault.fills_the_disk();
        ensure!(
            !possible || faults.done.contains_key(&fault.to_string()),
            "{fault}: it did not happen"
        );
    }
    Ok(())
}
