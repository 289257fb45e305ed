//! A disk that fills up: writes are refused with a clear error while there is still room for what was promised, reads go
//! on, and writes too once there is room.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use environment::{Disk, Entry, File, FileLock, timeout};
use machine::{Consistency, Request, SubmitError};
use node::limits::DISK_START_BYTES_MIN;

use crate::snapshots::{eager, purged};
use crate::world::{Member, PATIENCE, World, total};

/// The real disk, with as much room as the test says.
struct Tight {
    inner: Arc<dyn Disk>,
    free: Arc<AtomicU64>,
    /// How often it was asked for it.
    asked: Arc<AtomicU64>,
}

/// Gives the world's disk so much room, and the means to change that.
fn tighten(world: &mut World, free: u64) -> (Arc<AtomicU64>, Arc<AtomicU64>) {
    let (free, asked) = (Arc::new(AtomicU64::new(free)), Arc::new(AtomicU64::new(0)));
    world.environment.disk = Arc::new(Tight {
        inner: world.environment.disk.clone(),
        free: free.clone(),
        asked: asked.clone(),
    });
    (free, asked)
}

impl Disk for Tight {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.inner.open(path)
    }
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.inner.create_new(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(path)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.inner.exists(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }
    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(self.free.load(Ordering::Relaxed))
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        self.inner.lock(path)
    }
}

fn request() -> Request {
    Request {
        claim: None,
        application: "adder".into(),
        command: "add".into(),
        version: 1,
        payload: "1".into(),
    }
}

/// Asks until the answer is the one waited for.
async fn until(world: &World, member: &Member, what: &str, met: impl Fn(&Result<(), SubmitError>) -> bool) {
    let waited = timeout(&world.environment, PATIENCE, async {
        loop {
            let answer = member.cluster.submit(request()).await.map(drop);
            if met(&answer) {
                return;
            }
            world.environment.sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} did not come");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_refused_while_the_disk_is_full_and_taken_again_once_there_is_room() {
    let mut world = World::new();
    let (free, _) = tighten(&mut world, u64::MAX);
    let a = world.start("a", &[1], None).await;
    let change = world.plan(&[&a], 1).await;
    world.switched(&a, change).await;
    world.add(&[&a], 1).await;
    free.store(world.upkeep.disk_reserve_bytes - 1, Ordering::Relaxed);
    until(
        &world,
        &a,
        "the refusal",
        |answer| matches!(answer, Err(SubmitError::DiskFull(why)) if why.contains("make room")),
    )
    .await;
    let before = a.cluster.status().applied;
    // What was acknowledged can be read.
    assert!(
        total(&a, Consistency::Linearizable)
            .await
            .1
            .parse::<u64>()
            .is_ok_and(|total| total >= 1)
    );
    assert_eq!(a.cluster.status().applied, before, "nothing was written");
    free.store(u64::MAX, Ordering::Relaxed);
    until(&world, &a, "an acknowledgement", Result::is_ok).await;
    a.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_without_room_lets_the_others_go_on_and_catches_up_once_it_has_some() {
    let mut world = World::new();
    let a = world.start("a", &[1], None).await;
    let b = world.start("b", &[1], Some(&a.peer)).await;
    let (free, _) = tighten(&mut world, u64::MAX);
    let c = world.start("c", &[1], Some(&a.peer)).await;
    world.voters(&a, 3).await;
    let change = world.plan(&[&a, &b, &c], 1).await;
    world.switched(&a, change).await;
    world.agree(&[&a, &b, &c]).await;
    free.store(1, Ordering::Relaxed);
    // It looks from time to time: entries are added until one does not reach it.
    let mut sum = 0_u64;
    let stuck = timeout(&world.environment, PATIENCE, async {
        while c.cluster.status().last.0 + 20 > a.cluster.status().last.0 {
            sum = world.add(&[&a, &b], 1).await.parse().unwrap_or_default();
        }
    });
    assert!(stuck.await.is_ok(), "the full follower takes no more");
    free.store(u64::MAX, Ordering::Relaxed);
    world.agree(&[&a, &b, &c]).await;
    assert_eq!(total(&c, Consistency::Linearizable).await.1, sum.to_string());
    for member in [a, b, c] {
        member.node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_on_a_full_disk_waits_until_there_is_room() {
    let mut world = World::new();
    let (free, asked) = tighten(&mut world, 0);
    let (start, room) = (world.start("a", &[1], None), async {
        // It has been asked more than once, and is still waiting.
        while asked.load(Ordering::Relaxed) < 2 {
            world.environment.sleep(std::time::Duration::from_millis(10)).await;
        }
        free.store(u64::MAX, Ordering::Relaxed);
    });
    let (a, ()) = futures::future::join(start, room).await;
    let change = world.plan(&[&a], 1).await;
    world.switched(&a, change).await;
    assert_eq!(world.add(&[&a], 1).await, "1");
    a.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_without_room_takes_no_snapshot_until_it_has_some() {
    let mut world = eager();
    let a = world.start("a", &[1], None).await;
    let b = world.start("b", &[1], Some(&a.peer)).await;
    let (free, _) = tighten(&mut world, u64::MAX);
    let c = world.start("c", &[1], Some(&a.peer)).await;
    world.voters(&a, 3).await;
    let change = world.plan(&[&a, &b, &c], 1).await;
    world.switched(&a, change).await;
    world.agree(&[&a, &b, &c]).await;
    free.store(1, Ordering::Relaxed);
    let stuck = timeout(&world.environment, PATIENCE, async {
        while c.cluster.status().last.0 + 200 > a.cluster.status().last.0 {
            world.add(&[&a, &b], 1).await;
        }
    });
    assert!(stuck.await.is_ok(), "the full follower takes no more");
    for member in [&a, &b] {
        purged(&world, member, c.cluster.status().last).await;
    }
    // Less than a node needs to start, and just as much, of which a snapshot would take some: it is offered again and again.
    for bytes in [1, DISK_START_BYTES_MIN] {
        free.store(bytes, Ordering::Relaxed);
        let ended = timeout(&world.environment, Duration::from_secs(2), c.node.ended()).await;
        assert!(ended.is_err(), "with {bytes} bytes: {ended:?}");
    }
    let gone = timeout(&world.environment, PATIENCE, async {
        while world.data("c").join("incoming").exists() {
            world.environment.sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(gone.await.is_ok(), "what had come of it takes no room");
    free.store(u64::MAX, Ordering::Relaxed);
    let c = world.catch_up("c", c, &[&a, &b]).await;
    for member in [a, b, c] {
        member.node.shutdown().await;
    }
}
