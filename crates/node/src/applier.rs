//! Applies committed entries in order, on a thread of its own, and answers those who proposed them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use environment::channel::{mpsc, oneshot};
use environment::{Disk, Environment, Moment};
use host::{Host, RehearsalHost};
use machine::{Index, Level, Machine, Output, RowSums, Scanned, Stop, World};
use parking_lot::RwLock;
use store::EntryTxn;
use store::log::Log;
use store::snapshot::Header;
use store::state::{Backend, State, View};
use store::streams::{Streams, Trimmed};
use tracing::info;

use crate::checkpoint::{self, Done, MembersRow, Plan};
use crate::limits::{APPEND_BYTES_MAX, APPLY_BATCH_MAX, CHECKPOINT_INTERVAL, PARK_RETRY, REHEARSAL_BEHIND};
use crate::measures::Measures;
use crate::progress::Progress;
use crate::published::{Facts, Published};
use crate::quarantine::Quarantine;
use crate::raft::{Applied, Batch, Committed, Queue, Responder, What};
use crate::snapshots::{Keeper, Trouble};

/// The machine with its tables: written by the applier, read by many.
pub struct Held {
    /// The machine.
    pub machine: Machine,
    /// Its tables.
    pub state: State,
}

/// All that the applier works with.
pub struct Applier {
    /// The world.
    pub environment: Environment,
    /// The machine with its tables.
    pub held: Arc<RwLock<Held>>,
    /// Streams.
    pub streams: Streams,
    /// The log, for entries that the queue had no room for.
    pub log: Log,
    /// How far the log is durable here.
    pub flushed: Arc<Progress>,
    /// Where the results are shown.
    pub published: Arc<Published>,
    /// What is to be applied.
    pub queue: Queue,
    /// Runs commands.
    pub applications: Host,
    /// Converts documents.
    pub converter: Host,
    /// Tries versions that are to come.
    pub rehearsal: RehearsalHost,
    /// The highest level that is known here.
    pub level_max: Level,
    /// The members as of the last entry that set them.
    pub members: Option<MembersRow>,
    /// The entry at which this node may not fail again.
    pub quarantine: Quarantine,
    /// Why it is or was last parked.
    pub parked_for: Option<String>,
    /// Bytes of written rows after which a checkpoint is due.
    pub checkpoint_bytes: usize,
    /// What the machine's own rows sum up to on disk.
    pub sums: RowSums,
    /// Makes snapshots.
    pub keeper: Keeper,
    /// Bytes of entries applied since the start.
    pub applied_bytes: Arc<AtomicU64>,
    /// What is counted and timed.
    pub measures: Arc<Measures>,
}

/// All rows, and the entry as of which they are.
pub type RowsAsOf = (Index, Arc<dyn View>);

/// What the applier is told beside entries.
pub enum Order {
    /// A checkpoint is written; or it failed.
    Checkpointed(Result<Done, String>),
    /// Make a snapshot of the next checkpoint.
    Snapshot(oneshot::Sender<Result<Arc<Header>, Trouble>>),
    /// Check everything on disk as of the next checkpoint.
    Scan(oneshot::Sender<Result<Scanned, Trouble>>),
    /// Give the rows as of the next checkpoint.
    View(oneshot::Sender<Result<RowsAsOf, Trouble>>),
    /// A snapshot or scan has come to its end, and needs the files of streams no longer.
    Looked,
    /// Write a checkpoint and stop.
    Stop(oneshot::Sender<()>),
}

/// Why the applier's loop ended.
enum End {
    Stopped,
    Halted(String),
}

impl Applier {
    /// Works until told to stop, or until this node is broken; then says why.
    pub async fn run(
        mut self,
        mut orders: mpsc::UnboundedReceiver<Order>,
        orders_back: mpsc::UnboundedSender<Order>,
    ) -> Result<(), String> {
        let mut checkpoints = Checkpoints {
            running: false,
            last: self.environment.clock.now(),
            applied_bytes: self.applied_bytes.load(Ordering::Relaxed),
            trimmed: Trimmed::default(),
            orders: orders_back,
            wishes: Wishes::default(),
        };
        let queue = self.queue.clone();
        loop {
            let end = futures::select_biased! {
                order = futures::FutureExt::fuse(orders.recv()) => match order {
                    Some(order) => self.obey(order, &mut checkpoints).await,
                    None => Some(End::Stopped),
                },
                batch = futures::FutureExt::fuse(Box::pin(queue.next(APPLY_BATCH_MAX))) => {
                    self.apply_batch(batch, &mut orders, &mut checkpoints).await
                },
            };
            match end {
                None => {}
                Some(End::Stopped) => return Ok(()),
                Some(End::Halted(reason)) => return Err(reason),
            }
            self.checkpoint_if_due(&mut checkpoints)?;
        }
    }

