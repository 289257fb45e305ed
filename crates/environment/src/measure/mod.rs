//! What a node counts and times of itself, and the page in Prometheus' text format that shows it.
//!
//! Everything here is atomics: to count or to time costs a few nanoseconds, takes no lock and allocates nothing, so it may
//! stand on the way of every command. All cost is with whoever asks for the page.

mod histogram;
mod page;
mod rarely;

use std::sync::atomic::{AtomicU64, Ordering};

pub use histogram::Histogram;
pub use page::{Number, Page, Samples};
pub use rarely::Rarely;

/// Something that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// So many so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Something that rises and falls.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Where it stands now.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Where it was last said to stand.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts so many more for as long as the guard lives.
    #[must_use = "it counts only for as long as it lives"]
    pub fn hold(&self, count: u64) -> Held<'_> {
        self.0.fetch_add(count, Ordering::Relaxed);
        Held { gauge: self, count }
    }
}

/// Some more in a [`Gauge`].
#[derive(Debug)]
pub struct Held<'a> {
    gauge: &'a Gauge,
    count: u64,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.gauge.0.fetch_sub(self.count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_counts_what_is_held() {
        let gauge = Gauge::default();
        let one = gauge.hold(1);
        let other = gauge.hold(5);
        assert_eq!(gauge.get(), 6);
        drop(one);
        assert_eq!(gauge.get(), 5);
        drop(other);
        assert_eq!(gauge.get(), 0);
    }
}
