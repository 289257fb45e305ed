//! How a command ends: what its exit code says, and what its error tells a person.

use std::fmt;
use std::process::ExitCode;

use serde_json::json;

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: refused, or failed; nothing that was asked for was done, or it is said what was.
    Failed,
    /// 2: the command line cannot be understood.
    Usage,
    /// 3: no node could be reached.
    Unreachable,
    /// 4: it may have been done, and that could not be learnt.
    OutcomeUnknown,
    /// 5: a dry run has warnings.
    Warnings,
    /// 6: what was tried in a dry run would be refused.
    Blocked,
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::OutcomeUnknown => 4,
            Exit::Warnings => 5,
            Exit::Blocked => 6,
        }
    }

    /// The code of an error that has none of its own.
    fn name(self) -> &'static str {
        match self {
            Exit::Done => "done",
            Exit::Failed => "failed",
            Exit::Usage => "usage",
            Exit::Unreachable => "unavailable",
            Exit::OutcomeUnknown => "outcome_unknown",
            Exit::Warnings => "warnings",
            Exit::Blocked => "blocked",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Why a command stopped: what and why on the first line, what to do on the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// What the exit code says.
    pub exit: Exit,
    /// What programs go by: a code of the public API, or one of the command line's own.
    pub code: &'static str,
    /// What happened, and why.
    pub what: String,
    /// What to do about it; empty if the first line says it.
    pub remedy: String,
}

impl Stopped {
    /// Refused or failed.
    #[must_use]
    pub fn failed(what: impl Into<String>, remedy: impl Into<String>) -> Stopped {
        Stopped::new(Exit::Failed, what, remedy)
    }

    /// The command line cannot be understood.
    #[must_use]
    pub fn usage(what: impl Into<String>, remedy: impl Into<String>) -> Stopped {
        Stopped::new(Exit::Usage, what, remedy)
    }

    /// With any exit code.
    #[must_use]
    pub fn new(exit: Exit, what: impl Into<String>, remedy: impl Into<String>) -> Stopped {
        Stopped {
            exit,
            code: exit.name(),
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// With a code of its own.
    #[must_use]
    pub fn coded(mut self, code: &'static str) -> Stopped {
        self.code = code;
        self
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)?;
        if !self.remedy.is_empty() {
            write!(formatter, "\n  {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for Stopped {}

/// What the exit code of a command that ended with `error` says.
#[must_use]
pub fn exit_of(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if let Some(stopped) = cause.downcast_ref::<Stopped>() {
            return stopped.exit;
        }
        // Whoever read our output has enough of it, as `head` does.
        if let Some(io) = cause.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::BrokenPipe
        {
            return Exit::Done;
        }
    }
    Exit::Failed
}

/// An error for programs, as `--json` asks for it: one object with the stable `code`, the exit code, `detail` (what
/// happened, and why) and, if there is one, `remedy` (what to do).
#[must_use]
pub fn to_json(error: &anyhow::Error) -> serde_json::Value {
    let exit = exit_of(error);
    let stopped = error.chain().find_map(|cause| cause.downcast_ref::<Stopped>());
    let (code, detail, remedy) = match stopped {
        Some(stopped) => (stopped.code, stopped.what.clone(), stopped.remedy.clone()),
        None => (exit.name(), format!("{error:#}"), String::new()),
    };
    let mut object = json!({ "code": code, "exit": exit.code(), "detail": detail });
    if !remedy.is_empty() {
        object["remedy"] = remedy.into();
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_an_object_for_programs() {
        let stopped = Stopped::failed("there is no row", "look elsewhere").coded("row_not_found");
        assert_eq!(
            to_json(&stopped.into()),
            json!({"code": "row_not_found", "exit": 1, "detail": "there is no row", "remedy": "look elsewhere"})
        );
        let bare = anyhow::anyhow!("inner").context("outer");
        assert_eq!(
            to_json(&bare),
            json!({"code": "failed", "exit": 1, "detail": "outer: inner"})
        );
    }

    #[test]
    fn the_exit_code_is_found_under_any_context() {
        let stopped = anyhow::Error::new(Stopped::new(Exit::Unreachable, "no node answers", "start one"));
        assert_eq!(exit_of(&stopped.context("while sending")), Exit::Unreachable);
        let pipe = anyhow::Error::new(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!(exit_of(&pipe), Exit::Done);
        assert_eq!(exit_of(&anyhow::anyhow!("anything else")), Exit::Failed);
    }
}
