//! Changes: what may begin, what comes next, what it waits for. All of it pure: facts in the catalog in, decision out.

mod application;
mod preconditions;
mod preview;
mod rehearsal;
mod report;
mod verification;

pub(crate) use application::{
    force, node_ready, overdue, plan_application, plan_guarded, revert_by_itself, settle_readiness, take_step,
};
pub use preconditions::dropped;
pub use preview::{Check, Preview, StepAhead, Verdict, preview};
pub use rehearsal::next_window;
pub(crate) use rehearsal::{open_window, rehearsed};
pub use report::{Report, report};
pub use verification::next_verification;
pub(crate) use verification::{assign, verified};