    /// Applies a batch; parks in the middle of it for as long as an entry needs.
    async fn apply_batch(
        &mut self,
        batch: Batch,
        orders: &mut mpsc::UnboundedReceiver<Order>,
        checkpoints: &mut Checkpoints,
    ) -> Option<End> {
        let last = match &batch {
            Batch::Entries(entries) => entries.last().map(|committed| committed.index).unwrap_or_default(),
            Batch::InLog(_, last) => *last,
        };
        if let Some(end) = self.wait_for_log(last, orders, checkpoints).await {
            return Some(end);
        }
        if self.rehearsal.is_open() && self.queue.waiting().0 > REHEARSAL_BEHIND {
            self.rehearsal.pass_by();
        }
        let mut rest = match self.entries_of(batch) {
            Ok(entries) => entries,
            Err(reason) => return Some(End::Halted(reason)),
        };
        loop {
            match self.apply_some(&mut rest) {
                Ok(()) => {
                    if self.parked_for.take().is_some() {
                        self.measures.applying_again(last);
                    }
                    return None;
                }
                Err(Stop::Halt(reason)) => return Some(End::Halted(reason)),
                Err(Stop::Fault(reason)) => {
                    let index = rest.first().map(|committed| committed.index).unwrap_or_default();
                    self.quarantine.note(index, &reason);
                    return Some(End::Halted(format!("this program failed at entry {index}: {reason}")));
                }
                Err(Stop::Diverged { entry, by, reason }) => {
                    return Some(match self.quarantine.note_skip(entry, by) {
                        // Noted first: once it is rebuilt it may meet the entry again, and must not try it.
                        Ok(()) => {
                            self.quarantine.condition().diverged(&reason);
                            End::Stopped
                        }
                        Err(error) => End::Halted(format!("{reason}; and that could not be noted: {error}")),
                    });
                }
                Err(Stop::Park(reason)) => {
                    if let Some(end) = self.park(reason, orders, checkpoints).await {
                        return Some(end);
                    }
                }
            }
        }
    }

    /// The entries of a batch, read from the log again where the queue had no room for them.
    fn entries_of(&self, batch: Batch) -> Result<Vec<Committed>, String> {
        let (mut next, last) = match batch {
            Batch::Entries(entries) => return Ok(entries),
            Batch::InLog(first, last) => (first, last),
        };
        let mut entries = Vec::new();
        while next <= last {
            let records = self
                .log
                .read(next, last.next(), APPEND_BYTES_MAX)
                .map_err(|error| error.to_string())?;
            if records.is_empty() {
                return Err(format!("entry {next} is committed and not in the log"));
            }
            for record in records {
                next = record.index.next();
                entries.push(Committed::read(record).map_err(|error| error.to_string())?);
            }
        }
        Ok(entries)
    }

    /// Nothing is applied that this node could lose: its own log must hold it first.
    async fn wait_for_log(
        &mut self,
        last: Index,
        orders: &mut mpsc::UnboundedReceiver<Order>,
        checkpoints: &mut Checkpoints,
    ) -> Option<End> {
        while self.flushed.get() < last {
            if self.flushed.is_closed() {
                return Some(End::Halted("the log could not be written".to_owned()));
            }
            let flushed = self.flushed.clone();
            let order = {
                let (reached, order) = (flushed.reach(last), orders.recv());
                futures::pin_mut!(reached, order);
                match futures::future::select(reached, order).await {
                    futures::future::Either::Left(_) => continue,
                    futures::future::Either::Right((order, _)) => order,
                }
            };
            let end = match order {
                Some(order) => self.obey(order, checkpoints).await,
                None => Some(End::Stopped),
            };
            if end.is_some() {
                return end;
            }
        }
        None
    }

