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
                client.send(Ok(replies.by_ref().take(count).collect())).ok();
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
