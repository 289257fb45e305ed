//! The commands of a file, many on their way at the same time.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use client::Client;
use client::wire::{CommandOutcome, CommandReply};
use environment::{Environment, Moment};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::Serialize;

use super::Arguments;
use crate::connection::explain;
use crate::exit::{Exit, Stopped};
use crate::output::{self, Progress};

/// Lines that went wrong and are named one by one; the rest is counted.
const NAMED_MAX: usize = 10;

/// What came of the file.
#[derive(Debug, Default, Serialize)]
struct Summary {
    sent: u64,
    applied: u64,
    refused: u64,
    failed: u64,
    unknown: u64,
    /// Attempts that the client repeated by itself.
    retried: u64,
    seconds: f64,
    per_second: f64,
    /// Index of the first and the last command applied.
    first_index: Option<u64>,
    last_index: Option<u64>,
}

/// What came of one line.
struct Line {
    number: usize,
    result: Result<CommandReply, client::Error>,
}

/// What went wrong with one line.
#[derive(Debug, Serialize)]
struct Wrong {
    line: usize,
    code: &'static str,
    detail: String,
}

struct Run<'a> {
    arguments: &'a Arguments,
    summary: Summary,
    wrongs: Vec<Wrong>,
    /// The error after which nothing more is sent: no node answers.
    gave_up: Option<Stopped>,
    /// Lines that were surely not applied because no node answered.
    undone: Vec<usize>,
    /// The first line that was not even sent.
    next: usize,
}

pub(super) async fn send(arguments: &Arguments, path: &Path, environment: &Environment) -> anyhow::Result<()> {
    let Source { lines, bytes_total } = open(path)?;
    let mut lines = lines.lines().enumerate();
    let mut bytes = 0;
    let client = arguments.cluster.client(environment)?;
    let started = environment.clock.now();
    let progress = Progress::new(bytes_total, arguments.cluster.json);
    let mut run = Run {
        arguments,
        summary: Summary::default(),
        wrongs: Vec::new(),
        gave_up: None,
        undone: Vec::new(),
        next: arguments.from_line,
    };
    let mut in_flight = FuturesUnordered::new();
    let mut open = true;
    while open || !in_flight.is_empty() {
        while open && in_flight.len() < usize::from(arguments.in_flight) && run.gave_up.is_none() {
            match lines.next() {
                Some((number, Ok(line))) if number + 1 < arguments.from_line || line.trim().is_empty() => {
                    bytes += line.len() as u64 + 1;
                }
                Some((number, Ok(line))) => {
                    bytes += line.len() as u64 + 1;
                    run.summary.sent += 1;
                    run.next = number + 2;
                    in_flight.push(submit(&client, arguments, number + 1, line));
                }
                Some((number, Err(error))) => {
                    let what = format!("cannot read line {} of {}: {error}", number + 1, path.display());
                    return Err(Stopped::failed(what, "").into());
                }
                None => open = false,
            }
        }
        open &= run.gave_up.is_none();
        if let Some(line) = in_flight.next().await {
            run.take(line);
        }
        progress.show(bytes, || run.progress(environment.clock.now() - started));
    }
    progress.clear();
    run.summary.retried = client.counts().retries;
    run.finish(environment.clock.now(), started)
}

/// Where the lines come from.
struct Source {
    lines: BufReader<Box<dyn Read>>,
    /// How many bytes there are, if that can be known.
    bytes_total: Option<u64>,
}

fn open(path: &Path) -> anyhow::Result<Source> {
    if path == Path::new("-") {
        return Ok(Source {
            lines: BufReader::new(Box::new(std::io::stdin())),
            bytes_total: None,
        });
    }
    let file = std::fs::File::open(path)
        .map_err(|error| Stopped::failed(format!("cannot read {}: {error}", path.display()), ""))?;
    // A pipe or a device with a name has no size that says anything.
    let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file);
    Ok(Source {
        lines: BufReader::new(Box::new(file)),
        bytes_total: metadata.map(|metadata| metadata.len()),
    })
}

async fn submit(client: &Client, arguments: &Arguments, number: usize, line: String) -> Line {
    let (app, command, version) = (&arguments.app, &arguments.command, arguments.payload_version);
    let result = client.submit(app, command, version, line.into_bytes()).await;
    Line { number, result }
}

