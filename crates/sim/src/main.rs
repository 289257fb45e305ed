//! `sim`: simulated clusters from seeds and scripts.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use sim::explore::{Bound, explore, run_apart};
use sim::oracles::complaints;
use sim::plan::plan;
use sim::run::Report;
use sim::script::Script;
use sim::shrink::shrink;

/// Simulates whole clusters, deterministically: the same seed gives the same run.
#[derive(Debug, Parser)]
struct Arguments {
    /// Runs the plan of that seed
    #[arg(long)]
    seed: Option<u64>,
    /// Explores new seeds for so many minutes
    #[arg(long)]
    minutes: Option<f64>,
    /// Explores so many seeds, up to the first that fails
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed to explore
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Threads to explore on
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Writes every event of the run to that file
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Log lines of the nodes to show, as in info or node=debug
    #[arg(long, default_value = "off", global = true)]
    log: String,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Prints the plan of a seed as a script
    Plan {
        /// The seed
        #[arg(long)]
        seed: u64,
    },
    /// Makes the plan of a seed that fails shorter, and prints it as a script
    Shrink {
        /// The seed
        #[arg(long)]
        seed: u64,
    },
    /// Runs scripts, and compares what they print with what is recorded
    Scenario {
        /// The scripts
        files: Vec<PathBuf>,
        /// Records what they print now
        #[arg(long)]
        accept: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    complaints::listen(&arguments.log);
    match go(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn go(arguments: &Arguments) -> anyhow::Result<bool> {
    match &arguments.verb {
        Some(Verb::Plan { seed }) => {
            print!("{}", plan(*seed));
            Ok(true)
        }
        Some(Verb::Shrink { seed }) => {
            let told = |script: &Script| eprintln!("{} statements left", script.statements.len());
            match shrink(&plan(*seed), told) {
                Some(script) => print!("{script}"),
                None => println!("seed {seed} does not fail"),
            }
            Ok(true)
        }
        Some(Verb::Scenario { files, accept }) => {
            let mut all = true;
            for file in files {
                all &= scenario(file, *accept)?;
            }
            Ok(all)
        }
        None => match (arguments.minutes, arguments.seeds, arguments.seed) {
            (Some(minutes), _, _) => Ok(explore_for(
                arguments,
                Bound::Time(Duration::from_secs_f64(minutes * 60.0)),
            )),
            (None, Some(seeds), _) => Ok(explore_for(arguments, Bound::FirstFailure(seeds))),
            (None, None, Some(seed)) => one(arguments, seed),
            (None, None, None) => {
                anyhow::bail!("name a --seed, or --minutes or --seeds to explore; --help shows the rest")
            }
        },
    }
}

fn one(arguments: &Arguments, seed: u64) -> anyhow::Result<bool> {
    let report = run_apart(&plan(seed), arguments.trace.is_some())?;
    if let Some(path) = &arguments.trace {
        std::fs::write(path, &report.trace_text)?;
    }
    Ok(say(&format!("seed {seed}"), &report))
}

fn say(what: &str, report: &Report) -> bool {
    let seconds = report.simulated as f64 / 1e9;
    let (hash, lines) = report.trace;
    println!(
        "{what}: {seconds:.1} simulated seconds, {} steps, {} commands acknowledged, trace {hash:016x} of {lines} lines",
        report.steps, report.acknowledged
    );
    match &report.violation {
        Some(violation) => println!("{what}: VIOLATION: {violation}"),
        None => println!("{what}: all is well"),
    }
    report.violation.is_none()
}

fn explore_for(arguments: &Arguments, bound: Bound) -> bool {
    let told = |seed: u64, failure: &str| {
        println!("seed {seed}: {failure}\n  cargo run --release -p sim -- --seed {seed}");
    };
    let explored = explore(arguments.first, bound, arguments.threads, told);
    println!(
        "{} seeds, {:.0} simulated seconds, {} commands acknowledged, {} failures",
        explored.seeds,
        explored.simulated_seconds,
        explored.acknowledged,
        explored.failures.len()
    );
    explored.failures.is_empty()
}

fn scenario(file: &PathBuf, accept: bool) -> anyhow::Result<bool> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| name.clone())?;
    let script: Script = text.parse().with_context(|| name.clone())?;
    let report = run_apart(&script, false)?;
    let well = say(&name, &report);
    let now = report.script.to_string();
    if accept && well {
        std::fs::write(file, now)?;
    } else if now != text {
        println!("{name}: it prints something else than what is recorded:\n{now}");
        return Ok(false);
    }
    Ok(well)
}
