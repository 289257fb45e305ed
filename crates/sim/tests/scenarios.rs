//! Every scenario in `scenarios/`, against what is recorded in it.

use std::path::Path;

use sim::explore::run_all;
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
    let texts: Vec<String> = files
        .iter()
        .map(|file| std::fs::read_to_string(file).expect("a scenario"))
        .collect();
    let scripts: Vec<Script> = texts.iter().map(|text| text.parse().expect("a script")).collect();
    let reports = run_all(&scripts).expect("runs");
    assert_eq!(reports.len(), files.len());
    for ((file, text), report) in files.iter().zip(&texts).zip(reports) {
        let name = file.display();
        if let Some(violation) = report.violation {
            panic!("{name}: {violation}");
        }
        let now = report.script.to_string();
        assert_eq!(
            &now, text,
            "{name} prints something else than what is recorded; if that is right: cargo run -p sim -- scenario --accept {name}"
        );
    }
}
