//! Whole nodes in one process, over real sockets and real files: what a cluster does as its members come, go and differ.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use environment::{Environment, real, timeout};
use host::{NativeApplication, Registry};
use machine::manifest::{CommandSpec, TableSpec};
use machine::{
    Body, Catalog, ChangeId, Cluster, Code, Consistency, Decision, Index, Manifest, Outcome, PlanApplication, Read,
    ReadValue, Request, Role, Shape, Stage, Status, SubmitError, Version, change,
};
use node::{Config, Node};
use sdk::{Application, Command, Context, Refusal, Reply};
use store::state::{FjallBackend, FjallOptions};
use tempfile::TempDir;

/// Adds to a total; version 2 adds twice.
struct Adder(u64);

impl Application for Adder {
    fn apply(&self, context: &mut Context<'_>, command: Command<'_>) -> Result<Reply, Refusal> {
        let add: u64 = command.json()?;
        let mut totals = context.table::<u64>("totals");
        let total = totals.get("all")?.unwrap_or(0) + add * self.0;
        totals.put("all", &total)?;
        Reply::json(&total)
    }
}

fn registry(versions: &[u32]) -> Registry {
    let linked = versions
        .iter()
        .map(|version| NativeApplication::new("adder", Version(*version), Adder((*version).into())));
    Registry::new(linked.collect())
}

struct Member {
    node: Node,
    cluster: Arc<dyn Cluster>,
    peer: String,
}

struct World {
    environment: Environment,
    directory: TempDir,
}

/// Long enough for a machine that does much else; nothing waits for all of it.
const PATIENCE: Duration = Duration::from_secs(60);

