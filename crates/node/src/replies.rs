//! Gives the requests of an entry their replies. A reply can only be made from an applied entry.

use environment::Moment;
use environment::channel::oneshot;
use machine::{Output, Reply, SubmitError};

use crate::driver::submit_error;
use crate::measures::{Measures, Stage};
use crate::raft::{Applied, Group, Proposal};

/// Waits for the entry, which was packed at `packed`, and answers everybody in it, in order: each waits for so many
/// replies.
pub async fn deliver(
    proposal: Proposal,
    waiting: impl Iterator<Item = (usize, oneshot::Sender<Result<Vec<Reply>, SubmitError>>)> + Send,
    group: &Group,
    measures: &Measures,
    packed: Moment,
) {
    let error = match proposal.outcome().await {
        Ok((index, Applied::Output(Output::Replies(replies)))) => {
            measures.entries.note(index, Stage::Packed, packed);
            let mut replies = replies.into_iter();
            for (count, client) in waiting {
                // A client that has gone asks again under its session, or does not care.
                client.send(of_next(&mut replies, count)).ok();
            }
            return;
        }
        Ok((_, Applied::Output(Output::Decision(_)) | Applied::Nothing | Applied::Unknown(_))) => {
            SubmitError::OutcomeUnknown("the entry was answered as one of another kind".to_owned())
        }
        Err(error) => submit_error(error, group),
    };
    for (_, client) in waiting {
        client.send(Err(error.clone())).ok();
    }
}

/// Replies to so many requests. An entry that has fewer leaves the others unknown: somebody waits for each.
fn of_next(replies: &mut impl Iterator<Item = Reply>, count: usize) -> Result<Vec<Reply>, SubmitError> {
    let own: Vec<Reply> = replies.take(count).collect();
    match own.len() == count {
        true => Ok(own),
        false => Err(SubmitError::OutcomeUnknown(format!(
            "the entry was answered with {} replies to {count} requests",
            own.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use machine::{Index, Outcome};

    use super::*;

    #[test]
    fn whoever_gets_fewer_replies_than_requests_hears_that_it_is_unknown() {
        let reply = |index| Reply {
            index: Index(index),
            outcome: Outcome::SessionExpired,
        };
        let mut replies = [reply(1), reply(2), reply(3)].into_iter();
        assert_eq!(of_next(&mut replies, 2), Ok(vec![reply(1), reply(2)]));
        for count in [2, 1] {
            let short = of_next(&mut replies, count);
            assert!(matches!(short, Err(SubmitError::OutcomeUnknown(_))), "{short:?}");
        }
    }
}
