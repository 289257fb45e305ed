//! The kept module, run as a node runs it: a fresh instance for each transform.

mod asking;
mod hostile;
mod numbers;

use std::path::Path;

use machine::{Applications, limits};

use asking::{Error, answer, call, payload};
use bytes::Bytes;

use super::*;
use crate::testing::Memory;
use crate::{Host, Registry};

/// Fuel that a small program on a small document may take.
const FUEL_SMALL: u64 = 1_500_000;

/// Runs transforms; one registry for all tests, so that the module is compiled once.
struct Fixture {
    host: Host,
    manifest: Manifest,
    code: Code,
}

impl Fixture {
    fn new() -> Fixture {
        static REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::new(Vec::new()));
        let (manifest, code) = (manifest(), code());
        REGISTRY
            .prepare(&manifest, &code, Some(MODULE))
            .expect("the kept module runs");
        Fixture {
            host: REGISTRY.host(),
            manifest,
            code,
        }
    }

    fn call(&mut self, payload: &[u8]) -> Result<Bytes, Error> {
        let outcome = self
            .host
            .call(&self.manifest, &self.code, call(payload), &mut Memory::default());
        self.host.end_entry();
        answer(outcome.expect("the engine works"))
    }

    /// The document and the fuel that it took.
    fn given(&mut self, program: &str, document: &str) -> (String, u64) {
        let answer = self.call(&payload(program, document.as_bytes()));
        let bytes = answer.unwrap_or_else(|error| panic!("{program}: {error}"));
        (
            String::from_utf8(bytes.to_vec()).expect("JSON is UTF-8"),
            self.host.fuel_spent(),
        )
    }
}

fn error(program: &str, document: &[u8]) -> Error {
    Fixture::new().call(&payload(program, document)).expect_err(program)
}

/// Code and text of a refusal.
fn refused(program: &str, document: &[u8]) -> (String, String) {
    match error(program, document) {
        Error::Refused { code, reason } => (code, reason),
        Error::Trapped(trap) => panic!("{program}: {trap:?}"),
    }
}

/// What each program makes of the document.
fn check(document: &str, cases: &[(&str, &str)]) {
    let mut fixture = Fixture::new();
    for (program, result) in cases {
        let (given, fuel) = fixture.given(program, document);
        assert_eq!(given, *result, "{program}");
        assert!(fuel < FUEL_SMALL, "{program}: {fuel}");
    }
}

const ADA: &str =
    r#"{"owner":"Ada King Lovelace","cents":1050,"tags":["b","a","b"],"address":{"city":"London","zip":null}}"#;

