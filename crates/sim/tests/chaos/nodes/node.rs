use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use environment::Environment;
use environment::channel::oneshot;
use rustix::process::Signal;
use seachange::commands::serve::Ready;

use super::paused::{Paused, signal};
use crate::proxy::Proxy;

/// How long a node may take to serve, on a machine that does much else.
const START_MAX: Duration = Duration::from_secs(60);
/// How long it may take to end after SIGTERM.
const STOP_MAX: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);
const LOG_END_BYTES: usize = 3000;

/// A reserve, segments and snapshots so small that a run of a minute meets the limits: disks fill, logs are purged, and a
/// node that was away for a while needs a snapshot.
const FLAGS: [&str; 10] = [
    "--disk-reserve-bytes",
    "16777216",
    "--log-segment-bytes",
    "8388608",
    "--snapshot-log-bytes",
    "200000",
    "--log-keep-entries",
    "100",
    "--cache-bytes",
    "16777216",
];

/// One node as a child process, behind its proxies. It ends when this value is dropped, and when this process ends.
pub struct Node {
    pub name: String,
    program: PathBuf,
    /// Of its log; its data may lie elsewhere.
    directory: PathBuf,
    data: PathBuf,
    join: Option<String>,
    pub peer: Proxy,
    pub http: Proxy,
    environment: Environment,
    process: Option<Process>,
}

struct Process {
    child: Child,
    /// Its first line, until it has come.
    first_line: Option<oneshot::Receiver<std::io::Result<String>>>,
    /// Where it serves HTTP itself.
    http: String,
    paused: Option<Paused>,
}

/// What a node is started with.
pub struct Plot<'a> {
    pub name: &'a str,
    pub program: &'a Path,
    pub directory: PathBuf,
    pub data: PathBuf,
    pub join: Option<String>,
    pub proxies: (Proxy, Proxy),
}

impl Node {
    pub fn new(plot: Plot<'_>, environment: Environment) -> anyhow::Result<Node> {
        std::fs::create_dir_all(&plot.directory)?;
        let (peer, http) = plot.proxies;
        Ok(Node {
            name: plot.name.to_owned(),
            program: plot.program.to_path_buf(),
            directory: plot.directory,
            data: plot.data,
            join: plot.join,
            peer,
            http,
            environment,
            process: None,
        })
    }

    /// Starts the process, which serves once [`Node::ready`] ends.
    pub fn spawn(&mut self) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "node {} runs already", self.name);
        let mut child = self.command()?.spawn().context("cannot start a node")?;
        let (say, heard) = oneshot::channel();
        if let Some(stdout) = child.stdout.take() {
            self.environment.spawn_worker("first line of a node", async move {
                let mut line = String::new();
                let read = BufReader::new(stdout).read_line(&mut line);
                say.send(read.map(|_| line)).ok();
            });
        }
        self.process = Some(Process {
            child,
            first_line: Some(heard),
            http: String::new(),
            paused: None,
        });
        Ok(())
    }

    /// Waits until it serves, and leads its proxies there.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let waiting = self.process.as_mut().and_then(|process| process.first_line.take());
        let Some(heard) = waiting else {
            bail!("node {} was not started", self.name);
        };
        let line = match environment::timeout(&self.environment, START_MAX, heard).await {
            Ok(line) => line.context("its output was not read")??,
            Err(environment::TimedOut) => {
                bail!(
                    "node {} did not serve within {START_MAX:?}{}",
                    self.name,
                    self.log_end()
                )
            }
        };
        let ready: Ready = serde_json::from_str(&line)
            .with_context(|| format!("node {} ended before it served{}", self.name, self.log_end()))?;
        self.peer.lead_to(Some(ready.peer));
        self.http.lead_to(Some(ready.http.clone()));
        if let Some(process) = &mut self.process {
            process.http = ready.http;
        }
        Ok(())
    }

    /// Waits until it serves, if it has not yet.
    pub async fn serves(&mut self) -> anyhow::Result<()> {
        match &self.process {
            Some(process) if process.first_line.is_none() => Ok(()),
            Some(_) | None => self.ready().await,
        }
    }

    fn command(&self) -> anyhow::Result<Command> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let mut command = Command::new(&self.program);
        command
            .args(["serve", "--json", "--until-stdin-ends", "--name", &self.name])
            .args(["--http", "127.0.0.1:0", "--advertise-http", self.http.address()])
            .args(["--peer", "127.0.0.1:0", "--advertise-peer", self.peer.address()])
            .arg("--data")
            .arg(&self.data)
            .args(FLAGS)
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C is for the test, whose end is theirs.
            .process_group(0);
        if let Some(peer) = &self.join {
            command.args(["--join", peer]);
        }
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("SEACHANGE_") && text != "SEACHANGE_LOG" {
                command.env_remove(&name);
            }
        }
        Ok(command)
    }

    /// Where it serves HTTP itself, past its proxy.
    pub fn direct_http(&self) -> Option<&str> {
        self.process
            .as_ref()
            .map(|process| process.http.as_str())
            .filter(|http| !http.is_empty())
    }

    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        let text = std::fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.join("log.txt")
    }

    pub fn log_end(&self) -> String {
        let log = self.log();
        let begin = log.len().saturating_sub(LOG_END_BYTES);
        let begin = (begin..=log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(0);
        format!("\n  node {} logged at last:\n{}", self.name, log[begin..].trim_end())
    }

    fn forget(&mut self) -> Option<Process> {
        self.peer.lead_to(None);
        self.http.lead_to(None);
        self.process.take()
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.check_running()?;
        if let Some(mut process) = self.forget() {
            process.child.kill()?;
            process.child.wait()?;
        }
        Ok(())
    }

    /// Stops it with SIGTERM: it must end by itself, and well.
    pub async fn terminate(&mut self) -> anyhow::Result<()> {
        self.check_running()?;
        let Some(process) = &mut self.process else {
            bail!("node {} does not run", self.name);
        };
        signal(process.child.id(), Signal::TERM)?;
        let deadline = self.environment.clock.now() + STOP_MAX;
        let status = loop {
            if let Some(status) = process.child.try_wait()? {
                break status;
            }
            if self.environment.clock.now() > deadline {
                bail!(
                    "node {} did not end within {STOP_MAX:?} of SIGTERM{}",
                    self.name,
                    self.log_end()
                );
            }
            self.environment.sleep(POLL).await;
        };
        self.forget();
        ensure!(
            status.success(),
            "node {} ended with {status} after SIGTERM{}",
            self.name,
            self.log_end()
        );
        Ok(())
    }

    /// Stops it with SIGSTOP until [`Node::resume`].
    pub fn pause(&mut self) -> anyhow::Result<()> {
        if let Some(process) = &mut self.process {
            process.paused = Some(Paused::new(process.child.id())?);
        }
        Ok(())
    }

    pub fn resume(&mut self) {
        if let Some(process) = &mut self.process {
            process.paused = None;
        }
    }

    /// Fails when its process is gone and nobody has ended it.
    pub fn check_running(&mut self) -> anyhow::Result<()> {
        if let Some(process) = &mut self.process
            && let Some(status) = process.child.try_wait()?
        {
            bail!("node {} ended by itself: {status}{}", self.name, self.log_end());
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut process) = self.forget() {
            process.child.kill().ok();
            process.child.wait().ok();
        }
    }
}
