use std::future::Future;
use std::ops::{Add, Sub};
use std::time::Duration;

use crate::{BoxFuture, Environment};

/// A point of monotonic time: the time passed since an arbitrary start, the same for the life of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub Duration);

impl Add<Duration> for Moment {
    type Output = Moment;
    fn add(self, rest: Duration) -> Moment {
        Moment(self.0.saturating_add(rest))
    }
}

impl Sub for Moment {
    type Output = Duration;
    /// Saturates at zero.
    fn sub(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Time as one node sees it.
pub trait Clock: Send + Sync {
    /// Monotonic time.
    fn now(&self) -> Moment;
    /// Milliseconds since the Unix epoch; may jump either way.
    fn wall_ms(&self) -> u64;
    /// Ends at `deadline` or soon after.
    fn sleep_until(&self, deadline: Moment) -> BoxFuture<'static, ()>;
}

/// The limit passed before the future was ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOut;

/// Runs `future` for at most `limit`.
///
/// # Errors
/// [`TimedOut`] when the limit passed first; the future is then dropped.
pub async fn timeout<F: Future>(environment: &Environment, limit: Duration, future: F) -> Result<F::Output, TimedOut> {
    let sleep = environment.clock.sleep_until(environment.clock.now() + limit);
    futures::pin_mut!(future);
    match futures::future::select(future, sleep).await {
        futures::future::Either::Left((output, _)) => Ok(output),
        futures::future::Either::Right(((), _)) => Err(TimedOut),
    }
}

impl Environment {
    /// Ends after `duration`.
    pub async fn sleep(&self, duration: Duration) {
        self.clock.sleep_until(self.clock.now() + duration).await;
    }
}
