use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::{BufMut, Bytes, BytesMut};
use client::wire::Consistency;
use client::{Admin, Client, Command, Options};

use super::{Address, Programs, command};
use crate::load::KEY_BYTES;
use crate::processes::{Process, free_ports, until};

/// The application of apps/bench-1.
const APPLICATION: &str = "bench";

/// A session of its own.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    /// What takes the writes.
    application: Arc<str>,
}

/// Starts so many nodes with the application on them, and gives how they are reached.
pub(super) async fn start(
    programs: &Programs,
    place: &Path,
    nodes: &mut Vec<Process>,
    count: usize,
) -> anyhow::Result<Address> {
    let ports = free_ports(2 * count)?;
    let address = |port: u16| format!("127.0.0.1:{port}");
    for number in 0..count {
        let mut serve = command(programs, &programs.seachange);
        serve.args(["serve", "--name", &format!("node-{number}")]);
        serve.args([
            "--http",
            &address(ports[number]),
            "--peer",
            &address(ports[number + count]),
        ]);
        serve.arg("--data").arg(place.join(number.to_string()));
        if number > 0 {
            serve.args(["--join", &address(ports[count])]);
        }
        nodes.push(Process::start(serve, &place.join(format!("{number}.log")))?);
        let admin = Admin::new(environment::real::environment(), Options::new([address(ports[number])]))?;
        until("a node of Seachange", async || Ok(admin.ready().await?)).await?;
    }
    let all: Vec<String> = ports[..count].iter().map(|port| address(*port)).collect();
    let admin = Admin::new(environment::real::environment(), Options::new(all.clone()))?;
    until("all nodes to vote", async || {
        let voters = admin
            .status()
            .await?
            .members
            .iter()
            .filter(|member| member.voter)
            .count();
        if voters < count {
            bail!("{voters} nodes vote");
        }
        Ok(())
    })
    .await?;
    install(programs, &programs.application, &all[0])?;
    Ok(Address::Seachange(all))
}

/// Installs a package through that node.
pub fn install(programs: &Programs, package: &Path, address: &str) -> anyhow::Result<()> {
    let mut install = command(programs, &programs.seachange);
    install.args(["app", "install"]).arg(package).args(["--at", address]);
    let installed = install.output().context("seachange app install")?;
    if !installed.status.success() {
        bail!("seachange app install: {}", String::from_utf8_lossy(&installed.stderr));
    }
    Ok(())
}

/// A connection that knows all nodes.
pub fn connect(addresses: &[String]) -> anyhow::Result<Connection> {
    let options = Options::new(addresses.to_vec()).deadline(Duration::from_secs(10));
    Ok(Connection {
        client: Client::connect(environment::real::environment(), options)?,
        application: APPLICATION.into(),
    })
}

pub async fn leader(addresses: &[String]) -> anyhow::Result<usize> {
    let admin = Admin::new(environment::real::environment(), Options::new(addresses.to_vec()))?;
    for (number, address) in addresses.iter().enumerate() {
        let status = admin.at(address.clone())?.status().await?;
        if status.leader == Some(status.node) {
            return Ok(number);
        }
    }
    bail!("no node of Seachange leads")
}

impl Connection {
    /// The same session, writing to another application with the same commands and tables.
    pub fn to(&self, application: &str) -> Connection {
        Connection {
            client: self.client.clone(),
            application: application.into(),
        }
    }

    pub async fn write(&self, key: &str, value: &[u8]) -> anyhow::Result<()> {
        self.client
            .submit(&self.application, "put", 1, payload(key, value))
            .await?;
        Ok(())
    }

    /// A command for each key, with one call for all of them.
    pub async fn write_all(&self, keys: &[String], value: &[u8]) -> anyhow::Result<()> {
        let commands = keys.iter().map(|key| Command {
            name: "put".into(),
            version: 1,
            payload: payload(key, value),
        });
        for result in self.client.submit_all(&self.application, commands.collect()).await {
            result?;
        }
        Ok(())
    }

    /// Adds one to a counter of apps/counter-wat.
    pub async fn count(&self, key: &str) -> anyhow::Result<()> {
        self.client.submit("counter", "count", 1, format!("\"{key}\"")).await?;
        Ok(())
    }

    pub async fn read(&self, key: &str) -> anyhow::Result<()> {
        self.client
            .get(&self.application, "values", key, Consistency::Linearizable)
            .await?;
        Ok(())
    }
}

/// What the application's command takes: the key, then the value.
fn payload(key: &str, value: &[u8]) -> Bytes {
    let mut payload = BytesMut::with_capacity(KEY_BYTES + value.len());
    payload.put_slice(key.as_bytes());
    payload.put_slice(value);
    payload.freeze()
}
