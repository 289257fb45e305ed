//! Asks for what keeps a node sound beside its work: snapshots, scans, and the way to a snapshot of another node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use environment::Environment;
use environment::channel::{mpsc, oneshot};
use environment::measure::Counter;
use machine::{ClusterId, Index, LEVEL_MAX, NodeId, Scanned};
use store::snapshot::Header;
use tracing::{info, warn};

use crate::applier::{Order, RowsAsOf};
use crate::calls::Offer;
use crate::condition::Condition;
use crate::limits::REBUILD_RETRY;
use crate::peer::frames::{self, Hello};
use crate::published::Published;
use crate::repair::{Source, settle};
use crate::retained::Retained;
use crate::snapshots::{Keeper, Piece, Trouble};

/// Asks for snapshots and scans, and takes snapshots from others. Clones share it.
#[derive(Clone)]
pub struct Upkeep(Arc<Shared>);

struct Shared {
    environment: Environment,
    cluster: ClusterId,
    node: NodeId,
    keeper: Keeper,
    retained: Retained,
    condition: Condition,
    published: Arc<Published>,
    orders: mpsc::UnboundedSender<Order>,
    fetching: AtomicBool,
    counts: UpkeepCounts,
}

/// What was done so far in this life of the node.
#[derive(Debug, Default)]
pub struct UpkeepCounts {
    /// Snapshots made.
    pub snapshots: Counter,
    /// Scans that found all in order.
    pub scans: Counter,
    /// Scans that did not.
    pub scans_failed: Counter,
}

impl Upkeep {
    /// For a node.
    pub fn new(
        environment: Environment,
        identity: (ClusterId, NodeId),
        retained: Retained,
        condition: Condition,
        published: Arc<Published>,
        orders: mpsc::UnboundedSender<Order>,
    ) -> Upkeep {
        Upkeep(Arc::new(Shared {
            environment,
            cluster: identity.0,
            node: identity.1,
            keeper: retained.keeper().clone(),
            retained,
            condition,
            published,
            orders,
            fetching: AtomicBool::new(false),
            counts: UpkeepCounts::default(),
        }))
    }

    /// This node's snapshots.
    pub fn keeper(&self) -> &Keeper {
        &self.0.keeper
    }

    /// What was done so far.
    pub(crate) fn counts(&self) -> &UpkeepCounts {
        &self.0.counts
    }

    /// This node's condition.
    pub fn condition(&self) -> &Condition {
        &self.0.condition
    }

    /// The newest snapshot if it is as of `at_least` or later, or else one that is made now.
    ///
    /// # Errors
    /// A text that says why there is none.
    pub async fn snapshot(&self, at_least: Index) -> Result<Arc<Header>, String> {
        if let Some(newest) = self.0.keeper.newest().filter(|header| header.index >= at_least) {
            let (keeper, header) = (self.0.keeper.clone(), newest.clone());
            if self.work("snapshot look", move || Ok(keeper.is_whole(&header))).await? {
                return Ok(newest);
            }
        }
        self.make().await
    }

    /// Makes a snapshot now.
    ///
    /// # Errors
    /// A text that says why there is none.
    pub async fn make(&self) -> Result<Arc<Header>, String> {
        // Before older ones go for it.
        self.look_what_is_kept().await;
        let (done, wait) = oneshot::channel();
        self.0.orders.send(Order::Snapshot(done)).map_err(|_| stopping())?;
        let made = self.settle(wait.await).map_err(|trouble| trouble.to_string());
        if made.is_ok() {
            // A change may have switched before it was made, and the log goes only now.
            self.look_what_is_kept().await;
        }
        made.inspect(|_| self.0.counts.snapshots.increment())
    }

    /// Decides anew what is kept for replay. That it cannot be is no reason to make no snapshot.
    async fn look_what_is_kept(&self) {
        let retained = self.0.retained.clone();
        if !retained.is_on() {
            return;
        }
        let catalog = self.0.published.catalog();
        if let Err(error) = self.work("retain look", move || retained.look(&catalog)).await {
            warn!(error, "what is kept for replay could not be decided");
        }
    }

    /// Lets go of what is kept for replay: there is no room for it. Says whether anything was.
    pub async fn keep_nothing(&self) -> bool {
        let retained = self.0.retained.clone();
        let holds = retained.holds();
        if holds && let Err(error) = self.work("retain none", move || retained.let_go()).await {
            warn!(error, "what is kept for replay could not be let go of");
        }
        holds
    }

    /// The rows as of the next checkpoint, and its entry.
    ///
    /// # Errors
    /// A text that says why there are none.
    pub async fn view(&self) -> Result<RowsAsOf, String> {
        let (done, wait) = oneshot::channel();
        self.0.orders.send(Order::View(done)).map_err(|_| stopping())?;
        self.settle(wait.await).map_err(|trouble| trouble.to_string())
    }

