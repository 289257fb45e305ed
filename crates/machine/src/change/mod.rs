//! Changes: what may begin, what comes next, what it waits for. All of it pure: facts in the catalog in, decision out.

mod application;
mod report;

pub(crate) use application::{node_ready, plan_application, settle_readiness, take_step};
pub use report::{Report, report};
