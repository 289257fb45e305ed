//! The commands of the binary, one file each.

pub mod app;
pub mod backup;
pub mod bench;
pub mod change;
pub mod completions;
pub mod consumer;
pub mod demo;
pub mod doctor;
pub mod entry;
pub mod get;
pub mod query;
pub mod rebuild;
pub mod replay;
pub mod restore;
pub mod scan;
pub mod send;
pub mod serve;
pub mod status;
pub mod stream;
pub mod tail;
pub mod verify;

use std::ffi::OsString;

use clap::{ColorChoice, CommandFactory, FromArgMatches, ValueEnum};
use environment::Environment;

use crate::exit::{Exit, Stopped};
use crate::output;
use crate::style::ColorWhen;

/// Seachange runs deterministic applications on a replicated log, and lets you change everything while it serves.
#[derive(Debug, clap::Parser)]
#[command(name = "seachange", version, about, after_help = AFTER_HELP, max_term_width = 110)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// When to colour what is written; NO_COLOR counts too
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: ColorWhen,
}

const AFTER_HELP: &str = "\
Example:
  seachange demo --seconds 10

Exit codes: 0 done; 1 refused or failed; 2 the command line cannot be understood; 3 no node could be reached;
4 the outcome is unknown: it may have been done; 5, 6 a dry run has warnings, or would be refused.
With --json, an error is one JSON object on standard error: code, exit, detail, and remedy if there is one.";

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run a node: alone without arguments, or as a member of a cluster with --join
    Serve(Box<serve::Arguments>),
    /// See it work: three nodes, a version switch and a killed leader under load, and what came of it
    Demo(demo::Arguments),
    /// Measure
    #[command(subcommand, after_help = "Example:\n  seachange bench write --seconds 5")]
    Bench(bench::Command),
    /// Show the whole cluster, and whether all is well
    Status(status::Arguments),
    /// Find the node that is slow, and why: its disk, its apply, its network
    Doctor(doctor::Arguments),
    /// Send commands to an application
    Send(send::Arguments),
    /// Read one document
    Get(get::Arguments),
    /// Read documents in order of their keys
    Scan(scan::Arguments),
    /// Ask an application a query of its own
    Query(query::Arguments),
    /// Read the events of a stream
    Tail(tail::Arguments),
    /// Copy everything as of one index off the cluster, while it serves
    Backup(backup::Arguments),
    /// Make the first node of a new cluster from a backup
    Restore(restore::Arguments),
    /// Make a node read everything on its disk again and check it
    Verify(verify::Arguments),
    /// Make a stopped node take everything from the other members when it starts next
    Rebuild(rebuild::Arguments),
    /// Apply a node's log again, in memory, copied off it while it runs or lying in a directory: prove it, see where the rules changed, ask what if
    Replay(replay::Arguments),
    /// Show and trim streams
    #[command(subcommand, after_help = "Example:\n  seachange stream list")]
    Stream(stream::Command),
    /// Show and move the named consumers of streams
    #[command(subcommand, after_help = "Example:\n  seachange consumer list")]
    Consumer(consumer::Command),
    /// Write, install, upgrade and show applications
    #[command(subcommand, after_help = "Example:\n  seachange app list")]
    App(app::Command),
    /// Show and steer changes
    #[command(subcommand, after_help = "Example:\n  seachange change list")]
    Change(change::Command),
    /// See and skip entries at which the program itself fails
    #[command(subcommand, after_help = "Example:\n  seachange entry skipped")]
    Entry(entry::Command),
    /// Print what makes a shell complete these commands
    Completions(completions::Arguments),
}

impl Arguments {
    /// Does what the command line says.
    ///
    /// # Errors
    /// What stopped it; see [`crate::exit`].
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        match self.command {
            Command::Serve(arguments) => arguments.run(environment).await,
            Command::Demo(arguments) => arguments.run(environment).await,
            Command::Bench(command) => command.run(environment).await,
            Command::Status(arguments) => arguments.run(environment).await,
            Command::Doctor(arguments) => arguments.run(environment).await,
            Command::Send(arguments) => arguments.run(environment).await,
            Command::Get(arguments) => arguments.run(environment).await,
            Command::Scan(arguments) => arguments.run(environment).await,
            Command::Query(arguments) => arguments.run(environment).await,
            Command::Tail(arguments) => arguments.run(environment).await,
            Command::Backup(arguments) => arguments.run(environment).await,
            Command::Restore(arguments) => arguments.run(environment).await,
            Command::Verify(arguments) => arguments.run(environment).await,
            Command::Rebuild(arguments) => arguments.run(environment).await,
            Command::Replay(arguments) => arguments.run(environment).await,
            Command::Stream(command) => command.run(environment).await,
            Command::Consumer(command) => command.run(environment).await,
            Command::App(command) => command.run(environment).await,
            Command::Change(command) => command.run(environment).await,
            Command::Entry(command) => command.run(environment).await,
            Command::Completions(arguments) => arguments.run(),
        }
    }
}

