//! What the cluster knows of itself: applications and their versions, changes, nodes, modules, level.
//!
//! The catalog is small, changed by control entries only, and shared as a whole with whoever shows it.

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::{Codec, Error, Reader};
use crate::contract::CommandContract;
use crate::{
    ChangeId, ClusterId, Code, CommandSchema, Contract, Conversions, DeclaredDifference, Digest, EventContract,
    Guarded, Index, Level, Manifest, NodeId, Readiness, Rehearsal, RehearsalPlan, Skipped, TableId, TimeMs, Version,
    numbered, record,
};

/// All of it, as of one index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    /// The cluster's id; zero before its first entry.
    pub cluster: ClusterId,
    /// The level that is switched on; zero before the first entry.
    pub level: Level,
    /// Applications by name.
    pub applications: BTreeMap<String, Application>,
    /// Changes by id, the finished ones too as long as they are kept.
    pub changes: BTreeMap<ChangeId, Change>,
    /// Nodes ever registered, by id.
    pub nodes: BTreeMap<NodeId, Node>,
    /// Members that vote, as of the last membership entry applied.
    pub voters: BTreeSet<NodeId>,
    /// Members that do not vote.
    pub learners: BTreeSet<NodeId>,
    /// Modules that have begun to arrive.
    pub modules: BTreeMap<Digest, Module>,
    /// The next table's id.
    pub table_next: TableId,
    /// The next node's id.
    pub node_next: NodeId,
    /// Changes that look after themselves once they have switched.
    pub guarded: BTreeMap<ChangeId, Guarded>,
    /// Applications that were taken out of service, and whose data is still here.
    pub removed: BTreeMap<String, Removed>,
    /// Rehearsals that have begun.
    pub rehearsals: BTreeMap<ChangeId, Rehearsal>,
    /// Rows that come into the newest shape, or have come, by application.
    pub conversions: BTreeMap<String, Conversions>,
    /// Entries that were passed by, for ever.
    pub skipped: BTreeMap<Index, Skipped>,
    /// What versions promise beside their manifests, by application.
    pub contracts: BTreeMap<String, BTreeMap<Version, Contract>>,
    /// The version of events that consumers are pinned to, by stream and consumer.
    pub pins: BTreeMap<String, BTreeMap<String, u16>>,
    /// Versions that have answered and that nobody can call any more, by application.
    pub let_go: BTreeMap<String, BTreeSet<Version>>,
}

impl Codec for Catalog {
    fn encode(&self, out: &mut Vec<u8>) {
        let Catalog {
            cluster,
            level,
            applications,
            changes,
            nodes,
            voters,
            learners,
            modules,
            table_next,
            node_next,
            // Below.
            guarded: _,
            removed: _,
            rehearsals: _,
            conversions: _,
            skipped: _,
            contracts: _,
            pins: _,
            let_go: _,
        } = self;
        cluster.encode(out);
        level.encode(out);
        applications.encode(out);
        changes.encode(out);
        nodes.encode(out);
        voters.encode(out);
        learners.encode(out);
        modules.encode(out);
        table_next.encode(out);
        node_next.encode(out);
        self.encode_later(out);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut catalog = Catalog {
            cluster: Codec::decode(reader)?,
            level: Codec::decode(reader)?,
            applications: Codec::decode(reader)?,
            changes: Codec::decode(reader)?,
            nodes: Codec::decode(reader)?,
            voters: Codec::decode(reader)?,
            learners: Codec::decode(reader)?,
            modules: Codec::decode(reader)?,
            table_next: Codec::decode(reader)?,
            node_next: Codec::decode(reader)?,
            guarded: or_nothing(reader)?,
            removed: or_nothing(reader)?,
            rehearsals: or_nothing(reader)?,
            conversions: or_nothing(reader)?,
            skipped: or_nothing(reader)?,
            contracts: read_contracts(reader)?,
            pins: or_nothing(reader)?,
            let_go: BTreeMap::new(),
        };
        let schemas: OfVersions<Vec<CommandSchema>> = or_nothing(reader)?;
        put_parts(&mut catalog.contracts, schemas, |contract, part| {
            contract.schemas = part
        });
        let differences: OfVersions<Vec<DeclaredDifference>> = or_nothing(reader)?;
        put_parts(&mut catalog.contracts, differences, |contract, part| {
            contract.differences = part
        });
        catalog.let_go = or_nothing(reader)?;
        Ok(catalog)
    }
}