impl Run<'_> {
    fn take(&mut self, line: Line) {
        match line.result {
            Ok(reply) => {
                let (count, wrong) = match reply.outcome {
                    CommandOutcome::Applied => (&mut self.summary.applied, None),
                    CommandOutcome::Refused => (&mut self.summary.refused, Some(output::text(&reply.reply))),
                };
                *count += 1;
                if let Some(reason) = wrong {
                    self.name(line.number, "refused", format!("refused: {reason}"));
                }
                let (first, last) = (&mut self.summary.first_index, &mut self.summary.last_index);
                *first = Some(first.map_or(reply.index, |index| index.min(reply.index)));
                *last = Some(last.map_or(reply.index, |index| index.max(reply.index)));
            }
            Err(error) => {
                let stopped = explain(error);
                match stopped.exit {
                    Exit::OutcomeUnknown => self.summary.unknown += 1,
                    Exit::Done | Exit::Failed | Exit::Usage | Exit::Unreachable | Exit::Warnings | Exit::Blocked => {
                        self.summary.failed += 1
                    }
                }
                self.name(line.number, stopped.code, stopped.what.clone());
                if stopped.exit == Exit::Unreachable {
                    self.undone.push(line.number);
                    self.gave_up = Some(stopped);
                }
            }
        }
    }

    fn name(&mut self, line: usize, code: &'static str, detail: String) {
        if self.wrongs.len() < NAMED_MAX {
            self.wrongs.push(Wrong { line, code, detail });
        }
    }

    fn progress(&self, elapsed: Duration) -> String {
        let done = self.summary.applied + self.summary.refused;
        format!(
            "{} done, {} a second",
            output::grouped(done),
            output::grouped(rate(done, elapsed))
        )
    }

    fn finish(mut self, now: Moment, started: Moment) -> anyhow::Result<()> {
        let elapsed = now - started;
        let summary = &mut self.summary;
        let done = summary.applied + summary.refused;
        summary.seconds = (elapsed.as_secs_f64() * 1000.0).round() / 1000.0;
        #[allow(clippy::cast_precision_loss)] // a rate for people
        {
            summary.per_second = rate(done, elapsed) as f64;
        }
        for wrong in &self.wrongs {
            let text = format!("line {}: {}", wrong.line, wrong.detail);
            let json = self.arguments.cluster.json;
            output::progress(if json { serde_json::to_string(wrong)? } else { text });
        }
        if self.arguments.cluster.json {
            output::json(&self.summary)?;
        } else {
            output::line(self.text(elapsed))?;
        }
        self.conclude()
    }

    fn text(&self, elapsed: Duration) -> String {
        let Summary {
            sent,
            applied,
            refused,
            failed,
            unknown,
            retried,
            ..
        } = &self.summary;
        let counts = [
            ("applied", applied),
            ("refused", refused),
            ("failed", failed),
            ("of unknown outcome", unknown),
        ];
        let counts: Vec<String> = counts
            .iter()
            .filter(|(name, count)| **count > 0 || *name == "applied")
            .map(|(name, count)| format!("{} {name}", output::grouped(**count)))
            .collect();
        let seconds = elapsed.as_secs_f64();
        let rate = output::grouped(rate(applied + refused, elapsed));
        let mut text = format!(
            "{} sent: {} in {seconds:.1} s, {rate} a second",
            output::grouped(*sent),
            counts.join(", ")
        );
        if *retried > 0 {
            text.push_str(&format!(
                "; the client repeated {} attempts by itself",
                output::grouped(*retried)
            ));
        }
        text
    }

    fn conclude(self) -> anyhow::Result<()> {
        if let Some(stopped) = self.gave_up {
            let remedy = format!("{} {}", stopped.remedy, how_to_go_on(self.undone, self.next));
            return Err(Stopped::new(Exit::Unreachable, stopped.what, remedy).into());
        }
        let Summary {
            refused,
            failed,
            unknown,
            ..
        } = self.summary;
        if unknown > 0 {
            let what = format!("the outcome of {unknown} commands is unknown");
            return Err(Stopped::new(Exit::OutcomeUnknown, what, "Look whether they took effect.").into());
        }
        if refused + failed > 0 {
            let what = format!("{} commands were not applied", refused + failed);
            return Err(Stopped::failed(what, "").into());
        }
        Ok(())
    }
}

/// What to send again when no node answered in the middle of a file: what is sent twice is applied twice.
fn how_to_go_on(mut undone: Vec<usize>, next: usize) -> String {
    undone.sort_unstable();
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for line in undone {
        match ranges.last_mut() {
            Some((_, to)) if *to + 1 == line => *to = line,
            _ => ranges.push((line, line)),
        }
    }
    match ranges.as_slice() {
        [] => format!("Go on with --from-line {next}."),
        [(from, to)] if to + 1 == next => format!("Go on with --from-line {from}."),
        ranges => {
            let ranges: Vec<String> = ranges.iter().map(|(from, to)| format!("{from} to {to}")).collect();
            let ranges = ranges.join(", ");
            format!("Not applied: lines {ranges}. Send these by themselves, then go on with --from-line {next}.")
        }
    }
}

fn rate(count: u64, elapsed: Duration) -> u64 {
    let us = elapsed.as_micros().max(1);
    u64::try_from(u128::from(count) * 1_000_000 / us).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_applied_is_asked_to_be_sent_again() {
        assert_eq!(how_to_go_on(vec![], 8), "Go on with --from-line 8.");
        assert_eq!(how_to_go_on(vec![7, 6, 5], 8), "Go on with --from-line 5.");
        assert_eq!(
            how_to_go_on(vec![7, 5, 3, 4], 8),
            "Not applied: lines 3 to 5, 7 to 7. Send these by themselves, then go on with --from-line 8."
        );
    }

    #[test]
    fn a_rate_counts_by_the_second() {
        assert_eq!(rate(500, Duration::from_millis(250)), 2000);
        assert_eq!(rate(0, Duration::ZERO), 0);
    }
}