    /// Applies entries from the front of `rest` under one hold of the state; leaves the one that did not go.
    fn apply_some(&mut self, rest: &mut Vec<Committed>) -> Result<(), Stop> {
        let mut answers: Vec<(Responder, Applied)> = Vec::with_capacity(rest.len());
        let mut applied = 0;
        let held = self.held.clone();
        let mut guard = held.write();
        let mut stopped = Ok(());
        let mut begun = self.measures.clock.now();
        for committed in rest.iter_mut() {
            match self.apply_one(&mut guard, committed) {
                Ok(answer) => {
                    begun = self.measures.entry_applied(committed, begun, &answer);
                    answers.push((std::mem::replace(&mut committed.responder, Responder::nobody()), answer));
                    applied += 1;
                }
                Err(stop) => {
                    stopped = Err(stop);
                    break;
                }
            }
        }
        rest.drain(..applied);
        self.measures.apply.batch.size(applied);
        self.measures.apply.fuel.set(self.applications.fuel_spent_in_all());
        // Events are there for readers before anybody hears that their commands were applied.
        if let Err(error) = self.streams.flush() {
            stopped = Err(Stop::Halt(error.to_string()));
        }
        self.streams.trim(guard.machine.stream_starts());
        let parked = match &stopped {
            Err(Stop::Park(reason)) => Some(reason.clone()),
            Ok(()) | Err(Stop::Halt(_) | Stop::Fault(_) | Stop::Diverged { .. }) => None,
        };
        let rehearsed = self.rehearsal.take_reports();
        if !rehearsed.is_empty() {
            self.published.keep_rehearsed(rehearsed);
        }
        let machine = &guard.machine;
        let facts = Facts {
            applied: machine.applied(),
            time: machine.time(),
            digest: machine.digest(),
            catalog: machine.catalog().clone(),
            consumers: machine.consumers().clone(),
            comparison: machine.comparison().clone(),
            marked: machine.marked(),
            failed_at: Some(machine.applied().next())
                .filter(|next| parked.is_some() && self.quarantine.stands_at(*next)),
            parked,
        };
        drop(guard);
        if !matches!(stopped, Err(Stop::Halt(_) | Stop::Fault(_) | Stop::Diverged { .. })) {
            self.published.publish(facts);
            for (responder, answer) in answers {
                responder.send(|| answer);
            }
        }
        stopped
    }

    fn apply_one(&mut self, held: &mut Held, committed: &mut Committed) -> Result<Applied, Stop> {
        let (index, term) = (committed.index, committed.term);
        let machine = &mut held.machine;
        if index <= machine.applied() {
            // Committed again after a restart from an older saved position.
            return Ok(Applied::Unknown(format!("entry {index} was applied before")));
        }
        if let What::Machine(payload) = &committed.what {
            self.applied_bytes.fetch_add(payload.len() as u64, Ordering::Relaxed);
        }
        match &committed.what {
            What::Blank => {
                machine.apply_blank(index);
                Ok(Applied::Nothing)
            }
            What::Members(membership) => {
                let row = checkpoint::members_row(index, term, membership.clone());
                let (voters, learners) = checkpoint::members_of(membership);
                machine.apply_members(index, voters, learners);
                self.members = row;
                Ok(Applied::Nothing)
            }
            What::Machine(payload) => {
                let payload = payload.clone();
                let output = self.apply_machine(held, index, &payload)?;
                Ok(Applied::Output(output))
            }
        }
    }

    fn apply_machine(&mut self, held: &mut Held, index: Index, payload: &[u8]) -> Result<Output, Stop> {
        let mut txn = EntryTxn::new(&mut held.state);
        let mut world = World {
            txn: &mut txn,
            applications: &mut self.applications,
            converter: &mut self.converter,
            rehearser: Some(&mut self.rehearsal),
            level_max: self.level_max,
        };
        let machine = &mut held.machine;
        let output = match self.queue.skip_of(index) {
            Some((by, skip)) => self
                .quarantine
                .skip(index, by, || machine.skip(index, payload, (by, &skip), self.level_max))?,
            None => self
                .quarantine
                .guard(index, || machine.apply(index, payload, &mut world))?,
        };
        self.quarantine.passed(index);
        txn.append_events(held.machine.time(), &mut self.streams)
            .map_err(|error| Stop::Halt(error.to_string()))?;
        Ok(output)
    }

