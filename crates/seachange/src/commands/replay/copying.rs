//! A copy of what a running node has to be replayed, taken off it over HTTP.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use client::wire::{Code, CopyRecord};
use client::{Admin, Error, Options};
use environment::{Disk, Environment, FileLock};
use machine::{ClusterId, Index, NodeId, StateDigest};
use node::replay::{self, LogCopy, SnapshotCopy};
use store::format::{SNAPSHOT, Said};

use super::explain;
use crate::connection;
use crate::exit::{Exit, Stopped};
use crate::output::{self, Progress};

/// A directory with a copy. One that came to no end, and one that nobody keeps, is removed with it.
pub struct Place {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    temporary: Option<tempfile::TempDir>,
    whole: bool,
    /// As long as it is written: nobody else writes there, and no node begins there.
    lock: Option<Box<dyn FileLock>>,
}

/// Name of the file that says that a directory is in use, of a node's too.
const LOCK: &str = "lock";

impl Place {
    /// A directory that is new or empty, or a temporary one.
    fn new(disk: &Arc<dyn Disk>, keep: Option<&Path>) -> anyhow::Result<Place> {
        let (directory, temporary) = match keep {
            Some(keep) => (keep.to_owned(), None),
            None => {
                let temporary = tempfile::tempdir()?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        if disk.exists(&directory)? && !disk.list(&directory)?.is_empty() {
            let remedy = "Name a directory that is new or empty.";
            return Err(Stopped::failed(format!("{} is not empty", directory.display()), remedy).into());
        }
        disk.create_dir_all(&directory)?;
        let lock = disk.lock(&directory.join(LOCK)).map_err(|error| {
            let what = format!("{} is in use: {error}", directory.display());
            Stopped::failed(what, "Name a directory that is new or empty.")
        })?;
        Ok(Place {
            disk: disk.clone(),
            directory,
            temporary,
            whole: false,
            lock: Some(lock),
        })
    }

    /// It is a copy, and whoever replays it may open it.
    fn finish(&mut self) {
        self.whole = true;
        self.unlock();
    }

    fn unlock(&mut self) {
        if self.lock.take().is_some() {
            // One that stays says nothing.
            self.disk.remove_file(&self.directory.join(LOCK)).ok();
        }
    }

    /// Where it lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.whole && self.temporary.is_none() {
            // What cannot be removed is no copy all the same: its note is missing.
            replay::discard(&*self.disk, &self.directory).ok();
            self.unlock();
        }
    }
}

/// What was copied, for showing.
pub struct Copied {
    /// Where it lies.
    pub place: Place,
    /// The node's name.
    pub name: String,
    /// As of which entry the state is that it begins with.
    pub start: Index,
    /// Bytes of that.
    pub snapshot_bytes: u64,
    /// Its last entry.
    pub last: Index,
}

/// The address in what `--from` was given: a URL, or `HOST:PORT` alone.
pub fn address(url: &str) -> Result<String, String> {
    if url.starts_with("https://") {
        return Err("nodes speak no TLS yet: give http://HOST:PORT".to_owned());
    }
    let address = url.strip_prefix("http://").unwrap_or(url);
    let address = address.strip_suffix('/').unwrap_or(address);
    Options::new([address]).check().map_err(|error| error.to_string())?;
    Ok(address.to_owned())
}

/// Copies what it takes to see the entries from `from` on, up to `to` at least; into `keep`, or into a temporary directory.
///
/// # Errors
/// The node gives none, what came is not what it said, or the disk failed. Nothing is left behind.
pub async fn copy(
    environment: &Environment,
    address: &str,
    keep: Option<&Path>,
    (from, to): (Option<Index>, Option<Index>),
    json: bool,
) -> anyhow::Result<Copied> {
    let admin = connection::admin_at(&[address.to_owned()], environment)?;
    let node = admin.at(address).map_err(|error| refused(address, &error))?;
    let mut place = Place::new(&environment.disk, keep)?;
    let mut again = false;
    loop {
        let copying = Copying {
            environment,
            address,
            node: &node,
            directory: place.directory(),
            json,
        };
        match copying.run(from, to).await {
            Ok((name, start, snapshot_bytes, last)) => {
                place.finish();
                return Ok(Copied {
                    place,
                    name,
                    start,
                    snapshot_bytes,
                    last,
                });
            }
            Err(Broken::Moved(why, _)) if !again => {
                output::progress(format!("{address}: {why}: beginning again"));
                replay::discard(&*environment.disk, place.directory())?;
                again = true;
            }
            Err(Broken::Moved(why, code)) => {
                let what = format!("{address}: {why}, and for the second time");
                let remedy = match code {
                    Code::EntriesPurged | Code::UnknownSnapshot => {
                        "It makes snapshots faster than they can be copied: copy with --from-index, off another member, or while \
                         there is less to do."
                    }
                    _ => {
                        "Somebody else copies off it, or it was started again: wait a little, or copy off another member."
                    }
                };
                return Err(Stopped::failed(what, remedy).coded(code.name()).into());
            }
            Err(Broken::Stopped(error)) => return Err(error),
        }
    }
}

