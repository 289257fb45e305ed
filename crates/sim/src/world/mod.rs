//! The simulated world: one thread, one clock, and every wait an event in one queue.
//!
//! Each task belongs to a life: one run of one process. Killing a life drops all its tasks, wherever they wait. A task that
//! uses the disk runs ahead of the world's clock for as long as the disk would have taken: what it does afterwards, in the
//! same step, happens that much later.

mod backend;
mod clock;
mod dice;
mod disk;
mod life;
mod network;
mod trace;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use environment::{BoxFuture, Environment, enter};
use parking_lot::Mutex;

pub use backend::JournalBackend;
pub use clock::NodeClock;
pub use dice::Dice;
pub use disk::{DiskFault, SimDisk};
pub use life::{Birth, Life, LifeId};
pub use network::{Farewell, Host, Link, SimNetwork};
pub use trace::Trace;

/// Nanoseconds of simulated time since its beginning.
pub type Nanos = u64;
/// One second.
pub const SECOND: Nanos = 1_000_000_000;
/// One millisecond.
pub const MILLISECOND: Nanos = 1_000_000;
/// One microsecond.
pub const MICROSECOND: Nanos = 1_000;

/// What a step of a task takes, at least and at most.
const STEP_COST: (Nanos, Nanos) = (300, 2 * MICROSECOND);

/// A simulated world. Clones share it.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    core: Mutex<Core>,
    trace: Mutex<Trace>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct TaskId(u64);

/// When something happens; of what happens at once, chance decides the order.
type Key = (Nanos, u64, u64);

enum Event {
    Run(TaskId),
    Wake(Waker),
    Call(Box<dyn FnOnce(&World) + Send>),
}

struct Core {
    now: Nanos,
    /// How far the task that runs is ahead of `now`.
    ahead: Nanos,
    numbers: u64,
    dice: Dice,
    queue: BTreeMap<Key, Event>,
    tasks: BTreeMap<TaskId, Task>,
    lives: BTreeMap<LifeId, LifeState>,
    /// Panics that reached a task's edge.
    panics: Vec<String>,
    steps: u64,
}

struct Task {
    life: LifeId,
    name: &'static str,
    /// Absent while it runs.
    future: Option<BoxFuture<'static, ()>>,
    waker: Waker,
    /// A run of it is in the queue, or kept back.
    due: bool,
    /// Its thread is busy until then.
    free_at: Nanos,
}

struct LifeState {
    environment: Option<Environment>,
    /// Between a wake and the step that it leads to, at most.
    lag_max: Nanos,
    /// Stopped for a while, as by SIGSTOP; with the tasks that wait for it to go on.
    held: Option<Vec<TaskId>>,
}

struct TaskWaker {
    world: Weak<Inner>,
    task: TaskId,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if let Some(world) = self.world.upgrade() {
            World(world).make_due(self.task);
        }
    }
}

impl World {
    /// A world of that seed.
    #[must_use]
    pub fn new(seed: u64, trace: Trace) -> World {
        World(Arc::new(Inner {
            core: Mutex::new(Core {
                now: 0,
                ahead: 0,
                numbers: 0,
                dice: Dice::new(seed, "order"),
                queue: BTreeMap::new(),
                tasks: BTreeMap::new(),
                lives: BTreeMap::new(),
                panics: Vec::new(),
                steps: 0,
            }),
            trace: Mutex::new(trace),
        }))
    }

    /// The time, as the task that runs has it.
    #[must_use]
    pub fn now(&self) -> Nanos {
        let core = self.0.core.lock();
        core.now + core.ahead
    }

    /// The task that runs has waited for so long without giving way.
    pub fn spend(&self, time: Nanos) {
        self.0.core.lock().ahead += time;
    }

    /// Adds a line to the trace.
    pub fn trace(&self, what: fmt::Arguments<'_>) {
        let now = self.now();
        self.0.trace.lock().add(now, what);
    }

    /// Looks at the trace.
    pub fn with_trace<R>(&self, look: impl FnOnce(&Trace) -> R) -> R {
        look(&self.0.trace.lock())
    }

