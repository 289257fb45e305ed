//! HTTP/1.1 over the environment's sockets: a list of addresses, fail-over between them, one connection a request.

mod batches;
mod exchange;
mod lines;
mod request;

use std::sync::Arc;

use bytes::Bytes;
use environment::{Environment, Moment};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::addresses::Addresses;
use crate::wire::{Code, Problem, Retry};
use crate::{Error, Options, limits};

use exchange::Failed;

pub(crate) use batches::Batches;
pub use lines::Lines;
pub use request::{HttpRequest, Repeat};
pub(crate) use request::{escape, query_string};

/// An HTTP client of one cluster. Cloning shares what it knows of the addresses.
#[derive(Clone)]
pub struct Http {
    environment: Environment,
    options: Options,
    addresses: Arc<Mutex<Addresses>>,
    /// Only the addresses that were given are asked.
    pinned: bool,
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct HttpResponse {
    /// Who gave it.
    pub address: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Http")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// An answer that has begun.
#[derive(Debug)]
pub enum Begun {
    /// With a 2xx: its body is still to come.
    Lines(Lines),
    /// With any other status, read whole.
    Whole(HttpResponse),
}

/// An answer with a 2xx.
enum Answer {
    Whole(HttpResponse),
    /// Its body is still to come.
    Begun(String, hyper::Response<Incoming>),
}

/// How far one attempt came.
enum Attempt {
    Done(Answer),
    /// Not the last word: another is worth making.
    Again(Error),
    Final(Error),
}

impl Http {
    /// A client of the cluster at those addresses.
    ///
    /// # Errors
    /// [`Error::Invalid`], as [`Options::check`].
    pub fn new(environment: Environment, options: Options) -> Result<Http, Error> {
        options.check()?;
        let addresses = Arc::new(Mutex::new(Addresses::new(&options.addresses)));
        Ok(Http {
            environment,
            options,
            addresses,
            pinned: false,
        })
    }

    /// The same, but asking that one address only.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is none.
    pub fn at(&self, address: impl Into<String>) -> Result<Http, Error> {
        let options = Options {
            addresses: vec![address.into()],
            ..self.options.clone()
        };
        Ok(Http {
            pinned: true,
            ..Http::new(self.environment.clone(), options)?
        })
    }

    /// How it reaches the cluster.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Remembers where else the cluster may be asked.
    pub fn learn(&self, members: &[String]) {
        if !self.pinned {
            self.addresses.lock().learn(members);
        }
    }

    /// Sends a request to whoever answers, until one does with a 2xx or the deadline passes.
    ///
    /// # Errors
    /// [`Error::Problem`] for every other status, [`Error::Unavailable`] when surely nothing was done,
    /// [`Error::OutcomeUnknown`] when a request that may not be repeated was left without an answer.
    pub async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, Error> {
        match self.send_until_deadline(request, true).await? {
            Answer::Whole(response) => Ok(response),
            Answer::Begun(address, _) => Err(Error::Unreadable {
                address,
                what: "the answer was not read to its end".into(),
            }),
        }
    }

    /// Sends a request once, to that address, and gives the answer whatever its status. For nodes that hand requests
    /// on.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it surely was not received, else [`Error::OutcomeUnknown`].
    pub async fn send_to(&self, address: &str, request: &HttpRequest) -> Result<HttpResponse, Error> {
        let deadline = self.environment.clock.now() + self.options.deadline;
        let read = match self.exchange(address, request, deadline).await {
            Ok(response) => self.read_whole(address, response, deadline).await,
            Err(failed) => Err(failed),
        };
        match read {
            Ok(response) => Ok(response),
            Err(failed) if failed.sent => Err(Error::OutcomeUnknown(failed.reason)),
            Err(failed) => Err(Error::Unavailable(failed.reason)),
        }
    }

    /// Sends a request once, to the first address that was given, for what is asked of one node alone.
    ///
    /// # Errors
    /// [`Error::Problem`] for every status but 2xx; as [`Http::send_to`].
    pub async fn send_once(&self, request: &HttpRequest) -> Result<HttpResponse, Error> {
        let address = self.options.addresses.first().cloned().unwrap_or_default();
        let response = self.send_to(&address, request).await?;
        match response.status {
            200..=299 => Ok(response),
            _ => Err(Error::Problem(Box::new(read_problem(&response)))),
        }
    }

    /// As [`Http::send_to`], but gives the body of a 2xx as it comes, line by line.
    ///
    /// # Errors
    /// As [`Http::send_to`].
    pub async fn send_to_for_lines(&self, address: &str, request: &HttpRequest) -> Result<Begun, Error> {
        let deadline = self.environment.clock.now() + self.options.deadline;
        let begun = match self.exchange(address, request, deadline).await {
            Ok(response) if response.status().is_success() => {
                return Ok(Begun::Lines(Lines::new(address.to_owned(), response.into_body())));
            }
            Ok(response) => self.read_whole(address, response, deadline).await,
            Err(failed) => Err(failed),
        };
        match begun {
            Ok(response) => Ok(Begun::Whole(response)),
            Err(failed) if failed.sent => Err(Error::OutcomeUnknown(failed.reason)),
            Err(failed) => Err(Error::Unavailable(failed.reason)),
        }
    }

    /// Sends a request as [`Http::send`] does and gives its body as it comes, line by line.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn send_for_lines(&self, request: &HttpRequest) -> Result<Lines, Error> {
        let (address, response) = self.send_for_body(request).await?;
        Ok(Lines::new(address, response.into_body()))
    }

    /// Sends a request as [`Http::send`] does and gives who answers, and the answer with its body still to come.
    pub(crate) async fn send_for_body(
        &self,
        request: &HttpRequest,
    ) -> Result<(String, hyper::Response<Incoming>), Error> {
        match self.send_until_deadline(request, false).await? {
            Answer::Begun(address, response) => Ok((address, response)),
            Answer::Whole(response) => Err(Error::Unreadable {
                address: response.address,
                what: "the answer was read to its end".into(),
            }),
        }
    }

    /// `GET` of newline-delimited records.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn lines(&self, path: &str) -> Result<Lines, Error> {
        self.send_for_lines(&HttpRequest::get(path).header("accept", "application/x-ndjson"))
            .await
    }

