//! The real binary, run as its users run it: processes, sockets, disks.

mod backup;
mod bad_input;
mod binary;
mod consumers;
mod demo;
mod flights;
mod observe;
mod one_node;
