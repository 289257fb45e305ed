//! What the demo found, as a table for people and as one JSON object.

use std::time::Duration;

use serde::Serialize;

use super::tally::Findings;
use crate::output::{columns, grouped};

/// The report of a demo.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Commands whose success a client was told.
    pub acknowledged: u64,
    /// Those of them that left no trace.
    pub lost: u64,
    /// Commands that left their trace more than once.
    pub doubled: u64,
    /// Errors that a caller saw.
    pub failed: u64,
    /// Attempts that the clients repeated by themselves, in the whole run.
    pub retried: u64,
    /// While the new version was rehearsed.
    pub rehearsal: RehearsalReport,
    /// At the switch of the version.
    pub switch: SwitchReport,
    /// At the kill of the leader.
    pub kill: KillReport,
    /// While rows were brought into the new shape.
    pub conversion: ConversionReport,
    /// Where the broken version took the word and was taken back.
    pub revert: RevertReport,
    /// In steady state.
    pub steady: SteadyReport,
    /// The sum of all balances.
    pub balance_sum: BalanceSum,
    /// Whether all nodes gave the same digest at the same index.
    pub digests_equal: bool,
    /// Transfers in the stream that were never sent, were altered, or were reported as not applied.
    pub invented: u64,
    /// Transfers with the wrong version's fee.
    pub wrong_fee: u64,
    /// Accounts whose balance is not what the events make of it.
    pub wrong_balances: u64,
    /// Acknowledgements a second, over the whole load.
    pub per_second: u64,
    /// Whether nothing was lost, doubled or unequal, and neither the rehearsal nor the switch nor the revert failed or repeated a
    /// request.
    pub ok: bool,
}

/// While the new version was tried on the transfers, before the switch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RehearsalReport {
    /// Commands that were tried.
    pub commands: u64,
    /// Those that came out otherwise as was expected.
    pub expected: u64,
    /// Those that came out otherwise in another way.
    pub differed: u64,
    /// Acknowledgements a second meanwhile.
    pub per_second: u64,
    /// Acknowledgements a second before.
    pub per_second_before: u64,
    /// Longest time without an acknowledgement, milliseconds.
    pub gap_ms: f64,
    /// Errors that a caller saw.
    pub failed: u64,
    /// Attempts that the clients repeated by themselves.
    pub retried: u64,
}

/// At the switch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SwitchReport {
    /// The switch entry: the next one ran under the new version.
    pub index: u64,
    /// Longest time without an acknowledgement, milliseconds.
    pub gap_ms: f64,
    /// Errors that a caller saw.
    pub failed: u64,
    /// Attempts that the clients repeated by themselves.
    pub retried: u64,
}

/// At the kill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KillReport {
    /// Longest time without an acknowledgement, milliseconds.
    pub gap_ms: f64,
    /// Errors that a caller saw.
    pub failed: u64,
    /// Attempts that the clients repeated by themselves.
    pub retried: u64,
}

/// While the rows that nobody had written since the switch were brought into the new shape.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConversionReport {
    /// Rows that were converted.
    pub rows: u64,
    /// Longest time without an acknowledgement, milliseconds.
    pub gap_ms: f64,
    /// Errors that a caller saw.
    pub failed: u64,
    /// Attempts that the clients repeated by themselves.
    pub retried: u64,
}

/// While a version that traps was brought in and taken back by itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RevertReport {
    /// The entry in which it was taken back.
    pub index: u64,
    /// The command of it, counted from 0, on which it trapped and which the version before answered.
    pub command: u64,
    /// Longest time without an acknowledgement, milliseconds.
    pub gap_ms: f64,
    /// Errors that a caller saw.
    pub failed: u64,
    /// Attempts that the clients repeated by themselves.
    pub retried: u64,
}

/// In steady state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SteadyReport {
    /// Longest time without an acknowledgement, milliseconds.
    pub gap_ms: f64,
}

/// The sum of all balances, in cents.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BalanceSum {
    /// After the accounts were opened.
    pub before: i64,
    /// At the end.
    pub after: i64,
}

/// Milliseconds with one digit after the point.
#[must_use]
pub fn gap_ms(gap: Duration) -> f64 {
    (gap.as_secs_f64() * 10_000.0).round() / 10.0
}

impl Report {
    /// Takes in what the tally found, and decides whether all is well.
    pub fn conclude(&mut self, findings: &Findings) {
        self.lost += findings.lost;
        self.doubled += findings.doubled;
        self.invented = findings.invented + findings.altered;
        self.wrong_fee = findings.wrong_fee;
        self.wrong_balances = findings.wrong_balances;
        self.ok = self.wrongs().is_empty();
    }