impl Catalog {
    /// What came later than the format: where there is none of it, the bytes are those of before.
    fn encode_later(&self, out: &mut Vec<u8>) {
        let any_contract = |has: fn(&Contract) -> bool| self.contracts.values().flat_map(BTreeMap::values).any(has);
        let some = [
            !self.guarded.is_empty(),
            !self.removed.is_empty(),
            !self.rehearsals.is_empty(),
            !self.conversions.is_empty(),
            !self.skipped.is_empty(),
            !self.contracts.is_empty(),
            any_contract(|contract| !contract.events.is_empty()),
            !self.pins.is_empty(),
            any_contract(|contract| !contract.schemas.is_empty()),
            any_contract(|contract| !contract.differences.is_empty()),
            !self.let_go.is_empty(),
        ];
        let last = some.iter().rposition(|some| *some).map_or(0, |place| place + 1);
        if last >= 1 {
            self.guarded.encode(out);
        }
        if last >= 2 {
            self.removed.encode(out);
        }
        if last >= 3 {
            self.rehearsals.encode(out);
        }
        if last >= 4 {
            self.conversions.encode(out);
        }
        if last >= 5 {
            self.skipped.encode(out);
        }
        if last >= 6 {
            parts(&self.contracts, Contract::of_commands).encode(out);
        }
        if last >= 7 {
            parts(&self.contracts, |contract| contract.events.clone()).encode(out);
        }
        if last >= 8 {
            self.pins.encode(out);
        }
        if last >= 9 {
            parts(&self.contracts, |contract| contract.schemas.clone()).encode(out);
        }
        if last >= 10 {
            parts(&self.contracts, |contract| contract.differences.clone()).encode(out);
        }
        if last >= 11 {
            self.let_go.encode(out);
        }
    }
}

/// What came later than the format, and is nothing in what was written before.
fn or_nothing<T: Codec + Default>(reader: &mut Reader<'_>) -> Result<T, Error> {
    match reader.left() {
        0 => Ok(T::default()),
        _ => Codec::decode(reader),
    }
}

type OfVersions<T> = BTreeMap<String, BTreeMap<Version, T>>;

/// One part of every contract: each lies by itself, since they came one after the other.
fn parts<T>(contracts: &OfVersions<Contract>, part: impl Fn(&Contract) -> T) -> OfVersions<T> {
    let of_versions = |versions: &BTreeMap<Version, Contract>| {
        let parts = versions.iter().map(|(version, contract)| (*version, part(contract)));
        parts.collect()
    };
    contracts
        .iter()
        .map(|(name, versions)| (name.clone(), of_versions(versions)))
        .collect()
}

fn put_parts<T>(contracts: &mut OfVersions<Contract>, parts: OfVersions<T>, put: impl Fn(&mut Contract, T)) {
    for (name, versions) in parts {
        let of_name = contracts.entry(name).or_default();
        for (version, part) in versions {
            put(of_name.entry(version).or_default(), part);
        }
    }
}

fn read_contracts(reader: &mut Reader<'_>) -> Result<OfVersions<Contract>, Error> {
    let commands: OfVersions<CommandContract> = or_nothing(reader)?;
    let events: OfVersions<EventContract> = or_nothing(reader)?;
    let mut contracts = OfVersions::new();
    put_parts(&mut contracts, commands, Contract::set_commands);
    put_parts(&mut contracts, events, |contract, part| contract.events = part);
    Ok(contracts)
}

/// An application that was taken out of service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// By which entry.
    pub index: Index,
    /// At what log time.
    pub time: TimeMs,
    /// The version that was in force.
    pub version: Version,
    /// Why, for people.
    pub reason: String,
}
record!(Removed {
    index,
    time,
    version,
    reason
});

