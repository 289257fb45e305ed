//! The menu: what each act of a script does.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use machine::{Body, Cluster, Level};
use node::order_rebuild;
use seachange::package::PlanOptions;

use super::Run;
use crate::fleet::{HTTP_PORT, Number, PEER_PORT, data};
use crate::operator::{self, Step};
use crate::reader::TRANSFERS;
use crate::script::{Act, Area, Port, Who};
use crate::world::{DiskFault, Host, Life, Link, MILLISECOND, SimDisk};

impl Run {
    /// The node that is meant, if there is one now.
    pub(super) fn who(&self, who: Who) -> Option<Number> {
        match who {
            Who::Node(number) => self.fleet.machine(number).map(|machine| machine.number),
            Who::Leader => self.fleet.leader(),
            Who::Follower => {
                let leader = self.fleet.leader();
                let runs = self.fleet.machines.iter().filter(|machine| machine.life.is_some());
                runs.map(|machine| machine.number)
                    .find(|number| Some(*number) != leader)
            }
        }
    }

    /// Does it; nothing where the node that is meant is not there.
    pub(super) fn act(&mut self, act: &Act) {
        self.world.trace(format_args!("act {act}"));
        tracing::info!("act: {act}");
        if self.done(act).is_some() {
            let verb = act.to_string();
            self.acted.push(verb.split(' ').next().unwrap_or_default().to_owned());
        }
    }

    /// None: the node that is meant is not there.
    fn done(&mut self, act: &Act) -> Option<()> {
        match act {
            Act::Kill(who) => self.who(*who).map(|number| self.fleet.kill(number)),
            Act::Power(who) => self.who(*who).map(|number| self.fleet.lose_power(number)),
            Act::Start(who) => self.who(*who).map(|number| self.fleet.start(number)),
            Act::Stop(who) => self.who(*who).map(|number| self.fleet.ask_to_stop(number)),
            Act::Rebuild(who) => self.who(*who).map(|number| self.rebuild(number)),
            Act::Pause(who) => self.on_life(*who, Life::hold),
            Act::Resume(who) => self.on_life(*who, Life::release),
            Act::Slow(who, ms) => self.on_life(*who, |life| life.set_lag(ms * MILLISECOND)),
            Act::Date(who, ms) => {
                let number = self.who(*who)?;
                self.fleet
                    .machine(number)
                    .map(|machine| machine.clock.set_date_off(*ms))
            }
            Act::Die(who, operations) => self.on_unsound_disk(*who, |disk| disk.die_in(*operations)),
            Act::DiskFull(who, bytes) => self.on_unsound_disk(*who, |disk| disk.add_fault(DiskFault::Full(*bytes))),
            Act::SyncFails(who) => self.on_unsound_disk(*who, |disk| disk.add_fault(DiskFault::SyncFails)),
            Act::Flip(who, area) => self.on_unsound_disk(*who, |disk| flip(disk, *area)),
            Act::DiskSlow(who, times) => self.on_disk(*who, |disk| disk.add_fault(DiskFault::Slow(*times))),
            Act::DiskSound(who) => self.on_disk(*who, SimDisk::heal),
            Act::Cut(from, to) => self.on_link(*from, *to, |link| link.cut = true),
            Act::Mend(from, to) => self.on_link(*from, *to, |link| *link = Link::default()),
            Act::Lossy(from, to, per_mille) => self.on_link(*from, *to, |link| link.loss_per_mille = *per_mille),
            Act::Latency(from, to, ms) => self.on_link(*from, *to, |link| link.jitter = ms * MILLISECOND),
            Act::Hang(one, other) => {
                let (one, other) = (self.who(*one)?, self.who(*other)?);
                (self.network.hang(Host(one), Host(other)) > 0).then_some(())
            }
            Act::Repeat(who, port) => {
                let number = self.who(*who)?;
                (self.network.repeat(Host(number), port_of(*port)) > 0).then_some(())
            }
            Act::Upgrade(name, version, _)
            | Act::UpgradeUnlessConfirmed(name, version, _)
            | Act::UpgradeOnceRehearsed(name, version, _) => self.upgrade(name, *version, options(act)),
            Act::Approve(name) => self.decide(name, Step::Approve),
            Act::Confirm(name) => self.decide(name, Step::Confirm),
            Act::Replaced(name, version) => self.replaced(name, *version),
            Act::Trim => {
                let (operator, before) = (self.operator.clone(), self.consumed.lock().committed);
                self.operate(async move { Ok(operator.admin().trim_stream(TRANSFERS, before).await.map(drop)?) })
            }
            Act::Poison => self.poison(),
            Act::Skip => self.skip_failing(),
            Act::Revert(name) => self.decide(name, Step::Revert),
            Act::Finalize(name) => self.decide(name, Step::Finalize),
            Act::Abort(name) => self.decide(name, Step::Abort),
            // What comes of it shows in the node.
            Act::Snapshot(who) => self.at_node(*who, |cluster| async move { drop(cluster.snapshot().await) }),
            Act::Verify(who) => self.at_node(*who, |cluster| async move { drop(cluster.scan_disk().await) }),
            Act::Binary(who, level) => {
                let number = self.who(*who)?;
                self.fleet.set_binary(number, Level(*level))
            }
            Act::Raise(level) => {
                let level = Level(*level);
                self.at_node(Who::Leader, move |cluster| async move {
                    let raised = cluster.propose(Body::RaiseLevel(level)).await;
                    tracing::info!("raise: {raised:?}");
                })
            }
            Act::Join => self.fleet.add().map(|number| self.fleet.start(number)),
            Act::Heal => {
                self.heal();
                Some(())
            }
        }
    }

