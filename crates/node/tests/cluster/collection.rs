//! Modules that nothing needs any more are deleted, and nobody misses them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use environment::{Clock, Moment};
use futures::future::BoxFuture;
use host::transform;
use machine::{
    Body, ChangeStep, Code, Consistency, Decision, Digest, MeterNumber, ModuleChunk, PlanApplication, Read, ReadValue,
    Step, TRANSFORM, Version, limits,
};
use node::replay::Proof;

use crate::replay::{open, proofs, run};
use crate::world::{Member, World, registry};

/// A clock by which it is later than it is.
struct Later {
    clock: Arc<dyn Clock>,
    ms: Arc<AtomicU64>,
}

impl Clock for Later {
    fn now(&self) -> Moment {
        self.clock.now()
    }

    fn wall_ms(&self) -> u64 {
        self.clock.wall_ms() + self.ms.load(Ordering::Relaxed)
    }

    fn sleep_until(&self, deadline: Moment) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(deadline)
    }
}

/// The module that runs programs, and the same with a section more that nothing reads.
fn modules() -> [Vec<u8>; 2] {
    let custom_section = [0, 5, 4, b'n', b'o', b't', b'e'];
    [
        transform::MODULE.to_vec(),
        [transform::MODULE, &custom_section].concat(),
    ]
}

async fn upgraded(world: &World, members: &[&Member], version: u32, module: &[u8]) {
    let digest = Digest::of(module);
    for (place, piece) in module.chunks(limits::MODULE_CHUNK_BYTES).enumerate() {
        let chunk = ModuleChunk {
            module: digest,
            bytes_total: module.len() as u64,
            at: (place * limits::MODULE_CHUNK_BYTES) as u64,
            bytes: Bytes::copy_from_slice(piece),
        };
        world.propose(members, Body::ModuleChunk(chunk)).await;
    }
    let mut manifest = transform::manifest();
    manifest.version = Version(version);
    let plan = PlanApplication {
        manifest,
        code: Code::Wasm {
            module: digest,
            meter: MeterNumber(1),
        },
        finalize: false,
    };
    let change = match world.propose(members, Body::PlanApplication(plan)).await {
        Decision::Planned(change) => change,
        other => panic!("not planned: {other:?}"),
    };
    for member in members {
        world.switched(member, change).await;
    }
    let finalize = ChangeStep {
        change,
        step: Step::Finalize,
        reason: "a test".to_owned(),
    };
    world.propose(members, Body::ChangeStep(finalize)).await;
}

/// What a program makes of a document.
async fn transformed(member: &Member) -> Bytes {
    let read = Read::Query {
        application: TRANSFORM.into(),
        query: TRANSFORM.into(),
        payload: [&8_u32.to_le_bytes()[..], b".sum + 1", br#"{"sum":2}"#].concat().into(),
    };
    let answer = member.cluster.read(read, Consistency::Linearizable).await;
    match answer.expect("the read is answered").value {
        ReadValue::Answer(bytes) => bytes,
        other => panic!("no answer: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_module_of_a_version_that_was_let_go_is_deleted_everywhere() {
    let mut world = World::new();
    let later = Arc::new(AtomicU64::new(0));
    world.environment.clock = Arc::new(Later {
        clock: world.environment.clock.clone(),
        ms: later.clone(),
    });
    let [a, b, c] = world.three_of(&[1, 2]).await;
    let [first, second] = modules();
    upgraded(&world, &[&a, &b, &c], 1, &first).await;
    upgraded(&world, &[&a, &b, &c], 2, &second).await;
    world
        .until(&a, "the first version's end", |_, catalog| {
            catalog.is_let_go(TRANSFORM, Version(1))
        })
        .await;
    let catalog = a.cluster.catalog();
    assert_eq!(catalog.modules.len(), 2, "somebody may be about to plan with it");

    later.store(limits::MODULE_IDLE_MS, Ordering::Relaxed);
    let (gone, stays) = (Digest::of(&first), Digest::of(&second));
    for member in [&a, &b, &c] {
        let is_gone = |catalog: &machine::Catalog| !catalog.modules.contains_key(&gone);
        world
            .until(member, "the module's end", |_, catalog| is_gone(catalog))
            .await;
        assert!(member.cluster.catalog().modules.contains_key(&stays));
    }
    world.agree(&[&a, &b, &c]).await;
    assert_eq!(transformed(&a).await, "3");

    // A node that starts again has nothing to make it of, nor a program that has version 1 of the adder linked in, and asks for neither.
    let change = world.plan(&[&a, &b, &c], 2).await;
    world.switched(&a, change).await;
    let finalize = ChangeStep {
        change,
        step: Step::Finalize,
        reason: "a test".to_owned(),
    };
    world.propose(&[&a, &b, &c], Body::ChangeStep(finalize)).await;
    world
        .until(&b, "the first adder's end", |_, catalog| {
            catalog.is_let_go("adder", Version(1))
        })
        .await;
    b.node.shutdown().await;
    drop(b.cluster);
    let b = world.start("b", &[2], None).await;
    assert_eq!(world.add(&[&a, &b, &c], 5).await, "10");
    world.agree(&[&a, &b, &c]).await;
    assert_eq!(transformed(&b).await, "3");

    // Replay has each module from the log, at its time.
    for member in [a, b, c] {
        member.node.shutdown().await;
        drop(member.cluster);
    }
    let archive = open(&world, "a").expect("nobody holds it any more");
    let (_, steps) = run(archive.replay(&registry(&[1, 2]), None, None).expect("from entry 1"));
    let proofs = proofs(&steps);
    assert!(proofs.iter().all(Proof::is_equal), "{proofs:#?}");
    assert_eq!(
        steps
            .iter()
            .flat_map(|step| &step.rules)
            .filter(|rule| rule.is_switch())
            .count(),
        4
    );
}
