//! What happened when, and what of it the clients noticed.

use std::time::Duration;

use environment::Moment;

use super::load::{Counts, Sent};
use super::report::{
    BalanceSum, ConversionReport, KillReport, RehearsalReport, Report, RevertReport, SteadyReport, SwitchReport, gap_ms,
};
use super::tally::End;
use crate::acknowledgements::Window;

/// A moment with what clients had noticed up to it.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Moment,
    counts: Counts,
}

/// The marks of a run, in order. Those that were not yet set stand where the last one does.
#[derive(Debug)]
pub struct Timeline {
    start: Mark,
    rehearsal_asked: Mark,
    rehearsal_begun: Mark,
    rehearsal_over: Mark,
    switch_asked: Mark,
    switch_over: Mark,
    killed: Mark,
    kill_over: Mark,
    kept: Mark,
    converted: Mark,
    broken_asked: Mark,
    broken_over: Mark,
    end: Mark,
    /// The switch entry.
    pub switch_index: u64,
    /// Where the broken version was taken back: the entry, and the command of it.
    pub reverted: (u64, u64),
    /// What the rehearsal found.
    pub rehearsed: Rehearsed,
    /// Rows that were brought into the new shape in the background.
    pub rows_converted: u64,
}

/// What a rehearsal found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rehearsed {
    /// Commands.
    pub commands: u64,
    /// Those that came out otherwise as was expected.
    pub expected: u64,
    /// Those that came out otherwise in another way.
    pub differed: u64,
}

impl Timeline {
    /// Begins.
    pub fn start(at: Moment, counts: Counts) -> Timeline {
        let mark = Mark { at, counts };
        Timeline {
            start: mark,
            rehearsal_asked: mark,
            rehearsal_begun: mark,
            rehearsal_over: mark,
            switch_asked: mark,
            switch_over: mark,
            killed: mark,
            kill_over: mark,
            kept: mark,
            converted: mark,
            broken_asked: mark,
            broken_over: mark,
            end: mark,
            switch_index: 0,
            reverted: (0, 0),
            rehearsed: Rehearsed::default(),
            rows_converted: 0,
        }
    }

    /// When it began.
    pub fn started(&self) -> Moment {
        self.start.at
    }

    /// The change is about to be asked for, and its rehearsal with it.
    pub fn mark_rehearsal_asked(&mut self, at: Moment, counts: Counts) {
        self.rehearsal_asked = Mark { at, counts };
    }

    /// Every node has compiled the new version.
    pub fn mark_rehearsal_begun(&mut self, at: Moment, counts: Counts) {
        self.rehearsal_begun = Mark { at, counts };
    }

    /// The rehearsal has seen enough.
    pub fn mark_rehearsal_over(&mut self, at: Moment, counts: Counts) {
        self.rehearsal_over = Mark { at, counts };
    }

    /// The switch is about to come.
    pub fn mark_switch_asked(&mut self, at: Moment, counts: Counts) {
        self.switch_asked = Mark { at, counts };
    }

    /// The new version answers, and has for a moment.
    pub fn mark_switch_over(&mut self, at: Moment, counts: Counts) {
        self.switch_over = Mark { at, counts };
    }

    /// The leader is about to be killed.
    pub fn mark_killed(&mut self, at: Moment, counts: Counts) {
        self.killed = Mark { at, counts };
    }

    /// The killed node is back and has caught up.
    pub fn mark_kill_over(&mut self, at: Moment, counts: Counts) {
        self.kill_over = Mark { at, counts };
    }

    /// The new version is about to be kept for good.
    pub fn mark_kept(&mut self, at: Moment, counts: Counts) {
        self.kept = Mark { at, counts };
    }

    /// All rows have its shape.
    pub fn mark_converted(&mut self, at: Moment, counts: Counts) {
        self.converted = Mark { at, counts };
    }

    /// The change to the broken version is about to be asked for.
    pub fn mark_broken_asked(&mut self, at: Moment, counts: Counts) {
        self.broken_asked = Mark { at, counts };
    }

