//! Colours: where they are wanted and somebody sees them.

use std::io::IsTerminal;
use std::sync::OnceLock;

use clap::builder::styling::{AnsiColor, Style};

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set or the terminal is a dumb one.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What a piece of text is, as far as colours go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The head of a table.
    Heading,
    /// All is well.
    Good,
    /// Something is not as it should be.
    Bad,
    /// Worth a look, and no fault.
    Notable,
}

/// The choice for this process, made once before anything is written.
static CHOSEN: OnceLock<ColorWhen> = OnceLock::new();

/// Chooses for the whole process. Only the first choice counts.
pub fn choose(when: ColorWhen) {
    let _ = CHOSEN.set(when);
}

/// Whether standard output is coloured.
#[must_use]
pub fn on_stdout() -> bool {
    wanted(chosen(), std::io::stdout().is_terminal(), &from_environment)
}

/// Whether standard error is coloured: a question of its own, because one of the two may be a file.
#[must_use]
pub fn on_stderr() -> bool {
    wanted(chosen(), std::io::stderr().is_terminal(), &from_environment)
}

/// The text as it goes to standard output.
#[must_use]
pub fn paint(text: &str, mark: Mark) -> String {
    painted(text, mark, on_stdout())
}

/// The text as it goes to standard error.
#[must_use]
pub fn paint_error(text: &str, mark: Mark) -> String {
    painted(text, mark, on_stderr())
}

fn chosen() -> ColorWhen {
    CHOSEN.get().copied().unwrap_or_default()
}

fn from_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// See <https://no-color.org>: the variable counts when it is not empty.
fn wanted(when: ColorWhen, terminal: bool, variable: &dyn Fn(&str) -> Option<String>) -> bool {
    match when {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto => {
            let no_color = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
            let dumb = variable("TERM").is_some_and(|value| value == "dumb");
            terminal && !no_color && !dumb
        }
    }
}

fn painted(text: &str, mark: Mark, coloured: bool) -> String {
    if !coloured || text.is_empty() {
        return text.to_owned();
    }
    let style = match mark {
        Mark::Heading => Style::new().bold(),
        Mark::Good => AnsiColor::Green.on_default(),
        Mark::Bad => AnsiColor::Red.on_default().bold(),
        Mark::Notable => AnsiColor::Yellow.on_default(),
    };
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_and_for_whoever_insists() {
        let none = |_: &str| None;
        let no_color = |name: &str| (name == "NO_COLOR").then(|| "1".to_owned());
        let empty = |name: &str| (name == "NO_COLOR").then(String::new);
        let dumb = |name: &str| (name == "TERM").then(|| "dumb".to_owned());
        assert!(wanted(ColorWhen::Auto, true, &none));
        assert!(!wanted(ColorWhen::Auto, false, &none));
        assert!(!wanted(ColorWhen::Auto, true, &no_color));
        assert!(wanted(ColorWhen::Auto, true, &empty));
        assert!(!wanted(ColorWhen::Auto, true, &dumb));
        assert!(wanted(ColorWhen::Always, false, &no_color));
        assert!(!wanted(ColorWhen::Never, true, &none));
    }

    #[test]
    fn what_is_not_coloured_is_as_it_was() {
        assert_eq!(painted("all is well", Mark::Good, false), "all is well");
        assert_eq!(
            painted("all is well", Mark::Good, true),
            "\u{1b}[32mall is well\u{1b}[0m"
        );
        assert_eq!(painted("", Mark::Bad, true), "");
    }
}
