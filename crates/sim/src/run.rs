//! One run: a script on a fresh world, with all oracles looking.

mod acts;
mod replayed;
mod rest;
mod shows;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clients::{Sender, Shared};
use crate::fleet::{Fleet, Number, outsider};
use crate::operator::Operator;
use crate::oracles::watch::{Finding, Watch};
use crate::oracles::{Violation, complaints};
use crate::reader::{self, Consumed};
use crate::script::{Script, Statement};
use crate::world::{Dice, Host, Life, Nanos, SECOND, SimNetwork, Step, Trace, World};

/// The operator's machine; the clients' follow.
const OPERATOR: Host = Host(100);
/// The machine of the consumer.
const READER: Host = Host(99);
/// For setting the cluster up.
const SET_UP_MAX: Nanos = 60 * SECOND;
/// For a condition that a script waits for.
const UNTIL_MAX: Nanos = 120 * SECOND;
/// A process that has ended by itself is started again after so long, as a service manager does.
const START_AGAIN: Nanos = 2 * SECOND;
/// Steps of tasks without the clock moving a whole second, at most: more is an endless loop.
const STEPS_MAX: u64 = 3_000_000;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// What did not hold, if anything.
    pub violation: Option<Violation>,
    /// The script with what its shows printed.
    pub script: Script,
    /// Hash and length of the trace.
    pub trace: (u64, u64),
    /// The trace, if it was kept.
    pub trace_text: String,
    /// Simulated time.
    pub simulated: Nanos,
    /// Steps of tasks.
    pub steps: u64,
    /// Commands that were acknowledged.
    pub acknowledged: u64,
    /// Acts that did something, by verb.
    pub acted: Vec<String>,
}

/// A run under way.
struct Run {
    world: World,
    network: SimNetwork,
    fleet: Fleet,
    operator: Operator,
    /// Whose tasks are the operator's.
    outside: Life,
    shared: Arc<Shared>,
    clients: Vec<Life>,
    /// What the consumer has read.
    consumed: Arc<Mutex<Consumed>>,
    watch: Watch,
    /// When the cluster was set up.
    began: Nanos,
    /// Nodes whose disk was not sound at some time: they may stop by themselves.
    excused: BTreeSet<Number>,
    /// Somebody has sent a command at which the program fails.
    poisoned: bool,
    /// Processes to be started again, and when.
    to_start: Vec<(Nanos, Number)>,
    /// The faults have ended, and every node is to run.
    resting: bool,
    acted: Vec<String>,
    /// Steps as of the last second that has begun.
    second: (Nanos, u64),
}

/// Runs a script.
///
/// # Errors
/// The script asks for something that cannot be set up.
pub fn run(script: &Script, keep_trace: bool) -> anyhow::Result<Report> {
    complaints::listen("off");
    drop(complaints::take());
    let mut run = Run::new(script, keep_trace)?;
    let mut script = script.clone();
    let outcome = run.all(&mut script);
    let violation = outcome.err().map(|(oracle, what)| Violation {
        oracle,
        what,
        at: run.world.now().saturating_sub(run.began),
    });
    Ok(run.end(script, violation))
}

impl Run {
    fn new(script: &Script, keep_trace: bool) -> anyhow::Result<Run> {
        let world = World::new(script.seed, Trace::new(keep_trace));

        let network = SimNetwork::new(&world, Dice::new(script.seed, "network"));
        let fleet = Fleet::new(
            &world,
            &network,
            &Dice::new(script.seed, "nodes"),
            script.nodes,
            script.sizes,
        )?;
        let outside = outsider(&world, &network, &Dice::new(script.seed, "operator"), OPERATOR);
        let operator = Operator::new(outside.environment.clone(), fleet.addresses())?;
        let shared = Arc::new(Shared {
            world: world.clone(),
            history: Mutex::default(),
            stop: false.into(),
            addresses: fleet.addresses(),
        });
        Ok(Run {
            world,
            network,
            fleet,
            operator,
            outside,
            shared,
            clients: Vec::new(),
            consumed: Arc::default(),
            watch: Watch::default(),
            began: 0,
            excused: BTreeSet::new(),
            poisoned: false,
            to_start: Vec::new(),
            resting: false,
            acted: Vec::new(),
            second: (0, 0),
        })
    }