    /// The broken version was taken back, and has been for a moment.
    pub fn mark_broken_over(&mut self, at: Moment, counts: Counts) {
        self.broken_over = Mark { at, counts };
    }

    /// The transfers are about to stop.
    pub fn mark_end(&mut self, at: Moment, counts: Counts) {
        self.end = Mark { at, counts };
    }

    /// What the clients noticed. What only the nodes can tell is left at its worst.
    pub fn report(&self, sent: &Sent) -> Report {
        let gap = |from: Mark, to: Mark| sent.acknowledged().longest_gap(from.window(to));
        let steady = [
            (self.start, self.rehearsal_asked),
            (self.switch_over, self.killed),
            (self.kill_over, self.kept),
            (self.broken_over, self.end),
        ];
        let steady = steady
            .into_iter()
            .map(|(from, to)| gap(from, to))
            .max()
            .unwrap_or_default();
        let ends = || sent.transfers.iter().flatten();
        let acknowledged = ends()
            .filter(|transfer| matches!(transfer.end, End::Acknowledged { .. }))
            .count() as u64;
        let failed = ends().count() as u64 - acknowledged;
        Report {
            acknowledged,
            lost: 0,
            doubled: 0,
            failed,
            retried: self.end.counts.retried,
            rehearsal: self.rehearsal(sent),
            switch: SwitchReport {
                index: self.switch_index,
                gap_ms: gap_ms(gap(self.switch_asked, self.switch_over)),
                failed: self.switch_over.counts.failed - self.switch_asked.counts.failed,
                retried: self.switch_over.counts.retried - self.switch_asked.counts.retried,
            },
            kill: KillReport {
                gap_ms: gap_ms(gap(self.killed, self.kill_over)),
                failed: self.kill_over.counts.failed - self.killed.counts.failed,
                retried: self.kill_over.counts.retried - self.killed.counts.retried,
            },
            conversion: ConversionReport {
                rows: self.rows_converted,
                gap_ms: gap_ms(gap(self.kept, self.converted)),
                failed: self.converted.counts.failed - self.kept.counts.failed,
                retried: self.converted.counts.retried - self.kept.counts.retried,
            },
            revert: RevertReport {
                index: self.reverted.0,
                command: self.reverted.1,
                gap_ms: gap_ms(gap(self.broken_asked, self.broken_over)),
                failed: self.broken_over.counts.failed - self.broken_asked.counts.failed,
                retried: self.broken_over.counts.retried - self.broken_asked.counts.retried,
            },
            steady: SteadyReport { gap_ms: gap_ms(steady) },
            balance_sum: BalanceSum { before: 0, after: 0 },
            digests_equal: false,
            invented: 0,
            wrong_fee: 0,
            wrong_balances: 0,
            per_second: per_second(acknowledged, self.end.at - self.start.at),
            ok: false,
        }
    }

    fn rehearsal(&self, sent: &Sent) -> RehearsalReport {
        let (from, to) = (self.rehearsal_asked, self.rehearsal_over);
        let seen = sent.acknowledged();
        let pace = |from: Mark, to: Mark| per_second(seen.count_in(from.window(to)) as u64, to.at - from.at);
        RehearsalReport {
            commands: self.rehearsed.commands,
            expected: self.rehearsed.expected,
            differed: self.rehearsed.differed,
            per_second: pace(self.rehearsal_begun, to),
            per_second_before: pace(self.start, from),
            gap_ms: gap_ms(seen.longest_gap(from.window(to))),
            failed: to.counts.failed - from.counts.failed,
            retried: to.counts.retried - from.counts.retried,
        }
    }
}

impl Mark {
    fn window(self, to: Mark) -> Window {
        Window {
            from: self.at,
            to: to.at,
        }
    }
}

fn per_second(count: u64, elapsed: Duration) -> u64 {
    let us = elapsed.as_micros().max(1);
    u64::try_from(u128::from(count) * 1_000_000 / us).unwrap_or(u64::MAX)
}