impl World {
    fn new() -> World {
        World {
            environment: real::environment(),
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    async fn start(&self, name: &str, versions: &[u32], join: Option<&str>) -> Member {
        let listener = self.environment.network.bind("127.0.0.1:0").await.expect("a port");
        let peer = listener.local_addr().to_string();
        let config = Config {
            name: name.to_owned(),
            data: self.directory.path().join(name),
            peer_address: peer.clone(),
            http_address: "127.0.0.1:1".to_owned(),
            join: join.map(str::to_owned),
            registry: registry(versions),
            log: Default::default(),
            state: Default::default(),
            streams: Default::default(),
            upkeep: Default::default(),
        };
        let backend = |directory: &Path| {
            let backend = FjallBackend::open(directory, FjallOptions::default())?;
            Ok(Arc::new(backend) as Arc<dyn store::state::Backend>)
        };
        let node = Node::start(config, self.environment.clone(), backend, listener)
            .await
            .expect("the node starts");
        Member {
            cluster: node.cluster(),
            node,
            peer,
        }
    }

    async fn until(&self, member: &Member, what: &str, met: impl Fn(&Status, &Catalog) -> bool) {
        let waited = timeout(&self.environment, PATIENCE, async {
            while !met(&member.cluster.status(), &member.cluster.catalog()) {
                self.environment.sleep(Duration::from_millis(10)).await;
            }
        });
        if waited.await.is_err() {
            panic!("{what} did not come: {:#?}", member.cluster.status());
        }
    }

    async fn voters(&self, member: &Member, count: usize) {
        let votes = |status: &Status| status.members.iter().filter(|member| member.voter).count();
        self.until(member, "the voters", |status, catalog| {
            votes(status) == count && catalog.voters.len() == count
        })
        .await;
    }

    /// At the leader, whoever that is by then.
    async fn propose(&self, members: &[&Member], body: Body) -> Decision {
        let proposed = timeout(&self.environment, PATIENCE, async {
            loop {
                for member in members {
                    match member.cluster.propose(body.clone()).await {
                        Ok(decision) => return decision,
                        Err(SubmitError::NotLeader { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                self.environment.sleep(Duration::from_millis(20)).await;
            }
        });
        proposed.await.expect("a leader takes it")
    }

    async fn plan(&self, members: &[&Member], version: u32) -> ChangeId {
        let plan = PlanApplication {
            manifest: manifest(version),
            code: Code::Native,
            finalize: false,
        };
        match self.propose(members, Body::PlanApplication(plan)).await {
            Decision::Planned(change) => change,
            other => panic!("not planned: {other:?}"),
        }
    }

    async fn switched(&self, member: &Member, change: ChangeId) {
        let done = |stage| matches!(stage, Stage::Switched | Stage::Finalized);
        self.until(member, "the switch", |_, catalog| {
            catalog.changes.get(&change).is_some_and(|it| done(it.stage))
        })
        .await;
    }

    async fn add(&self, members: &[&Member], add: u64) -> String {
        let request = Request {
            claim: None,
            application: "adder".into(),
            command: "add".into(),
            version: 1,
            payload: add.to_string().into(),
        };
        let added = timeout(&self.environment, PATIENCE, async {
            loop {
                for member in members {
                    match member.cluster.submit(request.clone()).await {
                        Ok(reply) => return reply.outcome,
                        Err(SubmitError::NotLeader { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                self.environment.sleep(Duration::from_millis(20)).await;
            }
        });
        match added.await.expect("a leader takes it") {
            Outcome::Applied(reply) => String::from_utf8_lossy(&reply).into_owned(),
            other => format!("{other:?}"),
        }
    }

    /// All come to hold the same: at an equal index an equal digest.
    async fn agree(&self, members: &[&Member]) {
        let goal = members
            .iter()
            .map(|member| member.cluster.status().committed)
            .max()
            .unwrap_or_default();
        let agreed = timeout(&self.environment, PATIENCE, async {
            loop {
                let seen: Vec<_> = members.iter().map(|member| member.cluster.status()).collect();
                let applied = seen[0].applied;
                if applied >= goal && seen.iter().all(|status| status.applied == applied) {
                    assert!(seen.iter().all(|status| status.digest == seen[0].digest), "{seen:#?}");
                    return;
                }
                self.environment.sleep(Duration::from_millis(10)).await;
            }
        });
        agreed.await.expect("all come to the same index");
    }
}

fn manifest(version: u32) -> Manifest {
    Manifest {
        application: "adder".into(),
        version: Version(version),
        about: String::new(),
        commands: vec![CommandSpec {
            name: "add".into(),
            versions: vec![1],
        }],
        queries: vec![],
        tables: vec![TableSpec {
            name: "totals".into(),
            shape: Shape(1),
            converts: vec![],
        }],
        streams: vec![],
    }
}

async fn total(member: &Member, consistency: Consistency) -> (Index, String) {
    let read = Read::Get {
        application: "adder".into(),
        table: "totals".into(),
        key: Bytes::from_static(b"all"),
    };
    let answer = member
        .cluster
        .read(read, consistency)
        .await
        .expect("the read is answered");
    match answer.value {
        ReadValue::Document(Some(document)) => (answer.index, String::from_utf8_lossy(&document).into_owned()),
        other => panic!("no document: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_join_catch_up_vote_and_hold_the_same() {
    let world = World::new();
    let a = world.start("a", &[1], None).await;
    let change = world.plan(&[&a], 1).await;
    world.switched(&a, change).await;
    for add in 1..=10 {
        world.add(&[&a], add).await;
    }
    let b = world.start("b", &[1], Some(&a.peer)).await;
    let c = world.start("c", &[1], Some(&b.peer)).await;
    world.voters(&a, 3).await;
    assert_eq!(world.add(&[&a, &b, &c], 5).await, "60");
    for member in [&a, &b, &c] {
        assert_eq!(
            total(member, Consistency::Linearizable).await.1,
            "60",
            "fresh at every node"
        );
    }
    world.agree(&[&a, &b, &c]).await;
    for member in [a, b, c] {
        member.node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_comes_back_with_what_it_had_and_what_it_missed() {
    let world = World::new();
    let a = world.start("a", &[1], None).await;
    let b = world.start("b", &[1], Some(&a.peer)).await;
    let c = world.start("c", &[1], Some(&a.peer)).await;
    world.voters(&a, 3).await;
    let change = world.plan(&[&a, &b, &c], 1).await;
    world.switched(&c, change).await;
    world.add(&[&a, &b, &c], 1).await;
    // The leader leaves, and says so.
    a.node.prepare_to_stop().await;
    world
        .until(&b, "another leader", |status, _| {
            status.leader.is_some_and(|leader| leader.0 != 1)
        })
        .await;
    a.node.shutdown().await;
    drop(a.cluster);
    assert_eq!(world.add(&[&b, &c], 2).await, "3");
    // It comes back at another address, which the others learn from it.
    let a = world.start("a", &[1], None).await;
    world.agree(&[&a, &b, &c]).await;
    assert_eq!(total(&a, Consistency::Linearizable).await.1, "3");
    let moved = a.peer.clone();
    world
        .until(&c, "the new address", |_, catalog| {
            catalog.nodes.values().any(|node| node.peer_address == moved)
        })
        .await;
    for member in [a, b, c] {
        member.node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_waits_for_every_voter_and_says_for_whom_and_why() {
    let world = World::new();
    let a = world.start("a", &[1, 2], None).await;
    let b = world.start("b", &[1], Some(&a.peer)).await;
    let c = world.start("c", &[1, 2], Some(&a.peer)).await;
    world.voters(&a, 3).await;
    let members = [&a, &b, &c];
    let installed = world.plan(&members, 1).await;
    world.switched(&a, installed).await;
    let change = world.plan(&members, 2).await;
    let failed = |catalog: &Catalog| {
        let report = change::report(catalog, change, machine::TimeMs(0));
        report
            .blockers
            .iter()
            .any(|blocker| blocker.what.contains("b cannot run version 2"))
    };
    world.until(&a, "the reason", |_, catalog| failed(catalog)).await;
    assert_eq!(world.add(&members, 1).await, "1", "version 1 goes on meanwhile");
    // The node is given a binary that can.
    b.node.shutdown().await;
    drop(b.cluster);
    let b = world.start("b", &[1, 2], None).await;
    world.switched(&a, change).await;
    assert_eq!(world.add(&[&a, &b, &c], 1).await, "3", "version 2 adds twice");
    world.agree(&[&a, &b, &c]).await;
    for member in [a, b, c] {
        member.node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_the_version_in_force_parks_says_why_and_goes_on_once_it_has_it() {
    let world = World::new();
    let a = world.start("a", &[1, 2], None).await;
    let b = world.start("b", &[1, 2], Some(&a.peer)).await;
    world.voters(&a, 2).await;
    for version in [1, 2] {
        let change = world.plan(&[&a, &b], version).await;
        world.switched(&a, change).await;
        world.switched(&b, change).await;
        world.add(&[&a, &b], 1).await;
    }
    // A binary without version 2 joins: it replicates, votes, and applies what it can.
    let c = world.start("c", &[1], Some(&a.peer)).await;
    let why = |status: &Status| status.parked.as_ref().is_some_and(|why| why.contains('2'));
    world
        .until(&c, "the parked node's reason", |status, _| why(status))
        .await;
    world.voters(&a, 3).await;
    assert_eq!(world.add(&[&a, &b], 1).await, "5", "the others go on");
    let parked_at = c.cluster.status().applied;
    world
        .until(&c, "replication", |status, _| status.last > parked_at)
        .await;
    assert_eq!(
        total(&c, Consistency::Stale).await.1,
        "1",
        "nothing was skipped or guessed"
    );
    c.node.shutdown().await;
    drop(c.cluster);
    let c = world.start("c", &[1, 2], None).await;
    world.agree(&[&a, &b, &c]).await;
    assert_eq!(total(&c, Consistency::Linearizable).await.1, "5");
    for member in [a, b, c] {
        member.node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_on_the_peer_port_changes_nothing() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::new();
    let a = world.start("a", &[1], None).await;
    world
        .until(&a, "a leader", |status, catalog| {
            status.role == Role::Leader && catalog.nodes.len() == 1
        })
        .await;
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"SEAPEER1\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"",
        b"SEAPEER1",
    ] {
        let mut stream = world.environment.network.connect(&a.peer).await.expect("a connection");
        stream.write_all(garbage).await.expect("it is sent");
        stream.shutdown().await.expect("it is all");
        let mut answer = Vec::new();
        // However it ends, it ends.
        timeout(&world.environment, PATIENCE, stream.read_to_end(&mut answer))
            .await
            .expect("the node closes")
            .ok();
    }
    let change = world.plan(&[&a], 1).await;
    world.switched(&a, change).await;
    assert_eq!(world.add(&[&a], 7).await, "7");
    a.node.shutdown().await;
}
