//! The kinds of trouble, each an act or several with an end.

use super::Plan;
use crate::fleet::Number;
use crate::script::{Act, Area, Port, Who};
use crate::world::{MILLISECOND, Nanos, SECOND};

/// A kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Kill,
    KillLeader,
    Power,
    PowerEverywhere,
    Die,
    Stop,
    Pause,
    Slow,
    CutOneWay,
    CutBothWays,
    Isolate,
    Split,
    Flap,
    Lossy,
    Latency,
    Hang,
    Repeat,
    DiskSlow,
    DiskFull,
    SyncFails,
    Flip,
    Date,
    Upgrade,
    Broken,
    Look,
    Join,
}

impl Trouble {
    pub const ALL: [Trouble; 26] = [
        Trouble::Kill,
        Trouble::KillLeader,
        Trouble::Power,
        Trouble::PowerEverywhere,
        Trouble::Die,
        Trouble::Stop,
        Trouble::Pause,
        Trouble::Slow,
        Trouble::CutOneWay,
        Trouble::CutBothWays,
        Trouble::Isolate,
        Trouble::Split,
        Trouble::Flap,
        Trouble::Lossy,
        Trouble::Latency,
        Trouble::Hang,
        Trouble::Repeat,
        Trouble::DiskSlow,
        Trouble::DiskFull,
        Trouble::SyncFails,
        Trouble::Flip,
        Trouble::Date,
        Trouble::Upgrade,
        Trouble::Broken,
        Trouble::Look,
        Trouble::Join,
    ];
}

impl Plan {
    pub fn add(&mut self, trouble: Trouble, at: Nanos) {
        match trouble {
            Trouble::Kill
            | Trouble::KillLeader
            | Trouble::Power
            | Trouble::PowerEverywhere
            | Trouble::Die
            | Trouble::Stop
            | Trouble::Pause
            | Trouble::Slow
            | Trouble::Date => self.add_to_process(trouble, at),
            Trouble::CutOneWay
            | Trouble::CutBothWays
            | Trouble::Isolate
            | Trouble::Split
            | Trouble::Flap
            | Trouble::Lossy
            | Trouble::Latency
            | Trouble::Hang
            | Trouble::Repeat => self.add_to_network(trouble, at),
            Trouble::DiskSlow | Trouble::DiskFull | Trouble::SyncFails | Trouble::Flip => self.add_to_disk(trouble, at),
            Trouble::Upgrade | Trouble::Broken | Trouble::Look | Trouble::Join => self.add_operation(trouble, at),
        }
    }

    fn add_to_process(&mut self, trouble: Trouble, at: Nanos) {
        let number = self.node();
        let who = Who::Node(number);
        let end = at + self.while_it_lasts();
        match trouble {
            Trouble::KillLeader => {
                self.push(at, Act::Kill(Who::Leader));
                for number in 1..=self.nodes {
                    self.push(end, Act::Start(Who::Node(number)));
                }
            }
            Trouble::Power => {
                self.push(at, Act::Power(who));
                self.push(end, Act::Start(who));
            }
            Trouble::PowerEverywhere => {
                for number in 1..=self.nodes {
                    let off = at + self.dice.below(3) * MILLISECOND;
                    self.push(off, Act::Power(Who::Node(number)));
                    let on = end.max(off) + self.dice.below(2000) * MILLISECOND;
                    self.push(on, Act::Start(Who::Node(number)));
                }
            }
            Trouble::Die => {
                let operations = self.dice.between(1, 120);
                self.push(at, Act::Die(who, operations));
            }
            Trouble::Stop => {
                self.push(at, Act::Stop(who));
                self.push(end + 2 * SECOND, Act::Start(who));
            }
            Trouble::Pause => {
                self.push(at, Act::Pause(who));
                self.push(end, Act::Resume(who));
            }
            Trouble::Slow => {
                let ms = [2, 20, 150][self.dice.below(3) as usize];
                self.push(at, Act::Slow(who, ms));
                self.push(end, Act::Slow(who, 0));
            }
            Trouble::Date => {
                let ms = i64::try_from(self.dice.below(7_200_000)).unwrap_or(0) - 3_600_000;
                self.push(at, Act::Date(who, ms));
                self.push(end, Act::Date(who, 0));
            }
            _ => {
                self.push(at, Act::Kill(who));
                self.push(end, Act::Start(who));
            }
        }
    }

