//! The real binary, run as its users run it: processes, sockets, disks.

mod backup;
mod bad_data;
mod bad_input;
mod bad_packages;
mod binary;
mod command_line;
mod consumers;
mod contract;
mod demo;
mod flights;
mod killed;
mod observe;
mod one_node;
mod replay;
