//! The project's own chores: `cargo xtask ci | arrows | tidy | guests | counts | mutants | peers | growth`.
//!
//! `ci` is all of CI and runs locally. It never looks at anything outside the repository, and needs nothing but the Rust
//! toolchain (the guests are built and compared only where a WASM target can be had, instructions counted only where
//! valgrind is).

mod arrows;
mod ci;
mod counts;
mod guests;
mod mutants;
mod peers;
mod repository;
mod source;
mod tidy;

use std::process::ExitCode;

use anyhow::bail;

const USAGE: &str = "\
usage: cargo xtask CHORE

  ci        formatting, arrows, tidiness, clippy, guests, tests: all of CI
  arrows    which crate and which file may use what
  tidy      lengths of files and functions, names, paths, limits that no test meets
  guests    builds the kept WASM modules of apps/ (--check: compares them with what their sources build to)
  counts    instructions that the way of a command takes, against the noted ones (--accept: notes them)
  mutants   whether the simulator finds the deliberate bugs of crates/sim/mutants (or those that are named)
  peers     commands a second, latencies and what they cost, beside etcd and NATS JetStream (flags: those of bench/)
  growth    how cost grows with nodes, documents, applications and the log; how fast streams are read (flags too)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> anyhow::Result<()> {
    let root = repository::root();
    let (chore, rest) = match arguments.split_first() {
        Some((chore, rest)) => (chore.as_str(), rest),
        None => bail!("no chore is named\n{USAGE}"),
    };
    match chore {
        "ci" => ci::run(&root),
        "arrows" => repository::report("arrows", &arrows::check(&root)?),
        "tidy" => repository::report("tidy", &tidy::check(&root)?),
        "guests" => guests::run(rest),
        "counts" => counts::run(&root, rest),
        "mutants" => mutants::run(&root, rest),
        "peers" => peers::run(&root, rest),
        "growth" => peers::growth(&root, rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("there is no chore {other:?}\n{USAGE}"),
    }
}
