//! Changes that look after themselves.

use machine::{Body, Catalog, ChangeId, Code, Decision, PlanApplication, PlanGuarded, Safeguards, Stage};

use crate::world::{Member, World, manifest};

async fn planned(world: &World, members: &[&Member], confirm_within_ms: u64) -> ChangeId {
    let body = Body::PlanGuarded(PlanGuarded {
        plan: PlanApplication {
            manifest: manifest(2),
            code: Code::Native,
            finalize: false,
        },
        safeguards: Safeguards {
            confirm_within_ms: Some(confirm_within_ms),
            revert_on_trap: false,
            refusals_max: None,
            allow_breaking: None,
            rehearse: None,
            verify_data: false,
            contract: None,
        },
    });
    match world.propose(members, body).await {
        Decision::Planned(change) => change,
        other => panic!("not planned: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_confirms_is_taken_back_though_nobody_writes() {
    let world = World::new();
    let a = world.start("a", &[1, 2], None).await;
    let b = world.start("b", &[1, 2], Some(&a.peer)).await;
    let c = world.start("c", &[1, 2], Some(&a.peer)).await;
    world.voters(&a, 3).await;
    let all = [&a, &b, &c];
    let installed = world.plan(&all, 1).await;
    world.switched(&a, installed).await;
    let change = planned(&world, &all, 300).await;
    for member in all {
        let reverted = |catalog: &Catalog| {
            catalog
                .changes
                .get(&change)
                .is_some_and(|it| it.stage == Stage::Reverted)
        };
        world
            .until(member, "the way back", |_, catalog| reverted(catalog))
            .await;
        let in_force = member
            .cluster
            .catalog()
            .in_force("adder")
            .map(|it| it.manifest.version.0);
        assert_eq!(in_force, Some(1));
    }
    world.agree(&all).await;
    for member in [a, b, c] {
        member.node.shutdown().await;
    }
}