/// How everything is to be written, errors of the command line among them: known before the command line is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// `--json` stands somewhere.
    pub json: bool,
    /// What `--color` says.
    pub color: ColorWhen,
}

impl Wanted {
    /// Looks through the words of a command line, the program first.
    #[must_use]
    pub fn by(words: &[OsString]) -> Wanted {
        let mut wanted = Wanted::default();
        let mut words = words.iter().skip(1).map(|word| word.to_string_lossy());
        while let Some(word) = words.next() {
            match word.as_ref() {
                "--" => break,
                "--json" => wanted.json = true,
                "--color" => wanted.color = color(words.next().as_deref().unwrap_or_default()),
                word => {
                    if let Some(when) = word.strip_prefix("--color=") {
                        wanted.color = color(when);
                    }
                }
            }
        }
        wanted
    }
}

/// What is no choice is refused later, by the parser.
fn color(word: &str) -> ColorWhen {
    ColorWhen::from_str(word, false).unwrap_or_default()
}

/// Understands a command line, the program first. What cannot be understood, and help, is written here.
///
/// # Errors
/// How the process is to end: there is nothing to run.
pub fn parse(words: &[OsString], wanted: Wanted) -> Result<Arguments, Exit> {
    let choice = match wanted.color {
        ColorWhen::Auto => ColorChoice::Auto,
        ColorWhen::Always => ColorChoice::Always,
        ColorWhen::Never => ColorChoice::Never,
    };
    let matches = Arguments::command().color(choice).try_get_matches_from(words);
    let error = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => return Ok(arguments),
        Err(error) => error,
    };
    if !error.use_stderr() {
        // Help or the version. Whoever reads it may have enough of it.
        let _ = error.print();
        return Err(Exit::Done);
    }
    if wanted.json {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned();
        output::error(&Stopped::usage(text, "").into(), true);
    } else {
        let _ = error.print();
    }
    Err(Exit::Usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn how_to_write_is_seen_before_the_line_is_understood() {
        for (line, json, color) in [
            ("seachange status", false, ColorWhen::Auto),
            ("seachange no-such --json --color never", true, ColorWhen::Never),
            ("seachange --color=always status", false, ColorWhen::Always),
            ("seachange send a b -- --json --color never", false, ColorWhen::Auto),
            ("seachange status --color", false, ColorWhen::Auto),
        ] {
            assert_eq!(Wanted::by(&words(line)), Wanted { json, color }, "{line}");
        }
    }

    /// Every command, with its words.
    fn commands(command: &clap::Command, words: &str, found: &mut Vec<(String, String)>) {
        let mut command = command.clone();
        let help = command.render_help().to_string();
        found.push((words.to_owned(), help));
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            commands(inner, &format!("{words} {}", inner.get_name()), found);
        }
    }

    /// The lines of a help that show an example.
    fn examples(help: &str) -> Vec<&str> {
        let after = help
            .split_once("\nExample:\n")
            .or_else(|| help.split_once("\nExamples:\n"));
        let after = after.map_or("", |(_, after)| after);
        let lines = after.lines().map_while(|line| line.strip_prefix("  "));
        lines.collect()
    }

    #[test]
    fn every_command_shows_an_example_that_is_understood() {
        let mut found = Vec::new();
        commands(&Arguments::command(), "seachange", &mut found);
        assert!(found.len() > 20, "{found:?}");
        for (words, help) in found {
            let examples = examples(&help);
            assert!(!examples.is_empty(), "{words} shows no example:\n{help}");
            for example in examples {
                assert!(example.starts_with(&words), "{words}: {example}");
                // What a shell would do with quotes and redirections; the end-to-end test runs them in one.
                let line = example.split(" > ").next().unwrap();
                let parts: Vec<&str> = line.split('\'').collect();
                let mut line: Vec<String> = parts[0].split_whitespace().map(str::to_owned).collect();
                line.extend(parts.get(1).map(|quoted| (*quoted).to_owned()));
                line.extend(
                    parts
                        .get(2)
                        .into_iter()
                        .flat_map(|rest| rest.split_whitespace().map(str::to_owned)),
                );
                let understood = Arguments::command().try_get_matches_from(&line);
                assert!(understood.is_ok(), "{words}: {example}: {understood:?}");
            }
        }
    }
}
