//! One connection, from its first byte to its end.

use std::net::SocketAddr;
use std::sync::Arc;

use environment::{Environment, Stream, timeout};
use futures::FutureExt;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use machine::Cluster;
use tokio::io::AsyncWriteExt;

use crate::edge::EdgeOptions;
use crate::frames::Frames;
use crate::http::{self, Api};
use crate::limits;
use crate::observe::{Counted, Observer};
use crate::router::Router;
use crate::sniff::{self, Protocol, Rewound};
use crate::stop::Stop;
use crate::timer::EnvironmentTimer;

/// What all connections share.
pub(crate) struct Serving {
    environment: Environment,
    options: EdgeOptions,
    stopping: Stop,
    closing: Stop,
    frames: Frames,
    routes: axum::Router,
    http: http1::Builder,
    observer: Arc<Observer>,
}

impl Serving {
    pub fn new(
        environment: Environment,
        cluster: Arc<dyn Cluster>,
        options: EdgeOptions,
        stopping: Stop,
        closing: Stop,
    ) -> Self {
        let observer = Observer::start(
            environment.clone(),
            cluster.clone(),
            options.observe.clone(),
            &options.binary,
        );
        let router = Arc::new(Router::new(
            environment.clone(),
            cluster.clone(),
            &options.limits,
            observer.clone(),
        ));
        let mut http = http1::Builder::new();
        // hyper's date comes from the system's clock and not from the environment's.
        http.timer(EnvironmentTimer::new(environment.clone()))
            .header_read_timeout(options.limits.head_time_max)
            .max_buf_size(limits::HEAD_BYTES_MAX)
            .auto_date_header(false);
        let frames = Frames::new(
            environment.clone(),
            cluster.clone(),
            router.clone(),
            &options,
            stopping.clone(),
        );
        let api = Api::new(environment.clone(), cluster, router, &options, stopping.clone());
        Serving {
            environment,
            options,
            stopping,
            closing,
            frames,
            routes: http::routes(Arc::new(api)),
            http,
            observer,
        }
    }
}

/// Serves a connection until either side ends it.
pub(crate) async fn serve(serving: &Serving, stream: Box<dyn Stream>, peer: SocketAddr) {
    let closing = serving.closing.said().fuse();
    let stream: Box<dyn Stream> = Box::new(Counted::new(stream, serving.observer.clone()));
    let served = speak(serving, stream, peer).fuse();
    futures::pin_mut!(closing, served);
    futures::select_biased! {
        () = served => {}
        () = closing => tracing::debug!(%peer, "connection cut: the node stops"),
    }
}

async fn speak(serving: &Serving, mut stream: Box<dyn Stream>, peer: SocketAddr) {
    let first = {
        let stopping = serving.stopping.said().fuse();
        let sniffed = timeout(
            &serving.environment,
            serving.options.limits.head_time_max,
            sniff::sniff(stream.as_mut()),
        )
        .fuse();
        futures::pin_mut!(stopping, sniffed);
        futures::select_biased! {
            first = sniffed => first,
            () = stopping => return,
        }
    };
    let measures = &serving.observer.measures;
    let ended = match first {
        Ok(Ok((Protocol::Frames, _))) => {
            measures.frames_accepted.increment();
            let _open = measures.frames_open.hold(1);
            serving.frames.serve(stream).await
        }
        Ok(Ok((Protocol::Http, read))) => {
            measures.http_accepted.increment();
            let _open = measures.http_open.hold(1);
            speak_http(serving, Rewound::new(read, stream)).await
        }
        Ok(Ok((Protocol::Unknown(what), _))) => {
            decline(serving, stream, what).await;
            Err(what.to_owned())
        }
        Ok(Ok((Protocol::Nothing, _))) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => {
            let what = "it did not say in time what it speaks";
            decline(serving, stream, what).await;
            Err(what.to_owned())
        }
    };
    if let Err(reason) = ended {
        tracing::debug!(%peer, reason, "connection ended early");
    }
}

async fn speak_http(serving: &Serving, stream: Rewound) -> Result<(), String> {
    let service = TowerToHyperService::new(serving.routes.clone());
    let connection = serving.http.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    {
        let stopping = serving.stopping.said().fuse();
        let mut served = connection.as_mut().fuse();
        futures::pin_mut!(stopping);
        futures::select_biased! {
            ended = served => return ended.map_err(|error| error.to_string()),
            () = stopping => {}
        }
    }
    connection.as_mut().graceful_shutdown();
    connection.await.map_err(|error| error.to_string())
}

/// Says in HTTP, which any tool shows, why the connection is closed.
async fn decline(serving: &Serving, mut stream: Box<dyn Stream>, what: &str) {
    let answer = http::problem::bare(&format!(
        "this connection is closed because {what}; send HTTP/1.1 or Seachange's client protocol to this port"
    ));
    let written = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await
    };
    // The peer may be gone already, or never read: there is nothing more to be done for it.
    let _ = timeout(&serving.environment, limits::DISCARD_TIME_MAX, written).await;
}
