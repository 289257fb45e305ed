//! What must hold in every run, whatever happens. Each oracle has a name, under which it reports.

pub mod complaints;
pub mod ending;
pub mod linearizable;
pub mod watch;

use std::fmt;

use crate::world::Nanos;

/// What did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The oracle that says so.
    pub oracle: &'static str,
    /// What it saw.
    pub what: String,
    /// When.
    pub at: Nanos,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at as f64 / 1e9;
        write!(formatter, "{} at {seconds:.3} s: {}", self.oracle, self.what)
    }
}
