//! Regular expressions: what `test`, `match`, `capture`, `scan`, `split`, `sub` and their like are defined by.

use jaq_core::{Error, ValR, ValT};
use jaq_json::Val;
use jaq_std::ValT as _;
use regex_lite::{Captures, Match, Regex, RegexBuilder};

/// What a search is to give, in the order of the text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// For each match an array: the match, then its groups.
    Matches,
    /// The texts between.
    Between,
    /// Both by turns.
    Both,
}

/// Searches a text.
pub(crate) fn search(text: &Val, expression: &Val, flags: &Val, wanted: Wanted) -> ValR<Val> {
    let text = read(text)?;
    let flags = match flags {
        Val::Null => Flags::default(),
        flags => Flags::read(read(flags)?)?,
    };
    let regex = flags.build(read(expression)?)?;
    let mut found = Vec::new();
    let mut characters = Characters { text, at: 0, count: 0 };
    let mut end = 0;
    for captures in regex.captures_iter(text) {
        let Some(whole) = captures.get(0) else { continue };
        if flags.skip_empty && whole.range().is_empty() {
            continue;
        }
        if wanted != Wanted::Matches {
            found.push(Val::from(text[end..whole.start()].to_owned()));
            end = whole.end();
        }
        if wanted != Wanted::Between {
            found.push(groups(&regex, &captures, whole, &mut characters)?);
        }
        if !flags.all {
            break;
        }
    }
    if wanted != Wanted::Matches {
        found.push(Val::from(text[end..].to_owned()));
    }
    Ok(found.into_iter().collect())
}

fn read(value: &Val) -> Result<&str, Error<Val>> {
    let bytes = value
        .as_utf8_bytes()
        .ok_or_else(|| Error::typ(value.clone(), "string"))?;
    std::str::from_utf8(bytes).map_err(Error::str)
}

/// The match and its groups, each as an object.
fn groups(regex: &Regex, captures: &Captures<'_>, whole: Match<'_>, characters: &mut Characters<'_>) -> ValR<Val> {
    let before = characters.before(whole.start());
    let described = captures.iter().zip(regex.capture_names()).map(|(group, name)| {
        let (offset, length, text) = match group {
            Some(group) => {
                let within = characters.text[whole.start()..group.start()].chars().count();
                let length = Val::from(group.as_str().chars().count());
                (Val::from(before + within), length, Val::from(group.as_str().to_owned()))
            }
            // The group took no part in the match.
            None => (Val::from(-1_isize), Val::from(0_isize), Val::Null),
        };
        let fields = [("offset", offset), ("length", length), ("string", text)];
        let name = name.map(|name| ("name", Val::from(name.to_owned())));
        Val::from_map(
            fields
                .into_iter()
                .chain(name)
                .map(|(key, value)| (Val::from(key.to_owned()), value)),
        )
    });
    described.collect()
}

/// Counts the characters of a text from its beginning on.
struct Characters<'t> {
    text: &'t str,
    /// So many bytes…
    at: usize,
    /// …are so many characters.
    count: usize,
}

impl Characters<'_> {
    /// Characters before a place that is not before the last one asked for.
    fn before(&mut self, end: usize) -> usize {
        self.count += self.text[self.at..end].chars().count();
        self.at = end;
        self.count
    }
}

/// What stands beside an expression, such as `"gi"`.
#[derive(Default)]
struct Flags {
    /// Not the first match alone.
    all: bool,
    skip_empty: bool,
    ignore_case: bool,
    lines: bool,
    dot_is_any: bool,
    swap_greed: bool,
    ignore_blanks: bool,
}

impl Flags {
    fn read(flags: &str) -> Result<Flags, Error<Val>> {
        let mut read = Flags::default();
        for flag in flags.chars() {
            match flag {
                'g' => read.all = true,
                'n' => read.skip_empty = true,
                'i' => read.ignore_case = true,
                'x' => read.ignore_blanks = true,
                's' => read.dot_is_any = true,
                'l' => read.swap_greed = true,
                'p' => (read.lines, read.dot_is_any) = (true, true),
                other => {
                    return Err(Error::str(format_args!(
                        "`{other}` is no flag of a regular expression: use g, i, l, n, p, s or x"
                    )));
                }
            }
        }
        Ok(read)
    }

    fn build(&self, expression: &str) -> Result<Regex, Error<Val>> {
        RegexBuilder::new(expression)
            .case_insensitive(self.ignore_case)
            .multi_line(self.lines)
            .dot_matches_new_line(self.dot_is_any)
            .swap_greed(self.swap_greed)
            .ignore_whitespace(self.ignore_blanks)
            .build()
            .map_err(|error| Error::str(format_args!("`{expression}` is no regular expression: {error}")))
    }
}
