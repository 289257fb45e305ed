//! Which requests of a connection go to the cluster together: commands that have come one behind the other.
//!
//! One of them would be answered no sooner alone, since the driver packs all that waits into one entry anyway. Together
//! they cost one task, one message and one wake-up.

use client::wire::frames::{FromClient, Get, Submit};
use machine::{Claim, Request, Sequence, SessionId, TOGETHER_BYTES_MAX, TOGETHER_COMMANDS_MAX};

/// What is given to the cluster at once, with the correlation ids of its answers.
pub(super) enum Asked {
    /// Commands that all carry a claim, or none of which does.
    Together(Commands),
    /// A command that is larger than the log takes, and why.
    TooLarge(u64, String),
    /// A session.
    OpenSession(u64),
    /// A read of one row.
    Get(u64, Get),
    /// A Hello behind the first frame.
    SecondHello(u64),
}

/// Commands; a correlation id for each.
#[derive(Default)]
pub(super) struct Commands {
    pub correlations: Vec<u64>,
    pub requests: Vec<Request>,
}

impl Asked {
    /// How many answers it will have.
    pub fn answers(&self) -> usize {
        match self {
            Asked::Together(commands) => commands.requests.len(),
            Asked::TooLarge(..) | Asked::OpenSession(_) | Asked::Get(..) | Asked::SecondHello(_) => 1,
        }
    }
}

/// Commands that have come, and were not given to the cluster yet.
#[derive(Default)]
pub(super) struct Together {
    commands: Commands,
    bytes: usize,
}

impl Together {
    /// Takes a request in, and gives what must not wait for more.
    pub fn add(&mut self, correlation: u64, request: FromClient) -> impl Iterator<Item = Asked> + use<> {
        let (before, now) = match request {
            FromClient::Submit(submit) => self.add_command(correlation, request_of(submit)),
            FromClient::OpenSession => (self.give(), Some(Asked::OpenSession(correlation))),
            FromClient::Get(get) => (self.give(), Some(Asked::Get(correlation, get))),
            FromClient::Hello(_) => (self.give(), Some(Asked::SecondHello(correlation))),
        };
        before.into_iter().chain(now)
    }

    fn add_command(&mut self, correlation: u64, request: Request) -> (Option<Asked>, Option<Asked>) {
        if let Err(why) = request.check_size() {
            return (None, Some(Asked::TooLarge(correlation, why)));
        }
        let requests = &self.commands.requests;
        let bytes = request.encoded_bytes_max();
        let full = requests.len() == TOGETHER_COMMANDS_MAX || self.bytes + bytes > TOGETHER_BYTES_MAX;
        // A command without a claim is never sent again, whatever may be said of those with one.
        let first = requests.first();
        let other = first.is_some_and(|first| first.claim.is_some() != request.claim.is_some());
        let before = if full || other { self.give() } else { None };
        self.bytes += bytes;
        self.commands.correlations.push(correlation);
        self.commands.requests.push(request);
        (before, None)
    }

    /// What has come and was not given yet.
    pub fn give(&mut self) -> Option<Asked> {
        let Together { commands, .. } = std::mem::take(self);
        (!commands.requests.is_empty()).then_some(Asked::Together(commands))
    }
}

fn request_of(submit: Submit) -> Request {
    Request {
        claim: submit.claim.map(|claim| Claim {
            session: SessionId(claim.session),
            sequence: Sequence(claim.sequence),
            settled: Sequence(claim.settled),
        }),
        application: submit.application,
        command: submit.command,
        version: submit.version,
        payload: submit.payload,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use client::wire::frames::Claim;
    use machine::limits::COMMAND_BYTES_MAX;

    use super::*;

    fn submit(claimed: bool, bytes: usize) -> FromClient {
        FromClient::Submit(Submit {
            claim: claimed.then_some(Claim {
                session: 1,
                sequence: 1,
                settled: 1,
            }),
            application: "a".into(),
            command: "c".into(),
            version: 1,
            payload: Bytes::from(vec![0; bytes]),
        })
    }

    /// How many requests are given together, for requests that come one behind the other.
    fn given(requests: impl IntoIterator<Item = FromClient>) -> Vec<usize> {
        let mut together = Together::default();
        let mut given = Vec::new();
        for (correlation, request) in (1..).zip(requests) {
            given.extend(together.add(correlation, request));
        }
        given.extend(together.give());
        given.iter().map(Asked::answers).collect()
    }

    #[test]
    fn commands_go_together_up_to_so_many_and_so_many_bytes() {
        let most = TOGETHER_COMMANDS_MAX;
        assert_eq!(given((0..most).map(|_| submit(true, 0))), [most]);
        assert_eq!(given((0..=most).map(|_| submit(true, 0))), [most, 1]);
        let half = TOGETHER_BYTES_MAX / 2 - 66;
        assert_eq!(given([half, half, 0].map(|bytes| submit(true, bytes))), [2, 1]);
        let more = [TOGETHER_BYTES_MAX, TOGETHER_BYTES_MAX, 0];
        assert_eq!(given(more.map(|bytes| submit(true, bytes))), [1, 1, 1]);
        assert_eq!(given([]), [0_usize; 0]);
    }

    #[test]
    fn only_commands_of_one_kind_go_together_and_nothing_overtakes_them() {
        let mixed = [true, true, false, false, true].map(|claimed| submit(claimed, 0));
        assert_eq!(given(mixed), [2, 2, 1]);
        let mut together = Together::default();
        assert_eq!(together.add(1, submit(true, 0)).count(), 0);
        let given: Vec<Asked> = together.add(2, FromClient::OpenSession).collect();
        assert!(matches!(&given[0], Asked::Together(commands) if commands.correlations == [1]));
        assert!(matches!(given[1], Asked::OpenSession(2)));
    }

    #[test]
    fn a_command_that_is_too_large_is_told_apart_and_holds_up_no_other() {
        let mut together = Together::default();
        assert_eq!(together.add(1, submit(true, 0)).count(), 0);
        let given: Vec<Asked> = together.add(2, submit(true, COMMAND_BYTES_MAX + 1)).collect();
        assert!(matches!(given[..], [Asked::TooLarge(2, _)]));
        assert_eq!(together.add(3, submit(true, 0)).count(), 0);
        let rest = together.give();
        assert!(matches!(rest, Some(Asked::Together(commands)) if commands.correlations == [1, 3]));
    }
}
