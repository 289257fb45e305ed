//! Those of jq's functions that are defined in jq itself.
//!
//! They are kept as text, each by itself, and a program gets those that it names and what these name in turn: to read them
//! all would cost some ten times what a small program costs otherwise.

use jaq_core::load::{self, parse::Def};

/// A function's name, and its definitions for each number of arguments, after jaq's (MIT licence, see NOTICE.md). Each names
/// only itself, those above it, and the functions of [`functions`](crate::functions).
const DEFINITIONS: &[(&str, &str)] = &[
    ("empty", "def empty: {}[] as $x | .;"),
    ("null", "def null: [][0];"),
    ("true", "def true: 0 == 0;"),
    ("false", "def false: 0 != 0;"),
    ("not", "def not: if . then false else true end;"),
    (
        "error",
        "def error: error_empty as $x | .; def error(msgs): (msgs | error_empty) as $x | .;",
    ),
    ("select", "def select(f): if f then . else empty end;"),
    ("tostring", r#"def tostring: "\(.)";"#),
    // Kinds of values, by their order: null, false, true, numbers, texts, arrays, objects.
    ("isboolean", "def isboolean: . == true or . == false;"),
    ("isnumber", r#"def isnumber: . > true and . < "";"#),
    ("isstring", r#"def isstring: . >= "" and . < [];"#),
    ("isarray", "def isarray: . >= [] and . < {};"),
    ("isobject", "def isobject: . >= {};"),
    (
        "type",
        r#"def type: if . == null then "null" elif isboolean then "boolean" elif . < "" then "number"
            elif . < [] then "string" elif . < {} then "array" else "object" end;"#,
    ),
    ("values", "def values: select(. != null);"),
    ("nulls", "def nulls: select(. == null);"),
    ("booleans", "def booleans: select(isboolean);"),
    ("numbers", "def numbers: select(isnumber);"),
    ("strings", "def strings: select(isstring);"),
    ("arrays", "def arrays: select(isarray);"),
    ("objects", "def objects: select(isobject);"),
    ("iterables", "def iterables: select(. >= []);"),
    ("scalars", "def scalars: select(. < []);"),
    // Numbers.
    ("nan", "def nan: 0 / 0;"),
    ("infinite", "def infinite: 1 / 0;"),
    ("isnan", "def isnan: . < nan and nan < .;"),
    ("isinfinite", "def isinfinite: . == infinite or . == -infinite;"),
    ("isfinite", "def isfinite: isnumber and (isinfinite | not);"),
    (
        "isnormal",
        "def isnormal: isnumber and ((. == 0 or isnan or isinfinite) | not);",
    ),
    ("finites", "def finites: select(isfinite);"),
    ("normals", "def normals: select(isnormal);"),
    ("abs", "def abs: if . < 0 then - . end;"),
    // One value after the other.
    (
        "range",
        "def range(from; to): range(from; to; 1); def range(to): range(0; to; 1);",
    ),
    ("repeat", "def repeat(f): def rec: f, rec; rec;"),
    (
        "recurse",
        "def recurse(f): def rec: ., (f | rec); rec; def recurse: recurse(.[]?);
            def recurse(f; cond): recurse(f | select(cond));",
    ),
    (
        "while",
        "def while(cond; update): def rec: if cond then ., (update | rec) else empty end; rec;",
    ),
    (
        "until",
        "def until(cond; update): def rec: if cond then . else update | rec end; rec;",
    ),
    ("isempty", "def isempty(g): first((g | false), true);"),
    (
        "all",
        "def all(g; cond): isempty(g | cond and empty); def all(cond): all(.[]; cond); def all: all(.[]; .);",
    ),
    (
        "any",
        "def any(g; cond): isempty(g | cond or empty) | not; def any(cond): any(.[]; cond); def any: any(.[]; .);",
    ),
    ("add", "def add(f): reduce f as $x (null; . + $x); def add: add(.[]);"),
    // Paths, and changes along them.
    (
        "paths",
        "def paths: skip(1; path(..));
            def paths(p): skip(1; path_value(..)) | if .[1] | p then .[0] else empty end;",
    ),
    ("getpath", "def getpath($path): reduce $path[] as $p (.; .[$p]);"),
    ("setpath", "def setpath($path; $x): getpath($path) = $x;"),
    (
        "pick",
        "def pick(f): reduce path_value(f) as [$path, $value] ({};
            . * reduce ($path | reverse[]) as $p ($value; {($p): .}));",
    ),
    ("map", "def map(f): [.[] | f];"),
    ("map_values", "def map_values(f): .[] |= f;"),
    ("walk", "def walk(f): .. |= f;"),
    ("del", "def del(f): delpaths([path(f)]);"),
    // Arrays.
    ("first", "def first: .[0];"),
    ("last", "def last: .[-1];"),
    ("nth", "def nth(n): .[n]; def nth(n; g): first(skip(n; g));"),
    (
        "join",
        r#"def join($s): .[] |= tostring | .[:-1][] += $s | reduce .[] as $x (""; . + $x);"#,
    ),
    (
        "combinations",
        "def combinations: .[][] |= [.] | reduce .[] as $a ([]; . + $a[]);
            def combinations($n): [limit($n; repeat(.))] | combinations;",
    ),
    ("min_by", "def min_by(f): reduce min_by_or_empty(f) as $x (null; $x);"),
    ("max_by", "def max_by(f): reduce max_by_or_empty(f) as $x (null; $x);"),
    ("min", "def min: min_by(.);"),
    ("max", "def max: max_by(.);"),
    ("unique_by", "def unique_by(f): [group_by(f)[] | .[0]];"),
    ("unique", "def unique: unique_by(.);"),
    (
        "flatten",
        "def flatten: [recurse(arrays[]) | select(isarray | not)];
            def flatten($d): if $d > 0 then map(if isarray then flatten($d - 1) else [.] end) | add end;",
    ),
    (
        "transpose",
        "def transpose: [range([.[] | length] | max) as $i | [.[][$i]]];",
    ),
    ("in", "def in(xs): . as $x | xs | has($x);"),
    ("inside", "def inside(xs): . as $x | xs | contains($x);"),
    ("index", "def index($i): indices($i)[0];"),
    ("rindex", "def rindex($i): indices($i)[-1];"),
    // Objects.
    ("keys", "def keys: keys_unsorted | sort;"),
    (
        "to_entries",
        "def to_entries: [key_values[] as [$key, $value] | { $key, $value }];",
    ),
    (
        "from_entries",
        "def from_entries: reduce (.[] | { (.key): .value }) as $x ({}; . + $x);",
    ),
    (
        "with_entries",
        "def with_entries(f): to_entries | map(f) | from_entries;",
    ),
    // From one kind into another.
    (
        "totype",
        "def totype(p; e): if p then . else fromjson | if p then . else e end end;",
    ),
    (
        "tonumber",
        r#"def tonumber: totype(isnumber; error("cannot parse as number"));"#,
    ),
    (
        "toboolean",
        r#"def toboolean: totype(isboolean; error("cannot parse as boolean"));"#,
    ),
    ("@text", r#"def @text: "\(.)";"#),
    ("@json", "def @json: tojson;"),
    // Texts, by regular expressions.
    (
        "capture_of_match",
        "def capture_of_match: map(select(.name) | { (.name): .string }) | add + {};",
    ),
    (
        "test",
        r#"def test(re; flags): matches(re; flags) | any; def test(re): test(re; "");"#,
    ),
    (
        "scan",
        r#"def scan(re; flags): matches(re; "g" + flags)[] | if length > 1 then [.[1:][].string] else .[0].string end;
            def scan(re): scan(re; "");"#,
    ),
    (
        "match",
        r#"def match(re; flags): matches(re; flags)[] | .[0] + { captures: .[1:] }; def match(re): match(re; "");"#,
    ),
    (
        "capture",
        r#"def capture(re; flags): matches(re; flags)[] | capture_of_match; def capture(re): capture(re; "");"#,
    ),
    (
        "split",
        r#"def split($sep): if isstring and ($sep | isstring) then . / $sep
            else error("cannot split: the text and its separator must be text") end;
            def split(re; flags): split_(re; flags + "g");"#,
    ),
    (
        "splits",
        r#"def splits(re; flags): split(re; flags)[]; def splits(re): splits(re; "");"#,
    ),
    (
        "sub",
        r#"def sub(re; f; flags): def handle: if isarray then capture_of_match | f end;
            reduce split_matches(re; flags)[] as $x (""; . + ($x | handle));
            def sub(re; f): sub(re; f; "");"#,
    ),
    (
        "gsub",
        r#"def gsub(re; f; flags): sub(re; f; "g" + flags); def gsub(re; f): sub(re; f; "g");"#,
    ),
];

/// The definitions that a program needs. Whatever looks like a name counts as one, also in a text: one too many does no harm.
pub(crate) fn used_by(program: &str) -> Vec<Def<&'static str>> {
    let mut used = [false; DEFINITIONS.len()];
    mark(program, DEFINITIONS.len(), &mut used);
    // A definition names only those above it, so one pass from the last to the first finds all.
    for at in (0..DEFINITIONS.len()).rev() {
        if used[at] {
            mark(DEFINITIONS[at].1, at, &mut used);
        }
    }
    let texts = DEFINITIONS.iter().zip(used).filter(|(_, used)| *used);
    texts
        .filter_map(|((_, text), _)| load::parse(*text, |parser| parser.defs()))
        .flatten()
        .collect()
}

/// Marks those of the first `end` definitions that `text` names.
fn mark(text: &str, end: usize, used: &mut [bool]) {
    for name in names(text) {
        if let Some(at) = DEFINITIONS[..end].iter().position(|(defined, _)| *defined == name) {
            used[at] = true;
        }
    }
}

/// Whatever looks like a function's name; fields (`.name`) and variables (`$name`) do not.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let mut before = None;
    let parts = text.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '@'));
    parts.filter_map(move |part| {
        let name = part.trim_end_matches(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let is_other = matches!(before, Some('.' | '$'));
        before = part.chars().next_back();
        (!is_other && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '@')).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program;

    fn used(program: &str) -> Vec<&'static str> {
        used_by(program).into_iter().map(|definition| definition.name).collect()
    }

    #[test]
    fn each_definition_is_one_of_its_name_and_compiles_with_those_above_it() {
        for (name, text) in DEFINITIONS {
            for definition in load::parse(*text, |parser| parser.defs()).expect("it parses") {
                assert_eq!(definition.name, *name);
                let arguments = vec!["."; definition.args.len()].join("; ");
                let call = if arguments.is_empty() {
                    (*name).to_owned()
                } else {
                    format!("{name}({arguments})")
                };
                assert!(program::compile(&call).is_ok(), "{call}");
            }
        }
    }

    #[test]
    fn a_program_gets_what_it_names_and_what_that_names() {
        assert_eq!(used(".a"), Vec::<&str>::new());
        assert_eq!(used("map(.a)"), ["map"]);
        assert_eq!(used(".first | $last | .[0].min"), Vec::<&str>::new());
        assert_eq!(used("unique"), ["unique_by", "unique"]);
        assert_eq!(used("@json \"\\(map_values(.))\""), ["map_values", "@json"]);
    }
}