    /// Reads everything on disk again and checks it.
    ///
    /// # Errors
    /// See [`Trouble`]; damage ends the node, too.
    pub async fn scan(&self) -> Result<Scanned, Trouble> {
        let scanned = self.scan_all().await;
        match &scanned {
            Ok(_) => self.0.counts.scans.increment(),
            Err(_) => self.0.counts.scans_failed.increment(),
        }
        scanned
    }

    async fn scan_all(&self) -> Result<Scanned, Trouble> {
        let (done, wait) = oneshot::channel();
        let unsent = |_| Trouble::Failed(stopping());
        self.0.orders.send(Order::Scan(done)).map_err(unsent)?;
        let scanned = self.settle(wait.await)?;
        // Last, because a snapshot that is damaged costs nothing but making it anew.
        if let Err(error) = self.check_snapshots().await {
            warn!(error, "the newest snapshot is damaged: making a new one");
            self.make().await.map_err(Trouble::Failed)?;
            self.check_snapshots().await.map_err(Trouble::Failed)?;
        }
        Ok(scanned)
    }

    fn settle<T>(&self, answer: Result<Result<T, Trouble>, oneshot::error::RecvError>) -> Result<T, Trouble> {
        let answer = answer.unwrap_or_else(|_| Err(Trouble::Failed(stopping())));
        if let Err(trouble) = &answer {
            match trouble {
                Trouble::Damaged(reason) => self.0.condition.damaged(reason),
                Trouble::LogDamaged(reason) => self.0.condition.log_damaged(reason),
                Trouble::Failed(_) => {}
            }
        }
        answer
    }

    async fn check_snapshots(&self) -> Result<(), String> {
        let keeper = self.0.keeper.clone();
        self.work("snapshot check", move || {
            keeper.check().map_err(|error| error.to_string())
        })
        .await
    }

    /// A piece of a snapshot.
    ///
    /// # Errors
    /// A text for whoever asked.
    pub async fn read(&self, piece: Piece) -> Result<Vec<u8>, String> {
        let keeper = self.0.keeper.clone();
        self.work("snapshot read", move || keeper.read(&piece)).await
    }

    /// Does what blocks on a thread of its own.
    ///
    /// # Errors
    /// As the work, or that the node is stopping.
    pub async fn work<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let (done, wait) = oneshot::channel();
        self.0.environment.spawn_worker(name, async move {
            // Whoever asked may have gone.
            done.send(work()).ok();
        });
        wait.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// The leader has purged what this node lacks: takes its snapshot, unless it is on the way already. Gives how far
    /// this node has come.
    pub fn offered(&self, offer: Offer) -> Index {
        let applied = self.0.published.facts().applied;
        if applied < offer.index && !self.0.fetching.swap(true, Ordering::AcqRel) {
            let upkeep = self.clone();
            self.0.environment.spawn_worker("snapshot fetch", async move {
                upkeep.fetch(offer).await;
            });
        }
        applied
    }

    async fn fetch(&self, offer: Offer) {
        let shared = &*self.0;
        info!(applied = %shared.published.facts().applied, offered = %offer.index, "this node lags behind the log");
        let hello = hello(shared.cluster, shared.node);
        let fetched = async {
            let mut source = Source::connect(&shared.environment, &offer.from, &hello).await?;
            let header = source.bundle(shared.condition.data(), offer.index).await?;
            settle(&*shared.environment.disk, shared.condition.data())?;
            Ok::<_, String>(header)
        };
        match fetched.await {
            // The leader may have had the entries after all, and the node goes on from there.
            Ok(header) if header.index <= shared.published.facts().applied => {
                info!(index = %header.index, "a snapshot has come too late to be of use");
                shared.fetching.store(false, Ordering::Release);
            }
            Ok(header) => shared.condition.install(header.index),
            Err(error) => {
                warn!(error, "a snapshot could not be fetched: the leader will offer it again");
                // What made it fail is hardly gone at once, and the leader offers it five times a second.
                shared.environment.sleep(REBUILD_RETRY).await;
                shared.fetching.store(false, Ordering::Release);
            }
        }
    }
}

/// Why nothing came of what was asked for when the node went meanwhile.
pub const STOPPING: &str = "the node is stopping";

fn stopping() -> String {
    STOPPING.to_owned()
}

/// How a node introduces itself to its peers.
pub fn hello(cluster: ClusterId, node: NodeId) -> Hello {
    Hello {
        version_min: frames::VERSION_MIN,
        version_max: frames::VERSION_MAX,
        cluster,
        node,
        level_max: LEVEL_MAX,
        peer_address: String::new(),
    }
}
