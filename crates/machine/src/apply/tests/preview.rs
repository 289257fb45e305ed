//! What a plan would come to is what it comes to.

use super::*;
use crate::change::{Preview, Verdict, preview};

fn plan_of(manifest: Manifest, finalize: bool) -> PlanApplication {
    PlanApplication {
        manifest,
        code: Code::Native,
        finalize,
    }
}

fn ahead(run: &Run, plan: &PlanApplication, safeguards: Safeguards) -> Preview {
    preview(run.machine.catalog(), plan, &safeguards)
}

/// The checks that did not come out well, by name.
fn remarks(preview: &Preview) -> Vec<(&'static str, Verdict)> {
    let unmet = preview.checks.iter().filter(|check| check.verdict != Verdict::Met);
    unmet.map(|check| (check.name, check.verdict)).collect()
}

const ON_TRAP: Safeguards = Safeguards {
    confirm_within_ms: None,
    revert_on_trap: true,
    refusals_max: None,
    allow_breaking: None,
    rehearse: None,
    verify_data: false,
    contract: None,
};

#[test]
fn a_plan_is_refused_for_the_first_thing_that_its_preview_refuses() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    let mut unnamed = Run::manifest(2, 1, &[]);
    unnamed.application = "No Name".into();
    let mut dropping = Run::manifest(1, 2, &[]);
    dropping.commands.pop();
    let mut other = Run::manifest(1, 1, &[]);
    other.about = "other".into();
    let module = Code::Wasm {
        module: Digest([1; 32]),
        meter: MeterNumber(2),
    };
    let metered = PlanApplication {
        code: module,
        ..plan_of(Run::manifest(2, 1, &[]), false)
    };
    let finalized = plan_of(Run::manifest(2, 1, &[]), true);
    let impatient = Safeguards {
        confirm_within_ms: Some(0),
        revert_on_trap: false,
        refusals_max: None,
        allow_breaking: None,
        rehearse: None,
        verify_data: false,
        contract: None,
    };
    let good = plan_of(Run::manifest(2, 1, &[]), false);
    for (plan, safeguards, refused) in [
        (plan_of(unnamed, false), ON_TRAP, &["manifest"][..]),
        (
            plan_of(dropping, false),
            ON_TRAP,
            &["newer", "number", "commands", "shapes"],
        ),
        (plan_of(other, false), ON_TRAP, &["newer", "number"]),
        (metered, ON_TRAP, &["module"]),
        (finalized, ON_TRAP, &["safeguards"]),
        (good.clone(), impatient, &["safeguards"]),
    ] {
        let preview = ahead(&run, &plan, safeguards.clone());
        let of: Vec<&str> = remarks(&preview)
            .into_iter()
            .filter(|(_, verdict)| *verdict == Verdict::Refused)
            .map(|(name, _)| name)
            .collect();
        assert_eq!(of, refused);
        let Decision::Refused { reason, .. } = run.control(Body::PlanGuarded(PlanGuarded { plan, safeguards })) else {
            panic!("planned, and {refused:?} was foretold");
        };
        let first = preview.checks.iter().find(|check| check.verdict == Verdict::Refused);
        assert_eq!(first.map(|check| &check.what), Some(&reason));
    }
    let preview = ahead(&run, &good, ON_TRAP);
    assert_eq!(remarks(&preview), []);
    let planned = run.control(Body::PlanGuarded(PlanGuarded {
        plan: good.clone(),
        safeguards: ON_TRAP,
    }));
    assert!(matches!(planned, Decision::Planned(_)));
    assert_eq!(
        remarks(&ahead(&run, &good, ON_TRAP)),
        [("no_other_change", Verdict::Refused)]
    );
}

#[test]
fn a_module_that_is_still_to_be_sent_is_pending() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    let code = Code::Wasm {
        module: Digest([1; 32]),
        meter: MeterNumber(1),
    };
    let plan = PlanApplication {
        code,
        ..plan_of(Run::manifest(2, 1, &[]), false)
    };
    let preview = ahead(&run, &plan, ON_TRAP);
    assert_eq!(remarks(&preview), [("module", Verdict::Pending)]);
}

