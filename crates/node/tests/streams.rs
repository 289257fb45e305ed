//! Whole nodes and their streams: trimming by hand and by itself, the same on every node, and consumers across leaders.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use environment::{Environment, real, timeout};
use host::{NativeApplication, Registry};
use machine::manifest::CommandSpec;
use machine::{
    Body, Cluster, Code, CommitConsumer, Decision, Manifest, Offset, Outcome, PlanApplication, ReadError, Request,
    SubmitError, TrimStreams, Version,
};
use node::{Config, Ending, Node, Retention, UpkeepOptions};
use sdk::{Application, Command, Context, Refusal, Reply};
use store::state::{FjallBackend, FjallOptions};
use store::streams::StreamOptions;
use tempfile::TempDir;

const STREAM: &str = "teller.told";
/// Long enough for a machine that does much else; nothing waits for all of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells its stream what it is told.
struct Teller;

impl Application for Teller {
    fn apply(&self, context: &mut Context<'_>, command: Command<'_>) -> Result<Reply, Refusal> {
        let told: String = command.json()?;
        context.emit_unkeyed(STREAM, &told)?;
        Reply::json(&told.len())
    }
}

fn registry() -> Registry {
    Registry::new(vec![NativeApplication::new("teller", Version(1), Teller)])
}

fn manifest() -> Manifest {
    Manifest {
        application: "teller".into(),
        version: Version(1),
        about: String::new(),
        commands: vec![CommandSpec {
            name: "tell".into(),
            versions: vec![1],
        }],
        queries: vec![],
        tables: vec![],
        streams: vec![STREAM.into()],
    }
}

struct Member {
    name: &'static str,
    node: Node,
    cluster: Arc<dyn Cluster>,
    peer: String,
}

impl Member {
    async fn stop(self) {
        self.node.shutdown().await;
    }
}

struct World {
    environment: Environment,
    directory: TempDir,
    retention: Retention,
    snapshot_log_bytes: u64,
    disk_reserve_bytes: u64,
}

impl World {
    fn new(retention: Retention) -> World {
        World {
            environment: real::environment(),
            directory: tempfile::tempdir().expect("a directory"),
            retention,
            snapshot_log_bytes: UpkeepOptions::default().snapshot_log_bytes,
            disk_reserve_bytes: 0,
        }
    }

    async fn start(&self, name: &'static str, join: Option<&str>) -> Member {
        let listener = self.environment.network.bind("127.0.0.1:0").await.expect("a port");
        let peer = listener.local_addr().to_string();
        let config = Config {
            name: name.to_owned(),
            data: self.directory.path().join(name),
            peer_address: peer.clone(),
            http_address: "127.0.0.1:1".to_owned(),
            join: join.map(str::to_owned),
            registry: registry(),
            level_max: machine::LEVEL_MAX,
            log: Default::default(),
            state: Default::default(),
            streams: StreamOptions { segment_bytes: 4 << 10 },
            retention: self.retention,
            upkeep: UpkeepOptions {
                log_keep_entries: 5,
                snapshot_log_bytes: self.snapshot_log_bytes,
                disk_reserve_bytes: self.disk_reserve_bytes,
                ..UpkeepOptions::default()
            },
        };
        let backend = |directory: &Path| {
            let backend = FjallBackend::open(directory, FjallOptions::default())?;
            Ok(Arc::new(backend) as Arc<dyn store::state::Backend>)
        };
        let started = Node::start(config, self.environment.clone(), backend, listener).await;
        let node = started.expect("the node starts");
        Member {
            name,
            cluster: node.cluster(),
            node,
            peer,
        }
    }

