//! Control entries: everything in the log that is not a client's request. Preconditions are checked here, against
//! logged facts only, so that a refusal is the same on every node.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::machine::{MODULE_TABLE, Machine, Stop, TABLE_FIRST, World};
use crate::{
    Body, Comparison, Decision, Digest, Genesis, Index, Level, Module, ModuleChunk, Node, NodeId, RegisterNode,
    ReportDigest, Row, SessionId, Shape, change, collection, limits,
};

pub(crate) fn refused(code: &'static str, reason: impl Into<String>) -> Decision {
    Decision::Refused {
        code,
        reason: reason.into(),
    }
}

impl Machine {
    pub(super) fn apply_control(&mut self, index: Index, body: Body, world: &mut World<'_>) -> Result<Decision, Stop> {
        if body.needs_genesis() && self.catalog.level == Level(0) {
            return Ok(refused(
                "no_cluster",
                "the cluster has not begun: its first entry is missing",
            ));
        }
        let time = self.position.time;
        let decision = match body {
            Body::Genesis(genesis) => self.apply_genesis(index, genesis),
            Body::OpenSession => {
                let id = SessionId(index.0);
                self.sessions.open(id, time);
                Decision::SessionOpened(id)
            }
            Body::ModuleChunk(chunk) => self.apply_module_chunk(index, chunk, world)?,
            Body::LetGo(asked) => collection::let_go(self.catalog_mut(), index, asked),
            Body::DropModule(asked) => match collection::may_drop(&self.catalog, time, &asked) {
                Ok(()) => {
                    self.drop_module(asked.module, world)?;
                    Decision::Done { index }
                }
                Err(refusal) => refusal,
            },
            Body::PlanApplication(plan) => change::plan_application(self.catalog_mut(), index, time, plan),
            Body::PlanGuarded(planned) => change::plan_guarded(self.catalog_mut(), index, time, planned),
            Body::NodeReady(report) => change::node_ready(self.catalog_mut(), index, time, report),
            Body::ChangeStep(step) => change::take_step(self.catalog_mut(), index, time, &step),
            Body::RegisterNode(node) => self.register_node(node),
            Body::Tick => Decision::Done { index },
            Body::RaiseLevel(level) => self.raise_level(index, level),
            Body::CommitConsumer(commit) => self.commit_consumer(index, &commit),
            Body::RemoveConsumer(remove) => self.remove_consumer(index, &remove),
            Body::PinConsumer(pin) => self.pin_consumer(index, &pin),
            Body::TrimStreams(trim) => self.trim_streams(index, trim),
            Body::MarkDigest => self.mark_digest(index),
            Body::ReportDigest(report) => self.report_digest(index, &report),
            Body::OpenWindow(open) => change::open_window(self.catalog_mut(), index, time, open),
            Body::Rehearsed(said) => change::rehearsed(self.catalog_mut(), index, time, said),
            Body::ConvertRows(convert) => self.convert_rows(index, &convert, world)?,
            Body::AssignVerification(assign) => change::assign(self.catalog_mut(), index, time, assign),
            Body::Verified(said) => change::verified(self.catalog_mut(), index, time, said),
            Body::SkipEntry(skip) => self.skip_decided(index, &skip)?,
            Body::SteerConversion(steer) => crate::conversion::steer(self.catalog_mut(), index, &steer),
            Body::RemoveApplication(remove) => self.remove_application(index, remove),
            Body::PurgeApplication(purge) => self.purge_application(index, &purge, world)?,
            Body::Requests(_) => return Err(Stop::Halt("requests reached the control path".into())),
        };
        Ok(decision)
    }

    fn apply_genesis(&mut self, index: Index, genesis: Genesis) -> Decision {
        if self.catalog.level != Level(0) {
            return refused("cluster_exists", "the cluster has begun already");
        }
        let catalog = self.catalog_mut();
        catalog.cluster = genesis.cluster;
        catalog.level = genesis.level;
        catalog.table_next = TABLE_FIRST;
        // The founder is node 1 to the Raft group already: nobody else may ever be given that id.
        catalog.node_next = NodeId(1);
        self.register_node(genesis.founder);
        Decision::Done { index }
    }

    fn raise_level(&mut self, index: Index, level: Level) -> Decision {
        let catalog = &self.catalog;
        if level.0 != catalog.level.0 + 1 {
            let reason = format!(
                "the level is {}: it is raised one by one, and never lowered",
                catalog.level
            );
            return refused("level_out_of_order", reason);
        }
        let members = catalog.voters.union(&catalog.learners);
        let behind = members
            .filter_map(|id| catalog.nodes.get(id))
            .find(|node| node.level_max < level);
        if let Some(node) = behind {
            let reason = format!(
                "node {} knows levels up to {}: give it a newer binary first",
                node.name, node.level_max
            );
            return refused("level_unknown_to_member", reason);
        }
        self.catalog_mut().level = level;
        Decision::Done { index }
    }

