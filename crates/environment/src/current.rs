//! The environment of the code that runs now, for a library that takes its world as a type and not as a value.

use std::cell::RefCell;
use std::sync::OnceLock;

use crate::{Environment, real};

thread_local! {
    static ENTERED: RefCell<Option<Environment>> = const { RefCell::new(None) };
}

/// Runs `work` with `environment` as the one that [`with_current`] gives on this thread.
///
/// A simulator, in which many worlds share a process, enters a task's world before each step of it.
pub fn enter<R>(environment: &Environment, work: impl FnOnce() -> R) -> R {
    let before = ENTERED.replace(Some(environment.clone()));
    let _leave = Leave(before);
    work()
}

struct Leave(Option<Environment>);

impl Drop for Leave {
    fn drop(&mut self) {
        ENTERED.set(self.0.take());
    }
}

/// Gives `look` the environment of the code that runs now: the one that was entered, and otherwise the real one, of which
/// a process has only one.
pub fn with_current<R>(look: impl FnOnce(&Environment) -> R) -> R {
    static REAL: OnceLock<Environment> = OnceLock::new();
    // Cloned, so that what is looked up may enter another one.
    match ENTERED.with_borrow(Clone::clone) {
        Some(entered) => look(&entered),
        None => look(REAL.get_or_init(real::anywhere)),
    }
}