    fn all(&mut self, script: &mut Script) -> Result<(), Finding> {
        self.set_up(script)?;
        let mut verdict = false;
        for at in 0..script.statements.len() {
            let statement = script.statements[at].clone();
            match statement {
                Statement::Comment(_) => {}
                Statement::At(time, act) => {
                    self.advance(self.began + time)?;
                    self.act(&act);
                }
                Statement::Now(act) => self.act(&act),
                Statement::Wait(time) => self.advance(self.world.now() + time)?,
                Statement::Until(condition) => {
                    let met = self.until(UNTIL_MAX, |run| run.is_met(&condition))?;
                    if !met {
                        return Err(("liveness", format!("waited in vain for: {condition}")));
                    }
                }
                Statement::Show(topic, _) => {
                    verdict |= topic == crate::script::Topic::Verdict;
                    let lines = self.show(&topic)?;
                    script.statements[at] = Statement::Show(topic, lines);
                }
            }
        }
        if verdict { Ok(()) } else { self.come_to_rest() }
    }

    fn set_up(&mut self, script: &Script) -> Result<(), Finding> {
        for number in 1..=script.nodes {
            self.fleet.start(number);
            // The first founds the cluster; the others ask it.
            self.advance(self.world.now() + SECOND / 10)?;
        }
        let operator = self.operator.clone();
        let voters = usize::from(script.nodes);
        let done = self.ask(SET_UP_MAX, async move { operator.set_up(voters).await })?;
        match done {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(("set-up", format!("{error:#}"))),
            None => return Err(("set-up", "the cluster did not come about in time".to_owned())),
        }
        for number in 0..script.clients {
            let host = Host(OPERATOR.0 + 1 + u8::try_from(number).unwrap_or(u8::MAX) % 100);
            let dice = Dice::new(script.seed, "clients").split(number);
            let life = outsider(&self.world, &self.network, &dice, host);
            let rest = Duration::from_millis(script.rest_ms);
            let sender = Sender::new(&self.shared, life.environment.clone(), number, dice.split(3), rest);
            let sender = sender.map_err(|error| ("set-up", error.to_string()))?;
            life.environment.spawn("client", sender.run());
            self.clients.push(life);
        }
        let life = outsider(&self.world, &self.network, &Dice::new(script.seed, "reader"), READER);
        let addresses = self.fleet.addresses();
        let reading = reader::read(&life.environment, addresses, self.consumed.clone());
        let reading = reading.map_err(|error| ("set-up", error.to_string()))?;
        life.environment.spawn("reader", reading);
        self.clients.push(life);
        self.began = self.world.now();
        Ok(())
    }

    /// Lets the world go on until a time.
    fn advance(&mut self, end: Nanos) -> Result<(), Finding> {
        while self.step(end)? {}
        Ok(())
    }

    /// Lets the world go on until something holds, for a limited time; gives whether it does.
    fn until(&mut self, limit: Nanos, mut met: impl FnMut(&Run) -> bool) -> Result<bool, Finding> {
        let end = self.world.now() + limit;
        let mut look = 0;
        loop {
            // Looking costs more than a step: ten times a second is often enough.
            if self.world.now() >= look {
                if met(self) {
                    return Ok(true);
                }
                look = self.world.now() + SECOND / 10;
            }
            if !self.step(end.min(look))? && self.world.now() >= end {
                return Ok(met(self));
            }
        }
    }

