//! Lines for people and for programs. A reader that went away is an error here, not a panic.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::exit;
use crate::style::{self, Mark};

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

/// Writes an error's last words to standard error: for people, or with `json` as one object.
pub fn error(error: &anyhow::Error, json: bool) {
    if json {
        progress(exit::to_json(error).to_string());
    } else {
        progress(format!("{} {error:#}", style::paint_error("seachange:", Mark::Bad)));
    }
}

/// What the progress shows of something whose size is known.
const OF_KNOWN_SIZE: &str = "{bar:30} {percent:>3}%  {msg}  {eta} left";
/// And of something whose size is not known.
const OF_UNKNOWN_SIZE: &str = "{spinner} {msg}";

/// How far something has come, on standard error; shown on a terminal only.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Of something whose size is known, or is not; `quiet` shows nothing.
    #[must_use]
    pub fn new(bytes_total: Option<u64>, quiet: bool) -> Progress {
        if quiet {
            return Progress {
                bar: ProgressBar::hidden(),
            };
        }
        let template = match bytes_total {
            Some(_) => OF_KNOWN_SIZE,
            None => OF_UNKNOWN_SIZE,
        };
        // Both templates are ours, and a test reads them.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(bytes_total, ProgressDrawTarget::stderr());
        Progress {
            bar: bar.with_style(style),
        }
    }

    /// Shows that so many bytes are behind us, and a text. May be called for each of many small steps: the library draws
    /// a few times a second.
    pub fn show(&self, bytes: u64, text: impl FnOnce() -> String) {
        if !self.bar.is_hidden() {
            self.bar.set_message(text());
            self.bar.set_position(bytes);
        }
    }

    /// Takes it away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Lines on standard error that are drawn anew in place; shown on a terminal only.
#[derive(Debug)]
pub struct Panel {
    bar: ProgressBar,
}

impl Panel {
    /// One with nothing on it; `quiet` shows nothing.
    #[must_use]
    pub fn new(quiet: bool) -> Panel {
        let target = match quiet {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        Panel {
            bar: ProgressBar::with_draw_target(None, target).with_style(style),
        }
    }

    /// Whether anybody sees it.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        !self.bar.is_hidden()
    }

    /// Shows these lines in place of those before.
    pub fn show(&self, lines: String) {
        self.bar.set_message(lines);
        self.bar.tick();
    }

    /// Writes a line to standard output, above it.
    ///
    /// # Errors
    /// As [`line`].
    pub fn above(&self, text: impl AsRef<str>) -> anyhow::Result<()> {
        self.bar.suspend(|| line(text))
    }
}

impl Drop for Panel {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
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
    let lines = rows.iter().map(line).enumerate().map(|(at, line)| match at {
        0 => style::paint(&line, Mark::Heading),
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// An application's bytes for people: as text if they are, else how many there are.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("({} bytes that are no text; --json shows them in base64)", bytes.len()),
    }
}

/// How long it is until a time, both in milliseconds since the Unix epoch, to the second.
#[must_use]
pub fn time_left(until_ms: u64, now_ms: u64) -> humantime::FormattedDuration {
    let seconds = until_ms.saturating_sub(now_ms).div_ceil(1000);
    humantime::format_duration(Duration::from_secs(seconds))
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
    fn the_progress_has_its_templates() {
        for template in [OF_KNOWN_SIZE, OF_UNKNOWN_SIZE] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
        // Nothing is drawn where nobody looks, as in this test.
        let progress = Progress::new(Some(10), true);
        progress.show(5, || unreachable!("nobody looks"));
        progress.clear();
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["name", "at"], ["a", "127.0.0.1:1"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(columns(&rows), "name  at\na     127.0.0.1:1");
    }
}
