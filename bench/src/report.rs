//! What was measured: kept as JSON, shown as a table.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

/// One figure of the bench: a system under one load.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// What is done: `write`, `batch`, `read`, `leader killed`.
    pub work: String,
    pub bytes: usize,
    pub in_flight: usize,
    pub system: String,
}

/// What one round gave for it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Sample {
    pub per_second: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub longest_gap_ms: f64,
    pub errors: f64,
    /// Of all three nodes and of the clients, seconds for a million commands.
    pub nodes_cpu_s_per_million: f64,
    pub clients_cpu_s_per_million: f64,
    /// Of the node that took most.
    pub peak_memory_mib: f64,
}

/// A whole run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// What it ran on, and how.
    pub setting: BTreeMap<String, String>,
    /// What an acknowledgement of each system means.
    pub syncs: BTreeMap<String, String>,
    pub rows: Vec<(Row, Vec<Sample>)>,
}

impl Report {
    pub fn add(&mut self, row: Row, sample: Sample) {
        match self.rows.iter_mut().find(|(known, _)| *known == row) {
            Some((_, samples)) => samples.push(sample),
            None => self.rows.push((row, vec![sample])),
        }
    }

    /// The medians of the rounds.
    pub fn medians(&self) -> Vec<(&Row, Sample)> {
        let mut rows: Vec<_> = self.rows.iter().map(|(row, samples)| (row, median(samples))).collect();
        rows.sort_by(|one, other| order(one.0).cmp(&order(other.0)));
        rows
    }

    /// A table in Markdown; ratios are those of Seachange to the row's system.
    pub fn table(&self) -> String {
        let medians = self.medians();
        let mut text = String::from(
            "| work | bytes | in flight | system | a second | Seachange is | p50 ms | p99 ms | p99.9 ms | longest gap ms | errors \
             | CPU s/million, nodes | clients | peak MiB a node |\n|---|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for (row, sample) in &medians {
            let ours = medians.iter().find(|(other, _)| {
                other.system == "seachange"
                    && (&other.work, other.bytes, other.in_flight) == (&row.work, row.bytes, row.in_flight)
            });
            let ratio = ours.map_or_else(String::new, |(_, ours)| {
                if sample.per_second == 0.0 {
                    return String::new();
                }
                format!("{:.2}×", ours.per_second / sample.per_second)
            });
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {ratio} | {} | {} | {} | {} | {} | {} | {} | {} |",
                row.work,
                row.bytes,
                row.in_flight,
                row.system,
                match sample.per_second {
                    0.0 => String::new(),
                    some => grouped(some),
                },
                ms(sample.p50_us),
                ms(sample.p99_us),
                ms(sample.p999_us),
                nothing_for_0(sample.longest_gap_ms, 1),
                sample.errors,
                nothing_for_0(sample.nodes_cpu_s_per_million, 1),
                nothing_for_0(sample.clients_cpu_s_per_million, 1),
                nothing_for_0(sample.peak_memory_mib, 0),
            );
        }
        text
    }
}

fn order(row: &Row) -> (&str, usize, usize) {
    (&row.work, row.bytes, row.in_flight)
}

fn median(samples: &[Sample]) -> Sample {
    let of = |field: fn(&Sample) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(field).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    };
    Sample {
        per_second: of(|sample| sample.per_second),
        p50_us: of(|sample| sample.p50_us),
        p99_us: of(|sample| sample.p99_us),
        p999_us: of(|sample| sample.p999_us),
        longest_gap_ms: of(|sample| sample.longest_gap_ms),
        errors: of(|sample| sample.errors),
        nodes_cpu_s_per_million: of(|sample| sample.nodes_cpu_s_per_million),
        clients_cpu_s_per_million: of(|sample| sample.clients_cpu_s_per_million),
        peak_memory_mib: of(|sample| sample.peak_memory_mib),
    }
}

fn ms(us: f64) -> String {
    nothing_for_0(us / 1000.0, 2)
}

fn nothing_for_0(value: f64, places: usize) -> String {
    if value == 0.0 {
        return String::new();
    }
    format!("{value:.places$}")
}

pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_median_of_its_rounds_and_the_ratio_to_it() {
        let row = |system: &str| Row {
            work: "write".into(),
            bytes: 256,
            in_flight: 64,
            system: system.into(),
        };
        let sample = |per_second| Sample {
            per_second,
            ..Sample::default()
        };
        let mut report = Report::default();
        for per_second in [9.0, 4000.0, 2000.0] {
            report.add(row("seachange"), sample(per_second));
            report.add(row("etcd"), sample(1000.0));
        }
        assert!(
            report.table().contains("| seachange | 2,000 | 1.00× |"),
            "{}",
            report.table()
        );
        assert!(report.table().contains("| etcd | 1,000 | 2.00× |"));
        // Memory alone has no pace, and nothing to be compared.
        report.add(
            Row {
                work: "idle".into(),
                ..row("seachange")
            },
            Sample::default(),
        );
        assert!(report.table().contains("| seachange |  |  |"), "{}", report.table());
    }
}
