use std::sync::Mutex;
use std::time::Duration;

use crate::Moment;

/// Lets something that may happen again and again be told of once in a while.
#[derive(Debug)]
pub struct Rarely {
    every: Duration,
    /// When it was last told of, and how often it was passed over since.
    told: Mutex<(Option<Moment>, u64)>,
}

impl Rarely {
    /// At most once in that time.
    #[must_use]
    pub fn every(every: Duration) -> Rarely {
        Rarely {
            every,
            told: Mutex::default(),
        }
    }

    /// It has happened: how often it was passed over since it was last told of, when it is to be told of now.
    pub fn happened(&self, now: Moment) -> Option<u64> {
        // Whoever panicked while holding this left two numbers, which are as good as any.
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (last, passed_over) = &mut *told;
        if last.is_some_and(|last| now - last < self.every) {
            *passed_over += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(passed_over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_over_is_counted() {
        let rarely = Rarely::every(Duration::from_secs(10));
        let at = |seconds| rarely.happened(Moment(Duration::from_secs(seconds)));
        let told = [at(1), at(2), at(10), at(11), at(12), at(30), at(40)];
        assert_eq!(told, [Some(0), None, None, Some(2), None, Some(1), Some(0)]);
    }
}
