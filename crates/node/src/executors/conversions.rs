//! The leader brings rows into the newest shape, once there is no way back: batch after batch, and never so fast that it shows.

use std::time::Duration;

use machine::{Body, Catalog, ConvertRows, Decision, Index, limits, next_batch};
use tracing::{info, warn};

use super::Hands;
use crate::limits::{CONVERSION_SHARE, CONVERSION_STEP, EXECUTOR_INTERVAL};

pub async fn run(hands: Hands) {
    let mut seen = Index::default();
    while hands.news(&mut seen).await {
        while hands.group.is_leader() && !hands.published.changed.is_closed() {
            let Some(next) = next(&hands.published.catalog()) else {
                break;
            };
            let pause = convert(&hands, next).await;
            hands.environment.sleep(pause).await;
        }
    }
}

/// The next batch of any application: as many rows as its pace allows in one step.
fn next(catalog: &Catalog) -> Option<(ConvertRows, u64)> {
    catalog.conversions.iter().find_map(|(application, conversions)| {
        let rate = conversions.values().map(|conversion| conversion.rate).min()?;
        let rows = u64::try_from(u128::from(rate) * CONVERSION_STEP.as_millis() / 1000).unwrap_or(u64::MAX);
        let rows = rows.clamp(1, limits::CONVERT_ROWS_MAX as u64);
        Some((next_batch(catalog, application, rows)?, rate))
    })
}

/// Proposes a batch; says how long to wait before the next. That is what is left of its time by the pace, and at least so long
/// that conversion takes its share of the time and no more: the more there is to do beside it, the slower it gets.
async fn convert(hands: &Hands, (batch, rate): (ConvertRows, u64)) -> Duration {
    let clock = &hands.environment.clock;
    let (application, table, rows) = (batch.application.clone(), batch.table.clone(), batch.rows);
    let begun = clock.now();
    match hands.cluster.propose(Body::ConvertRows(batch)).await {
        Ok(Decision::Refused { reason, .. }) => info!(application, table, reason, "rows were not converted after all"),
        Ok(_) => {}
        Err(error) => {
            warn!(application, table, %error, "could not convert rows; whoever leads goes on");
            return EXECUTOR_INTERVAL;
        }
    }
    let took = clock.now() - begun;
    let due = Duration::from_micros(rows.saturating_mul(1_000_000) / rate.max(1));
    due.saturating_sub(took).max(took.saturating_mul(CONVERSION_SHARE))
}
