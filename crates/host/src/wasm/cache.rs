//! Compiled modules of this process: one that several nodes in it use, or that is installed twice, is compiled once.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use machine::{Digest, MeterNumber};
use parking_lot::Mutex;

use super::Module;
use crate::PrepareError;

/// The module's digest and the meter it is to have.
type Key = (Digest, MeterNumber);
/// A module that may be compiled already, and may be let go of again.
type Slot = Arc<Mutex<Weak<Module>>>;

static SLOTS: Mutex<BTreeMap<Key, Slot>> = Mutex::new(BTreeMap::new());

/// The compiled module under `key`, made by `compile` if nobody holds it. A second caller waits for the first.
///
/// # Errors
/// Those of `compile`.
pub(crate) fn compile_once(
    key: Key,
    compile: impl FnOnce() -> Result<Module, PrepareError>,
) -> Result<Arc<Module>, PrepareError> {
    let slot = {
        let mut slots = SLOTS.lock();
        // What nobody uses is forgotten here, where something is added.
        slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.lock().strong_count() > 0);
        slots.entry(key).or_default().clone()
    };
    let mut compiled = slot.lock();
    if let Some(module) = compiled.upgrade() {
        return Ok(module);
    }
    let module = Arc::new(compile()?);
    *compiled = Arc::downgrade(&module);
    Ok(module)
}
