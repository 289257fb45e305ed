//! hyper's timer on the environment's clock, so that its timeouts are simulated like all others.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use environment::{BoxFuture, Environment, Moment};
use hyper::rt::{Sleep, Timer};

/// Gives hyper the environment's time.
#[derive(Clone)]
pub(crate) struct EnvironmentTimer {
    environment: Environment,
    started: Moment,
    // hyper counts in the system's instants, which nobody can make but the system: this one stands for `started`, and
    // only differences to it are ever used.
    origin: Instant,
}

impl EnvironmentTimer {
    #[allow(clippy::disallowed_methods)] // see `origin`
    pub fn new(environment: Environment) -> Self {
        EnvironmentTimer {
            started: environment.clock.now(),
            environment,
            origin: Instant::now(),
        }
    }
}

impl Timer for EnvironmentTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        let deadline = self.environment.clock.now() + duration;
        Box::pin(Sleeping(Mutex::new(self.environment.clock.sleep_until(deadline))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let deadline = self.started + deadline.saturating_duration_since(self.origin);
        Box::pin(Sleeping(Mutex::new(self.environment.clock.sleep_until(deadline))))
    }

    fn now(&self) -> Instant {
        self.origin + (self.environment.clock.now() - self.started)
    }
}

// The mutex is never locked: it makes the future `Sync`, as hyper asks, and is entered through `get_mut`.
struct Sleeping(Mutex<BoxFuture<'static, ()>>);

impl Future for Sleeping {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.0.get_mut() {
            Ok(sleep) => sleep.as_mut().poll(context),
            Err(poisoned) => poisoned.into_inner().as_mut().poll(context),
        }
    }
}

impl Sleep for Sleeping {}
