//! Every scenario in `scenarios/`, against what is recorded in it.

use std::path::Path;

use sim::explore::run_apart;
use sim::script::Script;

#[test]
fn every_scenario_prints_what_is_recorded() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .expect("the scenarios")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(files.len() >= 16);
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a scenario");
        let script: Script = text.parse().expect("a script");
        let report = run_apart(&script, false).expect("a run");
        let name = file.display();
        if let Some(violation) = report.violation {
            panic!("{name}: {violation}");
        }
        let now = report.script.to_string();
        assert_eq!(
            now, text,
            "{name} prints something else than what is recorded; if that is right: cargo run -p sim -- scenario --accept {name}"
        );
    }
}
