//! Ctrl-C and SIGTERM as an error, so that what was started is taken down on the way out.

use std::future::Future;

use anyhow::Context;
use futures::FutureExt;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Stopped;

/// Ends when the process is asked to stop.
///
/// # Errors
/// The system gives no signals.
pub async fn interrupted() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    futures::select_biased! {
        _ = interrupt.recv().fuse() => {}
        _ = terminate.recv().fuse() => {}
    }
    Ok(())
}

/// Does `work`, unless the process is asked to stop before it is done; `work` is then dropped with all it holds.
///
/// # Errors
/// Those of `work`, and the interruption.
pub async fn unless_interrupted<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let work = work.fuse();
    let stop = interrupted().fuse();
    futures::pin_mut!(work, stop);
    futures::select_biased! {
        done = work => done,
        stopped = stop => {
            stopped?;
            Err(Stopped::failed("interrupted", "").into())
        }
    }
}
