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
    Trim,
    Join,
    Rehearse,
    Unconfirmed,
    Convert,
    Poison,
}

impl Trouble {
    pub const ALL: [Trouble; 27] = [
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
        Trouble::Trim,
        Trouble::Join,
    ];

    /// Those that are drawn apart.
    pub const CHANGES: [Trouble; 4] = [
        Trouble::Rehearse,
        Trouble::Unconfirmed,
        Trouble::Convert,
        Trouble::Poison,
    ];
}

impl Plan {
    pub fn add(&mut self, trouble: Trouble, at: Nanos) {
        let (one, other) = self.pair();
        let (who, end) = (Who::Node(one), at + self.while_it_lasts());
        match trouble {
            Trouble::Kill => self.between(at, Act::Kill(who), end, Act::Start(who)),
            Trouble::KillLeader => {
                self.push(at, Act::Kill(Who::Leader));
                self.start_all(end);
            }
            Trouble::Power => self.between(at, Act::Power(who), end, Act::Start(who)),
            Trouble::PowerEverywhere => self.darken(at, end),
            Trouble::Die => {
                let operations = self.dice.between(1, 120);
                self.push(at, Act::Die(who, operations));
            }
            Trouble::Stop => self.between(at, Act::Stop(who), end + 2 * SECOND, Act::Start(who)),
            Trouble::Pause => self.between(at, Act::Pause(who), end, Act::Resume(who)),
            Trouble::Slow => {
                let ms = [2, 20, 150][self.dice.index(3)];
                self.between(at, Act::Slow(who, ms), end, Act::Slow(who, 0));
            }
            Trouble::CutOneWay | Trouble::CutBothWays => {
                self.cut(at, end, one, other);
                if trouble == Trouble::CutBothWays {
                    self.cut(at, end, other, one);
                }
            }
            Trouble::Isolate => self.split(at, end, &[one]),
            Trouble::Split => {
                let side: Vec<Number> = (1..=self.nodes).filter(|_| self.dice.flip()).collect();
                self.split(at, end, &side);
            }
            Trouble::Flap => self.flap(at, end, one, other),
            Trouble::Lossy | Trouble::Latency => self.disturb(trouble == Trouble::Lossy, at, end, one, other),
            Trouble::Hang => self.push(at, Act::Hang(who, Who::Node(other))),
            Trouble::Repeat => {
                let port = if self.dice.flip() { Port::Peers } else { Port::Clients };
                self.push(at, Act::Repeat(who, port));
            }
            Trouble::DiskSlow => {
                let times = [10, 100, 1000][self.dice.index(3)];
                self.between(at, Act::DiskSlow(who, times), end, Act::DiskSound(who));
            }
            Trouble::DiskFull => self.fill_disk(at, end, who),
            Trouble::SyncFails => self.between(at, Act::SyncFails(who), end, Act::DiskSound(who)),
            Trouble::Flip => self.flip(at, end),
            Trouble::Date => {
                let ms = i64::try_from(self.dice.below(7_200_000)).unwrap_or(0) - 3_600_000;
                self.between(at, Act::Date(who, ms), end, Act::Date(who, 0));
            }
            Trouble::Upgrade => self.upgrade(at, end),
            Trouble::Broken => self.between(at, Act::Upgrade(ledger(), 3, false), end, Act::Revert(ledger())),
            Trouble::Look => {
                let look = if self.dice.flip() {
                    Act::Snapshot(who)
                } else {
                    Act::Verify(who)
                };
                self.push(at, look);
            }
            Trouble::Trim => self.push(at, Act::Trim),
            Trouble::Join => self.push(at, Act::Join),
            Trouble::Rehearse => self.rehearse(at, end),
            Trouble::Unconfirmed => self.wait_for_confirmation(at, end),
            // Rows are converted by themselves once there is no way back.
            Trouble::Convert => self.push(at, Act::Upgrade(ledger(), 2, true)),
            Trouble::Poison => self.between(at, Act::Poison, end, Act::Skip),
        }
    }

    /// Something that happens, and its end.
    fn between(&mut self, at: Nanos, begins: Act, end: Nanos, ends: Act) {
        self.push(at, begins);
        self.push(end, ends);
    }

