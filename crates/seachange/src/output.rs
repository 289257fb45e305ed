//! Lines for people and for programs. A reader that went away is an error here, not a panic.

use std::io::{IsTerminal, Write};

use serde::Serialize;

/// Writes a line to standard output.
///
/// # Errors
/// Standard output is gone.
pub fn line(text: impl AsRef<str>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_ref().as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

/// Writes a value as one line of JSON to standard output.
///
/// # Errors
/// Standard output is gone.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string(value)?)
}

/// Writes a line about the progress to standard error, where it does not mix with the result. That nobody reads it is
/// no error.
pub fn progress(text: impl AsRef<str>) {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "{}", text.as_ref());
}

/// A line on standard error that is written over again while something goes on; quiet where that is no terminal.
#[derive(Debug)]
pub struct Ticker {
    live: bool,
}

impl Ticker {
    /// A line that shows itself on a terminal only.
    #[must_use]
    pub fn new(quiet: bool) -> Ticker {
        Ticker {
            live: !quiet && std::io::stderr().is_terminal(),
        }
    }

    /// Shows `text` in place of what was shown last.
    pub fn show(&self, text: impl AsRef<str>) {
        if self.live {
            let mut out = std::io::stderr().lock();
            let _ = write!(out, "\r\x1b[2K{}", text.as_ref());
            let _ = out.flush();
        }
    }

    /// Takes the line away.
    pub fn clear(&self) {
        self.show("");
    }
}

/// Columns, each as wide as its widest cell; the first row is the heading.
#[must_use]
pub fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// An application's bytes for people: as text if they are, else how many there are.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("({} bytes that are no text; --json shows them in base64)", bytes.len()),
    }
}

/// A number with commas between its thousands.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["name", "at"], ["a", "127.0.0.1:1"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(columns(&rows), "name  at\na     127.0.0.1:1");
    }
}
