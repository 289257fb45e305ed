//! The framed client protocol: many commands in flight on one connection, answered in any order.
//!
//! One task serves a connection. It reads what has come, gives every command to the cluster, and writes whatever
//! answers are ready at once: a round of the log that answers a thousand commands costs one wake-up and one write.

mod answer;
mod exchange;
mod pipe;
mod together;

use std::sync::Arc;

use client::wire::Code;
use client::wire::frames::{
    ErrorAnswer, FromClient, FromServer, Hello, HelloAnswer, VERSION_MAX, VERSION_MIN, negotiate,
};
use client::wire::limits::HELLO_ADDRESSES_MAX;
use environment::{Environment, Stream, timeout};
use machine::Cluster;

use crate::codes::Refusal;
use crate::edge::EdgeOptions;
use crate::limits::Limits;
use crate::observe::RouteMeasures;
use crate::router::Router;
use crate::stop::Stop;
use pipe::Pipe;

/// The correlation id of what concerns the whole connection.
const CONNECTION: u64 = 0;

/// What the kinds of requests are called where routes are.
const SUBMIT: &str = "frames/submit";
const OPEN_SESSION: &str = "frames/open_session";
const GET: &str = "frames/get";

/// Serves connections of the framed protocol.
pub(crate) struct Frames {
    environment: Environment,
    cluster: Arc<dyn Cluster>,
    router: Arc<Router>,
    limits: Limits,
    stopping: Stop,
    binary: String,
    /// What is counted of commands, of sessions, and of reads.
    submits: Arc<RouteMeasures>,
    sessions: Arc<RouteMeasures>,
    gets: Arc<RouteMeasures>,
}

impl Frames {
    pub fn new(
        environment: Environment,
        cluster: Arc<dyn Cluster>,
        router: Arc<Router>,
        options: &EdgeOptions,
        stopping: Stop,
    ) -> Self {
        let measures = &router.observer.measures;
        Frames {
            submits: measures.route(SUBMIT),
            sessions: measures.route(OPEN_SESSION),
            gets: measures.route(GET),
            environment,
            cluster,
            router,
            limits: options.limits.clone(),
            stopping,
            binary: options.binary.clone(),
        }
    }

    /// Serves a connection whose magic has been read.
    ///
    /// # Errors
    /// Why it ended before the client ended it, for the log.
    pub async fn serve(&self, stream: Box<dyn Stream>) -> Result<(), String> {
        let mut pipe = Pipe::new(stream);
        let greeted = match timeout(&self.environment, self.limits.frame_time_max, self.greet(&mut pipe)).await {
            Ok(greeted) => greeted,
            Err(_) => Err("the first frame did not come in time".to_owned()),
        };
        let ended = match greeted {
            Ok(()) => self.exchange(&mut pipe).await,
            Err(reason) => Err(reason),
        };
        // What is still to be written says why the connection ends; a peer that does not read it has had its time.
        let _ = timeout(&self.environment, self.limits.frame_time_max, pipe.close()).await;
        ended
    }

    async fn greet(&self, pipe: &mut Pipe) -> Result<(), String> {
        let first = match pipe.next_frame().await {
            Ok(Some(frame)) => FromClient::decode(&frame),
            Ok(None) => return Err("it ended before its first frame".into()),
            Err(pipe::Error::Frame(error)) => Err(error),
            Err(pipe::Error::Io(error)) => return Err(error.to_string()),
        };
        let refusal = match first {
            Ok(FromClient::Hello(hello)) => match self.welcome(&hello) {
                Ok(answer) => {
                    pipe.push(CONNECTION, &FromServer::HelloAnswer(answer));
                    return pipe.flush().await.map_err(|error| error.to_string());
                }
                Err(refusal) => refusal,
            },
            Ok(FromClient::Submit(_) | FromClient::OpenSession | FromClient::Get(_)) => {
                Refusal::malformed("the first frame must be a Hello, which says what version the client speaks")
            }
            Err(error) => Refusal::malformed(error.to_string()),
        };
        pipe.push(CONNECTION, &error_answer(&refusal));
        Err(refusal.0.detail)
    }

    fn welcome(&self, hello: &Hello) -> Result<HelloAnswer, Refusal> {
        let Some(version) = negotiate(hello.version_min, hello.version_max) else {
            return Err(Refusal::new(
                Code::VersionUnsupported,
                format!(
                    "the client speaks versions {} to {} of the client protocol and this node {VERSION_MIN} to \
                     {VERSION_MAX}: use a client of this node's release ({})",
                    hello.version_min, hello.version_max, self.binary
                ),
            ));
        };
        let status = self.cluster.status();
        if status.cluster.0 == 0 {
            return Err(Refusal::new(
                Code::Unavailable,
                "this node is not part of a cluster yet: wait until it has joined one, or go to another node",
            ));
        }
        if let Some(wanted) = hello.cluster.filter(|wanted| *wanted != status.cluster.0) {
            return Err(Refusal::new(
                Code::WrongCluster,
                format!(
                    "the client belongs to cluster {wanted:016x} and this node to {:016x}: check the address",
                    status.cluster.0
                ),
            ));
        }
        let members = status
            .members
            .iter()
            .filter_map(|member| self.router.address(member.node));
        Ok(HelloAnswer {
            version,
            cluster: status.cluster.0,
            node: status.node.0,
            binary: self.binary.clone(),
            leader_http: status.leader.and_then(|leader| self.router.address(leader)),
            members_http: members.take(HELLO_ADDRESSES_MAX).collect(),
        })
    }
}

fn error_answer(refusal: &Refusal) -> FromServer {
    FromServer::Error(ErrorAnswer {
        code: refusal.0.code,
        detail: refusal.0.detail.clone(),
        leader_http: refusal.0.leader_http.clone(),
    })
}
