//! `seachange replay`: the log of a node, copied off it or lying in its directory, applied again in memory.

mod compare;
mod copying;
mod record;
mod show;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use client::wire::{EventRecord, Row};
use environment::channel::oneshot;
use environment::{Environment, Moment};
use host::Registry;
use machine::{Index, Outcome, Read, ReadValue};
use node::replay::{Archive, Checkpointed, Error, Proof, Replay, Step, Witness};
use serde_json::json;
use store::state::{Backend, FjallBackend, FjallOptions};

use crate::exit::Stopped;
use crate::interrupt::unless_interrupted;
use crate::output;
pub use compare::Differences;
use record::Taking;
use show::Show;

/// Flags of `replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// Data directory of a node that does not run, or a copy of one; nothing in it is written
    #[arg(
        long,
        value_name = "DIRECTORY",
        required_unless_present = "from",
        conflicts_with = "from"
    )]
    pub data: Option<PathBuf>,
    /// HTTP address of a node that runs: its snapshot and log are copied off it, and its digest is compared
    #[arg(long, value_name = "URL", value_parser = copying::address)]
    pub from: Option<String>,
    /// Keep the copy in this directory, new or empty, to be replayed with --data again [default: a temporary one]
    #[arg(long, value_name = "DIRECTORY", requires = "from", conflicts_with = "data")]
    pub keep: Option<PathBuf>,
    /// Show what happens from this entry on; begin with the newest state from before it
    #[arg(long, value_name = "INDEX", value_parser = entry())]
    pub from_index: Option<u64>,
    /// Stop behind this entry [default: the last that is known to be committed]
    #[arg(long, value_name = "INDEX", value_parser = entry())]
    pub to_index: Option<u64>,
    /// Stop behind this entry to look at what there is, or to try another version from the next one on
    #[arg(long, value_name = "INDEX", value_parser = entry())]
    pub at_index: Option<u64>,
    /// Print the rows of a table as of --at-index
    #[arg(long, value_name = "APP/TABLE", value_parser = table, requires = "at_index", conflicts_with = "package")]
    pub table: Option<Table>,
    /// Print the last events of a stream as of --at-index, of those that the replay came by
    #[arg(long, value_name = "STREAM", requires = "at_index", conflicts_with = "package")]
    pub events: Option<String>,
    /// Try the version in this directory: what would it have made of the commands behind --at-index?
    #[arg(long = "use", value_name = "DIRECTORY", requires = "at_index")]
    pub package: Option<PathBuf>,
    /// Print what differs, not only how much
    #[arg(long, requires = "package")]
    pub diff: bool,
    /// Keep the commands of an application, from --from-index on, with what came of them, in a new file for `app test`
    #[arg(long, value_name = "FILE", requires = "from_index", conflicts_with = "at_index")]
    pub record: Option<PathBuf>,
    /// The application to record [default: the only one]
    #[arg(long, value_name = "NAME", requires = "record")]
    pub app: Option<String>,
    /// At most so many rows, events, or differences of one kind
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Do not compare with the node's own checkpoint, which is read in a temporary copy as large as the state
    #[arg(long)]
    pub no_checkpoint: bool,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  seachange replay --data ./copy
  seachange replay --from http://127.0.0.1:7070 --keep ./copy
  seachange replay --data ./copy --at-index 5000 --table ledger/accounts --limit 10
  seachange replay --data ./copy --at-index 5000 --use apps/ledger-2 --diff
  seachange replay --data ./copy --from-index 5000 --to-index 6000 --record ./monday.recording

The same log from the same start gives the same state: replay says for each digest that lies here (in the log, in
snapshots, in the node's own checkpoint, as a running node said) whether it came to the same one, and ends with exit code
1 if not. Only entries that are known to be committed are applied.

--from copies what it takes: the newest state from before --from-index, else the oldest that the node has, and the log from
there on. The node serves on. A copy holds payloads and documents.";

/// An entry's index.
fn entry() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..)
}

/// A table by its application's name and its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    application: String,
    table: String,
}