/// An application that is, or was to be, installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// The version that answers now; none before the first switch.
    pub in_force: Option<Version>,
    /// Versions that have answered, or are to.
    pub versions: BTreeMap<Version, ApplicationVersion>,
    /// Tables by name, for the version in force.
    pub tables: BTreeMap<String, TableId>,
    /// The change that can still be taken back, if there is one.
    pub reversible: Option<ChangeId>,
    /// Which version took over at which index: it answered from the next entry on.
    pub history: Vec<(Index, Version)>,
}
record!(Application {
    in_force,
    versions,
    tables,
    reversible,
    history
});

/// One version of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationVersion {
    /// What it takes, keeps and emits.
    pub manifest: Manifest,
    /// Where its code is.
    pub code: Code,
}
record!(ApplicationVersion { manifest, code });

/// A module that came, or is coming, through the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Bytes in all.
    pub bytes_total: u64,
    /// Bytes that are here.
    pub bytes_here: u64,
    /// When a piece came last.
    pub since: TimeMs,
}
record!(Module {
    bytes_total,
    bytes_here,
    since
});

/// A node as registered in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Drawn when its data directory was made.
    pub nonce: u64,
    /// For people.
    pub name: String,
    /// `HOST:PORT` of the peer protocol.
    pub peer_address: String,
    /// `HOST:PORT` of HTTP and the client protocol.
    pub http_address: String,
    /// The highest level that its binary knows.
    pub level_max: Level,
    /// For people: the binary's version.
    pub binary: String,
}
record!(Node {
    nonce,
    name,
    peer_address,
    http_address,
    level_max,
    binary
});

/// Where a change stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Accepted; nodes make themselves ready.
    Preparing,
    /// Every voter is ready; the switch can come.
    Ready,
    /// The new version answers; there is a way back.
    Switched,
    /// Done for good.
    Finalized,
    /// Given up before the switch.
    Aborted,
    /// Taken back after the switch.
    Reverted,
}
numbered!(Stage { Preparing = 1, Ready = 2, Switched = 3, Finalized = 4, Aborted = 5, Reverted = 6 });

impl Stage {
    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Stage::Finalized | Stage::Aborted | Stage::Reverted => true,
            Stage::Preparing | Stage::Ready | Stage::Switched => false,
        }
    }

    /// The stable name in the public API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stage::Preparing => "preparing",
            Stage::Ready => "ready",
            Stage::Switched => "switched",
            Stage::Finalized => "finalized",
            Stage::Aborted => "aborted",
            Stage::Reverted => "reverted",
        }
    }
}

/// The change of one application from one version to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The application.
    pub application: String,
    /// The version in force when it was planned; none for an installation.
    pub from: Option<Version>,
    /// The version to come.
    pub to: Version,
    /// Where it stands.
    pub stage: Stage,
    /// Finalize by itself once switched.
    pub finalize: bool,
    /// What each node that has reported found.
    pub readiness: BTreeMap<NodeId, Readiness>,
    /// The switch entry, once there is one: it ran under neither, the next entry under the new version.
    pub switch_index: Option<Index>,
    /// Tables of the version it came from, for the way back.
    pub tables_before: BTreeMap<String, TableId>,
    /// What happened, in order.
    pub history: Vec<ChangeEvent>,
}
record!(Change {
    application,
    from,
    to,
    stage,
    finalize,
    readiness,
    switch_index,
    tables_before,
    history
});

/// One thing that happened to a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeEvent {
    /// At which entry.
    pub index: Index,
    /// At what log time.
    pub time: TimeMs,
    /// For people.
    pub what: String,
}
record!(ChangeEvent { index, time, what });

/// Something that a change waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// On whom, if on one node.
    pub node: Option<NodeId>,
    /// Log time since which it waits.
    pub since: TimeMs,
    /// What it waits for and what to do about it, for people.
    pub what: String,
}

impl Application {
    /// One of which no version has answered yet.
    pub(crate) fn planned() -> Application {
        Application {
            in_force: None,
            versions: BTreeMap::new(),
            tables: BTreeMap::new(),
            reversible: None,
            history: Vec::new(),
        }
    }

