use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::Histogram;

/// A page in Prometheus' text format, version 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
///
/// Each part of a node writes its own families into it, in any order; a family that is there without a sample still shows
/// what it is.
#[derive(Debug, Default)]
pub struct Page {
    families: BTreeMap<&'static str, Family>,
}

#[derive(Debug)]
struct Family {
    kind: &'static str,
    help: &'static str,
    samples: String,
}

/// A sample's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// Shown exactly.
    Whole(u64),
    /// Shown as short as it can be read back.
    Real(f64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Number::Whole(value)
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Number::Whole(value as u64)
    }
}

impl From<bool> for Number {
    fn from(value: bool) -> Self {
        Number::Whole(u64::from(value))
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Number::Real(value)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Whole(value) => value.fmt(formatter),
            Number::Real(value) if *value == f64::INFINITY => formatter.write_str("+Inf"),
            Number::Real(value) => value.fmt(formatter),
        }
    }
}

impl Page {
    /// A family of values that only grow; its name ends in `_total`.
    pub fn counter(&mut self, name: &'static str, help: &'static str) -> Samples<'_> {
        self.family(name, "counter", help)
    }

    /// A family of values that rise and fall.
    pub fn gauge(&mut self, name: &'static str, help: &'static str) -> Samples<'_> {
        self.family(name, "gauge", help)
    }

    /// A family of histograms.
    pub fn histogram(&mut self, name: &'static str, help: &'static str) -> Samples<'_> {
        self.family(name, "histogram", help)
    }

    fn family(&mut self, name: &'static str, kind: &'static str, help: &'static str) -> Samples<'_> {
        let family = self.families.entry(name).or_insert_with(|| Family {
            kind,
            help,
            samples: String::new(),
        });
        Samples { name, family }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, family) in &self.families {
            let Family { kind, help, samples } = family;
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}"));
        }
        text
    }
}

/// Takes the samples of one family.
pub struct Samples<'a> {
    name: &'static str,
    family: &'a mut Family,
}

impl Samples<'_> {
    /// The only sample.
    pub fn is(&mut self, value: impl Into<Number>) {
        self.of(&[], value);
    }

    /// One of several, told apart by its labels.
    pub fn of(&mut self, labels: &[(&str, &str)], value: impl Into<Number>) {
        self.line("", labels, None, value.into());
    }

    /// The histogram, or one of several.
    pub fn shows(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut count = 0;
        for (bound, cumulative) in histogram.cumulative() {
            let bound = Number::Real(bound).to_string();
            self.line("_bucket", labels, Some(&bound), cumulative.into());
            count = cumulative;
        }
        self.line("_sum", labels, None, histogram.sum().into());
        self.line("_count", labels, None, count.into());
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>, value: Number) {
        let all = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let shown: Vec<String> = all
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        let labels = match shown.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", shown.join(",")),
        };
        // Writing to a string does not fail.
        let _ = writeln!(self.family.samples, "{}{suffix}{labels} {value}", self.name);
    }
}

fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for letter in value.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn families_stand_together_and_in_order_however_they_are_written() {
        let mut page = Page::default();
        page.gauge("b_bytes", "Second.").is(7_u64);
        page.counter("a_total", "First.").of(&[("what", "one")], 1_u64);
        page.gauge("c", "Third, without a sample.");
        page.counter("a_total", "First.").of(&[("what", "t\"w\\o\n")], 0.5);
        let expected = "# HELP a_total First.\n# TYPE a_total counter\na_total{what=\"one\"} 1\na_total{what=\"t\\\"w\\\\o\\n\"} 0.5\n\
                        # HELP b_bytes Second.\n# TYPE b_bytes gauge\nb_bytes 7\n# HELP c Third, without a sample.\n# TYPE c gauge\n";
        assert_eq!(page.text(), expected);
    }

    #[test]
    fn a_histogram_ends_with_an_infinite_bucket_its_sum_and_its_count() {
        let histogram = Histogram::seconds();
        histogram.time(Duration::from_millis(1));
        histogram.time(Duration::from_secs(60));
        let mut page = Page::default();
        page.histogram("a_seconds", "Time.").shows(&[("peer", "2")], &histogram);
        let text = page.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2], "a_seconds_bucket{peer=\"2\",le=\"0.0001\"} 0");
        assert_eq!(lines[5], "a_seconds_bucket{peer=\"2\",le=\"0.001\"} 1");
        let end = [
            "a_seconds_bucket{peer=\"2\",le=\"10\"} 1",
            "a_seconds_bucket{peer=\"2\",le=\"+Inf\"} 2",
            "a_seconds_sum{peer=\"2\"} 60.001",
            "a_seconds_count{peer=\"2\"} 2",
        ];
        assert_eq!(lines[lines.len() - 4..], end);
    }
}
