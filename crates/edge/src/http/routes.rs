//! Every route there is, in one table. A line of it makes both the route and its place in the API's description: the
//! handler carries `#[utoipa::path]`, and does not compile here without.

use std::sync::Arc;

use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post, put};
use client::wire::{Code, Consistency, Problem};
use utoipa::OpenApi;

use super::{
    Api, apps, batch, changes, commands, consumers, conversion, copies, docs, dry_run, entries, errors, members,
    modules, observe, openapi, queries, removal, sessions, snapshots, status, streams, tables, usage, watch,
};
use crate::codes::Refusal;

macro_rules! routes {
    ($($method:ident $path:literal => $module:ident::$handler:ident;)*) => {
        /// What the handlers say of themselves.
        #[derive(OpenApi)]
        #[openapi(paths($($module::$handler),*), components(schemas(Problem, Consistency)))]
        pub(super) struct Described;

        fn table() -> axum::Router<Arc<Api>> {
            axum::Router::new()$(.route($path, $method($module::$handler)))*
        }

        #[cfg(test)]
        const TABLE: &[(&str, &str)] = &[$((stringify!($method), $path)),*];
    };
}

routes! {
    get "/" => docs::start;
    get "/healthz" => status::alive;
    get "/metrics" => observe::metrics;
    get "/readyz" => status::ready;
    get "/v1/apps" => apps::list;
    get "/v1/apps/{app}" => apps::show;
    post "/v1/apps/{app}/commands" => batch::submit;
    post "/v1/apps/{app}/commands/{command}" => commands::submit;
    post "/v1/apps/{app}/conversion" => conversion::steer;
    post "/v1/apps/{app}/purge" => removal::purge;
    post "/v1/apps/{app}/queries/{query}" => queries::ask;
    post "/v1/apps/{app}/remove" => removal::remove;
    get "/v1/apps/{app}/usage" => usage::show;
    get "/v1/apps/{app}/tables" => tables::list;
    get "/v1/apps/{app}/tables/{table}/rows" => tables::rows;
    get "/v1/apps/{app}/tables/{table}/rows/{key}" => tables::row;
    get "/v1/changes" => changes::list;
    post "/v1/changes" => changes::plan;
    post "/v1/changes/dry-run" => dry_run::look;
    get "/v1/changes/{change}" => changes::show;
    get "/v1/changes/{change}/watch" => changes::watch;
    post "/v1/changes/{change}/{step}" => changes::step;
    get "/v1/consumers" => consumers::list;
    post "/v1/copies" => copies::begin;
    delete "/v1/copies/{copy}" => copies::end;
    get "/v1/copies/{copy}/log" => copies::entries;
    get "/v1/copies/{copy}/snapshots/{index}" => copies::snapshot;
    get "/v1/docs" => docs::page;
    get "/v1/docs/{file}" => docs::file;
    post "/v1/entries/{entry}/skip" => entries::skip;
    get "/v1/entries/skipped" => entries::skipped;
    get "/v1/errors" => errors::list;
    get "/v1/errors/{code}" => errors::show;
    get "/v1/members" => members::list;
    put "/v1/modules/{module}" => modules::store;
    get "/v1/openapi.json" => openapi::show;
    post "/v1/sessions" => sessions::open;
    post "/v1/snapshots" => snapshots::make;
    get "/v1/snapshots/{index}/files/{file}" => snapshots::piece;
    get "/v1/status" => status::show;
    get "/v1/streams" => streams::list;
    get "/v1/streams/{stream}" => streams::read;
    get "/v1/streams/{stream}/consumers/{name}" => consumers::show;
    put "/v1/streams/{stream}/consumers/{name}" => consumers::commit;
    delete "/v1/streams/{stream}/consumers/{name}" => consumers::remove;
    put "/v1/streams/{stream}/consumers/{name}/event-version" => consumers::pin;
    post "/v1/streams/{stream}/trim" => streams::trim;
    get "/v1/traces" => observe::traces;
    post "/v1/verify" => snapshots::verify;
    get "/v1/watch" => watch::watch;
}

/// The routes, and answers for whatever is none.
pub(crate) fn routes(api: Arc<Api>) -> axum::Router {
    stateless()
        .layer(from_fn_with_state(api.clone(), observe::observe))
        .with_state(api)
}

fn stateless() -> axum::Router<Arc<Api>> {
    table()
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
}

async fn no_such_path(uri: Uri) -> Refusal {
    Refusal::new(
        Code::NotFound,
        format!(
            "there is nothing at {:?}: the API's paths begin with /v1, and `GET /v1/openapi.json` lists them",
            uri.path()
        ),
    )
}

async fn no_such_method(method: Method, uri: Uri) -> Refusal {
    Refusal::new(
        Code::MethodNotAllowed,
        format!(
            "{:?} does not take {method}: the header Allow names what it takes",
            uri.path()
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Method and path of each operation in the document.
    fn described() -> BTreeSet<(String, String)> {
        let document = serde_json::to_value(openapi::document()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        paths
            .iter()
            .flat_map(|(path, operations)| {
                let methods = operations.as_object().unwrap().keys().cloned();
                methods.map(|method| (method, path.clone()))
            })
            .collect()
    }

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let routed: BTreeSet<(String, String)> = TABLE
            .iter()
            .map(|(method, path)| ((*method).to_owned(), (*path).to_owned()))
            .collect();
        assert_eq!(routed.len(), TABLE.len(), "no route stands there twice");
        assert_eq!(described(), routed);
    }

    /// Axum's own list of what it routes, as its `Debug` shows it: a route that was added beside the table is in it.
    #[test]
    fn nothing_is_routed_beside_the_table() {
        let shown = format!("{:?}", stateless());
        let (_, paths) = shown.split_once("paths: {").expect("axum shows its paths");
        let quoted = paths.split('"').skip(1).step_by(2);
        let paths: BTreeSet<String> = quoted
            .filter(|text| text.starts_with('/') && !text.contains("__private__axum"))
            .map(str::to_owned)
            .collect();
        let table: BTreeSet<String> = TABLE.iter().map(|(_, path)| (*path).to_owned()).collect();
        assert_eq!(paths, table);
    }
}
