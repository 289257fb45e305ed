//! The consumer: follows the ledger's stream by the public API from its first event on, and commits how far it has come.

use std::sync::Arc;
use std::time::Duration;

use client::wire::{CommitRequest, EventRecord};
use client::{Admin, Error, Options};
use environment::Environment;
use parking_lot::Mutex;

/// The stream that the ledger writes.
pub const TRANSFERS: &str = "ledger.transfers";
/// What the consumer is called.
const NAME: &str = "auditor";
/// Events after which it commits.
const COMMIT_EVENTS: usize = 20;
/// Before it tries again what failed.
const AGAIN: Duration = Duration::from_millis(200);

/// All that it has read.
#[derive(Debug, Default)]
pub struct Consumed {
    /// The events, from offset 0 on: a gap is an error of the client library.
    pub events: Vec<EventRecord>,
    /// Up to where it has committed, as it was told.
    pub committed: u64,
}

/// Reads until its process ends.
///
/// # Errors
/// The options are refused, which is a mistake of the simulator.
pub fn read(
    environment: &Environment,
    addresses: Vec<String>,
    consumed: Arc<Mutex<Consumed>>,
) -> Result<impl Future<Output = ()> + Send + 'static, Error> {
    let admin = Admin::new(environment.clone(), Options::new(addresses).named(NAME))?;
    let environment = environment.clone();
    Ok(async move {
        let mut events = admin.events(TRANSFERS, 0, true);
        loop {
            match events.next().await {
                Ok(Some(event)) => {
                    let read = {
                        let mut consumed = consumed.lock();
                        consumed.events.push(event);
                        consumed.events.len()
                    };
                    if read % COMMIT_EVENTS == 0 {
                        commit(&admin, read as u64, &consumed).await;
                    }
                }
                Ok(None) | Err(_) => environment.sleep(AGAIN).await,
            }
        }
    })
}

async fn commit(admin: &Admin, offset: u64, consumed: &Mutex<Consumed>) {
    let commit = CommitRequest {
        offset,
        ..CommitRequest::default()
    };
    // One that failed is made up for by the next.
    if admin.commit_consumer(TRANSFERS, NAME, &commit).await.is_ok() {
        consumed.lock().committed = offset;
    }
}