fn table(text: &str) -> Result<Table, String> {
    match text.split_once('/') {
        Some((application, table)) if !application.is_empty() && !table.is_empty() => Ok(Table {
            application: application.to_owned(),
            table: table.to_owned(),
        }),
        Some(_) | None => Err("give application and table, as in ledger/accounts".to_owned()),
    }
}

/// What a replay came to.
#[derive(Default)]
struct Tally {
    entries: u64,
    commands: u64,
    refused: u64,
    failed: u64,
    equal: u64,
    /// The first digest that was another one.
    unequal: Option<Proof>,
    unequal_count: u64,
}

impl Tally {
    fn note(&mut self, step: &Step) {
        self.entries += 1;
        self.commands += step.replies.len() as u64;
        for reply in &step.replies {
            match reply.outcome {
                Outcome::Refused(_) => self.refused += 1,
                Outcome::Failed(_) => self.failed += 1,
                Outcome::Applied(_) | Outcome::SessionExpired => {}
            }
        }
        for proof in &step.proofs {
            self.prove(*proof);
        }
    }

    fn prove(&mut self, proof: Proof) {
        if proof.is_equal() {
            self.equal += 1;
        } else {
            self.unequal_count += 1;
            self.unequal.get_or_insert(proof);
        }
    }
}

