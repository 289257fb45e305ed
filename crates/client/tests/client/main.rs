//! The client against servers that each test plays by hand, on real sockets.

mod fake;
mod fake_http;
mod garbage;
mod http;
mod leader;
mod outcome;
mod reads;
mod session;
mod together;
