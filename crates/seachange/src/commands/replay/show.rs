//! What a replay prints, for people or as JSON.

use std::path::Path;

use client::wire::{CommandOutcome, CommandReply};
use machine::{Index, Outcome, Version};
use node::replay::{Archive, First, Proof, Replay, RuleChange, Step, Witness};
use serde_json::{Value, json};

use super::Tally;
use super::copying::Copied;
use crate::output;

/// How it prints.
pub struct Show {
    /// One object a line.
    pub json: bool,
}

impl Show {
    /// What was copied off a node, and where it is kept.
    pub fn copied(&self, address: &str, copied: &Copied, keep: Option<&Path>) -> anyhow::Result<()> {
        let entries = copied.last.0.saturating_sub(copied.start.0);
        if self.json {
            return output::json(&json!({
                "what": "copied",
                "from": address,
                "name": copied.name,
                "start": copied.start.0,
                "snapshot_bytes": copied.snapshot_bytes,
                "entries": entries,
                "last": copied.last.0,
                "keep": keep,
            }));
        }
        let snapshot = match copied.start {
            Index(0) => String::new(),
            start => format!(
                "the snapshot as of entry {} ({} bytes) and ",
                output::grouped(start.0),
                output::grouped(copied.snapshot_bytes)
            ),
        };
        let kept = keep
            .map(|keep| format!("; kept in {}", keep.display()))
            .unwrap_or_default();
        output::line(format!(
            "copied off {} at {address}: {snapshot}{} entries up to entry {}{kept}",
            copied.name,
            output::grouped(entries),
            output::grouped(copied.last.0)
        ))
    }

    /// Whose data it is, and where it begins and ends.
    pub fn begin(&self, archive: &Archive, replay: &Replay) -> anyhow::Result<()> {
        let cluster = format!("{:016x}", archive.cluster().0);
        let (start, last) = (replay.applied(), replay.last());
        if self.json {
            return output::json(&json!({
                "what": "begin",
                "cluster": cluster,
                "node": archive.node().0,
                "start": start.0,
                "last": last.0,
                "committed": archive.committed().0,
            }));
        }
        let begins = match start {
            Index(0) => "from entry 1".to_owned(),
            start => format!("from the state as of entry {} (snapshot)", output::grouped(start.0)),
        };
        output::line(format!(
            "replaying node {} of cluster {cluster} {begins} to entry {}; {} is the last known to be committed",
            archive.node(),
            output::grouped(last.0),
            output::grouped(archive.committed().0)
        ))
    }

    /// What an entry did to the rules, from `from` on, and what production says of its digest.
    pub fn step(&self, step: &Step, from: Index) -> anyhow::Result<()> {
        for rule in step.rules.iter().filter(|rule| rule.index >= from) {
            self.rule(rule)?;
        }
        for first in step.firsts.iter().filter(|first| first.index >= from) {
            self.first(first)?;
        }
        for proof in step
            .proofs
            .iter()
            .filter(|proof| step.index >= from || !proof.is_equal())
        {
            self.proof(proof)?;
        }
        Ok(())
    }

    fn rule(&self, rule: &RuleChange) -> anyhow::Result<()> {
        if self.json {
            return output::json(&json!({
                "what": "rule",
                "index": rule.index.0,
                "time_ms": rule.time.0,
                "application": rule.application,
                "change": rule.change.map(|change| change.0),
                "version_before": number(rule.before),
                "version_after": number(rule.after),
                "place": rule.place,
                "detail": rule.what,
            }));
        }
        let change = rule
            .change
            .map(|change| format!(" change {change} of {}:", rule.application));
        let versions = match rule.is_switch() {
            true => format!(" [version {} → {}]", version(rule.before), version(rule.after)),
            false => String::new(),
        };
        output::line(format!(
            "entry {}:{}{versions} {}",
            output::grouped(rule.index.0),
            change.unwrap_or_default(),
            rule.what
        ))
    }

