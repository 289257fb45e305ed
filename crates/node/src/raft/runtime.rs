//! What the Raft crate takes for its asynchronous runtime: the current environment.
//!
//! The Raft crate asks for a type and not for a value, so what it does is sent to the environment of the task that calls
//! it. Its channels are the environment's; its watch is one of ours, which wakes in order where tokio's leaves that to
//! chance.

mod channels;
mod instant;
mod watch;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use environment::channel::oneshot;
use environment::{BoxFuture, Environment, with_current};
use futures::FutureExt;
use openraft::{AsyncRuntime, OptionalSend};

use channels::{Mpsc, Mutex, Oneshot};
use instant::Instant;
use watch::Watch;

/// The current environment as the Raft crate's runtime.
#[derive(Debug)]
pub struct Runtime(Infallible);

/// A task that did not end as it should: it panicked, or its node stopped.
#[derive(Debug)]
pub struct TaskLost;

impl fmt::Display for TaskLost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a task has ended before its time")
    }
}

/// The limit passed first.
#[derive(Debug)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the time limit has passed")
    }
}

/// Gives what a task gives.
pub struct Joined<T>(oneshot::Receiver<T>);

impl<T> Future for Joined<T> {
    type Output = Result<T, TaskLost>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(context).map_err(|_| TaskLost)
    }
}

/// A future that gets its turn before its limit.
pub struct Limited<F> {
    future: Pin<Box<F>>,
    limit: BoxFuture<'static, ()>,
}

impl<F: Future> Future for Limited<F> {
    type Output = Result<F::Output, Elapsed>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        self.limit.as_mut().poll(context).map(|()| Err(Elapsed))
    }
}

/// Draws from the current environment's chance.
pub struct Dice;

impl rand::TryRng for Dice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        // The upper half is as random as the lower.
        Ok((self.try_next_u64()? >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(with_current(|environment| environment.chance.next_u64()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let random = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
        Ok(())
    }
}

fn sleep_until(environment: &Environment, deadline: Instant) -> BoxFuture<'static, ()> {
    environment.clock.sleep_until(deadline.0)
}

impl AsyncRuntime for Runtime {
    type JoinError = TaskLost;
    type JoinHandle<T: OptionalSend + 'static> = Joined<T>;
    type Sleep = BoxFuture<'static, ()>;
    type Instant = Instant;
    type TimeoutError = Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = Limited<T>;
    type ThreadLocalRng = Dice;

    fn spawn<T>(future: T) -> Joined<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        let (done, joined) = oneshot::channel();
        with_current(|environment| {
            environment.spawn("raft", async move {
                // Whoever spawned it need not wait for it.
                done.send(future.await).ok();
            });
        });
        Joined(joined)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        with_current(|environment| sleep_until(environment, Instant(environment.clock.now() + duration)))
    }

    fn sleep_until(deadline: Instant) -> Self::Sleep {
        with_current(|environment| sleep_until(environment, deadline))
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(duration: Duration, future: F) -> Limited<F> {
        Limited {
            future: Box::pin(future),
            limit: Self::sleep(duration),
        }
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(deadline: Instant, future: F) -> Limited<F> {
        Limited {
            future: Box::pin(future),
            limit: Self::sleep_until(deadline),
        }
    }

    fn is_panic(_: &TaskLost) -> bool {
        // A task is lost in no other way while its node runs.
        true
    }

    fn thread_rng() -> Dice {
        Dice
    }

    type Mpsc = Mpsc;
    type Watch = Watch;
    type Oneshot = Oneshot;
    type Mutex<T: OptionalSend + 'static> = Mutex<T>;

    fn new(_threads: usize) -> Self {
        unreachable!("the environment is there before the Raft crate, which never makes one")
    }

    fn block_on<F, T>(&mut self, _future: F) -> T
    where
        F: Future<Output = T>,
    {
        match self.0 {}
    }
}
