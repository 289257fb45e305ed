use std::path::Path;

use anyhow::{Context as _, bail};
use async_nats::jetstream::stream::{Config, StorageType};
use async_nats::jetstream::{self, Context};
use bytes::{BufMut, BytesMut};

use super::{Address, Programs, command};
use crate::processes::{Process, free_ports, until};

/// The stream, and its only subject.
const STREAM: &str = "bench";

pub async fn start(programs: &Programs, place: &Path, nodes: &mut Vec<Process>, sync: bool) -> anyhow::Result<Address> {
    let ports = free_ports(6)?;
    let routes: Vec<String> = ports[3..]
        .iter()
        .map(|port| format!("nats://127.0.0.1:{port}"))
        .collect();
    for number in 0..3 {
        let (client, peer) = (ports[number], ports[number + 3]);
        let data = place.join(number.to_string());
        let interval = if sync { "sync_interval: always" } else { "" };
        let text = format!(
            "server_name: n{number}\nlisten: \"127.0.0.1:{client}\"\n\
             jetstream {{ store_dir: {data:?}\n max_file_store: 64GB\n {interval} }}\n\
             cluster {{ name: bench, listen: \"127.0.0.1:{peer}\", routes: [{}] }}\n",
            routes
                .iter()
                .map(|route| format!("{route:?}"))
                .collect::<Vec<_>>()
                .join(", ")
        );
        let config = place.join(format!("{number}.conf"));
        std::fs::write(&config, text)?;
        let mut serve = command(programs, &programs.nats);
        serve.arg("--config").arg(config);
        nodes.push(Process::start(serve, &place.join(format!("{number}.log")))?);
    }
    let all: Vec<String> = ports[..3]
        .iter()
        .map(|port| format!("nats://127.0.0.1:{port}"))
        .collect();
    until("NATS", async || {
        let context = jetstream::new(async_nats::connect(&all[0]).await?);
        let config = Config {
            name: STREAM.into(),
            subjects: vec![STREAM.into()],
            storage: StorageType::File,
            num_replicas: 3,
            ..Config::default()
        };
        let stream = context.get_or_create_stream(config).await?;
        let cluster = stream.cached_info().cluster.as_ref().context("no cluster yet")?;
        if cluster.leader.is_none() || cluster.replicas.len() < 2 {
            bail!("the stream has no leader, or no replicas, yet");
        }
        Ok(())
    })
    .await?;
    Ok(Address::Nats(all))
}

pub async fn connect(urls: &[String], leader_alone: bool) -> anyhow::Result<Context> {
    let client = match leader_alone {
        true => async_nats::connect(&urls[leader(urls).await?]).await?,
        false => async_nats::connect(urls.to_vec()).await?,
    };
    Ok(jetstream::new(client))
}

pub async fn leader(urls: &[String]) -> anyhow::Result<usize> {
    let context = jetstream::new(async_nats::connect(&urls[0]).await?);
    let stream = context.get_stream(STREAM).await?;
    let cluster = stream
        .cached_info()
        .cluster
        .as_ref()
        .context("a stream without a cluster")?;
    let leader = cluster.leader.as_deref().context("a stream without a leader")?;
    let number = leader.strip_prefix('n').and_then(|number| number.parse().ok());
    number.with_context(|| format!("a server of the name {leader}"))
}

pub async fn write(context: &Context, key: &str, value: &[u8]) -> anyhow::Result<()> {
    let mut payload = BytesMut::with_capacity(key.len() + value.len());
    payload.put_slice(key.as_bytes());
    payload.put_slice(value);
    context.publish(STREAM, payload.freeze()).await?.await?;
    Ok(())
}