#[test]
fn fields_are_renamed_moved_removed_and_given_where_there_are_none() {
    check(
        ADA,
        &[
            (
                ".name = .owner | del(.owner, .tags, .address)",
                r#"{"cents":1050,"name":"Ada King Lovelace"}"#,
            ),
            (
                "{name: .owner} + del(.owner) | del(.tags)",
                r#"{"name":"Ada King Lovelace","cents":1050,"address":{"city":"London","zip":null}}"#,
            ),
            (
                ".currency //= \"USD\" | .cents //= 0 | {cents, currency}",
                r#"{"cents":1050,"currency":"USD"}"#,
            ),
            (
                ".home += {city: .address.city} | del(.address, .tags, .owner)",
                r#"{"cents":1050,"home":{"city":"London"}}"#,
            ),
            (
                "{balance: {amount: .cents, currency: (.currency // \"USD\")}}",
                r#"{"balance":{"amount":1050,"currency":"USD"}}"#,
            ),
            (".address.zip // \"none\"", r#""none""#),
            ("[has(\"owner\"), has(\"name\")]", "[true,false]"),
        ],
    );
}

#[test]
fn a_name_is_split_at_its_last_blank_and_joined_again() {
    check(
        ADA,
        &[
            (
                r#".owner | split(" ") | {first: (.[:-1] | join(" ") | if . == "" then null else . end), last: .[-1]}"#,
                r#"{"first":"Ada King","last":"Lovelace"}"#,
            ),
            (
                r#"{first: "Ada King", last: "Lovelace"} | {owner: [.first // empty, .last] | join(" ")}"#,
                r#"{"owner":"Ada King Lovelace"}"#,
            ),
            (
                r#".owner | capture("^(?<first>.*) (?<last>[^ ]*)$")"#,
                r#"{"first":"Ada King","last":"Lovelace"}"#,
            ),
            (
                r#".owner | sub("^(?<first>[^ ]+) "; "\(.first | ascii_upcase)-")"#,
                r#""ADA-King Lovelace""#,
            ),
            (r#".owner | test("love"; "i")"#, "true"),
            (r#".owner | ascii_downcase | ltrimstr("ada ")"#, r#""king lovelace""#),
        ],
    );
}

#[test]
fn lists_are_mapped_selected_sorted_and_folded() {
    check(
        ADA,
        &[
            ("[.tags[] | select(. != \"a\")]", r#"["b","b"]"#),
            ("[.tags[] | select(. == \"c\")][0] // \"none\"", r#""none""#),
            (".tags | map(. + \"!\") | unique", r#"["a!","b!"]"#),
            ("reduce .tags[] as $tag ({}; .[$tag] += 1)", r#"{"b":2,"a":1}"#),
            (".tags | group_by(.) | map({(.[0]): length}) | add", r#"{"a":1,"b":2}"#),
            ("[.address | to_entries[] | .key]", r#"["city","zip"]"#),
            (".address | with_entries(select(.value))", r#"{"city":"London"}"#),
            ("[paths] | length", "9"),
            ("[limit(3; range(10; 0; -3))]", "[10,7,4]"),
            (
                "[foreach .tags[] as $tag (0; . + 1; {$tag, at: .})] | .[1]",
                r#"{"tag":"a","at":2}"#,
            ),
            ("[.[] | try (. + 1) catch \"no\"]", r#"["no",1051,"no","no"]"#),
            (".address | tojson | fromjson | keys", r#"["city","zip"]"#),
            ("def twice(f): f | f; .cents | twice(. * 2)", "4200"),
            (
                "label $out | foreach .tags[] as $tag (0; . + 1; if $tag == \"a\" then ., break $out else empty end)",
                "2",
            ),
            ("[.. | strings | length] | add", "26"),
            (
                "walk(if type == \"array\" then sort else . end) | .tags",
                r#"["a","b","b"]"#,
            ),
        ],
    );
}

#[test]
fn a_program_that_is_none_says_where() {
    for (program, place, what) in [
        ("", "line 1, column 1", "term is expected before its end"),
        (".a |\n  .b =", "line 2, column 7", "term is expected before its end"),
        (".a)", "line 1, column 3", "before `)`"),
        ("[.a", "line 1, column 4", "closing bracket is expected"),
        ("if . then 1", "line 1, column 12", "else or end is expected"),
        (
            ".a\n| nothing(1; 2)",
            "line 2, column 3",
            "it uses nothing/2, which is not there",
        ),
        ("$x", "line 1, column 1", "variable $x"),
        ("break $x", "line 1, column 7", "label $x"),
        ("include \"a\"; .", "line 1, column 10", "a transform loads nothing"),
        (
            "import \"a\" as $a; $a",
            "line 1, column 9",
            "a transform loads nothing",
        ),
    ] {
        let (code, reason) = refused(program, b"{}");
        assert_eq!(code, "bad_program", "{program}");
        assert!(reason.contains(place) && reason.contains(what), "{program}: {reason}");
    }
}

#[test]
fn nothing_that_differs_between_nodes_or_leaves_them_is_there() {
    for (program, name) in [
        ("now", "now/0"),
        ("localtime", "localtime/0"),
        ("gmtime", "gmtime/0"),
        ("mktime", "mktime/0"),
        ("strftime(\"%Z\")", "strftime/1"),
        ("strflocaltime(\"%Z\")", "strflocaltime/1"),
        ("strptime(\"%Z\")", "strptime/1"),
        ("env", "env/0"),
        ("$ENV", "variable $ENV"),
        ("input", "input/0"),
        ("[inputs]", "inputs/0"),
        ("debug", "debug/0"),
        ("stderr", "stderr/0"),
        ("input_filename", "input_filename/0"),
        ("input_line_number", "input_line_number/0"),
        ("halt", "halt/0"),
        ("halt_error", "halt_error/0"),
        ("rand", "rand/0"),
    ] {
        let (code, reason) = refused(program, b"{}");
        assert_eq!(code, "bad_program", "{program}");
        assert!(reason.contains(name), "{program}: {reason}");
        assert!(reason.contains("the same on every node"), "{program}: {reason}");
    }
    // Those that jaq has under names of its own.
    for program in [
        "halt(1)",
        "debug_empty",
        "stderr_empty",
        "tobytes",
        "@base64",
        "escape_sh",
        "sin",
        "$__prog_args",
    ] {
        assert_eq!(refused(program, b"{}").0, "bad_program", "{program}");
    }
}

#[test]
fn a_program_that_fails_or_gives_not_one_result_says_so() {
    let (code, reason) = refused(".a.b", br#"{"a":[1]}"#);
    assert_eq!(code, "program_failed");
    assert_eq!(
        reason,
        r#"the program failed on this document: cannot index [1] with "b""#
    );
    // Other than in jq, an assignment makes no object where there is none.
    let (_, reason) = refused(".a.b = 1", b"{}");
    assert!(reason.contains("cannot use null as iterable"), "{reason}");
    let (_, reason) = refused(r#"error("no owner")"#, b"{}");
    assert_eq!(reason, "the program failed on this document: no owner");
    let (_, reason) = refused("error({code: 7})", b"{}");
    assert_eq!(reason, r#"the program failed on this document: {"code":7}"#);
    for (program, count) in [
        ("empty", "gave none results"),
        (".[]", "gave 3 results"),
        ("range(1000)", "gave more than 100 results"),
        ("repeat(.)", "gave more than 100 results"),
    ] {
        let (code, reason) = refused(program, b"[1,2,3]");
        assert_eq!(code, "not_one_result", "{program}");
        assert!(reason.contains(count), "{program}: {reason}");
    }
}

#[test]
fn a_document_or_a_result_that_is_no_json_is_refused() {
    for document in [&b""[..], b"{", b"NaN", b"1 2", b"\"\xff\""] {
        assert_eq!(refused(".", document).0, "bad_document");
    }
    assert_eq!(refused("nan", b"1").0, "result_not_json");
    let cut = Fixture::new().call(b"\x05\0\0\0.").expect_err("cut short");
    assert!(cut.to_string().contains("payload is too short"), "{cut}");
}

#[test]
fn the_manifest_here_is_the_one_that_is_kept() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps/transform/manifest.toml");
    let kept = std::fs::read_to_string(kept).expect("it is kept");
    let manifest = manifest();
    for line in [
        format!("application = \"{}\"", manifest.application),
        format!("version = {}", manifest.version),
        format!("about = \"{}\"", manifest.about),
        format!("[[queries]]\nname = \"{TRANSFORM}\""),
    ] {
        assert!(kept.contains(&line), "{line}");
    }
    assert!(
        !["commands", "tables", "streams"]
            .iter()
            .any(|items| kept.contains(items))
    );
    assert_eq!(manifest.check(), Ok(()));
}

#[test]
fn a_small_transform_takes_the_fuel_that_it_took() {
    let mut fixture = Fixture::new();
    let mut fuel = |program| fixture.given(program, ADA).1;
    let rename = fuel(".name = .owner | del(.owner)");
    assert_eq!(
        rename,
        fuel(".name = .owner | del(.owner)"),
        "a fresh instance spends the same"
    );
    expect_test::expect!["`.` 94731, rename 190188, split 509585"].assert_eq(&format!(
        "`.` {}, rename {rename}, split {}",
        fuel("."),
        fuel(r#".owner |= (split(" ") | {first: .[0], last: .[-1]})"#)
    ));
    assert!(rename < limits::FUEL_MAX / 500);
}