    fn on_life(&self, who: Who, change: impl FnOnce(&Life)) -> Option<()> {
        let number = self.who(who)?;
        self.fleet.machine(number)?.life.as_ref().map(change)
    }

    fn on_disk(&self, who: Who, change: impl FnOnce(&SimDisk)) -> Option<()> {
        let number = self.who(who)?;
        self.fleet.machine(number).map(|machine| change(&machine.disk))
    }

    /// The node of such a disk may stop by itself from now on.
    fn on_unsound_disk(&mut self, who: Who, change: impl FnOnce(&SimDisk)) -> Option<()> {
        let number = self.who(who)?;
        self.excused.insert(number);
        self.on_disk(Who::Node(number), change)
    }

    fn on_link(&self, from: Who, to: Who, change: impl FnOnce(&mut Link)) -> Option<()> {
        let (from, to) = (self.who(from)?, self.who(to)?);
        self.network.set_link(Host(from), Host(to), change);
        Some(())
    }

    fn upgrade(&self, name: &str, version: u32, options: PlanOptions) -> Option<()> {
        let (operator, name) = (self.operator.clone(), name.to_owned());
        self.operate(async move { operator.upgrade(&name, version, &options).await.map(drop) })
    }

    fn poison(&mut self) -> Option<()> {
        self.poisoned = true;
        let (operator, shared) = (self.operator.clone(), self.shared.clone());
        self.operate(async move {
            let code = operator.poison().await?;
            shared.history.lock().error(code);
            Ok(())
        })
    }

    fn skip_failing(&self) -> Option<()> {
        let operator = self.operator.clone();
        self.operate(async move { operator.skip_failing().await })
    }

    fn replaced(&self, application: &str, version: u32) -> Option<()> {
        let (operator, application) = (self.operator.clone(), application.to_owned());
        let shared = self.shared.clone();
        self.operate(async move {
            let refusals = operator.bring_in_another(&application, version).await?;
            let mut history = shared.history.lock();
            refusals.iter().for_each(|code| history.error(code));
            Ok(())
        })
    }

    fn decide(&self, application: &str, step: Step) -> Option<()> {
        let (operator, application) = (self.operator.clone(), application.to_owned());
        self.operate(async move { operator.step(&application, step).await })
    }

    /// What the operator does takes its time, and the world goes on meanwhile.
    fn operate(&self, work: impl Future<Output = anyhow::Result<()>> + Send + 'static) -> Option<()> {
        self.outside.environment.spawn("operator", async move {
            if let Err(error) = work.await {
                // Refused, or without an answer: both may be, and show in the changes.
                tracing::info!("the operator: {error:#}");
            }
        });
        Some(())
    }

    fn at_node<F>(&self, who: Who, ask: impl FnOnce(Arc<dyn Cluster>) -> F) -> Option<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let number = self.who(who)?;
        let machine = self.fleet.machine(number)?;
        let cluster = machine.shown.lock().cluster.clone()?;
        let life = machine.life.as_ref()?;
        life.environment.spawn("operator's question", ask(cluster));
        Some(())
    }

    /// As `seachange rebuild` does, on a node that does not run.
    pub(super) fn rebuild(&mut self, number: Number) {
        let Some(machine) = self.fleet.machine(number).filter(|machine| machine.life.is_none()) else {
            return;
        };
        let ordered = order_rebuild(&machine.offline_disk(), &data(), "the simulation's operator");
        self.world.trace(format_args!("rebuild {number} {ordered:?}"));
        tracing::info!("rebuild {number}: {ordered:?}");
    }

    /// Ends all faults, and lets every node run.
    pub(super) fn heal(&mut self) {
        self.network.heal();
        for number in 1..=u8::try_from(self.fleet.machines.len()).unwrap_or(u8::MAX) {
            let Some(machine) = self.fleet.machine(number) else {
                continue;
            };
            machine.disk.heal();
            machine.clock.set_date_off(0);
            if let Some(life) = &machine.life {
                life.set_lag(0);
                life.release();
            }
            self.fleet.start(number);
        }
        self.to_start.clear();
    }
}

fn flip(disk: &SimDisk, area: Area) {
    let flipped = disk.flip_bit(directory(area));
    tracing::info!("flipped {flipped:?}");
}

fn port_of(port: Port) -> u16 {
    match port {
        Port::Peers => PEER_PORT,
        Port::Clients => HTTP_PORT,
    }
}

fn directory(area: Area) -> &'static str {
    match area {
        Area::Log => "/log/",
        Area::State => "/state",
        Area::Streams => "/streams/",
        Area::Snapshots => "/snapshots/",
    }
}

/// How the version of an upgrade is to be brought in.
fn options(act: &Act) -> PlanOptions {
    let mut options = PlanOptions::default();
    match act {
        Act::Upgrade(_, _, finalize) => options.finalize = *finalize,
        Act::UpgradeUnlessConfirmed(_, _, seconds) => options.confirm_within = Some(Duration::from_secs(*seconds)),
        Act::UpgradeOnceRehearsed(_, _, commands) => options.rehearse = Some(operator::rehearsal(*commands)),
        _ => {}
    }
    options
}
