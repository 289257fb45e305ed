//! An entry that is passed by, since the program fails at it and no node could ever get past it.
//!
//! The decision lies in the log behind the entry, so it is read when it is committed, before the entry is applied. A node
//! that has applied the entry meets the decision in its place, and has gone another way than the log says.

use crate::codec::{Codec, Reader};
use crate::machine::{Machine, Output, Stop};
use crate::{
    Body, Decision, Digest, ENTRY_FORMAT, Entry, Failure, FailureCode, Index, Level, Outcome, Reply, RequestView,
    TimeMs, limits, record,
};

/// The number of this kind of entry.
pub(crate) const SKIP_ENTRY: u64 = 25;

/// The operators' decision that an entry is passed by on every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkipEntry {
    /// Which; it lies before this decision.
    pub entry: Index,
    /// Why, for whoever asks for it later.
    pub reason: String,
}
record!(SkipEntry { entry, reason });

/// What is kept, for ever, of an entry that was passed by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The entry that holds the decision.
    pub by: Index,
    /// Log time of the entry that was passed by.
    pub time: TimeMs,
    /// Digest of its bytes.
    pub digest: Digest,
    /// How many commands it held; none: a control entry.
    pub commands: Option<u64>,
    /// Why.
    pub reason: String,
}
record!(Skipped {
    by,
    time,
    digest,
    commands,
    reason
});

/// The decision to pass an entry by, if that is what an entry's bytes hold.
#[must_use]
pub fn skip_in(payload: &[u8]) -> Option<SkipEntry> {
    // Every committed entry is looked at: the kind is enough to tell nearly all of them away.
    let mut reader = Reader::new(payload);
    if reader.byte() != Ok(ENTRY_FORMAT) || reader.varint() != Ok(SKIP_ENTRY) {
        return None;
    }
    match Entry::from_bytes(payload).ok()?.body {
        Body::SkipEntry(skip) => Some(skip),
        _ => None,
    }
}

impl Machine {
    /// Passes the entry at `index` by, which must be the one after [`Machine::applied`]: the decision `skip` stands in
    /// entry `by`. Each of its commands is answered with a failure of its own, also to a repeat.
    ///
    /// # Errors
    /// [`Stop::Park`] at a level that is not known here, as [`Machine::apply`]; [`Stop::Halt`] where the decision is about another
    /// entry.
    pub fn skip(
        &mut self,
        index: Index,
        payload: &[u8],
        (by, skip): (Index, &SkipEntry),
        level_max: Level,
    ) -> Result<Output, Stop> {
        if let Some(reason) = self.level_unknown(level_max) {
            return Err(Stop::Park(reason));
        }
        if skip.entry != index || by <= index {
            return Err(Stop::Halt(format!(
                "the decision in entry {by} to skip entry {} was taken for one about entry {index}",
                skip.entry
            )));
        }
        let mut reader = Reader::new(payload);
        // The program failed at it: what it holds may be what cannot be read.
        let requests = RequestView::header(&mut reader)
            .ok()
            .flatten()
            .and_then(|(time, count)| {
                let requests: Result<Vec<_>, _> = (0..count).map(|_| RequestView::read(&mut reader)).collect();
                Some((time, requests.ok()?))
            });
        let time = requests.as_ref().map_or_else(
            || Entry::from_bytes(payload).map_or(self.position.time, |entry| entry.time),
            |(time, _)| *time,
        );
        self.advance_time(time);
        self.trail.clear();
        index.encode(&mut self.trail);
        by.encode(&mut self.trail);
        let detail = format!(
            "entry {index} was skipped by the decision in entry {by}, because this program failed at it: nothing of it was \
             done{}",
            match skip.reason.as_str() {
                "" => String::new(),
                reason => format!(" ({reason})"),
            }
        );
        let commands = requests.as_ref().map(|(_, requests)| requests.len() as u64);
        let output = match requests {
            Some((_, requests)) => {
                let skipped = || Outcome::Failed(Failure::new(FailureCode::EntrySkipped, detail.as_str()));
                let replies = requests
                    .iter()
                    .map(|request| self.once(index, request.claim.as_ref(), |_| Ok(skipped())));
                let replies: Vec<Reply> = replies.collect::<Result<_, _>>()?;
                replies.iter().for_each(|reply| reply.encode(&mut self.trail));
                Output::Replies(replies)
            }
            None => Output::Decision(crate::apply::refused("entry_skipped", detail)),
        };
        let skipped = Skipped {
            by,
            time: self.position.time,
            digest: Digest::of(payload),
            commands,
            reason: skip.reason.clone(),
        };
        skipped.encode(&mut self.trail);
        self.catalog_mut().skipped.insert(index, skipped);
        self.position.digest.chain(&self.trail);
        self.position.applied = index;
        Ok(output)
    }

