//! The real binary, run as its users run it: processes, sockets, disks.

mod bad_input;
mod binary;
mod demo;
mod flights;
mod observe;
mod one_node;
