//! The edge over real sockets, in front of a cluster whose answers the tests decide.

mod batch;
mod browser;
mod changes;
mod commands;
mod consumers;
mod copies;
mod description;
mod drain;
mod fake;
mod framer;
mod frames;
mod garbage;
mod limits;
mod modules;
mod observe;
mod reads;
mod real_client;
mod routing;
mod snapshots;
mod streams;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use edge::{Edge, EdgeHandle, EdgeOptions, Limits};
use environment::Environment;

use browser::Browser;
use fake::{Fake, ME};

/// An edge that serves, and a browser that knows where.
struct Served {
    edge: EdgeHandle,
    browser: Browser,
    fake: Arc<Fake>,
    environment: Environment,
}

/// Limits under which nothing in these tests waits for long.
fn limits() -> Limits {
    Limits {
        hold_max: Duration::from_millis(300),
        heartbeat: Duration::from_millis(20),
        ..Limits::default()
    }
}

async fn serve(fake: Arc<Fake>) -> Served {
    serve_with(
        fake,
        EdgeOptions {
            limits: limits(),
            binary: "0.1.0".into(),
            ..EdgeOptions::default()
        },
    )
    .await
}

async fn serve_with(fake: Arc<Fake>, options: EdgeOptions) -> Served {
    serve_in(environment::real::environment(), fake, options).await
}

async fn serve_in(environment: Environment, fake: Arc<Fake>, options: EdgeOptions) -> Served {
    let listener = environment.network.bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr();
    fake.state
        .lock()
        .catalog
        .nodes
        .insert(ME, fake::node("one", address.to_string()));
    let edge = Edge::serve(environment.clone(), listener, fake.clone(), options);
    assert_eq!(edge.address(), address);
    Served {
        edge,
        browser: Browser {
            environment: environment.clone(),
            address,
        },
        fake,
        environment,
    }
}