    fn register_node(&mut self, register: RegisterNode) -> Decision {
        let known = self
            .catalog
            .nodes
            .iter()
            .find(|(_, node)| node.nonce == register.nonce)
            .map(|(id, _)| *id);
        let texts = [
            &register.name,
            &register.peer_address,
            &register.http_address,
            &register.binary,
        ];
        if texts.iter().any(|text| text.len() > limits::ADDRESS_BYTES_MAX) {
            let reason = format!(
                "a node's name, addresses and version have {} bytes at most, each",
                limits::ADDRESS_BYTES_MAX
            );
            return refused("node_invalid", reason);
        }
        if known.is_none() && self.catalog.nodes.len() >= limits::NODES_MAX {
            return refused(
                "too_many_nodes",
                format!("a cluster registers {} nodes at most", limits::NODES_MAX),
            );
        }
        let catalog = self.catalog_mut();
        let id = known.unwrap_or(catalog.node_next);
        if known.is_none() {
            catalog.node_next.0 += 1;
        }
        let RegisterNode {
            nonce,
            name,
            peer_address,
            http_address,
            level_max,
            binary,
        } = register;
        catalog.nodes.insert(
            id,
            Node {
                nonce,
                name,
                peer_address,
                http_address,
                level_max,
                binary,
            },
        );
        Decision::Registered(id)
    }

    fn mark_digest(&mut self, index: Index) -> Decision {
        // This entry itself is not part of what is compared.
        self.marked = Some((index, self.position.digest));
        *self.comparison_mut() = Comparison {
            mark: index,
            found: BTreeMap::new(),
        };
        Decision::Done { index }
    }

    fn report_digest(&mut self, index: Index, report: &ReportDigest) -> Decision {
        let mark = self.comparison().mark;
        if report.mark != mark {
            let reason = format!(
                "digests are compared as of entry {mark}, and this report is as of entry {}",
                report.mark
            );
            return refused("mark_superseded", reason);
        }
        if !self.catalog.nodes.contains_key(&report.node) {
            return refused("unknown_node", format!("node {} was never registered", report.node));
        }
        self.comparison_mut().found.insert(report.node, report.digest);
        Decision::Done { index }
    }

    fn apply_module_chunk(
        &mut self,
        index: Index,
        chunk: ModuleChunk,
        world: &mut World<'_>,
    ) -> Result<Decision, Stop> {
        let time = self.position.time;
        if chunk.bytes_total > limits::MODULE_BYTES_MAX as u64 || chunk.bytes_total == 0 {
            let reason = format!(
                "the module has {} bytes: 1 to {} are allowed",
                chunk.bytes_total,
                limits::MODULE_BYTES_MAX
            );
            return Ok(refused("module_too_large", reason));
        }
        let fresh = Module {
            bytes_total: chunk.bytes_total,
            bytes_here: 0,
            since: time,
        };
        let module = self.catalog.modules.get(&chunk.module).cloned().unwrap_or(fresh);
        let end = chunk.at.saturating_add(chunk.bytes.len() as u64);
        if module.bytes_total != chunk.bytes_total || end > chunk.bytes_total || chunk.bytes.is_empty() {
            return Ok(refused(
                "module_chunk_invalid",
                "the piece does not fit the module as it was announced",
            ));
        }
        if end <= module.bytes_here {
            // Whoever sends it again is about to plan with it.
            let again = Module { since: time, ..module };
            self.catalog_mut().modules.insert(chunk.module, again);
            return Ok(Decision::Done { index });
        }
        if chunk.at != module.bytes_here {
            let reason = format!(
                "the piece begins at {}, and {} bytes are here: send them in order",
                chunk.at, module.bytes_here
            );
            return Ok(refused("module_chunk_out_of_order", reason));
        }
        let key = [&chunk.module.0[..], &chunk.at.to_be_bytes()].concat();
        let row = Row {
            shape: Shape(0),
            document: chunk.bytes,
        };
        self.position.digest.add(MODULE_TABLE, &key, &row);
        world.txn.put(MODULE_TABLE, &key, row);
        if end < chunk.bytes_total || Digest::of(&Machine::module_bytes(&*world.txn, chunk.module)?) == chunk.module {
            self.catalog_mut().modules.insert(
                chunk.module,
                Module {
                    bytes_here: end,
                    since: time,
                    ..module
                },
            );
            return Ok(Decision::Done { index });
        }
        self.drop_module(chunk.module, world)?;
        let reason = format!(
            "the bytes that arrived do not have the digest {}: send the module again",
            chunk.module
        );
        Ok(refused("module_digest_mismatch", reason))
    }

    fn drop_module(&mut self, module: Digest, world: &mut World<'_>) -> Result<(), Stop> {
        let mut rows: Vec<(Bytes, Row)> = Vec::new();
        let mut end = module.0.to_vec();
        end.extend_from_slice(&[0xff; 9]);
        world
            .txn
            .scan(MODULE_TABLE, &module.0, Some(&end), false, &mut |key, row| {
                rows.push((Bytes::copy_from_slice(key), row.clone()));
                true
            })?;
        for (key, row) in rows {
            self.position.digest.remove(MODULE_TABLE, &key, &row);
            world.txn.delete(MODULE_TABLE, &key);
        }
        self.catalog_mut().modules.remove(&module);
        Ok(())
    }
}
