//! A node as it shows itself: its own measures, those of its process and its disk, and the times of its entries, for the
//! edge to serve. Here, because the edge and the node do not know each other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use edge::{EntryTimes, ObserveOptions};
use environment::measure::Page;
use environment::{Environment, Moment};
use node::{Node, Observed};

use crate::config::Config;

/// What the page shows beside what the edge counts.
struct Watched {
    environment: Environment,
    observed: Arc<Observed>,
    name: String,
    cluster: String,
    data: PathBuf,
    started: Moment,
}

/// What the edge is to show of this node.
#[must_use]
pub fn options(config: &Config, environment: &Environment, node: &Node) -> ObserveOptions {
    let observed = node.observed();
    let watched = Watched {
        environment: environment.clone(),
        observed: observed.clone(),
        name: config.name.clone(),
        cluster: format!("{:016x}", node.cluster().status().cluster.0),
        data: config.data.clone(),
        started: environment.clock.now(),
    };
    let entry_times = move |index| {
        let times = observed.entry(index);
        EntryTimes {
            packed: times.packed,
            appended: times.appended,
            committed: times.committed,
            apply_begun: times.apply_begun,
            applied: times.applied,
        }
    };
    ObserveOptions {
        page: Some(Arc::new(move |page| watched.page(page))),
        entry_times: Some(Arc::new(entry_times)),
        slow_command: Duration::from_millis(config.observe.slow_command_ms),
        trace_one_in: config.observe.trace_one_in,
        collector: config.observe.otlp_endpoint.clone(),
    }
}

impl Watched {
    fn page(&self, page: &mut Page) {
        self.observed.page(page);
        let build = [("version", env!("CARGO_PKG_VERSION"))];
        page.gauge("seachange_build_info", "Always 1; the binary's version is a label.")
            .of(&build, 1_u64);
        let node = self.observed.node().to_string();
        let labels = [
            ("node", node.as_str()),
            ("name", &self.name),
            ("cluster", &self.cluster),
        ];
        page.gauge(
            "seachange_node_info",
            "Always 1; who this node is stands in the labels.",
        )
        .of(&labels, 1_u64);
        let uptime = self.environment.clock.now() - self.started;
        page.gauge("seachange_uptime_seconds", "Time since the node began to serve.")
            .is(uptime.as_secs_f64());
        self.process_part(page);
        self.disk_part(page);
    }

    /// The names are those that Prometheus' own client libraries use.
    fn process_part(&self, page: &mut Page) {
        let usage = self.environment.system.usage().ok();
        let mut resident = page.gauge("process_resident_memory_bytes", "Memory that the process holds.");
        usage.iter().for_each(|usage| resident.is(usage.resident_bytes));
        let mut cpu = page.counter("process_cpu_seconds_total", "Processor time of all threads.");
        usage.iter().for_each(|usage| cpu.is(usage.cpu.as_secs_f64()));
        let mut open = page.gauge("process_open_fds", "Files and sockets that are open.");
        usage.iter().for_each(|usage| open.is(usage.files_open));
        let mut most = page.gauge("process_max_fds", "Files and sockets that may be open.");
        usage.iter().for_each(|usage| most.is(usage.files_max));
        let mut threads = page.gauge("process_threads", "Threads.");
        usage.iter().for_each(|usage| threads.is(usage.threads));
    }

    fn disk_part(&self, page: &mut Page) {
        let free_bytes = self.environment.disk.free_bytes(&self.data).ok();
        let total_bytes = self.environment.system.disk_bytes(&self.data).ok();
        let mut free = page.gauge(
            "seachange_disk_free_bytes",
            "Bytes free on the disk that holds the data directory.",
        );
        free_bytes.iter().for_each(|bytes| free.is(*bytes));
        let mut total = page.gauge("seachange_disk_total_bytes", "Bytes of that disk.");
        total_bytes.iter().for_each(|bytes| total.is(*bytes));
    }
}
