//! Carries out a plan, and says what it does when.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use environment::{Environment, Moment};

use crate::links::Flow;
use crate::nodes::Nodes;
use crate::plan::{Fault, NODES, Plan, Step, Target};

/// Whoever does the harm, and what of it was done.
pub struct Faults {
    pub nodes: Nodes,
    pub environment: Environment,
    pub begun: Moment,
    /// How often each kind was done, by its name.
    pub done: BTreeMap<String, u32>,
}

/// How long a leader is waited for where one is to be hit; without one, the first node is.
const LEADER_MAX: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);

impl Faults {
    pub fn say(&self, text: &str) {
        let since = self.environment.clock.now() - self.begun;
        println!("{:7.2} s  {text}", since.as_secs_f64());
    }

    /// Carries out steps until `time` has passed and every kind of fault has come, and takes back all harm.
    pub async fn carry_out(&mut self, plan: &Plan, time: Duration) -> anyhow::Result<()> {
        let end = self.environment.clock.now() + time;
        for (number, step) in plan.steps.iter().enumerate() {
            if number >= plan.every_kind && self.environment.clock.now() >= end {
                break;
            }
            self.environment.sleep(step.after).await;
            let victim = self.victim(step.target).await;
            let who = &self.nodes.nodes[victim].name;
            let beside = if step.beside { ", and SIGKILL for another" } else { "" };
            let lasts = step.lasts.as_millis();
            self.say(&format!("{who}: {} for {lasts} ms{beside}", step.fault));
            let carried = self.carry_out_step(step, victim).await;
            carried.with_context(|| step.fault.to_string())?;
            self.nodes.check_running()?;
            *self.done.entry(step.fault.to_string()).or_default() += 1;
        }
        self.heal().await
    }

    async fn victim(&self, target: Target) -> usize {
        let deadline = self.environment.clock.now() + LEADER_MAX;
        loop {
            let found = match target {
                Target::Node(number) => Some(number),
                Target::Leader => self.nodes.leader().await,
            };
            if let Some(number) = found {
                return number;
            }
            if self.environment.clock.now() > deadline {
                return 0;
            }
            self.environment.sleep(POLL).await;
        }
    }

    async fn carry_out_step(&mut self, step: &Step, victim: usize) -> anyhow::Result<()> {
        self.begin(step.fault, victim).await?;
        if step.beside {
            self.environment.sleep(step.lasts / 2).await;
            let other = (victim + 1) % NODES;
            self.nodes.nodes[other].kill()?;
            self.environment.sleep(step.lasts / 4).await;
            self.nodes.nodes[other].spawn()?;
            self.environment.sleep(step.lasts / 4).await;
        } else {
            self.environment.sleep(step.lasts).await;
        }
        self.end(step.fault, victim)?;
        for node in &mut self.nodes.nodes {
            node.serves().await?;
        }
        Ok(())
    }

    async fn begin(&mut self, fault: Fault, victim: usize) -> anyhow::Result<()> {
        let links = self.nodes.links.clone();
        let node = &mut self.nodes.nodes[victim];
        match fault {
            Fault::Kill => node.kill()?,
            Fault::KillAll => {
                for node in &mut self.nodes.nodes {
                    node.kill()?;
                }
            }
            Fault::Terminate => node.terminate().await?,
            Fault::Pause => node.pause()?,
            Fault::Cut(way) => links.set_peers(victim, way, Flow::Cut),
            Fault::Stall(way) => links.set_peers(victim, way, Flow::Held),
            Fault::Reset => links.reset_peers(victim),
            Fault::StallClients => links.hold_clients(victim),
            Fault::FillDisk => self.fill_disk(false)?,
            Fault::FillDiskWhole => self.fill_disk(true)?,
            Fault::FillDiskAndKill => {
                node.kill()?;
                self.fill_disk(true)?;
                // It waits for room before it serves.
                self.nodes.nodes[victim].spawn()?;
            }
        }
        Ok(())
    }

    fn end(&mut self, fault: Fault, victim: usize) -> anyhow::Result<()> {
        match fault {
            Fault::Kill | Fault::KillAll | Fault::Terminate => {
                for node in self.nodes.nodes.iter_mut().filter(|node| !node.runs()) {
                    node.spawn()?;
                }
            }
            Fault::Pause => self.nodes.nodes[victim].resume(),
            Fault::StallClients => {
                // What was held is lost.
                self.nodes.links.reset_clients(victim);
                self.nodes.links.open_all();
            }
            Fault::Cut(_) | Fault::Stall(_) | Fault::Reset => self.nodes.links.open_all(),
            Fault::FillDisk | Fault::FillDiskWhole | Fault::FillDiskAndKill => self.empty_disk()?,
        }
        Ok(())
    }

    fn fill_disk(&self, whole: bool) -> anyhow::Result<()> {
        let Some(disk) = &self.nodes.disk else {
            bail!("there is no small disk");
        };
        let free = disk.fill(whole, &self.environment)?;
        self.say(&format!("    {free} bytes are free"));
        Ok(())
    }

    fn empty_disk(&self) -> anyhow::Result<()> {
        match &self.nodes.disk {
            Some(disk) => Ok(disk.empty()?),
            None => Ok(()),
        }
    }

    /// Takes every harm back.
    async fn heal(&mut self) -> anyhow::Result<()> {
        self.nodes.links.open_all();
        self.empty_disk()?;
        for node in &mut self.nodes.nodes {
            node.resume();
            if !node.runs() {
                node.spawn()?;
            }
            node.serves().await?;
        }
        self.say("all is well again");
        Ok(())
    }
}
