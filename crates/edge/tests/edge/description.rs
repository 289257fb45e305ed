//! The API's description against the API, and the page that shows it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use client::wire::Code;
use serde_json::{Value, json};

use crate::browser::Answer;
use crate::fake::Fake;
use crate::serve;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_slice(&edge::openapi()).unwrap());

/// Every operation: its method, path and description.
fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, operations)| {
        let operations = operations.as_object().unwrap();
        operations
            .iter()
            .map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
    })
}

/// Codes of the problems that an operation says it may answer with, by status.
fn codes(operation: &Value) -> BTreeSet<(String, String)> {
    let mut codes = BTreeSet::new();
    for (status, response) in operation["responses"].as_object().unwrap() {
        let examples = response["content"]["application/problem+json"]["examples"].as_object();
        for code in examples.into_iter().flatten().map(|(code, _)| code) {
            codes.insert((status.clone(), code.clone()));
        }
    }
    codes
}

fn matches(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    let mut parts = template.iter().zip(&path);
    template.len() == path.len() && parts.all(|(template, part)| template.starts_with('{') || template == part)
}

/// Every problem that any test meets must be one that its operation names.
pub fn check_documented(method: &str, target: &str, answer: &Answer) {
    // Whatever is no operation is answered before one.
    if answer.status == 405 {
        return;
    }
    let is_problem = answer
        .headers
        .get("content-type")
        .is_some_and(|kind| kind == "application/problem+json");
    if !is_problem {
        return;
    }
    let json = answer.json();
    assert_eq!(json["type"], format!("/v1/errors/{}", json["code"].as_str().unwrap()));
    let path = target.split('?').next().unwrap();
    // The path with the fewest variable parts is the one that is routed.
    let found = operations()
        .filter(|(known, template, _)| known.eq_ignore_ascii_case(method) && matches(template, path))
        .min_by_key(|(_, template, _)| template.matches('{').count());
    let Some((_, template, operation)) = found else {
        let code = json["code"].as_str().unwrap();
        assert_eq!(code, "not_found", "{method} {target}");
        return;
    };
    let named = (answer.status.to_string(), json["code"].as_str().unwrap().to_owned());
    assert!(
        codes(operation).contains(&named),
        "{method} {template} does not name {named:?}"
    );
}

#[test]
fn every_code_in_the_description_is_in_the_table_with_its_status() {
    let mut seen = BTreeSet::new();
    for (method, path, operation) in operations() {
        let codes = codes(operation);
        assert!(!codes.is_empty(), "{method} {path} names no problem");
        for (status, name) in codes {
            let code = Code::from_name(&name).unwrap_or_else(|| panic!("{method} {path}: {name}"));
            assert_eq!(code.http_status().to_string(), status, "{method} {path}: {name}");
            seen.insert(code);
        }
    }
    let listed = DOCUMENT["components"]["schemas"]["Code"]["enum"].as_array().unwrap();
    let all: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(listed, &all.iter().map(|name| json!(name)).collect::<Vec<_>>());
    // Of frames, of paths that are none, and never sent: no operation has them.
    let elsewhere = [
        Code::Unrecognised,
        Code::VersionUnsupported,
        Code::WrongCluster,
        Code::MethodNotAllowed,
    ];
    let missing: Vec<&Code> = Code::ALL
        .iter()
        .filter(|code| !seen.contains(code) && !elsewhere.contains(code))
        .collect();
    assert_eq!(missing, Vec::<&Code>::new(), "no operation names them");
}

