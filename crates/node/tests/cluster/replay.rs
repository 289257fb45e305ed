//! What lies in the data directory of a node that was stopped, applied again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::{NativeApplication, Registry};
use machine::{
    Body, Code, Decision, Index, Manifest, Outcome, PlanApplication, PlanGuarded, Read, ReadValue, Safeguards, Shape,
    Stage, Version,
};
use node::replay::{
    Archive, Candidate, Checkpointed, Compared, Error, Proof, Recording, Replay, RowRead, RuleChange, Step, Trial,
    WhatIf, Witness,
};
use store::state::{Backend, FjallBackend, FjallOptions};

use crate::world::{Adder, Member, PATIENCE, World, manifest, registry};

/// Every file under a directory, and what it holds.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).expect("a file"));
        }
    }
    found
}

pub fn open(world: &World, name: &str) -> Result<Archive, Error> {
    let scratch = tempfile::tempdir().expect("a directory");
    let backend = |directory: &Path| {
        let backend = FjallBackend::open(directory, FjallOptions::default())?;
        Ok(Arc::new(backend) as Arc<dyn Backend>)
    };
    let checkpoint = Checkpointed {
        backend: &backend,
        scratch: scratch.path(),
    };
    Archive::open(&world.environment, &world.data(name), Some(&checkpoint))
}

pub fn run(mut replay: Replay) -> (Replay, Vec<Step>) {
    let mut steps = Vec::new();
    while let Some(step) = replay.step().expect("it can be applied") {
        steps.push(step);
    }
    (replay, steps)
}

pub fn proofs(steps: &[Step]) -> Vec<Proof> {
    steps.iter().flat_map(|step| step.proofs.clone()).collect()
}