    fn add_to_network(&mut self, trouble: Trouble, at: Nanos) {
        let (one, other) = self.pair();
        let end = at + self.while_it_lasts();
        match trouble {
            Trouble::CutOneWay => self.cut(at, end, one, other),
            Trouble::CutBothWays => {
                self.cut(at, end, one, other);
                self.cut(at, end, other, one);
            }
            Trouble::Isolate => self.split(at, end, &[one]),
            Trouble::Split => {
                let side: Vec<Number> = (1..=self.nodes).filter(|_| self.dice.flip()).collect();
                self.split(at, end, &side);
            }
            Trouble::Flap => {
                let mut from = at;
                while from < end {
                    let to = from + self.dice.between(50, 900) * MILLISECOND;
                    self.cut(from, to, one, other);
                    from = to + self.dice.between(50, 900) * MILLISECOND;
                }
            }
            Trouble::Lossy => {
                let per_mille = self.dice.between(5, 300);
                self.push(at, Act::Lossy(Who::Node(one), Who::Node(other), per_mille));
                self.push(end, Act::Mend(Who::Node(one), Who::Node(other)));
            }
            Trouble::Latency => {
                let ms = [5, 50, 400][self.dice.below(3) as usize];
                self.push(at, Act::Latency(Who::Node(one), Who::Node(other), ms));
                self.push(end, Act::Mend(Who::Node(one), Who::Node(other)));
            }
            Trouble::Hang => self.push(at, Act::Hang(Who::Node(one), Who::Node(other))),
            _ => {
                let port = if self.dice.flip() { Port::Peers } else { Port::Clients };
                self.push(at, Act::Repeat(Who::Node(one), port));
            }
        }
    }

    fn pair(&mut self) -> (Number, Number) {
        let one = self.node();
        let other =
            1 + (one - 1 + 1 + Number::try_from(self.dice.below(u64::from(self.nodes) - 1)).unwrap_or(0)) % self.nodes;
        (one, other)
    }

    fn cut(&mut self, at: Nanos, end: Nanos, from: Number, to: Number) {
        self.push(at, Act::Cut(Who::Node(from), Who::Node(to)));
        self.push(end, Act::Mend(Who::Node(from), Who::Node(to)));
    }

    /// Cuts all links between some and the others.
    fn split(&mut self, at: Nanos, end: Nanos, side: &[Number]) {
        for one in side {
            for other in (1..=self.nodes).filter(|other| !side.contains(other)) {
                self.cut(at, end, *one, other);
                self.cut(at, end, other, *one);
            }
        }
    }

    fn add_to_disk(&mut self, trouble: Trouble, at: Nanos) {
        let who = Who::Node(self.node());
        let end = at + self.while_it_lasts();
        match trouble {
            Trouble::Flip => {
                if let (Some(victim), Some(area)) = (
                    self.dice.pick(&self.victims).copied(),
                    self.dice.pick(&Area::ALL).copied(),
                ) {
                    self.push(at, Act::Flip(Who::Node(victim), area));
                    // Mostly it is read again only at the next start.
                    if self.dice.flip() {
                        self.push(at, Act::Kill(Who::Node(victim)));
                        self.push(end, Act::Start(Who::Node(victim)));
                    }
                }
                return;
            }
            Trouble::DiskFull => {
                let bytes = [0, 1 << 10, 1 << 20, 20 << 20][self.dice.below(4) as usize];
                self.push(at, Act::DiskFull(who, bytes));
            }
            Trouble::SyncFails => self.push(at, Act::SyncFails(who)),
            _ => {
                let times = [10, 100, 1000][self.dice.below(3) as usize];
                self.push(at, Act::DiskSlow(who, times));
            }
        }
        self.push(end, Act::DiskSound(who));
    }

    fn add_operation(&mut self, trouble: Trouble, at: Nanos) {
        let end = at + self.while_it_lasts();
        let ledger = || "ledger".to_owned();
        match trouble {
            Trouble::Upgrade => {
                let finalize = self.dice.per_mille(250);
                self.push(at, Act::Upgrade(ledger(), 2, finalize));
                let next = match self.dice.below(4) {
                    0 => Act::Abort(ledger()),
                    1 => Act::Finalize(ledger()),
                    _ => Act::Revert(ledger()),
                };
                self.push(end, next);
            }
            Trouble::Broken => {
                self.push(at, Act::Upgrade(ledger(), 3, false));
                self.push(end, Act::Revert(ledger()));
            }
            Trouble::Join => self.push(at, Act::Join),
            _ => {
                let who = Who::Node(self.node());
                let look = if self.dice.flip() {
                    Act::Snapshot(who)
                } else {
                    Act::Verify(who)
                };
                self.push(at, look);
            }
        }
    }
}
