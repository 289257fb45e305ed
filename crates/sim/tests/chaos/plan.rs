//! What is to happen, drawn from the seed before anything runs: the same seed gives the same plan, whatever the processes
//! then make of it.

use std::fmt;
use std::time::Duration;

use sim::world::Dice;

/// The nodes of the cluster.
pub const NODES: usize = 3;
const LONGER: Duration = Duration::from_secs(4);

/// Which of the bytes between peers are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// What the others send to the node, with its answers on the same connections.
    Inbound,
    /// What the node sends to the others.
    Outbound,
    Both,
}

/// One kind of harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL; it is started again afterwards.
    Kill,
    /// SIGKILL for all at once: only what is on disk goes on.
    KillAll,
    /// SIGTERM; it must end well, and is started again afterwards.
    Terminate,
    /// SIGSTOP, and SIGCONT afterwards.
    Pause,
    /// Connections with its peers end, and none can be made.
    Cut(Way),
    /// Bytes between it and its peers are held, with the connections open.
    Stall(Way),
    /// Connections with its peers end once; new ones can be made at once.
    Reset,
    /// Bytes between it and the clients are held; then those connections end.
    StallClients,
    /// Its disk is filled to below its reserve.
    FillDisk,
    /// Its disk is filled to the last byte.
    FillDiskWhole,
    /// The same, and the node is killed and must start on the full disk.
    FillDiskAndKill,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Fault::Kill => "SIGKILL",
            Fault::KillAll => "SIGKILL for all",
            Fault::Terminate => "SIGTERM",
            Fault::Pause => "SIGSTOP",
            Fault::Cut(Way::Both) => "cut off from its peers",
            Fault::Cut(Way::Inbound) => "cut off from what its peers send",
            Fault::Cut(Way::Outbound) => "cut off from sending to its peers",
            Fault::Stall(Way::Both) => "bytes held between it and its peers",
            Fault::Stall(Way::Inbound) => "bytes held on the way to it",
            Fault::Stall(Way::Outbound) => "bytes held on the way from it",
            Fault::Reset => "connections with its peers reset",
            Fault::StallClients => "bytes held between it and the clients",
            Fault::FillDisk => "disk almost full",
            Fault::FillDiskWhole => "disk full",
            Fault::FillDiskAndKill => "disk full, SIGKILL, started on the full disk",
        })
    }
}

impl Fault {
    /// Every kind; each is drawn once before any is drawn again.
    pub const ALL: [Fault; 15] = [
        Fault::Kill,
        Fault::KillAll,
        Fault::Terminate,
        Fault::Pause,
        Fault::Cut(Way::Both),
        Fault::Cut(Way::Inbound),
        Fault::Cut(Way::Outbound),
        Fault::Stall(Way::Both),
        Fault::Stall(Way::Inbound),
        Fault::Stall(Way::Outbound),
        Fault::Reset,
        Fault::StallClients,
        Fault::FillDisk,
        Fault::FillDiskWhole,
        Fault::FillDiskAndKill,
    ];

    pub fn fills_the_disk(self) -> bool {
        match self {
            Fault::FillDisk | Fault::FillDiskWhole | Fault::FillDiskAndKill => true,
            Fault::Kill
            | Fault::KillAll
            | Fault::Terminate
            | Fault::Pause
            | Fault::Cut(_)
            | Fault::Stall(_)
            | Fault::Reset
            | Fault::StallClients => false,
        }
    }
}

/// Whom a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Whoever leads at that moment.
    Leader,
    Node(usize),
}

/// One fault in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// How long all is well before it, counted from the end of the step before.
    pub after: Duration,
    pub fault: Fault,
    pub target: Target,
    pub lasts: Duration,
    /// A node beside the first is killed in the middle of it, so that for a moment no majority is left.
    pub beside: bool,
}

/// All that is to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// More than any run needs.
    pub steps: Vec<Step>,
    /// With so many of them every kind has come once.
    pub every_kind: usize,
    /// When the upgrade is asked for, in thousandths of the time.
    pub upgrade_permille: u32,
    /// When it is taken back.
    pub revert_permille: u32,
}

impl Plan {
    /// The plan of a seed for a run of so long, with the disk of the node `small` small enough to be filled.
    pub fn draw(dice: &mut Dice, time: Duration, small: Option<usize>) -> Plan {
        let upgrade = 100 + dice.index(400);
        let revert = upgrade + 200 + dice.index(750 - upgrade);
        let mut steps = Vec::new();
        let mut planned = Duration::ZERO;
        let mut every_kind = 0;
        while planned < time {
            let mut deck = Fault::ALL;
            dice.shuffle(&mut deck);
            for fault in deck {
                let step = Step::draw(dice, fault, small);
                let possible = small.is_some() || !fault.fills_the_disk();
                if possible {
                    planned += step.after + step.lasts;
                    steps.push(step);
                }
            }
            if every_kind == 0 {
                every_kind = steps.len();
            }
        }
        let permille = |number: usize| u32::try_from(number).unwrap_or(0);
        Plan {
            steps,
            every_kind,
            upgrade_permille: permille(upgrade),
            revert_permille: permille(revert),
        }
    }
}

impl Step {
    /// Draws as much whatever the fault is, so that a machine that lacks one still has the others' plan.
    fn draw(dice: &mut Dice, fault: Fault, small: Option<usize>) -> Step {
        let after = Duration::from_millis(dice.between(200, 1200));
        let number = dice.index(NODES);
        let leader = dice.index(2) == 0;
        let short = Duration::from_millis(dice.between(100, 1200));
        let long = Duration::from_millis(dice.between(500, 2500));
        // Past the time that a peer or a client waits for the other side before it gives a connection up.
        let longer = if dice.index(8) == 0 { long + LONGER } else { long };
        let beside = dice.index(6) == 0;
        let target = match (small, leader) {
            (Some(small), _) if fault.fills_the_disk() => Target::Node(small),
            (_, true) => Target::Leader,
            (_, false) => Target::Node(number),
        };
        let lasts = match fault {
            Fault::KillAll | Fault::Terminate | Fault::Reset => short,
            Fault::Kill | Fault::Cut(_) | Fault::FillDisk | Fault::FillDiskWhole | Fault::FillDiskAndKill => long,
            Fault::Pause | Fault::Stall(_) | Fault::StallClients => longer,
        };
        Step {
            after,
            fault,
            target,
            lasts,
            beside: beside && fault != Fault::KillAll,
        }
    }
}

#[test]
fn a_seed_gives_one_plan_that_holds_every_fault() {
    let time = Duration::from_secs(30);
    let drawn = |seed: u64, small| Plan::draw(&mut Dice::new(seed, "chaos"), time, small);
    for seed in 0..100 {
        let plan = drawn(seed, Some(2));
        assert_eq!(plan, drawn(seed, Some(2)));
        let has = |fault: &Fault| plan.steps.iter().any(|step| step.fault == *fault);
        assert!(Fault::ALL.iter().all(has), "{seed}");
        assert_eq!(plan.every_kind, Fault::ALL.len());
        assert!(plan.upgrade_permille + 200 <= plan.revert_permille && plan.revert_permille < 950);
        let without = drawn(seed, None);
        assert!(without.steps.iter().all(|step| !step.fault.fills_the_disk()), "{seed}");
    }
    assert_ne!(drawn(1, None), drawn(2, None));
}
