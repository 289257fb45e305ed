use environment::{Environment, Moment, timeout};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::HttpRequest;
use crate::limits;

/// An exchange without an answer.
pub(super) struct Failed {
    /// Whether the request may have been received.
    pub(super) sent: bool,
    pub(super) reason: String,
}

/// One request to one address on a connection of its own, up to the head of the answer.
pub(super) async fn exchange(
    environment: &Environment,
    name: &str,
    address: &str,
    request: &HttpRequest,
    until: Moment,
) -> Result<hyper::Response<Incoming>, Failed> {
    let failed = |sent: bool, reason: String| Failed {
        sent,
        reason: format!("{address}: {reason}"),
    };
    let prepared = prepare(name, address, request).map_err(|reason| failed(false, reason))?;
    let left = until - environment.clock.now();
    let connect = environment.network.connect(address);
    let stream = match timeout(environment, left.min(limits::CONNECT), connect).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(failed(false, error.to_string())),
        Err(_) => return Err(failed(false, "no connection in time".into())),
    };
    let (mut sender, connection) = match http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await {
        Ok(made) => made,
        Err(error) => return Err(failed(false, error.to_string())),
    };
    environment.spawn("client-http", async move {
        // Whoever waits for the answer hears of the error; a body that is dropped early ends in one too.
        let _ = connection.await;
    });
    let left = until - environment.clock.now();
    match timeout(environment, left, sender.send_request(prepared)).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(failed(true, describe(&error))),
        Err(_) => Err(failed(true, "no answer in time".into())),
    }
}

fn prepare(name: &str, address: &str, request: &HttpRequest) -> Result<hyper::Request<Full<Bytes>>, String> {
    let mut builder = hyper::Request::builder()
        .method(request.method.clone())
        .uri(&request.path)
        .header("host", address)
        .header(
            "user-agent",
            format!("seachange-client/{} ({name})", env!("CARGO_PKG_VERSION")),
        );
    for (header, value) in &request.headers {
        builder = builder.header(header, value);
    }
    builder
        .body(Full::new(request.body.clone()))
        .map_err(|error| error.to_string())
}

/// Hyper's errors say little without what caused them.
fn describe(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
