//! Lends a command's [`Context`] to the host functions of the guest that runs it.
//!
//! A guest's store can only hold what lives for ever, and a context lives for one call. So the context waits in a slot of
//! the calling thread while the guest runs, and host functions, which the engine calls on the same thread, borrow it
//! from there. [`lend`] is the only way in, and what it lends is out again before it returns or unwinds.
//!
//! This is the crate's only unsafe code.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr::NonNull;

use machine::Context;

/// A context whose lifetime was left out; [`lend`] keeps to it by scope.
type Lent = NonNull<dyn Context + 'static>;

thread_local! {
    /// What is lent on this thread and not borrowed just now.
    static SLOT: Cell<Option<Lent>> = const { Cell::new(None) };
}

/// Runs `call`, during which [`borrow`] on this thread gives `context`.
pub(super) fn lend<R>(context: &mut dyn Context, call: impl FnOnce() -> R) -> R {
    // SAFETY: only the lifetime in the type changes. The pointer is put into this thread's slot, from which nobody but
    // this module can take it; `_restore` takes it out again before this function ends in any way, and until then the
    // exclusive borrow that `context` is lasts and is not used here. `Restore` values never leave this module, so they
    // cannot be leaked, and no future is polled in between, so the slot cannot outlive the borrow on another thread.
    let lent: Lent = unsafe { std::mem::transmute::<NonNull<dyn Context + '_>, Lent>(NonNull::from(context)) };
    let _restore = Restore(SLOT.replace(Some(lent)));
    call()
}

/// Runs `use_it` with the context that is lent on this thread; `None` if none is, or if it is borrowed already.
pub(super) fn borrow<R>(use_it: impl FnOnce(&mut dyn Context) -> R) -> Option<R> {
    let mut lent = SLOT.take()?;
    let _restore = Restore(Some(lent));
    // SAFETY: the slot was filled by a `lend` further up this thread's stack, so what it points to is alive and that
    // `lend` holds its exclusive borrow. The slot is empty while `use_it` runs, so no second borrow can come to be.
    Some(use_it(unsafe { lent.as_mut() }))
}

/// Puts the slot back into the state that it had, also when the stack unwinds.
struct Restore(Option<Lent>);

impl Drop for Restore {
    fn drop(&mut self) {
        SLOT.set(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use machine::Index;

    use super::{borrow, lend};
    use crate::testing::Memory;

    fn index() -> Option<Index> {
        borrow(|context| context.index())
    }

    fn at(index: u64) -> Memory {
        Memory {
            index: Index(index),
            ..Memory::default()
        }
    }

    #[test]
    fn a_context_is_lent_for_the_length_of_a_call() {
        assert_eq!(index(), None);
        lend(&mut at(1), || assert_eq!(index(), Some(Index(1))));
        assert_eq!(index(), None);
    }

    #[test]
    fn it_is_taken_back_when_the_call_panics() {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            lend(&mut at(1), || std::panic::resume_unwind(Box::new(())));
        }));
        assert!(panicked.is_err());
        assert_eq!(index(), None);
    }

    #[test]
    fn it_is_not_borrowed_twice_and_a_panic_in_use_gives_it_back() {
        lend(&mut at(1), || {
            assert_eq!(borrow(|_| index()), Some(None));
            let panicked = catch_unwind(|| borrow(|_| std::panic::resume_unwind(Box::new(()))));
            assert!(panicked.is_err());
            assert_eq!(index(), Some(Index(1)));
        });
    }

    #[test]
    fn a_call_within_a_host_call_lends_its_own() {
        lend(&mut at(1), || {
            borrow(|_| lend(&mut at(2), || assert_eq!(index(), Some(Index(2)))));
            assert_eq!(index(), Some(Index(1)));
        });
    }
}