    fn first(&self, first: &First) -> anyhow::Result<()> {
        if self.json {
            return output::json(&json!({
                "what": "first_command",
                "index": first.index.0,
                "place": first.place,
                "application": first.application,
                "version": first.version.0,
                "command": first.command,
                "answer": outcome_json(first.index, &first.outcome)?,
            }));
        }
        output::line(format!(
            "entry {}: the first command under version {} of {}: command {} of the entry, {}: {}",
            output::grouped(first.index.0),
            first.version,
            first.application,
            first.place,
            first.command,
            outcome(&first.outcome)
        ))
    }

    /// What production says of a digest.
    pub fn proof(&self, proof: &Proof) -> anyhow::Result<()> {
        if !self.json {
            return output::line(format!("digest {proof}"));
        }
        let (witness, node) = match proof.witness {
            Witness::Node { node, .. } => ("node", Some(node.0)),
            Witness::Snapshot => ("snapshot", None),
            Witness::Checkpoint => ("checkpoint", None),
            Witness::Asked => ("asked", None),
        };
        output::json(&json!({
            "what": "digest",
            "index": proof.index.0,
            "witness": witness,
            "node": node,
            "equal": proof.is_equal(),
            "production": proof.theirs.to_string(),
            "replay": proof.ours.to_string(),
        }))
    }

    /// What came of it.
    pub fn end(&self, tally: &Tally, replay: &Replay, not_reached: Option<Index>, seconds: f64) -> anyhow::Result<()> {
        let a_second = tally.commands as f64 / seconds.max(f64::MIN_POSITIVE);
        if self.json {
            return output::json(&json!({
                "what": "end",
                "index": replay.applied().0,
                "digest": replay.digest().to_string(),
                "entries": tally.entries,
                "commands": tally.commands,
                "refused": tally.refused,
                "failed": tally.failed,
                "seconds": seconds,
                "commands_per_second": a_second,
                "digests_equal": tally.equal,
                "digests_unequal": tally.unequal_count,
                "digest_not_reached": not_reached.map(|index| index.0),
            }));
        }
        output::line(format!(
            "replayed {} entries with {} commands ({} refused, {} failed) in {seconds:.2} s: {} commands a second",
            output::grouped(tally.entries),
            output::grouped(tally.commands),
            output::grouped(tally.refused),
            output::grouped(tally.failed),
            output::grouped(a_second as u64)
        ))?;
        let proven = match (tally.equal, tally.unequal_count) {
            (0, 0) => "nothing here says what production's digest was between these entries".to_owned(),
            (equal, 0) => format!("digests of production that lie here: {equal}, all equal"),
            (equal, unequal) => format!(
                "digests of production that lie here: {}, {unequal} of them NOT EQUAL",
                equal + unequal
            ),
        };
        output::line(format!(
            "as of entry {}: digest {}; {proven}",
            output::grouped(replay.applied().0),
            replay.digest()
        ))?;
        match not_reached {
            Some(said) => output::line(format!(
                "the node said its digest as of entry {}, which was not reached",
                output::grouped(said.0)
            )),
            None => Ok(()),
        }
    }
}

fn number(version: Option<Version>) -> Option<u32> {
    version.map(|version| version.0)
}

/// A version, or that there is none.
fn version(version: Option<Version>) -> String {
    version.map_or_else(|| "none".to_owned(), |version| version.to_string())
}

/// An outcome for people.
pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Applied(reply) => format!("applied {}", output::text(reply)),
        Outcome::Refused(reply) => format!("refused {}", output::text(reply)),
        Outcome::Failed(failure) => format!("failed {}: {}", failure.code.name(), failure.detail),
        Outcome::SessionExpired => "session expired".to_owned(),
    }
}

/// An outcome for programs, as the HTTP API gives it.
pub fn outcome_json(index: Index, outcome: &Outcome) -> anyhow::Result<Value> {
    let (outcome, reply) = match outcome {
        Outcome::Applied(reply) => (CommandOutcome::Applied, reply),
        Outcome::Refused(reply) => (CommandOutcome::Refused, reply),
        Outcome::Failed(failure) => {
            return Ok(json!({ "outcome": "failed", "code": failure.code.name(), "detail": failure.detail }));
        }
        Outcome::SessionExpired => return Ok(json!({ "outcome": "session_expired" })),
    };
    let reply = CommandReply {
        index: index.0,
        outcome,
        reply: reply.clone(),
    };
    Ok(serde_json::to_value(reply)?)
}
