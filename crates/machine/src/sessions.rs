//! Sessions: how a repeated request is known, and answered as the first one was.

mod replies;

use std::collections::{BTreeMap, BTreeSet};

use replies::Replies;

use crate::{Claim, Reply, Sequence, SessionId, StateError, StateRead, TimeMs, limits, record};

/// One client's requests, as far as they are remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    used: TimeMs,
    /// Replies below are forgotten: a request below is never applied.
    floor: Sequence,
    highest: Sequence,
    /// Bytes of the replies.
    bytes: u64,
    replies: Replies,
}
record!(Session {
    used,
    floor,
    highest,
    bytes,
    replies
});

/// What is known of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Never seen: apply it, and [`Sessions::remember`] the reply.
    New,
    /// Applied before, with this reply.
    Repeat(Reply),
    /// It cannot be known whether it was applied: it must not be now.
    Expired,
}

/// All sessions of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: BTreeMap<SessionId, Session>,
    /// Bytes of the replies of all.
    bytes: u64,
    dirty: BTreeSet<SessionId>,
}

impl Sessions {
    /// Opens a session and forgets those that have been idle for too long, or are too many.
    pub(crate) fn open(&mut self, id: SessionId, now: TimeMs) {
        let idle: Vec<SessionId> = self
            .open
            .iter()
            .filter(|(_, session)| is_idle(session, now))
            .map(|(id, _)| *id)
            .collect();
        idle.into_iter().for_each(|id| self.forget(id));
        while self.open.len() >= limits::SESSIONS_MAX {
            self.forget_oldest();
        }
        let session = Session {
            used: now,
            floor: Sequence(1),
            highest: Sequence(0),
            bytes: 0,
            replies: Replies::default(),
        };
        self.open.insert(id, session);
        self.dirty.insert(id);
    }

    /// What is known of the request that `claim` names.
    pub(crate) fn look_up(&mut self, claim: &Claim, now: TimeMs) -> Known {
        let Some(session) = self.open.get_mut(&claim.session) else {
            return Known::Expired;
        };
        if is_idle(session, now) {
            self.forget(claim.session);
            return Known::Expired;
        }
        session.used = now;
        self.dirty.insert(claim.session);
        if claim.sequence < session.floor {
            return Known::Expired;
        }
        match session.replies.get(claim.sequence) {
            Some(reply) => Known::Repeat(reply.clone()),
            None => Known::New,
        }
    }

    /// Keeps the reply to a request that was [`Known::New`], and lets go of those that nobody will ask for again.
    pub(crate) fn remember(&mut self, claim: &Claim, reply: Reply) {
        let Some(session) = self.open.get_mut(&claim.session) else {
            return;
        };
        let before = session.bytes;
        session.highest = session.highest.max(claim.sequence);
        session.bytes += reply_bytes(&reply);
        session.replies.insert(claim.sequence, reply);
        let window = Sequence(session.highest.0.saturating_sub(limits::SESSION_WINDOW - 1));
        // What the client calls settled can at most be what it has asked for.
        let settled = claim.settled.min(claim.sequence);
        session.shrink(window.max(settled));
        self.bytes = self.bytes - before + session.bytes;
        while self.bytes > limits::SESSIONS_REPLY_BYTES_MAX && self.open.len() > 1 {
            self.forget_oldest();
        }
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.open.len()
    }

    /// Lets go of the one unused for longest.
    fn forget_oldest(&mut self) {
        let oldest = self
            .open
            .iter()
            .min_by_key(|(id, session)| (session.used, **id))
            .map(|(id, _)| *id);
        oldest.into_iter().for_each(|id| self.forget(id));
    }

    fn forget(&mut self, id: SessionId) {
        self.bytes -= self.open.remove(&id).map_or(0, |session| session.bytes);
        self.dirty.insert(id);
    }

    /// The rows that have changed since they were last taken: none for a session that is gone.
    pub(crate) fn take_dirty(&mut self) -> Vec<(SessionId, Option<Vec<u8>>)> {
        use crate::codec::Codec;
        std::mem::take(&mut self.dirty)
            .into_iter()
            .map(|id| (id, self.open.get(&id).map(Codec::to_bytes)))
            .collect()
    }

    /// Reads all rows back.
    pub(crate) fn load(rows: &dyn StateRead) -> Result<Sessions, StateError> {
        let mut sessions = Sessions::default();
        for (id, session) in crate::machine::system_rows::<Session>(rows, crate::machine::SESSION_PREFIX)? {
            sessions.bytes += session.bytes;
            sessions.open.insert(SessionId(id), session);
        }
        Ok(sessions)
    }
}

impl Session {
    /// Lets go of the replies below `floor`, and of the oldest as long as there are too many bytes of them; with a reply
    /// goes the right to repeat its request.
    fn shrink(&mut self, floor: Sequence) {
        self.floor = self.floor.max(floor);
        while let Some((sequence, reply)) = self.replies.first() {
            if *sequence >= self.floor && self.bytes <= limits::SESSION_REPLY_BYTES_MAX {
                break;
            }
            self.bytes -= reply_bytes(reply);
            self.floor = self.floor.max(Sequence(sequence.0 + 1));
            self.replies.forget_first();
        }
    }
}

fn is_idle(session: &Session, now: TimeMs) -> bool {
    now.0.saturating_sub(session.used.0) > limits::SESSION_IDLE_MS_MAX
}

