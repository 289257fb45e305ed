//! `seachange app convert`: how far rows have come into the newest shape, and how fast that goes.

use std::time::Duration;

use client::Admin;
use client::wire::{ConversionRecord, ConversionRequest, RowsParameters};
use environment::Environment;

use crate::connection::{ClusterFlags, explain};
use crate::output;

/// Flags of `app convert`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange app convert ledger --rows-per-second 2000")]
pub struct ConvertArguments {
    /// The application
    pub app: String,
    /// Stop it until --resume
    #[arg(long, conflicts_with = "resume")]
    pub pause: bool,
    /// Let it go on
    #[arg(long)]
    pub resume: bool,
    /// Look at so many rows a second, at most
    #[arg(long, value_name = "N")]
    pub rows_per_second: Option<u64>,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

impl ConvertArguments {
    /// Steers it where asked to, and shows how far it is.
    ///
    /// # Errors
    /// The cluster refused, or gave no answer.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        let admin = self.cluster.admin(&environment)?;
        let asked = ConversionRequest {
            paused: (self.pause || self.resume).then_some(self.pause),
            rows_per_second: self.rows_per_second,
        };
        if asked != ConversionRequest::default() {
            admin.steer_conversion(&self.app, &asked).await.map_err(explain)?;
        }
        let conversions = admin.app(&self.app).await.map_err(explain)?.conversions;
        if self.cluster.json {
            return conversions.iter().try_for_each(output::json);
        }
        if conversions.is_empty() {
            return output::line(format!("No rows of {} have another shape than they should.", self.app));
        }
        for conversion in &conversions {
            let share = match conversion.done_ms {
                Some(_) => None,
                // The rows at the ends may be those that cannot be read: it is only an estimate.
                None => self.share(&admin, conversion).await.unwrap_or(None),
            };
            output::line(describe(conversion, share, environment.clock.wall_ms()))?;
        }
        Ok(())
    }

    /// About how much of the table lies behind, by where its key stands between the first and the last.
    async fn share(&self, admin: &Admin, conversion: &ConversionRecord) -> anyhow::Result<Option<f64>> {
        let end = async |reverse| {
            let parameters = RowsParameters {
                limit: Some(1),
                reverse,
                ..RowsParameters::default()
            };
            let rows = admin
                .scan_rows(&self.app, &conversion.table, &parameters)
                .await
                .map_err(explain)?;
            anyhow::Ok(rows.rows.into_iter().next().map(|row| row.key))
        };
        let (first, last) = (end(false).await?, end(true).await?);
        Ok(first
            .zip(last)
            .map(|(first, last)| between(&first, conversion.reached.as_bytes(), &last)))
    }
}

/// Where a key stands between two others, from 0 to 1, as if all keys between them were as likely.
fn between(first: &[u8], key: &[u8], last: &[u8]) -> f64 {
    let alike = first.iter().zip(last).take_while(|(one, other)| one == other).count();
    let number = |key: &[u8]| {
        let bytes = key.iter().skip(alike).chain(std::iter::repeat(&0)).take(6);
        bytes.fold(0.0, |number, byte| number * 256.0 + f64::from(*byte))
    };
    let (from, at, to) = (number(first), number(key), number(last));
    if to <= from {
        1.0
    } else {
        ((at - from) / (to - from)).clamp(0.0, 1.0)
    }
}

fn describe(conversion: &ConversionRecord, share: Option<f64>, now_ms: u64) -> String {
    let ConversionRecord {
        table,
        to,
        looked,
        converted,
        failed,
        ..
    } = conversion;
    let (looked, converted) = (output::grouped(*looked), output::grouped(*converted));
    let state = match (conversion.done_ms, conversion.paused, share) {
        (Some(_), ..) => "done".to_owned(),
        (None, true, _) => "paused".to_owned(),
        (None, false, Some(share)) => format!("about {:.0} %{}", share * 100.0, left(conversion, share, now_ms)),
        (None, false, None) => "under way".to_owned(),
    };
    let mut text = format!(
        "{table}: to shape {to}, {state}; {looked} rows looked at, {converted} converted, {failed} could not be; {} a second at most",
        output::grouped(conversion.rows_per_second)
    );
    for sample in &conversion.samples {
        text += &format!("\n  {}: {}", sample.key, sample.why);
    }
    text
}

/// How long it will take from here, if it goes on as it has gone so far.
fn left(conversion: &ConversionRecord, share: f64, now_ms: u64) -> String {
    let passed_ms = now_ms.saturating_sub(conversion.since_ms) as f64;
    if share < 0.01 || passed_ms < 1000.0 {
        return String::new();
    }
    let left = Duration::from_secs((passed_ms / share * (1.0 - share) / 1000.0) as u64);
    format!(", {} to go", humantime::format_duration(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_between_the_first_and_the_last() {
        let at = |key: &str| between(b"account-00000", key.as_bytes(), b"account-99999");
        assert_eq!(at(""), 0.0);
        assert_eq!(at("account-99999"), 1.0);
        assert!((at("account-50000") - 0.55).abs() < 0.06, "{}", at("account-50000"));
        assert!(at("account-2") < at("account-3"));
        assert_eq!(between(b"a", b"a", b"a"), 1.0);
    }
}
