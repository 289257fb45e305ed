//! On the machine that builds it; the module itself is tried by the tests of crate `host`.

use super::*;
use sdk::testing::MemoryHost;

fn payload(program: &str, document: &str) -> Vec<u8> {
    let length = u32::try_from(program.len()).expect("short");
    [&length.to_le_bytes(), program.as_bytes(), document.as_bytes()].concat()
}

fn ask(payload: &[u8]) -> Result<String, String> {
    let mut host = MemoryHost::new(&[], &[]);
    let query = Query { name: QUERY, payload };
    let reply = Transform.query(&mut Context::new(&mut host), query);
    let reply = reply.map(|reply| String::from_utf8(reply.into_bytes()).expect("JSON is UTF-8"));
    reply.map_err(|refusal| refusal.to_string())
}

fn given(program: &str, document: &str) -> String {
    ask(&payload(program, document)).unwrap_or_else(|refusal| panic!("{program}: {refusal}"))
}

fn refused(program: &str, document: &str) -> String {
    ask(&payload(program, document)).expect_err(program)
}

#[test]
fn a_payload_that_is_cut_short_is_refused() {
    for bytes in [&b""[..], b"\x01\0\0", b"\x02\0\0\0."] {
        assert!(
            ask(bytes).is_err_and(|refusal| refusal.contains("malformed")),
            "{bytes:?}"
        );
    }
    let refusal = ask(b"\x02\0\0\0.\xff{}").expect_err("not UTF-8");
    assert!(refusal.contains("after its first 1 bytes"), "{refusal}");
    assert_eq!(ask(b"\x01\0\0\0.1").as_deref(), Ok("1"));
}

#[test]
fn del_removes_all_at_once_and_keeps_the_order() {
    let document = r#"{"a":1,"b":{"c":2,"d":3},"e":[0,1,2,3,4]}"#;
    for (program, result) in [
        ("del(.a)", r#"{"b":{"c":2,"d":3},"e":[0,1,2,3,4]}"#),
        ("del(.a, .b.c)", r#"{"b":{"d":3},"e":[0,1,2,3,4]}"#),
        ("del(.e[0, 2, -1]) | .e", "[1,3]"),
        ("del(.e[1:3]) | .e", "[0,3,4]"),
        ("del(.e[] | select(. < 3)) | .e", "[3,4]"),
        ("del(.x, .x.y, .b.x.y, .e[9], .e[-9]) == .", "true"),
        ("del(.)", "null"),
        ("del(..) ", "null"),
        (r#"delpaths([["b"], ["b", "c"]])"#, r#"{"a":1,"e":[0,1,2,3,4]}"#),
    ] {
        assert_eq!(given(program, document), result, "{program}");
    }
    assert!(refused("del(.a.b)", document).contains("cannot index 1"));
}

#[test]
fn regular_expressions_find_what_jq_finds() {
    for (program, result) in [
        (r#"test("L.*e$")"#, "true"),
        (r#"test("l.*E$"; "i")"#, "true"),
        (r#"test("l.*E$"; null)"#, "false"),
        (
            r#"["Zoëe" | match("(?<x>e)|(o)"; "g") | [.offset, .length, (.captures | map([.name, .string, .offset]))]]"#,
            r#"[[1,1,[["x",null,-1],[null,"o",1]]],[3,1,[["x","e",3],[null,null,-1]]]]"#,
        ),
        (
            r#"capture("(?<first>.*) (?<last>.*)")"#,
            r#"{"first":"Zoë","last":"Lovelace"}"#,
        ),
        (r#"[scan("[aeo].")]"#, r#"["ov","el","ac"]"#),
        (r#"[scan("([aeo])(.)")]"#, r#"[["o","v"],["e","l"],["a","c"]]"#),
        (r#"split(" +"; null)"#, r#"["Zoë","Lovelace"]"#),
        (r#"split(" ")"#, r#"["Zoë","Lovelace"]"#),
        (r#"[splits("[oe]")]"#, r#"["Z","ë L","v","lac",""]"#),
        (r#"sub("(?<v>[aeo])"; "<\(.v)>")"#, r#""Z<o>ë Lovelace""#),
        (r#"gsub("[aeo]"; "")"#, r#""Zë Lvlc""#),
        (r#"gsub("(?<l>.)"; "\(.l)-")"#, r#""Z-o-ë- -L-o-v-e-l-a-c-e-""#),
    ] {
        assert_eq!(given(program, r#""Zoë Lovelace""#), result, "{program}");
    }
    assert!(refused(r#"test("(")"#, r#""""#).contains("is no regular expression"));
    assert!(refused(r#"test("a"; "q")"#, r#""""#).contains("`q` is no flag"));
    assert!(refused(r#"test("a")"#, "1").contains("cannot use 1 as string"));
}

#[test]
fn documents_are_strictly_json() {
    for document in [
        "", "{", "{a:1}", "[1,]", "NaN", "01", "+1", "# 1\n1", "b\"\"", "1 2", "{1:2}", "\"\t\"", "1.",
    ] {
        assert!(refused(".", document).contains("is not JSON"), "{document}");
    }
    assert!(refused(".", r#""\ud800""#).contains("is not JSON"));
    let refusal = ask(b"\x01\0\0\0.\"\xff\"").expect_err("not UTF-8");
    assert!(refusal.contains("not UTF-8 after its first 1 bytes"), "{refusal}");
}

#[test]
fn results_are_strictly_json() {
    for (program, what) in [
        ("nan", "NaN"),
        ("[-infinite]", "a number without end"),
        (". + 1", "a number without end"),
        (r#""b\"\\xff\"" | fromjson"#, "bytes that are no text"),
        (r#"{"1": 2} | with_entries(.key |= tonumber)"#, "a key that is no text"),
        ("[-255] | implode", "a text that is not UTF-8"),
    ] {
        let refusal = refused(program, "1e1000");
        assert!(
            refusal.contains("result_not_json") && refusal.contains(what),
            "{program}: {refusal}"
        );
    }
    assert_eq!(given(r#""\u0000\"\\\n\u007f/""#, "1"), "\"\\u0000\\\"\\\\\\n\u{7f}/\"");
    assert_eq!(given("[007.5, -0.5, (\"+1.5\" | tonumber)]", "1"), "[7.5,-0.5,1.5]");
}

#[test]
fn an_error_of_any_length_is_shown_in_short() {
    let refusal = refused("error(\"ü\" * 100000)", "1");
    assert!(
        refusal.len() < 2 * ERROR_BYTES_MAX && refusal.contains("ü…"),
        "{refusal}"
    );
}
