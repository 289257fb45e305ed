//! `seachange tail`: the events of a stream.

use client::Events;
use client::wire::EventRecord;
use environment::{Environment, timeout};
use futures::{FutureExt, select_biased};

use crate::bookmark::Bookmark;
use crate::connection::{ClusterFlags, explain};
use crate::interrupt::{interrupted, unless_interrupted};
use crate::output;

/// Flags of `tail`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// The stream, as in ledger.transfers
    pub stream: String,
    /// First offset [default: where the consumer stands, else the first event that is there]
    #[arg(long, value_name = "OFFSET", conflicts_with = "consumer")]
    pub from: Option<u64>,
    /// At most so many events
    #[arg(long)]
    pub limit: Option<u64>,
    /// Go on with new events as they come
    #[arg(long)]
    pub follow: bool,
    /// Go on where the consumer of this name stands; a new one begins with the first event that is there
    #[arg(long, value_name = "NAME")]
    pub consumer: Option<String>,
    /// Events that were emitted in a later version come in this one [default: the one that the consumer is pinned to]
    #[arg(long, value_name = "VERSION")]
    pub event_version: Option<u16>,
    /// Whether the consumer is moved behind what was printed
    #[arg(long, value_enum, default_value_t = Commit::Auto, requires = "consumer")]
    pub commit: Commit,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

const AFTER_HELP: &str = "\
Examples:
  seachange tail ledger.transfers --from 100 --limit 10
  seachange tail ledger.transfers --follow --consumer audit

With --consumer, each event is printed at least once: the place is committed after events were printed and flushed
(every 1,000 events or every second, at the end, and on ctrl-c), so a tail that is killed prints the last few again
when it goes on. One whose output is cut off, as by `head`, commits nothing more: use --limit instead. A program that
must be done with an event before it counts reads with --commit none and says `seachange consumer commit` itself.";

/// When a consumer is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Commit {
    /// Behind what was printed, every 1,000 events or every second, at the end, and on ctrl-c
    Auto,
    /// Never: `seachange consumer commit` moves it
    None,
}

impl Arguments {
    /// Prints offset, key and value a line, or with `--json` one record a line.
    ///
    /// # Errors
    /// No such stream, or no answer; the consumer was moved by somebody else.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        let admin = self.cluster.admin(&environment)?;
        let bookmark = match &self.consumer {
            Some(name) => Some(Bookmark::open(&environment, &admin, &self.stream, name).await?),
            None => None,
        };
        let from = self.from.or(bookmark.as_ref().and_then(Bookmark::stands));
        let events = match from {
            Some(from) => admin.events(&self.stream, from, self.follow),
            None => admin.events_from_start(&self.stream, self.follow),
        };
        let pin = bookmark.as_ref().and_then(Bookmark::event_version);
        let events = events.in_version(self.event_version.or(pin));
        match bookmark.filter(|_| self.commit == Commit::Auto) {
            Some(bookmark) => self.print_and_commit(&environment, events, bookmark).await,
            None => self.print(events).await,
        }
    }

    async fn print(&self, mut events: Events) -> anyhow::Result<()> {
        let mut left = self.limit.unwrap_or(u64::MAX);
        while left > 0
            && let Some(event) = events.next().await.map_err(explain)?
        {
            left -= 1;
            self.show(&event)?;
        }
        Ok(())
    }

    async fn print_and_commit(
        &self,
        environment: &Environment,
        events: Events,
        mut bookmark: Bookmark,
    ) -> anyhow::Result<()> {
        let end = {
            let work = self.print_with(environment, events, &mut bookmark).fuse();
            let stop = interrupted().fuse();
            futures::pin_mut!(work, stop);
            select_biased! {
                done = work => done,
                // That is how one who follows stops.
                stopped = stop => stopped,
            }
        };
        // What went into a pipe that nobody reads any more counts as not seen.
        if end.as_ref().is_err_and(|error| error.is::<std::io::Error>()) {
            return end;
        }
        let committed = unless_interrupted(bookmark.commit()).await;
        end.and(committed)
    }

    /// Prints, and commits whenever that is due.
    async fn print_with(
        &self,
        environment: &Environment,
        mut events: Events,
        bookmark: &mut Bookmark,
    ) -> anyhow::Result<()> {
        let mut left = self.limit.unwrap_or(u64::MAX);
        while left > 0 {
            let next = match bookmark.due_in() {
                None => events.next().await,
                Some(wait) if wait.is_zero() => {
                    bookmark.commit().await?;
                    continue;
                }
                Some(wait) => match timeout(environment, wait, events.next()).await {
                    Ok(next) => next,
                    Err(_) => continue,
                },
            };
            let Some(event) = next.map_err(explain)? else {
                break;
            };
            left -= 1;
            self.show(&event)?;
            bookmark.note(event.offset);
        }
        Ok(())
    }

    fn show(&self, event: &EventRecord) -> anyhow::Result<()> {
        if self.cluster.json {
            return output::json(event);
        }
        let key = event.key.as_deref().map(output::text).unwrap_or_default();
        output::line(format!("{}\t{key}\t{}", event.offset, output::text(&event.value)))
    }
}
