//! `sim`: simulated clusters from a seed or a script.

use std::process::ExitCode;

fn main() -> ExitCode {
    let seed = std::env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or(1);
    tracing_subscriber::fmt().with_env_filter(std::env::var("SIM_LOG").unwrap_or("off".into())).with_writer(std::io::stderr).init();
    let script = sim::plan::plan(seed);
    let report = sim::run::run(&script, std::env::var("SIM_TRACE").is_ok()).unwrap();
    println!("{:?} {:?} sim {} s steps {} ack {}", report.violation.as_ref().map(ToString::to_string), report.trace, report.simulated as f64 / 1e9, report.steps, report.acknowledged);
    if let Ok(path) = std::env::var("SIM_TRACE") { std::fs::write(path, &report.trace_text).unwrap(); }
    ExitCode::SUCCESS
}
