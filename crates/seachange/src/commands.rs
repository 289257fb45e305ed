//! The commands of the binary, one file each.

pub mod app;
pub mod backup;
pub mod bench;
pub mod change;
pub mod consumer;
pub mod demo;
pub mod doctor;
pub mod get;
pub mod query;
pub mod rebuild;
pub mod restore;
pub mod scan;
pub mod send;
pub mod serve;
pub mod status;
pub mod stream;
pub mod tail;
pub mod verify;

use environment::Environment;

/// Seachange runs deterministic applications on a replicated log, and lets you change everything while it serves.
#[derive(Debug, clap::Parser)]
#[command(name = "seachange", version, about, after_help = AFTER_HELP, max_term_width = 110)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 refused or failed; 2 the command line cannot be understood; 3 no node could be reached;
4 the outcome is unknown: it may have been done.";

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run a node: alone without arguments, or as a member of a cluster with --join
    Serve(Box<serve::Arguments>),
    /// See it work: three nodes, a version switch and a killed leader under load, and what came of it
    Demo(demo::Arguments),
    /// Measure
    #[command(subcommand)]
    Bench(bench::Command),
    /// Show a node's view of its cluster
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
    /// Show and trim streams
    #[command(subcommand)]
    Stream(stream::Command),
    /// Show and move the named consumers of streams
    #[command(subcommand)]
    Consumer(consumer::Command),
    /// Write, install, upgrade and show applications
    #[command(subcommand)]
    App(app::Command),
    /// Show and steer changes
    #[command(subcommand)]
    Change(change::Command),
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
            Command::Stream(command) => command.run(environment).await,
            Command::Consumer(command) => command.run(environment).await,
            Command::App(command) => command.run(environment).await,
            Command::Change(command) => command.run(environment).await,
        }
    }
}