    /// `GET` of a JSON value.
    ///
    /// # Errors
    /// As [`Http::send`], and [`Error::Unreadable`].
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.send(&HttpRequest::get(path)).await?.json()
    }

    /// `POST` of a JSON value.
    ///
    /// # Errors
    /// As [`Http::send`], and [`Error::Unreadable`].
    pub async fn post_json<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Error> {
        let body = serde_json::to_vec(body).map_err(|error| Error::Invalid(error.to_string()))?;
        let request = HttpRequest::post(path, body).header("content-type", "application/json");
        self.send(&request).await?.json()
    }

    /// `PUT` of bytes.
    ///
    /// # Errors
    /// As [`Http::send`], and [`Error::Unreadable`].
    pub async fn put_bytes<T: DeserializeOwned>(&self, path: &str, body: impl Into<Bytes>) -> Result<T, Error> {
        let request = HttpRequest::put(path, body).header("content-type", "application/octet-stream");
        self.send(&request).await?.json()
    }

    async fn send_until_deadline(&self, request: &HttpRequest, whole: bool) -> Result<Answer, Error> {
        let clock = &self.environment.clock;
        let deadline = clock.now() + self.options.deadline;
        let mut repeats = 0;
        loop {
            let error = match self.attempt(request, whole, deadline).await {
                Attempt::Done(done) => return Ok(done),
                Attempt::Final(error) => return Err(error),
                Attempt::Again(error) => error,
            };
            repeats += 1;
            let pause = limits::pause(repeats);
            if clock.now() + pause >= deadline {
                return Err(error);
            }
            self.environment.sleep(pause).await;
        }
    }

    async fn attempt(&self, request: &HttpRequest, whole: bool, deadline: Moment) -> Attempt {
        let address = self.addresses.lock().choose();
        let clock = &self.environment.clock;
        let until = match request.repeat {
            Repeat::Freely if request.is_read() => deadline.min(clock.now() + limits::HTTP_READ_ATTEMPT),
            Repeat::Freely | Repeat::IfNotDone => deadline,
        };
        let response = match self.exchange(&address, request, until).await {
            Ok(response) => response,
            Err(failed) => return self.without_answer(request, &address, failed),
        };
        if !response.status().is_success() {
            let problem = match self.read_whole(&address, response, until).await {
                Ok(response) => read_problem(&response),
                Err(failed) => return self.without_answer(request, &address, failed),
            };
            return self.judge(request, &address, problem);
        }
        let answer = if whole {
            match self.read_whole(&address, response, until).await {
                Ok(response) => Answer::Whole(response),
                Err(failed) => return self.without_answer(request, &address, failed),
            }
        } else {
            Answer::Begun(address.clone(), response)
        };
        let mut addresses = self.addresses.lock();
        addresses.served(&address);
        // The next request goes where this one was served.
        addresses.follow(&address, clock.now());
        Attempt::Done(answer)
    }

    fn without_answer(&self, request: &HttpRequest, address: &str, failed: Failed) -> Attempt {
        self.addresses.lock().unreachable(address, self.environment.clock.now());
        match (failed.sent, request.repeat) {
            (true, Repeat::IfNotDone) => Attempt::Final(Error::OutcomeUnknown(failed.reason)),
            (true, Repeat::Freely) | (false, Repeat::Freely | Repeat::IfNotDone) => {
                Attempt::Again(Error::Unavailable(failed.reason))
            }
        }
    }

    async fn read_whole(
        &self,
        address: &str,
        response: hyper::Response<Incoming>,
        until: Moment,
    ) -> Result<HttpResponse, Failed> {
        let failed = |reason: &str| Failed {
            sent: true,
            reason: format!("{address}: {reason}"),
        };
        let (head, body) = response.into_parts();
        let left = until - self.environment.clock.now();
        let body = Limited::new(body, limits::HTTP_BODY_BYTES_MAX).collect();
        match environment::timeout(&self.environment, left, body).await {
            Ok(Ok(body)) => Ok(HttpResponse {
                address: address.to_owned(),
                status: head.status.as_u16(),
                headers: head.headers,
                body: body.to_bytes(),
            }),
            Ok(Err(error)) => Err(failed(&format!("in the middle of the answer: {error}"))),
            Err(_) => Err(failed("the answer did not end in time")),
        }
    }

    /// Whether a problem is the last word.
    fn judge(&self, request: &HttpRequest, address: &str, problem: Problem) -> Attempt {
        let now = self.environment.clock.now();
        let mut addresses = self.addresses.lock();
        match problem.code.retry() {
            Retry::Elsewhere | Retry::Later => {
                addresses.of_no_use(address, now);
                if !self.pinned
                    && let Some(leader) = &problem.leader_http
                {
                    addresses.follow(leader, now);
                }
                Attempt::Again(Error::Problem(Box::new(problem)))
            }
            Retry::SameClaim if request.repeat == Repeat::Freely && problem.code == Code::Timeout => {
                addresses.of_no_use(address, now);
                Attempt::Again(Error::Problem(Box::new(problem)))
            }
            Retry::SameClaim | Retry::No => Attempt::Final(Error::Problem(Box::new(problem))),
        }
    }

    async fn exchange(
        &self,
        address: &str,
        request: &HttpRequest,
        until: Moment,
    ) -> Result<hyper::Response<Incoming>, Failed> {
        exchange::exchange(&self.environment, &self.options.name, address, request, until).await
    }
}

impl HttpResponse {
    /// The body as JSON.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| Error::Unreadable {
            address: self.address.clone(),
            what: error.to_string(),
        })
    }
}

/// The problem that an answer carries; one that says as much as is known if it carries none.
fn read_problem(response: &HttpResponse) -> Problem {
    serde_json::from_slice(&response.body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(&response.body);
        let shown: String = text.chars().take(200).collect();
        let status = response.status;
        let detail = format!("{} answered with status {status}: {shown}", response.address);
        Problem {
            status,
            ..Problem::new(Code::Unrecognised, detail)
        }
    })
}