/// Why a copy came to no end.
enum Broken {
    /// The node has let go of what was being copied.
    Moved(String, Code),
    /// Anything else.
    Stopped(anyhow::Error),
}

impl From<Stopped> for Broken {
    fn from(error: Stopped) -> Broken {
        Broken::Stopped(error.into())
    }
}

struct Copying<'a> {
    environment: &'a Environment,
    address: &'a str,
    node: &'a Admin,
    directory: &'a Path,
    json: bool,
}

impl Copying<'_> {
    async fn run(&self, from: Option<Index>, to: Option<Index>) -> Result<(String, Index, u64, Index), Broken> {
        let listing = self.node.begin_copy().await.map_err(|error| self.failed(&error))?;
        let copied = self.copy(&listing, from, to).await;
        // One that is not ended ends by itself soon.
        self.node.end_copy(&listing.copy).await.ok();
        copied
    }

    async fn copy(
        &self,
        listing: &CopyRecord,
        from: Option<Index>,
        to: Option<Index>,
    ) -> Result<(String, Index, u64, Index), Broken> {
        let last = Index(listing.last);
        let start = self.start(listing, from, to)?;
        let owner = self.owner(listing)?;
        let snapshot = SnapshotCopy::begin(self.environment, self.directory, owner, start);
        let (mut log, bytes) = self.snapshot(listing, snapshot.map_err(stopped)?, start).await?;
        let entries = Progress::new(Some(last.0.saturating_sub(start.0)), self.json);
        while log.next() <= last {
            let next = log.next();
            entries.show(next.0.saturating_sub(start.0), || {
                format!(
                    "copying entry {} of {}",
                    output::grouped(next.0),
                    output::grouped(last.0)
                )
            });
            let page = self.node.copy_entries(&listing.copy, next.0).await;
            log.put(&page.map_err(|error| self.failed(&error))?, last)
                .await
                .map_err(stopped)?;
        }
        entries.clear();
        log.end(last, self.said(listing, start)?).await.map_err(stopped)?;
        Ok((listing.name.clone(), start, bytes, last))
    }

    async fn snapshot(
        &self,
        listing: &CopyRecord,
        mut copy: SnapshotCopy,
        start: Index,
    ) -> Result<(LogCopy, u64), Broken> {
        let listed = listing.snapshots.iter().find(|snapshot| snapshot.index == start.0);
        let total = listed.map_or(0, |snapshot| snapshot.bytes);
        let progress = Progress::new(Some(total), self.json);
        while copy.bytes() < total {
            let piece = self.node.copy_snapshot(&listing.copy, start.0, copy.bytes()).await;
            let piece = piece.map_err(|error| self.failed(&error))?;
            if piece.is_empty() || copy.bytes().saturating_add(piece.len() as u64) > total {
                let what = format!(
                    "{}: the snapshot as of entry {start} does not have {total} bytes",
                    self.address
                );
                return Err(Stopped::failed(what, "Copy it again.").coded("copy_failed").into());
            }
            copy.put(&piece).map_err(stopped)?;
            progress.show(copy.bytes(), || {
                format!(
                    "copied {} of {} bytes of the snapshot as of entry {}",
                    output::grouped(copy.bytes()),
                    output::grouped(total),
                    output::grouped(start.0)
                )
            });
        }
        progress.clear();
        Ok((copy.end().await.map_err(stopped)?, total))
    }

    /// As of which entry the state is to begin with.
    fn start(&self, listing: &CopyRecord, from: Option<Index>, to: Option<Index>) -> Result<Index, Broken> {
        if listing.snapshot_format > SNAPSHOT.number && !listing.snapshots.is_empty() {
            let what = format!(
                "{}: its snapshots are of format {}, and this binary knows up to {}",
                self.address, listing.snapshot_format, SNAPSHOT.number
            );
            return Err(Stopped::failed(what, "Replay with a binary of the node's release.").into());
        }
        let (first, last) = (Index(listing.first), Index(listing.last));
        let nothing = (first <= Index(1)).then_some(Index(0));
        let snapshots = listing.snapshots.iter().map(|snapshot| Index(snapshot.index));
        let goes_on = |index: &Index| index.0.saturating_add(1) >= first.0 && *index <= last && index.0 > 0;
        let starts: Vec<Index> = nothing.into_iter().chain(snapshots.filter(goes_on)).collect();
        let start = replay::start(&starts, last, from, to).map_err(stopped)?;
        start.ok_or_else(|| stopped(replay::Error::NoStart(first)))
    }

    fn owner(&self, listing: &CopyRecord) -> Result<(ClusterId, NodeId), Broken> {
        let cluster = u64::from_str_radix(&listing.cluster, 16);
        let cluster = cluster.map_err(|_| self.unreadable(&format!("its cluster's id is {:?}", listing.cluster)))?;
        Ok((ClusterId(cluster), NodeId(listing.node)))
    }

    /// What the node says of its digest, but for the snapshot that the copy begins with, whose header says the same.
    fn said(&self, listing: &CopyRecord, start: Index) -> Result<Vec<Said>, Broken> {
        // One that was made since the copy began lies behind its end.
        let inside = |index: u64| index > start.0 && index <= listing.last;
        let snapshots = listing.snapshots.iter().filter(|snapshot| inside(snapshot.index));
        let snapshots = snapshots.map(|snapshot| (snapshot.index, &snapshot.digest));
        let said = snapshots.chain([(listing.applied, &listing.digest)]);
        let said = said.map(|(index, digest)| {
            let digest = StateDigest::parse(digest);
            Ok(Said {
                index: Index(index),
                digest: digest.ok_or_else(|| self.unreadable("what it says of its digest is none"))?,
            })
        });
        said.collect()
    }

    fn unreadable(&self, what: &str) -> Stopped {
        Stopped::failed(format!("{}: {what}", self.address), "Is it a node of Seachange?").coded("copy_failed")
    }

    fn failed(&self, error: &Error) -> Broken {
        match error.code() {
            code @ (Code::UnknownCopy | Code::UnknownSnapshot | Code::EntriesPurged) => {
                Broken::Moved(error.to_string(), code)
            }
            _ => refused(self.address, error).into(),
        }
    }
}

