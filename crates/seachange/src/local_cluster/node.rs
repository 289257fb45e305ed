use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use environment::Environment;
use environment::channel::oneshot;

use crate::commands::serve::Ready;

/// How long a node may take to drain when it is asked to stop.
const STOP_MAX: Duration = Duration::from_secs(10);
/// Bytes of a log's end that an error shows.
const LOG_END_BYTES: usize = 2000;

/// One node as a child process. It ends when this value is dropped, and when this process ends.
#[derive(Debug)]
pub struct LocalNode {
    program: PathBuf,
    directory: PathBuf,
    join: Option<String>,
    flags: Vec<String>,
    ready: Ready,
    process: Option<Child>,
}

/// The name of the node started as that one.
pub(super) fn name_of(number: usize) -> String {
    char::from_digit(u32::try_from(number).unwrap_or(u32::MAX) + 10, 36).map_or(format!("node-{number}"), String::from)
}

impl LocalNode {
    pub(super) async fn start(
        program: &Path,
        directory: PathBuf,
        join: Option<String>,
        flags: &[&str],
        environment: &Environment,
    ) -> anyhow::Result<LocalNode> {
        std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let name = directory
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut node = LocalNode {
            program: program.to_path_buf(),
            directory,
            join,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            ready: Ready {
                name,
                http: "127.0.0.1:0".into(),
                peer: "127.0.0.1:0".into(),
                pid: 0,
            },
            process: None,
        };
        node.restart(environment).await?;
        Ok(node)
    }

    pub(super) async fn restart(&mut self, environment: &Environment) -> anyhow::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let mut child = self.command(log).spawn().with_context(|| {
            let program = self.program.display();
            format!("cannot start {program}")
        })?;
        let (say, heard) = oneshot::channel();
        if let Some(stdout) = child.stdout.take() {
            environment.spawn_worker("first line of a node", async move {
                let mut line = String::new();
                let read = BufReader::new(stdout).read_line(&mut line);
                let _ = say.send(read.map(|_| line));
            });
        }
        self.process = Some(child);
        let first_line = match environment::timeout(environment, super::START_MAX, heard).await {
            Ok(Ok(line)) => line?,
            Ok(Err(_)) => String::new(),
            Err(environment::TimedOut) => {
                bail!(
                    "node {} was not ready within {} s{}",
                    self.name(),
                    super::START_MAX.as_secs(),
                    self.log_end()
                )
            }
        };
        self.ready = serde_json::from_str(&first_line)
            .with_context(|| format!("node {} did not start{}", self.name(), self.log_end()))?;
        Ok(())
    }

    fn command(&self, log: File) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["serve", "--json", "--until-stdin-ends"])
            .args([
                "--name",
                &self.ready.name,
                "--http",
                &self.ready.http,
                "--peer",
                &self.ready.peer,
            ])
            .arg("--data")
            .arg(self.data())
            .args(&self.flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C is for the program that started it, which stops it in its own time.
            .process_group(0);
        if let Some(peer) = &self.join {
            command.args(["--join", peer]);
        }
        // What the operator has set for nodes of their own is none of this one's.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("SEACHANGE_") && text != "SEACHANGE_LOG" {
                command.env_remove(&name);
            }
        }
        command
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.ready.name
    }

    /// Where it serves HTTP and the client protocol.
    #[must_use]
    pub fn http(&self) -> &str {
        &self.ready.http
    }

    /// Where it serves its peers.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.ready.peer
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Where it logs.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.directory.join("log.txt")
    }

    /// The end of its log, for an error.
    #[must_use]
    pub fn log_end(&self) -> String {
        let text = std::fs::read(self.log_path()).unwrap_or_default();
        let end = String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_END_BYTES)..]).into_owned();
        match end.trim_end() {
            "" => format!("\n  (node {} logged nothing)", self.name()),
            end => format!("\n  node {} logged at last:\n{end}", self.name()),
        }
    }

    /// Whether it could not start because somebody else has one of its ports, as far as it logged.
    pub(super) fn port_was_taken(&self) -> bool {
        self.log_end().contains("Address already in use")
    }

    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            process
                .kill()
                .with_context(|| format!("cannot end node {}", self.ready.name))?;
            process
                .wait()
                .with_context(|| format!("node {} does not end", self.ready.name))?;
        }
        Ok(())
    }

    /// Closes its standard input, on which it drains and ends.
    pub(super) fn ask_to_stop(&mut self) {
        if let Some(process) = &mut self.process {
            drop(process.stdin.take());
        }
    }

    /// Waits for it to end by itself and gives how it did; ends it if that takes too long.
    pub(super) async fn wait_for_end(&mut self, environment: &Environment) -> anyhow::Result<ExitStatus> {
        let deadline = environment.clock.now() + STOP_MAX;
        while let Some(process) = &mut self.process {
            if let Some(status) = process.try_wait()? {
                self.process = None;
                return Ok(status);
            }
            if environment.clock.now() > deadline {
                self.kill()?;
                bail!(
                    "node {} did not stop within {} s{}",
                    self.name(),
                    STOP_MAX.as_secs(),
                    self.log_end()
                );
            }
            environment.sleep(super::POLL).await;
        }
        bail!("node {} does not run", self.name())
    }
}

impl Drop for LocalNode {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
