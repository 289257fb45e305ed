use std::path::Path;

use anyhow::Context;
use etcd_client::{Client, KvClient};

use super::{Address, Programs, command};
use crate::processes::{Process, free_ports, until};

pub async fn start(programs: &Programs, place: &Path, nodes: &mut Vec<Process>) -> anyhow::Result<Address> {
    let ports = free_ports(6)?;
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let members: Vec<String> = (0..3)
        .map(|number| format!("n{number}={}", url(ports[number + 3])))
        .collect();
    for number in 0..3 {
        let mut serve = command(programs, &programs.etcd);
        serve
            .args(["--name", &format!("n{number}"), "--data-dir"])
            .arg(place.join(number.to_string()));
        serve.args([
            "--listen-client-urls",
            &url(ports[number]),
            "--advertise-client-urls",
            &url(ports[number]),
        ]);
        serve.args(["--listen-peer-urls", &url(ports[number + 3])]);
        serve.args(["--initial-advertise-peer-urls", &url(ports[number + 3])]);
        serve.args([
            "--initial-cluster",
            &members.join(","),
            "--initial-cluster-state",
            "new",
        ]);
        // Room for all that a run writes; the default of two GiB ends in the middle of it.
        serve.args([
            "--quota-backend-bytes",
            &(8_u64 << 30).to_string(),
            "--log-level",
            "error",
        ]);
        nodes.push(Process::start(serve, &place.join(format!("{number}.log")))?);
    }
    let all: Vec<String> = ports[..3].iter().map(|port| url(*port)).collect();
    until("etcd", async || {
        let mut client = Client::connect(&all, None).await?;
        client.put("ready", "yes", None).await?;
        Ok(())
    })
    .await?;
    Ok(Address::Etcd(all))
}

pub async fn connect(urls: &[String], leader_alone: bool) -> anyhow::Result<KvClient> {
    let asked = match leader_alone {
        true => vec![urls[leader(urls).await?].clone()],
        false => urls.to_vec(),
    };
    Ok(Client::connect(asked, None).await?.kv_client())
}

pub async fn leader(urls: &[String]) -> anyhow::Result<usize> {
    for (number, url) in urls.iter().enumerate() {
        let mut client = Client::connect([url], None).await?;
        let status = client.status().await?;
        let itself = status
            .header()
            .context("an answer of etcd without a header")?
            .member_id();
        if status.leader() == itself {
            return Ok(number);
        }
    }
    anyhow::bail!("no node of etcd leads")
}
