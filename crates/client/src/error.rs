use crate::wire::{Code, Problem};

/// Why a request has no answer that the caller could use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It may have been applied, or may still be. Never "failed": find out by looking before asking again.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(String),
    /// Surely nothing was done.
    #[error("nothing was done: {0}")]
    Unavailable(String),
    /// The cluster gave an error.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// The server's answer could not be understood.
    #[error("the answer of {address} cannot be understood: {what}")]
    Unreadable {
        /// Who gave it.
        address: String,
        /// What is wrong with it.
        what: String,
    },
    /// What was asked of the client cannot be done by anybody.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    pub(crate) fn problem(code: Code, detail: impl Into<String>) -> Error {
        Error::Problem(Box::new(Problem::new(code, detail)))
    }

    /// The code that says the same.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Error::OutcomeUnknown(_) => Code::OutcomeUnknown,
            Error::Unavailable(_) => Code::Unavailable,
            Error::Problem(problem) => problem.code,
            Error::Unreadable { .. } => Code::Internal,
            Error::Invalid(_) => Code::Malformed,
        }
    }

    /// Whether what was asked may have taken effect all the same.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        self.code().outcome_unknown()
    }

    /// As a problem, to be handed on.
    #[must_use]
    pub fn to_problem(&self) -> Problem {
        match self {
            Error::Problem(problem) => (**problem).clone(),
            Error::OutcomeUnknown(_) | Error::Unavailable(_) | Error::Unreadable { .. } | Error::Invalid(_) => {
                Problem::new(self.code(), self.to_string())
            }
        }
    }
}
