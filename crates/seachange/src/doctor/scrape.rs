use std::collections::BTreeMap;

/// A page of measures, read back.
#[derive(Debug, Clone, Default)]
pub struct Scrape(BTreeMap<String, Vec<(Labels, f64)>>);

type Labels = BTreeMap<String, String>;

/// Upper bounds with how many values lay at or below each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram(Vec<(f64, f64)>);

impl Scrape {
    /// Reads Prometheus' text format. Lines that cannot be read are passed over: they come from another version.
    #[must_use]
    pub fn read(text: &str) -> Scrape {
        let mut samples: BTreeMap<String, Vec<(Labels, f64)>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, labels, value)) = sample(line) {
                samples.entry(name.to_owned()).or_default().push((labels, value));
            }
        }
        Scrape(samples)
    }

    /// The first sample of that name with those labels, among others.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let samples = self.0.get(name)?;
        let fits = |sample: &&(Labels, f64)| has(&sample.0, labels);
        samples.iter().find(fits).map(|(_, value)| *value)
    }

    /// The histogram of that name with those labels; empty where there is none.
    #[must_use]
    pub fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> Histogram {
        let samples = self.0.get(&format!("{name}_bucket"));
        let buckets = samples.into_iter().flatten().filter(|(found, _)| has(found, labels));
        let bucket = |(labels, count): &(Labels, f64)| Some((number(labels.get("le")?)?, *count));
        let mut buckets: Vec<(f64, f64)> = buckets.filter_map(bucket).collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        Histogram(buckets)
    }
}

fn has(found: &Labels, wanted: &[(&str, &str)]) -> bool {
    wanted
        .iter()
        .all(|(name, value)| found.get(*name).is_some_and(|found| found == value))
}

/// Name, labels and value of a line such as `name{label="value"} 1`.
fn sample(line: &str) -> Option<(&str, Labels, f64)> {
    let (head, value) = line.rsplit_once(' ')?;
    let value = number(value)?;
    let Some((name, labels)) = head.split_once('{') else {
        return Some((head, Labels::new(), value));
    };
    let mut rest = labels.strip_suffix('}')?;
    let mut labels = Labels::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"")?;
        let (text, after) = quoted(after)?;
        labels.insert(label.to_owned(), text);
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Some((name, labels, value))
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((out, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                'n' => out.push('\n'),
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
    None
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        other => other.parse().ok(),
    }
}

impl Histogram {
    /// What came after `earlier`. A process that was started again in between has nothing to take off.
    #[must_use]
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        let same = self.0.len() == earlier.0.len() && self.count() >= earlier.count();
        if !same {
            return self.clone();
        }
        let both = self.0.iter().zip(&earlier.0);
        Histogram(both.map(|((bound, now), (_, then))| (*bound, now - then)).collect())
    }

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// The value that this part of all (0 to 1) does not exceed, by a straight line within its bucket as Prometheus does
    /// it; the highest bound where it lies beyond that. None where there are no values.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let rank = self.count() * part;
        if rank <= 0.0 {
            return None;
        }
        let (mut below, mut before) = (0.0, 0.0);
        for (bound, count) in &self.0 {
            if *count >= rank {
                if bound.is_infinite() {
                    return Some(below);
                }
                return Some(below + (bound - below) * (rank - before) / (count - before));
            }
            (below, before) = (*bound, *count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use environment::measure::{self, Page};

    use super::*;

    #[test]
    fn a_page_is_read_back_as_it_was_written() {
        let times = measure::Histogram::seconds();
        (0..100).for_each(|_| times.time(Duration::from_micros(700)));
        let mut page = Page::default();
        page.histogram("a_seconds", "A.").shows(&[("peer", "2")], &times);
        page.gauge("b", "B.").of(&[("x", "1,\"}\\ \n"), ("y", "2")], 7_u64);
        page.gauge("c", "C.").is(0.25);
        let scrape = Scrape::read(&page.text());
        assert_eq!(scrape.value("b", &[("x", "1,\"}\\ \n")]), Some(7.0));
        assert_eq!(scrape.value("b", &[("x", "2")]), None);
        assert_eq!(scrape.value("c", &[]), Some(0.25));
        let read = scrape.histogram("a_seconds", &[("peer", "2")]);
        assert_eq!(read.quantile(0.5), Some(0.00075), "the middle of 0.5 to 1 ms");
        assert_eq!(scrape.histogram("a_seconds", &[("peer", "3")]).quantile(0.5), None);

        let before = read;
        (0..10).for_each(|_| times.time(Duration::from_secs(60)));
        let mut page = Page::default();
        page.histogram("a_seconds", "A.").shows(&[("peer", "2")], &times);
        let after = Scrape::read(&page.text()).histogram("a_seconds", &[]);
        assert_eq!(after.quantile(0.5), Some(0.0005 + 0.0005 * 55.0 / 100.0));
        assert_eq!(
            after.since(&before).quantile(0.5),
            Some(10.0),
            "beyond the highest bound"
        );
        assert_eq!(before.since(&after), before, "a process that began anew");
    }

    #[test]
    fn what_is_no_sample_is_passed_over() {
        let scrape = Scrape::read("# HELP a b\n\na\na{b} 1\na{b=\"c} 1\na{b=\"c\"} x\nd 1\n");
        assert_eq!(scrape.value("a", &[]), None);
        assert_eq!(scrape.value("d", &[]), Some(1.0));
    }
}