    /// Waits until it is worth trying again; obeys orders meanwhile.
    async fn park(
        &mut self,
        reason: String,
        orders: &mut mpsc::UnboundedReceiver<Order>,
        checkpoints: &mut Checkpoints,
    ) -> Option<End> {
        // Told once for each reason, however often it is tried again.
        if self.parked_for.as_ref() != Some(&reason) {
            self.measures.parked(self.published.facts().applied, &reason);
            self.parked_for = Some(reason);
        }
        let published = self.published.clone();
        let seen = published.changed.get();
        let woken = published.changed.until(|| published.changed.get() != seen);
        let retry = self.environment.clone();
        let waited = async move {
            let sleep = retry.sleep(PARK_RETRY);
            futures::pin_mut!(woken, sleep);
            futures::future::select(woken, sleep).await;
        };
        futures::pin_mut!(waited);
        let order = orders.recv();
        futures::pin_mut!(order);
        match futures::future::select(waited, order).await {
            futures::future::Either::Left(_) => None,
            futures::future::Either::Right((Some(order), _)) => self.obey(order, checkpoints).await,
            futures::future::Either::Right((None, _)) => Some(End::Stopped),
        }
    }

    async fn obey(&mut self, order: Order, checkpoints: &mut Checkpoints) -> Option<End> {
        match order {
            Order::Checkpointed(Ok(Done { written, plan })) => {
                match plan {
                    Some(plan) => self.look_at(checkpoints, plan, written.view()),
                    // Nothing is applied yet: there is nothing to look at.
                    None => std::mem::take(&mut checkpoints.wishes.under_way).fail(),
                }
                let retired = self.held.write().state.finish(written);
                let removal = self.streams.remove_trimmed(&std::mem::take(&mut checkpoints.trimmed));
                // Giving back the memory of a large checkpoint, or files, takes time that apply does not have.
                self.environment.spawn_worker("retire", async move {
                    drop(retired);
                    checkpoint::remove(removal);
                });
                checkpoints.running = false;
                checkpoints.last = self.environment.clock.now();
            }
            Order::Checkpointed(Err(reason)) => return Some(End::Halted(reason)),
            Order::Snapshot(done) => checkpoints.wishes.waiting.snapshots.push(done),
            Order::Looked => {
                let removal = self.streams.remove_postponed();
                self.environment
                    .spawn_worker("retire", async move { checkpoint::remove(removal) });
            }
            Order::Scan(done) => checkpoints.wishes.waiting.scans.push(done),
            Order::View(done) => checkpoints.wishes.waiting.views.push(done),
            Order::Stop(done) => {
                let end = match self.last_checkpoint(checkpoints) {
                    Ok(()) => End::Stopped,
                    Err(reason) => End::Halted(reason),
                };
                done.send(()).ok();
                return Some(end);
            }
        }
        // Also while parked: what was asked for does not wait for an entry.
        self.checkpoint_if_due(checkpoints).err().map(End::Halted)
    }

    /// Makes a snapshot of a checkpoint, or only checks everything, on a thread that may take its time.
    fn look_at(&self, checkpoints: &mut Checkpoints, plan: Plan, view: Arc<dyn View>) {
        let wished = std::mem::take(&mut checkpoints.wishes.under_way);
        let (keeper, log) = (self.keeper.clone(), self.log.clone());
        let backend = self.held.read().state.backend();
        let disk = self.environment.disk.clone();
        let orders = checkpoints.orders.clone();
        self.environment.spawn_worker("snapshot", async move {
            // Whoever asked may have gone.
            for done in wished.views {
                done.send(Ok((plan.index, view.clone()))).ok();
            }
            if !wished.snapshots.is_empty() {
                let made = keeper.make(&plan, &*view);
                for done in wished.snapshots {
                    done.send(made.clone()).ok();
                }
            }
            if !wished.scans.is_empty() {
                let scanned = scan(&plan, &*view, &*backend, &log, &*disk);
                for done in wished.scans {
                    done.send(scanned.clone()).ok();
                }
            }
            drop(plan);
            // The applier may have stopped meanwhile.
            orders.send(Order::Looked).ok();
        });
    }

