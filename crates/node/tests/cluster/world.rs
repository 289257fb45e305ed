//! Nodes in one process, and what tests ask of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use environment::{Environment, real, timeout};
use host::{NativeApplication, Registry};
use machine::manifest::{CommandSpec, TableSpec};
use machine::{
    Body, Catalog, ChangeId, Cluster, Code, Consistency, Decision, Index, Manifest, Outcome, PlanApplication, Read,
    ReadValue, Request, Shape, Stage, Status, SubmitError, Version,
};
use node::{Config, Ending, Node, StartError, UpkeepOptions};
use sdk::{Application, Command, Context, Refusal, Reply};
use store::state::{FjallBackend, FjallOptions};
use tempfile::TempDir;

/// Adds to a total; version 2 adds twice.
pub struct Adder(pub u64);

impl Application for Adder {
    fn apply(&self, context: &mut Context<'_>, command: Command<'_>) -> Result<Reply, Refusal> {
        let add: u64 = command.json()?;
        let mut totals = context.table::<u64>("totals");
        let total = totals.get("all")?.unwrap_or(0) + add * self.0;
        totals.put("all", &total)?;
        Reply::json(&total)
    }
}

/// Adds like [`Adder`], and fails at 666.
struct Poisoned;

impl Application for Poisoned {
    fn apply(&self, context: &mut Context<'_>, command: Command<'_>) -> Result<Reply, Refusal> {
        let add: u64 = command.json()?;
        assert_ne!(add, 666, "a fault of the program");
        Adder(1).apply(context, command)
    }
}

pub fn registry(versions: &[u32]) -> Registry {
    let linked = versions
        .iter()
        .map(|version| NativeApplication::new("adder", Version(*version), Adder((*version).into())));
    Registry::new(linked.collect())
}

/// A running node.
pub struct Member {
    pub node: Node,
    pub cluster: Arc<dyn Cluster>,
    pub peer: String,
}

/// Where the nodes of one test live.
pub struct World {
    pub environment: Environment,
    pub directory: TempDir,
    pub upkeep: UpkeepOptions,
    /// Where each node listened last.
    addresses: Mutex<BTreeMap<String, String>>,
}

/// Long enough for a machine that does much else; nothing waits for all of it.
pub const PATIENCE: Duration = Duration::from_secs(60);

impl World {
    pub fn new() -> World {
        // Shown with a test that fails; another test of this process may have begun it already.
        let log = tracing_subscriber::fmt().with_env_filter("info,openraft=error");
        log.with_test_writer().try_init().ok();
        World {
            environment: real::environment(),
            directory: tempfile::tempdir().expect("a directory"),
            upkeep: UpkeepOptions::default(),
            addresses: Mutex::default(),
        }
    }

    /// Where a node's data lies.
    pub fn data(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub async fn start(&self, name: &str, versions: &[u32], join: Option<&str>) -> Member {
        self.try_start(name, versions, join).await.expect("the node starts")
    }

    pub async fn try_start(&self, name: &str, versions: &[u32], join: Option<&str>) -> Result<Member, StartError> {
        self.try_start_with(name, registry(versions), join).await
    }

    /// A node whose version 1 adds something else than that of the others, although it says it is the same.
    pub async fn start_liar(&self, name: &str, join: &str) -> Member {
        let liar = NativeApplication::new("adder", Version(1), Adder(3));
        let started = self.try_start_with(name, Registry::new(vec![liar]), Some(join)).await;
        started.expect("the node starts")
    }

    /// A node whose program itself fails when it is to add 666.
    pub async fn start_poisoned(&self, name: &str, join: Option<&str>) -> Member {
        let poisoned = NativeApplication::new("adder", Version(1), Poisoned).unguarded();
        let started = self.try_start_with(name, Registry::new(vec![poisoned]), join).await;
        started.expect("the node starts")
    }

    async fn try_start_with(&self, name: &str, registry: Registry, join: Option<&str>) -> Result<Member, StartError> {
        self.try_start_over(name, registry, join, 0).await
    }

    /// A node whose state is found damaged the first few times that it is opened.
    pub async fn try_start_damaged(&self, name: &str, times: u32) -> Result<Member, StartError> {
        self.try_start_over(name, registry(&[1]), None, times).await
    }

    /// The process before may not have let go of the port yet.
    async fn listen(&self, address: &str) -> Box<dyn environment::Listener> {
        let bound = timeout(&self.environment, PATIENCE, async {
            loop {
                if let Ok(listener) = self.environment.network.bind(address).await {
                    return listener;
                }
                self.environment.sleep(Duration::from_millis(10)).await;
            }
        });
        bound.await.expect("a port")
    }

    /// A node comes back elsewhere.
    pub fn moves(&self, name: &str) {
        self.addresses.lock().unwrap().remove(name);
    }

    async fn try_start_over(
        &self,
        name: &str,
        registry: Registry,
        join: Option<&str>,
        damaged: u32,
    ) -> Result<Member, StartError> {
        // Where it was before, as a real one would be: nodes that all stand before an entry are told of no new address.
        let before = self.addresses.lock().unwrap().get(name).cloned();
        let listener = self.listen(before.as_deref().unwrap_or("127.0.0.1:0")).await;
        let peer = listener.local_addr().to_string();
        self.addresses.lock().unwrap().insert(name.to_owned(), peer.clone());
        let config = Config {
            name: name.to_owned(),
            data: self.data(name),
            peer_address: peer.clone(),
            http_address: "127.0.0.1:1".to_owned(),
            join: join.map(str::to_owned),
            registry,
            level_max: machine::LEVEL_MAX,
            log: Default::default(),
            state: Default::default(),
            streams: Default::default(),
            upkeep: self.upkeep,
            retention: Default::default(),
        };
        let damaged = AtomicU32::new(damaged);
        let backend = move |directory: &Path| {
            let fewer = |left: u32| left.checked_sub(1);
            if damaged
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer)
                .is_ok()
            {
                return Err(store::state::Error::Damaged {
                    directory: directory.to_owned(),
                    detail: "a test".to_owned(),
                });
            }
            let backend = FjallBackend::open(directory, FjallOptions::default())?;
            Ok(Arc::new(backend) as Arc<dyn store::state::Backend>)
        };
        let node = Node::start(config, self.environment.clone(), backend, listener).await?;
        Ok(Member {
            cluster: node.cluster(),
            node,
            peer,
        })
    }

