//! A named consumer as a reader uses it: where to begin, and what to commit when.

use std::time::Duration;

use client::Admin;
use client::wire::{Code, CommitRequest};
use environment::{Environment, Moment};

use crate::connection::explain;

/// Events after which a commit is due.
const COMMIT_EVENTS: u64 = 1000;
/// How long a commit waits for more events.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// The place of one consumer, moved behind what its reader is done with.
///
/// A commit comes after the events that it covers and never before, so whoever stops or is killed in between gets them
/// again: each event at least once.
#[derive(Debug)]
pub struct Bookmark {
    environment: Environment,
    admin: Admin,
    stream: String,
    name: String,
    /// As of the last commit known; none for a consumer that does not exist yet.
    stands: Option<u64>,
    /// The version of events that it is pinned to.
    event_version: Option<u16>,
    /// What is done with since then: where to go, how many events, since when.
    done: Option<Done>,
}

#[derive(Debug, Clone, Copy)]
struct Done {
    next: u64,
    count: u64,
    since: Moment,
}

impl Bookmark {
    /// Looks where the consumer stands.
    ///
    /// # Errors
    /// No such stream, or no answer. That there is no such consumer is no error: the first commit makes it.
    pub async fn open(environment: &Environment, admin: &Admin, stream: &str, name: &str) -> anyhow::Result<Bookmark> {
        let known = match admin.consumer(stream, name).await {
            Ok(record) => Some(record),
            Err(error) if error.code() == Code::UnknownConsumer => None,
            Err(error) => return Err(explain(error).into()),
        };
        Ok(Bookmark {
            environment: environment.clone(),
            admin: admin.clone(),
            stream: stream.to_owned(),
            name: name.to_owned(),
            stands: known.as_ref().map(|record| record.offset),
            event_version: known.and_then(|record| record.event_version),
            done: None,
        })
    }

    /// The event to begin with; none for a consumer that does not exist yet.
    #[must_use]
    pub fn stands(&self) -> Option<u64> {
        self.stands
    }

    /// The version of events that the consumer is pinned to, if it is.
    #[must_use]
    pub fn event_version(&self) -> Option<u16> {
        self.event_version
    }

    /// Notes that the event at `offset` is done with.
    pub fn note(&mut self, offset: u64) {
        let before = self.done;
        self.done = Some(Done {
            next: offset + 1,
            count: before.map_or(0, |done| done.count) + 1,
            since: before.map_or_else(|| self.environment.clock.now(), |done| done.since),
        });
    }

    /// For how long a commit may still wait; none when there is nothing to commit.
    #[must_use]
    pub fn due_in(&self) -> Option<Duration> {
        let done = self.done?;
        if done.count >= COMMIT_EVENTS {
            return Some(Duration::ZERO);
        }
        Some((done.since + COMMIT_INTERVAL) - self.environment.clock.now())
    }

    /// Commits what is done with, if anything is. May be dropped and called again.
    ///
    /// # Errors
    /// No answer; or somebody else has moved the consumer meanwhile, and then nothing is moved.
    pub async fn commit(&mut self) -> anyhow::Result<()> {
        let Some(done) = self.done else {
            return Ok(());
        };
        let commit = CommitRequest {
            offset: done.next,
            expected: self.stands,
            reset: false,
        };
        let committed = self.admin.commit_consumer(&self.stream, &self.name, &commit).await;
        committed.map_err(explain)?;
        self.stands = Some(done.next);
        self.done = None;
        Ok(())
    }
}
