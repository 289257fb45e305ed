//! The menu: what each act of a script does.

use futures::FutureExt;
use node::order_rebuild;

use super::Run;
use crate::fleet::{HTTP_PORT, Number, PEER_PORT, data};
use crate::operator::Operator;
use crate::script::{Act, Area, Port, Who};
use crate::world::{DiskFault, Host, Link, MILLISECOND};

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
        let done = match act {
            Act::Kill(who) | Act::Power(who) | Act::Start(who) | Act::Stop(who) | Act::Rebuild(who) => {
                self.who(*who).map(|number| self.act_on_process(act, number))
            }
            Act::Pause(who) | Act::Resume(who) | Act::Slow(who, _) | Act::Date(who, _) => {
                self.who(*who).map(|number| self.act_on_pace(act, number))
            }
            Act::Die(who, _)
            | Act::DiskSlow(who, _)
            | Act::DiskFull(who, _)
            | Act::SyncFails(who)
            | Act::DiskSound(who)
            | Act::Flip(who, _) => self.who(*who).map(|number| self.act_on_disk(act, number)),
            Act::Cut(one, other)
            | Act::Mend(one, other)
            | Act::Lossy(one, other, _)
            | Act::Latency(one, other, _)
            | Act::Hang(one, other) => self
                .who(*one)
                .zip(self.who(*other))
                .map(|(one, other)| self.act_on_link(act, one, other)),
            Act::Repeat(who, port) => self.who(*who).map(|number| {
                let port = match port {
                    Port::Peers => PEER_PORT,
                    Port::Clients => HTTP_PORT,
                };
                self.network.repeat(Host(number), port);
            }),
            Act::Upgrade(..) | Act::Revert(_) | Act::Finalize(_) | Act::Abort(_) => {
                self.act_as_operator(act.clone());
                Some(())
            }
            Act::Snapshot(who) | Act::Verify(who) => self.who(*who).map(|number| self.act_at_node(act, number)),
            Act::Join => {
                self.join();
                Some(())
            }
            Act::Heal => {
                self.heal();
                Some(())
            }
        };
        if done.is_some() {
            let verb = act.to_string();
            self.acted.push(verb.split(' ').next().unwrap_or_default().to_owned());
        }
    }

    fn act_on_process(&mut self, act: &Act, number: Number) {
        match act {
            Act::Kill(_) => self.fleet.kill(number),
            Act::Power(_) => self.fleet.lose_power(number),
            Act::Start(_) => self.fleet.start(number),
            Act::Stop(_) => self.fleet.ask_to_stop(number),
            _ => self.rebuild(number),
        }
    }

    fn act_on_pace(&self, act: &Act, number: Number) {
        let Some(machine) = self.fleet.machine(number) else {
            return;
        };
        let life = machine.life.as_ref();
        match (act, life) {
            (Act::Date(_, ms), _) => machine.clock.set_date_off(*ms),
            (Act::Pause(_), Some(life)) => life.hold(),
            (Act::Resume(_), Some(life)) => life.release(),
            (Act::Slow(_, ms), Some(life)) => life.set_lag(ms * MILLISECOND),
            (_, _) => {}
        }
    }

    fn act_on_disk(&mut self, act: &Act, number: Number) {
        let Some(machine) = self.fleet.machine(number) else {
            return;
        };
        let disk = machine.disk.clone();
        match act {
            Act::Die(_, operations) => disk.die_in(*operations),
            Act::DiskSlow(_, times) => disk.add_fault(DiskFault::Slow(*times)),
            Act::DiskFull(_, bytes) => disk.add_fault(DiskFault::Full(*bytes)),
            Act::SyncFails(_) => disk.add_fault(DiskFault::SyncFails),
            Act::Flip(_, area) => {
                let flipped = disk.flip_bit(directory(*area));
                self.world.trace(format_args!("flipped {flipped:?}"));
                tracing::info!("flipped {flipped:?}");
            }
            _ => disk.heal(),
        }
        if !matches!(act, Act::DiskSlow(..) | Act::DiskSound(_)) {
            self.excused.insert(number);
        }
    }

    fn act_on_link(&self, act: &Act, one: Number, other: Number) {
        let (one, other) = (Host(one), Host(other));
        let set = |change: &dyn Fn(&mut Link)| self.network.set_link(one, other, change);
        match act {
            Act::Cut(..) => set(&|link| link.cut = true),
            Act::Lossy(_, _, per_mille) => set(&|link| link.loss_per_mille = *per_mille),
            Act::Latency(_, _, ms) => set(&|link| link.jitter = ms * MILLISECOND),
            Act::Hang(..) => drop(self.network.hang(one, other)),
            _ => set(&|link| *link = Link::default()),
        }
    }

    /// What the operator does takes its time, and the world goes on meanwhile.
    fn act_as_operator(&self, act: Act) {
        let operator = self.operator.clone();
        let done = async move {
            if let Err(error) = operate(&operator, &act).await {
                // Refused, or without an answer: both may be, and show in the changes.
                tracing::info!("{act}: {error:#}");
            }
        };
        self.outside.environment.spawn("operator", done);
    }

    fn act_at_node(&self, act: &Act, number: Number) {
        let Some(machine) = self.fleet.machine(number) else {
            return;
        };
        let Some(cluster) = machine.shown.lock().cluster.clone() else {
            return;
        };
        let Some(life) = &machine.life else { return };
        let is_snapshot = matches!(act, Act::Snapshot(_));
        let asked = async move {
            // What comes of it shows in the node.
            match is_snapshot {
                true => drop(cluster.snapshot().await),
                false => drop(cluster.scan_disk().await),
            }
        };
        life.environment.spawn("operator's question", asked.map(|()| ()));
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

    fn join(&mut self) {
        if let Some(number) = self.fleet.add() {
            self.fleet.start(number);
        }
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

fn directory(area: Area) -> &'static str {
    match area {
        Area::Log => "/log/",
        Area::State => "/state",
        Area::Streams => "/streams/",
        Area::Snapshots => "/snapshots/",
    }
}

async fn operate(operator: &Operator, act: &Act) -> anyhow::Result<()> {
    let reason = || Some("the simulation's operator".to_owned());
    let (application, admin) = match act {
        Act::Upgrade(name, version, finalize) => {
            return operator.upgrade(name, *version, *finalize).await.map(drop);
        }
        Act::Revert(name) | Act::Finalize(name) | Act::Abort(name) => (name, operator.admin()),
        _ => return Ok(()),
    };
    let Some(change) = operator.open_change(application).await? else {
        return Ok(());
    };
    match act {
        Act::Revert(_) => drop(admin.revert(change.id, reason()).await?),
        Act::Finalize(_) => drop(admin.finalize(change.id, reason()).await?),
        _ => drop(admin.abort(change.id, reason()).await?),
    }
    Ok(())
}