#[test]
fn what_a_version_no_longer_gives_and_a_way_back_given_up_are_warned_of() {
    let mut run = Run::new();
    let mut first = Run::manifest(1, 1, &[]);
    first.queries = vec!["all".into(), "some".into()];
    let Decision::Planned(change) = run.plan_manifest(first) else {
        panic!("not planned");
    };
    run.ready(1, change);
    run.ready(2, change);
    assert_eq!(run.step(change, Step::Switch), "done");
    let mut bare = Run::manifest(2, 1, &[]);
    bare.queries = vec!["some".into(), "more".into()];
    bare.streams.clear();
    bare.tables.clear();
    let preview = ahead(&run, &plan_of(bare, true), Safeguards::default());
    let warned = ["queries", "streams", "tables", "way_back"].map(|name| (name, Verdict::Warning));
    assert_eq!(remarks(&preview), warned);
    let queries = preview.checks.iter().find(|check| check.name == "queries");
    assert!(
        queries.is_some_and(|check| check.what.contains("does not answer all,")),
        "{preview:?}"
    );
}

#[test]
fn the_steps_say_what_happens_and_what_would_undo_it() {
    let mut run = Run::new();
    let names = |preview: &Preview| -> Vec<&'static str> { preview.steps.iter().map(|step| step.name).collect() };
    let install = ahead(&run, &plan_of(Run::manifest(1, 1, &[]), false), Safeguards::default());
    assert_eq!(
        (install.from, names(&install)),
        (None, vec!["plan", "prepare", "switch"])
    );
    run.switched(1, 1, &[]);
    let guarded = Safeguards {
        confirm_within_ms: Some(600_000),
        revert_on_trap: true,
        refusals_max: None,
        allow_breaking: None,
        rehearse: None,
        verify_data: false,
        contract: None,
    };
    let reshaping = plan_of(Run::manifest(2, 2, &[1]), false);
    let upgrade = ahead(&run, &reshaping, guarded);
    assert_eq!(upgrade.from, Some(Version(1)));
    assert_eq!(names(&upgrade), ["plan", "prepare", "switch", "keep", "finalize"]);
    assert!(
        upgrade.steps[2].what.ends_with("notes from shape 1 to 2"),
        "{upgrade:?}"
    );
    let keep = "it goes back by itself at the very command on which version 2 traps and version 1 does not; unless it is \
                confirmed within 600 s of log time";
    assert_eq!(upgrade.steps[3].what, keep);
    let final_at_once = ahead(&run, &plan_of(Run::manifest(2, 1, &[]), true), Safeguards::default());
    assert_eq!(names(&final_at_once), ["plan", "prepare", "switch"]);
}

#[test]
fn what_breaks_clients_takes_a_reason_which_is_warned_of_and_kept() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    let mut dropping = Run::manifest(2, 1, &[]);
    dropping.commands.pop();
    let plan = plan_of(dropping, true);
    let because = |bytes: usize| Safeguards {
        allow_breaking: Some("w".repeat(bytes)),
        ..Safeguards::default()
    };
    let refused = remarks(&ahead(&run, &plan, Safeguards::default()));
    assert!(refused.contains(&("commands", Verdict::Refused)), "{refused:?}");
    for bytes in [0, crate::limits::REASON_BYTES_MAX + 1] {
        let refused = remarks(&ahead(&run, &plan, because(bytes)));
        assert!(refused.contains(&("safeguards", Verdict::Refused)), "{refused:?}");
    }
    let allowed = ahead(&run, &plan, because(crate::limits::REASON_BYTES_MAX));
    let names: Vec<&str> = remarks(&allowed).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["breaking", "way_back"]);
    let planned = run.control(Body::PlanGuarded(PlanGuarded {
        plan,
        safeguards: because(3),
    }));
    let Decision::Planned(change) = planned else {
        panic!("{planned:?}");
    };
    let history = &run.machine.catalog().changes[&change].history;
    let what = "planned: notes from version 1 to version 2, which drops refuse (payload version 1) (www)";
    assert_eq!(history[0].what, what);
    run.ready(1, change);
    run.ready(2, change);
    assert_eq!(run.step(change, Step::Switch), "done");
    assert_eq!(run.outcome("refuse", "a"), "failed unknown_command");
}