    /// Waits until a node asks to be started again, and does so; gives the reason too.
    pub async fn start_again(&self, name: &str, member: Member) -> (Member, String) {
        let ending = timeout(&self.environment, PATIENCE, member.node.ended()).await;
        let reason = match ending.expect("the node ends by itself") {
            Ending::Restart(reason) => reason,
            Ending::Stop(reason) => panic!("{name} stopped: {reason}"),
        };
        member.node.shutdown().await;
        drop(member.cluster);
        (self.start(name, &[1], None).await, reason)
    }

    /// Starts a node again as often as it asks for that, until it holds what the others hold.
    pub async fn catch_up(&self, name: &str, mut member: Member, others: &[&Member]) -> Member {
        loop {
            let reason = {
                let mut all = others.to_vec();
                all.push(&member);
                let (ended, agreed) = (member.node.ended(), self.agree(&all));
                futures::pin_mut!(ended, agreed);
                match futures::future::select(ended, agreed).await {
                    futures::future::Either::Right(((), _)) => None,
                    futures::future::Either::Left((Ending::Restart(reason), _)) => Some(reason),
                    futures::future::Either::Left((Ending::Stop(reason), _)) => panic!("{name} stopped: {reason}"),
                }
            };
            if reason.is_none() {
                return member;
            }
            member.node.shutdown().await;
            drop(member.cluster);
            member = self.start(name, &[1], None).await;
        }
    }

    /// Three voters with version 1 of the application, that could run those.
    pub async fn three_of(&self, versions: &[u32]) -> [Member; 3] {
        let a = self.start("a", versions, None).await;
        let b = self.start("b", versions, Some(&a.peer)).await;
        let c = self.start("c", versions, Some(&a.peer)).await;
        self.voters(&a, 3).await;
        let change = self.plan(&[&a, &b, &c], 1).await;
        self.switched(&a, change).await;
        [a, b, c]
    }

    /// Three voters with the application, and a total of some entries.
    pub async fn three(&self, adds: u64) -> [Member; 3] {
        let [a, b, c] = self.three_of(&[1]).await;
        for _ in 0..adds {
            self.add(&[&a, &b, &c], 1).await;
        }
        self.agree(&[&a, &b, &c]).await;
        [a, b, c]
    }

    pub async fn until(&self, member: &Member, what: &str, met: impl Fn(&Status, &Catalog) -> bool) {
        let waited = timeout(&self.environment, PATIENCE, async {
            while !met(&member.cluster.status(), &member.cluster.catalog()) {
                self.environment.sleep(Duration::from_millis(10)).await;
            }
        });
        if waited.await.is_err() {
            panic!("{what} did not come: {:#?}", member.cluster.status());
        }
    }

    pub async fn voters(&self, member: &Member, count: usize) {
        let votes = |status: &Status| status.members.iter().filter(|member| member.voter).count();
        self.until(member, "the voters", |status, catalog| {
            votes(status) == count && catalog.voters.len() == count
        })
        .await;
    }

    /// At the leader, whoever that is by then.
    pub async fn propose(&self, members: &[&Member], body: Body) -> Decision {
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

    pub async fn plan(&self, members: &[&Member], version: u32) -> ChangeId {
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

    pub async fn switched(&self, member: &Member, change: ChangeId) {
        let done = |stage| matches!(stage, Stage::Switched | Stage::Finalized);
        self.until(member, "the switch", |_, catalog| {
            catalog.changes.get(&change).is_some_and(|it| done(it.stage))
        })
        .await;
    }

    pub async fn add(&self, members: &[&Member], add: u64) -> String {
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
    pub async fn agree(&self, members: &[&Member]) {
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
        if agreed.await.is_err() {
            let seen: Vec<_> = members.iter().map(|member| member.cluster.status()).collect();
            panic!("they did not come to the same index: {seen:#?}");
        }
    }
}

pub fn manifest(version: u32) -> Manifest {
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

pub async fn total(member: &Member, consistency: Consistency) -> (Index, String) {
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

pub async fn stop(member: Member) {
    member.node.shutdown().await;
    drop(member.cluster);
}