impl Arguments {
    /// Copies if need be, and replays.
    ///
    /// # Errors
    /// What is there cannot be copied or replayed, or replay came to something else than production.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        self.check()?;
        match (&self.from, &self.data) {
            (Some(address), _) => {
                let address = address.clone();
                unless_interrupted(self.replay_copy(&address, &environment)).await
            }
            (None, Some(data)) => self.replay(data, &environment),
            (None, None) => Err(Stopped::usage("give --data or --from", "").into()),
        }
    }

    /// Takes a copy and replays that, on a thread of its own: the copy is removed also where whoever waits is interrupted.
    async fn replay_copy(self, address: &str, environment: &Environment) -> anyhow::Result<()> {
        let last = self.at_index.or(self.to_index).map(Index);
        let wanted = (self.from_index.map(Index), last);
        let copied = copying::copy(environment, address, self.keep.as_deref(), wanted, self.json).await?;
        Show { json: self.json }.copied(address, &copied, self.keep.as_deref())?;
        let data = copied.place.directory().to_owned();
        let (done, replayed) = oneshot::channel();
        let its = environment.clone();
        environment.spawn_worker("replay", async move {
            // Whoever waited may have been interrupted.
            done.send(self.replay(&data, &its)).ok();
        });
        replayed
            .await
            .unwrap_or_else(|_| Err(Stopped::failed("the replay ended without a result", "").into()))
    }

    /// Replays what lies in a directory. Blocks until that is done.
    fn replay(&self, data: &Path, environment: &Environment) -> anyhow::Result<()> {
        let archive = self.open(data, environment)?;
        let show = Show { json: self.json };
        for warning in archive.warnings() {
            output::progress(format!("warning: {warning}"));
        }
        let from = self.from_index.map(Index);
        let to = self.at_index.or(self.to_index).map(Index);
        let registry = Registry::new(Vec::new());
        let mut replay = archive.replay(&registry, from, to).map_err(|error| explain(&error))?;
        show.begin(&archive, &replay)?;
        let begun = environment.clock.now();
        let mut kept = VecDeque::new();
        let mut tally = Tally::default();
        if replay.applied() > Index(0) {
            for proof in replay.proofs_here() {
                // The snapshot that it begins with is what it begins with.
                if proof.witness != Witness::Snapshot {
                    tally.prove(proof);
                }
                show.proof(&proof)?;
            }
        }
        let mut taking = Taking::new(self)?;
        taking.look(&replay)?;
        while let Some(step) = replay.step().map_err(|error| explain(&error))? {
            tally.note(&step);
            taking.note(&step, &replay)?;
            show.step(&step, from.unwrap_or_default())?;
            self.keep_events(step, &mut kept);
        }
        let not_reached = archive.said_behind(replay.applied());
        show.end(&tally, &replay, not_reached, seconds(environment, begun))?;
        if let Some(package) = &self.package {
            // Its end is compared with production's, too.
            let proofs = compare::run(self, package, replay, &archive, &show)?;
            tally.equal += proofs.equal;
            tally.unequal_count += proofs.unequal_count;
            tally.unequal = tally.unequal.or(proofs.unequal);
        } else {
            taking.finish(&replay, environment, self.json)?;
            self.print_table(&mut replay)?;
            self.print_events(&kept)?;
        }
        conclude(&tally)
    }

    fn check(&self) -> anyhow::Result<()> {
        let ends = [self.at_index, self.to_index];
        let backwards = |end: &u64| self.from_index.is_some_and(|from| from > *end);
        if ends.iter().flatten().any(backwards) {
            let what = "--from-index names an entry behind the last one that is to be applied";
            return Err(Stopped::usage(what, "Give them the other way round.").into());
        }
        match (self.at_index, self.to_index, &self.package) {
            (Some(_), Some(_), None) => {
                let what = "--at-index stops at an entry already";
                Err(Stopped::usage(what, "Leave out --to-index, or try a version from there on with --use.").into())
            }
            (Some(at), Some(to), Some(_)) if to <= at => {
                let what = "--to-index names no entry behind --at-index";
                let remedy = "The version given with --use answers from the entry after --at-index on.";
                Err(Stopped::usage(what, remedy).into())
            }
            _ => Ok(()),
        }
    }

    fn open(&self, data: &Path, environment: &Environment) -> anyhow::Result<Archive> {
        let scratch = tempfile::tempdir()?;
        let backend = |directory: &Path| {
            let backend = FjallBackend::open(directory, FjallOptions::default())?;
            Ok(Arc::new(backend) as Arc<dyn Backend>)
        };
        let checkpoint = Checkpointed {
            backend: &backend,
            scratch: scratch.path(),
        };
        let checkpoint = (!self.no_checkpoint).then_some(&checkpoint);
        Ok(Archive::open(environment, data, checkpoint).map_err(|error| explain(&error))?)
    }

    /// The last events of the stream that is wanted.
    fn keep_events(&self, step: Step, kept: &mut VecDeque<machine::Event>) {
        let Some(wanted) = &self.events else { return };
        for (_, event) in step.events.into_iter().filter(|(stream, _)| stream == wanted) {
            if kept.len() == self.limit as usize {
                kept.pop_front();
            }
            kept.push_back(event);
        }
    }

    fn print_events(&self, kept: &VecDeque<machine::Event>) -> anyhow::Result<()> {
        for event in kept {
            let record = EventRecord {
                offset: event.offset.0,
                time_ms: event.time.0,
                key: event.key.clone(),
                value: event.value.clone(),
                version: event.version,
            };
            if self.json {
                output::json(&json!({ "what": "event", "event": record }))?;
            } else {
                let key = record.key.as_deref().map(output::text).unwrap_or_default();
                output::line(format!("{}\t{key}\t{}", record.offset, output::text(&record.value)))?;
            }
        }
        Ok(())
    }

    fn print_table(&self, replay: &mut Replay) -> anyhow::Result<()> {
        let Some(Table { application, table }) = &self.table else {
            return Ok(());
        };
        let (mut left, mut start) = (self.limit as usize, Bytes::new());
        loop {
            let read = Read::Scan {
                application: application.clone(),
                table: table.clone(),
                start: start.clone(),
                end: None,
                limit: left,
                reverse: false,
            };
            let value = replay
                .read(&read)
                .map_err(|error| Stopped::failed(error.to_string(), ""))?;
            let ReadValue::Pairs { pairs, more } = value else {
                return Ok(());
            };
            left -= pairs.len().min(left);
            for (key, document) in &pairs {
                self.print_row(key, document)?;
            }
            match pairs.last() {
                Some((last, _)) if more && left > 0 => start = [last, &b"\0"[..]].concat().into(),
                Some(_) if more => return self.say_more(),
                Some(_) | None => return Ok(()),
            }
        }
    }

    fn print_row(&self, key: &Bytes, document: &Bytes) -> anyhow::Result<()> {
        if !self.json {
            return output::line(format!("{}\t{}", output::text(key), output::text(document)));
        }
        let row = Row {
            key: key.clone(),
            document: document.clone(),
        };
        output::json(&json!({ "what": "row", "row": row }))
    }

    fn say_more(&self) -> anyhow::Result<()> {
        output::progress(format!(
            "There are more rows than these {}: --limit gives more.",
            self.limit
        ));
        Ok(())
    }
}

