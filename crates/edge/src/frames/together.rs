//! Which requests of a connection go to the cluster together: commands that have come one behind the other.
//!
//! One of them would be answered no sooner alone, since the driver packs all that waits into one entry anyway. Together
//! they cost one task, one message and one wake-up.

use client::wire::frames::{FromClient, Submit};
use machine::{TOGETHER_BYTES_MAX, TOGETHER_COMMANDS_MAX};

/// What is given to the cluster at once.
pub(super) enum Asked {
    /// A request with its correlation id.
    One(u64, FromClient),
    /// Commands that all carry a claim, or none of which does, with their correlation ids.
    Together(Vec<(u64, Submit)>),
}

impl Asked {
    /// How many answers it will have.
    pub fn requests(&self) -> usize {
        match self {
            Asked::One(..) => 1,
            Asked::Together(submits) => submits.len(),
        }
    }
}

/// Commands that have come, and were not given to the cluster yet.
#[derive(Default)]
pub(super) struct Together {
    submits: Vec<(u64, Submit)>,
    bytes: usize,
}

impl Together {
    /// Takes a request in, and gives what must not wait for more.
    pub fn add(&mut self, correlation: u64, request: FromClient) -> impl Iterator<Item = Asked> + use<> {
        let FromClient::Submit(submit) = request else {
            return self.give().into_iter().chain(Some(Asked::One(correlation, request)));
        };
        let bytes = encoded_bytes_max(&submit);
        let full = self.submits.len() == TOGETHER_COMMANDS_MAX || self.bytes + bytes > TOGETHER_BYTES_MAX;
        // A command without a claim is never sent again, whatever may be said of those with one.
        let other = self
            .submits
            .first()
            .is_some_and(|(_, first)| first.claim.is_some() != submit.claim.is_some());
        let before = if full || other { self.give() } else { None };
        self.bytes += bytes;
        self.submits.push((correlation, submit));
        before.into_iter().chain(None)
    }

    /// What has come and was not given yet.
    pub fn give(&mut self) -> Option<Asked> {
        self.bytes = 0;
        let submits = std::mem::take(&mut self.submits);
        (!submits.is_empty()).then_some(Asked::Together(submits))
    }
}

/// As [`machine::Request::encoded_bytes_max`].
fn encoded_bytes_max(submit: &Submit) -> usize {
    64 + submit.application.len() + submit.command.len() + submit.payload.len()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use client::wire::frames::Claim;

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
        given.iter().map(Asked::requests).collect()
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
        assert!(matches!(&given[0], Asked::Together(submits) if submits[0].0 == 1));
        assert!(matches!(given[1], Asked::One(2, FromClient::OpenSession)));
    }
}
