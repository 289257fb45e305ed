use std::fmt::{self, Write};

use xxhash_rust::xxh3::Xxh3;

/// What happened, line by line: the same seed twice must give the same lines.
pub struct Trace {
    /// Of all lines so far.
    hash: Xxh3,
    lines: u64,
    /// The lines themselves, if they are wanted.
    kept: Option<String>,
    line: String,
}

impl Trace {
    /// A trace of which only the hash is kept, or every line.
    #[must_use]
    pub fn new(keep: bool) -> Trace {
        Trace {
            hash: Xxh3::new(),
            lines: 0,
            kept: keep.then(String::new),
            line: String::new(),
        }
    }

    /// Adds a line.
    pub fn add(&mut self, now: u64, what: fmt::Arguments<'_>) {
        self.line.clear();
        // Writing to a string does not fail.
        let _ = writeln!(self.line, "{now} {what}");
        self.hash.update(self.line.as_bytes());
        self.lines += 1;
        if let Some(kept) = &mut self.kept {
            kept.push_str(&self.line);
        }
    }

    /// The hash of all lines, and how many there were.
    #[must_use]
    pub fn sum(&self) -> (u64, u64) {
        (self.hash.digest(), self.lines)
    }

    /// The lines, if they were kept.
    #[must_use]
    pub fn text(&self) -> &str {
        self.kept.as_deref().unwrap_or_default()
    }
}
