//! The guest's side of the ABI: what the exports of [`export!`](crate::export) do, on wasm32.

#[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]
mod append;
#[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]
mod arena;
#[cfg(target_arch = "wasm32")]
mod calls;
#[cfg(target_arch = "wasm32")]
mod imports;
#[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]
mod reader;

#[cfg(target_arch = "wasm32")]
pub(crate) use append::append;
#[cfg(target_arch = "wasm32")]
pub use calls::{apply, buffer, migrate, query};
