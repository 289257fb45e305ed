use std::collections::{BTreeMap, BTreeSet};

use crate::limits;
use crate::wire::frames::Claim;

/// The sessions of one client: the one that new requests use, and older ones whose requests are not finished.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    current: Option<u64>,
    open: BTreeMap<u64, Session>,
}

#[derive(Debug)]
struct Session {
    next: u64,
    unfinished: BTreeSet<u64>,
}

impl Session {
    fn settled(&self) -> u64 {
        self.unfinished.first().copied().unwrap_or(self.next)
    }
}

/// A place in a session, kept through all repeats of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) session: u64,
    pub(super) sequence: u64,
}

impl Sessions {
    pub(super) fn opened(&mut self, id: u64) {
        self.current = Some(id);
        self.open.entry(id).or_insert(Session {
            next: 1,
            unfinished: BTreeSet::new(),
        });
    }

    pub(super) fn is_open(&self) -> bool {
        self.current.is_some()
    }

    /// The cluster no longer knows the session: new requests need another.
    pub(super) fn expired(&mut self, id: u64) {
        if self.current == Some(id) {
            self.current = None;
        }
        self.forget_if_done(id);
    }

    /// The next place, unless there is no session or the sequences would lie too far apart.
    pub(super) fn take(&mut self) -> Option<Slot> {
        let id = self.current?;
        let session = self.open.get_mut(&id)?;
        if session.next - session.settled() >= limits::SEQUENCE_SPREAD_MAX {
            return None;
        }
        let sequence = session.next;
        session.next += 1;
        session.unfinished.insert(sequence);
        Some(Slot { session: id, sequence })
    }

    /// The claim to send now: everything below the lowest unfinished sequence is settled.
    pub(super) fn claim(&self, slot: Slot) -> Claim {
        let settled = self.open.get(&slot.session).map_or(slot.sequence, Session::settled);
        Claim {
            session: slot.session,
            sequence: slot.sequence,
            settled: settled.min(slot.sequence),
        }
    }

    /// Nobody will ask for the place again.
    pub(super) fn finished(&mut self, slot: Slot) {
        if let Some(session) = self.open.get_mut(&slot.session) {
            session.unfinished.remove(&slot.sequence);
        }
        self.forget_if_done(slot.session);
    }

    fn forget_if_done(&mut self, id: u64) {
        let done = self.open.get(&id).is_some_and(|session| session.unfinished.is_empty());
        if done && self.current != Some(id) {
            self.open.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settled_is_the_lowest_unfinished() {
        let mut sessions = Sessions::default();
        assert_eq!(sessions.take(), None);
        sessions.opened(5);
        let slots: Vec<Slot> = (0..3).map(|_| sessions.take().unwrap()).collect();
        assert_eq!(slots.iter().map(|slot| slot.sequence).collect::<Vec<_>>(), [1, 2, 3]);
        sessions.finished(slots[1]);
        assert_eq!(
            sessions.claim(slots[2]),
            Claim {
                session: 5,
                sequence: 3,
                settled: 1
            }
        );
        sessions.finished(slots[0]);
        assert_eq!(
            sessions.claim(slots[2]),
            Claim {
                session: 5,
                sequence: 3,
                settled: 3
            }
        );
    }

    #[test]
    fn sequences_never_lie_further_apart_than_allowed() {
        let mut sessions = Sessions::default();
        sessions.opened(5);
        let first = sessions.take().unwrap();
        for _ in 1..limits::SEQUENCE_SPREAD_MAX {
            let slot = sessions.take().unwrap();
            sessions.finished(slot);
        }
        assert_eq!(sessions.take(), None);
        sessions.finished(first);
        assert!(sessions.take().is_some());
    }

    #[test]
    fn an_expired_session_lives_until_its_requests_end() {
        let mut sessions = Sessions::default();
        sessions.opened(5);
        let slot = sessions.take().unwrap();
        sessions.expired(5);
        assert!(!sessions.is_open());
        sessions.opened(9);
        assert_eq!(
            sessions.take().unwrap(),
            Slot {
                session: 9,
                sequence: 1
            }
        );
        assert_eq!(sessions.claim(slot).settled, 1);
        sessions.finished(slot);
        assert_eq!(sessions.open.len(), 1);
    }
}
