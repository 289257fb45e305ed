use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bounds of durations, in nanoseconds: 100 µs to 10 s.
const DURATIONS: &[u64] = &[
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Bounds of counts: powers of four, and of bytes: the same from 256 on.
const COUNTS: &[u64] = &[1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536];
const BYTES: &[u64] = &[
    256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216,
];

/// How often values were seen, by how large they were.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// What one of the page's units is in ours.
    scale: u64,
    /// One for each bound, and one for what lies beyond the last.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// Of durations, shown in seconds.
    #[must_use]
    pub fn seconds() -> Histogram {
        Histogram::over(DURATIONS, 1_000_000_000)
    }

    /// Of numbers of things.
    #[must_use]
    pub fn counts() -> Histogram {
        Histogram::over(COUNTS, 1)
    }

    /// Of sizes in bytes.
    #[must_use]
    pub fn bytes() -> Histogram {
        Histogram::over(BYTES, 1)
    }

    fn over(bounds: &'static [u64], scale: u64) -> Histogram {
        Histogram {
            bounds,
            scale,
            buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// Notes a duration.
    pub fn time(&self, took: Duration) {
        self.note(nanoseconds(took), 1);
    }

    /// Notes that `count` things took `took` together, each as long as the others.
    pub fn time_each(&self, took: Duration, count: u64) {
        if let Some(each) = nanoseconds(took).checked_div(count) {
            self.note(each, count);
        }
    }

    /// Notes a count or a size.
    pub fn size(&self, size: usize) {
        self.note(size as u64, 1);
    }

    fn note(&self, value: u64, count: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket].fetch_add(count, Ordering::Relaxed);
        self.sum.fetch_add(value.saturating_mul(count), Ordering::Relaxed);
    }

    /// How many values were noted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// The upper bounds, in the page's unit, each with how many values lay at or below it; the last is infinite.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let bounds = self.bounds.iter().map(|bound| *bound as f64 / self.scale as f64);
        let counts = self.buckets.iter().scan(0, |total, bucket| {
            *total += bucket.load(Ordering::Relaxed);
            Some(*total)
        });
        bounds.chain([f64::INFINITY]).zip(counts)
    }

    /// The sum of all values, in the page's unit.
    pub(super) fn sum(&self) -> f64 {
        self.sum.load(Ordering::Relaxed) as f64 / self.scale as f64
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(histogram: &Histogram) -> Vec<u64> {
        histogram.cumulative().map(|(_, count)| count).collect()
    }

    #[test]
    fn a_value_counts_in_every_bucket_from_its_own_on() {
        let histogram = Histogram::counts();
        for size in [0, 1, 2, 4, 5, 1 << 20] {
            histogram.size(size);
        }
        assert_eq!(counts(&histogram), [2, 4, 5, 5, 5, 5, 5, 5, 5, 6]);
        assert_eq!(histogram.sum(), f64::from(12 + (1 << 20)));
    }

    #[test]
    fn durations_are_shown_in_seconds() {
        let histogram = Histogram::seconds();
        histogram.time(Duration::from_micros(100));
        histogram.time_each(Duration::from_millis(3), 2);
        histogram.time_each(Duration::from_millis(3), 0);
        let shown: Vec<_> = histogram.cumulative().take(5).collect();
        assert_eq!(shown, [(0.0001, 1), (0.00025, 1), (0.0005, 1), (0.001, 1), (0.0025, 3)]);
        assert_eq!(histogram.sum(), 0.0031);
    }
}
