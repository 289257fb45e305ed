//! Servers as child processes, and what the kernel says of them.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Ticks of a processor in a second, as /proc counts them (`sysconf(_SC_CLK_TCK)`, 100 on every Linux).
const TICKS_PER_SECOND: f64 = 100.0;
/// How long a server may take until it answers.
pub const START_MAX: Duration = Duration::from_secs(30);

/// A server of the measured cluster. It ends with this value.
pub struct Process {
    command: Command,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it, its output going to `log`, and on those processors if any are named.
    pub fn start(mut command: Command, log: &Path) -> anyhow::Result<Process> {
        let file = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::piped()).stdout(file.try_clone()?).stderr(file);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        Ok(Process {
            command,
            child,
            log: log.to_path_buf(),
        })
    }

    /// Seconds of processor time that it has taken.
    pub fn processor_seconds(&self) -> f64 {
        processor_seconds(&self.child.id().to_string())
    }

    /// The most memory that it held, bytes.
    pub fn peak_memory(&self) -> u64 {
        field(self.child.id(), "VmHWM:")
    }

    /// The memory that it holds, bytes.
    pub fn memory(&self) -> u64 {
        field(self.child.id(), "VmRSS:")
    }

    /// Starts it once more as before, when it has ended.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.child = self.command.spawn().context("cannot start it again")?;
        Ok(())
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The end of what it printed.
    pub fn log_end(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Seconds of processor time of a process, or of this one: `self`.
pub fn processor_seconds(process: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name, second, may hold blanks; it ends with the last bracket. utime and stime are fields 14 and 15.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = |nth: usize| {
        let field = rest.split_ascii_whitespace().nth(nth - 3);
        field.and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0)
    };
    (ticks(14) + ticks(15)) / TICKS_PER_SECOND
}

fn field(process: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_default();
    let kib = line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
    kib * 1024
}

/// Ports that nobody listens on, all different.
pub fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// Asks until there is an answer.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        match tokio::time::timeout(Duration::from_secs(5), ask()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if began.elapsed() > START_MAX => return Err(error.context(what.to_owned())),
            Err(_) if began.elapsed() > START_MAX => bail!("{what}: no answer"),
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