#[test]
fn the_description_is_whole() {
    let mut ids = BTreeSet::new();
    let tags: Vec<&Value> = DOCUMENT["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| &tag["name"])
        .collect();
    for (method, path, operation) in operations() {
        let what = format!("{method} {path}");
        assert!(
            operation["summary"].as_str().is_some_and(|summary| summary.len() > 5),
            "{what}"
        );
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{what}");
        assert!(
            operation["tags"]
                .as_array()
                .unwrap()
                .iter()
                .all(|tag| tags.contains(&tag)),
            "{what}"
        );
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let in_path: BTreeSet<&str> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        let in_template: BTreeSet<&str> = path
            .split('{')
            .skip(1)
            .map(|part| part.split('}').next().unwrap())
            .collect();
        assert_eq!(in_path, in_template, "{what}");
        for parameter in &parameters {
            assert!(
                parameter["description"].as_str().is_some_and(|text| text.len() > 3),
                "{what}: {parameter}"
            );
        }
        if let Some(content) = operation["requestBody"]["content"].as_object() {
            let bytes = content.contains_key("application/octet-stream");
            assert!(
                bytes || content.values().all(|body| !body["example"].is_null()),
                "{what}: no example"
            );
        }
    }
    let mut missing = BTreeSet::new();
    references(&DOCUMENT, &mut |name| {
        if DOCUMENT["components"]["schemas"].get(name).is_none() {
            missing.insert(name.to_owned());
        }
    });
    assert_eq!(missing, BTreeSet::new(), "schemas that are referred to");
}

fn references(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::Object(fields) => {
            if let Some(name) = fields.get("$ref").and_then(Value::as_str) {
                visit(name.strip_prefix("#/components/schemas/").unwrap_or(name));
            }
            fields.values().for_each(|value| references(value, visit));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What is described is there: with each method the path takes, and with no other.
#[tokio::test]
async fn described_operations_are_answered_and_no_others() {
    let served = serve(Fake::leading()).await;
    let paths = DOCUMENT["paths"].as_object().unwrap();
    for (path, operations) in paths {
        let target = path
            .split('/')
            .map(|part| match part.starts_with('{') {
                true => "1",
                false => part,
            })
            .collect::<Vec<_>>()
            .join("/");
        for method in ["get", "put", "post", "delete", "patch"] {
            // A feed does not end, and its head says enough.
            let answer = served.browser.open(&method.to_uppercase(), &target, &[], b"").await;
            assert_ne!((method, answer.status), ("get", 500), "{path}");
            assert_eq!(
                answer.status != 405,
                operations.get(method).is_some(),
                "{method} {path}"
            );
        }
    }
}

#[tokio::test]
async fn examples_of_commands_are_taken() {
    let served = serve(Fake::leading()).await;
    let body = |path: &str| {
        let content = &DOCUMENT["paths"][path]["post"]["requestBody"]["content"];
        content.as_object().unwrap().values().next().unwrap()["example"].clone()
    };
    let one = body("/v1/apps/{app}/commands/{command}").to_string();
    assert_eq!(
        served
            .browser
            .post("/v1/apps/ledger/commands/transfer", &one)
            .await
            .status,
        200
    );
    let batch = body("/v1/apps/{app}/commands");
    let lines = [("Content-Type", "application/x-ndjson")];
    let batch = batch.as_str().unwrap().as_bytes();
    let answer = served
        .browser
        .call("POST", "/v1/apps/ledger/commands", &lines, batch)
        .await;
    assert_eq!((answer.status, answer.text().lines().count()), (200, 3));
    let plan = body("/v1/changes").to_string();
    assert_eq!(
        served.browser.post("/v1/changes", &plan).await.json(),
        json!({"change": 15})
    );
}

#[tokio::test]
async fn the_document_and_the_page_are_served_and_ask_nobody_else() {
    let served = serve(Fake::leading()).await;
    let answer = served.browser.get("/v1/openapi.json").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.json(), *DOCUMENT);
    assert!(answer.json()["openapi"].as_str().unwrap().starts_with("3.1"));

    let start = served.browser.get("/").await;
    assert_eq!((start.status, start.headers["location"].as_str()), (307, "/v1/docs"));
    let page = served.browser.get("/v1/docs").await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = &page.headers["content-security-policy"];
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    let mut files = vec![page.text()];
    for file in ["page.js", "page.css"] {
        assert!(page.text().contains(&format!("/v1/docs/{file}")));
        let answer = served.browser.get(&format!("/v1/docs/{file}")).await;
        assert_eq!(answer.status, 200);
        files.push(answer.text());
    }
    for text in files {
        assert!(
            !text.contains("http://") && !text.contains("https://"),
            "it asks somebody else"
        );
    }
    let answer = served.browser.get("/v1/docs/other.js").await;
    assert_eq!(answer.problem(), (404, "not_found".into()));
}

#[tokio::test]
async fn every_error_is_explained_where_its_type_leads() {
    let served = serve(Fake::leading()).await;
    let list = served.browser.get("/v1/errors").await.json();
    let errors = list["errors"].as_array().unwrap();
    assert_eq!(errors.len(), Code::ALL.len());
    for error in errors {
        let target = error["type"].as_str().unwrap();
        assert_eq!(&served.browser.get(target).await.json(), error);
        for text in ["title", "meaning", "advice"] {
            assert!(error[text].as_str().unwrap().len() > 10, "{error}");
        }
    }
    let answer = served.browser.get("/v1/errors/nothing").await;
    assert_eq!(answer.problem(), (404, "not_found".into()));
}
