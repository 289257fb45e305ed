use std::str::FromStr;

use client::wire::Stage;

use super::{Act, Area, Condition, Port, Script, Statement, Topic, Who};
use crate::world::{Nanos, SECOND};

/// A line that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text:?} is refused: {why}")]
pub struct Error {
    /// Counted from 1.
    pub line: usize,
    /// The line.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

type Read<T> = Result<T, String>;

impl FromStr for Script {
    type Err = Error;

    fn from_str(text: &str) -> Result<Script, Error> {
        let mut script = Script::default();
        let mut below = false;
        for (at, line) in text.lines().enumerate() {
            let read = if below {
                script.read_statement(line)
            } else {
                script.read_head(line, &mut below)
            };
            read.map_err(|why| Error {
                line: at + 1,
                text: line.to_owned(),
                why,
            })?;
        }
        Ok(script)
    }
}

impl Script {
    fn read_head(&mut self, line: &str, below: &mut bool) -> Read<()> {
        if let Some(comment) = line.strip_prefix('#') {
            self.comments.push(comment.to_owned());
            return Ok(());
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => {}
            ["---"] => *below = true,
            ["seed", value] => self.seed = number(value)?,
            ["nodes", value] => self.nodes = number(value)?,
            ["clients", value] => self.clients = number(value)?,
            ["rest-ms", value] => self.rest_ms = number(value)?,
            ["log-segment-bytes", value] => self.sizes.log_segment_bytes = number(value)?,
            ["snapshot-log-bytes", value] => self.sizes.snapshot_log_bytes = number(value)?,
            ["log-keep-entries", value] => self.sizes.log_keep_entries = number(value)?,
            ["replay-keep-bytes", value] => self.sizes.replay_keep_bytes = number(value)?,
            ["scan-seconds", value] => self.sizes.scan_seconds = number(value)?,
            [..] => return Err("no setting of that name".to_owned()),
        }
        Ok(())
    }