    /// Lets the operator do something, for a limited time.
    fn ask<T, F>(&mut self, limit: Nanos, question: F) -> Result<Option<T>, Finding>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let answer = Arc::new(Mutex::new(None));
        let place = answer.clone();
        self.outside.environment.spawn("operator", async move {
            let said = question.await;
            *place.lock() = Some(said);
        });
        let end = self.world.now() + limit;
        while answer.lock().is_none() && self.step(end)? {}
        Ok(answer.lock().take())
    }

    /// One step; false when there is none before `end`.
    fn step(&mut self, end: Nanos) -> Result<bool, Finding> {
        let due = self.to_start.iter().map(|(at, _)| *at).min().unwrap_or(Nanos::MAX);
        let stepped = self.world.step(end.min(due));
        if due <= self.world.now() {
            self.start_due();
        }
        self.check_panics()?;
        match stepped {
            Step::Nothing => Ok(self.world.now() < end),
            Step::Other => Ok(true),
            Step::Ran(life, name) => {
                self.after(life, name)?;
                Ok(true)
            }
        }
    }

    fn start_due(&mut self) {
        let now = self.world.now();
        let (due, later) = self.to_start.drain(..).partition(|(at, _)| *at <= now);
        self.to_start = later;
        let due: Vec<(Nanos, Number)> = due;
        for (_, number) in due {
            self.fleet.start(number);
        }
    }

    fn check_panics(&mut self) -> Result<(), Finding> {
        match self.world.take_panics().into_iter().next() {
            Some(panic) => Err(("no panic", panic)),
            None => Ok(()),
        }
    }

    /// Looks at the node that has just done something.
    fn after(&mut self, life: crate::world::LifeId, name: &'static str) -> Result<(), Finding> {
        if let Some(number) = self.fleet.reap(life) {
            return self.ended(number);
        }
        // These alone change what is looked at.
        if matches!(name, "applier" | "raft" | "process")
            && let Some(machine) = self.fleet.of_life(life)
        {
            self.watch.look(machine)?;
        }
        self.check_complaints()?;
        self.check_progress()
    }

    fn check_complaints(&self) -> Result<(), Finding> {
        let mut complaints = complaints::take().into_iter();
        match complaints.find(|complaint| !self.is_of_poison(complaint)) {
            Some(complaint) if self.excused.is_empty() => Err(("no complaint without a cause", complaint)),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a node had to say or do that because of a command at which the program fails.
    fn is_of_poison(&self, reason: &str) -> bool {
        self.poisoned && reason.contains("this program failed at entry")
    }

    fn check_progress(&mut self) -> Result<(), Finding> {
        let (now, steps) = (self.world.now(), self.world.steps());
        // What waited without giving way was ahead of the clock for its step.
        if now.saturating_sub(self.second.0) >= SECOND {
            self.second = (now, steps);
        }
        if steps - self.second.1 > STEPS_MAX {
            return Err(("no endless loop", format!("{STEPS_MAX} steps within one second")));
        }
        Ok(())
    }

    /// A process has ended by itself, or its machine has lost its power.
    fn ended(&mut self, number: Number) -> Result<(), Finding> {
        let Some(machine) = self.fleet.machine(number) else {
            return Ok(());
        };
        let reason = machine.stopped_by_itself();
        // A node that asks to join while nobody can let it in says so and ends, to be started again.
        let asked_in_vain = |reason: &String| reason.starts_with("could not join the cluster");
        let expected = |reason: &String| asked_in_vain(reason) || self.is_of_poison(reason);
        if let Some(reason) = reason.as_ref().filter(|reason| !expected(reason))
            && !self.excused.contains(&number)
        {
            return Err(("nodes go on", format!("node {number} stopped by itself: {reason}")));
        }
        // At the end one that was still stopping as it was asked to is needed too.
        if reason.is_some() || machine.dark || self.resting {
            self.to_start.push((self.world.now() + START_AGAIN, number));
        }
        if reason.is_some_and(|reason| reason.contains("seachange rebuild")) {
            self.rebuild(number);
        }
        Ok(())
    }

    fn end(mut self, script: Script, violation: Option<Violation>) -> Report {
        let (sum, text) = self.world.with_trace(|trace| (trace.sum(), trace.text().to_owned()));
        for machine in 1..=u8::try_from(self.fleet.machines.len()).unwrap_or(u8::MAX) {
            self.fleet.kill(machine);
        }
        for life in self.clients.drain(..) {
            life.end();
        }
        self.outside.end();
        let report = Report {
            violation,
            script,
            trace: sum,
            trace_text: text,
            simulated: self.world.now(),
            steps: self.world.steps(),
            acknowledged: self.shared.history.lock().acknowledged,
            acted: std::mem::take(&mut self.acted),
        };
        self.world.clear();
        report
    }
}
