//! What a seed draws: a cluster, and what happens to it.
//!
//! Each seed picks some kinds of trouble and leaves the others out, since too many at once hide each other ("swarm
//! testing", Groce and others, 2012). All that is drawn becomes a script, which says everything by itself.

mod trouble;

use crate::fleet::{Number, Sizes};
use crate::script::{Act, Script, Statement};
use crate::world::{Dice, MILLISECOND, Nanos, SECOND};
use trouble::Trouble;

/// The script of a seed.
#[must_use]
pub fn plan(seed: u64) -> Script {
    let mut dice = Dice::new(seed, "plan");
    let nodes = if dice.per_mille(700) { 3 } else { 5 };
    let mut plan = Plan {
        nodes,
        victims: victims(&mut dice, nodes),
        length: dice.between(8, 45) * SECOND,
        acts: Vec::new(),
        dice,
    };
    plan.draw();
    plan.draw_changes(seed);
    let mut acts = plan.acts;
    acts.sort_by_key(|(at, _)| *at);
    let mut dice = plan.dice;
    let sizes = Sizes {
        log_segment_bytes: [256 << 10, 1 << 20, 4 << 20][dice.index(3)],
        snapshot_log_bytes: [4 << 10, 32 << 10, 256 << 10][dice.index(3)],
        log_keep_entries: [0, 20, 500][dice.index(3)],
        scan_seconds: [5, 20, 600][dice.index(3)],
        // Mostly none, or else a run would purge next to nothing.
        replay_keep_bytes: [0, 0, 512 << 10, 64 << 20][dice.index(4)],
    };
    Script {
        comments: Vec::new(),
        seed,
        nodes,
        clients: dice.between(1, 5),
        rest_ms: [20, 100, 400][dice.index(3)],
        sizes,
        statements: acts.into_iter().map(|(at, act)| Statement::At(at, act)).collect(),
    }
}

/// Nodes whose disk may lose what it had promised to keep: fewer than half, since nothing could mend more.
fn victims(dice: &mut Dice, nodes: Number) -> Vec<Number> {
    let mut all: Vec<Number> = (1..=nodes).collect();
    while all.len() > usize::from(nodes - 1) / 2 {
        all.remove(dice.index(all.len()));
    }
    all
}

struct Plan {
    dice: Dice,
    nodes: Number,
    victims: Vec<Number>,
    length: Nanos,
    acts: Vec<(Nanos, Act)>,
}

impl Plan {
    fn draw(&mut self) {
        let picked: Vec<Trouble> = Trouble::ALL.into_iter().filter(|_| self.dice.per_mille(300)).collect();
        // Between two troubles, on the average.
        let gap = [300, 1000, 4000][self.dice.index(3)] * MILLISECOND;
        let mut at = 0;
        while at < self.length {
            at += self.dice.between(gap / 10, 2 * gap);
            if let Some(trouble) = self.dice.pick(&picked).copied() {
                self.add(trouble, at);
            }
        }
    }

    /// Changes that look after themselves, and an entry that no node gets past. They are drawn apart from the rest, so that a
    /// seed without them goes as it went before there were any.
    fn draw_changes(&mut self, seed: u64) {
        let dice = std::mem::replace(&mut self.dice, Dice::new(seed, "changes"));
        if self.dice.per_mille(400) {
            let picked = Trouble::CHANGES[self.dice.index(Trouble::CHANGES.len())];
            let mut at = 0;
            while at < self.length {
                at += self.dice.between(SECOND, 15 * SECOND);
                self.add(picked, at);
            }
        }
        self.dice = dice;
    }

    fn push(&mut self, at: Nanos, act: Act) {
        self.acts.push((at / MILLISECOND * MILLISECOND, act));
    }

    fn node(&mut self) -> Number {
        1 + Number::try_from(self.dice.below(self.nodes.into())).unwrap_or(0)
    }

    /// How long a trouble lasts: mostly short, sometimes long.
    fn while_it_lasts(&mut self) -> Nanos {
        match self.dice.below(4) {
            0 => self.dice.between(5, 300) * MILLISECOND,
            1 | 2 => self.dice.between(300, 3000) * MILLISECOND,
            _ => self.dice.between(3000, 25_000) * MILLISECOND,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_plan_and_the_plan_reads_back() {
        for seed in 1..200 {
            let script = plan(seed);
            assert_eq!(script, plan(seed));
            let read: Script = script.to_string().parse().expect("a script");
            assert_eq!(read, script);
        }
        assert_ne!(plan(1).statements, plan(2).statements);
    }
}
