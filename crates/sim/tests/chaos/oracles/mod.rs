//! What must hold of what the clients were told and of what lies on the nodes. Each oracle is a function of both, gives
//! what is wrong, and has a test in which it finds it.

pub mod logs;
pub mod transfers;