    fn checkpoint_if_due(&mut self, checkpoints: &mut Checkpoints) -> Result<(), String> {
        if checkpoints.running {
            return Ok(());
        }
        let bytes = self.held.read().state.dirty_bytes();
        self.measures.apply.dirty_bytes.set(bytes as u64);
        let waited = self.environment.clock.now() - checkpoints.last;
        let wished = !checkpoints.wishes.waiting.is_empty();
        // A row that is written again and again counts once, and each of its commands would be applied again.
        let applied = self.applied_bytes.load(Ordering::Relaxed);
        let to_apply_again = usize::try_from(applied - checkpoints.applied_bytes).unwrap_or(usize::MAX);
        let is_large = bytes.max(to_apply_again) >= self.checkpoint_bytes;
        let is_due = is_large || (bytes > 0 && waited >= CHECKPOINT_INTERVAL);
        // Whoever trims a stream wants room, and may do nothing else for long.
        if !wished && !is_due && !self.streams.is_trimmed_anew() {
            return Ok(());
        }
        let Some(job) = self.begin_checkpoint(wished)? else {
            return Ok(());
        };
        if wished {
            checkpoints.wishes.under_way = std::mem::take(&mut checkpoints.wishes.waiting);
        }
        checkpoints.running = true;
        checkpoints.applied_bytes = applied;
        checkpoints.trimmed = self.streams.trimmed();
        let (orders, measures) = (checkpoints.orders.clone(), self.measures.clone());
        self.environment.spawn_worker("checkpoint", async move {
            // The applier may have stopped meanwhile: then nobody needs to know.
            let written = measures.checkpoint(|| job.write());
            orders.send(Order::Checkpointed(written)).ok();
        });
        Ok(())
    }

    fn begin_checkpoint(&mut self, planned: bool) -> Result<Option<checkpoint::Job>, String> {
        let applied = self.published.facts().applied;
        let term = self.log.term_at(applied).filter(|_| planned);
        checkpoint::begin(
            &self.held,
            &mut self.streams,
            self.members.as_ref(),
            &mut self.sums,
            term,
        )
    }

    /// At a stop the thread may as well wait for the disk.
    fn last_checkpoint(&mut self, checkpoints: &Checkpoints) -> Result<(), String> {
        if checkpoints.running {
            info!("a checkpoint is under way: what came after it will be replayed from the log");
            return Ok(());
        }
        match self.begin_checkpoint(false)? {
            Some(job) => {
                let done = self.measures.checkpoint(|| job.write())?;
                drop(self.held.write().state.finish(done.written));
                let trimmed = self.streams.trimmed();
                checkpoint::remove(self.streams.remove_trimmed(&trimmed));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Reads everything that lies on disk as of a checkpoint and checks it.
fn scan(plan: &Plan, view: &dyn View, backend: &dyn Backend, log: &Log, disk: &dyn Disk) -> Result<Scanned, Trouble> {
    let (_, sums) = checkpoint::check_rows(view).map_err(Trouble::Damaged)?;
    backend.check_files().map_err(|error| match error {
        store::state::Error::Damaged { .. } => Trouble::Damaged(error.to_string()),
        store::state::Error::Format(_) | store::state::Error::Store { .. } => Trouble::Failed(error.to_string()),
    })?;
    plan.streams.check(disk)?;
    log.check().map_err(|error| match error {
        store::log::Error::Disk { .. } => Trouble::Failed(error.to_string()),
        store::log::Error::Format(_)
        | store::log::Error::Damaged { .. }
        | store::log::Error::Missing { .. }
        | store::log::Error::Purged { .. }
        | store::log::Error::Options(_) => Trouble::LogDamaged(error.to_string()),
    })?;
    Ok(Scanned {
        index: plan.index,
        rows: sums.rows,
    })
}

struct Checkpoints {
    running: bool,
    last: Moment,
    /// Bytes of entries applied when the last one began.
    applied_bytes: u64,
    /// What the one that runs makes durable of where streams begin.
    trimmed: Trimmed,
    orders: mpsc::UnboundedSender<Order>,
    wishes: Wishes,
}

/// Who wants something done with a checkpoint.
#[derive(Default)]
struct Wishes {
    /// With the next one.
    waiting: Wished,
    /// With the one that is being written.
    under_way: Wished,
}

#[derive(Default)]
struct Wished {
    snapshots: Vec<oneshot::Sender<Result<Arc<Header>, Trouble>>>,
    scans: Vec<oneshot::Sender<Result<Scanned, Trouble>>>,
    views: Vec<oneshot::Sender<Result<RowsAsOf, Trouble>>>,
}

impl Wished {
    fn fail(self) {
        let nothing = || Trouble::Failed("no entry has been applied here yet".to_owned());
        // Whoever asked may have gone.
        for done in self.snapshots {
            done.send(Err(nothing())).ok();
        }
        for done in self.scans {
            done.send(Err(nothing())).ok();
        }
        for done in self.views {
            done.send(Err(nothing())).ok();
        }
    }

    fn is_empty(&self) -> bool {
        self.snapshots.is_empty() && self.scans.is_empty() && self.views.is_empty()
    }
}
