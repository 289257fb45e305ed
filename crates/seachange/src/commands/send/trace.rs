//! `seachange send APP COMMAND JSON --trace`: the reply, and where the time went.

use client::wire::{CommandOutcome, CommandReply, Trace, TraceStage};
use environment::Environment;
use serde_json::json;

use super::{Arguments, refused};
use crate::connection::explain;
use crate::exit::Stopped;
use crate::output;

/// Columns of the bars.
const WIDTH: u64 = 40;

pub(super) async fn send(arguments: &Arguments, environment: &Environment) -> anyhow::Result<()> {
    let admin = arguments.cluster.admin(environment)?;
    let payload = arguments.payload.clone().unwrap_or_default();
    let sent = admin.submit_traced(&arguments.app, &arguments.command, arguments.payload_version, payload);
    let (reply, trace) = sent.await.map_err(explain)?;
    let trace = trace.ok_or_else(|| {
        let what = format!(
            "the command was applied in entry {}, but its node gave no trace",
            reply.index
        );
        Stopped::failed(what, "Run the same version of seachange there and here.")
    })?;
    show(arguments, &reply, &trace)?;
    match reply.outcome {
        CommandOutcome::Applied => Ok(()),
        CommandOutcome::Refused => Err(refused(&arguments.app, &reply).into()),
    }
}

fn show(arguments: &Arguments, reply: &CommandReply, trace: &Trace) -> anyhow::Result<()> {
    if arguments.cluster.json {
        let mut answer = serde_json::to_value(reply)?;
        answer["trace"] = json!(trace);
        return output::json(&answer);
    }
    if reply.outcome == CommandOutcome::Applied && !reply.reply.is_empty() {
        output::line(output::text(&reply.reply))?;
    }
    output::line(chart(trace))
}

/// The stages, one a line, each with a bar where its time lies in the whole.
fn chart(trace: &Trace) -> String {
    let index = trace.index.map_or(String::new(), |index| format!(", entry {index}"));
    let repeated = if trace.repeated { ", answered from memory" } else { "" };
    let head = format!(
        "{} at node {}{index}{repeated}, trace {}",
        milliseconds(trace.total_us),
        trace.node,
        trace.trace_id
    );
    let mut rows = Vec::new();
    for stage in &trace.stages {
        let node = stage.node.map_or(String::new(), |node| format!(" (node {node})"));
        rows.push(vec![
            format!("{}{node}", stage.stage.name()),
            format!("{:>10}", milliseconds(stage.us)),
            bar(stage, trace.total_us),
        ]);
    }
    format!("{head}\n{}", output::columns(&rows))
}

/// A stage that took any time at all has one column at least.
fn bar(stage: &TraceStage, total_us: u64) -> String {
    let total = total_us.max(1);
    let column = |us: u64| (us.min(total) * WIDTH / total) as usize;
    let begin = column(stage.at_us).min(WIDTH as usize - 1);
    let end = column(stage.at_us.saturating_add(stage.us)).max(begin + 1);
    format!("{}{}", " ".repeat(begin), "█".repeat(end - begin))
}

fn milliseconds(us: u64) -> String {
    format!("{}.{:03} ms", us / 1000, us % 1000)
}

#[cfg(test)]
mod tests {
    use client::wire::StageName;

    use super::*;

    #[test]
    fn bars_lie_where_their_time_does() {
        let stage = |stage, node, at_us, us| TraceStage { stage, node, at_us, us };
        let trace = Trace {
            trace_id: "4bf9".into(),
            span_id: "01".into(),
            parent_span_id: None,
            node: 2,
            route: String::new(),
            application: "ledger".into(),
            command: "open".into(),
            status: 200,
            index: Some(17),
            repeated: false,
            received_ms: 0,
            total_us: 2000,
            stages: vec![
                stage(StageName::Routed, None, 0, 50),
                stage(StageName::Forwarded, None, 100, 1900),
                stage(StageName::Applied, Some(1), 1000, 500),
                stage(StageName::Answered, Some(1), 2000, 0),
            ],
        };
        let expected = "\
2.000 ms at node 2, entry 17, trace 4bf9
routed               0.050 ms  █
forwarded            1.900 ms    ██████████████████████████████████████
applied (node 1)     0.500 ms                      ██████████
answered (node 1)    0.000 ms                                         █";
        assert_eq!(chart(&trace), expected);
    }
}
