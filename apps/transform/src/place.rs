use std::fmt;

/// Characters of what stands at a place that are shown.
const SHOWN_MAX: usize = 24;

/// Where in a program something stands, for people: lines and characters count from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    line: usize,
    column: usize,
}

impl Place {
    /// Where `part` begins, which is a part of `program`; its end, for whatever is none.
    pub(crate) fn of(part: &str, program: &str) -> Place {
        let at = part.as_ptr().addr().checked_sub(program.as_ptr().addr());
        let before = at.and_then(|at| program.get(..at)).unwrap_or(program);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Place {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {}", self.line, self.column)
    }
}

/// The beginning of what stands there.
pub(crate) fn shown(part: &str) -> String {
    let line = part.lines().next().unwrap_or_default();
    match line.char_indices().nth(SHOWN_MAX) {
        _ if part.is_empty() => "its end".to_owned(),
        Some((end, _)) => format!("`{}…`", &line[..end]),
        None => format!("`{line}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, shown};

    #[test]
    fn lines_and_characters_count_from_one() {
        let program = "a |\n ü b";
        let of = |at: usize| Place::of(&program[at..], program).to_string();
        assert_eq!(of(0), "line 1, column 1");
        assert_eq!(of(2), "line 1, column 3");
        assert_eq!(of(4), "line 2, column 1");
        assert_eq!(of(8), "line 2, column 4");
        assert_eq!(of(program.len()), "line 2, column 5");
        assert_eq!(Place::of("elsewhere", program).to_string().split(',').count(), 2);
    }

    #[test]
    fn the_first_characters_are_shown() {
        assert_eq!(shown(""), "its end");
        assert_eq!(shown(". | now\n| x"), "`. | now`");
        assert_eq!(shown(&"ü".repeat(30)), format!("`{}…`", "ü".repeat(24)));
    }
}
