//! Makes a script that fails shorter: fewer acts, fewer clients, as long as the same oracle still says no.

use crate::explore::run_apart;
use crate::script::Script;

/// The shortest script found that fails as this one does; none: it does not fail.
pub fn shrink(script: &Script, tell: impl Fn(&Script)) -> Option<Script> {
    let oracle = failure(script)?;
    let fails = |candidate: &Script| failure(candidate).as_deref() == Some(oracle.as_str());
    let mut best = script.clone();
    // Halves first, then quarters, down to single acts.
    let mut piece = best.statements.len();
    while piece > 0 {
        let mut from = 0;
        while from < best.statements.len() {
            let mut candidate = best.clone();
            let to = (from + piece).min(candidate.statements.len());
            candidate.statements.drain(from..to);
            if fails(&candidate) {
                best = candidate;
                tell(&best);
            } else {
                from = to;
            }
        }
        piece /= 2;
    }
    while best.clients > 1 {
        let fewer = Script {
            clients: best.clients - 1,
            ..best.clone()
        };
        if !fails(&fewer) {
            break;
        }
        best = fewer;
    }
    best.comments.push(format!(" Fails: {oracle}."));
    Some(best)
}

/// The oracle that says no.
fn failure(script: &Script) -> Option<String> {
    match run_apart(script, false) {
        Ok(report) => report.violation.map(|violation| violation.oracle.to_owned()),
        Err(_) => Some("the simulator".to_owned()),
    }
}