fn stopped(error: replay::Error) -> Broken {
    explain(&error).into()
}

/// What it means that a node gives no copy.
fn refused(address: &str, error: &Error) -> Stopped {
    let what = format!("{address}: {error}");
    match error {
        // Nothing that a copy asks for changes anything.
        Error::Unavailable(_) | Error::OutcomeUnknown(_) => {
            let remedy = "Name the HTTP address of a node that runs: seachange status shows those of all members.";
            Stopped::new(Exit::Unreachable, what, remedy)
        }
        Error::Problem(problem) => {
            let remedy = match problem.code {
                Code::Unavailable => "It cannot give what it has now: copy off another member.",
                Code::CopyUnderWay => "Copy off another member, or wait until the other copy has ended.",
                Code::NotFound | Code::MethodNotAllowed => {
                    "The node's binary gives no copies: bring it up to this one's release, or copy its data directory."
                }
                _ => "Name the HTTP address of a node of Seachange: seachange status shows those of all members.",
            };
            Stopped::failed(what, remedy).coded(problem.code.name())
        }
        Error::Unreadable { .. } | Error::Invalid(_) => {
            Stopped::failed(what, "Is it a node of Seachange?").coded(error.code().name())
        }
    }
}

#[cfg(test)]
mod tests {
    use client::wire::CopiedSnapshot;
    use environment::real;