    /// Whether that version has ever answered.
    pub(crate) fn has_answered(&self, version: Version) -> bool {
        self.history.iter().any(|(_, number)| *number == version)
    }

    /// Every version that has ever answered, by number. All that is stored was written by one of these; one that is
    /// only planned has no say yet.
    pub fn in_force_so_far(&self) -> impl DoubleEndedIterator<Item = &ApplicationVersion> {
        self.versions
            .iter()
            .filter(|(number, _)| self.has_answered(**number))
            .map(|(_, version)| version)
    }
}

impl Catalog {
    /// The version of that application that answers now.
    #[must_use]
    pub fn in_force(&self, application: &str) -> Option<&ApplicationVersion> {
        let application = self.applications.get(application)?;
        application.versions.get(&application.in_force?)
    }

    /// Why an application does not answer, and what to do.
    #[must_use]
    pub fn no_application(&self, name: &str) -> String {
        match self.removed.get(name) {
            Some(removed) => format!(
                "application {name:?} was removed by entry {}{}: install it again, with the data that it had",
                removed.index,
                match removed.reason.as_str() {
                    "" => String::new(),
                    reason => format!(" ({reason})"),
                }
            ),
            None => format!("there is no application {name:?}: install it, or check the name"),
        }
    }

    /// Every table that an application has had, as far as it is known.
    #[must_use]
    pub fn tables_of(&self, name: &str) -> BTreeSet<TableId> {
        let now = self
            .applications
            .get(name)
            .into_iter()
            .flat_map(|application| application.tables.values());
        let changes = self.changes.values().filter(|change| change.application == name);
        let before = changes.flat_map(|change| change.tables_before.values());
        now.chain(before).copied().collect()
    }

    /// The change of that application that has not ended.
    #[must_use]
    pub fn running_change(&self, application: &str) -> Option<(ChangeId, &Change)> {
        self.changes
            .iter()
            .find(|(_, change)| change.application == application && !change.stage.is_final())
            .map(|(id, change)| (*id, change))
    }

    /// Streams that exist: those that any version of an application names.
    #[must_use]
    pub fn has_stream(&self, stream: &str) -> bool {
        let application = stream.split('.').next().unwrap_or_default();
        self.applications.get(application).is_some_and(|application| {
            application
                .versions
                .values()
                .any(|version| version.manifest.streams.iter().any(|name| name == stream))
        })
    }

    /// The names of the streams that any version of an application names.
    pub fn streams(&self) -> impl Iterator<Item = &str> {
        let versions = self
            .applications
            .values()
            .flat_map(|application| application.versions.values());
        versions.flat_map(|version| version.manifest.streams.iter().map(String::as_str))
    }

    /// The first log time at which a change is taken back by itself.
    #[must_use]
    pub fn deadline(&self) -> Option<TimeMs> {
        self.guarded.values().filter_map(|guarded| guarded.deadline).min()
    }

    /// Whether a window of a rehearsal is open.
    #[must_use]
    pub fn is_rehearsing(&self) -> bool {
        self.rehearsals.values().any(|rehearsal| rehearsal.open.is_some())
    }

    /// What a change's rehearsal must see, if one was asked for.
    #[must_use]
    pub fn rehearsal_plan(&self, change: ChangeId) -> Option<&RehearsalPlan> {
        self.guarded.get(&change)?.safeguards.rehearse.as_ref()
    }

    /// The change of that application that can be taken back, if it has safeguards.
    #[must_use]
    pub fn guard_of(&self, application: &str) -> Option<(ChangeId, &Guarded)> {
        let id = self.applications.get(application)?.reversible?;
        Some((id, self.guarded.get(&id)?))
    }

    /// Whether that change goes back where its new version traps.
    #[must_use]
    pub fn reverts_on_trap(&self, change: ChangeId) -> bool {
        self.guarded
            .get(&change)
            .is_some_and(|guarded| guarded.safeguards.revert_on_trap)
    }

    /// The name of a node, or its number.
    #[must_use]
    pub fn node_name(&self, node: NodeId) -> String {
        match self.nodes.get(&node) {
            Some(known) => known.name.clone(),
            None => format!("node {node}"),
        }
    }
}
