use std::fmt;

use serde::{Deserialize, Serialize};

/// What came out of a dry run as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Forecast {
    /// Planned now, it would be taken.
    Ready,
    /// It would be taken; something in it may not be what is wanted.
    Warnings,
    /// It would be refused.
    Blocked,
}

/// How one check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    Met,
    /// It does not hold yet: see to it before you plan.
    Pending,
    /// Nothing is refused for it, but it may not be what is wanted.
    Warning,
    /// The plan would be refused for it.
    Refused,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Verdict::Met => "yes",
            Verdict::Pending => "not yet",
            Verdict::Warning => "warning",
            Verdict::Refused => "no",
        })
    }
}

/// Something that must hold, or that whoever plans should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Check {
    /// What it is, for programs.
    pub name: String,
    /// How it came out.
    pub verdict: Verdict,
    /// For people: what holds, or what does not and what to do about it.
    pub what: String,
}

/// A step that the change would take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepAhead {
    /// What it is, for programs.
    pub name: String,
    /// What happens in it.
    pub what: String,
    /// What would undo it.
    pub undo: String,
}

/// `POST /v1/changes/dry-run`: what a plan would come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DryRun {
    /// As of which index.
    pub index: u64,
    /// The application.
    pub application: String,
    /// The version in force; none: it would be installed.
    pub from: Option<u32>,
    /// The version to come.
    pub to: u32,
    /// What comes out of all checks.
    pub forecast: Forecast,
    /// What was looked at, in that order.
    pub checks: Vec<Check>,
    /// What would happen, in order.
    pub steps: Vec<StepAhead>,
}

impl DryRun {
    /// Adds what was found elsewhere, and judges anew.
    pub fn add(&mut self, check: Check) {
        self.checks.push(check);
        self.forecast = Forecast::of(&self.checks);
    }
}

impl Forecast {
    /// What comes out of all checks. What is pending is up to whoever plans, and in nobody's way.
    #[must_use]
    pub fn of(checks: &[Check]) -> Forecast {
        let any = |verdict| checks.iter().any(|check| check.verdict == verdict);
        match (any(Verdict::Refused), any(Verdict::Warning)) {
            (true, _) => Forecast::Blocked,
            (false, true) => Forecast::Warnings,
            (false, false) => Forecast::Ready,
        }
    }
}