    fn read_statement(&mut self, line: &str) -> Read<()> {
        if let Some(recorded) = line.strip_prefix("  ") {
            return match self.statements.last_mut() {
                Some(Statement::Show(_, lines)) => {
                    lines.push(recorded.to_owned());
                    Ok(())
                }
                Some(_) | None => Err("only what a show printed is indented".to_owned()),
            };
        }
        if let Some(comment) = line.strip_prefix('#') {
            self.statements.push(Statement::Comment(comment.to_owned()));
            return Ok(());
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let statement = match &words[..] {
            [] => return Ok(()),
            ["at", time, rest @ ..] => Statement::At(seconds(time)?, act(rest)?),
            ["wait", time] => Statement::Wait(seconds(time)?),
            ["until", rest @ ..] => Statement::Until(condition(rest)?),
            ["show", rest @ ..] => Statement::Show(topic(rest)?, Vec::new()),
            rest => Statement::Now(act(rest)?),
        };
        self.statements.push(statement);
        Ok(())
    }
}

fn number<T: FromStr>(word: &str) -> Read<T> {
    word.parse()
        .map_err(|_| format!("{word:?} is no number that fits here"))
}

fn seconds(word: &str) -> Read<Nanos> {
    let seconds: f64 = number(word)?;
    if !(0.0..1e6).contains(&seconds) {
        return Err(format!("{word} seconds are out of range"));
    }
    Ok((seconds * SECOND as f64).round() as Nanos)
}

fn who(word: &str) -> Read<Who> {
    match word {
        "leader" => Ok(Who::Leader),
        "follower" => Ok(Who::Follower),
        other => number(other).map(Who::Node),
    }
}

fn area(word: &str) -> Read<Area> {
    let found = Area::ALL.into_iter().find(|area| area.name() == word);
    found.ok_or_else(|| format!("{word:?} is no part of a disk"))
}

fn port(word: &str) -> Read<Port> {
    let found = [Port::Peers, Port::Clients]
        .into_iter()
        .find(|port| port.name() == word);
    found.ok_or_else(|| format!("{word:?} is no port"))
}

fn act(words: &[&str]) -> Read<Act> {
    let act = match *words {
        ["kill", node] => Act::Kill(who(node)?),
        ["power", node] => Act::Power(who(node)?),
        ["die", node, operations] => Act::Die(who(node)?, number(operations)?),
        ["start", node] => Act::Start(who(node)?),
        ["stop", node] => Act::Stop(who(node)?),
        ["pause", node] => Act::Pause(who(node)?),
        ["resume", node] => Act::Resume(who(node)?),
        ["slow", node, ms] => Act::Slow(who(node)?, number(ms)?),
        ["disk", node, "slow", times] => Act::DiskSlow(who(node)?, number(times)?),
        ["disk", node, "full", bytes] => Act::DiskFull(who(node)?, number(bytes)?),
        ["disk", node, "sync-fails"] => Act::SyncFails(who(node)?),
        ["disk", node, "sound"] => Act::DiskSound(who(node)?),
        ["flip", node, part] => Act::Flip(who(node)?, area(part)?),
        ["date", node, ms] => Act::Date(who(node)?, number(ms)?),
        ["binary", node, level] => Act::Binary(who(node)?, number(level)?),
        ["rebuild", node] => Act::Rebuild(who(node)?),
        ["join"] => Act::Join,
        ["heal"] => Act::Heal,
        ref rest => return network_act(rest).or_else(|_| operators_act(rest)),
    };
    Ok(act)
}

fn network_act(words: &[&str]) -> Read<Act> {
    let act = match *words {
        ["cut", from, to] => Act::Cut(who(from)?, who(to)?),
        ["mend", from, to] => Act::Mend(who(from)?, who(to)?),
        ["lossy", from, to, per_mille] => Act::Lossy(who(from)?, who(to)?, number(per_mille)?),
        ["latency", from, to, ms] => Act::Latency(who(from)?, who(to)?, number(ms)?),
        ["hang", one, other] => Act::Hang(who(one)?, who(other)?),
        ["repeat", node, kind] => Act::Repeat(who(node)?, port(kind)?),
        [..] => return Err("no verb of that name, or it takes other words".to_owned()),
    };
    Ok(act)
}

fn operators_act(words: &[&str]) -> Read<Act> {
    let act = match *words {
        ["upgrade", name, version] => Act::Upgrade(name.to_owned(), number(version)?, false),
        ["upgrade", name, version, "finalize"] => Act::Upgrade(name.to_owned(), number(version)?, true),
        ["upgrade", name, version, "confirm-within", seconds] => {
            Act::UpgradeUnlessConfirmed(name.to_owned(), number(version)?, number(seconds)?)
        }
        ["upgrade", name, version, "rehearse", commands] => {
            Act::UpgradeOnceRehearsed(name.to_owned(), number(version)?, number(commands)?)
        }
        ["approve", name] => Act::Approve(name.to_owned()),
        ["confirm", name] => Act::Confirm(name.to_owned()),
        ["replaced", name, version] => Act::Replaced(name.to_owned(), number(version)?),
        ["revert", name] => Act::Revert(name.to_owned()),
        ["finalize", name] => Act::Finalize(name.to_owned()),
        ["abort", name] => Act::Abort(name.to_owned()),
        ["snapshot", node] => Act::Snapshot(who(node)?),
        ["raise", level] => Act::Raise(number(level)?),
        ["poison"] => Act::Poison,
        ["skip"] => Act::Skip,
        ["trim"] => Act::Trim,
        ["verify", node] => Act::Verify(who(node)?),
        [..] => return Err("no verb of that name, or it takes other words".to_owned()),
    };
    Ok(act)
}

fn condition(words: &[&str]) -> Read<Condition> {
    let condition = match *words {
        ["leader"] => Condition::Leader,
        ["serving", node] => Condition::Serving(who(node)?),
        ["parked", node] => Condition::Parked(who(node)?),
        ["applying", node] => Condition::Applying(who(node)?),
        ["stopped", node] => Condition::Stopped(who(node)?),
        ["change", name, stage] => Condition::Change(
            name.to_owned(),
            Stage::from_name(stage).ok_or_else(|| format!("{stage:?} is no stage"))?,
        ),
        ["agreement"] => Condition::Agreement,
        ["acknowledged", count] => Condition::Acknowledged(number(count)?),
        [..] => return Err("no condition of that name".to_owned()),
    };
    Ok(condition)
}

fn topic(words: &[&str]) -> Read<Topic> {
    let topic = match *words {
        ["versions"] => Topic::Versions,
        ["parked"] => Topic::Parked,
        ["stopped"] => Topic::Stopped,
        ["change", name] => Topic::Change(name.to_owned()),
        ["streams"] => Topic::Streams,
        ["levels"] => Topic::Levels,
        ["errors"] => Topic::Errors,
        ["verdict"] => Topic::Verdict,
        [..] => return Err("nothing of that name can be shown".to_owned()),
    };
    Ok(topic)
}
