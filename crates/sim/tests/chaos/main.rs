//! Three real nodes, as processes, under real load, while they are killed, stopped and terminated, cut off and filled up;
//! and what must hold of what their clients were told.
//!
//! The plan of a run comes from a seed. What real processes make of it differs from run to run, so a failure is read from
//! what the test prints: what was done when, and how the nodes' logs end. In the environment:
//!
//! - `CHAOS_SEED`: which plan. The default stays the same.
//! - `CHAOS_SECONDS`: for how long there are faults. Start, settling and checking come on top.
//! - `CHAOS_KEEP`: leave the nodes' directories, for looking at them.

mod evidence;
mod faults;
mod history;
mod links;
mod load;
mod nodes;
mod operator;
mod oracles;
mod plan;
mod proxy;
mod run;
mod small_disk;

use std::time::Duration;

use run::Settings;

const SEED: u64 = 1;
const SECONDS: u64 = 40;
/// For all that comes on top of the faults, building not among it.
const REST_MAX: Duration = Duration::from_secs(300);

fn number_of(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_processes_links_and_disks_no_client_is_told_a_lie() {
    let environment = environment::real::environment();
    let settings = Settings {
        seed: number_of("CHAOS_SEED", SEED),
        time: Duration::from_secs(number_of("CHAOS_SECONDS", SECONDS)),
        keep: std::env::var_os("CHAOS_KEEP").is_some(),
        program: nodes::build().unwrap(),
    };
    let (seed, seconds) = (settings.seed, settings.time.as_secs());
    println!("seed {seed}, {seconds} s of faults");
    let limit = settings.time + REST_MAX;
    let running = run::run(settings, environment.clone());
    let ended = environment::timeout(&environment, limit, running).await;
    let again = format!("CHAOS_SEED={seed} CHAOS_SECONDS={seconds} cargo test -p sim --test chaos -- --nocapture");
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => panic!("{error:#}\n\nagain: {again}"),
        Err(environment::TimedOut) => panic!("it did not end within {limit:?}\n\nagain: {again}"),
    }
}
