use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::ensure;
use rustix::process::{Pid, Signal, kill_process};

/// A process that is stopped until this value goes.
///
/// A process of its own waits to let it go on: were this one killed meanwhile, the stopped one could not notice, and would
/// stay for ever.
pub struct Paused {
    watcher: Child,
}

const WATCH: &str = "read line; kill -s CONT \"$1\"";

impl Paused {
    pub fn new(process: u32) -> anyhow::Result<Paused> {
        let watcher = Command::new("sh")
            .args(["-c", WATCH, "sh", &process.to_string()])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let paused = Paused { watcher };
        signal(process, Signal::STOP)?;
        Ok(paused)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        self.watcher.wait().ok();
    }
}

/// Sends a signal to a child that was not waited for yet, so that its id is still its own.
pub fn signal(process: u32, signal: Signal) -> anyhow::Result<()> {
    let id = i32::try_from(process).ok().and_then(Pid::from_raw);
    ensure!(id.is_some(), "{process} is no process id");
    if let Some(id) = id {
        kill_process(id, signal)?;
    }
    Ok(())
}