fn seconds(environment: &Environment, begun: Moment) -> f64 {
    (environment.clock.now() - begun).as_secs_f64()
}

/// Whether all that production says of its digests was met.
fn conclude(tally: &Tally) -> anyhow::Result<()> {
    let Some(first) = &tally.unequal else { return Ok(()) };
    let what = format!(
        "replay does not come to what production came to: {} of {} digests differ, the first {first}",
        tally.unequal_count,
        tally.unequal_count + tally.equal
    );
    let remedy = "Replay the data of another member as well: where that one agrees with itself, this node's data is wrong, and \
                  `seachange rebuild` takes it anew. Where no member's agrees, the binary or the application is not the one \
                  that ran.";
    Err(Stopped::failed(what, remedy).coded("replay_differs").into())
}

/// What to do about it, where that is not said already.
pub fn explain(error: &Error) -> Stopped {
    let (code, remedy) = match error {
        Error::InUse(_) => ("data_in_use", ""),
        Error::NoNode(_) => ("no_node", ""),
        Error::TooOld { .. } => (
            "too_old",
            "Ask for a later entry, or replay a copy that was made earlier.",
        ),
        Error::NoStart(_) => ("too_old", ""),
        Error::NotCommitted { .. } => (
            "not_committed",
            "Ask for an earlier entry, or replay the data of a member that knows more.",
        ),
        Error::Unreadable(_) => ("unreadable", ""),
        Error::Copy(_) | Error::NotWhole { .. } => ("copy_failed", "Copy it again, or off another member."),
        Error::CopyDisk(_) => (
            "copy_failed",
            "Make room, or name another directory: with --keep, or for a copy that is not kept with TMPDIR.",
        ),
        Error::Stopped { .. } => ("replay_stopped", ""),
        Error::Refused { .. } => ("version_refused", ""),
    };
    Stopped::failed(error.to_string(), remedy).coded(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::{StateDigest, TimeMs};

    fn proof(index: u64, ours: u128) -> Proof {
        let digest = |rows| StateDigest { rows, history: 0 };
        Proof {
            index: Index(index),
            witness: Witness::Snapshot,
            theirs: digest(7),
            ours: digest(ours),
            streams_equal: true,
        }
    }

    fn told(proofs: Vec<Proof>) -> Option<String> {
        let mut tally = Tally::default();
        tally.note(&Step {
            index: Index(9),
            time: TimeMs(1),
            payload: Bytes::new(),
            replies: Vec::new(),
            events: Vec::new(),
            rules: Vec::new(),
            firsts: Vec::new(),
            proofs,
        });
        conclude(&tally).err().map(|error| error.to_string())
    }

    #[test]
    fn one_digest_that_differs_is_a_failure_that_names_it() {
        assert_eq!(told(vec![]), None);
        assert_eq!(told(vec![proof(5, 7)]), None);
        let error = told(vec![proof(5, 7), proof(6, 8), proof(7, 8)]).expect("they differ");
        assert!(
            error.contains("2 of 3 digests differ, the first as of entry 6"),
            "{error}"
        );
        let mut streams = proof(5, 7);
        streams.streams_equal = false;
        assert!(told(vec![streams]).expect("they differ").contains("streams"), "as well");
    }

    #[test]
    fn a_table_is_named_with_its_application() {
        assert!(table("ledger/accounts").is_ok_and(|it| it.application == "ledger" && it.table == "accounts"));
        for wrong in ["ledger", "/accounts", "ledger/", ""] {
            assert!(table(wrong).is_err(), "{wrong}");
        }
    }
}