    /// What is not as it should be, in words.
    #[must_use]
    pub fn wrongs(&self) -> Vec<String> {
        let counts = [
            (self.lost, "acknowledged commands are lost"),
            (self.doubled, "commands were applied twice"),
            (
                self.invented,
                "transfers stand in the stream that were not sent like this",
            ),
            (self.wrong_fee, "transfers were applied by the wrong version"),
            (self.wrong_balances, "balances are not what the events make of them"),
            (self.rehearsal.differed, "commands came out otherwise in the rehearsal"),
            (self.rehearsal.failed, "requests failed in the rehearsal"),
            (self.rehearsal.retried, "attempts were repeated in the rehearsal"),
            (self.switch.failed, "requests failed at the switch"),
            (self.switch.retried, "attempts were repeated at the switch"),
            (self.conversion.failed, "requests failed while rows were converted"),
            (
                self.conversion.retried,
                "attempts were repeated while rows were converted",
            ),
            (self.revert.failed, "requests failed at the revert"),
            (self.revert.retried, "attempts were repeated at the revert"),
        ];
        let mut wrongs: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{} {what}", grouped(*count)))
            .collect();
        if self.balance_sum.before != self.balance_sum.after {
            wrongs.push("the sum of all balances has changed".into());
        }
        if !self.digests_equal {
            wrongs.push("the nodes differ".into());
        }
        wrongs
    }

    /// The table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let verdict = match self.wrongs().as_slice() {
            [] => {
                "Nothing lost, nothing applied twice, no request noticed the rehearsal, the switch or the broken version."
                    .to_owned()
            }
            wrongs => format!("NOT WELL: {}.", wrongs.join("; ")),
        };
        format!("{}\n\n{}\n\n{verdict}", self.facts(), self.moments())
    }

    fn failed_at_events(&self) -> u64 {
        let early = self.rehearsal.failed + self.switch.failed + self.kill.failed;
        early + self.conversion.failed + self.revert.failed
    }

    fn retried_at_events(&self) -> u64 {
        let early = self.rehearsal.retried + self.switch.retried + self.kill.retried;
        early + self.conversion.retried + self.revert.retried
    }

    fn facts(&self) -> String {
        columns(&[
            vec![
                "commands acknowledged".into(),
                format!("{} ({} a second)", grouped(self.acknowledged), grouped(self.per_second)),
            ],
            vec!["lost".into(), grouped(self.lost)],
            vec!["applied twice".into(), grouped(self.doubled)],
            vec![
                "rehearsal".into(),
                format!(
                    "ledger 2 tried on {} commands before it answered any: {} as expected, {} otherwise",
                    grouped(self.rehearsal.commands),
                    grouped(self.rehearsal.expected),
                    grouped(self.rehearsal.differed),
                ),
            ],
            vec![
                "acknowledged meanwhile".into(),
                format!(
                    "{} a second; {} before",
                    grouped(self.rehearsal.per_second),
                    grouped(self.rehearsal.per_second_before),
                ),
            ],
            vec![
                "version switch".into(),
                format!(
                    "at index {}: ledger 1 up to it, ledger 2 from the next entry on",
                    grouped(self.switch.index)
                ),
            ],
            vec![
                "rows converted".into(),
                format!(
                    "{} accounts that nobody had written since",
                    grouped(self.conversion.rows)
                ),
            ],
            vec![
                "broken version".into(),
                format!(
                    "ledger 3 trapped on command {} of entry {}: ledger 2 answered it, and all after it",
                    self.revert.command,
                    grouped(self.revert.index)
                ),
            ],
            vec!["sum of all balances before".into(), money(self.balance_sum.before)],
            vec!["sum of all balances after".into(), money(self.balance_sum.after)],
            vec![
                "running digest on all nodes".into(),
                if self.digests_equal { "equal" } else { "DIFFERENT" }.into(),
            ],
        ])
    }

    /// What clients noticed, and when.
    fn moments(&self) -> String {
        let gap = |ms: f64| format!("{ms:.1} ms");
        columns(&[
            [
                "",
                "steady state",
                "rehearsal",
                "version switch",
                "leader killed",
                "rows converted",
                "broken version",
            ]
            .map(str::to_owned)
            .to_vec(),
            vec![
                "longest time without an acknowledgement".into(),
                gap(self.steady.gap_ms),
                gap(self.rehearsal.gap_ms),
                gap(self.switch.gap_ms),
                gap(self.kill.gap_ms),
                gap(self.conversion.gap_ms),
                gap(self.revert.gap_ms),
            ],
            vec![
                "requests that failed".into(),
                grouped(self.failed.saturating_sub(self.failed_at_events())),
                grouped(self.rehearsal.failed),
                grouped(self.switch.failed),
                grouped(self.kill.failed),
                grouped(self.conversion.failed),
                grouped(self.revert.failed),
            ],
            vec![
                "attempts that a client repeated by itself".into(),
                grouped(self.retried.saturating_sub(self.retried_at_events())),
                grouped(self.rehearsal.retried),
                grouped(self.switch.retried),
                grouped(self.kill.retried),
                grouped(self.conversion.retried),
                grouped(self.revert.retried),
            ],
        ])
    }
}

