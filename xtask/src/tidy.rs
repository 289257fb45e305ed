//! Lengths of files and functions, names of files, paths in texts, and limits that no test meets.

mod exemptions;
mod limits;

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::repository;
use crate::source::Source;
use exemptions::Exemptions;
use limits::Limits;

/// Lines that a file may have before its tests.
const FILE_LINES_MAX: usize = 800;
/// Lines that a function may have.
const FUNCTION_LINES_MAX: usize = 70;
/// Names that say nothing of what is in a file.
const EMPTY_NAMES: [&str; 8] = [
    "utils", "util", "common", "helpers", "helper", "misc", "shared", "stuff",
];
/// Beginnings of paths that exist on somebody's machine only, put together here so that this file names none.
const PRIVATE_PATHS: [&str; 5] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/"),
    concat!("C:\\Us", "ers\\"),
];

/// Everything that is out of order.
pub fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut exemptions = Exemptions::read(root)?;
    let mut limits = Limits::read(root)?;
    let mut problems = Vec::new();
    for path in repository::files(root)? {
        let bytes = fs::read(root.join(&path)).with_context(|| format!("cannot read {path}"))?;
        problems.extend(check_private_paths(&path, &bytes));
        if path.ends_with(".rs") {
            let text = String::from_utf8_lossy(&bytes);
            problems.extend(check_name(&path));
            problems.extend(check_lengths(&path, &text, &mut exemptions));
            limits.note(&path, &text);
        }
    }
    problems.extend(exemptions.unused());
    problems.extend(limits.problems());
    if root.join("ARCHITECTURE.md").exists() {
        problems.extend(check_architecture(root, &repository::read(root, "ARCHITECTURE.md")?));
    }
    Ok(problems)
}

fn check_name(path: &str) -> Option<String> {
    let empty = path
        .split('/')
        .map(|part| part.strip_suffix(".rs").unwrap_or(part))
        .find(|part| EMPTY_NAMES.contains(part))?;
    Some(format!(
        "{path}: the name {empty:?} says nothing; name it after what is in it"
    ))
}

fn check_lengths(path: &str, text: &str, exemptions: &mut Exemptions) -> Vec<String> {
    if crate::arrows::is_test(path) {
        return Vec::new();
    }
    let source = Source::parse(text);
    let mut problems = Vec::new();
    let lines = source.before_tests().lines().count();
    if lines > exemptions.lines_of_file(path, lines).unwrap_or(FILE_LINES_MAX) {
        problems.push(format!(
            "{path}: {lines} lines before its tests, more than {FILE_LINES_MAX}: split it by what its parts are about"
        ));
    }
    for function in source.functions() {
        let allowed = exemptions.lines_of_function(path, &function.name, function.lines);
        if function.lines > allowed.unwrap_or(FUNCTION_LINES_MAX) {
            problems.push(format!(
                "{path}:{}: function {} has {} lines, more than {FUNCTION_LINES_MAX}: keep the branches, move straight lines out",
                function.line, function.name, function.lines
            ));
        }
    }
    problems
}

fn check_private_paths(path: &str, bytes: &[u8]) -> Vec<String> {
    let named = |private: &&&str| bytes.windows(private.len()).any(|window| window == private.as_bytes());
    PRIVATE_PATHS
        .iter()
        .filter(named)
        .map(|private| format!("{path}: names a path under {private}, which exists on one machine only"))
        .collect()
}

/// Every path between backticks in ARCHITECTURE.md exists.
fn check_architecture(root: &Path, text: &str) -> Vec<String> {
    paths_named(text)
        .into_iter()
        .filter(|path| !root.join(path).exists())
        .map(|path| format!("ARCHITECTURE.md: names {path}, which does not exist"))
        .collect()
}

fn paths_named(text: &str) -> Vec<&str> {
    let is_path = |word: &&str| {
        word.contains('/')
            && !word.starts_with('/')
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c))
    };
    text.split('`').skip(1).step_by(2).filter(is_path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exempt(text: &str) -> Exemptions {
        Exemptions::parse(text).unwrap()
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_are_not_counted() {
        let long = "const A: u8 = 1;\n".repeat(FILE_LINES_MAX + 1);
        assert_eq!(check_lengths("a.rs", &long, &mut exempt("")).len(), 1);
        let tested = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}");
        assert_eq!(check_lengths("a.rs", &tested, &mut exempt("")), Vec::<String>::new());
    }

    #[test]
    fn a_long_function_is_found_and_an_exemption_is_a_ceiling() {
        let long = format!("fn a() {{\n{}}}\n", "b();\n".repeat(FUNCTION_LINES_MAX));
        let exemption = |lines: usize| {
            format!("[[function]]\npath = \"a.rs\"\nname = \"a\"\nlines = {lines}\nreason = \"one table\"\n")
        };
        assert_eq!(check_lengths("a.rs", &long, &mut exempt("")).len(), 1);
        assert_eq!(check_lengths("a.rs", &long, &mut exempt(&exemption(71))).len(), 1);
        assert_eq!(
            check_lengths("a.rs", &long, &mut exempt(&exemption(72))),
            Vec::<String>::new()
        );
    }

    #[test]
    fn an_exemption_that_nothing_needs_is_found() {
        let mut exemptions = exempt("[[file]]\npath = \"a.rs\"\nlines = 900\nreason = \"r\"\n");
        check_lengths("a.rs", "fn a() {}", &mut exemptions);
        assert_eq!(exemptions.unused().len(), 1);
        assert!(
            Exemptions::parse("[[file]]\npath = \"a.rs\"\nlines = 900\n").is_err(),
            "a reason is needed"
        );
    }

    #[test]
    fn empty_names_are_found() {
        assert!(check_name("crates/node/src/utils.rs").is_some());
        assert!(check_name("crates/node/src/helpers/clock.rs").is_some());
        assert!(check_name("crates/node/src/driver.rs").is_none());
    }

    #[test]
    fn private_paths_are_found_in_any_bytes() {
        let text = format!("\0{}somebody/x\u{7f}", PRIVATE_PATHS[0]);
        assert_eq!(check_private_paths("a.wasm", text.as_bytes()).len(), 1);
        assert_eq!(check_private_paths("a.md", b"GET /v1/status"), Vec::<String>::new());
    }

    #[test]
    fn a_path_that_is_gone_is_found_in_the_architecture_page() {
        let text = "The rooms: `xtask/src/tidy.rs`, `crates/attic/src/lib.rs`, `GET /v1/status`, `/v1`.";
        assert_eq!(check_architecture(&repository::root(), text).len(), 1);
    }
}
