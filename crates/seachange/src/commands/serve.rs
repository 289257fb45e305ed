//! `seachange serve`: one node, until it is told to stop or cannot go on.

use std::io::Read;
use std::sync::Arc;

use anyhow::Context;
use environment::Environment;
use environment::channel::Notify;
use futures::{FutureExt, select_biased};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, Flags};
use crate::exit::Stopped;
use crate::output;
use crate::running::Running;

/// Flags of `serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange serve --data ./seachange-data")]
pub struct Arguments {
    /// The node's settings.
    #[command(flatten)]
    pub flags: Flags,
    /// Say where it serves as one line of JSON
    #[arg(long)]
    pub json: bool,
    /// Stop when standard input ends: a program that starts nodes takes them along when it ends, however it ends
    #[arg(long, hide = true)]
    pub until_stdin_ends: bool,
}

/// The line that `serve --json` writes once it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The node's name.
    pub name: String,
    /// Where it serves HTTP and the client protocol.
    pub http: String,
    /// Where it serves its peers.
    pub peer: String,
    /// The process.
    pub pid: u32,
}

impl Arguments {
    /// Serves.
    ///
    /// # Errors
    /// It could not start, or had to stop by itself.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        let config = Config::load(&self.flags).map_err(|error| Stopped::usage(error.to_string(), ""))?;
        start_log(&config)?;
        // Before anything runs: a signal that comes early is a signal too.
        let stop = stop_signal(&environment, self.until_stdin_ends)?;
        let mut running = select_biased! {
            running = Running::start(config.clone(), environment, Vec::new()).fuse() => running?,
            // Nothing serves yet, so nothing is to be handed over.
            () = stop.notified().fuse() => return Ok(()),
        };
        self.say_ready(&config, &running)?;
        let reason = select_biased! {
            reason = running.stopped().fuse() => Some(reason),
            () = stop.notified().fuse() => None,
        };
        let Some(reason) = reason else {
            tracing::info!("stopping: handing over and draining");
            running.shutdown().await;
            return Ok(());
        };
        let remedy = "Start it again once the cause is gone: it goes on where it was.";
        Err(Stopped::failed(format!("node {:?} stopped by itself: {reason}", config.name), remedy).into())
    }

    fn say_ready(&self, config: &Config, running: &Running) -> anyhow::Result<()> {
        let ready = Ready {
            name: config.name.clone(),
            http: running.http_address().to_string(),
            peer: running.peer_address().to_string(),
            pid: std::process::id(),
        };
        if self.json {
            return output::json(&ready);
        }
        let Ready { name, http, peer, .. } = ready;
        output::line(format!(
            "seachange: node {name:?} serves HTTP on {http}, peers on {peer}"
        ))
    }
}

fn start_log(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| {
        let remedy = "Write a level (error, warn, info, debug, trace), or levels by part as in info,node=debug.";
        Stopped::usage(format!("--log {:?} is refused: {error}", config.log), remedy)
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if config.log_json {
        lines.json().try_init()
    } else {
        lines.with_ansi(crate::style::on_stderr()).try_init()
    };
    started.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))
}

/// Told once when the process is asked to stop.
fn stop_signal(environment: &Environment, until_stdin_ends: bool) -> anyhow::Result<Arc<Notify>> {
    let stop = Arc::new(Notify::new());
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind).context("cannot listen for signals")?;
        let stop = stop.clone();
        environment.spawn("signals", async move {
            signals.recv().await;
            stop.notify_one();
        });
    }
    if until_stdin_ends {
        let stop = stop.clone();
        environment.spawn_worker("standard input", async move {
            let mut buffer = [0; 64];
            while matches!(std::io::stdin().read(&mut buffer), Ok(1..)) {}
            stop.notify_one();
        });
    }
    Ok(stop)
}
