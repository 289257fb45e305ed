use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

use environment::{Moment, with_current};
use openraft::async_runtime::instant;

/// A moment of the current environment's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub Moment);

impl instant::Instant for Instant {
    fn now() -> Instant {
        Instant(with_current(|environment| environment.clock.now()))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, rest: Duration) -> Instant {
        Instant(self.0 + rest)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, rest: Duration) {
        *self = *self + rest;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;
    fn sub(self, earlier: Duration) -> Instant {
        Instant(Moment(self.0.0.saturating_sub(earlier)))
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, earlier: Duration) {
        *self = *self - earlier;
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.0 - earlier.0
    }
}