    /// Steps of tasks so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.0.core.lock().steps
    }

    /// Panics that reached a task's edge, once.
    #[must_use]
    pub fn take_panics(&self) -> Vec<String> {
        std::mem::take(&mut self.0.core.lock().panics)
    }

    /// Forgets all that is still to happen, so that nothing holds on to anything.
    pub fn clear(&self) {
        let mut core = self.0.core.lock();
        let left = (
            std::mem::take(&mut core.queue),
            std::mem::take(&mut core.tasks),
            std::mem::take(&mut core.lives),
        );
        drop(core);
        drop(left);
    }

    /// Does something at a time.
    pub fn call_at(&self, at: Nanos, call: impl FnOnce(&World) + Send + 'static) {
        self.0.core.lock().insert(at, Event::Call(Box::new(call)));
    }

    /// Lets the next thing happen, if it happens before `end`, and gives the life and name of the task that was run.
    pub fn step(&self, end: Nanos) -> Step {
        let mut core = self.0.core.lock();
        let Some(entry) = core.queue.first_entry() else {
            return Step::Nothing;
        };
        let at = entry.key().0;
        if at >= end {
            core.now = core.now.max(end);
            return Step::Nothing;
        }
        let event = entry.remove();
        core.now = core.now.max(at);
        drop(core);
        match event {
            Event::Run(task) => self.run(task),
            Event::Wake(waker) => {
                waker.wake();
                Step::Other
            }
            Event::Call(call) => {
                call(self);
                Step::Other
            }
        }
    }

    fn run(&self, id: TaskId) -> Step {
        let mut core = self.0.core.lock();
        let now = core.now;
        let Core { tasks, lives, .. } = &mut *core;
        let Some(task) = tasks.get_mut(&id) else {
            return Step::Other;
        };
        let (life, name, free_at) = (task.life, task.name, task.free_at);
        let Some(state) = lives.get_mut(&life) else {
            return Step::Other;
        };
        if let Some(held) = &mut state.held {
            held.push(id);
            return Step::Other;
        }
        if free_at > now {
            core.insert(free_at, Event::Run(id));
            return Step::Other;
        }
        task.due = false;
        let (Some(mut future), Some(environment)) = (task.future.take(), state.environment.clone()) else {
            return Step::Other;
        };
        let waker = task.waker.clone();
        core.ahead = 0;
        core.steps += 1;
        drop(core);
        self.0
            .trace
            .lock()
            .add(now, format_args!("run {} {} {name}", life.0, id.0));
        let mut context = Context::from_waker(&waker);
        let polled = enter(&environment, || {
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)))
        });
        self.after_run(id, future, polled);
        Step::Ran(life, name)
    }

    fn after_run(&self, id: TaskId, future: BoxFuture<'static, ()>, polled: Result<Poll<()>, Box<dyn Any + Send>>) {
        let mut core = self.0.core.lock();
        let cost = core.dice.between(STEP_COST.0, STEP_COST.1);
        let free_at = core.now + core.ahead + cost;
        let name = core.tasks.get(&id).map_or("a task", |task| task.name);
        let rest = match polled {
            // Its life may have ended meanwhile.
            Ok(Poll::Pending) => match core.tasks.get_mut(&id) {
                Some(task) => {
                    task.future = Some(future);
                    task.free_at = free_at;
                    None
                }
                None => Some(future),
            },
            Ok(Poll::Ready(())) => {
                core.tasks.remove(&id);
                Some(future)
            }
            Err(panic) => {
                core.tasks.remove(&id);
                core.panics.push(format!("{name}: {}", text_of(&*panic)));
                Some(future)
            }
        };
        drop(core);
        // What is dropped may wake others.
        drop(rest);
        self.0.core.lock().ahead = 0;
    }

    fn make_due(&self, id: TaskId) {
        let mut core = self.0.core.lock();
        let Core {
            tasks,
            lives,
            dice,
            now,
            ahead,
            ..
        } = &mut *core;
        let Some(task) = tasks.get_mut(&id) else { return };
        if task.due {
            return;
        }
        let Some(life) = lives.get(&task.life) else { return };
        task.due = true;
        let at = (*now + *ahead + dice.below(life.lag_max + 1)).max(task.free_at);
        core.insert(at, Event::Run(id));
    }

    /// Starts a task of a life; nothing when the life has ended.
    fn spawn(&self, life: LifeId, name: &'static str, future: BoxFuture<'static, ()>) {
        let mut core = self.0.core.lock();
        if !core.lives.contains_key(&life) {
            drop(core);
            drop(future);
            return;
        }
        core.numbers += 1;
        let id = TaskId(core.numbers);
        let waker = Waker::from(Arc::new(TaskWaker {
            world: Arc::downgrade(&self.0),
            task: id,
        }));
        let task = Task {
            life,
            name,
            future: Some(future),
            waker,
            due: false,
            free_at: 0,
        };
        core.tasks.insert(id, task);
        drop(core);
        self.make_due(id);
    }
}

impl Core {
    fn insert(&mut self, at: Nanos, event: Event) -> Key {
        self.numbers += 1;
        let key = (at.max(self.now), self.dice.draw(), self.numbers);
        self.queue.insert(key, event);
        key
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is nothing to do before the end.
    Nothing,
    /// A task of that life and name ran.
    Ran(LifeId, &'static str),
    /// Something else happened.
    Other,
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic".to_owned())
}