    /// The decision in its place in the log, where nothing is left to be done.
    pub(crate) fn skip_decided(&self, index: Index, skip: &SkipEntry) -> Result<Decision, Stop> {
        let entry = skip.entry;
        if entry >= index {
            let reason =
                format!("entry {entry} does not lie before this decision: nothing can be skipped ahead of time");
            return Ok(crate::apply::refused("entry_ahead", reason));
        }
        match self.catalog.skipped.contains_key(&entry) {
            true => Ok(Decision::Done { index }),
            false => Err(Stop::Diverged {
                entry,
                by: index,
                reason: format!("entry {index} decides that entry {entry} is skipped, and this node has applied that"),
            }),
        }
    }
}

impl SkipEntry {
    /// Whether the log takes it.
    ///
    /// # Errors
    /// What is too large, for people.
    pub fn check_size(&self) -> Result<(), String> {
        match self.reason.len() <= limits::REASON_BYTES_MAX {
            true => Ok(()),
            false => Err(format!("a reason has {} bytes at most", limits::REASON_BYTES_MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::tests::one_of_each;
    use crate::sessions::Known;
    use crate::{Claim, LEVEL_MAX, Request, Sequence, SessionId};

    fn decision(entry: u64) -> SkipEntry {
        SkipEntry {
            entry: Index(entry),
            reason: "it panics".into(),
        }
    }

    /// A machine that stands before entry 7, with a session.
    fn machine() -> Machine {
        let mut machine = Machine::default();
        machine.sessions.open(SessionId(3), TimeMs(1000));
        machine.position.applied = Index(6);
        machine.position.time = TimeMs(1000);
        machine
    }

    fn entry(claims: &[Option<u64>]) -> Vec<u8> {
        let request = |sequence: &Option<u64>| Request {
            claim: sequence.map(|sequence| Claim {
                session: SessionId(3),
                sequence: Sequence(sequence),
                settled: Sequence(1),
            }),
            application: "ledger".into(),
            command: "transfer".into(),
            version: 1,
            payload: "{}".into(),
        };
        let body = Body::Requests(claims.iter().map(request).collect());
        Entry {
            time: TimeMs(2000),
            body,
        }
        .to_bytes()
    }

    fn outcomes(output: Output) -> Vec<Outcome> {
        match output {
            Output::Replies(replies) => replies.into_iter().map(|reply| reply.outcome).collect(),
            Output::Decision(decision) => panic!("{decision:?}"),
        }
    }

    fn is_skipped(outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Failed(failure) if failure.code == FailureCode::EntrySkipped)
    }

    #[test]
    fn each_command_is_answered_with_a_failure_that_a_repeat_gets_too() {
        let mut machine = machine();
        let payload = entry(&[None, Some(1)]);
        let replies = machine
            .skip(Index(7), &payload, (Index(9), &decision(7)), LEVEL_MAX)
            .map(outcomes);
        let replies = replies.expect("it is passed by");
        assert!(replies.len() == 2 && replies.iter().all(is_skipped), "{replies:?}");
        assert_eq!((machine.applied(), machine.time()), (Index(7), TimeMs(2000)));
        let claim = Claim {
            session: SessionId(3),
            sequence: Sequence(1),
            settled: Sequence(1),
        };
        let known = machine.sessions.look_up(&claim, TimeMs(2001));
        assert!(
            matches!(&known, Known::Repeat(reply) if reply.index == Index(7) && is_skipped(&reply.outcome)),
            "{known:?}"
        );
        let kept = &machine.catalog().skipped[&Index(7)];
        assert_eq!((kept.by, kept.commands), (Index(9), Some(2)));
        assert_eq!(kept.digest, Digest::of(&payload));
    }

    #[test]
    fn what_was_skipped_is_part_of_the_digest() {
        let digest = |claims: &[Option<u64>], by: u64| {
            let mut machine = machine();
            let skipped = machine.skip(Index(7), &entry(claims), (Index(by), &decision(7)), LEVEL_MAX);
            skipped.expect("it is passed by");
            machine.digest()
        };
        assert_eq!(digest(&[None], 9), digest(&[None], 9));
        assert_ne!(digest(&[None], 9), digest(&[None, None], 9));
        assert_ne!(digest(&[None], 9), digest(&[None], 10));
    }

    #[test]
    fn what_cannot_be_read_is_passed_by_too() {
        let requests = entry(&[None]);
        for payload in [&b"\xff\xff"[..], &requests[..requests.len() - 1], &[]] {
            let mut machine = machine();
            let output = machine.skip(Index(7), payload, (Index(9), &decision(7)), LEVEL_MAX);
            let refused = matches!(
                output,
                Ok(Output::Decision(Decision::Refused {
                    code: "entry_skipped",
                    ..
                }))
            );
            assert!(refused, "{output:?}");
            assert_eq!(machine.catalog().skipped[&Index(7)].commands, None);
        }
    }

    #[test]
    fn in_its_place_the_decision_finds_it_done_or_this_machine_on_another_way() {
        let mut machine = machine();
        let skipped = machine.skip(Index(7), &entry(&[None]), (Index(9), &decision(7)), LEVEL_MAX);
        skipped.expect("it is passed by");
        let done = Decision::Done { index: Index(9) };
        assert_eq!(machine.skip_decided(Index(9), &decision(7)), Ok(done));
        let ahead = machine.skip_decided(Index(9), &decision(9));
        assert!(
            matches!(
                &ahead,
                Ok(Decision::Refused {
                    code: "entry_ahead",
                    ..
                })
            ),
            "{ahead:?}"
        );
        let applied = machine.skip_decided(Index(9), &decision(6));
        assert!(
            matches!(
                applied,
                Err(Stop::Diverged {
                    entry: Index(6),
                    by: Index(9),
                    ..
                })
            ),
            "{applied:?}"
        );
        let other = machine.skip(Index(8), &entry(&[None]), (Index(9), &decision(7)), LEVEL_MAX);
        assert!(matches!(other, Err(Stop::Halt(_))), "{other:?}");
    }

    #[test]
    fn at_a_level_that_is_not_known_here_nothing_is_passed_by() {
        let mut machine = machine();
        machine.catalog_mut().level = Level(2);
        let parked = machine.skip(Index(7), &entry(&[None]), (Index(9), &decision(7)), Level(1));
        assert!(matches!(parked, Err(Stop::Park(_))), "{parked:?}");
        assert_eq!(machine.applied(), Index(6));
    }

    #[test]
    fn only_its_own_kind_is_taken_for_a_decision() {
        for body in one_of_each() {
            let expected = match &body {
                Body::SkipEntry(skip) => Some(skip.clone()),
                _ => None,
            };
            let time = TimeMs(1);
            assert_eq!(skip_in(&Entry { time, body }.to_bytes()), expected);
        }
        assert_eq!(skip_in(&[]), None);
        assert_eq!(skip_in(&[ENTRY_FORMAT, 25]), None);
    }

    #[test]
    fn a_reason_is_bounded() {
        let reason = |bytes: usize| SkipEntry {
            entry: Index(7),
            reason: "x".repeat(bytes),
        };
        assert_eq!(reason(limits::REASON_BYTES_MAX).check_size(), Ok(()));
        assert!(reason(limits::REASON_BYTES_MAX + 1).check_size().is_err());
    }
}