    fn start_all(&mut self, at: Nanos) {
        for number in 1..=self.nodes {
            self.push(at, Act::Start(Who::Node(number)));
        }
    }

    /// Every machine loses its power at about the same time.
    fn darken(&mut self, at: Nanos, end: Nanos) {
        for number in 1..=self.nodes {
            let off = at + self.dice.below(3) * MILLISECOND;
            let on = end.max(off) + self.dice.below(2000) * MILLISECOND;
            let who = Who::Node(number);
            self.between(off, Act::Power(who), on, Act::Start(who));
        }
    }

    /// Two different nodes.
    fn pair(&mut self) -> (Number, Number) {
        let one = self.node();
        let further = Number::try_from(self.dice.below(u64::from(self.nodes) - 1)).unwrap_or(0);
        (one, 1 + (one + further) % self.nodes)
    }

    fn cut(&mut self, at: Nanos, end: Nanos, from: Number, to: Number) {
        let (from, to) = (Who::Node(from), Who::Node(to));
        self.between(at, Act::Cut(from, to), end, Act::Mend(from, to));
    }

    /// A link loses some, or takes long.
    fn disturb(&mut self, loses: bool, at: Nanos, end: Nanos, from: Number, to: Number) {
        let (from, to) = (Who::Node(from), Who::Node(to));
        let disturbed = match loses {
            true => Act::Lossy(from, to, self.dice.between(5, 300)),
            false => Act::Latency(from, to, [5, 50, 400][self.dice.index(3)]),
        };
        self.between(at, disturbed, end, Act::Mend(from, to));
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

    /// Cuts a link again and again.
    fn flap(&mut self, at: Nanos, end: Nanos, from: Number, to: Number) {
        let mut begin = at;
        while begin < end {
            let mended = begin + self.dice.between(50, 900) * MILLISECOND;
            self.cut(begin, mended, from, to);
            begin = mended + self.dice.between(50, 900) * MILLISECOND;
        }
    }

    /// Flips a bit on the disk of a victim.
    fn flip(&mut self, at: Nanos, end: Nanos) {
        let victim = self.dice.pick(&self.victims).copied();
        let Some((victim, area)) = victim.zip(self.dice.pick(&Area::ALL).copied()) else {
            return;
        };
        let who = Who::Node(victim);
        self.push(at, Act::Flip(who, area));
        // Mostly it is read again only at the next start.
        if self.dice.flip() {
            self.between(at, Act::Kill(who), end, Act::Start(who));
        }
    }

    fn fill_disk(&mut self, at: Nanos, end: Nanos, who: Who) {
        let bytes = [0, 1 << 10, 1 << 20, 20 << 20][self.dice.index(4)];
        self.between(at, Act::DiskFull(who, bytes), end, Act::DiskSound(who));
    }

    fn wait_for_confirmation(&mut self, at: Nanos, end: Nanos) {
        let within = self.dice.between(1, 10);
        let next = match self.dice.flip() {
            true => Act::Confirm(ledger()),
            false => Act::Revert(ledger()),
        };
        let upgrade = Act::UpgradeUnlessConfirmed(ledger(), self.version(), within);
        self.between(at, upgrade, end, next);
    }

    fn rehearse(&mut self, at: Nanos, end: Nanos) {
        let commands = self.dice.between(1, 300);
        let next = match self.dice.below(4) {
            0 => Act::Abort(ledger()),
            1 => Act::Approve(ledger()),
            2 => Act::Finalize(ledger()),
            _ => Act::Revert(ledger()),
        };
        let upgrade = Act::UpgradeOnceRehearsed(ledger(), self.version(), commands);
        self.between(at, upgrade, end, next);
    }

    /// One that works, mostly, or one that traps now and then.
    fn version(&mut self) -> u32 {
        if self.dice.per_mille(700) { 2 } else { 3 }
    }

    fn upgrade(&mut self, at: Nanos, end: Nanos) {
        let finalize = self.dice.per_mille(250);
        let next = match self.dice.below(4) {
            0 => Act::Abort(ledger()),
            1 => Act::Finalize(ledger()),
            _ => Act::Revert(ledger()),
        };
        self.between(at, Act::Upgrade(ledger(), 2, finalize), end, next);
    }
}

fn ledger() -> String {
    "ledger".to_owned()
}