    async fn until(&self, what: &str, met: impl Fn() -> bool) {
        let waited = timeout(&self.environment, PATIENCE, async {
            while !met() {
                self.environment.sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(waited.await.is_ok(), "{what} did not come");
    }

    /// At the leader, whoever that is by then.
    async fn at_leader<T, F>(&self, members: &[&Member], attempt: impl Fn(Arc<dyn Cluster>) -> F) -> T
    where
        F: Future<Output = Result<T, SubmitError>>,
    {
        let answered = timeout(&self.environment, PATIENCE, async {
            loop {
                for member in members {
                    match attempt(member.cluster.clone()).await {
                        Ok(answer) => return answer,
                        Err(SubmitError::NotLeader { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                self.environment.sleep(Duration::from_millis(20)).await;
            }
        });
        answered.await.expect("a leader takes it")
    }

    async fn propose(&self, members: &[&Member], body: Body) -> Decision {
        self.at_leader(members, |cluster| {
            let body = body.clone();
            async move { cluster.propose(body).await }
        })
        .await
    }

    async fn install(&self, members: &[&Member]) {
        let plan = PlanApplication {
            manifest: manifest(),
            code: Code::Native,
            finalize: true,
        };
        self.propose(members, Body::PlanApplication(plan)).await;
        let in_force = |member: &&Member| member.cluster.catalog().in_force("teller").is_some();
        self.until("the application", || members.iter().all(in_force)).await;
    }

    /// Tells so many events of some hundred bytes.
    async fn tell(&self, members: &[&Member], count: usize) {
        for number in 0..count {
            let request = Request {
                claim: None,
                application: "teller".into(),
                command: "tell".into(),
                version: 1,
                payload: format!("\"{number:0>400}\"").into(),
            };
            let reply = self.at_leader(members, |cluster| {
                let request = request.clone();
                async move { cluster.submit(request).await }
            });
            assert!(matches!(reply.await.outcome, Outcome::Applied(_)));
        }
    }

    async fn trim(&self, members: &[&Member], start: u64) -> Decision {
        let starts = [(STREAM.to_owned(), Offset(start))].into();
        self.propose(members, Body::TrimStreams(TrimStreams { starts })).await
    }

    async fn commit(&self, members: &[&Member], offset: u64, expected: Option<u64>) -> Decision {
        let commit = CommitConsumer {
            stream: STREAM.into(),
            consumer: "audit".into(),
            offset: Offset(offset),
            expected: expected.map(Offset),
            reset: false,
        };
        self.propose(members, Body::CommitConsumer(commit)).await
    }

    /// The indexes of a member's snapshots.
    fn snapshots(&self, member: &str) -> Vec<u64> {
        let entries = std::fs::read_dir(self.directory.path().join(member).join("snapshots")).expect("snapshots");
        let index = |name: String| name.strip_suffix(".snapshot")?.parse().ok();
        entries
            .filter_map(|entry| index(entry.expect("an entry").file_name().to_string_lossy().into_owned()))
            .collect()
    }

    /// The files of a member's stream, by name.
    fn files(&self, member: &str) -> BTreeMap<String, Vec<u8>> {
        let directory = self.directory.path().join(member).join("streams").join(STREAM);
        let entries = std::fs::read_dir(directory).expect("the stream's directory");
        let read = |entry: std::fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            // A file may be removed while the directory is read.
            Some((name, std::fs::read(entry.path()).ok()?))
        };
        entries.filter_map(|entry| read(entry.expect("an entry"))).collect()
    }
}

fn extent(member: &Member) -> (u64, u64) {
    let status = member.cluster.streams()[STREAM];
    (status.start.0, status.end.0)
}

/// The offsets from `from` to the end, or where the stream begins.
async fn read(member: &Member, from: u64) -> Result<Vec<u64>, u64> {
    let mut offsets = Vec::new();
    loop {
        let next = Offset(from + offsets.len() as u64);
        match member.cluster.events(STREAM.into(), next, 1 << 20, None).await {
            Ok(page) if page.events.is_empty() => return Ok(offsets),
            Ok(page) => offsets.extend(page.events.iter().map(|event| event.offset.0)),
            Err(ReadError::EventsTrimmed { start, .. }) => return Err(start.0),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_trimmed_by_hand_gives_its_room_back_and_stays_trimmed() {
    let world = World::new(Retention::default());
    let a = world.start("a", None).await;
    world.install(&[&a]).await;
    world.tell(&[&a], 60).await;
    let before = world.files("a");
    assert!(before.len() > 4, "{}", before.len());
    assert!(matches!(
        world.trim(&[&a], 61).await,
        Decision::Refused {
            code: "offset_past_end",
            ..
        }
    ));
    assert!(matches!(world.trim(&[&a], 40).await, Decision::Done { .. }));
    assert_eq!(extent(&a), (40, 60), "at once");
    assert_eq!(read(&a, 39).await, Err(40));
    assert_eq!(read(&a, 40).await, Ok((40..60).collect()));
    // Nothing else is written: the checkpoint comes for the trimming alone.
    let gone = |count: usize| world.files("a").len() <= before.len() - count;
    world.until("the room", || gone(3)).await;
    let left = world.files("a");
    assert!(
        left.iter().all(|(name, bytes)| before[name] == *bytes),
        "what is left is as it was"
    );
    a.stop().await;

    // After a restart, and for a node that joins and applies everything from the first entry on.
    let a = world.start("a", None).await;
    world
        .until("the streams", || a.cluster.streams().contains_key(STREAM))
        .await;
    assert_eq!((extent(&a), read(&a, 0).await), ((40, 60), Err(40)));
    world.tell(&[&a], 30).await;
    let b = world.start("b", Some(&a.peer)).await;
    let same = || b.cluster.streams().get(STREAM) == Some(&a.cluster.streams()[STREAM]);
    world
        .until("the same streams", || same() && world.files("b") == world.files("a"))
        .await;
    assert_eq!(read(&b, 0).await, Err(40));
    assert_eq!(read(&b, 40).await, Ok((40..90).collect()));
    for member in [a, b] {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_kept_to_their_limit_on_every_node_alike_whoever_leads() {
    let world = World::new(Retention {
        bytes: Some(10_000),
        age: None,
    });
    let a = world.start("a", None).await;
    let b = world.start("b", Some(&a.peer)).await;
    let c = world.start("c", Some(&a.peer)).await;
    world
        .until("the voters", || a.cluster.catalog().voters.len() == 3)
        .await;
    world.install(&[&a, &b, &c]).await;
    world.tell(&[&a, &b, &c], 80).await;
    let kept = |member: &Member| member.cluster.streams()[STREAM].bytes < 10_000 + 5000;
    world.until("the limit", || kept(&a)).await;
    // Another one leads, and goes on with it.
    a.node.prepare_to_stop().await;
    a.stop().await;
    world.tell(&[&b, &c], 80).await;
    world.until("the limit at both", || kept(&b) && kept(&c)).await;
    let (start, end) = extent(&b);
    assert!(start > 80 && end == 160, "{start} to {end}");
    // The one that was away comes back.
    let a = world.start("a", None).await;
    let equal = || {
        let files: Vec<_> = [&a, &b, &c].iter().map(|member| world.files(member.name)).collect();
        let extents = [&a, &b, &c].map(|member| member.cluster.streams().get(STREAM).copied());
        extents[0] == extents[1] && extents[1] == extents[2] && files[0] == files[1] && files[1] == files[2]
    };
    world.until("equal files", equal).await;
    let (start, _) = extent(&a);
    assert_eq!(read(&a, start).await, Ok((start..160).collect()));
    assert_eq!(read(&a, 0).await, Err(start));
    for member in [a, b, c] {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_survives_its_leader_and_is_the_same_on_every_node() {
    let world = World::new(Retention::default());
    let a = world.start("a", None).await;
    let b = world.start("b", Some(&a.peer)).await;
    let c = world.start("c", Some(&a.peer)).await;
    world
        .until("the voters", || a.cluster.catalog().voters.len() == 3)
        .await;
    world.install(&[&a, &b, &c]).await;
    world.tell(&[&a, &b, &c], 20).await;
    assert!(matches!(
        world.commit(&[&a, &b, &c], 12, None).await,
        Decision::Done { .. }
    ));
    a.node.prepare_to_stop().await;
    a.stop().await;
    // Whoever answers, once it knows that it is fresh.
    for member in [&b, &c] {
        let fresh = timeout(&world.environment, PATIENCE, async {
            while member.cluster.fresh().await.is_err() {
                world.environment.sleep(Duration::from_millis(20)).await;
            }
        });
        fresh.await.expect("a leader confirms");
        let consumer = member.cluster.consumers().get(STREAM, "audit").expect("it is there");
        assert_eq!(consumer.offset, Offset(12));
    }
    // Two readers under one name: the second is told.
    assert!(matches!(
        world.commit(&[&b, &c], 15, Some(12)).await,
        Decision::Done { .. }
    ));
    let second = world.commit(&[&b, &c], 14, Some(12)).await;
    assert!(
        matches!(
            second,
            Decision::Refused {
                code: "consumer_moved",
                ..
            }
        ),
        "{second:?}"
    );
    // From a checkpoint and the log, too.
    let a = world.start("a", None).await;
    let here = || {
        a.cluster
            .consumers()
            .get(STREAM, "audit")
            .map(|consumer| consumer.offset)
    };
    world.until("the consumer", || here() == Some(Offset(15))).await;
    for member in [a, b, c] {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joins_by_a_snapshot_gets_trimmed_streams_and_consumers_as_they_are() {
    let world = World {
        snapshot_log_bytes: 1 << 10,
        ..World::new(Retention::default())
    };
    let a = world.start("a", None).await;
    world.install(&[&a]).await;
    world.tell(&[&a], 60).await;
    assert!(matches!(world.commit(&[&a], 45, None).await, Decision::Done { .. }));
    world.trim(&[&a], 30).await;
    let whole = a.node.upkeep().make().await.expect("a snapshot");
    let first = whole.streams[STREAM].segments[0].base;
    assert!(first > Offset(0), "what is trimmed is not in it");
    // By itself the node lets the log go that a snapshot replaces: whoever joins then needs one.
    world.tell(&[&a], 60).await;
    let newest = || world.snapshots("a").into_iter().max().unwrap_or_default();
    world.until("the next snapshot", || newest() > whole.index.0).await;
    // What it names is trimmed in turn before anybody asks for it, and is too little to make the next one by itself.
    world.trim(&[&a], 100).await;
    let gone = || !world.files("a").contains_key(&format!("{:020}.segment", first.0));
    world.until("the room", gone).await;
    let b = world.start("b", Some(&a.peer)).await;
    let ending = timeout(&world.environment, PATIENCE, b.node.ended()).await;
    assert!(matches!(ending, Ok(Ending::Restart(_))), "to install it: {ending:?}");
    b.stop().await;
    let b = world.start("b", None).await;
    world.tell(&[&a, &b], 1).await;
    let same = || b.cluster.streams().get(STREAM) == Some(&a.cluster.streams()[STREAM]);
    world
        .until("the same streams", || same() && world.files("b") == world.files("a"))
        .await;
    assert_eq!(read(&b, 99).await, Err(100));
    assert_eq!(read(&b, 100).await, Ok((100..121).collect()));
    let consumer = b.cluster.consumers().get(STREAM, "audit").expect("it came with it");
    assert_eq!(consumer.offset, Offset(45));
    for member in [a, b] {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_trimmed_also_when_the_disk_takes_nothing_else() {
    let mut world = World::new(Retention::default());
    let a = world.start("a", None).await;
    world.install(&[&a]).await;
    world.tell(&[&a], 60).await;
    a.stop().await;
    // Less is free than is to be kept in reserve, and more than half of it.
    let free = world
        .environment
        .disk
        .free_bytes(world.directory.path())
        .expect("it is known");
    world.disk_reserve_bytes = free / 3 * 4;
    let a = world.start("a", None).await;
    let full = timeout(&world.environment, PATIENCE, async {
        loop {
            match a.cluster.propose(Body::OpenSession).await {
                Err(SubmitError::DiskFull(_)) => return,
                // It has not looked yet, or does not lead yet.
                Ok(_) | Err(_) => world.environment.sleep(Duration::from_millis(20)).await,
            }
        }
    });
    full.await.expect("it says so");
    let before = world.files("a").len();
    assert!(matches!(world.trim(&[&a], 50).await, Decision::Done { .. }));
    world.until("the room", || world.files("a").len() < before).await;
    a.stop().await;
}
