//! `seachange backup`: everything as of one index, while the cluster serves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use client::Admin;
use client::wire::{SnapshotFile, SnapshotRecord};
use environment::{Disk, Environment};
use store::snapshot::{Reader, SNAPSHOT_FILE, STREAMS_DIRECTORY};
use store::streams;

use crate::connection::{ClusterFlags, explain};
use crate::exit::Stopped;
use crate::output::{self, Progress};

/// Flags of `backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange backup --to ./backup

It shows every command that was acknowledged before it began. seachange restore makes a new cluster of it.")]
pub struct Arguments {
    /// Directory for the backup, new or empty
    #[arg(long, value_name = "DIRECTORY")]
    pub to: PathBuf,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

/// Making the snapshot may take this long.
const SNAPSHOT_TIME_MAX: Duration = Duration::from_secs(3600);

impl Arguments {
    /// Copies a snapshot off a node and checks it.
    ///
    /// # Errors
    /// The directory is not empty, the cluster gives no snapshot, what arrived is damaged, or the disk failed.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        let disk = &*environment.disk;
        if disk.exists(&self.to)? && !disk.list(&self.to)?.is_empty() {
            let remedy = "Name a directory that is new or empty.";
            return Err(Stopped::failed(format!("{} is not empty", self.to.display()), remedy).into());
        }
        let admin = self.cluster.patient_admin(&environment, SNAPSHOT_TIME_MAX)?;
        let asking = Progress::new(None, self.cluster.json);
        asking.show(0, || "asking for a snapshot".to_owned());
        let (address, snapshot) = admin.snapshot().await.map_err(explain)?;
        asking.clear();
        let node = self.cluster.admin(&environment)?.at(address).map_err(explain)?;
        let total: u64 = snapshot.files.iter().map(|file| file.bytes).sum();
        let progress = Progress::new(Some(total), self.cluster.json);
        let mut copied = 0;
        for file in &snapshot.files {
            copy(&node, disk, &self.to, &snapshot, file, |bytes| {
                copied += bytes;
                progress.show(copied, || {
                    format!("copied {} of {} bytes", output::grouped(copied), output::grouped(total))
                });
            })
            .await?;
        }
        progress.show(copied, || "checking what was copied".to_owned());
        let rows = check(disk, &self.to)?;
        progress.clear();
        if self.cluster.json {
            return output::json(&serde_json::json!({
                "cluster": snapshot.cluster,
                "index": snapshot.index,
                "digest": snapshot.digest,
                "rows": rows,
                "bytes": total,
                "to": self.to,
            }));
        }
        output::line(format!(
            "backed up {} rows, {} bytes, as of entry {} of cluster {}, digest {}",
            output::grouped(rows),
            output::grouped(total),
            output::grouped(snapshot.index),
            snapshot.cluster,
            snapshot.digest
        ))
    }
}

async fn copy(
    node: &Admin,
    disk: &dyn Disk,
    to: &Path,
    snapshot: &SnapshotRecord,
    file: &SnapshotFile,
    mut progress: impl FnMut(u64),
) -> anyhow::Result<()> {
    let path = local(to, &file.name)?;
    let directory = path.parent().unwrap_or(to);
    disk.create_dir_all(directory)?;
    let local = disk.create_new(&path).with_context(|| path.display().to_string())?;
    let mut at = 0;
    while at < file.bytes {
        let piece = node
            .snapshot_piece(snapshot.index, &file.name, at)
            .await
            .map_err(explain)?;
        if piece.is_empty() {
            let what = format!("{} ended after {at} of {} bytes", file.name, file.bytes);
            return Err(Stopped::failed(what, "Begin the backup again.").into());
        }
        local.write_all_at(&piece, at)?;
        at += piece.len() as u64;
        progress(piece.len() as u64);
    }
    local.sync_data()?;
    disk.sync_dir(directory)?;
    Ok(())
}

/// Where a file goes. What a server names becomes a path here, so nothing but the names that snapshots have is taken.
fn local(to: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let plain = |part: &str| {
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(safe)
    };
    match name.split('/').collect::<Vec<_>>()[..] {
        [SNAPSHOT_FILE] => Ok(to.join(name)),
        [STREAMS_DIRECTORY, stream, segment] if plain(stream) && plain(segment) => {
            Ok(to.join(STREAMS_DIRECTORY).join(stream).join(segment))
        }
        _ => Err(Stopped::failed(format!("the node named a file {name:?}, which no snapshot has"), "").into()),
    }
}

/// Reads everything that was copied and checks it; gives how many rows there are.
fn check(disk: &dyn Disk, to: &Path) -> anyhow::Result<u64> {
    let reader = Reader::open(disk, &to.join(SNAPSHOT_FILE))?;
    let header = reader.header().clone();
    let sums = reader.rows(|_, _, _| Ok::<(), store::snapshot::Error>(()))?;
    let absent = streams::missing(disk, &to.join(STREAMS_DIRECTORY), &header.streams)?;
    match absent.first() {
        None => Ok(sums.rows),
        Some((stream, segment)) => Err(Stopped::failed(
            format!(
                "the copy of stream {stream} from event {} on is not what the node has",
                segment.base
            ),
            "Begin the backup again.",
        )
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_snapshots_become_paths() {
        let to = Path::new("backup");
        assert_eq!(local(to, "snapshot").unwrap(), to.join("snapshot"));
        let segment = "streams/ledger.transfers/00000000000000000000.segment";
        assert_eq!(local(to, segment).unwrap(), to.join(segment));
        for wrong in [
            "",
            "/etc/passwd",
            "../x",
            "streams/../x",
            "streams/a/../../x",
            "streams/a/.x",
            "streams/a",
        ] {
            assert!(local(to, wrong).is_err(), "{wrong:?}");
        }
    }
}
