use std::fmt;

use super::{Condition, Script, Statement, Topic};
use crate::world::Nanos;

/// Seconds with three places, as far as they are needed.
struct Seconds(Nanos);

impl fmt::Display for Seconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.3}", self.0 as f64 / 1e9);
        out.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Leader => out.write_str("leader"),
            Condition::Serving(who) => write!(out, "serving {who}"),
            Condition::Parked(who) => write!(out, "parked {who}"),
            Condition::Applying(who) => write!(out, "applying {who}"),
            Condition::Stopped(who) => write!(out, "stopped {who}"),
            Condition::Change(name, stage) => write!(out, "change {name} {stage}"),
            Condition::Agreement => out.write_str("agreement"),
            Condition::Acknowledged(count) => write!(out, "acknowledged {count}"),
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Topic::Versions => out.write_str("versions"),
            Topic::Parked => out.write_str("parked"),
            Topic::Stopped => out.write_str("stopped"),
            Topic::Change(name) => write!(out, "change {name}"),
            Topic::Streams => out.write_str("streams"),
            Topic::Levels => out.write_str("levels"),
            Topic::Errors => out.write_str("errors"),
            Topic::Verdict => out.write_str("verdict"),
        }
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Statement::At(at, act) => write!(out, "at {} {act}", Seconds(*at)),
            Statement::Now(act) => act.fmt(out),
            Statement::Wait(time) => write!(out, "wait {}", Seconds(*time)),
            Statement::Until(condition) => write!(out, "until {condition}"),
            Statement::Show(topic, lines) => {
                write!(out, "show {topic}")?;
                lines.iter().try_for_each(|line| write!(out, "\n  {line}"))
            }
            Statement::Comment(text) => write!(out, "#{text}"),
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for comment in &self.comments {
            writeln!(out, "#{comment}")?;
        }
        writeln!(
            out,
            "seed {}\nnodes {}\nclients {}",
            self.seed, self.nodes, self.clients
        )?;
        writeln!(out, "rest-ms {}", self.rest_ms)?;
        let sizes = &self.sizes;
        writeln!(out, "log-segment-bytes {}", sizes.log_segment_bytes)?;
        writeln!(out, "snapshot-log-bytes {}", sizes.snapshot_log_bytes)?;
        writeln!(out, "log-keep-entries {}", sizes.log_keep_entries)?;
        writeln!(out, "replay-keep-bytes {}", sizes.replay_keep_bytes)?;
        writeln!(out, "scan-seconds {}\n---", sizes.scan_seconds)?;
        for statement in &self.statements {
            writeln!(out, "{statement}")?;
        }
        Ok(())
    }
}
