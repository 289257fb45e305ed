use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use client::{Admin, Options};

use crate::load::key;
use crate::processes::{Process, until};
use crate::systems::seachange;

/// How long a node may take to read and check all that lies on its disk.
const CHECK_MAX: Duration = Duration::from_secs(300);

/// Ends a node as a power cut would, starts it, and gives the time until a read as new as the last acknowledged write is
/// answered through it.
pub async fn until_read(node: &mut Process, address: &str) -> anyhow::Result<Duration> {
    let began = again(node)?;
    ready(address).await.with_context(|| node.log_end())?;
    Ok(began.elapsed())
}

/// Ends a node as a power cut would, starts it, and gives when.
pub fn again(node: &mut Process) -> anyhow::Result<Instant> {
    node.kill();
    let began = Instant::now();
    node.start_again()?;
    Ok(began)
}

/// Waits until it says that it is ready, and a read as new as the last acknowledged write is answered through it.
pub async fn ready(address: &str) -> anyhow::Result<()> {
    let admin = Admin::new(environment::real::environment(), Options::new([address.to_owned()]))?;
    until("a node that was started again", async || Ok(admin.ready().await?)).await?;
    seachange::connect(&[address.to_owned()])?.read(&key(0)).await
}

/// What was measured must be worth something: all that lies on the node's disk is read again and checked.
pub async fn check(address: &str, documents: u64) -> anyhow::Result<()> {
    let options = Options::new([address.to_owned()]).deadline(CHECK_MAX);
    let checked = Admin::new(environment::real::environment(), options)?.verify().await?;
    if checked.rows < documents {
        bail!(
            "{documents} documents were written, and {} rows are there",
            checked.rows
        );
    }
    Ok(())
}