/// What a reply is reckoned at: its own bytes, and what it costs to keep it.
fn reply_bytes(reply: &Reply) -> u64 {
    let own = match &reply.outcome {
        crate::Outcome::Applied(bytes) | crate::Outcome::Refused(bytes) => bytes.len(),
        crate::Outcome::Failed(failure) => failure.detail.len(),
        crate::Outcome::SessionExpired => 0,
    };
    own as u64 + 64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Index, Outcome};

    fn reply(index: u64) -> Reply {
        Reply {
            index: Index(index),
            outcome: Outcome::Applied(bytes::Bytes::from_static(b"{}")),
        }
    }

    fn claim(sequence: u64, settled: u64) -> Claim {
        Claim {
            session: SessionId(7),
            sequence: Sequence(sequence),
            settled: Sequence(settled),
        }
    }

    #[test]
    fn a_repeat_gets_the_first_reply() {
        let mut sessions = Sessions::default();
        sessions.open(SessionId(7), TimeMs(0));
        assert_eq!(sessions.look_up(&claim(2, 1), TimeMs(1)), Known::New);
        sessions.remember(&claim(2, 1), reply(20));
        assert_eq!(sessions.look_up(&claim(2, 1), TimeMs(2)), Known::Repeat(reply(20)));
        // An earlier one that was overtaken is still new.
        assert_eq!(sessions.look_up(&claim(1, 1), TimeMs(3)), Known::New);
    }

    #[test]
    fn what_is_settled_or_below_the_window_is_expired_and_never_new() {
        let mut sessions = Sessions::default();
        sessions.open(SessionId(7), TimeMs(0));
        for sequence in 1..=3 {
            sessions.remember(&claim(sequence, 1), reply(sequence));
        }
        sessions.remember(&claim(4, 3), reply(4));
        assert_eq!(sessions.look_up(&claim(2, 1), TimeMs(1)), Known::Expired);
        assert_eq!(sessions.look_up(&claim(3, 1), TimeMs(1)), Known::Repeat(reply(3)));
        sessions.remember(&claim(4 + limits::SESSION_WINDOW, 1), reply(9));
        assert_eq!(sessions.look_up(&claim(4, 1), TimeMs(1)), Known::Expired);
        assert_eq!(sessions.look_up(&claim(5, 1), TimeMs(1)), Known::New);
    }

    #[test]
    fn an_idle_session_expires_by_log_time() {
        let mut sessions = Sessions::default();
        sessions.open(SessionId(7), TimeMs(0));
        let late = TimeMs(limits::SESSION_IDLE_MS_MAX + 1);
        assert_eq!(sessions.look_up(&claim(1, 1), late), Known::Expired);
        assert_eq!(
            sessions.look_up(&claim(1, 1), TimeMs(1)),
            Known::Expired,
            "it is forgotten"
        );
    }

    #[test]
    fn a_settled_claim_cannot_reach_past_its_own_sequence() {
        let mut sessions = Sessions::default();
        sessions.open(SessionId(7), TimeMs(0));
        sessions.remember(&claim(1, 900), reply(1));
        assert_eq!(sessions.look_up(&claim(1, 1), TimeMs(1)), Known::Repeat(reply(1)));
    }

    #[test]
    fn replies_are_bounded_by_bytes() {
        let mut sessions = Sessions::default();
        sessions.open(SessionId(7), TimeMs(0));
        let large = bytes::Bytes::from(vec![b'x'; limits::SESSION_REPLY_BYTES_MAX as usize / 80]);
        for sequence in 1..=100 {
            let reply = Reply {
                index: Index(sequence),
                outcome: Outcome::Applied(large.clone()),
            };
            sessions.remember(&claim(sequence, 1), reply);
        }
        assert_eq!(sessions.look_up(&claim(1, 1), TimeMs(1)), Known::Expired);
        assert!(matches!(sessions.look_up(&claim(100, 1), TimeMs(1)), Known::Repeat(_)));
    }

    #[test]
    fn too_many_sessions_push_out_the_one_unused_for_longest() {
        let mut sessions = Sessions::default();
        for id in 0..=limits::SESSIONS_MAX as u64 {
            sessions.open(SessionId(id), TimeMs(id / 1000));
        }
        assert_eq!(sessions.count(), limits::SESSIONS_MAX);
        assert!(!sessions.open.contains_key(&SessionId(0)));
    }

    #[test]
    fn replies_of_all_sessions_are_bounded_by_bytes() {
        let mut sessions = Sessions::default();
        let large = bytes::Bytes::from(vec![b'x'; limits::SESSION_REPLY_BYTES_MAX as usize - 64]);
        let fit = limits::SESSIONS_REPLY_BYTES_MAX / limits::SESSION_REPLY_BYTES_MAX;
        for id in 1..=fit + 1 {
            sessions.open(SessionId(id), TimeMs(id));
            let claim = Claim {
                session: SessionId(id),
                ..claim(1, 1)
            };
            let outcome = Outcome::Applied(large.clone());
            let index = Index(id);
            sessions.remember(&claim, Reply { index, outcome });
            assert!(sessions.bytes <= limits::SESSIONS_REPLY_BYTES_MAX);
            assert_eq!(sessions.count() as u64, id.min(fit), "{id}");
        }
        assert!(!sessions.open.contains_key(&SessionId(1)), "the one unused for longest");
    }
}
