use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Weak};

use client::wire::Trace;
use client::{Http, HttpRequest, Options};
use environment::channel::mpsc;
use environment::measure::Rarely;
use environment::{Environment, timeout};

use super::otlp::{self, Resource};
use super::{Observer, measures::EdgeMeasures};
use crate::limits::{EXPORT_BATCH_MAX, EXPORT_FAILURE_AGAIN, EXPORT_PAUSE, EXPORT_TIME_MAX};

/// Where an OpenTelemetry collector takes OTLP over HTTP: `http://HOST:PORT`, with a path before `/v1/traces` if need be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `HOST:PORT`.
    address: String,
    /// Beginning with a slash.
    path: String,
}

/// Why that is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no OTLP endpoint that a node can speak to: {reason}")]
pub struct InvalidEndpoint {
    given: String,
    reason: &'static str,
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Endpoint, InvalidEndpoint> {
        let invalid = |reason| InvalidEndpoint {
            given: text.to_owned(),
            reason,
        };
        if text.starts_with("https://") {
            return Err(invalid(
                "nodes do not speak TLS; run a collector beside each node and give it as http://127.0.0.1:4318",
            ));
        }
        let rest = text
            .strip_prefix("http://")
            .ok_or_else(|| invalid("give it as http://HOST:PORT, mostly with port 4318"))?;
        let (address, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let sound = path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'?' && byte != b'#');
        if Options::new([address]).check().is_err() || !sound {
            return Err(invalid(
                "give it as http://HOST:PORT, with a plain path behind it if the collector needs one",
            ));
        }
        let path = format!("{}/v1/traces", path.trim_end_matches('/'));
        Ok(Endpoint {
            address: address.to_owned(),
            path,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}{}", self.address, self.path)
    }
}

/// Sends traces to a collector. What it does not take is dropped and counted: a command never waits for its trace.
pub(super) struct Exporter {
    environment: Environment,
    endpoint: Endpoint,
    /// Not held, so that the channel ends with the edge.
    observer: Weak<Observer>,
    binary: String,
    failures: Rarely,
}

impl Exporter {
    pub fn new(environment: Environment, endpoint: Endpoint, observer: &Arc<Observer>, binary: &str) -> Exporter {
        Exporter {
            environment,
            endpoint,
            observer: Arc::downgrade(observer),
            binary: binary.to_owned(),
            failures: Rarely::every(EXPORT_FAILURE_AGAIN),
        }
    }

    /// Until the edge is gone.
    pub async fn run(self, mut traces: mpsc::Receiver<Arc<Trace>>) {
        let options = Options::new([self.endpoint.address.clone()])
            .named("trace export")
            .deadline(EXPORT_TIME_MAX);
        let http = match Http::new(self.environment.clone(), options) {
            Ok(http) => http,
            Err(error) => return tracing::error!(%error, "traces cannot be exported"),
        };
        while let Some(first) = traces.recv().await {
            let mut batch = vec![first];
            let pause_ends = self.environment.clock.now() + EXPORT_PAUSE;
            while batch.len() < EXPORT_BATCH_MAX {
                let left = pause_ends - self.environment.clock.now();
                match timeout(&self.environment, left, traces.recv()).await {
                    Ok(Some(trace)) => batch.push(trace),
                    Ok(None) | Err(_) => break,
                }
            }
            let Some(resource) = self.resource() else {
                return;
            };
            let sent = self.send(&http, otlp::request(&resource, &batch)).await;
            // Not held while the collector takes its time: the node behind it may have to be let go of.
            if let Some(observer) = self.observer.upgrade() {
                self.note(&observer.measures, &batch, sent);
            }
        }
    }

    /// Who sends, as of now; none once the edge is gone.
    fn resource(&self) -> Option<Resource> {
        let observer = self.observer.upgrade()?;
        let status = observer.cluster.status();
        Some(Resource {
            node: observer.cluster.catalog().node_name(status.node),
            cluster: format!("{:016x}", status.cluster.0),
            binary: self.binary.clone(),
        })
    }

    async fn send(&self, http: &Http, body: serde_json::Value) -> Result<(), String> {
        let request =
            HttpRequest::post(&self.endpoint.path, body.to_string()).header("content-type", "application/json");
        let answer = http.send_to(&self.endpoint.address, &request).await;
        match answer.map_err(|error| error.to_string())?.status {
            200..=299 => Ok(()),
            status => Err(format!("it answered with status {status}")),
        }
    }

    fn note(&self, measures: &EdgeMeasures, batch: &[Arc<Trace>], sent: Result<(), String>) {
        let spans = batch.iter().map(|trace| otlp::spans_of(trace)).sum();
        match sent {
            Ok(()) => measures.spans_exported.add(spans),
            Err(reason) => {
                measures.spans_dropped.add(spans);
                if let Some(also) = self.failures.happened(self.environment.clock.now()) {
                    let endpoint = &self.endpoint;
                    tracing::warn!(%endpoint, reason, also_since_the_last_line = also, "the collector did not take traces");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_checked() {
        let shown = |text: &str| text.parse::<Endpoint>().map(|endpoint| endpoint.to_string());
        assert_eq!(
            shown("http://127.0.0.1:4318").unwrap(),
            "http://127.0.0.1:4318/v1/traces"
        );
        assert_eq!(
            shown("http://collector:4318/").unwrap(),
            "http://collector:4318/v1/traces"
        );
        assert_eq!(shown("http://[::1]:80/otlp").unwrap(), "http://[::1]:80/otlp/v1/traces");
        for bad in [
            "",
            "127.0.0.1:4318",
            "http://",
            "http://host",
            "http://host:4318/a b",
            "http://host:4318/?a",
        ] {
            assert!(shown(bad).is_err(), "{bad}");
        }
        assert!(shown("https://host:4318").unwrap_err().to_string().contains("TLS"));
    }
}
