//! Room on the disk. A node that writes until there is none fails in the middle of something; so it stops taking writes
//! while there is still enough for what it has promised, and takes them again once there is more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{info, warn};

/// Room on the disk of one node. Clones share it.
#[derive(Clone)]
pub struct Room(Arc<Shared>);

struct Shared {
    reserve: u64,
    free: AtomicU64,
}

impl Room {
    /// With a reserve of so many bytes; as long as nobody has looked, there is room.
    pub fn new(reserve: u64) -> Room {
        Room(Arc::new(Shared {
            reserve,
            free: AtomicU64::new(u64::MAX),
        }))
    }

    /// Takes note of how much is free.
    pub fn look(&self, free: u64) {
        let before = self.0.free.swap(free, Ordering::Relaxed);
        let reserve = self.0.reserve;
        if before >= reserve && free < reserve {
            warn!(
                free,
                reserve, "the disk is almost full: taking no writes until there is room"
            );
        }
        if before < reserve && free >= reserve {
            info!(free, reserve, "the disk has room again: taking writes");
        }
    }

    /// Whether new commands may be taken.
    ///
    /// # Errors
    /// A text that says what, why, and what to do.
    pub fn check(&self) -> Result<(), String> {
        let free = self.0.free.load(Ordering::Relaxed);
        match free < self.0.reserve {
            false => Ok(()),
            true => Err(format!(
                "{free} bytes are free on the leader's disk, and {} are kept in reserve: make room, and it takes writes \
                 again by itself",
                self.0.reserve
            )),
        }
    }

    /// Whether entries may be taken that the leader has taken already: down to half of the reserve, so that a follower with
    /// as much room as its leader does not give up first.
    pub fn holds(&self) -> bool {
        self.0.free.load(Ordering::Relaxed) >= self.0.reserve / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_the_reserve_nothing_new_is_taken_and_the_text_says_what_to_do() {
        let plenty = Room::new(0);
        plenty.look(0);
        assert_eq!(plenty.check(), Ok(()));
        let never = Room::new(1000);
        assert_eq!(never.check(), Ok(()), "nobody has looked yet");
        never.look(499);
        assert!(never.check().is_err_and(|text| text.contains("make room")));
        assert!(!never.holds());
    }
}
