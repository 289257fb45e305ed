use anyhow::ensure;

/// Words that no log may hold, whatever was done to the node: no fault of this test damages what was written, so a node
/// that finds damage made it itself.
const NEVER: [&str; 4] = [
    "panicked at",
    "is damaged",
    "rebuilding this node's data",
    "stopped by itself",
];

/// The log tells of nothing that none of the faults explains.
pub fn tells_of_nothing_unexplained(name: &str, log: &str) -> anyhow::Result<()> {
    let bad = log.lines().find(|line| NEVER.iter().any(|word| line.contains(word)));
    ensure!(bad.is_none(), "node {name} logged: {}", bad.unwrap_or_default());
    Ok(())
}

#[test]
fn a_panic_and_a_damage_are_found() {
    assert!(tells_of_nothing_unexplained("a", "INFO serving\nWARN a peer does not answer\n").is_ok());
    for line in [
        "thread 'main' panicked at src/x.rs",
        "ERROR this node's data is damaged: it stops",
    ] {
        let log = format!("INFO serving\n{line}\n");
        assert!(tells_of_nothing_unexplained("a", &log).is_err_and(|error| error.to_string().contains(line)));
    }
}