/// A node that installed version 1, made 10, switched to version 2, made 10 + 2 * 5, and went back; then 21.
pub async fn lived(world: &World) -> (Member, Index) {
    let a = world.start("a", &[1, 2], None).await;
    let installed = world.plan(&[&a], 1).await;
    world.switched(&a, installed).await;
    for _ in 0..10 {
        world.add(&[&a], 1).await;
    }
    let upgraded = world.plan(&[&a], 2).await;
    world.switched(&a, upgraded).await;
    for _ in 0..5 {
        world.add(&[&a], 1).await;
    }
    a.node.upkeep().make().await.expect("a snapshot");
    let mark = match world.propose(&[&a], Body::MarkDigest).await {
        machine::Decision::Done { index } => index,
        other => panic!("{other:?}"),
    };
    let reported = async {
        while a.cluster.status().applied <= mark {
            world.environment.sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    environment::timeout(&world.environment, PATIENCE, reported)
        .await
        .expect("the node reports");
    let revert = machine::ChangeStep {
        change: upgraded,
        step: machine::Step::Revert,
        reason: "a test".to_owned(),
    };
    world.propose(&[&a], Body::ChangeStep(revert)).await;
    assert_eq!(world.add(&[&a], 1).await, "21");
    (a, mark)
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_comes_to_what_production_came_to_and_touches_nothing() {
    let world = World::new();
    let (a, mark) = lived(&world).await;
    assert_eq!(open(&world, "a").err(), Some(Error::InUse(world.data("a"))));
    let (applied, digest) = (a.cluster.status().applied, a.cluster.status().digest);
    a.node.shutdown().await;
    drop(a.cluster);
    let before = files(&world.data("a"));

    let archive = open(&world, "a").expect("nobody holds it any more");
    assert_eq!(archive.warnings(), [] as [&str; 0]);
    assert!(archive.committed() >= applied);
    let (replay, steps) = run(archive.replay(&registry(&[1, 2]), None, None).expect("from entry 1"));
    assert_eq!(steps[0].index, Index(1));
    assert_eq!(steps.len() as u64, archive.committed().0);
    if replay.applied() == applied {
        assert_eq!(replay.digest(), digest);
    }
    let proofs = proofs(&steps);
    assert!(proofs.iter().all(Proof::is_equal), "{proofs:#?}");
    let has = |is: &dyn Fn(&Proof) -> bool| proofs.iter().any(is);
    assert!(has(&|proof| proof.witness == Witness::Snapshot), "{proofs:?}");
    assert!(has(&|proof| proof.witness == Witness::Checkpoint), "{proofs:?}");
    assert!(
        has(&|proof| proof.index == mark && matches!(proof.witness, Witness::Node { .. })),
        "{proofs:?}"
    );
    drop((archive, replay));
    assert!(files(&world.data("a")) == before, "not a byte was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_the_rules_is_found_at_its_entry_with_the_first_command_behind_it() {
    let world = World::new();
    let (a, _) = lived(&world).await;
    a.node.shutdown().await;
    drop(a.cluster);
    let archive = open(&world, "a").expect("nobody holds it any more");
    let (_, steps) = run(archive.replay(&registry(&[1, 2]), None, None).expect("from entry 1"));
    let switches: Vec<&RuleChange> = steps
        .iter()
        .flat_map(|step| &step.rules)
        .filter(|rule| rule.is_switch())
        .collect();
    let number = |version: Option<Version>| version.map(|version| version.0);
    let versions: Vec<_> = switches
        .iter()
        .map(|rule| (number(rule.before), number(rule.after)))
        .collect();
    assert_eq!(
        versions,
        [(None, Some(1)), (Some(1), Some(2)), (Some(2), Some(1))],
        "{switches:#?}"
    );
    assert!(
        switches[2].what.starts_with("reverted: version 1"),
        "{}",
        switches[2].what
    );
    let firsts: Vec<_> = steps.iter().flat_map(|step| &step.firsts).collect();
    let seen: Vec<_> = firsts
        .iter()
        .map(|first| (first.version.0, first.outcome.clone()))
        .collect();
    let applied = |total: &'static str| Outcome::Applied(total.into());
    assert_eq!(seen, [(1, applied("1")), (2, applied("12")), (1, applied("21"))]);
    for (switch, first) in switches.iter().zip(&firsts) {
        assert!(first.index > switch.index && first.place == 0, "{switch:?} {first:?}");
    }

    // From the snapshot on, that part alone comes again, to the same end.
    let starts = steps.iter().flat_map(|step| &step.proofs);
    let snapshot = starts
        .clone()
        .find(|proof| proof.witness == Witness::Snapshot)
        .expect("there is one");
    let later = archive.replay(&registry(&[1, 2]), Some(snapshot.index.next()), None);
    let (_, later) = run(later.expect("from the snapshot"));
    assert_eq!(later[0].index, snapshot.index.next());
    assert!(later == steps[steps.len() - later.len()..], "the same steps");

    let behind = archive.committed().next();
    let refused = archive.replay(&registry(&[1]), None, Some(behind)).err();
    assert!(matches!(refused, Some(Error::NotCommitted { wanted, .. }) if wanted == behind));
    let unlinked = archive.replay(&registry(&[1]), None, None).expect("it begins");
    let (switched, reason) = stops(unlinked);
    assert!(
        switched > switches[1].index && reason.contains("version 2 of adder"),
        "{reason}"
    );
}

/// Replays until that is not possible.
fn stops(mut replay: Replay) -> (Index, String) {
    loop {
        match replay.step() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it came to its end"),
            Err(Error::Stopped { index, reason }) => return (index, reason),
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_answers_otherwise_is_found_out() {
    let world = World::new();
    let (a, _) = lived(&world).await;
    a.node.shutdown().await;
    drop(a.cluster);
    let archive = open(&world, "a").expect("nobody holds it any more");
    let versions =
        [(1, 3), (2, 2)].map(|(version, adds)| NativeApplication::new("adder", Version(version), Adder(adds)));
    let (_, steps) = run(archive
        .replay(&Registry::new(versions.into()), None, None)
        .expect("it begins"));
    let proofs = proofs(&steps);
    assert!(
        proofs.len() >= 3 && proofs.iter().all(|proof| !proof.is_equal()),
        "{proofs:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_version_would_have_made_of_the_same_commands() {
    let world = World::new();
    let (a, _) = lived(&world).await;
    a.node.shutdown().await;
    drop(a.cluster);
    let archive = open(&world, "a").expect("nobody holds it any more");
    let registry = registry(&[1, 2, 3]);
    let (_, steps) = run(archive.replay(&registry, None, None).expect("from entry 1"));
    let third = steps
        .iter()
        .filter(|step| !step.replies.is_empty())
        .nth(2)
        .expect("there were more")
        .index;
    let (mut real, _) = run(archive.replay(&registry, None, Some(third)).expect("up to there"));
    let total = |replay: &mut Replay| {
        let read = Read::Get {
            application: "adder".into(),
            table: "totals".into(),
            key: "all".into(),
        };
        match replay.read(&read).expect("it is there") {
            ReadValue::Document(document) => document.expect("a total"),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(total(&mut real), "3");
    let old = WhatIf::begin(real, &Candidate::native(manifest(1))).err();
    assert!(
        matches!(&old, Some(Error::Refused { reason, .. }) if reason.contains("higher number")),
        "{old:?}"
    );

    let (real, _) = run(archive.replay(&registry, None, Some(third)).expect("up to there"));
    let mut both = WhatIf::begin(real, &Candidate::native(manifest(3))).expect("it can be tried");
    both.go_on_to(archive.committed());
    let mut compared: Vec<Compared> = Vec::new();
    while let Some(one) = both.step().expect("it can be applied") {
        compared.push(one);
    }
    let outcomes: Vec<_> = compared.iter().flat_map(|one| &one.outcomes).collect();
    // 7 under version 1, 5 under version 2, 1 under version 1 again: none of these changes happens in the other one.
    assert_eq!(outcomes.len(), 13, "{outcomes:#?}");
    let last = outcomes.last().expect("there are some");
    assert_eq!(last.real, Outcome::Applied("21".into()));
    assert_eq!(last.other, Outcome::Applied("42".into()), "3 + 13 * 3");
    let tables = both.tables(5).expect("they can be read");
    assert_eq!(tables.len(), 1);
    assert_eq!((tables[0].rows_equal, tables[0].rows_different), (0, 1));
    assert_eq!(tables[0].samples[0].other, RowRead::Document("42".into()));
    let proofs: Vec<_> = compared.iter().flat_map(|one| &one.real.proofs).collect();
    assert!(
        !proofs.is_empty() && proofs.iter().all(|proof| proof.is_equal()),
        "{proofs:?}"
    );
}

fn trial(recording: &Recording, version: u32) -> (usize, usize, u64) {
    let registry = registry(&[1, 2, 3]);
    let mut trial = Trial::begin(recording, &registry, &Candidate::native(manifest(version))).expect("it can be tried");
    let (mut commands, mut outcomes) = (0, 0);
    while let Some(tried) = trial.step().expect("it runs") {
        commands += tried.commands;
        outcomes += tried.outcomes.len();
    }
    let tables = trial.tables(5).expect("they can be read");
    (
        commands,
        outcomes,
        tables.iter().map(|table| table.rows_different).sum(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_held_against_any_version_without_the_node() {
    let world = World::new();
    let (a, _) = lived(&world).await;
    a.node.shutdown().await;
    drop(a.cluster);
    let archive = open(&world, "a").expect("nobody holds it any more");
    let registry = registry(&[1, 2]);
    let (_, steps) = run(archive.replay(&registry, None, None).expect("from entry 1"));
    let commands: Vec<Index> = steps
        .iter()
        .filter(|step| !step.replies.is_empty())
        .map(|step| step.index)
        .collect();
    // The 4th command is the first of it; with the 10th ends what version 1 answered.
    let record = |last: Index| {
        let replay = archive.replay(&registry, None, Some(commands[2]));
        let (mut replay, _) = run(replay.expect("up to there"));
        let mut recording = Recording::begin(&replay, "adder").expect("it is there");
        replay.go_on_to(last);
        while let Some(step) = replay.step().expect("it can be applied") {
            recording.note(&step).expect("it can be read");
        }
        recording.end(&replay).expect("it is there");
        recording
    };
    let (short, long) = (record(commands[9]), record(archive.committed()));
    assert_eq!((short.commands(), long.commands()), (7, 13));
    assert_eq!(trial(&short, 1), (7, 0, 0), "the same version does the same");
    assert_eq!(trial(&short, 3), (7, 7, 1));
    // 11 to 15 instead of 12, 14, … 20; then 16 instead of 21.
    assert_eq!(trial(&long, 1), (13, 6, 1));
    let other = Manifest {
        application: "other".into(),
        ..manifest(1)
    };
    let refused = Trial::begin(&short, &registry, &Candidate::native(other)).err();
    assert!(matches!(refused, Some(Error::Refused { .. })), "{refused:?}");
    let mut reshaped = manifest(2);
    reshaped.tables[0].shape = Shape(2);
    let refused = Trial::begin(&short, &registry, &Candidate::native(reshaped)).err();
    assert!(
        matches!(&refused, Some(Error::Refused { reason, .. }) if reason.contains("shape 1")),
        "{refused:?}"
    );
    assert!(Recording::begin(&run(archive.replay(&registry, None, None).expect("again")).0, "no").is_err());

    let path = world.data("short.recording");
    let disk = &*world.environment.disk;
    let whole = short.to_file().expect("it is small");
    std::fs::write(&path, &whole).expect("a file");
    assert_eq!(Recording::read(disk, &path), Ok(short));
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        std::fs::write(&path, &flipped).expect("a file");
        assert!(Recording::read(disk, &path).is_err(), "byte {at} flipped");
    }
    for bytes in [0, 5, 12, 15, whole.len() - 1] {
        std::fs::write(&path, &whole[..bytes]).expect("a file");
        assert!(Recording::read(disk, &path).is_err(), "cut to {bytes} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_went_back_by_itself_is_found_at_its_entry() {
    let world = World::new();
    let a = world.start("a", &[1, 2], None).await;
    let installed = world.plan(&[&a], 1).await;
    world.switched(&a, installed).await;
    world.add(&[&a], 1).await;
    let guarded = Body::PlanGuarded(PlanGuarded {
        plan: PlanApplication {
            manifest: manifest(2),
            code: Code::Native,
            finalize: false,
        },
        safeguards: Safeguards {
            confirm_within_ms: Some(100),
            revert_on_trap: false,
            refusals_max: None,
            allow_breaking: None,
            rehearse: None,
            verify_data: false,
            contract: None,
        },
    });
    let change = match world.propose(&[&a], guarded).await {
        Decision::Planned(change) => change,
        other => panic!("{other:?}"),
    };
    world
        .until(&a, "the way back", |_, catalog| {
            catalog.changes[&change].stage == Stage::Reverted
        })
        .await;
    world.add(&[&a], 1).await;
    a.node.shutdown().await;
    drop(a.cluster);
    let archive = open(&world, "a").expect("nobody holds it any more");
    let (_, steps) = run(archive.replay(&registry(&[1, 2]), None, None).expect("from entry 1"));
    let by_itself: Vec<&RuleChange> = steps
        .iter()
        .flat_map(|step| &step.rules)
        .filter(|rule| rule.place.is_some())
        .collect();
    assert_eq!(by_itself.len(), 1, "{by_itself:#?}");
    let rule = by_itself[0];
    assert_eq!((rule.before, rule.after), (Some(Version(2)), Some(Version(1))));
    assert!(
        rule.what.starts_with("nobody has confirmed it in time"),
        "{}",
        rule.what
    );
    let first = steps
        .iter()
        .flat_map(|step| &step.firsts)
        .next_back()
        .expect("one answered");
    assert!(first.version == Version(1) && first.index >= rule.index, "{first:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_end_of_the_log_is_read_past_and_left_as_it_is() {
    let world = World::new();
    let (a, _) = lived(&world).await;
    a.node.shutdown().await;
    drop(a.cluster);
    let whole = open(&world, "a").expect("nobody holds it any more").committed();
    let log = world.data("a").join("log");
    let segments = files(&log);
    let is_used = |(path, bytes): &(&PathBuf, &Vec<u8>)| {
        path.extension().is_some_and(|extension| extension == "log") && bytes.iter().any(|byte| *byte != 0)
    };
    let (path, bytes) = segments.iter().rfind(is_used).expect("a segment");
    let mut torn = bytes.clone();
    let end = torn.iter().rposition(|byte| *byte != 0).expect("it holds records") + 1;
    // A later sector of a write whose first one never came.
    torn[end + 64..end + 96].fill(0x5a);
    std::fs::write(path, &torn).expect("a file");
    let before = files(&world.data("a"));
    let archive = open(&world, "a").expect("it can be read all the same");
    assert!(
        archive.warnings().iter().any(|warning| warning.contains("torn")),
        "{:?}",
        archive.warnings()
    );
    assert_eq!(archive.committed(), whole);
    let (_, steps) = run(archive.replay(&registry(&[1, 2]), None, None).expect("from entry 1"));
    assert!(proofs(&steps).iter().all(Proof::is_equal));
    drop(archive);
    assert!(files(&world.data("a")) == before, "not a byte was written");
}