fn money(cents: i64) -> String {
    let whole = grouped((cents / 100).unsigned_abs());
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{whole}.{:02}", (cents % 100).abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            acknowledged: 1_234_567,
            lost: 0,
            doubled: 0,
            failed: 0,
            retried: 64,
            rehearsal: RehearsalReport {
                commands: 5_000,
                expected: 4_990,
                differed: 0,
                per_second: 9_000,
                per_second_before: 10_000,
                gap_ms: 4.5,
                failed: 0,
                retried: 0,
            },
            switch: SwitchReport {
                index: 4711,
                gap_ms: 5.0,
                failed: 0,
                retried: 0,
            },
            kill: KillReport {
                gap_ms: 612.5,
                failed: 0,
                retried: 64,
            },
            conversion: ConversionReport {
                rows: 12,
                gap_ms: 5.5,
                failed: 0,
                retried: 0,
            },
            revert: RevertReport {
                index: 9000,
                command: 17,
                gap_ms: 6.1,
                failed: 0,
                retried: 0,
            },
            steady: SteadyReport { gap_ms: 4.2 },
            balance_sum: BalanceSum {
                before: 100_000_000,
                after: 100_000_000,
            },
            digests_equal: true,
            invented: 0,
            wrong_fee: 0,
            wrong_balances: 0,
            per_second: 12_345,
            ok: false,
        }
    }

    #[test]
    fn a_clean_report_is_ok_and_says_so() {
        let mut report = report();
        report.conclude(&Findings::default());
        assert!(report.ok);
        assert!(
            report.table().contains("1,234,567 (12,345 a second)"),
            "{}",
            report.table()
        );
        assert!(report.table().contains("1,000,000.00"));
        assert!(
            report
                .table()
                .ends_with("no request noticed the rehearsal, the switch or the broken version.")
        );
        assert!(report.table().contains("trapped on command 17 of entry 9,000"));
    }

    #[test]
    fn each_wrong_alone_makes_it_not_ok() {
        let spoil: [fn(&mut Report); 11] = [
            |report| report.lost = 1,
            |report| report.digests_equal = false,
            |report| report.balance_sum.after += 1,
            |report| report.rehearsal.differed = 1,
            |report| report.rehearsal.failed = 1,
            |report| report.switch.retried = 1,
            |report| report.switch.failed = 1,
            |report| report.conversion.failed = 1,
            |report| report.conversion.retried = 1,
            |report| report.revert.retried = 1,
            |report| report.revert.failed = 1,
        ];
        for spoil in spoil {
            let mut report = report();
            spoil(&mut report);
            report.conclude(&Findings::default());
            assert!(!report.ok, "{report:?}");
            assert!(report.table().contains("NOT WELL"));
        }
        let mut twice = report();
        twice.conclude(&Findings {
            doubled: 1,
            ..Findings::default()
        });
        assert!(!twice.ok);
    }

    #[test]
    fn the_json_has_the_keys_that_scripts_go_by() {
        let json = serde_json::to_value(report()).unwrap();
        for key in [
            "acknowledged",
            "lost",
            "doubled",
            "failed",
            "retried",
            "digests_equal",
            "ok",
        ] {
            assert!(json.get(key).is_some(), "{key}");
        }
        for (part, key) in [
            ("rehearsal", "commands"),
            ("rehearsal", "gap_ms"),
            ("switch", "index"),
            ("switch", "gap_ms"),
            ("switch", "retried"),
            ("kill", "gap_ms"),
            ("kill", "retried"),
            ("conversion", "gap_ms"),
            ("revert", "index"),
            ("revert", "gap_ms"),
            ("steady", "gap_ms"),
            ("balance_sum", "before"),
            ("balance_sum", "after"),
        ] {
            assert!(json[part].get(key).is_some(), "{part}.{key}");
        }
    }
}