    use super::*;

    #[test]
    fn a_url_is_an_address_with_or_without_its_scheme() {
        for good in ["http://127.0.0.1:7070", "http://127.0.0.1:7070/", "127.0.0.1:7070"] {
            assert_eq!(address(good).as_deref(), Ok("127.0.0.1:7070"), "{good}");
        }
        for bad in [
            "",
            "http://",
            "https://127.0.0.1:7070",
            "http://host:70/v1",
            "ftp://host:70",
            "host",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    fn listing(first: u64, snapshots: &[u64]) -> CopyRecord {
        let digest = StateDigest::default().to_string();
        CopyRecord {
            copy: "c0".into(),
            cluster: "c1".into(),
            node: 2,
            name: "b".into(),
            first,
            last: 100,
            applied: 100,
            digest: digest.clone(),
            snapshot_format: 1,
            snapshots: snapshots
                .iter()
                .map(|index| CopiedSnapshot {
                    index: *index,
                    digest: digest.clone(),
                    bytes: 300,
                })
                .collect(),
        }
    }

    #[tokio::test]
    async fn a_copy_begins_where_the_log_goes_on_from_a_state() {
        let environment = real::environment();
        let admin = connection::admin_at(&["127.0.0.1:1".to_owned()], &environment).unwrap();
        let copying = Copying {
            environment: &environment,
            address: "127.0.0.1:1",
            node: &admin,
            directory: Path::new("nowhere"),
            json: true,
        };
        let start = |listing: &CopyRecord, from: Option<u64>| match copying.start(listing, from.map(Index), None) {
            Ok(start) => Ok(start.0),
            Err(Broken::Stopped(error)) => Err(error.to_string()),
            Err(Broken::Moved(why, _)) => Err(why),
        };
        assert_eq!(start(&listing(1, &[50, 80]), None), Ok(0));
        assert_eq!(start(&listing(1, &[50, 80]), Some(81)), Ok(80));
        assert_eq!(start(&listing(31, &[20, 30, 80]), None), Ok(30), "entry 21 is gone");
        assert_eq!(start(&listing(31, &[30, 80]), Some(80)), Ok(30));
        let none = start(&listing(31, &[20, 101]), None).unwrap_err();
        assert!(none.contains("begins with entry 31"), "{none}");
        assert!(start(&listing(31, &[30]), Some(30)).unwrap_err().contains("entry 30"));
        assert!(
            start(&listing(1, &[]), Some(101))
                .unwrap_err()
                .contains("not known to be committed")
        );
        let mut newer = listing(31, &[30]);
        newer.snapshot_format = SNAPSHOT.number + 1;
        assert!(start(&newer, None).unwrap_err().contains("format"));
        // What no node sends.
        assert!(start(&listing(u64::MAX, &[0, u64::MAX]), None).is_err());
        let indexes = |listing: &CopyRecord, start| match copying.said(listing, Index(start)) {
            Ok(said) => said.iter().map(|said| said.index.0).collect::<Vec<_>>(),
            Err(_) => vec![],
        };
        assert_eq!(indexes(&listing(31, &[20, 30, 80]), 30), [80, 100]);
        newer.digest = "0-0".into();
        assert_eq!(indexes(&newer, 30), [] as [u64; 0]);
    }

    #[tokio::test]
    async fn a_copy_that_came_to_no_end_leaves_nothing_where_it_was_to_be_kept() {
        let disk = real::environment().disk;
        let home = tempfile::tempdir().unwrap();
        let keep = home.path().join("kept");
        for whole in [false, true] {
            let mut place = Place::new(&disk, Some(&keep)).unwrap();
            for part in ["log", "snapshots"] {
                std::fs::create_dir(keep.join(part)).unwrap();
            }
            assert!(Place::new(&disk, Some(&keep)).is_err(), "it is not empty");
            if whole {
                place.finish();
            }
            drop(place);
            assert_eq!(std::fs::read_dir(&keep).unwrap().count() == 2, whole);
        }
        let temporary = Place::new(&disk, None).unwrap();
        let directory = temporary.directory().to_owned();
        std::fs::write(directory.join("x"), b"x").unwrap();
        drop(temporary);
        assert!(!directory.exists());
    }
}
