//! Programs and documents that would take a process with them: each ends within its limits, and the next one runs.

use machine::Trap;

use super::{Error, Fixture, payload, refused};

/// How it ends, which must not depend on anything but program and document.
fn end(program: &str, document: &[u8]) -> Trap {
    let mut fixture = Fixture::new();
    let mut end = || match fixture.call(&payload(program, document)) {
        Err(Error::Trapped(trap)) => trap,
        other => panic!("{program}: {other:?}"),
    };
    let trap = end();
    assert_eq!(trap, end(), "{program}");
    assert_eq!(fixture.given(".a", r#"{"a":1}"#).0, "1", "after {program}");
    trap
}

#[test]
fn a_program_that_does_not_end_uses_up_its_fuel() {
    for program in [
        "def f: f; f",
        "def f: 1 | f; f",
        "last(range(1e15))",
        "last(repeat(.))",
        "[limit(1; repeat(empty))]",
        "until(false; . + 1)",
        "reduce range(1000000000) as $x (0; . + $x)",
        "[range(1000)] | combinations(9) | empty",
        "first(range(1e18) | select(. < 0))",
    ] {
        assert_eq!(end(program, b"0"), Trap::Fuel, "{program}");
    }
}

#[test]
fn a_program_that_recurses_or_grows_without_end_traps() {
    for program in [
        "def f: [f]; f",
        "def f: 1 + f; f",
        "def f(g): f(g | g); f(.)",
        "def f: f | f; f",
        "[range(1e12)]",
        "[repeat(.)]",
        "\"x\" * 1000000000",
        "\"x\" * 60000000 | . + .",
        "def f: . + . | f; \"x\" | f",
        "reduce range(64) as $x (\"x\"; . + .)",
        "reduce range(64) as $x ([0]; . + .)",
        "last(recurse([.]))",
        "reduce range(1000000) as $x (1; . * 1000000007)",
        ". as $x | [range(100000)] | map($x * 1000000) | add",
        "\"a\" * 100000 | test(\"(a*)*(a*)*(a*)*b\")",
    ] {
        end(program, b"\"x\"");
    }
}

#[test]
fn a_program_or_a_document_that_nests_deep_traps() {
    let nested =
        |open: &str, middle: &str, close: &str| [&open.repeat(200_000), middle, &close.repeat(200_000)].concat();
    for program in [
        nested("[", "1", "]"),
        nested("(", "1", ")"),
        nested("-", "1", ""),
        nested("if ", ".", ""),
    ] {
        end(&program, b"0");
    }
    for document in [nested("[", "", "]"), nested("{\"a\":", "1", "}")] {
        end(".", document.as_bytes());
    }
}

#[test]
fn an_expression_that_would_grow_without_end_is_refused() {
    let (code, reason) = refused(r#"test("a{1000}{1000}{1000}")"#, b"\"a\"");
    assert_eq!(code, "program_failed");
    assert!(reason.contains("exceeded size limit"), "{reason}");
}

#[test]
fn a_document_that_an_application_can_read_is_not_too_deep() {
    // What an application's own reader takes nests 128 deep at most.
    let document = ["[".repeat(128), "]".repeat(128)].concat();
    let mut fixture = Fixture::new();
    assert_eq!(fixture.given(".", &document).0, document);
    assert_eq!(fixture.given("[.] | tojson | length", &document).0, "258");
    assert_eq!(fixture.given("[..] | length", &document).0, "128");
}
