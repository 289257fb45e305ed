//! Deterministic simulation of whole nodes: a cluster, its clients and its operator in one thread, on simulated time,
//! network and disks, put together by the very `assemble` that production runs.
//!
//! A seed gives a plan ([`plan`]), a plan gives a run ([`run`]), and the same plan gives the same run, byte for byte.
//! Nothing of ours depends on this crate, and no node knows that it is simulated.

pub mod clients;
pub mod explore;
pub mod fleet;
pub mod history;
pub mod operator;
pub mod oracles;
pub mod plan;
pub mod reader;
pub mod run;
pub mod script;
pub mod shrink;
pub mod world;
