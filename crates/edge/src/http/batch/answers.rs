use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use client::wire::{BATCH_MEDIA_TYPE, BatchAnswer, Code};
use environment::BoxFuture;
use environment::channel::mpsc;
use futures::future::poll_fn;
use futures::stream;

use crate::codes::Refusal;
use crate::limits::BATCH_CHUNK_BYTES;

/// The answers to a batch as the body of an HTTP answer. The batch is worked on while somebody reads its answers; when
/// the client has gone, what is in the log goes on, and nothing more is tried.
pub(super) struct Answers {
    course: Option<BoxFuture<'static, ()>>,
    waiting: mpsc::Receiver<Result<BatchAnswer, Refusal>>,
}

impl Answers {
    pub fn new(
        course: impl Future<Output = ()> + Send + 'static,
        waiting: mpsc::Receiver<Result<BatchAnswer, Refusal>>,
    ) -> Self {
        Answers {
            course: Some(Box::pin(course)),
            waiting,
        }
    }

    /// Begins to answer with the first outcome that is known, or refuses the batch if none of it was done.
    pub async fn response(mut self) -> Result<Response, Refusal> {
        let first = match poll_fn(|context| self.poll_chunk(context)).await {
            Some(first) => first?,
            None => {
                return Err(Refusal::new(
                    Code::Internal,
                    "the batch ended without an answer: please report this",
                ));
            }
        };
        let rest = stream::unfold(self, |mut answers| async move {
            let chunk = poll_fn(|context| answers.poll_chunk(context)).await?;
            Some((chunk, answers))
        });
        let first = stream::once(async { Ok(first) });
        let chunks = futures::StreamExt::chain(first, rest);
        // A refusal can only come in the place of the first answer, and the connection is cut if one comes later.
        let chunks = futures::TryStreamExt::map_err(chunks, |refusal: Refusal| refusal.0.detail);
        let headers = [
            (header::CONTENT_TYPE, BATCH_MEDIA_TYPE),
            (header::CACHE_CONTROL, "no-store"),
        ];
        Ok((headers, Body::from_stream(chunks)).into_response())
    }

    /// All answers that are known now, as lines.
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Refusal>>> {
        let mut chunk = Vec::new();
        loop {
            if let Some(course) = &mut self.course
                && Pin::new(course).poll(context).is_ready()
            {
                self.course = None;
            }
            let before = chunk.len();
            let ended = loop {
                match self.waiting.poll_recv(context) {
                    Poll::Ready(Some(Ok(answer))) => {
                        if let Err(error) = serde_json::to_writer(&mut chunk, &answer) {
                            return Poll::Ready(Some(Err(Refusal::new(Code::Internal, error.to_string()))));
                        }
                        chunk.push(b'\n');
                        if chunk.len() >= BATCH_CHUNK_BYTES {
                            return Poll::Ready(Some(Ok(chunk.into())));
                        }
                    }
                    Poll::Ready(Some(Err(refusal))) => return Poll::Ready(Some(Err(refusal))),
                    Poll::Ready(None) => break true,
                    Poll::Pending => break false,
                }
            };
            // What was taken may have made room for the next.
            if !ended && chunk.len() > before {
                continue;
            }
            return match (chunk.is_empty(), ended) {
                (false, _) => Poll::Ready(Some(Ok(chunk.into()))),
                (true, true) => Poll::Ready(None),
                (true, false) => Poll::Pending,
            };
        }
    }
}
