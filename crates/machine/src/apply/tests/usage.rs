//! What clients send, counted.

use super::*;

#[test]
fn what_clients_send_is_counted_by_command_and_version_and_a_repeat_is_not() {
    let mut run = Run::new();
    run.switched(1, 1, &[]);
    let Output::Decision(Decision::SessionOpened(session)) = run.entry(Body::OpenSession).unwrap() else {
        panic!("no session");
    };
    let claim = Some(Claim {
        session,
        sequence: Sequence(1),
        settled: Sequence(1),
    });
    run.request(claim, "put", "a one");
    run.request(claim, "put", "a one");
    let before = run.machine.time();
    run.outcome("refuse", "a two");
    run.outcome("trap", "a two");
    run.outcome("unheard-of", "a two");
    let shown = |machine: &Machine| -> Vec<(String, u64, bool)> {
        let read = Read::Usage {
            application: "notes".into(),
        };
        let (mut notes, mut converter) = (Notes::default(), Notes::default());
        match machine.read(&read, &Rows::default(), &mut notes, &mut converter) {
            Ok(ReadValue::Usage(used)) => used
                .into_iter()
                .map(|one| (one.command, one.count, one.last > before))
                .collect(),
            other => panic!("{other:?}"),
        }
    };
    let expected = [("put", false), ("refuse", true), ("trap", true)];
    let expected = expected.map(|(command, is_later)| (command.to_owned(), 1, is_later));
    assert_eq!(shown(&run.machine), expected);
    run.machine.save(&mut run.rows);
    assert_eq!(shown(&Machine::load(&run.rows).unwrap()), expected);
    run.outcome("put", "a three");
    assert_eq!(shown(&run.machine)[0], ("put".to_owned(), 2, true));
}
