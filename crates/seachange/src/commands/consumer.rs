//! `seachange consumer`: where the named consumers of streams stand, and moving them by hand.

use std::str::FromStr;

use client::wire::{CommitRequest, ConsumerRecord};
use environment::Environment;

use crate::connection::{ClusterFlags, explain};
use crate::exit::Stopped;
use crate::output;

/// Commands of `consumer`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the consumers: where each stands and what it has still to read
    #[command(after_help = "Example:\n  seachange consumer list --stream ledger.transfers")]
    List(ListArguments),
    /// Show one consumer
    #[command(after_help = "Example:\n  seachange consumer show ledger.transfers audit --json")]
    Show(NamedArguments),
    /// Move a consumer forward: all events before the offset are done with. One that is not known is made
    #[command(after_help = "Example:\n  seachange consumer commit ledger.transfers audit --offset 120")]
    Commit(CommitArguments),
    /// Put a consumer anywhere, also back: it then gets events again
    #[command(
        after_help = "Examples:\n  seachange consumer reset ledger.transfers audit --to start\n  seachange consumer reset ledger.transfers audit --to 100"
    )]
    Reset(ResetArguments),
    /// Pin a consumer to a version of events: it gets those that are emitted in a later one as that version
    #[command(after_help = "Example:\n  seachange consumer pin ledger.transfers audit --event-version 1")]
    Pin(PinArguments),
    /// Give a consumer events as they were emitted again
    #[command(after_help = "Example:\n  seachange consumer unpin ledger.transfers audit")]
    Unpin(NamedArguments),
    /// Forget a consumer
    #[command(after_help = "Example:\n  seachange consumer remove ledger.transfers audit")]
    Remove(NamedArguments),
}

/// Flags of `consumer list`.
#[derive(Debug, clap::Args)]
pub struct ListArguments {
    /// Only those of this stream
    #[arg(long)]
    pub stream: Option<String>,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

/// Flags that name one consumer.
#[derive(Debug, clap::Args)]
pub struct NamedArguments {
    /// The stream, as in ledger.transfers
    pub stream: String,
    /// The consumer's name
    pub name: String,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

/// Flags of `consumer commit`.
#[derive(Debug, clap::Args)]
pub struct CommitArguments {
    /// Which consumer.
    #[command(flatten)]
    pub named: NamedArguments,
    /// The event that it reads next: one more than the last that is done with
    #[arg(long)]
    pub offset: u64,
    /// Refuse unless it stands here: two readers under one name then notice each other
    #[arg(long, value_name = "OFFSET")]
    pub expected: Option<u64>,
}

/// Flags of `consumer reset`.
#[derive(Debug, clap::Args)]
pub struct ResetArguments {
    /// Which consumer.
    #[command(flatten)]
    pub named: NamedArguments,
    /// Where to
    #[arg(long, value_name = "start|end|OFFSET")]
    pub to: Target,
}

/// Flags of `consumer pin`.
#[derive(Debug, clap::Args)]
pub struct PinArguments {
    /// Which consumer.
    #[command(flatten)]
    pub named: NamedArguments,
    /// The version that it knows
    #[arg(long, value_name = "VERSION")]
    pub event_version: u16,
}

/// A place in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The first event that is there.
    Start,
    /// Behind the last one.
    End,
    /// An offset.
    At(u64),
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Target, &'static str> {
        match text {
            "start" => Ok(Target::Start),
            "end" => Ok(Target::End),
            number => number
                .parse()
                .map(Target::At)
                .map_err(|_| "it is start, end or an offset"),
        }
    }
}

impl Command {
    /// Runs it.
    ///
    /// # Errors
    /// The cluster refused, or gave no answer.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        match self {
            Command::List(arguments) => list(arguments, environment).await,
            Command::Show(arguments) => show(arguments, environment).await,
            Command::Commit(arguments) => commit(arguments, environment).await,
            Command::Reset(arguments) => reset(arguments, environment).await,
            Command::Pin(PinArguments { named, event_version }) => pin(named, Some(event_version), environment).await,
            Command::Unpin(named) => pin(named, None, environment).await,
            Command::Remove(arguments) => remove(arguments, environment).await,
        }
    }
}

