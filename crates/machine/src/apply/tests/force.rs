//! A version that takes over without an entry.

use super::*;

fn force(run: &mut Run, version: u32, shape: u16, converts: &[u16]) -> Result<(), String> {
    let forced = run.machine.force_version(
        Run::manifest(version, shape, converts),
        Contract::default(),
        Code::Native,
    );
    forced.map_err(|refusal| match refusal {
        Decision::Refused { code, .. } => code.to_owned(),
        other => panic!("{other:?}"),
    })
}

#[test]
fn a_forced_version_answers_from_the_next_entry_on_and_takes_no_index() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    run.outcome("put", "a one");
    let applied = run.machine.applied();
    assert_eq!(force(&mut run, 2, 2, &[1]), Ok(()));
    assert_eq!(run.machine.applied(), applied);
    assert_eq!(run.outcome("put", "b two"), "applied ");
    assert_eq!(run.stored("a"), "one in shape 1");
    assert_eq!(run.stored("b"), "2/two in shape 2");
    assert_eq!(run.outcome("put", "a three"), "applied 2/one");
    // There is no way back that writes would have to keep open.
    assert_eq!(run.outcome("put", "a bad"), "applied 2/three");
}

#[test]
fn what_runs_of_its_application_ends_and_what_a_plan_would_be_refused_is_refused() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    let planned = run.planned(2, 1, &[]);
    assert_eq!(force(&mut run, 3, 1, &[]), Ok(()));
    let stage = |run: &Run, change| run.machine.catalog().changes[&change].stage;
    assert_eq!(stage(&run, planned), Stage::Aborted);
    let switched = run.switched(4, 1, &[]);
    let before = run.machine.catalog().clone();
    assert_eq!(force(&mut run, 4, 1, &[]), Err("version_not_newer".to_owned()));
    assert_eq!(force(&mut run, 5, 2, &[]), Err("shape_not_converted".to_owned()));
    assert_eq!(*run.machine.catalog(), before, "nothing of it was done");
    assert_eq!(force(&mut run, 5, 1, &[]), Ok(()));
    assert_eq!(stage(&run, switched), Stage::Finalized);
}

#[test]
fn the_requests_of_an_entry_are_seen_without_applying_it() {
    let request = Request {
        claim: None,
        application: "notes".into(),
        command: "put".into(),
        version: 1,
        payload: Bytes::from_static(b"a one"),
    };
    let bytes = |body| Entry { time: TimeMs(1), body }.to_bytes();
    let requests = bytes(Body::Requests(vec![request.clone(), request.clone()]));
    assert!(RequestView::is_of(&requests));
    let seen = RequestView::all(&requests).unwrap().unwrap();
    assert_eq!(
        seen.iter().map(RequestView::to_request).collect::<Vec<_>>(),
        [request.clone(), request]
    );
    assert!(RequestView::all(&requests[..requests.len() - 1]).is_err());
    let tick = bytes(Body::Tick);
    assert!(!RequestView::is_of(&tick) && RequestView::all(&tick).unwrap().is_none());
    assert!(!RequestView::is_of(&[]));
}
