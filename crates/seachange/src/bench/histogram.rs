use std::time::Duration;

/// Latencies in microseconds, counted in buckets no wider than 1/64 of what they hold.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

/// Buckets for each power of two.
const FINE: u64 = 64;
const FINE_BITS: u32 = FINE.trailing_zeros();

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            counts: vec![0; usize::try_from(bucket_of(u64::MAX)).unwrap_or(0) + 1],
            total: 0,
        }
    }
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = usize::try_from(bucket_of(us))
            .ok()
            .and_then(|at| self.counts.get_mut(at))
        {
            *count += 1;
            self.total += 1;
        }
    }

    /// Adds all that another has counted.
    pub fn add(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
    }

    /// How many were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The latency in microseconds that at most the part `1 - quantile` of all exceed; zero when there is none.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )] // a rank of a count
    pub fn quantile_us(&self, quantile: f64) -> u64 {
        let rank = (self.total as f64 * quantile).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_edge(bucket as u64);
            }
        }
        0
    }
}

fn bucket_of(us: u64) -> u64 {
    if us < FINE {
        return us;
    }
    let exponent = us.ilog2() - FINE_BITS;
    u64::from(exponent) * FINE + (us >> exponent)
}

/// The largest value that falls into the bucket.
fn upper_edge(bucket: u64) -> u64 {
    if bucket < 2 * FINE {
        return bucket;
    }
    let exponent = bucket / FINE - 1;
    let mantissa = bucket % FINE + FINE;
    (mantissa << exponent) + ((1 << exponent) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_a_bucket_close_to_it() {
        for us in (0..4096).chain([10_000, 123_456, 9_999_999, u64::MAX / 2]) {
            let edge = upper_edge(bucket_of(us));
            assert!(edge >= us && edge - us <= us / FINE, "{us} {edge}");
            assert_eq!(bucket_of(edge), bucket_of(us), "{us}");
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_counted() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_us(0.5), 0);
        for us in 1..=1000 {
            histogram.record(Duration::from_micros(us));
        }
        let near = |quantile: f64, wanted: u64| {
            let found = histogram.quantile_us(quantile);
            assert!(
                found >= wanted && found <= wanted + wanted / 60,
                "{quantile}: {found}, not {wanted}"
            );
        };
        near(0.5, 500);
        near(0.99, 990);
        near(0.999, 999);
        near(1.0, 1000);
    }
}
