//! When commands were acknowledged, over all clients: counts, and how long nothing was.

use std::time::Duration;

use environment::Moment;
use parking_lot::Mutex;

/// The moments of all acknowledgements, shared by the clients of a load.
#[derive(Debug, Default)]
pub struct Acknowledgements(Mutex<Vec<Moment>>);

/// A stretch of time, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its start.
    pub from: Moment,
    /// Its end.
    pub to: Moment,
}

impl Acknowledgements {
    /// One came, now.
    pub fn record(&self, now: Moment) {
        self.0.lock().push(now);
    }

    /// How many came so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().len()
    }

    /// How many came in a window.
    #[must_use]
    pub fn count_in(&self, window: Window) -> usize {
        let moments = self.0.lock();
        moments
            .iter()
            .filter(|at| (window.from..=window.to).contains(*at))
            .count()
    }

    /// The longest time within the window in which none came. What lies outside does not count, so a window without
    /// any gives its whole length.
    #[must_use]
    pub fn longest_gap(&self, window: Window) -> Duration {
        let mut inside: Vec<Moment> = {
            let moments = self.0.lock();
            moments
                .iter()
                .copied()
                .filter(|at| (window.from..=window.to).contains(at))
                .collect()
        };
        // Clients note their moments each by itself, so two may stand in the wrong order.
        inside.sort_unstable();
        inside.insert(0, window.from);
        inside.push(window.to);
        inside
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Moment {
        Moment(Duration::from_millis(ms))
    }

    #[test]
    fn the_longest_gap_counts_the_edges_and_nothing_outside() {
        let seen = Acknowledgements::default();
        for at in [0, 10, 40, 20, 90] {
            seen.record(ms(at));
        }
        let gap = |from, to| {
            seen.longest_gap(Window {
                from: ms(from),
                to: ms(to),
            })
            .as_millis()
        };
        assert_eq!(gap(0, 90), 50);
        assert_eq!(gap(0, 45), 20);
        assert_eq!(gap(0, 60), 20);
        assert_eq!(gap(0, 70), 30, "from the last one to the edge");
        assert_eq!(gap(50, 80), 30, "none inside");
        assert_eq!(
            seen.count_in(Window {
                from: ms(10),
                to: ms(40)
            }),
            3
        );
    }
}
