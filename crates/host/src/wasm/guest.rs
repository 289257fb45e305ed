//! What the store of one instance holds: the handles that host functions need, and what they found wrong.

use machine::{Failure, FailureCode, Misuse};
use wasmtime::{Global, Memory, ResourceLimiter};

/// The data of an instance's store.
#[derive(Default)]
pub(super) struct Guest {
    /// The exports that host functions reach into, once it is instantiated.
    pub(super) handles: Option<Handles>,
    /// Why a host call was refused in the call that runs.
    pub(super) misuse: Option<Misuse>,
    /// Whether the engine was told that the memory may grow, and has not yet said that it could not.
    growth_allowed: bool,
}

/// Exports that the host reaches into.
#[derive(Clone, Copy)]
pub(super) struct Handles {
    /// The guest's memory.
    pub(super) memory: Memory,
    /// The meter's fuel.
    pub(super) budget: Global,
    /// The meter's depth.
    pub(super) depth: Global,
}

/// The guest is ended because of what the store's data or the meter's globals say.
#[derive(Debug, thiserror::Error)]
#[error("the host ended the guest")]
pub(super) struct Ended;

impl ResourceLimiter for Guest {
    fn memory_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // The meter has written the limit into every module as its memory's maximum.
        self.growth_allowed = maximum.is_some_and(|maximum| desired <= maximum);
        Ok(self.growth_allowed)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // Growth that the limits allow and this machine cannot give must not become an answer: another node can give it.
        if std::mem::take(&mut self.growth_allowed) {
            return Err(error.context("this machine could not give a guest the memory that its limits allow"));
        }
        Ok(())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(maximum.is_some_and(|maximum| desired <= maximum))
    }
}

/// The part of a guest's memory that a pointer and a length name.
pub(super) fn slice<'m>(memory: &'m [u8], pointer: u32, length: u32, what: &str) -> Result<&'m [u8], Misuse> {
    let end = (pointer as usize).checked_add(length as usize);
    end.and_then(|end| memory.get(pointer as usize..end))
        .ok_or_else(|| outside(memory.len(), pointer, length as usize, what))
}

/// The same, to be written to.
pub(super) fn slice_mut<'m>(
    memory: &'m mut [u8],
    pointer: u32,
    length: usize,
    what: &str,
) -> Result<&'m mut [u8], Misuse> {
    let bytes = memory.len();
    let end = (pointer as usize).checked_add(length);
    end.and_then(|end| memory.get_mut(pointer as usize..end))
        .ok_or_else(|| outside(bytes, pointer, length, what))
}

/// The name that a pointer and a length give.
pub(super) fn name<'m>(memory: &'m [u8], pointer: u32, length: u32, what: &str) -> Result<&'m str, Misuse> {
    let bytes = slice(memory, pointer, length, what)?;
    std::str::from_utf8(bytes)
        .map_err(|_| misuse(format!("{what} that it gave is not UTF-8: give a name of the manifest")))
}

fn outside(memory_bytes: usize, pointer: u32, length: usize, what: &str) -> Misuse {
    misuse(format!(
        "{what} that it gave lies at {pointer} with {length} bytes, outside its memory of {memory_bytes} bytes"
    ))
}

/// A host call that is refused for what the guest gave.
pub(super) fn misuse(text: String) -> Misuse {
    Misuse::Failed(Failure::new(
        FailureCode::Misuse,
        format!("the application asked the host for what it may not: {text}"),
    ))
}
