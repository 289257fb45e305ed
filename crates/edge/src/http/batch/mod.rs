//! `POST /v1/apps/{app}/commands`: many commands in one request, answered line by line.
//!
//! The batch is read whole before anything is submitted, so that a line that cannot be read refuses all of it. Then all
//! of its commands are under way together, in order, and so are packed into few entries. It is no transaction: each
//! command has an outcome of its own. Their order is kept all the same: of one batch, what is ever applied is always
//! the first of it ([`machine::Cluster::submit_in_order`]), and what of it is tried again, after a leader was lost,
//! begins where nothing is in doubt, or carries the session that makes a repeat harmless.

mod answers;
mod course;
mod parse;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use client::wire::{BATCH_MEDIA_TYPE, BatchAnswer, BatchCommand, Code};
use environment::channel::mpsc;

use super::body::{self, Media};
use super::extract::UrlPath;
use super::problems::{WRITE, problems};
use super::{Api, commands};
use crate::codes::Refusal;
use crate::limits;

use answers::Answers;
use course::Course;

problems!(BatchProblems: WRITE, &[Code::UnknownApplication]);

/// Submit a batch of commands
///
/// Each line is one command; the answers come as lines in the same order, as they are known. A line that cannot be read
/// refuses the whole batch, and nothing is done. After that each command has an outcome of its own: `applied`,
/// `refused` (the application declined it), `failed` (it could not be run; `code` says why) or `unknown` (it may have
/// been applied). One that is refused or fails does not stop those behind it.
///
/// The commands are applied in the order of their lines, and never with a gap: whatever breaks, those that were ever
/// applied are the first of the batch. With a session, the n-th command (from 1) has the sequence `Seachange-Sequence`
/// + n - 1: the whole batch can be sent again, and what was applied then gives its first answer.
#[utoipa::path(
    post, path = "/v1/apps/{app}/commands", tag = "commands", operation_id = "submit_batch",
    params(
        ("app" = String, Path, description = "The application's name.", example = "ledger"),
        ("Seachange-Session" = Option<u64>, Header, description = "The session that the commands belong to."),
        ("Seachange-Sequence" = Option<u64>, Header, description = "The sequence of the first command."),
    ),
    request_body(
        content = BatchCommand, content_type = BATCH_MEDIA_TYPE,
        description = "One command on each line. At most 4,096 lines and 8 MiB.",
        example = "{\"command\":\"open\",\"payload\":{\"id\":\"ada\",\"owner\":\"Ada\",\"balance\":100}}\n{\"command\":\"open\",\"payload\":{\"id\":\"bob\",\"owner\":\"Bob\",\"balance\":0}}\n{\"command\":\"transfer\",\"payload\":{\"from\":\"ada\",\"to\":\"bob\",\"amount\":5}}\n",
    ),
    responses(
        (status = 200, description = "One answer on each line, in the order of the commands.", body = BatchAnswer,
         content_type = BATCH_MEDIA_TYPE),
        BatchProblems,
    ),
)]
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    UrlPath(application): UrlPath<String>,
    request: Request,
) -> Result<Response, Refusal> {
    commands::check_name(Code::UnknownApplication, "an application", &application)?;
    let claim = commands::claim_of(request.headers())?;
    body::check_media(request.headers(), Media::Lines)?;
    let request = api.take(request, limits::BATCH_BYTES_MAX, "a batch").await?;
    let batch = parse::batch(&application, claim, &request.body)?;
    let (answer, waiting) = mpsc::channel(limits::BATCH_ANSWERS_WAITING_MAX);
    let course = Course::new(api, batch, request, answer);
    Answers::new(course.run(), waiting).response().await
}