async fn list(arguments: ListArguments, environment: Environment) -> anyhow::Result<()> {
    let admin = arguments.cluster.admin(&environment)?;
    let mut consumers = admin.consumers().await.map_err(explain)?.consumers;
    if let Some(stream) = &arguments.stream {
        consumers.retain(|consumer| consumer.stream == *stream);
    }
    if arguments.cluster.json {
        return consumers.iter().try_for_each(output::json);
    }
    if consumers.is_empty() {
        return output::line("There are no consumers: `seachange tail STREAM --consumer NAME` makes one.");
    }
    let heading = [
        "stream",
        "consumer",
        "stands at",
        "lag",
        "missed",
        "events",
        "last commit",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(consumers.iter().map(|consumer| {
        vec![
            consumer.stream.clone(),
            consumer.name.clone(),
            output::grouped(consumer.offset),
            output::grouped(consumer.lag),
            output::grouped(consumer.missed),
            pinned_to(consumer),
            ago(consumer, &environment),
        ]
    }));
    output::line(output::columns(&rows))
}

fn pinned_to(consumer: &ConsumerRecord) -> String {
    match consumer.event_version {
        Some(version) => format!("version {version}"),
        None => "as emitted".to_owned(),
    }
}

fn ago(consumer: &ConsumerRecord, environment: &Environment) -> String {
    let seconds = environment.clock.wall_ms().saturating_sub(consumer.committed_ms) / 1000;
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

async fn show(arguments: NamedArguments, environment: Environment) -> anyhow::Result<()> {
    let NamedArguments { stream, name, cluster } = arguments;
    let admin = cluster.admin(&environment)?;
    let consumer = admin.consumer(&stream, &name).await.map_err(explain)?;
    if cluster.json {
        return output::json(&consumer);
    }
    let mut text = format!(
        "consumer {name} of stream {stream} stands at {}, {} behind the end at {}; last commit {}",
        output::grouped(consumer.offset),
        output::grouped(consumer.lag),
        output::grouped(consumer.end),
        ago(&consumer, &environment)
    );
    if consumer.event_version.is_some() {
        text.push_str(&format!("\nit is pinned to {} of events", pinned_to(&consumer)));
    }
    if consumer.missed > 0 {
        text.push_str(&format!(
            "\nit MISSED {} events, which were removed before it read them: the stream begins at {}\n  \
             seachange consumer reset {stream} {name} --to start lets it go on",
            output::grouped(consumer.missed),
            output::grouped(consumer.start)
        ));
    }
    output::line(text)
}

async fn commit(arguments: CommitArguments, environment: Environment) -> anyhow::Result<()> {
    let commit = CommitRequest {
        offset: arguments.offset,
        expected: arguments.expected,
        reset: false,
    };
    put(arguments.named, commit, &environment).await
}

async fn reset(arguments: ResetArguments, environment: Environment) -> anyhow::Result<()> {
    let named = arguments.named;
    let offset = match arguments.to {
        Target::At(offset) => offset,
        target @ (Target::Start | Target::End) => {
            let admin = named.cluster.admin(&environment)?;
            let streams = admin.streams().await.map_err(explain)?.streams;
            let Some(stream) = streams.iter().find(|stream| stream.name == named.stream) else {
                let what = format!("there is no stream {:?}", named.stream);
                return Err(Stopped::failed(what, "seachange app show APP lists streams.").into());
            };
            if target == Target::Start {
                stream.start
            } else {
                stream.end
            }
        }
    };
    let commit = CommitRequest {
        offset,
        expected: None,
        reset: true,
    };
    put(named, commit, &environment).await
}

async fn put(named: NamedArguments, commit: CommitRequest, environment: &Environment) -> anyhow::Result<()> {
    let NamedArguments { stream, name, cluster } = named;
    let admin = cluster.admin(environment)?;
    let committed = admin.commit_consumer(&stream, &name, &commit).await.map_err(explain)?;
    if cluster.json {
        return output::json(&committed);
    }
    output::line(format!(
        "consumer {name} of stream {stream} stands at {}, since index {}",
        committed.offset, committed.index
    ))
}

async fn pin(named: NamedArguments, event_version: Option<u16>, environment: Environment) -> anyhow::Result<()> {
    let NamedArguments { stream, name, cluster } = named;
    let admin = cluster.admin(&environment)?;
    let pinned = admin
        .pin_consumer(&stream, &name, event_version)
        .await
        .map_err(explain)?;
    if cluster.json {
        return output::json(&pinned);
    }
    let how = match pinned.event_version {
        Some(version) => format!("gets events of later versions as version {version}"),
        None => "gets events as they were emitted".to_owned(),
    };
    let index = pinned.index;
    output::line(format!("consumer {name} of stream {stream} {how}, since index {index}"))
}

async fn remove(arguments: NamedArguments, environment: Environment) -> anyhow::Result<()> {
    let NamedArguments { stream, name, cluster } = arguments;
    let admin = cluster.admin(&environment)?;
    let removed = admin.remove_consumer(&stream, &name).await.map_err(explain)?;
    if cluster.json {
        return output::json(&removed);
    }
    output::line(format!(
        "consumer {name} of stream {stream} is forgotten, at index {}",
        removed.index
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_start_end_or_an_offset() {
        assert_eq!("start".parse(), Ok(Target::Start));
        assert_eq!("end".parse(), Ok(Target::End));
        assert_eq!("17".parse(), Ok(Target::At(17)));
        for text in ["", "-1", "START", "1.5"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
