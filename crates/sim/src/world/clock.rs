use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use environment::{BoxFuture, Clock, Moment};

use super::{Event, Key, Nanos, World};

/// Milliseconds since the Unix epoch at which the world begins: 2026-01-01.
const EPOCH_MS: u64 = 1_767_225_600_000;

/// The clock of one machine: it may run fast or slow, and what it takes for the date may be off.
#[derive(Clone)]
pub struct NodeClock {
    world: World,
    /// Parts in a million by which it runs fast, or slow where they are below zero.
    drift_ppm: i64,
    /// Milliseconds by which its date is off.
    date_off_ms: Arc<AtomicI64>,
}

impl NodeClock {
    /// A clock that runs fast by so many parts in a million.
    #[must_use]
    pub fn new(world: World, drift_ppm: i64) -> NodeClock {
        NodeClock {
            world,
            drift_ppm,
            date_off_ms: Arc::default(),
        }
    }

    /// Lets the date jump, by milliseconds from the true one.
    pub fn set_date_off(&self, milliseconds: i64) {
        self.date_off_ms.store(milliseconds, Ordering::Relaxed);
    }

    fn local(&self, world: Nanos) -> Nanos {
        scaled(world, 1_000_000 + self.drift_ppm, 1_000_000)
    }

    /// The world's time at which this clock shows that, or a little later.
    fn global(&self, local: Nanos) -> Nanos {
        scaled(local, 1_000_000, 1_000_000 + self.drift_ppm).saturating_add(1)
    }
}

fn scaled(value: Nanos, times: i64, over: i64) -> Nanos {
    let scaled = i128::from(value) * i128::from(times) / i128::from(over.max(1));
    Nanos::try_from(scaled).unwrap_or(Nanos::MAX)
}

impl Clock for NodeClock {
    fn now(&self) -> Moment {
        Moment(Duration::from_nanos(self.local(self.world.now())))
    }

    fn wall_ms(&self) -> u64 {
        let passed = self.local(self.world.now()) / 1_000_000;
        (EPOCH_MS + passed).saturating_add_signed(self.date_off_ms.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, deadline: Moment) -> BoxFuture<'static, ()> {
        let local = Nanos::try_from(deadline.0.as_nanos()).unwrap_or(Nanos::MAX);
        Box::pin(Sleep {
            world: self.world.clone(),
            deadline: self.global(local),
            key: None,
        })
    }
}

struct Sleep {
    world: World,
    deadline: Nanos,
    /// Of the wake in the queue.
    key: Option<Key>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let world = self.world.clone();
        let mut core = world.0.core.lock();
        let before = self.key.take().and_then(|key| core.queue.remove(&key));
        let ready = core.now + core.ahead >= self.deadline;
        if !ready {
            let wake = Event::Wake(context.waker().clone());
            self.key = Some(core.insert(self.deadline, wake));
        }
        drop(core);
        drop(before);
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            let event = self.world.0.core.lock().queue.remove(&key);
            drop(event);
        }
    }
}
