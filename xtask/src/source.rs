//! As much of Rust's grammar as the rules need: code without comments and literals, `use` trees, functions.

/// A Rust source file with its comments and the insides of its literals blanked out; lines and columns stay.
pub struct Source {
    code: String,
    /// Bytes of `code` before the file's tests.
    untested: usize,
}

/// A function and how long it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub line: usize,
    pub lines: usize,
}

impl Source {
    pub fn parse(text: &str) -> Source {
        let code = blank(text);
        let untested = tests_start(&code).unwrap_or(code.len());
        Source { code, untested }
    }

    /// The whole file.
    pub fn whole(&self) -> &str {
        &self.code
    }

    /// The file up to its `#[cfg(test)] mod`, which the house puts last.
    pub fn before_tests(&self) -> &str {
        &self.code[..self.untested]
    }

    /// The tests of the file, if it has any within it.
    pub fn tests(&self) -> &str {
        &self.code[self.untested..]
    }

    pub fn line_of(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }

    /// Functions before the tests that have a body. An inner function counts for itself and for the outer one.
    pub fn functions(&self) -> Vec<Function> {
        let code = self.before_tests();
        let mut found = Vec::new();
        for at in words(code, "fn") {
            let rest = code[at + 2..].trim_start();
            let name: String = rest.chars().take_while(|&c| is_word(c)).collect();
            if name.is_empty() {
                continue; // a function pointer's type
            }
            if let Some(end) = body_end(&code[at..]) {
                found.push(Function {
                    name,
                    line: self.line_of(at),
                    lines: code[at..at + end].matches('\n').count() + 1,
                });
            }
        }
        found
    }
}

/// Offsets at which `word` stands as a word of its own (it may hold `::`, and then must begin a path).
pub fn words(code: &str, word: &str) -> Vec<usize> {
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(|&at| {
            let before = code[..at].chars().next_back();
            let after = code[at + word.len()..].chars().next();
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
        .collect()
}

/// Every path that the `use` items of `code` bring in, written out, with the item's offset.
pub fn uses(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in words(code, "use") {
        let item = &code[at + 3..];
        let Some(end) = item.find(';') else { continue };
        let mut paths = Vec::new();
        expand("", &item[..end], &mut paths);
        found.extend(paths.into_iter().map(|path| (at, path)));
    }
    found
}

fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    if let Some(open) = tree.find('{') {
        let prefix = format!("{prefix}{}", strip_spaces(&tree[..open]));
        let inside = tree[open + 1..]
            .trim_end()
            .strip_suffix('}')
            .unwrap_or(&tree[open + 1..]);
        for part in split_at_commas(inside) {
            expand(&prefix, part, paths);
        }
    } else if !tree.is_empty() {
        let path = tree.split(" as ").next().unwrap_or(tree);
        let path = strip_spaces(path);
        let path = format!("{prefix}{path}");
        paths.push(path.trim_end_matches("::self").trim_start_matches("::").to_owned());
    }
}

fn strip_spaces(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

fn split_at_commas(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where the tests begin: a `#[cfg(test)]` whose item is a module.
fn tests_start(code: &str) -> Option<usize> {
    code.match_indices("#[cfg(test)]").map(|(at, _)| at).find(|&at| {
        let item = code[at + "#[cfg(test)]".len()..].trim_start();
        item.starts_with("mod ") || item.starts_with("#[")
    })
}

/// Where the body of the function that `code` begins with ends; none if it is declared only.
fn body_end(code: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            ';' if depth == 0 => return None,
            // `[u8; 4]` in a signature is no end of it.
            '{' | '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Blanks comments and the insides of string and character literals.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        if end == at {
            out.push(bytes[at]);
            at += 1;
        } else {
            out.extend(bytes[at..end].iter().map(|&b| if b == b'\n' { b'\n' } else { b' ' }));
            at = end;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The end of the comment or literal that begins at `at`; `at` itself if none does.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let in_word = at > 0 && is_word(char::from(bytes[at - 1]));
    match rest {
        [b'/', b'/', ..] => at + position(rest, b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => at + block_comment(rest),
        [b'"', ..] => at + string(rest),
        [b'r', b'"' | b'#', ..] if !in_word => at + raw_string(rest, 1),
        [b'b', b'r', b'"' | b'#', ..] if !in_word => at + raw_string(rest, 2),
        [b'\'', ..] => at + character(rest),
        _ => at,
    }
}

fn position(bytes: &[u8], wanted: u8) -> Option<usize> {
    bytes.iter().position(|&b| b == wanted)
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `prefix` is the length of `r` or `br`. Gives 0 for a raw identifier such as `r#type`.
fn raw_string(rest: &[u8], prefix: usize) -> usize {
    let hashes = rest[prefix..].iter().take_while(|&&b| b == b'#').count();
    if rest.get(prefix + hashes) != Some(&b'"') {
        return 0;
    }
    let mut end = vec![b'"'];
    end.resize(1 + hashes, b'#');
    let start = prefix + hashes + 1;
    rest[start..]
        .windows(end.len())
        .position(|window| window == end)
        .map_or(rest.len(), |found| start + found + end.len())
}

/// Gives 0 for a lifetime.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return rest
            .iter()
            .skip(3)
            .position(|&b| b == b'\'')
            .map_or(0, |found| found + 4);
    }
    // One character of up to four bytes, then the closing quote; a lifetime has none there.
    let width = rest.get(1).map_or(0, |&first| match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    });
    if rest.get(1 + width) == Some(&b'\'') {
        width + 2
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank_and_code_stays() {
        let text = "let a = \"tokio::spawn { \\\" \"; // tokio::spawn\nlet b = '{'; let c: &'a str = r#\"fn x() {\"#; /* { /* { */ */ d";
        let source = Source::parse(text);
        assert_eq!(source.whole().len(), text.len());
        assert!(!source.whole().contains("tokio"));
        assert!(!source.whole().contains('{'));
        assert!(source.whole().contains("let c: &'a str"));
        assert!(source.whole().ends_with(" d"));
    }

    #[test]
    fn use_trees_are_written_out() {
        let paths: Vec<String> = uses("use std::{fmt, time::{self, Instant as Now}};\npub use tokio::net::*;")
            .into_iter()
            .map(|(_, path)| path)
            .collect();
        assert_eq!(paths, ["std::fmt", "std::time", "std::time::Instant", "tokio::net::*"]);
    }

    #[test]
    fn functions_are_measured_from_their_first_line_to_their_last() {
        let source = Source::parse(
            "trait T { fn declared(&self) -> [u8; 4]; }\nfn short() {}\nfn long(\n  a: [u8; 2],\n) {\n  if a { b }\n}\n",
        );
        let measured: Vec<(String, usize, usize)> = source
            .functions()
            .into_iter()
            .map(|f| (f.name, f.line, f.lines))
            .collect();
        assert_eq!(measured, [("short".to_owned(), 2, 1), ("long".to_owned(), 3, 5)]);
    }

    #[test]
    fn tests_are_left_out_and_a_test_only_item_is_not() {
        let source = Source::parse("#[cfg(test)]\nfn helper() {}\nfn a() {}\n#[cfg(test)]\nmod tests { fn b() {} }");
        assert_eq!(source.functions().len(), 2);
        assert!(source.whole().contains("fn b"));
    }
}
