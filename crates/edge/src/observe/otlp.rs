//! Traces as OpenTelemetry wants them: OTLP over HTTP in its JSON form
//! (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>): ids in hexadecimal, times and other 64-bit
//! numbers as decimal strings, kinds and codes as numbers.

use std::sync::Arc;

use client::wire::{Trace, TraceStage};
use serde_json::{Value, json};

/// `SPAN_KIND_INTERNAL` and `SPAN_KIND_SERVER`.
const KIND_INTERNAL: u8 = 1;
const KIND_SERVER: u8 = 2;
/// `STATUS_CODE_UNSET` and `STATUS_CODE_ERROR`.
const STATUS_UNSET: u8 = 0;
const STATUS_ERROR: u8 = 2;

/// Who sends the traces.
pub(super) struct Resource {
    pub node: String,
    pub cluster: String,
    pub binary: String,
}

/// The spans that a trace becomes.
pub(super) fn spans_of(trace: &Trace) -> u64 {
    own_stages(trace).count() as u64 + 1
}

/// What happened on another node is that node's to export.
fn own_stages(trace: &Trace) -> impl Iterator<Item = (usize, &TraceStage)> {
    trace
        .stages
        .iter()
        .enumerate()
        .filter(|(_, stage)| stage.node.is_none())
}

/// The body of one request.
pub(super) fn request(resource: &Resource, traces: &[Arc<Trace>]) -> Value {
    let spans: Vec<Value> = traces.iter().flat_map(|trace| spans(trace)).collect();
    json!({
        "resourceSpans": [{
            "resource": {"attributes": [
                text("service.name", "seachange"),
                text("service.version", &resource.binary),
                text("service.instance.id", &resource.node),
                text("seachange.cluster", &resource.cluster),
            ]},
            "scopeSpans": [{
                "scope": {"name": "seachange", "version": resource.binary},
                "spans": spans,
            }],
        }],
    })
}

fn spans(trace: &Trace) -> Vec<Value> {
    let begin = u128::from(trace.received_ms) * 1_000_000;
    let at = |microseconds: u64| (begin + u128::from(microseconds) * 1000).to_string();
    let mut attributes = vec![
        text("http.route", &trace.route),
        text("seachange.application", &trace.application),
        text("seachange.command", &trace.command),
        number("http.response.status_code", trace.status.into()),
        json!({"key": "seachange.repeated", "value": {"boolValue": trace.repeated}}),
    ];
    attributes.extend(trace.index.map(|index| number("seachange.index", index)));
    let code = if trace.status >= 500 {
        STATUS_ERROR
    } else {
        STATUS_UNSET
    };
    let mut root = json!({
        "traceId": trace.trace_id,
        "spanId": trace.span_id,
        "name": format!("command {} {}", trace.application, trace.command).trim_end(),
        "kind": KIND_SERVER,
        "startTimeUnixNano": at(0),
        "endTimeUnixNano": at(trace.total_us),
        "attributes": attributes,
        "status": {"code": code},
    });
    if let Some(parent) = &trace.parent_span_id {
        root["parentSpanId"] = json!(parent);
    }
    let stages = own_stages(trace).map(|(place, stage)| {
        json!({
            "traceId": trace.trace_id,
            "spanId": stage_span(&trace.span_id, place),
            "parentSpanId": trace.span_id,
            "name": stage.stage.name(),
            "kind": KIND_INTERNAL,
            "startTimeUnixNano": at(stage.at_us),
            "endTimeUnixNano": at(stage.at_us.saturating_add(stage.us)),
            "attributes": [],
            "status": {"code": STATUS_UNSET},
        })
    });
    [root].into_iter().chain(stages).collect()
}

/// A stage's span id: the request's, moved by the stage's place. It needs to be unlike others in the same trace only.
fn stage_span(span: &str, place: usize) -> String {
    let number = u64::from_str_radix(span, 16).unwrap_or_default();
    let moved = number ^ (place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:016x}", moved.max(1))
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn number(key: &str, value: u64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}
